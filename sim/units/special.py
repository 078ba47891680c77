"""Quantities with words in them: prices, `140s per pod`, `95% success`, `below 99.9%`, `+4`, and moments."""

import re
from collections.abc import Mapping
from datetime import UTC, datetime
from fractions import Fraction
from typing import Final, Literal, Self

from sim.units.plain import format_duration, format_share, parse_duration, parse_share
from sim.units.quantity import NUMBER, describe, is_short, plain_number, round_significant

MoneyPer = Literal["h", "month", "request"]
CURRENCY_PATTERN: Final = "[A-Z]{3}"


class Money(float):
    """An amount that remembers its currency; in arithmetic it is a plain float.

    Parameters
    ----------
    amount : float
        At least 0.
    currency : str
        Three letters.
    """

    currency: str

    def __new__(cls, amount: float, currency: str) -> Self:
        """Create it; a float is made in `__new__` because it cannot change afterwards."""
        money = super().__new__(cls, amount)
        money.currency = currency
        return money

    def __getnewargs__(self) -> tuple[float, str]:  # type: ignore[override]
        return float(self), self.currency


_MONEY_EXAMPLE: Final[Mapping[MoneyPer, str]] = {
    "h": "65 EUR/h",
    "month": "40000 EUR/month",
    "request": "0.02 EUR/request",
}
_MONEY_MAX: Final = 10**12


def parse_money(value: object, per: MoneyPer) -> Money:
    """Amount and currency of `65 EUR/h`, `40000 EUR/month` or `0.02 EUR/request`; 0 to 1e12.

    Raises
    ------
    ValueError
        If it is no such price.
    """
    expected = f"expected a price from 0 to {_MONEY_MAX}, such as {_MONEY_EXAMPLE[per]}"
    if isinstance(value, int | float) and not isinstance(value, bool):
        raise ValueError(f"got {value}; a price needs a currency and a unit: write {value} EUR/{per}")
    match = re.fullmatch(rf"(-?{NUMBER}) ({CURRENCY_PATTERN})/{per}", value.strip()) if is_short(value) else None
    if match is None or not 0 <= Fraction(match[1]) <= _MONEY_MAX:
        raise ValueError(f"got {describe(value)}, {expected}")
    return Money(float(Fraction(match[1])), match[2])


def format_money(amount: float, currency: str, per: MoneyPer | None = None, *, digits: int | None = None) -> str:
    """Text such as `65 EUR/h`, or `65 EUR` without `per`; exact, or rounded to `digits` and grouped by commas.

    Examples
    --------
    >>> format_money(1234567.0, "EUR", digits=3)
    '1,230,000 EUR'
    """
    text = plain_number(amount)
    if digits is not None:
        whole, _, fraction = plain_number(round_significant(amount, digits)).partition(".")
        text = f"{int(whole):,}" + (f".{fraction}" if fraction else "")
    return f"{text} {currency}" + (f"/{per}" if per else "")


def parse_per_pod(value: object) -> float:
    """Seconds of `140s per pod`. Raises ValueError."""
    text = value.strip() if is_short(value) else ""
    if not text.endswith(" per pod"):
        raise ValueError(f"got {describe(value)}, expected a duration per pod, such as 140s per pod")
    return parse_duration(text.removesuffix(" per pod"))


def format_per_pod(seconds: float) -> str:
    """Text such as `2m20s per pod`."""
    return f"{format_duration(seconds)} per pod"


def parse_success(value: object) -> float:
    """Share of `95% success`. Raises ValueError."""
    text = value.strip() if is_short(value) else ""
    if not text.endswith("% success"):
        raise ValueError(f"got {describe(value)}, expected a share of successful requests, such as 95% success")
    return parse_share(text.removesuffix(" success"))


def format_success(share: float) -> str:
    """Text such as `95% success`."""
    return f"{format_share(share)} success"


def parse_below(value: object) -> float:
    """Share of `below 99.9%`. Raises ValueError."""
    text = value.strip() if is_short(value) else ""
    if not text.startswith("below "):
        raise ValueError(f"got {describe(value)}, expected a bound such as below 99.9%")
    return parse_share(text.removeprefix("below "))


def format_below(share: float) -> str:
    """Text such as `below 99.9%`."""
    return f"below {format_share(share)}"


def parse_count_change(value: object) -> int:
    """Whole number of `+4` (YAML reads it as 4); 1 to 10000. Raises ValueError."""
    text = str(value) if isinstance(value, int) and not isinstance(value, bool) else value
    match = re.fullmatch(r"\+?([0-9]{1,5})", text.strip()) if is_short(text) else None
    if match is None or not 1 <= int(match[1]) <= 10_000:
        raise ValueError(f"got {describe(value)}, expected how many to add, from +1 to +10000")
    return int(match[1])


def format_count_change(count: int) -> str:
    """Text such as `+4`."""
    return f"+{count}"


def parse_moment(value: object) -> datetime:
    """Aware UTC time of `2026-01-01` or `2026-01-27T09:00:00+01:00`; UTC if no offset; 1970 to 2199.

    Raises
    ------
    ValueError
        If it is no ISO 8601 date or time.
    """
    expected = "expected a date or time of 1970 to 2199, such as 2026-01-27 or 2026-01-27T09:00:00Z"
    try:
        if not is_short(value) or re.match(r"[0-9]{4}-[0-9]{2}-[0-9]{2}", value.strip()) is None:
            raise ValueError
        moment = datetime.fromisoformat(value.strip())
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise ValueError(f"got {describe(value)}, {expected}") from None
    if not 1970 <= moment.year < 2200:
        raise ValueError(f"got {describe(value)}, {expected}")
    return moment


def format_moment(moment: datetime) -> str:
    """ISO 8601 text in UTC, such as `2026-01-27T09:00:00Z`."""
    moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment
    return moment.astimezone(UTC).isoformat().replace("+00:00", "Z")
