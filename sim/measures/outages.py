"""Outages: the intervals in which a population's success is below the objective.

Two kinds of interval are kept apart. `Below` is raw: every stretch below the threshold, however short; availability by
time counts these. An `Outage` is what people call one: stretches closer together than the objective's `for` are one,
and what is then still shorter than `for` is none.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from sim.world.log import TOTALS, Kind, TrialRecord

OFFERED, GOOD, USABLE = TOTALS.index("offered"), TOTALS.index("good"), TOTALS.index("usable")


@dataclass(frozen=True, slots=True)
class Below:
    """One stretch of time with the success of a population below the threshold.

    Parameters
    ----------
    start_s, end_s : float
        End at the horizon if censored.
    censored : bool
        Still below at the horizon.
    before, after : tuple of float
        The population's totals at both ends, in the order of `TOTALS`.
    """

    start_s: float
    end_s: float
    censored: bool
    before: tuple[float, ...]
    after: tuple[float, ...]

    @property
    def duration_s(self) -> float:
        """Length, s."""
        return self.end_s - self.start_s

    def gained(self, column: int) -> float:
        """Return by how much one of the totals grew meanwhile, never negative."""
        return max(self.after[column] - self.before[column], 0.0)

    @property
    def lost_requests(self) -> float:
        """Requests offered meanwhile less those that ended usable; a backlog served cannot make it negative."""
        return max(self.gained(OFFERED) - self.gained(GOOD), 0.0)

    @property
    def lost_usable(self) -> float:
        """As `lost_requests`, but an answer of lesser quality counts for its quality only."""
        return max(self.gained(OFFERED) - self.gained(USABLE), 0.0)

    @property
    def offered_per_s(self) -> float:
        """Mean rate of requests offered meanwhile, 1/s."""
        return self.gained(OFFERED) / self.duration_s if self.duration_s > 0 else 0.0


def stretches_below(record: TrialRecord, population: str) -> list[Below]:
    """Return every stretch below the threshold, in order.

    Raises
    ------
    ValueError
        If the log ends a stretch that it did not begin, or begins one twice.
    """
    found: list[Below] = []
    start: tuple[float, tuple[float, ...]] | None = None
    for entry in record.records:
        if entry.population != population or entry.kind not in (Kind.SLI_BELOW, Kind.SLI_ABOVE):
            continue
        if (entry.kind is Kind.SLI_BELOW) == (start is not None):
            raise ValueError(f"the log has {entry.kind} twice in a row for {population!r} at {entry.at_s!r} s")
        if start is None:
            start = entry.at_s, entry.totals
        else:
            found.append(Below(start[0], entry.at_s, False, start[1], entry.totals))
            start = None
    if start is not None:
        totals = record.totals[record.populations.index(population)]
        found.append(Below(start[0], record.horizon_s, True, start[1], tuple(float(v) for v in totals)))
    return found


def outages_of(stretches: Sequence[Below], for_s: float) -> list[Below]:
    """Return the outages: stretches merged when less than `for_s` apart, and then at least `for_s` long.

    Parameters
    ----------
    stretches : sequence of Below
        In order of time, not overlapping.
    for_s : float
        The objective's `for`, s, >= 0.

    Notes
    -----
    Merging comes first: a success that flutters around the threshold for an hour is one outage of an hour and not
    none at all.
    """
    merged: list[Below] = []
    for stretch in stretches:
        if merged and stretch.start_s - merged[-1].end_s < for_s:
            last = merged[-1]
            merged[-1] = Below(last.start_s, stretch.end_s, stretch.censored, last.before, stretch.after)
        else:
            merged.append(stretch)
    return [outage for outage in merged if outage.duration_s >= for_s and outage.duration_s > 0]


def time_below_s(stretches: Sequence[Below], start_s: float = 0.0, end_s: float = math.inf) -> float:
    """Return the time below the threshold within [start_s, end_s], s."""
    return math.fsum(max(min(s.end_s, end_s) - max(s.start_s, start_s), 0.0) for s in stretches)
