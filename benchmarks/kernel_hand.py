"""The equations of `docs/data-plane.md`, section 1, once more: straight loops for one fixed kind of network.

What `kernel_speed.py` measures the data plane against. It is written as one would write it for a single system: every
pool has the same number of pods, users split evenly over their entry pools and stay there; no breaker, budget,
provider, patience, error share, partition, guard or trace. It shares the queue tables' numbers with the data plane and
no code.
"""

import math
from typing import NamedTuple

import numba
import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Hand(NamedTuple):
    """The network and its users, all in s, MiB and requests/s.

    Pools are numbered so that `work_s`, `tables` and `slow` have one row each; pod k of pool i is i * n_pods + k.
    """

    n_pods: int
    weight: Floats
    """(n_pods,) share of a pool's load."""
    work_s: Floats
    tables: Floats
    """(n_pools, 3, n_nodes): busy slots, blocking, (slots, room, five borders, four inverse distances)."""
    caller: Ints
    callee: Ints
    timeout_s: Floats
    attempts: Floats
    fast_fail_s: Floats
    entries: Ints
    demand_per_s: float
    user_attempts: int
    backoff_s: float
    deadline_s: float
    user_fast_fail_s: float
    room_mib: float
    per_request_mib: float
    oom_level: float


PAUSE_STEPS = 6


@numba.njit
def _piece(head, x):
    k = 0
    while k < 3 and x > head[3 + k]:
        k += 1
    at = (x - head[2 + k]) * head[7 + k]
    node = min(max(int(at), 0), 511)
    return k * 512 + node, min(at - node, 1.0), head[7 + k]


@numba.njit
def _behind_old(waiting, busy, hold, old, left):
    """Wait behind requests of which some keep slots for another time, and what that adds to its variance."""
    per_s, sooner = busy / hold, old * (1.0 - left / hold)
    wait = max((waiting - sooner) / per_s, 0.0)
    for _ in range(40):
        freed = -math.expm1(-wait / left)
        step = (per_s * wait + sooner * freed - waiting) / (per_s + sooner / left * (1.0 - freed))
        wait -= step
        if abs(step) <= 1e-6 * wait:
            break
    wait = max(wait, 0.0)
    freed = -math.expm1(-wait / left)
    stay, freed_s = 1.0 - freed, wait - left * freed
    square = wait * wait - 2.0 * left * freed_s
    spread = old * (2.0 * freed_s * stay + (square - freed_s * freed_s) / hold) / hold
    end = per_s + sooner / left * stay
    return wait, max(spread, 0.0) / (end * end)


@numba.njit
def _users(u, rate, slope, algebra, hand):
    """Attempts per second and how many of them end well; the steps of the pauses between two attempts."""
    n_pools = hand.work_s.size
    n = n_pools * hand.n_pods
    orbit0 = 4 * n + 2 * n_pools
    total0 = orbit0 + (hand.user_attempts - 1) * PAUSE_STEPS
    good, late_share, share = 0.0, 0.0, 1.0 / hand.entries.size
    for j in hand.entries:
        good += share * algebra[n + j, 6]
        late_share += share * algebra[n + j, 7]
    fail = 1.0 - good
    pause = hand.backoff_s + hand.user_fast_fail_s
    if fail > 1e-12:
        pause += hand.deadline_s * min(1.0, late_share / fail)
    stage, attempts = hand.demand_per_s, hand.demand_per_s
    per_s = PAUSE_STEPS / pause
    for k in range(orbit0, total0, PAUSE_STEPS):
        enters = stage * fail
        for j in range(k, k + PAUSE_STEPS):
            rate[j], slope[j] = enters - u[j] * per_s, -per_s
            enters = u[j] * per_s
        stage = enters
        attempts += enters
    for j in hand.entries:
        algebra[n + j, 2] += share * attempts
    return attempts, good


@numba.njit
def _rates(now_s, u, rate, slope, slow, old_busy, old_left, algebra, hand):
    """F and the diagonal of its Jacobian at `u` = (x, v, C, G of all pods; H, Q of all pools; y; three integrals)."""
    m, n_pools, n = hand.n_pods, hand.work_s.size, hand.work_s.size * hand.n_pods
    hold0, quality0, orbit0 = 4 * n, 4 * n + n_pools, 4 * n + 2 * n_pools
    total0 = orbit0 + (hand.user_attempts - 1) * PAUSE_STEPS
    # algebra: 0 busy, 1 blocked, 2 and 3 their slopes, 4 done, 5 wait, 6 its variance, 7 P within the deadline, 8 old;
    # rows n..: 0 rejected, 1 done, 2 offered, 3 target of H, 4 target of Q, 5 H, 6 and 7 of entries, 8 starts
    for i in range(n_pools):
        work, head = hand.work_s[i] * slow[i], hand.tables[i, 2]
        hold = max(u[hold0 + i] - hand.work_s[i], 0.0) + work
        done, rejected = 0.0, 0.0
        for k in range(m):
            p = i * m + k
            x = u[p]
            node, part, inverse = _piece(head, x)
            rise = hand.tables[i, 0, node + 1] - hand.tables[i, 0, node]
            shut = hand.tables[i, 1, node + 1] - hand.tables[i, 1, node]
            busy, blocked = hand.tables[i, 0, node] + part * rise, hand.tables[i, 1, node] + part * shut
            wait, spread, old = 0.0, 0.0, 0.0
            if old_busy[p] > 0.0 and now_s < 40.0 * old_left[p]:
                old = min(old_busy[p] * math.exp(-now_s / old_left[p]), busy)
            if busy >= 1e-9:
                waiting, slot, more = max(x - busy, 0.0), hold, 0.0
                wait = waiting * hold / busy
                if old > 0.0 and waiting > 1e-9:
                    wait, more = _behind_old(waiting, busy, hold, old, old_left[p])
                    slot = wait * busy / waiting
                spread = (u[n + p] * min(1.0, (waiting + 1.0) / busy) + waiting) * (slot / head[0]) ** 2 + more
                spread = min(spread, 2.0 * wait * work + 9.0 * wait * wait)
            a = algebra[p]
            a[0], a[1], a[2], a[3] = busy, blocked, rise * inverse, shut * inverse
            a[4], a[5], a[6], a[7], a[8] = (busy - old) / hold + old / max(old_left[p], 1e-9), wait, spread, 0.0, old
            done += a[4]
            rejected += hand.weight[k] * blocked
        b = algebra[n + i]
        b[0], b[1], b[2], b[3], b[4], b[5] = rejected, done, 0.0, hand.work_s[i], 1.0, hold
    last = -1
    for e in range(-hand.entries.size, hand.caller.size):
        if e == 0:
            attempts, good = _users(u, rate, slope, algebra, hand)
        is_call = e >= 0
        j = hand.callee[e] if is_call else hand.entries[e]
        limit = hand.timeout_s[e] if is_call else hand.deadline_s
        work, hold = hand.work_s[j] * slow[j], algebra[n + j, 5]
        ok, spent, accepted, late = 0.0, 0.0, 0.0, hold - work
        for k in range(m):
            a = algebra[j * m + k]
            let_in = hand.weight[k] * (1.0 - a[1])
            mean, in_time = a[5] + work, 0.0
            if limit > late:
                s = 9.0 * mean * mean / (a[6] + work * work)
                z = math.sqrt(s) * (((limit - late) / mean) ** (1.0 / 3.0) - 1.0 + 1.0 / s)
                in_time = 0.5 * math.erfc(-z * 0.7071067811865476)
            ok += let_in * in_time
            if is_call:
                left = limit - a[5] - late
                took = limit if left <= 0.0 else min(limit, a[5] + late + work * (1.0 - math.exp(-left / work)))
                spent += let_in * took
                accepted += let_in
            else:
                a[7] = in_time
        b = algebra[n + j]
        if is_call:
            fail = min(max(1.0 - ok * u[quality0 + j], 0.0), 1.0)
            tries, power = 1.0, 1.0
            for _ in range(int(hand.attempts[e]) - 1):
                power *= fail
                tries += power
            took = (1.0 - b[0]) * (spent / accepted if accepted > 0.0 else limit) + b[0] * hand.fast_fail_s[e]
            i = hand.caller[e]
            c, now_hold = algebra[n + i], max(u[hold0 + i], 1e-6)
            if i != last:
                last, c[8] = i, 0.0
                for k in range(m):
                    a = algebra[i * m + k]
                    c[8] += max(a[4] + a[2] * (c[2] * hand.weight[k] * (1.0 - a[1]) - a[4]), 0.0)
            reach = c[8] + (c[1] - c[8]) * min(c[3] / now_hold, 1.0)
            reach += (tries - 1.0) * (c[8] + (c[1] - c[8]) * min((c[3] + took) / now_hold, 1.0))
            c[3] += c[4] * tries * took
            b[2] += reach * c[4]
            c[4] *= (1.0 - fail) * tries
        else:
            b[6], b[7] = ok * u[quality0 + j], max(0.0, 1.0 - b[0] - ok)
    if hand.caller.size == 0:
        attempts, good = _users(u, rate, slope, algebra, hand)
    for i in range(n_pools):
        b, head = algebra[n + i], hand.tables[i, 2]
        for k in range(m):
            p = i * m + k
            a, x, v = algebra[p], u[p], u[n + p]
            arriving = b[2] * hand.weight[k]
            let_in = arriving * (1.0 - a[1])
            pull = a[2] / b[5] + arriving * a[3]
            oldest, newest = max(min(a[0], x), 0.05), a[7] if let_in > 0.0 else 0.0
            booked = min(max(newest + (u[2 * n + p] - newest * x) / oldest, 0.0), 1.0)
            rate[p], slope[p] = let_in - a[4], -pull
            rate[n + p], slope[n + p] = let_in + a[4] - 2.0 * pull * v, -2.0 * pull
            rate[2 * n + p], slope[2 * n + p] = let_in * a[7] - a[4] * booked, -a[4] / oldest
            rate[3 * n + p] = 0.0
            fits = hand.room_mib / hand.per_request_mib
            if fits < head[1]:
                sd = math.sqrt(max(v, 1e-4))
                z = max((fits - x) / sd, -4.0)
                if z <= 7.0:
                    node, part, _ = _piece(head, fits)
                    top = hand.tables[i, 0, node] + part * (hand.tables[i, 0, node + 1] - hand.tables[i, 0, node])
                    below = max(0.5 * math.erfc(-z * 0.7071067811865476), 1e-4)
                    flow = abs(arriving - top / b[5])
                    rate[3 * n + p] = flow * 0.3989422804014327 * math.exp(-0.5 * z * z) / (sd * below)
        relax = 1.0 / max(u[hold0 + i], 1e-3)
        rate[hold0 + i], slope[hold0 + i] = (b[3] - u[hold0 + i]) * relax, -relax
        rate[quality0 + i], slope[quality0 + i] = (b[4] - u[quality0 + i]) * relax, -relax
    rate[total0], rate[total0 + 1], rate[total0 + 2] = hand.demand_per_s, attempts * good, attempts


@numba.njit
def _clamp(u, hand):
    m, n_pools = hand.n_pods, hand.work_s.size
    n = m * n_pools
    for i in range(n_pools):
        for p in range(i * m, i * m + m):
            u[p] = min(max(u[p], 0.0), hand.tables[i, 2, 1])
    for k in range(n, u.size):
        u[k] = max(u[k], 0.0)
    for k in range(4 * n + n_pools, 4 * n + 2 * n_pools):
        u[k] = min(u[k], 1.0)


@numba.njit
def hand_advance(u, length_s, step_s, tolerance, slow, slow_before, hand):
    """Advance `u` by `length_s`, by ETD2 with the data plane's error norm; the number of accepted steps.

    Pools whose pods were as slow as `slow_before` until now hold requests that keep the work they drew.
    """
    n, n_pools = hand.n_pods * hand.work_s.size, hand.work_s.size
    hold0, total0 = 4 * n, u.size - 3
    algebra = np.zeros((n + n_pools, 9))
    old_busy, old_left = np.zeros(n), np.zeros(n)
    for i in range(n_pools):
        for p in range(i * hand.n_pods, (i + 1) * hand.n_pods):
            if slow[i] != slow_before[i]:
                node, part, _ = _piece(hand.tables[i, 2], u[p])
                old_busy[p] = hand.tables[i, 0, node] + part * (hand.tables[i, 0, node + 1] - hand.tables[i, 0, node])
                old_left[p] = hand.work_s[i] * slow_before[i] + max(u[hold0 + i] - hand.work_s[i], 0.0)
    rate, slope = np.zeros(u.size), np.zeros(u.size)
    guess, guess_rate, guess_slope, new = np.zeros(u.size), np.zeros(u.size), np.zeros(u.size), np.zeros(u.size)
    bend_before, bend = np.zeros(u.size), np.zeros(u.size)
    now_s, n_steps = 0.0, 0
    _rates(now_s, u, rate, slope, slow, old_busy, old_left, algebra, hand)
    while now_s < length_s:
        h = min(step_s, length_s - now_s)
        while True:
            for k in range(u.size):
                z = h * slope[k]
                guess[k] = u[k] + h * (1.0 + 0.5 * z if abs(z) < 1e-4 else math.expm1(z) / z) * rate[k]
            _clamp(guess, hand)
            _rates(now_s + h, guess, guess_rate, guess_slope, slow, old_busy, old_left, algebra, hand)
            error = 0.0
            for k in range(u.size):
                z = h * slope[k]
                phi2 = 0.5 + z / 6.0 if abs(z) < 1e-3 else (math.expm1(z) / z - 1.0) / z
                change = guess_rate[k] - rate[k] - slope[k] * (guess[k] - u[k])
                new[k] = guess[k] + h * phi2 * change
                bend[k] = change / h
                if k < total0:
                    allowed, weight = 0.02 if k < n else 0.01, 0.1 if n <= k < 3 * n else 1.0
                    if hold0 <= k < hold0 + n_pools:
                        allowed *= min(1.0, max(u[k], 1e-3))
                    off = h * phi2 * min(abs(change), 4.0 * abs(change - h * bend_before[k]))
                    error = max(error, weight * off / (allowed + 2e-3 * tolerance * abs(new[k])))
            if error <= 1.0 or h <= 1e-6:
                break
            h *= max(0.2, 0.85 / math.sqrt(error))
        growth = 4.0 if error < 0.045 else 0.85 / math.sqrt(error)
        step_s = max(step_s, h * growth) if h == length_s - now_s else h * growth
        now_s += h
        n_steps += 1
        _clamp(new, hand)
        u[:] = new
        bend_before[:] = bend
        _rates(now_s, u, rate, slope, slow, old_busy, old_left, algebra, hand)
    return n_steps
