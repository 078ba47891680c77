"""Means under one law from trials of another, weighted by likelihood ratios; refused where the weights do not carry it.

Importance sampling looks most precise where it is most wrong: when the weights degenerate, the few trials that would
carry the answer are not drawn, and the spread of the others says nothing of them. So an estimate is made only if the
weights pass three checks, and is else of infinite reach, `seen` False, with the reason as its note.
Knows nothing of what is drawn.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from sim.errors import UsageError
from sim.estimate.base import Estimate, Floats, checked, checked_bounds, clipped, risk
from sim.estimate.means import FEW, skewed_t

LEAST_EFFECTIVE = 30.0
"""Effective sample size of the trials that carry the mean, below which it is refused."""
LARGEST_SHARE = 0.1
"""Share of the mean that one trial may carry."""
WORST_Z = 3.0
"""Standard errors by which the weights' mean may miss 1."""
WORST_MEAN_ERROR = 0.1
"""Standard error of the weights' mean above which that mean tests nothing."""


def effective_sample_size(weights: ArrayLike) -> float:
    """Return (sum w)^2 / sum w^2: how many equal weights would be worth as much (Kish 1965); 0 if all are 0."""
    numbers = checked(weights, "the weights")
    square = float((numbers**2).sum())
    return float(numbers.sum()) ** 2 / square if square > 0 else 0.0


def weights_problem(weights: ArrayLike) -> str:
    """Return why the likelihood ratios of whole trials are not to be trusted; empty if they are.

    Parameters
    ----------
    weights : array_like
        Shape (n,), not negative: likelihood ratio of each trial, of mean 1 by construction.

    Raises
    ------
    UsageError
        If they are empty, negative, NaN or infinite.

    Notes
    -----
    E[w] = 1 whatever is estimated, so that its sample tests the change of law itself. A mean below 1 by many of its
    own standard errors is the sign of weights whose large ones were not drawn. As those errors come from the same
    sample, they must be small too, and no few weights may make up the mean (Owen 2013, Monte Carlo theory, ch. 9.3).
    """
    numbers = checked(weights, "the weights")
    if (numbers < 0).any():
        raise UsageError("likelihood ratios must not be negative")
    n, mean = numbers.size, float(numbers.mean())
    if mean <= 0.0:
        return "all weights are 0"
    if np.ptp(numbers) == 0.0:
        return "" if math.isclose(mean, 1.0, rel_tol=1e-9) else f"the weights are all {mean:.3g}, not 1"
    standard_error = float(numbers.std(ddof=1)) / math.sqrt(n)
    if abs(mean - 1.0) > WORST_Z * standard_error:
        return f"the weights' mean is {mean:.3g} +- {standard_error:.2g}, not 1"
    if standard_error > WORST_MEAN_ERROR:
        return f"the weights' mean is known to {standard_error:.2g} only"
    if effective_sample_size(numbers) < LEAST_EFFECTIVE:
        return f"{n} trials are worth {effective_sample_size(numbers):.1f}"
    return ""


def weighted_mean(
    values: ArrayLike,
    weights: ArrayLike,
    *,
    confidence: float = 0.95,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> Estimate:
    """Estimate a mean from trials drawn under another law.

    Parameters
    ----------
    values : array_like
        Shape (n,), one value per trial.
    weights : array_like
        Shape (n,), likelihood ratio of each trial: density under the law asked for over that drawn from. Where a trial
        is drawn under the law asked for from some moment on (a stopping time), that of its path until then, whose
        mean is 1 as well.
    confidence : float
        In (0.5, 1).
    bounds : tuple of float
        Smallest and largest possible value.

    Returns
    -------
    Estimate
        Mean of weight x value. Refused, that is `seen` False, `low` and `high` at the bounds and the reason in `note`,
        if the weights fail `weights_problem`, if the trials that carry the mean are worth fewer than `LEAST_EFFECTIVE`,
        or if one of them carries more than `LARGEST_SHARE` of it.

    Raises
    ------
    UsageError
        If shapes do not match, numbers are not finite, or a weight is negative.

    Notes
    -----
    The plain and not the self-normalised estimator: unbiased at any n. Interval: `skewed_t` of the products.

    Examples
    --------
    >>> weighted_mean([1.0] * 100, [1e-4] * 99 + [100.0]).seen
    False
    """
    alpha = risk(confidence)
    numbers, ratios = checked(values), checked(weights, "the weights")
    if numbers.size != ratios.size:
        raise UsageError(f"each value needs its weight; got {numbers.size} values and {ratios.size} weights")
    if (ratios < 0).any():
        raise UsageError("likelihood ratios must not be negative")
    limits = checked_bounds(bounds, numbers)
    products = numbers * ratios
    mean = float(products.mean())
    problem = weights_problem(ratios) or _products_problem(products)
    if problem:
        inside = min(max(mean, limits[0]), limits[1])
        return Estimate(inside, *limits, confidence, numbers.size, seen=False, note=f"refused: {problem}")
    low, high = skewed_t(products, int(np.count_nonzero(products)), alpha)
    # The mean of products may pass the bounds of the values by chance; the estimate may not.
    mean = min(max(mean, limits[0]), limits[1])
    low, high = clipped(mean, low, high, limits)
    return Estimate(mean, low, high, confidence, numbers.size)


def _products_problem(products: Floats) -> str:
    """Say why the trials that carry the mean are too few."""
    sizes = np.abs(products[products != 0.0])
    if sizes.size < FEW:
        return f"{sizes.size} of {products.size} trials carry the mean"
    worth = effective_sample_size(sizes)
    if worth < LEAST_EFFECTIVE:
        return f"the {sizes.size} trials that carry the mean are worth {worth:.1f}"
    share = float(sizes.max() / sizes.sum())
    if share > LARGEST_SHARE:
        return f"one trial carries {share:.0%} of the mean"
    return ""
