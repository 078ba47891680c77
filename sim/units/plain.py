"""Quantities that are a number and a unit: durations, memory, shares, rates, growth."""

from collections.abc import Mapping
from decimal import Decimal
from fractions import Fraction
from typing import Final

from sim.units.quantity import Quantity, exact_number, plain_number, round_significant

YEAR_S: Final = 365 * 86_400.0
"""Seconds in the year that `1y` stands for."""

_SECONDS: Final[Mapping[str, Fraction]] = {
    "y": Fraction(31_536_000),
    "d": Fraction(86_400),
    "h": Fraction(3600),
    "m": Fraction(60),
    "s": Fraction(1),
    "ms": Fraction(1, 1000),
}
_MIB: Final[Mapping[str, Fraction]] = {
    "Ti": Fraction(1024**2),
    "Gi": Fraction(1024),
    "Mi": Fraction(1),
    "Ki": Fraction(1, 1024),
    "T": Fraction(10**12, 1024**2),
    "G": Fraction(10**9, 1024**2),
    "M": Fraction(10**6, 1024**2),
    "K": Fraction(10**3, 1024**2),
}
_PER_S: Final[Mapping[str, Fraction]] = {f"/{unit}": 1 / _SECONDS[unit] for unit in ("s", "m", "h", "d")}
_MIB_PER_S: Final[Mapping[str, Fraction]] = {
    f"{memory}/{unit}": _MIB[memory] / _SECONDS[unit] for unit in ("h", "s", "m", "d") for memory in _MIB
}
_PERCENT: Final[Mapping[str, Fraction]] = {"%": Fraction(1, 100)}
_PERCENT_PER_Y: Final[Mapping[str, Fraction]] = {"%/y": Fraction(1, 100)}

DURATION: Final = Quantity(
    "a duration", _SECONDS, "0s", "1000y", ("300ms", "30s", "5m", "1h30m", "7d", "1y"), compound=True
)
MEMORY: Final = Quantity("an amount of memory", _MIB, "0Mi", "1024Ti", ("512Mi", "2Gi", "64Gi", "4Ti"))
SHARE: Final = Quantity("a share", _PERCENT, "0%", "100%", ("5%", "99.95%"))
RATE: Final = Quantity("a rate", _PER_S, "0/s", "1000000000/s", ("120/s", "20/h", "100/d"))
MEMORY_RATE: Final = Quantity("a growth of memory", _MIB_PER_S, "0Mi/s", "1024Gi/s", ("10Mi/h", "1Gi/d"))
GROWTH: Final = Quantity("a yearly growth", _PERCENT_PER_Y, "-90%/y", "1000%/y", ("40%/y", "-5%/y"))


def parse_duration(value: object) -> float:
    """Seconds of `300ms 30s 5m 1h30m 7d 1y`; 0 to 1000 years. Raises ValueError."""
    return DURATION.parse(value)


def format_duration(seconds: float, *, digits: int | None = None) -> str:
    """Text such as `1h30m` or `40ms`.

    Parameters
    ----------
    seconds : float
        At least 0.
    digits : int, optional
        Round to so many significant digits (of seconds) first. Default: exact.

    Examples
    --------
    >>> format_duration(5400.0)
    '1h30m'
    >>> format_duration(12345.678, digits=3)
    '3h25m'
    """
    if digits is not None:
        seconds = round_significant(seconds, digits)
        if seconds >= 3600:
            seconds = round(seconds / 60) * 60.0
        elif seconds >= 60:
            seconds = float(round(seconds))
    if seconds < 0:
        return "-" + format_duration(-seconds)
    rest = Fraction(Decimal(repr(float(seconds))))
    if 0 < rest < 1:
        return f"{exact_number(rest * 1000)}ms"
    parts = []
    for unit in ("y", "d", "h", "m"):
        whole, rest = divmod(rest, _SECONDS[unit])
        if whole:
            parts.append(f"{whole}{unit}")
    if rest or not parts:
        parts.append(f"{exact_number(rest)}s")
    return "".join(parts)


def parse_memory(value: object) -> float:
    """MiB of `512Mi 2Gi 4Ti` (binary) or `500M 2G` (decimal); 0 to 1 PiB. Raises ValueError."""
    return MEMORY.parse(value)


def format_memory(mib: float, *, digits: int | None = None) -> str:
    """Text such as `2Gi`; binary units when rounding (`digits` significant digits).

    Examples
    --------
    >>> format_memory(1536.0)
    '1.5Gi'
    """
    if digits is None:
        return MEMORY.format(mib)
    for unit in ("Ti", "Gi", "Mi"):
        if mib >= _MIB[unit]:
            return plain_number(round_significant(float(mib / float(_MIB[unit])), digits)) + unit
    return plain_number(round_significant(mib, digits)) + "Mi"


def parse_share(value: object) -> float:
    """Share in [0, 1] of `99.95%`. Raises ValueError."""
    return SHARE.parse(value)


def format_share(share: float, *, digits: int | None = None) -> str:
    """Text such as `99.95%`.

    Parameters
    ----------
    share : float
        In [0, 1].
    digits : int, optional
        Significant digits of the smaller of share and 1 - share, so that nines are kept. Default: exact.

    Examples
    --------
    >>> format_share(0.999512, digits=2)
    '99.951%'
    """
    if digits is not None:
        rest = 1 - Decimal(repr(float(share)))
        if rest > Decimal("0.5"):
            share = round_significant(share, digits)
        else:
            share = float(1 - Decimal(repr(round_significant(float(rest), digits))))
    return SHARE.format(share)


def parse_rate(value: object) -> float:
    """Per second of `120/s 5/m 20/h 100/d`; up to 1e9 per second. Raises ValueError."""
    return RATE.parse(value)


def format_rate(per_s: float) -> str:
    """Text such as `20/h`."""
    return RATE.format(per_s)


def parse_memory_rate(value: object) -> float:
    """MiB per second of `10Mi/h`. Raises ValueError."""
    return MEMORY_RATE.parse(value)


def format_memory_rate(mib_per_s: float) -> str:
    """Text such as `10Mi/h`."""
    return MEMORY_RATE.format(mib_per_s)


def parse_growth(value: object) -> float:
    """Growth per year, 0.4 for `40%/y`; -90 % to 1000 %. Raises ValueError."""
    return GROWTH.parse(value)


def format_growth(per_year: float) -> str:
    """Text such as `40%/y`."""
    return ("-" if per_year < 0 else "") + GROWTH.format(abs(per_year))
