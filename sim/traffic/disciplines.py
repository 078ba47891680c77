"""Queues that are not first come first served to the end: late requests leave, or the newest are served first.

Each discipline corrects the algebra of one pod after `answers` has found its busy slots and the waiting time of a plain
queue, and says which share of the requests is answered in time. The equations are those of `docs/data-plane.md`,
section 1.2.
"""

import math

from sim.traffic.compiled import F1, F8, I8, NOTHING, compiled, floats
from sim.traffic.layout import *
from sim.traffic.layout import Floats
from sim.traffic.network import NETWORK, Network

_ROOT_TRIES = 40
_ROOT_ACCURACY = 1e-12  # relative; coarser roots are stairs, on which crossings are located in vain
_LEAST_UTILISATION = 1e-9  # the laws hold down to an idle pod: without them it would chatter where they end


@compiled(floats(3)(F8, F8, F8, I8))
def late_law(growth: float, slot_rate: float, limit_s: float, cancels: int) -> tuple[float, float, float]:
    """Law of the offered wait of those who wait: (its mass below the limit, late share, mean time in the queue).

    The density grows like exp(growth w) up to the limit and falls like exp(-slot_rate w) beyond it (M/M/c with a fixed
    patience). The mass is relative to the density at the limit if `growth` > 0, else to that at 0.
    """
    if abs(growth) * limit_s < 1e-4:
        growth = 1e-4 / limit_s
    power = growth * limit_s
    edge = math.exp(-abs(power))
    at_limit = 1.0 if growth > 0.0 else edge
    below = (1.0 - edge) / abs(growth)
    first = (power - 1.0 + edge if growth > 0.0 else edge * (power - 1.0) + 1.0) / (growth * growth)
    beyond = at_limit / slot_rate
    queued = first + beyond * (limit_s if cancels != 0 else limit_s + 1.0 / slot_rate)
    return below, beyond / (below + beyond), queued / (below + beyond)


@compiled(F8(F8, F8, F8, F8, F8, F8))
def late_in_time(waits: float, growth: float, slot_rate: float, limit_s: float, work_s: float, left_s: float) -> float:
    """Share answered within `left_s` when the late leave; exponential work, or constant if `work_s` is negative."""
    if left_s <= 0.0:
        return 0.0
    if abs(growth) * limit_s < 1e-4:
        growth = 1e-4 / limit_s
    below, late, _ = late_law(growth, slot_rate, limit_s, 0)
    mass = below / (1.0 - late)
    shift_s = limit_s if growth > 0.0 else 0.0
    if work_s < 0.0:
        if left_s < -work_s:
            return 0.0
        end_s = min(left_s + work_s, limit_s)
        return (
            1.0 - waits + waits * (math.exp(growth * (end_s - shift_s)) - math.exp(-growth * shift_s)) / growth / mass
        )
    end_s, done = min(left_s, limit_s), 1.0 / work_s
    got_slot = (math.exp(growth * (end_s - shift_s)) - math.exp(-growth * shift_s)) / growth
    both = growth + done
    if abs(both) < 1e-6 * done:
        both = 1e-6 * done
    too_slow = math.exp(growth * (end_s - shift_s) - done * (left_s - end_s)) - math.exp(
        -growth * shift_s - done * left_s
    )
    return (1.0 - waits) * -math.expm1(-done * left_s) + waits * max(got_slot - too_slow / both, 0.0) / mass


@compiled(F8(F8, F8, F8, F8, I8))
def late_growth(waiting: float, waits: float, slot_rate: float, limit_s: float, cancels: int) -> float:
    """Growth of the law at which arrivals of growth + slot_rate per second keep so many waiting."""
    low, high = -slot_rate, 2.0 * waiting / (waits * limit_s) + 10.0 / limit_s
    _, _, queued_s = late_law(high, slot_rate, limit_s, cancels)
    low_value, high_value, growth, side = -waiting, (high + slot_rate) * waits * queued_s - waiting, low, 0
    for _ in range(_ROOT_TRIES):
        if low_value >= 0.0 or high_value <= 0.0 or high - low <= _ROOT_ACCURACY * (slot_rate + 1.0 / limit_s):
            break
        growth = low - low_value * (high - low) / (high_value - low_value)
        _, _, queued_s = late_law(growth, slot_rate, limit_s, cancels)
        value = (growth + slot_rate) * waits * queued_s - waiting
        if abs(value) <= _ROOT_ACCURACY * waiting:
            break
        if value < 0.0:
            low, low_value = growth, value
            high_value *= 0.5 if side < 0 else 1.0  # Illinois
            side = -1
        else:
            high, high_value = growth, value
            low_value *= 0.5 if side > 0 else 1.0
            side = 1
    return growth


@compiled(F8(F8, F8, F8, F8, F8, F8))
def cut_excess(held_s: float, hold_s: float, waiting: float, waits: float, slots: float, limit_s: float) -> float:
    """How much longer than `held_s` those who cancel hold a slot, relative to `hold_s`."""
    growth = late_growth(waiting, waits, slots / held_s, limit_s, 1)
    _, late, _ = late_law(growth, slots / held_s, limit_s, 1)
    served = max(1.0 - waits * late, 1e-9)
    in_time = late_in_time(waits, growth, slots / held_s, limit_s, hold_s, limit_s)
    return float(in_time - held_s * served / hold_s)


@compiled(F8(F8, F8, F8, F8, F8))
def cut_hold_s(hold_s: float, waiting: float, waits: float, slots: float, limit_s: float) -> float:
    """Time for which a slot is held when callers cancel: shorter the more is cut, and more is cut the longer it is."""
    low, high = math.log(1e-3 * min(hold_s, limit_s)), math.log(hold_s)
    low_value = cut_excess(math.exp(low), hold_s, waiting, waits, slots, limit_s)
    high_value = cut_excess(hold_s, hold_s, waiting, waits, slots, limit_s)
    middle, side = low if low_value <= 0.0 else high, 0
    for _ in range(_ROOT_TRIES):
        if low_value <= 0.0 or high_value >= 0.0 or high - low <= _ROOT_ACCURACY:
            break
        middle = low - low_value * (high - low) / (high_value - low_value)
        value = cut_excess(math.exp(middle), hold_s, waiting, waits, slots, limit_s)
        if abs(value) <= _ROOT_ACCURACY:
            break
        if value > 0.0:
            low, low_value = middle, value
            high_value *= 0.5 if side < 0 else 1.0
            side = -1
        else:
            high, high_value = middle, value
            low_value *= 0.5 if side > 0 else 1.0
            side = 1
    return math.exp(middle)


@compiled(NOTHING(I8, F8, F8, F1, NETWORK))
def leave_late(i: int, waiting: float, slots: float, algebra: Floats, net: Network) -> None:
    """Requests of pool `i` whose caller has given up leave without work: when their turn comes or (cancels) at once."""
    cancels = int(net.pools[i, POOL_CANCELS])
    limit_s = net.pools[i, POOL_TIMEOUT_S] if cancels != 0 else net.pools[i, POOL_DEADLINE_S]
    hold_s, utilisation = algebra[ALG_SLOT_S], max(algebra[ALG_BUSY] / slots, _LEAST_UTILISATION)
    if algebra[ALG_WAIT_S] < 1e-3 * limit_s and (cancels == 0 or hold_s < 0.05 * limit_s):
        return
    waits = min(max(waiting * (1.0 - utilisation) / utilisation, -math.expm1(-waiting / slots), 1e-9), 1.0)
    held_s = cut_hold_s(hold_s, waiting, waits, slots, limit_s) if cancels != 0 else hold_s
    growth = late_growth(waiting, waits, slots / held_s, limit_s, cancels)
    _, late, queued_s = late_law(growth, slots / held_s, limit_s, cancels)
    slot_rate = slots / held_s
    step = 1e-3 * (abs(growth) + 1.0 / limit_s)
    _, more_late, more_s = late_law(growth + step, slot_rate, limit_s, cancels)
    left, waited = (growth + slot_rate) * late, (growth + slot_rate) * queued_s
    rise = (growth + step + slot_rate) * more_late - left
    algebra[ALG_LEFT] += waits * left
    algebra[ALG_LEFT_SLOPE] += (1.0 - algebra[ALG_BUSY_SLOPE]) * rise / ((growth + step + slot_rate) * more_s - waited)
    # Of those that began before the pod became faster or slower it is known already when they are cut.
    fresh = (algebra[ALG_BUSY] - algebra[ALG_OLD]) / algebra[ALG_HOLD_S]
    algebra[ALG_DONE] += fresh * (hold_s / held_s - 1.0)
    algebra[ALG_DONE_SLOPE] *= hold_s / held_s
    algebra[ALG_LAW], algebra[ALG_LAW_SHARE], algebra[ALG_LAW_WAITS] = LAW_LATE, 1.0, waits
    algebra[ALG_LAW_GROWTH], algebra[ALG_LAW_RATE], algebra[ALG_LAW_LIMIT_S] = growth, slot_rate, limit_s
    algebra[ALG_WAIT_S] = waits * queued_s


@compiled(NOTHING(I8, F8, F8, F8, F1, NETWORK))
def newest_first(i: int, waiting: float, slots: float, load: float, algebra: Floats, net: Network) -> None:
    """Share of the requests let in that are served newest first, and their wait; the rest of the old are buried.

    A request waits until everybody who came after it has been served: a busy period of M/M/1 at the rate of all slots.
    Above capacity only as many return from theirs as there are completions per arrival. `load`: arrivals per second at
    the pool.
    """
    pools = net.pools
    newest = 1.0
    if pools[i, POOL_ORDER] == ADAPTIVE:
        newest = min(max(2.0 * algebra[ALG_WAIT_S] / pools[i, POOL_ADAPTIVE_S] - 1.0, 0.0), 1.0)
    utilisation = max(algebra[ALG_BUSY] / slots, _LEAST_UTILISATION)
    if newest == 0.0:
        return
    per_s = slots / algebra[ALG_SLOT_S]
    arriving = load * algebra[ALG_WEIGHT]
    let_in = arriving * (1.0 - algebra[ALG_BLOCKED])
    slower, faster = min(arriving, per_s), max(arriving, per_s)
    mean_s = 1.0 / max(faster - slower, 1e-6 * faster)
    algebra[ALG_LAW], algebra[ALG_LAW_SHARE] = LAW_NEWEST, newest
    algebra[ALG_LAW_WAITS] = min(max(waiting * (1.0 - utilisation) / utilisation, -math.expm1(-waiting / slots)), 1.0)
    # Only those who wait are buried: an empty pod completes none yet, and everybody gets a slot at once.
    buried = 1.0 - min(1.0, algebra[ALG_DONE] / let_in) if let_in > 0.0 else 0.0
    algebra[ALG_LAW_GROWTH] = 1.0 - algebra[ALG_LAW_WAITS] * buried
    algebra[ALG_LAW_RATE], algebra[ALG_LAW_LIMIT_S] = mean_s / (2.0 * faster * mean_s - 1.0), mean_s


@compiled(F8(F8, F8, F8))
def busy_period_prob(mean_s: float, shape_s: float, limit_s: float) -> float:
    """Probability that an inverse Gaussian time, the diffusion of a busy period, ends within the limit."""
    if limit_s <= 0.0:
        return 0.0
    root, ratio = math.sqrt(0.5 * shape_s / limit_s), limit_s / mean_s
    return_late = 0.5 * math.erfc(root * (ratio + 1.0))
    if return_late > 0.0:
        return_late *= math.exp(min(2.0 * shape_s / mean_s, 700.0))
    return min(0.5 * math.erfc(root * (1.0 - ratio)) + return_late, 1.0)


@compiled(floats(2)(F8, F8, F8, F1))
def law_answer(work_s: float, work_square: float, left_s: float, algebra: Floats) -> tuple[float, float]:
    """Share answered within `left_s` by the law of the pod's queue, and the mean time until then.

    `work_square` is the squared coefficient of variation of the work; between 0 and 1 both ends are mixed.
    """
    if left_s <= 0.0:
        return 0.0, 0.0
    waits = algebra[ALG_LAW_WAITS]
    exponential = min(math.sqrt(work_square), 1.0)
    in_time = -math.expm1(-left_s / work_s)
    if algebra[ALG_LAW] == LAW_NEWEST:
        mean_s, shape_s = algebra[ALG_LAW_LIMIT_S], algebra[ALG_LAW_RATE]
        worked_s = work_s - left_s * (1.0 - in_time) / in_time  # mean work of those that could be in time
        soon = busy_period_prob(mean_s, shape_s, left_s - worked_s)
        in_time = algebra[ALG_LAW_GROWTH] * in_time * (1.0 - waits + waits * soon)
    else:
        growth, rate, limit_s = algebra[ALG_LAW_GROWTH], algebra[ALG_LAW_RATE], algebra[ALG_LAW_LIMIT_S]
        in_time = exponential * late_in_time(waits, growth, rate, limit_s, work_s, left_s)
        if exponential < 1.0:
            in_time += (1.0 - exponential) * late_in_time(waits, growth, rate, limit_s, -work_s, left_s)
    # Those in time spend their work and some wait, the others all that was left.
    return in_time, in_time * min(work_s + waits * algebra[ALG_WAIT_S], left_s) + (1.0 - in_time) * left_s
