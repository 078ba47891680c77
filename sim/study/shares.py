"""Shares of downtime by fault, element, level and kind of cause, with intervals over trials; ranked event sequences.

Works on stored tables alone, so that the report of an old run has them too.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sim.estimate import Estimate, ratio_interval
from sim.measures.attribution import GROUPINGS
from sim.measures.sequences import DIPS, LABELS, OTHERS
from sim.scenario.schema import Scenario
from sim.study.catalogue import YEAR_S
from sim.study.tables import Rows, pieces_of, rows_of, rows_where

Floats = NDArray[np.float64]
EXAMPLE_COLUMNS: Final = (
    *("example_start_s", "example_end_s", "example_population", "example_faults"),
    "example_left_out",
)
COVERED: Final = 0.8
"""Part of the lost minutes that the ranked sequences are to explain."""


def downtime_shares(
    tables: Mapping[str, Rows], architecture: str, *, confidence: float, scenario: Scenario | None = None
) -> dict[str, dict[str, Estimate]]:
    """Estimate the shares of user-visible downtime.

    Parameters
    ----------
    tables : merged tables
    architecture : str
    confidence : float
        Of each interval, in (0.5, 1).
    scenario : Scenario, optional
        Its faults that are to blame for nothing are listed with the bound that so many trials support.

    Returns
    -------
    dict of str to dict of str to Estimate
        By grouping (`fault`, `element`, `level`, `cause`), then by name, largest first; the means of a grouping add up
        to 1. Empty if no trial had any downtime, or the run is of a version that did not keep it.
    """
    trials, rows = rows_of(tables["trials"], architecture), tables.get("downtime_shares")
    down_s = trials["downtime_s"].astype(np.float64)
    if rows is None or not down_s.any():
        return {}
    mine, numbers = rows_of(rows, architecture), trials["trial"]
    found: dict[str, dict[str, Estimate]] = {}
    for grouping in GROUPINGS:
        parts = _Parts.of(rows_where(mine, grouping=grouping), "name", numbers)
        names = list(parts.names)
        if grouping == "fault" and scenario is not None:
            names += [name for name in scenario.faults if name not in parts.names]
        shares = {
            # Sums of parts differ from the whole in the last bits.
            name: ratio_interval(
                np.minimum(parts.seconds(name), down_s), down_s, confidence=confidence, bounds=(0.0, 1.0)
            )
            for name in names
        }
        found[grouping] = dict(sorted(shares.items(), key=lambda item: (-item[1].mean, item[0])))
    return found


@dataclass(frozen=True)
class _Parts:
    """Downtime by the different texts of a column. Texts are numbered: a million rows hold each once."""

    names: dict[str, int]
    """Number by text, in the order in which they first appear."""
    of_row: NDArray[np.int32]
    """(n_rows,) the number of each row's text."""
    place: NDArray[np.int32]
    """(n_rows,) place of each row's trial."""
    downtime_s: Floats
    """(n_rows,)."""
    n_trials: int

    @classmethod
    def of(
        cls, rows: Rows, column: str, trials: NDArray[np.int64], merged: Mapping[str, str] | None = None
    ) -> "_Parts":
        """From rows whose trials are among `trials`, ascending; `merged` gives some texts another one."""
        names: dict[str, int] = {}
        numbers, places, downtimes = [], [], []
        for piece in pieces_of(rows, (column, "trial", "downtime_s")):
            texts = (str(text) for text in piece[column])
            numbers.append(
                np.array([names.setdefault((merged or {}).get(text, text), len(names)) for text in texts], np.int32)
            )
            places.append(np.searchsorted(trials, piece["trial"]).astype(np.int32))
            downtimes.append(piece["downtime_s"].astype(np.float64))
        none = [np.zeros(0, dtype=np.int32)]
        of_row, place = np.concatenate([*none, *numbers]), np.concatenate([*none, *places])
        return cls(names, of_row, place, np.concatenate([np.zeros(0), *downtimes]), len(trials))

    def rows_of(self, name: str) -> NDArray[np.intp]:
        """Where the rows of a text are."""
        return np.flatnonzero(self.of_row == self.names.get(name, -1))

    def seconds(self, name: str) -> Floats:
        """Downtime of each trial, (n_trials,)."""
        here = self.rows_of(name)
        sums = np.bincount(self.place[here], weights=self.downtime_s[here], minlength=self.n_trials)
        return np.asarray(sums, dtype=np.float64)


@dataclass(frozen=True, slots=True)
class Example:
    """One outage of a sequence, to be replayed.

    Parameters
    ----------
    trial : int
    start_s, end_s : float
        Of the outage, s since the start.
    population : str
        Whose outage it is.
    faults, left_out : tuple of str
        Occurrences that belong to it, and those active but left out.
    """

    trial: int
    start_s: float
    end_s: float
    population: str
    faults: tuple[str, ...]
    left_out: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Ranked:
    """One sequence of events and what it costs.

    Parameters
    ----------
    text : str
        Its steps.
    n_outages : int
        How often it was seen.
    minutes_per_year : float
        Lost minutes, weighted over populations.
    lost_hours_per_year : float
        Worker-hours lost.
    share : Estimate
        Of all lost minutes.
    cumulative : float
        Share of this and all sequences before it.
    is_needed : bool
        It belongs to the smallest set that covers what was asked.
    example : Example
        Its clearest outage.
    """

    text: str
    n_outages: int
    minutes_per_year: float
    lost_hours_per_year: float
    share: Estimate
    cumulative: float
    is_needed: bool
    example: Example


def ranked_sequences(
    tables: Mapping[str, Rows],
    architecture: str,
    *,
    confidence: float,
    covered: float = COVERED,
    merged: Mapping[str, str] | None = None,
) -> list[Ranked]:
    """Return the sequences of events, those with most lost minutes first.

    Parameters
    ----------
    tables : merged tables
    architecture : str
    confidence : float
        Of the shares' intervals, in (0.5, 1).
    covered : float
        Share of the lost minutes that the smallest set is to explain, in (0, 1].
    merged : mapping of str to str, optional
        Sequences that turned out to be others, with things that were not needed.

    Returns
    -------
    list of Ranked
        Empty without downtime, or for a run that did not keep sequences. Taking the largest first gives the smallest
        set for any share. Dips too short for an outage have a row of their own and belong to no set.
    """
    trials, rows = rows_of(tables["trials"], architecture), tables.get("sequences")
    down_s = trials["downtime_s"].astype(np.float64)
    if rows is None or not down_s.any():
        return []
    mine = rows_of(rows, architecture)
    parts = _Parts.of(mine, "sequence", trials["trial"], merged)
    years = float(trials["horizon_s"].sum()) / YEAR_S
    whole_s = {text: parts.seconds(text).sum() for text in parts.names}
    order = sorted(whole_s, key=lambda text: (text in (DIPS, OTHERS), -whole_s[text], text))
    outages, lost_hours, examples = mine["outages"], mine["lost_hours"], _examples(mine, parts)
    found: list[Ranked] = []
    so_far = 0.0
    for text in order:
        own_s, here = parts.seconds(text), parts.rows_of(text)
        is_needed = so_far < covered - 1e-12 and text not in (DIPS, OTHERS)
        so_far += float(own_s.sum() / down_s.sum())
        found.append(
            Ranked(
                text=text,
                n_outages=int(outages[here].sum()),
                minutes_per_year=float(own_s.sum()) / 60.0 / years,
                lost_hours_per_year=float(lost_hours[here].sum()) / years,
                share=ratio_interval(np.minimum(own_s, down_s), down_s, confidence=confidence, bounds=(0.0, 1.0)),
                cumulative=min(so_far, 1.0),
                is_needed=is_needed,
                example=examples[text],
            )
        )
    return found


def _examples(rows: Rows, parts: _Parts) -> dict[str, Example]:
    """The clearest example of each text: fewest records around it, then the first trial."""
    trials, n_records = rows["trial"], rows["example_records"]
    at = []
    for text in parts.names:
        here = parts.rows_of(text)
        at.append(here[np.lexsort((trials[here], n_records[here]))[0]])
    cells = {column: rows[column][at] for column in EXAMPLE_COLUMNS}
    return {
        text: Example(
            trial=int(trials[at[i]]),
            start_s=float(cells["example_start_s"][i]),
            end_s=float(cells["example_end_s"][i]),
            population=str(cells["example_population"][i]),
            faults=tuple(filter(None, str(cells["example_faults"][i]).split(LABELS))),
            left_out=tuple(filter(None, str(cells["example_left_out"][i]).split(LABELS))),
        )
        for i, text in enumerate(parts.names)
    }
