"""Sobol's sensitivity indices of a simulated quantity: SciPy's estimate, and one without the simulator's own noise.

A point of the design is evaluated by m trials on common random numbers, so its value is a mean with an error, and the
variance of such means over the design is that of the quantity plus that of the error. Indices of the means are biased
by it. Products of *different* trials are not: their expectation holds no error of a single trial. Knows nothing of what
is varied.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sim.errors import UsageError
from sim.estimate.base import Estimate, Floats, risk

N_RESAMPLES: Final = 999
MOST_GROUPS: Final = 50
"""Groups of trials left out one at a time."""
NOISE_MOST: Final = 0.5
"""Above this share of the simulator in the variance the indices are told to be unsure."""


@dataclass(frozen=True)
class Design:
    """Points of Saltelli's design in the unit cube.

    Parameters
    ----------
    a, b : ndarray
        (n, d) two independent samples.
    """

    a: Floats
    b: Floats

    @property
    def n_points(self) -> int:
        """Points to evaluate: n (d + 2)."""
        n, d = self.a.shape
        return int(n * (d + 2))

    def points(self) -> Floats:
        """All points, (n (d + 2), d): A, then B, then for each input A with that column of B."""
        n, d = self.a.shape
        mixed = np.repeat(self.a[None], d, axis=0)
        for i in range(d):
            mixed[i, :, i] = self.b[:, i]
        return np.concatenate([self.a, self.b, mixed.reshape(n * d, d)])


def sobol_design(n: int, d: int, seed: int) -> Design:
    """Return a design from a scrambled Sobol' sequence of 2 d dimensions.

    Parameters
    ----------
    n : int
        Power of two, at least 2.
    d : int
        Inputs, at least 1.
    seed : int
        Of the scrambling.

    Raises
    ------
    UsageError
        If n is no power of two.
    """
    from scipy.stats import qmc

    if n < 2 or n & (n - 1):
        raise UsageError(f"the number of Sobol samples must be a power of two such as 32 or 64; got {n}")
    sample = qmc.Sobol(2 * d, scramble=True, rng=np.random.default_rng(seed)).random(n)
    return Design(sample[:, :d], sample[:, d:])


@dataclass(frozen=True)
class SobolIndices:
    """Indices of each input, in their order.

    Parameters
    ----------
    first, total : tuple of Estimate
        Without the simulator's noise (plain where there is one trial only).
    first_plain, total_plain : tuple of float
        SciPy's, of the means over all trials.
    mean, spread : float
        Mean of the quantity over the design, and its standard deviation without noise.
    noise_share : float
        Part of the variance of the means that is the simulator's error, in [0, 1]; NaN with one trial.
    note : str
        What a reader must know; empty if nothing.
    """

    first: tuple[Estimate, ...]
    total: tuple[Estimate, ...]
    first_plain: tuple[float, ...]
    total_plain: tuple[float, ...]
    mean: float
    spread: float
    noise_share: float
    note: str = ""


def sobol_from(values: NDArray[np.float64], d: int, *, confidence: float = 0.95, seed: int = 0) -> SobolIndices | None:
    """Estimate first and total order indices.

    Parameters
    ----------
    values : ndarray
        (n (d + 2), m): the quantity at the points of a `Design`, in its order, for each of m trials. The same trial
        has the same random numbers at all points.
    d : int
        Inputs.
    confidence : float
        In (0.5, 1).
    seed : int
        Of the bootstrap.

    Returns
    -------
    SobolIndices or None
        None if nothing varies over the design beyond the simulator's noise.

    Raises
    ------
    UsageError
        If the shape does not fit or a value is not finite.

    Notes
    -----
    First order: mean of f_B (f_ABi - f_A) over the variance (Saltelli et al. 2010, Comput. Phys. Commun. 181,
    259-270, eq. 4.b); total order: half the mean of (f_A - f_ABi)^2 over it (Jansen 1999, Comput. Phys. Commun. 117,
    35-43). Each product is taken over all pairs of different trials (a U-statistic), which makes numerators and
    variance unbiased for the quantity's expectation. Intervals: percentiles of a bootstrap over the n rows, and a
    jackknife over trials, added in quadrature. An index near 0 may be estimated below 0.
    """
    alpha = risk(confidence)
    n, m = _checked(values, d)
    f = values.reshape(d + 2, n, m)
    plain_first, plain_total = _plain(f.mean(axis=2), n)
    row_terms = _row_terms(f)
    variance, first, total = _indices(row_terms, np.full((1, n), 1.0 / n))
    plain_variance = float(np.var(f[:2].mean(axis=2)))
    if not variance[0] > 1e-12 * max(float(np.mean(f) ** 2), 1e-300) or not plain_variance > 0.0:
        return None
    rng = np.random.default_rng(seed)
    weights = rng.multinomial(n, np.full(n, 1.0 / n), size=N_RESAMPLES) / n
    drawn = _indices(row_terms, weights)
    of_trials = _trial_errors(f)
    noise = math.nan if m < 2 else min(max(1.0 - float(variance[0]) / plain_variance, 0.0), 1.0)
    return SobolIndices(
        first=_estimates(first[0], drawn[1], of_trials[0], (alpha, m)),
        total=_estimates(total[0], drawn[2], of_trials[1], (alpha, m)),
        first_plain=tuple(map(float, plain_first)),
        total_plain=tuple(map(float, plain_total)),
        mean=float(f[:2].mean()),
        spread=math.sqrt(float(variance[0])),
        noise_share=noise,
        note=f"{noise:.0%} of the variance is the simulator's own: more trials are needed"
        if noise > NOISE_MOST
        else "",
    )


def _checked(values: NDArray[np.float64], d: int) -> tuple[int, int]:
    if values.ndim != 2 or d < 1 or values.shape[0] % (d + 2) or not values.size:
        raise UsageError(f"expected values of shape (n (d + 2), trials) with d = {d}; got {values.shape}")
    if not np.isfinite(values).all():
        raise UsageError("the values of a Sobol design must be finite")
    return values.shape[0] // (d + 2), values.shape[1]


def _plain(means: Floats, n: int) -> tuple[Floats, Floats]:
    """SciPy's indices of the means, (d,) each; zeros where nothing varies."""
    from scipy.stats import sobol_indices

    if not np.ptp(means[:2]):
        return np.zeros(len(means) - 2), np.zeros(len(means) - 2)
    f = np.repeat(means[:, None, :], 2, axis=1)  # the quantity twice: SciPy 1.17 fails on one output of one input
    found = sobol_indices(func={"f_A": f[0], "f_B": f[1], "f_AB": f[2:]}, n=n)
    first, total = (np.reshape(values, (2, -1))[0] for values in (found.first_order, found.total_order))
    return first, total


def _pairs(a: Floats, b: Floats) -> Floats:
    """Mean of a_k b_l over pairs of different trials k, l (last axis); the plain product with one trial."""
    m = a.shape[-1]
    same = (a * b).sum(axis=-1)
    if m == 1:
        return np.asarray(same)
    return np.asarray((a.sum(axis=-1) * b.sum(axis=-1) - same) / (m * (m - 1)))


def _row_terms(f: Floats) -> tuple[Floats, Floats, Floats]:
    """Of each row: its part of the variance (n,), and of the numerators of first and total order (d, n)."""
    centred = f - f[:2].mean(axis=(0, 1))  # each trial by its own mean over A and B
    n_both = 2 * f.shape[1]
    spread = (_pairs(centred[0], centred[0]) + _pairs(centred[1], centred[1])) / 2.0 * n_both / (n_both - 1)
    change = centred[2:] - centred[0]
    return spread, _pairs(np.broadcast_to(centred[1], change.shape), change), _pairs(change, change) / 2.0


def _indices(terms: tuple[Floats, Floats, Floats], weights: Floats) -> tuple[Floats, Floats, Floats]:
    """Variance (r,), first and total order (r, d) for r weightings (r, n) of the rows."""
    variance = weights @ terms[0]
    safe = np.where(variance > 0.0, variance, np.nan)[:, None]
    return variance, weights @ terms[1].T / safe, weights @ terms[2].T / safe


def _trial_errors(f: Floats) -> tuple[Floats, Floats]:
    """Standard errors from the choice of trials, by leaving out groups of them: first and total order, (d,) each."""
    m, d = f.shape[2], f.shape[0] - 2
    groups = min(m, MOST_GROUPS)
    if m < 3:
        return np.zeros(d), np.zeros(d)
    rows = np.full((1, f.shape[1]), 1.0 / f.shape[1])
    left = [_indices(_row_terms(np.delete(f, np.s_[g::groups], axis=2)), rows) for g in range(groups)]

    def error(parts: list[Floats]) -> Floats:
        values = np.array(parts)
        return np.asarray(np.sqrt((groups - 1) / groups * ((values - values.mean(axis=0)) ** 2).sum(axis=0)))

    return error([found[1][0] for found in left]), error([found[2][0] for found in left])


def _estimates(values: Floats, resampled: Floats, errors: Floats, how: tuple[float, int]) -> tuple[Estimate, ...]:
    from scipy.special import ndtri

    alpha, m = how
    z = float(ndtri(1.0 - alpha / 2.0))
    lows, highs = np.nanquantile(resampled, [alpha / 2.0, 1.0 - alpha / 2.0], axis=0)
    found = []
    for value, low, high, error in zip(values, lows, highs, np.nan_to_num(errors), strict=True):
        down = math.hypot(max(value - low, 0.0), z * error)
        up = math.hypot(max(high - value, 0.0), z * error)
        found.append(Estimate(float(value), float(value - down), float(value + up), 1.0 - alpha, m))
    return tuple(found)
