"""Ratios of two totals over trials, e.g. events per opportunity, where one trial has many opportunities.

Opportunities of one trial are not independent, so the trial is the unit: intervals come from leaving out one trial
at a time (jackknife). Knows nothing of what is divided by what.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from sim.errors import UsageError
from sim.estimate.base import Estimate, Floats, all_equal, clipped, risk, unseen_prob
from sim.estimate.means import FEW, mean_interval, skewed_t
from sim.estimate.pairs import paired


def ratio_interval(
    numerators: ArrayLike,
    denominators: ArrayLike,
    *,
    confidence: float = 0.95,
    bounds: tuple[float, float] = (0.0, math.inf),
    numerator_max: float | None = None,
) -> Estimate:
    """Estimate E[numerator] / E[denominator], the ratio of totals.

    Parameters
    ----------
    numerators, denominators : array_like
        Shape (n,), one pair per trial, not negative; the denominators not all 0.
    confidence : float
        In (0.5, 1).
    bounds : tuple of float
        Of the ratio; (0, 1) for a share, for which trials that nearly all reach 1 are treated like those that
        nearly all stay 0.
    numerator_max : float, optional
        The most that the numerator of one trial can be when no trial had any; default: what reaches the upper
        bound of the ratio with the largest denominator seen. Give 1 if an affected trial has one event, as rare
        events do.

    Returns
    -------
    Estimate
        `seen` is False if all numerators are 0; the interval is then the bound (1 - alpha^(1/n)) x numerator_max /
        mean denominator. Trials without denominator count as trials.

    Raises
    ------
    UsageError
        If the values are empty, negative or not finite, all denominators are 0, or a ratio is beyond its bounds.

    Notes
    -----
    Pseudo-values n R - (n - 1) R(without i) (Quenouille 1956, Tukey 1958) go through `skewed_t`. With few nonzero
    numerators their number dominates the error, and the interval is that of their mean over the mean denominator.
    """
    alpha = risk(confidence)
    tops, bottoms = _checked_ratio(numerators, denominators)
    ratio = float(tops.sum() / bottoms.sum())
    if not bounds[0] - 1e-9 <= ratio <= bounds[1] + 1e-9:
        raise UsageError(f"the ratio is {ratio!r}, outside its bounds {bounds!r}")
    ratio = min(max(ratio, bounds[0]), bounds[1])
    missing = bottoms - tops
    if bounds == (0.0, 1.0) and (missing >= 0).all() and _count(missing) < min(FEW, _count(tops)):
        other = ratio_interval(missing, bottoms, confidence=confidence, bounds=bounds, numerator_max=numerator_max)
        note = other.note if other.seen else f"in all of {tops.size} trials"
        return Estimate(1 - other.mean, 1 - other.high, 1 - other.low, confidence, tops.size, note=note)
    if not tops.any():
        return _none_seen(bottoms, alpha, bounds, numerator_max)
    n_events = _count(tops)
    if n_events < FEW and 2 * n_events < tops.size:
        of_mean = mean_interval(tops, confidence=confidence, bounds=(0.0, math.inf))
        scale = float(bottoms.mean())
        low, high = clipped(ratio, of_mean.low / scale, of_mean.high / scale, bounds)
        return Estimate(ratio, low, high, confidence, tops.size, note=f"few events: {n_events} of {tops.size} trials")
    return _from_pseudo_values(_pseudo_values(tops, bottoms), ratio, alpha, bounds)


def ratio_difference(
    a: tuple[ArrayLike, ArrayLike],
    b: tuple[ArrayLike, ArrayLike],
    *,
    confidence: float = 0.95,
    bounds: tuple[float, float] = (0.0, math.inf),
    numerator_max: float | None = None,
) -> Estimate:
    """Estimate the difference of two ratios of totals, a - b, over the same trials.

    Parameters
    ----------
    a, b : tuple of array_like
        (numerators, denominators), each of shape (n,), the same trials in the same order.
    confidence : float
        In (0.5, 1).
    bounds, numerator_max
        Of each ratio; see `ratio_interval`.

    Returns
    -------
    Estimate
        By the jackknife. If either ratio rests on few events, the hull of both intervals at half of the risk each,
        which ignores that the trials are paired and is wider for it.

    Raises
    ------
    UsageError
        As `ratio_interval`, and if the trials do not match.
    """
    alpha = risk(confidence)
    each = 1.0 - alpha / 2
    one = ratio_interval(*a, confidence=each, bounds=bounds, numerator_max=numerator_max)
    other = ratio_interval(*b, confidence=each, bounds=bounds, numerator_max=numerator_max)
    if one.n != other.n:
        raise UsageError(f"pairs need the same trials on both sides; got {one.n} and {other.n}")
    difference = one.mean - other.mean
    if one.note or other.note:
        note = "; ".join(dict.fromkeys(note for note in (one.note, other.note) if note))
        seen = one.seen or other.seen
        return Estimate(difference, one.low - other.high, one.high - other.low, confidence, one.n, seen, note)
    values = _pseudo_values(*_checked_ratio(*a)) - _pseudo_values(*_checked_ratio(*b))
    return _from_pseudo_values(values, difference, alpha, (bounds[0] - bounds[1], bounds[1] - bounds[0]))


def _checked_ratio(numerators: ArrayLike, denominators: ArrayLike) -> tuple[Floats, Floats]:
    tops, bottoms = paired(numerators, denominators)
    if tops.min() < 0 or bottoms.min() < 0:
        raise UsageError("numerators and denominators must not be negative")
    if not bottoms.any():
        raise UsageError("all denominators are 0: there was no opportunity to see anything")
    return tops, bottoms


def _count(values: Floats) -> int:
    return int(np.count_nonzero(values))


def _none_seen(bottoms: Floats, alpha: float, bounds: tuple[float, float], numerator_max: float | None) -> Estimate:
    n = bottoms.size
    most = bounds[1] * float(bottoms.max()) if numerator_max is None else numerator_max
    high = min(unseen_prob(alpha, n) * most / float(bottoms.mean()), bounds[1])
    return Estimate(0.0, 0.0, high, 1.0 - alpha, n, seen=False, note=f"none in {n} trials")


def _pseudo_values(tops: Floats, bottoms: Floats) -> Floats:
    """Return the n pseudo-values of the ratio of totals."""
    n = tops.size
    rest_bottoms = bottoms.sum() - bottoms
    if n == 1 or (rest_bottoms <= 0).any():
        # One trial holds every opportunity: leaving it out leaves nothing, so the ratio is linearised instead.
        ratio = tops.sum() / bottoms.sum()
        return np.asarray(ratio + (tops - ratio * bottoms) / bottoms.mean(), dtype=np.float64)
    rest = (tops.sum() - tops) / rest_bottoms
    return np.asarray(n * tops.sum() / bottoms.sum() - (n - 1) * rest, dtype=np.float64)


def _from_pseudo_values(values: Floats, ratio: float, alpha: float, bounds: tuple[float, float]) -> Estimate:
    n = values.size
    if n == 1 or all_equal(values):
        # Every trial has the same ratio; as in `mean_interval`, only the number of trials bounds the rest.
        share = unseen_prob(alpha, n)
        low, high = (ratio + share * (bound - ratio) for bound in bounds)
        low, high = clipped(ratio, low, high, bounds)
        note = f"the same in all of {n} trials"
        return Estimate(ratio, low, high, 1.0 - alpha, n, seen=False, note=note)
    centre = float(values.mean())
    low, high = skewed_t(values, n, alpha)
    low, high = clipped(ratio, ratio + low - centre, ratio + high - centre, bounds)
    return Estimate(ratio, low, high, 1.0 - alpha, n, note="few trials" if n < FEW else "")
