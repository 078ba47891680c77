"""Margins that explain most collapses, worked out from the scenario alone: no trial is needed.

Does each queue bound fit its memory limit? How busy is the hottest pod at peak demand, today and after losing a
region, with and without retries? These are static numbers: mean rates, no queues, no randomness.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

import numpy as np
from numpy.typing import NDArray

from sim.scenario.lint import circles_of, full_queue_mib
from sim.scenario.schema import Call, Population, Scenario, Service
from sim.study.catalogue import YEAR_S
from sim.traffic.assemble import load_shares
from sim.traffic.demand import peak_demand
from sim.units import format_duration

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
    needed_mib: float
    """Memory with `n_requests` inside."""

    @property
    def fits(self) -> bool:
        """Whether the pod survives a full queue (at its limit it is killed)."""
        return self.needed_mib < self.limit_mib


@dataclass(frozen=True, slots=True)
class HotPod:
    """The busiest pod of an architecture."""

    region: str
    service: str
    lost_region: str
    """Empty: with all regions."""
    utilisation: float
    """Offered load over slots, first attempts only; above 1 the pod cannot keep up, infinite in a circle of calls that
    feeds itself."""
    utilisation_with_retries: float
    """Of the busiest pod if every attempt fails and is repeated as often as callers and users do."""
    region_with_retries: str
    service_with_retries: str
    circle: tuple[str, ...] = ()
    """Services that call each other in a circle and make the utilisation, with retries at least, infinite."""


def queue_fits(scenario: Scenario) -> list[QueueFit]:
    """One entry for each placed service that has a memory limit."""
    placed = {service for pods in scenario.place.values() for service, n in pods.items() if n}
    return [
        QueueFit(name, s.slots + s.queue, s.memory.per_request, s.memory.base, s.memory.limit, full_queue_mib(s))
        for name, s in scenario.services.items()
        if s.memory is not None and name in placed
    ]


def hot_pod_today(scenario: Scenario) -> HotPod:
    """The busiest pod at the highest demand of the horizon, with all regions."""
    return _hottest(scenario, "")


def hot_pod_after_loss(scenario: Scenario) -> HotPod | None:
    """The busiest pod at the highest demand after the worst loss of one region.

    Returns None if no load is moved: there is no second region, or no failover into it.
    """
    found = [_hottest(scenario, lost) for lost in _losable(scenario)]
    return max(found, key=lambda pod: pod.utilisation, default=None)


class Reason(Enum):
    """Why mean rates are not enough; the value is what the user reads."""

    RETRIES = (
        "Callers repeat what fails there, so that a moment of bad luck may start a collapse that mean rates miss; "
        "model.noise: auto simulates single requests there."
    )
    MEMORY = (
        "By chance alone so many requests come together that their memory reaches the limit, and whether the others "
        "hold then is chance as well. Choose a queue bound that fits the limit, or model.noise: always."
    )
    PATIENCE = (
        "Waiting requests leave there near saturation: mean rates overstate waiting and the share that leaves by 20 to "
        "100 % (Erlang-A, 8 to 200 slots); model.noise: always simulates single requests."
    )


@dataclass(frozen=True, slots=True)
class Zone:
    """A pool that is simulated by mean rates where they may not be trusted."""

    region: str
    service: str
    lost_region: str
    utilisation: float
    reason: Reason
    kill_s: float = math.inf
    """Mean time until one of its pods is OOM-killed by chance alone, all of them fresh."""

    @property
    def text(self) -> str:
        """Which pod, how busy, and when."""
        when = f" after losing {self.lost_region}" if self.lost_region else ""
        text = f"hottest pod of {self.service} in {self.region} at {self.utilisation:.2f} at peak demand{when}"
        return text + (
            f", a pod OOM-killed once in {format_duration(self.kill_s, digits=2)}" if self.kill_s < math.inf else ""
        )


NEAR_SATURATION = (0.95, 1.05)
"""Utilisations between which a queue with impatient requests is mostly chance."""


def untrusted_zones(scenario: Scenario) -> list[Zone]:
    """Pools whose mean rates may not be trusted at peak demand, today or after losing a region.

    `noise: auto` simulates single requests where a pod is busier than `noise_above` whose callers retry, or whose full
    queue does not fit its memory (`traffic.gears`), so only what it leaves to mean rates is named.
    """
    model = scenario.model
    if model.noise == "always":
        return []
    retried = _retried(scenario)
    delicate = retried | {fit.service for fit in queue_fits(scenario) if not fit.fits}
    found: dict[Pool, Zone] = {}
    for lost in ("", *_losable(scenario)):
        for pool, utilisation in utilisations(scenario, lost).items():
            if pool in found:
                continue
            by_mean = model.noise == "never" or pool[1] not in delicate or utilisation <= model.noise_above
            # What `auto` leaves to mean rates ends at `noise_above`.
            busy = round(utilisation if by_mean else model.noise_above, 4)
            impatient = scenario.services[pool[1]].patience is not None
            n_pods = scenario.place[pool[0]][pool[1]]
            kill_s = pool_kill_time_s(scenario.services[pool[1]], busy, n_pods) if busy < 1.0 else math.inf
            if by_mean and pool[1] in retried and utilisation > model.noise_above:
                found[pool] = Zone(*pool, lost, busy, Reason.RETRIES)
            elif kill_s < KILLED_WITHIN_S:
                found[pool] = Zone(*pool, lost, busy, Reason.MEMORY, round(kill_s, 3))
            elif by_mean and impatient and NEAR_SATURATION[0] <= utilisation <= NEAR_SATURATION[1]:
                found[pool] = Zone(*pool, lost, busy, Reason.PATIENCE)
    return list(found.values())


KILLED_WITHIN_S = 3600.0
"""Peak demand lasts an hour: a pod that chance kills within it is in doubt."""


def pool_kill_time_s(service: Service, utilisation: float, n_pods: int) -> float:
    """Mean time until one of the pods of a pool is killed, whose hottest has this utilisation; see `kill_time_s`."""
    shares = load_shares(service, n_pods, n_pods)
    rates = [1.0 / kill_time_s(service, utilisation * share / max(shares)) for share in shares]
    return 1.0 / sum(rates) if sum(rates) > 0.0 else math.inf


def kill_time_s(service: Service, utilisation: float) -> float:
    """Mean time until so many requests are inside an empty pod that its memory reaches the limit, s.

    Parameters
    ----------
    service : Service
        Its pods; without memory, or with a queue that fits, they are never killed.
    utilisation : float
        Offered load over slots, above 0.

    Notes
    -----
    First passage of M/M/c: h_k = (1 + d_k h_(k-1)) / rate from k to k + 1 requests, d_k departures per second with k
    inside (W. Feller, An Introduction to Probability Theory, vol. 1, birth and death processes). A slot is taken to be
    held for the own work.
    """
    memory = service.memory
    if memory is None or memory.per_request == 0.0 or full_queue_mib(service) < memory.limit or utilisation <= 0.0:
        return math.inf
    n_killed = math.ceil((memory.limit - memory.base) / memory.per_request)
    rate = utilisation * service.slots / service.work
    climb_s, total_s = 0.0, 0.0
    for k in range(n_killed):
        climb_s = (1.0 + min(k, service.slots) / service.work * climb_s) / rate
        total_s += climb_s
        if total_s > 1e12:
            return math.inf
    return total_s


def _retried(scenario: Scenario) -> set[str]:
    """Services that somebody asks again when they fail, directly or further up on the way of the calls."""
    open_ends = [p.journey for p in scenario.populations.values() if p.attempts > 1]
    for service in scenario.services.values():
        open_ends += [callee for callee, call in service.calls.items() if call.attempts > 1 and not call.handoff]
    found: set[str] = set()
    while open_ends:
        name = open_ends.pop()
        if name not in found:
            found.add(name)
            open_ends += scenario.services[name].calls
    return found


def _losable(scenario: Scenario) -> list[str]:
    """Regions whose loss sends their load to another one."""
    regions = [region for region, pods in scenario.place.items() if any(pods.values())]
    return regions if len(regions) > 1 and moves_load(scenario) else []


def moves_load(scenario: Scenario) -> bool:
    """Whether something moves load to another region: the failover policy, or a step of the runbook."""
    if scenario.failover.policy in ("active-passive", "active-active"):
        return True
    steps = scenario.operations.runbook if scenario.operations is not None else {}
    return any((step.action or name) == "failover" for name, step in steps.items())


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


def utilisations(scenario: Scenario, lost: str = "", *, retries: bool = False) -> dict[Pool, float]:
    """Utilisation of the hottest pod of each pool at the highest demand of the horizon.

    Parameters
    ----------
    scenario : Scenario
        The architecture.
    lost : str
        Region that is gone; empty for none.
    retries : bool
        Every attempt fails and is repeated as often as callers and users do, instead of first attempts only.

    Returns
    -------
    dict of (region, service) to float
        Pools that are reached; infinite where each round of a circle of calls brings forth the next one.
    """
    entering: dict[Pool, float] = {}
    years = scenario.horizon / YEAR_S
    for population in scenario.populations.values():
        per_s = peak_demand(population) * max(1.0, (1.0 + population.growth) ** years)
        per_s *= _attempts_of_users(population) if retries else 1.0
        for region, share in _shares_of(scenario, population, lost).items():
            pool = (region, population.journey)
            entering[pool] = entering.get(pool, 0.0) + per_s * share
    rates = _rates(scenario, entering, lost, retries=retries)
    holding = holding_s(scenario)
    return {pool: _utilisation(scenario, pool, per_s, holding[pool[1]]) for pool, per_s in rates.items()}


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


def _hottest(scenario: Scenario, lost: str) -> HotPod:
    first = utilisations(scenario, lost)
    if not first:
        return HotPod("", "", lost, 0.0, 0.0, "", "")
    repeated = utilisations(scenario, lost, retries=True)
    (region, service), utilisation = max(first.items(), key=lambda item: item[1])
    (other_region, other), with_retries = max(repeated.items(), key=lambda item: item[1])
    circle = next(iter(circles_of(scenario.services)), []) if math.isinf(with_retries) else []
    return HotPod(region, service, lost, utilisation, with_retries, other_region, other, tuple(circle))


def _rates(scenario: Scenario, entering: Mapping[Pool, float], lost: str, *, retries: bool) -> dict[Pool, float]:
    """Requests per second of all pools that are reached."""
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
    """Where calls go: the caller's region, else the first that has the service."""
    with_callee = [r for r, pods in scenario.place.items() if pods.get(callee, 0) and r != lost]
    return region if region in with_callee else next(iter(with_callee), None)


def _attempts_of_users(population: Population) -> float:
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


def _utilisation(scenario: Scenario, pool: Pool, per_s: float, held_s: float) -> float:
    """Busy slots b = rate (S (1 + contention b) + calls), over the slots."""
    region, name = pool
    service = scenario.services[name]
    n_pods = scenario.place[region][name]
    per_pod_s = per_s / n_pods * _hottest_share(service, n_pods)
    left = 1.0 - per_pod_s * service.work * service.contention
    return per_pod_s * held_s / service.slots / left if left > 0.0 else math.inf


def _hottest_share(service: Service, n_pods: int) -> float:
    """Load of the most loaded pod over the mean."""
    if service.load_shares is None:
        return 1.0 + service.imbalance if n_pods > 1 else 1.0
    given = [service.load_shares[k % len(service.load_shares)] for k in range(n_pods)]
    return max(given) * n_pods / sum(given)
