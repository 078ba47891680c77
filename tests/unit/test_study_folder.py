"""Results on disk: whole or absent, one process at a time, damage found and named."""

import json
import os
import resource
import signal
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from report_fixture import ONE, make_trial
from small_study import fake_trial, small_experiment

from sim.errors import RunError
from sim.scenario.document import Experiment
from sim.study import parquet
from sim.study.folder import ResultsFolder, StorageError, open_stored
from sim.study.kept import read_kept, write_kept
from sim.study.parquet import read_table, write_table
from sim.study.tables import Tables, merge, table_hash

IDENTITY = {"regionfall": "1", "architectures": ["single"], "seed": 7, "engine": "e1", "scenario_hash": "abc"}


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    return small_experiment(tmp_path)


def tables_of(experiment: Experiment, trials: range) -> list[Tables]:
    return [fake_trial(experiment.scenarios["single"], "single", trial)[1] for trial in trials]


def filled(path: Path, experiment: Experiment) -> ResultsFolder:
    folder = ResultsFolder(path, IDENTITY)
    folder.write_json("run.json", IDENTITY)
    folder.add(tables_of(experiment, range(3)))
    folder.add(tables_of(experiment, range(3, 6)))
    return folder


def test_tables_come_back_to_the_last_bit(tmp_path: Path, experiment: Experiment):
    folder = filled(tmp_path / "run", experiment)
    expected = merge(tables_of(experiment, range(6)), ["single"])
    assert table_hash(folder.tables({"single": 6})) == table_hash(expected)
    folder.close()


def test_trials_that_are_stored_are_not_stored_again(tmp_path: Path, experiment: Experiment):
    folder = filled(tmp_path / "run", experiment)
    folder.add(tables_of(experiment, range(2, 7)))
    assert folder.done() == {"single": [(0, 6)]}
    assert folder.tables({"single": 100})["trials"]["trial"].tolist() == list(range(7))
    folder.close()


@pytest.mark.parametrize("name", ["it's", "a[1]*?", 'quo"te', "tab\tand ; drop table", "ünïcode 🌍"])
def test_any_folder_name_works(tmp_path: Path, experiment: Experiment, name: str):
    folder = filled(tmp_path / name, experiment)
    assert len(folder.tables({"single": 6})["trials"]["trial"]) == 6
    folder.close()


def test_any_text_and_number_survives(tmp_path: Path):
    table = {
        "architecture": np.array(["it's", '"; DROP TABLE x; --', "", "a\x00b", "ü🌍"], dtype=object),
        'col"umn': np.array([np.nan, np.inf, -np.inf, -0.0, 5e-324]),
        "count": np.array([0, -1, 2**63 - 1, -(2**63), 1]),
    }
    write_table(tmp_path / "t.parquet", table)
    back = read_table(tmp_path / "t.parquet")
    assert table_hash({"t": back}) == table_hash({"t": table})
    assert list(back) == list(table)


def test_an_empty_table_keeps_its_types(tmp_path: Path):
    write_table(tmp_path / "t.parquet", {"s": np.array([], dtype=object), "x": np.array([], dtype=float)})
    assert [values.dtype.kind for values in read_table(tmp_path / "t.parquet").values()] == ["O", "f"]


def test_two_processes_cannot_use_one_folder(tmp_path: Path, experiment: Experiment):
    folder = filled(tmp_path / "run", experiment)
    with pytest.raises(RunError, match=f"in use by another regionfall \\(process {os.getpid()} on "):
        ResultsFolder(tmp_path / "run", IDENTITY)
    folder.close()
    ResultsFolder(tmp_path / "run", IDENTITY).close()


def test_the_lock_of_a_killed_process_is_free(tmp_path: Path):
    code = (
        "import sys, time; from pathlib import Path; from sim.study.lock import FolderLock\n"
        "lock = FolderLock(Path(sys.argv[1])); print('locked', flush=True); time.sleep(60)"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "locked\n"
    with pytest.raises(RunError, match=f"process {holder.pid}"):
        ResultsFolder(tmp_path, IDENTITY)
    holder.send_signal(signal.SIGKILL)
    holder.wait()
    holder.stdout.close()
    ResultsFolder(tmp_path, IDENTITY).close()


@pytest.mark.parametrize("key", list(IDENTITY))
def test_another_run_is_refused(tmp_path: Path, experiment: Experiment, key: str):
    filled(tmp_path / "run", experiment).close()
    with pytest.raises(RunError, match=f"holds another run: its {key.replace('_', ' ')}"):
        ResultsFolder(tmp_path / "run", IDENTITY | {key: "other"})


def test_a_folder_with_other_files_is_refused(tmp_path: Path):
    (tmp_path / "thesis.doc").write_text("mine")
    with pytest.raises(RunError, match=r"thesis\.doc"):
        ResultsFolder(tmp_path, IDENTITY)


def cut(path: Path) -> str:
    path.write_bytes(path.read_bytes()[:-10])
    return "is cut or extended"


def alter(path: Path) -> str:
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 1
    path.write_bytes(bytes(data))
    return "was altered"


def remove(path: Path) -> str:
    path.unlink()
    return "is missing"


@pytest.mark.parametrize("damage", [cut, alter, remove])
def test_a_damaged_part_is_named_and_alone_lost(tmp_path: Path, experiment: Experiment, damage):
    filled(tmp_path / "run", experiment).close()
    victim = tmp_path / "run" / "outages" / "part-000000.parquet"
    wording = damage(victim)
    with pytest.raises(RunError, match=f"outages/part-000000.parquet {wording}"):
        open_stored(tmp_path / "run")
    folder = ResultsFolder(tmp_path / "run", IDENTITY)
    assert len(folder.damage) == 1
    assert str(victim) in folder.damage[0]
    assert "its 3 trials are run again" in folder.damage[0]
    assert folder.done() == {"single": [(3, 5)]}
    folder.add(tables_of(experiment, range(3)))
    expected = merge(tables_of(experiment, range(6)), ["single"])
    assert table_hash(folder.tables({"single": 6})) == table_hash(expected)
    folder.close()


def test_a_part_that_the_manifest_does_not_name_is_ignored(tmp_path: Path, experiment: Experiment):
    """As after a kill between the part's files and the manifest."""
    filled(tmp_path / "run", experiment).close()
    (tmp_path / "run" / "trials" / "part-000002.parquet").write_bytes(b"half a file")
    (tmp_path / "run" / "trials" / ".part-000003.parquet.tmp").write_bytes(b"less")
    folder = ResultsFolder(tmp_path / "run", IDENTITY)
    assert folder.damage == []
    folder.add(tables_of(experiment, range(6, 8)))
    assert len(folder.tables({"single": 8})["trials"]["trial"]) == 8
    folder.close()


@pytest.mark.parametrize("text", ["", "[]", '{"parts": 3}', '{"parts": {"part-000000": {}}}', "{"])
def test_a_manifest_that_is_none_is_an_error(tmp_path: Path, experiment: Experiment, text: str):
    filled(tmp_path / "run", experiment).close()
    (tmp_path / "run" / "progress.json").write_text(text)
    with pytest.raises(RunError, match=r"progress\.json"):
        ResultsFolder(tmp_path / "run", IDENTITY)


def test_a_place_that_cannot_be_written_says_what_to_do(tmp_path: Path):
    (tmp_path / "file").write_text("not a folder")
    with pytest.raises(StorageError, match="--out"):
        ResultsFolder(tmp_path / "file" / "run", IDENTITY)


def test_a_full_disk_loses_nothing(tmp_path: Path, experiment: Experiment):
    """A limit on the size of files stands for the full disk: the system refuses to write more."""
    folder = filled(tmp_path / "run", experiment)
    before = (tmp_path / "run" / "progress.json").read_text()
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    old_handler = signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    try:
        resource.setrlimit(resource.RLIMIT_FSIZE, (100, old[1]))
        with pytest.raises(StorageError, match="Nothing stored is lost"):
            folder.add(tables_of(experiment, range(6, 9)))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, old)
        signal.signal(signal.SIGXFSZ, old_handler)
    assert (tmp_path / "run" / "progress.json").read_text() == before
    assert not list((tmp_path / "run").rglob("*.tmp"))
    folder.add(tables_of(experiment, range(6, 9)))
    assert folder.done() == {"single": [(0, 8)]}
    folder.close()


def test_json_documents_have_no_infinities(tmp_path: Path):
    folder = ResultsFolder(tmp_path / "run", IDENTITY)
    with pytest.raises(ValueError, match="JSON"):
        folder.write_json("x.json", {"x": float("nan")})
    folder.write_json("x.json", {"x": "ü"})
    assert json.loads((tmp_path / "run" / "x.json").read_text(encoding="utf-8")) == {"x": "ü"}
    folder.close()


def test_ctrl_c_while_a_table_is_written_comes_right_after(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Inside DuckDB it would be swallowed."""

    def interrupted(real):
        def connection():
            signal.raise_signal(signal.SIGINT)
            return real()

        return connection

    for name in ("connect", "_shared_connection"):
        monkeypatch.setattr(parquet, name, interrupted(getattr(parquet, name)))
    table = {"x": np.arange(3.0)}
    with pytest.raises(KeyboardInterrupt):
        parquet.write_table(tmp_path / "t.parquet", table)
    with pytest.raises(KeyboardInterrupt):
        parquet.read_table(tmp_path / "t.parquet")
    monkeypatch.undo()
    assert parquet.read_table(tmp_path / "t.parquet")["x"].tolist() == [0.0, 1.0, 2.0]


def test_kept_trials_of_an_older_version_lack_what_it_did_not_store(tmp_path: Path):
    record = make_trial("single", ONE)
    write_kept(tmp_path, {"single": record})
    [path] = (tmp_path / "events").glob("kept-*.parquet")
    table = read_table(path)
    assert table.pop("together") is not None
    path.unlink()
    write_table(path, table)
    assert repr(read_kept(tmp_path)["single"].records) == repr(record.records)  # NaN is not equal to itself
