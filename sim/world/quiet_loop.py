"""The loop that passes over faults as long as nobody notices: a year of crashes and lost nodes in microseconds.

It runs while the data plane is parked and nothing is wrong. Whole disturbances are passed over, from the first strike
until all is well again and for ten minutes nothing new has begun; in one that is not endured, all is put back to
where it was before, and the control plane plays it.
"""

import math
from typing import Any

from sim.traffic.known import UNKNOWN
from sim.traffic.levels import N_LEVELS, PARTS, SETTLES_S
from sim.world.compiled import compiled, inner
from sim.world.elements import SHORTEST_S
from sim.world.quiet_arrays import *
from sim.world.quiet_fleet import (
    book_once,
    book_rates,
    crash_wait_s,
    evict,
    highest_level,
    is_of,
    lose_nodes,
    note,
    return_nodes,
    start_pod,
    stop_pod,
)
from sim.world.quiet_kills import draw_new, is_new, next_kill, survive

APART_S = SETTLES_S
"""What is so far from all else that happens is a disturbance of its own (`measures.disturbances`), and has settled."""
_GOES_ON = -1
_PASSED = -2


@compiled
def pass_over(until_s: float, m: Any, kept: Any, g: Any, known: Any, log: Any) -> tuple[int, int, int]:
    """Pass over the next disturbances as long as nobody notices.

    Parameters
    ----------
    until_s : float
        The next thing that happens otherwise, s.
    m, kept : Moving
        The trial; work space of the same shapes.
    g, known, log : Given, Tables, Log
        What does not change; what is endured; what was passed over is added.

    Returns
    -------
    tuple of int
        Why it ended (`STOPPED` and so on), and the two numbers of the answer that is needed first.
    """
    while True:
        kill_s, pod = next_kill(m, g)
        if pod >= 0:
            return NEEDS_LEVEL, pod, m.pods[pod, POD_INCARNATION]
        before_s = min(until_s, kill_s)
        clock, at_s, then_s = earliest(m)
        if at_s >= before_s:
            return STOPPED, 0, 0
        if is_void(clock, m):
            code, one, other = wind(clock, at_s, m, g)
            if code != _GOES_ON:
                return code, one, other
            continue
        if at_s < m.mark_s[SETTLED] + APART_S or m.clocks[clock, CLOCK_KIND] == OTHER:
            return STOPPED, 0, 0
        if m.marks[N_ROWS] >= log.rows.shape[0] or m.marks[N_NAMES] + LONGEST_CLUSTER >= log.names.shape[0]:
            return FULL, 0, 0
        if m.clocks[clock, CLOCK_KIND] == CRASH:
            code, one, other = restart_alone(clock, min(then_s, before_s), m, g, known, log)
            if code == _PASSED:
                continue
            if code != _GOES_ON:
                return code, one, other
        copy(m, kept)
        code, one, other = disturbance(before_s, m, g, known, log)
        if code == _PASSED:
            kill_s, pod = next_kill(m, g)  # who is new in it may be killed soon
            if pod >= 0:
                code, one, other = NEEDS_LEVEL, pod, m.pods[pod, POD_INCARNATION]
            elif kill_s <= m.mark_s[SETTLED] + APART_S:
                code = STOPPED
        if code == _PASSED and m.marks[N_EVENTS] > log.event_s.shape[0] > 0:
            code = FULL
        if code != _PASSED:
            copy(kept, m)
            return code, one, other


@inner
def is_void(clock: int, m: Any) -> bool:
    """Whether a clock strikes a pod that is not there or down already: nothing happens, and it starts again."""
    return bool(m.clocks[clock, CLOCK_KIND] == CRASH and m.pods[m.clocks[clock, CLOCK_TARGET], POD_STATE] != READY)


@inner
def restart_alone(clock: int, before_s: float, m: Any, g: Any, known: Any, log: Any) -> tuple[int, int, int]:
    """Pass over a crash that is far from all else, if nobody notices: `_PASSED` if it was. Most of what there is."""
    pod, at_s = m.clocks[clock, CLOCK_TARGET], m.clock_s[clock, CLOCK_DUE]
    pool, n_drawn = g.pool_of[pod], m.clocks[clock, CLOCK_DRAWN]
    times, startup_s = g.pool_s[pool], g.pool_s[pool, POOL_STARTUP]
    if g.pools[pool, POOL_SIMPLE] == 0 or (
        m.pods[pod, POD_CRASHES] > 0 and at_s - m.pod_s[pod, POD_STARTED] < times[POOL_RESET]
    ):
        return _GOES_ON, 0, 0
    ready_s = at_s + max(times[POOL_FIRST_WAIT] + startup_s, SHORTEST_S)
    if ready_s + APART_S >= before_s or n_drawn >= g.lasts_s.shape[1] or g.lasts_s[clock, n_drawn] < APART_S:
        return _GOES_ON, 0, 0
    if m.marks[N_EVENTS] + 4 > log.event_s.shape[0] > 0:
        return _GOES_ON, 0, 0
    if known.restart[pool] == UNKNOWN:
        return NEEDS_RESTART, pool, 0
    if highest_level(at_s, ready_s + APART_S, g) * N_LEVELS * PARTS > known.restart[pool] + 1e-9:
        return _GOES_ON, 0, 0
    if known.kills_of[pod] == UNKNOWN:
        return NEEDS_KILLS, pod, 0
    reach, killed_s = draw_new(pod, ready_s, m, g)
    if math.isnan(killed_s):
        return NEEDS_LEVEL, pod, m.pods[pod, POD_INCARNATION] + 1
    if killed_s <= ready_s + APART_S:
        return _GOES_ON, 0, 0
    killed = survive(pod, at_s, ready_s + APART_S, m, g, known)
    if killed >= 0:
        if math.isnan(m.pod_s[killed, POD_REACH]):
            return NEEDS_LEVEL, killed, m.pods[killed, POD_INCARNATION]
        return _GOES_ON, 0, 0
    n_rows = N_LEVELS * PARTS + 1
    book_once(known.restart_once, pool * n_rows, n_rows, at_s, g.share[pod], m, g)
    m.clocks[clock, CLOCK_STRUCK] += 1
    number, node, row = m.clocks[clock, CLOCK_STRUCK], m.pods[pod, POD_NODE], m.marks[N_ROWS]
    if log.event_s.shape[0] > 0:
        note(EVENT_FAULT, clock, number, 1 << pool, at_s, m, log)
        note(EVENT_LOST, pod, node, 0, at_s, m, log)
        note(EVENT_READY, pod, node, 0, ready_s, m, log)
        note(EVENT_REPAIR, clock, number, 0, ready_s, m, log)
    m.pods[pod, POD_CRASHES] = 1
    m.pods[pod, POD_STARTS] += 1
    m.pods[pod, POD_INCARNATION] += 1
    m.pod_s[pod, POD_STARTED], m.pod_s[pod, POD_REACH], m.pod_s[pod, POD_KILLED] = ready_s, reach, killed_s
    m.clock_s[clock, CLOCK_DUE], m.clocks[clock, CLOCK_DRAWN] = ready_s + g.lasts_s[clock, n_drawn], n_drawn + 1
    log.row_s[row, 0], log.row_s[row, 1] = at_s, ready_s
    log.rows[row, 0], log.rows[row, 1] = 1 << pool, m.marks[N_NAMES]
    log.names[m.marks[N_NAMES]] = m.clocks[clock, CLOCK_FAULT]
    m.marks[N_NAMES] += 1
    m.marks[N_ROWS], m.mark_s[SETTLED] = row + 1, ready_s
    return _PASSED, 0, 0


@inner
def copy(source: Any, target: Any) -> None:
    """Copy all that moves."""
    copy_rows(source.clocks, target.clocks)
    copy_rows(source.clock_s, target.clock_s)
    copy_rows(source.pods, target.pods)
    copy_rows(source.pod_s, target.pod_s)
    copy_rows(source.nodes, target.nodes)
    copy_row(source.used_mib, target.used_mib)
    copy_row(source.marks, target.marks)
    copy_row(source.mark_s, target.mark_s)
    copy_rows(source.booked, target.booked)


@inner
def copy_rows(source: Any, target: Any) -> None:
    """Copy a table."""
    for k in range(source.shape[0]):
        for column in range(source.shape[1]):
            target[k, column] = source[k, column]


@inner
def copy_row(source: Any, target: Any) -> None:
    """Copy a row."""
    for k in range(source.shape[0]):
        target[k] = source[k]


@inner
def earliest(m: Any) -> tuple[int, float, float]:
    """The clock that strikes next, when, and when another one does."""
    best, best_s, then_s = 0, math.inf, math.inf
    for clock in range(m.clocks.shape[0]):
        due_s = m.clock_s[clock, CLOCK_DUE]
        if due_s < best_s:
            best, best_s, then_s = clock, due_s, best_s
        elif due_s < then_s:
            then_s = due_s
    return best, best_s, then_s


@inner
def disturbance(until_s: float, m: Any, g: Any, known: Any, log: Any) -> tuple[int, int, int]:
    """Play one disturbance; `_PASSED` if it is endured, else as `pass_over`. What it did is not undone here."""
    row, first_name = m.marks[N_ROWS], m.marks[N_NAMES]
    m.marks[HITS], m.marks[N_ACTIVE], m.marks[N_MISSING], m.marks[N_EVICTIONS] = 0, 0, 0, 0
    m.marks[SLOW_NOW] = m.marks[SLOW_MET] = -1
    log.row_s[row, 0] = earliest(m)[1]
    for pool in range(g.pools.shape[0]):
        log.worst[pool] = 0
    end_s = -math.inf
    while True:
        at_s, kind, which = next_event(m, log)
        if at_s + APART_S >= until_s and (end_s == -math.inf or at_s < end_s + APART_S):
            return STOPPED, 0, 0
        if kind == EVENT_FAULT and is_void(which, m):
            code, one, other = wind(which, at_s, m, g)
            if code != _GOES_ON:
                return code, one, other
            continue
        if end_s != -math.inf:  # all is well since then
            if at_s >= end_s + APART_S:
                break
            end_s = -math.inf
        if m.marks[N_MISSING] > 0:
            code, one, other = book_missing(at_s, m, g, known)
            if code != _GOES_ON:
                return code, one, other
        if m.marks[N_NAMES] - first_name == LONGEST_CLUSTER:
            return STOPPED, 0, 0
        was_missing = m.marks[N_MISSING]
        code, one, other = happen(at_s, kind, which, m, g, known, log)
        if code != _GOES_ON:
            return code, one, other
        if m.marks[N_MISSING] > 0:
            m.mark_s[BOOKED_TO] = at_s
            for pool in range(g.pools.shape[0]):
                log.worst[pool] = max(log.worst[pool], n_missing(pool, m, g))
            if m.marks[SLOW_NOW] >= 0:
                if m.marks[SLOW_MET] not in (-1, m.marks[SLOW_NOW]):
                    return STOPPED, 0, 0
                m.marks[SLOW_MET] = m.marks[SLOW_NOW]
        if was_missing > 0 or (kind == EVENT_FAULT and m.marks[N_MISSING] > 0):
            code, one, other = endures_loss(at_s, m, g, known, log)
            if code != _GOES_ON:
                return code, one, other
        if m.marks[N_MISSING] == 0:
            m.marks[SLOW_MET] = -1
            for pool in range(g.pools.shape[0]):
                log.worst[pool] = 0
        if m.marks[N_ACTIVE] == 0 and m.marks[N_MISSING] == 0:
            end_s = at_s
            m.marks[N_EVICTIONS] = 0  # those that are still noted find their node back
    log.row_s[row, 1] = end_s
    log.rows[row, 0], log.rows[row, 1] = m.marks[HITS], first_name
    m.marks[N_ROWS] = row + 1
    m.mark_s[SETTLED] = end_s
    return _PASSED, 0, 0


@inner
def next_event(m: Any, log: Any) -> tuple[float, int, int]:
    """When something happens next, what (`EVENT_...`, and `EVENT_LOST` for an eviction) and to which."""
    best_s, kind, which = math.inf, EVENT_FAULT, 0
    for k in range(m.marks[N_EVICTIONS]):
        if log.eviction_s[k] < best_s:
            best_s, kind, which = log.eviction_s[k], EVENT_LOST, k
    for pod in range(m.pods.shape[0]):
        if m.pod_s[pod, POD_READY_AT] < best_s:
            best_s, kind, which = m.pod_s[pod, POD_READY_AT], EVENT_READY, pod
    for clock in range(m.clocks.shape[0]):
        if m.clock_s[clock, CLOCK_REPAIR] < best_s:
            best_s, kind, which = m.clock_s[clock, CLOCK_REPAIR], EVENT_REPAIR, clock
        if m.clock_s[clock, CLOCK_DUE] < best_s:
            best_s, kind, which = m.clock_s[clock, CLOCK_DUE], EVENT_FAULT, clock
    return best_s, kind, which


@inner
def happen(at_s: float, kind: int, which: int, m: Any, g: Any, known: Any, log: Any) -> tuple[int, int, int]:
    """The next thing happens."""
    if kind == EVENT_FAULT:
        return strike(which, at_s, m, g, known, log)
    if kind == EVENT_READY:
        m.pods[which, POD_STATE] = READY
        m.pods[which, POD_INCARNATION] += 1
        m.pod_s[which, POD_STARTED], m.pod_s[which, POD_READY_AT] = at_s, math.inf
        is_new(which, m)
        m.marks[N_MISSING] -= 1
        note(EVENT_READY, which, m.pods[which, POD_NODE], 0, at_s, m, log)
        clock = m.pods[which, POD_CLOCK]
        if clock >= 0:
            m.pods[which, POD_CLOCK] = -1
            return end(clock, at_s, m, g, log)
    elif kind == EVENT_REPAIR:
        code, one, other = end(which, at_s, m, g, log)
        if code != _GOES_ON:
            return code, one, other
        if m.clocks[which, CLOCK_KIND] == NODES:
            return_nodes(which, at_s, m, g)
        else:
            return end_slow(at_s, m, g, known)
    else:
        evict(which, m, g, log)
    return _GOES_ON, 0, 0


@inner
def wind(clock: int, at_s: float, m: Any, g: Any) -> tuple[int, int, int]:
    """A clock starts again."""
    n_drawn = m.clocks[clock, CLOCK_DRAWN]
    if n_drawn >= g.lasts_s.shape[1]:
        return NEEDS_TIMES, 0, 0
    m.clock_s[clock, CLOCK_DUE] = at_s + g.lasts_s[clock, n_drawn]
    m.clocks[clock, CLOCK_DRAWN] = n_drawn + 1
    return _GOES_ON, 0, 0


@inner
def end(clock: int, at_s: float, m: Any, g: Any, log: Any) -> tuple[int, int, int]:
    """An occurrence ends."""
    m.marks[N_ACTIVE] -= 1
    m.clock_s[clock, CLOCK_REPAIR] = math.inf
    note(EVENT_REPAIR, clock, m.clocks[clock, CLOCK_STRUCK], 0, at_s, m, log)
    return wind(clock, at_s, m, g)


@inner
def strike(clock: int, at_s: float, m: Any, g: Any, known: Any, log: Any) -> tuple[int, int, int]:
    """A clock strikes: its element is hit."""
    kind, target = m.clocks[clock, CLOCK_KIND], m.clocks[clock, CLOCK_TARGET]
    if kind == OTHER:
        return STOPPED, 0, 0
    m.clocks[clock, CLOCK_STRUCK] += 1
    m.clock_s[clock, CLOCK_DUE] = math.inf
    log.names[m.marks[N_NAMES]] = m.clocks[clock, CLOCK_FAULT]
    m.marks[N_NAMES] += 1
    m.marks[N_ACTIVE] += 1
    hits = pools_hit(clock, m, g)
    m.marks[HITS] |= hits
    note(EVENT_FAULT, clock, m.clocks[clock, CLOCK_STRUCK], hits, at_s, m, log)
    if kind == CRASH:
        wait_s = crash_wait_s(target, at_s, m, g)
        if not stop_pod(target, at_s, m, g, known, log):
            return STOPPED, 0, 0
        start_pod(target, at_s, wait_s, m, g)
        m.pods[target, POD_CLOCK] = clock
        return _GOES_ON, 0, 0
    if m.clocks[clock, CLOCK_STRUCK] > g.repairs_s.shape[1]:
        return STOPPED, 0, 0
    m.clock_s[clock, CLOCK_REPAIR] = at_s + g.repairs_s[clock, m.clocks[clock, CLOCK_STRUCK] - 1]
    if kind == NODES:
        return (_GOES_ON if lose_nodes(clock, at_s, m, g, known, log) else STOPPED), 0, 0
    if m.marks[SLOW_NOW] >= 0:
        return STOPPED, 0, 0
    m.marks[SLOW_NOW], m.mark_s[SLOW_FROM] = m.clocks[clock, CLOCK_SLOW], at_s
    return _GOES_ON, 0, 0


@inner
def pools_hit(clock: int, m: Any, g: Any) -> int:
    """Pools that the element of a clock carries now, a bit each."""
    kind, target, hits = m.clocks[clock, CLOCK_KIND], m.clocks[clock, CLOCK_TARGET], 0
    if kind == CRASH:
        return 1 << int(g.pool_of[target])
    for pod in range(m.pods.shape[0]):
        node = m.pods[pod, POD_NODE]
        if m.pods[pod, POD_STATE] != ABSENT and (
            (kind == SLOW and g.pool_of[pod] == target) or (kind == NODES and node >= 0 and is_of(node, clock, m))
        ):
            hits |= 1 << int(g.pool_of[pod])
    return hits


@inner
def end_slow(at_s: float, m: Any, g: Any, known: Any) -> tuple[int, int, int]:
    """A slowness is over: it was endured if the demand was low enough all along, and what it cost is booked."""
    number, from_s = m.marks[SLOW_NOW], m.mark_s[SLOW_FROM]
    limit = known.slow[number]
    if limit == UNKNOWN:
        return NEEDS_SLOW, number, 0
    if highest_level(from_s, at_s, g) * N_LEVELS * PARTS > limit + 1e-9:
        return REFUSED, 0, 0
    n_rows = N_LEVELS * PARTS + 1
    settled = -math.expm1((from_s - at_s) / APART_S)  # a short one is over before it has settled
    book_once(known.slow_once, number * n_rows, n_rows, from_s, settled, m, g)
    book_rates(known.slow_rates, number * n_rows, n_rows, from_s, at_s, m, g)
    m.marks[SLOW_NOW] = -1
    return _GOES_ON, 0, 0


@inner
def n_missing(pool: int, m: Any, g: Any) -> int:
    """Pods of a pool that do not run and should."""
    found = 0
    for pod in range(g.pools[pool, POOL_FIRST], g.pools[pool, POOL_END]):
        found += m.pods[pod, POD_STATE] == STARTING or m.pods[pod, POD_STATE] == WAITING
    return found


@inner
def endures_loss(at_s: float, m: Any, g: Any, known: Any, log: Any) -> tuple[int, int, int]:
    """Whether the worst that was missing since all pods ran is endured at the highest demand until now.

    Of several pools all of the region count as missing by the share of the worst: fewer questions have to be asked.
    """
    n_pools, worst_pool, region, share = 0, -1, -1, 0
    for pool in range(g.pools.shape[0]):
        missing = log.worst[pool]
        if missing == 0:
            continue
        if region not in (-1, g.pools[pool, POOL_REGION]):
            return REFUSED, 0, 0
        n_pools, worst_pool, region, largest = n_pools + 1, pool, g.pools[pool, POOL_REGION], 0
        for other in range(g.pools.shape[0]):
            if g.pools[other, POOL_REGION] == region:
                largest = max(largest, g.pools[other, POOL_RUNNING])
        share = max(share, -(-missing * largest // max(g.pools[pool, POOL_RUNNING], 1)))
    if share >= known.loss.shape[1]:
        return REFUSED, 0, 0
    limit = known.loss[region, share]
    if m.marks[SLOW_MET] >= 0:
        slow_row = m.marks[SLOW_MET] * known.loss.shape[0] + region
        limit = known.slow_loss[slow_row, share]
        if limit == UNKNOWN:
            return NEEDS_SLOW_LOSS, slow_row, share
    elif n_pools == 1:
        share = log.worst[worst_pool]
        limit = known.alone[worst_pool, share]
    if limit == UNKNOWN:
        return (NEEDS_ALONE, worst_pool, share) if n_pools == 1 else (NEEDS_LOSS, region, share)
    if highest_level(m.mark_s[MISSING_FROM], at_s, g) * N_LEVELS > limit + 1e-9:
        return REFUSED, 0, 0
    return _GOES_ON, 0, 0


@inner
def book_missing(at_s: float, m: Any, g: Any, known: Any) -> tuple[int, int, int]:
    """Book what it costs that pods are missing, from what happened last until now."""
    from_s, most = m.mark_s[BOOKED_TO], known.free.shape[1]
    level = highest_level(from_s, at_s, g) * N_LEVELS - 1e-9
    for pool in range(g.pools.shape[0]):
        missing = n_missing(pool, m, g)
        if missing == 0:
            continue
        if missing >= most:
            return STOPPED, 0, 0
        if known.free[pool, missing] == UNKNOWN:
            return NEEDS_COST, pool, missing
        if level > known.free[pool, missing]:
            book_rates(known.cost, (pool * most + missing) * (N_LEVELS + 1), N_LEVELS + 1, from_s, at_s, m, g)
    return _GOES_ON, 0, 0
