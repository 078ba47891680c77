"""Laws of time in compiled code: the same inverse distribution functions as `sim.laws`, on flat numbers.

A law is a row (kind, a, b); `duration` turns a uniform number into a time in seconds. Tests compare each with
`sim.laws` to 1e-9. Special functions stand here because compiled code cannot call SciPy with a cache.
"""

import math
from collections.abc import Sequence
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sim.laws import Empirical, Exponential, Fixed, Gamma, Law, Lognormal, Weibull
from sim.reliability.compiled import compiled, inner

EXPONENTIAL: Final = 0
LOGNORMAL: Final = 1
WEIBULL: Final = 2
GAMMA: Final = 3
FIXED: Final = 4
EMPIRICAL: Final = 5

Row = tuple[int, float, float]


class LawTable:
    """Rows of the laws of a model, and the values of its empirical ones."""

    def __init__(self) -> None:
        self.rows: list[Row] = []
        self._values: list[float] = []

    def add(self, law: Law) -> int:
        """Return the number of the law's row; raises TypeError for a law that has no compiled form."""
        self.rows.append(self._row(law))
        return len(self.rows) - 1

    def _row(self, law: Law) -> Row:
        match law:
            case Exponential():
                return EXPONENTIAL, law.mean_s, 0.0
            case Lognormal():
                return LOGNORMAL, law.median_s, law.sigma
            case Weibull():
                return WEIBULL, law.scale_s, 1.0 / law.shape
            case Gamma():
                return GAMMA, law.scale_s, law.shape
            case Fixed():
                return FIXED, law.time_s, 0.0
            case Empirical():
                self._values.extend(law.values_s)
                return EMPIRICAL, float(len(self._values) - len(law.values_s)), float(len(law.values_s))
        raise TypeError(f"no compiled form of {type(law).__name__}; there are the laws of sim.laws")

    def arrays(self) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
        """Return kinds `(n,)`, parameters `(n, 2)`, and all empirical values, s."""
        kinds = np.array([row[0] for row in self.rows], dtype=np.int64)
        parameters = np.array([row[1:] for row in self.rows], dtype=np.float64).reshape(-1, 2)
        return kinds, parameters, np.array(self._values, dtype=np.float64)


def rows_of(laws: Sequence[Law]) -> tuple[NDArray[np.int64], NDArray[np.float64], NDArray[np.float64]]:
    """Return the arrays of a sequence of laws, in its order; see `LawTable.arrays`."""
    table = LawTable()
    for law in laws:
        table.add(law)
    return table.arrays()


@compiled
def duration(kind: int, a: float, b: float, u: float, values: Any) -> float:
    """Return the time (s) that a share `u` of all durations of a law does not exceed."""
    if kind == EXPONENTIAL:
        return -a * math.log1p(-u)
    if kind == WEIBULL:
        return a * math.pow(-math.log1p(-u), b)
    if kind == LOGNORMAL:
        return a * math.exp(b * normal_quantile(u))
    if kind == FIXED:
        return a
    if kind == GAMMA:
        return a * gamma_quantile(b, u)
    n = int(b)
    rank = math.ceil(u * n)
    if rank > 1 and (rank - 1) / n >= u:  # as in sim.laws: a product that rounds up names no other duration
        rank -= 1
    return float(values[int(a) + max(rank, 1) - 1])


@inner
def normal_quantile(p: float) -> float:
    """Return the standard normal quantile of level p in (0, 1), to about 1e-15.

    A first value by Abramowitz and Stegun (1964), 26.2.23, to 4.5e-4, then two steps of Halley's method on the
    distribution function, which is taken at the nearer tail so that nothing cancels.
    """
    tail = min(p, 1.0 - p)
    t = math.sqrt(-2.0 * math.log(tail))
    z = t - (2.515517 + t * (0.802853 + t * 0.010328)) / (1.0 + t * (1.432788 + t * (0.189269 + t * 0.001308)))
    for _ in range(2):
        density = 0.3989422804014327 * math.exp(-0.5 * z * z)
        newton = (0.5 * math.erfc(z * 0.7071067811865476) - tail) / density
        z += newton / (1.0 - 0.5 * z * newton)
    return -z if p < 0.5 else z


@inner
def gamma_shares(shape: float, x: float) -> tuple[float, float]:
    """Return the regularised incomplete gamma functions P(shape, x) and Q = 1 - P: a series below shape + 1, else a
    continued fraction.

    Abramowitz and Stegun (1964), 6.5.29 and 6.5.31; the continued fraction by Lentz's method.
    """
    if x <= 0.0:
        return 0.0, 1.0
    front = math.exp(shape * math.log(x) - x - math.lgamma(shape))
    if x < shape + 1.0:
        term = 1.0 / shape
        total = term
        k = shape
        while abs(term) > abs(total) * 1e-16:
            k += 1.0
            term *= x / k
            total += term
        return total * front, 1.0 - total * front
    b = x + 1.0 - shape
    c = 1e300
    d = 1.0 / b
    fraction = d
    for i in range(1, 10_000):
        an = -i * (i - shape)
        b += 2.0
        d = an * d + b
        d = 1.0 / (d if abs(d) > 1e-300 else 1e-300)
        c = b + an / c
        if abs(c) < 1e-300:
            c = 1e-300
        fraction *= c * d
        if abs(c * d - 1.0) < 1e-16:
            break
    return 1.0 - front * fraction, front * fraction


@inner
def gamma_quantile(shape: float, p: float) -> float:
    """Return x with P(shape, x) = p: Newton's method kept inside a bracket that bisection narrows."""
    z = normal_quantile(p)
    # Wilson and Hilferty (1931) in the middle, the first term of the series in the lower tail.
    cube = 1.0 - 1.0 / (9.0 * shape) + z / (3.0 * math.sqrt(shape))
    x = shape * cube * cube * cube
    small = math.exp((math.log(p) + math.lgamma(shape + 1.0)) / shape)
    if cube <= 0.0 or small < 0.2 * (shape + 1.0):
        x = small
    low, high = 0.0, math.inf
    for _ in range(200):
        lower, upper = gamma_shares(shape, x)
        error = lower - p if p < 0.5 else (1.0 - p) - upper  # in the nearer tail nothing cancels
        if error > 0.0:
            high = x
        else:
            low = x
        density = math.exp((shape - 1.0) * math.log(x) - x - math.lgamma(shape)) if x > 0.0 else 0.0
        new = x - error / density if density > 0.0 else -1.0
        if not low < new < high:
            new = 2.0 * x + 1e-300 if high == math.inf else 0.5 * (low + high)
        if abs(new - x) <= 1e-15 * new or new == x:
            return new
        x = new
    return x
