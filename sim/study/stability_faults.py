"""The scenario's own faults as triggers: how much of a pool's capacity each takes away, and for how long."""

from dataclasses import dataclass

from sim.laws import law_of
from sim.scenario.schema import Fault, Scenario
from sim.scenario.targets import Target, TargetKind, parse_target
from sim.study.stability_bench import Loss


@dataclass(frozen=True, slots=True)
class OwnTrigger:
    """One fault of the scenario as it hits one pool."""

    fault: str
    lost: float
    """Share of the pool's capacity, 0 to 1."""
    how: Loss
    lasts_s: float
    """Mean repair time, s."""


def own_triggers(scenario: Scenario, region: str, service: str) -> list[OwnTrigger]:
    """Faults with a repair time that take capacity of a pool.

    Left out are faults that people have to end (nobody knows how long that takes), and those that do not touch
    capacity (errors, memory, demand).
    """
    found = []
    for name, fault in scenario.faults.items():
        share = _share_hit(parse_target(fault.target, scenario), scenario, region, service)
        length_s = _length_s(fault, scenario, service)
        loss = _loss(fault)
        if share > 0.0 and length_s is not None and loss is not None:
            how, lost = loss
            found.append(OwnTrigger(name, share * lost, how, length_s))
    return found


def _share_hit(target: Target, scenario: Scenario, region: str, service: str) -> float:
    """Share of the pool's pods that one occurrence hits."""
    if target.region not in (None, region) or target.service not in (None, service):
        return 0.0
    n_pods = scenario.place[region][service]
    zones = scenario.regions[region].zones
    if target.kind in (TargetKind.REGION, TargetKind.SERVICE):
        return 1.0
    if target.kind is TargetKind.ZONE:
        return 1.0 / zones
    if target.kind is TargetKind.NODE:
        return max(1.0 / scenario.regions[region].nodes.count, 1.0 / n_pods)
    return 1.0 / n_pods if target.kind is TargetKind.POD else 0.0


def _loss(fault: Fault) -> tuple[Loss, float] | None:
    effect = fault.effect
    if effect.down or effect.partition:
        return Loss.PODS, 1.0
    if effect.capacity is not None:
        return Loss.PODS, effect.capacity
    if effect.slow is not None and effect.slow > 1.0:
        return Loss.SLOW, 1.0 - 1.0 / effect.slow
    return None


def _length_s(fault: Fault, scenario: Scenario, service: str) -> float | None:
    if fault.repair.restart:
        return max(law_of(scenario.services[service].startup).mean_s, 1.0)
    return law_of(fault.repair.law).mean_s if fault.repair.law is not None else None
