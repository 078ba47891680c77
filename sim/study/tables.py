"""Tables of measures in memory: merge, order, hash.

A table is a dict of equally long arrays (column -> `(n,)`); strings are object arrays, counts int64,
everything else float64. Knows nothing of files, workers or of what the columns mean, except that each
row belongs to an `architecture` and a `trial`.
"""

import hashlib
from collections.abc import Collection, Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

Column = NDArray[Any]
Table = dict[str, Column]
Tables = dict[str, Table]


def n_rows(table: Table) -> int:
    """Number of rows of a table; 0 for one without columns."""
    return len(next(iter(table.values()))) if table else 0


def canonical_column(values: Column) -> Column:
    """The column in its one stored form, so that equal tables have equal bytes wherever they come from.

    Returns float64 (with a single NaN), int64 or an object array of `str`.
    """
    kind = values.dtype.kind
    if kind == "f":
        floats = values.astype(np.float64)  # a copy: the caller's array is not touched
        floats[np.isnan(floats)] = np.nan  # NaNs differ in sign and payload
        return floats
    if kind in "iub":
        return values.astype(np.int64)
    return np.array([str(v) for v in values], dtype=object)


def canonical(table: Table) -> Table:
    """The table with each column in its stored form; raises ValueError if the columns differ in length."""
    columns = {name: canonical_column(np.asarray(values)) for name, values in table.items()}
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"columns of one table differ in length: {lengths}")
    return columns


def merge(parts: Iterable[Tables], architectures: Sequence[str], *, below_trial: int | None = None) -> Tables:
    """All rows of the parts, ordered by architecture (as given), then trial, then as each trial wrote them.

    Parameters
    ----------
    parts : tables of disjoint sets of (architecture, trial); the rows of one trial stand together.
    architectures : names in their order; rows of others are left out.
    below_trial : rows of this trial and later ones are left out.
    """
    gathered: dict[str, list[Table]] = {}
    for part in parts:
        for name, table in part.items():
            gathered.setdefault(name, []).append(canonical(table))
    return {name: _ordered(_stack(name, tables), architectures, below_trial) for name, tables in gathered.items()}


def _stack(name: str, tables: Sequence[Table]) -> Table:
    columns = tuple(tables[0])
    for table in tables:
        if tuple(table) != columns:
            raise ValueError(f"parts of table {name} have different columns: {columns} and {tuple(table)}")
    filled = [table for table in tables if n_rows(table)] or tables[:1]  # an empty column has no sure type
    return {column: np.concatenate([table[column] for table in filled]) for column in columns}


def _ordered(table: Table, architectures: Sequence[str], below_trial: int | None) -> Table:
    place = {name: i for i, name in enumerate(architectures)}
    rank = np.array([place.get(name, -1) for name in table["architecture"]], dtype=np.int64)
    trial = table["trial"].astype(np.int64)
    wanted = rank >= 0
    if below_trial is not None:
        wanted &= trial < below_trial
    order = np.lexsort((trial, rank))  # stable: the rows of a trial keep their order
    order = order[wanted[order]]
    return {column: values[order] for column, values in table.items()}


def table_hash(tables: Tables) -> str:
    """SHA-256 over names, types and bytes of all columns of merged tables, as hexadecimal digits.

    Two runs with the same hash gave the same tables to the last bit.
    """
    digest = hashlib.sha256()
    for name in sorted(tables):
        table = canonical(tables[name])
        for column in sorted(table):
            values = table[column]
            digest.update(f"{name}\x1f{column}\x1f{values.dtype.str}\x1f{len(values)}\x1e".encode())
            if values.dtype.kind == "O":
                for text in values:
                    data = text.encode()
                    digest.update(len(data).to_bytes(8, "little") + data)
            else:
                digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def rows_of(table: Table, architecture: str) -> Table:
    """The rows of one architecture."""
    mine = table["architecture"] == architecture
    return {column: values[mine] for column, values in table.items()}


def trials_by_architecture(table: Table) -> dict[str, list[int]]:
    """Sorted trial numbers of each architecture in a `trials` table."""
    return {
        str(name): sorted({int(t) for t in table["trial"][table["architecture"] == name]})
        for name in dict.fromkeys(table["architecture"])
    }


def to_ranges(numbers: Collection[int]) -> list[tuple[int, int]]:
    """Sorted, closed ranges that cover the numbers: {0, 1, 2, 5} -> [(0, 2), (5, 5)]."""
    ranges: list[tuple[int, int]] = []
    for number in sorted(set(numbers)):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1] = (ranges[-1][0], number)
        else:
            ranges.append((number, number))
    return ranges
