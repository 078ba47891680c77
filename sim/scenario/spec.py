"""The base of every block of the scenario file, and the laws of time.

Every docstring of a block or field is shown by editors as hover text.
"""

from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, model_validator

from sim.scenario.quantities import (
    PLAIN_DURATION,
    AlsoPlain,
    Duration,
    PositiveDuration,
    exponential_from_plain,
    fixed_from_plain,
)
from sim.units import describe


class Spec(BaseModel):
    """Base of every block: unknown keys are errors, values cannot change after loading."""

    # Strict: text is not silently taken for a number, nor true for 1.
    model_config = ConfigDict(
        extra="forbid", frozen=True, strict=True, allow_inf_nan=False, use_attribute_docstrings=True
    )

    @model_validator(mode="before")
    @classmethod
    def _lists_to_tuples(cls, data: Any) -> Any:
        """A strict tuple field refuses the lists that YAML and JSON have."""
        if not isinstance(data, dict):
            return data
        return {key: _as_tuples(value) for key, value in data.items()}


def _as_tuples(value: Any) -> Any:
    if isinstance(value, list):
        return tuple(value)
    if isinstance(value, dict) and any(isinstance(item, list) for item in value.values()):
        return {key: _as_tuples(item) for key, item in value.items()}
    return value


class _Estimated(Spec):
    """A law whose mean or median may be an estimate."""

    @model_validator(mode="after")
    def _inside_its_interval(self) -> Self:
        interval = getattr(self, "interval", None)
        values = [getattr(self, name, None) for name in ("median", "mean")]
        value = next((value for value in values if value is not None), None)
        if interval is not None and value is not None and not interval[0] < value < interval[1]:
            raise ValueError("interval must be [low, high] with the law's mean (or median) between, e.g. [20d, 45d]")
        return self


Interval = tuple[PositiveDuration, PositiveDuration]


class ExponentialLaw(_Estimated):
    """Exponential law: constant hazard 1 / mean."""

    mean: PositiveDuration
    """Mean of the law."""
    interval: Interval | None = None
    """95 % interval of the mean where it is an estimate, such as [20d, 45d]: pairs of trials draw it, and results show
    what comes from that."""
    failures: Annotated[int, Field(ge=1, le=1_000_000)] | None = None
    """So many failures the mean was estimated from (time watched / failures); instead of an interval."""

    @model_validator(mode="after")
    def _one_source(self) -> Self:
        if self.failures is not None and self.interval is not None:
            raise ValueError("give failures or an interval of the mean, not both: either says how well it is known")
        return self


class LognormalLaw(_Estimated):
    """Lognormal law by its median and one more statistic."""

    median: PositiveDuration | None = None
    """Median (half of all durations are shorter)."""
    mean: PositiveDuration | None = None
    """Mean; instead of the median."""
    p95: PositiveDuration | None = None
    """95th percentile; instead of sigma."""
    sigma: Annotated[float, Field(gt=0, le=10)] | None = None
    """Standard deviation of the logarithm; instead of p95."""
    interval: Interval | None = None
    """95 % interval of the median (or mean) where it is an estimate, such as [20d, 45d]: pairs of trials draw it, and
    results show what comes from that."""

    @model_validator(mode="after")
    def _one_place_one_spread(self) -> Self:
        if (self.median is None) == (self.mean is None):
            raise ValueError("a lognormal law needs either a median or a mean, e.g. {median: 45m, p95: 6h}")
        if (self.p95 is None) == (self.sigma is None):
            raise ValueError("a lognormal law needs either p95 or sigma, e.g. {median: 45m, p95: 6h}")
        if self.median is not None and self.p95 is not None and self.p95 <= self.median:
            raise ValueError("the p95 of a lognormal law must be longer than its median")
        if self.mean is not None and self.p95 is not None:
            raise ValueError("give a lognormal law as {median, p95}, {median, sigma} or {mean, sigma}")
        return self


class WeibullLaw(_Estimated):
    """Weibull law by its mean and shape (shape < 1: decreasing hazard)."""

    mean: PositiveDuration
    """Mean of the law."""
    shape: Annotated[float, Field(ge=0.1, le=20)]
    """Shape; 1 is the exponential law."""
    interval: Interval | None = None
    """95 % interval of the mean where it is an estimate, such as [20d, 45d]: pairs of trials draw it, and results show
    what comes from that."""


class GammaLaw(_Estimated):
    """Gamma law by its mean and shape (shape 2 is the 2-stage Erlang law)."""

    mean: PositiveDuration
    """Mean of the law."""
    shape: Annotated[float, Field(ge=0.05, le=1000)]
    """Shape; 1 is the exponential law."""
    interval: Interval | None = None
    """95 % interval of the mean where it is an estimate, such as [20d, 45d]: pairs of trials draw it, and results show
    what comes from that."""


class EmpiricalLaw(Spec):
    """Durations drawn from a column of a CSV file beside the scenario."""

    file: str
    """Path of the CSV file, relative to the scenario file and inside its folder."""
    column: str | None = None
    """Name of the column. Default: the only one."""
    unit: Literal["s", "m", "h", "d"] | None = None
    """Unit of the numbers in that column. Default: by the column's name, which ends in _s, _min, _h or _d."""
    fitted: Literal["exponential", "lognormal", "weibull"] | None = None
    """Draw from the law of this kind that fits them best, instead of the durations themselves. Pairs of trials draw its
    parameters from those that so many durations allow, and results show what comes from that."""
    values_s: tuple[Annotated[float, Field(gt=0)], ...] | None = None
    """Filled when the file is loaded: the sorted durations in seconds."""


def _file_from_plain(value: object) -> object:
    return {"file": value} if isinstance(value, str) else value


class LawSpec(Spec):
    """A law of time, named with its statistic; exactly one of the keys."""

    exponential: ExponentialLaw | None = None
    lognormal: LognormalLaw | None = None
    weibull: WeibullLaw | None = None
    gamma: GammaLaw | None = None
    fixed: Duration | None = None
    """A constant."""
    empirical: Annotated[EmpiricalLaw, BeforeValidator(_file_from_plain), AlsoPlain({"type": "string"})] | None = None
    """Drawn from measured durations: `file.csv`, or {file: ..., column: ..., unit: ...}."""

    @model_validator(mode="before")
    @classmethod
    def _named(cls, data: Any) -> Any:
        """A law whose kind nobody named would be a guess."""
        if isinstance(data, str | int | float):
            raise ValueError(
                f"got {describe(data)}, expected a named law: {{fixed: {data}}}, {{exponential: {{mean: {data}}}}}, "
                f"{{lognormal: {{median: {data}, p95: ...}}}} ..."
            )
        return data

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if len([v for v in self.__dict__.values() if v is not None]) != 1:
            raise ValueError(
                "a law has exactly one of: exponential, lognormal, weibull, gamma, fixed, empirical; "
                "e.g. {lognormal: {median: 45m, p95: 6h}}"
            )
        return self


TimeToFailure = Annotated[LawSpec, BeforeValidator(exponential_from_plain), PLAIN_DURATION]
"""A law; a plain duration means an exponential law with that mean."""
StepTime = Annotated[LawSpec, BeforeValidator(fixed_from_plain), PLAIN_DURATION]
"""A law; a plain duration means exactly that long (used where a step `takes` a stated time)."""
