"""What part of a spread comes from the outer of two loops: parameters drawn outside, trials run inside.

Knows nothing of what the parameters are.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from sim.errors import UsageError
from sim.estimate.base import risk


@dataclass(frozen=True, slots=True)
class Spread:
    """How far the mean itself moves when the parameters do.

    Parameters
    ----------
    sd : float
        Standard deviation over outer draws of the mean given the draw; 0 if none could be told from sampling.
    low, high : float
        What the mean lies between for the given share of outer draws.
    share : float
        In [0, 1]: part of the variance of one trial that comes from the parameters.
    n : int
        Outer draws behind it.
    """

    sd: float
    low: float
    high: float
    share: float
    n: int


def parameter_spread(values: ArrayLike, *, confidence: float = 0.95) -> Spread:
    """Separate the variance of the outer draws from that of trials within a draw.

    Parameters
    ----------
    values : array_like
        Shape (n_outer, n_inner), both >= 2, finite: trials of the same outer draw in a row.
    confidence : float
        In (0.5, 1): share of outer draws between `low` and `high`.

    Raises
    ------
    UsageError
        If the shape or a number is impossible.

    Notes
    -----
    Analysis of variance with random effects: the variance of row means is that of the outer draws plus the one within
    rows over n_inner, so the difference is an unbiased estimate (Searle, Casella and McCulloch 1992, ch. 3.2), cut at
    0. The interval is that of the row means after they are shrunk towards their mean to this variance, so that their
    shape is kept while the noise of n_inner trials is taken out.
    """
    rows = np.asarray(values, dtype=np.float64)
    alpha = risk(confidence)
    if rows.ndim != 2 or min(rows.shape) < 2:
        raise UsageError(f"a spread of parameters needs at least 2 draws of at least 2 trials; got shape {rows.shape}")
    if not np.isfinite(rows).all():
        raise UsageError("values hold NaN or infinite numbers")
    means = rows.mean(axis=1)
    within = float(rows.var(axis=1, ddof=1).mean())
    of_means = float(means.var(ddof=1))
    outer = max(of_means - within / rows.shape[1], 0.0)
    centre = float(means.mean())
    if outer <= 0.0:
        return Spread(0.0, centre, centre, 0.0, rows.shape[0])
    shrunk = centre + (means - centre) * math.sqrt(outer / of_means)
    low, high = np.quantile(shrunk, [alpha / 2, 1 - alpha / 2])
    return Spread(math.sqrt(outer), float(low), float(high), outer / (outer + within), rows.shape[0])
