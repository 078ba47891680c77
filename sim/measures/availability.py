"""Availability of a population by time and by requests, over the trial and by calendar month."""

import calendar
import math
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

import numpy as np

from sim.measures.outages import GOOD, OFFERED, Below, time_below_s
from sim.scenario.schema import AvailabilityObjective
from sim.world.log import Floats, TrialRecord


@dataclass(frozen=True, slots=True)
class Month:
    """One population in one calendar month (UTC), as far as the horizon covers it.

    Parameters
    ----------
    number : int
        0 for the month of the start.
    covered : float
        Share of the calendar month within the horizon, in (0, 1].
    by_time : float
        Share of the covered time with success at or above the threshold.
    by_requests : float
        Good over offered requests, at most 1; NaN if none was offered.
    met : bool
        The objective was met.
    """

    number: int
    covered: float
    by_time: float
    by_requests: float
    met: bool


def by_time(stretches: Sequence[Below], start_s: float, end_s: float) -> float:
    """Return the share of [start_s, end_s] with success at or above the threshold."""
    return 1.0 - time_below_s(stretches, start_s, end_s) / (end_s - start_s)


def by_requests(totals: Floats | Sequence[float]) -> float:
    """Return good over offered, NaN with none offered.

    At most 1: requests offered before may end good within the stretch counted.
    """
    offered, good = float(totals[OFFERED]), float(totals[GOOD])
    return min(good / offered, 1.0) if offered > 0 else math.nan


def months_of(
    record: TrialRecord, population: int, stretches: Sequence[Below], objective: AvailabilityObjective
) -> list[Month]:
    """Return the months of one population.

    Parameters
    ----------
    record : TrialRecord
    population : int
        Its place in `record.populations`.
    stretches : sequence of Below
        Its raw stretches below the threshold.
    objective : AvailabilityObjective
    """
    starts, totals = record.month_start_s.tolist(), record.month_totals[:, population].tolist()
    months = []
    for number, (start_s, end_s) in enumerate(zip(starts, [*starts[1:], record.horizon_s], strict=True)):
        time_share = by_time(stretches, start_s, end_s)
        request_share = by_requests(totals[number])
        measured = time_share if objective.measured == "time" else request_share
        # Without a request nothing was lost: the month is met.
        met = math.isnan(measured) or measured >= objective.target
        covered = (end_s - start_s) / _calendar_month_s(record.start, start_s)
        months.append(Month(number, covered, time_share, request_share, met))
    return months


@lru_cache(maxsize=1024)  # the same few in all trials
def _calendar_month_s(start: datetime, at_s: float) -> float:
    """Return the length of the calendar month (UTC) in which `at_s` lies, s."""
    moment = (start + timedelta(seconds=at_s)).astimezone(UTC)
    return calendar.monthrange(moment.year, moment.month)[1] * 86400.0


def population_weights(totals: Floats) -> Floats:
    """Return the share of each population in the offered requests, `(n_populations,)`, sum 1.

    Scenario-level availability by time weights the populations by these, so that a design is credited for an outage
    that stays with few users. Without any request all populations weigh the same.
    """
    offered = np.maximum(totals[:, OFFERED], 0.0)
    total = float(offered.sum())
    return offered / total if total > 0 else np.full(len(offered), 1.0 / len(offered))
