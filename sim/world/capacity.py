"""How much load a region can take, from its ready pods and what a user's request costs each service."""

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

from sim.scenario.pods import load_shares, pod_slots
from sim.scenario.schema import Scenario, Service
from sim.traffic.layout import POD_SHARE

if TYPE_CHECKING:  # a scenario's capacity is known without a data plane, which takes 100 MiB to import
    from sim.world.context import Context
    from sim.world.fleet import Fleet

FULL_UTILISATION = 0.85
"""Above it queues grow fast: what a careful controller counts as full."""


def slot_seconds(services: Mapping[str, Service], entry: str) -> dict[str, float]:
    """Seconds of a slot that one request of a journey holds in each service, when nothing is wrong."""
    holding: dict[str, float] = {}

    def hold(service: str, path: tuple[str, ...]) -> float:
        if service in path:
            return 0.0  # a call cycle: the first round is what counts for capacity
        if service not in holding:
            spec = services[service]
            holding[service] = spec.work + sum(c.calls * hold(s, (*path, service)) for s, c in spec.calls.items())
        return holding[service]

    visits: dict[str, float] = {}

    def visit(service: str, n: float, path: tuple[str, ...]) -> None:
        visits[service] = visits.get(service, 0.0) + n
        if service not in path:
            for callee, call in services[service].calls.items():
                visit(callee, n * call.calls, (*path, service))

    hold(entry, ())
    visit(entry, 1.0, ())
    return {service: visits[service] * holding.get(service, 0.0) for service in visits}


def capacity_per_s(context: "Context", fleet: "Fleet", region: str, entry: str) -> float:
    """Requests/s of a journey that a region serves at `FULL_UTILISATION` of its hottest pods."""

    def shares_of(service: str) -> list[float] | None:
        pool = context.traffic.names.pool(region, service)
        if pool is None:
            return None
        return [float(context.traffic.net.pods[pod.row, POD_SHARE]) for pod in fleet.serving(pool)]

    return _least_capacity_per_s(context.scenario, region, entry, shares_of)


def placed_capacity_per_s(scenario: Scenario, region: str, entry: str) -> float:
    """The same with all placed pods ready, from the scenario alone."""

    def shares_of(service: str) -> list[float] | None:
        placed = scenario.place[region].get(service, 0)
        return load_shares(scenario.services[service], placed, placed) if placed else None

    return _least_capacity_per_s(scenario, region, entry, shares_of)


def _least_capacity_per_s(
    scenario: Scenario, region: str, entry: str, shares_of: Callable[[str], list[float] | None]
) -> float:
    """`shares_of` gives the load shares of the pods that serve; None for a service of another region."""
    smallest = float("inf")
    for name, held_s in slot_seconds(scenario.services, entry).items():
        shares = shares_of(name)
        if shares is None:
            continue  # served by another region
        if not shares:
            return 0.0
        even = sum(shares) / max(shares)  # pods' worth of load when the hottest is full
        slots = pod_slots(scenario.services[name], scenario.place[region][name])
        smallest = min(smallest, FULL_UTILISATION * even * slots / held_s)
    return smallest


def spare_share(context: "Context", fleet: "Fleet", group: int, regions: list[str]) -> float:
    """Share (0..1) of a population's demand that the regions could take on top of what they have."""
    traffic = context.traffic
    entry = context.scenario.populations[traffic.names.populations[group]].journey
    demand = traffic.demand(group)
    if demand <= 0.0:
        return 1.0
    spare = 0.0
    for region in regions:
        pool = traffic.names.pool(region, entry)
        present = traffic.offered(pool) if pool is not None else 0.0
        spare += max(0.0, capacity_per_s(context, fleet, region, entry) - present)
    return min(1.0, spare / demand)
