"""Laws of time: how long until something fails, is noticed, is repaired.

A law turns one uniform number into one duration by the inverse of its cdf, so that the same number gives a
longer duration under a longer law (common random numbers stay monotone). Laws hold no randomness of their own
and know nothing of what they time. SciPy is imported where it is needed only, because `regionfall --help` must
not wait for it.
"""

import math
from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from dataclasses import dataclass, field
from statistics import NormalDist
from typing import Final, Protocol

from sim.scenario.schema import LawSpec

NORMAL: Final = NormalDist()


class Law(Protocol):
    """A law of a positive time in seconds."""

    @property
    def mean_s(self) -> float:
        """Mean, seconds."""
        ...

    @property
    def median_s(self) -> float:
        """Median, seconds."""
        ...

    def quantile(self, p: float) -> float:
        """Return the shortest time (s) that a share `p` in (0, 1) of all durations does not exceed."""
        ...

    def from_uniform(self, u: float) -> float:
        """Turn a uniform number in (0, 1) into a duration (s); does not decrease with `u`."""
        ...

    def cdf(self, time_s: float) -> float:
        """Return the share of durations that are at most `time_s`."""
        ...

    def hazard(self, age_s: float) -> float:
        """Return the rate (1/s) of ending at age `age_s` given that it lasts at least so long.

        Infinite where the law has a point mass and past its longest duration.
        """
        ...


class _Inverse(ABC):
    """What every law shares: drawing is inverting the cdf."""

    __slots__ = ()

    @abstractmethod
    def quantile(self, p: float) -> float:
        """Return the quantile of level `p`, s."""

    def from_uniform(self, u: float) -> float:
        """Turn a uniform number in (0, 1) into a duration (s)."""
        return self.quantile(u)


class _Median(_Inverse):
    """A law that is not parameterised by its median."""

    __slots__ = ()

    @property
    def median_s(self) -> float:
        """Median, seconds."""
        return self.quantile(0.5)


def _positive(value: float, what: str) -> None:
    if not (value > 0 and math.isfinite(value)):
        raise ValueError(f"{what} must be positive and finite, got {value!r}")


def _level(p: float) -> float:
    if not 0 < p < 1:
        raise ValueError(f"a quantile's level must lie strictly between 0 and 1, got {p!r}")
    return p


@dataclass(frozen=True, slots=True)
class Exponential(_Median):
    """Exponential law: constant hazard 1 / mean.

    Parameters
    ----------
    mean_s : float
        Mean, seconds, positive.
    """

    mean_s: float

    def __post_init__(self) -> None:
        _positive(self.mean_s, "the mean")

    def quantile(self, p: float) -> float:
        """Return -mean ln(1 - p), s."""
        return -self.mean_s * math.log1p(-_level(p))

    def cdf(self, time_s: float) -> float:
        """Return the share of durations that are at most `time_s`."""
        return -math.expm1(-time_s / self.mean_s) if time_s > 0 else 0.0

    def hazard(self, age_s: float) -> float:
        """Return 1 / mean at every age, 1/s."""
        return 1.0 / self.mean_s if age_s >= 0 else 0.0


@dataclass(frozen=True, slots=True)
class Lognormal(_Inverse):
    """Lognormal law by its median: the logarithm is normal with mean ln(median) and standard deviation sigma.

    Parameters
    ----------
    median_s : float
        Median, seconds, positive. The mean is larger: median x exp(sigma^2 / 2).
    sigma : float
        Standard deviation of the logarithm, positive.
    """

    median_s: float
    sigma: float

    def __post_init__(self) -> None:
        _positive(self.median_s, "the median")
        _positive(self.sigma, "sigma")

    @classmethod
    def of_median_p95(cls, median_s: float, p95_s: float) -> "Lognormal":
        """Return the law with this median and 95th percentile, both in seconds, p95 > median."""
        if not p95_s > median_s:
            raise ValueError(f"the p95 ({p95_s!r} s) must be longer than the median ({median_s!r} s)")
        return cls(median_s, math.log(p95_s / median_s) / NORMAL.inv_cdf(0.95))

    @classmethod
    def of_mean_sigma(cls, mean_s: float, sigma: float) -> "Lognormal":
        """Return the law with this mean (s) and standard deviation of the logarithm."""
        return cls(mean_s * math.exp(-0.5 * sigma * sigma), sigma)

    @property
    def mean_s(self) -> float:
        """Mean, seconds."""
        return self.median_s * math.exp(0.5 * self.sigma * self.sigma)

    def quantile(self, p: float) -> float:
        """Return median x exp(sigma z_p), s."""
        return self.median_s * math.exp(self.sigma * NORMAL.inv_cdf(_level(p)))

    def cdf(self, time_s: float) -> float:
        """Return the share of durations that are at most `time_s`."""
        return 0.5 * math.erfc(-self._z(time_s) / math.sqrt(2.0)) if time_s > 0 else 0.0

    def hazard(self, age_s: float) -> float:
        """Return density over survival at `age_s`, 1/s.

        The ratio is taken as a scaled complementary error function, because both vanish in the far tail.
        """
        from scipy.special import erfcx

        if age_s <= 0:
            return 0.0
        mills_ratio = math.sqrt(math.pi / 2.0) * float(erfcx(self._z(age_s) / math.sqrt(2.0)))
        return 1.0 / (self.sigma * age_s * mills_ratio)

    def _z(self, time_s: float) -> float:
        return math.log(time_s / self.median_s) / self.sigma


@dataclass(frozen=True, slots=True)
class Weibull(_Median):
    """Weibull law by its mean and shape: survival exp(-(t / scale)^shape).

    Parameters
    ----------
    mean_s : float
        Mean, seconds, positive.
    shape : float
        Below 1 the hazard decreases with age, above it increases, 1 is the exponential law.
    """

    mean_s: float
    shape: float

    def __post_init__(self) -> None:
        _positive(self.mean_s, "the mean")
        _positive(self.shape, "the shape")

    @property
    def scale_s(self) -> float:
        """Scale, seconds: mean / Gamma(1 + 1 / shape)."""
        return self.mean_s / math.gamma(1.0 + 1.0 / self.shape)

    def quantile(self, p: float) -> float:
        """Return scale x (-ln(1 - p))^(1 / shape), s."""
        return self.scale_s * math.pow(-math.log1p(-_level(p)), 1.0 / self.shape)

    def cdf(self, time_s: float) -> float:
        """Return the share of durations that are at most `time_s`."""
        return -math.expm1(-math.pow(time_s / self.scale_s, self.shape)) if time_s > 0 else 0.0

    def hazard(self, age_s: float) -> float:
        """Return shape / scale x (age / scale)^(shape - 1), 1/s; infinite at age 0 for a shape below 1."""
        if age_s < 0 or (age_s == 0 and self.shape > 1):
            return 0.0
        if age_s == 0 and self.shape < 1:
            return math.inf
        return self.shape / self.scale_s * math.pow(age_s / self.scale_s, self.shape - 1.0)


@dataclass(frozen=True, slots=True)
class Gamma(_Median):
    """Gamma law by its mean and shape (shape 2: two exponential stages).

    Parameters
    ----------
    mean_s : float
        Mean, seconds, positive.
    shape : float
        Positive; the squared coefficient of variation is 1 / shape.
    """

    mean_s: float
    shape: float

    def __post_init__(self) -> None:
        _positive(self.mean_s, "the mean")
        _positive(self.shape, "the shape")

    @property
    def scale_s(self) -> float:
        """Scale, seconds: mean / shape."""
        return self.mean_s / self.shape

    def quantile(self, p: float) -> float:
        """Return the inverse of the regularised incomplete gamma function times the scale, s."""
        from scipy.special import gammaincinv

        return self.scale_s * float(gammaincinv(self.shape, _level(p)))

    def cdf(self, time_s: float) -> float:
        """Return the share of durations that are at most `time_s`."""
        from scipy.special import gammainc

        return float(gammainc(self.shape, time_s / self.scale_s)) if time_s > 0 else 0.0

    def hazard(self, age_s: float) -> float:
        """Return density over survival at `age_s`, 1/s.

        In the far tail, where both vanish, survival / density is summed as the asymptotic series
        1 + (shape - 1) / x + (shape - 1)(shape - 2) / x^2 + ..., x = age / scale (Abramowitz and Stegun, 6.5.32).
        """
        from scipy.special import gammaincc, gammaln

        if age_s < 0 or (age_s == 0 and self.shape > 1):
            return 0.0
        if age_s == 0:
            return math.inf if self.shape < 1 else 1.0 / self.scale_s
        x = age_s / self.scale_s
        survival = float(gammaincc(self.shape, x))
        if survival > 1e-280:
            density = math.exp((self.shape - 1.0) * math.log(x) - x - float(gammaln(self.shape)))
            return density / survival / self.scale_s
        term, total = 1.0, 1.0
        for k in range(1, 40):
            term *= (self.shape - k) / x
            total += term
        return 1.0 / (total * self.scale_s)


@dataclass(frozen=True, slots=True)
class Fixed(_Median):
    """A constant time.

    Parameters
    ----------
    time_s : float
        Seconds, not negative.
    """

    time_s: float

    def __post_init__(self) -> None:
        if not (self.time_s >= 0 and math.isfinite(self.time_s)):
            raise ValueError(f"a fixed time must be finite and not negative, got {self.time_s!r}")

    @property
    def mean_s(self) -> float:
        """Mean, seconds."""
        return self.time_s

    def quantile(self, p: float) -> float:
        """Return the constant, s."""
        _level(p)
        return self.time_s

    def cdf(self, time_s: float) -> float:
        """Return 0 before the constant, 1 from it on."""
        return 1.0 if time_s >= self.time_s else 0.0

    def hazard(self, age_s: float) -> float:
        """Return 0 before the constant, infinity from it on, 1/s."""
        return math.inf if age_s >= self.time_s else 0.0


@dataclass(frozen=True, slots=True)
class Empirical(_Median):
    """Each of the observed durations is equally likely.

    Parameters
    ----------
    values_s : tuple of float
        Durations, seconds, not negative; at least one. Kept sorted.

    Notes
    -----
    Nothing is interpolated or extrapolated: the mean of the law is the mean of the data, and nothing lasts
    longer than the longest duration observed.
    """

    values_s: tuple[float, ...]
    mean_s: float = field(init=False)

    def __post_init__(self) -> None:
        if not self.values_s:
            raise ValueError("an empirical law needs at least one duration")
        if not all(value >= 0 and math.isfinite(value) for value in self.values_s):
            raise ValueError("the durations of an empirical law must be finite and not negative")
        object.__setattr__(self, "values_s", tuple(sorted(self.values_s)))
        object.__setattr__(self, "mean_s", math.fsum(self.values_s) / len(self.values_s))

    def quantile(self, p: float) -> float:
        """Return the shortest observed duration that a share `p` of them does not exceed, s."""
        n = len(self.values_s)
        rank = math.ceil(_level(p) * n)
        # p = k / n times n may come out a hair above k and would then name the next duration.
        if rank > 1 and (rank - 1) / n >= p:
            rank -= 1
        return self.values_s[rank - 1]

    def cdf(self, time_s: float) -> float:
        """Return the share of observed durations that are at most `time_s`."""
        return bisect_right(self.values_s, time_s) / len(self.values_s)

    def hazard(self, age_s: float) -> float:
        """Return infinity at an observed duration and past the longest, 0 elsewhere, 1/s."""
        place = bisect_left(self.values_s, age_s)
        return math.inf if place == len(self.values_s) or self.values_s[place] == age_s else 0.0


def law_of(spec: LawSpec) -> Law:
    """Make the law that a scenario names.

    Parameters
    ----------
    spec : LawSpec
        As loaded; an empirical one has its values filled in.

    Returns
    -------
    Law
        In seconds.

    Raises
    ------
    ValueError
        If an empirical law was not filled from its file.
    """
    if spec.exponential is not None:
        return Exponential(spec.exponential.mean)
    if spec.lognormal is not None:
        return _lognormal_of(spec)
    if spec.weibull is not None:
        return Weibull(spec.weibull.mean, spec.weibull.shape)
    if spec.gamma is not None:
        return Gamma(spec.gamma.mean, spec.gamma.shape)
    if spec.fixed is not None:
        return Fixed(spec.fixed)
    assert spec.empirical is not None, "LawSpec guarantees exactly one key"
    if spec.empirical.values_s is None:
        raise ValueError(f"the empirical law of {spec.empirical.file} was not filled from its file")
    if spec.empirical.fitted is not None:
        return fitted(spec.empirical.fitted, spec.empirical.values_s)
    return Empirical(spec.empirical.values_s)


def fitted(kind: str, values_s: tuple[float, ...]) -> Exponential | Lognormal | Weibull:
    """Return the law of a kind that makes durations most likely.

    Parameters
    ----------
    kind : str
        `exponential`, `lognormal` (its variance with n - 1) or `weibull`.
    values_s : tuple of float
        Durations, seconds, positive, at least two, not all equal.

    Raises
    ------
    ValueError
        If the durations cannot be fitted or the kind is unknown.
    """
    logs = [math.log(value) for value in values_s if value > 0]
    n = len(logs)
    if n < len(values_s) or n < 2 or max(logs) - min(logs) < 1e-9:
        raise ValueError("a law is fitted to at least two positive durations that differ")
    if kind == "exponential":
        return Exponential(math.fsum(values_s) / n)
    centre = math.fsum(logs) / n
    if kind == "lognormal":
        return Lognormal(math.exp(centre), math.sqrt(math.fsum((x - centre) ** 2 for x in logs) / (n - 1)))
    if kind != "weibull":
        raise ValueError(f"got {kind}, expected exponential, lognormal or weibull")
    return _weibull_fit(logs, centre)


def _weibull_fit(logs: list[float], centre: float) -> Weibull:
    """Maximum likelihood: the shape k solves sum x^k ln x / sum x^k - 1 / k = mean ln x, which grows with k."""
    top = max(logs)

    def excess(shape: float) -> float:
        weights = [math.exp(shape * (x - top)) for x in logs]
        return math.fsum(w * x for w, x in zip(weights, logs, strict=True)) / math.fsum(weights) - 1 / shape - centre

    low, high = 0.01, 1000.0
    for _ in range(100):
        middle = math.sqrt(low * high)
        low, high = (middle, high) if excess(middle) < 0 else (low, middle)
    shape = math.sqrt(low * high)
    scale = math.exp(top) * (math.fsum(math.exp(shape * (x - top)) for x in logs) / len(logs)) ** (1 / shape)
    return Weibull(scale * math.gamma(1.0 + 1.0 / shape), shape)


def _lognormal_of(spec: LawSpec) -> Lognormal:
    given = spec.lognormal
    assert given is not None
    if given.median is not None and given.p95 is not None:
        return Lognormal.of_median_p95(given.median, given.p95)
    assert given.sigma is not None, "the schema guarantees a spread"
    if given.median is not None:
        return Lognormal(given.median, given.sigma)
    assert given.mean is not None, "the schema guarantees a place"
    return Lognormal.of_mean_sigma(given.mean, given.sigma)
