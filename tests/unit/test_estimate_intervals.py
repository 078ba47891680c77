"""Estimates against textbook values, at their edges, and what they refuse."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from scipy import stats

from sim.errors import UsageError
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

RNG = np.random.default_rng(20260127)


class TestMean:
    """Student's t, corrected for skewness; bounds when nothing or little is seen."""

    def test_a_symmetric_sample_has_the_t_interval(self) -> None:
        half = RNG.normal(size=50)
        values = np.concatenate([5 + half, 5 - half])
        expected = stats.t.interval(0.95, 99, loc=5, scale=values.std(ddof=1) / 10)
        found = mean_interval(values)
        assert (found.low, found.high) == pytest.approx(expected, rel=1e-6)
        assert (found.mean, found.n, found.seen, found.note) == (pytest.approx(5), 100, True, "")

    def test_a_skewed_sample_reaches_further_to_its_tail_than_t(self) -> None:
        values = RNG.lognormal(0, 1, 100)
        low, high = stats.t.interval(0.95, 99, loc=values.mean(), scale=values.std(ddof=1) / 10)
        found = mean_interval(values)
        assert found.low <= low * (1 + 1e-12)
        assert found.high > high
        mirrored = mean_interval(-values)
        assert (-mirrored.high, -mirrored.low) == pytest.approx((found.low, found.high))

    def test_a_large_sample_has_nearly_the_t_interval(self) -> None:
        values = RNG.exponential(size=100_000)
        low, high = stats.t.interval(0.95, 99_999, loc=values.mean(), scale=values.std(ddof=1) / math.sqrt(100_000))
        found = mean_interval(values)
        assert (found.low, found.high) == pytest.approx((low, high), rel=1e-4)

    def test_nothing_seen_in_n_trials_has_the_exact_bound(self) -> None:
        found = mean_interval([0.0] * 100, bounds=(0.0, 8760.0))
        assert (found.mean, found.low, found.seen) == (0, 0, False)
        assert found.high == pytest.approx((1 - 0.05 ** (1 / 100)) * 8760)
        up = mean_interval([1.0] * 20, bounds=(0.0, 1.0), confidence=0.9)
        assert (up.mean, up.high) == (1, 1)
        assert up.low == pytest.approx(0.1 ** (1 / 20))
        between = mean_interval([2.0], bounds=(0.0, 10.0))
        assert (between.low, between.high) == (pytest.approx(2 - 0.95 * 2), pytest.approx(2 + 0.95 * 8))

    def test_nothing_seen_without_bounds_bounds_nothing_and_says_so(self) -> None:
        found = mean_interval([3.0] * 50, bounds=(0.0, math.inf))
        assert (found.high, found.seen) == (math.inf, False)
        assert "has none" in found.note
        constant = mean_interval([3.0] * 50, bounds=(3.0, 3.0))
        assert (constant.low, constant.high) == (3, 3)

    def test_few_events_are_noted_and_reach_far(self) -> None:
        values = [0.0] * 97 + [1.0, 2.0, 6.0]
        found = mean_interval(values, bounds=(0.0, 8760.0))
        assert found.note == "few events: 3 of 100 trials differ from 0"
        assert found.mean == pytest.approx(0.09)
        share = stats.binomtest(3, 100).proportion_ci(0.95)  # Clopper-Pearson
        size = 9 / (stats.chi2.ppf([0.975, 0.025], 6) / 2)
        t = stats.t.interval(0.95, 2, loc=3, scale=np.std([1, 2, 6], ddof=1) / math.sqrt(3))
        assert found.low == pytest.approx(share.low * min(size[0], max(t[0], 0)))
        assert found.high == pytest.approx(share.high * max(size[1], t[1]))

    def test_few_events_mirror_and_shift(self) -> None:
        values = np.array([0.0] * 97 + [1.0, 2.0, 6.0])
        found = mean_interval(values, bounds=(0.0, 10.0))
        mirrored = mean_interval(10 - values, bounds=(0.0, 10.0))
        assert (10 - mirrored.high, 10 - mirrored.low) == pytest.approx((found.low, found.high))
        assert mean_interval(values, bounds=(0, 10)).high <= 10 * stats.binomtest(3, 100).proportion_ci(0.95).high

    def test_few_events_that_could_go_both_ways_reach_both_ways(self) -> None:
        found = mean_interval([0.0] * 95 + [1.0, 1.0, 1.0, 2.0, 2.0])
        assert found.low < 0 < found.mean < found.high < math.inf
        both = mean_interval([0.0] * 95 + [1.0, 1.0, -1.0, 2.0, -2.0])
        assert both.low < 0 < both.high

    def test_a_wider_confidence_is_a_wider_interval(self) -> None:
        for values in (RNG.normal(size=30), [0.0] * 40 + [1.0, 3.0], RNG.lognormal(0, 1.4, 25)):
            narrow, wide = (mean_interval(values, confidence=c) for c in (0.8, 0.99))
            assert wide.low <= narrow.low <= narrow.mean <= narrow.high <= wide.high

    def test_few_trials_are_noted(self) -> None:
        assert mean_interval([1.0, 2.0]).note == "few trials"
        assert mean_interval([1.0, 2.0, 3.0, 2.5] * 3).note == ""
        assert mean_interval([*([0.1, 0.2] * 10), 500.0]).note.startswith("skewed")

    def test_the_bounds_are_kept(self) -> None:
        values = np.concatenate([np.zeros(10), np.ones(12)])
        found = mean_interval(values, bounds=(0.0, 1.0))
        assert 0 <= found.low < found.mean < found.high <= 1


class TestProportion:
    """Wilson, Clopper-Pearson and one-sided bounds."""

    @pytest.mark.parametrize(("k", "n"), [(1, 10), (7, 10), (30, 1000), (999, 1000)])
    @pytest.mark.parametrize("method", ["wilson", "exact"])
    def test_against_another_implementation(self, k: int, n: int, method: str) -> None:
        both = [stats.binomtest(k, n).proportion_ci(0.95, method=name) for name in ("wilson", "exact")]
        used = [both[1]] if method == "exact" else both if min(k, n - k) < 10 else [both[0]]  # a hull for few events
        expected = (min(ends.low for ends in used), max(ends.high for ends in used))
        found = proportion_interval(k, n, method=method)
        assert (found.low, found.high) == pytest.approx(expected, rel=1e-9)

    def test_none_or_all_have_one_sided_bounds(self) -> None:
        none, every = proportion_interval(0, 1000), proportion_interval(1000, 1000)
        assert (none.low, none.seen, none.note) == (0, False, "none in 1000 trials")
        assert none.high == pytest.approx(3 / 1000, rel=4e-3)  # the rule of three
        assert (every.high, every.seen) == (1, True)
        assert every.low == pytest.approx(1 - none.high)

    def test_ties_count_half(self) -> None:
        assert proportion_interval(4.5, 9).mean == 0.5
        with pytest.raises(UsageError, match="whole number"):
            proportion_interval(4.5, 9, method="exact")


class TestRate:
    """Garwood's exact interval."""

    @pytest.mark.parametrize("events", [1, 5, 40])
    def test_the_ends_leave_half_of_the_risk_each(self, events: int) -> None:
        found = rate_interval(events, 20.0)
        assert stats.poisson.sf(events - 1, found.low * 20) == pytest.approx(0.025)
        assert stats.poisson.cdf(events, found.high * 20) == pytest.approx(0.025)
        assert found.mean == events / 20

    def test_no_event_has_the_bound_of_three_per_exposure(self) -> None:
        found = rate_interval(0, 100.0)
        assert (found.low, found.seen) == (0, False)
        assert found.high == pytest.approx(-math.log(0.05) / 100)


class TestQuantile:
    """Order statistics."""

    @pytest.mark.parametrize(("n", "level"), [(20, 0.5), (100, 0.9), (1000, 0.95), (7, 0.5)])
    def test_the_ranks_cover_at_least_the_confidence_and_no_inner_ranks_do(self, n: int, level: float) -> None:
        found = quantile_interval(np.arange(1, n + 1), level)
        low, high = int(found.low), int(found.high)
        below = stats.binom(n, level)
        assert below.cdf(low - 1) <= 0.025 < below.cdf(low)
        assert below.sf(high - 1) <= 0.025 < below.sf(high - 2)

    def test_too_few_trials_reach_to_the_bounds(self) -> None:
        found = quantile_interval([1.0, 2.0, 3.0], 0.99, bounds=(0.0, math.inf))
        assert (found.mean, found.high) == (3, math.inf)
        assert "too few" in found.note

    def test_the_value_is_an_order_statistic(self) -> None:
        assert quantile_interval([3.0, 1.0, 2.0, 4.0], 0.5).mean == 2
        assert quantile_interval(np.arange(1, 101), 0.95).mean == 95


class TestPairs:
    """Differences and comparisons on the same trials."""

    def test_common_histories_cancel(self) -> None:
        history = RNG.lognormal(0, 2, 200)
        found = paired_difference(history + RNG.normal(1, 0.1, 200), history)
        assert found.low < 1 < found.high
        assert found.high - found.low < 0.1

    def test_no_difference_ever_is_a_bound(self) -> None:
        found = paired_difference([1.0] * 300, [1.0] * 300, bounds=(-1.0, 1.0))
        assert (found.mean, found.seen) == (0, False)
        assert (found.low, found.high) == (pytest.approx(-found.high), pytest.approx(1 - 0.05 ** (1 / 300)))

    def test_better_counts_ties_half_and_knows_which_way_is_better(self) -> None:
        a, b = [3.0, 2.0, 1.0, 5.0], [1.0, 2.0, 2.0, 4.0]
        assert better_probability(a, b).mean == pytest.approx((2 + 0.5) / 4)
        assert better_probability(a, b, higher_is_better=False).mean == pytest.approx((1 + 0.5) / 4)
        always = better_probability(np.ones(50), np.zeros(50))
        assert (always.mean, always.high) == (1, 1)
        assert always.low == pytest.approx(0.05 ** (1 / 50))

    def test_ties_only_say_how_often_they_may_differ(self) -> None:
        found = better_probability(np.ones(100), np.ones(100))
        assert (found.mean, found.seen) == (0.5, False)
        assert found.high - found.low == pytest.approx(1 - 0.05 ** (1 / 100))


class TestRatio:
    """Ratios of totals, clustered by trial."""

    def test_the_mean_is_the_ratio_of_totals_and_not_the_mean_of_ratios(self) -> None:
        tops, bottoms = np.array([1.0, 10.0] * 10), np.array([1.0, 100.0] * 10)
        assert ratio_interval(tops, bottoms).mean == pytest.approx(110 / 1010)

    def test_equal_denominators_are_the_mean(self) -> None:
        tops = RNG.poisson(3, 100).astype(float)
        found, mean = ratio_interval(tops, np.full(100, 4.0)), mean_interval(tops / 4)
        assert found.mean == pytest.approx(mean.mean)
        assert found.high - found.low == pytest.approx(mean.high - mean.low, rel=0.05)

    def test_nothing_seen_is_a_bound(self) -> None:
        bottoms = np.array([10.0, 30.0] * 50)
        found = ratio_interval(np.zeros(100), bottoms, bounds=(0.0, 1.0))
        missed = 1 - 0.05 ** (1 / 100)
        assert (found.mean, found.low, found.seen) == (0, 0, False)
        assert found.high == pytest.approx(missed * 30 / 20)
        assert ratio_interval(np.zeros(100), bottoms, numerator_max=1.0).high == pytest.approx(missed / 20)
        assert ratio_interval(np.zeros(100), bottoms).high == math.inf

    def test_all_seen_is_the_mirrored_bound(self) -> None:
        bottoms = np.full(50, 12.0)
        found = ratio_interval(bottoms, bottoms, bounds=(0.0, 1.0))
        assert (found.mean, found.high, found.note) == (1, 1, "in all of 50 trials")
        assert found.low == pytest.approx(0.05 ** (1 / 50))
        nearly = bottoms.copy()
        nearly[:2] = 11
        found = ratio_interval(nearly, bottoms, bounds=(0.0, 1.0))
        assert found.mean == pytest.approx(1 - 2 / 600)
        assert found.low < found.mean < found.high < 1
        assert found.note.startswith("few events")

    def test_few_events_are_noted(self) -> None:
        found = ratio_interval([1.0, 0.0, 1.0] + [0.0] * 97, np.full(100, 5.0))
        assert found.note == "few events: 2 of 100 trials"
        assert found.low < 0.004 < found.high

    def test_the_same_ratio_in_every_trial_is_a_bound(self) -> None:
        found = ratio_interval([1.0, 2.0, 3.0] * 10, [2.0, 4.0, 6.0] * 10, bounds=(0.0, 1.0))
        assert (found.mean, found.seen) == (0.5, False)
        assert found.low == pytest.approx(0.5 - 0.5 * (1 - 0.05 ** (1 / 30)))

    def test_one_trial_with_all_opportunities_is_survived(self) -> None:
        found = ratio_interval([3.0] + [0.0] * 4, [6.0] + [0.0] * 4, bounds=(0.0, 1.0))
        assert found.mean == 0.5
        assert 0 <= found.low <= found.high <= 1

    def test_differences_of_paired_ratios(self) -> None:
        load = RNG.poisson(20, 400).astype(float) + 1
        a, b = RNG.binomial(load.astype(int), 0.4).astype(float), RNG.binomial(load.astype(int), 0.3).astype(float)
        found = ratio_difference((a, load), (b, load), bounds=(0.0, 1.0))
        assert found.mean == pytest.approx((a.sum() - b.sum()) / load.sum())
        assert found.low < 0.1 < found.high
        assert found.high - found.low < 0.06
        unseen = ratio_difference((np.zeros(400), load), (b, load), bounds=(0.0, 1.0))
        assert unseen.low < -0.3 < unseen.high
        assert "none in 400 trials" in unseen.note


def test_values_apart_by_rounding_only_are_one_value() -> None:
    values = 0.99858867 + 1e-11 * np.array([0.0, 1.0, 3.0, -2.0])
    equal = mean_interval([0.99858867] * 4, bounds=(0.0, 1.0))
    alike = mean_interval(values, bounds=(0.0, 1.0))
    assert (alike.low, alike.high) == pytest.approx((equal.low, equal.high))
    assert alike.mean == values.mean()
    assert not alike.seen


@pytest.mark.parametrize(
    ("values", "bounds"),
    [
        ([1.0 - 1e-9, 1.0 - 2e-9, 1.0 - 4e-9], (0.0, 1.0)),  # far apart by what is missing to 1
        ([100.0, 100.00001, 100.00002], (0.0, math.inf)),  # nothing bounds what was not seen
        ([100.0, 100.001, 100.002], (0.0, 1000.0)),
    ],
)
def test_values_that_differ_have_the_interval_of_their_spread(values: list[float], bounds: tuple[float, float]) -> None:
    estimate = mean_interval(values, bounds=bounds)
    assert estimate.seen
    assert estimate.high - estimate.low < 20 * np.ptp(values)


def test_an_interval_must_hold_its_estimate() -> None:
    with pytest.raises(AssertionError, match="must hold"):
        Estimate(2.0, 0.0, 1.0, 0.95, 5)
    assert Estimate(0.5, 0.0, 1.0, 0.95, 5).straddles(0.9)
    assert not Estimate(0.5, 0.0, 1.0, 0.95, 5).straddles(1.1)


GOOD = [1.0, 2.0, 3.0]


@pytest.mark.parametrize("confidence", [0.5, 1.0, 1.5, 95.0, 0.0, -1.0, math.nan])
@pytest.mark.parametrize(
    "estimate",
    [
        lambda c: mean_interval(GOOD, confidence=c),
        lambda c: proportion_interval(1, 2, confidence=c),
        lambda c: rate_interval(1, 2.0, confidence=c),
        lambda c: quantile_interval(GOOD, 0.5, confidence=c),
        lambda c: paired_difference(GOOD, GOOD, confidence=c),
        lambda c: better_probability(GOOD, GOOD, confidence=c),
        lambda c: ratio_interval(GOOD, GOOD, confidence=c),
        lambda c: ratio_difference((GOOD, GOOD), (GOOD, GOOD), confidence=c),
    ],
)
def test_impossible_confidences_are_refused(estimate: Callable[[float], Estimate], confidence: float) -> None:
    with pytest.raises(UsageError, match="confidence must lie between"):
        estimate(confidence)


@pytest.mark.parametrize(
    ("broken", "message"),
    [
        (lambda: mean_interval([]), "empty"),
        (lambda: mean_interval([1.0, math.nan]), "NaN or infinite numbers; the first is at index 1"),
        (lambda: mean_interval([[1.0]]), "one-dimensional"),
        (lambda: mean_interval([2.0], bounds=(0.0, 1.0)), "outside their bounds"),
        (lambda: mean_interval([2.0], bounds=(3.0, 1.0)), "low <= high"),
        (lambda: proportion_interval(3, 2), "between 0 and the number"),
        (lambda: proportion_interval(0, 0), "at least one trial"),
        (lambda: rate_interval(-1, 1.0), "not negative"),
        (lambda: rate_interval(1, 0.0), "exposure must be positive"),
        (lambda: quantile_interval(GOOD, 1.0), "level of a quantile"),
        (lambda: paired_difference(GOOD, [1.0]), "same trials"),
        (lambda: ratio_interval([-1.0], [1.0]), "not be negative"),
        (lambda: ratio_interval([0.0], [0.0]), "no opportunity"),
        (lambda: ratio_interval([2.0], [1.0], bounds=(0.0, 1.0)), "outside its bounds"),
        (lambda: ratio_difference((GOOD, GOOD), ([1.0], [1.0])), "same trials"),
    ],
)
def test_impossible_data_are_refused(broken: Callable[[], object], message: str) -> None:
    with pytest.raises(UsageError, match=message):
        broken()
