"""Calls between services in the request-level model: attempts, timeouts, breakers, throttles, hedges, handovers.

An edge is the calls of one service in one region to another service; a request that has done its own work goes through
the edges of its service in the order of the file.  It must not know the engine.

Notes
-----
Where the semantics leave a choice:

- the breaker is asked once per call, and a call that it stops fails for good after `fast_fail`; what it averages are
  attempts, those that were really sent;
- an attempt stopped by throttling is a failed attempt (it is repeated while attempts and budget allow);
- a hedge is sent while the first copy has not been answered at all; copies are not throttled and count once;
- a call that a pod's death cuts off is given up like any other: its callee goes on unless it cancels;
- the first handover ends a request, calls that come after it in the file are not made.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import simpy

from sim.oracles.network_jobs import CALLING, OUTSIDE, Job, Pod
from sim.oracles.network_kit import Budget, CircuitBreaker, Throttling, TimerLine, after, stream
from sim.oracles.network_pods import Pool
from sim.oracles.network_run import Remembered
from sim.scenario.schema import Call


class PendingCall:
    """One call of one request; `awaiting` is the number of the attempt under way, 0 between attempts."""

    __slots__ = ("awaiting", "edge", "legs", "n_open", "number", "parent")

    def __init__(self, edge: Edge, parent: Job) -> None:
        self.edge, self.parent = edge, parent
        self.number = self.awaiting = self.n_open = 0
        self.legs: list[Job] = []

    def answered(self, job: Job, ok: bool) -> None:
        """One copy of the attempt under way was answered."""
        job.awaiting = 0
        self.n_open -= 1
        if ok:
            self.edge.attempt_ended(self, True)
        elif self.n_open == 0:
            self.edge.attempt_ended(self, False)

    def end_attempt(self) -> None:
        """Nobody waits for the attempt any more."""
        self.awaiting = self.n_open = 0
        legs, self.legs = self.legs, []
        for leg in legs:
            if leg.awaiting:
                self.edge.callee.abandon(leg)

    def give_up(self) -> None:
        """The caller is not interested any more."""
        self.end_attempt()
        self.parent = _NOBODY


class Handover:
    """A request that the callee has taken over: its answer is the answer to the first one."""

    __slots__ = ("child", "job")

    def __init__(self, job: Job) -> None:
        self.job = job
        self.child: Job | None = None

    def answered(self, job: Job, ok: bool) -> None:
        """The callee answered."""
        job.awaiting = 0
        self.job.call = None
        if self.job.awaiting:
            self.job.owner.answered(self.job, ok)

    def give_up(self) -> None:
        """Nobody waits for the answer any more."""
        if self.child is not None and self.child.awaiting:
            assert self.child.pool is not None
            self.child.pool.abandon(self.child)


class _Nobody:
    """Owner of what nobody waits for."""

    def answered(self, job: Job, ok: bool) -> None:
        """Never called, because nobody awaits it."""
        raise AssertionError("an answer for nobody")


NOBODY = _Nobody()
_NOBODY = Job(NOBODY, 0, 0.0, math.inf)
_NOBODY.awaiting = 0


class Edge:
    """Calls from one pool to another."""

    def __init__(
        self, env: simpy.Environment, spec: Call, caller: Pool, callee: Pool, rng: np.random.Generator
    ) -> None:
        self.env, self.spec, self.caller, self.callee = env, spec, caller, callee
        self.attempts_most = spec.attempts
        self.reachable = True
        self.n_whole = math.floor(spec.calls)
        self.part = spec.calls - self.n_whole
        self.coins = stream(rng.random)
        self._budget = None if spec.retry_budget is None else Budget(spec.retry_budget)
        self._throttling = None if spec.throttle is None else Throttling(env.now, spec.throttle)
        self.breaker = None if spec.breaker is None else CircuitBreaker(env, spec.breaker)
        self._timers = TimerLine(env, spec.timeout, self._late)
        self._has_deadlines = caller.service.deadline_aware
        self.calls = self.attempts = self.good = self.blocked = self.throttled = self.hedged = self.handed = 0

    # --- one call

    def start(self, job: Job) -> None:
        """The request calls; `call_ended` says how that went."""
        self.calls += 1
        job.state = CALLING
        if self.spec.handoff:
            if self.callee.handovers or not self._hand_over(job):
                self.callee.handovers.append(lambda: job.state != CALLING or self._hand_over(job))
            return
        call = job.call = PendingCall(self, job)
        if self._budget is not None:
            self._budget.earn()
        if self.breaker is not None and not self.breaker.lets_through(next(self.coins)):
            self.blocked += 1
            after(self.env, self.spec.fast_fail, self._on_blocked, call)
            return
        self._attempt(call)

    def resume(self, job: Job, leg: Job | None, number: int, left_s: float) -> None:
        """An attempt under way when the run begins, with this time left to it; `leg` carries it if given."""
        call = self._resumed(job, number)
        call.awaiting = number
        after(self.env, left_s, self._on_late, (call, number))
        if leg is not None:
            leg.owner, leg.awaiting, leg.number = call, 1, number
            call.legs.append(leg)
            call.n_open = 1

    def resume_pause(self, job: Job, number: int, in_s: float) -> None:
        """A call between two attempts when the run begins: `number` is sent then."""
        after(self.env, in_s, self._on_retry, self._resumed(job, number - 1))

    def _resumed(self, job: Job, number: int) -> PendingCall:
        self.calls += 1
        self.attempts += 1
        job.state = CALLING
        call = job.call = PendingCall(self, job)
        call.number = number
        return call

    def remember(self, past: Remembered) -> None:
        """What the callers know of their attempts before the run."""
        if self._budget is not None and past.tokens is not None:
            self._budget.set_tokens(past.tokens)
        if self._throttling is not None and past.wanted is not None and past.usable is not None:
            self._throttling.remember(past.wanted, past.usable)
        if self.breaker is not None and past.seen is not None and past.share is not None:
            self.breaker.remember(past.seen, past.share)

    def _on_blocked(self, event: Any) -> None:
        self._call_failed(event.value)

    def _attempt(self, call: PendingCall) -> None:
        spec, now_s = self.spec, self.env.now
        self.attempts += 1
        call.number += 1
        call.awaiting = call.number
        wait_s = spec.timeout
        if self._has_deadlines:
            wait_s = min(wait_s, call.parent.expires_at_s - now_s)
            if wait_s <= 0.0:
                call.awaiting = 0
                self._call_failed(call)
                return
        if self._throttling is not None and self._throttling.refuses(now_s, next(self.coins)):
            self.throttled += 1
            after(self.env, spec.fast_fail, self._on_throttled, (call, call.number))
            return
        if wait_s == spec.timeout:
            self._timers.start(call)
        else:
            after(self.env, wait_s, self._on_late, (call, call.number))
        self._send_copy(call)
        if spec.hedge_after is not None and spec.hedge_after < wait_s:
            after(self.env, spec.hedge_after, self._on_hedge, (call, call.number))

    def _send_copy(self, call: PendingCall) -> None:
        call.n_open += 1
        if not self.reachable:
            return  # a black hole: only the timeout ends it
        parent = call.parent
        leg = Job(call, call.number, parent.arrived_at_s, parent.expires_at_s)
        call.legs.append(leg)
        if not self.callee.receive(leg):
            after(self.env, self.spec.fast_fail, self._on_rejected, leg)

    def _on_rejected(self, event: Any) -> None:
        leg: Job = event.value
        if leg.awaiting:
            leg.owner.answered(leg, False)

    def _on_throttled(self, event: Any) -> None:
        call, number = event.value
        if call.awaiting == number:
            call.end_attempt()
            self._repeat(call)

    def _on_hedge(self, event: Any) -> None:
        call, number = event.value
        if call.awaiting == number and call.n_open == 1:
            self.hedged += 1
            self._send_copy(call)

    def _late(self, call: PendingCall) -> None:
        self.attempt_ended(call, False)

    def _on_late(self, event: Any) -> None:
        call, number = event.value
        if call.awaiting == number:
            self.attempt_ended(call, False)

    def attempt_ended(self, call: PendingCall, worked: bool) -> None:
        """The attempt under way ended usable, or it failed."""
        if self.breaker is not None:
            self.breaker.seen(worked)
        call.end_attempt()
        if not worked:
            self._repeat(call)
            return
        self.good += 1
        if self._throttling is not None:
            self._throttling.accepted(self.env.now)
        self._call_ended(call, True)

    def _repeat(self, call: PendingCall) -> None:
        if call.number >= self.attempts_most or (self._budget is not None and not self._budget.spend()):
            self._call_failed(call)
        elif self.spec.backoff > 0.0:
            after(self.env, self.spec.backoff, self._on_retry, call)
        else:
            self._attempt(call)

    def _on_retry(self, event: Any) -> None:
        call: PendingCall = event.value
        if call.parent.call is call and call.parent.state == CALLING:
            self._attempt(call)

    def _call_failed(self, call: PendingCall) -> None:
        fallback = self.spec.fallback
        self._call_ended(call, fallback > 0.0 and next(self.coins) < fallback)

    def _call_ended(self, call: PendingCall, worked: bool) -> None:
        parent = call.parent
        if parent.call is not call or parent.state != CALLING:
            return  # the caller died or gave up meanwhile
        parent.call = None
        if worked:
            self.caller.next_call(parent)
        else:
            self.caller.finish(parent, False)

    # --- handover

    def _hand_over(self, job: Job) -> bool:
        """Whether a pod of the callee takes the request now."""
        pod: Pod | None = self.callee.pod_with_room() if self.reachable else None
        if pod is None:
            return False
        self.handed += 1
        relay = Handover(job)
        child = Job(relay, 1, job.arrived_at_s, job.expires_at_s)
        child.awaiting = 1 if job.awaiting else 0
        relay.child = child
        job.call = relay
        self.caller.done += 1
        self.caller.leave(job)
        assert job.state == OUTSIDE
        self.callee.offered += 1
        self.callee.let_in(pod, child)
        return True
