"""One contract for all laws of time: what each of them promises, whatever its shape."""

import itertools
import math

import numpy as np
import pytest
from scipy import integrate

from sim.laws import Empirical, Exponential, Fixed, Gamma, Law, Lognormal, Weibull
from sim.randomness import uniform

LAWS: dict[str, Law] = {
    "exponential": Exponential(7200.0),
    "lognormal": Lognormal(3600.0, 1.4),
    "lognormal-median-p95": Lognormal.of_median_p95(2700.0, 21600.0),
    "lognormal-narrow": Lognormal(60.0, 0.1),
    "weibull-decreasing": Weibull(360000.0, 0.7),
    "weibull-increasing": Weibull(600.0, 3.0),
    "gamma-decreasing": Gamma(600.0, 0.5),
    "gamma-two-stages": Gamma(86400.0, 2.0),
    "gamma-narrow": Gamma(100.0, 400.0),
    "fixed": Fixed(1200.0),
    "empirical": Empirical((30.0, 10.0, 20.0, 20.0, 500.0)),
}
CONTINUOUS = [name for name in LAWS if name not in ("fixed", "empirical")]
LEVELS = (0.001, 0.05, 0.25, 0.5, 0.75, 0.95, 0.999)
N = 20_000


def sample(name: str) -> np.ndarray:
    return np.array([LAWS[name].from_uniform(uniform(11, 0, name, "contract", k)) for k in range(N)])


@pytest.mark.parametrize("name", LAWS)
class TestLaw:
    """Every law keeps these promises."""

    def test_mean_of_draws(self, name: str) -> None:
        x = sample(name)
        standard_error = x.std(ddof=1) / math.sqrt(N)
        assert abs(x.mean() - LAWS[name].mean_s) <= 4 * standard_error
        assert standard_error <= 0.06 * LAWS[name].mean_s  # else the line above says nothing

    def test_share_of_draws_below_each_quantile(self, name: str) -> None:
        law, x = LAWS[name], sample(name)
        for p in LEVELS:
            share = law.cdf(law.quantile(p))
            assert abs(np.mean(x <= law.quantile(p)) - share) <= 4 * math.sqrt(share * (1 - share) / N)

    def test_mean_is_the_integral_of_its_quantiles(self, name: str) -> None:
        law = LAWS[name]
        edges = np.concatenate([[0.0], np.arange(0.1, 0.95, 0.1), 1 - 10.0 ** -np.arange(1, 10), [1 - 1e-12]])
        nodes, weights = np.polynomial.legendre.leggauss(40)
        total = 0.0
        for low, high in itertools.pairwise(edges):
            half = (high - low) / 2
            total += half * sum(w * law.quantile(low + half * (1 + z)) for z, w in zip(nodes, weights, strict=True))
        assert total == pytest.approx(law.mean_s, rel=2e-6 if name in CONTINUOUS else 1e-9)

    def test_median_halves(self, name: str) -> None:
        law = LAWS[name]
        assert law.median_s == pytest.approx(law.quantile(0.5), rel=1e-14)
        assert law.cdf(law.median_s) >= 0.5 - 1e-12

    def test_draws_grow_with_the_uniform_number(self, name: str) -> None:
        u = np.linspace(1e-9, 1 - 1e-9, 2001)
        x = [LAWS[name].from_uniform(value) for value in u]
        assert all(a <= b for a, b in itertools.pairwise(x))
        assert x[0] >= 0

    def test_quantile_is_the_inverse_of_cdf(self, name: str) -> None:
        law = LAWS[name]
        for p in LEVELS:
            x = law.quantile(p)
            # A level of exactly 1 belongs to the longest value of a law with point masses.
            assert law.quantile(min(law.cdf(x), 1 - 1e-15)) == pytest.approx(x, rel=1e-9)

    def test_cdf_is_a_cdf(self, name: str) -> None:
        law = LAWS[name]
        times = np.geomspace(1e-6, 1e3, 500) * law.mean_s
        values = [law.cdf(t) for t in times]
        assert all(0 <= a <= b <= 1 for a, b in itertools.pairwise(values))
        assert law.cdf(-1.0) == 0

    def test_extreme_uniform_numbers_give_finite_times(self, name: str) -> None:
        assert 0 <= LAWS[name].from_uniform(2.0**-53) <= LAWS[name].from_uniform(1 - 2.0**-53) < math.inf

    @pytest.mark.parametrize("level", [0.0, 1.0, -0.1, 1.5, math.nan])
    def test_impossible_levels_are_refused(self, name: str, level: float) -> None:
        with pytest.raises(ValueError, match="strictly between 0 and 1"):
            LAWS[name].quantile(level)


@pytest.mark.parametrize("name", CONTINUOUS)
def test_survival_is_exp_of_minus_the_integrated_hazard(name: str) -> None:
    law = LAWS[name]
    start, end = law.quantile(0.05), law.quantile(0.99)
    integrated, _ = integrate.quad(law.hazard, start, end, epsrel=1e-10, limit=200)
    assert math.exp(-integrated) == pytest.approx((1 - law.cdf(end)) / (1 - law.cdf(start)), rel=1e-7)


def test_the_contract_catches_a_mean_taken_for_a_median() -> None:
    x = sample("lognormal")
    wrong_mean = Lognormal(3600.0, 1.4).median_s
    assert abs(x.mean() - wrong_mean) > 4 * x.std(ddof=1) / math.sqrt(N)
