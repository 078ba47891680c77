"""One kind of quantity: exact parsing, shortest printing, and messages that say what to write.

Knows no particular unit; those are in the package.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from math import isfinite
from typing import Final, TypeGuard

NUMBER: Final = r"[0-9]+(?:\.[0-9]+)?"
MAX_CHARS: Final = 400
"""The smallest positive float has 340 characters when it is written without an exponent."""


@dataclass(frozen=True)
class Quantity:
    """How one kind of quantity is written: its units, range and examples.

    Parameters
    ----------
    noun : str
        With its article, e.g. `a duration`.
    units : mapping of str to Fraction
        Size of each unit in the internal unit.
    low, high : str
        The allowed range, as a user writes it; both ends are allowed.
    examples : tuple of str
        For messages and editors.
    compound : bool
        True if parts may follow each other, `1h30m`, each unit once and from large to small.
    """

    noun: str
    units: Mapping[str, Fraction]
    low: str
    high: str
    examples: tuple[str, ...]
    compound: bool = False

    @property
    def part(self) -> str:
        """Regular expression of one number with its unit, without sign."""
        units = "|".join(sorted(map(re.escape, self.units), key=len, reverse=True))
        return rf"({NUMBER})({units})"

    @property
    def pattern(self) -> str:
        """Regular expression of the whole, for editors."""
        sign = "-?" if self.low.startswith("-") else ""
        return f"^{sign}({self.part})+$" if self.compound else f"^{sign}{self.part}$"

    @property
    def expected(self) -> str:
        """The end of every message: what may be written here."""
        return f"expected {self.noun} from {self.low} to {self.high}, such as {', '.join(self.examples)}"

    def exact(self, text: str) -> Fraction | None:
        """Value of `text` in the internal unit without a range check; None if it is not such a quantity."""
        sign, digits = (-1, text[1:]) if text[:1] == "-" else (1, text.removeprefix("+"))
        part = re.compile(self.part)
        total, position, last = Fraction(0), 0, -1
        order = list(self.units)
        while match := part.match(digits, position):
            rank = order.index(match[2])
            if rank <= last or (position and not self.compound):
                return None
            total += Fraction(match[1]) * self.units[match[2]]
            position, last = match.end(), rank
        return sign * total if position and position == len(digits) else None

    def parse(self, value: object) -> float:
        """Value in the internal unit.

        Raises
        ------
        ValueError
            If `value` has no unit, is no such quantity, or is out of range; the message says what to write.
        """
        if isinstance(value, bool) or not isinstance(value, int | float | str):
            raise ValueError(f"got {describe(value)}, {self.expected}")
        text = str(value).strip()
        if len(text) > MAX_CHARS:
            raise ValueError(f"got a text of {len(text)} characters, {self.expected}")
        if isinstance(value, float) and not isfinite(value):
            raise ValueError(f"got {text}, {self.expected}")
        if not isinstance(value, str) or re.fullmatch(rf"[+-]?{NUMBER}", text):
            raise ValueError(f"got {text}; {self.noun} needs a unit: write {self._with_unit(text)}")
        exact = self.exact(text)
        if exact is None:
            raise ValueError(f"got {describe(value)}, {self.expected}{self._did_you_mean(text)}")
        if not self._bound(self.low) <= exact <= self._bound(self.high):
            raise ValueError(f"got {describe(value)}, {self.expected}")
        return float(exact)

    def _bound(self, text: str) -> Fraction:
        bound = self.exact(text)
        assert bound is not None, "the range of a quantity is written in its own units"
        return bound

    def format(self, value: float) -> str:
        """Shortest text that `parse` reads back to the same float; ties go to the unit named first."""
        if value == 0:
            return "0" + self.low.lstrip("-0123456789")
        exact = Fraction(Decimal(repr(float(value))))
        texts = []
        for unit, size in self.units.items():
            for n_digits in (12, 15, 17):  # few digits first: 100/d, not 99.99999999999999/d
                digits = plain_number(round_significant(float(exact / size), n_digits))
                if float(Fraction(digits) * size) == value:
                    texts.append(digits + unit)
                    break
        if not texts:  # the shortest digits of a percentage may round to a neighbour: write all of them
            unit, size = next(iter(self.units.items()))
            texts = [exact_number(exact / size) + unit]
        return min(texts, key=lambda text: (len(text), "." in text))

    def _with_unit(self, text: str) -> str:
        if re.fullmatch(NUMBER, text) is None:
            return f"e.g. {', '.join(self.examples)} (from {self.low} to {self.high})"
        if set(self.units) <= {"%", "%/y"}:
            unit = next(iter(self.units))
            percent = plain_number(float(Fraction(text) * 100)) if Fraction(text) <= 1 else text
            return f"{percent}{unit}"
        first = [unit for unit in ("s", "ms", "Mi", "Gi", "/s", "/h", "Mi/h") if unit in self.units]
        return f"{', '.join(text + unit for unit in first)} or e.g. {', '.join(self.examples[-2:])}"

    def _did_you_mean(self, text: str) -> str:
        guess = text.replace(" ", "").replace(",", ".")
        for wrong, right in (("", ""), *_SLIPS):
            guess = re.sub(wrong, right, guess)
            if self.exact(guess) is not None:
                return f"; did you mean {guess}?"
        return ""


_SLIPS: Final[tuple[tuple[str, str | Callable[[re.Match[str]], str]], ...]] = (
    (r"(?i)(?<=\d)(?:sec(?:ond)?s?)", "s"),
    (r"(?i)(?<=\d)(?:msec|millis(?:econds)?)", "ms"),
    (r"(?i)(?<=\d)(?:min(?:ute)?s?)", "m"),
    (r"(?i)(?<=\d)(?:hours?|hrs?)", "h"),
    (r"(?i)(?<=\d)days?", "d"),
    (r"(?i)([0-9]{1,4})w(?:eeks?)?$", lambda match: f"{7 * int(match[1])}d"),
    (r"(?i)(?<=\d)(?:years?|yrs?)", "y"),
    (r"(?i)(?<=\d)([kmgt])i?b(?![a-z])", lambda match: match[1].upper() + ("i" if "i" in match[0].lower() else "")),
    (r"(?<=\d)([kmgt])(i?)(?=/|$)", lambda match: match[1].upper() + match[2]),
    (r"(?i)/(?:sec(?:ond)?|rps)$", "/s"),
    (r"(?i)/min(?:ute)?$", "/m"),
    (r"(?i)/hour$", "/h"),
    (r"(?i)/day$", "/d"),
    (r"(?i)/year$", "/y"),
    (r"(?i)percent", "%"),
)


def exact_number(value: Fraction) -> str:
    """Exact digits of a fraction whose denominator divides a power of ten."""
    places = 0
    while (value * 10**places).denominator != 1:
        places += 1
    digits = str((value * 10**places).numerator).rjust(places + 1, "0")
    return f"{digits[:-places]}.{digits[-places:]}" if places else digits


def plain_number(value: float) -> str:
    """Shortest digits of a finite float, without exponent and without a trailing `.0`."""
    text = format(Decimal(repr(float(value))), "f")
    return text.rstrip("0").rstrip(".") if "." in text else text


def describe(value: object) -> str:
    """How a message shows what was got, cut to 60 characters and free of control characters."""
    if value is None:
        return "nothing"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, Mapping):
        return "a block of keys" if value else "an empty block"
    if isinstance(value, list | tuple):
        return "a list"
    text = repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 60 else text[:56] + "...'"


def round_significant(value: float, digits: int) -> float:
    """Round to `digits` significant digits (1 or more)."""
    return float(f"{value:.{digits - 1}e}")


def is_short(value: object) -> TypeGuard[str]:
    """Whether it is a text of a sane length."""
    return isinstance(value, str) and len(value) <= MAX_CHARS
