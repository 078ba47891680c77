"""Calls between services, compiled: what they do to the holding time and quality of the caller and the callee's load.

The equations are those of `docs/data-plane.md`, section 1.3. It knows neither users nor regions.
"""

import math

from sim.traffic.answers import pool_answer
from sim.traffic.compiled import F1, F8, I8, NOTHING, PAIR, compiled, floats
from sim.traffic.layout import *
from sim.traffic.layout import Floats
from sim.traffic.network import NETWORK, Network

_NO_DEADLINE_S = 1e9
_HANDOFF_WAIT_MAX_S = 60.0  # of a caller whose callee frees no place at all


@compiled(F8(F8, F8, I8))
def mean_tries(failed: float, budget: float, n_attempts: int) -> float:
    """Attempts per call: each failure is tried again, with a probability that the budget of retries can pay for."""
    power, full_retries = 1.0, 0.0
    for _ in range(n_attempts - 1):
        power *= failed
        full_retries += power
    again = min(1.0, budget / full_retries) if full_retries > 0.0 else 1.0
    tries, power = 1.0, 1.0
    for _ in range(n_attempts - 1):
        power *= again * failed
        tries += power
    return tries


@compiled(F8(F8, F8, F8))
def throttled_share(requests: float, accepts: float, ratio: float) -> float:
    """Share of what is wanted that a client does not even send (adaptive throttling)."""
    return max(0.0, (requests - ratio * accepts) / (requests + 1.0))


@compiled(PAIR(F8, F8))
def calls_in_a_row(works: float, n_calls: float) -> tuple[float, float]:
    """Probability that all of `n_calls` calls work, each with `works`, and how many of them are made on average.

    A request whose call has failed makes no further one. A fraction is the probability of one call more.
    """
    whole = math.floor(n_calls)
    more = n_calls - whole
    if whole == 1.0 and more == 0.0:
        return works, 1.0
    all_work = works**whole
    made = (1.0 - all_work) / (1.0 - works) if works < 1.0 - 1e-9 else whole
    return all_work * (1.0 - more + more * works), made + more * all_work


@compiled(floats(3)(I8, F1, NETWORK), inline=True)
def attempt_answer(e: int, state: Floats, net: Network) -> tuple[float, float, float]:
    """One attempt of edge `e`: (share that fails, mean time until its end, requests sent for it)."""
    edges = net.edges
    timeout_s, hedge_s = edges[e, EDGE_TIMEOUT_S], edges[e, EDGE_HEDGE_S]
    if edges[e, EDGE_REACHABLE] == 0.0:
        return 1.0, timeout_s, 2.0 if hedge_s < timeout_s else 1.0
    callee = int(edges[e, EDGE_TO])
    quality, rejected = state[net.counts[AT_QUALITY] + callee], net.pool_algebra[callee, OUT_REJECTED]
    let_in = 1.0 - rejected
    ok, spent_s, answered = pool_answer(callee, timeout_s, net)
    if hedge_s >= timeout_s:
        return min(max(1.0 - ok * quality, 0.0), 1.0), let_in * spent_s + rejected * edges[e, EDGE_FAST_FAIL_S], 1.0
    # A second one is sent for those without any answer; both answers as if exponential from then on.
    early_ok, early_s, early = pool_answer(callee, hedge_s, net)
    other_ok, other_s, other = pool_answer(callee, timeout_s - hedge_s, net)
    open_share = max(let_in - early, 0.0)
    missed = max(open_share - (ok - early_ok) * quality, 0.0)
    failed = 1.0 - ok * quality - missed * other_ok * quality
    answers = max(answered - early, 0.0) / max(let_in * (spent_s - early_s), 1e-12) + other / max(other_s, 1e-12)
    rest_s = timeout_s - hedge_s
    if answers > 1e-12:
        rest_s = -math.expm1(-answers * rest_s) / answers
    wait_s = rejected * edges[e, EDGE_FAST_FAIL_S] + let_in * early_s + open_share * rest_s
    return min(max(failed, 0.0), 1.0), wait_s, 1.0 + open_share


@compiled(NOTHING(I8, F1, NETWORK))
def hand_over(e: int, state: Floats, net: Network) -> None:
    """The caller keeps its slot until the callee takes the request over; the answer is the callee's."""
    pool_algebra, edges = net.pool_algebra, net.edges
    caller, callee = int(edges[e, EDGE_FROM]), int(edges[e, EDGE_TO])
    calls, works = edges[e, EDGE_CALLS], 0.0
    quality, rejected = pool_algebra[caller, OUT_QUALITY_TARGET], pool_algebra[callee, OUT_REJECTED]
    free, blocked_s = max(1.0 - rejected, 1e-6), _HANDOFF_WAIT_MAX_S
    if edges[e, EDGE_REACHABLE] != 0.0 and pool_algebra[callee, OUT_UP] != 0.0:
        blocked_s = min(rejected / free / max(pool_algebra[callee, OUT_DONE], 1e-9), blocked_s)
        # Where no user's request comes there is no deadline; an infinite one has no law of the time in the queue.
        deadline_s = min(net.pools[caller, POOL_DEADLINE_S], _NO_DEADLINE_S)
        _, spent_s, _ = pool_answer(caller, deadline_s, net)
        left_s = deadline_s - spent_s
        ok, _, _ = pool_answer(callee, left_s, net)
        works = min(ok / free, 1.0) * state[net.counts[AT_QUALITY] + callee]
        # Nobody is turned away: the rejected come again until they are in. What is let in goes to zero with the last
        # place, steeply but without a jump, which would make the integrator chatter about a full callee.
        pool_algebra[callee, OUT_OFFERED] += pool_algebra[caller, OUT_DONE] * quality * calls / free
    pool_algebra[caller, OUT_HOLD_TARGET_S] += quality * calls * blocked_s
    pool_algebra[caller, OUT_QUALITY_TARGET] = quality * calls_in_a_row(works, calls)[0]


@compiled(F8(I8, F1, NETWORK))
def edge_passes(e: int, state: Floats, net: Network) -> float:
    """Share of the requests that get past the calls of edge `e`, by the answers of its callee as they are now."""
    edges = net.edges
    if edges[e, EDGE_HANDOFF] != 0.0:
        callee = int(edges[e, EDGE_TO])
        if edges[e, EDGE_REACHABLE] == 0.0 or net.pool_algebra[callee, OUT_UP] == 0.0:
            return 0.0
        return float(state[net.counts[AT_QUALITY] + callee])
    failed, _, _ = attempt_answer(e, state, net)
    gate, fallback = edges[e, EDGE_GATE], edges[e, EDGE_FALLBACK]
    works = gate * (1.0 - failed) * mean_tries(failed, edges[e, EDGE_BUDGET], int(edges[e, EDGE_ATTEMPTS]))
    return float(calls_in_a_row(works + (1.0 - works) * fallback, edges[e, EDGE_CALLS])[0])


@compiled(F8(I8, NETWORK), inline=True)
def starts_per_s(pool: int, net: Network) -> float:
    """Requests of a pool that get a slot per second: as many as are done, and as many more as there are more at work.

    Calls follow starts. When what is called last comes back after an outage, slots are held longer all of a sudden, and
    for that time next to nothing is done, but what is called first has its load from the first moment on.
    """
    starts, offered = 0.0, net.pool_algebra[pool, OUT_OFFERED]
    first = int(net.pools[pool, POOL_FIRST_POD])
    for p in range(first, first + int(net.pools[pool, POOL_N_PODS])):
        alike, algebra = net.pods[p, POD_STANDS_FOR], net.pod_algebra[p]
        if alike == 0.0 or net.pods[p, POD_READY] == 0.0:
            continue
        more = offered * algebra[ALG_WEIGHT] * (1.0 - algebra[ALG_BLOCKED]) - algebra[ALG_DONE] - algebra[ALG_LEFT]
        starts += alike * max(algebra[ALG_DONE] + algebra[ALG_BUSY_SLOPE] * more, 0.0)
    return starts


@compiled(NOTHING(NETWORK), inline=True)
def begin_flows(net: Network) -> None:
    """No load yet; each pool holds its requests for their own work."""
    for i in range(net.counts[N_POOLS]):
        out = net.pool_algebra[i]
        out[OUT_HOLD_TARGET_S], out[OUT_QUALITY_TARGET] = net.pools[i, POOL_WORK_S], 1.0
        out[OUT_OFFERED] = out[OUT_ENTRY] = 0.0


@compiled(NOTHING(F1, F1, F1, NETWORK), inline=True)
def calls_flow(state: Floats, rate: Floats, slope: Floats, net: Network) -> None:
    """Holding time and quality of each caller, load of each callee, averages of breakers and throttles.

    The load that users bring must be there already.
    """
    edges, counts, pool_algebra = net.edges, net.counts, net.pool_algebra
    breaker0 = counts[AT_BREAKER]
    of_caller, starts = -1, 0.0
    for e in range(counts[N_EDGES]):
        rate[breaker0 + e], slope[breaker0 + e] = 0.0, 0.0
        if edges[e, EDGE_HANDOFF] != 0.0:
            hand_over(e, state, net)
            continue
        caller, callee, fast_fail_s = int(edges[e, EDGE_FROM]), int(edges[e, EDGE_TO]), edges[e, EDGE_FAST_FAIL_S]
        calls, gate, fallback = edges[e, EDGE_CALLS], edges[e, EDGE_GATE], edges[e, EDGE_FALLBACK]
        failed, wait_s, load = attempt_answer(e, state, net)
        success, throttle = 1.0 - failed, counts[AT_THROTTLE] + 2 * e
        throttles = math.isfinite(edges[e, EDGE_THROTTLE])
        if throttles:
            kept_back = throttled_share(state[throttle], state[throttle + 1], edges[e, EDGE_THROTTLE])
            failed += kept_back * success
            wait_s += kept_back * (fast_fail_s - wait_s)
            load *= 1.0 - kept_back
        tries = mean_tries(failed, edges[e, EDGE_BUDGET], int(edges[e, EDGE_ATTEMPTS]))
        works = gate * (1.0 - failed) * tries
        all_work, made = calls_in_a_row(works + (1.0 - works) * fallback, calls)
        quality, before_s = pool_algebra[caller, OUT_QUALITY_TARGET], pool_algebra[caller, OUT_HOLD_TARGET_S]
        pool_algebra[caller, OUT_HOLD_TARGET_S] += (
            quality
            * made
            * (gate * (tries * wait_s + (tries - 1.0) * edges[e, EDGE_BACKOFF_S]) + (1.0 - gate) * fast_fail_s)
        )
        done, hold_s = pool_algebra[caller, OUT_DONE], max(state[counts[AT_HOLD] + caller], 1e-6)
        if caller != of_caller:
            # In a circle of calls the load of the caller is not known yet.
            of_caller, starts = caller, done if edges[e, EDGE_CIRCULAR] != 0.0 else starts_per_s(caller, net)
        # What comes early in the time for which a slot is held follows the starts, what comes late the completions.
        first = min(made, 1.0)
        reach = first * (starts + (done - starts) * min(before_s / hold_s, 1.0))
        reach += (made * tries - first) * (starts + (done - starts) * min((before_s + wait_s) / hold_s, 1.0))
        attempts = reach * quality * gate
        if edges[e, EDGE_REACHABLE] != 0.0:
            pool_algebra[callee, OUT_OFFERED] += attempts * load
        pool_algebra[caller, OUT_QUALITY_TARGET] = quality * all_work
        if edges[e, EDGE_WINDOW_S] > 0.0:
            rate[breaker0 + e] = (success - state[breaker0 + e]) / edges[e, EDGE_WINDOW_S]
            slope[breaker0 + e] = -1.0 / edges[e, EDGE_WINDOW_S]
        if throttles:
            forget = 1.0 / edges[e, EDGE_THROTTLE_S]
            rate[throttle] = attempts - forget * state[throttle]
            rate[throttle + 1] = attempts * (1.0 - failed) - forget * state[throttle + 1]
            slope[throttle], slope[throttle + 1] = -forget, -forget
