"""The tables of a results folder as they are used: one table, or one piece of all of them, at a time.

Each trial lies in one part, and the manifest says where; so the rows come in their final order by reading the parts'
ranges in the order of trials, and no more than a few parts are in memory. Knows nothing of how parts are written.
"""

from collections.abc import Iterator, Mapping, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from sim.errors import RunError
from sim.study.manifest import Manifest
from sim.study.parquet import read_table
from sim.study.ranges import below
from sim.study.stored_rows import PARTS_AT_HAND, RowsOnDisk, part_path
from sim.study.tables import Rows, Table, n_rows, rows_between

TABLES_AT_HAND = 2
WHOLE_BYTES = 1 << 20
"""Of a table whose files are no larger in all, parts are read as a whole and kept: nearly all have rows of every
architecture. Of a larger one rows are read by architecture, so that each is read once."""
MOST_CELLS = 1 << 22
"""Rows x columns of a table that is read as a whole, 32 MiB: a small run is read once, not once for each column."""


def stored_pieces(folder: Path, manifest: Manifest, asked: Mapping[str, int]) -> dict[str, Iterator[Table]]:
    """By table, all rows of the trials asked, by architecture (as given), then trial, in pieces.

    They are read while they are used; RunError is raised then for a bad file.
    """
    return {
        name: _pieces(folder, manifest, asked, name)
        for name in dict.fromkeys(name for part in manifest.parts.values() for name in part.files)
    }


def _pieces(folder: Path, manifest: Manifest, asked: Mapping[str, int], table: str) -> Iterator[Table]:
    files = [part.files[table] for part in manifest.parts.values() if table in part.files]
    is_small = sum(file.n_bytes for file in files) <= WHOLE_BYTES

    @lru_cache(maxsize=len(files) if is_small else PARTS_AT_HAND)
    def read(part: str, architecture: str | None) -> Table:
        return _checked(part_path(folder, table, part), architecture)

    for architecture, trials in asked.items():
        for (first, last), part in manifest.pieces(architecture):
            if table in manifest.parts[part].files:
                for low, high in below([(first, last)], trials):
                    rows = read(part, None if is_small else architecture)
                    yield rows_between(rows, architecture, low, high)


def _checked(path: Path, architecture: str | None) -> Table:
    """Rows of a part, or those of one architecture."""
    table = read_table(path, equal=None if architecture is None else {"architecture": architecture})
    if missing := {"architecture", "trial"} - set(table):
        raise RunError(f"{path} has no column {min(missing)}: it is no table of a run")
    return table


def joined_rows(pieces: Sequence[Table]) -> Table:
    """One table from pieces in order, which are emptied on the way so that no more than one column is there twice.

    Raises ValueError if they have different columns.
    """
    columns = tuple(pieces[0])
    if any(tuple(piece) != columns for piece in pieces):
        raise ValueError(f"parts have different columns: {columns} and others")
    filled = [piece for piece in pieces if n_rows(piece)] or list(pieces[:1])
    return {column: np.concatenate([piece.pop(column) for piece in filled]) for column in columns}


class StoredTables(Mapping[str, Rows]):
    """Merged tables by name; small ones are read when they are asked for, of large ones a column at a time.

    Parameters
    ----------
    folder, manifest : where and what is stored.
    asked : architectures in their order, and of each how many trials: rows of later ones are left out.
    most_cells : a table with more of them is large.
    """

    def __init__(
        self,
        folder: Path,
        manifest: Manifest,
        asked: Mapping[str, int],
        *,
        most_cells: int = MOST_CELLS,
    ) -> None:
        self._of = (folder, manifest, dict(asked))
        self._names = list(dict.fromkeys(name for part in manifest.parts.values() for name in part.files))
        self._most_cells = most_cells
        self._read = lru_cache(maxsize=TABLES_AT_HAND)(self._read_table)

    def __getitem__(self, name: str) -> Rows:
        if name not in self._names:
            raise KeyError(name)
        return self._read(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def _read_table(self, name: str) -> Rows:
        rows = RowsOnDisk(*self._of, name)
        if rows.n_cells > self._most_cells:
            return rows
        pieces = list(stored_pieces(*self._of)[name])
        return joined_rows(pieces) if pieces else {}
