"""Sobol indices against Ishigami's function and the availability of a k-of-n system, both known exactly."""

import math
from itertools import product

import numpy as np
import pytest

from sim.errors import UsageError
from sim.estimate.sobol import Design, SobolIndices, sobol_design, sobol_from

A, B = 7.0, 0.1
MOST_Z = 4.0


def ishigami(points: np.ndarray) -> np.ndarray:
    """sin x1 + a sin^2 x2 + b x3^4 sin x1 on [-pi, pi]^3 (Ishigami and Homma 1990)."""
    x = (2.0 * points - 1.0) * math.pi
    return np.sin(x[:, 0]) * (1.0 + B * x[:, 2] ** 4) + A * np.sin(x[:, 1]) ** 2


def ishigami_indices() -> tuple[np.ndarray, np.ndarray, float]:
    """First order, total order and variance, from the formulas."""
    v1 = 0.5 * (1.0 + B * math.pi**4 / 5.0) ** 2
    v2 = A**2 / 8.0
    v13 = B**2 * math.pi**8 * (1.0 / 18.0 - 1.0 / 50.0)
    variance = v1 + v2 + v13
    return np.array([v1, v2, 0.0]) / variance, np.array([v1 + v13, v2, v13]) / variance, variance


def found_of(design: Design, values: np.ndarray, seed: int = 0) -> SobolIndices:
    found = sobol_from(values, design.a.shape[1], seed=seed)
    assert found is not None
    return found


def errors(found: SobolIndices, first: np.ndarray, total: np.ndarray) -> list[float]:
    """Distance of each index from its true value."""
    pairs = [*zip(found.first, first, strict=True), *zip(found.total, total, strict=True)]
    return [estimate.mean - value for estimate, value in pairs]


def test_ishigami_without_noise():
    """0.3139, 0.4424, 0 and 0.5576, 0.4424, 0.2437: within 0.01 with 4096 points, every interval holds the truth."""
    first, total, variance = ishigami_indices()
    design = sobol_design(4096, 3, seed=3)
    found = found_of(design, ishigami(design.points())[:, None])
    assert max(map(abs, errors(found, first, total))) < 0.01
    for estimate, value in [*zip(found.first, first, strict=True), *zip(found.total, total, strict=True)]:
        assert estimate.low <= value <= estimate.high
    assert found.spread**2 == pytest.approx(variance, rel=0.01)
    assert math.isnan(found.noise_share)
    assert found.first_plain == pytest.approx([e.mean for e in found.first], abs=0.01)  # one trial: SciPy's estimator


def test_indices_of_other_inputs_fail():
    """Negative control: the points of x1 and x3 exchanged."""
    first, total, _ = ishigami_indices()
    design = sobol_design(1024, 3, seed=3)
    found = found_of(design, ishigami(design.points()[:, ::-1])[:, None])
    assert max(map(abs, errors(found, first, total))) > 0.2


def noisy(design: Design, n_trials: int, rng: np.random.Generator) -> np.ndarray:
    """Ishigami's function as a simulator gives it: an error per trial common to all points, and one at each point.

    The first is of common random numbers, grows with x2 and so looks like an effect of it; the second is what they
    leave.
    """
    points = design.points()
    common = 8.0 * (points[:, [1]] - 0.5) * rng.normal(size=(1, n_trials))
    own = 3.0 * rng.normal(size=(len(points), n_trials))
    return ishigami(points)[:, None] + common + own


def test_the_simulators_noise_is_taken_out():
    """Mean of 300 studies with 6 trials each within 4 standard errors of the truth; the plain indices are not.

    The standard errors are at most 0.02. Ratios of unbiased parts have a bias of second order, below them here.
    """
    first, total, _ = ishigami_indices()
    rng = np.random.default_rng(11)
    corrected, plain = [], []
    for seed in range(300):
        design = sobol_design(128, 3, seed=seed)
        found = found_of(design, noisy(design, 6, rng), seed)
        corrected.append(errors(found, first, total))
        plain.append([*(np.array(found.first_plain) - first), *(np.array(found.total_plain) - total)])
    standard_error = np.std(corrected, axis=0, ddof=1) / math.sqrt(300)
    assert standard_error.max() < 0.02
    assert np.abs(np.mean(corrected, axis=0) / standard_error).max() <= MOST_Z
    z_plain = np.mean(plain, axis=0) / (np.std(plain, axis=0, ddof=1) / math.sqrt(300))
    assert np.abs(z_plain).max() > 2 * MOST_Z  # negative control: without the correction


def test_intervals_hold_the_truth_as_often_as_they_say():
    """200 studies x 6 indices: at least 90 % of the 95 % intervals (they are approximate), and none far too wide."""
    first, total, _ = ishigami_indices()
    truth = [*first, *total]
    rng = np.random.default_rng(12)
    hits, widths = 0, []
    for seed in range(200):
        design = sobol_design(64, 3, seed=1000 + seed)
        found = found_of(design, noisy(design, 8, rng), seed)
        for estimate, value in zip([*found.first, *found.total], truth, strict=True):
            hits += estimate.low <= value <= estimate.high
            widths.append(estimate.high - estimate.low)
    assert hits / 1200 >= 0.90
    assert np.median(widths) < 1.0


def unavailability(mttf: np.ndarray, mttr: np.ndarray) -> np.ndarray:
    """2-of-3 of equal components: 3 q^2 - 2 q^3 with q = MTTR / (MTTF + MTTR)."""
    q = mttr / (mttf + mttr)
    return 3.0 * q**2 - 2.0 * q**3


def exact_k_of_n(n_nodes: int = 48) -> tuple[np.ndarray, np.ndarray]:
    """Indices of `system` by Gauss-Legendre quadrature over the square; smooth, so exact to 1e-12."""
    nodes, weights = np.polynomial.legendre.leggauss(n_nodes)
    u, w = (nodes + 1.0) / 2.0, weights / 2.0
    grid = np.array([[x, y] for x, y in product(u, u)])
    f = system(grid).reshape(n_nodes, n_nodes)
    mean = w @ f @ w
    variance = w @ f**2 @ w - mean**2
    of_x, of_y = w @ (f @ w) ** 2 - mean**2, w @ (w @ f) ** 2 - mean**2
    return np.array([of_x, of_y]) / variance, 1.0 - np.array([of_y, of_x]) / variance


def system(points: np.ndarray) -> np.ndarray:
    """MTTF uniform in 100 to 400 h, MTTR log-uniform in 1 to 16 h."""
    return unavailability(100.0 + 300.0 * points[:, 0], 16.0 ** points[:, 1])


def test_a_k_of_n_system_by_its_closed_form():
    first, total = exact_k_of_n()
    assert first.sum() < 1.0 < total.sum()  # they interact
    design = sobol_design(4096, 2, seed=5)
    found = found_of(design, system(design.points())[:, None])
    assert max(map(abs, errors(found, first, total))) < 0.01


def test_a_k_of_n_system_as_simulated():
    """Downtime of alternating renewal processes instead of the formula: 40 trials of 3 units over 2000 h.

    Same random numbers at all points. Every index within 4 of its standard errors (a quarter of its interval), which
    are below 0.12.
    """
    first, total = exact_k_of_n()
    design = sobol_design(64, 2, seed=6)
    values = np.array([simulated(100.0 + 300.0 * x, 16.0**y, 40) for x, y in design.points()])
    found = found_of(design, values)
    for estimate, value in [*zip(found.first, first, strict=True), *zip(found.total, total, strict=True)]:
        standard_error = (estimate.high - estimate.low) / (2 * 1.96)
        assert standard_error < 0.25
        assert abs(estimate.mean - value) <= MOST_Z * standard_error
    assert 0.0 < found.noise_share < 0.5


def simulated(mttf: float, mttr: float, n_trials: int, horizon: float = 2000.0) -> np.ndarray:
    """Share of time with fewer than 2 of 3 units up, (n_trials,)."""
    times = np.arange(0.0, horizon, 2.0)
    down = np.zeros((n_trials, len(times)))
    for trial in range(n_trials):
        for unit in range(3):
            draws = np.random.default_rng([trial, unit]).exponential(size=200).reshape(100, 2) * [mttf, mttr]
            edges = np.cumsum(draws.ravel())
            down[trial] += np.searchsorted(edges, times) % 2
    return (down >= 2).mean(axis=1)


def test_nothing_varies():
    design = sobol_design(8, 2, seed=1)
    assert sobol_from(np.ones((design.n_points, 5)), 2) is None
    assert sobol_from(np.zeros((design.n_points, 1)), 2) is None


def test_what_cannot_be_is_refused():
    with pytest.raises(UsageError, match="power of two"):
        sobol_design(100, 3, seed=1)
    with pytest.raises(UsageError, match="shape"):
        sobol_from(np.ones((7, 3)), 2)
    with pytest.raises(UsageError, match="finite"):
        sobol_from(np.full((8, 3), np.nan), 2)


def test_the_same_seed_gives_the_same_bits():
    design = sobol_design(32, 3, seed=2)
    values = noisy(design, 5, np.random.default_rng(1))
    assert sobol_from(values, 3, seed=4) == sobol_from(values, 3, seed=4)
