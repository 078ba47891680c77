"""Cross-references: what the models cannot see because it takes two blocks to tell.

Every function takes a valid scenario and yields findings by path. Knows nothing of files or of the engine.
"""

from collections.abc import Iterator
from functools import cache
from itertools import islice

from sim.errors import did_you_mean
from sim.scenario.check_faults import check_faults
from sim.scenario.check_load import check_load
from sim.scenario.check_operations import check_operations
from sim.scenario.check_reliability import check_reliability
from sim.scenario.finding import Finding, unknown_name, warning
from sim.scenario.lint import lint
from sim.scenario.reliability import ReliabilityScenario
from sim.scenario.schema import Region, Scenario
from sim.scenario.targets import RESERVED
from sim.scenario.tree import Path
from sim.units import Money, format_memory

MAX_FINDINGS = 500
"""More are no help, and take minutes to describe in a generated file of thousands of names."""


def unknown_names_of(scenario: Scenario) -> list[Finding]:
    """Names that do not exist; nothing about quantities."""
    checks = (check_names, check_place, check_calls, check_populations, check_faults, check_operations, check_costs)
    findings = (finding for check in checks for finding in check(scenario) if finding.severity == "error")
    return list(islice(findings, MAX_FINDINGS))


def findings_of(scenario: Scenario) -> list[Finding]:
    """Every mistake and doubt about one scenario, up to MAX_FINDINGS."""
    if isinstance(scenario, ReliabilityScenario):
        return list(islice(check_reliability(scenario), MAX_FINDINGS))
    checks = (
        check_names,
        check_place,
        check_calls,
        check_populations,
        check_faults,
        check_operations,
        check_failover,
        check_capacity,
        check_costs,
        check_load,
        lint,
    )
    return list(islice((finding for check in checks for finding in check(scenario)), MAX_FINDINGS))


def pods_of(scenario: Scenario, service: str) -> dict[str, int]:
    """Pods of a service by region, regions without any left out."""
    return {region: pods[service] for region, pods in scenario.place.items() if pods.get(service, 0) > 0}


def placed_regions(scenario: Scenario) -> list[str]:
    """Regions that have a pod."""
    return [region for region, pods in scenario.place.items() if any(count > 0 for count in pods.values())]


def check_names(scenario: Scenario) -> Iterator[Finding]:
    """Names that a fault's target could take for something else."""
    for block, names in (("regions", scenario.regions), ("services", scenario.services)):
        for name in names:
            if name in RESERVED:
                message = f"got the name {name}, which is a word of the language; expected another, e.g. my-{name}"
                yield Finding((block, name), message, about="key")
    for name in scenario.services:
        if name in scenario.regions:
            yield Finding(
                ("services", name), f"got the name {name}, which a region has too; expected another", about="key"
            )


def check_place(scenario: Scenario) -> Iterator[Finding]:
    """Unknown regions and services, too few pods."""
    for region, pods in scenario.place.items():
        if region not in scenario.regions:
            yield unknown_name(("place", region), "region", scenario.regions)
        for service in pods:
            if service not in scenario.services:
                yield unknown_name(("place", region, service), "service", scenario.services)
    if not placed_regions(scenario):
        message = "got no pod in any region, expected at least one, such as {sweden-central: {gateway: 4}}"
        yield Finding(("place",), message, about="key")
    for name, spec in scenario.services.items():
        for region, count in pods_of(scenario, name).items():
            if spec.needs is not None and spec.needs > count:
                message = f"got {count} pods, but {name} needs {spec.needs}: it would always be down there"
                yield Finding(("place", region, name), message)
            if spec.load_shares is not None and len(spec.load_shares) < count:
                message = f"got {count} pods, but {name} has load_shares for {len(spec.load_shares)}: add shares"
                yield Finding(("place", region, name), message)


def check_calls(scenario: Scenario) -> Iterator[Finding]:
    """Calls to nowhere."""
    for caller, service in scenario.services.items():
        for callee in service.calls:
            path: Path = ("services", caller, "calls", callee)
            if callee not in scenario.services:
                yield unknown_name(path, "service", scenario.services)
            elif pods_of(scenario, caller) and not pods_of(scenario, callee):
                message = f"got a call to {callee}, which has no pod in any region: place it, or drop the call"
                yield Finding(path, message, about="key")


def check_populations(scenario: Scenario) -> Iterator[Finding]:
    """Journeys to nowhere, homes that are not there, time zones and holidays that do not exist."""
    for name, population in scenario.populations.items():
        path: Path = ("populations", name)
        pods = pods_of(scenario, population.journey)
        if population.journey not in scenario.services:
            yield unknown_name((*path, "journey"), "service", scenario.services, name=population.journey)
        elif not pods:
            message = f"got {population.journey}, which has no pod in any region: place it, or choose another entry"
            yield Finding((*path, "journey"), message)
        if population.home is not None and population.home not in scenario.regions:
            yield unknown_name((*path, "home"), "region", scenario.regions, name=population.home)
        elif population.home is not None and pods and population.home not in pods:
            message = (
                f"got {population.home}, which has no pod of {population.journey}: place it there, or change the home"
            )
            yield Finding((*path, "home"), message)
        if population.timezone not in _time_zones():
            expected = "expected an IANA name such as Europe/Stockholm"
            guess = did_you_mean(population.timezone, _time_zones())
            yield Finding((*path, "timezone"), f"got the time zone {population.timezone[:60]}, {expected}{guess}")
        if population.holidays is not None and population.holidays not in _holiday_countries():
            expected = "expected an ISO 3166 code such as SE or DE"
            guess = did_you_mean(population.holidays, _holiday_countries())
            yield Finding((*path, "holidays"), f"got the country {population.holidays[:60]}, {expected}{guess}")


@cache
def _time_zones() -> tuple[str, ...]:
    from zoneinfo import available_timezones

    return tuple(sorted(available_timezones()))


@cache
def _holiday_countries() -> tuple[str, ...]:
    from holidays import list_supported_countries  # takes a while to import, and few scenarios need it

    return tuple(sorted(list_supported_countries(include_aliases=False)))


def check_failover(scenario: Scenario) -> Iterator[Finding]:
    """A failover policy with nowhere to go."""
    policy = scenario.failover.policy
    if policy not in ("active-passive", "active-active", "manual"):
        return
    for name, population in scenario.populations.items():
        if len(pods_of(scenario, population.journey)) == 1:
            message = (
                f"got {policy}, but {population.journey} ({name}) has pods in one region only: place it in a second"
            )
            path: Path = ("failover", "policy")
            yield warning(path, message) if policy == "manual" else Finding(path, message)


def check_capacity(scenario: Scenario) -> Iterator[Finding]:
    """Pods that the nodes of a region cannot hold."""
    for name, region in scenario.regions.items():
        nodes = region.nodes
        if nodes.quota is not None and nodes.quota < nodes.count:
            message = f"got a quota of {nodes.quota}, expected at least the {nodes.count} nodes at the start"
            yield Finding(("regions", name, "nodes", "quota"), message)
        left_over = unplaceable(scenario, name, region)
        for service, count in left_over.items():
            memory = scenario.services[service].memory
            assert memory is not None, "a pod without a memory limit always fits"
            message = (
                f"got {scenario.place[name][service]} pods of {format_memory(memory.limit)}, expected {count} fewer: "
                f"{name} has room for no more on its nodes ({nodes.count} of {format_memory(nodes.memory)})"
            )
            yield Finding(("place", name, service), message)


def unplaceable(scenario: Scenario, name: str, region: Region) -> dict[str, int]:
    """Pods by service that first-fit (largest memory limit first) cannot place on the nodes of a region."""
    free_mib = [region.nodes.memory] * region.nodes.count
    left_over: dict[str, int] = {}
    limits = {service: spec.memory.limit for service, spec in scenario.services.items() if spec.memory is not None}
    for service in sorted(limits, key=lambda service: -limits[service]):
        node = 0
        for placed in range(scenario.place.get(name, {}).get(service, 0)):
            while node < len(free_mib) and free_mib[node] < limits[service]:
                node += 1
            if node == len(free_mib):
                left_over[service] = scenario.place[name][service] - placed
                break
            free_mib[node] -= limits[service]
    return left_over


def check_costs(scenario: Scenario) -> Iterator[Finding]:
    """Prices of unknown services, and money in another currency."""
    for service in scenario.costs.pod:
        if service not in scenario.services:
            yield unknown_name(("costs", "pod", service), "service", scenario.services)
    for path, amount in _money(scenario):
        if amount.currency != scenario.currency:
            message = f"got {amount.currency}, expected {scenario.currency}: money names the scenario's currency"
            yield Finding(path, message)


def _money(scenario: Scenario) -> Iterator[tuple[Path, Money]]:
    """Every amount that the user gave."""
    found: list[tuple[Path, float]] = [
        (("populations", name, "cost"), population.cost) for name, population in scenario.populations.items()
    ]
    found.append((("costs", "node"), scenario.costs.node))
    found += [(("costs", "pod", name), price) for name, price in scenario.costs.pod.items()]
    if scenario.objectives.sla is not None:
        found.append((("objectives", "sla", "fee"), scenario.objectives.sla.fee))
    if scenario.failover.provider is not None:
        found.append((("failover", "provider", "price"), scenario.failover.provider.price))
    yield from ((path, amount) for path, amount in found if isinstance(amount, Money))
