"""Intervals for quantiles, from order statistics alone: no assumption on the law of the values."""

import math

import numpy as np
from numpy.typing import ArrayLike

from sim.errors import UsageError
from sim.estimate.base import Estimate, checked, checked_bounds, risk


def quantile_interval(
    values: ArrayLike,
    level: float,
    *,
    confidence: float = 0.95,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> Estimate:
    """Estimate a quantile from independent trials.

    Parameters
    ----------
    values : array_like
        Shape (n,), n >= 1, finite.
    level : float
        In (0, 1), e.g. 0.95.
    confidence : float
        In (0.5, 1).
    bounds : tuple of float
        Smallest and largest possible value; an end that no order statistic can hold is put there.

    Returns
    -------
    Estimate
        `mean` is the order statistic of rank ceil(level x n).

    Raises
    ------
    UsageError
        If the values, the level, the bounds or the confidence are impossible.

    Notes
    -----
    The number of values below the quantile is binomial (n, level). Each end is the innermost order statistic that
    leaves at most half of the risk outside, so the coverage is at least nominal (David and Nagaraja 2003, 7.1).
    """
    alpha = risk(confidence)
    if not 0 < level < 1:
        raise UsageError(f"the level of a quantile must lie between 0 and 1, both excluded; got {level!r}")
    numbers = np.sort(checked(values))
    limits = checked_bounds(bounds, numbers)
    n = numbers.size
    at_most = _binomial_cdf(n, level)
    # Ranks count from 1. X(r) > quantile has probability P(N <= r - 1), X(r) < quantile has P(N >= r).
    low_rank = int(np.searchsorted(at_most, alpha / 2, side="right"))
    high_rank = int(np.searchsorted(at_most, 1 - alpha / 2, side="left")) + 1
    low = float(numbers[low_rank - 1]) if low_rank >= 1 else limits[0]
    high = float(numbers[high_rank - 1]) if high_rank <= n else limits[1]
    note = "" if low_rank >= 1 and high_rank <= n else f"{n} trials are too few to bound this quantile on both sides"
    value = float(numbers[max(math.ceil(level * n - 1e-9), 1) - 1])
    return Estimate(value, min(low, value), max(high, value), confidence, n, note=note)


def _binomial_cdf(n: int, prob: float) -> np.ndarray[tuple[int], np.dtype[np.float64]]:
    """Return P(N <= k) for k = 0..n."""
    from scipy.special import bdtr

    return np.asarray(bdtr(np.arange(n + 1), n, prob), dtype=np.float64)
