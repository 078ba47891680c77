"""Laws made from scenario blocks, their special values, and what they refuse."""

import math
from collections.abc import Callable

import pytest

from sim.laws import Empirical, Exponential, Fixed, Gamma, Lognormal, Weibull, law_of
from sim.scenario.schema import EmpiricalLaw, ExponentialLaw, GammaLaw, LawSpec, LognormalLaw, WeibullLaw


def test_each_scenario_law_keeps_the_statistics_it_names() -> None:
    assert law_of(LawSpec(exponential=ExponentialLaw(mean="90d"))).mean_s == 90 * 86400
    by_p95 = law_of(LawSpec(lognormal=LognormalLaw(median="45m", p95="6h")))
    assert by_p95.median_s == 2700
    assert by_p95.quantile(0.95) == pytest.approx(21600, rel=1e-12)
    by_sigma = law_of(LawSpec(lognormal=LognormalLaw(median="1h", sigma=1.4)))
    assert by_sigma.mean_s == pytest.approx(3600 * 2.66445624193, rel=1e-11)  # C16
    by_mean = law_of(LawSpec(lognormal=LognormalLaw(mean="1h", sigma=0.8)))
    assert by_mean.mean_s == pytest.approx(3600, rel=1e-12)
    weibull = law_of(LawSpec(weibull=WeibullLaw(mean="100h", shape=0.7)))
    assert isinstance(weibull, Weibull)
    assert weibull.mean_s == 360_000
    assert weibull.scale_s == pytest.approx(3600 * 78.999954987, rel=1e-11)  # C16
    gamma = law_of(LawSpec(gamma=GammaLaw(mean="1h", shape=2)))
    assert gamma.mean_s == 3600
    assert gamma.cdf(3600) == pytest.approx(1 - 3 * math.exp(-2), rel=1e-12)  # Erlang-2 at its mean
    assert law_of(LawSpec(fixed="20m")) == Fixed(1200.0)
    empirical = EmpiricalLaw(file="d.csv", column="minutes", unit="m", values_s=(60.0, 120.0))
    assert law_of(LawSpec(empirical=empirical)) == Empirical((60.0, 120.0))


def test_the_mean_of_a_lognormal_law_is_not_its_median() -> None:
    law = Lognormal.of_median_p95(3600.0, 21600.0)
    assert law.mean_s / law.median_s == pytest.approx(1.81, abs=0.01)
    assert Lognormal.of_mean_sigma(3600.0, 1.0).median_s < 3600


def test_an_empirical_law_without_values_is_refused() -> None:
    spec = LawSpec(empirical=EmpiricalLaw(file="d.csv", column="minutes", unit="m"))
    with pytest.raises(ValueError, match=r"d\.csv was not filled"):
        law_of(spec)


def test_an_empirical_law_draws_each_value_equally_often() -> None:
    law = Empirical((5.0, 1.0, 3.0))
    assert [law.quantile(p) for p in (0.01, 1 / 3, 0.34, 2 / 3, 0.67, 0.99)] == [1, 1, 3, 3, 5, 5]
    assert [law.cdf(t) for t in (0.9, 1.0, 4.0, 5.0)] == pytest.approx([0, 1 / 3, 2 / 3, 1])
    for n in (7, 10, 49, 1000):
        law = Empirical(tuple(float(k) for k in range(1, n + 1)))
        assert [law.quantile(k / n) for k in range(1, n)] == [float(k) for k in range(1, n)]


def test_shape_one_is_exponential() -> None:
    exponential = Exponential(500.0)
    for law in (Weibull(500.0, 1.0), Gamma(500.0, 1.0)):
        for age in (0.0, 1.0, 500.0, 20_000.0):
            assert law.hazard(age) == pytest.approx(1 / 500, rel=1e-10)
            assert law.cdf(age) == pytest.approx(exponential.cdf(age), rel=1e-12)


def test_hazards_at_the_edges() -> None:
    assert Weibull(1.0, 0.5).hazard(0.0) == math.inf
    assert Weibull(1.0, 2.0).hazard(0.0) == 0
    assert Gamma(1.0, 0.5).hazard(0.0) == math.inf
    assert Gamma(1.0, 2.0).hazard(0.0) == 0
    assert Lognormal(1.0, 1.0).hazard(0.0) == 0
    assert [Fixed(5.0).hazard(age) for age in (4.999, 5.0, 6.0)] == [0, math.inf, math.inf]
    assert [Empirical((2.0, 5.0)).hazard(age) for age in (1.0, 2.0, 3.0, 6.0)] == [0, math.inf, 0, math.inf]
    assert Exponential(5.0).hazard(-1.0) == 0


def test_hazards_survive_the_far_tail() -> None:
    assert Gamma(2.0, 2.0).hazard(5000.0) == pytest.approx(5000 / 5001, rel=1e-12)  # Erlang-2: x / (1 + x)
    assert Gamma(2.0, 2.0).hazard(600.0) == pytest.approx(600 / 601, rel=1e-9)
    z, sigma = 60.0, 0.5
    age = math.exp(sigma * z)
    mills = 1 / z * (1 - z**-2 + 3 * z**-4)
    assert Lognormal(1.0, sigma).hazard(age) == pytest.approx(1 / (sigma * age * mills), rel=1e-8)


@pytest.mark.parametrize(
    "broken",
    [
        lambda: Exponential(0.0),
        lambda: Exponential(math.inf),
        lambda: Lognormal(-1.0, 1.0),
        lambda: Lognormal(1.0, 0.0),
        lambda: Lognormal.of_median_p95(10.0, 10.0),
        lambda: Weibull(1.0, math.nan),
        lambda: Gamma(1.0, -2.0),
        lambda: Fixed(-1.0),
        lambda: Empirical(()),
        lambda: Empirical((1.0, -1.0)),
    ],
)
def test_impossible_parameters_are_refused(broken: Callable[[], object]) -> None:
    with pytest.raises(ValueError, match=r"must|needs"):
        broken()
