"""Request-level model of a whole network: every request, attempt, timer, queue place, call, memory byte and OOM kill.

Purpose: an independent witness against which the data plane of the engine is tested.  It reads the same scenario, and
imports nothing of the engine (traffic, world, measures, study); nothing there imports this module.

Parts: `network_clients` (users), `network_pods` (queues, work, death), `network_memory`, `network_calls` (calls between
services), `network_watch` (probes, autoscaler), `network_script` (what happens at stated times), `network_faults`
(scheduled faults of a scenario as a script), `network_start` (begin in the middle), `network_run` (what comes out),
`network_kit` (timers and counters).  The notes of each part name the choices it makes.

Notes
-----
SimPy keeps the clock and the order of events; every event is a bare timeout with one callback.  Demand goes on after
the horizon until what arrived before has ended (`settle_s`), so that the last seconds are judged under the same load.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import simpy

from sim.oracles.network_calls import Edge
from sim.oracles.network_clients import (
    DEMAND_STEP_S,
    Demand,
    Group,
    Routes,
    constant_demand,
    home_targets,
    provider_gate,
)
from sim.oracles.network_faults import scheduled_script
from sim.oracles.network_jobs import Pod
from sim.oracles.network_kit import after
from sim.oracles.network_memory import PodMemoryState
from sim.oracles.network_player import Player
from sim.oracles.network_pods import Pool
from sim.oracles.network_run import BIN_S, EdgeTotals, NetworkStart, PoolTotals, RequestRun
from sim.oracles.network_sampler import Sampler
from sim.oracles.network_script import Script
from sim.oracles.network_start import begin
from sim.oracles.network_watch import Autoscaler, Prober
from sim.scenario.schema import Population, Scenario, Service

__all__ = ["Network", "run_requests"]

_SETTLE_MOST_S = 300.0


def run_requests(
    scenario: Scenario,
    *,
    rng: np.random.Generator,
    script: Script | None = None,
    start: NetworkStart | None = None,
    demand: Demand | None = None,
    horizon_s: float | None = None,
    window_start_s: float | None = None,
    settle_s: float | None = None,
) -> RequestRun:
    """Play a scenario request by request.

    Parameters
    ----------
    scenario : Scenario
        A resolved architecture.
    rng : numpy.random.Generator
        The only source of chance; the same state gives the same run.
    script : Script, optional
        What happens at stated times. Default: the scheduled faults of the scenario (`scheduled_script`).
    start : NetworkStart, optional
        Where it begins. Default: empty and warm at 0.
    demand : callable, optional
        (population, time in s since the scenario's start) -> requests per second. Default: that of constant calendars.
    horizon_s : float, optional
        End, s since the scenario's start, after the begin. Default: the scenario's horizon.
    window_start_s : float, optional
        Averages of pools count from here. Default: the begin.
    settle_s : float, optional
        How long the run goes on after the horizon so that requests that arrived before can end, >= 0. Default: the
        longest life of a request, 300 s at most.

    Returns
    -------
    RequestRun
        Totals, bins by arrival, curves, kills.

    Raises
    ------
    ValueError
        If the demand is not constant and no demand function is given, or the scenario has faults that no script can
        stand for (see `scheduled_script`), or the horizon is not after the begin.
    """
    start = NetworkStart() if start is None else start
    script = scheduled_script(scenario) if script is None else script
    end_s = scenario.horizon if horizon_s is None else horizon_s
    if not end_s > start.at_s:
        raise ValueError(f"the horizon ({end_s!r} s) must be after the begin ({start.at_s!r} s)")
    network = Network(scenario, start, demand, end_s, rng)
    return network.run(script, start.at_s if window_start_s is None else window_start_s, settle_s)


def longest_life_s(population: Population) -> float:
    """Longest time from a user's request to its end, s."""
    n_pauses = population.attempts - 1
    pauses = [population.backoff * population.backoff_growth**k for k in range(n_pauses)]
    stretch = 5.0 if population.jitter == "exponential" else 1.0
    return population.attempts * population.deadline + stretch * math.fsum(pauses)


def load_shares(service: Service, placed: int, n: int) -> list[float]:
    """Relative load of each pod: those given, or evenly spread over 1 -+ imbalance; pods added later take the mean."""
    if service.load_shares is not None:
        given = service.load_shares
        return [given[k % len(given)] if k < placed else 1.0 for k in range(n)]
    if placed < 2:
        return [1.0] * n
    return [1.0 + service.imbalance * (2.0 * k / (placed - 1) - 1.0) if k < placed else 1.0 for k in range(n)]


def pod_bounds(service: Service, placed: int) -> tuple[int, int]:
    """(slots, queue) of a pod: what load shedding over all placed pods leaves of it."""
    if service.shed_above is None:
        return service.slots, service.queue
    room = max(1, service.shed_above // max(placed, 1))
    return min(service.slots, room), max(0, min(service.slots + service.queue, room) - service.slots)


class Network:
    """All pools, calls and users of one architecture."""

    def __init__(
        self, scenario: Scenario, start: NetworkStart, demand: Demand | None, end_s: float, rng: np.random.Generator
    ) -> None:
        self.scenario = scenario
        self._is_constant = demand is None
        demand = constant_demand(scenario) if demand is None else demand
        self.env = simpy.Environment(initial_time=start.at_s)
        self.end_s = end_s
        self.kills: list[tuple[float, str, str]] = []
        # Children by name, so that more work in one place does not shift the arrivals of another.
        of_pools, of_edges, of_groups, of_start = rng.spawn(4)
        self.pools: dict[tuple[str, str], Pool] = {}
        self.pod_pools: dict[str, Pool] = {}
        self.pods: dict[str, Pod] = {}
        placed = [(r, s, n) for r, services in scenario.place.items() for s, n in services.items() if n > 0]
        for (region, name, n), child in zip(placed, of_pools.spawn(len(placed)), strict=True):
            self._add_pool(region, name, n, child)
        wanted = [(region, name, callee) for region, name in self.pools for callee in scenario.services[name].calls]
        self.edges: dict[tuple[str, str, str], Edge] = {}
        for (region, name, callee), child in zip(wanted, of_edges.spawn(len(wanted)), strict=True):
            caller, spec = self.pools[region, name], scenario.services[name].calls[callee]
            edge = Edge(self.env, spec, caller, self._callee(region, callee), child)
            caller.edges.append(edge)
            self.edges[region, name, callee] = edge
        self.groups: dict[str, Group] = {}
        populations = scenario.populations.items()
        for (name, population), child in zip(populations, of_groups.spawn(len(populations)), strict=True):
            self.groups[name] = self._group(name, population, start, demand, child)
        begin(self, start, of_start)

    def _add_pool(self, region: str, name: str, placed: int, rng: np.random.Generator) -> None:
        service = self.scenario.services[name]
        most = service.autoscale.most if service.autoscale is not None else 0
        n = max(placed, most) + self._added_by_hand(name)
        bounds = pod_bounds(service, placed)
        pods = []
        for k, share in enumerate(load_shares(service, placed, n)):
            memory = None if service.memory is None else PodMemoryState(service.memory, self.env.now)
            pods.append(Pod(f"{region}/{name}/{k + 1}", share, *bounds, memory))
        pool = Pool(self.env, f"{region}/{name}", service, pods, rng)
        pool.on_kill = lambda pod, reason: self.kills.append((self.env.now, pod.name, reason))
        self.pools[region, name] = pool
        for pod in pods:
            self.pods[pod.name], self.pod_pools[pod.name] = pod, pool
        # The probers listen before the first pod gets ready.
        if service.liveness is not None:
            Prober(self.env, pool, service.liveness, liveness=True)
        if service.readiness is not None:
            Prober(self.env, pool, service.readiness, liveness=False)
        if service.autoscale is not None:
            Autoscaler(self.env, pool, service.autoscale, placed)

    def _added_by_hand(self, service: str) -> int:
        operations = self.scenario.operations
        if operations is None:
            return 0
        steps = [*operations.runbook.items(), *operations.script.items()]
        return sum(
            step.pods
            for name, step in steps
            if (step.action or name) == "scale_out" and step.service == service and step.pods is not None
        )

    def _callee(self, region: str, service: str) -> Pool:
        """A dependency that is not placed in the caller's region is called where it is placed first."""
        here = self.pools.get((region, service))
        return here if here is not None else next(pool for (_, s), pool in self.pools.items() if s == service)

    def _group(
        self, name: str, spec: Population, start: NetworkStart, demand: Demand, rng: np.random.Generator
    ) -> Group:
        targets = home_targets(self.scenario, spec)
        now_shares = start.shares.get(name, targets)
        routes = Routes(start.at_s, now_shares, targets, self.scenario.failover.ttl)
        entries = {region: pool for (region, service), pool in self.pools.items() if service == spec.journey}
        provider = provider_gate(self.scenario.failover, spec)
        return Group(self.env, name, spec, entries, routes, provider, demand, self.end_s, rng)

    # --- time

    def run(self, script: Script, window_start_s: float, settle_s: float | None) -> RequestRun:
        """Play the script and collect what it showed."""
        env, start_s = self.env, self.env.now
        Player(self, script)
        sampler = Sampler(self)
        for group in self.groups.values():
            group.refresh_demand()
        if not self._is_constant:
            after(env, DEMAND_STEP_S, self._on_demand_step)
        areas = dict.fromkeys(self.pools.values(), (0.0, 0.0, 0.0))
        if window_start_s > start_s:
            env.run(until=window_start_s)
            for pool in areas:
                pool.book()
                areas[pool] = (pool.inside_area, pool.waiting_area, pool.ready_area)
        env.run(until=self.end_s)
        sampler.sample()
        pools = {pool.name: self._pool_totals(pool, areas[pool], window_start_s) for pool in self.pools.values()}
        edges = {key: self._edge_totals(edge) for key, edge in self.edges.items()}
        attempts = {name: (g.attempts, g.throttled, g.by_provider) for name, g in self.groups.items()}
        kills = list(self.kills)
        if settle_s is None:
            lives = [longest_life_s(population) + 1.0 for population in self.scenario.populations.values()]
            settle_s = min(max(lives, default=0.0), _SETTLE_MOST_S)
        while any(group.open for group in self.groups.values()) and env.now < self.end_s + settle_s:
            env.run(until=min(env.now + BIN_S, self.end_s + settle_s))
        return RequestRun(
            start_s=start_s,
            horizon_s=self.end_s,
            populations={name: group.totals(*attempts[name]) for name, group in self.groups.items()},
            pools=pools,
            edges=edges,
            bin_offered={name: np.array(g.bin_offered, dtype=np.int64) for name, g in self.groups.items()},
            bin_good={name: np.array(g.bin_good, dtype=np.int64) for name, g in self.groups.items()},
            bin_first_good={name: np.array(g.bin_first_good, dtype=np.int64) for name, g in self.groups.items()},
            curves=sampler.curves(),
            oom_kills=tuple((at_s, pod) for at_s, pod, reason in kills if reason == "oom"),
            liveness_kills=tuple((at_s, pod) for at_s, pod, reason in kills if reason == "liveness"),
        )

    def _on_demand_step(self, _: Any) -> None:
        after(self.env, DEMAND_STEP_S, self._on_demand_step)
        for group in self.groups.values():
            if group.demand_now() != group.rate_per_s:
                group.refresh_demand()

    def _pool_totals(self, pool: Pool, before: tuple[float, float, float], window_start_s: float) -> PoolTotals:
        pool.book()
        window_s = self.end_s - window_start_s
        return PoolTotals(
            offered=pool.offered,
            rejected=pool.rejected,
            queued=pool.queued,
            done=pool.done,
            failed=pool.failed,
            left=pool.left,
            cancelled=pool.cancelled,
            dropped=pool.dropped,
            lost=pool.lost,
            inside_mean=(pool.inside_area - before[0]) / window_s,
            waiting_mean=(pool.waiting_area - before[1]) / window_s,
            ready_mean=(pool.ready_area - before[2]) / window_s,
        )

    @staticmethod
    def _edge_totals(edge: Edge) -> EdgeTotals:
        return EdgeTotals(
            calls=edge.calls,
            attempts=edge.attempts,
            good=edge.good,
            blocked=edge.blocked,
            throttled=edge.throttled,
            hedged=edge.hedged,
            handed=edge.handed,
            opened_at_s=() if edge.breaker is None else tuple(edge.breaker.opened_at_s),
        )
