"""Unavailability and failure probabilities of a reliability model that plain sampling does not reach.

Chooses a method, tunes it on a pilot, and goes on until an interval is narrow enough or the work is spent. Histories
are numbered, so that the same call gives the same numbers. `plain` is splitting with nothing to split, in the same
compiled loop.
"""

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import numpy as np
from numpy.typing import NDArray

from sim.errors import UsageError
from sim.estimate import Estimate, mean_interval, ratio_interval, weighted_mean
from sim.study.stopping import relative_half_width

if TYPE_CHECKING:
    from collections.abc import Callable

    from sim.reliability.machine import Gate, Machine
    from sim.reliability.rare_splitting import Histories

Method = Literal["auto", "plain", "splitting", "biasing"]
METHODS = ("auto", "plain", "splitting", "biasing")
Floats = NDArray[np.float64]
PILOT = 2_000
"""Histories by which each splitting factor is chosen, at least ..."""
PILOT_RISES = 20
"""... and as many more as it takes to see so many rises to the level ..."""
PILOT_EVENTS = 2_000_000
"""... but no more once it has cost so many events."""
FIRST_LOOK = 1_000
"""Histories before the first look at the interval; then twice as many, and so on."""
MOST_RETRIALS = 50_000
"""Largest splitting factor of one level."""
NUMBERS = 2**38
"""Histories have numbers below this; pilots take them from the upper half."""


@dataclass(frozen=True)
class RareEstimate:
    """An estimate and what it took."""

    estimate: Estimate
    method: str
    n_histories: int
    n_events: int
    """Events simulated, those of pilots and retrials included: the work."""
    factors: tuple[int, ...] = ()
    """Splitting factors by level."""


@dataclass(frozen=True)
class Effort:
    """When to stop.

    Parameters
    ----------
    wanted : half-width of the interval over the estimate, positive.
    confidence : in (0.5, 1).
    most_events : work at which it stops at the latest.
    """

    wanted: float = 0.1
    confidence: float = 0.95
    most_events: float = 1e9


def long_run_unavailability(
    machine: "Machine", gate: "Gate", method: Method = "auto", effort: Effort | None = None
) -> RareEstimate:
    """Estimate the share of time that a system is down in the long run.

    Parameters
    ----------
    machine : Machine
        Complete, with repairs, so that the state of the start comes back.
    gate : Gate
        The system: down while the gate is.
    method : str
        `auto` is biasing where every law is exponential, else splitting.
    effort : Effort, optional
        When to stop.

    Returns
    -------
    RareEstimate
        By regenerative cycles: mean time down over mean length. Refused (`seen` False, with a note) where weights or
        events do not carry it.

    Raises
    ------
    UsageError
        If the method cannot be used for this model, with the reason.
    """
    effort = effort or Effort()
    from sim.reliability.rare_splitting import refuse_cycles

    model = machine.compile()
    problem = refuse_cycles(model)
    if problem:
        raise UsageError(f"there are no regenerative cycles: {problem}; ask for a horizon instead of the long run")
    if _method_of(method, machine, long_run=True) == "biasing":
        return _by_biasing(machine, gate, effort)
    return _by_splitting(machine, gate, effort, (method == "plain", 0, math.inf))


def failure_probability(
    machine: "Machine", gate: "Gate", horizon: float, method: Method = "auto", effort: Effort | None = None
) -> RareEstimate:
    """Estimate the probability that a system is down at least once before the horizon, from everything as at the start.

    Parameters
    ----------
    horizon : float
        In the unit of the machine's laws, positive.
    machine, gate, method, effort
        See `long_run_unavailability`; `auto` is splitting.

    Raises
    ------
    UsageError
        If the method cannot be used: biasing over a horizon of many cycles degenerates and is not offered.
    """
    return _by_splitting(machine, gate, effort or Effort(), (_is_plain(method, machine), 2, horizon))


def expected_downtime(
    machine: "Machine", gate: "Gate", horizon: float, method: Method = "auto", effort: Effort | None = None
) -> RareEstimate:
    """Estimate the expected time that a system is down before the horizon; see `failure_probability`."""
    return _by_splitting(machine, gate, effort or Effort(), (_is_plain(method, machine), 1, horizon))


def _is_plain(method: Method, machine: "Machine") -> bool:
    return _method_of(method, machine, long_run=False) == "plain"


def _method_of(method: Method, machine: "Machine", *, long_run: bool) -> str:
    from sim.reliability.rare_biasing import failure_events, refuse_biasing

    if method not in METHODS:
        raise UsageError(f"got method {method!r}, expected auto, plain, splitting or biasing")
    if method in ("plain", "splitting") or (method == "auto" and not long_run):
        return "splitting" if method == "auto" else method
    if not long_run:
        raise UsageError(
            "biasing is for the long run: over a horizon of many cycles its weights degenerate; use splitting"
        )
    model = machine.compile()
    problem = refuse_biasing(model, failure_events(machine, model))
    if problem and method == "biasing":
        raise UsageError(f"biasing is not possible: {problem}")
    return "splitting" if problem else "biasing"


def _by_splitting(machine: "Machine", gate: "Gate", effort: Effort, plan: tuple[bool, int, float]) -> RareEstimate:
    from sim.reliability.rare_levels import levels_of
    from sim.reliability.rare_splitting import CYCLE, FIRST, split_histories

    plain, mode, horizon = plan
    if not horizon > 0:
        raise UsageError(f"the horizon must be positive; got {horizon!r}")
    model, levels = machine.compile(), levels_of(machine, gate)
    factors = np.ones(int(levels.distance[0]) + 1, dtype=np.int64)

    def split(numbers: NDArray[np.int64]) -> "Histories":
        return split_histories(model, levels, factors, numbers, mode=mode, horizon=horizon)

    n_events = 0 if plain else _tune(factors, split)
    down, lasted, failures = (np.empty(0) for _ in range(3))
    n = FIRST_LOOK
    while True:
        numbers = np.arange(down.size, n, dtype=np.int64)
        found = split(numbers)
        n_events += found.n_events
        down, lasted = np.append(down, found.down), np.append(lasted, found.lasted)
        failures = np.append(failures, found.failures)
        if mode == CYCLE:
            estimate = ratio_interval(down, lasted, confidence=effort.confidence, bounds=(0.0, 1.0))
        else:
            values = failures if mode == FIRST else down
            # A history's weighted count may exceed 1; what was never seen is bounded by its largest possible value.
            bounds = (0.0, 1.0 if mode == FIRST and not values.any() else math.inf)
            estimate = mean_interval(values, confidence=effort.confidence, bounds=bounds)
        if relative_half_width(estimate, of_rest=False) <= effort.wanted or n_events >= effort.most_events:
            return RareEstimate(
                estimate, "plain" if plain else "splitting", n, n_events, tuple(int(factor) for factor in factors)
            )
        n *= 2


def _tune(factors: NDArray[np.int64], split: "Callable[[NDArray[np.int64]], Histories]") -> int:
    """Set the factors by pilots, level after level; return the work.

    With p(k) the chance of rising from level k - 1 to k, factor k is 1 / sqrt(p(k) p(k + 1)) (Villen-Altamirano 1998:
    the best for thresholds that are given). Failure itself is not split.
    """
    n_events, first, top = 0, NUMBERS // 2, len(factors) - 1
    chances = np.ones(top + 2)
    for k in range(1, top + 1):
        below = rises = 0.0
        n, spent = PILOT, 0
        while True:
            found = split(np.arange(first, first + n, dtype=np.int64))
            first, spent = first + n, spent + found.n_events
            below += float(found.rises[k - 1])
            rises += float(found.rises[k]) if k < top else float(found.failures.sum())
            # Rises are weighted; how often it was seen is what says how well the chance is known.
            if rises * np.prod(factors[:k]) >= PILOT_RISES or spent >= PILOT_EVENTS:
                break
            n *= 2
        n_events += spent
        chances[k] = min(rises / below, 1.0) if rises > 0 else 1.0 / MOST_RETRIALS
        if k < top:
            factors[k] = min(round(1.0 / chances[k]), MOST_RETRIALS)
    for k in range(1, top):
        factors[k] = min(max(round(1.0 / math.sqrt(chances[k] * chances[k + 1])), 1), MOST_RETRIALS)
    return n_events


def _by_biasing(machine: "Machine", gate: "Gate", effort: Effort) -> RareEstimate:
    """Time down by biased cycles, length by plain ones, independent of each other."""
    from sim.randomness import key_of
    from sim.reliability.rare_biasing import biased_cycles, failure_events
    from sim.reliability.rare_levels import levels_of
    from sim.reliability.rare_splitting import CYCLE, split_histories

    model, levels = machine.compile(), levels_of(machine, gate)
    failing = failure_events(machine, model)
    key = key_of(machine.seed, "biasing", "next event")
    ones = np.ones(int(levels.distance[0]) + 1, dtype=np.int64)
    down, weights, lasted = (np.empty(0) for _ in range(3))
    n, n_events = FIRST_LOOK, 0
    while True:
        numbers = np.arange(down.size, n, dtype=np.int64)
        biased = biased_cycles(model, levels, failing, numbers, key)
        plain = split_histories(model, levels, ones, numbers, mode=CYCLE)
        n_events += biased.n_events + plain.n_events
        down, weights = np.append(down, biased.down), np.append(weights, biased.weights)
        lasted = np.append(lasted, plain.lasted)
        time_down = weighted_mean(down, weights, confidence=effort.confidence, bounds=(0.0, math.inf))
        length = mean_interval(lasted, confidence=effort.confidence, bounds=(0.0, math.inf))
        estimate = _quotient(time_down, length)
        if relative_half_width(estimate, of_rest=False) <= effort.wanted or n_events >= effort.most_events:
            return RareEstimate(estimate, "biasing", n, n_events)
        n *= 2


def _quotient(top: Estimate, bottom: Estimate) -> Estimate:
    """Quotient of two independent estimates: squares of the arms of logarithms add up (Zou and Donner 2008)."""
    mean = top.mean / bottom.mean
    if not top.seen or top.mean <= 0.0:
        return Estimate(min(mean, 1.0), 0.0, 1.0, top.confidence, top.n, seen=False, note=top.note or "nothing seen")
    up = math.hypot(math.log(top.high / top.mean), math.log(bottom.mean / bottom.low))
    low = 0.0
    if top.low > 0.0:
        low = mean * math.exp(-math.hypot(math.log(top.mean / top.low), math.log(bottom.high / bottom.mean)))
    return Estimate(mean, low, min(mean * math.exp(up), 1.0), top.confidence, top.n, note=top.note)
