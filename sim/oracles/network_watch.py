"""Who watches the pods of the request-level model: health probes and the autoscaler.

It must not know the engine.

Notes
-----
Where the semantics leave a choice:

- a probe that finds no free slot waits in the queue like a request, in the queue's order, but needs no place in it and
  no memory; it fails at once if the queue is full;
- the first probe comes `delay` after ready, and the next one `every` after the last one began, whatever that one waits
  for;
- the autoscaler looks at the busy share averaged over the time since its last decision (pods that are ready); pods that
  are starting count as pods, so that it does not order them twice;
- it takes away the pods with the highest numbers, and those work off what they have.
"""

from __future__ import annotations

import math
from collections import deque
from typing import Any

import simpy

from sim.oracles.network_jobs import Pod, ProbeTicket
from sim.oracles.network_kit import after
from sim.oracles.network_pods import Pool
from sim.scenario.schema import Autoscale, Probe

_ROUNDING = 1e-9


class Prober:
    """Liveness or readiness probes of all pods of a pool."""

    def __init__(self, env: simpy.Environment, pool: Pool, spec: Probe, *, liveness: bool) -> None:
        self._env, self._pool, self._spec, self._liveness = env, pool, spec, liveness
        self._failures: dict[str, int] = {}
        pool.on_ready.append(self.watch)

    def watch(self, pod: Pod) -> None:
        """Probe the pod from now on, until it dies."""
        self._failures[pod.name] = 0
        # Of a pod that is ready when the run begins: the next one of its row. Ready for ever: since the scenario began.
        age_s = self._env.now - max(pod.ready_at_s, 0.0)
        ahead_s = self._spec.delay - age_s
        if ahead_s < 0.0:
            n_passed = math.ceil(-ahead_s / self._spec.every - _ROUNDING)
            ahead_s = max(ahead_s + n_passed * self._spec.every, 0.0)
        after(self._env, ahead_s, self._on_time, (pod, pod.generation))

    def _on_time(self, event: Any) -> None:
        pod, generation = event.value
        if pod.generation != generation or not pod.ready:
            return
        after(self._env, self._spec.every, self._on_time, (pod, generation))
        if pod.busy < pod.slots:
            self._result(pod, True)
        elif pod.n_inside >= pod.room:
            self._result(pod, False)
        else:
            ticket = ProbeTicket(self._env.now, lambda: self._taken(pod, generation, ticket))
            pod.queue.append(ticket)
            after(self._env, self._spec.timeout, self._on_timeout, (pod, generation, ticket))

    def _taken(self, pod: Pod, generation: int, ticket: ProbeTicket) -> None:
        ticket.state = 0
        if pod.generation == generation:
            self._result(pod, True)

    def _on_timeout(self, event: Any) -> None:
        pod, generation, ticket = event.value
        if ticket.state and pod.generation == generation and pod.ready:
            ticket.state = 0
            self._result(pod, False)

    def _result(self, pod: Pod, ok: bool) -> None:
        if ok:
            self._failures[pod.name] = 0
            if not self._liveness and pod.is_unwell:
                pod.is_unwell = False
                self._pool.list_pod(pod, not pod.is_draining)
            return
        self._failures[pod.name] += 1
        if self._failures[pod.name] < self._spec.failures:
            return
        if self._liveness:
            self._pool.crash(pod, "liveness")
        elif not pod.is_unwell:
            pod.is_unwell = True
            self._pool.list_pod(pod, False)


class Autoscaler:
    """Horizontal autoscaler of one pool."""

    def __init__(self, env: simpy.Environment, pool: Pool, spec: Autoscale, placed: int) -> None:
        self._env, self._pool, self._spec = env, pool, spec
        self._least = placed if spec.least is None else spec.least
        # As if somebody had asked for what is placed at the begin: the windows know no earlier decision.
        self._wanted: deque[tuple[float, int]] = deque([(env.now, placed)])
        self._busy_area = 0.0
        after(env, spec.every, self._decide)

    def _decide(self, _: Any) -> None:
        pool, spec, now_s = self._pool, self._spec, self._env.now
        after(self._env, spec.every, self._decide)
        pool.book()
        busy_area = pool.inside_area - pool.waiting_area
        slots = sum(pod.slots for pod in pool.pods if pod.ready)
        busy_share = (busy_area - self._busy_area) / (spec.every * slots) if slots else 0.0
        self._busy_area = busy_area
        present = [pod for pod in pool.pods if pod.present and not pod.is_draining]
        n = len(present)
        ratio = min(busy_share, 1.0) / spec.target
        wanted = n
        if slots and abs(ratio - 1.0) > spec.tolerance:
            wanted = math.ceil(n * ratio - _ROUNDING)
        wanted = min(max(wanted, self._least), spec.most)
        self._wanted.append((now_s, wanted))
        longest_s = max(spec.up_after, spec.down_after)
        while self._wanted and self._wanted[0][0] < now_s - longest_s - _ROUNDING:
            self._wanted.popleft()
        up = min(w for at_s, w in self._wanted if at_s >= now_s - spec.up_after - _ROUNDING)
        down = max(w for at_s, w in self._wanted if at_s >= now_s - spec.down_after - _ROUNDING)
        if up > n:
            self._add(up - n)
        elif down < n:
            for pod in present[down:]:
                pool.drain(pod)

    def _add(self, n: int) -> None:
        for pod in self._pool.pods:
            if n and not pod.present and not pod.holds:
                self._pool.start(pod)
                n -= 1
