"""What the control plane sees while single requests are simulated: pods, pools and users, as mean rates show theirs.

Shares of success are those of requests that ended. Where few did, as in a standby that nobody uses, they say nothing of
now, and what mean rates would expect of the pods completes them. Part of the request gear (see `requests`).
"""

import math

from sim.traffic.answers import pool_answer
from sim.traffic.calls import edge_passes
from sim.traffic.compiled import F1, F8, I8, NOTHING, compiled
from sim.traffic.crowd import *
from sim.traffic.crowd import CROWD, FORGET_S, LEAST_ENDED, Crowd, kept_share
from sim.traffic.layout import *
from sim.traffic.layout import Floats
from sim.traffic.network import NETWORK, Network
from sim.traffic.rates import demand_at, room_mib

_HOT_FORGET_S = 30.0
_IDLE_PER_S = 1e-3
"""A pool that is offered less has nothing to fail at."""


@compiled(F8(F8, F8, F8))
def completed_share(ok: float, ended: float, expected: float) -> float:
    """Share of success of those that ended; of too few, completed by what is expected."""
    missing = max(LEAST_ENDED - ended, 0.0)
    return (ok + missing * expected) / (ended + missing)


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


@compiled(NOTHING(F1, NETWORK))
def expect_qualities(state: Floats, net: Network) -> None:
    """Share of the requests of each pool whose calls would work now."""
    pool_algebra, quality0 = net.pool_algebra, net.counts[AT_QUALITY]
    for i in range(net.counts[N_POOLS]):
        pool_algebra[i, OUT_QUALITY_TARGET] = 1.0
    for e in range(net.counts[N_EDGES]):
        pool_algebra[int(net.edges[e, EDGE_FROM]), OUT_QUALITY_TARGET] *= edge_passes(e, state, net)
    for i in range(net.counts[N_POOLS]):
        state[quality0 + i] = pool_algebra[i, OUT_QUALITY_TARGET]


@compiled(F8(I8, F8, F1, NETWORK))
def expected_success(pool: int, limit_s: float, state: Floats, net: Network) -> float:
    """Share of the requests that a pool would answer usably within `limit_s` now."""
    if net.pool_algebra[pool, OUT_UP] == 0.0:
        return 0.0
    ok, _, _ = pool_answer(pool, limit_s, net)
    return float(ok * state[net.counts[AT_QUALITY] + pool])


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
        done, let_in = 0.0, 0.0
        first = int(net.pools[i, POOL_FIRST_POD])
        for p in range(first, first + int(net.pools[i, POOL_N_PODS])):
            done += net.pod_algebra[p, ALG_DONE]
            let_in += net.pod_algebra[p, ALG_WEIGHT] * (1.0 - net.pod_algebra[p, ALG_BLOCKED])
        out[OUT_DONE], out[OUT_REJECTED] = done, 1.0 - let_in if out[OUT_UP] != 0.0 else 1.0
        out[OUT_ASKED_S] = -1.0  # its pods have changed
    expect_qualities(state, net)
    for i in range(counts[N_POOLS]):
        sums, out, expected = crowd.pool_sums[i], net.pool_algebra[i], 1.0
        if out[OUT_OFFERED] > _IDLE_PER_S:
            expected = expected_success(i, net.pools[i, POOL_TIMEOUT_S], state, net)
        out[OUT_SERVED] = completed_share(sums[POOL_OK], sums[POOL_ALL], expected)
        keep = kept_share(passed_s, sums[POOL_ALL])
        sums[POOL_OK] *= keep
        sums[POOL_ALL] *= keep
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


@compiled(F8(I8, I8, F1, NETWORK))
def expected_in_region(g: int, r: int, state: Floats, net: Network) -> float:
    """Share of attempts of group `g` in region `r` that would end usable now."""
    if net.counts[HAS_PROVIDER] != 0 and r == net.counts[N_REGIONS] - 1:
        return float(net.groups[g, GROUP_PROVIDER_OK])
    pool = int(net.routes[g, r, ROUTE_ENTRY])
    if pool < 0 or net.pools[pool, POOL_REACHABLE] == 0.0:
        return 0.0
    return float(expected_success(pool, net.groups[g, GROUP_DEADLINE_S], state, net))


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
        sums[GROUP_SENT] = 0.0
        fade = math.exp(-passed_s / group[GROUP_THROTTLE_S])
        sums[GROUP_WANTED] *= fade
        sums[GROUP_ACCEPTED] *= fade
        quota = group[GROUP_PROVIDER_QUOTA]
        sums[GROUP_QUOTA] = min(sums[GROUP_QUOTA] + quota * passed_s, max(quota, 1.0))
        follow = -math.expm1(-passed_s / group[GROUP_DRAIN_S])
        share0, expected = counts[AT_SHARE] + g * n_regions, 0.0
        for r in range(n_regions):
            state[share0 + r] += (net.routes[g, r, ROUTE_TARGET] - state[share0 + r]) * follow
            of_region = crowd.region_sums[g, 2 * r : 2 * r + 2]
            in_region = expected_in_region(g, r, state, net)
            expected += state[share0 + r] * in_region
            net.health[g, r] = completed_share(of_region[0], of_region[1], in_region)
            keep = kept_share(passed_s, of_region[1])
            of_region[0] *= keep
            of_region[1] *= keep
        flow[FLOW_SUCCESS] = completed_share(sums[GROUP_OK], sums[GROUP_ALL], expected)
        keep = kept_share(passed_s, sums[GROUP_ALL])
        sums[GROUP_OK] *= keep
        sums[GROUP_ALL] *= keep
