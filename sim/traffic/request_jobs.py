"""Requests inside pods, one by one: a place, a slot, own work, the queue, and how they leave.

Part of the request gear (see `requests`); what happens between pods is in `request_calls`.
"""

import math

from sim.traffic.compiled import F1, F8, I1, I8, NOTHING, compiled
from sim.traffic.crowd import *
from sim.traffic.crowd import CROWD, Crowd, schedule, uniform, unit_exponential, unit_work
from sim.traffic.layout import *
from sim.traffic.layout import Floats, Ints
from sim.traffic.network import NETWORK, Network
from sim.traffic.rates import room_mib

HOLD_WEIGHT = 0.05
"""Weight of one more request in the mean time that a slot is held."""


@compiled(I8(I8, CROWD, NETWORK))
def has_room(pod: int, crowd: Crowd, net: Network) -> int:
    """Whether a pod is ready and takes one more request."""
    if net.pods[pod, POD_READY] == 0.0:
        return 0
    room = net.tables[int(net.pods[pod, POD_TABLE]), TABLE_HEAD, HEAD_ROOM]
    return 1 if crowd.queues[pod, QUEUE_INSIDE] < room else 0


@compiled(I8(I8, CROWD, NETWORK))
def pick_pod(pool: int, crowd: Crowd, net: Network) -> int:
    """A pod that takes one more request, -1 if the chosen one is dead or full, or if the pool is not up."""
    sums = crowd.pool_sums[pool]
    if sums[POOL_WEIGHT] <= 0.0 or sums[POOL_N_READY] < 1.0 or sums[POOL_N_READY] < net.pools[pool, POOL_NEEDS]:
        return -1
    mark = uniform(crowd.random) * sums[POOL_WEIGHT]
    chosen = -1
    first = int(net.pools[pool, POOL_FIRST_POD])
    for p in range(first, first + int(net.pools[pool, POOL_N_PODS])):
        if net.pods[p, POD_LISTED] == 0.0:
            continue
        chosen = p
        mark -= net.pods[p, POD_SHARE]
        if mark < 0.0:
            break
    return chosen if has_room(chosen, crowd, net) else -1


@compiled(I8(I8, CROWD, NETWORK))
def pod_with_room(pool: int, crowd: Crowd, net: Network) -> int:
    """A listed pod that takes a request now, by load share; -1 if all are full, or if the pool is not up."""
    if crowd.pool_sums[pool, POOL_N_READY] < net.pools[pool, POOL_NEEDS]:
        return -1
    first = int(net.pools[pool, POOL_FIRST_POD])
    last = first + int(net.pools[pool, POOL_N_PODS])
    weight = 0.0
    for p in range(first, last):
        if net.pods[p, POD_LISTED] != 0.0 and has_room(p, crowd, net):
            weight += net.pods[p, POD_SHARE]
    mark, chosen = uniform(crowd.random) * weight, -1
    for p in range(first, last):
        if net.pods[p, POD_LISTED] != 0.0 and has_room(p, crowd, net):
            chosen = p
            mark -= net.pods[p, POD_SHARE]
            if mark < 0.0:
                break
    return chosen


@compiled(NOTHING(F8, I8, CROWD, NETWORK))
def start_work(now_s: float, job: int, crowd: Crowd, net: Network) -> None:
    """A slot takes the request up."""
    pod = crowd.jobs[job, JOB_POD]
    pool = int(net.pods[pod, POD_POOL])
    crowd.queues[pod, QUEUE_BUSY] += 1
    crowd.jobs[job, JOB_STAGE] = STAGE_WORKING
    crowd.job_times[job, JOB_SINCE_S] = now_s
    work_s = net.pools[pool, POOL_WORK_S] * net.pods[pod, POD_SLOW]
    contention = net.pools[pool, POOL_CONTENTION]
    if contention > 0.0:
        work_s *= 1.0 + contention * crowd.queues[pod, QUEUE_BUSY]
    work_s *= unit_work(net.pools[pool, POOL_WORK_SPREAD], crowd.random)
    schedule(now_s + work_s, EVENT_WORK_DONE, job, crowd.jobs[job, JOB_SERIAL], crowd)


@compiled(I8(F8, I8, I8, I8, I8, F8, CROWD, NETWORK))
def enter(
    now_s: float, pod: int, kind: int, owner: int, serial: int, deadline_s: float, crowd: Crowd, net: Network
) -> int:
    """A new request inside a pod that has room for it: its row."""
    jobs, marks = crowd.jobs, crowd.marks
    job = int(marks[MARK_FREE_JOB])
    row = jobs[job]
    marks[MARK_FREE_JOB] = row[JOB_NEXT]
    marks[MARK_FREE_JOBS] -= 1
    row[JOB_POD], row[JOB_OWNER_KIND], row[JOB_OWNER], row[JOB_OWNER_SERIAL] = pod, kind, owner, serial
    row[JOB_NEXT] = row[JOB_PREVIOUS] = row[JOB_CHILD] = row[JOB_HEDGE] = -1
    crowd.job_times[job, JOB_SINCE_S], crowd.job_times[job, JOB_DEADLINE_S] = now_s, deadline_s
    queue = crowd.queues[pod]
    queue[QUEUE_INSIDE] += 1
    table = int(net.pods[pod, POD_TABLE])
    if queue[QUEUE_BUSY] < net.tables[table, TABLE_HEAD, HEAD_SLOTS]:
        start_work(now_s, job, crowd, net)
    else:
        row[JOB_STAGE] = STAGE_QUEUED
        row[JOB_PREVIOUS] = queue[LINE_TAIL]
        if queue[LINE_TAIL] >= 0:
            jobs[queue[LINE_TAIL], JOB_NEXT] = job
        else:
            queue[LINE_HEAD] = job
        queue[LINE_TAIL] = job
        patience = net.pools[int(net.pods[pod, POD_POOL]), POOL_PATIENCE_RATE]
        if patience > 0.0:
            leaves_s = now_s + unit_exponential(crowd.random) / patience
            schedule(leaves_s, EVENT_LEAVES, job, row[JOB_SERIAL], crowd)
    per_request = net.pods[pod, POD_PER_REQUEST_MIB]
    limited = per_request > 0.0 and math.isfinite(net.pods[pod, POD_OOM_LEVEL])
    if limited and queue[QUEUE_INSIDE] * per_request >= room_mib(now_s, net.pods, pod) and marks[MARK_OOM_POD] < 0:
        marks[MARK_OOM_POD] = pod
    return job


@compiled(NOTHING(I8, I1, CROWD))
def unlink(job: int, line: Ints, crowd: Crowd) -> None:
    """Take a request out of a line of waiting ones: the queue of a pod, or those who wait before a full pool."""
    jobs = crowd.jobs
    before, after = jobs[job, JOB_PREVIOUS], jobs[job, JOB_NEXT]
    if before >= 0:
        jobs[before, JOB_NEXT] = after
    else:
        line[LINE_HEAD] = after
    if after >= 0:
        jobs[after, JOB_PREVIOUS] = before
    else:
        line[LINE_TAIL] = before


@compiled(NOTHING(I8, CROWD))
def free_row(job: int, crowd: Crowd) -> None:
    """The request is over: its row may be used again, and what is still scheduled for it is void."""
    row = crowd.jobs[job]
    row[JOB_STAGE] = STAGE_FREE
    row[JOB_SERIAL] = (row[JOB_SERIAL] + 1) & SERIAL_MASK
    row[JOB_CALL_SERIAL] = (row[JOB_CALL_SERIAL] + 1) & SERIAL_MASK
    row[JOB_NEXT] = crowd.marks[MARK_FREE_JOB]
    crowd.marks[MARK_FREE_JOB] = job
    crowd.marks[MARK_FREE_JOBS] += 1


@compiled(NOTHING(F8, I8, CROWD))
def tell_owner_failed(at_s: float, job: int, crowd: Crowd) -> None:
    """Whoever still waits for the request learns at `at_s` that it failed."""
    row = crowd.jobs[job]
    if row[JOB_OWNER_KIND] == OWNER_CLIENT:
        schedule(at_s, EVENT_USER_FAILED, row[JOB_OWNER], row[JOB_OWNER_SERIAL], crowd)
    elif row[JOB_OWNER_KIND] == OWNER_JOB:
        schedule(at_s, EVENT_CALL_FAILED, row[JOB_OWNER], row[JOB_OWNER_SERIAL], crowd)


@compiled(NOTHING(F8, I8, CROWD, NETWORK))
def give_up_children(now_s: float, job: int, crowd: Crowd, net: Network) -> None:
    """Nobody waits any more for the calls of a request: services that cancel stop working on them."""
    row = crowd.jobs[job]
    for column in (JOB_CHILD, JOB_HEDGE):
        child = row[column]
        if child >= 0 and crowd.jobs[child, JOB_SERIAL] == row[column + 1]:
            pool = int(net.pods[crowd.jobs[child, JOB_POD], POD_POOL])
            if net.pools[pool, POOL_CANCELS] != 0.0:
                schedule(now_s, EVENT_CANCEL, child, row[column + 1], crowd)
        row[column] = -1


@compiled(NOTHING(F8, I8, CROWD, NETWORK))
def serve_next(now_s: float, pod: int, crowd: Crowd, net: Network) -> None:
    """Free slots take up waiting requests, in the order of the pool."""
    queue, pool = crowd.queues[pod], int(net.pods[pod, POD_POOL])
    slots = net.tables[int(net.pods[pod, POD_TABLE]), TABLE_HEAD, HEAD_SLOTS]
    order, aware = int(net.pools[pool, POOL_ORDER]), net.pools[pool, POOL_DEADLINE_AWARE] != 0.0
    while queue[QUEUE_BUSY] < slots and queue[LINE_HEAD] >= 0:
        job = queue[LINE_HEAD]
        if order != FIFO:
            waited_s = now_s - crowd.job_times[job, JOB_SINCE_S]
            if order == LIFO or waited_s > net.pools[pool, POOL_ADAPTIVE_S]:
                job = queue[LINE_TAIL]
        unlink(job, queue, crowd)
        if aware and crowd.job_times[job, JOB_DEADLINE_S] <= now_s:
            queue[QUEUE_INSIDE] -= 1
            tell_owner_failed(now_s, job, crowd)
            free_row(job, crowd)
        else:
            start_work(now_s, job, crowd, net)


@compiled(I8(F8, I8, F1, CROWD, NETWORK))
def release(now_s: float, job: int, state: Floats, crowd: Crowd, net: Network) -> int:
    """The request leaves its pod, wherever it is there; the next ones are taken up. Returns the pod."""
    row = crowd.jobs[job]
    pod = int(row[JOB_POD])
    queue = crowd.queues[pod]
    pool = int(net.pods[pod, POD_POOL])
    queue[QUEUE_INSIDE] -= 1
    if row[JOB_STAGE] == STAGE_QUEUED:
        unlink(job, queue, crowd)
    else:
        if row[JOB_STAGE] == STAGE_BLOCKED:
            unlink(job, crowd.gates[int(net.edges[row[JOB_EDGE], EDGE_TO])], crowd)
        queue[QUEUE_BUSY] -= 1
        hold = net.counts[AT_HOLD] + pool
        state[hold] += HOLD_WEIGHT * (now_s - crowd.job_times[job, JOB_SINCE_S] - state[hold])
    free_row(job, crowd)
    serve_next(now_s, pod, crowd, net)
    return pod


@compiled(NOTHING(I8, I8, CROWD))
def take_over(job: int, successor: int, crowd: Crowd) -> None:
    """Whoever waits for a request that is handed over waits for its successor from now on."""
    row = crowd.jobs[job]
    owner, serial, its_serial = row[JOB_OWNER], row[JOB_SERIAL], crowd.jobs[successor, JOB_SERIAL]
    if row[JOB_OWNER_KIND] == OWNER_CLIENT:
        if crowd.clients[owner, CLIENT_JOB] == job and crowd.clients[owner, CLIENT_JOB_SERIAL] == serial:
            crowd.clients[owner, CLIENT_JOB], crowd.clients[owner, CLIENT_JOB_SERIAL] = successor, its_serial
    elif row[JOB_OWNER_KIND] == OWNER_JOB:
        for column in (JOB_CHILD, JOB_HEDGE):
            if crowd.jobs[owner, column] == job and crowd.jobs[owner, column + 1] == serial:
                crowd.jobs[owner, column], crowd.jobs[owner, column + 1] = successor, its_serial


@compiled(NOTHING(F8, I8, F1, CROWD, NETWORK))
def fill_from_gate(now_s: float, pod: int, state: Floats, crowd: Crowd, net: Network) -> None:
    """Finished requests that wait before this pod's pool are taken over while it has room, and so on upstream."""
    while True:
        pool = int(net.pods[pod, POD_POOL])
        waiting = crowd.gates[pool, LINE_HEAD]
        if waiting < 0 or net.pods[pod, POD_LISTED] == 0.0 or not has_room(pod, crowd, net):
            return
        row = crowd.jobs[waiting]
        is_up = crowd.pool_sums[pool, POOL_N_READY] >= net.pools[pool, POOL_NEEDS]
        if not is_up or net.edges[row[JOB_EDGE], EDGE_REACHABLE] == 0.0:
            return
        deadline_s = crowd.job_times[waiting, JOB_DEADLINE_S]
        crowd.pool_sums[pool, POOL_ARRIVED] += 1.0
        successor = enter(
            now_s, pod, row[JOB_OWNER_KIND], row[JOB_OWNER], row[JOB_OWNER_SERIAL], deadline_s, crowd, net
        )
        take_over(waiting, successor, crowd)
        pod = release(now_s, waiting, state, crowd, net)


@compiled(NOTHING(F8, I8, F1, CROWD, NETWORK))
def leave(now_s: float, job: int, state: Floats, crowd: Crowd, net: Network) -> None:
    """The request leaves its pod; the place it leaves may let others in."""
    fill_from_gate(now_s, release(now_s, job, state, crowd, net), state, crowd, net)


@compiled(NOTHING(F8, I8, CROWD, NETWORK))
def kill_pod(now_s: float, pod: int, crowd: Crowd, net: Network) -> None:
    """All requests inside are lost; whoever waits for them sees a failure at once."""
    for job in range(crowd.jobs.shape[0]):
        row = crowd.jobs[job]
        if row[JOB_STAGE] == STAGE_FREE or row[JOB_POD] != pod:
            continue
        if row[JOB_STAGE] == STAGE_BLOCKED:
            unlink(job, crowd.gates[int(net.edges[row[JOB_EDGE], EDGE_TO])], crowd)
        tell_owner_failed(now_s, job, crowd)
        give_up_children(now_s, job, crowd, net)
        free_row(job, crowd)
    queue = crowd.queues[pod]
    queue[LINE_HEAD] = queue[LINE_TAIL] = -1
    queue[QUEUE_BUSY] = queue[QUEUE_INSIDE] = 0
    if crowd.marks[MARK_OOM_POD] == pod:
        crowd.marks[MARK_OOM_POD] = -1


@compiled(NOTHING(F8, I8, F1, CROWD, NETWORK))
def shed_excess(now_s: float, pod: int, state: Floats, crowd: Crowd, net: Network) -> None:
    """The pod has fewer places than before: its youngest waiting requests are turned away."""
    room = net.tables[int(net.pods[pod, POD_TABLE]), TABLE_HEAD, HEAD_ROOM]
    while crowd.queues[pod, QUEUE_INSIDE] > room and crowd.queues[pod, LINE_TAIL] >= 0:
        job = crowd.queues[pod, LINE_TAIL]
        tell_owner_failed(now_s, job, crowd)
        release(now_s, job, state, crowd, net)
    serve_next(now_s, pod, crowd, net)
