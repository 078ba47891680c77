"""Columns read when they are used: the same estimates, warnings and report as from tables in memory."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from small_study import fake_trial, small_experiment

from sim.report import build_report
from sim.scenario.schema import Scenario
from sim.study import RunOptions, RunResult, load_result, run_experiment
from sim.study import recording as study_recording
from sim.study.parquet import read_table
from sim.study.stored_rows import RowsOnDisk
from sim.study.stored_tables import StoredTables
from sim.study.tables import ChangedRows, StoredRows, Table, Tables, pieces_of, rows_of, rows_where
from sim.world.log import TrialRecord

TRIALS = 24


def whole_trial(scenario: Scenario, architecture: str, trial: int, *, keep: bool = False) -> tuple[TrialRecord, Tables]:
    """A stand-in whose trials are a year long, as the report needs them."""
    record, tables = fake_trial(scenario, architecture, trial, keep=keep)
    trials = tables["trials"]
    trials.update({name: np.nan_to_num(values) for name, values in trials.items() if values.dtype.kind == "f"})
    trials["horizon_s"] = np.full(1, scenario.horizon)
    return record, tables


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of two designs in many parts; one was lost and run again, so that its trials are out of order."""
    path = tmp_path_factory.mktemp("large")
    options = RunOptions(trials=TRIALS, workers=1, chunk=3, out=path / "run")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(study_recording, "FLUSH_INTERVAL_S", 0.0)
        for _ in range(2):
            run_experiment(small_experiment(path), options, trial_function=whole_trial)
            parts = sorted((path / "run" / "trials").iterdir())
            assert len(parts) > 4
            parts[2].unlink()
        run_experiment(small_experiment(path), options, trial_function=whole_trial)
    return path / "run"


def loaded(folder: Path, monkeypatch: pytest.MonkeyPatch, *, is_large: bool) -> RunResult:
    if is_large:
        monkeypatch.setattr("sim.study.scan.MOST_BYTES", 0)
        monkeypatch.setitem(StoredTables.__init__.__kwdefaults__, "most_cells", 0)
    return load_result(folder)


@pytest.fixture
def small(folder: Path, monkeypatch: pytest.MonkeyPatch) -> RunResult:
    return loaded(folder, monkeypatch, is_large=False)


@pytest.fixture
def large(folder: Path, monkeypatch: pytest.MonkeyPatch, small: RunResult) -> RunResult:
    return loaded(folder, monkeypatch, is_large=True)


def test_both_are_what_they_should_be(small: RunResult, large: RunResult):
    assert isinstance(small.tables["trials"], dict)
    assert isinstance(large.tables["trials"], RowsOnDisk)


def test_the_summary_is_the_same_to_the_last_bit(small: RunResult, large: RunResult):
    for what in ("estimates", "differences", "better_prob", "parameters", "warnings"):
        assert repr(getattr(small, what)) == repr(getattr(large, what)), what


def test_the_report_is_the_same_to_the_last_byte(small: RunResult, large: RunResult):
    assert build_report(small) == build_report(large)


def test_every_column_is_the_same(small: RunResult, large: RunResult):
    assert set(small.tables) == set(large.tables)
    for name, table in small.tables.items():
        stored = large.tables[name]
        assert isinstance(stored, StoredRows)
        assert list(stored) == list(table)
        assert stored.n_rows == len(table["trial"])
        for column, values in table.items():
            assert values.dtype == stored[column].dtype
            assert values.tolist() == stored[column].tolist() or np.array_equal(values, stored[column], equal_nan=True)


@pytest.mark.parametrize("name", ["single", "double", "nobody"])
def test_some_rows_are_the_same(small: RunResult, large: RunResult, name: str):
    for table in ("trials", "outages", "months"):
        one, other = (rows_of(result.tables[table], name) for result in (small, large))
        assert one["trial"].tolist() == other["trial"].tolist()
        one, other = (rows_where(rows, trial=5) for rows in (one, other))
        assert one["architecture"].tolist() == other["architecture"].tolist()
        assert set(other["trial"]) <= {5}


def test_no_trial_is_in_two_pieces(large: RunResult):
    seen: set[tuple[str, int]] = set()
    for piece in pieces_of(large.tables["months"], ("architecture", "trial")):
        here = set(zip(piece["architecture"].tolist(), piece["trial"].tolist(), strict=True))
        assert not here & seen
        seen |= here
    assert len(seen) == 2 * TRIALS


def test_one_column_is_read_and_no_more(large: RunResult, monkeypatch: pytest.MonkeyPatch):
    read: list[tuple[str, ...]] = []

    def noted(path: Path, columns: Sequence[str], equal: Mapping[str, object]) -> Table:
        read.append(tuple(columns))
        return read_table(path, columns, equal)

    monkeypatch.setattr("sim.study.stored_rows.read_table", noted)
    assert len(rows_of(large.tables["trials"], "single")["downtime_s"]) == TRIALS
    assert set(read) == {("downtime_s", "trial")}


def test_a_frame_of_a_large_table_has_all_of_it(large: RunResult):
    assert len(large.frame("trials").fetchall()) == 2 * TRIALS


def test_unknown_columns_and_changed_ones(large: RunResult):
    rows = rows_of(large.tables["trials"], "single")
    with pytest.raises(KeyError):
        rows["no such column"]
    assert rows.get("no such column") is None
    changed = ChangedRows(rows, lambda values: values[:2], {"own": np.arange(3)})
    assert changed["trial"].tolist() == [0, 1]
    assert changed["own"].tolist() == [0, 1, 2]
    assert set(changed) == {*rows, "own"}
    assert len(changed) == len(rows) + 1
