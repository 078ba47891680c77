"""What a fault hits: the grammar of `target`, parsed into a typed `Target`.

Knows the names of a scenario, nothing of the engine.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

from sim.errors import did_you_mean, listed
from sim.scenario.schema import Scenario
from sim.units import describe


class TargetKind(StrEnum):
    """Kind of element that a fault hits."""

    POD = "pod"
    NODE = "node"
    ZONE = "zone"
    REGION = "region"
    SERVICE = "service"
    """All pods of one service in one region (a pool)."""
    PROVIDER = "provider"
    """The other provider of `failover`."""
    POPULATION = "population"


class Scope(StrEnum):
    """How many of the elements one occurrence hits."""

    ONE = "one"
    """The target names a single element."""
    ANY = "any"
    """Each element that the target names fails on its own, with its own law."""
    ALL = "all"
    """One occurrence hits all of them at once; there is one law."""


@dataclass(frozen=True, slots=True)
class Target:
    """What a fault hits.

    Parameters
    ----------
    kind : TargetKind
        Kind of element.
    scope : Scope
        One element, any of the named ones, or all of them at once.
    service : str, optional
        Only pods of this service, or the service itself; None: of every service.
    region : str, optional
        Only there; None: in every region that has pods.
    zone : int, optional
        Number of the zone, from 1 to the region's number of zones.
    population : str, optional
        Only this one.
    """

    kind: TargetKind
    scope: Scope
    service: str | None = None
    region: str | None = None
    zone: int | None = None
    population: str | None = None


RESERVED: Final = frozenset(
    [*TargetKind, *(f"{kind}s" for kind in TargetKind), "any", "all", "in", "of", "none", "load"]
)
"""Words that no region or service may be called, because a target could mean either."""

GRAMMAR: Final = (
    "any pod, any pod of SERVICE, any node, any zone, any region, SERVICE in any region, SERVICE in REGION, REGION, "
    "zone N of REGION, provider, population NAME or all regions"
)
_MANY: Final = re.compile(
    r"(?P<scope>any|all) (?P<kind>pod|node|zone|region|service|population)(?P<plural>s?)"
    r"(?: of (?P<service>\S+))?(?: in (?P<region>\S+|any region|all regions))?"
)
_ZONE: Final = re.compile(r"zone (?P<zone>\d{1,3}) (?:of|in) (?P<region>\S+)")
_SERVICE: Final = re.compile(r"(?P<service>\S+) in (?P<region>any region|all regions|\S+)")
_POPULATION: Final = re.compile(r"population (?P<name>\S+)")


def parse_target(text: str, scenario: Scenario) -> Target:
    """The target that `text` names in a scenario.

    Parameters
    ----------
    text : str
        See `Fault.target`.
    scenario : Scenario
        Whose regions, services and populations may be named.

    Raises
    ------
    ValueError
        If it is not in the grammar or names nothing that exists; the message says what is.
    """
    words = " ".join(text.split())[:400]
    if words == "provider":
        return Target(TargetKind.PROVIDER, Scope.ONE)
    if match := _MANY.fullmatch(words):
        return _many(match, scenario)
    if match := _ZONE.fullmatch(words):
        return _zone(match, scenario)
    if match := _POPULATION.fullmatch(words):
        name = _known(match["name"], scenario.populations, "population")
        return Target(TargetKind.POPULATION, Scope.ONE, population=name)
    if match := _SERVICE.fullmatch(words):
        service = _known(match["service"], scenario.services, "service")
        if match["region"] in ("any region", "all regions"):
            return Target(TargetKind.SERVICE, Scope(match["region"][:3]), service=service)
        region = _known(match["region"], scenario.regions, "region")
        return Target(TargetKind.SERVICE, Scope.ONE, service=service, region=region)
    if words in scenario.regions:
        return Target(TargetKind.REGION, Scope.ONE, region=words)
    if words in scenario.services:
        return Target(TargetKind.SERVICE, Scope.ANY, service=words)
    choices = [*scenario.regions, *scenario.services, *_FORMS]
    raise ValueError(f"got {describe(text)}, expected a target: {GRAMMAR}{did_you_mean(words, choices)}")


_FORMS: Final = (
    tuple(f"any {kind}" for kind in TargetKind) + tuple(f"all {kind}s" for kind in TargetKind) + ("provider",)
)


def _many(match: re.Match[str], scenario: Scenario) -> Target:
    """`any pod of SERVICE in REGION` and its kin."""
    scope, kind = Scope(match["scope"]), TargetKind(match["kind"])
    right = f"{scope} {kind}" + ("s" if scope is Scope.ALL else "")
    if bool(match["plural"]) != (scope is Scope.ALL):
        raise ValueError(f"got {describe(match[0])}, expected any with one and all with several; did you mean {right}?")
    if match["service"] is not None and kind is not TargetKind.POD:
        raise ValueError(f"got {describe(match[0])}, but only pods are of a service; did you mean any pod of SERVICE?")
    if match["region"] is not None and kind in (TargetKind.REGION, TargetKind.POPULATION):
        raise ValueError(f"got {describe(match[0])}, but a {kind} is in no region; did you mean {right}?")
    service = None if match["service"] is None else _known(match["service"], scenario.services, "service")
    region = None
    if match["region"] not in (None, f"{scope} region", f"{scope} regions"):
        region = _known(match["region"], scenario.regions, "region")
    return Target(kind, scope, service=service, region=region)


def _zone(match: re.Match[str], scenario: Scenario) -> Target:
    region = _known(match["region"], scenario.regions, "region")
    zone, n_zones = int(match["zone"]), scenario.regions[region].zones
    if not 1 <= zone <= n_zones:
        raise ValueError(f"got zone {zone}, expected 1 to {n_zones}: the zones of {region}")
    return Target(TargetKind.ZONE, Scope.ONE, region=region, zone=zone)


def _known(name: str, names: Iterable[str], kind: str) -> str:
    names = list(names)
    if name not in names:
        raise ValueError(f"got the {kind} {name[:60]}, expected {listed(names)}{did_you_mean(name, names)}")
    return name


def matches(target: Target, scenario: Scenario) -> bool:
    """Whether the target names at least one element that this architecture has."""
    if target.kind is TargetKind.PROVIDER:
        return scenario.failover.provider is not None
    if target.kind is TargetKind.POPULATION:
        return bool(scenario.populations)
    return any(
        sum(count for service, count in pods.items() if target.service in (None, service)) > 0
        for region, pods in scenario.place.items()
        if target.region in (None, region)
    )
