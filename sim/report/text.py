"""Words and numbers: labels of the measures, estimates and verdicts as text.

Quantities are printed by `sim.units`; this module adds the interval, the sign of a difference and what to say when
nothing was seen.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final, Literal

from sim import units
from sim.estimate import Estimate
from sim.estimate.tails import TOO_FEW

Unit = Literal["share", "hours", "count", "money", "person_hours", "ratio"]


@dataclass(frozen=True)
class Measure:
    """How a measure of the contract is shown."""

    plain: str
    """What a manager calls it."""
    exact: str
    """What it is, with window and denominator; `{window}` is the horizon."""
    unit: Unit
    higher_is_better: bool = False
    absent: str = "none seen"
    """What to say when the event was never seen."""


MEASURES: Final[dict[str, Measure]] = {
    "availability_time": Measure(
        "Uptime",
        "time-based availability over {window}: share of time in which at least {threshold} of first "
        "attempts end usable",
        "share",
        True,
        "no downtime seen",
    ),
    "availability_requests": Measure(
        "Requests served",
        "request-based availability over {window}: requests that ended usable / offered",
        "share",
        True,
        "no lost request seen",
    ),
    "downtime_h_per_year": Measure("Downtime", "hours per year below the threshold", "hours"),
    "downtime_h_p95": Measure("Downtime of a bad year", "hours that one year in twenty exceeds", "hours"),
    "downtime_h_cvar95": Measure(
        "Downtime of the worst years", "mean hours of the worst year in twenty (CVaR 95 %)", "hours"
    ),
    "outages_per_year": Measure(
        "Outages", "outages of at least {least} per year, those open at the end included", "count"
    ),
    "faults_per_year": Measure("Faults", "occurrences of any fault per year", "count"),
    "oom_kills_per_year": Measure("OOM kills", "pods killed for lack of memory per year", "count"),
    "cascades_per_fault": Measure(
        "Cascades per fault", "expected cascades per fault of any kind, over {window}", "ratio"
    ),
    "cascades_per_year": Measure("Cascades", "expected cascades per year, whatever began them", "count"),
    "cascade_year_prob": Measure("A year with a cascade", "probability of at least one cascade in a year", "share"),
    "cross_region_cascade_year_prob": Measure(
        "A year with a cascade into another region",
        "probability of at least one cross-region cascade in a year",
        "share",
    ),
    "slo_met_month_prob": Measure(
        "Months that keep the objective",
        "share of calendar months (UTC) with availability at or above {target}",
        "share",
        True,
        "no month seen that met it",
    ),
    "rto_met_prob": Measure(
        "Recoveries in time",
        "share of outages that ended within the recovery time objective of their level",
        "share",
        True,
        "none in time",
    ),
    "lost_hours_per_year": Measure(
        "Work lost", "worker-hours lost per year, net of work caught up later", "person_hours"
    ),
    "productivity_cost_per_year": Measure("Cost of lost work", "worker-hours lost per year x cost of an hour", "money"),
    "sla_credit_per_year": Measure("SLA credits", "credits of the contract per year", "money"),
    "infrastructure_cost_per_year": Measure(
        "Infrastructure", "nodes, pods, standby and provider fees per year", "money"
    ),
    "total_cost_per_year": Measure("Total cost", "lost work + SLA credits + infrastructure per year", "money"),
    "repairs_per_year": Measure("Repairs", "repairs of elements per year", "count"),
    "delivered_share": Measure(
        "Delivered", "share of the full service delivered, degraded answers counted", "share", True
    ),
    "no_outage_in_horizon_share": Measure(
        "Trials without an outage", "share of trials in which the service never went down", "share", True
    ),
    "outage_mean_h": Measure("Length of an outage", "mean time from down to up", "hours"),
    "first_outage_mean_h": Measure(
        "Time to the first outage",
        "time run until it over first outages; trials without one count with their length",
        "hours",
    ),
    "total_cost_p95": Measure("Total cost of a bad year", "total cost that one year in twenty exceeds", "money"),
    "total_cost_cvar95": Measure(
        "Total cost of the worst years", "mean total cost of the worst year in twenty (CVaR 95 %)", "money"
    ),
}


def measure_of(name: str) -> Measure:
    """The measure with this name; a measure that joins later is shown by its own name, by its suffix."""
    if name in MEASURES:
        return MEASURES[name]
    unit: Unit = "share" if name.endswith(("_prob", "_share")) else "money" if "cost" in name else "count"
    return Measure(name.replace("_", " "), name, unit)


def number(value: float, unit: Unit, currency: str = "", digits: int = 3) -> str:
    """One value with its unit, rounded to `digits` significant digits; shares keep their nines."""
    if not math.isfinite(value):
        return "unknown" if math.isnan(value) else ("-" if value < 0 else "") + "unbounded"
    if value < 0:
        return "-" + number(-value, unit, currency, digits)
    if unit == "share":
        text = units.format_share(min(value, 1.0), digits=digits)
        return text.removesuffix("%") + " %"
    if unit == "money":
        return units.format_money(value, currency, digits=digits)
    text = f"{units.round_significant(value, digits):,.10f}".rstrip("0").rstrip(".")
    return text + {"hours": " h", "person_hours": " h"}.get(unit, "")


LEAST_DIGITS: Final = 3
"""Significant digits that a value keeps however wide its interval is, else 20 h beside 3,000 h would read 0 and two
designs could change places."""
LEAST_DIGITS_OF_SHARE: Final = 2
"""The same of shares, whose nines show more already."""
MOST_DIGITS: Final = 6
"""Significant digits that no interval, however narrow, can add to."""


def decimals_of(estimate: Estimate) -> int | None:
    """Decimals (negative: zeros) that the interval supports: two significant digits of half its width."""
    low, high = drawn(estimate)
    half = (high - low) / 2
    return None if half <= 0 else 1 - math.floor(math.log10(half))


def rounded(value: float, unit: Unit, currency: str, decimals: int | None) -> str:
    """One value rounded to so many decimals of the internal unit, but to no fewer than `LEAST_DIGITS` and no more than
    `MOST_DIGITS` significant digits; those of a share are digits of the smaller of it and 1 - share, so that nearly
    certain is not certain. Three significant digits without `decimals`.
    """
    size = min(value, 1.0 - value) if unit == "share" and 0.0 < value < 1.0 else abs(value)
    if decimals is None or not math.isfinite(value) or size == 0.0:
        return number(value, unit, currency)
    first = -math.floor(math.log10(size))
    least = LEAST_DIGITS_OF_SHARE if unit == "share" else LEAST_DIGITS
    decimals = min(max(decimals, first + least - 1), first + MOST_DIGITS - 1)
    return number(round(value, decimals), unit, currency, digits=15)


def with_interval(estimate: Estimate, unit: Unit, currency: str = "") -> str:
    """`mean [low, high]`, rounded to what the interval supports; a value that never differed is said to be so."""
    if estimate.low == estimate.high:
        return f"{number(estimate.mean, unit, currency)}, fixed"
    decimals = decimals_of(estimate)
    mean, low, high = (rounded(v, unit, currency, decimals) for v in (estimate.mean, estimate.low, estimate.high))
    suffix = mean.lstrip("-0123456789.,")
    interval = f"[{low.removesuffix(suffix)}, {high.removesuffix(suffix)}]"
    if estimate.seen:
        return f"{mean} {interval}"
    value, n = number(estimate.mean, unit, currency), f"{estimate.n:,} trials"
    text = f"{value} in {n}, too few to tell" if _is_short(estimate) else f"{value} in each of {n}"
    return text if math.isinf(estimate.low) or math.isinf(estimate.high) else f"{text} {interval}"


def _is_short(estimate: Estimate) -> bool:
    """Whether a bound stands for trials that differ, but are too few: of the worst in a hundred, say."""
    return estimate.note.startswith(TOO_FEW)


def estimate_text(name: str, estimate: Estimate, currency: str = "") -> str:
    """`mean [low, high]`, or the bound when nothing was seen: `none seen in 200 trials: < 1.5 % at 95 %`."""
    measure = measure_of(name)
    at_best = measure.higher_is_better and estimate.mean == 1.0
    if estimate.seen or not (estimate.mean == 0.0 or at_best):
        return with_interval(estimate, measure.unit, currency)
    value, sign = (estimate.low, ">") if at_best else (estimate.high, "<")
    text = f"{measure.absent if at_best or not measure.higher_is_better else 'none'} in {estimate.n:,} trials"
    if not math.isfinite(value):
        return text
    level = number(estimate.confidence, "share")
    return f"{text}: {sign} {number(value, measure.unit, currency)} at {level}"


def difference_text(name: str, estimate: Estimate, currency: str = "") -> str:
    """A paired difference with its sign; shares are given in percentage points."""
    measure = measure_of(name)

    def signed(value: float) -> str:
        if measure.unit == "share":
            points = number(abs(value) * 100, "count")
            return ("-" if value < 0 else "+") + points
        return ("" if value < 0 else "+") + number(value, measure.unit, currency).removesuffix(f" {currency}")

    unit = " points" if measure.unit == "share" else f" {currency}" if measure.unit == "money" else ""
    if not estimate.seen:
        if estimate.mean == 0.0:
            return f"no difference in {estimate.n:,} trials"
        return f"{signed(estimate.mean)}{unit} in each of {estimate.n:,} trials"
    return f"{signed(estimate.mean)} [{signed(estimate.low)}, {signed(estimate.high)}]{unit}"


def verdict(estimate: Estimate, target: float) -> str:
    """`meets`, `misses` or `undecided`: the objective against the nearer bound of the interval."""
    if estimate.low >= target:
        return "meets"
    return "misses" if estimate.high < target else "undecided"


def duration(seconds: float) -> str:
    """A duration in words that a table can hold; `-` where there is none."""
    if not math.isfinite(seconds):
        return "-"
    return units.format_duration(max(0.0, seconds), digits=3)


def from_to(counts: Iterable[int]) -> str:
    """Fewest and most of some numbers, as people write it; empty without any."""
    ordered = sorted({int(n) for n in counts})
    return " to ".join(f"{n:,}" for n in dict.fromkeys((*ordered[:1], *ordered[-1:])))


def window_text(horizon_s: float) -> str:
    """The horizon in words, e.g. `1 year`."""
    if abs(horizon_s - units.YEAR_S) < 2 * 86400:
        return "1 year"
    return units.format_duration(horizon_s)


def moment(text: str) -> str:
    """An ISO 8601 moment as people write it: `2026-01-01` at midnight, else with the time, UTC."""
    return text.replace("T00:00:00Z", "").replace("T", " ").replace("Z", " UTC")


def explain(name: str, scenario: Any) -> str:
    """The exact meaning of a measure in this scenario."""
    objective = scenario.objectives.availability
    return measure_of(name).exact.format(
        window=window_text(scenario.horizon),
        threshold=units.format_share(objective.threshold),
        target=units.format_share(objective.target),
        least=units.format_duration(objective.for_),
    )


def nines_ticks() -> dict[float, str]:
    """Places and labels of the ticks of a nines axis."""
    shares = (0.5, 0.9, 0.95, 0.99, 0.995, 0.998, 0.999, 0.9995, 0.9998, 0.9999, 0.99995, 0.99999, 0.999999, 0.9999999)
    return {nines(share): number(share, "share", digits=1) for share in shares}


def drawn(estimate: Estimate) -> tuple[float, float]:
    """Ends of the interval as they can be drawn: an end that the data do not bound falls on the estimate."""
    low = estimate.low if math.isfinite(estimate.low) else estimate.mean
    high = estimate.high if math.isfinite(estimate.high) else estimate.mean
    return low, high


def nines(availability: float) -> float:
    """-log10(1 - availability): 3 for 99.9 %; infinite for 1."""
    return math.inf if availability >= 1 else -math.log10(1 - max(0.0, availability))
