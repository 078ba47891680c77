"""Requests that began before their pod became faster or slower: they keep the service time that they drew."""

import math

from sim.traffic.answers import look_up, old_slots
from sim.traffic.layout import *
from sim.traffic.plane import Plane


def keep_drawn_work(plane: Plane, pod: int, now_s: float) -> None:
    """Note which slots are held, and for how long still, before the speed of the pod changes.

    Parameters
    ----------
    plane : Plane
        Arrays of the data plane; the row of the pod changes.
    pod : int
        Row of the pod.
    now_s : float
        When its speed changes.

    Notes
    -----
    `docs/data-plane.md` 1.5, "Old work". Should some be left from an earlier change, both together keep their slots as
    long as they would apart.
    """
    net, row = plane.net, plane.net.pods[pod]
    if row[POD_READY] == 0.0:
        return
    busy = float(look_up(net.tables, int(row[POD_TABLE]), float(plane.state[pod]))[0])
    older = min(float(old_slots(now_s, net.pods, pod)), busy)
    both_s = older * row[POD_OLD_LEFT_S] + (busy - older) * drawn_left_s(plane, pod, busy)
    row[[POD_OLD_BUSY, POD_OLD_AT_S]] = busy, now_s
    if busy > 0.0:
        row[POD_OLD_LEFT_S] = max(both_s / busy, 1e-6)


def drawn_left_s(plane: Plane, pod: int, busy: float) -> float:
    """Mean time for which a slot of this pod is held still, if its request began under the present conditions."""
    net = plane.net
    row, pool = net.pods[pod], int(net.pods[pod, POD_POOL])
    of_pool, slots = net.pools[pool], net.tables[int(row[POD_TABLE]), TABLE_HEAD, HEAD_SLOTS]
    work_s = of_pool[POOL_WORK_S] * row[POD_SLOW]
    work_s *= 1.0 + of_pool[POOL_CONTENTION] * (1.0 + busy * (1.0 - 1.0 / slots))
    # Found at a random moment, long work is found more often, and half done.
    left_s = 0.5 * (1.0 + of_pool[POOL_WORK_SPREAD] ** 2) * work_s
    left_s += max(float(plane.state[plane.layout.hold + pool]) - of_pool[POOL_WORK_S], 0.0)
    if of_pool[POOL_CANCELS] != 0.0:
        # Work stops when its caller has given up.
        left_s *= -math.expm1(-of_pool[POOL_TIMEOUT_S] / left_s)
    return float(left_s)
