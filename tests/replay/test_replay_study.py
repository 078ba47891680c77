"""Same seed, same bytes: any number of workers, any chunk, other hash seeds, after kills and interrupts.

With a stand-in for the engine; `test_replay_engine` does the same with the engine itself.
"""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from small_study import fake_trial, small_experiment, write_scenario

from sim.errors import RunError
from sim.study import InterruptedRunError, RunOptions, load_result, run_experiment
from sim.study.folder import ResultsFolder
from sim.study.tables import table_hash

SCRIPT = Path(__file__).parent.parent / "support" / "small_study.py"


def start(
    engine: str, file: Path, out: Path, *, workers: int, chunk: int, hash_seed: str = "0"
) -> subprocess.Popen[str]:
    arguments = [sys.executable, str(SCRIPT), engine, str(file), str(out), str(workers), str(chunk)]
    environment = os.environ | {"PYTHONHASHSEED": hash_seed}
    return subprocess.Popen(
        arguments, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def answer(process: subprocess.Popen[str]) -> str:
    out, error = process.communicate(timeout=300)
    assert process.returncode == 0, error
    return out.strip()


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Hash of the tables of a plain run in one process."""
    experiment = small_experiment(tmp_path_factory.mktemp("expected"))
    return table_hash(run_experiment(experiment, RunOptions(workers=1), trial_function=fake_trial).tables)


@pytest.mark.parametrize(("workers", "chunk"), [(1, None), (1, 5), (2, 1), (2, 7), (4, 3), (4, None)])
def test_workers_and_chunks_change_nothing(tmp_path: Path, expected: str, workers: int, chunk: int | None):
    options = RunOptions(workers=workers, chunk=chunk, out=tmp_path / "run")
    result = run_experiment(small_experiment(tmp_path), options, trial_function=fake_trial)
    assert table_hash(result.tables) == expected
    assert table_hash(load_result(tmp_path / "run").tables) == expected


def test_another_seed_changes_the_tables(tmp_path: Path, expected: str):
    options = RunOptions(workers=1, seed=8)
    result = run_experiment(small_experiment(tmp_path), options, trial_function=fake_trial)
    assert table_hash(result.tables) != expected


@pytest.mark.parametrize("hash_seed", ["1", "4242"])
def test_a_fresh_process_with_another_hash_seed_agrees(tmp_path: Path, expected: str, hash_seed: str):
    process = start("fake", write_scenario(tmp_path), tmp_path / "run", workers=2, chunk=4, hash_seed=hash_seed)
    assert answer(process) == expected


def wait_for_parts(folder: Path, n_trials: int) -> None:
    """Until that many trials are stored; a run that ends before is a broken test."""
    progress = folder / "progress.json"
    deadline_s = time.monotonic() + 120
    while time.monotonic() < deadline_s:
        if progress.exists():
            parts = json.loads(progress.read_text())["parts"].values()
            ranges = [r for part in parts for found in part["trials"].values() for r in found]
            if sum(last - first + 1 for first, last in ranges) >= n_trials:
                return
        time.sleep(0.02)
    raise AssertionError(f"{n_trials} trials were not stored in time")


def processes_of(group: int) -> list[int]:
    """Processes of a session that still live (zombies do not)."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            try:
                fields = (entry / "stat").read_text().rsplit(")", 1)[1].split()
            except OSError:
                continue
            if int(fields[3]) == group and fields[0] != "Z":
                found.append(int(entry.name))
    return found


def test_a_killed_run_resumes_to_the_same_bytes(tmp_path: Path, expected: str):
    file, out = write_scenario(tmp_path), tmp_path / "run"
    process = start("slow", file, out, workers=2, chunk=2)
    try:
        wait_for_parts(out, 4)
    finally:
        process.send_signal(signal.SIGKILL)
        process.communicate()
    stored = json.loads((out / "run.json").read_text())
    assert stored["stop_reason"] == "running"
    deadline_s = time.monotonic() + 20
    while processes_of(process.pid) and time.monotonic() < deadline_s:
        time.sleep(0.05)
    assert processes_of(process.pid) == [], "workers outlive a killed parent"
    assert answer(start("fake", file, out, workers=1, chunk=5)) == expected
    assert json.loads((out / "run.json").read_text())["stop_reason"] == "finished"


def test_ctrl_c_keeps_what_was_finished(tmp_path: Path, expected: str):
    experiment, out = small_experiment(tmp_path), tmp_path / "run"

    def press_ctrl_c(done: int, asked: int, text: str) -> None:
        if done >= 10:
            raise KeyboardInterrupt

    with pytest.raises(InterruptedRunError, match="of 48 trials were finished") as caught:
        run_experiment(
            experiment, RunOptions(workers=2, chunk=2, out=out), progress=press_ctrl_c, trial_function=fake_trial
        )
    assert caught.value.done >= 10
    meta = json.loads((out / "run.json").read_text())
    assert meta["stop_reason"] == "interrupted"
    assert sum(meta["trials_done"].values()) == caught.value.done
    counted: list[int] = []
    result = run_experiment(
        experiment,
        RunOptions(workers=1, chunk=9, out=out),
        progress=lambda done, asked, text: counted.append(done),
        trial_function=fake_trial,
    )
    assert counted[0] == caught.value.done, "finished trials were run again"
    assert table_hash(result.tables) == expected


def test_ctrl_c_as_soon_as_the_folder_exists(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """The moment at which `run.json` first appears is one at which people press it too."""
    write_json = ResultsFolder.write_json

    def write_and_be_interrupted(self: ResultsFolder, name: str, content: dict[str, Any]) -> None:
        write_json(self, name, content)
        if content["stop_reason"] == "running":
            raise KeyboardInterrupt

    monkeypatch.setattr(ResultsFolder, "write_json", write_and_be_interrupted)
    with pytest.raises(InterruptedRunError, match="0 of 48 trials were finished"):
        run_experiment(small_experiment(tmp_path), RunOptions(workers=1, out=tmp_path / "run"))
    assert json.loads((tmp_path / "run" / "run.json").read_text())["stop_reason"] == "interrupted"


def test_a_finished_run_runs_nothing_again_and_can_be_extended(tmp_path: Path, expected: str):
    experiment, out = small_experiment(tmp_path), tmp_path / "run"
    run_experiment(experiment, RunOptions(trials=10, workers=1, out=out), trial_function=fake_trial)
    extended = run_experiment(experiment, RunOptions(workers=1, out=out), trial_function=fake_trial)
    assert table_hash(extended.tables) == expected
    fewer = run_experiment(experiment, RunOptions(trials=10, workers=1, out=out), trial_function=fake_trial)
    assert len(fewer.tables["trials"]["trial"]) == 20


def test_a_damaged_part_is_run_again(tmp_path: Path, expected: str):
    experiment, out = small_experiment(tmp_path), tmp_path / "run"
    run_experiment(experiment, RunOptions(trials=10, workers=1, out=out), trial_function=fake_trial)
    run_experiment(experiment, RunOptions(workers=1, out=out), trial_function=fake_trial)
    victim = out / "months" / "part-000001.parquet"
    victim.write_bytes(victim.read_bytes()[:100])
    with pytest.raises(RunError, match=r"months/part-000001\.parquet is cut"):
        load_result(out)
    told: list[str] = []
    result = run_experiment(
        experiment,
        RunOptions(workers=1, out=out),
        progress=lambda done, asked, text: told.append(text),
        trial_function=fake_trial,
    )
    assert any("part-000001" in text for text in told)
    assert table_hash(result.tables) == expected


def test_another_scenario_does_not_continue_a_run(tmp_path: Path):
    out = tmp_path / "run"
    run_experiment(small_experiment(tmp_path), RunOptions(trials=2, workers=1, out=out), trial_function=fake_trial)
    with pytest.raises(RunError, match="its seed is 7, this one's is 9"):
        run_experiment(
            small_experiment(tmp_path), RunOptions(trials=2, workers=1, out=out, seed=9), trial_function=fake_trial
        )


def test_the_kept_trial_is_the_worst(tmp_path: Path):
    result = run_experiment(
        small_experiment(tmp_path), RunOptions(workers=1, out=tmp_path / "r"), trial_function=fake_trial
    )
    trials = result.tables["trials"]
    for name, record in result.kept.items():
        mine = trials["architecture"] == name
        worst = trials["trial"][mine][trials["downtime_s"][mine] == trials["downtime_s"][mine].max()][0]
        assert record.trial == worst
        assert record.trace is not None
        again = load_result(tmp_path / "r").kept[name]
        assert repr(again.records) == repr(record.records)
        assert again.start == record.start
        assert again.trace is not None
        for field in ("at_s", "ready", "memory_mib", "success"):
            assert getattr(again.trace, field).tolist() == getattr(record.trace, field).tolist()
