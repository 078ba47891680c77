"""Small look-ups in the result of a run.

Must not know figures or HTML.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.study.result import RunResult
from sim.study.tables import Rows, pieces_of, rows_where
from sim.study.tables import rows_of as rows_of_table

Column = NDArray[Any]
Columns = Mapping[str, Column]
Floats = NDArray[np.float64]


def designs_of(result: RunResult) -> list[str]:
    """Names of the compared designs, in their order."""
    return list(result.estimates)


def rows_of(result: RunResult, table: str, architecture: str) -> Rows:
    """Rows of one design in a table; empty when the run has no such table or rows.

    Returns
    -------
    mapping of str to array
        Column name -> (n_rows,) array. Of a large run a column is read when it is asked for, and not kept.
    """
    columns = result.tables.get(table)
    if not columns:
        return {}
    own = rows_of_table(columns, architecture)
    return own if any(len(piece["trial"]) for piece in pieces_of(own, ("trial",))) else {}


def confidence_of(result: RunResult) -> float:
    """Confidence of every interval of the run, in (0.5, 1)."""
    return float(result.meta.get("confidence", 0.95))


def floats_of(rows: Columns, column: str) -> Floats:
    """One column as floats, shape (n_rows,)."""
    return np.asarray(rows[column], dtype=np.float64)


def trials_of(result: RunResult, architecture: str) -> Column:
    """Numbers of the trials done for a design, ascending, shape (n_trials,)."""
    rows = rows_of(result, "trials", architecture)
    return np.unique(rows["trial"]) if rows else np.zeros(0)


def sums_by_trial(
    rows: Rows, trials: Column, columns: Sequence[str], values: Callable[[Columns], Sequence[Floats]]
) -> list[Floats]:
    """Sums within each trial of what `values` makes of the rows; a trial without a row gets 0.

    Parameters
    ----------
    rows : table
        Its column `trial` names trials of `trials` only. Large ones are read a piece at a time.
    trials : array of shape (n_trials,)
        Trial numbers, ascending.
    columns : sequence of str
        What `values` reads.
    values : callable
        From some rows to the numbers that are added up, each (n_rows,).

    Returns
    -------
    list of array of shape (n_trials,)
        One for each of the numbers; empty without rows.
    """
    sums: list[Floats] = []
    for piece in pieces_of(rows, tuple(dict.fromkeys(["trial", *columns]))):
        if not len(piece["trial"]):
            continue
        place = np.searchsorted(trials, piece["trial"])
        first, end = int(place.min()), int(place.max()) + 1
        found = values(piece)
        sums = sums or [np.zeros(len(trials)) for _ in found]
        for of_all, here in zip(sums, found, strict=True):
            of_all[first:end] += np.bincount(place - first, weights=here, minlength=end - first)
    return sums


def distinct(rows: Rows, column: str) -> list[Any]:
    """The different values of a column, in the order in which they first appear."""
    return list(dict.fromkeys(value for piece in pieces_of(rows, (column,)) for value in piece[column]))


def where(rows: Rows, **equal: object) -> Rows:
    """The rows whose columns have these values."""
    return rows_where(rows, **equal) if rows else rows
