"""Coverage of stratified and two-phase estimates on windows of known law: skewed, zero-inflated, few."""

import math

import numpy as np
import pytest

from sim.estimate import Estimate, neyman_allocation, stratified_difference, two_phase_mean

REPETITIONS = 300
LEAST = 0.95 - 4 * math.sqrt(0.95 * 0.05 / REPETITIONS)  # 0.900
RATES = {"node": 15.0, "dependency": 5.0, "region": 0.65, "overlap": 0.2}
SHARE = {"node": 0.05, "dependency": 0.5, "region": 1.0, "overlap": 0.7}
LOG_MEDIAN = {"node": 0.0, "dependency": 1.0, "region": 3.0, "overlap": 3.0}
LOG_SD = {"node": 1.0, "dependency": 1.0, "region": 1.4, "overlap": 1.4}
TRUTH = sum(RATES[name] * SHARE[name] * math.exp(LOG_MEDIAN[name] + LOG_SD[name] ** 2 / 2) for name in RATES)


def losses(rng: np.random.Generator, name: str, n: int) -> np.ndarray:
    """Losses of n windows of a stratum: a share loses a lognormal amount, the others nothing."""
    return np.where(rng.random(n) < SHARE[name], rng.lognormal(LOG_MEDIAN[name], LOG_SD[name], n), 0.0)


def adaptive(
    rng: np.random.Generator, n_tapes: int, budget: int
) -> tuple[dict[str, np.ndarray], dict[str, np.ndarray]]:
    """Counts on tapes, a pilot of 20 windows each, then Neyman's shares of a quarter, half, all of the budget."""
    counts = {name: rng.poisson(rate, n_tapes) for name, rate in RATES.items()}
    weights = {name: float(count.sum()) / n_tapes for name, count in counts.items()}
    members = {name: int(count.sum()) for name, count in counts.items()}
    draws = {name: losses(rng, name, min(20, members[name])) for name in RATES}
    for part in (0.25, 0.5, 1.0):
        asked = neyman_allocation(draws, weights, part * budget, members=members)
        draws = {name: np.append(d, losses(rng, name, max(asked[name] - d.size, 0))) for name, d in draws.items()}
    return counts, draws


def coverage(found: list[Estimate], truth: float) -> float:
    return sum(estimate.low <= truth <= estimate.high for estimate in found) / len(found)


@pytest.mark.parametrize(("n_tapes", "budget", "width"), [(200, 100, 4.0), (1000, 300, 2.6), (1000, 2000, 0.6)])
def test_two_phases_cover_with_windows_shared_out_by_what_was_seen(n_tapes: int, budget: int, width: float) -> None:
    rng = np.random.default_rng(5)
    found = []
    for _ in range(REPETITIONS):
        counts, draws = adaptive(rng, n_tapes, budget)
        found.append(two_phase_mean(draws, counts, n_tapes)[0])
    means = np.array([estimate.mean for estimate in found])
    assert coverage(found, TRUTH) >= LEAST
    assert np.median([estimate.high - estimate.low for estimate in found]) <= width * TRUTH
    assert abs(means.mean() - TRUTH) <= 4 * means.std(ddof=1) / math.sqrt(REPETITIONS)


def test_fewer_windows_than_whole_tapes_would_need() -> None:
    """The spread of 300 shared-out windows is that of far more windows of whole tapes (21 a year)."""
    rng = np.random.default_rng(6)
    means = []
    for _ in range(REPETITIONS):
        counts, draws = adaptive(rng, 2000, 300)
        means.append(two_phase_mean(draws, counts, 2000)[0].mean)
    of_a_year = sum(
        RATES[name] * SHARE[name] * math.exp(2 * LOG_MEDIAN[name] + 2 * LOG_SD[name] ** 2) for name in RATES
    )  # compound Poisson: rate x E[loss^2]
    years_for_the_same = of_a_year / np.var(means, ddof=1)
    assert years_for_the_same * sum(RATES.values()) >= 3 * 300


def test_what_was_not_counted_in_the_first_phase_is_missed_negative_control() -> None:
    """Weights of 30 tapes taken as known: the first phase is the larger part of the error."""
    rng = np.random.default_rng(7)
    held = 0
    for _ in range(REPETITIONS):
        counts = {name: rng.poisson(rate, 30) for name, rate in RATES.items()}
        weights = {name: float(count.mean()) for name, count in counts.items()}
        draws = {name: losses(rng, name, 4000) for name in RATES}
        mean = sum(weights[name] * draws[name].mean() for name in RATES)
        error = math.sqrt(sum(weights[name] ** 2 * draws[name].var(ddof=1) / 4000 for name in RATES))
        held += abs(mean - TRUTH) <= 1.96 * error
    assert held / REPETITIONS < LEAST


def test_differences_of_designs_cover() -> None:
    """The second design loses half as much in every window of a region, and the same elsewhere."""
    rng = np.random.default_rng(8)
    factor = {name: 0.5 if name in ("region", "overlap") else 1.0 for name in RATES}
    truth = sum(
        (1 - factor[name]) * RATES[name] * SHARE[name] * math.exp(LOG_MEDIAN[name] + LOG_SD[name] ** 2 / 2)
        for name in RATES
    )
    found = []
    for _ in range(REPETITIONS):
        counts, draws = adaptive(rng, 1000, 1000)
        other = {name: factor[name] * values for name, values in draws.items()}
        found.append(stratified_difference(draws, other, counts, 1000)[0])
    assert coverage(found, truth) >= LEAST
