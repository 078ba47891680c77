"""From a resolved scenario to the kernel's arrays, with the names of every row.

A pool is one service in one region; its pod slots are the pods placed there and those that the runbook may
add. Pools and groups keep the order of the scenario and edges follow from it, so that a design has one network only.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache

import networkx as nx
import numpy as np

from sim.scenario.pods import load_shares, overflows, pod_bounds
from sim.scenario.schema import Call, Population, Provider, Scenario, Service, Throttle
from sim.traffic.demand import demand_curve, peak_demand, stacked_curves
from sim.traffic.layout import *
from sim.traffic.layout import Floats, StateLayout, state_layout
from sim.traffic.network import Network
from sim.traffic.tables import queue_table

PROVIDER = "provider"
_STATIONARY_SLOTS_MAX = 2000
"""Above it the mean queue below saturation is under 1 % of the slots, and its table takes seconds to make."""
_USER_FAST_FAIL_S = 0.05
_STEPS_UNIFORM = 3
"""A uniform time from zero on has a third of the variance of an exponential one of the same mean."""


@dataclass(frozen=True)
class Names:
    """What the rows of the arrays are called."""

    pools: tuple[tuple[str, str], ...]
    """(region, service)."""
    placed: tuple[int, ...]
    """Pods placed in each pool at the start."""
    slots: tuple[int, ...]
    """Pod slots of each pool: placed and those a runbook may add."""
    edges: tuple[tuple[int, int, str], ...]
    """(caller pool, callee pool, callee service)."""
    populations: tuple[str, ...]
    regions: tuple[str, ...]
    """Regions in the order of routes; with a fallback provider the last one is PROVIDER."""

    def pool(self, region: str, service: str) -> int | None:
        """Row of a pool, None if it is not placed."""
        key = (region, service)
        return self.pools.index(key) if key in self.pools else None


@dataclass(frozen=True)
class Blueprint:
    """Everything about the network that is the same in all trials; `Traffic` copies it."""

    names: Names
    layout: StateLayout
    network: Network
    state: Floats
    demand_is_constant: bool


@lru_cache(maxsize=64)
def pod_table(slots: int, queue: int, work_spread: float, stationary: bool) -> Floats:
    """Queue table of a pod (`tables.queue_table`); far above a thousand slots the fluid one is as good."""
    return queue_table(slots, queue, stationary=stationary and slots <= _STATIONARY_SLOTS_MAX, work_spread=work_spread)


def assemble(scenario: Scenario) -> Blueprint:
    """Arrays and names of one architecture."""
    names = _names(scenario)
    provider = names.regions[-1] == PROVIDER
    n_pods, n_pools = sum(names.slots), len(names.pools)
    n_groups, n_regions = len(names.populations), len(names.regions)
    populations = [scenario.populations[name] for name in names.populations]
    n_stages = max([1, *(p.attempts - 1 for p in populations)])
    layout = state_layout(
        n_pods=n_pods,
        n_pools=n_pools,
        n_edges=len(names.edges),
        n_groups=n_groups,
        n_regions=n_regions,
        n_stages=n_stages,
        throttles=_throttles(scenario),
        newest_first=any(service.order != "fifo" for service in scenario.services.values()),
    )
    counts = np.zeros(N_COUNTS, dtype=np.int64)
    counts[[N_PODS, N_POOLS, N_EDGES, N_GROUPS]] = n_pods, n_pools, len(names.edges), n_groups
    counts[[N_REGIONS, N_STAGES, HAS_PROVIDER]] = n_regions, n_stages, int(provider)
    counts[[AT_HOLD, AT_QUALITY, AT_BREAKER]] = layout.hold, layout.quality, layout.breaker
    counts[[AT_ORBIT, AT_SHARE, AT_TOTALS]] = layout.orbit, layout.share, layout.totals
    counts[[AT_THROTTLE, AT_LOAD]] = layout.throttle, layout.load
    counts[OOM_BY_MEAN] = int(scenario.model.oom == "mean")
    curves = [demand_curve(p, scenario.start, scenario.horizon) for p in populations]
    pods, tables = _pods(scenario, names)
    network = Network(
        pods=pods,
        pools=_pools(scenario, names),
        edges=_edges(scenario, names),
        groups=np.array([_group(p, scenario) for p in populations]).reshape(n_groups, N_GROUP_COLUMNS),
        routes=_routes(scenario, names),
        tables=tables,
        curves=stacked_curves(curves),
        counts=counts,
        pod_algebra=np.zeros((n_pods, N_POD_ALGEBRA)),
        pool_algebra=np.zeros((n_pools, N_POOL_ALGEBRA)),
        group_algebra=np.zeros((n_groups, N_GROUP_ALGEBRA)),
        health=np.zeros((n_groups, n_regions)),
        moving=np.zeros(layout.size, dtype=np.int64),
    )
    constant = all(curve[1] <= 1.0 for curve in curves)
    blueprint = Blueprint(names, layout, network, _initial_state(network, layout), constant)
    _check_shapes(blueprint)
    return blueprint


def _names(scenario: Scenario) -> Names:
    pools = [(r, s) for r, services in scenario.place.items() for s, n in services.items() if n > 0]
    placed = [scenario.place[r][s] for r, s in pools]
    added = dict.fromkeys(scenario.services, 0)
    operations = scenario.operations
    if operations is not None:
        for name, step in [*operations.runbook.items(), *operations.script.items()]:
            if (step.action or name) == "scale_out" and step.service is not None and step.pods is not None:
                added[step.service] += step.pods
    regions = list(dict.fromkeys(r for r, _ in pools))
    edges: list[tuple[int, int, str]] = []
    for i, (region, service) in enumerate(pools):
        for callee in scenario.services[service].calls:
            # A dependency that is not placed in the caller's region is called where it is placed: one
            # control plane shared by all regions.
            home = region if (region, callee) in pools else next(r for r, s in pools if s == callee)
            edges.append((i, pools.index((home, callee)), callee))
    order = {pool: k for k, ring in enumerate(_rings(edges)) for pool in ring}
    edges.sort(key=lambda edge: order[edge[0]])
    if scenario.failover.policy == "provider":
        regions.append(PROVIDER)
    return Names(
        pools=tuple(pools),
        placed=tuple(placed),
        slots=tuple(_pod_slots(scenario.services[s], n, added[s]) for n, (_, s) in zip(placed, pools, strict=True)),
        edges=tuple(edges),
        populations=tuple(scenario.populations),
        regions=tuple(regions),
    )


def _rings(edges: Iterable[tuple[int, int, str]]) -> list[set[int]]:
    """Pools that call each other in a circle, most of them alone; callers before their callees."""
    calls = nx.DiGraph([(caller, callee) for caller, callee, _ in edges])
    rings = nx.condensation(calls)
    return [rings.nodes[k]["members"] for k in nx.topological_sort(rings)]


def _pod_slots(service: Service, placed: int, added_by_hand: int) -> int:
    """Placed pods, those that people may add, and those that the autoscaler may add."""
    most = service.autoscale.most if service.autoscale is not None else 0
    return max(placed, most) + added_by_hand


def _pods(scenario: Scenario, names: Names) -> tuple[Floats, Floats]:
    pods = np.zeros((sum(names.slots), N_POD_COLUMNS))
    tables: dict[tuple[int, int, float], int] = {}
    p = 0
    for i, (_, service_name) in enumerate(names.pools):
        service = scenario.services[service_name]
        key = (*pod_bounds(service, names.placed[i], service.shed_above), service.work_spread)
        table = tables.setdefault(key, len(tables))
        for share in load_shares(service, names.placed[i], names.slots[i]):
            pods[p, POD_POOL], pods[p, POD_SHARE], pods[p, POD_TABLE] = i, share, table
            pods[p, POD_OOM_LEVEL], pods[p, POD_SLOW] = np.inf, 1.0
            pods[p, POD_LIKE], pods[p, POD_STANDS_FOR] = p, 1.0
            p += 1
    stationary = scenario.model.queues == "stationary"
    return pods, np.array([pod_table(*key, stationary) for key in tables])


def _pools(scenario: Scenario, names: Names) -> Floats:
    pools = np.zeros((len(names.pools), N_POOL_COLUMNS))
    deadlines = _deadlines(scenario)
    first = 0
    for i, (_, service_name) in enumerate(names.pools):
        service = scenario.services[service_name]
        pools[i, POOL_WORK_S] = service.work
        pools[i, POOL_PATIENCE_RATE] = 1.0 / service.patience if service.patience is not None else 0.0
        pools[i, POOL_FIRST_POD], pools[i, POOL_N_PODS] = first, names.slots[i]
        pools[i, POOL_NEEDS] = service.needs or 0
        pools[i, POOL_WORK_SPREAD], pools[i, POOL_CONTENTION] = service.work_spread, service.contention
        pools[i, POOL_ORDER] = {"fifo": FIFO, "lifo": LIFO, "adaptive": ADAPTIVE}[service.order]
        pools[i, POOL_ADAPTIVE_S] = service.adaptive_above
        pools[i, POOL_CANCELS], pools[i, POOL_DEADLINE_AWARE] = service.cancels, service.deadline_aware
        pools[i, POOL_REACHABLE] = 1.0
        pools[i, POOL_OVERFLOWS] = overflows(service, names.placed[i])
        patience = [p.deadline for p in scenario.populations.values() if p.journey == service_name]
        patience += [s.calls[service_name].timeout for s in scenario.services.values() if service_name in s.calls]
        pools[i, POOL_TIMEOUT_S] = max(patience, default=1e9)
        pools[i, POOL_DEADLINE_S] = deadlines[service_name]
        first += names.slots[i]
    return pools


def _deadlines(scenario: Scenario) -> dict[str, float]:
    """Longest deadline (s) of a user whose request comes to each service, over all callers; inf where none does."""
    longest = dict.fromkeys(scenario.services, 0.0)
    for population in scenario.populations.values():
        reached = [population.journey]
        for name in reached:  # grows while it is read
            reached += [callee for callee in scenario.services[name].calls if callee not in reached]
            longest[name] = max(longest[name], population.deadline)
    return {name: deadline_s if deadline_s > 0.0 else np.inf for name, deadline_s in longest.items()}


def _edges(scenario: Scenario, names: Names) -> Floats:
    edges = np.zeros((len(names.edges), N_EDGE_COLUMNS))
    circular = {caller for caller, callee, _ in names.edges if caller == callee}
    circular |= {pool for ring in _rings(names.edges) if len(ring) > 1 for pool in ring}
    deadlines = _deadlines(scenario)
    for row, (caller, callee, name) in zip(edges, names.edges, strict=True):
        service = scenario.services[names.pools[caller][1]]
        call: Call = service.calls[name]
        row[EDGE_FROM], row[EDGE_TO] = caller, callee
        row[EDGE_TIMEOUT_S], row[EDGE_ATTEMPTS], row[EDGE_BACKOFF_S] = call.timeout, call.attempts, call.backoff
        row[EDGE_CALLS], row[EDGE_FAST_FAIL_S], row[EDGE_FALLBACK] = call.calls, call.fast_fail, call.fallback
        row[EDGE_BUDGET] = np.inf if call.retry_budget is None else call.retry_budget
        if service.deadline_aware:  # it waits no longer than its user
            row[EDGE_TIMEOUT_S] = min(call.timeout, deadlines[names.pools[caller][1]])
        row[EDGE_GATE] = 1.0
        row[EDGE_WINDOW_S] = 0.0 if call.breaker is None else call.breaker.window
        row[EDGE_REACHABLE] = 1.0
        row[EDGE_HEDGE_S] = np.inf if call.hedge_after is None else call.hedge_after
        row[[EDGE_THROTTLE, EDGE_THROTTLE_S]] = _throttle(call.throttle)
        row[EDGE_HANDOFF] = call.handoff
        row[EDGE_CIRCULAR] = caller in circular
    return edges


def _throttles(scenario: Scenario) -> bool:
    calls = [call for service in scenario.services.values() for call in service.calls.values()]
    clients = [call.throttle for call in calls] + [p.throttle for p in scenario.populations.values()]
    return any(throttle is not None for throttle in clients)


def _throttle(throttle: Throttle | None) -> tuple[float, float]:
    return (np.inf, 1.0) if throttle is None else (throttle.ratio, throttle.window)


def _group(population: Population, scenario: Scenario) -> Floats:
    row = np.zeros(N_GROUP_COLUMNS)
    row[GROUP_ATTEMPTS], row[GROUP_BACKOFF_S] = population.attempts, population.backoff
    row[GROUP_DEADLINE_S] = population.deadline
    row[GROUP_BUDGET] = np.inf if population.retry_budget is None else population.retry_budget
    row[GROUP_FACTOR] = 1.0
    row[GROUP_DRAIN_S] = max(scenario.failover.ttl, 1.0)
    row[GROUP_FAST_FAIL_S] = _USER_FAST_FAIL_S
    row[GROUP_RETRY_SHARE], row[GROUP_BACKOFF_GROWTH] = population.retry_share, population.backoff_growth
    jitter = {"none": NO_JITTER, "full": FULL_JITTER, "exponential": EXPONENTIAL_JITTER}
    row[GROUP_JITTER] = jitter[population.jitter]
    row[GROUP_STEPS] = {"none": RETRY_STEPS, "full": _STEPS_UNIFORM, "exponential": 1}[population.jitter]
    row[[GROUP_THROTTLE, GROUP_THROTTLE_S]] = _throttle(population.throttle)
    provider = scenario.failover.provider
    if provider is not None:
        row[[GROUP_PROVIDER_OK, GROUP_PROVIDER_QUOTA]] = provider_in_time(provider, population)
        row[GROUP_PROVIDER_QUALITY] = provider.quality
    return row


def provider_in_time(provider: Provider, population: Population, *, slow: float = 1.0) -> tuple[float, float]:
    """Share of the provider's answers within the deadline (exponential latency), and requests/s it accepts."""
    latency_s = provider.latency * slow
    in_time = 1.0 if latency_s == 0.0 else -math.expm1(-population.deadline / latency_s)
    return in_time, provider.quota * peak_demand(population)


def _routes(scenario: Scenario, names: Names) -> Floats:
    routes = np.zeros((len(names.populations), len(names.regions), N_ROUTE_COLUMNS))
    for g, name in enumerate(names.populations):
        population = scenario.populations[name]
        for r, region in enumerate(names.regions):
            pool = names.pool(region, population.journey)
            routes[g, r, ROUTE_ENTRY] = -1 if pool is None else pool
        routes[g, :, ROUTE_TARGET] = home_shares(scenario, names, name)
    return routes


def home_shares(scenario: Scenario, names: Names, population_name: str) -> list[float]:
    """Where the load of a population goes when nothing is wrong: shares by region, summing to 1.

    Active-active spreads it by the pods placed for the entry service; every other policy sends it home.
    """
    population = scenario.populations[population_name]
    pods = [scenario.place.get(region, {}).get(population.journey, 0) for region in names.regions]
    if scenario.failover.policy == "active-active":
        return [n / sum(pods) for n in pods]
    with_entry = [region for region, n in zip(names.regions, pods, strict=True) if n > 0]
    home = population.home if population.home in with_entry else with_entry[0]
    return [1.0 if region == home else 0.0 for region in names.regions]


def _initial_state(network: Network, layout: StateLayout) -> Floats:
    state = np.zeros(layout.size)
    state[layout.hold : layout.quality] = network.pools[:, POOL_WORK_S]
    state[layout.quality : layout.throttle] = 1.0  # quality of all pools, success of all breakers' edges
    state[layout.share : layout.totals] = network.routes[:, :, ROUTE_TARGET].ravel()
    return state


def _check_shapes(blueprint: Blueprint) -> None:
    """The kernel has no bounds checks: what it relies on is asserted here, once."""
    net, layout = blueprint.network, blueprint.layout
    n_pods, n_pools, n_edges, n_groups, n_regions, n_stages = (int(c) for c in net.counts[:6])
    assert net.pods.shape == (n_pods, N_POD_COLUMNS)
    assert net.pools.shape == (n_pools, N_POOL_COLUMNS)
    assert net.edges.shape == (n_edges, N_EDGE_COLUMNS)
    assert net.groups.shape == (n_groups, N_GROUP_COLUMNS)
    assert net.routes.shape == (n_groups, n_regions, N_ROUTE_COLUMNS)
    assert net.tables.shape[1:] == (3, N_NODES)
    assert net.curves.shape[0] == n_groups
    assert net.health.shape == (n_groups, n_regions)
    assert net.moving.shape == (layout.size,)
    assert blueprint.state.shape == (layout.size,)
    assert np.all(net.groups[:, GROUP_ATTEMPTS] - 1 <= n_stages)
    assert layout.share - layout.orbit == n_groups * n_stages * RETRY_STEPS
    assert np.all(net.pods[:, POD_TABLE] < len(net.tables))
    assert int(net.pools[:, POOL_N_PODS].sum()) == n_pods
    for array in net[:7]:
        assert array.dtype == np.float64
        assert array.flags.c_contiguous
