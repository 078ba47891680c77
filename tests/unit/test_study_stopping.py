"""Stopping at a precision: where a run stops depends on its trials alone."""

import math
from pathlib import Path

import pytest
from small_study import SCENARIO, fake_trial, write_scenario

from sim.estimate import Estimate
from sim.scenario.document import Experiment
from sim.scenario.load import load_experiment
from sim.study.options import RunOptions
from sim.study.result import RunResult
from sim.study.run import run_experiment
from sim.study.stopping import relative_half_width, unmet
from sim.study.tables import table_hash


def asked(folder: Path, precision: str, max_trials: int = 512) -> Experiment:
    text = SCENARIO.replace("trials: 24\n", f"trials: 16\nprecision: {precision}\nmax_trials: {max_trials}\n")
    return load_experiment(write_scenario(folder, text))


def run(experiment: Experiment, **options: object) -> RunResult:
    return run_experiment(experiment, RunOptions(workers=1, **options), trial_function=fake_trial)  # type: ignore[arg-type]


def test_goes_on_until_the_interval_is_narrow_and_no_further(tmp_path: Path) -> None:
    result = run(asked(tmp_path, "{outages_per_year: 20%}"))
    trials = result.meta["trials_asked"]
    assert trials in (16, 32, 64, 128, 256, 512)
    assert result.meta["precision_unmet"] == []
    for estimates in result.estimates.values():
        assert relative_half_width(estimates["outages_per_year"], of_rest=False) <= 0.20
    narrower = run(asked(tmp_path, "{outages_per_year: 8%}"))
    assert narrower.meta["trials_asked"] > trials


def test_stops_at_the_cap_and_says_what_is_still_wide(tmp_path: Path) -> None:
    result = run(asked(tmp_path, "{availability: 0.01% of unavailability}", max_trials=40))
    assert result.meta["trials_asked"] == 40
    assert "availability of single" in result.meta["precision_unmet"]


def test_the_stop_does_not_depend_on_chunks(tmp_path: Path) -> None:
    experiment = asked(tmp_path, "{outages_per_year: 12%}")
    hashes = {table_hash(run(experiment, chunk=chunk).tables) for chunk in (1, 7, None)}
    assert len(hashes) == 1


def test_trials_by_hand_win_over_the_precision(tmp_path: Path) -> None:
    assert run(asked(tmp_path, "{outages_per_year: 1%}"), trials=5).meta["trials_asked"] == 5


def test_half_width_is_relative_to_what_is_lost() -> None:
    estimate = Estimate(0.999, 0.9985, 0.9992, 0.95, 100)
    assert relative_half_width(estimate, of_rest=True) == pytest.approx(0.5)
    assert math.isinf(relative_half_width(Estimate(1.0, 0.99, 1.0, 0.95, 10), of_rest=True))


def test_a_measure_that_was_not_seen_is_not_precise(tmp_path: Path) -> None:
    scenarios = asked(tmp_path, "{cascades_per_year: 50%}").scenarios
    unseen = {name: {"cascades_per_year": Estimate(0.0, 0.0, 0.1, 0.95, 30, False)} for name in scenarios}
    assert [row[0] for row in unmet(unseen, scenarios)] == list(scenarios)
