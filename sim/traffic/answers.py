"""How pods answer: busy slots, blocking, waiting times and the share in time, from the requests inside each of them.

The equations are those of `docs/data-plane.md`, section 1; `layout` names every array column. It knows no edges, no
users and no rates of change.
"""

import math

from sim.traffic.compiled import F1, F2, F3, F8, I8, NOTHING, PAIR, compiled, floats
from sim.traffic.disciplines import law_answer, leave_late, newest_first
from sim.traffic.layout import *
from sim.traffic.layout import Floats
from sim.traffic.network import NETWORK, Network
from sim.traffic.roots import cube_root, normal_cdf

_NOBODY_WAITS = 1e-9  # of this order nothing can be said that is a number
_OLD_IS_OVER = 40.0  # times the mean time for which they keep their slots
_WAIT_TRIES = 40  # behind slots that are as good as lost the root is nearly double, and a step halves the distance


@compiled(floats(4)(F3, I8, F8), inline=True)
def look_up(tables: Floats, table: int, in_flight: float) -> tuple[float, float, float, float]:
    """Busy slots, blocking and the slopes of both at `in_flight` requests inside."""
    head = tables[table, TABLE_HEAD]
    piece = 0
    while piece < 3 and in_flight > head[HEAD_EDGE + piece + 1]:
        piece += 1
    inverse = head[HEAD_INVERSE + piece]
    position = (in_flight - head[HEAD_EDGE + piece]) * inverse
    node = min(max(int(position), 0), NODES_PER_PIECE - 1)
    part = min(position - node, 1.0)
    node += piece * NODES_PER_PIECE
    busy, blocked = tables[table, TABLE_BUSY], tables[table, TABLE_BLOCKED]
    busy_rise, blocked_rise = busy[node + 1] - busy[node], blocked[node + 1] - blocked[node]
    return (
        busy[node] + part * busy_rise,
        blocked[node] + part * blocked_rise,
        busy_rise * inverse,
        blocked_rise * inverse,
    )


@compiled(F8(F8, F8, F8))
def in_time_prob(mean_s: float, variance: float, limit_s: float) -> float:
    """Probability that a time of this mean and variance (s^2) ends within `limit_s`: a gamma law.

    Notes
    -----
    Cube-root approximation of E. B. Wilson and M. M. Hilferty, The distribution of chi-square (1931).
    """
    if limit_s <= 0.0:
        return 0.0
    root = 3.0 * mean_s / math.sqrt(max(variance, 1e-9 * mean_s * mean_s))
    # The normal argument is root (ratio^(1/3) - middle): beyond 6 nothing is left, and comparing cubes spares the root.
    middle, reach = 1.0 - 1.0 / (root * root), 6.0 / root
    sure, hopeless = middle + reach, middle - reach
    if limit_s > sure * sure * sure * mean_s:
        return 1.0
    if limit_s < hopeless * hopeless * hopeless * mean_s:
        return 0.0
    return normal_cdf(root * (cube_root(limit_s / mean_s) - middle))


@compiled(PAIR(F8, F8, F8, F8, F8), inline=True)
def answer_after(wait_s: float, wait_var: float, work_s: float, work_var: float, left_s: float) -> tuple[float, float]:
    """Share answered within `left_s` after a wait of this mean and variance, and the mean time until then."""
    if left_s <= 0.0:
        return 0.0, 0.0
    in_time = in_time_prob(wait_s + work_s, wait_var + work_var, left_s)
    if wait_s >= left_s:
        return in_time, left_s
    served = (left_s - wait_s) / work_s
    return in_time, wait_s + work_s * (1.0 - math.exp(-served) if served < 40.0 else 1.0)


@compiled(NOTHING(F8, F8, F1))
def ask(limit_s: float, work_square: float, algebra: Floats) -> None:
    """Share of those that one pod serves that is answered within `limit_s`, and the mean time: into its algebra."""
    work_s = algebra[ALG_WORK_S]
    work_var, dependency_s = work_square * work_s * work_s, max(0.0, algebra[ALG_HOLD_S] - work_s)
    left_s, share = limit_s - dependency_s, algebra[ALG_LAW_SHARE]
    in_time, spent_s = 0.0, 0.0
    if share < 1.0:
        in_time, spent_s = answer_after(algebra[ALG_WAIT_S], algebra[ALG_WAIT_VAR], work_s, work_var, left_s)
    if share > 0.0:
        of_law, of_law_s = law_answer(work_s, work_square, left_s, algebra)
        in_time += share * (of_law - in_time)
        spent_s += share * (of_law_s - spent_s)
    algebra[ALG_IN_TIME], algebra[ALG_SPENT_S] = in_time, min(limit_s, dependency_s + spent_s)
    algebra[ALG_ASKED_S] = limit_s


@compiled(NOTHING(I8, F8, NETWORK))
def ask_pool(pool: int, limit_s: float, net: Network) -> None:
    """What `pool_answer` says, from all pods of the pool: into its algebra."""
    pods, pod_algebra, out = net.pods, net.pod_algebra, net.pool_algebra[pool]
    first = int(net.pools[pool, POOL_FIRST_POD])
    work_square = net.pools[pool, POOL_WORK_SPREAD] * net.pools[pool, POOL_WORK_SPREAD]
    ok, spent, accepted, answered = 0.0, 0.0, 0.0, 0.0
    for p in range(first, first + int(net.pools[pool, POOL_N_PODS])):
        algebra = pod_algebra[p]
        let_in = pods[p, POD_STANDS_FOR] * algebra[ALG_WEIGHT] * (1.0 - algebra[ALG_BLOCKED])
        if let_in <= 0.0:
            continue
        if algebra[ALG_ASKED_S] != limit_s:
            ask(limit_s, work_square, algebra)
        in_time = let_in * algebra[ALG_STAYS] * algebra[ALG_IN_TIME]
        ok += in_time * (1.0 - pods[p, POD_ERROR_SHARE])
        answered += in_time
        spent += let_in * algebra[ALG_SPENT_S]
        accepted += let_in
    out[OUT_ASKED_S], out[OUT_ASKED_OK], out[OUT_ASKED_ANSWERED] = limit_s, ok, answered
    out[OUT_ASKED_SPENT_S] = spent / accepted if accepted > 0.0 else limit_s


@compiled(floats(3)(I8, F8, NETWORK), inline=True)
def pool_answer(pool: int, limit_s: float, net: Network) -> tuple[float, float, float]:
    """Share that works within `limit_s` (rejected ones count as failed); mean time spent by those let in;
    share answered within `limit_s`, errors included. Leaves the share in time of each pod in its algebra.
    """
    out = net.pool_algebra[pool]
    if out[OUT_ASKED_S] != limit_s:
        ask_pool(pool, limit_s, net)
    return out[OUT_ASKED_OK], out[OUT_ASKED_SPENT_S], out[OUT_ASKED_ANSWERED]


@compiled(F8(F8, F2, I8))
def old_slots(now_s: float, pods: Floats, p: int) -> float:
    """Slots of pod `p` whose requests began before it became faster or slower: these keep the time that they drew."""
    if pods[p, POD_OLD_BUSY] == 0.0:
        return 0.0
    passed = (now_s - pods[p, POD_OLD_AT_S]) / pods[p, POD_OLD_LEFT_S]
    return float(pods[p, POD_OLD_BUSY] * math.exp(-passed)) if passed < _OLD_IS_OVER else 0.0


@compiled(PAIR(F8, F8, F8, F8, F8))
def wait_behind_old(waiting: float, busy: float, hold_s: float, old: float, left_s: float) -> tuple[float, float]:
    """Mean wait behind `waiting` others while `old` of the busy slots become as fast as the rest, and what chance adds
    to its variance (s^2): when each of these slots is free at last.
    """
    per_s, sooner = busy / hold_s, old * (1.0 - left_s / hold_s)
    # Starts until w are per_s w + sooner (1 - e^(-w / left)); Newton comes from the side where it cannot overshoot.
    wait_s = max((waiting - sooner) / per_s, 0.0)
    for _ in range(_WAIT_TRIES):
        freed = -math.expm1(-wait_s / left_s)
        change = (per_s * wait_s + sooner * freed - waiting) / (per_s + sooner / left_s * (1.0 - freed))
        wait_s -= change
        if abs(change) <= 1e-6 * wait_s:
            break
    wait_s = max(wait_s, 0.0)
    freed = -math.expm1(-wait_s / left_s)
    # For how long one of them has worked for others by then, and the square of that.
    stay, freed_s = 1.0 - freed, wait_s - left_s * freed
    freed_square = wait_s * wait_s - 2.0 * left_s * freed_s
    spread = old * (2.0 * freed_s * stay + (freed_square - freed_s * freed_s) / hold_s) / hold_s
    at_end_per_s = per_s + sooner / left_s * stay
    return wait_s, max(spread, 0.0) / (at_end_per_s * at_end_per_s)


@compiled(NOTHING(F8, F8, F8, F8, I8, F1, F2), inline=True)
def set_wait(
    waiting: float, variance: float, slots: float, old_left_s: float, pool: int, algebra: Floats, pools: Floats
) -> None:
    """Mean and variance of the wait behind `waiting` others in a pod of a pool, and the share that stays so long."""
    busy, hold_s, old, work_s = algebra[ALG_BUSY], algebra[ALG_HOLD_S], algebra[ALG_OLD], algebra[ALG_WORK_S]
    patience, work_spread = pools[pool, POOL_PATIENCE_RATE], pools[pool, POOL_WORK_SPREAD]
    algebra[ALG_STAYS], algebra[ALG_SLOT_S] = 1.0, hold_s
    if busy < 1e-9:
        algebra[ALG_WAIT_S] = algebra[ALG_WAIT_VAR] = 0.0
        return
    wait_s, wait_var = waiting * hold_s / busy, 0.0
    if old > 0.0 and waiting > 1e-9:
        wait_s, wait_var = wait_behind_old(waiting, busy, hold_s, old, old_left_s)
        algebra[ALG_SLOT_S] = wait_s * busy / waiting
    if patience > 0.0:
        # With exponential patience exp(-patience wait) stay, and done / (done + left) do: both agree.
        algebra[ALG_STAYS] = 1.0 / (1.0 + patience * wait_s)
        wait_s = math.log1p(patience * wait_s) / patience
    per_slot_s = algebra[ALG_SLOT_S] / slots
    spread = variance * min(1.0, (waiting + 1.0) / busy) + waiting * work_spread * work_spread
    spread = spread * per_slot_s * per_slot_s + wait_var
    algebra[ALG_WAIT_S], algebra[ALG_WAIT_VAR] = wait_s, min(spread, 2.0 * wait_s * work_s + 9.0 * wait_s * wait_s)


@compiled(NOTHING(F8, F1, NETWORK), inline=True)
def pods_algebra(now_s: float, state: Floats, net: Network) -> None:
    """Busy slots, throughput, waiting time and its variance of each ready pod; sums of each pool.

    Requests go to the listed pods; one that is listed and not ready rejects all that it gets.
    """
    pods, pools, tables, counts = net.pods, net.pools, net.tables, net.counts
    pod_algebra, pool_algebra = net.pod_algebra, net.pool_algebra
    n_pods, n_pools = counts[N_PODS], counts[N_POOLS]
    hold0 = 4 * n_pods
    for i in range(n_pools):
        first = int(pools[i, POOL_FIRST_POD])
        after = first + int(pools[i, POOL_N_PODS])
        weights, n_ready = 0.0, 0.0
        for p in range(first, after):
            weights += pods[p, POD_SHARE] * pods[p, POD_LISTED]
            n_ready += pods[p, POD_READY]
        up = n_ready > 0.0 and n_ready >= pools[i, POOL_NEEDS]
        per_weight = 1.0 / weights if up and weights > 0.0 else 0.0
        patience, contention = pools[i, POOL_PATIENCE_RATE], pools[i, POOL_CONTENTION]
        gives_up = pools[i, POOL_CANCELS] != 0.0 or pools[i, POOL_DEADLINE_AWARE] != 0.0
        pool_algebra[i, OUT_UP], pool_algebra[i, OUT_ASKED_S] = 1.0 if up else 0.0, -1.0
        done, rejected = 0.0, 0.0
        for p in range(first, after):
            algebra, alike = pod_algebra[p], pods[p, POD_STANDS_FOR]
            if alike == 0.0:
                continue
            weight = pods[p, POD_SHARE] * pods[p, POD_LISTED] * per_weight
            if pods[p, POD_READY] == 0.0:
                algebra[:] = 0.0
                algebra[ALG_WEIGHT], algebra[ALG_BLOCKED] = weight, 1.0
                rejected += weight
                continue
            algebra[ALG_WEIGHT] = weight
            in_flight, variance = state[p], state[n_pods + p]
            table = int(pods[p, POD_TABLE])
            slots = tables[table, TABLE_HEAD, HEAD_SLOTS]
            busy, blocked, busy_slope, blocked_slope = look_up(tables, table, in_flight)
            work_s = pools[i, POOL_WORK_S] * pods[p, POD_SLOW]
            per_busy_s = contention * work_s * (1.0 - 1.0 / slots)
            if contention > 0.0:
                # A start finds as many others at work as there are on average, of the slots that are not its own.
                work_s = work_s * (1.0 + contention) + per_busy_s * busy
            # The holding time lags its target and may undershoot the own work by a little; no slot is held so short.
            hold_s = max(state[hold0 + i] - pools[i, POOL_WORK_S], 0.0) + work_s
            algebra[ALG_WORK_S], algebra[ALG_HOLD_S] = work_s, hold_s
            algebra[ALG_BUSY], algebra[ALG_BUSY_SLOPE] = busy, busy_slope
            algebra[ALG_BLOCKED], algebra[ALG_BLOCKED_SLOPE] = blocked, blocked_slope
            old, left_s = min(old_slots(now_s, pods, p), busy), max(pods[p, POD_OLD_LEFT_S], 1e-9)
            algebra[ALG_OLD] = old
            algebra[ALG_DONE] = (busy - old) / hold_s + old / left_s
            algebra[ALG_DONE_SLOPE] = busy_slope / hold_s * (1.0 - per_busy_s * (busy - old) / hold_s)
            algebra[ALG_LAW_SHARE], algebra[ALG_ASKED_S] = 0.0, -1.0
            waiting = max(in_flight - busy, 0.0)
            set_wait(waiting, variance, slots, left_s, i, algebra, pools)
            algebra[ALG_LEFT] = patience * waiting
            algebra[ALG_LEFT_SLOPE] = patience * (1.0 - busy_slope)
            if gives_up:
                leave_late(i, waiting, slots, algebra, net)
            if pools[i, POOL_ORDER] != FIFO:
                newest_first(i, waiting, slots, state[counts[AT_LOAD] + i], algebra, net)
            done += alike * algebra[ALG_DONE]
            rejected += alike * weight * algebra[ALG_BLOCKED]
        pool_algebra[i, OUT_DONE] = done
        pool_algebra[i, OUT_REJECTED] = rejected if per_weight > 0.0 else 1.0


@compiled(F8(F8, I8, F1, NETWORK))
def slot_in_time_prob(wait_s: float, p: int, state: Floats, net: Network) -> float:
    """Probability that a request that arrives at pod `p` now gets a slot within `wait_s`; 1 if the pod is not ready.

    Those that have to wait at all wait exponentially as in M/M/c, or a narrower gamma time when the queue is longer
    than its deviation (docs/data-plane.md, 1.2).
    """
    if net.pods[p, POD_READY] == 0.0:
        return 1.0
    algebra = net.pod_algebra[int(net.pods[p, POD_LIKE])]
    in_flight, variance = state[p], state[net.counts[N_PODS] + p]
    slots = net.tables[int(net.pods[p, POD_TABLE]), TABLE_HEAD, HEAD_SLOTS]
    let_in: float = 1.0 - algebra[ALG_BLOCKED]
    mean_s = algebra[ALG_WAIT_S]
    waiting = in_flight - algebra[ALG_BUSY]
    if mean_s <= 0.0 or waiting <= _NOBODY_WAITS:
        return let_in
    utilisation = max(algebra[ALG_BUSY] / slots, _NOBODY_WAITS)
    # Erlang C below saturation; far above it everybody waits, which the mean queue of a steady state does not say.
    above = max(in_flight - slots, 0.0) / math.sqrt(max(variance, 1e-4))
    waits = max(waiting * (1.0 - utilisation) / utilisation, math.erf(0.7071067811865476 * above))
    waits = min(max(waits, 1e-9), 1.0)
    ratio = wait_s * waits / mean_s
    spread = (variance + waiting) / (waiting * waiting)  # squared coefficient of variation
    k = 9.0 / max(min(spread, 1.0), 1e-9)
    z = math.sqrt(k) * (ratio ** (1.0 / 3.0) - 1.0 + 1.0 / k)
    tail: float = math.exp(-ratio) if spread >= 1.0 else 0.5 * math.erfc(z * 0.7071067811865476)
    in_time: float = let_in * (1.0 - waits * tail)
    return in_time
