"""What was promised and what things cost: objectives, contract and prices."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from sim.scenario.quantities import (
    Below,
    Duration,
    MoneyPerHour,
    MoneyPerMonth,
    Name,
    PositiveDuration,
    Share,
    SuccessShare,
    TextField,
    text_schema,
)
from sim.scenario.spec import Spec
from sim.units import describe, format_share, parse_share


class AvailabilityObjective(Spec):
    """The service level objective."""

    target: Annotated[Share, Field(gt=0, lt=1)] = 0.999
    """E.g. 99.9%."""
    window: Literal["month"] = "month"
    """Calendar month, UTC."""
    measured: Literal["time", "requests"] = "time"
    """Share of time above the threshold, or good requests / offered."""
    threshold: SuccessShare = 0.95
    """A moment is good when at least this share of first attempts ends usable."""
    for_: Annotated[Duration, Field(alias="for")] = 60.0
    """An outage lasts at least this long."""


class RecoveryObjective(Spec):
    """Allowed time to restore service, by what broke."""

    pod: PositiveDuration | None = None
    node: PositiveDuration | None = None
    zone: PositiveDuration | None = None
    region: PositiveDuration | None = None
    dependency: PositiveDuration | None = None


class Sla(Spec):
    """The contract: credits by the availability of a month."""

    credits: dict[Below, Share]
    """E.g. {below 99.9%: 10%, below 99%: 25%}: share of the fee paid back; the largest that applies."""
    fee: MoneyPerMonth
    """What the customer pays."""


class Objectives(Spec):
    """What was promised."""

    availability: AvailabilityObjective = AvailabilityObjective()
    rto: RecoveryObjective | None = None
    sla: Sla | None = None
    cascade_below: Annotated[Share, Field(gt=0, lt=1)] = 0.5
    """A pool fails when it serves less than this share of what it is offered ..."""
    cascade_for: Duration = 60.0
    """... for this long."""


OF_UNAVAILABILITY = " of unavailability"
WITHIN = "within "


class Within(float):
    """A half-width in the measure's own unit; a plain number is one relative to the estimate."""


def _parse_half_width(value: object) -> float:
    text = value if isinstance(value, str) else ""
    if text.startswith(WITHIN):
        rest = text.removeprefix(WITHIN)
        width: float = Within(parse_share(rest) if rest.endswith("%") else _number(rest, value))
    else:
        width = parse_share(value)
    if not 0 < width < float("inf"):
        raise ValueError(f"got {describe(value)}, expected a width above 0, such as 10% or within 0.5")
    return width


def _number(text: str, value: object) -> float:
    try:
        return float(text)
    except ValueError:
        raise ValueError(
            f"got {describe(value)}, expected {WITHIN}and a number in the measure's own unit, such as within 0.5"
        ) from None


def _parse_precision(value: object) -> float:
    if isinstance(value, str) and value.startswith(WITHIN):
        return _parse_half_width(value)
    if not isinstance(value, str) or not value.endswith(OF_UNAVAILABILITY):
        raise ValueError(
            f"got {describe(value)}, expected a share of the time lost, such as 10% of unavailability, or within 0.01%"
        )
    return _parse_half_width(value.removesuffix(OF_UNAVAILABILITY))


def _write_half_width(width: float) -> str:
    return f"{WITHIN}{float(width)!r}" if isinstance(width, Within) else format_share(width)


def _write_precision(width: float) -> str:
    return _write_half_width(width) + ("" if isinstance(width, Within) else OF_UNAVAILABILITY)


Precise = Annotated[
    float,
    TextField(
        _parse_half_width,
        _write_half_width,
        text_schema(r"^(\d+(\.\d+)?%|within \d+(\.\d+)?(e-?\d+)?%?)$", ("10%", "within 0.5")),
    ),
]
PreciseAvailability = Annotated[
    float,
    TextField(
        _parse_precision,
        _write_precision,
        text_schema(
            r"^(\d+(\.\d+)?% of unavailability|within \d+(\.\d+)?(e-?\d+)?%?)$",
            ("10% of unavailability", "within 0.01%"),
        ),
    ),
]


class Precision(Spec):
    """Half-widths of intervals at which a run stops; all that are given must be met.

    `10%` is relative to the estimate, `within 0.5` is in the measure's own unit. Any measure of a run can be named.
    """

    availability: PreciseAvailability | None = None
    """By time. E.g. 10% of unavailability: an unavailability of 0.1 % is then known to 0.01 %. Or within 0.01%."""
    availability_requests: PreciseAvailability | None = None
    """By requests, likewise."""
    downtime_h_per_year: Precise | None = None
    downtime_h_p95: Precise | None = None
    """Downtime that one year in twenty exceeds."""
    downtime_h_cvar95: Precise | None = None
    """Mean downtime of the worst year in twenty."""
    outages_per_year: Precise | None = None
    faults_per_year: Precise | None = None
    oom_kills_per_year: Precise | None = None
    cascades_per_fault: Precise | None = None
    cascades_per_year: Precise | None = None
    """Cascades per trial year; the expected number, not the probability of one."""
    cascade_year_prob: Precise | None = None
    """Probability of at least one; within 1% means one point."""
    cross_region_cascade_year_prob: Precise | None = None
    lost_hours_per_year: Precise | None = None
    productivity_cost_per_year: Precise | None = None
    sla_credit_per_year: Precise | None = None
    total_cost_per_year: Precise | None = None
    total_cost_p95: Precise | None = None
    total_cost_cvar95: Precise | None = None
    slo_met_month_prob: Precise | None = None
    rto_met_prob: Precise | None = None

    @model_validator(mode="after")
    def _something(self) -> Self:
        if all(value is None for value in self.__dict__.values()):
            raise ValueError("expected at least one measure, such as {availability: 10% of unavailability}")
        return self


class Costs(Spec):
    """Prices of infrastructure."""

    node: MoneyPerHour = 0.0
    """One node."""
    pod: dict[Name, MoneyPerHour] = Field(default_factory=dict)
    """One pod of each named service, beside its node (an accelerator, say)."""
