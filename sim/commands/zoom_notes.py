"""What the control plane does in a window of a trial, noted as happenings for the request-level model.

Notes
-----
From the control plane come: pods stopped and started (but for OOM kills, failed liveness probes, autoscaling, and the
restarts that follow these: the request-level model has its own), conditions, memory that faults take, limits, shedding,
reachability, attempts, demand factors, provider and routing targets.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

from sim.oracles.network_script import (
    Attempts,
    DemandFactor,
    EdgeReach,
    Happening,
    PodBounds,
    PodCondition,
    PodLimit,
    PodMemoryUse,
    PodStarts,
    PodStops,
    PoolReach,
    ProviderState,
    Routing,
    Script,
)
from sim.traffic.layout import (
    EDGE_ATTEMPTS,
    EDGE_REACHABLE,
    GROUP_ATTEMPTS,
    GROUP_FACTOR,
    GROUP_PROVIDER_OK,
    GROUP_PROVIDER_QUOTA,
    HEAD_ROOM,
    HEAD_SLOTS,
    POD_ERROR_SHARE,
    POD_SLOW,
    POD_TABLE,
    POOL_REACHABLE,
    ROUTE_TARGET,
    TABLE_HEAD,
    Floats,
)
from sim.world.log import Kind, Record
from sim.world.pods import Pod, PodState
from sim.world.trial import Trial

CAUSE: Final = "engine"


@dataclass
class Notes:
    """Notes of what the control plane does, as happenings.

    Parameters
    ----------
    trial : Trial
        The trial, played to the begin of the window.
    begin_s : float
        Begin of the window, s since the start.
    """

    trial: Trial
    begin_s: float
    happenings: list[Happening] = field(default_factory=list)
    _life: list[tuple[float, str, bool, float]] = field(default_factory=list)
    """(time s, pod, whether it started, requests inside its pool then) in order."""
    _ready: set[str] = field(default_factory=set)
    _present: set[str] = field(default_factory=set)
    _attempts: dict[tuple[str, int], int] = field(default_factory=dict)
    _limits: dict[str, float] = field(default_factory=dict)

    def begin(self) -> None:
        """Note the state of the begin."""
        trial, traffic = self.trial, self.trial.traffic
        net, names = traffic.net, traffic.names
        self._ready = {pod.name for pod in trial.fleet.pods if pod.state is PodState.READY}
        self._present = {pod.name for pod in trial.fleet.pods if pod.state is not PodState.ABSENT}
        for pod in trial.fleet.pods:
            self._limits[pod.name] = pod.limit_mib
            self.set_condition(pod.row)
            self._bounds([pod.row])
            if pod.state is PodState.READY:
                self.set_memory(pod.row)
        for i in range(len(names.pools)):
            self.set_reachable(i, bool(net.pools[i, POOL_REACHABLE]))
        for e in range(len(names.edges)):
            self.set_edge_reachable(e, bool(net.edges[e, EDGE_REACHABLE]))
        self.set_attempts(net.edges[:, EDGE_ATTEMPTS], net.groups[:, GROUP_ATTEMPTS])
        for g in range(len(names.populations)):
            self.set_demand_factor(g, float(net.groups[g, GROUP_FACTOR]))
            ok_share, quota_per_s = net.groups[g, [GROUP_PROVIDER_OK, GROUP_PROVIDER_QUOTA]]
            self.set_provider(g, ok_share=float(ok_share), quota_per_s=float(quota_per_s))
            self.set_targets(g, [float(v) for v in net.routes[g, :, ROUTE_TARGET]])

    def follow(self, trial: Trial) -> None:
        """Note from the begin on what changes, while another run of the same trial plays on through the window."""
        self.trial = trial
        trial.traffic.journal = self._note

    def ready_changes(self) -> list[tuple[float, int, int, float]]:
        """(time s, pool, change of ready pods, requests inside the pool after that) from the begin on, in order."""
        ready, found = set(self._ready), []
        for at_s, name, started, inside in self._life:
            if started != (name in ready):
                (ready.add if started else ready.discard)(name)
                found.append((at_s, self.trial.fleet.by_name[name].pool, 1 if started else -1, inside))
        return found

    def script(self, records: Iterable[Record]) -> Script:
        """All happenings, without the deaths that the request-level model has its own of, and what follows them."""
        own = {(r.at_s, r.pod) for r in records if _is_of_the_model(r)}
        stopped = {pod for pod in self._present if pod not in self._ready}
        found = list(self.happenings)
        for at_s, name, started, _ in self._life:
            pod = self.trial.fleet.by_name[name]
            if started:
                scales_itself = self.trial.fleet.services[pod.pool].autoscale is not None and not pod.for_people
                if name in stopped or (name not in self._present and not scales_itself):
                    found.append(PodStarts(at_s, name, CAUSE, startup=False))
                stopped.discard(name)
            elif (at_s, name) not in own:
                found.append(PodStops(at_s, name, CAUSE))
                stopped.add(name)
            self._present.add(name)
        return Script(tuple(found))

    def _note(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        if self.trial.context.now_s >= self.begin_s:
            getattr(self, name)(*args, **kwargs)

    @property
    def _now_s(self) -> float:
        # A trial played to the begin has seen nothing of that moment yet.
        return max(self.trial.context.now_s, self.begin_s)

    def _pod(self, row: int) -> Pod:
        return self.trial.fleet.pods[row]

    def start_pod(self, row: int, **_: Any) -> None:
        """A pod is ready."""
        self._note_life(row, started=True)

    def stop_pod(self, row: int) -> None:
        """A pod is gone."""
        self._note_life(row, started=False)

    def _note_life(self, row: int, *, started: bool) -> None:
        pod, traffic = self._pod(row), self.trial.traffic
        # Single requests are recorded at even times; rows more, without those just before a kill, would shift means.
        inside = math.nan if traffic.plays_requests else traffic.in_flight(pod.pool)
        self._life.append((self._now_s, pod.name, started, inside))

    def set_listed(self, row: int, listed: bool) -> None:
        """Routing follows death, probes and scaling: the request-level model does that itself."""

    def set_breaker(self, edge: int, **_: Any) -> None:
        """It has its own breakers."""

    def set_per_request(self, row: int, per_request_mib: float) -> None:
        """Comes with `set_memory`."""

    def set_memory(self, row: int, **_: Any) -> None:
        """What faults take of a pod's memory, and its limit."""
        pod, now_s = self._pod(row), self._now_s
        spec = self.trial.fleet.services[pod.pool].memory
        if spec is None:
            return
        if self._limits[pod.name] != pod.limit_mib:
            self._limits[pod.name] = pod.limit_mib
            self.happenings.append(PodLimit(now_s, pod.name, pod.limit_mib))
        extra_mib, growth = pod.added.grown(now_s)
        leak, factor = sum(pod.added.leak.values()), math.prod(pod.added.factor.values())
        self.happenings.append(PodMemoryUse(now_s, pod.name, CAUSE, extra_mib, growth, leak, factor))

    def set_condition(self, row: int, **_: Any) -> None:
        """Slowness and errors, but for cold caches, which the request-level model has itself."""
        pod = self._pod(row)
        slow, errors = (float(v) for v in self.trial.traffic.net.pods[row, [POD_SLOW, POD_ERROR_SHARE]])
        cold = self.trial.fleet.services[pod.pool].cold
        if cold is not None and pod.n_starts and self._now_s - pod.started_s < cold.for_ - 1e-6:
            slow /= cold.slow
        self.happenings.append(PodCondition(self._now_s, pod.name, CAUSE, slow, errors))

    def set_tables(self, rows: range, table: Floats) -> None:
        """Load shedding by hand."""
        self._bounds(rows)

    def _bounds(self, rows: Iterable[int]) -> None:
        net = self.trial.traffic.net
        for row in rows:
            slots, room = net.tables[int(net.pods[row, POD_TABLE]), TABLE_HEAD, [HEAD_SLOTS, HEAD_ROOM]]
            self.happenings.append(PodBounds(self._now_s, self._pod(row).name, int(slots), int(room - slots)))

    def set_reachable(self, pool: int, reachable: bool) -> None:
        """Users reach a pool, or not."""
        region, service = self.trial.traffic.names.pools[pool]
        self.happenings.append(PoolReach(self._now_s, region, service, reachable))

    def set_edge_reachable(self, edge: int, reachable: bool) -> None:
        """Calls arrive, or not."""
        self.happenings.append(EdgeReach(self._now_s, *self._edge(edge), reachable))

    def _edge(self, edge: int) -> tuple[str, str, str]:
        caller, _, callee = self.trial.traffic.names.edges[edge]
        return (*self.trial.traffic.names.pools[caller], callee)

    def set_attempts(self, edges: Floats, groups: Floats) -> None:
        """Retries are disabled, or allowed again."""
        for e, n in enumerate(edges):
            if self._attempts.get(("edge", e)) != int(n):
                self._attempts["edge", e] = int(n)
                region, caller, callee = self._edge(e)
                self.happenings.append(Attempts(self._now_s, int(n), region=region, caller=caller, callee=callee))
        for g, n in enumerate(groups):
            if self._attempts.get(("group", g)) != int(n):
                self._attempts["group", g] = int(n)
                population = self.trial.traffic.names.populations[g]
                self.happenings.append(Attempts(self._now_s, int(n), population=population))

    def set_demand_factor(self, group: int, factor: float) -> None:
        """More demand, or less."""
        population = self.trial.traffic.names.populations[group]
        self.happenings.append(DemandFactor(self._now_s, population, factor, CAUSE))

    def set_provider(self, group: int, *, ok_share: float, quota_per_s: float) -> None:
        """The other provider is well, or not."""
        if self.trial.context.scenario.failover.provider is not None:
            population = self.trial.traffic.names.populations[group]
            self.happenings.append(ProviderState(self._now_s, population, ok_share, quota_per_s))

    def set_targets(self, group: int, shares: list[float]) -> None:
        """The load is sent elsewhere."""
        names = self.trial.traffic.names
        pairs = tuple(zip(names.regions, shares, strict=True))
        self.happenings.append(Routing(self._now_s, names.populations[group], pairs))


def _is_of_the_model(record: Record) -> bool:
    """Whether a pod's end is one that the request-level model brings about itself."""
    if record.kind in (Kind.OOM_KILL, Kind.POD_REMOVED):
        return True
    return record.kind is Kind.POD_LOST and "liveness" in record.what
