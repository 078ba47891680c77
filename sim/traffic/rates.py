"""The state equations of the data plane, compiled: rates of change and the diagonal of their Jacobian.

The equations are those of `docs/data-plane.md`, section 1; `layout` names every array column. Nothing here
knows names of services, units other than s and MiB, or why a pod is down.
"""

import math

import numpy as np

from sim.traffic.answers import look_up, pods_algebra, pool_answer
from sim.traffic.calls import begin_flows, calls_flow, throttled_share
from sim.traffic.compiled import F1, F2, F8, I8, NOTHING, compiled, floats
from sim.traffic.layout import *
from sim.traffic.layout import Floats
from sim.traffic.network import NETWORK, Network

_POD_VARIANCE_FLOOR = 1e-4  # requests^2; the fluctuation hazard divides by its root


@compiled(floats(2)(F8, F2, I8), inline=True)
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


@compiled(F8(F8, F2, I8), inline=True)
def room_mib(now_s: float, pods: Floats, p: int) -> float:
    """Memory left for requests in pod `p`."""
    room: float = pods[p, POD_ROOM_MIB] - pods[p, POD_ROOM_LOSS] * (now_s - pods[p, POD_ROOM_AT_S])
    return room


@compiled(F8(F2, I8, I8), inline=True)
def retry_pause_s(groups: Floats, g: int, stage: int) -> float:
    """Mean pause of users of group `g` before the retry that follows `stage` + 1 failed attempts."""
    pause_s: float = groups[g, GROUP_BACKOFF_S]
    growth = groups[g, GROUP_BACKOFF_GROWTH]
    if growth != 1.0:
        pause_s *= growth**stage
    return 0.5 * pause_s if groups[g, GROUP_JITTER] == FULL_JITTER else pause_s


@compiled(floats(2)(I8, F1, NETWORK), inline=True)
def regions_answer(g: int, state: Floats, net: Network) -> tuple[float, float]:
    """Success of group `g` in its own regions, weighted by where its attempts go, and the share that is late there."""
    pools, routes, counts, health = net.pools, net.routes, net.counts, net.health
    quality0, share0 = counts[AT_QUALITY], counts[AT_SHARE] + g * counts[N_REGIONS]
    success, timed_out = 0.0, 0.0
    for r in range(counts[N_REGIONS] - counts[HAS_PROVIDER]):
        share = state[share0 + r]
        pool = int(routes[g, r, ROUTE_ENTRY])
        health[g, r] = 0.0
        if pool < 0:
            continue
        if pools[pool, POOL_REACHABLE] == 0.0:
            timed_out += share
            continue
        ok, _, answered = pool_answer(pool, net.groups[g, GROUP_DEADLINE_S], net)
        health[g, r] = ok * state[quality0 + pool]
        success += share * health[g, r]
        timed_out += share * max(0.0, 1.0 - net.pool_algebra[pool, OUT_REJECTED] - answered)
    return success, timed_out


@compiled(NOTHING(F8, I8, F1, NETWORK), inline=True)
def load_entries(attempts: float, g: int, state: Floats, net: Network) -> None:
    """Send `attempts` per second of group `g` where its clients are, and book those that will end well.

    Must follow `regions_answer`, which leaves the share in time of each pod.
    """
    pods, pools, pod_algebra, counts = net.pods, net.pools, net.pod_algebra, net.counts
    share0 = counts[AT_SHARE] + g * counts[N_REGIONS]
    for r in range(counts[N_REGIONS] - counts[HAS_PROVIDER]):
        pool = int(net.routes[g, r, ROUTE_ENTRY])
        if pool < 0 or pools[pool, POOL_REACHABLE] == 0.0:
            continue
        arriving = state[share0 + r] * attempts
        net.pool_algebra[pool, OUT_OFFERED] += arriving
        net.pool_algebra[pool, OUT_ENTRY] += arriving
        first = int(pools[pool, POOL_FIRST_POD])
        for p in range(first, first + int(pools[pool, POOL_N_PODS])):
            if pods[p, POD_STANDS_FOR] == 0.0:
                continue
            algebra = pod_algebra[p]
            let_in = arriving * algebra[ALG_WEIGHT] * (1.0 - algebra[ALG_BLOCKED]) * algebra[ALG_STAYS]
            algebra[ALG_BOOKED] += let_in * algebra[ALG_IN_TIME] * (1.0 - pods[p, POD_ERROR_SHARE])


@compiled(NOTHING(F8, I8, F1, F1, F1, NETWORK), inline=True)
def group_flow(demand_s: float, g: int, state: Floats, rate: Floats, slope: Floats, net: Network) -> None:
    """Attempts of one group, where they go, how they end; its retries, its switch of regions, what `account` needs."""
    groups, routes, counts = net.groups, net.routes, net.counts
    n_regions, n_stages = counts[N_REGIONS], counts[N_STAGES]
    orbit0, share0 = counts[AT_ORBIT] + g * n_stages * RETRY_STEPS, counts[AT_SHARE] + g * n_regions
    parameters, flow = groups[g], net.group_algebra[g]
    deadline_s = parameters[GROUP_DEADLINE_S]
    demand, _ = demand_at(demand_s, net.curves, g)
    demand *= parameters[GROUP_FACTOR]
    own_success, timed_out = regions_answer(g, state, net)
    throttle, sent = counts[AT_THROTTLE] + 2 * (counts[N_EDGES] + g), 1.0
    throttles = math.isfinite(parameters[GROUP_THROTTLE])
    if throttles:
        sent -= throttled_share(state[throttle], state[throttle + 1], parameters[GROUP_THROTTLE])
    provider_share, provider_ok, accepted = 0.0, 0.0, 1.0
    if counts[HAS_PROVIDER] != 0:
        provider_share = state[share0 + n_regions - 1]
        provider_ok = parameters[GROUP_PROVIDER_OK]
        net.health[g, n_regions - 1] = provider_ok
    n_retries, steps = int(parameters[GROUP_ATTEMPTS]) - 1, int(parameters[GROUP_STEPS])
    success, fail_s, scale, attempts = own_success, 0.0, 1.0, demand
    # The provider's quota depends on the attempts and they on its success: a second pass settles both.
    for _ in range(2 if provider_share > 0.0 else 1):
        success = sent * min(own_success + provider_share * accepted * provider_ok, 1.0)
        failed = 1.0 - success
        late = min(1.0, sent * timed_out / failed) if failed > 1e-12 else 0.0
        fail_s = parameters[GROUP_FAST_FAIL_S] + deadline_s * late
        retries = 0.0
        for k in range(n_retries):
            retries += state[orbit0 + k * RETRY_STEPS + steps - 1] * steps / (retry_pause_s(groups, g, k) + fail_s)
        scale = 1.0
        if retries > 0.0 and math.isfinite(parameters[GROUP_BUDGET]):
            scale = min(1.0, parameters[GROUP_BUDGET] * demand / retries)
        attempts = demand + scale * retries
        if provider_share > 0.0:
            accepted = min(1.0, parameters[GROUP_PROVIDER_QUOTA] / max(sent * attempts * provider_share, 1e-12))
    if throttles:
        forget = 1.0 / parameters[GROUP_THROTTLE_S]
        rate[throttle] = attempts - forget * state[throttle]
        rate[throttle + 1] = attempts * success - forget * state[throttle + 1]
        slope[throttle], slope[throttle + 1] = -forget, -forget
    attempts *= sent
    usable = sent * (own_success + provider_share * accepted * provider_ok * parameters[GROUP_PROVIDER_QUALITY])
    flow[FLOW_DEMAND], flow[FLOW_SUCCESS], flow[FLOW_ATTEMPTS] = demand, success, attempts
    flow[FLOW_PROVIDER] = attempts * provider_share * accepted
    flow[FLOW_RETRY_S] = retry_pause_s(groups, g, 0) + fail_s
    flow[FLOW_RETRY_SCALE], flow[FLOW_USABLE], flow[FLOW_FAIL_S] = scale, usable, fail_s
    again = (1.0 - success) * parameters[GROUP_RETRY_SHARE]
    stage_rate = demand
    for k in range(orbit0, orbit0 + n_stages * RETRY_STEPS):
        rate[k], slope[k] = 0.0, 0.0
    for k in range(n_retries):
        leave = steps / (retry_pause_s(groups, g, k) + fail_s)
        entering, first = stage_rate * again, orbit0 + k * RETRY_STEPS
        for j in range(first, first + steps):
            leaving = state[j] * leave
            rate[j], slope[j] = entering - leaving, -leave
            entering = leaving
        stage_rate = scale * entering
    for r in range(n_regions):
        rate[share0 + r] = (routes[g, r, ROUTE_TARGET] - state[share0 + r]) / parameters[GROUP_DRAIN_S]
        slope[share0 + r] = -1.0 / parameters[GROUP_DRAIN_S]
    load_entries(attempts, g, state, net)
    total = counts[AT_TOTALS] + g * N_TOTALS
    rate[total + BOOK_DEMAND], rate[total + BOOK_SUCCESS] = demand, success
    rate[total + BOOK_SENT], rate[total + BOOK_KEPT] = sent, scale
    rate[total + BOOK_USABLE], rate[total + BOOK_PROVIDER] = usable, sent * provider_share * accepted


@compiled(F8(F8, F8, I8, F8, F8, NETWORK), inline=True)
def crossing_hazard(arriving: float, fits: float, p: int, in_flight: float, variance: float, net: Network) -> float:
    """Rate of upcrossings of the highest number of requests that fits: a queue that moves, with normal fluctuation."""
    deviation = math.sqrt(max(variance, _POD_VARIANCE_FLOOR))
    z = (fits - in_flight) / deviation
    if z > 7.0:
        return 0.0
    z = max(z, -4.0)
    table = int(net.pods[p, POD_TABLE])
    room = net.tables[table, TABLE_HEAD, HEAD_ROOM]
    peak_busy = look_up(net.tables, table, min(max(fits, 0.0), room))[0]
    below_prob = max(0.5 * math.erfc(-z * 0.7071067811865476), 1e-4)
    density = 0.3989422804014327 * math.exp(-0.5 * z * z)
    old = min(net.pod_algebra[p, ALG_OLD], peak_busy)
    leaving = (peak_busy - old) / net.pod_algebra[p, ALG_HOLD_S]
    if old > 0.0:
        leaving += old / net.pods[p, POD_OLD_LEFT_S]
    return float(abs(arriving - leaving) * density / (deviation * below_prob))


@compiled(F8(F8, F8, I8, F8, NETWORK), inline=True)
def queue_hazard(let_in: float, fits: float, p: int, in_flight: float, net: Network) -> float:
    """Rate at which a queue in balance first reaches a number far above its mean (docs/data-plane.md, 1.5).

    Waiting requests of M/M/c have a geometric tail, much heavier than a normal one. Upcrossings of N come in clumps of
    1 / (1 - rho), so that h = lambda (1 - rho) pi(N - 1); work of another spread changes the decay of the tail.
    """
    algebra, slots = net.pod_algebra[p], net.tables[int(net.pods[p, POD_TABLE]), TABLE_HEAD, HEAD_SLOTS]
    # A queue that fills under overload has no such tail yet: `crossing_hazard` follows its mean.
    load = let_in * algebra[ALG_HOLD_S]
    if algebra[ALG_OLD] > 0.0:
        load += algebra[ALG_OLD] * (1.0 - algebra[ALG_HOLD_S] / net.pods[p, POD_OLD_LEFT_S])
    load = max(algebra[ALG_BUSY], load) / slots
    waiting, idle = in_flight - algebra[ALG_BUSY], 1.0 - load
    # It is reached with the first request that does not fit: half a request above, on average over what else is used.
    above = fits + 0.5 - 2.0 - slots
    if waiting <= 0.0 or idle <= 0.0 or above < -1.5:
        return 0.0
    spread = net.pools[int(net.pods[p, POD_POOL]), POOL_WORK_SPREAD]
    decay = math.log1p(-idle) * 2.0 / (1.0 + spread * spread)
    return float(let_in * waiting * idle * idle * idle * math.exp(max(above, 0.0) * decay))


@compiled(NOTHING(F8, F1, F1, F1, NETWORK), inline=True)
def pods_rate(now_s: float, state: Floats, rate: Floats, slope: Floats, net: Network) -> None:
    """Requests inside each pod, their variance, booked successes and the hazard of an OOM kill."""
    pods, pools, tables, counts = net.pods, net.pools, net.tables, net.counts
    pod_algebra, pool_algebra = net.pod_algebra, net.pool_algebra
    n = counts[N_PODS]
    for p in range(n):
        algebra = pod_algebra[p]
        pool = int(pods[p, POD_POOL])
        if pods[p, POD_STANDS_FOR] == 0.0:
            continue
        if pods[p, POD_READY] == 0.0:
            for k in range(4):
                rate[k * n + p] = 0.0
                slope[k * n + p] = 0.0
            continue
        in_flight, variance = state[p], state[n + p]
        arriving = pool_algebra[pool, OUT_OFFERED] * algebra[ALG_WEIGHT]
        let_in = arriving * (1.0 - algebra[ALG_BLOCKED])
        leaving = algebra[ALG_DONE] + algebra[ALG_LEFT]
        pull = algebra[ALG_DONE_SLOPE] + arriving * algebra[ALG_BLOCKED_SLOPE] + algebra[ALG_LEFT_SLOPE]
        rate[p] = let_in - leaving
        slope[p] = -pull
        # Work of another spread spreads departures where they follow each other, not where everybody is at work.
        work_square = pools[pool, POOL_WORK_SPREAD] * pools[pool, POOL_WORK_SPREAD]
        noise = let_in + leaving + algebra[ALG_DONE] * (work_square - 1.0) * (1.0 - algebra[ALG_BUSY_SLOPE])
        rate[n + p] = noise - 2.0 * pull * variance
        slope[n + p] = -2.0 * pull
        # First come, first served: those inside that were booked otherwise than those who come now are the oldest ones.
        oldest = in_flight if pools[pool, POOL_ORDER] != FIFO else min(algebra[ALG_BUSY], in_flight)
        oldest = max(oldest, 0.05)
        newest = algebra[ALG_BOOKED] / let_in if let_in > 0.0 else 0.0
        booked = newest + (state[2 * n + p] - newest * in_flight) / oldest
        rate[2 * n + p] = algebra[ALG_BOOKED] - leaving * min(max(booked, 0.0), 1.0)
        slope[2 * n + p] = -leaving / oldest
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
        rate[3 * n + p] = max(
            crossing_hazard(arriving, fits, p, in_flight, variance, net),
            queue_hazard(let_in, fits, p, in_flight, net),
        )


@compiled(NOTHING(F8, F8, F1, F1, F1, NETWORK))
def derivative(now_s: float, demand_s: float, state: Floats, rate: Floats, slope: Floats, net: Network) -> None:
    """Right-hand side `rate` and diagonal Jacobian `slope` at (`now_s`, `state`); refreshes the algebra.

    `demand_s` is when the demand is read: a step that ends where a demand curve jumps still sees it before.
    """
    pools, counts, pool_algebra = net.pools, net.counts, net.pool_algebra
    hold0, quality0, totals0 = counts[AT_HOLD], counts[AT_QUALITY], counts[AT_TOTALS]
    pods_algebra(now_s, state, net)
    begin_flows(net)
    for p in range(counts[N_PODS]):
        net.pod_algebra[p, ALG_BOOKED] = 0.0
    for g in range(counts[N_GROUPS]):
        group_flow(demand_s, g, state, rate, slope, net)
    calls_flow(state, rate, slope, net)
    pods_rate(now_s, state, rate, slope, net)
    for i in range(counts[N_POOLS]):
        relax = 1.0 / max(state[hold0 + i], 1e-3)
        rate[hold0 + i] = (pool_algebra[i, OUT_HOLD_TARGET_S] - state[hold0 + i]) * relax
        rate[quality0 + i] = (pool_algebra[i, OUT_QUALITY_TARGET] - state[quality0 + i]) * relax
        slope[hold0 + i] = -relax
        slope[quality0 + i] = -relax
        # Answers that depend on the load and a load that depends on the answers (calls are tried again) have two
        # solutions at times: which of them holds is a matter of the past, and so the load is a state of its own.
        if counts[AT_LOAD] < counts[AT_ORBIT]:
            k = counts[AT_LOAD] + i
            # No call is tried again sooner or later than that: after an answer, or when its patience is at its end.
            relax = max(relax, 1.0 / max(pools[i, POOL_TIMEOUT_S], 1e-3)) if pools[i, POOL_ORDER] != FIFO else 0.0
            rate[k], slope[k] = (pool_algebra[i, OUT_OFFERED] - state[k]) * relax, -relax
        if pool_algebra[i, OUT_OFFERED] > 1e-9:
            ok, _, _ = pool_answer(i, pools[i, POOL_TIMEOUT_S], net)
            pool_algebra[i, OUT_SERVED] = ok * state[quality0 + i]
        else:
            pool_algebra[i, OUT_SERVED] = 1.0
    for k in range(totals0, totals0 + counts[N_GROUPS] * N_TOTALS):
        slope[k] = 0.0
