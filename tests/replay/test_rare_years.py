"""Years sampled by strata are the same for any number of workers, and after an interruption."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner
from years_models import RARE_REGION

import sim
from sim.cli import app
from sim.errors import RunError, UsageError
from sim.scenario.document import Experiment
from sim.scenario.load import load_experiment
from sim.study.options import RunOptions
from sim.study.rare_years import RareYears, YearsEffort, rare_years
from sim.study.result import InterruptedRunError
from sim.study.run import load_result

TWO = RARE_REGION.replace("20y", "2y").replace("place: {a: {web: 4}}\n", "") + (
    "architectures: {four: {place: {a: {web: 4}}}, two: {place: {a: {web: 2}}}}\n"
)
EFFORT = YearsEffort(wanted=0.5, most_trials=60)


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "two.yaml"
    path.write_text(TWO)
    return path


@pytest.fixture
def experiment(file: Path) -> Experiment:
    return load_experiment([file])


def numbers(found: RareYears) -> object:
    return {name: mine.estimates for name, mine in found.designs.items()}, found.differences


def test_workers_change_no_bit(experiment: Experiment) -> None:
    one = rare_years(experiment, EFFORT, RunOptions(workers=1))
    assert numbers(one) == numbers(rare_years(experiment, EFFORT, RunOptions(workers=2)))
    assert numbers(one) == numbers(sim.rare_years(experiment, EFFORT, workers=1))
    difference = one.differences["two - four"]["downtime_h_per_year"]
    assert difference.mean == pytest.approx(0.0, abs=1e-3)  # both lose the same region
    other = rare_years(experiment, EFFORT, RunOptions(workers=1, seed=6))
    assert numbers(one) != numbers(other)


def test_an_interrupted_sampling_goes_on_where_it_was(experiment: Experiment, tmp_path: Path) -> None:
    out = tmp_path / "run"

    def stop(done: int, asked: int, text: str) -> None:
        if done >= 50:
            raise KeyboardInterrupt

    with pytest.raises(InterruptedRunError):
        rare_years(experiment, EFFORT, RunOptions(workers=1, out=out), progress=stop)
    meta = json.loads((out / "run.json").read_text())
    assert (meta["stop_reason"], meta["sample"]) == ("interrupted", "strata")
    stored = sum(meta["trials_done"].values())
    assert stored >= 50
    seen: list[int] = []
    resumed = rare_years(
        experiment, EFFORT, RunOptions(workers=1, out=out), progress=lambda done, asked, text: seen.append(done)
    )
    assert min(seen) > stored  # what was stored is not run again
    assert numbers(resumed) == numbers(rare_years(experiment, EFFORT, RunOptions(workers=1)))


def test_trials_chosen_by_strata_are_not_taken_for_trials_as_they_come(experiment: Experiment, tmp_path: Path) -> None:
    out = tmp_path / "run"
    rare_years(experiment, EFFORT, RunOptions(workers=1, out=out))
    with pytest.raises(RunError, match="chosen by strata"):
        load_result(out)
    from sim.study.run import run_experiment

    with pytest.raises(UsageError, match="sample is strata"):
        run_experiment(experiment, RunOptions(workers=1, out=out, trials=3))


def test_the_command_gives_estimates_strata_and_what_was_not_reached(file: Path) -> None:
    asked = ["rare", str(file), "--precision", "5%", "--trials", "60", "-w", "1", "-q"]
    found = CliRunner().invoke(app, [*asked, "-o", "json"])
    assert found.exit_code == 0, found.stderr
    document = json.loads(found.stdout)
    assert set(document["architectures"]) == {"four", "two"}
    assert document["unmet"] == ["four", "two"]
    assert sum(stratum["share"] for stratum in document["strata"]) == pytest.approx(1.0)
    assert document["strata"][-1]["threats"] == ["region-loss in a"]
    shown = CliRunner().invoke(app, asked)
    assert "is not known to 5%: give more --trials" in " ".join(shown.stdout.split())
    assert "more than usual of region-loss" in " ".join(shown.stdout.split())


@pytest.mark.parametrize(
    ("change", "options", "said"),
    [
        ((), ("--method", "splitting"), "is for files of elements"),
        ((), ("--measure", "cascades_per_fault"), "is not a mean over trials"),
        (("mean: 2y", "mean: 2y, failures: 3"), (), "laws that are estimates"),
        (("every: {exponential: {mean: 2y}}", "at: [2026-03-01T00:00]"), (), "no fault of this scenario is rare"),
    ],
)
def test_what_cannot_be_sampled_by_strata_is_said(
    tmp_path: Path, change: tuple[str, str], options: tuple[str, ...], said: str
) -> None:
    path = tmp_path / "case.yaml"
    path.write_text(TWO.replace(*change) if change else TWO)
    found = CliRunner().invoke(app, ["rare", str(path), *options])
    assert found.exit_code == 2
    assert said in found.stderr
