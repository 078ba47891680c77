"""Requests that mean rates had counted as good and that are lost with their pod, and those that will be tried again."""

import numpy as np

from sim.traffic.layout import *
from sim.traffic.layout import Floats
from sim.traffic.plane import Plane
from sim.traffic.rates import retry_pause_s


def lose(plane: Plane, pod: int, share: float) -> None:
    """This share of the requests inside a pod is lost: what was booked for them is taken back.

    Parameters
    ----------
    plane : Plane
        Arrays of the data plane; the state changes.
    pod : int
        Row of the pod.
    share : float
        Of its requests, [0, 1].

    Notes
    -----
    `docs/data-plane.md` 1.5, "Kill": users that still have attempts left come again.
    """
    net, layout, state = plane.net, plane.layout, plane.state
    pool = int(net.pods[pod, POD_POOL])
    # Booked ones inside are never more than there are inside: of an idle pod the average of both is coarse.
    lost = share * min(float(state[layout.credit + pod]), float(state[pod])) * float(state[layout.quality + pool])
    good_per_s = _good_per_s(plane, pool) if lost > 0.0 else []
    for g, rate in enumerate(good_per_s):
        if rate > 0.0:
            _take_back(plane, g, lost * rate / sum(good_per_s))
    state[layout.in_flight + pod] *= 1.0 - share
    state[layout.credit + pod] *= 1.0 - share


def _good_per_s(plane: Plane, pool: int) -> list[float]:
    """What each population sends to a pool and what of that ends well, 1/s: a loss is shared by that.

    A pod dies full: nothing that arrives now would end well, but what came before and is still inside would have.
    """
    net, n_groups, n_regions = plane.net, *plane.net.health.shape
    found = [0.0] * n_groups
    for r in range(n_regions):
        for g in range(n_groups):
            if net.routes[g, r, ROUTE_ENTRY] == pool:
                sent = plane.state[plane.layout.share + g * n_regions + r] * net.group_algebra[g, FLOW_ATTEMPTS]
                found[g] += float(sent * max(net.health[g, r], 1e-9))
    return found


def waiting_to_retry(plane: Plane, group: int) -> Floats:
    """(n_stages, RETRY_STEPS) view: user requests between a failed attempt and the next one, by the number of failed
    attempts and the step of the pause.
    """
    n_stages = int(plane.net.counts[N_STAGES])
    at = plane.layout.orbit + group * n_stages * RETRY_STEPS
    return plane.state[at : at + n_stages * RETRY_STEPS].reshape(n_stages, RETRY_STEPS)


def attempts_by_number(plane: Plane, group: int) -> list[float]:
    """Attempts per second of a group by their number, the first ones first, as they are now."""
    groups, flow = plane.net.groups, plane.net.group_algebra[group]
    steps, n_retries = int(groups[group, GROUP_STEPS]), int(groups[group, GROUP_ATTEMPTS]) - 1
    per_step, fail_s = float(flow[FLOW_RETRY_SCALE]) * steps, float(flow[FLOW_FAIL_S])
    found = [float(flow[FLOW_DEMAND])]
    for k, waiting in enumerate(waiting_to_retry(plane, group)[:n_retries, steps - 1].tolist()):
        found.append(per_step * max(waiting, 0.0) / max(retry_pause_s(groups, group, k) + fail_s, 1e-9))
    return found


def _take_back(plane: Plane, g: int, lost: float) -> None:
    """Requests of group `g` that were booked as good are not: they come again, or have failed for good."""
    state, again_share = plane.state, float(plane.net.groups[g, GROUP_RETRY_SHARE])
    totals = plane.layout.totals + g * N_TOTALS
    good, first_good = float(state[totals + TOTAL_GOOD]), float(state[totals + TOTAL_FIRST_GOOD])
    # What was booked at another quality of the calls than now is not worth more than all that was ever good.
    lost = min(lost, max(good, 0.0))
    # As they are now: pods lost a moment ago have put requests among those that wait already.
    by_number = attempts_by_number(plane, g)
    per_s = _added(by_number)
    # Of nobody who comes, all are first attempts.
    first, *later = [lost * n / per_s for n in by_number] if per_s > 0.0 else [lost] + [0.0] * (len(by_number) - 1)
    # No more retries are taken back than were ever good: those inside came before the retries of a moment ago.
    n_retries = _added(later)
    too_many = n_retries - max(good - first_good, 0.0)
    if too_many > 0.0:
        later = [n * (1.0 - too_many / n_retries) for n in later]
        first += too_many
    most_first = max(first_good, 0.0)
    if later and first > most_first:
        later[0] += first - most_first
        first = most_first
    state[totals + TOTAL_GOOD] -= lost
    state[totals + TOTAL_FIRST_GOOD] -= first
    state[totals + TOTAL_USABLE] -= lost
    *tried_again, last = first, *later
    waiting = waiting_to_retry(plane, g)
    for k, n in enumerate(tried_again):
        waiting[k, 0] += again_share * n
    state[totals + TOTAL_FAILED] += (1.0 - again_share) * _added(tried_again) + last


def _added(values: list[float]) -> float:
    """Their sum, as NumPy makes it: one after another up to seven, and pair by pair of more."""
    if len(values) > 7:
        return float(np.add.reduce(values))
    total = 0.0
    for value in values:
        total += value
    return total
