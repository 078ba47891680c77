"""What the tape of a trial says beforehand: which causes strike how often, for how long and at how much demand.

Drawn with the keys of `tape` and `faults`, but without a trial: as if nothing that happens moved a clock, and people
always needed as long. So it tells years apart (in which a region is lost, in which none is) at the price of a few
hundred draws, and may be wrong in detail: whoever samples years by it is right all the same (`sim.study.strata`).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.laws import Exponential, Law, law_of
from sim.randomness import Draws
from sim.randomness.philox import key_of
from sim.scenario.schema import Fault, Scenario
from sim.traffic.demand import Cumulative, demand_curve
from sim.world.elements import SHORTEST_S, Element, elements_of, siblings_of
from sim.world.quiet_draws import fill
from sim.world.topology import Topology

Floats = NDArray[np.float64]
MOST_STRIKES: Final = 100.0
"""A cause that strikes more often in a trial strikes every trial alike: it tells no years apart and costs draws."""
UNTIL_FIXED_S: Final = 2 * 3600.0
"""Taken for the length of what lasts until people fix it, or until a pod has restarted."""
FACTS: Final = ("strikes", "hours", "busy hours")
"""Of each cause, in this order; an hour at the peak of demand is a busy one, an hour at half of it is half of one."""


@dataclass(frozen=True, slots=True)
class Cause:
    """One fault in one region (or of what has no region)."""

    fault: str
    region: str

    @property
    def name(self) -> str:
        """For people."""
        return f"{self.fault} in {self.region}" if self.region else self.fault


@dataclass(frozen=True, slots=True)
class Clock:
    """One fault of one element."""

    fault: str
    element: Element
    every: Law | None
    """None: by deployments."""
    repair: Law | None
    """None: until fixed."""
    spec: Fault
    siblings: tuple[tuple[Element, float], ...]

    @property
    def places(self) -> list[tuple[Cause, float]]:
        """Causes that a strike counts for, with probability: its own, then those of siblings."""
        own = Cause(self.fault, self.element.region)
        return [(own, 1.0), *((Cause(self.fault, sibling.region), prob) for sibling, prob in self.siblings)]

    def deployments(self, horizon_s: float) -> Iterator[float]:
        """When deployments are made, s, each bad with probability `spec.per_deployment`."""
        every = self.spec.deployments
        assert every is not None
        at_s = every.every if every.first is None else every.first
        while at_s < horizon_s:
            yield at_s
            at_s += every.every


class Strikes(NamedTuple):
    """Strikes of some tapes, by trial, then clock; each column has one number per strike."""

    trial: NDArray[np.int64]
    """Place in the list of trials asked for."""
    clock: NDArray[np.int64]
    cause: NDArray[np.int64]
    begin_s: Floats
    end_s: Floats
    """At the horizon at the latest."""
    is_own: NDArray[np.bool_]
    """Of the clock's own element; else of a sibling that its fault struck too."""

    def those(self, which: NDArray[np.bool_]) -> "Strikes":
        """Some of them, by a mask of shape (n,)."""
        trial, clock, cause, begin_s, end_s, is_own = self
        return Strikes(trial[which], clock[which], cause[which], begin_s[which], end_s[which], is_own[which])


class Forecast:
    """Reads the tapes of an experiment.

    Parameters
    ----------
    scenarios : sequence of Scenario
        Its designs, of one seed, start and horizon. Where two have the same fault of the same element, which have the
        same draws, the laws of the one with more regions are read.
    most_in_all : float
        Strikes a trial that are read at most on average; the faults that strike most often are left out.
    """

    def __init__(self, scenarios: Sequence[Scenario], *, most_in_all: float = np.inf) -> None:
        first = scenarios[0]
        self._seed, self.horizon_s = first.seed, first.horizon
        widest_first = sorted(
            scenarios, key=lambda scenario: -len(scenario.place)
        )  # common causes reach furthest there
        self.clocks: tuple[Clock, ...] = tuple(_rarest(list(_clocks(widest_first)), self.horizon_s, most_in_all))
        self._keys, self._means_s = _keys_of(self.clocks, self._seed), _means_of(self.clocks)
        rarest_first = [self.horizon_s / c.every.mean_s for c in self.clocks if c.every is not None]
        expected = max(rarest_first, default=0.0)
        self._n_drawn = int(expected + 6.0 * expected**0.5) + 10
        places = [place for clock in self.clocks for place, _ in clock.places]
        self.causes: tuple[Cause, ...] = tuple(dict.fromkeys(places))
        self.place_of = {cause: k for k, cause in enumerate(self.causes)}
        self.busy_s = _busy_seconds(first)
        """Requests until times (s), in seconds at the largest demand of the horizon."""

    def strikes(self, trials: Sequence[int]) -> Strikes:
        """Every strike that the tapes of these trials have."""
        rows = list(self._strikes(trials))
        columns: list[Sequence[Any]] = list(zip(*rows, strict=True)) if rows else [()] * 6
        trial, clock, cause = (np.array(column, dtype=np.int64) for column in columns[:3])
        begin_s, lasts_s = (np.array(column, dtype=np.float64) for column in columns[3:5])
        end_s = np.minimum(begin_s + lasts_s, self.horizon_s)
        return Strikes(trial, clock, cause, begin_s, end_s, np.array(columns[5], dtype=np.bool_))

    def facts(self, trials: Sequence[int]) -> Floats:
        """What the tapes of these trials say: shape (n_trials, n_causes, 3), the last by `FACTS`."""
        return self.added_up(self.strikes(trials), len(trials))

    def added_up(self, strikes: Strikes, n_trials: int) -> Floats:
        """Facts of strikes by trial and cause: shape (n_trials, n_causes, 3)."""
        hours = (strikes.end_s - strikes.begin_s) / 3600.0
        busy = (self.busy_s(strikes.end_s) - self.busy_s(strikes.begin_s)) / 3600.0
        found = np.zeros((n_trials, len(self.causes), len(FACTS)))
        np.add.at(found, (strikes.trial, strikes.cause), np.stack([np.ones_like(hours), hours, busy], axis=1))
        return found

    def _strikes(self, trials: Sequence[int]) -> Iterator[tuple[int, int, int, float, float, bool]]:
        times_s = np.zeros((len(self.clocks), self._n_drawn))
        causes = [[self.place_of[cause] for cause, _ in clock.places] for clock in self.clocks]
        for row, trial in enumerate(trials):
            draws = Draws(self._seed, trial)
            fill(np.uint64(trial), self._keys, self._means_s, 0, times_s)
            for k, (clock, until_s) in enumerate(zip(self.clocks, times_s, strict=True)):
                if clock.every is None:
                    strikes = _bad_deployments(clock, draws, self.horizon_s)
                else:
                    strikes = _strikes(clock, draws, until_s.tolist(), self.horizon_s)
                for number, (begin_s, lasts_s) in enumerate(strikes, start=1):
                    yield row, k, causes[k][0], begin_s, lasts_s, True
                    for (sibling, prob), cause in zip(clock.siblings, causes[k][1:], strict=True):
                        key = f"{clock.element.name} with {sibling.name}"
                        if draws.uniform(key, f"{clock.fault}:common-cause", number) < prob:
                            yield row, k, cause, begin_s, lasts_s, False


def _rarest(clocks: Sequence[Clock], horizon_s: float, most_in_all: float) -> list[Clock]:
    """Clocks of the faults that strike most seldom, in their order, as many as the expected strikes allow."""
    expected: dict[str, float] = {}
    for clock in clocks:
        strikes = _strikes_expected(clock.spec, clock.every, horizon_s)
        expected[clock.fault] = expected.get(clock.fault, 0.0) + strikes
    taken, in_all = set(), 0.0
    for fault, strikes in sorted(expected.items(), key=lambda item: item[1]):
        in_all += strikes
        if in_all > most_in_all:
            break
        taken.add(fault)
    return [clock for clock in clocks if clock.fault in taken]


def _clocks(scenarios: Sequence[Scenario]) -> Iterator[Clock]:
    seen: set[tuple[str, str]] = set()
    for scenario in scenarios:
        topology = Topology(scenario)
        for name, fault in scenario.faults.items():
            if fault.at:
                continue  # the same in every trial
            elements = elements_of(fault.target, scenario, topology)
            elements = [element for element in elements if not fault.only or element.name in fault.only]
            every = law_of(fault.every) if fault.every is not None else None
            if _strikes_expected(fault, every, scenario.horizon) * len(elements) > MOST_STRIKES:
                continue
            repair = law_of(fault.repair.law) if fault.repair.law is not None else None
            cause = fault.common_cause
            for element in elements:
                if (name, element.name) in seen:
                    continue
                seen.add((name, element.name))
                siblings = siblings_of(element, cause, scenario, topology) if cause is not None else []
                yield Clock(name, element, every, repair, fault, tuple(siblings))


def _strikes_expected(fault: Fault, every: Law | None, horizon_s: float) -> float:
    if every is not None:
        return horizon_s / max(every.mean_s, SHORTEST_S)
    assert fault.deployments is not None
    assert fault.per_deployment is not None
    return fault.per_deployment * horizon_s / fault.deployments.every


def _keys_of(clocks: Sequence[Clock], seed: int) -> NDArray[np.uint64]:
    keys = [key_of(seed, clock.element.name, f"{clock.fault}:time-to-failure") for clock in clocks]
    return np.array(keys, dtype=np.uint64)


def _means_of(clocks: Sequence[Clock]) -> Floats:
    """Means of exponential laws, NaN of others: see `fill`."""
    return np.array([c.every.mean_s if isinstance(c.every, Exponential) else np.nan for c in clocks])


def _strikes(clock: Clock, draws: Draws, times: Sequence[float], horizon_s: float) -> Iterator[tuple[float, float]]:
    """Begin and length of each strike, s; `times` are times to failure, s, or uniform numbers that give them."""
    name, at_s = clock.element.name, 0.0
    assert clock.every is not None
    is_drawn = isinstance(clock.every, Exponential)
    for number, time in enumerate(times):
        at_s += max(time if is_drawn else clock.every.from_uniform(time), SHORTEST_S)
        if at_s >= horizon_s:
            return
        lasts_s = UNTIL_FIXED_S
        if clock.repair is not None:
            lasts_s = max(clock.repair.from_uniform(draws.uniform(name, f"{clock.fault}:repair", number)), SHORTEST_S)
        yield at_s, lasts_s
        at_s += lasts_s


def _bad_deployments(clock: Clock, draws: Draws, horizon_s: float) -> Iterator[tuple[float, float]]:
    prob = clock.spec.per_deployment
    assert prob is not None
    for index, at_s in enumerate(clock.deployments(horizon_s)):
        if draws.uniform(clock.element.name, f"{clock.fault}:deployment", index) < prob:
            yield at_s, UNTIL_FIXED_S


def _busy_seconds(scenario: Scenario) -> Callable[[Floats], Floats]:
    """Requests until times, in seconds at the largest demand of the horizon."""
    curves = [demand_curve(p, scenario.start, scenario.horizon) for p in scenario.populations.values()]
    totals = [Cumulative(curve) for curve in curves]
    peak = sum(float(curve[3:].max()) for curve in curves)
    if peak <= 0.0:
        return lambda at_s: at_s

    def until(at_s: Floats) -> Floats:
        return np.asarray(np.sum([total.many(at_s) for total in totals], axis=0) / peak)

    return until
