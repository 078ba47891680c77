"""Stopping at a precision: where a run stops depends on its trials alone."""

import math
from pathlib import Path

import numpy as np
import pytest
from small_study import SCENARIO, fake_trial, write_scenario

from sim.estimate import Estimate
from sim.scenario.document import Experiment
from sim.scenario.load import load_experiment
from sim.scenario.promises import Precision, Within
from sim.study.catalogue import MEASURES
from sim.study.options import RunOptions
from sim.study.result import RunResult
from sim.study.run import run_experiment
from sim.study.stopping import half_width, next_look, relative_half_width, unmet, unmet_text
from sim.study.tables import table_hash


def asked(folder: Path, precision: str, max_trials: int = 512) -> Experiment:
    text = SCENARIO.replace("trials: 24\n", f"trials: 16\nprecision: {precision}\nmax_trials: {max_trials}\n")
    return load_experiment(write_scenario(folder, text))


def run(experiment: Experiment, **options: object) -> RunResult:
    return run_experiment(experiment, RunOptions(workers=1, **options), trial_function=fake_trial)  # type: ignore[arg-type]


def test_goes_on_until_the_interval_is_narrow_and_no_further(tmp_path: Path) -> None:
    result = run(asked(tmp_path, "{outages_per_year: 20%}"))
    trials = result.meta["trials_asked"]
    assert all(16 <= n <= 512 for n in trials.values())
    assert result.meta["precision_unmet"] == []
    for estimates in result.estimates.values():
        assert relative_half_width(estimates["outages_per_year"], of_rest=False) <= 0.20
    narrower = run(asked(tmp_path, "{outages_per_year: 8%}"))
    assert all(narrower.meta["trials_asked"][name] > n for name, n in trials.items())
    names, counts = np.unique(narrower.tables["trials"]["architecture"], return_counts=True)
    assert dict(zip(names, counts, strict=True)) == narrower.meta["trials_asked"]


def test_stops_at_the_cap_and_says_what_is_still_wide(tmp_path: Path) -> None:
    result = run(asked(tmp_path, "{availability: 0.01% of unavailability}", max_trials=40))
    assert result.meta["trials_asked"] == {"single": 40, "double": 40}
    assert "availability of single" in result.meta["precision_unmet"]


def test_the_stop_does_not_depend_on_chunks(tmp_path: Path) -> None:
    experiment = asked(tmp_path, "{outages_per_year: 12%}")
    hashes = {table_hash(run(experiment, chunk=chunk).tables) for chunk in (1, 7, None)}
    assert len(hashes) == 1


def test_trials_by_hand_win_over_the_precision(tmp_path: Path) -> None:
    found = run(asked(tmp_path, "{outages_per_year: 1%}"), trials=5)
    assert set(found.meta["trials_asked"].values()) == {5}


def test_each_architecture_goes_on_to_what_its_widest_interval_says() -> None:
    wide = [
        ("a", "downtime_h_per_year", 0.14, 0.1),
        ("a", "outages_per_year", 0.11, 0.1),
        ("b", "faults", math.inf, 0.1),
    ]
    asked_of = {"a": 100, "b": 100, "c": 100}
    assert next_look(wide, asked_of, 1000) == {"a": 177, "b": 200}
    assert next_look(wide[1:2], asked_of, 1000) == {"a": 126}
    assert next_look([("a", "x", 0.1001, 0.1)], asked_of, 1000) == {"a": 115}
    assert next_look(wide, asked_of, 150) == {"a": 150, "b": 150}
    assert next_look(wide, asked_of, 100) == {}


def test_half_width_is_relative_to_what_is_lost() -> None:
    estimate = Estimate(0.999, 0.9985, 0.9992, 0.95, 100)
    assert relative_half_width(estimate, of_rest=True) == pytest.approx(0.5)
    assert math.isinf(relative_half_width(Estimate(1.0, 0.99, 1.0, 0.95, 10), of_rest=True))


def test_a_measure_that_was_not_seen_is_not_precise(tmp_path: Path) -> None:
    scenarios = asked(tmp_path, "{cascades_per_year: 50%}").scenarios
    unseen = {name: {"cascades_per_year": Estimate(0.0, 0.0, 0.1, 0.95, 30, False)} for name in scenarios}
    assert [row[0] for row in unmet(unseen, scenarios)] == list(scenarios)


def test_absolute_widths_are_in_the_measures_own_unit(tmp_path: Path) -> None:
    experiment = asked(tmp_path, "{outages_per_year: within 0.5, availability: within 0.01%, cascade_year_prob: 20%}")
    precision = next(iter(experiment.scenarios.values())).precision
    assert precision is not None
    assert isinstance(precision.outages_per_year, Within)
    assert not isinstance(precision.cascade_year_prob, Within)
    assert (precision.outages_per_year, precision.availability, precision.cascade_year_prob) == (0.5, 1e-4, 0.2)
    again = Experiment.from_document(experiment.to_document())
    assert next(iter(again.scenarios.values())).precision == precision
    assert isinstance(next(iter(again.scenarios.values())).precision.availability, Within)  # type: ignore[union-attr]
    narrow = {
        "outages_per_year": Estimate(2.0, 1.6, 2.4, 0.95, 30),
        "availability_time": Estimate(0.9, 0.8, 1, 0.95, 30),
    }
    rows = unmet(dict.fromkeys(experiment.scenarios, narrow), experiment.scenarios)
    assert {row[1] for row in rows} == {"availability"}
    assert unmet_text(rows[0]).endswith("is known within 0.1, wanted 0.0001")


def test_several_measures_must_all_be_met(tmp_path: Path) -> None:
    loose = run(asked(tmp_path, "{outages_per_year: 20%}"))
    half = max(half_width(found["faults_per_year"]) for found in loose.estimates.values())
    both = run(asked(tmp_path, f"{{outages_per_year: 20%, faults_per_year: within {half / 3:.4f}}}", max_trials=8192))
    assert sum(both.meta["trials_asked"].values()) > sum(loose.meta["trials_asked"].values())
    assert all(half_width(found["faults_per_year"]) <= half / 3 for found in both.estimates.values())


def test_every_measure_of_the_catalogue_can_be_asked_for() -> None:
    known = {"availability_time" if name == "availability" else name for name in Precision.model_fields}
    assert known == set(MEASURES) - {"infrastructure_cost_per_year"}  # a bill, not an estimate
