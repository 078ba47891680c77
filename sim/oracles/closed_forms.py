"""Exact formulas of dependability, memory and productivity, to hold the simulator against.

Textbook results and none of the engine: imports NumPy and SciPy only, and must never import a model. Queues are in
`queue_forms`. Time has no fixed unit here; rates are per the same unit as times. Ids such as C01 name the entries of
the published truths that the tests compare with.
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from scipy import optimize, stats

# --- repairable units ---------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Unit:
    """One repairable unit, exponential up and down times (C01).

    Parameters
    ----------
    failure_rate, repair_rate : float
        Per unit of time, positive.

    Notes
    -----
    Two-state Markov chain; e.g. Trivedi (2016), Probability and Statistics, 2nd ed., section 8.1.
    """

    failure_rate: float
    repair_rate: float

    @property
    def rate(self) -> float:
        """Relaxation rate: failure rate + repair rate."""
        return self.failure_rate + self.repair_rate

    @property
    def availability(self) -> float:
        """Steady-state availability."""
        return self.repair_rate / self.rate

    @property
    def unavailability(self) -> float:
        """1 - availability, without cancellation."""
        return self.failure_rate / self.rate

    @property
    def failures_per_time(self) -> float:
        """Long-run failures per unit of time."""
        return self.failure_rate * self.availability

    def point_availability(self, time: float) -> float:
        """Return P(up at `time`), up at 0."""
        return self.availability + self.unavailability * math.exp(-self.rate * time)

    def interval_availability(self, horizon: float) -> float:
        """Return the expected share of up time in [0, horizon], up at 0."""
        return self.availability - self.unavailability * math.expm1(-self.rate * horizon) / (self.rate * horizon)

    def expected_downtime(self, horizon: float) -> float:
        """Return the expected down time in [0, horizon], up at 0."""
        return horizon * (1.0 - self.interval_availability(horizon))

    def time_average_variance(self, horizon: float) -> float:
        """Return the variance of the share of up time in [0, horizon] from stationarity.

        Twice the integral of the autocovariance A U exp(-g t) over the triangle, g = `rate`.
        """
        x = self.rate * horizon
        return 2.0 * self.availability * self.unavailability / x * (1.0 + math.expm1(-x) / x)

    def downtime_variance(self, horizon: float) -> float:
        """Return the variance of the down time in [0, horizon], up at 0.

        E[D^2] is twice the integral over s < t of P(down at s) P(down at t | down at s), integrated by hand:
        P(down at s) = U (1 - exp(-g s)) and P(down at t | down at s) = U + A exp(-g (t - s)).
        """
        a, u, g = self.availability, self.unavailability, self.rate
        x = g * horizon
        decay = math.exp(-x)
        both_down = 0.5 * x * x - x + 1.0 - decay  # integral of (1 - exp(-s)) over s < t < x
        relaxing = x - 2.0 + decay * (x + 2.0)  # the same with exp(-(t - s)) beside it
        second_moment = 2.0 * u * (u * both_down + a * relaxing) / (g * g)
        return second_moment - self.expected_downtime(horizon) ** 2


@dataclass(frozen=True, slots=True)
class Redundancy:
    """Steady state of a group of units (C02).

    Parameters
    ----------
    unavailability : float
        Long-run share of time with too few units.
    failures_per_time : float
        Long-run entries into that state.
    mean_outage : float
        Mean stay in it.
    mttf : float
        Mean time from all up to the first entry.
    """

    unavailability: float
    failures_per_time: float
    mean_outage: float
    mttf: float


def k_of_n(n: int, k: int, unit: Unit, *, crews: int, fail_while_down: bool = True) -> Redundancy:
    """Return the steady state of a group of n like units of which k must be up.

    Parameters
    ----------
    n, k : int
        0 < k <= n.
    unit : Unit
    crews : int
        Repairs done at once; n is independent repair, 1 a single crew.
    fail_while_down : bool
        False: surviving units stop failing while the group is down.

    Notes
    -----
    Birth-death chain in the number of failed units (Trivedi 2016, section 8.2). The mean time from all up to the first
    of n - k + 1 failures is the sum of the mean first passages upwards.
    """
    births = [(n - i) * unit.failure_rate for i in range(n)]
    deaths = [min(i, crews) * unit.repair_rate for i in range(1, n + 1)]
    limit = n - k  # most failed units with the group up
    if not fail_while_down:
        births[limit + 1 :] = [0.0] * (n - limit - 1)
    probs = birth_death(births, deaths)
    unavailability = math.fsum(probs[limit + 1 :])
    entries = float(probs[limit]) * births[limit]
    passage = mttf = 0.0
    for i in range(limit + 1):
        passage = (1.0 + (deaths[i - 1] * passage if i else 0.0)) / births[i]
        mttf += passage
    return Redundancy(unavailability, entries, unavailability / entries, mttf)


def k_of_n_independent(n: int, k: int, availability: float) -> float:
    """Return P(at least k of n independent units are up), the binomial sum (C02, C05, B03)."""
    return math.fsum(math.comb(n, i) * availability**i * (1.0 - availability) ** (n - i) for i in range(k, n + 1))


def birth_death(births: Sequence[float], deaths: Sequence[float]) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return the steady-state probabilities of states 0..n of a birth-death chain.

    Parameters
    ----------
    births, deaths : sequence of float
        Shape (n,): rate from state i to i + 1, and from i + 1 to i.

    Notes
    -----
    Products are taken as sums of logarithms, so that hundreds of states do not overflow.
    """
    with np.errstate(divide="ignore"):  # a birth rate of 0 ends the chain: its logarithm is -inf, its weight 0
        weights = np.concatenate([[0.0], np.cumsum(np.log(births) - np.log(deaths))])
    probs = np.exp(weights - weights.max())
    return np.asarray(probs / probs.sum(), dtype=np.float64)


# --- downtime over a horizon --------------------------------------------------------------------------


def downtime_cdf_exponential(downtime: float, horizon: float, unit: Unit) -> float:
    """Return P(down time in [0, horizon] <= downtime), up at 0, exponential up and down times (C15).

    Notes
    -----
    Takacs, L. (1957), Acta Math. Acad. Sci. Hungar. 8, 169-191: the number of failures in horizon - downtime of up
    time is Poisson, and that many repairs take at most `downtime`.
    """
    if downtime < 0:
        return 0.0
    if downtime >= horizon:
        return 1.0
    mean = unit.failure_rate * (horizon - downtime)
    n = np.arange(1, int(mean + 12.0 * math.sqrt(mean)) + 40)
    repaired = stats.gamma.cdf(downtime * unit.repair_rate, n)
    return float(math.exp(-mean) + np.dot(stats.poisson.pmf(n, mean), repaired))


def downtime_quantile_exponential(level: float, horizon: float, unit: Unit) -> float:
    """Return the quantile of the down time in [0, horizon], up at 0; 0 where no downtime is likelier (C15)."""
    if level <= math.exp(-unit.failure_rate * horizon):
        return 0.0
    return float(
        optimize.brentq(
            lambda x: downtime_cdf_exponential(x, horizon, unit) - level, 0.0, horizon * (1 - 1e-12), xtol=1e-13
        )
    )


def downtime_cdf_constant(downtime: float, horizon: float, *, failure_rate: float, repair: float) -> float:
    """Return P(down time in [0, horizon] <= downtime), up at 0, every repair as long as `repair` (C15)."""
    if downtime >= horizon:
        return 1.0
    return float(stats.poisson.cdf(math.floor(downtime / repair), failure_rate * (horizon - downtime)))


def renewal_availability(mean_up: float, mean_down: float) -> float:
    """Return the long-run availability of an alternating renewal process: depends on the means only (C16)."""
    return mean_up / (mean_up + mean_down)


# --- regions ------------------------------------------------------------------------------------------


def any_of_two(unit: Unit) -> float:
    """Return the unavailability of two independent units of which one suffices (C05)."""
    return unit.unavailability**2


# --- memory -------------------------------------------------------------------------------------------


def in_flight_at_oom(limit: float, base: float, per_request: float) -> float:
    """Return the requests in flight at which a pod reaches its memory limit (C22); all in the same unit."""
    return (limit - base) / per_request


@dataclass(frozen=True, slots=True)
class LeakCycle:
    """A pod that leaks, is OOM-killed and restarts (C23).

    Parameters
    ----------
    time_to_oom : float
        From ready to killed.
    availability : float
        Share of time ready.
    kills_per_time : float
        Long-run kills per unit of time.
    """

    time_to_oom: float
    availability: float
    kills_per_time: float


def leak_cycle(start: float, limit: float, leak_rate: float, restart: float) -> LeakCycle:
    """Return the cycle of a leak of constant rate.

    Parameters
    ----------
    start, limit : float
        Memory after a restart, and at the kill.
    leak_rate : float
        Memory per unit of time.
    restart : float
        From killed to ready.
    """
    up = (limit - start) / leak_rate
    return LeakCycle(up, up / (up + restart), 1.0 / (up + restart))


# --- productivity, back-off, shared dependencies ------------------------------------------------------


def working_share(working_hours: float = 40.0, week_hours: float = 168.0) -> float:
    """Return the expected share of an outage, uniform in time, that falls into working hours (C26)."""
    return working_hours / week_hours


def yearly_productivity_cost(unavailability: float, people: float, loss: float, hourly_cost: float) -> float:
    """Return the expected cost per year of 365 days of outages uniform in time, 40 of 168 hours worked (C26)."""
    return unavailability * 365 * 24 * working_share() * people * loss * hourly_cost


def overlap(start: float, end: float, open_from: float, open_to: float) -> float:
    """Return the length of [start, end] within [open_from, open_to] (C26: an outage in a working day)."""
    return max(min(end, open_to) - max(start, open_from), 0.0)


def crash_loop_delays_s(first_s: float = 10.0, cap_s: float = 300.0) -> Iterator[float]:
    """Yield the delays before restart 1, 2, 3, ... of a crashing container (B02).

    The first restart is immediate, then 10 s doubling to 300 s: Kubernetes documentation, pod life cycle.
    """
    yield 0.0
    delay_s = first_s
    while True:
        yield min(delay_s, cap_s)
        delay_s = min(delay_s * 2.0, cap_s)


def shared_dependencies_unavailability(unavailabilities: Sequence[float]) -> float:
    """Return the unavailability of a service that needs all of these, each counted once however deep (B04)."""
    return -math.expm1(math.fsum(math.log1p(-u) for u in unavailabilities))


def downtime_per_year_min(unavailability: float) -> float:
    """Return minutes of downtime in a year of 365 days (B03, B04)."""
    return unavailability * 365 * 24 * 60
