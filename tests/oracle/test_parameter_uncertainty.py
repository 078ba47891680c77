"""Second-order Monte Carlo of one repairable unit against the exact law of its availability.

The mean time to failure of C01 (1,000 h, repair 4 h) is estimated from few failures, so that its rate has a gamma law
and the availability mu / (lambda + mu) a law whose every moment is an integral. Trials are a year of the unit.
"""

import math

import numpy as np
import pytest
from scipy import integrate, stats

from sim.estimate import Spread, mean_interval, parameter_spread
from sim.study.parameters import INNER, mean_drawn

MEAN_H, REPAIR_H, YEAR_H, FAILURES = 1000.0, 4.0, 8760.0, 6


def exact() -> tuple[float, float]:
    """Mean and standard deviation of the long-run availability over the gamma law of the failure rate."""
    law = stats.gamma(FAILURES, scale=1 / (FAILURES * MEAN_H))
    moments = [
        integrate.quad(lambda r, k=k: law.pdf(r) * (1 / (1 + r * REPAIR_H)) ** k, 0, law.ppf(1 - 1e-12), limit=200)[0]
        for k in (1, 2)
    ]
    return moments[0], math.sqrt(moments[1] - moments[0] ** 2)


def year(rng: np.random.Generator, mean_h: float) -> float:
    """Share of up time in a year from the long run."""
    n = int(2 * YEAR_H / mean_h + 40)
    up, down = rng.exponential(mean_h, n), rng.exponential(REPAIR_H, n)
    if rng.random() < REPAIR_H / (mean_h + REPAIR_H):
        up[0] = 0.0
    ends = np.cumsum(up + down)
    assert ends[-1] > YEAR_H
    return 1.0 - float((np.minimum(ends, YEAR_H) - np.minimum(ends - down, YEAR_H)).sum()) / YEAR_H


def sample(rng: np.random.Generator, n_outer: int) -> np.ndarray:
    means = [mean_drawn(MEAN_H, FAILURES, u) for u in rng.random(n_outer)]
    return np.array([[year(rng, mean) for _ in range(INNER)] for mean in means])


def test_mean_and_parameter_part_are_exact() -> None:
    mean, sd = exact()
    samples = [sample(np.random.default_rng(seed), 300) for seed in range(40)]
    means = np.array([values.mean() for values in samples])
    assert abs(means.mean() - mean) <= 4 * means.std(ddof=1) / math.sqrt(40)
    # The variance is what is estimated without bias; its spread over the samples gives the standard error.
    variances = np.array([parameter_spread(values).sd ** 2 for values in samples])
    error = variances.std(ddof=1) / math.sqrt(40)
    assert error <= 0.1 * sd**2
    assert abs(variances.mean() - sd**2) <= 4 * error
    assert np.median([parameter_spread(values).share for values in samples]) == pytest.approx(0.35, abs=0.15)


def test_the_range_is_that_of_the_availability_itself() -> None:
    found = parameter_spread(sample(np.random.default_rng(99), 4000))
    low, high = (1 / (1 + REPAIR_H / mean_drawn(MEAN_H, FAILURES, u)) for u in (0.025, 0.975))
    assert found.low == pytest.approx(low, abs=0.3 * (high - low))
    assert found.high == pytest.approx(high, abs=0.3 * (high - low))


def test_sampling_counted_as_parameters_negative_control() -> None:
    """The spread of the pairs' means alone, without what comes from within a pair, is too large."""
    _, sd = exact()
    variances = np.array([sample(np.random.default_rng(seed), 300).mean(axis=1).var(ddof=1) for seed in range(40)])
    assert abs(variances.mean() - sd**2) > 4 * variances.std(ddof=1) / math.sqrt(40)


def test_pairs_taken_for_independent_trials_cover_too_little_negative_control() -> None:
    """The mean over draws: pairs as units cover, single trials as units do not when parameters dominate."""
    held = {"pairs": 0, "single": 0}
    for seed in range(400):
        rng = np.random.default_rng(seed)
        outer = rng.normal(0.0, 1.0, 50)
        values = outer[:, None] + rng.normal(0.0, 0.1, (50, INNER))
        for name, part in (("pairs", values.mean(axis=1)), ("single", values.ravel())):
            found = mean_interval(part)
            held[name] += found.low <= 0.0 <= found.high
    least = 0.95 - 4 * math.sqrt(0.95 * 0.05 / 400)
    assert held["pairs"] / 400 >= least
    assert held["single"] / 400 < least


def test_nothing_from_parameters_is_nothing() -> None:
    values = np.random.default_rng(1).normal(size=(500, 2))
    values -= values.mean(axis=1, keepdims=True)  # within pairs only
    assert parameter_spread(values) == Spread(0.0, pytest.approx(0.0), pytest.approx(0.0), 0.0, 500)
