"""Tables of measures in memory: merge, order, hash.

A table is a dict of equally long arrays (column -> `(n,)`); strings are object arrays, counts int64,
everything else float64. Knows nothing of files, workers or of what the columns mean, except that each
row belongs to an `architecture` and a `trial`.
"""

import hashlib
from abc import abstractmethod
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.study.ranges import Ranges

Column = NDArray[Any]
Table = dict[str, Column]
Tables = dict[str, Table]
Rows = Mapping[str, Column]
"""A table that is only read: in memory, or a column of it at a time."""


class StoredRows(Rows):
    """Rows that are not in memory: a column is read when it is asked for, and not kept."""

    @abstractmethod
    def where(self, **equal: object) -> "StoredRows":
        """The rows whose columns have these values, in the same order."""

    @abstractmethod
    def pieces(self, columns: Sequence[str]) -> Iterator[Table]:
        """All rows in their order, some columns of them, a piece at a time; the rows of a trial are in one piece."""

    @property
    @abstractmethod
    def n_rows(self) -> int:
        """How many rows there are."""


class ChangedRows(Rows):
    """Other rows, each column changed when it is asked for, and columns of its own beside them.

    Parameters
    ----------
    rows : the other rows.
    change : makes a column of this table from one of those.
    own : columns that are here as they are.
    """

    def __init__(self, rows: Rows, change: Callable[[Column], Column] | None = None, own: Rows | None = None) -> None:
        self._rows, self._change, self._own = rows, change, own or {}

    def __getitem__(self, column: str) -> Column:
        if column in self._own:
            return self._own[column]
        return self._rows[column] if self._change is None else self._change(self._rows[column])

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys([*self._rows, *self._own]))

    def __len__(self) -> int:
        return len(dict.fromkeys([*self._rows, *self._own]))


def n_rows(table: Rows) -> int:
    """Number of rows of a table; 0 for one without columns."""
    if isinstance(table, StoredRows):
        return table.n_rows
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
    items = values.tolist()
    if not set(map(type, items)) <= {str}:
        items = [str(item) for item in items]
    known = dict(zip(items, items, strict=True))  # one text per content: a million rows of one name hold it once
    texts = np.empty(len(values), dtype=object)
    texts[:] = list(map(known.__getitem__, items))  # these loops are as much work as all else that is done with rows
    return texts


def canonical(table: Table) -> Table:
    """The table with each column in its stored form; raises ValueError if the columns differ in length."""
    columns = {name: canonical_column(np.asarray(values)) for name, values in table.items()}
    lengths = {name: len(values) for name, values in columns.items()}
    if len(set(lengths.values())) > 1:
        raise ValueError(f"columns of one table differ in length: {lengths}")
    return columns


def merge(parts: Iterable[Tables], architectures: Sequence[str], *, asked: Mapping[str, int] | None = None) -> Tables:
    """All rows of the parts, ordered by architecture (as given), then trial, then as each trial wrote them.

    Parameters
    ----------
    parts : tables of disjoint sets of (architecture, trial); the rows of one trial stand together.
    architectures : names in their order; rows of others are left out.
    asked : by architecture, rows of this trial and later ones are left out.
    """
    gathered: dict[str, list[Table]] = {}
    for part in parts:
        for name, table in part.items():
            gathered.setdefault(name, []).append(canonical(table))
    return {name: _ordered(_stack(name, tables), architectures, asked) for name, tables in gathered.items()}


def _stack(name: str, tables: Sequence[Table]) -> Table:
    columns = tuple(tables[0])
    for table in tables:
        if tuple(table) != columns:
            raise ValueError(f"parts of table {name} have different columns: {columns} and {tuple(table)}")
    filled = [table for table in tables if n_rows(table)] or tables[:1]  # an empty column has no sure type
    return {column: np.concatenate([table[column] for table in filled]) for column in columns}


def _ordered(table: Table, architectures: Sequence[str], asked: Mapping[str, int] | None) -> Table:
    place = {name: i for i, name in enumerate(architectures)}
    names = table["architecture"].tolist()
    known = {name: place.get(name, -1) for name in set(names)}
    rank = np.fromiter(map(known.__getitem__, names), np.int64, len(names))
    trial = table["trial"].astype(np.int64)
    wanted = rank >= 0
    if asked is not None:
        wanted &= trial < np.array([*(asked[name] for name in architectures), 0])[rank]
    order = np.lexsort((trial, rank))  # stable: the rows of a trial keep their order
    order = order[wanted[order]]
    return {column: values[order] for column, values in table.items()}


class TableDigest:
    """The hash of tables that arrive in pieces, in their final order, so that they are never in memory as a whole.

    Each column has a SHA-256 of its own, and the hash of the tables is taken over names, types, lengths and those:
    where the pieces are cut changes nothing.
    """

    def __init__(self) -> None:
        self._columns: dict[tuple[str, str], _ColumnDigest] = {}

    def add(self, tables: Mapping[str, Table]) -> None:
        """Take in the next rows; raises ValueError if a column changes its type."""
        for name, table in tables.items():
            for column, values in canonical(table).items():
                self._columns.setdefault((name, column), _ColumnDigest()).add(f"{name}.{column}", values)

    def hexdigest(self) -> str:
        """The hash of all rows so far, as 64 hexadecimal digits."""
        digest = hashlib.sha256()
        for (name, column), mine in sorted(self._columns.items()):
            digest.update(f"{name}\x1f{column}\x1f{mine.type}\x1f{mine.n}\x1e".encode() + mine.sha256.digest())
        return digest.hexdigest()


class _ColumnDigest:
    """What was seen of one column."""

    def __init__(self) -> None:
        self.type, self.n, self.sha256 = "", 0, hashlib.sha256()

    def add(self, name: str, values: Column) -> None:
        if not self.n:
            self.type = values.dtype.str  # an empty column has no sure type
        elif len(values) and values.dtype.str != self.type:
            raise ValueError(f"column {name} is {self.type} in some rows and {values.dtype.str} in others")
        self.n += len(values)
        if values.dtype.kind == "O":
            known = {text: len(text.encode()).to_bytes(8, "little") + text.encode() for text in set(values)}
            self.sha256.update(b"".join([known[text] for text in values]))
        else:
            self.sha256.update(np.ascontiguousarray(values).data)


def table_hash(tables: Mapping[str, Table]) -> str:
    """SHA-256 over names, types and bytes of all columns of merged tables, as hexadecimal digits.

    Two runs with the same hash gave the same tables to the last bit.
    """
    digest = TableDigest()
    for name in tables:
        digest.add({name: tables[name]})
    return digest.hexdigest()


def rows_of(table: Rows, architecture: str) -> Rows:
    """The rows of one architecture; views where they stand together, as they do in merged tables."""
    if isinstance(table, StoredRows):
        return table.where(architecture=architecture)
    mine = np.flatnonzero(table["architecture"] == architecture)
    if len(mine) and mine[-1] - mine[0] + 1 == len(mine):
        return {column: values[mine[0] : mine[-1] + 1] for column, values in table.items()}
    return {column: values[mine] for column, values in table.items()}


def rows_where(table: Rows, **equal: object) -> Rows:
    """The rows whose columns have these values."""
    if isinstance(table, StoredRows):
        return table.where(**equal)
    mine = np.logical_and.reduce([table[column] == value for column, value in equal.items()])
    return {column: values[mine] for column, values in table.items()}


def pieces_of(table: Rows, columns: Sequence[str]) -> Iterator[Table]:
    """All rows in their order, some columns of them, a piece at a time; the rows of a trial are in one piece."""
    if isinstance(table, StoredRows):
        yield from table.pieces(columns)
    else:
        yield {column: table[column] for column in columns}


def rows_between(table: Table, architecture: str, first: int, last: int) -> Table:
    """The rows of trials `first` to `last` of one architecture."""
    mine = (table["trial"] >= first) & (table["trial"] <= last) & (table["architecture"] == architecture)
    return {column: values[mine] for column, values in table.items()}


def ranges_by_architecture(table: Table) -> dict[str, Ranges]:
    """Trial numbers of each architecture in a `trials` table."""
    found = {}
    for name in dict.fromkeys(table["architecture"]):
        numbers = np.unique(table["trial"][table["architecture"] == name].astype(np.int64))
        breaks = np.flatnonzero(np.diff(numbers) > 1)
        firsts, lasts = numbers[np.r_[0, breaks + 1]], numbers[np.r_[breaks, len(numbers) - 1]]
        found[str(name)] = list(zip(firsts.tolist(), lasts.tolist(), strict=True))
    return found


def n_bytes(tables: Mapping[str, Table]) -> int:
    """Bytes of all arrays; a text counts as its reference."""
    return sum(values.nbytes for table in tables.values() for values in table.values())
