"""State of the engine at the begin of a window, handed to the request-level model.

Notes
-----
While the engine plays mean rates: in whole requests, the mean number inside each pod, rounded up with the probability
of its fraction.  Users still wait for as many of those in an entry pod as the engine has booked to end well (its
`credit`), the newest ones; the clients of all others are among those that will retry, which the engine counts from the
moment at which the attempt that will fail was sent, so that they retry evenly spread over the time that this takes.

While the engine plays single requests it knows them one by one: who waits for which pod and how long, whose attempt is
lost, who tries again when, which calls are under way.  The mean rates' columns of these are empty then.

Throttles, the usable share that breakers have seen and the tokens of retry budgets are handed over.  Of mean rates a
bucket is empty while the budget holds users back, else full; that of a call is full, 10 retries too many at most.
"""

import math
from dataclasses import dataclass, field, replace

import numpy as np

from sim.oracles.network_run import CallStart, ClientStart, NetworkStart, PodStart, Remembered
from sim.traffic.crowd import EDGE_ACCEPTED, EDGE_TOKENS, EDGE_WANTED, GROUP_ACCEPTED, GROUP_TOKENS, GROUP_WANTED
from sim.traffic.engine import Traffic
from sim.traffic.layout import (
    ALG_WAIT_S,
    EDGE_CALLS,
    EDGE_GATE,
    EDGE_WINDOW_S,
    FLOW_FAIL_S,
    FLOW_RETRY_SCALE,
    GROUP_BUDGET,
    OUT_DONE,
    Floats,
)
from sim.traffic.open_requests import crowd_of, open_calls, open_requests
from sim.traffic.rates import retry_pause_s
from sim.world.log import Kind
from sim.world.pods import Pod, PodState
from sim.world.trial import Trial

_BUCKET_EMPTY_BELOW = 1.0 - 1e-6
Key = str | tuple[str, str, str]


@dataclass(frozen=True)
class Begin:
    """State of the engine at the begin of the window, in means where it has means."""

    inside: dict[str, float]
    awaited: dict[str, float]
    """By pod of an entry pool: requests that somebody waits for; empty if the pods say who does."""
    pods: dict[str, PodStart]
    retrying: dict[str, list[float]]
    retry_within_s: dict[str, tuple[float, ...]]
    shares: dict[str, dict[str, float]]
    breakers: dict[tuple[str, str, str], float]
    totals: Floats
    at_s: float
    clients: dict[str, tuple[ClientStart, ...]] = field(default_factory=dict)
    calls: tuple[CallStart, ...] | None = None
    booked: dict[str, int] = field(default_factory=dict)
    remembered: dict[Key, Remembered] = field(default_factory=dict)
    plays_requests: bool = False

    def drawn(self, rng: np.random.Generator) -> NetworkStart:
        """In whole requests."""

        def whole(mean: float) -> int:
            return int(mean + rng.random())

        pods = {}
        for name, pod in self.pods.items():
            inside = whole(self.inside[name])
            awaited = min(inside, whole(self.awaited[name])) if name in self.awaited else None
            pods[name] = replace(pod, inside=inside, awaited=awaited)
        return NetworkStart(
            at_s=self.at_s,
            pods=pods,
            retrying={name: tuple(whole(n) for n in waiting) for name, waiting in self.retrying.items()},
            retry_within_s=self.retry_within_s,
            clients=self.clients,
            calls=self.calls,
            booked=self.booked,
            shares=self.shares,
            breakers=self.breakers,
            remembered=self.remembered,
        )


def begin_of(trial: Trial, at_s: float) -> Begin:
    """State of a trial that was played to `at_s`."""
    traffic = trial.traffic
    state, layout, names = traffic.state, traffic.layout, traffic.names
    n_regions = len(names.regions)
    shares = {}
    for g, name in enumerate(names.populations):
        at = layout.share + g * n_regions
        shares[name] = {region: float(state[at + r]) for r, region in enumerate(names.regions)}
    of_means = Begin(
        inside={pod.name: max(float(state[layout.in_flight + pod.row]), 0.0) for pod in trial.fleet.pods},
        awaited=_booked(trial),
        pods={pod.name: _pod_start(pod, trial, at_s) for pod in trial.fleet.pods},
        retrying=_orbit(trial),
        retry_within_s=_pauses_s(trial),
        shares=shares,
        breakers=_breakers(trial, at_s),
        totals=np.array([traffic.totals(g) for g in range(len(names.populations))]),
        at_s=at_s,
        remembered=_remembered(traffic),
        plays_requests=traffic.plays_requests,
    )
    return _one_by_one(of_means, trial) if traffic.plays_requests else of_means


# --- users


def _booked(trial: Trial) -> dict[str, float]:
    """Requests in entry pods that mean rates have counted as good already: their users wait."""
    state, layout = trial.traffic.state, trial.traffic.layout
    entries = {p.journey for p in trial.context.scenario.populations.values()}
    return {
        pod.name: min(max(float(state[layout.credit + pod.row]), 0.0), max(float(state[pod.row]), 0.0))
        for pod in trial.fleet.pods
        if pod.service in entries
    }


def _orbit(trial: Trial) -> dict[str, list[float]]:
    populations = trial.context.scenario.populations
    return {
        name: [max(v, 0.0) for v in trial.traffic.waiting_by_attempts(g)[: populations[name].attempts - 1]]
        for g, name in enumerate(trial.traffic.names.populations)
    }


def _pauses_s(trial: Trial) -> dict[str, tuple[float, ...]]:
    """From sending an attempt that fails to the next one, for each number of attempts."""
    net, populations = trial.traffic.net, trial.context.scenario.populations
    return {
        name: tuple(
            retry_pause_s(net.groups, g, k) + float(net.group_algebra[g, FLOW_FAIL_S])
            for k in range(populations[name].attempts - 1)
        )
        for g, name in enumerate(trial.traffic.names.populations)
    }


def _one_by_one(of_means: Begin, trial: Trial) -> Begin:
    """The same with users as single requests have them."""
    names, pods = trial.traffic.names, trial.fleet.pods
    clients: dict[str, list[ClientStart]] = {name: [] for name in names.populations}
    waiting: dict[str, list[tuple[str, int, float]]] = {pod.name: [] for pod in pods}
    booked = dict.fromkeys(names.populations, 0)
    for one in open_requests(crowd_of(trial.traffic), of_means.at_s):
        name = names.populations[one.group]
        booked[name] += one.booked
        if one.pod >= 0:
            waiting[pods[one.pod].name].append((name, one.attempt, one.within_s))
        else:
            number = one.attempt + 1 if one.pauses else one.attempt
            clients[name].append(ClientStart(number, one.within_s, fails=not one.pauses))
    calls = []
    for call in open_calls(crowd_of(trial.traffic), of_means.at_s):
        pod = pods[call.pod].name if call.pod >= 0 else None
        callee = names.edges[call.edge][2]
        calls.append(
            CallStart(pods[call.caller_pod].name, callee, call.attempt, call.within_s, pod, call.pauses, call.n_left)
        )
    return replace(
        of_means,
        awaited={},
        pods={name: replace(pod, attempts=tuple(waiting[name])) for name, pod in of_means.pods.items()},
        retrying={},
        clients={name: tuple(found) for name, found in clients.items()},
        calls=tuple(calls),
        booked=booked,
    )


# --- pods


def _pod_start(pod: Pod, trial: Trial, at_s: float) -> PodStart:
    spec = trial.fleet.services[pod.pool].memory
    is_ready = pod.state is PodState.READY
    used_mib = None
    if spec is not None and is_ready:
        # What faults take comes with the script; this is what is there without them.
        used_mib = spec.base + pod.leaked_mib + pod.leak_rate * (at_s - pod.leak_at_s)
    age_s = at_s - pod.started_s if pod.n_starts or pod.started_s else math.inf
    limit_mib = pod.limit_mib if spec is not None else None
    wait_s = float(trial.traffic.net.pod_algebra[pod.row, ALG_WAIT_S])
    return PodStart(
        ready=is_ready, used_mib=used_mib, age_s=age_s, crashes=pod.n_crashes, limit_mib=limit_mib, wait_s=wait_s
    )


# --- what users and callers know


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


def _remembered(traffic: Traffic) -> dict[Key, Remembered]:
    """Throttles, retry budgets and closed breakers: of single requests if they are played, else of mean rates."""
    names, found = traffic.names, dict[Key, Remembered]()
    n_edges = len(names.edges)
    single = crowd_of(traffic) if traffic.plays_requests else None
    for e, (caller, _, callee) in enumerate(names.edges):
        seen = share = tokens = None
        edge = traffic.net.edges[e]
        if edge[EDGE_WINDOW_S] > 0.0 and edge[EDGE_GATE] == 1.0:
            calls_per_s = float(traffic.net.pool_algebra[caller, OUT_DONE] * edge[EDGE_CALLS])
            seen, share = calls_per_s * float(edge[EDGE_WINDOW_S]), traffic.breaker_success(e)
        wanted, usable = _throttle(traffic, e)
        if single is not None:
            wanted, usable, tokens = (float(single.edge_sums[e, k]) for k in (EDGE_WANTED, EDGE_ACCEPTED, EDGE_TOKENS))
        region, service = names.pools[caller]
        found[region, service, callee] = Remembered(wanted, usable, tokens, seen, share)
    for g, name in enumerate(names.populations):
        wanted, usable = _throttle(traffic, n_edges + g)
        holds_back = float(traffic.net.group_algebra[g, FLOW_RETRY_SCALE]) < _BUCKET_EMPTY_BELOW
        tokens = 0.0 if holds_back and math.isfinite(traffic.net.groups[g, GROUP_BUDGET]) else None
        if single is not None:
            columns = (GROUP_WANTED, GROUP_ACCEPTED, GROUP_TOKENS)
            wanted, usable, tokens = (float(single.group_sums[g, k]) for k in columns)
        found[name] = Remembered(wanted, usable, tokens)
    return found


def _throttle(traffic: Traffic, k: int) -> tuple[float | None, float | None]:
    """Attempts that mean rates remember, and the usable ones; nothing if nobody throttles."""
    at = traffic.layout.throttle + 2 * k
    if traffic.layout.load == traffic.layout.throttle:
        return None, None
    return float(traffic.state[at]), float(traffic.state[at + 1])
