"""Comparisons of two designs on the same trials (common random numbers). Knows nothing of the designs."""

import math

import numpy as np
from numpy.typing import ArrayLike

from sim.errors import UsageError
from sim.estimate.base import Estimate, Floats, checked, risk, unseen_prob
from sim.estimate.means import mean_interval
from sim.estimate.proportions import proportion_interval


def paired(a: ArrayLike, b: ArrayLike) -> tuple[Floats, Floats]:
    """Return both as arrays after checking that they are of the same trials.

    Raises
    ------
    UsageError
        If their lengths differ, or either is empty or not finite.
    """
    first, second = checked(a, "the first values"), checked(b, "the second values")
    if first.size != second.size:
        raise UsageError(f"pairs need the same trials on both sides; got {first.size} and {second.size}")
    return first, second


def paired_difference(
    a: ArrayLike,
    b: ArrayLike,
    *,
    confidence: float = 0.95,
    bounds: tuple[float, float] = (-math.inf, math.inf),
    rounding: float = 0.0,
) -> Estimate:
    """Estimate the mean of a - b, trial by trial.

    Parameters
    ----------
    a, b : array_like
        Shape (n,), the same trials in the same order.
    confidence : float
        In (0.5, 1).
    bounds : tuple of float
        Smallest and largest possible difference, e.g. (-1, 1) for shares.
    rounding : float
        Differences no further apart are one, e.g. the `rounding_of` of both sides together.

    Returns
    -------
    Estimate
        See `mean_interval`, also for trials that hardly ever differ.

    Raises
    ------
    UsageError
        If the trials do not match or `mean_interval` refuses them.
    """
    first, second = paired(a, b)
    return mean_interval(first - second, confidence=confidence, bounds=bounds, rounding=rounding)


def better_probability(
    a: ArrayLike, b: ArrayLike, *, higher_is_better: bool = True, confidence: float = 0.95
) -> Estimate:
    """Estimate the probability that `a` does better than `b` in a trial; ties count half.

    Parameters
    ----------
    a, b : array_like
        Shape (n,), the same trials in the same order.
    higher_is_better : bool
        False for costs and downtimes.
    confidence : float
        In (0.5, 1).

    Returns
    -------
    Estimate
        Wilson's interval. When every trial ties, `seen` is False and the interval says how often they may differ.

    Raises
    ------
    UsageError
        If the trials do not match, are empty or not finite.
    """
    alpha = risk(confidence)
    first, second = paired(a, b)
    sign = np.sign(first - second) * (1.0 if higher_is_better else -1.0)
    n = sign.size
    if not sign.any():
        reach = unseen_prob(alpha, n) / 2
        return Estimate(0.5, 0.5 - reach, 0.5 + reach, confidence, n, seen=False, note=f"equal in all of {n} trials")
    score = float(np.count_nonzero(sign > 0) + 0.5 * np.count_nonzero(sign == 0))
    return proportion_interval(score, n, confidence=confidence)
