"""Means made surer by what is known of each trial beforehand: control variates.

A trial's signals say how hard its year was (strikes of each cause, how long, at how much demand), each less what was to
be expected, so that their true mean is 0. What the values owe to the signals is taken off: years as hard as they should
be on average, whatever chance drew. The part that is taken off is learnt from other trials than the one that it is
taken off, in `FOLDS` turns, so that the estimate is unbiased for any number of trials and however poor the signals are.
"""

import math

import numpy as np
from numpy.typing import ArrayLike

from sim.errors import UsageError
from sim.estimate.base import Estimate, Floats, checked, checked_bounds, clipped, risk
from sim.estimate.means import losses_of, mean_interval, skewed_t, tail_spread

FOLDS = 10
FEWEST_TRIALS = 60
"""Fewer teach too little of what a signal is worth."""
FEWEST_EVENTS = 30
"""Trials that differ from the common value; fewer are the business of `mean_interval`, which bounds what is rare."""
WORTH = 0.9
"""Left of the variance at most, or the plain mean is kept."""
LIGHT = 0.9
"""Spread of the logarithms of the large losses (`means.tail_spread`) up to which signals are used. Of a heavier law a
few hard years teach what they are then judged by, and intervals cover some points less than they say."""
_NOTHING = 1e-9
"""Left of the variance at least: where signals explain all there is, nothing is left to judge them by."""
_RIDGE = 1e-3
"""Keeps signals apart that always come together, in trials."""


class Control:
    """Takes off measures of some trials what the signals of these trials explain.

    Parameters
    ----------
    signals : array_like
        Shape (n, k), finite, one row per trial, of mean 0 in truth (not in the sample).

    Raises
    ------
    UsageError
        If the shape is another or a number is not finite.

    Notes
    -----
    Least squares without negative coefficients (C. L. Lawson and R. J. Hanson, Solving Least Squares Problems, 1974):
    no cause makes a year better, and without them a few dozen signals need no other restraint. The trial in row i is in
    fold i mod `FOLDS`; what is taken off it is learnt from the other folds (cross-fitting: V. Chernozhukov and others,
    Double/debiased machine learning for treatment and structural parameters, 2018).
    """

    def __init__(self, signals: ArrayLike) -> None:
        known = np.asarray(signals, dtype=np.float64)
        if known.ndim != 2 or not np.isfinite(known).all():
            raise UsageError(f"signals must be finite, one row per trial; got shape {known.shape}")
        scale = known.std(axis=0)
        self._known = known[:, scale > 0.0] / scale[scale > 0.0]
        self._fold = np.arange(len(known)) % FOLDS
        self._taught = [self._known[self._fold != k] for k in range(FOLDS)]
        self._taught = [others - others.mean(axis=0) if len(others) else others for others in self._taught]
        # Normal equations by `einsum`, whose sums have one order, whatever library multiplies matrices here.
        ridge = _RIDGE * np.eye(self._known.shape[1])
        self._roots = [np.linalg.cholesky(np.einsum("ti,tj->ij", x, x) + ridge) for x in self._taught]

    def rest(self, losses: ArrayLike) -> Floats:
        """What is left of losses, which larger signals make larger: shape (n,), of the same expected mean.

        Raises UsageError if they are not finite, or not one per trial.
        """
        from scipy.linalg import solve_triangular
        from scipy.optimize import nnls

        numbers = checked(losses)
        if numbers.size != len(self._known):
            raise UsageError(f"there are signals of {len(self._known)} trials, and {numbers.size} values")
        rest = numbers.copy()
        for k, (others, root) in enumerate(zip(self._taught, self._roots, strict=True)):
            mine, theirs = self._fold == k, numbers[self._fold != k]
            if mine.any() and theirs.size and self._known.shape[1]:
                side = np.einsum("ti,t->i", others, theirs - theirs.mean())
                worth, _ = nnls(root.T, solve_triangular(root, side, lower=True))
                rest[mine] -= np.einsum("ti,i->t", self._known[mine], worth)
        return rest


def controlled_mean(
    values: ArrayLike,
    rest: ArrayLike,
    *,
    confidence: float = 0.95,
    bounds: tuple[float, float] = (-math.inf, math.inf),
    rounding: float = 0.0,
) -> Estimate:
    """Estimate a mean from trials and from what their signals leave of them, where that makes it surer.

    Parameters
    ----------
    values, rest : array_like
        Shape (n,), one per trial, and what `Control` leaves of it (or of both sides of a difference).
    confidence, bounds, rounding
        Of `mean_interval`, which is what is returned where signals are not used: of few trials or events, of heavy
        tails (`LIGHT`), and where they explain too little (`WORTH`).

    Returns
    -------
    Estimate
        `worth` is above 1 if signals are used.

    Raises
    ------
    UsageError
        As `mean_interval`, or if the lengths differ.

    Notes
    -----
    The interval is the hull of `skewed_t` of what is left and of the plain one, as narrow as what is left is less
    spread: what is left is less skewed than the values, but may hide the same.
    """
    numbers, left = checked(values), checked(rest, "what is left of them")
    if numbers.size != left.size:
        raise UsageError(f"what is left must be of the same trials; got {numbers.size} and {left.size}")
    plain = mean_interval(numbers, confidence=confidence, bounds=bounds, rounding=rounding)
    n_events = _n_events(numbers)
    if numbers.size < FEWEST_TRIALS or n_events < FEWEST_EVENTS or not plain.seen:
        return plain
    spread, mean = float(left.std() / numbers.std()), float(left.mean())
    if not _NOTHING < spread**2 <= WORTH or max(tail_spread(losses_of(x))[0] for x in (numbers, left)) > LIGHT:
        return plain
    limits = checked_bounds(bounds, numbers)
    if not limits[0] <= mean <= limits[1]:
        return plain
    low, high = skewed_t(left, n_events, risk(confidence))
    low = min(low, mean - spread * (plain.mean - plain.low))
    high = max(high, mean + spread * (plain.high - plain.mean))
    low, high = clipped(mean, low, high, limits)
    return Estimate(mean, low, high, confidence, numbers.size, note=plain.note, worth=1.0 / spread**2)


def _n_events(numbers: Floats) -> int:
    """Trials that differ from the most common value."""
    return numbers.size - int(np.unique(numbers, return_counts=True)[1].max())
