"""Laws that are estimates: how they are written, what is drawn, and what the results say of them."""

import json
import math
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from small_study import SCENARIO, fake_trial, write_scenario

import sim.world
from sim.commands.documents import result_document
from sim.errors import ScenarioError
from sim.laws import Lognormal, Weibull, fitted, law_of
from sim.scenario.load import load_experiment
from sim.scenario.schema import Scenario
from sim.study.options import RunOptions
from sim.study.parameters import mean_drawn, uncertain_laws, with_drawn_parameters, within
from sim.study.run import run_experiment
from sim.study.work import engine_trial

UNCERTAIN = SCENARIO.replace("{mean: 30d}", "{mean: 30d, failures: 12}").replace(
    "{mean: 1y}", "{mean: 1y, interval: [200d, 3y]}"
)


def scenarios_of(folder: Path, text: str = UNCERTAIN) -> dict[str, Scenario]:
    return dict(load_experiment(write_scenario(folder, text)).scenarios)


def mean_of(scenario: Scenario, fault: str) -> float:
    every = scenario.faults[fault].every
    assert every is not None
    return law_of(every).mean_s


class TestDraws:
    """Which laws are drawn, and by which numbers."""

    def test_only_laws_that_say_so_are_drawn(self, tmp_path: Path) -> None:
        scenario = scenarios_of(tmp_path)["single"]
        assert set(uncertain_laws(scenario)) == {("faults", "pod-crash", "every"), ("faults", "region-loss", "every")}
        drawn = with_drawn_parameters(scenario, 5)
        assert mean_of(drawn, "pod-crash") != mean_of(scenario, "pod-crash")
        assert drawn.faults["region-loss"].repair == scenario.faults["region-loss"].repair
        assert uncertain_laws(drawn) == ()

    def test_a_scenario_without_any_stays_itself(self, tmp_path: Path) -> None:
        scenario = scenarios_of(tmp_path, SCENARIO)["single"]
        assert with_drawn_parameters(scenario, 3) is scenario

    def test_pairs_of_trials_and_architectures_share_a_draw(self, tmp_path: Path) -> None:
        found = scenarios_of(tmp_path)
        means = [mean_of(with_drawn_parameters(found["single"], t), "pod-crash") for t in range(6)]
        assert means[0] == means[1] != means[2] == means[3]
        assert means == [mean_of(with_drawn_parameters(found["double"], t), "pod-crash") for t in range(6)]
        other_seed = found["single"].model_copy(update={"seed": 8})
        assert mean_of(with_drawn_parameters(other_seed, 0), "pod-crash") != means[0]

    def test_the_engine_gets_the_drawn_law(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        scenario, seen = scenarios_of(tmp_path)["single"], []

        def stop(given: Scenario, *_: object, **__: object) -> None:
            seen.append(mean_of(given, "pod-crash"))
            raise StopIteration

        monkeypatch.setattr(sim.world, "run_trial", stop)
        with pytest.raises(StopIteration):
            engine_trial(scenario, "single", 4)
        assert seen == [mean_of(with_drawn_parameters(scenario, 4), "pod-crash")]

    def test_levels_are_exact_confidence_limits(self) -> None:
        """12 failures in 360 d: chi-squared limits of the mean time to failure."""
        low, high = mean_drawn(30.0, 12, 0.025), mean_drawn(30.0, 12, 0.975)
        assert (low, high) == pytest.approx((720 / stats.chi2.ppf(0.975, 24), 720 / stats.chi2.ppf(0.025, 24)))
        assert [within(30.0, 20.0, 60.0, u) for u in (0.025, 0.5, 0.975)] == pytest.approx([20.0, 30.0, 60.0])

    def test_a_lognormal_keeps_its_spread(self, tmp_path: Path) -> None:
        text = UNCERTAIN.replace("{fixed: 2h}", "{lognormal: {median: 2h, p95: 6h, interval: [1h, 3h]}}")
        scenario = scenarios_of(tmp_path, text)["single"]
        laws = [with_drawn_parameters(scenario, t).faults["region-loss"].repair.law for t in range(0, 40, 2)]
        sigmas = {round(law_of(law).sigma, 12) for law in laws if law is not None}  # type: ignore[attr-defined]
        assert sigmas == {round(math.log(3) / stats.norm.ppf(0.95), 12)}
        assert len({law_of(law).median_s for law in laws if law is not None}) == 20


class TestFits:
    """Laws fitted to durations."""

    values = tuple(np.random.default_rng(3).weibull(0.8, 60) * 3600)

    def test_against_scipy(self) -> None:
        weibull = fitted("weibull", self.values)
        shape, _, scale = stats.weibull_min.fit(self.values, floc=0)
        assert isinstance(weibull, Weibull)
        assert (weibull.shape, weibull.scale_s) == pytest.approx((shape, scale), rel=1e-3)
        assert fitted("exponential", self.values).mean_s == pytest.approx(np.mean(self.values))
        lognormal = fitted("lognormal", self.values)
        assert isinstance(lognormal, Lognormal)
        assert lognormal.sigma == pytest.approx(np.log(self.values).std(ddof=1))

    @pytest.mark.parametrize("kind", ["exponential", "lognormal", "weibull"])
    def test_drawn_parameters_spread_as_refitted_samples_do(self, tmp_path: Path, kind: str) -> None:
        """Mean and spread of ln mean over draws against a parametric bootstrap of the fit."""
        (tmp_path / "gaps.csv").write_text("gap_s\n" + "\n".join(f"{value:.6f}" for value in self.values) + "\n")
        text = SCENARIO.replace("{exponential: {mean: 30d}}", f"{{empirical: {{file: gaps.csv, fitted: {kind}}}}}")
        scenario = scenarios_of(tmp_path, text)["single"]
        drawn = np.log([mean_of(with_drawn_parameters(scenario, 2 * t), "pod-crash") for t in range(600)])
        law, rng = fitted(kind, self.values), np.random.default_rng(4)
        again = [math.log(fitted(kind, tuple(law.quantile(u) for u in rng.random(60))).mean_s) for _ in range(400)]
        assert law_of_point(scenario) == pytest.approx(law.mean_s)
        assert abs(drawn.mean() - math.log(law.mean_s)) <= 0.05
        assert drawn.std(ddof=1) == pytest.approx(np.std(again, ddof=1), rel=0.25)

    def test_what_cannot_be_fitted_is_said(self) -> None:
        with pytest.raises(ValueError, match="at least two positive"):
            fitted("weibull", (5.0, 5.0))
        with pytest.raises(ValueError, match="expected exponential"):
            fitted("gamma", (5.0, 6.0))


def law_of_point(scenario: Scenario) -> float:
    return mean_of(scenario, "pod-crash")


@pytest.mark.parametrize(
    ("wrong", "said"),
    [
        ("{mean: 30d, interval: [40d, 50d]}", "between"),
        ("{mean: 30d, interval: [20d, 45d], failures: 12}", "not both"),
        ("{mean: 30d, failures: 0}", "faults.pod-crash.every"),
        ("{mean: 30d, interval: [20, 45]}", "interval"),
    ],
)
def test_mistakes_are_located(tmp_path: Path, wrong: str, said: str) -> None:
    with pytest.raises(ScenarioError) as caught:
        scenarios_of(tmp_path, SCENARIO.replace("{mean: 30d}", wrong))
    assert said in str(caught.value)
    assert "small.yaml:" in str(caught.value)


class TestResults:
    """What a run says of it."""

    def test_the_document_tells_parameters_apart(self, tmp_path: Path) -> None:
        experiment = load_experiment(write_scenario(tmp_path, UNCERTAIN))
        result = run_experiment(experiment, RunOptions(workers=1, trials=25), trial_function=fake_trial)
        document = json.loads(json.dumps(result_document(result)))
        spread = document["parameters"]["single"]["downtime_h_per_year"]
        assert set(spread) == {"sd", "low", "high", "share", "n"}
        assert spread["n"] == 12  # the 25th trial has no partner
        assert document["architectures"]["single"]["downtime_h_per_year"]["n"] == 13
        plain = run_experiment(
            load_experiment(write_scenario(tmp_path, SCENARIO)),
            RunOptions(workers=1, trials=24),
            trial_function=fake_trial,
        )
        assert "parameters" not in result_document(plain)
