"""Mean flows of a scenario at rest: who asks whom how often, and how long a request holds its slot.

Rates only, no queues and no randomness; a circle of calls that feeds itself makes them infinite.
"""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from sim.scenario.schema import Call, Population, Scenario
from sim.study.catalogue import YEAR_S
from sim.traffic.demand import peak_demand

Pool = tuple[str, str]
"""Region and service."""


def highest_demand_per_s(scenario: Scenario, population: Population) -> float:
    """Requests per second of a population at the highest demand of the horizon, growth included."""
    years = scenario.horizon / YEAR_S
    return peak_demand(population) * float(max(1.0, (1.0 + population.growth) ** years))


def holding_s(scenario: Scenario) -> dict[str, float]:
    """Time that a request occupies a slot of each service, s: own work and, with nothing waiting anywhere, its calls.

    Notes
    -----
    H_u = S_u + sum over calls of m_uv H_v; infinite where a circle of calls feeds itself. A request that is handed
    over leaves its slot.
    """
    names = list(scenario.services)
    waits = np.zeros((len(names), len(names)))
    for u, service in enumerate(scenario.services.values()):
        for callee, call in service.calls.items():
            waits[names.index(callee), u] += 0.0 if call.handoff else call.calls
    work_s = np.array([service.work for service in scenario.services.values()])
    return dict(zip(names, _sum_of_rounds(waits, work_s).tolist(), strict=True))


def rates_per_s(
    scenario: Scenario, entering: Mapping[Pool, float], lost: str = "", *, retries: bool = False
) -> dict[Pool, float]:
    """Requests per second of all pools that are reached.

    Parameters
    ----------
    scenario : Scenario
        The architecture.
    entering : mapping of (region, service) to float
        Requests per second that users send.
    lost : str
        Region that is gone; empty for none.
    retries : bool
        Every call fails and is repeated as often as its caller does.
    """
    edges = {}
    open_ends, pools = list(entering), dict.fromkeys(entering)
    while open_ends:
        pool = open_ends.pop()
        for callee, call in scenario.services[pool[1]].calls.items():
            where = _region_of_callee(scenario, callee, pool[0], lost)
            if where is None:  # lost with its region
                continue
            edges[pool, (where, callee)] = call.calls * (_attempts_of_call(call) if retries else 1.0)
            if (where, callee) not in pools:
                pools[where, callee] = None
                open_ends.append((where, callee))
    place = {pool: i for i, pool in enumerate(pools)}
    passed_on = np.zeros((len(pools), len(pools)))
    for (caller, callee_pool), times in edges.items():
        passed_on[place[caller], place[callee_pool]] = times
    rates = _sum_of_rounds(passed_on, np.array([entering.get(pool, 0.0) for pool in pools]))
    return dict(zip(pools, rates.tolist(), strict=True))


def _sum_of_rounds(passed_on: NDArray[np.float64], start: NDArray[np.float64]) -> NDArray[np.float64]:
    """x_j = start_j + sum_i x_i passed_on_ij, infinite where rounds do not die out.

    Notes
    -----
    Rounds within a set of nodes that reach each other die out if and only if the spectral radius of their part of the
    matrix is below 1 (Perron and Frobenius).
    """
    n = len(start)
    reach = np.eye(n, dtype=bool) | (passed_on > 0.0)
    for _ in range(n.bit_length()):
        reach = (reach.astype(float) @ reach.astype(float)) > 0.0
    endless = np.zeros(n, dtype=bool)
    for i in range(n):
        circle = np.flatnonzero(reach[i] & reach[:, i])
        radius = np.abs(np.linalg.eigvals(passed_on[np.ix_(circle, circle)])).max()
        if radius >= 1.0 - 1e-12 and np.any(reach[start > 0.0, i]):
            endless |= reach[i]
    found = np.full(n, np.inf)
    kept = np.flatnonzero(~endless)
    found[kept] = np.linalg.solve(np.eye(len(kept)) - passed_on[np.ix_(kept, kept)].T, start[kept])
    return found


def _region_of_callee(scenario: Scenario, callee: str, region: str, lost: str) -> str | None:
    """Where calls go: the caller's region, else the first that has the service; None if that one is lost, for calls do
    not look for another.
    """
    with_callee = [r for r, pods in scenario.place.items() if pods.get(callee, 0)]
    where = region if region in with_callee else next(iter(with_callee), None)
    return None if where == lost else where


def attempts_of_users(population: Population) -> float:
    """Most attempts per request, mean."""
    again = population.retry_share
    return _within_budget(sum(again**k for k in range(population.attempts)), population.retry_budget)


def _attempts_of_call(call: Call) -> float:
    """Most attempts per call; a hedge doubles each."""
    if call.handoff:
        return 1.0
    hedges = 2.0 if call.hedge_after is not None and call.hedge_after < call.timeout else 1.0
    return hedges * _within_budget(float(call.attempts), call.retry_budget)


def _within_budget(attempts: float, budget: float | None) -> float:
    return attempts if budget is None else min(attempts, 1.0 + budget)
