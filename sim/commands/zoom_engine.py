"""What the engine hands to the request-level model for a window of a trial: state at its begin, and what happens in it.

The glue between the two: the only place that knows both.  The engine's mean rates and the request-level model share
nothing else.

Notes
-----
The state at the begin, in whole requests: the mean number inside each pod, rounded up with the probability of its
fraction.  Users still wait for as many of those in an entry pod as the engine has booked to end well (its `credit`),
the newest ones; the clients of all others are among those that will retry, which the engine counts from the moment at
which the attempt that will fail was sent, so that they retry evenly spread over the time that this takes.  While the
engine plays single requests itself there is no credit, and users wait for those that came within their deadline.
Throttles and retry budgets begin without a history.

From the control plane come: pods stopped and started (but for OOM kills, failed liveness probes, autoscaling, and the
restarts that follow these: the request-level model has its own), conditions, memory that faults take, limits, shedding,
reachability, attempts, demand factors, provider and routing targets.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np

from sim.oracles.network_run import NetworkStart, PodStart
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
from sim.report.zoom import PoolCurves
from sim.scenario.schema import Scenario
from sim.traffic.demand import demand_curve
from sim.traffic.engine import Traffic
from sim.traffic.layout import (
    EDGE_ATTEMPTS,
    EDGE_GATE,
    EDGE_REACHABLE,
    FLOW_FAIL_S,
    GROUP_ATTEMPTS,
    GROUP_FACTOR,
    GROUP_PROVIDER_OK,
    GROUP_PROVIDER_QUOTA,
    HEAD_ROOM,
    HEAD_SLOTS,
    N_STAGES,
    POD_ERROR_SHARE,
    POD_LIMIT_MIB,
    POD_PER_REQUEST_MIB,
    POD_ROOM_AT_S,
    POD_ROOM_LOSS,
    POD_ROOM_MIB,
    POD_SLOW,
    POD_TABLE,
    POOL_REACHABLE,
    ROUTE_TARGET,
    TABLE_HEAD,
    Floats,
)
from sim.traffic.rates import retry_pause_s
from sim.world.log import TOTALS, Kind, Record, TrialRecord
from sim.world.pods import Pod, PodState
from sim.world.trial import Trial

CAUSE: Final = "engine"
_SAMPLE_S: Final = 1.0
_SAMPLES_MOST: Final = 3600
OFFERED, GOOD = TOTALS.index("offered"), TOTALS.index("good")


@dataclass(frozen=True)
class DemandCurves:
    """Demand of all populations as the engine has it: (distance s, n, 1 for lines, n values in 1/s) by name."""

    curves: dict[str, Floats]

    def __call__(self, population: str, at_s: float) -> float:
        """Requests per second."""
        distance_s, n, lines, *_ = curve = self.curves[population]
        values = np.asarray(curve[3 : 3 + int(n)])
        place = min(at_s / distance_s, n - 1.0)
        left = int(place)
        if not lines or left + 1 >= n:
            return float(values[left])
        return float(values[left] + (place - left) * (values[left + 1] - values[left]))


@dataclass(frozen=True)
class Begin:
    """State of the engine at the begin of the window, in means."""

    inside: dict[str, float]
    awaited: dict[str, float]
    """By pod of an entry pool: requests that somebody waits for."""
    pods: dict[str, PodStart]
    retrying: dict[str, list[float]]
    retry_within_s: dict[str, float]
    shares: dict[str, dict[str, float]]
    breakers: dict[tuple[str, str, str], float]
    totals: Floats
    at_s: float

    def drawn(self, rng: np.random.Generator) -> NetworkStart:
        """In whole requests."""

        def whole(mean: float) -> int:
            return int(mean + rng.random())

        pods = {}
        for name, pod in self.pods.items():
            inside = whole(self.inside[name])
            awaited = min(inside, whole(self.awaited[name])) if name in self.awaited else None
            pods[name] = PodStart(
                inside, awaited, pod.ready, pod.ready_in_s, pod.used_mib, pod.age_s, pod.crashes, pod.limit_mib
            )
        return NetworkStart(
            at_s=self.at_s,
            pods=pods,
            retrying={name: tuple(whole(n) for n in waiting) for name, waiting in self.retrying.items()},
            retry_within_s=self.retry_within_s,
            shares=self.shares,
            breakers=self.breakers,
        )


class _Sampler:
    """Looks at the engine's pools at even distances: its trace has gaps of 10 s, in which a pod may come and go."""

    def __init__(self, trial: Trial, from_s: float, for_s: float) -> None:
        self._trial = trial
        self._rows: list[tuple[float, list[float], list[float], list[float]]] = []
        step_s = max(_SAMPLE_S, for_s / _SAMPLES_MOST)
        for k in range(math.ceil(for_s / step_s - 1e-9)):
            trial.context.after(from_s + k * step_s, self.look)

    def look(self) -> None:
        """Note what is there now."""
        trial, traffic = self._trial, self._trial.traffic
        pools = range(len(traffic.names.pools))
        self._rows.append(
            (
                traffic.now_s,
                [traffic.in_flight(i) for i in pools],
                [float(trial.fleet.n_ready(i)) for i in pools],
                [self._fullest_mib(i) for i in pools],
            )
        )

    def _fullest_mib(self, pool: int) -> float:
        traffic = self._trial.traffic
        most = math.nan
        if self._trial.fleet.services[pool].memory is None:
            return most
        for row in traffic.pods_of[pool]:
            if traffic.is_ready(row):
                pod = traffic.net.pods[row]
                room = pod[POD_ROOM_MIB] - pod[POD_ROOM_LOSS] * (traffic.now_s - pod[POD_ROOM_AT_S])
                used = pod[POD_LIMIT_MIB] - room + pod[POD_PER_REQUEST_MIB] * traffic.state[row]
                most = float(np.fmax(most, used))
        return most

    def curves(self) -> PoolCurves:
        """All samples."""
        times_s, inside, ready, memory = zip(*self._rows, strict=True)
        return PoolCurves(np.array(times_s), np.array(inside), np.array(ready), np.array(memory))


@dataclass(frozen=True)
class EngineWindow:
    """A window of a trial as the engine played it."""

    begin: Begin
    script: Script
    demand: DemandCurves
    record: TrialRecord
    totals: Floats
    """(n_populations, N_TOTALS) integrals within the window."""
    pools: PoolCurves

    @property
    def oom_kills(self) -> list[Record]:
        """OOM kills within the window."""
        return [r for r in self.record.records if r.kind is Kind.OOM_KILL and r.at_s >= self.begin.at_s]


def play_window(scenario: Scenario, architecture: str, trial: int, from_s: float, for_s: float) -> EngineWindow:
    """Play a trial of the engine up to the end of a window (s since the start), and note what it did in it."""
    # A shorter horizon changes nothing before it: every draw is keyed by what it is for.
    shorter = scenario.model_copy(update={"horizon": from_s + for_s})
    played = Trial(shorter, architecture, trial, keep=True)
    notes = _Notes(played)
    begun: list[Begin] = []

    def begin() -> None:
        begun.append(_begin(played, from_s))
        notes.begin()

    if from_s > 0.0:
        played.context.after(from_s, begin)
    else:
        begin()
    sampler = _Sampler(played, from_s, for_s)
    record = played.run()
    sampler.look()
    totals = record.totals - begun[0].totals
    curves = {name: demand_curve(p, scenario.start, from_s + for_s) for name, p in scenario.populations.items()}
    return EngineWindow(begun[0], notes.script(record.records), DemandCurves(curves), record, totals, sampler.curves())


# --- the state at the begin


def _begin(trial: Trial, at_s: float) -> Begin:
    traffic, scenario = trial.traffic, trial.context.scenario
    state, layout, names = traffic.state, traffic.layout, traffic.names
    entries = {p.journey for p in scenario.populations.values()}
    inside = {pod.name: max(float(state[layout.in_flight + pod.row]), 0.0) for pod in trial.fleet.pods}
    awaited = {
        pod.name: min(_awaited(trial, pod), inside[pod.name]) for pod in trial.fleet.pods if pod.service in entries
    }
    retrying, within_s, shares = {}, {}, {}
    n_stages, n_regions = int(traffic.net.counts[N_STAGES]), len(names.regions)
    for g, name in enumerate(names.populations):
        orbit = layout.orbit + g * n_stages
        n_retries = scenario.populations[name].attempts - 1
        retrying[name] = [max(float(v), 0.0) for v in state[orbit : orbit + n_retries]]
        within_s[name] = retry_pause_s(traffic.net.groups, g, 0) + float(traffic.net.group_algebra[g, FLOW_FAIL_S])
        at = layout.share + g * n_regions
        shares[name] = {region: float(state[at + r]) for r, region in enumerate(names.regions)}
    return Begin(
        inside=inside,
        awaited=awaited,
        pods={pod.name: _pod_start(pod, trial, at_s) for pod in trial.fleet.pods},
        retrying=retrying,
        retry_within_s=within_s,
        shares=shares,
        breakers=_breakers(trial, at_s),
        totals=_totals(traffic),
        at_s=at_s,
    )


def _totals(traffic: Traffic) -> Floats:
    return np.array([traffic.totals(g) for g in range(len(traffic.names.populations))])


def _awaited(trial: Trial, pod: Pod) -> float:
    traffic = trial.traffic
    if not traffic.plays_requests:
        return max(float(traffic.state[traffic.layout.credit + pod.row]), 0.0)
    deadlines = [p.deadline for p in trial.context.scenario.populations.values() if p.journey == pod.service]
    n_ready = max(trial.fleet.n_ready(pod.pool), 1)
    return traffic.offered(pod.pool) / n_ready * max(deadlines)


def _pod_start(pod: Pod, trial: Trial, at_s: float) -> PodStart:
    spec = trial.fleet.services[pod.pool].memory
    is_ready = pod.state is PodState.READY
    used_mib = None
    if spec is not None and is_ready:
        # What faults take comes with the script; this is what is there without them.
        used_mib = spec.base + pod.leaked_mib + pod.leak_rate * (at_s - pod.leak_at_s)
    age_s = at_s - pod.started_s if pod.n_starts or pod.started_s else math.inf
    limit_mib = pod.limit_mib if spec is not None else None
    return PodStart(ready=is_ready, used_mib=used_mib, age_s=age_s, crashes=pod.n_crashes, limit_mib=limit_mib)


def _breakers(trial: Trial, at_s: float) -> dict[tuple[str, str, str], float]:
    """Breakers that are not closed, and how long they stay open."""
    context, names = trial.context, trial.traffic.names
    found = {}
    for e, (caller, _, callee) in enumerate(names.edges):
        region, service = names.pools[caller]
        spec = context.scenario.services[service].calls[callee].breaker
        gate = float(trial.traffic.net.edges[e, EDGE_GATE])
        if spec is None or gate == 1.0:
            continue
        open_s = 0.0
        if gate == 0.0:
            said = f"{service} to {callee}: open"
            opened = [
                r.at_s for r in context.records if r.kind is Kind.BREAKER and (r.region, r.what) == (region, said)
            ]
            open_s = max(spec.open - (at_s - opened[-1]), 1e-6)
        found[region, service, callee] = open_s
    return found


# --- what happens in the window


@dataclass
class _Notes:
    """Notes of what the control plane does, as happenings."""

    trial: Trial
    happenings: list[Happening] = field(default_factory=list)
    _life: list[tuple[float, str, bool]] = field(default_factory=list)
    """(time s, pod, whether it started) in order."""
    _ready: set[str] = field(default_factory=set)
    _present: set[str] = field(default_factory=set)
    _attempts: dict[tuple[str, int], int] = field(default_factory=dict)
    _limits: dict[str, float] = field(default_factory=dict)

    def begin(self) -> None:
        """Note the state of now, and from now on what changes it."""
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
        traffic.journal = self._note

    def script(self, records: Iterable[Record]) -> Script:
        """All happenings, without the deaths that the request-level model has its own of, and what follows them."""
        own = {(r.at_s, r.pod) for r in records if _is_of_the_model(r)}
        stopped = {pod for pod in self._present if pod not in self._ready}
        found = list(self.happenings)
        for at_s, name, started in self._life:
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
        getattr(self, name)(*args, **kwargs)

    @property
    def _now_s(self) -> float:
        return self.trial.context.now_s

    def _pod(self, row: int) -> Pod:
        return self.trial.fleet.pods[row]

    def start_pod(self, row: int, **_: Any) -> None:
        """A pod is ready."""
        self._life.append((self._now_s, self._pod(row).name, True))

    def stop_pod(self, row: int) -> None:
        """A pod is gone."""
        self._life.append((self._now_s, self._pod(row).name, False))

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
