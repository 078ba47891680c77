"""Elements that faults hit, enumerated from the target of a fault; siblings for common causes.

An element's name does not depend on the architecture, so that designs that share it share its history.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from sim.scenario.schema import CommonCause, Scenario
from sim.scenario.targets import Scope, Target, TargetKind, parse_target
from sim.world.topology import Topology, zone_name

SHORTEST_S: Final = 1e-3
"""Least up and down time of anything: what dies and restarts in no time would never let time pass."""


@dataclass(frozen=True)
class Element:
    """One thing that can fail. Empty names stand for all of that kind."""

    kind: TargetKind
    name: str
    region: str = ""
    zone: str = ""
    node: str = ""
    service: str = ""
    pod: str = ""
    population: str = ""
    is_several: bool = False
    """Whether it stands for all of its kind, as a target `all ...` does."""


def elements_of(text: str, scenario: Scenario, topology: Topology) -> list[Element]:
    """Elements that the target names in this architecture (none, if it has none of them)."""
    target = parse_target(text, scenario)
    if target.kind is TargetKind.PROVIDER:
        return [Element(target.kind, "provider")] if scenario.failover.provider is not None else []
    if target.kind is TargetKind.POPULATION:
        return list(_populations(target, scenario))
    used = [r for r, pods in scenario.place.items() if any(pods.values()) and target.region in (None, r)]
    if target.kind in (TargetKind.SERVICE, TargetKind.POD) and target.service is not None:
        used = [r for r in used if scenario.place[r].get(target.service, 0) > 0]
    if not used:
        return []
    if target.scope is Scope.ALL:
        where, service = target.region or "", target.service or ""
        name = f"all {target.kind}s" + (f" of {service}" if service else "") + (f" in {where}" if where else "")
        return [Element(target.kind, name, region=where, service=service, is_several=True)]
    return [element for region in used for element in _in_region(target, region, scenario, topology)]


def siblings_of(
    element: Element, cause: CommonCause, scenario: Scenario, topology: Topology
) -> list[tuple[Element, float]]:
    """Other elements that a common cause may hit, each with its probability."""
    found: list[tuple[Element, float]] = []
    others = [r for r, pods in scenario.place.items() if any(pods.values()) and r != element.region]
    if cause.regions > 0.0 and element.region:
        found += [(e, cause.regions) for r in others if (e := _same_in(element, r, scenario, topology)) is not None]
    same_region = Target(element.kind, Scope.ANY, service=element.service or None, region=element.region)
    shares = {TargetKind.ZONE: cause.zones, TargetKind.NODE: cause.nodes, TargetKind.POD: cause.pods}
    share = shares.get(element.kind, 0.0)
    if share > 0.0 and element.region:
        beside = _in_region(same_region, element.region, scenario, topology)
        found += [(e, share) for e in beside if e != element]
    return found


def _in_region(target: Target, region: str, scenario: Scenario, topology: Topology) -> Iterator[Element]:
    kind = target.kind
    if kind is TargetKind.REGION:
        yield Element(kind, region, region=region)
    elif kind is TargetKind.ZONE:
        zones = range(scenario.regions[region].zones) if target.zone is None else [target.zone - 1]
        for zone in zones:
            yield Element(kind, zone_name(region, zone), region=region, zone=zone_name(region, zone))
    elif kind is TargetKind.NODE:
        for node in topology.nodes[region][: scenario.regions[region].nodes.count]:
            yield Element(kind, node.name, region=region, zone=node.zone_name, node=node.name)
    elif kind is TargetKind.SERVICE:
        services = [s for s, n in scenario.place[region].items() if n > 0 and target.service in (None, s)]
        for service in services:
            yield Element(kind, f"{region}/{service}", region=region, service=service)
    elif kind is TargetKind.POD:
        for service, n in scenario.place[region].items():
            for k in range(n) if target.service in (None, service) else ():
                name = f"{region}/{service}/{k + 1}"
                yield Element(kind, name, region=region, service=service, pod=name)


def _same_in(element: Element, region: str, scenario: Scenario, topology: Topology) -> Element | None:
    """The element of the same kind and place in another region, if that region has it."""
    kind = element.kind
    if kind is TargetKind.REGION:
        return Element(kind, region, region=region)
    name = region + element.name[len(element.region) :]
    if kind is TargetKind.SERVICE:
        placed = scenario.place[region].get(element.service, 0) > 0
        return Element(kind, name, region=region, service=element.service) if placed else None
    candidates = _in_region(Target(kind, Scope.ANY, service=element.service or None), region, scenario, topology)
    return next((e for e in candidates if e.name == name), None)


def _populations(target: Target, scenario: Scenario) -> Iterator[Element]:
    names = [target.population] if target.population is not None else list(scenario.populations)
    if target.scope is Scope.ALL:
        yield Element(target.kind, "all populations", is_several=True)
        return
    for name in names:
        yield Element(target.kind, f"population {name}", population=name)
