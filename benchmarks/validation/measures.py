"""What is measured of a run of a case: one definition for every model that plays it.

A model is looked at every 10 s: requests inside each pool, and user requests good and failed so far. A request counts
where it ended (mean rates book a good one when it arrives). It knows no model.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from benchmarks.validation.cases import PHASES, TWO_TIERS, case_scenario

LOOK_EVERY_S = 10.0
IN_FLIGHT_FROM_S = 60.0
RECOVERED_SHARE = 0.95
COLLAPSED_SHARE = 0.5
COLLAPSE_BIN_S = 30.0


@dataclass(frozen=True)
class Observed:
    """What one run showed.

    Attributes
    ----------
    availability : float
        Good requests as a share of those that arrived before the horizon.
    good, failed : ndarray, shape (n + 1,)
        User requests that ended so by 0, 10, 20 ... s, the horizon included.
    inside : dict of ndarray, shape (n,)
        By service: requests inside at 0, 10, 20 ... s, without the horizon.
    killed_at_s : list of float
        Times of the OOM kills.
    """

    availability: float
    good: NDArray[np.float64]
    failed: NDArray[np.float64]
    inside: dict[str, NDArray[np.float64]]
    killed_at_s: list[float]


def look_times_s(name: str) -> NDArray[np.float64]:
    """Return when a run of a case is looked at, s; the horizon is not among them."""
    return np.arange(0.0, case_scenario(name).horizon - 1e-9, LOOK_EVERY_S)


def success_in_bins(seen: Observed, bin_s: float) -> NDArray[np.float64]:
    """Return the share of good ones among the requests that ended in each interval; 0 where none ended."""
    step = round(bin_s / LOOK_EVERY_S)
    good = np.diff(seen.good[::step])
    ended = good + np.diff(seen.failed[::step])
    return np.divide(good, ended, out=np.zeros_like(good), where=ended > 0.0)


def last_bad_end_s(seen: Observed) -> float:
    """Return the end of the last 10 s with less than 95 % success, s; infinity if they are the last, 0 if none."""
    low = np.flatnonzero(success_in_bins(seen, LOOK_EVERY_S) < RECOVERED_SHARE)
    if not low.size:
        return 0.0
    return math.inf if low[-1] == len(seen.good) - 2 else float(low[-1] + 1) * LOOK_EVERY_S


def collapse_s(seen: Observed) -> float:
    """Return the start of the 30 s intervals with success below half to the end, s; NaN if it is fine."""
    fine = np.flatnonzero(success_in_bins(seen, COLLAPSE_BIN_S) >= COLLAPSED_SHARE)
    n_bins = (len(seen.good) - 1) // round(COLLAPSE_BIN_S / LOOK_EVERY_S)
    if not fine.size:
        return 0.0
    return math.nan if fine[-1] == n_bins - 1 else float(fine[-1] + 1) * COLLAPSE_BIN_S


def measures(name: str, seen: Observed) -> dict[str, float]:
    """Return the measures of a run by name; NaN where one is not defined for it."""
    if name == TWO_TIERS:
        return phase_measures(seen)
    scenario = case_scenario(name)
    from_start = round(IN_FLIGHT_FROM_S / LOOK_EVERY_S)
    found = {"in_flight_mean": float(seen.inside["s"][from_start:].mean()), "availability": seen.availability}
    if scenario.services["s"].memory is not None:
        found["first_oom_s"] = seen.killed_at_s[0] if seen.killed_at_s else math.nan
        found["oom_kills"] = float(len(seen.killed_at_s))
    if scenario.faults:
        end_s = last_bad_end_s(seen)
        found["recovered_share"] = float(math.isfinite(end_s))
        found["recovery_s"] = end_s if math.isfinite(end_s) else math.nan
    elif scenario.populations["u"].attempts > 2:
        at_s = collapse_s(seen)
        found["collapsed_share"] = float(not math.isnan(at_s))
        found["collapse_s"] = at_s
    return found


def phase_measures(seen: Observed) -> dict[str, float]:
    """Return requests inside U and J and the success of what ended, by phase."""
    found = {}
    for phase in PHASES:
        first, last = round(phase.start_s / LOOK_EVERY_S), round(phase.end_s / LOOK_EVERY_S)
        good, failed = seen.good[last] - seen.good[first], seen.failed[last] - seen.failed[first]
        # What is seen at the start of a phase belongs to the one before.
        found[f"{phase.name}: in flight U"] = float(seen.inside["s"][first + 1 : last + 1].mean())
        found[f"{phase.name}: in flight J"] = float(seen.inside["j"][first + 1 : last + 1].mean())
        found[f"{phase.name}: success"] = float(good / (good + failed))
    return found
