"""The mean of the worst share of trials (CVaR, expected shortfall), with an interval or with the reason for none.

Knows nothing of what is lost.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from sim.errors import UsageError
from sim.estimate.base import Estimate, Floats, checked, checked_bounds, clipped, risk
from sim.estimate.means import skewed_t
from sim.estimate.quantiles import quantile_interval

TOO_FEW = "too few"
"""How a note begins that says that trials differ, but say too little."""
LEAST_BEYOND = 20
"""Trials beyond the quantile without which the mean of the tail has no upper end; see docs/estimation.md."""


def tail_mean(values: ArrayLike, level: float) -> float:
    """Return the mean of the largest (1 - level) n values, the last one counted by the share that belongs to it.

    Examples
    --------
    >>> tail_mean([1.0, 2.0, 3.0, 10.0], 0.5)
    6.5
    """
    numbers = np.sort(checked(values))
    share = (1.0 - level) * numbers.size
    whole = min(math.floor(share + 1e-9), numbers.size)
    beyond = float(numbers[numbers.size - whole :].sum())
    rest = max(share - whole, 0.0)
    return (beyond + (rest * float(numbers[numbers.size - whole - 1]) if rest > 1e-9 else 0.0)) / max(share, whole)


def tail_mean_interval(
    values: ArrayLike,
    level: float,
    *,
    confidence: float = 0.95,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> Estimate:
    """Estimate the mean of the worst share 1 - level of trials.

    Parameters
    ----------
    values : array_like
        Shape (n,), n >= 1, finite; large ones are bad.
    level : float
        In (0, 1), e.g. 0.95 for the worst 5 %.
    confidence : float
        In (0.5, 1).
    bounds : tuple of float
        Smallest and largest possible value.

    Returns
    -------
    Estimate
        With fewer than `LEAST_BEYOND` trials beyond the quantile the tail is not known: the upper end is the bound
        (infinite if there is none), the lower end that of the quantile, and `note` says how many trials it takes.

    Raises
    ------
    UsageError
        If the values, the level, the bounds or the confidence are impossible.

    Notes
    -----
    With q the quantile, the tail mean is the mean of q + max(x - q, 0) / (1 - level), and is stationary in q
    (Rockafellar and Uryasev 2000, J. of Risk 2(3)), so that the error of q does not matter in the first order and the
    interval is `skewed_t` of these values. Its upper end is never below that of the quantile.
    """
    alpha = risk(confidence)
    if not 0 < level < 1:
        raise UsageError(f"the level of a tail must lie between 0 and 1, both excluded; got {level!r}")
    numbers = checked(values)
    limits = checked_bounds(bounds, numbers)
    n = numbers.size
    mean = tail_mean(numbers, level)
    quantile = quantile_interval(numbers, level, confidence=confidence, bounds=limits)
    beyond = int(np.count_nonzero(numbers > quantile.mean))
    if (1.0 - level) * n < LEAST_BEYOND - 1e-9 or beyond < LEAST_BEYOND // 2:
        needed = math.ceil(LEAST_BEYOND / (1.0 - level) - 1e-9)
        note = (
            f"{TOO_FEW}: {n} trials say too little of their worst {1.0 - level:.3g}; it takes {needed}"
            if n < needed
            else f"{TOO_FEW}: only {beyond} of {n} trials are beyond the quantile"
        )
        return Estimate(mean, min(quantile.low, mean), max(limits[1], mean), confidence, n, seen=False, note=note)
    low, high = skewed_t(_shortfalls(numbers, quantile.mean, level), beyond, alpha)
    low, high = clipped(mean, low, max(high, quantile.high), limits)
    return Estimate(mean, low, high, confidence, n)


def _shortfalls(numbers: Floats, quantile: float, level: float) -> Floats:
    return np.asarray(quantile + np.maximum(numbers - quantile, 0.0) / (1.0 - level), dtype=np.float64)
