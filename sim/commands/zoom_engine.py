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
from dataclasses import dataclass
from typing import Final

import numpy as np

from sim.commands.zoom_notes import Notes
from sim.oracles.network_run import NetworkStart, PodStart
from sim.oracles.network_script import (
    Script,
)
from sim.report.zoom import PoolCurves
from sim.scenario.schema import Scenario
from sim.traffic.demand import demand_curve
from sim.traffic.engine import Traffic
from sim.traffic.layout import (
    EDGE_GATE,
    FLOW_FAIL_S,
    POD_LIMIT_MIB,
    POD_PER_REQUEST_MIB,
    POD_ROOM_AT_S,
    POD_ROOM_LOSS,
    POD_ROOM_MIB,
    Floats,
)
from sim.traffic.rates import retry_pause_s
from sim.world.log import TOTALS, Kind, Record, TrialRecord
from sim.world.pods import Pod, PodState
from sim.world.trial import Trial

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
    notes = Notes(played)
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
    n_regions = len(names.regions)
    for g, name in enumerate(names.populations):
        n_retries = scenario.populations[name].attempts - 1
        retrying[name] = [max(v, 0.0) for v in traffic.waiting_by_attempts(g)[:n_retries]]
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
