"""What a run gives back, whether it was just made or read from its folder."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.errors import RunError
from sim.estimate import Estimate, Spread
from sim.scenario.document import Experiment
from sim.study.tables import Rows
from sim.world.log import TrialRecord

if TYPE_CHECKING:
    import duckdb

Estimates = dict[str, dict[str, Estimate]]
"""Outer key: an architecture or `A - B`; inner key: a measure."""


@dataclass(frozen=True)
class RunResult:
    """Tables of a run and what they say."""

    folder: Path | None
    """Where it is stored; None if only here."""
    experiment: Experiment
    """The architectures that were run."""
    meta: dict[str, Any]
    """What `run.json` holds."""
    tables: Mapping[str, Rows]
    """Merged tables, ordered by architecture, then trial; those of a folder are read when they are used."""
    estimates: Estimates
    """By architecture."""
    differences: Estimates
    """By pair `A - B`, paired on common random numbers."""
    better_prob: Estimates
    """By pair `A - B`: probability that A is better than B in a trial."""
    warnings: list[str]
    """The three lines that explain most collapses first."""
    kept: dict[str, TrialRecord] = field(default_factory=dict)
    """The trial with most downtime of each architecture, with its trace."""
    parameters: dict[str, dict[str, Spread]] = field(default_factory=dict)
    """By architecture and measure: what comes from laws that are estimates themselves; empty if none is."""

    def frame(self, table: str) -> "duckdb.DuckDBPyRelation":
        """A table as a DuckDB relation, which converts itself: `.df()`, `.pl()`, `.arrow()`.

        Raises RunError if there is no such table.
        """
        from sim.study.parquet import connect

        if table not in self.tables:
            raise RunError(f"there is no table {table}; there are {', '.join(self.tables)}")
        connection = connect()
        connection.register("rows_of_table", dict(self.tables[table]))
        return connection.table("rows_of_table")


class InterruptedRunError(RunError, KeyboardInterrupt):
    """The user stopped a run; what was finished is kept.

    Parameters
    ----------
    folder : Path or None
        Where it is kept.
    done, asked : int
        Trials over all architectures.
    """

    def __init__(self, folder: Path | None, done: int, asked: int) -> None:
        self.folder = folder
        self.done = done
        self.asked = asked
        where = f" is kept in {folder}" if folder else " was in memory and is gone"
        super().__init__(f"interrupted: {done} of {asked} trials were finished; what was finished{where}")
