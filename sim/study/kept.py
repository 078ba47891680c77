"""Kept trials on disk: the event log, the trace and the head of one trial per architecture.

`events/kept-NNNN.parquet` holds the records, `traces/kept-NNNN.parquet` the curves, `events/kept-NNNN.json` the rest;
NNNN counts the architectures. Reading gives back the same record.
"""

import json
from collections.abc import Mapping
from dataclasses import fields
from datetime import datetime
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.errors import RunError
from sim.study.folder import read_json, storage_errors
from sim.study.parquet import read_table, write_table, write_text
from sim.study.tables import Rows, Table
from sim.world.log import Kind, Record, Trace, TrialRecord


def worst_trials(tables: Mapping[str, Rows]) -> dict[str, int]:
    """The trial with most downtime of each architecture; the first of equals."""
    trials = tables["trials"]
    worst = {}
    for name in dict.fromkeys(trials["architecture"]):
        mine = trials["architecture"] == name
        worst[str(name)] = int(trials["trial"][mine][np.argmax(trials["downtime_s"][mine])])
    return worst


def events_table(record: TrialRecord) -> Table:
    """The event log as a table, `hits` and `totals` joined by commas."""
    table: Table = {
        "architecture": np.full(len(record.records), record.architecture, dtype=object),
        "trial": np.full(len(record.records), record.trial, dtype=np.int64),
    }
    for name in Record._fields:
        values = [_flat(getattr(entry, name)) for entry in record.records]
        table[name] = np.array(values, dtype=np.float64 if name in ("at_s", "value") else object)
    return table


def _flat(value: Any) -> Any:
    if isinstance(value, tuple):
        return ",".join(repr(float(v)) if isinstance(v, float) else str(v) for v in value)
    return str(value) if isinstance(value, str) else value


def _records(table: Table) -> list[Record]:
    # A run stored by an older version lacks the later fields, which have defaults.
    columns = {name: table[name] for name in Record._fields if name in table}
    return [Record(**_unflat({name: values[i] for name, values in columns.items()})) for i in range(len(table["at_s"]))]


def _unflat(row: dict[str, Any]) -> dict[str, Any]:
    return row | {
        "at_s": float(row["at_s"]),
        "kind": Kind(row["kind"]),
        "hits": tuple(row["hits"].split(",")) if row["hits"] else (),
        "value": float(row["value"]),
        "totals": tuple(float(v) for v in row["totals"].split(",")) if row["totals"] else (),
    }


def _trace_table(trace: Trace) -> Table:
    table: Table = {"at_s": trace.at_s}
    for field in fields(Trace):
        if field.name != "at_s":
            for i, column in enumerate(getattr(trace, field.name).T):
                table[f"{field.name}/{i}"] = column
    return table


def _trace(table: Table) -> Trace:
    curves = {}
    for field in fields(Trace):
        columns = [values for name, values in table.items() if name.startswith(f"{field.name}/")]
        curves[field.name] = np.column_stack(columns) if columns else np.zeros((len(table["at_s"]), 0))
    return Trace(**(curves | {"at_s": table["at_s"]}))


def write_kept(folder: Path, kept: Mapping[str, TrialRecord]) -> None:
    """Store the kept trials; raises RunError if the folder cannot be written."""
    with storage_errors(folder):
        for name in ("events", "traces"):
            (folder / name).mkdir(exist_ok=True)
        for i, record in enumerate(kept.values()):
            write_table(folder / "events" / f"kept-{i:04d}.parquet", events_table(record))
            if record.trace is not None:
                write_table(folder / "traces" / f"kept-{i:04d}.parquet", _trace_table(record.trace))
            write_text(folder / "events" / f"kept-{i:04d}.json", _head_json(record))


def read_kept(folder: Path) -> dict[str, TrialRecord]:
    """The kept trials of a folder; raises RunError if a file is missing or cannot be read."""
    kept = {}
    for path in sorted((folder / "events").glob("kept-*.json")):
        record = _from_head(path)
        record.records.extend(_records(read_table(path.with_suffix(".parquet"))))
        trace = folder / "traces" / f"{path.stem}.parquet"
        if trace.exists():
            record.trace = _trace(read_table(trace))
        kept[record.architecture] = record
    return kept


def _head_json(record: TrialRecord) -> str:
    head = {
        "architecture": record.architecture,
        "trial": record.trial,
        "seed": record.seed,
        "start": record.start.isoformat(),
        "horizon_s": record.horizon_s,
        "populations": list(record.populations),
        "pools": list(record.pools),
        "totals": _array_document(record.totals),
        "month_start_s": _array_document(record.month_start_s),
        "month_totals": _array_document(record.month_totals),
        "node_hours": record.node_hours,
        "pod_hours": record.pod_hours,
    }
    return json.dumps(head, indent=1, allow_nan=False) + "\n"


def _array_document(values: Any) -> dict[str, Any]:
    """An array as shape and values: nested lists lose the shape of an empty one."""
    return {"shape": list(values.shape), "values": [float(v) for v in values.ravel()]}


def _array(document: Any) -> NDArray[np.float64]:
    return np.array(document["values"], dtype=np.float64).reshape(document["shape"])


def _from_head(path: Path) -> TrialRecord:
    head = read_json(path)
    try:
        return TrialRecord(
            architecture=head["architecture"],
            trial=int(head["trial"]),
            seed=int(head["seed"]),
            start=datetime.fromisoformat(head["start"]),
            horizon_s=float(head["horizon_s"]),
            populations=tuple(head["populations"]),
            pools=tuple(head["pools"]),
            node_hours=dict(head["node_hours"]),
            pod_hours=dict(head["pod_hours"]),
            totals=_array(head["totals"]),
            month_start_s=_array(head["month_start_s"]),
            month_totals=_array(head["month_totals"]),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise RunError(f"{path} cannot be read: {type(error).__name__}: {error}") from error
