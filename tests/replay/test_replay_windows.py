"""Windows of single requests: same seed, same bytes for any workers and chunks, and for a trial run alone."""

from pathlib import Path

import pytest
from small_study import SCENARIO

from sim.scenario.document import Experiment
from sim.scenario.load import load_experiment
from sim.study import RunOptions, run_experiment
from sim.study.replay import replay_trial
from sim.study.tables import merge, rows_of, table_hash
from sim.traffic import engine
from sim.world.log import Kind
from sim.world.trial import run_trial

N_TRIALS = 4
# Half an hour in which pods crash, near enough to saturation that windows open and close.
HOT = (
    SCENARIO.replace("horizon: 1y", "horizon: 30m")
    .replace("seed: 7", "seed: 25")
    .replace("trials: 24", f"trials: {N_TRIALS}")
    .replace("every: {exponential: {mean: 1y}}", "every: {exponential: {mean: 1h}}")
    .replace("every: {exponential: {mean: 30d}}", "every: {exponential: {mean: 30m}}")
    .replace("requests: 36/h", "requests: 400/h")
    + "model: {noise: auto, noise_above: 80%, noise_requests: 100000}\n"
)


@pytest.fixture(scope="module")
def experiment(tmp_path_factory: pytest.TempPathFactory) -> Experiment:
    path = tmp_path_factory.mktemp("windows") / "hot.yaml"
    path.write_text(HOT)
    return load_experiment(path)


@pytest.fixture(scope="module")
def expected(experiment: Experiment) -> str:
    return table_hash(run_experiment(experiment, RunOptions(workers=1)).tables)


def test_windows_open_and_close(experiment: Experiment) -> None:
    """Else nothing is tested."""
    single = experiment.scenarios["single"]
    records = [run_trial(single, "single", trial).records for trial in range(N_TRIALS)]
    shifts = [tuple((record.at_s, record.what) for record in of if record.kind is Kind.GEAR) for of in records]
    assert max(len(of_trial) for of_trial in shifts) >= 2
    assert len(set(shifts)) > 1, "every trial shifts alike"


@pytest.mark.parametrize(("workers", "chunk"), [(1, 3), (2, 1), (4, 2)])
def test_workers_and_chunks_change_nothing(experiment: Experiment, expected: str, workers: int, chunk: int) -> None:
    result = run_experiment(experiment, RunOptions(workers=workers, chunk=chunk))
    assert table_hash(result.tables) == expected


def test_another_seed_is_another_run(experiment: Experiment, expected: str, tmp_path: Path) -> None:
    """Negative control: the hash sees the chance inside the windows."""
    path = tmp_path / "other.yaml"
    path.write_text(HOT.replace("seed: 25", "seed: 8"))
    assert table_hash(run_experiment(load_experiment(path), RunOptions(workers=1)).tables) != expected


@pytest.mark.parametrize("noise", ["auto", "always"])
def test_recording_changes_no_bit(experiment: Experiment, monkeypatch: pytest.MonkeyPatch, noise: str) -> None:
    """Also where the trace is full again and again, which hands control back in the middle of everything."""
    monkeypatch.setattr(engine, "_TRACE_ROWS", 7)
    single = experiment.scenarios["single"]
    single = single.model_copy(update={"model": single.model.model_copy(update={"noise": noise})})
    for trial in range(N_TRIALS):
        plain, kept = (run_trial(single, "single", trial, keep=keep) for keep in (False, True))
        assert kept.trace is not None
        assert len(kept.trace.at_s) > 3 * 7
        assert kept.totals.tobytes() == plain.totals.tobytes()
        assert [(r.at_s, r.kind, r.what) for r in kept.records] == [(r.at_s, r.kind, r.what) for r in plain.records]


def test_one_trial_alone_is_the_same_trial(experiment: Experiment) -> None:
    tables = run_experiment(experiment, RunOptions(workers=1)).tables
    alone = replay_trial(experiment, "single", trial=2).tables
    stored = {
        name: {column: values[table["trial"] == 2] for column, values in table.items()}
        for name, table in ((name, rows_of(table, "single")) for name, table in tables.items())
    }
    assert table_hash(merge([alone], ["single"])) == table_hash(stored)
