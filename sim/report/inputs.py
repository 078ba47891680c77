"""Small look-ups in the result of a run.

Must not know figures or HTML.
"""

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.study.result import RunResult
from sim.study.tables import n_rows
from sim.study.tables import rows_of as rows_of_table

Column = NDArray[Any]
Columns = Mapping[str, Column]
Floats = NDArray[np.float64]


def designs_of(result: RunResult) -> list[str]:
    """Names of the compared designs, in their order."""
    return list(result.estimates)


def rows_of(result: RunResult, table: str, architecture: str) -> dict[str, Column]:
    """Rows of one design in a table; empty when the run has no such table or rows.

    Returns
    -------
    dict of str to array
        Column name -> (n_rows,) array.
    """
    columns = result.tables.get(table)
    if not columns:
        return {}
    own = rows_of_table(columns, architecture)
    return own if n_rows(own) else {}


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


def sum_by_trial(rows: Columns, values: Floats, trials: Column) -> Floats:
    """Sums of `values` within each trial; a trial without a row gets 0.

    Parameters
    ----------
    rows : table
        Its column `trial`, shape (n_rows,), names trials of `trials` only.
    values : array of shape (n_rows,)
        What to add up.
    trials : array of shape (n_trials,)
        Trial numbers, ascending.
    """
    place = np.searchsorted(trials, rows["trial"])
    return np.asarray(np.bincount(place, weights=values, minlength=len(trials)), dtype=np.float64)
