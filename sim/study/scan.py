"""One pass over the rows of a run: their hash, and the few columns that its summary needs.

Nothing else is ever in memory as a whole, and of many trials not even those columns, so that a million of them take
hardly more memory than a thousand. Knows nothing of where the rows come from.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from sim.study.catalogue import FAULT_CASCADES, MEASURES, RELIABILITY_MEASURES
from sim.study.controls import DRAWN
from sim.study.stored_tables import joined_rows
from sim.study.tables import Rows, Table, TableDigest, n_rows

TRIAL_COLUMNS: Final = (
    frozenset({"architecture", "trial", "downtime_s", "common_cause_downtime_s", "noise_budget_spent"})
    | {measure.column for found in (MEASURES, RELIABILITY_MEASURES) for measure in found.values()}
    | {measure.per for found in (MEASURES, RELIABILITY_MEASURES) for measure in found.values()}
    | set(DRAWN)
) - {FAULT_CASCADES}
"""Columns of `trials` that the summary, the warnings and the choice of the worst trial read."""
KIND_COLUMNS: Final = ("architecture", "trial", "fault", "cascades")


MOST_BYTES: Final = 1 << 25
"""Of the columns that are kept from the pass; where they are more, each is read again when it is used."""


@dataclass(frozen=True)
class Scan:
    """What one pass found."""

    hash: str
    """Of all rows, as `table_hash` gives it."""
    n_trials: int
    """Rows of `trials`."""
    tables: Mapping[str, Rows]
    """`trials` and `fault_kinds` with the columns that a summary needs; of the kinds only rows with a cascade."""


def scan(pieces: Mapping[str, Iterable[Table]], tables: Mapping[str, Rows] | None = None) -> Scan:
    """Read all rows once, one table after another.

    Parameters
    ----------
    pieces : by table, all of its rows in their order; a table without a piece has no row of any trial.
    tables : where the same rows can be read again; None if the pieces are in memory anyway.
    """
    digest = TableDigest()
    kept: dict[str, list[Table]] = {"trials": [], "fault_kinds": []}
    n_trials, is_large = 0, False
    for name, of_table in pieces.items():
        for piece in of_table:
            digest.add({name: piece})
            if name == "trials":
                n_trials += n_rows(piece)
                found = {column: values for column, values in piece.items() if column in TRIAL_COLUMNS}
                is_large = tables is not None and n_trials * len(found) * 8 > MOST_BYTES
                if is_large:
                    kept[name].clear()
                else:
                    kept[name].append(found)
            elif name == "fault_kinds":
                some = piece["cascades"] > 0
                kept[name].append({column: piece[column][some] for column in KIND_COLUMNS})
    if not n_trials:
        return Scan(digest.hexdigest(), 0, {})
    rows: Rows = tables["trials"] if tables is not None and is_large else joined_rows(kept["trials"])
    return Scan(digest.hexdigest(), n_trials, {"trials": rows, "fault_kinds": joined_rows(kept["fault_kinds"])})
