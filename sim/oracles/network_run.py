"""What a request-level run of a network starts from and what it shows: frozen plain data.

It must not know the engine, nor how the model works.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "BIN_S",
    "CallStart",
    "ClientStart",
    "Curves",
    "EdgeTotals",
    "NetworkStart",
    "PodStart",
    "PoolTotals",
    "PopulationTotals",
    "Remembered",
    "RequestRun",
]

BIN_S = 10.0
"""Width of the bins by arrival and distance of the samples, s."""

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class PodStart:
    """State of one pod when a run begins.

    Parameters
    ----------
    inside : int
        Requests inside, >= 0.
    awaited : int or None
        How many of them somebody still waits for, the newest ones; None: all.
    attempts : tuple of (str, int, float) or None
        Instead of `awaited`, where it is known: population, number of the attempt, and time (s) that is left to its
        deadline, oldest first.
    ready : bool
        Whether it serves.
    ready_in_s : float or None
        If it does not serve: when it will, s from the begin; None: not before the script starts it.
    used_mib : float or None
        Memory in use apart from the requests, MiB; None: that of a pod just started.
    age_s : float
        Time since it got ready, s (caches, and the memory of CrashLoopBackOff).
    crashes : int
        Crashes in a row that CrashLoopBackOff remembers.
    limit_mib : float or None
        Memory limit, MiB; None: that of the scenario.
    wait_s : float
        How long the request at the head of its line has waited, s: callers do not wait for what is older than their
        timeout.
    """

    inside: int = 0
    awaited: int | None = None
    ready: bool = True
    ready_in_s: float | None = None
    used_mib: float | None = None
    age_s: float = math.inf
    crashes: int = 0
    limit_mib: float | None = None
    attempts: tuple[tuple[str, int, float], ...] | None = None
    wait_s: float = 0.0


@dataclass(frozen=True, slots=True)
class ClientStart:
    """A client between two attempts when a run begins, or one whose attempt is lost.

    Parameters
    ----------
    number : int
        Of the attempt, >= 1.
    in_s : float
        When, s from the begin.
    fails : bool
        True: the attempt is under way and fails then. False: it is sent then.
    """

    number: int
    in_s: float
    fails: bool = False


@dataclass(frozen=True, slots=True)
class CallStart:
    """A call under way when a run begins.

    Parameters
    ----------
    caller_pod, callee : str
        Pod whose request calls, and the service that it calls.
    number : int
        Of the attempt that is under way, or that comes next.
    in_s : float
        Time that is left to it, or until it is sent, s.
    pod : str or None
        Where the request is that the caller waits for; None: nowhere, so that the attempt fails when its time is over.
    pauses : bool
        It is sent then.
    n_left : int
        Calls to the same service that come after this one.
    """

    caller_pod: str
    callee: str
    number: int
    in_s: float
    pod: str | None = None
    pauses: bool = False
    n_left: int = 0


@dataclass(frozen=True, slots=True)
class Remembered:
    """What users or callers know of their past attempts when a run begins; None: nothing.

    Parameters
    ----------
    wanted, usable : float or None
        Attempts that throttling remembers, and those of them that ended usable.
    tokens : float or None
        In the bucket of the retry budget.
    seen, share : float or None
        Attempts that a closed breaker remembers, and the share of them that ended usable.
    """

    wanted: float | None = None
    usable: float | None = None
    tokens: float | None = None
    seen: float | None = None
    share: float | None = None


@dataclass(frozen=True, slots=True)
class NetworkStart:
    """State of the network when a run begins; what is not named is empty and warm.

    Parameters
    ----------
    at_s : float
        Time of the begin, s since the scenario's start; all times of script and result count from the latter too.
    pods : mapping
        By pod name. A pod that is not named is ready and empty if it is placed, else absent.
    retrying : mapping
        By population: clients that will send attempt 2, 3, ... (their last one has failed or will).
    retry_within_s : mapping
        By population: they do so spread evenly over these times (attempt 2, 3, ...), s. Default: the backoff.
    clients : mapping
        By population: clients of whom more is known than that.
    calls : tuple of CallStart or None
        All calls under way; None: as many as the requests inside the callees say.
    booked : mapping
        By population: requests inside that somebody else has counted as good already, besides those that are handed
        over by `PodStart.awaited` alone.
    shares : mapping
        By population and region: share of the clients that go there now.
    breakers : mapping
        By (region, caller, callee): seconds for which that breaker stays open; 0 is half-open.
    remembered : mapping
        By population, and by (region, caller, callee): what they know of their attempts.
    """

    at_s: float = 0.0
    pods: Mapping[str, PodStart] = field(default_factory=dict)
    retrying: Mapping[str, tuple[int, ...]] = field(default_factory=dict)
    retry_within_s: Mapping[str, tuple[float, ...]] = field(default_factory=dict)
    clients: Mapping[str, tuple[ClientStart, ...]] = field(default_factory=dict)
    calls: tuple[CallStart, ...] | None = None
    booked: Mapping[str, int] = field(default_factory=dict)
    shares: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    breakers: Mapping[tuple[str, str, str], float] = field(default_factory=dict)
    remembered: Mapping[str | tuple[str, str, str], Remembered] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class PopulationTotals:
    """Requests of a population that arrived within the run, before the horizon: offered = good + failed + open.

    Attributes
    ----------
    offered, good, first_good, failed, open : int
        Requests; those that ended usable, with the first attempt; that failed for good; that had not ended.
    attempts, throttled, by_provider : int
        Attempts wanted before the horizon; those of them not sent by throttling; those accepted by the provider.
    ended_good, ended_failed : int
        Requests that ended before the horizon, those from before the run included; those that the start has as good
        already (`NetworkStart.booked`) are taken off.
    """

    offered: int
    good: int
    first_good: int
    failed: int
    open: int
    attempts: int
    throttled: int
    by_provider: int
    ended_good: int
    ended_failed: int

    @property
    def availability(self) -> float:
        """Good requests as a share of those that ended, [0, 1]; NaN if none did."""
        ended = self.good + self.failed
        return self.good / ended if ended else math.nan

    @property
    def n_ended(self) -> int:
        """Requests that ended within the run, whenever they came."""
        return self.ended_good + self.ended_failed

    @property
    def served(self) -> float:
        """Good ones as a share of those, [0, 1]; NaN if none did."""
        return min(max(self.ended_good / self.n_ended, 0.0), 1.0) if self.n_ended > 0 else math.nan


@dataclass(frozen=True, slots=True)
class PoolTotals:
    """What a pool (a service in a region) saw before the horizon.

    Attributes
    ----------
    offered, rejected, queued, done, failed, left, cancelled, dropped, lost : int
        Requests sent to it; turned away; that had to wait for a slot; answered well; answered with an error; that ran
        out of patience; taken back by their caller; dropped as too late; lost with a pod.
    inside_mean, waiting_mean, ready_mean : float
        Time averages over [window start, horizon] of requests inside and of those waiting for a slot, all pods, and of
        ready pods.
    """

    offered: int
    rejected: int
    queued: int
    done: int
    failed: int
    left: int
    cancelled: int
    dropped: int
    lost: int
    inside_mean: float
    waiting_mean: float
    ready_mean: float

    @property
    def busy_mean(self) -> float:
        """Slots in use, time average over the window."""
        return self.inside_mean - self.waiting_mean


@dataclass(frozen=True, slots=True)
class EdgeTotals:
    """Calls of one service to another in one region, before the horizon.

    Attributes
    ----------
    calls, attempts, good, blocked, throttled, hedged, handed : int
        Calls wanted; attempts wanted; attempts that ended usable; calls not made because the breaker was open;
        attempts not sent by throttling; second copies sent; requests handed over.
    opened_at_s : tuple of float
        When the breaker opened, s.
    """

    calls: int
    attempts: int
    good: int
    blocked: int
    throttled: int
    hedged: int
    handed: int
    opened_at_s: tuple[float, ...]


@dataclass(frozen=True, slots=True)
class Curves:
    """Samples every `BIN_S`; the rates and shares of a sample are those of the interval that ends with it.

    Attributes
    ----------
    times_s : ndarray, shape (n,)
        Times of the samples, s since the scenario's start.
    demand, attempts_per_s, success : mapping of ndarray, shape (n,)
        By population: requests per second that arrived; attempts per second; usable share of attempts that ended
        (NaN if none did).
    ready, in_flight, memory_mib : mapping of ndarray, shape (n,)
        By pool `region/service`: ready pods; requests inside; memory of the fullest ready pod (NaN without).
    """

    times_s: Floats
    demand: Mapping[str, Floats]
    attempts_per_s: Mapping[str, Floats]
    success: Mapping[str, Floats]
    ready: Mapping[str, Floats]
    in_flight: Mapping[str, Floats]
    memory_mib: Mapping[str, Floats]


@dataclass(frozen=True, slots=True)
class RequestRun:
    """What one seeded run showed.

    Attributes
    ----------
    start_s, horizon_s : float
        Begin and end, s since the scenario's start.
    populations : mapping
        Totals by population.
    pools : mapping
        Totals by pool `region/service`.
    edges : mapping
        Totals by (region, caller, callee).
    bin_offered, bin_good, bin_first_good : mapping of ndarray of int, shape (n,)
        By population: requests by time of arrival in bins of `BIN_S` from the start, those of them that ended good,
        and those that did with the first attempt.
    curves : Curves
        Samples.
    oom_kills, liveness_kills : tuple of (float, str)
        Time (s) and pod of each kill, ascending.
    """

    start_s: float
    horizon_s: float
    populations: Mapping[str, PopulationTotals]
    pools: Mapping[str, PoolTotals]
    edges: Mapping[tuple[str, str, str], EdgeTotals]
    bin_offered: Mapping[str, NDArray[np.int64]]
    bin_good: Mapping[str, NDArray[np.int64]]
    bin_first_good: Mapping[str, NDArray[np.int64]]
    curves: Curves
    oom_kills: tuple[tuple[float, str], ...]
    liveness_kills: tuple[tuple[float, str], ...]

    @property
    def availability(self) -> float:
        """Good requests as a share of those that ended, all populations, [0, 1]; NaN if none did."""
        good = sum(totals.good for totals in self.populations.values())
        ended = good + sum(totals.failed for totals in self.populations.values())
        return good / ended if ended else math.nan
