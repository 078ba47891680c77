"""Equal pods are computed once: which pods are equal now, and what that spares the integrator.

A pod that has the same parameters and the same requests inside as an earlier one of its pool has the same future until
somebody acts on either. `join_equal` lets the first stand for all of them while the data plane moves on, `copy_equal`
gives the others its state, `part_equal` ends that before the control plane acts again. Their OOM levels and hazards
stay their own. It knows no equations.
"""

import math

from sim.traffic.answers import old_slots
from sim.traffic.compiled import F1, F2, F8, I8, NOTHING, TRUTH, compiled
from sim.traffic.layout import *
from sim.traffic.layout import Floats
from sim.traffic.network import NETWORK, Network

_SAME = 1e-6
"""So close, relative to one request and what is inside, states are equal: what is left of a difference after fourteen
time constants, and far less than a step of the integrator may be wrong by."""
_LOOK_BACK = 4
"""Pods that stand for others and are compared with: the many different pods of a large pool cost no square of them."""


@compiled(TRUTH(F8, F8))
def close(one: float, other: float) -> bool:
    """Whether two states are as good as equal."""
    return abs(one - other) <= _SAME * (1.0 + abs(other))


@compiled(TRUTH(F8, I8, I8, F1, NETWORK))
def equal_pods(now_s: float, p: int, q: int, state: Floats, net: Network) -> bool:
    """Whether two pods of a pool have the same parameters and the same state at `now_s`."""
    one, other = net.pods[p], net.pods[q]
    if one[POD_SHARE] != other[POD_SHARE] or one[POD_READY] != other[POD_READY]:
        return False
    for k in (POD_TABLE, POD_ROOM_LOSS, POD_PER_REQUEST_MIB, POD_LIMIT_MIB, POD_SLOW, POD_ERROR_SHARE, POD_LISTED):
        if one[k] != other[k]:
            return False
    if math.isfinite(one[POD_OOM_LEVEL]) != math.isfinite(other[POD_OOM_LEVEL]):
        return False
    later_mib = one[POD_ROOM_LOSS] * (one[POD_ROOM_AT_S] - other[POD_ROOM_AT_S])
    if one[POD_ROOM_MIB] + later_mib != other[POD_ROOM_MIB]:
        return False
    n_pods = net.counts[N_PODS]
    for block in range(3):
        if not close(state[block * n_pods + p], state[block * n_pods + q]):
            return False
    old = old_slots(now_s, net.pods, p)
    if not close(old, old_slots(now_s, net.pods, q)):
        return False
    return old <= _SAME or abs(one[POD_OLD_LEFT_S] - other[POD_OLD_LEFT_S]) <= _SAME * other[POD_OLD_LEFT_S]


@compiled(TRUTH(I8, NETWORK))
def is_entry(pool: int, net: Network) -> bool:
    """Whether users send requests to a pool, in whatever region they are."""
    for g in range(net.counts[N_GROUPS]):
        for r in range(net.counts[N_REGIONS] - net.counts[HAS_PROVIDER]):
            if int(net.routes[g, r, ROUTE_ENTRY]) == pool:
                return True
    return False


@compiled(NOTHING(F1, NETWORK))
def list_moving(state: Floats, net: Network) -> None:
    """List the states that the integrator has to move: all whose rate may be other than 0 until somebody acts.

    Nothing is booked where no user's request comes, pods without a limit have no hazard of a kill, and nobody waits for
    an attempt that nobody makes.
    """
    pods, pools, groups, counts, moving = net.pods, net.pools, net.groups, net.counts, net.moving
    n_pods, n_moving = counts[N_PODS], 0
    for block in range(4):
        for i in range(counts[N_POOLS]):
            first, books = int(pools[i, POOL_FIRST_POD]), is_entry(i, net)
            for p in range(first, first + int(pools[i, POOL_N_PODS])):
                if pods[p, POD_READY] == 0.0 or pods[p, POD_STANDS_FOR] == 0.0:
                    continue
                if block == 2 and not books and state[2 * n_pods + p] == 0.0:
                    continue
                if block == 3 and (counts[OOM_BY_MEAN] != 0 or not math.isfinite(pods[p, POD_OOM_LEVEL])):
                    continue
                moving[n_moving] = block * n_pods + p
                n_moving += 1
    for k in range(4 * n_pods, counts[AT_ORBIT]):
        moving[n_moving] = k
        n_moving += 1
    for g in range(counts[N_GROUPS]):
        n_retries, steps = int(groups[g, GROUP_ATTEMPTS]) - 1, int(groups[g, GROUP_STEPS])
        for j in range(counts[N_STAGES] * RETRY_STEPS):
            k = counts[AT_ORBIT] + g * counts[N_STAGES] * RETRY_STEPS + j
            if state[k] != 0.0 or (j // RETRY_STEPS < n_retries and j % RETRY_STEPS < steps):
                moving[n_moving] = k
                n_moving += 1
    for k in range(counts[AT_SHARE], counts[AT_TOTALS]):
        moving[n_moving] = k
        n_moving += 1
    counts[N_MOVING] = n_moving


@compiled(NOTHING(F8, F1, NETWORK))
def join_equal(now_s: float, state: Floats, net: Network) -> None:
    """From now on one of each set of equal pods stands for all; lists the states that the integrator has to move."""
    pods, pools = net.pods, net.pools
    for i in range(net.counts[N_POOLS]):
        first = int(pools[i, POOL_FIRST_POD])
        for p in range(first, first + int(pools[i, POOL_N_PODS])):
            pods[p, POD_LIKE], pods[p, POD_STANDS_FOR] = p, 1.0
            q, n_tried = p - 1, 0
            while q >= first and n_tried < _LOOK_BACK and pods[p, POD_READY] != 0.0:
                if pods[q, POD_STANDS_FOR] > 0.0:
                    n_tried += 1
                    if equal_pods(now_s, p, q, state, net):
                        pods[p, POD_LIKE], pods[p, POD_STANDS_FOR] = q, 0.0
                        pods[q, POD_STANDS_FOR] += 1.0
                        break
                q -= 1
    list_moving(state, net)


@compiled(NOTHING(F1, F2, NETWORK), inline=True)
def copy_equal(state: Floats, work: Floats, net: Network) -> None:
    """The end of a step for pods that another one stands for."""
    pods, n_pods, new, bend = net.pods, net.counts[N_PODS], work[5], work[7]
    for p in range(n_pods):
        q = int(pods[p, POD_LIKE])
        if q != p:
            for block in range(3):
                k, like = block * n_pods + p, block * n_pods + q
                new[k], bend[k] = new[like], bend[like]
            k, like = 3 * n_pods + p, 3 * n_pods + q
            new[k] = state[k] + (new[like] - state[like])


@compiled(NOTHING(NETWORK))
def part_equal(net: Network) -> None:
    """Each pod stands for itself again, with the algebra of the one that stood for it."""
    pods, algebra = net.pods, net.pod_algebra
    for p in range(net.counts[N_PODS]):
        q = int(pods[p, POD_LIKE])
        if q != p:
            for k in range(N_POD_ALGEBRA):
                algebra[p, k] = algebra[q, k]
        pods[p, POD_LIKE], pods[p, POD_STANDS_FOR] = p, 1.0
