"""Where a design is stable, vulnerable, metastable or overloaded, and what moves the border.

The words are those of the field (N. Bronson et al., Metastable Failures in Distributed Systems, HotOS 2021; L. Huang et
al., Metastable Failures in the Wild, OSDI 2022); `docs/stability.md` defines them. Everything is computed on the
bench, with constant demand. It must not know figures, nor the models that judge it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum

from sim.errors import UsageError
from sim.scenario.schema import Scenario
from sim.study.margins import hot_pod_today
from sim.study.stability_bench import Bench, Ending, Loss, System, system_of
from sim.study.stability_faults import OwnTrigger, own_triggers
from sim.study.stability_remedies import remedies

SETTLE_S = 3600.0
"""A system that is not healthy an hour after its trigger has gone counts as collapsed."""
PRECISION = 0.005
"""Of critical loads and smallest triggers, relative."""
LOAD_MAX = 64.0
SHORTEST_TRIGGER_S = 0.05
COLUMNS_MAX, ROWS_MAX = 20, 11


class State(StrEnum):
    """What a cell of the map is."""

    STABLE = "stable"
    """Healthy whatever it starts from, while the capacity is missing."""
    VULNERABLE = "vulnerable"
    """Healthy while the capacity is missing and afterwards, but a congested start stays congested: a larger trigger
    tips it."""
    METASTABLE = "metastable"
    """This loss tips it: it is given back after the repair time, and the outage stays."""
    OVERLOADED = "overloaded"
    """No healthy state while the capacity is missing, not even from empty; healthy again once it is back, or never at
    this load."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One point of the map."""

    load: float
    """Times today's peak."""
    lost: float
    """Share of the pool's capacity."""
    state: State


@dataclass(frozen=True, slots=True)
class Tipping:
    """The shortest loss of one size that tips the system at today's peak."""

    lost: float
    shortest_s: float
    """Infinite if an hour does not."""


@dataclass(frozen=True, slots=True)
class RemedyEffect:
    """What one remedy does to the critical load."""

    name: str
    what: str
    critical_load: float
    highest_load: float


@dataclass(frozen=True)
class Stability:
    """Everything about one architecture; loads are multiples of today's peak."""

    architecture: str
    pool: tuple[str, str]
    """Region and service of the bottleneck, which loses capacity."""
    how: Loss
    lasts_s: float
    """How long the map's losses last."""
    peak_per_s: float
    threshold: float
    critical_load: float
    """The largest load that recovers from the congested state."""
    highest_load: float
    """The largest load that is healthy from empty."""
    cells: tuple[Cell, ...]
    tippings: tuple[Tipping, ...]
    """At today's peak; empty if that is not healthy."""
    recovery: tuple[tuple[float, float], ...]
    """(load, time to recover from the congested state in s, infinite if never)."""
    own: tuple[tuple[OwnTrigger, bool | None], ...]
    """Faults of the scenario that take capacity of the pool, and whether each tips it at today's peak."""
    remedies: tuple[RemedyEffect, ...]
    """Best first."""

    @property
    def today(self) -> State:
        """The state at today's peak with nothing lost."""
        if self.highest_load < 1.0:
            return State.OVERLOADED
        return State.STABLE if self.critical_load >= 1.0 else State.VULNERABLE


def analyse(
    architecture: str,
    scenario: Scenario,
    loads: Sequence[float],
    *,
    how: Loss = Loss.SLOW,
    lasts_s: float = 600.0,
    progress: Callable[[str], None] = lambda _: None,
) -> Stability:
    """The whole analysis of one architecture.

    Parameters
    ----------
    architecture : str
        Its name.
    scenario : Scenario
        As loaded; its faults, operators, calendars and failover do not act.
    loads : sequence of float
        Columns of the map, multiples of today's peak, > 0.
    how : Loss
        Whether capacity is lost by slowness or by pods.
    lasts_s : float
        Length of the losses of the map, s.
    progress : callable
        Told what is being done.

    Raises
    ------
    UsageError
        If nobody sends requests, so that there is no load.
    """
    hot = hot_pod_today(scenario)
    if not hot.region:
        raise UsageError(f"{architecture} has no population, and so no load whose stability could be asked")
    system = system_of(scenario)
    pool = system.blueprint.names.pools.index((hot.region, hot.service))
    losses = _losses(system, pool, how)
    progress(f"{architecture}: map")
    critical, highest = critical_load(system), highest_load(system)
    cells = [Cell(load, lost, state_of(system, load, pool, lost, how, lasts_s)) for load in loads for lost in losses]
    healthy = highest >= 1.0
    progress(f"{architecture}: triggers")
    sizes = [lost for lost in losses if lost > 0.0] if healthy else []
    tippings = [Tipping(lost, shortest_trigger_s(system, 1.0, pool, lost, how)) for lost in sizes]
    own = own_triggers(scenario, hot.region, hot.service)
    verdicts = [tips(system, 1.0, pool, t.lost, t.how, t.lasts_s) if healthy else None for t in own]
    recovery = [(load, _congested(system, load).recovered_s) for load in loads]
    progress(f"{architecture}: remedies")
    return Stability(
        architecture=architecture,
        pool=(hot.region, hot.service),
        how=how,
        lasts_s=lasts_s,
        peak_per_s=system.peak_per_s,
        threshold=system.threshold,
        critical_load=critical,
        highest_load=highest,
        cells=tuple(cells),
        tippings=tuple(tippings),
        recovery=tuple(recovery),
        own=tuple(zip(own, verdicts, strict=True)),
        remedies=tuple(remedy_effects(scenario)),
    )


def columns_for(highest: float) -> tuple[float, ...]:
    """Loads of a map: round steps through today's peak to a quarter beyond `highest`, 20 at most."""
    end = max(1.25 * highest, 1.2) if math.isfinite(highest) else 4.0
    step = next(s for s in (0.05, 0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0) if end / s <= COLUMNS_MAX)
    return tuple(round(step * k, 6) for k in range(1, round(end / step) + 1))


def _losses(system: System, pool: int, how: Loss) -> tuple[float, ...]:
    """Rows of a map: every tenth, or every pod if there are not too many."""
    n = system.blueprint.names.placed[pool] if how is Loss.PODS else ROWS_MAX - 1
    n = min(n, ROWS_MAX - 1)
    return tuple(k / n for k in range(n + 1))


def state_of(system: System, load: float, pool: int, lost: float, how: Loss, lasts_s: float) -> State:
    """The state of one cell of the map.

    Parameters
    ----------
    system : System
        The design.
    load : float
        Times today's peak.
    pool : int
        Which pool loses capacity.
    lost : float
        Share of it, 0 to 1.
    how : Loss
        By slowness or by pods.
    lasts_s : float
        After so long the capacity is given back, s.
    """
    from_empty = _with_loss(system, load, pool, lost, how).settle(SETTLE_S).healthy
    if lost > 0.0 and (not from_empty or not _congested(system, load, pool, lost, how).healthy):
        if tips(system, load, pool, lost, how, lasts_s):
            return State.METASTABLE
        return State.VULNERABLE if from_empty else State.OVERLOADED
    if not from_empty:
        return State.OVERLOADED
    return State.STABLE if lost > 0.0 or _congested(system, load).healthy else State.VULNERABLE


def tips(system: System, load: float, pool: int, lost: float, how: Loss, lasts_s: float) -> bool:
    """Whether a loss of this size and length turns a healthy system into one that stays collapsed."""
    return not after_trigger(system, load, pool, lost, how, lasts_s)[1].healthy and Bench(system, load).settle(
        SETTLE_S
    ).healthy


def after_trigger(
    system: System, load: float, pool: int, lost: float, how: Loss, lasts_s: float
) -> tuple[float, Ending]:
    """Success of first attempts in the moment in which a loss ends, and what comes of it."""
    bench = Bench(system, load)
    bench.settle(SETTLE_S)
    bench.lose(pool, lost, how)
    bench.run_for(lasts_s)
    bench.give_back(pool, how)
    bench.run_for(0.0)
    return bench.success(), bench.settle(SETTLE_S)


def shortest_trigger_s(
    system: System,
    load: float,
    pool: int,
    lost: float,
    how: Loss,
    *,
    longest_s: float = SETTLE_S,
    late: bool = False,
) -> float:
    """The shortest loss of this size that tips the system, s; infinite if `longest_s` does not.

    With `late`, instead: after which requests that come at the moment of its end are still too late.
    """

    def fatal(length_s: float) -> bool:
        if late:
            return after_trigger(system, load, pool, lost, how, length_s)[0] < 0.5
        return tips(system, load, pool, lost, how, length_s)

    if not fatal(longest_s):
        return math.inf
    low_s, high_s = SHORTEST_TRIGGER_S, longest_s
    if fatal(low_s):
        return low_s
    while high_s > low_s * (1.0 + PRECISION):
        middle_s = math.sqrt(low_s * high_s)
        low_s, high_s = (low_s, middle_s) if fatal(middle_s) else (middle_s, high_s)
    return high_s


def critical_load(system: System) -> float:
    """The largest load, in multiples of today's peak, that recovers from the congested state."""
    return _largest(lambda load: _congested(system, load).healthy)


def highest_load(system: System) -> float:
    """The largest load, in multiples of today's peak, that is healthy from empty."""
    return _largest(lambda load: Bench(system, load).settle(SETTLE_S).healthy)


def _largest(works: Callable[[float], bool]) -> float:
    """The largest load that works, if all smaller ones do; infinite beyond LOAD_MAX."""
    low, high = 0.0, 1.0
    while works(high):
        low, high = high, 2.0 * high
        if high > LOAD_MAX:
            return math.inf
    while high - low > PRECISION * high and high > 1e-3:
        middle = 0.5 * (low + high)
        low, high = (middle, high) if works(middle) else (low, middle)
    return low


def remedy_effects(scenario: Scenario) -> list[RemedyEffect]:
    """All remedies, the one that moves the critical load most first."""
    found = []
    for remedy in remedies(scenario):
        system = system_of(remedy.scenario)
        found.append(RemedyEffect(remedy.name, remedy.what, critical_load(system), highest_load(system)))
    return sorted(found, key=lambda effect: -effect.critical_load)


def _with_loss(system: System, load: float, pool: int, lost: float, how: Loss) -> Bench:
    bench = Bench(system, load)
    if lost > 0.0:
        bench.lose(pool, lost, how)
    return bench


def _congested(
    system: System, load: float, pool: int = 0, lost: float = 0.0, how: Loss = Loss.SLOW
) -> Ending:
    bench = _with_loss(system, load, pool, lost, how)
    bench.congest()
    return bench.settle(SETTLE_S)
