"""The state equations of the data plane, compiled: rates of change and the diagonal of their Jacobian.

The equations are those of `docs/data-plane.md`, section 1; `layout` names every array column. Nothing here
knows names of services, units other than s and MiB, or why a pod is down.
"""

import math

import numpy as np

from sim.traffic.compiled import F1, F2, F3, F8, I8, NOTHING, compiled, floats
from sim.traffic.layout import *
from sim.traffic.layout import Floats
from sim.traffic.network import NETWORK, Network

_POD_VARIANCE_FLOOR = 1e-4  # requests^2; the fluctuation hazard divides by its root


@compiled(floats(4)(F3, I8, F8))
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


@compiled(F8(F8, F8, F8, F8, F8))
def in_time_prob(wait_s: float, wait_var: float, work_s: float, dependency_s: float, limit_s: float) -> float:
    """Probability that waiting + service ends within `limit_s`: a gamma law (Wilson and Hilferty 1931).

    `dependency_s`, the time spent on calls, is taken as constant.
    """
    left = limit_s - dependency_s
    if left <= 0.0:
        return 0.0
    mean = wait_s + work_s
    k = 9.0 * mean * mean / (wait_var + work_s * work_s)
    ratio = left / mean
    if ratio > 64.0 and k >= 4.0:
        return 1.0  # the argument below exceeds 6: spare the roots
    z = math.sqrt(k) * (ratio ** (1.0 / 3.0) - 1.0 + 1.0 / k)
    if z > 6.0:
        return 1.0
    return 0.5 * math.erfc(-z * 0.7071067811865476)


@compiled(floats(3)(I8, F8, F2, F2, F2))
def pool_answer(
    pool: int, limit_s: float, pods: Floats, pools: Floats, pod_algebra: Floats
) -> tuple[float, float, float]:
    """Share that works within `limit_s` (rejected ones count as failed); mean time spent by those let in;
    share answered within `limit_s`, errors included.
    """
    first = int(pools[pool, POOL_FIRST_POD])
    ok, spent, accepted, answered = 0.0, 0.0, 0.0, 0.0
    for p in range(first, first + int(pools[pool, POOL_N_PODS])):
        algebra = pod_algebra[p]
        weight = algebra[ALG_WEIGHT]
        if weight == 0.0:
            continue
        let_in = weight * (1.0 - algebra[ALG_BLOCKED])
        wait_s, work_s = algebra[ALG_WAIT_S], algebra[ALG_WORK_S]
        dependency_s = max(0.0, algebra[ALG_HOLD_S] - work_s)
        in_time = in_time_prob(wait_s, algebra[ALG_WAIT_VAR], work_s, dependency_s, limit_s)
        in_time *= let_in * algebra[ALG_STAYS]
        ok += in_time * (1.0 - pods[p, POD_ERROR_SHARE])
        answered += in_time
        left = limit_s - wait_s - dependency_s
        if left <= 0.0:
            spent += let_in * limit_s
        else:
            spent += let_in * min(limit_s, wait_s + dependency_s + work_s * (1.0 - math.exp(-left / work_s)))
        accepted += let_in
    return ok, spent / accepted if accepted > 0.0 else limit_s, answered


@compiled(floats(2)(F8, F2, I8))
def demand_at(now_s: float, curves: Floats, group: int) -> tuple[float, float]:
    """Demand of `group` (requests/s) and the time until its curve next bends.

    `curves[g]` is (node distance in s, number of nodes, 1 for straight lines or 0 for steps, values...).
    """
    distance, n, linear = curves[group, 0], int(curves[group, 1]), curves[group, 2]
    if n <= 1:
        return curves[group, 3], np.inf
    position = now_s / distance
    node = int(position + 1e-11)
    if node >= n - 1:
        return curves[group, 2 + n], np.inf
    part = min(max(position - node, 0.0), 1.0)
    value, after = curves[group, 3 + node], curves[group, 4 + node]
    if linear != 0.0:
        value += part * (after - value)
    # The next node that is a bend or a jump: nights and week-ends are long straight lines.
    rise = after - curves[group, 3 + node] if linear != 0.0 else 0.0
    last = node + 1
    while last < n - 1 and last < node + 12:
        here, there = curves[group, 3 + last], curves[group, 4 + last]
        change = (there - here) - rise if linear != 0.0 else here - value
        if abs(change) > 1e-6 * abs(value):
            break
        last += 1
    return value, (last - position) * distance


@compiled(F8(F8, F2, I8))
def room_mib(now_s: float, pods: Floats, p: int) -> float:
    """Memory left for requests in pod `p`."""
    room: float = pods[p, POD_ROOM_MIB] - pods[p, POD_ROOM_LOSS] * (now_s - pods[p, POD_ROOM_AT_S])
    return room


@compiled(NOTHING(F1, NETWORK))
def pods_algebra(state: Floats, net: Network) -> None:
    """Busy slots, throughput, waiting time and its variance of each ready pod; sums of each pool."""
    pods, pools, tables, counts = net.pods, net.pools, net.tables, net.counts
    pod_algebra, pool_algebra = net.pod_algebra, net.pool_algebra
    n_pods, n_pools = counts[N_PODS], counts[N_POOLS]
    hold0 = 4 * n_pods
    for i in range(n_pools):
        first = int(pools[i, POOL_FIRST_POD])
        after = first + int(pools[i, POOL_N_PODS])
        weights, n_ready = 0.0, 0.0
        for p in range(first, after):
            if pods[p, POD_READY] != 0.0:
                weights += pods[p, POD_SHARE]
                n_ready += 1.0
        up = n_ready > 0.0 and n_ready >= pools[i, POOL_NEEDS]
        patience = pools[i, POOL_PATIENCE_RATE]
        pool_algebra[i, OUT_UP] = 1.0 if up else 0.0
        done, rejected = 0.0, 0.0
        for p in range(first, after):
            algebra = pod_algebra[p]
            if pods[p, POD_READY] == 0.0:
                algebra[:] = 0.0
                continue
            in_flight, variance = state[p], state[n_pods + p]
            work_s = pools[i, POOL_WORK_S] * pods[p, POD_SLOW]
            # The holding time lags its target and may undershoot the own work by a little; no slot is held so short.
            hold_s = max(state[hold0 + i] - pools[i, POOL_WORK_S], 0.0) + work_s
            algebra[ALG_WORK_S], algebra[ALG_HOLD_S] = work_s, hold_s
            table = int(pods[p, POD_TABLE])
            busy, blocked, busy_slope, blocked_slope = look_up(tables, table, in_flight)
            algebra[ALG_BUSY], algebra[ALG_BUSY_SLOPE] = busy, busy_slope
            algebra[ALG_BLOCKED], algebra[ALG_BLOCKED_SLOPE] = blocked, blocked_slope
            algebra[ALG_DONE] = busy / hold_s
            algebra[ALG_STAYS] = 1.0
            waiting = max(in_flight - busy, 0.0)
            if busy < 1e-9:
                algebra[ALG_WAIT_S] = 0.0
                algebra[ALG_WAIT_VAR] = 0.0
            else:
                wait_s = waiting * hold_s / busy
                if patience > 0.0:
                    # With exponential patience exp(-patience wait) stay, and done / (done + left) do: both agree.
                    algebra[ALG_STAYS] = 1.0 / (1.0 + patience * wait_s)
                    wait_s = math.log1p(patience * wait_s) / patience
                per_slot_s = hold_s / tables[table, TABLE_HEAD, HEAD_SLOTS]
                spread = (variance * min(1.0, (waiting + 1.0) / busy) + waiting) * per_slot_s * per_slot_s
                algebra[ALG_WAIT_S] = wait_s
                algebra[ALG_WAIT_VAR] = min(spread, 2.0 * wait_s * work_s + 9.0 * wait_s * wait_s)
            weight = pods[p, POD_SHARE] / weights if up else 0.0
            algebra[ALG_WEIGHT] = weight
            done += algebra[ALG_DONE]
            rejected += weight * algebra[ALG_BLOCKED]
        pool_algebra[i, OUT_DONE] = done
        pool_algebra[i, OUT_REJECTED] = rejected if up else 1.0


@compiled(NOTHING(F8, I8, F1, F1, F1, NETWORK))
def group_flow(demand_s: float, g: int, state: Floats, rate: Floats, slope: Floats, net: Network) -> None:
    """Attempts of one group, where they go, how they end; its retries, its switch of regions, its totals."""
    pods, pools, groups, routes, counts = net.pods, net.pools, net.groups, net.routes, net.counts
    pod_algebra, pool_algebra, health = net.pod_algebra, net.pool_algebra, net.health
    n_pods, n_pools, n_edges = counts[N_PODS], counts[N_POOLS], counts[N_EDGES]
    n_groups, n_regions, n_stages = counts[N_GROUPS], counts[N_REGIONS], counts[N_STAGES]
    hold0 = 4 * n_pods
    quality0 = hold0 + n_pools
    orbit0 = quality0 + n_pools + n_edges + g * n_stages
    share0 = quality0 + n_pools + n_edges + n_groups * n_stages + g * n_regions
    totals0 = quality0 + n_pools + n_edges + n_groups * (n_stages + n_regions) + g * N_TOTALS
    quality = state[quality0 : quality0 + n_pools]
    parameters, flow = groups[g], net.group_algebra[g]
    deadline_s = parameters[GROUP_DEADLINE_S]
    demand, _ = demand_at(demand_s, net.curves, g)
    demand *= parameters[GROUP_FACTOR]

    n_own = n_regions - counts[HAS_PROVIDER]
    success, timed_out = 0.0, 0.0
    for r in range(n_own):
        share = state[share0 + r]
        pool = int(routes[g, r, ROUTE_ENTRY])
        health[g, r] = 0.0
        if pool < 0:
            continue
        if pools[pool, POOL_REACHABLE] == 0.0:
            timed_out += share
            continue
        ok, _, answered = pool_answer(pool, deadline_s, pods, pools, pod_algebra)
        health[g, r] = ok * quality[pool]
        success += share * health[g, r]
        timed_out += share * max(0.0, 1.0 - pool_algebra[pool, OUT_REJECTED] - answered)
    provider_share, provider_ok, accepted = 0.0, 0.0, 1.0
    if counts[HAS_PROVIDER] != 0:
        provider_share = state[share0 + n_own]
        provider_ok = parameters[GROUP_PROVIDER_OK]
        health[g, n_own] = provider_ok
    n_attempts = int(parameters[GROUP_ATTEMPTS])
    orbit = 0.0
    for k in range(n_attempts - 1):
        orbit += state[orbit0 + k]
    all_success, retry_s, scale, attempts = success, 1.0, 1.0, demand
    # The provider's quota depends on the attempts and they on its success: a second pass settles both.
    for _ in range(2 if provider_share > 0.0 else 1):
        all_success = min(success + provider_share * accepted * provider_ok, 1.0)
        failed = 1.0 - all_success
        late = min(1.0, timed_out / failed) if failed > 1e-12 else 0.0
        retry_s = parameters[GROUP_BACKOFF_S] + parameters[GROUP_FAST_FAIL_S] + deadline_s * late
        retries = orbit / retry_s
        scale = 1.0
        if retries > 0.0 and math.isfinite(parameters[GROUP_BUDGET]):
            scale = min(1.0, parameters[GROUP_BUDGET] * demand / retries)
        attempts = demand + scale * retries
        if provider_share > 0.0:
            accepted = min(1.0, parameters[GROUP_PROVIDER_QUOTA] / max(attempts * provider_share, 1e-12))
    failed = 1.0 - all_success
    flow[FLOW_DEMAND] = demand
    flow[FLOW_SUCCESS] = all_success
    flow[FLOW_ATTEMPTS] = attempts
    flow[FLOW_PROVIDER] = attempts * provider_share * accepted
    flow[FLOW_RETRY_S] = retry_s
    flow[FLOW_RETRY_SCALE] = scale
    flow[FLOW_USABLE] = success + provider_share * accepted * provider_ok * parameters[GROUP_PROVIDER_QUALITY]

    stage_rate = demand
    for k in range(n_stages):
        if k >= n_attempts - 1:
            rate[orbit0 + k] = 0.0
            slope[orbit0 + k] = 0.0
            continue
        leaving = state[orbit0 + k] / retry_s
        rate[orbit0 + k] = stage_rate * failed - leaving
        slope[orbit0 + k] = -1.0 / retry_s
        stage_rate = scale * leaving
    for r in range(n_regions):
        rate[share0 + r] = (routes[g, r, ROUTE_TARGET] - state[share0 + r]) / parameters[GROUP_DRAIN_S]
        slope[share0 + r] = -1.0 / parameters[GROUP_DRAIN_S]
    for r in range(n_own):
        pool = int(routes[g, r, ROUTE_ENTRY])
        if pool < 0 or pools[pool, POOL_REACHABLE] == 0.0:
            continue
        arriving = state[share0 + r] * attempts
        pool_algebra[pool, OUT_OFFERED] += arriving
        pool_algebra[pool, OUT_ENTRY] += arriving
        first = int(pools[pool, POOL_FIRST_POD])
        for p in range(first, first + int(pools[pool, POOL_N_PODS])):
            algebra = pod_algebra[p]
            if algebra[ALG_WEIGHT] > 0.0:
                work_s = algebra[ALG_WORK_S]
                dependency_s = max(0.0, algebra[ALG_HOLD_S] - work_s)
                in_time = in_time_prob(algebra[ALG_WAIT_S], algebra[ALG_WAIT_VAR], work_s, dependency_s, deadline_s)
                let_in = arriving * algebra[ALG_WEIGHT] * (1.0 - algebra[ALG_BLOCKED]) * algebra[ALG_STAYS]
                algebra[ALG_BOOKED] += let_in * in_time * (1.0 - pods[p, POD_ERROR_SHARE])
    rate[totals0] = demand
    rate[totals0 + 1] = attempts * all_success
    rate[totals0 + 2] = attempts
    rate[totals0 + 3] = demand * all_success
    rate[totals0 + 4] = attempts * flow[FLOW_USABLE]
    rate[totals0 + 5] = flow[FLOW_PROVIDER]


@compiled(NOTHING(F8, F1, F1, F1, NETWORK))
def pods_rate(now_s: float, state: Floats, rate: Floats, slope: Floats, net: Network) -> None:
    """Requests inside each pod, their variance, booked successes and the hazard of an OOM kill."""
    pods, pools, tables, counts = net.pods, net.pools, net.tables, net.counts
    pod_algebra, pool_algebra = net.pod_algebra, net.pool_algebra
    n = counts[N_PODS]
    for p in range(n):
        algebra = pod_algebra[p]
        pool = int(pods[p, POD_POOL])
        if pods[p, POD_READY] == 0.0:
            for k in range(4):
                rate[k * n + p] = 0.0
                slope[k * n + p] = 0.0
            continue
        in_flight, variance = state[p], state[n + p]
        hold_s, patience = algebra[ALG_HOLD_S], pools[pool, POOL_PATIENCE_RATE]
        arriving = pool_algebra[pool, OUT_OFFERED] * algebra[ALG_WEIGHT]
        let_in = arriving * (1.0 - algebra[ALG_BLOCKED])
        leaving = algebra[ALG_DONE] + patience * max(in_flight - algebra[ALG_BUSY], 0.0)
        pull = (
            algebra[ALG_BUSY_SLOPE] / hold_s
            + arriving * algebra[ALG_BLOCKED_SLOPE]
            + patience * (1.0 - algebra[ALG_BUSY_SLOPE])
        )
        rate[p] = let_in - leaving
        slope[p] = -pull
        rate[n + p] = let_in + leaving - 2.0 * pull * variance
        slope[n + p] = -2.0 * pull
        fade = leaving / max(in_flight, 0.05)
        rate[2 * n + p] = algebra[ALG_BOOKED] - state[2 * n + p] * fade
        slope[2 * n + p] = -fade
        rate[3 * n + p] = 0.0
        slope[3 * n + p] = 0.0
        if counts[OOM_BY_MEAN] != 0 or not math.isfinite(pods[p, POD_OOM_LEVEL]):
            continue
        per_request = pods[p, POD_PER_REQUEST_MIB]
        table = int(pods[p, POD_TABLE])
        room = tables[table, TABLE_HEAD, HEAD_ROOM]
        fits = room_mib(now_s, pods, p) / per_request if per_request > 0.0 else np.inf
        if fits >= room:
            continue
        deviation = math.sqrt(max(variance, _POD_VARIANCE_FLOOR))
        z = (fits - in_flight) / deviation
        if z > 7.0:
            continue
        z = max(z, -4.0)
        # Rate of upcrossings of the highest number of requests that fits (docs/data-plane.md, 1.5).
        peak_busy = look_up(tables, table, min(max(fits, 0.0), room))[0]
        below_prob = max(0.5 * math.erfc(-z * 0.7071067811865476), 1e-4)
        density = 0.3989422804014327 * math.exp(-0.5 * z * z)
        rate[3 * n + p] = abs(arriving - peak_busy / hold_s) * density / (deviation * below_prob)


@compiled(NOTHING(F8, F8, F1, F1, F1, NETWORK))
def derivative(now_s: float, demand_s: float, state: Floats, rate: Floats, slope: Floats, net: Network) -> None:
    """Right-hand side `rate` and diagonal Jacobian `slope` at (`now_s`, `state`); refreshes the algebra.

    `demand_s` is when the demand is read: a step that ends where a demand curve jumps still sees it before.
    """
    pods, pools, edges, counts = net.pods, net.pools, net.edges, net.counts
    pod_algebra, pool_algebra = net.pod_algebra, net.pool_algebra
    n_pods, n_pools, n_edges = counts[N_PODS], counts[N_POOLS], counts[N_EDGES]
    n_groups, n_regions, n_stages = counts[N_GROUPS], counts[N_REGIONS], counts[N_STAGES]
    hold0 = 4 * n_pods
    quality0 = hold0 + n_pools
    breaker0 = quality0 + n_pools
    orbit0 = breaker0 + n_edges
    share0 = orbit0 + n_groups * n_stages
    totals0 = share0 + n_groups * n_regions
    hold, quality = state[hold0:quality0], state[quality0:breaker0]
    pods_algebra(state, net)

    # Calls between services: holding time and quality of each caller, load of each callee.
    for i in range(n_pools):
        pool_algebra[i, OUT_HOLD_TARGET_S] = pools[i, POOL_WORK_S]
        pool_algebra[i, OUT_QUALITY_TARGET] = 1.0
        pool_algebra[i, OUT_OFFERED] = 0.0
        pool_algebra[i, OUT_ENTRY] = 0.0
    for e in range(n_edges):
        caller, callee = int(edges[e, EDGE_FROM]), int(edges[e, EDGE_TO])
        timeout_s, fast_fail_s = edges[e, EDGE_TIMEOUT_S], edges[e, EDGE_FAST_FAIL_S]
        calls, gate, fallback = edges[e, EDGE_CALLS], edges[e, EDGE_GATE], edges[e, EDGE_FALLBACK]
        if edges[e, EDGE_REACHABLE] == 0.0:
            failed, wait_s = 1.0, timeout_s
        else:
            ok, spent_s, _ = pool_answer(callee, timeout_s, pods, pools, pod_algebra)
            failed = min(max(1.0 - ok * quality[callee], 0.0), 1.0)
            rejected = pool_algebra[callee, OUT_REJECTED]
            wait_s = (1.0 - rejected) * spent_s + rejected * fast_fail_s
        # Retries: each failure is tried again with probability `again`, as far as the budget reaches.
        tries, power, full_retries = 1.0, 1.0, 0.0
        n_attempts = int(edges[e, EDGE_ATTEMPTS])
        for _ in range(n_attempts - 1):
            power *= failed
            full_retries += power
        again = min(1.0, edges[e, EDGE_BUDGET] / full_retries) if full_retries > 0.0 else 1.0
        power = 1.0
        for _ in range(n_attempts - 1):
            power *= again * failed
            tries += power
        works = (1.0 - failed) * tries
        works = works**calls if calls >= 1.0 else 1.0 - calls * (1.0 - works)
        now_quality = pool_algebra[caller, OUT_QUALITY_TARGET]
        pool_algebra[caller, OUT_HOLD_TARGET_S] += (
            now_quality
            * calls
            * (gate * (tries * wait_s + (tries - 1.0) * edges[e, EDGE_BACKOFF_S]) + (1.0 - gate) * fast_fail_s)
        )
        if edges[e, EDGE_REACHABLE] != 0.0:
            pool_algebra[callee, OUT_OFFERED] += pool_algebra[caller, OUT_DONE] * now_quality * calls * tries * gate
        pool_algebra[caller, OUT_QUALITY_TARGET] = now_quality * (
            gate * (fallback + (1.0 - fallback) * works) + (1.0 - gate) * fallback
        )
        if edges[e, EDGE_WINDOW_S] > 0.0:
            rate[breaker0 + e] = (1.0 - failed - state[breaker0 + e]) / edges[e, EDGE_WINDOW_S]
            slope[breaker0 + e] = -1.0 / edges[e, EDGE_WINDOW_S]
        else:
            rate[breaker0 + e] = 0.0
            slope[breaker0 + e] = 0.0
    for p in range(n_pods):
        pod_algebra[p, ALG_BOOKED] = 0.0
    for g in range(n_groups):
        group_flow(demand_s, g, state, rate, slope, net)
    pods_rate(now_s, state, rate, slope, net)
    for i in range(n_pools):
        relax = 1.0 / max(hold[i], 1e-3)
        rate[hold0 + i] = (pool_algebra[i, OUT_HOLD_TARGET_S] - hold[i]) * relax
        rate[quality0 + i] = (pool_algebra[i, OUT_QUALITY_TARGET] - quality[i]) * relax
        slope[hold0 + i] = -relax
        slope[quality0 + i] = -relax
        if pool_algebra[i, OUT_OFFERED] > 1e-9:
            ok, _, _ = pool_answer(i, pools[i, POOL_TIMEOUT_S], pods, pools, pod_algebra)
            pool_algebra[i, OUT_SERVED] = ok * quality[i]
        else:
            pool_algebra[i, OUT_SERVED] = 1.0
    for k in range(totals0, totals0 + n_groups * N_TOTALS):
        slope[k] = 0.0
