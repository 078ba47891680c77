"""The scheduled faults of a scenario as a script, so that cases for the request-level model are scenario files.

It must not know the engine.
"""

from __future__ import annotations

import math

from sim.oracles.network_script import (
    DemandFactor,
    EdgeReach,
    Happening,
    PodCondition,
    PodMemoryUse,
    PodStarts,
    PodStops,
    PoolReach,
    Script,
)
from sim.scenario.schema import Effect, Fault, Scenario, moment_s
from sim.scenario.targets import Scope, Target, TargetKind, parse_target

__all__ = ["scheduled_script"]


def scheduled_script(scenario: Scenario) -> Script:
    """Turn the scheduled faults of a scenario into a script.

    Parameters
    ----------
    scenario : Scenario
        Each fault has `at` times, no common cause, a target that is one element or all of a kind, and a repair of a
        fixed length, `restart`, or `until fixed` (it stays).

    Returns
    -------
    Script
        What the faults do, by time.

    Raises
    ------
    ValueError
        For a fault that draws chance (`every`, `per_deployment`, `any`, a random repair, a common cause) or that hits
        nodes, zones or the provider: name the happenings in a script of your own then. All such faults are named.
    """
    happenings: list[Happening] = []
    wrong: list[str] = []
    for name, fault in scenario.faults.items():
        target = parse_target(fault.target, scenario)
        problem = _problem(fault, target)
        if problem is not None:
            wrong.append(f"{name} ({problem})")
            continue
        for k, moment in enumerate(fault.at):
            at_s = moment_s(moment, scenario.start)
            lasts_s = fault.repair.law.fixed if fault.repair.law is not None else None
            end_s = math.inf if lasts_s is None else at_s + lasts_s
            happenings += _occurrence(scenario, fault, target, f"{name} {k + 1}", (at_s, end_s))
    if wrong:
        raise ValueError(f"no script stands for these faults: {', '.join(wrong)}; pass script= with what they do")
    return Script(tuple(happening for happening in happenings if math.isfinite(happening.at_s)))


def _problem(fault: Fault, target: Target) -> str | None:
    """Why the fault is not a plain scheduled one; None: it is."""
    if not fault.at:
        return "not scheduled"
    if fault.common_cause is not None:
        return "common cause"
    if fault.repair.law is not None and fault.repair.law.fixed is None:
        return "random repair"
    if target.kind in (TargetKind.NODE, TargetKind.ZONE, TargetKind.PROVIDER):
        return f"hits a {target.kind}"
    if target.scope is Scope.ANY and not (target.kind is TargetKind.SERVICE and target.region is None):
        return "hits any of several"
    return None


def _occurrence(
    scenario: Scenario, fault: Fault, target: Target, cause: str, span_s: tuple[float, float]
) -> list[Happening]:
    """What one occurrence does and what its end undoes."""
    at_s, end_s = span_s
    effect = fault.effect
    if target.kind is TargetKind.POPULATION:
        names = [target.population] if target.population is not None else list(scenario.populations)
        factors = ((at_s, effect.demand), (end_s, 1.0))
        return [DemandFactor(t, n, f, cause) for n in names if n is not None for t, f in factors if f is not None]
    pools = {
        (region, service): count
        for region, services in scenario.place.items()
        for service, count in services.items()
        if count > 0 and target.region in (None, region) and target.service in (None, service)
    }
    pods = [f"{region}/{service}/{k + 1}" for (region, service), count in pools.items() for k in range(count)]
    if fault.repair.restart:
        return [PodStops(at_s, pod, cause, restarts=True) for pod in pods]
    found: list[Happening] = []
    if effect.down:
        found += _held(pods, cause, span_s)
    if effect.capacity is not None:
        for (region, service), count in pools.items():
            lost = math.ceil(effect.capacity * count - 1e-9)
            found += _held([f"{region}/{service}/{k + 1}" for k in range(lost)], f"{cause} capacity", span_s)
    if effect.partition:
        found += _cut_off({region for region, _ in pools}, scenario, span_s)
    for pod in _all_slots(pools, scenario):
        found += _condition(pod, effect, cause, span_s)
    return found


def _all_slots(pools: dict[tuple[str, str], int], scenario: Scenario) -> list[str]:
    """Pods placed, and those that an autoscaler may add: a sick service makes them sick as well."""
    names = []
    for (region, service), count in pools.items():
        scaling = scenario.services[service].autoscale
        most = count if scaling is None else max(count, scaling.most)
        names += [f"{region}/{service}/{k + 1}" for k in range(most)]
    return names


def _cut_off(regions: set[str], scenario: Scenario, span_s: tuple[float, float]) -> list[Happening]:
    """Users do not reach the regions, nor do calls between them and others."""
    placed = [(r, s) for r, services in scenario.place.items() for s, count in services.items() if count > 0]
    found: list[Happening] = []
    for region, service in placed:
        for at_s, reachable in zip(span_s, (False, True), strict=True):
            if region in regions:
                found.append(PoolReach(at_s, region, service, reachable))
            for callee in scenario.services[service].calls:
                home = region if (region, callee) in placed else next(r for r, s in placed if s == callee)
                if home != region and {home, region} & regions:
                    found.append(EdgeReach(at_s, region, service, callee, reachable))
    return found


def _held(pods: list[str], cause: str, span_s: tuple[float, float]) -> list[Happening]:
    found: list[Happening] = []
    for pod in pods:
        found += [PodStops(span_s[0], pod, cause), PodStarts(span_s[1], pod, cause)]
    return found


def _condition(pod: str, effect: Effect, cause: str, span_s: tuple[float, float]) -> list[Happening]:
    """Slowness, errors and memory of one pod."""
    at_s, end_s = span_s
    found: list[Happening] = []
    if effect.slow is not None or effect.errors is not None:
        found.append(PodCondition(at_s, pod, cause, effect.slow or 1.0, effect.errors or 0.0))
        found.append(PodCondition(end_s, pod, cause))
    if effect.memory is not None or effect.leak is not None or effect.memory_factor is not None:
        factor = effect.memory_factor or 1.0
        found.append(PodMemoryUse(at_s, pod, cause, effect.memory or 0.0, 0.0, effect.leak or 0.0, factor))
        found.append(PodMemoryUse(end_s, pod, cause))
    if effect.memory_growth is not None:
        assert effect.over is not None, "the schema asks for both"
        growing = f"{cause} growth"
        full_s = at_s + effect.over
        found.append(PodMemoryUse(at_s, pod, growing, 0.0, effect.memory_growth / effect.over))
        if full_s < end_s:
            found.append(PodMemoryUse(full_s, pod, growing, effect.memory_growth))
        found.append(PodMemoryUse(end_s, pod, growing))
    return found
