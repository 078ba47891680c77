"""Coverage of every interval on data of known law: at least nominal less 4 standard errors.

Fast version: some hundred repetitions of each case. Coverage of intervals that are conservative by design (exact ones,
bounds, few events) may lie above nominal; the required width beside each case keeps them from being vacuous.
"""

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from sim.estimate import (
    Estimate,
    better_probability,
    mean_interval,
    paired_difference,
    proportion_interval,
    quantile_interval,
    rate_interval,
    ratio_difference,
    ratio_interval,
)

REPETITIONS = 500
NOMINAL = 0.95
LEAST = NOMINAL - 4 * math.sqrt(NOMINAL * (1 - NOMINAL) / REPETITIONS)  # 0.911

Make = Callable[[np.random.Generator], Estimate]


def coverage(make: Make, truth: float, seed: int = 1) -> tuple[float, float]:
    """Return the share of intervals that hold the truth, and their median width."""
    rng = np.random.default_rng(seed)
    found = [make(rng) for _ in range(REPETITIONS)]
    held = sum(estimate.low <= truth <= estimate.high for estimate in found)
    return held / REPETITIONS, float(np.median([estimate.high - estimate.low for estimate in found]))


def zero_inflated(rng: np.random.Generator, n: int, prob: float, log_sd: float) -> np.ndarray:
    """Return n trials of which a share has a lognormal amount of median 1, and the others nothing."""
    return np.where(rng.random(n) < prob, rng.lognormal(0.0, log_sd, n), 0.0)


@pytest.mark.parametrize("log_sd", [0.5, 1.0, 1.4])
@pytest.mark.parametrize(
    ("n", "prob"), [(20, 0.2), (20, 1.0), (50, 0.5), (100, 0.05), (100, 0.2), (300, 0.2), (1000, 0.02)]
)
def test_mean_of_zero_inflated_lognormal_trials(n: int, prob: float, log_sd: float) -> None:
    truth = prob * math.exp(log_sd**2 / 2)
    held, width = coverage(lambda rng: mean_interval(zero_inflated(rng, n, prob, log_sd), bounds=(0.0, 1e4)), truth)
    assert held >= LEAST
    # Events expected; the interval of k events of the heaviest law may be this many times the mean and no more.
    assert width <= truth * (12 if n * prob < 10 else 4)


def test_mean_keeps_its_coverage_when_hardly_anything_is_seen() -> None:
    """One event expected in 100 trials: in 37 % of the samples there is none, and the bound alone must hold."""
    truth = 0.01 * math.exp(1.4**2 / 2)
    held, width = coverage(lambda rng: mean_interval(zero_inflated(rng, 100, 0.01, 1.4), bounds=(0.0, 1e3)), truth)
    assert held >= LEAST
    assert width < 100  # a tenth of what is possible at all


@pytest.mark.parametrize(("n", "prob"), [(20, 1.0), (100, 0.2), (300, 0.2)])
def test_log_sd_1_8_is_beyond_the_promise_and_loses_little(n: int, prob: float) -> None:
    """With amounts this heavy (mean five times the median) samples hide their tail; the loss stays below 4 points."""
    truth = prob * math.exp(1.8**2 / 2)
    held, width = coverage(lambda rng: mean_interval(zero_inflated(rng, n, prob, 1.8), bounds=(0.0, 1e5)), truth)
    assert held >= LEAST - 0.04
    assert width <= 6 * truth


def test_heavy_tails_are_noted() -> None:
    rng = np.random.default_rng(11)
    heavy = [mean_interval(rng.lognormal(0.0, 2.5, 200)) for _ in range(50)]
    light = [mean_interval(rng.lognormal(0.0, 1.0, 200)) for _ in range(50)]
    assert sum(estimate.note.startswith("heavy tail") for estimate in heavy) >= 40
    assert not any(estimate.note.startswith("heavy tail") for estimate in light)


def test_plain_t_is_not_enough_negative_control() -> None:
    def plain(rng: np.random.Generator) -> Estimate:
        x = zero_inflated(rng, 100, 0.05, 1.4)
        mean = float(x.mean())
        reach = float(stats.t.ppf(0.975, 99) * x.std(ddof=1)) / 10
        return Estimate(mean, mean - reach, mean + reach, 0.95, 100)

    held, _ = coverage(plain, 0.05 * math.exp(1.4**2 / 2))
    assert held < LEAST


class TestTimeAverage:
    """C01v: the share of up time of one unit over a year has a known variance."""

    failure_rate, repair_rate, horizon, n = 0.001, 0.25, 8760.0, 100
    availability = repair_rate / (failure_rate + repair_rate)
    variance = 3.60783918273e-06

    def trials(self, rng: np.random.Generator) -> np.ndarray:
        """Return n trials from stationarity: up cycles of mean 1000 h, down ones of 4 h."""
        n_cycles = 40  # 40 cycles last 40 000 h on average; a year holds more with probability below 1e-12
        up = rng.exponential(1 / self.failure_rate, (self.n, n_cycles))
        down = rng.exponential(1 / self.repair_rate, (self.n, n_cycles))
        starts_down = rng.random(self.n) > self.availability
        up[starts_down, 0] = 0.0
        ends = np.cumsum(up + down, axis=1)
        begins = ends - down
        cut = np.minimum(ends, self.horizon) - np.minimum(begins, self.horizon)
        return 1 - cut.sum(axis=1) / self.horizon

    def test_the_trials_have_the_exact_variance(self) -> None:
        rng = np.random.default_rng(3)
        x = np.concatenate([self.trials(rng) for _ in range(200)])
        standard_error = self.variance * math.sqrt((stats.kurtosis(x) + 2) / x.size)
        assert abs(x.var(ddof=1) - self.variance) <= 4 * standard_error
        assert standard_error <= 0.03 * self.variance
        assert abs(x.mean() - self.availability) <= 4 * math.sqrt(self.variance / x.size)

    def test_intervals_have_their_coverage_and_the_width_that_the_variance_asks_for(self) -> None:
        held, width = coverage(lambda rng: mean_interval(self.trials(rng), bounds=(0.0, 1.0)), self.availability)
        exact_width = 2 * stats.t.ppf(0.975, self.n - 1) * math.sqrt(self.variance / self.n)
        assert held >= LEAST
        assert held <= NOMINAL + 0.04
        assert width == pytest.approx(exact_width, rel=0.10)

    def test_a_tenth_of_the_variance_is_caught_negative_control(self) -> None:
        def too_narrow(rng: np.random.Generator) -> Estimate:
            x = self.trials(rng)
            reach = 1.96 * math.sqrt(float(x.var(ddof=1)) / 10 / self.n)
            return Estimate(float(x.mean()), float(x.mean()) - reach, float(x.mean()) + reach, 0.95, self.n)

        held, _ = coverage(too_narrow, self.availability)
        assert held < LEAST


@pytest.mark.parametrize(("n", "prob"), [(20, 0.5), (50, 0.1), (200, 0.02), (1000, 0.002)])
def test_proportions(n: int, prob: float) -> None:
    for method in ("wilson", "exact"):
        held, width = coverage(lambda rng, m=method: proportion_interval(int(rng.binomial(n, prob)), n, method=m), prob)
        assert held >= LEAST
        assert width <= 6 * math.sqrt(prob / n)


@pytest.mark.parametrize("mean", [0.5, 3.0, 30.0])
def test_rates(mean: float) -> None:
    held, width = coverage(lambda rng: rate_interval(int(rng.poisson(mean)), 1.0), mean)
    assert held >= LEAST
    assert width <= 6 * max(math.sqrt(mean), 1.0)


@pytest.mark.parametrize(("n", "level"), [(50, 0.5), (200, 0.9), (1000, 0.99)])
def test_quantiles(n: int, level: float) -> None:
    truth = float(stats.lognorm.ppf(level, 1.4))
    held, width = coverage(lambda rng: quantile_interval(rng.lognormal(0, 1.4, n), level), truth)
    density = float(stats.lognorm.pdf(truth, 1.4))
    assert held >= LEAST
    assert width <= 6 * math.sqrt(level * (1 - level) / n) / density


def clustered(rng: np.random.Generator, n: int, prob: float) -> tuple[np.ndarray, np.ndarray]:
    """Return (events, opportunities) of trials whose event probability differs from trial to trial, mean `prob`."""
    opportunities = rng.poisson(10, n) + 1
    of_trial = np.minimum(prob * rng.exponential(1.0, n), 1.0)
    return rng.binomial(opportunities, of_trial).astype(float), opportunities.astype(float)


@pytest.mark.parametrize(("n", "prob"), [(50, 0.1), (200, 0.1), (200, 0.003), (1000, 0.0005)])
def test_ratios_of_clustered_trials(n: int, prob: float) -> None:
    # E[min(p E, 1)] for exponential E; opportunities are independent of it.
    truth = prob * (1 - math.exp(-1 / prob))
    held, width = coverage(lambda rng: ratio_interval(*clustered(rng, n, prob), bounds=(0.0, 1.0)), truth)
    assert held >= LEAST
    assert width <= truth * (20 if n * prob * 11 < 10 else 1.5)


def test_ratios_that_ignore_the_clusters_are_too_narrow_negative_control() -> None:
    def pooled(rng: np.random.Generator) -> Estimate:
        events, opportunities = clustered(rng, 200, 0.1)
        return proportion_interval(events.sum(), int(opportunities.sum()))

    held, _ = coverage(pooled, 0.1 * (1 - math.exp(-10)))
    assert held < LEAST


def test_differences_of_ratios() -> None:
    def difference(rng: np.random.Generator) -> Estimate:
        history = rng.exponential(1.0, 200)
        opportunities = rng.poisson(10, 200) + 1
        a, b = (rng.binomial(opportunities, np.minimum(p * history, 1.0)).astype(float) for p in (0.1, 0.05))
        return ratio_difference((a, opportunities), (b, opportunities), bounds=(0.0, 1.0))

    truth = 0.1 * (1 - math.exp(-10)) - 0.05 * (1 - math.exp(-20))
    held, width = coverage(difference, truth)
    assert held >= LEAST
    assert width <= 0.05


@pytest.mark.parametrize("prob", [0.02, 0.3])
def test_paired_differences(prob: float) -> None:
    """A loses a lognormal amount where B loses half of it: mean difference prob x E / 2."""

    def difference(rng: np.random.Generator) -> Estimate:
        losses = zero_inflated(rng, 200, prob, 1.0)
        return paired_difference(losses, losses / 2, bounds=(-1e3, 1e3))

    truth = prob * math.exp(0.5) / 2
    held, width = coverage(difference, truth)
    assert held >= LEAST
    assert width <= truth * (25 if prob < 0.1 else 1.5)


def test_probability_of_being_better() -> None:
    """P(A > B) of two normals one standard deviation apart, and a fifth of the trials tied."""

    def better(rng: np.random.Generator) -> Estimate:
        a, b = rng.normal(1, 1, 100), rng.normal(0, 1, 100)
        return better_probability(np.where(rng.random(100) < 0.2, b, a), b)

    truth = 0.8 * stats.norm.cdf(1 / math.sqrt(2)) + 0.2 * 0.5
    held, width = coverage(better, truth)
    assert held >= LEAST
    assert width <= 0.22
