"""Margins that explain most collapses, worked out from the scenario alone: no trial is needed.

Does each queue bound fit its memory limit? How busy is the hottest pod at peak demand, today and after losing a
region, with and without retries? These are static numbers: mean rates, no queues, no randomness.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from sim.scenario.schema import Call, Population, Scenario, Service
from sim.study.catalogue import YEAR_S
from sim.traffic.demand import peak_demand

Pool = tuple[str, str]
"""Region and service."""


@dataclass(frozen=True, slots=True)
class QueueFit:
    """Memory of one pod with its queue full, against its limit."""

    service: str
    n_requests: int
    """Executed and waiting."""
    per_request_mib: float
    base_mib: float
    limit_mib: float

    @property
    def needed_mib(self) -> float:
        """Memory with `n_requests` inside."""
        return self.base_mib + self.n_requests * self.per_request_mib

    @property
    def fits(self) -> bool:
        """Whether the pod survives a full queue."""
        return self.needed_mib < self.limit_mib


@dataclass(frozen=True, slots=True)
class HotPod:
    """The busiest pod of an architecture."""

    region: str
    service: str
    lost_region: str
    """Empty: with all regions."""
    utilisation: float
    """Offered load over slots, first attempts only; above 1 the pod cannot keep up."""
    utilisation_with_retries: float
    """The same if every attempt fails and is repeated as often as callers and users do."""


def queue_fits(scenario: Scenario) -> list[QueueFit]:
    """One entry for each placed service that has a memory limit."""
    placed = {service for pods in scenario.place.values() for service, n in pods.items() if n}
    return [
        QueueFit(name, s.slots + s.queue, s.memory.per_request, s.memory.base, s.memory.limit)
        for name, s in scenario.services.items()
        if s.memory is not None and name in placed
    ]


def hot_pod_today(scenario: Scenario) -> HotPod:
    """The busiest pod at the highest demand of the horizon, with all regions."""
    return _hottest(scenario, _entry_shares(scenario), "")


def hot_pod_after_loss(scenario: Scenario) -> HotPod | None:
    """The busiest pod at the highest demand after the worst loss of one region.

    Returns None if no load is moved: there is no second region, or no failover into it.
    """
    regions = [region for region, pods in scenario.place.items() if any(pods.values())]
    if len(regions) < 2 or not moves_load(scenario):
        return None
    found = [_hottest(scenario, _entry_shares(scenario, lost), lost) for lost in regions]
    return max(found, key=lambda pod: pod.utilisation)


def moves_load(scenario: Scenario) -> bool:
    """Whether something moves load to another region: the failover policy, or a step of the runbook."""
    if scenario.failover.policy in ("active-passive", "active-active"):
        return True
    steps = scenario.operations.runbook if scenario.operations is not None else {}
    return any((step.action or name) == "failover" for name, step in steps.items())


def _entry_shares(scenario: Scenario, lost: str = "") -> dict[str, dict[str, float]]:
    """Share of each population's load that enters each region."""
    return {name: _shares_of(scenario, population, lost) for name, population in scenario.populations.items()}


def _shares_of(scenario: Scenario, population: Population, lost: str) -> dict[str, float]:
    entry_pods = {region: pods.get(population.journey, 0) for region, pods in scenario.place.items()}
    left = {region: n for region, n in entry_pods.items() if n and region != lost}
    if not left:
        return {}
    if scenario.failover.policy == "active-active":
        return {region: n / sum(left.values()) for region, n in left.items()}
    wished = population.home or ""
    home = wished if entry_pods.get(wished) else next(region for region, n in entry_pods.items() if n)
    if home != lost:
        return {home: 1.0}
    return {max(left, key=lambda region: left[region]): scenario.failover.move}


def _hottest(scenario: Scenario, shares: Mapping[str, Mapping[str, float]], lost: str) -> HotPod:
    first = _utilisations(scenario, shares, lost, retries=False)
    repeated = _utilisations(scenario, shares, lost, retries=True)
    if not first:
        return HotPod("", "", lost, 0.0, 0.0)
    (region, service), utilisation = max(first.items(), key=lambda item: item[1])
    return HotPod(region, service, lost, utilisation, max(repeated.values()))


def _utilisations(
    scenario: Scenario, shares: Mapping[str, Mapping[str, float]], lost: str, *, retries: bool
) -> dict[Pool, float]:
    rates: dict[Pool, float] = {}
    years = scenario.horizon / YEAR_S
    for name, by_region in shares.items():
        population = scenario.populations[name]
        peak_per_s = peak_demand(population) * max(1.0, (1.0 + population.growth) ** years)
        attempts = _attempts(population) if retries else 1.0
        for region, share in by_region.items():
            _add_rates(
                scenario, rates, (region, population.journey), (peak_per_s * share * attempts, lost, retries), ()
            )
    return {pool: _utilisation(scenario, pool, rate) for pool, rate in rates.items()}


def _add_rates(
    scenario: Scenario, rates: dict[Pool, float], pool: Pool, flow: tuple[float, str, bool], path: tuple[str, ...]
) -> None:
    """Add a flow of (requests per second, lost region, with retries?) to a pool and to all it calls."""
    region, service = pool
    per_s, lost, retries = flow
    rates[pool] = rates.get(pool, 0.0) + per_s
    for callee, call in scenario.services[service].calls.items():
        where = _region_of_callee(scenario, callee, region, lost)
        if where is None or callee in path:  # lost with its region; or a circle, whose first round is counted
            continue
        passed_on = per_s * call.calls * (_attempts(call) if retries else 1.0)
        _add_rates(scenario, rates, (where, callee), (passed_on, lost, retries), (*path, service))


def _region_of_callee(scenario: Scenario, callee: str, region: str, lost: str) -> str | None:
    """Where calls go: the caller's region, else the first that has the service."""
    with_callee = [r for r, pods in scenario.place.items() if pods.get(callee, 0) and r != lost]
    return region if region in with_callee else next(iter(with_callee), None)


def _attempts(caller: Population | Call) -> float:
    """Most attempts per request."""
    budget = caller.retry_budget
    return float(caller.attempts) if budget is None else min(float(caller.attempts), 1.0 + budget)


def _utilisation(scenario: Scenario, pool: Pool, per_s: float) -> float:
    region, name = pool
    service = scenario.services[name]
    n_pods = scenario.place[region][name]
    return per_s / n_pods * _hottest_share(service, n_pods) * _holding_s(scenario, name, ()) / service.slots


def _hottest_share(service: Service, n_pods: int) -> float:
    """Load of the most loaded pod over the mean."""
    if service.load_shares is None:
        return 1.0 + service.imbalance if n_pods > 1 else 1.0
    given = [service.load_shares[k % len(service.load_shares)] for k in range(n_pods)]
    return max(given) * n_pods / sum(given)


def _holding_s(scenario: Scenario, name: str, path: tuple[str, ...]) -> float:
    """Time that a request occupies a slot: own work and, with nothing waiting anywhere, the calls it makes."""
    service = scenario.services[name]
    return service.work + sum(
        call.calls * _holding_s(scenario, callee, (*path, name))
        for callee, call in service.calls.items()
        if callee not in path
    )
