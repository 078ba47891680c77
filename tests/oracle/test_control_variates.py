"""Control variates: signals of mean 0, an unbiased and narrower mean, and intervals that hold it."""

import math
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from years_models import RARE_REGION, TapeTrial, exact_downtime_h

from sim.estimate import Control, Estimate, controlled_mean, mean_interval
from sim.laws import law_of
from sim.scenario.load import load_experiment
from sim.scenario.schema import Scenario
from sim.study.options import RunOptions
from sim.study.run import run_experiment
from sim.study.summary import summarise
from sim.world.forecast import FACTS, Forecast
from sim.world.log import EXCESSES, Kind
from sim.world.signals import Signals
from sim.world.trial import run_trial

Floats = NDArray[np.float64]
OFTEN_H = 40.0 * 24.0
OFTEN = RARE_REGION.replace("20y", "40d")
MANY_LAWS = RARE_REGION.replace("calendar: always", "calendar: office-hours, growth: 20%/y").replace(
    "place: {a: {web: 4}}",
    "  slow: {target: web in any region, every: {exponential: {mean: 150d}}, effect: {slow: 2},\n"
    "    repair: {lognormal: {median: 2h, p95: 30h}}}\n"
    "  sick: {target: web in any region, every: {exponential: {mean: 120d}}, effect: {errors: 20%},\n"
    "    repair: until fixed, common_cause: {regions: 30%}}\n"
    "  bad: {target: web in any region, per_deployment: 4%, deployments: {every: 7d}, effect: {errors: 60%},\n"
    "    repair: until fixed, common_cause: {regions: 50%}}\n"
    "  aged: {target: any region, every: {weibull: {mean: 300d, shape: 2}}, effect: down, repair: {fixed: 3h}}\n"
    "place: {a: {web: 4}, b: {web: 4}}",
)
MANY_LAWS = MANY_LAWS.replace("20y", "120d").replace(
    "regions: {", "regions: {b: {zones: 1, nodes: {count: 2, memory: 16Gi}}, "
)
STAGES = (Kind.ACKNOWLEDGED, Kind.DIAGNOSED)
N_TAPES = 4000


def scenario_of(folder: Path, text: str) -> Scenario:
    path = folder / "case.yaml"
    path.write_text(text)
    return load_experiment([path]).scenarios["default"]


def errors_of_mean(signals: Floats) -> Floats:
    """How far the mean of each signal is from 0, in its standard errors."""
    spread = signals.std(axis=0)
    return np.asarray(signals.mean(axis=0)[spread > 0] / (spread[spread > 0] / math.sqrt(len(signals))))


def test_signals_are_zero_on_average(tmp_path: Path) -> None:
    scenario = scenario_of(tmp_path, MANY_LAWS)
    signals = Signals(scenario).of(range(N_TAPES))
    errors = errors_of_mean(signals)
    assert len(errors) == 24  # four causes in two regions; of the Weibull law nothing is said
    assert np.abs(errors).max() < 4.0
    other = scenario_of(tmp_path, MANY_LAWS.replace("mean: 120d", "mean: 115d"))
    facts, of_other = (Forecast([s]).facts(range(N_TAPES)).reshape(N_TAPES, -1) for s in (scenario, other))
    expected_of_other = of_other - Signals(other).of(range(N_TAPES))
    assert np.abs(errors_of_mean(facts - expected_of_other)[:6]).max() > 4.0  # of region-loss


def test_what_is_expected_is_what_markov_says(tmp_path: Path) -> None:
    scenario = scenario_of(tmp_path, OFTEN)
    hours = FACTS.index("hours")
    expected = Forecast([scenario]).facts(range(500))[:, 0, hours] - Signals(scenario).of(range(500))[:, hours]
    assert expected.mean() == pytest.approx(exact_downtime_h(OFTEN_H), rel=1e-3)
    always_running = 8760.0 / OFTEN_H * 10.0  # as if a clock ran on while its fault is active
    assert expected.mean() != pytest.approx(always_running, rel=5e-3)


def test_a_run_with_a_precision_takes_off_what_its_tapes_say(tmp_path: Path) -> None:
    path = tmp_path / "case.yaml"
    path.write_text(OFTEN + "trials: 100\nprecision: {downtime_h_per_year: 5%}\n")
    result = run_experiment(load_experiment([path]), RunOptions(workers=1), trial_function=TapeTrial(heavy=False))
    found, truth = result.estimates["default"]["downtime_h_per_year"], exact_downtime_h(OFTEN_H)
    assert found.n == 100  # at the first look
    assert found.low <= truth <= found.high
    assert found.mean == pytest.approx(truth, rel=0.01)
    assert found.worth > 100.0  # all that these trials lose is on their tapes
    assert any("control variates" in line and f"{found.worth:.1f} (default)" in line for line in result.warnings)
    plain = mean_interval(result.tables["trials"]["downtime_s"] / 3600.0)
    assert plain.high - plain.low > 10.0 * (found.high - found.low)
    available = result.estimates["default"]["availability_time"]
    assert 8760.0 * (1.0 - available.mean) == pytest.approx(found.mean, rel=1e-9)  # the same years, the same loss


def losses(rng: np.random.Generator, n: int, rate: float, log_sd: float) -> tuple[Floats, Floats]:
    """Losses of n years and their signals: strikes of known length, a third at a bad hour, each with luck of its own;
    lesser losses that nothing foresees; twenty causes that cost nothing.
    """
    strikes = rng.poisson(rate, n)
    year = np.repeat(np.arange(n), strikes)
    hours, busy = rng.lognormal(0.0, log_sd, len(year)), rng.random(len(year)) < 0.3
    luck = rng.lognormal(-0.125, 0.5, len(year))
    lost = np.bincount(year, hours * busy * luck, minlength=n)
    others = rng.poisson(1.0, n)
    lost += np.bincount(np.repeat(np.arange(n), others), rng.lognormal(-1.0, 1.0, int(others.sum())), minlength=n)
    mean_h = math.exp(log_sd**2 / 2)
    signals = [strikes - rate, np.bincount(year, hours, minlength=n) - rate * mean_h]
    signals += [np.bincount(year, hours * busy, minlength=n) - 0.3 * rate * mean_h]
    signals += [rng.poisson(1.0, n) - 1.0 for _ in range(20)]
    return lost, np.stack(signals, axis=1)


def truth_of(rate: float, log_sd: float) -> float:
    return 0.3 * rate * math.exp(log_sd**2 / 2) + math.exp(-0.5)


def estimated(lost: Floats, signals: Floats) -> Estimate:
    return controlled_mean(lost, Control(signals).rest(lost), bounds=(0.0, 1e6))


@pytest.mark.parametrize(("n", "rate", "log_sd"), [(100, 5.0, 0.8), (100, 5.0, 1.4), (300, 2.0, 0.8), (300, 5.0, 1.0)])
def test_intervals_hold_the_exact_mean(n: int, rate: float, log_sd: float) -> None:
    rng, repetitions = np.random.default_rng(7), 300
    held, widths, plain_widths, means = 0, [], [], []
    for _ in range(repetitions):
        lost, signals = losses(rng, n, rate, log_sd)
        found, plain = estimated(lost, signals), mean_interval(lost, bounds=(0.0, 1e6))
        held += found.low <= truth_of(rate, log_sd) <= found.high
        widths.append(found.high - found.low)
        plain_widths.append(plain.high - plain.low)
        means.append(float(Control(signals).rest(lost).mean()))
    assert held / repetitions >= 0.95 - 4.0 * math.sqrt(0.95 * 0.05 / repetitions)
    error = float(np.std(means, ddof=1)) / math.sqrt(repetitions)
    assert abs(float(np.mean(means)) - truth_of(rate, log_sd)) < 4.0 * error
    narrower = float(np.median(widths)) / float(np.median(plain_widths))
    assert narrower < 0.8 if log_sd <= 1.0 else narrower > 0.9  # heavy tails: mostly the plain interval


def test_signals_whose_mean_is_not_zero_would_show() -> None:
    rng, held = np.random.default_rng(7), 0
    for _ in range(60):
        lost, signals = losses(rng, 300, 5.0, 0.8)
        found = estimated(lost, signals + 0.5)
        held += found.low <= truth_of(5.0, 0.8) <= found.high
    assert held < 20


def test_signals_that_say_nothing_change_nothing() -> None:
    rng = np.random.default_rng(3)
    lost, _ = losses(rng, 200, 2.0, 0.8)
    signals = rng.normal(size=(200, 5))
    assert estimated(lost, signals) == mean_interval(lost, bounds=(0.0, 1e6))
    few, known = losses(rng, 50, 5.0, 0.8)
    assert estimated(few, known) == mean_interval(few, bounds=(0.0, 1e6))


BAD = """\
  bad: {target: web in any region, every: {exponential: {mean: 20d}}, effect: {errors: 60%}, repair: until fixed}
  region-loss:"""
PEOPLE = (
    OFTEN.replace("failover: none", "").replace("  region-loss:", BAD)
    + """\
operations:
  detection: {monitor: {signal: success, below: 95%, for: 5m}}
  acknowledge: {exponential: {mean: 10m}}
  diagnose: {lognormal: {median: 28m, p95: 3h}}
  crew: 1
  runbook: {rollback: {takes: {exponential: {mean: 30m}}, helps_against: [bad]}, restart: {takes: 10m}}
  first_action_wrong: 40%
"""
)


def test_what_people_take_is_what_was_to_be_expected_on_average(tmp_path: Path) -> None:
    scenario = scenario_of(tmp_path, PEOPLE)
    records = [run_trial(scenario, "case", trial) for trial in range(80)]
    excess = np.array([[record.excess[name] for name in EXCESSES] for record in records])
    errors = errors_of_mean(excess)
    assert len(errors) == 7  # nothing fails over here
    assert np.abs(errors).max() < 4.0
    mean_h = law_of(scenario.operations.diagnose).mean_s / 3600.0
    n_checked = 0
    for record, found in zip(records, excess[:, EXCESSES.index("diagnose_h")], strict=True):
        began, ended = ([r.at_s for r in record.records if r.kind is kind] for kind in STAGES)
        if len(began) == len(ended):  # else the horizon ends in a diagnosis
            n_checked += len(began)
            lasted_h = (sum(ended) - sum(began)) / 3600.0
            assert found == pytest.approx(lasted_h - len(began) * mean_h, abs=1e-6)
    assert n_checked > 1000


def test_what_people_take_makes_means_surer(tmp_path: Path) -> None:
    path = tmp_path / "case.yaml"
    path.write_text(PEOPLE + "trials: 80\nmax_trials: 80\nprecision: {downtime_h_per_year: 1%}\n")
    experiment = load_experiment([path])
    result = run_experiment(experiment, RunOptions(workers=1, keep=False))
    rows = result.tables["trials"]
    of_tapes = {name: values for name, values in rows.items() if not name.startswith("excess_")}
    without = summarise({**result.tables, "trials": of_tapes}, experiment.scenarios, 0.95)
    worth = result.estimates["default"]["downtime_h_per_year"].worth
    assert worth > 1.1 * without.estimates["default"]["downtime_h_per_year"].worth


def test_what_a_failover_takes_counts_as_often_as_it_fails(tmp_path: Path) -> None:
    two = OFTEN.replace("regions: {", "regions: {b: {zones: 1, nodes: {count: 2, memory: 16Gi}}, ")
    two = two.replace("place: {a: {web: 4}}", "place: {a: {web: 4}, b: {web: 4}}").replace(
        "failover: none", "failover: {policy: active-passive, standby: hot, success: {tested: 70%}}"
    )
    records = [run_trial(scenario_of(tmp_path, two), "case", trial) for trial in range(25)]
    for record in records:
        worked = sum(r.kind is Kind.FAILOVER for r in record.records)
        failed = sum(r.what == "the failover did not work" for r in record.records)
        assert record.excess["failed_failovers"] == pytest.approx(0.7 * failed - 0.3 * worked)
    assert sum(record.excess["failed_failovers"] != 0.0 for record in records) > 10
