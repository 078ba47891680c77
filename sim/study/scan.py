"""One pass over the rows of a run: their hash, and the few columns that its summary needs.

Nothing else is ever in memory as a whole, so that a million trials take hardly more of it than a thousand. Knows
nothing of where the rows come from.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from sim.study.catalogue import FAULT_CASCADES, MEASURES, RELIABILITY_MEASURES
from sim.study.stored_tables import joined_rows
from sim.study.tables import Table, TableDigest, Tables

TRIAL_COLUMNS: Final = (
    frozenset({"architecture", "trial", "downtime_s", "common_cause_downtime_s", "noise_budget_spent"})
    | {measure.column for found in (MEASURES, RELIABILITY_MEASURES) for measure in found.values()}
    | {measure.per for found in (MEASURES, RELIABILITY_MEASURES) for measure in found.values()}
) - {FAULT_CASCADES}
"""Columns of `trials` that the summary, the warnings and the choice of the worst trial read."""
KIND_COLUMNS: Final = ("architecture", "trial", "fault", "cascades")


@dataclass(frozen=True)
class Scan:
    """What one pass found."""

    hash: str
    """Of all rows, as `table_hash` gives it."""
    tables: Tables
    """`trials` and `fault_kinds` with the columns that a summary needs; of the kinds only rows with a cascade."""

    @property
    def n_trials(self) -> int:
        """Rows of `trials`."""
        return len(self.tables["trials"]["trial"]) if self.tables else 0


def scan(blocks: Iterable[Tables]) -> Scan:
    """Read all blocks once, in their order."""
    digest = TableDigest()
    trials: list[Table] = []
    kinds: list[Table] = []
    for block in blocks:
        digest.add(block)
        trials.append({column: values for column, values in block["trials"].items() if column in TRIAL_COLUMNS})
        faults = block["fault_kinds"]
        some = faults["cascades"] > 0
        kinds.append({column: faults[column][some] for column in KIND_COLUMNS})
    if not trials:
        return Scan(digest.hexdigest(), {})
    return Scan(digest.hexdigest(), {"trials": joined_rows(trials), "fault_kinds": joined_rows(kinds)})
