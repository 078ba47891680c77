"""The request gear of the data plane: every attempt and call by itself, in compiled code.

Mean rates do not leave a metastable point by chance and cannot say how likely a collapse is. Where chance decides the
engine shifts into this gear: an exact simulation of what `docs/data-plane.md` section 8 says of single requests, on the
same arrays (`layout`) that the control plane acts on and with the same totals. Its cost grows with the requests, not
with the pods, so that it runs in windows (see `gears`).
"""

import math

from sim.traffic.compiled import CODE_AND_INDEX, F1, F2, F8, I8, NOTHING, compiled
from sim.traffic.crowd import *
from sim.traffic.crowd import CROWD, TICK_S, Crowd, schedule, take_next
from sim.traffic.kernel import crossing, write_trace
from sim.traffic.layout import *
from sim.traffic.layout import Floats
from sim.traffic.network import NETWORK, Network
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
from sim.traffic.request_looks import look_at_groups, look_at_pods, look_at_pools, sum_weights
from sim.traffic.request_users import arrive, retry, user_answered

_SPARE_ROWS = 8
_SPARE_EVENTS = 256
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


@compiled(NOTHING(F8, F8, F1, CROWD, NETWORK))
def tick(now_s: float, passed_s: float, state: Floats, crowd: Crowd, net: Network) -> None:
    """What is not an event of any request: averages, routing, places that got free by a new pod."""
    look_at_pods(now_s, passed_s, state, crowd, net)
    look_at_pools(passed_s, state, crowd, net)
    look_at_groups(now_s, passed_s, state, crowd, net)
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
        if marks[MARK_LOOK] != 0 or marks[MARK_SENT] >= marks[MARK_MOST]:
            marks[MARK_LOOK] = 0
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
            marks[MARK_TICKS] += 1
            # Noted for the next round: whatever returns before it, a crossing or a full trace, must not lose it.
            marks[MARK_LOOK] = 1 if marks[MARK_TICKS] % _TICKS_BETWEEN_LOOKS == 0 else 0
            if value > 0.0:
                return code, index
            if int(clock[CLOCK_TRACE_ROWS]) >= trace.shape[0]:
                return TRACE_FULL, -1
    clock[CLOCK_NOW] = end_s
    look_at_pods(end_s, 0.0, state, crowd, net)
    return REACHED, -1
