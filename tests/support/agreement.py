"""Whether an estimate agrees with a known value, and whether it is good enough to say so.

An interval so wide that everything agrees proves nothing, so every check names the half-width that it requires; a
negative control must be refuted by the same check, at the same half-width.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

Z_MAX = 4.0


@dataclass(frozen=True)
class Comparison:
    """An estimate with its standard error beside the value expected."""

    estimate: float
    standard_error: float
    expected: float

    @property
    def z(self) -> float:
        """Distance in standard errors."""
        return (self.estimate - self.expected) / self.standard_error

    @property
    def half_width(self) -> float:
        """Of the interval in which the expected value must lie."""
        return Z_MAX * self.standard_error

    def __str__(self) -> str:
        return f"{self.estimate:.6g} +- {self.standard_error:.2g}, expected {self.expected:.6g}, z = {self.z:+.2f}"


def mean_of(samples: ArrayLike, expected: float) -> Comparison:
    """The mean of independent samples, shape (n,)."""
    values = np.asarray(samples, dtype=float)
    return Comparison(float(values.mean()), float(values.std(ddof=1) / np.sqrt(values.size)), expected)


def deviation_of(samples: ArrayLike, expected: float) -> Comparison:
    """The standard deviation of independent samples; its error by the fourth moment (delta method)."""
    values = np.asarray(samples, dtype=float)
    deviation = float(values.std(ddof=1))
    fourth = float(((values - values.mean()) ** 4).mean())
    of_variance = np.sqrt((fourth - deviation**4) / values.size)
    return Comparison(deviation, float(of_variance / (2.0 * deviation)), expected)


def share_of(hits: int, n: int, expected: float) -> Comparison:
    """A share of n independent trials; its error is that of the share expected."""
    return Comparison(hits / n, float(np.sqrt(expected * (1.0 - expected) / n)), expected)


def ratio_of(numerators: Sequence[float], denominators: Sequence[float], expected: float) -> Comparison:
    """Sum over sum of independent pairs, such as downtime per outage; its error by the delta method."""
    above, below = np.asarray(numerators, dtype=float), np.asarray(denominators, dtype=float)
    ratio = float(above.sum() / below.sum())
    residuals = (above - ratio * below) / below.mean()
    return Comparison(ratio, float(residuals.std(ddof=1) / np.sqrt(above.size)), expected)


def check(result: Comparison, half_width: float) -> None:
    """The estimate agrees, and an estimate off by more than about `half_width` would not have."""
    assert result.half_width <= half_width, f"too vague to test anything: {result}"
    assert abs(result.z) <= Z_MAX, str(result)


def refute(result: Comparison, half_width: float) -> None:
    """The same check fails for the right reason: precise enough, and wrong."""
    assert result.half_width <= half_width, f"too vague to test anything: {result}"
    assert abs(result.z) > Z_MAX, f"the broken model passes: {result}"
