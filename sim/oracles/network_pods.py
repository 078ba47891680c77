"""Pods of the request-level model: slots, queues, work, memory, death and restart.

A pool is one service in one region.  It takes requests in, works on them, hands them to the calls of `network_calls`
and tells whoever waits for a request (its owner) how it ended.  It must not know the engine, nor who its owners are.

Notes
-----
Where the semantics leave a choice, this is what real systems do:

- shedding (`shed_above`) is a concurrency limit of each pod, an equal part of the stated one;
- a pod whose bounds are made smaller keeps what is inside and takes nothing more until it fits;
- a pod taken away by the autoscaler gets no more requests and goes when it is empty, or after `GRACE_S`;
- a pod counts as listed from ready to death (plus `endpoint_lag`), and readiness takes it off the list meanwhile;
- the leak is met at the instant at which it meets the limit, not at the next arrival.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections import deque
from collections.abc import Callable, Iterator
from itertools import accumulate
from typing import Any

import numpy as np
import simpy

from sim.laws import law_of
from sim.oracles.network_jobs import OUTSIDE, WAITING, WORKING, Calls, Job, Pod, ProbeTicket, backoff_s, picker
from sim.oracles.network_kit import after, stream, unit_work
from sim.scenario.schema import Service

GRACE_S = 30.0
"""Longest time that a pod taken away works off what it has (terminationGracePeriodSeconds of Kubernetes)."""
_SHORTEST_S = 1e-3
"""No pod starts faster: one that dies of its first request would cycle without time passing."""


class Pool:
    """One service in one region."""

    def __init__(
        self, env: simpy.Environment, name: str, service: Service, pods: list[Pod], rng: np.random.Generator
    ) -> None:
        self.env, self.name, self.service, self.pods = env, name, service, pods
        works, routes, coins, startups, patience = rng.spawn(5)
        self._works = unit_work(service.work_spread, works)
        self._routes: Iterator[float] = stream(routes.random)
        self.coins: Iterator[float] = stream(coins.random)
        self._startups: Iterator[float] = stream(startups.random)
        self._patience: Iterator[float] = stream(patience.standard_exponential)
        self._startup_law = law_of(service.startup)
        self._pick = picker(service, env)
        # Looked up for every request: a model's fields cost more than a plain attribute.
        self._work_s, self._contention, self._cold = service.work, service.contention, service.cold
        self._deadline_aware, self._patience_s, self._needs = service.deadline_aware, service.patience, service.needs
        self.edges: list[Calls] = []
        """Calls that each request makes after its own work, in this order."""
        self.reachable = True
        self.handovers: deque[Callable[[], bool]] = deque()
        """Callers that wait for room, first come first served; each says whether it is done with waiting."""
        self.on_ready: list[Callable[[Pod], None]] = []
        self.on_kill: Callable[[Pod, str], None] = lambda pod, reason: None
        self._listed: list[Pod] = []
        self._marks: list[float] = []
        self.n_ready = 0
        self.n_inside = self.n_waiting = 0
        self.inside_area = self.waiting_area = 0.0
        self.area_at_s = env.now
        self.offered = self.rejected = self.queued = self.done = self.failed = 0
        self.left = self.cancelled = self.dropped = self.lost = 0

    # --- requests

    def receive(self, job: Job) -> bool:
        """Send a request to a listed pod; False: it was turned away."""
        self.offered += 1
        listed = self._listed
        if not listed or (self._needs is not None and self.n_ready < self._needs):
            self.rejected += 1
            return False
        pod = listed[0]
        if len(listed) > 1:
            marks = self._marks
            pod = listed[bisect_right(marks, next(self._routes) * marks[-1], 0, len(marks) - 1)]
        if pod.n_inside >= pod.room or not pod.ready:
            self.rejected += 1
            return False
        self.let_in(pod, job)
        return True

    def pod_with_room(self) -> Pod | None:
        """A listed pod that takes a request now, by load share; None: all are full."""
        able = [pod for pod in self._listed if pod.ready and pod.n_inside < pod.room]
        if not able or (self.service.needs is not None and self.n_ready < self.service.needs):
            return None
        marks = list(accumulate(pod.share for pod in able))
        return able[bisect_right(marks, next(self._routes) * marks[-1], 0, len(marks) - 1)]

    def let_in(self, pod: Pod, job: Job) -> None:
        """The pod takes the request over."""
        self.book()
        self.n_inside += 1
        pod.n_inside += 1
        pod.jobs[job] = None
        job.pool, job.pod = self, pod
        if pod.busy < pod.slots:
            pod.busy += 1
            self._start(pod, job)
        else:
            job.state = WAITING
            job.entered_at_s = self.env.now
            pod.queue.append(job)
            self.n_waiting += 1
            self.queued += 1
            if self._patience_s is not None:
                after(self.env, self._patience_s * next(self._patience), self._on_impatience, job)
        if pod.memory is not None:
            if pod.memory.is_full(self.env.now, pod.n_inside):
                self.crash(pod, "oom")
            elif pod.memory.grows:
                self.watch_memory(pod)

    def _start(self, pod: Pod, job: Job) -> None:
        # The slot is taken already.
        job.state = WORKING
        if self._deadline_aware and job.expires_at_s <= self.env.now:
            # An event, because the next in line may be late as well, and a long line of them would nest too deep.
            after(self.env, 0.0, self._on_dropped, job)
            return
        work_s = self._work_s * pod.slow
        if self._contention:
            work_s *= 1.0 + self._contention * pod.busy
        if self._cold is not None and self.env.now < pod.cold_until_s:
            work_s *= self._cold.slow
        after(self.env, work_s * next(self._works), self._on_worked, job)

    def _on_worked(self, event: Any) -> None:
        job: Job = event.value
        if job.state != WORKING:
            return
        if self.edges:
            job.step, job.n_left = -1, 0
            self.next_call(job)
        else:
            self.finish(job, True)

    def next_call(self, job: Job) -> None:
        """The next call of the request, or its end."""
        while not job.n_left:
            job.step += 1
            if job.step == len(self.edges):
                self.finish(job, True)
                return
            edge = self.edges[job.step]
            job.n_left = edge.n_whole + (edge.part > 0.0 and next(edge.coins) < edge.part)
        job.n_left -= 1
        self.edges[job.step].start(job)

    def _on_dropped(self, event: Any) -> None:
        job: Job = event.value
        if job.state == WORKING:
            self.dropped += 1
            self._end(job, False)

    def _on_impatience(self, event: Any) -> None:
        job: Job = event.value
        if job.state == WAITING:
            self.left += 1
            self._end(job, False)

    def finish(self, job: Job, ok: bool) -> None:
        """The request is done, well or with an error."""
        if ok and job.pod.error_share and next(self.coins) < job.pod.error_share:
            ok = False
        if ok:
            self.done += 1
        else:
            self.failed += 1
        self._end(job, ok)

    def _end(self, job: Job, ok: bool) -> None:
        self.leave(job)
        if job.awaiting:
            job.owner.answered(job, ok)

    def leave(self, job: Job) -> None:
        """Take the request out of its pod; the next one starts."""
        self.book()
        pod, state = job.pod, job.state
        assert state != OUTSIDE
        job.state = OUTSIDE
        self.n_inside -= 1
        pod.n_inside -= 1
        del pod.jobs[job]
        if state == WAITING:
            self.n_waiting -= 1  # its place in the queue is skipped when its turn comes
        else:
            self._next(pod)
        if pod.is_draining and not pod.n_inside:
            self._gone(pod)
        if self.handovers:
            self.serve_handovers()

    def abandon(self, job: Job) -> None:
        """Whoever waited for the request has given up."""
        job.awaiting = 0
        if job.state == OUTSIDE:
            if job.call is not None:
                job.call.give_up()
        elif self.service.cancels:
            self.cancelled += 1
            call, job.call = job.call, None
            self.leave(job)
            if call is not None:
                call.give_up()

    def serve_handovers(self) -> None:
        """Those that wait to hand a request over try again, in their order."""
        while self.handovers and self.handovers[0]():
            self.handovers.popleft()

    # --- queue

    def _next(self, pod: Pod) -> None:
        queue = pod.queue
        while queue and pod.busy <= pod.slots:
            job = self._pick(queue)
            if job.state != WAITING:
                continue
            if job.__class__ is ProbeTicket:
                job.taken()
                continue
            self.n_waiting -= 1
            self._start(pod, job)
            return
        pod.busy -= 1

    def set_bounds(self, pod: Pod, slots: int, queue: int) -> None:
        """Other slots and another queue bound; whoever is inside stays."""
        self.book()
        pod.slots, pod.room = slots, slots + queue
        while pod.busy < pod.slots and pod.busy < pod.n_inside:
            pod.busy += 1
            self._next(pod)
        self.serve_handovers()

    # --- life

    def warm_start(self, pod: Pod, age_s: float = math.inf) -> None:
        """The pod is ready when the run begins, and has been for `age_s`."""
        self._make_ready(pod, self.env.now - age_s)
        for tell in self.on_ready:
            tell(pod)

    def start(self, pod: Pod, *, delay_s: float = 0.0, startup: bool = True) -> None:
        """Start the pod unless something holds it down: after the delay, its startup time passes, then it is ready."""
        pod.present = True
        if pod.holds or pod.ready:
            return
        if startup:
            delay_s += self._startup_law.from_uniform(max(next(self._startups), 2.0**-53))
        pod.generation += 1
        after(self.env, max(delay_s, _SHORTEST_S if startup else 0.0), self._on_ready, (pod, pod.generation))

    def _on_ready(self, event: Any) -> None:
        pod, generation = event.value
        if pod.generation == generation and not pod.ready:
            self._make_ready(pod, self.env.now)
            for tell in self.on_ready:
                tell(pod)
            self.serve_handovers()

    def _make_ready(self, pod: Pod, since_s: float) -> None:
        assert pod.n_inside == pod.busy == 0
        pod.present = pod.ready = True
        pod.is_draining = pod.is_unwell = False
        pod.ready_at_s = since_s
        cold = self.service.cold
        pod.cold_until_s = since_s + (cold.for_ if cold is not None else 0.0)
        self.n_ready += 1
        if pod.memory is not None:
            pod.memory.restart(self.env.now)
        self.list_pod(pod, True)
        self.watch_memory(pod)

    def crash(self, pod: Pod, reason: str) -> None:
        """The pod dies by itself or by a probe, and is restarted in place."""
        if not pod.ready:
            return
        spec = self.service.crash_loop
        if self.env.now - pod.ready_at_s >= spec.reset:
            pod.crashes = 0
        pod.crashes += 1
        is_draining = pod.is_draining
        self.on_kill(pod, reason)
        self.stop(pod)
        if is_draining:
            pod.present = pod.is_draining = False
        else:
            self.start(pod, delay_s=backoff_s(spec, pod.crashes))

    def stop(self, pod: Pod) -> None:
        """The pod is gone with all that is inside; whoever waits for that sees a failure at once."""
        pod.generation += 1
        if not pod.ready:
            return
        self.book()
        lost = list(pod.jobs)
        pod.jobs.clear()
        pod.queue.clear()
        self.n_inside -= pod.n_inside
        self.n_waiting -= pod.n_waiting
        pod.n_inside = pod.busy = 0
        pod.ready = False
        pod.deaths += 1
        self.n_ready -= 1
        self.lost += len(lost)
        self._unlist_later(pod)
        for job in lost:
            job.state = OUTSIDE
        for job in lost:
            call, job.call = job.call, None
            if call is not None:
                call.give_up()
            if job.awaiting:
                job.owner.answered(job, False)

    def drain(self, pod: Pod) -> None:
        """Take the pod away: no more requests, and gone when it is empty."""
        pod.is_draining = True
        self.list_pod(pod, False)
        if not pod.ready or not pod.n_inside:
            self._gone(pod)
        else:
            after(self.env, GRACE_S, self._on_grace_over, (pod, pod.generation))

    def _on_grace_over(self, event: Any) -> None:
        pod, generation = event.value
        if pod.generation == generation and pod.is_draining:
            self._gone(pod)

    def _gone(self, pod: Pod) -> None:
        self.stop(pod)
        pod.present = pod.is_draining = False

    def _unlist_later(self, pod: Pod) -> None:
        lag_s = self.service.endpoint_lag
        if lag_s == 0.0 or not pod.listed:
            self.list_pod(pod, False)
            return
        deaths = pod.deaths

        def unlist(_: Any) -> None:
            # It may have come back meanwhile (listed by right), or died once more (a later time counts).
            if pod.deaths == deaths and not pod.ready:
                self.list_pod(pod, False)

        after(self.env, lag_s, unlist)

    def list_pod(self, pod: Pod, listed: bool) -> None:
        """Give the pod its share of the requests, or none."""
        pod.listed = listed
        self._listed = [each for each in self.pods if each.listed]
        self._marks = list(accumulate(each.share for each in self._listed))
        if listed:
            self.serve_handovers()

    # --- memory and averages

    def watch_memory(self, pod: Pod) -> None:
        """See to it that somebody looks when growth alone meets the limit with the requests that are inside now."""
        memory, now_s = pod.memory, self.env.now
        if memory is None or not pod.ready:
            return
        wait_s = memory.wait_s(now_s, pod.n_inside)
        if wait_s <= 0.0:
            self.crash(pod, "oom")
        elif now_s + wait_s < memory.look_at_s:
            memory.look_at_s = now_s + wait_s
            after(self.env, wait_s, self._on_look, (pod, memory.look_at_s))

    def _on_look(self, event: Any) -> None:
        pod, look_at_s = event.value
        if pod.memory.look_at_s == look_at_s:
            pod.memory.look_at_s = math.inf
            self.watch_memory(pod)

    def book(self) -> None:
        """Add to the time averages what has passed."""
        now_s = self.env.now
        span_s = now_s - self.area_at_s
        if span_s > 0.0:
            self.inside_area += self.n_inside * span_s
            self.waiting_area += self.n_waiting * span_s
            self.area_at_s = now_s
