"""Means of the worst trials: by hand, with an interval that covers, or with the reason for none."""

import math

import numpy as np
import pytest
from scipy import stats

from sim.errors import UsageError
from sim.estimate import quantile_interval, tail_mean_interval
from sim.estimate.tails import tail_mean

RNG = np.random.default_rng(2)


def test_by_hand() -> None:
    assert tail_mean([1.0, 2.0, 3.0, 10.0], 0.5) == pytest.approx(6.5)
    assert tail_mean([1.0, 2.0, 3.0, 10.0], 0.625) == pytest.approx((10 + 0.5 * 3) / 1.5)
    assert tail_mean([7.0], 0.95) == pytest.approx(7.0)


def test_many_trials_have_the_normal_interval() -> None:
    """Exponential: tail mean 1 + q; its variance by the influence function, (1 + level) / (1 - level) / n."""
    n, level = 40_000, 0.9
    found = tail_mean_interval(RNG.exponential(size=n), level, bounds=(0.0, math.inf))
    truth = 1 - math.log(1 - level)
    error = math.sqrt((1 + level) / (1 - level) / n)
    assert abs(found.mean - truth) <= 4 * error
    assert found.high - found.low == pytest.approx(2 * 1.96 * error, rel=0.1)


def test_too_few_in_the_tail_are_refused_with_the_number_that_it_takes() -> None:
    values = RNG.lognormal(0, 1, 200)
    found = tail_mean_interval(values, 0.95, bounds=(0.0, 8760.0))
    assert (found.high, found.seen) == (8760.0, False)
    assert found.low == pytest.approx(min(quantile_interval(values, 0.95).low, found.mean))
    assert found.note == "too few: 200 trials say too little of their worst 0.05; it takes 400"
    assert math.isinf(tail_mean_interval(values, 0.95).high)


def test_a_tail_that_hardly_any_trial_reaches_is_refused() -> None:
    values = np.append(np.zeros(995), [1.0, 2.0, 3.0, 4.0, 5.0])
    found = tail_mean_interval(values, 0.95, bounds=(0.0, 100.0))
    assert (found.seen, found.note) == (False, "too few: only 5 of 1000 trials are beyond the quantile")


def test_the_worst_cost_more_than_the_quantile() -> None:
    values = RNG.lognormal(0, 1.4, 1000)
    found, quantile = tail_mean_interval(values, 0.95), quantile_interval(values, 0.95)
    assert found.mean > quantile.mean
    assert found.high >= quantile.high


def test_refusals() -> None:
    with pytest.raises(UsageError, match="level of a tail"):
        tail_mean_interval([1.0], 1.0)
    with pytest.raises(UsageError, match="outside their bounds"):
        tail_mean_interval([1.0, 2.0], 0.5, bounds=(0.0, 1.5))


def test_a_normal_interval_of_the_tail_alone_is_not_enough_negative_control() -> None:
    """As if the quantile were known and the trials beyond it were all there is: too narrow."""
    level, n, log_sd = 0.95, 1000, 1.0
    z = stats.norm.ppf(level)
    truth = math.exp(log_sd**2 / 2) * stats.norm.cdf(log_sd - z) / (1 - level)
    held = {"ours": 0, "beyond alone": 0}
    for _ in range(300):
        values = np.sort(RNG.lognormal(0, log_sd, n))
        worst = values[-50:]
        found = tail_mean_interval(values, level)
        held["ours"] += found.low <= truth <= found.high
        held["beyond alone"] += abs(worst.mean() - truth) <= 1.96 * worst.std(ddof=1) / math.sqrt(50)
    least = 0.95 - 4 * math.sqrt(0.95 * 0.05 / 300)
    assert held["ours"] / 300 >= least
    assert held["beyond alone"] / 300 < least
