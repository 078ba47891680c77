"""What an estimate is, and what no estimate is made from. Knows nothing of what the numbers measure."""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from sim.errors import UsageError

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Estimate:
    """A number and how sure it is.

    Parameters
    ----------
    mean : float
        The estimated value (for a quantile: the quantile).
    low, high : float
        Two-sided interval; low <= mean <= high. An end that the data cannot bound is infinite.
    confidence : float
        Probability, at least, with which such an interval holds the true value.
    n : int
        Independent trials behind it.
    seen : bool
        False when the event was never seen (or nothing ever differed): `low` or `high` is then a bound and not a
        measure of spread.
    note : str
        What a reader must know, e.g. `few events`; empty if nothing.
    worth : float
        So many times as many plain trials would be as sure, where something is known of each beforehand; else 1.
    """

    mean: float
    low: float
    high: float
    confidence: float
    n: int
    seen: bool = True
    note: str = ""
    worth: float = 1.0

    def __post_init__(self) -> None:
        if not self.low <= self.mean <= self.high:
            raise AssertionError(f"an interval must hold its estimate: {self.low!r} <= {self.mean!r} <= {self.high!r}")

    def straddles(self, objective: float) -> bool:
        """Return whether the interval holds `objective`, so that the comparison with it is undecided."""
        return self.low <= objective <= self.high


def risk(confidence: float) -> float:
    """Return 1 - confidence.

    Raises
    ------
    UsageError
        If the confidence is not a number between 0.5 and 1, both excluded.
    """
    if not 0.5 < confidence < 1:
        raise UsageError(f"confidence must lie between 0.5 and 1, both excluded, e.g. 0.95; got {confidence!r}")
    return 1.0 - confidence


def checked(values: ArrayLike, what: str = "values") -> Floats:
    """Return the numbers as a flat float array.

    Parameters
    ----------
    values : array_like
        Shape (n,), n >= 1, all finite.
    what : str
        What to call them in an error.

    Raises
    ------
    UsageError
        If there are none, if they are not one-dimensional, or if one is NaN or infinite.
    """
    numbers = np.asarray(values, dtype=np.float64)
    if numbers.ndim != 1:
        raise UsageError(f"{what} must be one-dimensional, one number per trial; got shape {numbers.shape}")
    if not numbers.size:
        raise UsageError(f"{what} are empty: an estimate needs at least one trial")
    broken = np.flatnonzero(~np.isfinite(numbers))
    if broken.size:
        first = int(broken[0])
        raise UsageError(f"{what} hold {broken.size} NaN or infinite numbers; the first is at index {first}")
    return numbers


def checked_bounds(bounds: tuple[float, float], numbers: Floats) -> tuple[float, float]:
    """Return the bounds after checking that they are in order and hold every number.

    Raises
    ------
    UsageError
        If they do not.
    """
    low, high = bounds
    if not low <= high:
        raise UsageError(f"bounds must be (low, high) with low <= high; got {bounds!r}")
    slack = 1e-9 * max(1.0, *(abs(bound) for bound in bounds if math.isfinite(bound)), 0.0)
    if numbers.min() < low - slack or numbers.max() > high + slack:
        reach = (float(numbers.min()), float(numbers.max()))
        raise UsageError(f"the values reach from {reach[0]!r} to {reach[1]!r}, outside their bounds {bounds!r}")
    return low, high


def clipped(mean: float, low: float, high: float, bounds: tuple[float, float]) -> tuple[float, float]:
    """Return the interval's ends within the bounds, and never on the wrong side of the estimate."""
    return min(max(low, bounds[0]), mean), max(min(high, bounds[1]), mean)


def unseen_prob(alpha: float, n: int) -> float:
    """Return the largest probability of an event that n trials miss with probability alpha: 1 - alpha^(1/n)."""
    return -math.expm1(math.log(alpha) / n)


def all_equal(numbers: Floats) -> bool:
    """Return whether the numbers differ by no more than rounding."""
    return bool(np.ptp(numbers) <= 1e-13 * np.abs(numbers).max())
