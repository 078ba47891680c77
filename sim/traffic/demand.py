"""Demand curves: requests per second of each population over the horizon, from its calendar.

A curve is a row of values at equal distances, joined by straight lines or kept as steps; the kernel never
steps across a node. Days of the calendar are local days of the population's time zone; daylight-saving
changes and public holidays are in the curve. It knows nothing of services.
"""

from datetime import datetime, timedelta
from functools import lru_cache
from typing import Final
from zoneinfo import ZoneInfo

import numpy as np

from sim.scenario.schema import Calendar, Population
from sim.traffic.layout import Floats

YEAR_S: Final = 365.0 * 86400.0
_DAYS: Final = ("mon", "tue", "wed", "thu", "fri", "sat", "sun")

# Share of the workers active at each local hour. Office work: arrival 7-9, a lunch dip, few in the evening.
_OFFICE_DAY: Final = (
    *(0.02, 0.02, 0.02, 0.02, 0.02, 0.04, 0.10, 0.30, 0.75, 1.0, 1.0, 1.0),
    *(0.80, 0.95, 1.0, 1.0, 0.80, 0.45, 0.20, 0.12, 0.10, 0.08, 0.05, 0.03),
)
_OFFICE_WEEKEND: Final = (0.02,) * 7 + (0.04,) * 15 + (0.02,) * 2
_EXTENDED_DAY: Final = (0.10,) * 5 + (0.20, 0.40, 0.70) + (1.0,) * 11 + (0.80, 0.60, 0.40, 0.25, 0.15)
_EXTENDED_WEEKEND: Final = (0.10,) * 7 + (0.30,) * 15 + (0.15, 0.10)
_ALWAYS: Final = (1.0,) * 24


def week_profile(calendar: str | Calendar) -> Floats:
    """Activity by day (Monday first) and local hour: (7, 24) shares."""
    if isinstance(calendar, str):
        day, weekend = {
            "office-hours": (_OFFICE_DAY, _OFFICE_WEEKEND),
            "extended-hours": (_EXTENDED_DAY, _EXTENDED_WEEKEND),
            "always": (_ALWAYS, _ALWAYS),
        }[calendar]
        return np.array([day] * 5 + [weekend] * 2)
    profile = np.zeros((7, 24))
    # From the general to the particular: a named day wins over `weekday`, that over `day`.
    for name in ("day", "weekday", "weekend", *_DAYS):
        hours = calendar.hours.get(name)
        if hours is not None:
            rows = {"day": range(7), "weekday": range(5), "weekend": range(5, 7)}.get(name)
            profile[list(rows) if rows is not None else [_DAYS.index(name)]] = hours
    return profile


def demand_curve(population: Population, start: datetime, horizon_s: float) -> Floats:
    """The row of `curves` for one population: (distance s, n, 1 for lines or 0 for steps, n values in 1/s)."""
    calendar = population.calendar
    profile = week_profile(calendar)
    peak_per_s = population.workers * population.requests
    flat = bool(np.ptp(profile) == 0.0)
    if flat and population.growth == 0.0:
        return np.array([1.0, 1.0, 1.0, peak_per_s * profile[0, 0]])
    lines = flat or not isinstance(calendar, Calendar) or calendar.smooth
    zone = ZoneInfo(population.timezone)
    distance_s = 3600.0
    if not lines and (start.minute or start.second or _offset_is_broken(zone, start)):
        distance_s = 900.0
    n = int(np.ceil(horizon_s / distance_s)) + 1
    at_s = np.arange(n) * distance_s
    activity = np.array([_activity(profile, start + timedelta(seconds=s), zone, population, lines) for s in at_s])
    grown = (1.0 + population.growth) ** (at_s / YEAR_S)
    return np.concatenate([[distance_s, n, 1.0 if lines else 0.0], peak_per_s * activity * grown])


class Cumulative:
    """Requests until a time by a demand curve, before any factor; before the start its first value holds.

    Parameters
    ----------
    curve : array
        A row of `curves`, as `demand_curve` makes it.
    """

    def __init__(self, curve: Floats) -> None:
        self._distance_s, n, self._lines = float(curve[0]), int(curve[1]), curve[2] != 0.0
        self._values = curve[3 : 3 + n]
        pieces = 0.5 * (self._values[:-1] + self._values[1:]) if self._lines else self._values[:-1]
        self._sums = np.concatenate([[0.0], np.cumsum(pieces * self._distance_s)])

    def __call__(self, at_s: float) -> float:
        """Requests from the start until `at_s`; negative before it."""
        if at_s <= 0.0 or len(self._values) == 1:
            return float(self._values[0]) * at_s
        node = min(int(at_s / self._distance_s), len(self._values) - 1)
        rest_s, begin = at_s - node * self._distance_s, float(self._values[node])
        end = float(self._values[node + 1]) if self._lines and node + 1 < len(self._values) else begin
        return float(self._sums[node]) + rest_s * (begin + 0.5 * (end - begin) * rest_s / self._distance_s)

    def many(self, at_s: Floats) -> Floats:
        """The same for an array of times, of any shape."""
        last = len(self._values) - 1
        if last == 0:
            return np.asarray(at_s * self._values[0])
        node = np.clip((at_s / self._distance_s).astype(np.int64), 0, last)
        rest_s, begin = at_s - node * self._distance_s, self._values[node]
        end = self._values[np.minimum(node + 1, last)] if self._lines else begin
        inside = self._sums[node] + rest_s * (begin + 0.5 * (end - begin) * rest_s / self._distance_s)
        return np.asarray(np.where(at_s <= 0.0, self._values[0] * at_s, inside))


def peak_demand(population: Population) -> float:
    """Requests per second when all workers are active, before any growth."""
    return population.workers * population.requests * float(week_profile(population.calendar).max())


def stacked_curves(curves: list[Floats]) -> Floats:
    """All curves as rows of one array, padded with zeros."""
    rows = np.zeros((len(curves), max((c.size for c in curves), default=4)))
    for row, curve in zip(rows, curves, strict=True):
        row[: curve.size] = curve
    return rows


def _offset_is_broken(zone: ZoneInfo, at: datetime) -> bool:
    offset = at.astimezone(zone).utcoffset()
    return offset is not None and offset.total_seconds() % 3600.0 != 0.0


def _activity(profile: Floats, at: datetime, zone: ZoneInfo, population: Population, lines: bool) -> float:
    local = at.astimezone(zone)
    value = profile[_day_index(local, population.holidays), local.hour]
    if not lines:
        return float(value)
    part = (local.minute * 60.0 + local.second) / 3600.0
    if part == 0.0:
        return float(value)
    later = local + timedelta(hours=1)
    return float(value + part * (profile[_day_index(later, population.holidays), later.hour] - value))


def _day_index(local: datetime, country: str | None) -> int:
    if country is not None and local.date() in _public_holidays(country, local.year):
        return 6
    return local.weekday()


@lru_cache(maxsize=256)
def _public_holidays(country: str, year: int) -> frozenset[object]:
    import holidays  # slow to import, and few scenarios name a country

    # Sweden's law counts every Sunday as a holiday; Sundays are Sundays here already.
    return frozenset(holidays.country_holidays(country, years=year))
