"""Faults: targets that exist, effects and repairs that fit them."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final

from sim.errors import listed
from sim.scenario.finding import Finding, warning
from sim.scenario.schema import Effect, Fault, Scenario
from sim.scenario.targets import Target, TargetKind, matches, parse_target
from sim.scenario.tree import Path

_OF_PODS: Final = ("down", "slow", "errors", "memory", "memory_factor", "memory_growth", "leak")
EFFECTS: Final[dict[TargetKind, tuple[str, ...]]] = {
    TargetKind.POD: _OF_PODS,
    TargetKind.NODE: _OF_PODS,
    TargetKind.ZONE: (*_OF_PODS, "capacity"),
    TargetKind.REGION: (*_OF_PODS, "capacity", "partition"),
    TargetKind.SERVICE: (*_OF_PODS, "capacity"),
    TargetKind.PROVIDER: ("down", "slow", "errors", "capacity"),
    TargetKind.POPULATION: ("demand",),
}
"""Effects that each kind of target can suffer."""

_COMMON_CAUSES: Final[dict[TargetKind, tuple[str, ...]]] = {
    TargetKind.POD: ("pods", "regions"),
    TargetKind.NODE: ("nodes", "regions"),
    TargetKind.ZONE: ("zones", "regions"),
    TargetKind.REGION: ("regions",),
    TargetKind.SERVICE: ("regions",),
    TargetKind.PROVIDER: (),
    TargetKind.POPULATION: (),
}


def check_faults(scenario: Scenario) -> Iterator[Finding]:
    """Every fault of the scenario."""
    for name, fault in scenario.faults.items():
        path: Path = ("faults", name)
        try:
            target = parse_target(fault.target, scenario)
        except ValueError as error:
            yield Finding((*path, "target"), str(error))
            continue
        if not matches(target, scenario):
            message = f"got {fault.target}, of which no architecture has any: the fault never happens"
            yield warning((*path, "target"), message, everywhere=True)
        yield from _effect(path, fault.effect, target)
        yield from _end(path, name, fault, target, scenario)
        yield from _causes(path, fault, target, scenario)
        yield from _times(path, fault, scenario)
        yield from _elements(path, fault, target, scenario)


def _effect(path: Path, effect: Effect, target: Target) -> Iterator[Finding]:
    """Effects that do not fit the target."""
    allowed = EFFECTS[target.kind]
    for key, value in effect:
        if value is not None and value is not False and key != "over" and key not in allowed:
            message = f"got {key} on a {target.kind}, expected {listed(allowed)}: what can happen to a {target.kind}"
            yield Finding((*path, "effect", key), message, about="key")


def _end(path: Path, name: str, fault: Fault, target: Target, scenario: Scenario) -> Iterator[Finding]:
    """Repairs that do not fit the target, and faults that nobody ends."""
    if fault.repair.restart and target.kind is not TargetKind.POD:
        message = f"got restart for a {target.kind}, but only a pod restarts by itself; expected a law or until fixed"
        yield Finding((*path, "repair"), message)
    if fault.repair.until_fixed and name not in _helped(scenario):
        message = f"stays until fixed, but no step of the runbook or script helps_against {name}: it never ends"
        yield warning((*path, "repair"), message)


def _helped(scenario: Scenario) -> set[str]:
    """Faults that some step helps against."""
    if scenario.operations is None:
        return set()
    steps = [*scenario.operations.runbook.values(), *scenario.operations.script.values()]
    return {name for step in steps for name in step.helps_against}


def _causes(path: Path, fault: Fault, target: Target, scenario: Scenario) -> Iterator[Finding]:
    """Common causes and deployments that do not fit the target."""
    if fault.per_deployment is not None and target.service is None:
        message = f"got {fault.target}, but only a service is deployed; expected a SERVICE or any pod of SERVICE"
        yield Finding((*path, "target"), message)
    if fault.common_cause is None:
        return
    allowed = _COMMON_CAUSES[target.kind]
    for key, share in fault.common_cause:
        if share and key not in allowed:
            message = f"got {key} for a fault of a {target.kind}, expected {listed(allowed)}"
            yield Finding((*path, "common_cause", key), message, about="key")
    n_regions = sum(any(pods.values()) for pods in scenario.place.values())
    if fault.common_cause.regions and n_regions < 2:
        message = "has no effect: no architecture has pods in a second region"
        yield warning((*path, "common_cause", "regions"), message, about="key", everywhere=True)


def _times(path: Path, fault: Fault, scenario: Scenario) -> Iterator[Finding]:
    """Scheduled starts outside the horizon."""
    end = scenario.start + timedelta(seconds=scenario.horizon)
    for index, moment in enumerate(fault.at):
        if not scenario.start <= moment < end:
            message = (
                f"is outside the horizon, {scenario.start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC: it never happens"
            )
            yield warning((*path, "at", index), message)


def _elements(path: Path, fault: Fault, target: Target, scenario: Scenario) -> Iterator[Finding]:
    """Names of elements that cannot be: they would be ignored without a word."""
    if target.kind in (TargetKind.POPULATION, TargetKind.PROVIDER):
        return
    for key, names in (("only", fault.only), ("spare", fault.spare)):
        for index, name in enumerate(names):
            element = name.rpartition("@")[2]
            if element.partition("/")[0] not in scenario.regions and not element.startswith("all "):
                expected = "an element as a replay shows it, such as north/zone-1 or north/web/3, in "
                yield Finding((*path, key, index), f"got {name}, expected {expected}{listed(scenario.regions)}")
