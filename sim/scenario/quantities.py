"""Types of the scenario's fields: how a quantity is read, checked, written again, and shown to editors.

Text with a unit becomes the internal unit. A bare number is refused when it comes from a file (context
`FROM_FILE`); Python code that builds a model speaks internal units. A quantity is written so that reading
it again gives the same value to the last bit. Parsing itself lives in `sim.units`.
"""

from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Annotated, Any, Final

from pydantic import BaseModel, GetCoreSchemaHandler, GetJsonSchemaHandler, StringConstraints
from pydantic_core import core_schema
from pydantic_core.core_schema import SerializationInfo, ValidationInfo

from sim import units
from sim.units import Money, MoneyPer, Quantity

FROM_FILE: Final[dict[str, Any]] = {"from_file": True}
"""Validation context of everything that a user wrote in YAML."""

LAW_KINDS: Final = ("exponential", "lognormal", "weibull", "gamma", "fixed", "empirical")
SHORTEST_S: Final = 1e-6
"""A positive duration is at least a microsecond: shorter ones are slips, and stall an integrator."""


def is_from_file(info: ValidationInfo) -> bool:
    """Whether the value validated comes from a file and not from Python code."""
    return bool(info.context and info.context.get("from_file"))


def text_schema(pattern: str, examples: tuple[str, ...]) -> dict[str, Any]:
    """JSON Schema of a text with a pattern, for completion in editors."""
    return {"type": "string", "pattern": pattern, "examples": list(examples)}


class TextField:
    """Pydantic annotation of a value that is written as text.

    Parameters
    ----------
    parse : callable
        Reads what a file holds; raises ValueError with a message for the user.
    write : callable
        Prints the value so that `parse` reads it back exactly.
    schema : dict
        JSON Schema of the text.
    """

    def __init__(self, parse: Callable[[object], Any], write: Callable[[Any], str], schema: Mapping[str, Any]) -> None:
        self.parse, self.write, self.schema = parse, write, dict(schema)

    def read(self, value: object, info: ValidationInfo) -> Any:
        """Internal value; Python code may pass one instead of a text."""
        if not is_from_file(info) and isinstance(value, int | float | datetime) and not isinstance(value, bool):
            return self.parse(self.internal(value))
        return self.parse(value)

    def internal(self, value: Any) -> object:
        """Text of an internal value, so that it meets the same checks."""
        return self.write(value) if isinstance(value, datetime) or abs(value) < float("inf") else value

    def dump(self, value: Any, info: SerializationInfo) -> str:
        """Text of the value in a document."""
        return self.write(value)

    def __get_pydantic_core_schema__(self, source: Any, handler: GetCoreSchemaHandler) -> core_schema.CoreSchema:
        return core_schema.with_info_plain_validator_function(
            self.read,
            serialization=core_schema.plain_serializer_function_ser_schema(self.dump, info_arg=True, when_used="json"),
        )

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        return dict(self.schema)


class MoneyField(TextField):
    """A price; keeps its currency, and takes the document's when Python code gave a plain number."""

    def __init__(self, per: MoneyPer, example: str) -> None:
        self.per: MoneyPer = per
        pattern = rf"^\d+(\.\d+)? {units.CURRENCY_PATTERN}/{per}$"
        super().__init__(lambda value: units.parse_money(value, per), str, text_schema(pattern, (example,)))

    def internal(self, value: Any) -> object:
        """A plain number has no currency yet."""
        currency = value.currency if isinstance(value, Money) else "EUR"
        return units.format_money(value, currency, self.per) if abs(value) < float("inf") else str(value)

    def read(self, value: object, info: ValidationInfo) -> float:
        """Price with its currency, or a plain float if Python code gave a plain number."""
        money: Money = super().read(value, info)
        return money if isinstance(value, str | Money) else float(money)

    def dump(self, value: Any, info: SerializationInfo) -> str:
        """The price in its own currency."""
        default = info.context.get("currency", "EUR") if isinstance(info.context, Mapping) else "EUR"
        return units.format_money(value, value.currency if isinstance(value, Money) else default, self.per)


def _field(quantity: Quantity, write: Callable[[float], str], low: float | None = None) -> TextField:
    """Field of one kind of quantity, with a lower bound of its own."""

    def parse(value: object) -> float:
        number = quantity.parse(value)
        if low is not None and number < low:
            raise ValueError(f"got {units.describe(value)}, expected {quantity.noun} of {write(low)} or more")
        return number

    return TextField(parse, write, text_schema(quantity.pattern, quantity.examples))


Duration = Annotated[float, _field(units.DURATION, units.format_duration)]
"""Seconds; zero is allowed."""
PositiveDuration = Annotated[float, _field(units.DURATION, units.format_duration, SHORTEST_S)]
"""Seconds, above zero."""
Memory = Annotated[float, _field(units.MEMORY, units.format_memory)]
"""MiB; zero is allowed."""
PositiveMemory = Annotated[float, _field(units.MEMORY, units.format_memory, 1.0)]
"""MiB, at least one."""
MemoryRate = Annotated[float, _field(units.MEMORY_RATE, units.format_memory_rate)]
"""MiB per second."""
Share = Annotated[float, _field(units.SHARE, units.format_share)]
"""In [0, 1]."""
Rate = Annotated[float, _field(units.RATE, units.format_rate)]
"""Per second."""
Growth = Annotated[float, _field(units.GROWTH, units.format_growth)]
"""Per year; 0.4 is 40 % more after a year."""
MoneyPerHour = Annotated[float, MoneyField("h", "65 EUR/h")]
"""Currency per hour."""
MoneyPerMonth = Annotated[float, MoneyField("month", "40000 EUR/month")]
"""Currency per calendar month."""
MoneyPerRequest = Annotated[float, MoneyField("request", "0.02 EUR/request")]
"""Currency per request."""
PerPod = Annotated[
    float,
    TextField(
        units.parse_per_pod,
        units.format_per_pod,
        text_schema(units.DURATION.pattern[:-1] + " per pod$", ("140s per pod",)),
    ),
]
"""Seconds for each pod."""
SuccessShare = Annotated[
    float,
    TextField(units.parse_success, units.format_success, text_schema(r"^\d+(\.\d+)?% success$", ("95% success",))),
]
"""Share of requests that end usable."""
Below = Annotated[
    float, TextField(units.parse_below, units.format_below, text_schema(r"^below \d+(\.\d+)?%$", ("below 99.9%",)))
]
"""Upper bound of a share, excluded."""
CountChange = Annotated[
    int,
    TextField(
        units.parse_count_change,
        units.format_count_change,
        {"anyOf": [{"type": "integer", "minimum": 1}, text_schema(r"^\+\d+$", ("+4",))]},
    ),
]
"""Number added."""
MOMENT_SCHEMA: Final = text_schema(
    r"^\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d+)?)?(Z|[+-]\d\d:\d\d)?)?$", ("2026-01-27T09:00:00Z",)
)
Moment = Annotated[
    datetime,
    TextField(
        units.parse_moment,
        units.format_moment,
        MOMENT_SCHEMA,
    ),
]
"""Aware time in UTC."""
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z][A-Za-z0-9_-]{0,62}$")]
"""Letter first, then letters, digits, `-` and `_`; at most 63."""
Currency = Annotated[str, StringConstraints(pattern=f"^{units.CURRENCY_PATTERN}$")]
"""Three capital letters (ISO 4217)."""


class AlsoPlain:
    """Annotation for editors: besides a block, a short plain form is allowed.

    Parameters
    ----------
    schemas : dict or model
        JSON Schemas of the other forms, or models of them.
    """

    def __init__(self, *schemas: dict[str, Any] | type[BaseModel]) -> None:
        self.schemas = schemas

    def __get_pydantic_json_schema__(
        self, schema: core_schema.CoreSchema, handler: GetJsonSchemaHandler
    ) -> dict[str, Any]:
        others = [
            other if isinstance(other, dict) else handler(other.__pydantic_core_schema__) for other in self.schemas
        ]
        return {"anyOf": [*others, handler(schema)]}


DURATION_SCHEMA: Final = text_schema(units.DURATION.pattern, units.DURATION.examples)
PLAIN_DURATION: Final = AlsoPlain(DURATION_SCHEMA)


def exponential_from_plain(value: object) -> object:
    """A plain duration as the mean of an exponential law; anything else unchanged."""
    return {"exponential": {"mean": value}} if isinstance(value, str | int | float) else value


def fixed_from_plain(value: object) -> object:
    """A plain duration as a constant; anything else unchanged."""
    return {"fixed": value} if isinstance(value, str | int | float) else value
