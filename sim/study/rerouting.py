"""Where the load of users goes, and where it would go if a region were lost: what the failover controller comes to.

The rules are those of `sim.world.failover.Controller`, at rest: the region stays away, its load has moved, clients
have followed. `tests/contract/test_failover_contract.py` compares the two.
"""

from sim.scenario.schema import Population, Scenario, Step
from sim.study.flows import Pool, highest_demand_per_s, rates_per_s
from sim.world.capacity import placed_capacity_per_s


def losable(scenario: Scenario) -> list[str]:
    """Regions whose loss sends their load to another one."""
    regions = [region for region, pods in scenario.place.items() if any(pods.values())]
    return regions if len(regions) > 1 and moves_load(scenario) else []


def moves_load(scenario: Scenario) -> bool:
    """Whether something moves load to another region: the failover policy, or a step of the runbook.

    With another provider the load of a sick region goes there, by itself and before people could act.
    """
    policy = scenario.failover.policy
    return policy in ("active-passive", "active-active") or (policy != "provider" and _by_hand(scenario) is not None)


def entering_per_s(scenario: Scenario, lost: str = "") -> dict[str, dict[Pool, float]]:
    """By population: requests per second that enter each pool at the highest demand of the horizon, first attempts.

    Of a lost region's load only what its takers get is in it; the rest fails.
    """
    demand_per_s = {name: highest_demand_per_s(scenario, p) for name, p in scenario.populations.items()}
    entering: dict[str, dict[Pool, float]] = {}
    lost_per_s: dict[str, float] = {}
    for name, population in scenario.populations.items():
        shares = _home_shares(scenario, population)
        lost_per_s[name] = demand_per_s[name] * shares.pop(lost, 0.0)
        entering[name] = {(r, population.journey): share * demand_per_s[name] for r, share in shares.items()}
    present_per_s = rates_per_s(scenario, _added_up(entering), lost)
    failover = scenario.failover
    for name, population in scenario.populations.items():
        takers = _takers(scenario, population, lost) if lost_per_s[name] > 0.0 else {}
        moved_per_s = lost_per_s[name] * failover.move * (1.0 - failover.ignore_ttl)
        if failover.capacity_check:
            moved_per_s = min(moved_per_s, _spare_per_s(scenario, population.journey, list(takers), present_per_s))
        for region, weight in takers.items():
            pool = (region, population.journey)
            part = weight / sum(takers.values())
            entering[name][pool] = entering[name].get(pool, 0.0) + moved_per_s * part
    return entering


def _added_up(entering: dict[str, dict[Pool, float]]) -> dict[Pool, float]:
    found: dict[Pool, float] = {}
    for pools in entering.values():
        for pool, per_s in pools.items():
            found[pool] = found.get(pool, 0.0) + per_s
    return found


def _home_shares(scenario: Scenario, population: Population) -> dict[str, float]:
    """Shares of a population's load by region when nothing is wrong."""
    entry_pods = _entry_pods(scenario, population)
    if scenario.failover.policy == "active-active":
        return {region: n / sum(entry_pods.values()) for region, n in entry_pods.items()}
    return {population.home if population.home in entry_pods else next(iter(entry_pods)): 1.0}


def _entry_pods(scenario: Scenario, population: Population) -> dict[str, int]:
    return {region: n for region, pods in scenario.place.items() if (n := pods.get(population.journey, 0))}


def _takers(scenario: Scenario, population: Population, lost: str) -> dict[str, float]:
    """Regions that take the load of a lost one, each with its weight."""
    others = {region: n for region, n in _entry_pods(scenario, population).items() if region != lost}
    policy = scenario.failover.policy
    if policy == "active-active":
        return {region: float(n) for region, n in others.items()}
    if policy == "active-passive":
        return dict.fromkeys(list(others)[:1], 1.0)
    step = _by_hand(scenario)
    if policy == "provider" or step is None or not others:
        return {}
    if step.to is not None:
        return {step.to: 1.0} if step.to in others else {}
    return {max(others, key=lambda region: placed_capacity_per_s(scenario, region, population.journey)): 1.0}


def _by_hand(scenario: Scenario) -> Step | None:
    """The first step of the runbook that moves load."""
    steps = scenario.operations.runbook if scenario.operations is not None else {}
    return next((step for name, step in steps.items() if (step.action or name) == "failover"), None)


def _spare_per_s(scenario: Scenario, entry: str, takers: list[str], present_per_s: dict[Pool, float]) -> float:
    """Requests per second that regions could take on top of what they have."""
    room = [placed_capacity_per_s(scenario, r, entry) - present_per_s.get((r, entry), 0.0) for r in takers]
    return sum(max(0.0, spare) for spare in room)
