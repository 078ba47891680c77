"""Laws that are themselves estimates: drawn anew for each pair of trials, so that not knowing them well is seen.

An uncertain law says how well it is known: an interval of its mean or median, the number of failures that it was
estimated from, or the durations that it was fitted to. Trials 2k and 2k + 1 share draw k of all of them: one trial per
draw would serve the mean best, but only two tell apart what comes from the parameters and what from chance within a
trial (`sim.estimate.nested`). Draws are keyed by (seed, draw, place of the law, parameter), so that architectures that
share a fault share what is not known of it.
"""

import math
from collections.abc import Iterator
from statistics import NormalDist
from typing import Any, Final

from sim.laws import Exponential, Lognormal, Weibull, fitted, law_of
from sim.randomness import uniform
from sim.scenario.schema import LawSpec, Scenario
from sim.scenario.spec import ExponentialLaw, LognormalLaw, Spec, WeibullLaw

INNER: Final = 2
"""Trials per draw of the parameters."""
_Z: Final = NormalDist().inv_cdf(0.975)
_PLACES: Final = {"exponential": "mean", "lognormal": "median", "weibull": "mean", "gamma": "mean"}

_last: list[tuple[Scenario, tuple[tuple[str, ...], ...]]] = []
"""The scenario asked for last and its uncertain laws: a worker runs many trials of one."""


def uncertain_laws(scenario: Scenario) -> tuple[tuple[str, ...], ...]:
    """Paths of the laws that say how well they are known, e.g. ('faults', 'region-loss', 'every')."""
    if not (_last and _last[0][0] is scenario):
        _last[:] = [(scenario, tuple(_found(scenario, ())))]
    return _last[0][1]


def _found(part: object, path: tuple[str, ...]) -> Iterator[tuple[str, ...]]:
    if isinstance(part, LawSpec):
        if _is_uncertain(part):
            yield path
    elif isinstance(part, Spec):
        for name in type(part).model_fields:
            yield from _found(getattr(part, name), (*path, name))
    elif isinstance(part, dict):
        for key, value in part.items():
            yield from _found(value, (*path, str(key)))
    elif isinstance(part, tuple):
        for k, value in enumerate(part):
            yield from _found(value, (*path, str(k)))


def _is_uncertain(law: LawSpec) -> bool:
    if law.empirical is not None:
        return law.empirical.fitted is not None
    exponential = law.exponential
    if exponential is not None and exponential.failures is not None:
        return True
    return any(getattr(getattr(law, kind), "interval", None) is not None for kind in _PLACES)


def with_drawn_parameters(scenario: Scenario, trial: int) -> Scenario:
    """The scenario of a trial: its uncertain laws replaced by draws; itself if it has none."""
    paths = uncertain_laws(scenario)
    for path in paths:
        scenario = _replaced(scenario, path, scenario.seed, trial // INNER, ".".join(path))
    return scenario


def _replaced(part: Any, path: tuple[str, ...], seed: int, draw: int, where: str) -> Any:
    if not path:
        return _drawn(part, seed, draw, where)
    key, rest = path[0], path[1:]
    if isinstance(part, Spec):
        return part.model_copy(update={key: _replaced(getattr(part, key), rest, seed, draw, where)})
    if isinstance(part, tuple):
        k = int(key)
        return (*part[:k], _replaced(part[k], rest, seed, draw, where), *part[k + 1 :])
    return part | {key: _replaced(part[key], rest, seed, draw, where)}


def _drawn(law: LawSpec, seed: int, draw: int, where: str) -> LawSpec:
    def u(parameter: str) -> float:
        return uniform(seed, draw, where, f"parameter {parameter}", 0)

    if law.empirical is not None:
        return _refitted(law, u("place"), u("spread"))
    if law.exponential is not None and law.exponential.failures is not None:
        mean = mean_drawn(law.exponential.mean, law.exponential.failures, u("place"))
        return LawSpec(exponential=ExponentialLaw(mean=mean))
    kind = next(kind for kind in _PLACES if getattr(law, kind) is not None)
    block, place = getattr(law, kind), _PLACES[kind]
    low, high = block.interval
    place = place if getattr(block, place) is not None else "mean"
    value = within(getattr(block, place), low, high, u("place"))
    changes = {place: value, "interval": None}
    if kind == "lognormal" and block.p95 is not None:
        changes["p95"] = block.p95 * value / block.median  # the spread of the logarithm stays
    return law.model_copy(update={kind: block.model_copy(update=changes)})


def mean_drawn(mean: float, failures: int, u: float) -> float:
    """A mean time to failure that `failures` failures in failures x mean of time allow, at level `u`.

    The rate has a gamma law of this shape, so that its quantiles are the exact confidence limits of tests that end
    with a failure (2 x failures x mean / true mean is chi-squared; Epstein and Sobel 1953). Grows with `u`.
    """
    from scipy.special import gammaincinv

    return failures * mean / float(gammaincinv(failures, 1.0 - u))


def within(value: float, low: float, high: float, u: float) -> float:
    """A positive quantity with this median, of which 95 % lies in [low, high], at level `u`; lognormal on each side."""
    z = NormalDist().inv_cdf(u) / _Z
    return value * (math.exp(-z * math.log(low / value)) if z < 0 else math.exp(z * math.log(high / value)))


def _refitted(law: LawSpec, u_place: float, u_spread: float) -> LawSpec:
    """A law that the durations allow, instead of the one fitted to them.

    Exponential: gamma law of the rate. Lognormal: the posterior of mean and variance of normal data under the usual
    reference prior, whose marginals are Student's t and inverse chi-squared. Weibull: logarithms of scale and shape are
    normal about their maximum-likelihood values, with the large-sample covariance (Bain and Engelhardt 1991, 4.2.3).
    """
    from scipy.special import gammaincinv

    assert law.empirical is not None
    assert law.empirical.fitted is not None
    assert law.empirical.values_s is not None
    n, point = len(law.empirical.values_s), fitted(law.empirical.fitted, law.empirical.values_s)
    z_place, z_spread = NormalDist().inv_cdf(u_place), NormalDist().inv_cdf(u_spread)
    if isinstance(point, Exponential):
        return LawSpec(exponential=ExponentialLaw(mean=mean_drawn(point.mean_s, n, u_place)))
    if isinstance(point, Lognormal):
        chi_squared = 2.0 * float(gammaincinv((n - 1) / 2, 1.0 - u_spread))
        sigma = point.sigma * math.sqrt((n - 1) / chi_squared)
        median = point.median_s * math.exp(z_place * sigma / math.sqrt(n))
        return LawSpec(lognormal=LognormalLaw(median=median, sigma=min(max(sigma, 1e-6), 10.0)))
    assert isinstance(point, Weibull)
    # Covariance of (ln scale, ln shape): [1.1087 / shape^2, 0.2570 / shape; ., 0.6079] / n.
    ln_shape = z_spread * math.sqrt(0.6079 / n)
    shape = point.shape * math.exp(ln_shape)
    rest = math.sqrt(1.1087 - 0.2570**2 / 0.6079) / point.shape / math.sqrt(n)
    scale = point.scale_s * math.exp(0.2570 / 0.6079 * ln_shape / point.shape + rest * z_place)
    shape = min(max(shape, 0.1), 20.0)
    return LawSpec(weibull=WeibullLaw(mean=scale * math.gamma(1.0 + 1.0 / shape), shape=shape))


def mean_of(law: LawSpec) -> float:
    """Mean of a law as it is written, s."""
    return law_of(law).mean_s
