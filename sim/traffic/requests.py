"""The request gear of the data plane: every attempt and call by itself, in compiled code.

Mean rates do not leave a metastable point by chance and cannot say how likely a collapse is. Where chance decides the
engine shifts into this gear: an exact simulation of what `docs/data-plane.md` section 8 says of single requests, on the
same arrays (`layout`) that the control plane acts on and with the same totals. Its cost grows with the requests, not
with the pods, so that it runs in windows (see `gears`).
"""

import math

from sim.traffic.compiled import CODE_AND_INDEX, F1, F2, F8, I8, NOTHING, compiled
from sim.traffic.crowd import *
from sim.traffic.crowd import CROWD, FORGET_S, TICK_S, Crowd, kept_share, schedule, take_next
from sim.traffic.kernel import crossing, write_trace
from sim.traffic.layout import *
from sim.traffic.layout import Floats
from sim.traffic.network import NETWORK, Network
from sim.traffic.rates import demand_at, room_mib
from sim.traffic.request_calls import *
from sim.traffic.request_calls import (
    WAITS,
    WORKED,
    attempt_failed,
    attempt_over,
    call_failed,
    call_worked,
    copy_failed,
    go_on,
    send_attempt,
    send_hedge,
)
from sim.traffic.request_jobs import fill_from_gate, give_up_children, leave, tell_owner_failed
from sim.traffic.request_users import arrive, retry, user_answered

_SPARE_ROWS = 8
_SPARE_EVENTS = 256
_HOT_FORGET_S = 30.0
_TICKS_BETWEEN_LOOKS = 20
"""The gears shift on averages over half a minute; a return to Python costs more than a hundred requests."""


@compiled(I8(CROWD))
def needed_events(crowd: Crowd) -> int:
    """Room in the calendar that one event may need: it may drop, start or hand over every request that is inside."""
    return int(_SPARE_EVENTS + 4 * (crowd.jobs.shape[0] - crowd.marks[MARK_FREE_JOBS]))


@compiled(NOTHING(F8, I8, I8, F1, CROWD, NETWORK))
def finish(now_s: float, job: int, result: int, state: Floats, crowd: Crowd, net: Network) -> None:
    """A request is answered; its owner goes on, which may answer the owner's owner, and so on up to the user."""
    while result != WAITS:
        row = crowd.jobs[job]
        kind, owner, serial = row[JOB_OWNER_KIND], row[JOB_OWNER], row[JOB_OWNER_SERIAL]
        ok = 1 if result == WORKED else 0
        leave(now_s, job, state, crowd, net)
        if kind == OWNER_CLIENT:
            if crowd.clients[owner, CLIENT_SERIAL] == serial:
                user_answered(now_s, owner, ok, state, crowd, net)
            return
        if kind != OWNER_JOB or crowd.jobs[owner, JOB_CALL_SERIAL] != serial:
            return
        job = owner
        if ok:
            attempt_over(now_s, job, 1, crowd, net)
            result = call_worked(now_s, job, state, crowd, net)
        else:
            result = copy_failed(now_s, job, state, crowd, net)


@compiled(NOTHING(F8, I8, I8, I8, F1, CROWD, NETWORK))
def job_event(now_s: float, kind: int, job: int, serial: int, state: Floats, crowd: Crowd, net: Network) -> None:
    """An event of a request inside a pod."""
    row = crowd.jobs[job]
    if kind in (EVENT_WORK_DONE, EVENT_LEAVES, EVENT_CANCEL):
        if row[JOB_SERIAL] != serial:
            return
        if kind == EVENT_WORK_DONE:
            if row[JOB_STAGE] != STAGE_WORKING:
                return  # at a call already (a hand-over from mean rates)
            pool = int(net.pods[row[JOB_POD], POD_POOL])
            finish(now_s, job, go_on(now_s, job, crowd.gates[pool, GATE_EDGE], state, crowd, net), state, crowd, net)
        elif kind == EVENT_CANCEL:
            give_up_children(now_s, job, crowd, net)
            leave(now_s, job, state, crowd, net)
        elif row[JOB_STAGE] == STAGE_QUEUED:
            tell_owner_failed(now_s, job, crowd)
            leave(now_s, job, state, crowd, net)
        return
    if row[JOB_CALL_SERIAL] != serial:
        return
    if kind == EVENT_CALL_LATE:
        finish(now_s, job, attempt_failed(now_s, job, state, crowd, net), state, crowd, net)
    elif kind == EVENT_CALL_FAILED:
        finish(now_s, job, copy_failed(now_s, job, state, crowd, net), state, crowd, net)
    elif kind == EVENT_CALL_RETRY:
        send_attempt(now_s, job, crowd, net)
    elif kind == EVENT_CALL_REFUSED:
        finish(now_s, job, call_failed(now_s, job, state, crowd, net), state, crowd, net)
    else:
        send_hedge(now_s, job, crowd, net)


@compiled(NOTHING(CROWD, NETWORK))
def sum_weights(crowd: Crowd, net: Network) -> None:
    """Load shares and ready pods of each pool, after the control plane changed something."""
    for i in range(net.counts[N_POOLS]):
        weight, n_ready = 0.0, 0.0
        first = int(net.pools[i, POOL_FIRST_POD])
        for p in range(first, first + int(net.pools[i, POOL_N_PODS])):
            if net.pods[p, POD_LISTED] != 0.0:
                weight += net.pods[p, POD_SHARE]
            if net.pods[p, POD_READY] != 0.0:
                n_ready += 1.0
        crowd.pool_sums[i, POOL_WEIGHT], crowd.pool_sums[i, POOL_N_READY] = weight, n_ready
    crowd.marks[MARK_STALE] = 0


@compiled(NOTHING(F8, F8, F1, CROWD, NETWORK))
def look_at_pods(now_s: float, passed_s: float, state: Floats, crowd: Crowd, net: Network) -> None:
    """Show the pods to guards, traces and the control plane as the mean rates show theirs; find full memories."""
    n_pods, forget = net.counts[N_PODS], -math.expm1(-passed_s / _HOT_FORGET_S)
    for p in range(n_pods):
        algebra, pool = net.pod_algebra[p], int(net.pods[p, POD_POOL])
        inside, busy = float(crowd.queues[p, QUEUE_INSIDE]), float(crowd.queues[p, QUEUE_BUSY])
        state[p] = inside
        algebra[:] = 0.0
        if net.pods[p, POD_READY] == 0.0:
            crowd.busy_share[p] = 0.0
            continue
        head = net.tables[int(net.pods[p, POD_TABLE]), TABLE_HEAD]
        slots = head[HEAD_SLOTS]
        crowd.busy_share[p] += (busy / slots - crowd.busy_share[p]) * forget
        hold_s = max(state[net.counts[AT_HOLD] + pool], 1e-6)
        algebra[ALG_BUSY], algebra[ALG_HOLD_S], algebra[ALG_STAYS] = busy, hold_s, 1.0
        algebra[ALG_WORK_S] = net.pools[pool, POOL_WORK_S] * net.pods[p, POD_SLOW]
        algebra[ALG_BLOCKED] = 1.0 if inside >= head[HEAD_ROOM] else 0.0
        algebra[ALG_DONE] = busy / hold_s
        ahead = inside - slots + 1.0  # requests that must go before one that arrives now is served
        if ahead > 0.0:
            per_slot_s = hold_s / slots
            algebra[ALG_WAIT_S], algebra[ALG_WAIT_VAR] = ahead * per_slot_s, ahead * per_slot_s * per_slot_s
        if net.pods[p, POD_LISTED] != 0.0 and crowd.pool_sums[pool, POOL_WEIGHT] > 0.0:
            algebra[ALG_WEIGHT] = net.pods[p, POD_SHARE] / crowd.pool_sums[pool, POOL_WEIGHT]
        per_request = net.pods[p, POD_PER_REQUEST_MIB]
        full = math.isfinite(net.pods[p, POD_OOM_LEVEL]) and inside * per_request >= room_mib(now_s, net.pods, p)
        if full and crowd.marks[MARK_OOM_POD] < 0:
            crowd.marks[MARK_OOM_POD] = p


@compiled(NOTHING(F8, F1, CROWD, NETWORK))
def look_at_pools(passed_s: float, state: Floats, crowd: Crowd, net: Network) -> None:
    """Shares of success and flows of the pools and calls, averaged."""
    follow = -math.expm1(-passed_s / FORGET_S)
    counts = net.counts
    breaker0 = counts[AT_BREAKER]
    for i in range(counts[N_POOLS]):
        sums, out = crowd.pool_sums[i], net.pool_algebra[i]
        out[OUT_UP] = 1.0 if sums[POOL_N_READY] >= max(net.pools[i, POOL_NEEDS], 1.0) else 0.0
        out[OUT_OFFERED] += (sums[POOL_ARRIVED] / passed_s - out[OUT_OFFERED]) * follow
        sums[POOL_ARRIVED] = 0.0
        if sums[POOL_ALL] > 1e-3:
            out[OUT_SERVED] = sums[POOL_OK] / sums[POOL_ALL]
        keep = kept_share(passed_s, sums[POOL_ALL])
        sums[POOL_OK] *= keep
        sums[POOL_ALL] *= keep
        done = 0.0
        first = int(net.pools[i, POOL_FIRST_POD])
        for p in range(first, first + int(net.pools[i, POOL_N_PODS])):
            done += net.pod_algebra[p, ALG_DONE]
        out[OUT_DONE] = done
    for e in range(counts[N_EDGES]):
        sums = crowd.edge_sums[e]
        window_s = net.edges[e, EDGE_WINDOW_S]
        if window_s > 0.0 and sums[EDGE_ALL] > 0.0:
            seen = sums[EDGE_OK] / sums[EDGE_ALL]
            state[breaker0 + e] += (seen - state[breaker0 + e]) * -math.expm1(-passed_s / window_s)
        sums[EDGE_OK] = sums[EDGE_ALL] = 0.0
        fade = math.exp(-passed_s / net.edges[e, EDGE_THROTTLE_S])
        sums[EDGE_WANTED] *= fade
        sums[EDGE_ACCEPTED] *= fade


@compiled(NOTHING(F8, F8, F1, CROWD, NETWORK))
def look_at_groups(now_s: float, passed_s: float, state: Floats, crowd: Crowd, net: Network) -> None:
    """Success, attempts and routing of the users; the provider's quota."""
    catch_up = -math.expm1(-passed_s / FORGET_S)
    counts = net.counts
    n_regions = counts[N_REGIONS]
    for g in range(counts[N_GROUPS]):
        sums, flow, group = crowd.group_sums[g], net.group_algebra[g], net.groups[g]
        flow[FLOW_DEMAND] = demand_at(now_s, net.curves, g)[0] * group[GROUP_FACTOR]
        flow[FLOW_ATTEMPTS] += (sums[GROUP_SENT] / passed_s - flow[FLOW_ATTEMPTS]) * catch_up
        if sums[GROUP_ALL] > 1e-3:
            flow[FLOW_SUCCESS] = sums[GROUP_OK] / sums[GROUP_ALL]
        sums[GROUP_SENT] = 0.0
        keep = kept_share(passed_s, sums[GROUP_ALL])
        sums[GROUP_OK] *= keep
        sums[GROUP_ALL] *= keep
        fade = math.exp(-passed_s / group[GROUP_THROTTLE_S])
        sums[GROUP_WANTED] *= fade
        sums[GROUP_ACCEPTED] *= fade
        quota = group[GROUP_PROVIDER_QUOTA]
        sums[GROUP_QUOTA] = min(sums[GROUP_QUOTA] + quota * passed_s, max(quota, 1.0))
        follow = -math.expm1(-passed_s / group[GROUP_DRAIN_S])
        share0 = counts[AT_SHARE] + g * n_regions
        for r in range(n_regions):
            state[share0 + r] += (net.routes[g, r, ROUTE_TARGET] - state[share0 + r]) * follow
            if crowd.region_sums[g, 2 * r + 1] > 1e-3:
                net.health[g, r] = crowd.region_sums[g, 2 * r] / crowd.region_sums[g, 2 * r + 1]
            keep = kept_share(passed_s, crowd.region_sums[g, 2 * r + 1])
            crowd.region_sums[g, 2 * r] *= keep
            crowd.region_sums[g, 2 * r + 1] *= keep


@compiled(NOTHING(F8, F8, F1, CROWD, NETWORK))
def tick(now_s: float, passed_s: float, state: Floats, crowd: Crowd, net: Network) -> None:
    """What is not an event of any request: averages, routing, places that got free by a new pod."""
    look_at_groups(now_s, passed_s, state, crowd, net)
    look_at_pods(now_s, passed_s, state, crowd, net)
    look_at_pools(passed_s, state, crowd, net)
    for i in range(net.counts[N_POOLS]):
        if crowd.gates[i, LINE_HEAD] >= 0:
            first = int(net.pools[i, POOL_FIRST_POD])
            for p in range(first, first + int(net.pools[i, POOL_N_PODS])):
                fill_from_gate(now_s, p, state, crowd, net)


@compiled(NOTHING(F8, I8, I8, I8, F1, CROWD, NETWORK))
def user_event(now_s: float, kind: int, client: int, serial: int, state: Floats, crowd: Crowd, net: Network) -> None:
    """An event of a user request."""
    if crowd.clients[client, CLIENT_SERIAL] != serial or crowd.clients[client, CLIENT_ATTEMPT] == 0:
        return
    if kind == EVENT_USER_RETRY:
        retry(now_s, client, state, crowd, net)
    else:
        user_answered(now_s, client, 0, state, crowd, net)


@compiled(CODE_AND_INDEX(F8, F1, F1, F2, F2, CROWD, NETWORK))
def advance_requests(
    end_s: float, clock: Floats, state: Floats, guards: Floats, trace: Floats, crowd: Crowd, net: Network
) -> tuple[int, int]:
    """Advance to `end_s` or to the first crossing; returns (code, index) as `kernel.advance` does, or two more codes.

    TICKED: ten seconds passed, and the gears may want to shift. MORE_ROOM: the arrays must grow before it can go on.
    """
    now_s, marks = clock[CLOCK_NOW], crowd.marks
    if marks[MARK_STALE] != 0:
        sum_weights(crowd, net)
    value, code, index = crossing(now_s, state, guards, net)
    if value > 0.0:
        return code, index
    while True:
        if marks[MARK_OOM_POD] >= 0:
            pod = marks[MARK_OOM_POD]
            marks[MARK_OOM_POD] = -1
            if net.pods[pod, POD_READY] != 0.0:
                clock[CLOCK_NOW] = now_s
                return OOM, pod
        if (
            marks[MARK_FREE_JOBS] < _SPARE_ROWS
            or marks[MARK_FREE_CLIENTS] < _SPARE_ROWS
            or marks[MARK_HEAP] + needed_events(crowd) > crowd.event_at_s.size
        ):
            clock[CLOCK_NOW] = now_s
            return MORE_ROOM, -1
        if marks[MARK_SENT] >= marks[MARK_MOST]:
            clock[CLOCK_NOW] = now_s
            return TICKED, -1
        if marks[MARK_HEAP] == 0 or crowd.event_at_s[0] > end_s:
            break
        now_s = max(crowd.event_at_s[0], now_s)
        kind, row, serial = take_next(crowd)
        if kind == EVENT_ARRIVAL:
            arrive(now_s, row, serial, state, crowd, net)
        elif kind in (EVENT_USER_LATE, EVENT_USER_FAILED, EVENT_USER_RETRY):
            user_event(now_s, kind, row, serial, state, crowd, net)
        elif kind != EVENT_TICK:
            job_event(now_s, kind, row, serial, state, crowd, net)
        else:
            tick(now_s, TICK_S, state, crowd, net)
            schedule(now_s + TICK_S, EVENT_TICK, 0, 0, crowd)
            clock[CLOCK_N_STEPS] += 1.0
            clock[CLOCK_NOW] = now_s
            value, code, index = crossing(now_s, state, guards, net)
            tracing = math.isfinite(clock[CLOCK_TRACE_EVERY])
            if tracing and (value > 0.0 or now_s >= clock[CLOCK_TRACE_LAST] + clock[CLOCK_TRACE_EVERY]):
                write_trace(now_s, state, trace, clock, net)
            if value > 0.0:
                return code, index
            if int(clock[CLOCK_TRACE_ROWS]) >= trace.shape[0]:
                return TRACE_FULL, -1
            marks[MARK_TICKS] += 1
            if marks[MARK_TICKS] % _TICKS_BETWEEN_LOOKS == 0:
                return TICKED, -1
    clock[CLOCK_NOW] = end_s
    look_at_pods(end_s, 0.0, state, crowd, net)
    return REACHED, -1
