"""Stored figures of the columns side by side: standard errors, z, and whether a row got worse than what is published.

It runs no model.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from benchmarks.validation.cases import NAMES, RECOVERED
from benchmarks.validation.run import stored

Z_MARKED = 3.0
PUBLISHED_SEEDS = 12
_SAME = 1e-5
"""Relative; what the horizon cuts off is expected in one model and waited for in the other."""
PUBLISHED_NAMES = {"in_flight_mean": ("in_flight_mean", "in_flight_sample_mean")}
"""Our measures whose published figures go by several names."""


@dataclass(frozen=True)
class Figure:
    """A mean over independent runs.

    Attributes
    ----------
    mean, error : float
        The mean and its standard error.
    sd : float
        Standard deviation of one run.
    n : int
        Runs for which the measure is defined.
    """

    mean: float
    error: float
    sd: float
    n: int


def figure(measure: str, mean: float, sd: float, n: int) -> Figure:
    """Return a figure; the error of a share is that of Agresti and Coull (1998), which is not 0 when all runs agree."""
    if not measure.endswith("_share"):
        return Figure(mean, sd / math.sqrt(n), sd, n)
    middle = (mean * n + 2.0) / (n + 4.0)
    return Figure(mean, math.sqrt(middle * (1.0 - middle) / (n + 4.0)), sd, n)


@lru_cache
def column(name: str) -> dict[str, dict[str, Figure]]:
    """Return the stored figures of a column by case and measure."""
    cases = stored(name)["cases"]
    return {
        case: {measure: figure(measure, **each) for measure, each in kept["measures"].items()}
        for case, kept in cases.items()
    }


def difference(one: Figure, other: Figure) -> float:
    """Return one less other; what nobody would notice counts as the same."""
    apart = one.mean - other.mean
    return 0.0 if abs(apart) <= _SAME * max(abs(one.mean), abs(other.mean)) else apart


def z_score(one: Figure, other: Figure) -> float:
    """Return the distance of two means in standard errors of their difference."""
    apart, error = difference(one, other), math.hypot(one.error, other.error)
    return apart / error if error > 0.0 else math.copysign(math.inf, apart) if apart else 0.0


def published(case: str, measure: str) -> dict[str, Any]:
    """Return the published figures of a row; empty if there are none."""
    figures = RECOVERED[case]["published"] if case in RECOVERED else {}
    return next((figures[name] for name in PUBLISHED_NAMES.get(measure, (measure,)) if name in figures), {})


def rounding_error(printed: float) -> float:
    """Return the standard deviation of what the last printed digit hides."""
    digits = f"{printed}".partition(".")[2].rstrip("0")
    return float(10.0 ** -len(digits) / math.sqrt(12.0))


@dataclass(frozen=True)
class Row:
    """A measure of a case in every column; a column that has no such figure lacks it."""

    case: str
    measure: str
    request: Figure
    columns: dict[str, Figure]
    published: dict[str, Any]

    def z(self, name: str) -> float:
        """Distance of a column from the request model, in standard errors."""
        return z_score(self.columns[name], self.request)

    def worse_by(self, name: str) -> float:
        """Error of a column less that of the published fluid, in standard errors of both; NaN without published ones.

        Published figures without a spread take that of the request model, over as many seeds as were published, and
        what rounding hides.
        """
        theirs = self.published
        if "request" not in theirs or "fluid" not in theirs or name not in self.columns:
            return math.nan
        ours = self.columns[name]
        spread = theirs.get("request_sd", self.request.sd)
        request_error = theirs.get("request_se", spread / math.sqrt(PUBLISHED_SEEDS))
        fluid_error = theirs.get("fluid_se", theirs.get("fluid_sd", 0.0) / math.sqrt(PUBLISHED_SEEDS))
        rounding = math.hypot(rounding_error(theirs["request"]), rounding_error(theirs["fluid"]))
        error = math.hypot(ours.error, self.request.error, request_error, fluid_error, rounding)
        worse = abs(difference(ours, self.request)) - abs(theirs["fluid"] - theirs["request"])
        return worse / error if error > 0.0 else math.copysign(math.inf, worse) if worse > 0.0 else 0.0


def rows() -> Iterator[Row]:
    """Yield all rows that the request model has figures for, in the order of the cases."""
    request = column("request")
    for case in NAMES:
        for measure, truth in request.get(case, {}).items():
            found = {name: column(name).get(case, {}).get(measure) for name in ("fluid", "noise", "auto")}
            present = {name: value for name, value in found.items() if value is not None}
            yield Row(case, measure, truth, present, published(case, measure))
