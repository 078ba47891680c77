"""Strata and two phases against sums by hand, at their edges, and what they refuse."""

import math

import numpy as np
import pytest
from scipy import stats

from sim.errors import UsageError
from sim.estimate import (
    mean_interval,
    neyman_allocation,
    rate_interval,
    stratified_difference,
    stratified_mean,
    two_phase_mean,
)

RNG = np.random.default_rng(1)
LOSSES = {"node": RNG.normal(2.0, 0.5, 400), "region": RNG.normal(50.0, 10.0, 300)}


class TestStratified:
    """Known weights."""

    def test_one_stratum_is_the_interval_of_the_mean(self) -> None:
        values = RNG.lognormal(0, 1, 50)
        found = stratified_mean({"all": values}, {"all": 1.0})[0]
        expected = mean_interval(values, bounds=(0.0, math.inf))
        assert (found.mean, found.low, found.high) == pytest.approx((expected.mean, expected.low, expected.high))

    def test_many_draws_have_the_normal_interval_of_cochran(self) -> None:
        weights = {"node": 10.0, "region": 0.5}
        found = stratified_mean(LOSSES, weights)[0]
        variance = sum(weights[name] ** 2 * d.var(ddof=1) / d.size for name, d in LOSSES.items())
        assert found.mean == pytest.approx(sum(weights[name] * d.mean() for name, d in LOSSES.items()))
        assert found.high - found.mean == pytest.approx(stats.norm.ppf(0.975) * math.sqrt(variance), rel=0.02)
        assert found.mean - found.low == pytest.approx(stats.norm.ppf(0.975) * math.sqrt(variance), rel=0.02)

    def test_a_stratum_without_draws_widens_by_its_bound_and_says_so(self) -> None:
        weights = {"node": 10.0, "region": 0.5, "provider": 0.01}
        known = stratified_mean(LOSSES, {"node": 10.0, "region": 0.5})[0]
        found = stratified_mean(LOSSES, weights, bounds=(0.0, 8760.0))[0]
        assert found.high == pytest.approx(known.high + 87.6)
        assert (found.mean, found.low) == pytest.approx((known.mean, known.low))
        assert (found.seen, found.note) == (False, "provider was not sampled: only bounded")
        assert math.isinf(stratified_mean(LOSSES, weights)[0].high)

    def test_measures_are_columns(self) -> None:
        draws = {name: np.column_stack([values, 3 * values]) for name, values in LOSSES.items()}
        one, other = stratified_mean(draws, {"node": 10.0, "region": 0.5}, bounds=[(0.0, 1e3), (0.0, 3e3)])
        assert (3 * one.mean, 3 * one.low, 3 * one.high) == pytest.approx((other.mean, other.low, other.high))

    def test_a_stratum_in_which_nothing_differs_is_bounded_by_the_largest_draw_of_any(self) -> None:
        found = stratified_mean({"node": np.zeros(100), "region": LOSSES["region"]}, {"node": 10.0, "region": 0.5})[0]
        alone = stratified_mean({"region": LOSSES["region"]}, {"region": 0.5})[0]
        arm = 10.0 * (1 - 0.05**0.01) * LOSSES["region"].max()
        assert found.high - found.mean == pytest.approx(math.hypot(arm, alone.high - alone.mean))


class TestTwoPhases:
    """Counts of a first phase."""

    def test_one_member_per_tape_is_double_sampling_for_stratification(self) -> None:
        """Cochran 1977, eq. 12.24 with the finite population correction left out."""
        of_tape = RNG.random(2000) < 0.3
        counts = {"region": of_tape.astype(int), "node": (~of_tape).astype(int)}
        found = two_phase_mean(LOSSES, counts, 2000)[0]
        share = {name: count.mean() for name, count in counts.items()}
        mean = sum(share[name] * LOSSES[name].mean() for name in share)
        first = sum(share[name] * (LOSSES[name].mean() - mean) ** 2 for name in share) / 2000
        second = sum(share[name] ** 2 * LOSSES[name].var(ddof=1) / LOSSES[name].size for name in share)
        assert found.mean == pytest.approx(mean)
        assert found.high - found.low == pytest.approx(2 * 1.96 * math.sqrt(first + second), rel=0.03)

    def test_totals_are_those_of_poisson_processes(self) -> None:
        by_tape = {"node": RNG.poisson(10.0, 500), "region": RNG.poisson(0.5, 500)}
        totals = {name: int(count.sum()) for name, count in by_tape.items()}
        one, other = two_phase_mean(LOSSES, by_tape, 500)[0], two_phase_mean(LOSSES, totals, 500)[0]
        assert other.mean == pytest.approx(one.mean)
        assert other.high - other.low == pytest.approx(one.high - one.low, rel=0.15)

    def test_a_stratum_that_was_counted_nowhere_has_the_bound_of_its_rate(self) -> None:
        totals = {"node": 5000, "region": 250}
        known = two_phase_mean(LOSSES, totals, 500, bounds=(0.0, 100.0))[0]
        found = two_phase_mean(LOSSES, totals | {"provider": 0}, 500, bounds=(0.0, 100.0))[0]
        assert found.high == pytest.approx(known.high + 100.0 * rate_interval(0, 500.0).high)
        assert found.note == "provider was never counted: only bounded"

    def test_differences_on_common_members_are_narrower_than_apart(self) -> None:
        better = {name: 0.9 * values for name, values in LOSSES.items()}
        totals = {"node": 5000, "region": 250}
        found = stratified_difference(LOSSES, better, totals, 500)[0]
        apart = two_phase_mean(LOSSES, totals, 500)[0]
        assert found.mean == pytest.approx(0.1 * apart.mean)
        assert found.high - found.low == pytest.approx(0.1 * (apart.high - apart.low))

    def test_equal_designs_differ_by_nothing_seen(self) -> None:
        found = stratified_difference(LOSSES, LOSSES, {"node": 5000, "region": 250}, 500, bounds=(0.0, 100.0))[0]
        assert found.mean == 0
        assert found.low < 0 < found.high  # what differs in fewer than 1 of 100 members would not have been seen


class TestNeyman:
    """Draws in proportion to weight x spread / sqrt(cost)."""

    def test_shares_of_the_budget(self) -> None:
        pilot = {"node": RNG.normal(0, 1, 100), "region": RNG.normal(0, 5, 100)}
        found = neyman_allocation(pilot, {"node": 10.0, "region": 2.0}, 4000)
        ratio = 10.0 * pilot["node"].std(ddof=1) / (2.0 * pilot["region"].std(ddof=1))
        assert found["node"] / found["region"] == pytest.approx(ratio, rel=0.01)
        assert 3998 <= sum(found.values()) <= 4000
        dear = neyman_allocation(pilot, {"node": 10.0, "region": 2.0}, 4000, costs={"node": 1.0, "region": 4.0})
        assert dear["node"] / dear["region"] == pytest.approx(2 * ratio, rel=0.01)

    def test_least_members_and_pilot_are_kept(self) -> None:
        pilot = {"node": RNG.normal(0, 1, 100), "region": RNG.normal(0, 5, 30), "rare": RNG.normal(0, 1e-3, 30)}
        weights = {"node": 10.0, "region": 2.0, "rare": 1e-3}
        found = neyman_allocation(pilot, weights, 2000, members={"node": 5000, "region": 60, "rare": 35})
        assert found["region"] == 60
        assert found["rare"] == 30
        assert sum(found.values()) == 2000

    def test_a_pilot_without_losses_is_not_a_stratum_without_losses(self) -> None:
        pilot = {"node": np.zeros(20), "region": RNG.normal(50, 5, 20)}
        found = neyman_allocation(pilot, {"node": 1.0, "region": 1.0}, 1000)
        assert found["node"] > 200

    def test_refusals(self) -> None:
        for wrong in ({"budget": 0.0}, {"budget": 10.0, "least": 1}, {"budget": 10.0, "costs": {"a": 0.0}}):
            with pytest.raises(UsageError):
                neyman_allocation({"a": [1.0, 2.0]}, {"a": 1.0}, **wrong)  # type: ignore[arg-type]


def test_refusals() -> None:
    with pytest.raises(UsageError, match="no weight"):
        stratified_mean(LOSSES, {"node": 1.0})
    with pytest.raises(UsageError, match="not negative"):
        stratified_mean(LOSSES, {"node": -1.0, "region": 1.0})
    with pytest.raises(UsageError, match="NaN"):
        stratified_mean({"node": [math.nan]}, {"node": 1.0})
    with pytest.raises(UsageError, match="same measures"):
        stratified_mean({"a": np.ones((3, 2)), "b": np.ones((3, 1))}, {"a": 1.0, "b": 1.0})
    with pytest.raises(UsageError, match="bounds"):
        stratified_mean({"a": np.ones((3, 2))}, {"a": 1.0}, bounds=[(0.0, 1.0)])
    with pytest.raises(UsageError, match="outside their bounds"):
        stratified_mean({"a": [1.0, 2.0]}, {"a": 1.0}, bounds=(0.0, 1.5))
    with pytest.raises(UsageError, match="whole numbers"):
        two_phase_mean({"a": [1.0, 2.0]}, {"a": [1, 2]}, 3)
    with pytest.raises(UsageError, match="for every stratum or for none"):
        two_phase_mean({"a": [1.0, 2.0]}, {"a": [1, 2], "b": 3}, 2)
    with pytest.raises(UsageError, match="no tape has a member"):
        two_phase_mean({"a": [1.0, 2.0], "b": [1.0]}, {"a": 3, "b": 0}, 2)
    with pytest.raises(UsageError, match="same strata"):
        stratified_difference({"a": [1.0]}, {"b": [1.0]}, {"a": 1}, 1)
