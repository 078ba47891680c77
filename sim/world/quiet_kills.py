"""OOM kills while faults are passed over: what is left of each pod's level, and when the course itself reaches it.

A pod is killed when its integrated hazard reaches its level (docs/data-plane.md, 1.5). Parked, that hazard is the one
of the undisturbed course and what restarts of others add to it. Compiled, over the arrays of `quiet_arrays`.
"""

import math
from typing import Any

from sim.traffic.levels import N_LEVELS
from sim.world.compiled import inner
from sim.world.quiet_arrays import *
from sim.world.quiet_fleet import knot_at, level_now

_NOTHING = -30.0
"""Logarithm of a hazard that counts as none."""


@inner
def reach_of(pod: int, m: Any, g: Any) -> float:
    """Integrated hazard of the course at which a pod is killed; not a number if its level has to be drawn first."""
    reach = float(m.pod_s[pod, POD_REACH])
    if math.isnan(reach):
        incarnation = m.pods[pod, POD_INCARNATION]
        if incarnation < g.levels.shape[1]:
            reach = g.levels[pod, incarnation] + hazard_at(pod, m.pod_s[pod, POD_STARTED], g)
            m.pod_s[pod, POD_REACH] = reach
    return reach


@inner
def hazard_at(pod: int, at_s: float, g: Any) -> float:
    """Hazard of the course for a pod from the start to a time; 0 on a course without any."""
    if g.hazard.shape[0] == 0:
        return 0.0
    k = knot_at(at_s, g)
    part = min(max((at_s - g.knot_s[k]) / (g.knot_s[k + 1] - g.knot_s[k]), 0.0), 1.0)
    before, after = float(g.hazard[k, pod]), float(g.hazard[k + 1, pod])
    return float(before + part * (after - before))


@inner
def killed_from(pod: int, reach: float, g: Any) -> float:
    """Time before which the course does not kill a pod: the last knot before its level is reached."""
    last = g.hazard.shape[0] - 1
    if last < 0 or g.hazard[last, pod] < reach:
        return math.inf
    low, high = -1, last
    while high - low > 1:
        middle = (low + high) // 2
        if g.hazard[middle, pod] < reach:
            low = middle
        else:
            high = middle
    return float(g.knot_s[max(low, 0)])


@inner
def draw_new(pod: int, ready_s: float, m: Any, g: Any) -> tuple[float, float]:
    """What kills a pod that will be ready again, and from when the course does; NaN if its level has to be drawn first.

    On a course without hazard nobody has to know.
    """
    incarnation = m.pods[pod, POD_INCARNATION] + 1
    if g.hazard.shape[0] == 0:
        return math.nan, math.inf
    if incarnation >= g.levels.shape[1] or math.isnan(g.levels[pod, incarnation]):
        return math.nan, math.nan
    reach = g.levels[pod, incarnation] + hazard_at(pod, ready_s, g)
    return reach, killed_from(pod, reach, g)


@inner
def next_kill(m: Any, g: Any) -> tuple[float, int]:
    """Time before which the course kills nobody, and -1; or a pod whose level has to be drawn first."""
    best_s = math.inf
    if g.hazard.shape[0] > 0:
        for pod in range(m.pods.shape[0]):
            if m.pods[pod, POD_STATE] != READY:
                continue
            if math.isnan(m.pod_s[pod, POD_KILLED]):
                reach = reach_of(pod, m, g)
                if math.isnan(reach):
                    return best_s, pod
                m.pod_s[pod, POD_KILLED] = killed_from(pod, reach, g)
            best_s = min(best_s, m.pod_s[pod, POD_KILLED])
    return best_s, -1


@inner
def is_new(pod: int, m: Any) -> None:
    """A pod has been started again: it has a level of its own."""
    m.pod_s[pod, POD_REACH] = m.pod_s[pod, POD_KILLED] = math.nan


@inner
def added_hazard(lost: int, pod: int, level: float, known: Any) -> float:
    """Hazard that the restart of a pod adds to that of another one, at a level of demand."""
    below, part = min(int(level), N_LEVELS - 1), known.kills_of[lost]
    low, high = known.kills[part, below, pod], known.kills[part, below + 1, pod]
    exponent = low + (level - below) * (high - low)
    return math.exp(exponent) if exponent > _NOTHING else 0.0


@inner
def survive(lost: int, at_s: float, to_s: float, m: Any, g: Any, known: Any) -> int:
    """Add what the restart of a pod adds to the hazard of the others: -1, or a pod that would be killed until `to_s`
    or has no level yet; nothing has been added then.
    """
    if known.kills_of[lost] == 0:
        return -1
    level = level_now(at_s, g) * N_LEVELS
    for pod in range(m.pods.shape[0]):
        if pod != lost and m.pods[pod, POD_STATE] == READY:
            more = added_hazard(lost, pod, level, known)
            if more > 0.0:
                left = reach_of(pod, m, g) - hazard_at(pod, to_s, g)
                if not left > more:  # nor if it is not a number
                    return pod
    for pod in range(m.pods.shape[0]):
        if pod != lost and m.pods[pod, POD_STATE] == READY:
            more = added_hazard(lost, pod, level, known)
            if more > 0.0:
                m.pod_s[pod, POD_REACH] -= more
                m.pod_s[pod, POD_KILLED] = math.nan
    return -1
