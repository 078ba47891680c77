"""The engine itself: same seed, same bytes for any workers, chunks and hash seeds, and after kill -9."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_study import SCENARIO

from sim.scenario.load import load_experiment
from sim.study import RunOptions, run_experiment
from sim.study.replay import replay_trial
from sim.study.tables import merge, rows_of, table_hash

SCRIPT = Path(__file__).parent.parent / "support" / "small_study.py"
N_TRIALS = 8
# Faults often enough that 20 days hold outages, a memory limit that is reached, and people who act.
BUSY = (
    SCENARIO.replace("horizon: 1y", "horizon: 20d")
    .replace("trials: 24", f"trials: {N_TRIALS}")
    .replace("every: {exponential: {mean: 1y}}", "every: {exponential: {mean: 20d}}")
    .replace("every: {exponential: {mean: 30d}}", "every: {exponential: {mean: 5d}}")
    .replace("requests: 36/h", "requests: 500/h")
)


def script(file: Path, out: Path, *, workers: int, chunk: int, hash_seed: str) -> subprocess.Popen[str]:
    arguments = [sys.executable, str(SCRIPT), "real", str(file), str(out), str(workers), str(chunk)]
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    return subprocess.Popen(arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def answer(process: subprocess.Popen[str]) -> str:
    out, error = process.communicate(timeout=500)
    assert process.returncode == 0, error
    return out.strip()


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("engine") / "busy.yaml"
    path.write_text(BUSY)
    return path


@pytest.fixture(scope="module")
def expected(file: Path) -> str:
    """Hash of the tables of a plain run in one process, in which something happened."""
    tables = run_experiment(load_experiment(file), RunOptions(workers=1)).tables
    assert tables["trials"]["outages"].sum() > 0, "no outage: nothing is tested"
    assert tables["trials"]["faults"].min() > 0
    return table_hash(tables)


@pytest.mark.parametrize(("workers", "chunk"), [(1, 3), (2, 1), (4, 3)])
def test_workers_and_chunks_change_nothing(file: Path, expected: str, workers: int, chunk: int):
    result = run_experiment(load_experiment(file), RunOptions(workers=workers, chunk=chunk))
    assert table_hash(result.tables) == expected


def test_a_fresh_process_with_another_hash_seed_agrees(file: Path, expected: str, tmp_path: Path):
    assert answer(script(file, tmp_path / "run", workers=1, chunk=2, hash_seed="4242")) == expected


def test_a_killed_run_resumes_to_the_same_bytes(file: Path, expected: str, tmp_path: Path):
    out = tmp_path / "run"
    process = script(file, out, workers=2, chunk=1, hash_seed="1")
    deadline_s = time.monotonic() + 200
    progress = out / "progress.json"
    while not progress.exists() and process.poll() is None and time.monotonic() < deadline_s:
        time.sleep(0.01)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    stored = len(json.loads(progress.read_text())["parts"])
    assert 0 < stored < 2 * N_TRIALS, "it was killed too late to test anything"
    assert answer(script(file, out, workers=2, chunk=3, hash_seed="2")) == expected


def test_one_trial_alone_is_the_same_trial(file: Path):
    """A replay with its trace gives the rows that the run stored."""
    experiment = load_experiment(file)
    tables = run_experiment(experiment, RunOptions(workers=1)).tables
    alone = replay_trial(experiment, "double", trial=5).tables
    stored = {
        name: {column: values[table["trial"] == 5] for column, values in table.items()}
        for name, table in ((name, rows_of(table, "double")) for name, table in tables.items())
    }
    assert table_hash(merge([alone], ["double"])) == table_hash(stored)
