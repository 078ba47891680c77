"""Queue tables: busy slots and blocking of one pod as functions of its mean number of requests inside.

`stationary` tables hold the M/M/c/K queue at the load whose mean number inside is x, so that the fluid has
the right mean queue below saturation; `fluid` tables hold min(x, slots), the limit of many slots. Each
table has four pieces of equal node distance (below the slots; just above; the middle; just below full), so
that a look-up is two comparisons and one interpolation, and the slots and the bound are nodes.
"""

import numpy as np

from sim.traffic.compiled import F1, F2, F8, NOTHING, compiled, floats
from sim.traffic.layout import (
    HEAD_EDGE,
    HEAD_INVERSE,
    HEAD_ROOM,
    HEAD_SLOTS,
    N_NODES,
    NODES_PER_PIECE,
    TABLE_BLOCKED,
    TABLE_BUSY,
    TABLE_HEAD,
    Floats,
)


def queue_table(slots: int, queue: int, *, stationary: bool) -> Floats:
    """Table of one pod.

    Parameters
    ----------
    slots, queue : int
        Servers (>= 1) and waiting room (>= 0).
    stationary : bool
        M/M/c/K means, or the fluid limit min(x, slots).

    Returns
    -------
    (3, N_NODES) array
        Rows TABLE_BUSY, TABLE_BLOCKED, TABLE_HEAD of `layout`.
    """
    room = slots + queue
    near_slots = min(queue / 3.0, 8.0 * slots + 64.0)
    near_full = min(queue / 3.0, 64.0)
    borders = np.array([0.0, slots, slots + near_slots, room - near_full, room])
    nodes = np.concatenate(
        [np.linspace(borders[k], borders[k + 1], NODES_PER_PIECE, endpoint=False) for k in range(4)] + [borders[-1:]]
    )
    table = np.zeros((3, N_NODES))
    if stationary:
        _fill_stationary(float(slots), float(queue), nodes, table)
    else:
        table[TABLE_BUSY] = np.minimum(nodes, slots)
        # Rejection sets in over the last place: a jump at the bound would stop the integrator.
        table[TABLE_BLOCKED] = np.clip(nodes - (room - 1.0), 0.0, 1.0)
    widths = np.diff(borders)
    head = table[TABLE_HEAD]
    head[HEAD_SLOTS], head[HEAD_ROOM] = slots, room
    head[HEAD_EDGE : HEAD_EDGE + 5] = borders
    head[HEAD_INVERSE : HEAD_INVERSE + 4] = np.where(widths > 0, NODES_PER_PIECE / np.maximum(widths, 1e-300), 0.0)
    return table


@compiled(floats(3)(F8, F8))
def _geometric(ratio: float, queue: float) -> tuple[float, float, float]:
    """Sums over i = 0..queue of ratio**i and of i ratio**i, and ratio**queue, for ratio <= 1."""
    gap = 1.0 - ratio
    last = ratio**queue
    if gap * (queue + 1.0) > 1e-3:
        count = (1.0 - last * ratio) / gap
        return count, (ratio * (1.0 - last) / gap - queue * last * ratio) / gap, last
    # The closed form cancels near 1: expand ratio**i = exp(i log ratio) instead, to the third order.
    slope = np.log(ratio)
    first = queue * (queue + 1.0) / 2.0
    second = first * (2.0 * queue + 1.0) / 3.0
    third = first * first
    fourth = second * (3.0 * queue * queue + 3.0 * queue - 1.0) / 5.0
    count = queue + 1.0 + slope * (first + slope * (second / 2.0 + slope * third / 6.0))
    return count, first + slope * (second + slope * (third / 2.0 + slope * fourth / 6.0)), last


@compiled(floats(3)(F8, F8, F8))
def _means(load: float, slots: float, queue: float) -> tuple[float, float, float]:
    """Mean inside, mean busy and blocking of M/M/c/K at offered load `load`.

    Probabilities are summed outwards from the mode, relative to it, so that nothing overflows.
    """
    mode = min(np.floor(load), slots)
    total, inside, busy = 1.0, mode, mode
    weight, n = 1.0, mode
    while n >= 1.0 and weight > 1e-20 * total:
        weight *= n / load
        n -= 1.0
        total += weight
        inside += n * weight
        busy += n * weight
    weight, n = 1.0, mode
    while n < slots and weight > 1e-300:
        n += 1.0
        weight *= load / n
        total += weight
        inside += n * weight
        busy += n * weight
    if n < slots:
        weight = 0.0
    # The waiting room is geometric from p(slots) = weight on.
    ratio = load / slots
    if ratio > 1.0:  # relative to the full system, the most likely state
        count, positions, last = _geometric(1.0 / ratio, queue)
        total, inside, busy = total * last, inside * last, busy * last
        total += count - last
        inside += slots * (count - last) + queue * count - positions
        busy += slots * (count - last)
        return inside / total, busy / total, 1.0 / total
    count, positions, last = _geometric(ratio, queue)
    total += weight * (count - 1.0)
    inside += weight * (slots * (count - 1.0) + positions)
    busy += weight * slots * (count - 1.0)
    return inside / total, busy / total, weight * last / total


@compiled(NOTHING(F8, F8, F1, F2))
def _fill_stationary(slots: float, queue: float, nodes: Floats, table: Floats) -> None:
    """Solve L(a) = x for the offered load a at each node by bisection on log a."""
    low = np.log(1e-12)
    for k in range(nodes.size):
        x = nodes[k]
        if x <= 0.0:
            continue
        if k == nodes.size - 1 or x >= slots + queue:
            table[TABLE_BUSY, k], table[TABLE_BLOCKED, k] = slots, 1.0
            continue
        lo, hi = low, np.log(slots) + 1.0
        while _means(np.exp(hi), slots, queue)[0] < x and hi < 600.0:
            hi += 2.0
        for _ in range(80):
            mid = 0.5 * (lo + hi)
            if _means(np.exp(mid), slots, queue)[0] < x:
                lo = mid
            else:
                hi = mid
        low = lo - 1e-9  # the next node has a larger load
        _, table[TABLE_BUSY, k], table[TABLE_BLOCKED, k] = _means(np.exp(0.5 * (lo + hi)), slots, queue)
