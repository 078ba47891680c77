"""What the faults of a scenario say, worked out once for all trials: who may be hit, by which laws, what that does."""

import math
from dataclasses import dataclass, field
from typing import Final

import numpy as np

from sim.laws import Exponential, Law, law_of
from sim.randomness.philox import key_of
from sim.scenario.schema import Effect, Fault, LawSpec, Scenario
from sim.scenario.targets import TargetKind
from sim.traffic.layout import Floats, Ints
from sim.world.design import PerDesign
from sim.world.elements import Element, elements_of
from sim.world.quiet_arrays import CRASH, NODES, OTHER, SLOW
from sim.world.topology import Topology

_OF_NODES: Final = (TargetKind.NODE, TargetKind.ZONE, TargetKind.REGION)


@dataclass(frozen=True, slots=True, eq=False)
class Clock:
    """One fault of one element, which strikes by a law."""

    number: int
    fault: str
    element: Element
    law: Law
    repair: Law | None
    kind: int
    """What a strike does, as far as it may be passed over (`quiet_arrays`)."""


@dataclass(frozen=True)
class Plan:
    """Faults of a scenario."""

    laws: dict[str, tuple[Law | None, Law | None]]
    """Times to failure and to repair of each fault."""
    effects: dict[str, Effect]
    """What each fault does while it lasts. A crash that ends by a restart holds nothing down: the pod's own start-up
    and back-off follow."""
    clocks: tuple[Clock, ...]
    others: tuple[tuple[str, Element, bool], ...]
    """(fault, element, whether the fault has several elements) of those that strike at stated times or deployments."""
    means_s: Floats
    """(n_clocks,) means of exponential laws, NaN of others."""
    numbers: dict[tuple[str, str], int]
    """Number of the clock of each (fault, element)."""
    shortest_s: float
    """Least mean of all times to failure; infinite without any."""
    _keys: dict[int, Ints] = field(default_factory=dict)

    def keys(self, seed: int) -> Ints:
        """(n_clocks,) uint64 keys of the times to failure."""
        if seed not in self._keys:
            keys = [key_of(seed, c.element.name, f"{c.fault}:time-to-failure") for c in self.clocks]
            self._keys[seed] = np.array(keys, dtype=np.uint64)
        return self._keys[seed]


def plan_of(scenario: Scenario) -> Plan:
    """The plan of a scenario, made once per process."""
    return _plans.of(scenario)


def _plan(scenario: Scenario) -> Plan:
    topology = Topology(scenario)
    laws: dict[str, tuple[Law | None, Law | None]] = {}
    effects: dict[str, Effect] = {}
    clocks: list[Clock] = []
    others: list[tuple[str, Element, bool]] = []
    for name, fault in scenario.faults.items():
        law, repair = laws[name] = _law(fault.every), _law(fault.repair.law)
        effects[name] = fault.effect.model_copy(update={"down": False}) if fault.repair.restart else fault.effect
        named = elements_of(fault.target, scenario, topology)
        elements = [element for element in named if not fault.only or element.name in fault.only]
        for element in elements:
            if fault.at or fault.per_deployment is not None:
                others.append((name, element, len(elements) > 1))
                continue
            assert law is not None
            clocks.append(Clock(len(clocks), name, element, law, repair, kind_of(fault, element)))
    means_s = np.array([c.law.mean_s if isinstance(c.law, Exponential) else np.nan for c in clocks])
    numbers = {(clock.fault, clock.element.name): clock.number for clock in clocks}
    shortest_s = min((clock.law.mean_s for clock in clocks), default=math.inf)
    return Plan(laws, effects, tuple(clocks), tuple(others), means_s, numbers, shortest_s)


_plans: Final = PerDesign(_plan, with_faults=True)


def _law(spec: LawSpec | None) -> Law | None:
    return None if spec is None else law_of(spec)


def kind_of(fault: Fault, element: Element) -> int:
    """What a strike of a fault does, as far as it may be passed over; else `OTHER`."""
    if element.is_several or fault.common_cause is not None or fault.spare:
        return OTHER
    effect = fault.effect.model_dump(exclude_defaults=True)
    if element.kind is TargetKind.POD and fault.repair.restart and effect == {"down": True}:
        return CRASH
    if fault.repair.law is None:
        return OTHER
    if element.kind in _OF_NODES and element.region and effect == {"down": True}:
        return NODES
    if element.kind is TargetKind.SERVICE and element.region and element.service and set(effect) == {"slow"}:
        return SLOW
    return OTHER
