"""Rare failures against exact values down to 1e-13: |z| <= 4 at a relative half-width of at most 15 %.

Closed forms (binomial tails, C05), published chains (A01, A04, A13, C02) and chains solved here. Each method has its
negative control: weights left out, retrials not weighted.
"""

import math

import numpy as np
import pytest
from rare_models import binomial_unavailability, cluster, k_of_n, two_groups, two_groups_exact, z_of

from sim.errors import UsageError
from sim.estimate import Estimate, ratio_interval, weighted_mean
from sim.laws import Exponential, Weibull
from sim.reliability.machine import Gate, Machine
from sim.reliability.rare_biasing import biased_cycles, failure_events
from sim.reliability.rare_levels import levels_of
from sim.reliability.rare_splitting import CYCLE, FIRST, HORIZON, split_histories
from sim.study.rare import (
    Effort,
    Method,
    RareEstimate,
    expected_downtime,
    failure_probability,
    long_run_unavailability,
)

WANTED = 0.15
EFFORT = Effort(wanted=WANTED, most_events=3e6)


def agrees(found: RareEstimate, truth: float, wanted: float = WANTED) -> None:
    estimate = found.estimate
    assert estimate.seen, estimate.note
    assert max(estimate.high - estimate.mean, estimate.mean - estimate.low) <= wanted * estimate.mean
    assert z_of(estimate.mean, estimate.low, estimate.high, truth) <= 4


class TestLongRun:
    """Share of time down."""

    @pytest.mark.parametrize("method", ["biasing", "splitting"])
    @pytest.mark.parametrize("down_with", [2, 3, 4, 5])
    def test_eight_units_down_to_1e_10(self, down_with: int, method: Method) -> None:
        machine, gate = k_of_n(8, down_with, Exponential(1000.0), Exponential(5.0))
        truth = binomial_unavailability(8, down_with, 1e-3, 0.2)
        agrees(long_run_unavailability(machine, gate, method, EFFORT), truth)

    def test_plain_sampling_agrees_where_it_can_see(self) -> None:
        machine, gate = k_of_n(8, 2, Exponential(1000.0), Exponential(5.0))
        found = long_run_unavailability(machine, gate, "plain", EFFORT)
        agrees(found, binomial_unavailability(8, 2, 1e-3, 0.2))
        assert found.method == "plain"

    def test_one_crew_c02(self) -> None:
        machine, gate = k_of_n(5, 3, Exponential(1000.0), Exponential(10.0), crew=1)
        agrees(long_run_unavailability(machine, gate, "biasing", EFFORT), 5.81829263e-5)
        agrees(long_run_unavailability(machine, gate, "splitting", EFFORT), 5.81829263e-5)

    def test_two_regions_c05(self) -> None:
        machine, gate = k_of_n(2, 2, Exponential(2000.0), Exponential(4.0))
        agrees(long_run_unavailability(machine, gate, "auto", EFFORT), 3.98404787e-6)

    @pytest.mark.parametrize(("n", "minimum"), [(2, 0.9999976601766346), (16, 0.9999978873517952)])
    def test_workstation_cluster_a01_a04(self, n: int, minimum: float) -> None:
        machine, gate = cluster(n)
        agrees(long_run_unavailability(machine, gate, "biasing", EFFORT), 1 - minimum)

    def test_two_groups(self) -> None:
        machine, gate = two_groups()
        exact = two_groups_exact()[1]
        assert exact == pytest.approx(3.457e-7, rel=1e-3)
        for method in ("biasing", "splitting"):
            agrees(long_run_unavailability(machine, gate, method, EFFORT), exact)


class TestHorizon:
    """Before a horizon, from everything up."""

    def test_two_groups_within_a_year(self) -> None:
        machine, gate = two_groups()
        exact = two_groups_exact()[0]
        assert exact == pytest.approx(5.919e-4, rel=1e-3)
        agrees(failure_probability(machine, gate, 8760.0, effort=EFFORT), exact)

    def test_cluster_within_2000_hours_a01(self) -> None:
        machine, gate = cluster(2)
        loose = Effort(wanted=0.3, most_events=3e6)
        agrees(failure_probability(machine, gate, 2000.0, effort=loose), 0.00115839557526, 0.3)

    @pytest.mark.slow
    def test_hours_down_within_2000_hours_a01(self) -> None:
        machine, gate = cluster(2)
        found = expected_downtime(machine, gate, 2000.0, effort=Effort(wanted=WANTED, most_events=5e7))
        agrees(found, 0.00465919240548)

    def test_durable_storage_17_of_20_a13(self) -> None:
        machine, gate = k_of_n(20, 4, Exponential(20.0), Exponential(1 / 52.142857143))
        agrees(failure_probability(machine, gate, 1.0, effort=EFFORT), 8.04421679e-7)

    @pytest.mark.slow
    def test_durable_storage_17_of_20_with_quick_rebuilds_a13(self) -> None:
        """1.8e-13 a year."""
        machine, gate = k_of_n(20, 4, Exponential(20.0), Exponential(1 / 8760))
        found = failure_probability(machine, gate, 1.0, effort=Effort(wanted=0.3, most_events=5e8))
        agrees(found, 1.80122e-13, 0.3)

    def test_other_laws_than_exponential(self) -> None:
        """Weibull failures, fixed repairs: splitting and plain sampling agree, and histories share no shortcut."""
        machine, gate = k_of_n(4, 2, Weibull(1000.0, 0.7), Exponential(20.0))
        plain = expected_downtime(machine, gate, 5000.0, "plain", EFFORT).estimate
        split = expected_downtime(machine, gate, 5000.0, "splitting", EFFORT).estimate
        errors = [(estimate.high - estimate.low) / 3.92 for estimate in (plain, split)]
        assert abs(plain.mean - split.mean) <= 4 * math.hypot(*errors)


class TestRightAndReproducible:
    """Coverage, weights, chunks, refusals."""

    def test_intervals_cover(self) -> None:
        held = coverage(60)
        least = 0.95 - 4 * math.sqrt(0.95 * 0.05 / 60)
        assert min(held.values()) >= least, held

    @pytest.mark.slow
    def test_intervals_cover_in_2000_samples(self) -> None:
        held = coverage(2000)
        assert min(held.values()) >= 0.95 - 4 * math.sqrt(0.95 * 0.05 / 2000), held

    def test_weights_that_are_left_out_are_caught_negative_control(self) -> None:
        machine, gate = k_of_n(8, 4, Exponential(1000.0), Exponential(5.0))
        model, levels = machine.compile(), levels_of(machine, gate)
        found = biased_cycles(model, levels, failure_events(machine, model), np.arange(5000), 7)
        truth = binomial_unavailability(8, 4, 1e-3, 0.2) * mean_cycle(8, 1e-3, 0.2)
        right = weighted_mean(found.down, found.weights)
        assert z_of(right.mean, right.low, right.high, truth) <= 4
        wrong = found.down
        assert abs(wrong.mean() - truth) > 4 * wrong.std(ddof=1) / math.sqrt(wrong.size)
        assert abs(found.weights.mean() - 1.0) <= 4 * found.weights.std(ddof=1) / math.sqrt(5000)

    def test_retrials_that_are_not_weighted_are_caught_negative_control(self) -> None:
        machine, gate = k_of_n(8, 3, Exponential(1000.0), Exponential(5.0))
        model, levels = machine.compile(), levels_of(machine, gate)
        found = split_histories(model, levels, np.array([1, 1, 30, 50]), np.arange(4000), mode=CYCLE)
        truth = binomial_unavailability(8, 3, 1e-3, 0.2)
        right = ratio_interval(found.down, found.lasted, bounds=(0.0, 1.0))
        assert z_of(right.mean, right.low, right.high, truth) <= 4
        assert right.high * 1500 > truth * 100  # what 30 x 50 retrials would add if each counted whole

    @pytest.mark.parametrize("mode", [CYCLE, HORIZON, FIRST])
    def test_histories_do_not_depend_on_chunks(self, mode: int) -> None:
        machine, gate = two_groups()
        model, levels, factors = machine.compile(), levels_of(machine, gate), np.array([1, 1, 20, 20, 20])
        horizon = math.inf if mode == CYCLE else 2000.0
        whole = split_histories(model, levels, factors, np.arange(200), mode=mode, horizon=horizon)
        parts = [
            split_histories(model, levels, factors, np.arange(a, a + 50), mode=mode, horizon=horizon)
            for a in (0, 50, 100, 150)
        ]
        for name in ("down", "lasted", "failures"):
            assert np.array_equal(getattr(whole, name), np.concatenate([getattr(part, name) for part in parts]))

    def test_what_a_method_cannot_do_is_refused_with_the_reason(self) -> None:
        machine, gate = k_of_n(3, 2, Weibull(1000.0, 2.0), Exponential(5.0))
        with pytest.raises(UsageError, match="law that remembers their age"):
            long_run_unavailability(machine, gate)
        aged_repair, its_gate = k_of_n(3, 2, Exponential(1000.0), Weibull(5.0, 2.0))
        with pytest.raises(UsageError, match="not exponential; splitting takes any law"):
            long_run_unavailability(aged_repair, its_gate, "biasing")
        assert long_run_unavailability(aged_repair, its_gate, "auto", EFFORT).method == "splitting"
        with pytest.raises(UsageError, match="weights degenerate"):
            failure_probability(machine, gate, 100.0, "biasing")
        with pytest.raises(UsageError, match="expected auto"):
            failure_probability(machine, gate, 100.0, "magic")  # type: ignore[arg-type]
        with pytest.raises(UsageError, match="horizon must be positive"):
            failure_probability(machine, gate, 0.0)


def mean_cycle(n: int, failure_rate: float, repair_rate: float) -> float:
    """Mean time between two beginnings of all-up: 1 / (share of time all up x rate of leaving it)."""
    up = (repair_rate / (failure_rate + repair_rate)) ** n
    return 1.0 / (up * n * failure_rate)


def coverage(repetitions: int) -> dict[str, float]:
    """Share of intervals that hold the truth, of samples of fixed size, by method."""
    machine, gate = k_of_n(8, 4, Exponential(1000.0), Exponential(5.0))
    truth = binomial_unavailability(8, 4, 1e-3, 0.2)
    held = {"biasing": 0, "splitting": 0}
    for k in range(repetitions):
        held["biasing"] += _holds(_biased(machine, gate, k), truth * mean_cycle(8, 1e-3, 0.2))
        held["splitting"] += _holds(_split(machine, gate, k), truth)
    return {name: n / repetitions for name, n in held.items()}


def _biased(machine: Machine, gate: Gate, k: int) -> Estimate:
    model, levels = machine.compile(), levels_of(machine, gate)
    numbers = np.arange(2000) + 2000 * k
    found = biased_cycles(model, levels, failure_events(machine, model), numbers, 11)
    return weighted_mean(found.down, found.weights, bounds=(0.0, math.inf))


def _split(machine: Machine, gate: Gate, k: int) -> Estimate:
    model, levels = machine.compile(), levels_of(machine, gate)
    numbers = np.arange(4000) + 4000 * k
    found = split_histories(model, levels, np.array([1, 6, 40, 80, 1]), numbers, mode=CYCLE)
    return ratio_interval(found.down, found.lasted, bounds=(0.0, 1.0))


def _holds(estimate: Estimate, truth: float) -> bool:
    return estimate.low <= truth <= estimate.high
