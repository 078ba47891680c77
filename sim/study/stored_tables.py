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
from sim.study.tables import Column, Table, Tables, n_rows, rows_between

PARTS_AT_HAND = 2
"""Read parts that are kept: tasks end a little out of order, so neighbours in one part are asked for in turns."""


def part_path(folder: Path, table: str, part: str) -> Path:
    """File of one table of one part."""
    return folder / table / f"{part}.parquet"


def stored_blocks(
    folder: Path, manifest: Manifest, architectures: Sequence[str], trials: int, *, tables: Sequence[str] | None = None
) -> Iterator[Tables]:
    """All rows of trials below `trials`, by architecture (as given), then trial; raises RunError for a bad file.

    `tables` chooses some; by default all.
    """

    @lru_cache(maxsize=PARTS_AT_HAND)
    def read(part: str) -> Tables:
        names = [name for name in manifest.parts[part].files if tables is None or name in tables]
        return {name: _checked(part_path(folder, name, part)) for name in names}

    for architecture in architectures:
        for (first, last), part in manifest.pieces(architecture):
            for low, high in below([(first, last)], trials):
                yield {name: rows_between(table, architecture, low, high) for name, table in read(part).items()}


def _checked(path: Path) -> Table:
    table = read_table(path)
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


class StoredTables(Mapping[str, Table]):
    """Merged tables by name; each is read when it is asked for, and the latest two are kept.

    Parameters
    ----------
    folder, manifest : where and what is stored.
    architectures : names in their order.
    trials : rows of this trial and later ones are left out.
    """

    def __init__(self, folder: Path, manifest: Manifest, architectures: Sequence[str], trials: int) -> None:
        self._of = (folder, manifest, tuple(architectures), trials)
        self._names = list(dict.fromkeys(name for part in manifest.parts.values() for name in part.files))
        self._read = lru_cache(maxsize=2)(self._read_table)

    def __getitem__(self, name: str) -> dict[str, Column]:
        if name not in self._names:
            raise KeyError(name)
        return self._read(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def _read_table(self, name: str) -> Table:
        pieces = [block[name] for block in stored_blocks(*self._of, tables=[name]) if name in block]
        return joined_rows(pieces) if pieces else {}
