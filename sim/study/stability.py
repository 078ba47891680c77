"""Where a design is stable, vulnerable, metastable or overloaded, and what moves the border.

The words are those of the field (N. Bronson et al., Metastable Failures in Distributed Systems, HotOS 2021; L. Huang et
al., Metastable Failures in the Wild, OSDI 2022); `docs/stability.md` defines them. Everything is computed on the
bench, with constant demand. It must not know figures, nor the models that judge it.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from enum import StrEnum

from sim.errors import UsageError
from sim.scenario.schema import Scenario
from sim.study.flows import holding_s
from sim.study.margins import hot_pod_today, pool_kill_time_s, utilisations
from sim.study.stability_bench import Bench, Ending, Loss, System, system_of
from sim.study.stability_faults import OwnTrigger, own_triggers
from sim.study.stability_remedies import remedies

SETTLE_S = 1800.0
"""A system that is not healthy half an hour after its trigger has gone counts as collapsed."""
LONGEST_TRIGGER_S = 3600.0
PRECISION = 0.005
"""Of critical loads and smallest triggers, relative."""
LOAD_MAX = 64.0
DRAWS = 3
"""Runs that vote on a verdict in which chance has a part; `OWN_DRAWS` for the scenario's own faults."""
OWN_DRAWS = 9
HALF = 0.5
SHORTEST_TRIGGER_S = 0.05
COLUMNS_MAX, ROWS_MAX = 24, 11


@dataclass(frozen=True, slots=True)
class Blow:
    """A loss of capacity."""

    pool: int
    lost: float
    """Share of the pool's capacity, 0 to 1; with `slow` of its pods."""
    how: Loss = Loss.SLOW
    lasts_s: float = 600.0
    slow: float | None = None
    """Times as long as own work takes in these pods; None: in all pods, as long as the loss needs."""


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
    """No healthy state that lasts while the capacity is missing, not even from empty; healthy again once it is back, or
    never at this load."""


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
    chance_load: float
    """The largest load at which the memory limit of no pod is reached by chance alone within `SETTLE_S`; above
    it a cell's verdict hangs on chance. Infinite where every queue fits."""
    cells: tuple[Cell, ...]
    tippings: tuple[Tipping, ...]
    """At today's peak; empty if that is not healthy."""
    recovery: tuple[tuple[float, float], ...]
    """(load, time to recover from the congested state in s, infinite if never)."""
    own: tuple[tuple[OwnTrigger, float], ...]
    """Faults of the scenario that take capacity of the pool, and in which share of its occurrences each tips it at
    today's peak (not a number if the peak is not healthy)."""
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
    blows = [Blow(pool, lost, how, lasts_s) for lost in _losses(system, pool, how)]
    highest = highest_load(system)
    critical = min(critical_load(system), highest)
    cells = [
        Cell(load, blow.lost, state)
        for load in loads
        for blow, state in zip(blows, column_of(system, load, blows), strict=True)
    ]
    healthy = is_healthy(system, 1.0)
    tried = [blow for blow in blows if blow.lost > 0.0] if healthy else []
    tippings = [Tipping(blow.lost, shortest_trigger_s(system, 1.0, blow)) for blow in tried]
    own = own_triggers(scenario, hot.region, hot.service)
    shares = [_share_tipped(system, pool, trigger) if healthy else math.nan for trigger in own]
    return Stability(
        architecture=architecture,
        pool=(hot.region, hot.service),
        how=how,
        lasts_s=lasts_s,
        peak_per_s=system.peak_per_s,
        threshold=system.threshold,
        critical_load=critical,
        highest_load=highest,
        chance_load=chance_load(system),
        cells=tuple(cells),
        tippings=tuple(tippings),
        recovery=tuple((load, _settled(system, load, 0, congested=True)[0].recovered_s) for load in loads),
        own=tuple(zip(own, shares, strict=True)),
        remedies=tuple(remedy_effects(scenario)),
    )


def _share_tipped(system: System, pool: int, trigger: OwnTrigger) -> float:
    """Share of a fault's occurrences at today's peak that leave the system collapsed; all runs, no vote."""
    found = 0.0
    for share, prob in trigger.hits:
        blow = Blow(pool, share, trigger.how, trigger.lasts_s, trigger.slow)
        n_collapsed, n_runs = 0, 0
        while n_runs < OWN_DRAWS:
            _, ending, chance = after_trigger(system, 1.0, blow, n_runs)
            n_collapsed, n_runs = n_collapsed + (not ending.healthy), n_runs + 1
            if not chance:
                break
        found += prob * n_collapsed / n_runs
    return found


def columns_for(highest: float) -> tuple[float, ...]:
    """Loads of a map: round steps through today's peak to a quarter beyond `highest`, 24 at most."""
    end = max(1.25 * highest, 1.2) if math.isfinite(highest) else 4.0
    step = next(s for s in (0.05, 0.1, 0.2, 0.25, 0.5, 1.0, 2.0, 5.0, 10.0) if end / s < COLUMNS_MAX)
    loads = {round(step * k, 6) for k in range(1, math.ceil(end / step) + 1)}
    return tuple(sorted(loads | {1.0}))


def _losses(system: System, pool: int, how: Loss) -> tuple[float, ...]:
    """Rows of a map: every tenth, or every pod if there are not too many."""
    n = system.blueprint.names.placed[pool] if how is Loss.PODS else ROWS_MAX - 1
    n = min(n, ROWS_MAX - 1)
    return tuple(k / n for k in range(n + 1))


def column_of(system: System, load: float, blows: Sequence[Blow]) -> list[State]:
    """States of the cells of one load.

    Parameters
    ----------
    system : System
        The design.
    load : float
        Times today's peak.
    blows : sequence of Blow
        What is lost in each cell, and after how long it is given back.
    """
    whole_is_healthy = is_healthy(system, load)
    return [_state_of(system, load, blow, whole_is_healthy) for blow in blows]


def _state_of(system: System, load: float, blow: Blow, whole_is_healthy: bool) -> State:
    if blow.lost == 0.0:
        from_empty = whole_is_healthy
    else:
        from_empty = collapses(lambda draw: _settled(system, load, draw, blow)) < HALF
    if from_empty and collapses(lambda draw: _settled(system, load, draw, blow, congested=True)) < HALF:
        return State.STABLE
    if blow.lost > 0.0 and whole_is_healthy and tips(system, load, blow):
        return State.METASTABLE
    return State.VULNERABLE if from_empty else State.OVERLOADED


def is_healthy(system: System, load: float) -> bool:
    """Whether the system, whole and empty at first, gets healthy."""
    return collapses(lambda draw: _settled(system, load, draw)) < HALF


def tips(system: System, load: float, blow: Blow) -> bool:
    """Whether a loss leaves the system collapsed when it is given back."""
    return collapses(lambda draw: after_trigger(system, load, blow, draw)[1:]) >= HALF


def collapses(run: Callable[[int], tuple[Ending, bool]], n_draws: int = DRAWS) -> float:
    """Share of runs that end collapsed.

    Parameters
    ----------
    run : callable
        From the number of the draw to (how it ended, whether chance decided). A run that chance does not decide is not
        repeated.
    n_draws : int
        Most runs; they end as soon as half of them cannot be outvoted.
    """
    bad, done = 0, 0
    while done < n_draws and max(bad, done - bad) <= n_draws // 2:
        ending, chance = run(done)
        done += 1
        bad += not ending.healthy
        if not chance:
            return float(not ending.healthy)
    return bad / done


def after_trigger(system: System, load: float, blow: Blow, draw: int = 0) -> tuple[float, Ending, bool]:
    """Success of first attempts in the moment in which a loss ends, what comes of it, and whether chance decided."""
    bench = Bench(system, load, draw)
    bench.settle(SETTLE_S)
    bench.lose(blow.pool, blow.lost, blow.how, blow.slow)
    bench.run_for(blow.lasts_s)
    bench.give_back(blow.pool, blow.how)
    bench.run_for(0.0)
    return bench.success(), bench.settle(SETTLE_S), bench.chance_decided


def shortest_trigger_s(
    system: System, load: float, blow: Blow, *, longest_s: float = LONGEST_TRIGGER_S, late: bool = False
) -> float:
    """The shortest loss of this size that tips the system, s; infinite if none up to `longest_s` does.

    Lengths are tried upwards in steps of a half, because a crash loop may fail after a short loss and not after a
    longer one; then the border below the first that tips is bisected.

    Parameters
    ----------
    system : System
        The design.
    load : float
        Times today's peak.
    blow : Blow
        What is lost; its length does not matter.
    longest_s : float
        No longer loss is tried.
    late : bool
        Instead: the shortest after which requests that come at the moment of its end are still too late.
    """

    def fatal(length_s: float) -> bool:
        longer = replace(blow, lasts_s=length_s)
        return after_trigger(system, load, longer)[0] < HALF if late else tips(system, load, longer)

    low_s, high_s = 0.0, SHORTEST_TRIGGER_S
    while not fatal(high_s):
        if high_s >= longest_s:
            return math.inf
        low_s, high_s = high_s, min(1.5 * high_s, longest_s)
    while low_s > 0.0 and high_s > low_s * (1.0 + PRECISION):
        middle_s = 0.5 * (low_s + high_s)
        low_s, high_s = (low_s, middle_s) if fatal(middle_s) else (middle_s, high_s)
    return high_s


def critical_load(system: System) -> float:
    """The largest load, in multiples of today's peak, that recovers from the congested state."""
    return _largest(lambda load: collapses(lambda draw: _settled(system, load, draw, congested=True)) < HALF)


def highest_load(system: System) -> float:
    """The largest load, in multiples of today's peak, that is healthy from empty."""
    return _largest(lambda load: is_healthy(system, load))


def chance_load(system: System) -> float:
    """The largest load, in multiples of today's peak, at which chance fills no pod's memory within `SETTLE_S`."""
    services, place, holding = system.scenario.services, system.scenario.place, holding_s(system.scenario)
    used = [(services[s], share, place[r][s], holding[s]) for (r, s), share in utilisations(system.scenario).items()]
    return _largest(
        lambda load: all(pool_kill_time_s(s, load * share, n, held_s) >= SETTLE_S for s, share, n, held_s in used)
    )


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
        highest = highest_load(system)
        found.append(RemedyEffect(remedy.name, remedy.what, min(critical_load(system), highest), highest))
    return sorted(found, key=lambda effect: (-effect.critical_load, -effect.highest_load))


def _settled(
    system: System, load: float, draw: int, blow: Blow | None = None, *, congested: bool = False
) -> tuple[Ending, bool]:
    """Run from empty, or from the congested state, with a loss that does not end."""
    bench = Bench(system, load, draw)
    if blow is not None and blow.lost > 0.0:
        bench.lose(blow.pool, blow.lost, blow.how, blow.slow)
    if congested:
        bench.congest()
    ending = bench.settle(SETTLE_S)
    return ending, bench.chance_decided
