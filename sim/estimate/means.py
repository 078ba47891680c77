"""Intervals for means of values that are often mostly zero, and skewed where they are not.

Downtime, cost and lost hours of a trial are of this kind: most trials have none, a few have much. Three cases:

- Nothing differs (all values equal, or apart by no more than `ALIKE`): the interval is a bound from the number of
  trials alone.
- Few events (more than half of the trials share one value and fewer than `FEW` differ from it): the share of trials
  that differ (Clopper and Pearson 1934) times how much they differ.
- Else Student's t, widened where the sample is skewed (Hall 1992), and where its logarithms spread so much that it is
  likely to be more skewed than it shows.

`docs/estimation.md` has the coverage of each case beside that of other methods, `benchmarks/interval_coverage.py`
measures it, and `tests/oracle/test_estimate_coverage.py` holds it.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from sim.estimate.base import Estimate, Floats, all_equal, checked, checked_bounds, clipped, risk, unseen_prob
from sim.estimate.proportions import clopper_pearson

FEW = 10
"""Fewer trials than this that differ from the common value are `few events`."""
ALIKE = 1e-6
"""Values within this share of themselves, and of their way to the nearest bound, are one value. The same one outage in
every trial differs by rounding and by the few requests lost elsewhere; Student's t would take that for all that can
happen."""
SKEWNESS_CORRECTION = 6.0
"""The skewness of k events is multiplied by 1 + this / k, because a small sample understates it (Joanes and Gill
1998). Chosen by coverage: with it lognormal events of log-sd up to 1.4 stay within 4 standard errors of 95 %."""
CARRIERS = 0.99
"""The largest values that make up this share of a sum of losses: their logarithms say how heavy the tail is."""
HEAVY = 1.0
"""Standard deviation of those logarithms above which a sample is taken to hide skewness that it does not show. Normal,
exponential and lighter samples stay below."""
HEAVIEST = 1.25
"""The same above which intervals of fewer than a few hundred trials lose some points of coverage, which is noted."""
FEWEST_CARRIERS = 5
"""Fewer say nothing of a spread; what is made for few events is wide enough for them."""
MOST_BEND = 0.45
"""Largest skewness / sqrt(n) assumed for what was hidden; near it the correction is at its widest, about four times
Student's t."""
SKEWED = 0.5
"""Above this skewness / sqrt(n) (one trial alone gives 1) a few trials carry much of the mean, which is noted."""


def mean_interval(
    values: ArrayLike,
    *,
    confidence: float = 0.95,
    bounds: tuple[float, float] = (-math.inf, math.inf),
    rounding: float = 0.0,
) -> Estimate:
    """Estimate a mean from independent trials.

    Parameters
    ----------
    values : array_like
        Shape (n,), n >= 1, one value per trial, finite.
    confidence : float
        In (0.5, 1).
    bounds : tuple of float
        Smallest and largest value that is possible at all, e.g. (0, 1) for a share. Without finite bounds a
        sample in which nothing differs bounds nothing: that end is infinite. For a quantity known to be constant
        give that constant as both bounds.
    rounding : float
        Values that are no further apart are one value; see `rounding_of`, which is done for `values` themselves.

    Returns
    -------
    Estimate
        `seen` is False when all values are equal, or within `ALIKE` of each other where both bounds are finite.

    Raises
    ------
    UsageError
        If the values are empty or not finite, outside the bounds, or the confidence is not in (0.5, 1).

    Notes
    -----
    All equal: had a share p of all trials another value, n trials would miss them with probability (1 - p)^n, so
    p <= 1 - alpha^(1/n), and the mean is off by at most p times the way to the bound. The same formula serves n = 1.

    Examples
    --------
    >>> estimate = mean_interval([0.0] * 100, bounds=(0.0, 1.0))
    >>> round(estimate.high, 4), estimate.seen
    (0.0295, False)
    """
    alpha = risk(confidence)
    numbers = checked(values)
    limits = checked_bounds(bounds, numbers)
    n = numbers.size
    if all_equal(numbers) or np.ptp(numbers) <= max(rounding, rounding_of(numbers, limits)):
        return _never_differs(numbers, alpha, limits)
    mean = float(numbers.mean())
    levels, counts = np.unique(numbers, return_counts=True)
    most = int(np.argmax(counts))
    n_events = n - int(counts[most])
    if 2 * n_events < n and n_events < FEW:
        low, high = _few_events(numbers, float(levels[most]), alpha, limits)
        note = f"few events: {n_events} of {n} trials differ from {levels[most]:g}"
    else:
        low, high = skewed_t(numbers, n_events, alpha)
        note = _shape_note(numbers)
    low, high = clipped(mean, low, high, limits)
    return Estimate(mean, low, high, confidence, n, note=note)


def _shape_note(numbers: Floats) -> str:
    """Say what makes the interval of these numbers less sure than it says."""
    if numbers.size < FEW:
        return "few trials"
    if tail_spread(losses_of(numbers))[0] > HEAVIEST:
        return (
            "heavy tail: losses spread over orders of magnitude, the interval may cover some points less than it says"
        )
    if _skewness(numbers) / math.sqrt(numbers.size) > SKEWED:
        return "skewed: a few trials carry much of the mean"
    return ""


def rounding_of(numbers: Floats, bounds: tuple[float, float]) -> float:
    """Return how far apart such numbers may be and still be one value to whoever reads them.

    Parameters
    ----------
    numbers : ndarray
        Shape (n,), n >= 1, finite.
    bounds : tuple of float
        Smallest and largest possible value. Without finite ones nothing bounds what was not seen, and an interval of
        the spread, however small, says more than none: 0.
    """
    low, high = float(numbers.min()), float(numbers.max())
    if not all(map(math.isfinite, bounds)):
        return 0.0
    return ALIKE * max(0.0, min(abs(low), abs(high), low - bounds[0], bounds[1] - high))


def _never_differs(numbers: Floats, alpha: float, bounds: tuple[float, float]) -> Estimate:
    """Bound a mean from trials that all gave the same value."""
    n, value = numbers.size, float(numbers[0] if all_equal(numbers) else numbers.mean())
    share = unseen_prob(alpha, n)
    low, high = (value if bound == value else value + share * (bound - value) for bound in bounds)
    low, high = clipped(value, low, high, bounds)
    note = f"nothing else than {value:g} in {n} trials"
    if math.isinf(low) or math.isinf(high):
        note += "; without a bound of the value its mean has none"
    return Estimate(value, low, high, 1.0 - alpha, n, seen=False, note=note)


def _few_events(numbers: Floats, common: float, alpha: float, bounds: tuple[float, float]) -> tuple[float, float]:
    """Return an interval for the mean of values that are `common` in nearly all trials.

    The mean deviation is that upwards less that downwards. Each is bounded by itself; where both can happen each
    gets half of the risk. A direction that was possible but never seen is assumed to reach no further than the
    other one may.
    """
    n = numbers.size
    ups, downs = numbers[numbers > common] - common, common - numbers[numbers < common]
    room_up, room_down = bounds[1] - common, common - bounds[0]
    part = alpha if room_up <= 0 or room_down <= 0 else alpha / 2
    largest = max((_conditional_mean(side, part)[1] for side in (ups, downs) if side.size), default=0.0)
    up_low, up_high = _one_direction(ups, n, part, min(largest, room_up))
    down_low, down_high = _one_direction(downs, n, part, min(largest, room_down))
    return common + up_low - down_high, common + up_high - down_low


def _one_direction(sizes: Floats, n: int, alpha: float, largest: float) -> tuple[float, float]:
    """Return an interval for the mean over n trials of a quantity that is positive in `sizes.size` of them."""
    if largest <= 0:
        return 0.0, 0.0
    share_low, share_high = clopper_pearson(sizes.size, n, alpha)
    if not sizes.size:
        return 0.0, unseen_prob(alpha, n) * largest
    size_low, size_high = _conditional_mean(sizes, alpha)
    return share_low * size_low, share_high * min(size_high, largest)


def _conditional_mean(sizes: Floats, alpha: float) -> tuple[float, float]:
    """Return an interval for the mean of a few positive sizes.

    The hull of the exact interval for exponential sizes (2 x sum / mean is chi-squared with 2k degrees of freedom),
    which exists for a single size, and of Student's t, bent by what a heavy tail hides.
    """
    from scipy.special import gammaincinv, stdtrit

    k, total = sizes.size, float(sizes.sum())
    low, high = total / float(gammaincinv(k, 1 - alpha / 2)), total / float(gammaincinv(k, alpha / 2))
    if k > 1:
        t = float(stdtrit(k - 1, 1 - alpha / 2))
        standard_error = float(sizes.std(ddof=1)) / math.sqrt(k)
        reach = -_bent(-t, hidden_bend(sizes)) * standard_error
        low, high = min(low, max(total / k - t * standard_error, 0.0)), max(high, total / k + reach)
    return low, high


def skewed_t(numbers: Floats, n_events: int, alpha: float) -> tuple[float, float]:
    """Return the hull of Student's t interval and of its correction for skewness.

    Parameters
    ----------
    numbers : ndarray
        Shape (n,), n >= 2, not all equal.
    n_events : int
        How many of them carry information on the skewness (differ from the common value), >= 1.
    alpha : float
        1 - confidence.

    Returns
    -------
    tuple of float
        Low and high end.

    Notes
    -----
    Hall, P. (1992), On the removal of skewness by transformation, J. R. Statist. Soc. B 54, 221-228, eq. for g1:
    the studentised mean T is mapped by a monotone cubic whose inverse is `_bent`, b = skewness / sqrt(n). It moves the
    interval towards the long tail; the hull keeps the t interval too, since the low end of the corrected one relies on
    a skewness that is itself an estimate. A sample of a heavy law that lacks its large values shows too little
    skewness, so b is at least `hidden_bend`. Cost: nothing to speak of, and no random numbers, unlike the bootstrap-t,
    whose coverage was no better in our experiments.
    """
    from scipy.special import stdtrit

    n, mean = numbers.size, float(numbers.mean())
    standard_error = float(numbers.std(ddof=1)) / math.sqrt(n)
    t = float(stdtrit(n - 1, 1 - alpha / 2))
    low, high = mean - t * standard_error, mean + t * standard_error
    skewness = _skewness(numbers)
    b = skewness * (1.0 + SKEWNESS_CORRECTION / max(n_events, 1)) / math.sqrt(n)
    b = math.copysign(max(abs(b), hidden_bend(losses_of(numbers))), skewness)
    return min(low, mean - _bent(t, b) * standard_error), max(high, mean - _bent(-t, b) * standard_error)


def _bent(side: float, b: float) -> float:
    """Return 3/b ((1 + b (side - b/6))^(1/3) - 1): a quantile of Student's t, bent by the skewness b of the mean."""
    if abs(b) < 1e-9:
        return side
    return 3.0 / b * (float(np.cbrt(1.0 + b * (side - b / 6.0))) - 1.0)


def hidden_bend(losses: Floats) -> float:
    """Return the skewness of a mean of losses as heavy as these, by the spread of the logarithms of the large ones.

    Parameters
    ----------
    losses : ndarray
        Shape (n,), not negative, not all 0.

    Returns
    -------
    float
        In [0, `MOST_BEND`]; 0 for tails that are not heavy.

    Notes
    -----
    The sum of a Poisson number of lognormal losses, k expected, has skewness exp(3 sigma^2 / 2) / sqrt(k).
    """
    sigma, k = tail_spread(losses)
    if sigma <= HEAVY:
        return 0.0
    return min(MOST_BEND, math.exp(min(1.5 * sigma**2, 50.0)) / math.sqrt(k))


def tail_spread(losses: Floats) -> tuple[float, int]:
    """Return how many losses make up nearly all of the sum, after the standard deviation of their logarithms.

    That of a lognormal law is smaller by the small losses that are left out: 0.9, 1.1, 1.25, 1.4 at 1, 1.4, 1.8, 2.2.
    It is raised a little where they are few, and 0 where they are too few to say.
    """
    largest_first = np.sort(losses[losses > 0])[::-1]
    total = np.cumsum(largest_first)
    k = min(int(np.searchsorted(total, CARRIERS * total[-1])) + 1, total.size)
    if k < FEWEST_CARRIERS:
        return 0.0, k
    return float(np.log(largest_first[:k]).std(ddof=1)) * (1.0 + 1.0 / k), k


def losses_of(numbers: Floats) -> Floats:
    """Distances from the end of the short tail."""
    return np.asarray(numbers - numbers.min() if _skewness(numbers) >= 0 else numbers.max() - numbers)


def _skewness(numbers: Floats) -> float:
    centred = numbers - numbers.mean()
    return float((centred**3).mean() / (centred**2).mean() ** 1.5)
