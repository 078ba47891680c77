"""The rows of one stored table, of which no more than a column is ever in memory.

Each trial lies in one part; within a part rows are ordered by architecture, then trial. Knows nothing of what the
columns mean.
"""

from collections.abc import Iterator, Mapping, Sequence
from copy import copy
from functools import cached_property, lru_cache
from pathlib import Path

import numpy as np

from sim.errors import RunError
from sim.study.manifest import Manifest
from sim.study.parquet import read_table, shape_of
from sim.study.ranges import below
from sim.study.tables import Column, StoredRows, Table, n_rows

PARTS_AT_HAND = 2
"""Read parts that are kept: tasks end a little out of order, so neighbours in one part are asked for in turns."""


def part_path(folder: Path, table: str, part: str) -> Path:
    """File of one table of one part."""
    return folder / table / f"{part}.parquet"


class RowsOnDisk(StoredRows):
    """Rows of a table in the order of merged tables: by architecture, then trial, then as each trial wrote them.

    Parameters
    ----------
    folder, manifest : where and what is stored.
    asked : architectures in their order, and of each how many trials: all other rows are left out.
    table : its name.
    """

    def __init__(self, folder: Path, manifest: Manifest, asked: Mapping[str, int], table: str) -> None:
        self._of = (folder, manifest, dict(asked), table)
        self._equal: dict[str, object] = {}

    def where(self, **equal: object) -> "RowsOnDisk":
        """The rows whose columns have these values, in the same order."""
        folder, manifest, asked, table = self._of
        if "architecture" in equal:
            wanted = equal.pop("architecture")
            asked = {name: trials for name, trials in asked.items() if name == wanted}
        found = copy(self)  # with the shapes of the files, which are read once
        found._of = (folder, manifest, asked, table)
        found._equal = self._equal | equal
        found.__dict__.pop("n_rows", None)
        return found

    def pieces(self, columns: Sequence[str]) -> Iterator[Table]:
        """All rows in their order, some columns of them, a piece at a time; the rows of a trial are in one piece."""
        folder, manifest, asked, table = self._of
        wanted = list(dict.fromkeys([*columns, "trial"]))

        @lru_cache(maxsize=PARTS_AT_HAND)
        def read(part: str, name: str) -> Table:
            return read_table(part_path(folder, table, part), wanted, {"architecture": name} | self._equal)

        for name, trials in asked.items():
            for trials_of_piece, part in manifest.pieces(name):
                for first, last in below([trials_of_piece], trials):
                    if table in manifest.parts[part].files:
                        rows = read(part, name)
                        ends = np.searchsorted(rows["trial"], [first, last + 1])
                        yield {column: rows[column][ends[0] : ends[1]] for column in columns}

    def __getitem__(self, column: str) -> Column:
        if column not in self._columns:
            raise KeyError(column)
        pieces = [piece[column] for piece in self.pieces([column])]
        filled = [piece for piece in pieces if len(piece)] or pieces[:1]  # an empty column has no sure type
        return np.concatenate(filled) if filled else np.zeros(0)

    def __iter__(self) -> Iterator[str]:
        return iter(self._columns)

    def __len__(self) -> int:
        return len(self._columns)

    @cached_property
    def n_rows(self) -> int:
        """How many rows there are."""
        return sum(n_rows(piece) for piece in self.pieces(["trial"]))

    @property
    def n_cells(self) -> int:
        """Rows of all architectures and trials, times columns."""
        return sum(n for n, _ in self._shapes) * len(self._columns)

    @cached_property
    def _shapes(self) -> list[tuple[int, list[str]]]:
        folder, manifest, _, table = self._of
        return [
            shape_of(part_path(folder, table, name)) for name, part in manifest.parts.items() if table in part.files
        ]

    @cached_property
    def _columns(self) -> list[str]:
        folder, _, _, table = self._of
        if any(columns != self._shapes[0][1] for _, columns in self._shapes):
            raise RunError(f"{folder / table}: parts have different columns")
        columns = self._shapes[0][1] if self._shapes else []
        if missing := {"architecture", "trial"} - set(columns):
            raise RunError(f"{folder / table} has no column {min(missing)}: it is no table of a run")
        return columns
