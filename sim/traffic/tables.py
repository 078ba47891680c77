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


def queue_table(slots: int, queue: int, *, stationary: bool, work_spread: float = 1.0) -> Floats:
    """Table of one pod.

    Parameters
    ----------
    slots, queue : int
        Servers (>= 1) and waiting room (>= 0).
    stationary : bool
        M/M/c/K means, or the fluid limit min(x, slots).
    work_spread : float
        Coefficient of variation of the work (>= 0); 1 is exponential.

    Returns
    -------
    (3, N_NODES) array
        Rows TABLE_BUSY, TABLE_BLOCKED, TABLE_HEAD of `layout`.

    Notes
    -----
    With other than exponential work the waiting room of M/M/c/K decays like the diffusion of M/G/c, and the mean number
    waiting is (1 + spread^2) / 2 times that of M/M/c when it is far from full (A. O. Allen, Probability, Statistics and
    Queueing Theory, 1990; exact for one slot: Pollaczek and Khinchine). Erlang's loss system (queue 0) stays exact.
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
        _fill_stationary(float(slots), float(queue), 0.5 * (1.0 + work_spread**2), nodes, table)
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


@compiled(floats(3)(F8, F8, F8, F8))
def _means(load: float, slots: float, queue: float, scale: float) -> tuple[float, float, float]:
    """Mean inside, mean busy and blocking at offered load `load`: M/M/c/K if `scale`, the factor of the queue, is 1.

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
    # The waiting room is geometric from p(slots) = weight on; those who wait are as many for every `scale`.
    ratio = load / slots
    decay, first = ratio, 1.0
    if scale != 1.0:
        decay = ratio ** (1.0 / scale)
        near = abs(ratio - 1.0) < 1e-9
        first = 1.0 / scale if near else ratio / (1.0 - ratio) * (1.0 - decay) / decay
    if ratio > 1.0:  # relative to the full system, the most likely state
        count, positions, last = _geometric(1.0 / decay, queue)
        part = last / first
        total, inside, busy = total * part, inside * part, busy * part
        total += count - last
        inside += slots * (count - last) + queue * count - positions
        busy += slots * (count - last)
        return inside / total, busy / total, 1.0 / total if scale == 1.0 else max(1.0 - busy / total / load, 0.0)
    count, positions, last = _geometric(decay, queue)
    weight *= first
    total += weight * (count - 1.0)
    inside += weight * (slots * (count - 1.0) + positions)
    busy += weight * slots * (count - 1.0)
    inside, busy = inside / total, busy / total
    if scale == 1.0:
        return inside, busy, weight * last / total
    waiting = (inside - busy) * (scale * (1.0 - decay) / (1.0 - ratio) if ratio < 1.0 - 1e-9 else 1.0)
    return busy + waiting, busy, max(1.0 - busy / load, 0.0)


@compiled(NOTHING(F8, F8, F8, F1, F2))
def _fill_stationary(slots: float, queue: float, scale: float, nodes: Floats, table: Floats) -> None:
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
        while _means(np.exp(hi), slots, queue, scale)[0] < x and hi < 600.0:
            hi += 2.0
        for _ in range(80):
            mid = 0.5 * (lo + hi)
            if _means(np.exp(mid), slots, queue, scale)[0] < x:
                lo = mid
            else:
                hi = mid
        low = lo - 1e-9  # the next node has a larger load
        _, table[TABLE_BUSY, k], table[TABLE_BLOCKED, k] = _means(np.exp(0.5 * (lo + hi)), slots, queue, scale)
