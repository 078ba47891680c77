"""Request-level model of one pool: every user request, attempt, timer, queue place, memory byte and OOM kill.

Purpose: an independent witness against which the fluid data plane is tested.  It resolves what the fluid only
averages, so where the two differ the fluid is the one that is wrong.  It must not know the engine: nothing here is
imported from the traffic, world or measures layers, and nothing there imports this module.

Notes
-----
The world is a set of pods, each an M/G/c/K queue with first-come first-served order.  Users arrive in a Poisson stream;
a user sends an attempt, waits until the deadline, and sends the next attempt after a backoff.  An attempt whose client
has given up stays where it is and is still served (servers seldom notice), which is what makes a retry storm last.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import simpy
from numpy.typing import NDArray
from simpy.events import Timeout

from sim.oracles.requests_case import Client, Memory, PoolCase, Restart, Slowdown, pool_case_from_document

__all__ = [
    "Client",
    "Memory",
    "PoolCase",
    "PoolRun",
    "Restart",
    "Slowdown",
    "pool_case_from_document",
    "recovery_time_s",
    "run_pool",
]

_BIN_S = 10.0
_BLOCK = 4096


@dataclass(frozen=True, slots=True)
class PoolRun:
    """What one seeded run showed.

    Attributes
    ----------
    offered, good : int
        User requests that arrived before the horizon, and those of them that got an answer in time.
    attempts, rejected, queued : int
        Attempts sent before the horizon; those turned away; those that had to wait for a slot.
    in_flight_mean, waiting_mean : float
        Time averages over [window_start_s, horizon_s] of requests inside and of requests waiting, all pods.
    in_flight_sample_mean : float
        Mean of the samples of the window.
    oom_times_s : tuple of float
        Times of OOM kills, ascending, s.
    sample_times_s, sample_in_flight, sample_ready, sample_memory_mib : ndarray, shape (n,)
        State every 10 s: time, requests inside, ready pods, memory of the fullest pod (NaN without memory).
    bin_offered, bin_good : ndarray of int, shape (n,)
        First attempts per 10 s of arrival, and those of them that ended good.
    """

    offered: int
    good: int
    attempts: int
    rejected: int
    queued: int
    in_flight_mean: float
    waiting_mean: float
    in_flight_sample_mean: float
    oom_times_s: tuple[float, ...]
    sample_times_s: NDArray[np.float64]
    sample_in_flight: NDArray[np.float64]
    sample_ready: NDArray[np.float64]
    sample_memory_mib: NDArray[np.float64]
    bin_offered: NDArray[np.int64]
    bin_good: NDArray[np.int64]

    @property
    def availability(self) -> float:
        """Share of offered user requests that ended good, [0, 1]."""
        return self.good / self.offered if self.offered else math.nan


def run_pool(case: PoolCase, rng: np.random.Generator) -> PoolRun:
    """Run one trial of a pool, request by request.

    Parameters
    ----------
    case : PoolCase
        The pool, its users and what goes wrong.
    rng : numpy.random.Generator
        The only source of chance; the same state gives the same run.

    Returns
    -------
    PoolRun
        Counts, averages, samples and OOM times.

    Notes
    -----
    Demand goes on after the horizon until every request that arrived before it is settled, so that the last seconds
    are judged under the same load as the rest.  With an infinite deadline nothing is settled late and open requests
    count as not good.
    """
    return _Model(case, rng).run()


def recovery_time_s(run: PoolRun, *, bin_s: float = 10.0, threshold: float = 0.95) -> float | None:
    """Return the end of the last interval whose success share is below a threshold.

    Parameters
    ----------
    run : PoolRun
        The run to look at.
    bin_s : float
        Length of an interval, s, a multiple of 10.
    threshold : float
        Success share that counts as recovered, (0, 1].

    Returns
    -------
    float or None
        Time, s; 0 if no interval is below; None if the last one still is.
    """
    width = round(bin_s / _BIN_S)
    n_bins = len(run.bin_offered) // width
    offered = run.bin_offered[: n_bins * width].reshape(n_bins, width).sum(axis=1)
    good = run.bin_good[: n_bins * width].reshape(n_bins, width).sum(axis=1)
    low = np.flatnonzero(good < threshold * offered)
    if not low.size:
        return 0.0
    return None if low[-1] == n_bins - 1 else float((low[-1] + 1) * bin_s)


class _Attempt:
    """One attempt of one user request; `waiting_client` says that somebody still wants the answer."""

    __slots__ = ("arrived_at_s", "number", "waiting_client")

    def __init__(self, arrived_at_s: float, number: int) -> None:
        self.arrived_at_s = arrived_at_s  # of the user request, not of this attempt
        self.number = number
        self.waiting_client = True


class _Pod:
    """One pod: its slots, its queue and its life."""

    __slots__ = ("busy", "incarnation", "kills_in_row", "queue", "ready", "serving", "share", "started_at_s")

    def __init__(self, share: float) -> None:
        self.share = share
        self.ready = True
        self.started_at_s = 0.0
        self.kills_in_row = 0
        self.incarnation = 0
        self.busy = 0
        self.queue: deque[_Attempt] = deque()
        self.serving: set[_Attempt] = set()


def _stream(draw: Callable[[int], NDArray[np.float64]]) -> Iterator[float]:
    # Single draws from a Generator cost a microsecond each; blocks cost a tenth of that.
    while True:
        yield from draw(_BLOCK).tolist()


class _Model:
    """State and event handlers of one run; SimPy keeps the clock and the order of events."""

    def __init__(self, case: PoolCase, rng: np.random.Generator) -> None:
        self.case = case
        self.client = case.client
        self.env = simpy.Environment()
        self.pods = [_Pod(share) for share in case.load_shares]
        # Separate children so that a longer service phase does not shift the arrivals.
        arrivals, routes, services, startups = rng.spawn(4)
        self.gaps = _stream(arrivals.standard_exponential)
        self.routes = _stream(routes.random)
        self.services = _stream(services.standard_exponential)
        self.startups = _stream(startups.random)
        self.tokens = case.client.budget_burst
        self.offered = self.good = self.attempts = self.rejected = self.queued = 0
        self.n_inside = self.n_waiting = 0
        self.inside_area = self.waiting_area = self.area_at_s = 0.0
        self.oom_times_s: list[float] = []
        self.samples: list[tuple[float, float, float, float]] = []
        n_bins = math.ceil(case.horizon_s / _BIN_S)
        self.bin_offered = [0] * n_bins
        self.bin_good = [0] * n_bins

    def run(self) -> PoolRun:
        """Play the trial and collect what it showed."""
        case = self.case
        self._after(next(self.gaps) / case.rate_per_s, self._on_arrival)
        for index in range(math.ceil(case.horizon_s / _BIN_S)):
            self._after(index * _BIN_S, self._on_sample)
        self.env.run(until=case.horizon_s)
        self._book_area()
        inside_area, waiting_area = self.inside_area, self.waiting_area
        counts = (self.attempts, self.rejected, self.queued, tuple(self.oom_times_s))
        client = case.client
        if math.isfinite(client.deadline_s):
            self.env.run(until=case.horizon_s + client.attempts * (client.deadline_s + client.backoff_s) + 1.0)
        attempts, rejected, queued, oom_times_s = counts
        window_s = case.horizon_s - case.window_start_s
        table = np.array(self.samples, dtype=np.float64)
        in_window = table[:, 0] >= case.window_start_s
        assert self.good <= self.offered <= attempts
        return PoolRun(
            offered=self.offered,
            good=self.good,
            attempts=attempts,
            rejected=rejected,
            queued=queued,
            in_flight_mean=inside_area / window_s,
            waiting_mean=waiting_area / window_s,
            in_flight_sample_mean=float(table[in_window, 1].mean()),
            oom_times_s=oom_times_s,
            sample_times_s=table[:, 0],
            sample_in_flight=table[:, 1],
            sample_ready=table[:, 2],
            sample_memory_mib=table[:, 3],
            bin_offered=np.array(self.bin_offered, dtype=np.int64),
            bin_good=np.array(self.bin_good, dtype=np.int64),
        )

    # --- events

    def _after(self, delay_s: float, handler: Callable[[Any], None], value: Any = None) -> None:
        # A bare timeout with one callback: a process per request would cost three times as much.
        event = Timeout(self.env, delay_s, value)
        assert event.callbacks is not None
        event.callbacks.append(handler)

    def _on_arrival(self, _: Timeout) -> None:
        now_s = self.env.now
        self._after(next(self.gaps) / self.case.rate_per_s, self._on_arrival)
        if now_s < self.case.horizon_s:
            self.offered += 1
            self.bin_offered[int(now_s / _BIN_S)] += 1
        if self.client.budget_share is not None:
            self.tokens = min(self.client.budget_burst, self.tokens + self.client.budget_share)
        self._send(_Attempt(now_s, 1))

    def _on_deadline(self, event: Any) -> None:
        attempt: _Attempt = event.value
        if attempt.waiting_client:
            self._fail(attempt)

    def _on_rejection(self, event: Any) -> None:
        self._fail(event.value)

    def _on_retry(self, event: Any) -> None:
        attempt: _Attempt = event.value
        if self.client.budget_share is not None:
            if self.tokens < 1.0:
                return
            self.tokens -= 1.0
        self._send(_Attempt(attempt.arrived_at_s, attempt.number + 1))

    def _on_completion(self, event: Any) -> None:
        pod, attempt, incarnation = event.value
        if pod.incarnation != incarnation:
            return
        self._book_area()
        self.n_inside -= 1
        pod.serving.discard(attempt)
        if attempt.waiting_client:
            attempt.waiting_client = False
            if attempt.arrived_at_s < self.case.horizon_s:
                self.good += 1
                self.bin_good[int(attempt.arrived_at_s / _BIN_S)] += 1
        if pod.queue:
            self.n_waiting -= 1
            self._serve(pod, pod.queue.popleft())
        else:
            pod.busy -= 1

    def _on_ready(self, event: Any) -> None:
        pod: _Pod = event.value
        assert not pod.ready
        assert pod.busy == len(pod.queue) == len(pod.serving) == 0
        pod.ready = True
        pod.started_at_s = self.env.now

    def _on_sample(self, _: Timeout) -> None:
        ready = [pod for pod in self.pods if pod.ready]
        memory_mib = max((self._memory_mib(pod) for pod in ready), default=math.nan)
        self.samples.append((self.env.now, float(self.n_inside), float(len(ready)), memory_mib))

    # --- what the events do

    def _send(self, attempt: _Attempt) -> None:
        self.attempts += 1
        pod = self._route()
        if pod is None or pod.busy + len(pod.queue) >= self.case.slots + self.case.queue_bound:
            self.rejected += 1
            self._after(self.client.reject_s, self._on_rejection, attempt)
            return
        self._book_area()
        self.n_inside += 1
        if math.isfinite(self.client.deadline_s):
            self._after(self.client.deadline_s, self._on_deadline, attempt)
        if pod.busy < self.case.slots:
            pod.busy += 1
            self._serve(pod, attempt)
        else:
            pod.queue.append(attempt)
            self.queued += 1
            self.n_waiting += 1
        # Memory can reach its limit by the leak alone between two arrivals; at tens of arrivals per second
        # finding that out at the next arrival is late by well under a second.
        if self.case.memory is not None and self._memory_mib(pod) >= self.case.memory.limit_mib:
            self._kill(pod)

    def _route(self) -> _Pod | None:
        ready = [pod for pod in self.pods if pod.ready]
        if not ready:
            return None
        mark = next(self.routes) * sum(pod.share for pod in ready)
        for pod in ready:
            mark -= pod.share
            if mark < 0:
                return pod
        return ready[-1]

    def _serve(self, pod: _Pod, attempt: _Attempt) -> None:
        mean_s = self.case.service_mean_s
        now_s = self.env.now
        for slowdown in self.case.slowdowns:
            if slowdown.start_s <= now_s < slowdown.end_s:
                mean_s *= slowdown.factor
        service_s = mean_s if self.case.service_law == "constant" else mean_s * next(self.services)
        pod.serving.add(attempt)
        self._after(service_s, self._on_completion, (pod, attempt, pod.incarnation))

    def _fail(self, attempt: _Attempt) -> None:
        attempt.waiting_client = False
        if attempt.number < self.client.attempts:
            self._after(self.client.backoff_s, self._on_retry, attempt)

    def _kill(self, pod: _Pod) -> None:
        now_s = self.env.now
        self.oom_times_s.append(now_s)
        self._book_area()
        lost = [*pod.serving, *pod.queue]
        self.n_inside -= len(lost)
        self.n_waiting -= len(pod.queue)
        pod.serving, pod.queue, pod.busy = set(), deque(), 0
        pod.ready = False
        pod.incarnation += 1
        restart = self.case.restart
        if now_s - pod.started_at_s >= restart.reset_after_s:
            pod.kills_in_row = 0
        delay_s = restart.delays_s[min(pod.kills_in_row, len(restart.delays_s) - 1)]
        pod.kills_in_row += 1
        spread = restart.startup_spread_share * (2.0 * next(self.startups) - 1.0)
        self._after(delay_s + restart.startup_s * (1.0 + spread), self._on_ready, pod)
        for attempt in lost:
            if attempt.waiting_client:
                self._fail(attempt)

    def _memory_mib(self, pod: _Pod) -> float:
        memory = self.case.memory
        if memory is None:
            return math.nan
        n_inside = pod.busy + len(pod.queue)
        age_s = self.env.now - pod.started_at_s
        return memory.base_mib + memory.per_request_mib * n_inside + memory.leak_mib_per_s * age_s

    def _book_area(self) -> None:
        now_s = self.env.now
        span_s = now_s - max(self.area_at_s, self.case.window_start_s)
        if span_s > 0:
            self.inside_area += self.n_inside * span_s
            self.waiting_area += self.n_waiting * span_s
        self.area_at_s = now_s
