"""Pods and nodes as plain arithmetic: stop, look for another node, start, be ready; what each does to the totals.

The rules are those of `Fleet` and `Topology`, which play them one by one; `tests/property/test_quiet_losses.py` holds
both against each other. Compiled, over the arrays of `quiet_arrays`.
"""

import math
from typing import Any

from sim.traffic.layout import N_TOTALS
from sim.traffic.levels import N_LEVELS
from sim.world.compiled import inner
from sim.world.elements import SHORTEST_S
from sim.world.quiet_arrays import *

_PIECE_S = 300.0
"""Rates of loss are taken as straight lines over so long."""


@inner
def level_at(at_s: float, group: int, g: Any) -> float:
    """Demand of a population at a time as a share of its peak."""
    curve = g.curves[group]
    n = int(curve[1])
    place = min(max(at_s / curve[0], 0.0), n - 1.0)
    if curve[2] == 0.0:
        return float(curve[3 + math.floor(place + 1e-9)] / g.peaks[group])
    first = int(place)
    begin = curve[3 + first]
    value = begin + (place - first) * (curve[3 + min(first + 1, n - 1)] - begin)
    return float(value / g.peaks[group])


@inner
def level_now(at_s: float, g: Any) -> float:
    """Demand at a time as a share of the peak, of the population that is nearest to its own."""
    level = 0.0
    for group in range(g.peaks.shape[0]):
        if g.peaks[group] > 0.0:
            level = max(level, level_at(at_s, group, g))
    return level


@inner
def knot_at(at_s: float, g: Any) -> int:
    """The last knot but one that is not after a time."""
    low, high = 0, g.knot_s.shape[0] - 1
    while high - low > 1:
        middle = (low + high) // 2
        if g.knot_s[middle] <= at_s:
            low = middle
        else:
            high = middle
    return low


@inner
def highest_level(from_s: float, to_s: float, g: Any) -> float:
    """Highest demand between two times, of the population that is nearest to its peak; by whole intervals of knots."""
    first, highest = knot_at(from_s, g), 0.0
    for k in range(first, g.knot_levels.shape[0]):
        if k > first and g.knot_s[k] >= to_s:
            break
        highest = max(highest, g.knot_levels[k])
    return highest


@inner
def month_of(at_s: float, g: Any) -> int:
    """The month in which a time lies."""
    month = int(g.month_s.shape[0]) - 1
    while month > 0 and g.month_s[month] > at_s:
        month -= 1
    return month


@inner
def book(table: Any, first: int, n_rows: int, group: int, level: float, times: float, booked: Any) -> None:
    """Add what a table says of a population at a level, between two of its rows, to what is booked."""
    place = level * (n_rows - 1)
    below = min(int(place), n_rows - 2)
    part = place - below
    for column in range(group * N_TOTALS, (group + 1) * N_TOTALS):
        low, high = table[first + below, column], table[first + below + 1, column]
        booked[column] += times * (low + part * (high - low))


@inner
def book_rates(table: Any, first: int, n_rows: int, from_s: float, to_s: float, m: Any, g: Any) -> None:
    """Add what rates of change of the totals come to between two times; each population goes with its own demand."""
    at_s = from_s
    while at_s < to_s:
        length_s, booked = min(_PIECE_S, to_s - at_s), m.booked[month_of(at_s, g)]
        for group in range(g.peaks.shape[0]):
            if g.peaks[group] > 0.0:
                book(table, first, n_rows, group, level_at(at_s, group, g), 0.5 * length_s, booked)
                book(table, first, n_rows, group, level_at(at_s + length_s, group, g), 0.5 * length_s, booked)
        at_s += length_s


@inner
def book_once(table: Any, first: int, n_rows: int, at_s: float, times: float, m: Any, g: Any) -> None:
    """Add what happens at one time, at the demand of the population that is nearest to its peak."""
    level, booked = level_now(at_s, g), m.booked[month_of(at_s, g)]
    for group in range(g.peaks.shape[0]):
        book(table, first, n_rows, group, level, times, booked)


@inner
def note(kind: int, one: int, other: int, hits: int, at_s: float, m: Any, log: Any) -> None:
    """Tell those who read the log; what finds no room is counted."""
    k = m.marks[N_EVENTS]
    m.marks[N_EVENTS] = k + 1
    if k < log.event_s.shape[0]:
        log.event_s[k] = at_s
        log.events[k, 0], log.events[k, 1], log.events[k, 2], log.events[k, 3] = kind, one, other, hits


@inner
def stop_pod(pod: int, at_s: float, m: Any, g: Any, known: Any, log: Any) -> bool:
    """A pod dies, if it runs: what was inside is booked. False if it is not simple."""
    pool = g.pool_of[pod]
    if m.pods[pod, POD_STATE] == READY:
        if g.pools[pool, POOL_SIMPLE] == 0:
            return False
        if m.marks[N_MISSING] == 0:
            m.mark_s[MISSING_FROM] = at_s
        m.marks[N_MISSING] += 1
        book_once(known.kill, pool * (N_LEVELS + 1), N_LEVELS + 1, at_s, g.share[pod], m, g)
        note(EVENT_LOST, pod, m.pods[pod, POD_NODE], 0, at_s, m, log)
    m.pods[pod, POD_STATE] = WAITING
    m.pod_s[pod, POD_READY_AT] = math.inf
    return True


@inner
def start_pod(pod: int, at_s: float, wait_s: float, m: Any, g: Any) -> None:
    """A pod that is bound starts, and will be ready."""
    m.pods[pod, POD_STATE] = STARTING
    m.pods[pod, POD_STARTS] += 1
    m.pod_s[pod, POD_READY_AT] = at_s + max(wait_s + g.pool_s[g.pool_of[pod], POOL_STARTUP], SHORTEST_S)


@inner
def crash_wait_s(pod: int, at_s: float, m: Any, g: Any) -> float:
    """Count a crash of a running pod; returns the back-off before its restart."""
    pool = g.pool_of[pod]
    if at_s - m.pod_s[pod, POD_STARTED] >= g.pool_s[pool, POOL_RESET]:
        m.pods[pod, POD_CRASHES] = 0
    m.pods[pod, POD_CRASHES] += 1
    n_crashes = m.pods[pod, POD_CRASHES]
    if n_crashes <= 1:
        return float(g.pool_s[pool, POOL_FIRST_WAIT])
    return float(min(g.pool_s[pool, POOL_INITIAL] * 2.0 ** min(n_crashes - 2, 64), g.pool_s[pool, POOL_LONGEST]))


@inner
def find_room(pod: int, m: Any, g: Any) -> int:
    """Node for a pod, -1 if none: the zone with the fewest siblings, then the fullest node; as `Topology.find_room`."""
    pool = g.pool_of[pod]
    region = g.pools[pool, POOL_REGION]
    best, best_in_zone, best_on_node, best_free = -1, 0, 0, 0.0
    for node in range(m.nodes.shape[0]):
        free = g.node_mib[node] - m.used_mib[node]
        if m.nodes[node, NODE_REGION] != region or m.nodes[node, NODE_HOLDS] > 0 or free < g.limit_mib[pod]:
            continue
        in_zone = on_node = 0
        for other in range(g.pools[pool, POOL_FIRST], g.pools[pool, POOL_END]):
            at = m.pods[other, POD_NODE]
            if other != pod and at >= 0:
                in_zone += m.nodes[at, NODE_ZONE] == m.nodes[node, NODE_ZONE]
                on_node += at == node
        better = best < 0 or in_zone < best_in_zone
        if not better and in_zone == best_in_zone:
            better = on_node < best_on_node
            if on_node == best_on_node:
                better = free < best_free or (free == best_free and m.nodes[node, NODE_RANK] < m.nodes[best, NODE_RANK])
        if better:
            best, best_in_zone, best_on_node, best_free = node, in_zone, on_node, free
    return best


@inner
def try_start(pod: int, at_s: float, m: Any, g: Any) -> None:
    """Start a waiting pod if nothing keeps it down."""
    if m.pods[pod, POD_STATE] != WAITING:
        return
    node = m.pods[pod, POD_NODE]
    if node < 0:
        node = find_room(pod, m, g)
        if node < 0:
            return
        m.pods[pod, POD_NODE] = node
        m.used_mib[node] += g.limit_mib[pod]
    elif m.nodes[node, NODE_HOLDS] > 0:
        return
    start_pod(pod, at_s, 0.0, m, g)


@inner
def evict(entry: int, m: Any, g: Any, log: Any) -> None:
    """Pods of a node that is still away look for another one."""
    at_s, node, n_returns = log.eviction_s[entry], log.evictions[entry, 0], log.evictions[entry, 1]
    last = m.marks[N_EVICTIONS] - 1
    for k in range(entry, last):  # in the order in which they were noted
        log.eviction_s[k] = log.eviction_s[k + 1]
        log.evictions[k, 0], log.evictions[k, 1] = log.evictions[k + 1, 0], log.evictions[k + 1, 1]
    m.marks[N_EVICTIONS] = last
    if m.nodes[node, NODE_RETURNS] != n_returns:
        return
    for pod in range(m.pods.shape[0]):
        if m.pods[pod, POD_NODE] == node and m.pods[pod, POD_STATE] == WAITING:
            m.used_mib[node] -= g.limit_mib[pod]
            m.pods[pod, POD_NODE] = -1
            try_start(pod, at_s, m, g)


@inner
def is_of(node: int, clock: int, m: Any) -> bool:
    """Whether a node is down with the element of a clock."""
    if m.clocks[clock, CLOCK_TARGET] >= 0:
        return bool(m.clocks[clock, CLOCK_TARGET] == node)
    zone = m.clocks[clock, CLOCK_ZONE]
    return bool(m.nodes[node, NODE_REGION] == m.clocks[clock, CLOCK_REGION] and zone in (-1, m.nodes[node, NODE_ZONE]))


@inner
def lose_nodes(clock: int, at_s: float, m: Any, g: Any, known: Any, log: Any) -> bool:
    """The nodes of a clock go down with their pods; False if one of those is not simple."""
    for node in range(m.nodes.shape[0]):
        if is_of(node, clock, m):
            m.nodes[node, NODE_HOLDS] += 1
    for node in range(m.nodes.shape[0]):
        if not is_of(node, clock, m):
            continue
        eviction_s = 0.0
        for pod in range(m.pods.shape[0]):
            if m.pods[pod, POD_NODE] == node and not stop_pod(pod, at_s, m, g, known, log):
                return False
        for pool in range(g.pools.shape[0]):
            if g.pools[pool, POOL_REGION] == m.nodes[node, NODE_REGION]:
                eviction_s = g.pool_s[pool, POOL_EVICTION]
        k = m.marks[N_EVICTIONS]
        if k == MOST_EVICTIONS:
            return False
        log.eviction_s[k] = at_s + eviction_s
        log.evictions[k, 0], log.evictions[k, 1] = node, m.nodes[node, NODE_RETURNS]
        m.marks[N_EVICTIONS] = k + 1
    return True


@inner
def return_nodes(clock: int, at_s: float, m: Any, g: Any) -> None:
    """The nodes of a clock are back, unless something else keeps them down; who waits finds room now."""
    for node in range(m.nodes.shape[0]):
        if is_of(node, clock, m):
            m.nodes[node, NODE_HOLDS] -= 1
    for node in range(m.nodes.shape[0]):
        if not is_of(node, clock, m) or m.nodes[node, NODE_HOLDS] > 0:
            continue
        m.nodes[node, NODE_RETURNS] += 1
        for pod in range(m.pods.shape[0]):
            if m.pods[pod, POD_NODE] == node:
                try_start(pod, at_s, m, g)
        for pod in range(m.pods.shape[0]):
            if m.pods[pod, POD_NODE] < 0 and g.pools[g.pool_of[pod], POOL_REGION] == m.nodes[node, NODE_REGION]:
                try_start(pod, at_s, m, g)
