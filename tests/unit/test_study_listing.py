"""Stored runs: their state, checks and removal; nothing that a file says reaches the terminal as a command."""

import errno
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from small_study import fake_trial, small_experiment
from typer.testing import CliRunner

from sim.cli import app
from sim.errors import RunError, UsageError
from sim.study import RunOptions, load_result, parquet, run_experiment
from sim.study.folder import StorageError
from sim.study.listing import entry_of, faults_of, list_runs, remove_run
from sim.study.lock import LOCK_FILE, FolderLock, is_locked


def stored(folder: Path, name: str = "run", **options: Any) -> Path:
    out = folder / "results" / name
    run_experiment(
        small_experiment(folder),
        RunOptions(**({"trials": 6, "workers": 1, "out": out} | options)),
        trial_function=fake_trial,
    )
    return out


def edit(path: Path, **changes: Any) -> None:
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def told(*arguments: str) -> Any:
    return CliRunner().invoke(app, ["results", *arguments])


def test_each_state_is_told(tmp_path: Path):
    for name in ("done", "interrupted", "killed", "unreadable", "running"):
        stored(tmp_path, name)
    root = tmp_path / "results"
    edit(root / "interrupted" / "run.json", stop_reason="interrupted")
    edit(root / "killed" / "run.json", stop_reason="running")
    edit(root / "running" / "run.json", stop_reason="running")
    (root / "unreadable" / "run.json").write_text("{")
    lock = FolderLock(root / "running")
    assert {Path(run.run).name: run.state for run in list_runs(root)} == {name: name for name in os.listdir(root)}
    document = json.loads(told(str(root), "-o", "json", "--state", "killed").stdout)
    assert [Path(run["run"]).name for run in document["runs"]] == ["killed"]
    lock.release()


def test_the_headline_is_the_estimate_of_the_run(tmp_path: Path):
    out = stored(tmp_path)
    entry, estimate = entry_of(out), load_result(out).estimates["double"]["availability_time"]
    assert entry.headline["double"] == {"mean": estimate.mean, "low": estimate.low, "high": estimate.high}
    assert entry.trials_done == entry.trials_asked == 12
    assert entry.n_bytes > 1000


def test_hostile_names_are_written_out(tmp_path: Path):
    out = stored(tmp_path)
    edit(out / "run.json", name="\x1b]0;gotcha\x07[red]x[/red]\x1b[2J\r\n")
    output = told(str(out.parent)).stdout
    assert "\x1b" not in output
    assert "\x07" not in output
    assert "gotcha" in output.replace("\n", "")


def test_verify_names_every_damaged_file_and_the_way_out(tmp_path: Path):
    out = stored(tmp_path)
    assert told("verify", str(out)).exit_code == 0
    for table in ("months", "outages"):
        path = out / table / "part-000000.parquet"
        path.write_bytes(path.read_bytes()[:-1])
        answer = told("verify", str(out))
        assert answer.exit_code != 0
        assert str(path) in answer.output.replace("\n", "") or table == "outages"
    assert len(faults_of(out)) == 1, "a part is lost with its first damaged file"


def test_show_tells_the_run(tmp_path: Path):
    out = stored(tmp_path)
    document = json.loads(told("show", str(out), "-o", "json").stdout)
    assert document["state"] == "done"
    assert document["headline"]["double"]["mean"] < 1
    assert {"single", "double"} <= set(document["result"]["architectures"])


def test_remove_asks_and_takes_only_runs(tmp_path: Path):
    out = stored(tmp_path)
    assert "--yes" in told("remove", str(out)).output
    assert out.exists()
    other = tmp_path / "thesis"
    other.mkdir()
    (other / "thesis.doc").write_text("mine")
    assert told("remove", str(out), str(other), "--yes").exit_code == 2
    assert out.exists(), "removed although another folder was refused"
    lock = FolderLock(out)
    assert "in use" in told("remove", str(out), "--yes").output
    lock.release()
    (tmp_path / "link").symlink_to(out)
    with pytest.raises(UsageError, match="symbolic link"):
        remove_run(tmp_path / "link")
    assert told("remove", str(out), "--yes").exit_code == 0
    assert not out.exists()
    assert (other / "thesis.doc").exists()


def test_a_lock_file_that_a_dead_process_of_another_host_left_is_no_lock(tmp_path: Path):
    out = stored(tmp_path)
    (out / LOCK_FILE).write_text("4711 on another-host\n")
    assert not is_locked(out)
    stored(tmp_path)


def test_a_part_of_another_run_is_not_taken(tmp_path: Path):
    mine, other = stored(tmp_path, "mine"), stored(tmp_path, "other", seed=8)
    expected = load_result(mine).meta["table_hash"]
    for table in ("trials", "months"):
        shutil.copy(other / table / "part-000000.parquet", mine / table / "part-000000.parquet")
    with pytest.raises(RunError, match=r"trials/part-000000\.parquet (was altered|is cut or extended)"):
        load_result(mine)
    stored(tmp_path, "mine")
    assert load_result(mine).meta["table_hash"] == expected


def test_all_files_of_another_run_are_not_taken(tmp_path: Path):
    """Manifest and parts fit each other, but not `run.json`."""
    mine, other = stored(tmp_path, "mine"), stored(tmp_path, "other", seed=8)
    shutil.copy(mine / "run.json", other / "run.json")
    with pytest.raises(RunError, match="is of another run than the tables"):
        load_result(other)


@pytest.mark.parametrize(
    ("damage", "wording"),
    [
        (lambda out: (out / "run.json").write_text("{"), r"run\.json cannot be read"),
        (lambda out: edit(out / "run.json", document={}), r"run\.json is not of this version"),
        (
            lambda out: (out / "progress.json").write_text("[]"),
            r"progress\.json is damaged .* trials are run again",
        ),
    ],
)
def test_a_damaged_document_is_named(tmp_path: Path, damage: Callable[[Path], Any], wording: str):
    out = stored(tmp_path)
    damage(out)
    with pytest.raises(RunError, match=wording):
        load_result(out)


def test_a_run_of_a_newer_version_is_not_continued(tmp_path: Path):
    out = stored(tmp_path)
    edit(out / "run.json", regionfall="99.0")
    with pytest.raises(RunError, match=r"its regionfall is 99\.0"):
        stored(tmp_path)


@pytest.mark.parametrize("code", [errno.ENOSPC, errno.EROFS, errno.EIO, errno.EDQUOT])
def test_a_disk_that_refuses_once_costs_nothing_stored(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int):
    expected = load_result(stored(tmp_path, "plain")).meta["table_hash"]
    calls = 0
    real = os.fsync

    def refuse(descriptor: int) -> None:
        nonlocal calls
        calls += 1
        if calls == 30:
            raise OSError(code, os.strerror(code))
        real(descriptor)

    monkeypatch.setattr("sim.study.recording.FLUSH_INTERVAL_S", 0.0)
    monkeypatch.setattr(parquet.os, "fsync", refuse)
    with pytest.raises(StorageError, match=f"{os.strerror(code)}.*give the same command again"):
        stored(tmp_path, chunk=2)
    assert entry_of(tmp_path / "results" / "run").state == "killed"
    monkeypatch.undo()
    assert load_result(stored(tmp_path)).meta["table_hash"] == expected


FULL = """
import sys
from pathlib import Path
from small_study import fake_trial, small_experiment
import sim.study.recording as study_recording
from sim.study import RunOptions, run_experiment
study_recording.FLUSH_INTERVAL_S = 0.0
run_experiment(small_experiment(Path(sys.argv[1])), RunOptions(trials=6, workers=1, chunk=1, out=Path(sys.argv[2])),
               trial_function=fake_trial)
"""


@pytest.mark.slow
def test_a_disk_that_is_really_full(tmp_path: Path):
    """A file system of 200 kB; skipped where a test may not mount one."""
    disk = tmp_path / "disk"
    disk.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=200k", "tmpfs", str(disk)], capture_output=True)
    if mounted.returncode:
        pytest.skip("may not mount a file system")
    try:
        script = [sys.executable, "-c", FULL, str(tmp_path), str(disk / "run")]
        support = str(Path(__file__).parents[1] / "support")
        full = subprocess.run(script, env=os.environ | {"PYTHONPATH": support}, capture_output=True, text=True)
        assert "StorageError" in full.stderr
        assert "make room or choose a writable folder" in full.stderr
        copied = tmp_path / "results" / "run"
        shutil.copytree(disk / "run", copied)
    finally:
        subprocess.run(["umount", str(disk)], check=True)
    assert faults_of(copied) == []
    expected = load_result(stored(tmp_path, "plain")).meta["table_hash"]
    assert load_result(stored(tmp_path)).meta["table_hash"] == expected
