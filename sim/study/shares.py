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
from sim.study.tables import Table, n_rows, rows_of

Floats = NDArray[np.float64]
COVERED: Final = 0.8
"""Part of the lost minutes that the ranked sequences are to explain."""


def downtime_shares(
    tables: Mapping[str, Table], architecture: str, *, confidence: float, scenario: Scenario | None = None
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
    if rows is None or not n_rows(trials) or not down_s.any():
        return {}
    mine = rows_of(rows, architecture)
    found: dict[str, dict[str, Estimate]] = {}
    for grouping in GROUPINGS:
        here = mine["grouping"] == grouping
        by_name = _by_trial({key: values[here] for key, values in mine.items()}, "name", trials["trial"])
        if grouping == "fault" and scenario is not None:
            by_name |= {name: np.zeros(len(down_s)) for name in scenario.faults if name not in by_name}
        shares = {
            # Sums of parts differ from the whole in the last bits.
            name: ratio_interval(np.minimum(part_s, down_s), down_s, confidence=confidence, bounds=(0.0, 1.0))
            for name, part_s in by_name.items()
        }
        found[grouping] = dict(sorted(shares.items(), key=lambda item: (-item[1].mean, item[0])))
    return found


def _by_trial(rows: Table, column: str, trials: NDArray[np.int64]) -> dict[str, Floats]:
    """Downtime (s) of each trial, (n_trials,), by the different values of a column."""
    place = np.searchsorted(trials, rows["trial"])
    names = rows[column].astype(str)
    found: dict[str, Floats] = {}
    for name in dict.fromkeys(names):
        here = names == name
        sums = np.bincount(place[here], weights=rows["downtime_s"][here], minlength=len(trials))
        found[str(name)] = np.asarray(sums, dtype=np.float64)
    return found


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
    tables: Mapping[str, Table],
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
    if rows is None or not n_rows(trials) or not down_s.any():
        return []
    mine = rows_of(rows, architecture)
    texts = np.array([(merged or {}).get(str(text), str(text)) for text in mine["sequence"]], dtype=object)
    mine = mine | {"sequence": texts}
    by_trial = _by_trial(mine, "sequence", trials["trial"])
    years = float(trials["horizon_s"].sum()) / YEAR_S
    order = sorted(by_trial, key=lambda text: (text in (DIPS, OTHERS), -by_trial[text].sum(), text))
    found: list[Ranked] = []
    so_far = 0.0
    for text in order:
        own_s = by_trial[text]
        here = texts == text
        is_needed = so_far < covered - 1e-12 and text not in (DIPS, OTHERS)
        so_far += float(own_s.sum() / down_s.sum())
        found.append(
            Ranked(
                text=text,
                n_outages=int(mine["outages"][here].sum()),
                minutes_per_year=float(own_s.sum()) / 60.0 / years,
                lost_hours_per_year=float(mine["lost_hours"][here].sum()) / years,
                share=ratio_interval(np.minimum(own_s, down_s), down_s, confidence=confidence, bounds=(0.0, 1.0)),
                cumulative=min(so_far, 1.0),
                is_needed=is_needed,
                example=_example({key: values[here] for key, values in mine.items()}),
            )
        )
    return found


def _example(rows: Table) -> Example:
    """The clearest of the trials' examples: fewest records around it, then the first."""
    at = int(np.lexsort((rows["trial"], rows["example_records"]))[0])
    row = {key: values[at] for key, values in rows.items()}
    return Example(
        trial=int(row["trial"]),
        start_s=float(row["example_start_s"]),
        end_s=float(row["example_end_s"]),
        population=str(row["example_population"]),
        faults=tuple(filter(None, str(row["example_faults"]).split(LABELS))),
        left_out=tuple(filter(None, str(row["example_left_out"]).split(LABELS))),
    )
