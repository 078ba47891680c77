"""Calls between services, request by request: attempts, time-outs, hedges, fallbacks, hand-overs.

Part of the request gear (see `requests`). A request is at one call at a time; each attempt of it has a serial number,
and an answer, time-out or failure that carries an older one comes too late and is ignored.
"""

from typing import Final

import numpy as np

from sim.traffic.compiled import F1, F8, I8, NOTHING, compiled
from sim.traffic.crowd import *
from sim.traffic.crowd import BUCKET, CROWD, Crowd, schedule, uniform
from sim.traffic.layout import *
from sim.traffic.layout import Floats
from sim.traffic.network import NETWORK, Network
from sim.traffic.request_jobs import enter, give_up_children, leave, pick_pod, pod_with_room, take_over

WAITS: Final = 0
WORKED: Final = 1
FAILED: Final = 2


@compiled(F8(F8, F8, F8))
def refused_share(wanted: float, accepted: float, ratio: float) -> float:
    """Adaptive throttling: share of requests that the client does not even send."""
    return max(0.0, (wanted - ratio * accepted) / (wanted + 1.0))


@compiled(NOTHING(I8, I8, I8, CROWD))
def pass_on(job: int, child: int, column: int, crowd: Crowd) -> None:
    """Note a copy of the present attempt."""
    crowd.jobs[job, column] = child
    crowd.jobs[job, column + 1] = crowd.jobs[child, JOB_SERIAL]


@compiled(NOTHING(F8, I8, CROWD, NETWORK))
def send_attempt(now_s: float, job: int, crowd: Crowd, net: Network) -> None:
    """One attempt of the present call."""
    row = crowd.jobs[job]
    e = row[JOB_EDGE]
    edge, sums = net.edges[e], crowd.edge_sums[e]
    row[JOB_CALL_SERIAL] = (row[JOB_CALL_SERIAL] + 1) & SERIAL_MASK
    row[JOB_STAGE], row[JOB_COPIES] = STAGE_CALLING, 1
    row[JOB_CHILD] = row[JOB_HEDGE] = -1
    serial = row[JOB_CALL_SERIAL]
    crowd.marks[MARK_SENT] += 1
    callee = int(edge[EDGE_TO])
    limit_s, deadline_s = edge[EDGE_TIMEOUT_S], crowd.job_times[job, JOB_DEADLINE_S]
    caller = int(net.pods[row[JOB_POD], POD_POOL])
    if net.pools[caller, POOL_DEADLINE_AWARE] != 0.0:
        limit_s = min(limit_s, max(deadline_s - now_s, 0.0))
    fails_s = now_s + min(edge[EDGE_FAST_FAIL_S], limit_s)
    if np.isfinite(edge[EDGE_THROTTLE]):
        refused = refused_share(sums[EDGE_WANTED], sums[EDGE_ACCEPTED], edge[EDGE_THROTTLE])
        sums[EDGE_WANTED] += 1.0
        if uniform(crowd.random) < refused:
            schedule(fails_s, EVENT_CALL_FAILED, job, serial, crowd)
            return
    if edge[EDGE_REACHABLE] == 0.0:
        schedule(now_s + limit_s, EVENT_CALL_LATE, job, serial, crowd)
        return
    crowd.pool_sums[callee, POOL_ARRIVED] += 1.0
    pod = pick_pod(callee, crowd, net)
    if pod < 0:
        schedule(fails_s, EVENT_CALL_FAILED, job, serial, crowd)
        if edge[EDGE_HEDGE_S] < limit_s:  # a hedge may be out by then
            schedule(now_s + limit_s, EVENT_CALL_LATE, job, serial, crowd)
    else:
        schedule(now_s + limit_s, EVENT_CALL_LATE, job, serial, crowd)
        pass_on(job, enter(now_s, pod, OWNER_JOB, job, serial, deadline_s, crowd, net), JOB_CHILD, crowd)
    if edge[EDGE_HEDGE_S] < limit_s:
        schedule(now_s + edge[EDGE_HEDGE_S], EVENT_HEDGE, job, serial, crowd)


@compiled(NOTHING(F8, I8, CROWD, NETWORK))
def send_hedge(now_s: float, job: int, crowd: Crowd, net: Network) -> None:
    """No answer yet: a second copy."""
    row = crowd.jobs[job]
    callee = int(net.edges[row[JOB_EDGE], EDGE_TO])
    crowd.marks[MARK_SENT] += 1
    crowd.pool_sums[callee, POOL_ARRIVED] += 1.0
    pod = pick_pod(callee, crowd, net)
    if pod >= 0:
        row[JOB_COPIES] += 1
        deadline_s = crowd.job_times[job, JOB_DEADLINE_S]
        copy = enter(now_s, pod, OWNER_JOB, job, row[JOB_CALL_SERIAL], deadline_s, crowd, net)
        pass_on(job, copy, JOB_HEDGE, crowd)


@compiled(I8(F8, I8, F1, CROWD, NETWORK))
def hand_over(now_s: float, job: int, state: Floats, crowd: Crowd, net: Network) -> int:
    """The callee takes the request and its owner over; while it is full the caller keeps its slot."""
    row = crowd.jobs[job]
    callee = int(net.edges[row[JOB_EDGE], EDGE_TO])
    crowd.marks[MARK_SENT] += 1
    pod = -1
    if crowd.gates[callee, LINE_HEAD] < 0 and net.edges[row[JOB_EDGE], EDGE_REACHABLE] != 0.0:
        pod = pod_with_room(callee, crowd, net)
    if pod >= 0:
        crowd.pool_sums[callee, POOL_ARRIVED] += 1.0
        deadline_s = crowd.job_times[job, JOB_DEADLINE_S]
        successor = enter(
            now_s, pod, row[JOB_OWNER_KIND], row[JOB_OWNER], row[JOB_OWNER_SERIAL], deadline_s, crowd, net
        )
        take_over(job, successor, crowd)
        leave(now_s, job, state, crowd, net)
        return WAITS
    gate = crowd.gates[callee]
    row[JOB_STAGE], row[JOB_NEXT], row[JOB_PREVIOUS] = STAGE_BLOCKED, -1, gate[LINE_TAIL]
    if gate[LINE_TAIL] >= 0:
        crowd.jobs[gate[LINE_TAIL], JOB_NEXT] = job
    else:
        gate[LINE_HEAD] = job
    gate[LINE_TAIL] = job
    return WAITS


@compiled(I8(F8, I8, F1, CROWD, NETWORK))
def begin_call(now_s: float, job: int, state: Floats, crowd: Crowd, net: Network) -> int:
    """The first attempt of the next call of the present edge."""
    row = crowd.jobs[job]
    edge, sums = net.edges[row[JOB_EDGE]], crowd.edge_sums[row[JOB_EDGE]]
    if edge[EDGE_HANDOFF] != 0.0:
        return int(hand_over(now_s, job, state, crowd, net))
    row[JOB_ATTEMPT] = 1
    if np.isfinite(edge[EDGE_BUDGET]):
        sums[EDGE_TOKENS] = min(BUCKET, sums[EDGE_TOKENS] + edge[EDGE_BUDGET])
    if edge[EDGE_GATE] < 1.0 and uniform(crowd.random) >= edge[EDGE_GATE]:
        row[JOB_STAGE] = STAGE_CALLING
        row[JOB_CALL_SERIAL] = (row[JOB_CALL_SERIAL] + 1) & SERIAL_MASK
        crowd.marks[MARK_SENT] += 1
        schedule(now_s + edge[EDGE_FAST_FAIL_S], EVENT_CALL_REFUSED, job, row[JOB_CALL_SERIAL], crowd)
    else:
        send_attempt(now_s, job, crowd, net)
    return WAITS


@compiled(I8(F8, I8, I8, F1, CROWD, NETWORK))
def go_on(now_s: float, job: int, edge: int, state: Floats, crowd: Crowd, net: Network) -> int:
    """Own work is done, or a call is: the next call (WAITS), or the answer (WORKED, or FAILED by an error of its own).

    `edge` is the one to begin with, -1 to go on with the present one.
    """
    row = crowd.jobs[job]
    pod = row[JOB_POD]
    pool = int(net.pods[pod, POD_POOL])
    fresh = edge >= 0
    if not fresh:
        edge = row[JOB_EDGE]
    while edge < net.counts[N_EDGES] and int(net.edges[edge, EDGE_FROM]) == pool:
        if fresh:
            calls = net.edges[edge, EDGE_CALLS]
            whole = int(calls)
            row[JOB_EDGE], row[JOB_CALLS_LEFT] = edge, whole
            if calls > whole and uniform(crowd.random) < calls - whole:
                row[JOB_CALLS_LEFT] += 1
        if row[JOB_CALLS_LEFT] > 0:
            return int(begin_call(now_s, job, state, crowd, net))
        edge += 1
        fresh = True
    errors = net.pods[pod, POD_ERROR_SHARE]
    return FAILED if errors > 0.0 and uniform(crowd.random) < errors else WORKED


@compiled(NOTHING(F8, I8, I8, CROWD, NETWORK))
def attempt_over(now_s: float, job: int, ok: int, crowd: Crowd, net: Network) -> None:
    """Book how an attempt ended; what still runs for it has nobody that waits."""
    row = crowd.jobs[job]
    row[JOB_CALL_SERIAL] = (row[JOB_CALL_SERIAL] + 1) & SERIAL_MASK
    sums = crowd.edge_sums[row[JOB_EDGE]]
    sums[EDGE_ALL] += 1.0
    sums[EDGE_OK] += ok
    sums[EDGE_ACCEPTED] += ok
    callee = crowd.pool_sums[int(net.edges[row[JOB_EDGE], EDGE_TO])]
    callee[POOL_ALL] += 1.0
    callee[POOL_OK] += ok
    give_up_children(now_s, job, crowd, net)


@compiled(I8(F8, I8, F1, CROWD, NETWORK))
def call_worked(now_s: float, job: int, state: Floats, crowd: Crowd, net: Network) -> int:
    """The present call is answered, or can be done without."""
    crowd.jobs[job, JOB_CALLS_LEFT] -= 1
    return int(go_on(now_s, job, -1, state, crowd, net))


@compiled(I8(F8, I8, F1, CROWD, NETWORK))
def call_failed(now_s: float, job: int, state: Floats, crowd: Crowd, net: Network) -> int:
    """The present call failed for good: go on without it, or fail."""
    fallback = net.edges[crowd.jobs[job, JOB_EDGE], EDGE_FALLBACK]
    if fallback > 0.0 and uniform(crowd.random) < fallback:
        return int(call_worked(now_s, job, state, crowd, net))
    return FAILED


@compiled(I8(F8, I8, F1, CROWD, NETWORK))
def attempt_failed(now_s: float, job: int, state: Floats, crowd: Crowd, net: Network) -> int:
    """The present attempt failed: another one, if attempts and budget allow."""
    row = crowd.jobs[job]
    edge, sums = net.edges[row[JOB_EDGE]], crowd.edge_sums[row[JOB_EDGE]]
    attempt_over(now_s, job, 0, crowd, net)
    has_budget = np.isfinite(edge[EDGE_BUDGET])
    if row[JOB_ATTEMPT] < edge[EDGE_ATTEMPTS] and (not has_budget or sums[EDGE_TOKENS] >= 1.0):
        if has_budget:
            sums[EDGE_TOKENS] -= 1.0
        row[JOB_ATTEMPT] += 1
        schedule(now_s + edge[EDGE_BACKOFF_S], EVENT_CALL_RETRY, job, row[JOB_CALL_SERIAL], crowd)
        return WAITS
    return int(call_failed(now_s, job, state, crowd, net))


@compiled(I8(F8, I8, F1, CROWD, NETWORK))
def copy_failed(now_s: float, job: int, state: Floats, crowd: Crowd, net: Network) -> int:
    """One copy of the present attempt failed."""
    crowd.jobs[job, JOB_COPIES] -= 1
    if crowd.jobs[job, JOB_COPIES] > 0:
        return WAITS
    return int(attempt_failed(now_s, job, state, crowd, net))
