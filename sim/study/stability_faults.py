"""The scenario's own faults as triggers: how much of a pool's capacity each takes away, and for how long."""

import math
from dataclasses import dataclass
from typing import NamedTuple

from sim.laws import law_of
from sim.scenario.schema import CommonCause, Effect, Fault, Scenario
from sim.scenario.targets import Scope, TargetKind, parse_target
from sim.study.stability_bench import Loss, lost_by

RARE = 1e-3
"""Probability below which what a common cause may hit is left out."""


class Hit(NamedTuple):
    """Part of a pool, and how likely one occurrence hits just that."""

    share: float
    """Of the pool's pods, 0 to 1."""
    prob: float


@dataclass(frozen=True, slots=True)
class OwnTrigger:
    """One fault of the scenario as it hits one pool."""

    fault: str
    lost: float
    """Share of the pool's capacity, 0 to 1; with a common cause the mean of its occurrences."""
    how: Loss
    lasts_s: float
    """Mean repair time, s."""
    hits: tuple[Hit, ...]
    """What one occurrence may hit: alone, and with others by a common cause. Probabilities below 1 in all if it may
    also spare the pool.
    """
    slow: float | None = None
    """How many times as long own work takes in the pods that are hit, if it is slowness."""


def own_triggers(scenario: Scenario, region: str, service: str) -> list[OwnTrigger]:
    """Faults with a repair time that take capacity of a pool.

    Left out are faults that people have to end (nobody knows how long that takes), and those that do not touch
    capacity (errors, memory, demand). A common cause counts as far as it hits more of this pool.
    """
    found = []
    for name, fault in scenario.faults.items():
        length_s, how = _length_s(fault, scenario, service), _how(fault.effect)
        hits = _hits(fault, scenario, region, service)
        if hits and length_s is not None and how is not None:
            slow = fault.effect.slow if how is Loss.SLOW else None
            per_pod = 1.0 if slow is None else lost_by(scenario, service, slow)
            lost = math.fsum(hit.share * hit.prob for hit in hits) * per_pod
            found.append(OwnTrigger(name, lost, how, length_s, hits, slow))
    return found


def _hits(fault: Fault, scenario: Scenario, region: str, service: str) -> tuple[Hit, ...]:
    """What one occurrence hits of a pool; empty if nothing."""
    target, n_pods = parse_target(fault.target, scenario), scenario.place[region][service]
    cause = fault.common_cause or CommonCause()
    if target.service not in (None, service) or target.kind in (TargetKind.PROVIDER, TargetKind.POPULATION):
        return ()
    zones, nodes = scenario.regions[region].zones, scenario.regions[region].nodes.count
    elements = {
        TargetKind.ZONE: (min(zones, nodes), cause.zones),  # a zone without a node has no pod
        TargetKind.NODE: (nodes, cause.nodes),
        TargetKind.POD: (n_pods, cause.pods),
    }
    n, beside = elements.get(target.kind, (1, 0.0))
    if target.scope is Scope.ALL:
        n, beside = 1, 0.0
    reached = 1.0
    if target.region not in (None, region):  # it strikes elsewhere, and the same element here by its common cause
        has_same = target.scope is not Scope.ALL and (target.zone or 1) <= zones
        reached, beside = cause.regions if has_same else 0.0, 0.0
    hits = [
        Hit(_pods_hit(fault.effect, n_pods, j, n) / n_pods, reached * prob)
        for j, prob in enumerate(_binomial(n - 1, beside), start=1)
    ]
    return tuple(hit for hit in hits if hit.prob > RARE)


def _binomial(n: int, prob: float) -> list[float]:
    """Probabilities of 0 to n successes."""
    return [math.comb(n, k) * prob**k * (1.0 - prob) ** (n - k) for k in range(n + 1)]


def _pods_hit(effect: Effect, n_pods: int, n_hit: int, n_elements: int) -> int:
    """Pods in the fullest `n_hit` of the elements over which a pool is spread evenly, and what `capacity` takes of
    them.
    """
    each, further = divmod(n_pods, n_elements)
    n = n_hit * each + min(n_hit, further)
    is_part = effect.capacity is not None and not effect.down and not effect.partition
    return math.ceil(effect.capacity * n - 1e-9) if is_part and effect.capacity is not None else n


def _how(effect: Effect) -> Loss | None:
    if effect.down or effect.partition or effect.capacity is not None:
        return Loss.PODS
    return Loss.SLOW if effect.slow is not None and effect.slow > 1.0 else None


def _length_s(fault: Fault, scenario: Scenario, service: str) -> float | None:
    if fault.repair.restart:
        return max(law_of(scenario.services[service].startup).mean_s, 1.0)
    return law_of(fault.repair.law).mean_s if fault.repair.law is not None else None
