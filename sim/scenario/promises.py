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


def _parse_precision(value: object) -> float:
    if not isinstance(value, str) or not value.endswith(OF_UNAVAILABILITY):
        raise ValueError(f"got {describe(value)}, expected a share of the time lost, such as 10% of unavailability")
    return parse_share(value.removesuffix(OF_UNAVAILABILITY))


Precise = Annotated[Share, Field(gt=0, le=1)]
PreciseAvailability = Annotated[
    float,
    TextField(
        _parse_precision,
        lambda share: format_share(share) + OF_UNAVAILABILITY,
        text_schema(r"^\d+(\.\d+)?% of unavailability$", ("10% of unavailability",)),
    ),
    Field(gt=0, le=1),
]


class Precision(Spec):
    """Half-widths of intervals, relative to the estimate, at which a run stops; all that are given must be met."""

    availability: PreciseAvailability | None = None
    """E.g. 10% of unavailability: an unavailability of 0.1 % is then known to 0.01 %."""
    outages_per_year: Precise | None = None
    cascades_per_year: Precise | None = None
    """Cascades per trial year; the expected number, not the probability of one."""
    lost_hours_per_year: Precise | None = None
    productivity_cost_per_year: Precise | None = None
    total_cost_per_year: Precise | None = None

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
