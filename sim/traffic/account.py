"""What became of the users' requests during a step: good, failed for good, or waiting to try again.

Every flow between these is integrated once, and what leaves one place is what enters the next, so that offered = good +
failed + waiting holds to rounding whatever the length of the steps. It knows neither pods nor pools.
"""

import math

from sim.traffic.compiled import F1, F2, F8, NOTHING, compiled
from sim.traffic.layout import *
from sim.traffic.layout import Floats
from sim.traffic.network import NETWORK, Network


@compiled(F8(F8))
def phi1(z: float) -> float:
    """(e^z - 1) / z."""
    if abs(z) < 0.02:  # where the difference cancels; `exp` takes half the time of `expm1`
        return 1.0 + z * (0.5 + z * (1.0 / 6.0 + z * (1.0 / 24.0 + z * (1.0 / 120.0 + z / 720.0))))
    return (math.exp(z) - 1.0) / z


@compiled(F8(F8, F8))
def phi2(z: float, phi1_z: float) -> float:
    """(phi1(z) - 1) / z, given phi1(z): exponentials are what a step is spent on."""
    if abs(z) < 0.02:
        return 0.5 + z * (1.0 / 6.0 + z * (1.0 / 24.0 + z * (1.0 / 120.0 + z * (1.0 / 720.0 + z / 5040.0))))
    return (phi1_z - 1.0) / z


@compiled(NOTHING(F8, F1, F2, NETWORK), inline=True)
def settle(step_s: float, state: Floats, work: Floats, net: Network) -> None:
    """Totals and retry stages at the end of a step, from the right-hand sides at both of its ends.

    The flow of first attempts is a trapezoid. A stage empties exponentially at the mean rate of both ends while it is
    filled by a flow that changes linearly, so that neither its content nor its outflow can be negative.
    """
    counts = net.counts
    rate, slope, guess, guess_rate, guess_slope, new = work[0], work[1], work[2], work[3], work[4], work[5]
    for g in range(counts[N_GROUPS]):
        first = counts[AT_ORBIT] + g * counts[N_STAGES] * RETRY_STEPS
        total, steps = counts[AT_TOTALS] + g * N_TOTALS, int(net.groups[g, GROUP_STEPS])
        before, after = rate[total : total + N_TOTALS], guess_rate[total : total + N_TOTALS]
        for k in range(total, total + N_TOTALS):
            new[k] = state[k]
        n_retries, again = int(net.groups[g, GROUP_ATTEMPTS]) - 1, net.groups[g, GROUP_RETRY_SHARE]
        # Attempts of one number: per second at both ends, and in all.
        head, tail = before[BOOK_DEMAND], after[BOOK_DEMAND]
        wanted = 0.5 * step_s * (head + tail)
        new[total + TOTAL_OFFERED] += wanted
        for k in range(n_retries + 1):
            early = head / (head + tail) if head + tail > 0.0 else 0.0  # weights of the two ends
            late = 1.0 - early
            good = wanted * (early * before[BOOK_SUCCESS] + late * after[BOOK_SUCCESS])
            bad_head, bad_tail = early * (1.0 - before[BOOK_SUCCESS]), late * (1.0 - after[BOOK_SUCCESS])
            bad = wanted * (bad_head + bad_tail)
            new[total + TOTAL_GOOD] += good
            new[total + TOTAL_ATTEMPTS] += wanted * (early * before[BOOK_SENT] + late * after[BOOK_SENT])
            new[total + TOTAL_USABLE] += wanted * (early * before[BOOK_USABLE] + late * after[BOOK_USABLE])
            new[total + TOTAL_BY_PROVIDER] += wanted * (early * before[BOOK_PROVIDER] + late * after[BOOK_PROVIDER])
            if k == 0:
                new[total + TOTAL_FIRST_GOOD] += good
            if k == n_retries:
                new[total + TOTAL_FAILED] += bad
                break
            new[total + TOTAL_FAILED] += (1.0 - again) * bad
            # From one step of the pause to the next; all of a stage are left equally fast.
            flow, head, tail = again * bad, bad_head, bad_tail
            at = first + k * RETRY_STEPS
            z = 0.5 * step_s * (slope[at] + guess_slope[at])
            phi1_z, decay = phi1(z), math.exp(z)
            phi2_z = phi2(z, phi1_z)
            for j in range(at, at + steps):
                stays = 0.5
                if head + tail > 0.0:
                    stays = 2.0 * ((phi1_z - phi2_z) * head + phi2_z * tail) / (head + tail)
                kept = state[j] * decay
                new[j] = kept + flow * stays
                flow = flow * (1.0 - stays) + (state[j] - kept)
                head, tail = -slope[j] * state[j], -guess_slope[j] * guess[j]
            leaves = flow
            early = head / (head + tail) if head + tail > 0.0 else 0.0
            late = 1.0 - early
            refused = leaves * (early * (1.0 - before[BOOK_KEPT]) + late * (1.0 - after[BOOK_KEPT]))
            new[total + TOTAL_FAILED] += refused
            wanted = leaves * (early * before[BOOK_KEPT] + late * after[BOOK_KEPT])
            head, tail = head * before[BOOK_KEPT], tail * after[BOOK_KEPT]
