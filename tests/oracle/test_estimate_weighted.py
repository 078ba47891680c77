"""Likelihood ratios: right where they carry the answer, refused where they do not.

The case that must be refused is that of eight units over a year whose failures are all drawn 1.5 or 2 times as often:
the estimate looks precise and is a third, or a thousandth, of the truth.
"""

import math

import numpy as np
import pytest
from scipy import stats

from sim.errors import UsageError
from sim.estimate import Estimate, effective_sample_size, weighted_mean, weights_problem

UNITS, NEEDED_DOWN = 8, 3
FAILURE_RATE, REPAIR_RATE, YEAR_H = 1e-3, 0.2, 8760.0
U = FAILURE_RATE / (FAILURE_RATE + REPAIR_RATE)
TRUTH = float(stats.binom.sf(NEEDED_DOWN - 1, UNITS, U))  # 6.8e-6: at least 3 of 8 down


def tapes(rng: np.random.Generator, n: int, factor: float) -> tuple[np.ndarray, np.ndarray]:
    """Share of the year with at least three of eight units down, and the likelihood ratio, of n whole-year tapes."""
    expected = YEAR_H * FAILURE_RATE * factor
    most = int(expected + 8 * math.sqrt(expected) + 10)
    up = rng.exponential(1 / (FAILURE_RATE * factor), (n, UNITS, most))
    down = rng.exponential(1 / REPAIR_RATE, (n, UNITS, most))
    ends = np.cumsum(up + down, axis=2)
    begins = ends - down
    assert ends[:, :, -1].min() > YEAR_H
    n_failures = (begins < YEAR_H).sum(axis=(1, 2))
    up_since = np.concatenate([np.zeros((n, UNITS, 1)), ends[:, :, :-1]], axis=2)
    up_h = (np.minimum(begins, YEAR_H) - np.minimum(up_since, YEAR_H)).sum(axis=(1, 2))
    weights = np.exp(-n_failures * math.log(factor) + FAILURE_RATE * (factor - 1) * up_h)
    at = np.concatenate([begins.reshape(n, -1), ends.reshape(n, -1)], axis=1).clip(max=YEAR_H)
    step = np.concatenate([np.ones((n, UNITS * most)), -np.ones((n, UNITS * most))], axis=1)
    order = np.argsort(at, axis=1)
    n_down = np.cumsum(np.take_along_axis(step, order, axis=1), axis=1)
    lasts = np.diff(np.take_along_axis(at, order, axis=1), axis=1)
    return (lasts * (n_down[:, :-1] >= NEEDED_DOWN)).sum(axis=1) / YEAR_H, weights


def sampled(factor: float, n: int) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(1)
    parts = [tapes(rng, 500, factor) for _ in range(n // 500)]
    return np.concatenate([part[0] for part in parts]), np.concatenate([part[1] for part in parts])


def test_plain_tapes_see_the_truth() -> None:
    values, weights = sampled(1.0, 10_000)
    found = weighted_mean(values, weights, bounds=(0.0, 1.0))
    error = values.std(ddof=1) / math.sqrt(values.size)
    assert error <= 0.1 * TRUTH
    assert abs(found.mean - TRUTH) <= 4 * error
    assert found.seen


@pytest.mark.parametrize(("factor", "of_truth"), [(1.5, 0.5), (2.0, 0.005)])
def test_biased_whole_years_look_precise_are_wrong_and_are_refused(factor: float, of_truth: float) -> None:
    """Sixteen samples of 1,000 tapes: the typical one is far too low, its usual interval excludes the truth."""
    means, highs = [], []
    values, weights = sampled(factor, 16_000)
    for part in np.split(np.arange(16_000), 16):
        products = values[part] * weights[part]
        means.append(products.mean())
        highs.append(products.mean() + 1.96 * products.std(ddof=1) / math.sqrt(products.size))
        found = weighted_mean(values[part], weights[part], bounds=(0.0, 1.0))
        assert (found.low, found.high, found.seen) == (0.0, 1.0, False)
        assert found.note.startswith("refused: ")
    assert np.median(means) <= of_truth * TRUTH
    assert np.mean(np.array(highs) < TRUTH) >= 0.5


def test_a_normal_tail_by_a_shifted_normal_covers() -> None:
    """P(Z > 4.5) = 3.4e-6 from Z + 4.5; E[w] = 1 fails for the shift, so the mixture with the law itself is used."""
    truth = float(stats.norm.sf(4.5))
    rng = np.random.default_rng(4)
    held, widths, refused = 0, [], 0
    for _ in range(400):
        x = rng.normal(size=2000) + np.where(rng.random(2000) < 0.5, 4.5, 0.0)
        density = 0.5 * stats.norm.pdf(x) + 0.5 * stats.norm.pdf(x - 4.5)
        found = weighted_mean((x > 4.5).astype(float), stats.norm.pdf(x) / density, bounds=(0.0, 1.0))
        held += found.low <= truth <= found.high
        refused += not found.seen
        widths.append(found.high - found.low)
    assert held / 400 >= 0.95 - 4 * math.sqrt(0.95 * 0.05 / 400)
    assert refused <= 4
    assert np.median(widths) <= 0.4 * truth


def test_a_shift_that_never_draws_the_middle_is_refused() -> None:
    """The pure shift by 4.5 gives the right tail, but nothing in the sample can tell: the weights' mean is not 1."""
    x = np.random.default_rng(5).normal(size=2000) + 4.5
    assert weights_problem(np.exp(-4.5 * x + 4.5**2 / 2)) != ""


class TestChecks:
    """Effective sizes, shares, refusals."""

    def test_kish(self) -> None:
        assert effective_sample_size([1.0] * 50) == pytest.approx(50)
        assert effective_sample_size([1.0, 0.0, 0.0]) == pytest.approx(1)
        assert effective_sample_size([0.0, 0.0]) == 0

    def test_equal_weights_are_the_plain_mean(self) -> None:
        values = np.random.default_rng(6).exponential(size=200)
        found = weighted_mean(values, np.ones(200))
        assert found.mean == pytest.approx(values.mean())
        assert found.seen

    @pytest.mark.parametrize(
        ("values", "weights", "said"),
        [
            ([1.0] * 50 + [1e4], [1.0] * 51, "one trial carries|are worth"),
            ([0.0] * 95 + [1.0] * 5, [1.0] * 100, "5 of 100 trials carry the mean"),
            ([1.0] * 100, [0.5] * 100, "all 0.5, not 1"),
            ([1.0] * 100, [0.0] * 100, "all weights are 0"),
        ],
    )
    def test_refused(self, values: list[float], weights: list[float], said: str) -> None:
        found = weighted_mean(values, weights)
        assert isinstance(found, Estimate)
        assert not found.seen
        assert math.isinf(found.high)
        assert any(part in found.note for part in said.split("|"))

    def test_wrong_numbers_are_errors(self) -> None:
        with pytest.raises(UsageError, match="not be negative"):
            weighted_mean([1.0, 2.0], [1.0, -1.0])
        with pytest.raises(UsageError, match="needs its weight"):
            weighted_mean([1.0, 2.0], [1.0])
