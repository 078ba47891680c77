"""The integrator of the data plane: from now to the next event of the control plane, or to a threshold.

`advance` uses ETD2, second-order exponential time differencing with the diagonal of the Jacobian (Cox and
Matthews 2002): queues that fill within a second and demand that changes over a day need steps of very
different length, and explicit methods would take the short one all year. Crossings (an OOM kill, a guard)
are located by secant steps from the last accepted state. It knows nothing of what a crossing means.
"""

import math

import numpy as np

from sim.compilation import without_types
from sim.traffic.account import phi1, phi2, settle
from sim.traffic.alike import copy_equal, join_equal, part_equal
from sim.traffic.answers import slot_in_time_prob
from sim.traffic.compiled import CODE_AND_INDEX, CROSSING, F1, F2, F8, I8, LOCATED, NOTHING, PAIR, compiled
from sim.traffic.layout import *
from sim.traffic.layout import Floats
from sim.traffic.network import NETWORK, Network
from sim.traffic.rates import demand_at, derivative, room_mib

STEP_MIN_S = 1e-6  # a pod that meets the load of a thousand is full within a millisecond
_EVENT_TOLERANCE = 1e-9
_RELATIVE, _ABSOLUTE = 2e-3, 0.01
_STRICTER = 4.0  # second-order errors add up over more steps than first-order bounds do
_LOCATE_TRIES = 30
_GUARD_HYSTERESIS = 1e-3  # a quantity must rise this far above its level to count as above again
_BUSY_HYSTERESIS = 5e-3  # the same of busy shares and of pods in time, which hover about their levels for long


@compiled(NOTHING(F1, NETWORK), inline=True)
def clamp(state: Floats, net: Network) -> None:
    """Keep each state in its range: the integrator may overshoot a bound by its tolerance."""
    pods, tables, counts = net.pods, net.tables, net.counts
    n_pods, n_pools = counts[N_PODS], counts[N_POOLS]
    for p in range(n_pods):
        if pods[p, POD_STANDS_FOR] == 0.0:
            continue
        room = tables[int(pods[p, POD_TABLE]), TABLE_HEAD, HEAD_ROOM]
        state[p] = min(max(state[p], 0.0), room)
        for block in range(1, 4):
            state[block * n_pods + p] = max(state[block * n_pods + p], 0.0)
    hold0, quality0 = counts[AT_HOLD], counts[AT_QUALITY]
    for i in range(n_pools):
        state[hold0 + i] = max(state[hold0 + i], 1e-6)
        state[quality0 + i] = min(max(state[quality0 + i], 0.0), 1.0)
    for k in range(counts[AT_THROTTLE], counts[AT_TOTALS]):
        state[k] = max(state[k], 0.0)


@compiled(F8(I8, I8, F8, F1, NETWORK), inline=True)
def watched(kind: int, i: int, where: float, state: Floats, net: Network) -> float:
    """The quantity that a guard of this kind looks at; `where` is a region, a first pod or a time in s."""
    value = 0.0
    if kind == GUARD_SUCCESS:
        value = net.group_algebra[i, FLOW_SUCCESS]
    elif kind == GUARD_HEALTH:
        value = net.health[i, int(where)]
    elif kind == GUARD_SERVED:
        value = net.pool_algebra[i, OUT_SERVED]
    elif kind == GUARD_BREAKER:
        value = state[net.counts[AT_BREAKER] + i]
    elif kind == GUARD_POD_IN_TIME:
        value = slot_in_time_prob(where, i, state, net)
    elif kind == GUARD_IN_FLIGHT:
        for p in range(int(where), int(where) + i):
            value += state[p]
    else:
        busy, slots, hottest = 0.0, 0.0, 0.0
        first = int(net.pools[i, POOL_FIRST_POD])
        for p in range(first, first + int(net.pools[i, POOL_N_PODS])):
            alike = net.pods[p, POD_STANDS_FOR]
            if net.pods[p, POD_READY] != 0.0 and alike > 0.0:
                of_pod = net.tables[int(net.pods[p, POD_TABLE]), TABLE_HEAD, HEAD_SLOTS]
                busy += alike * net.pod_algebra[p, ALG_BUSY]
                slots += alike * of_pod
                hottest = max(hottest, net.pod_algebra[p, ALG_BUSY] / of_pod)
        value = hottest if kind == GUARD_HOT else (busy / slots if slots > 0.0 else 0.0)
    return value


@compiled(CROSSING(F8, F1, F2, NETWORK))
def crossing(now_s: float, state: Floats, guards: Floats, net: Network) -> tuple[float, int, int]:
    """How far the most advanced event is: (value, code, index); value > 0 means that it has happened."""
    pods, counts = net.pods, net.counts
    n_pods = counts[N_PODS]
    best, code, index = -np.inf, REACHED, -1
    for p in range(n_pods):
        level = pods[p, POD_OOM_LEVEL]
        if pods[p, POD_READY] == 0.0 or not math.isfinite(level):
            continue
        room, limit = room_mib(now_s, pods, p), pods[p, POD_LIMIT_MIB]
        if counts[OOM_BY_MEAN] != 0:
            value = (state[p] * pods[p, POD_PER_REQUEST_MIB] - room) / limit
        else:
            value = max(state[3 * n_pods + p] / level - 1.0, -room / limit)
        if value > best:
            best, code, index = value, OOM, p
    for q in range(counts[N_GUARDS]):
        if guards[q, GUARD_ARMED] == 0.0:
            continue
        kind, level = int(guards[q, GUARD_KIND]), guards[q, GUARD_LEVEL]
        now = watched(kind, int(guards[q, GUARD_INDEX]), guards[q, GUARD_REGION], state, net)
        hysteresis, scale = min(_GUARD_HYSTERESIS, 0.5 * (1.0 - level)), 1.0
        if kind == GUARD_IN_FLIGHT:
            scale = max(1.0, level)
            hysteresis = 1e-6 * scale
        elif kind in (GUARD_BUSY, GUARD_HOT, GUARD_POD_IN_TIME):
            hysteresis = min(_BUSY_HYSTERESIS, 0.5 * (1.0 - level))
        value = (now - level - hysteresis if guards[q, GUARD_BELOW] != 0.0 else level - now) / scale
        if value > best:
            best, code, index = value, GUARD, q
    return best, code, index


@compiled(F8(I8, F8, F1, F2, NETWORK), inline=True)
def filled(k: int, step_s: float, state: Floats, work: Floats, net: Network) -> float:
    """Requests inside (their variance, or those booked) after a step that fills the pod; -1 if it does not.

    Rejection sets in so steeply below the last place that the slope at the start says nothing of it: a correction with
    it throws an overloaded pod back as far as it came, step for step. The secant between both ends does not.
    """
    n_pods = net.counts[N_PODS]
    if k >= 3 * n_pods:
        return -1.0
    p = k % n_pods
    rate, slope, guess, guess_rate, guess_slope = work[0], work[1], work[2], work[3], work[4]
    if rate[p] <= 0.0 or guess_rate[p] >= 0.0 or guess[p] <= state[p]:
        return -1.0
    secant = (guess_rate[p] - rate[p]) / (guess[p] - state[p])
    full = guess[p] >= net.tables[int(net.pods[p, POD_TABLE]), TABLE_HEAD, HEAD_ROOM]
    if not full and (step_s * secant > -1.0 or secant > 2.0 * slope[p]):
        return -1.0
    moved = step_s * phi1(step_s * secant) * rate[p]
    if k == p:
        return float(state[p] + moved)
    # The pod comes to rest on the way to the guess: what happens there is between what happens at both ends.
    part = moved / (guess[p] - state[p])
    guess_begin = guess_rate[k] - guess_slope[k] * (guess[k] - state[k])
    begin = rate[k] + part * (guess_begin - rate[k])
    after = state[k] + step_s * phi1(step_s * (slope[k] + part * (guess_slope[k] - slope[k]))) * begin
    return float(max(after, 0.0))


@compiled(F8(F8, F8, F1, F2, F8, NETWORK))
def etd2_step(now_s: float, step_s: float, state: Floats, work: Floats, tolerance: float, net: Network) -> float:
    """One step from `state` into `work[NEW]`; the error in units of the tolerance.

    `work[RATE]` and `work[SLOPE]` hold the right-hand side at (`now_s`, `state`).
    """
    counts = net.counts
    n_pods, n_pools, hold0, moving = counts[N_PODS], counts[N_POOLS], counts[AT_HOLD], net.moving
    rate, slope, guess, guess_rate, guess_slope, new = work[0], work[1], work[2], work[3], work[4], work[5]
    bend_before, bend = work[6], work[7]
    for k in range(counts[AT_TOTALS]):  # what is not moved stays
        guess[k] = state[k]
    for k in range(counts[AT_TOTALS]):
        new[k] = state[k]
    for k in range(counts[AT_TOTALS]):
        bend[k] = 0.0
    z_before, phi1_z = 0.0, 1.0
    for m in range(counts[N_MOVING]):
        k = moving[m]
        z = step_s * slope[k]
        if z != z_before:  # equal pods need one exponential
            if n_pods <= k < 2 * n_pods and slope[k] == 2.0 * slope[k - n_pods]:
                half = bend[k - n_pods]  # a variance relaxes twice as fast: phi1(2 z) = phi1(z) (1 + z phi1(z) / 2)
                phi1_z = half * (1.0 + 0.25 * z * half)
            else:
                phi1_z = phi1(z)
            z_before = z
        bend[k] = phi1_z  # kept there until the bend is known
        guess[k] = state[k] + step_s * phi1_z * rate[k]
    clamp(guess, net)
    derivative(now_s + step_s, now_s + step_s - min(1e-6, 0.5 * step_s), guess, guess_rate, guess_slope, net)
    error = 0.0
    per_step, looseness = 1.0 / max(step_s, 1e-12), _RELATIVE * tolerance
    for m in range(counts[N_MOVING]):
        k = moving[m]
        z = step_s * slope[k]
        change = guess_rate[k] - rate[k] - slope[k] * (guess[k] - state[k])
        weight2 = step_s * (0.5 if z == 0.0 else phi2(z, bend[k]))
        new[k] = guess[k] + weight2 * change
        bend[k] = change * per_step
        allowed = _ABSOLUTE
        weight = 1.0
        if k < n_pods:
            allowed = 2.0 * _ABSOLUTE
        elif k < 3 * n_pods:
            weight = 0.1  # variance and credit correct second-order effects
        elif hold0 <= k < hold0 + n_pools:
            allowed = _ABSOLUTE * min(1.0, max(state[k], 1e-3))
        # The correction itself bounds the error of the first-order guess. Where the last step's bend announced
        # it (demand that rises steadily), only what came as a surprise is an error of this method.
        surprise = min(abs(weight2 * change), _STRICTER * abs(weight2 * (change - step_s * bend_before[k])))
        inside = filled(k, step_s, state, work, net)
        if inside >= 0.0:
            new[k], bend[k], surprise = inside, 0.0, abs(inside - guess[k]) if k < n_pods else 0.0
        weighted, scale = weight * surprise, allowed + looseness * abs(new[k])
        # Seldom, so that divisions are. What is not a number gets in, and nothing replaces it.
        if weighted > error * scale or math.isnan(weighted):
            error = weighted / scale
    settle(step_s, state, work, net)
    clamp(new, net)
    copy_equal(state, work, net)
    return error


@compiled(NOTHING(F8, F1, F2, F1, NETWORK))
def write_trace(now_s: float, state: Floats, trace: Floats, clock: Floats, net: Network) -> None:
    """One row: time; per group demand, success, attempts; per pool ready, inside, memory, limit, served."""
    pods, pools, counts = net.pods, net.pools, net.counts
    pool_algebra, group_algebra = net.pool_algebra, net.group_algebra
    row = int(clock[CLOCK_TRACE_ROWS])
    if row >= trace.shape[0]:
        return
    line = trace[row]
    line[0] = now_s
    k = 1
    for g in range(counts[N_GROUPS]):
        line[k] = group_algebra[g, FLOW_DEMAND]
        line[k + 1] = group_algebra[g, FLOW_SUCCESS]
        line[k + 2] = group_algebra[g, FLOW_ATTEMPTS]
        k += 3
    for i in range(counts[N_POOLS]):
        ready, inside, fullest, limit = 0.0, 0.0, np.nan, np.nan
        first = int(pools[i, POOL_FIRST_POD])
        for p in range(first, first + int(pools[i, POOL_N_PODS])):
            if pods[p, POD_READY] == 0.0:
                continue
            ready += 1.0
            inside += state[p]
            if math.isfinite(pods[p, POD_OOM_LEVEL]):
                used = pods[p, POD_LIMIT_MIB] - room_mib(now_s, pods, p) + state[p] * pods[p, POD_PER_REQUEST_MIB]
                # The mean may pass the limit in the moments before a kill; no pod ever uses more than it.
                used = min(used, pods[p, POD_LIMIT_MIB])
                if not used <= fullest:
                    fullest, limit = used, pods[p, POD_LIMIT_MIB]
        line[k], line[k + 1], line[k + 2], line[k + 3] = ready, inside, fullest, limit
        line[k + 4] = pool_algebra[i, OUT_SERVED]
        k += 5
    clock[CLOCK_TRACE_LAST] = now_s
    clock[CLOCK_TRACE_ROWS] = row + 1.0


@compiled(PAIR(F8, F8, F1, F2, F8, NETWORK))
def accepted_step(
    now_s: float, wanted_s: float, state: Floats, work: Floats, tolerance: float, net: Network
) -> tuple[float, float]:
    """The longest of ever shorter steps whose error is allowed: (length s, error). `work` holds its result."""
    trial_s, error = wanted_s, 2.0
    for _ in range(60):
        error = etd2_step(now_s, trial_s, state, work, tolerance, net)
        if error <= 1.0 or trial_s <= STEP_MIN_S:
            break
        trial_s = max(trial_s * max(0.2, 0.85 / math.sqrt(error)), STEP_MIN_S)
    return trial_s, error


@compiled(LOCATED(F8, F8, F8, F1, F2, F2, F8, NETWORK))
def locate(
    now_s: float,
    trial_s: float,
    value_before: float,
    state: Floats,
    work: Floats,
    guards: Floats,
    tolerance: float,
    net: Network,
) -> tuple[float, float, int, int]:
    """Shorten a step until it ends at the first crossing: (length s, value, code, index); value > 0: it crossed.

    Evaluates the right-hand side at the new state, which the next step starts from: into work[3] and work[4],
    because `rate` and `slope` must survive for another try. Regula falsi with the Illinois rule.
    """
    new = work[5]
    low_s, low_value, high_s, high_value = 0.0, min(value_before, 0.0), trial_s, 0.0
    value, code, index, side = 0.0, REACHED, -1, 0
    for attempt in range(_LOCATE_TRIES):
        if attempt > 0:
            etd2_step(now_s, trial_s, state, work, tolerance, net)
        derivative(now_s + trial_s, now_s + trial_s, new, work[3], work[4], net)
        value, code, index = crossing(now_s + trial_s, new, guards, net)
        if attempt == 0 and value <= 0.0:
            return trial_s, value, REACHED, -1
        close = abs(value) <= _EVENT_TOLERANCE or (value > 0.0 and high_s - low_s <= 1e-9 * (1.0 + now_s))
        if close or attempt == _LOCATE_TRIES - 1:
            break
        if value > 0.0:
            high_s, high_value = trial_s, value
            if side == 1:
                low_value *= 0.5  # Illinois: keep the bracket shrinking from both ends
            side = 1
        else:
            low_s, low_value = trial_s, value
            if side == -1:
                high_value *= 0.5
            side = -1
        if attempt == _LOCATE_TRIES - 2:
            trial_s = high_s  # give up finer location: the last try ends where it has crossed for certain
        elif math.isfinite(low_value):
            trial_s = low_s - low_value * (high_s - low_s) / (high_value - low_value)
            trial_s = min(max(trial_s, low_s), high_s)
        else:
            trial_s = 0.5 * (low_s + high_s)
    return trial_s, max(value, _EVENT_TOLERANCE), code, index


@compiled(CODE_AND_INDEX(F8, F1, F1, F2, F2, F2, NETWORK))
def move_on(
    end_s: float, clock: Floats, state: Floats, work: Floats, guards: Floats, trace: Floats, net: Network
) -> tuple[int, int]:
    """Step by step to `end_s` or to the first crossing, with equal pods joined; returns (code, index)."""
    now_s, step_s, tolerance = clock[CLOCK_NOW], clock[CLOCK_STEP], clock[CLOCK_TOLERANCE]
    rate, slope, new = work[0], work[1], work[5]
    derivative(now_s, now_s, state, rate, slope, net)
    value, code, index = crossing(now_s, state, guards, net)
    if value > 0.0:
        return code, index
    while now_s < end_s:
        wanted_s = min(step_s, clock[CLOCK_STEP_MAX])
        for g in range(net.counts[N_GROUPS]):
            wanted_s = min(wanted_s, demand_at(now_s, net.curves, g)[1])
        wanted_s = max(wanted_s, STEP_MIN_S)
        if now_s + wanted_s >= end_s:
            wanted_s = end_s - now_s
        trial_s, error = accepted_step(now_s, wanted_s, state, work, tolerance, net)
        if not math.isfinite(error):
            clock[CLOCK_NOW] = now_s
            return BROKEN, -1
        growth = 4.0 if error < 0.045 else max(0.2, 0.85 / math.sqrt(error))
        to_end = trial_s == end_s - now_s
        # A step that was cut by `end_s` says nothing against the longer one that was planned.
        step_s = max(step_s, trial_s * growth) if to_end else trial_s * growth
        step_s = min(step_s, clock[CLOCK_STEP_MAX])
        length_s, value, code, index = locate(now_s, trial_s, value, state, work, guards, tolerance, net)
        now_s = end_s if to_end and length_s == trial_s else now_s + length_s
        for k in range(state.size):
            state[k], rate[k], slope[k], work[6, k] = new[k], work[3, k], work[4, k], work[7, k]
        clock[CLOCK_N_STEPS] += 1.0
        happened = value > 0.0
        tracing = math.isfinite(clock[CLOCK_TRACE_EVERY])
        if tracing and (happened or now_s >= clock[CLOCK_TRACE_LAST] + clock[CLOCK_TRACE_EVERY]):
            write_trace(now_s, state, trace, clock, net)
        if happened or int(clock[CLOCK_TRACE_ROWS]) >= trace.shape[0]:
            clock[CLOCK_NOW], clock[CLOCK_STEP] = now_s, step_s
            return (code, index) if happened else (TRACE_FULL, -1)
    clock[CLOCK_NOW], clock[CLOCK_STEP] = now_s, step_s
    return REACHED, -1


@without_types
@compiled(CODE_AND_INDEX(F8, F1, F1, F2, F2, F2, NETWORK))
def advance(
    end_s: float, clock: Floats, state: Floats, work: Floats, guards: Floats, trace: Floats, net: Network
) -> tuple[int, int]:
    """Advance `state` and `clock[CLOCK_NOW]` to `end_s` or to the first crossing; returns (code, index).

    From Python it takes a float, arrays of 64-bit floats in the order of C, and a `Network` whose `counts` and `moving`
    are 64-bit integers: nobody checks.
    """
    if clock[CLOCK_JOINED] == 0.0:
        join_equal(clock[CLOCK_NOW], state, net)
    code, index = move_on(end_s, clock, state, work, guards, trace, net)
    # A full trace changes nothing: pods that became equal meanwhile are joined when somebody acts, traced or not.
    clock[CLOCK_JOINED] = 1.0 if code == TRACE_FULL else 0.0
    if code != TRACE_FULL:
        part_equal(net)
    return code, index
