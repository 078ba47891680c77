"""What the tape of a trial says beforehand: which causes strike how often, for how long and at how much demand.

Drawn with the keys of `tape` and `faults`, but without a trial: as if nothing that happens moved a clock, and people
always needed as long. So it tells years apart (in which a region is lost, in which none is) at the price of a few
hundred draws, and may be wrong in detail: whoever samples years by it is right all the same (`sim.study.strata`).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sim.laws import Exponential, Law, law_of
from sim.randomness import Draws
from sim.randomness.philox import key_of
from sim.scenario.schema import Fault, Scenario
from sim.traffic.demand import Cumulative, demand_curve
from sim.world.context import SHORTEST_S
from sim.world.elements import Element, elements_of, siblings_of
from sim.world.quiet_draws import fill
from sim.world.topology import Topology

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
class _Clock:
    """One fault of one element."""

    fault: str
    element: Element
    every: Law | None
    """None: by deployments."""
    repair: Law | None
    """None: until fixed."""
    spec: Fault
    siblings: tuple[tuple[Element, float], ...]


class Forecast:
    """Reads the tapes of an experiment.

    Parameters
    ----------
    scenarios : sequence of Scenario
        Its designs, of one seed, start and horizon. Where two have the same fault of the same element, which have the
        same draws, the laws of the one with more regions are read.
    """

    def __init__(self, scenarios: Sequence[Scenario]) -> None:
        first = scenarios[0]
        self._seed, self._horizon_s = first.seed, first.horizon
        widest_first = sorted(
            scenarios, key=lambda scenario: -len(scenario.place)
        )  # common causes reach furthest there
        self._clocks = list(_clocks(widest_first))
        self._keys, self._means_s = _keys_of(self._clocks, self._seed), _means_of(self._clocks)
        rarest_first = [self._horizon_s / c.every.mean_s for c in self._clocks if c.every is not None]
        expected = max(rarest_first, default=0.0)
        self._n_drawn = int(expected + 6.0 * expected**0.5) + 10
        places = [place for clock in self._clocks for place in _places(clock)]
        self.causes: tuple[Cause, ...] = tuple(dict.fromkeys(places))
        self._place = {cause: k for k, cause in enumerate(self.causes)}
        self._busy_s = _busy_seconds(first)

    def facts(self, trials: Sequence[int]) -> NDArray[np.float64]:
        """What the tapes of these trials say: shape (n_trials, n_causes, 3), the last by `FACTS`."""
        found = np.zeros((len(trials), len(self.causes), len(FACTS)))
        times_s = np.zeros((len(self._clocks), self._n_drawn))
        for row, trial in zip(found, trials, strict=True):
            draws = Draws(self._seed, trial)
            fill(np.uint64(trial), self._keys, self._means_s, 0, times_s)
            for clock, until_s in zip(self._clocks, times_s, strict=True):
                if clock.every is None:
                    strikes = _bad_deployments(clock, draws, self._horizon_s)
                else:
                    strikes = _strikes(clock, draws, until_s.tolist(), self._horizon_s)
                self._read(clock, draws, strikes, row)
        return found

    def _read(
        self, clock: _Clock, draws: Draws, strikes: Iterator[tuple[float, float]], row: NDArray[np.float64]
    ) -> None:
        for number, (begin_s, lasts_s) in enumerate(strikes, start=1):
            self._note(clock.fault, clock.element, begin_s, lasts_s, row)
            for sibling, prob in clock.siblings:
                key = f"{clock.element.name} with {sibling.name}"
                if draws.uniform(key, f"{clock.fault}:common-cause", number) < prob:
                    self._note(clock.fault, sibling, begin_s, lasts_s, row)

    def _note(self, fault: str, element: Element, begin_s: float, lasts_s: float, row: NDArray[np.float64]) -> None:
        end_s = min(begin_s + lasts_s, self._horizon_s)
        busy_s = self._busy_s(end_s) - self._busy_s(begin_s)
        row[self._place[Cause(fault, element.region)]] += (1.0, (end_s - begin_s) / 3600.0, busy_s / 3600.0)


def _clocks(scenarios: Sequence[Scenario]) -> Iterator[_Clock]:
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
                yield _Clock(name, element, every, repair, fault, tuple(siblings))


def _strikes_expected(fault: Fault, every: Law | None, horizon_s: float) -> float:
    if every is not None:
        return horizon_s / max(every.mean_s, SHORTEST_S)
    assert fault.deployments is not None
    assert fault.per_deployment is not None
    return fault.per_deployment * horizon_s / fault.deployments.every


def _places(clock: _Clock) -> Iterator[Cause]:
    yield Cause(clock.fault, clock.element.region)
    for sibling, _ in clock.siblings:
        yield Cause(clock.fault, sibling.region)


def _keys_of(clocks: Sequence[_Clock], seed: int) -> NDArray[np.uint64]:
    keys = [key_of(seed, clock.element.name, f"{clock.fault}:time-to-failure") for clock in clocks]
    return np.array(keys, dtype=np.uint64)


def _means_of(clocks: Sequence[_Clock]) -> NDArray[np.float64]:
    """Means of exponential laws, NaN of others: see `fill`."""
    return np.array([c.every.mean_s if isinstance(c.every, Exponential) else np.nan for c in clocks])


def _strikes(clock: _Clock, draws: Draws, times: Sequence[float], horizon_s: float) -> Iterator[tuple[float, float]]:
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


def _bad_deployments(clock: _Clock, draws: Draws, horizon_s: float) -> Iterator[tuple[float, float]]:
    deployments, prob = clock.spec.deployments, clock.spec.per_deployment
    assert deployments is not None
    assert prob is not None
    at_s = deployments.every if deployments.first is None else deployments.first
    index = 0
    while at_s < horizon_s:
        if draws.uniform(clock.element.name, f"{clock.fault}:deployment", index) < prob:
            yield at_s, UNTIL_FIXED_S
        at_s += deployments.every
        index += 1


def _busy_seconds(scenario: Scenario) -> Callable[[float], float]:
    """Requests until a time, in seconds at the largest demand of the horizon."""
    curves = [demand_curve(p, scenario.start, scenario.horizon) for p in scenario.populations.values()]
    totals = [Cumulative(curve) for curve in curves]
    peak = sum(float(curve[3:].max()) for curve in curves)
    if peak <= 0.0:
        return lambda at_s: at_s

    def until(at_s: float) -> float:
        return sum(total(at_s) for total in totals) / peak

    return until
