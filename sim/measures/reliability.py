"""From the histories of a scenario of elements to the same tables as a trial with traffic gives, many trials at once.

The measured system takes the place of a population: it is up or down, and its outages are what users see. What needs
traffic (requests, cascades, lost work) is 0 and has no measure. Everything is computed by columns over all trials.
"""

from datetime import UTC, datetime
from typing import Any

import numpy as np
from numpy.typing import NDArray

from sim.measures.cost import credit_share
from sim.measures.recovery import PHASES
from sim.measures.tables import COLUMNS, Table, Tables
from sim.reliability.elements import OTHER, REPAIR
from sim.reliability.trials import Histories
from sim.scenario.reliability import ReliabilityScenario

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


def measure_histories(
    histories: Histories, labels: list[str], kinds: list[str], scenario: ReliabilityScenario, architecture: str
) -> Tables:
    """Measure many trials.

    Parameters
    ----------
    histories : Histories
        The first watched system is the measured one; the first reward is what it delivers.
    labels : list of str
        Of the events.
    kinds : list of str
        Element kinds, in the order of the rewards after the first.
    scenario : ReliabilityScenario
        What they are trials of.
    architecture : str
        Its name.

    Returns
    -------
    dict
        Tables `trials`, `outages`, `disturbances` (empty), `months`, `fault_kinds` and `elements`; the rows of a trial
        stand together, trials in the order given.
    """
    n = len(histories.trials)
    mine = histories.outage_system == 0
    place = np.searchsorted(histories.trials, histories.outage_trial[mine])
    start, end = histories.outage_start[mine], histories.outage_end[mine]
    counted = (end - start >= scenario.objectives.availability.for_) | (histories.outage_censored[mine] == 1)
    down = np.bincount(place, weights=end - start, minlength=n)
    first = np.full(n, histories.horizon)
    np.minimum.at(first, place, start)
    seen = np.bincount(place, minlength=n) > 0
    shares, month_rows = _months(place, start, end, n, scenario)
    is_repair = np.array([label.startswith(REPAIR) for label in labels], dtype=bool)
    is_fault = ~is_repair & np.array([label != OTHER for label in labels], dtype=bool)
    common = np.array([_is_common(label, scenario) for label in labels], dtype=bool)
    cause = histories.outage_cause[mine]
    by_common = (cause >= 0) & common[np.maximum(cause, 0)] if len(labels) else np.zeros(len(cause), dtype=bool)
    met = shares >= scenario.objectives.availability.target
    credit = month_rows["credit"].reshape(n, -1).sum(axis=1)
    trials = {
        "horizon_s": np.full(n, histories.horizon),
        "availability_time": 1.0 - down / histories.horizon,
        "downtime_s": down,
        "outages": np.bincount(place[counted], minlength=n),
        "faults": histories.tally[:, is_fault].sum(axis=1),
        "repairs": histories.tally[:, is_repair].sum(axis=1),
        "delivered_share": histories.rewards[:, 0] / histories.horizon,
        "downtime_h": down / 3600.0,
        "first_outage_h": first / 3600.0,
        "first_outage_seen": seen,
        "no_outage": ~seen,
        "months": np.full(n, shares.shape[1]),
        "months_met": met.sum(axis=1),
        "sla_credit": credit,
        "total_cost": credit,
        "common_cause_downtime_s": np.bincount(place[by_common], weights=(end - start)[by_common], minlength=n),
    }
    numbers, who = histories.trials, architecture
    return {
        "trials": _table("trials", numbers, who, trials),
        "outages": _outages(histories, mine & _spread(mine, counted), labels, scenario, architecture),
        "disturbances": _table("disturbances", numbers[:0], who, {}),
        "months": _table("months", np.repeat(numbers, shares.shape[1]), who, month_rows),
        "fault_kinds": _fault_kinds(histories, labels, is_fault, architecture),
        "elements": _elements(histories, kinds, scenario, architecture),
    }


def month_starts(start: datetime, horizon_s: float) -> Floats:
    """Return the starts of the calendar months (UTC) that the horizon touches, s; the first is 0."""
    found, at = [0.0], start.astimezone(UTC)
    year, month = at.year, at.month
    while True:
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
        begins_s = (datetime(year, month, 1, tzinfo=UTC) - at).total_seconds()
        if begins_s >= horizon_s:
            return np.array(found)
        found.append(begins_s)


def _months(
    place: Ints, start: Floats, end: Floats, n: int, scenario: ReliabilityScenario
) -> tuple[Floats, dict[str, Any]]:
    """Availability of each month of each trial, `(n, n_months)`, and the rows of the table."""
    begins = month_starts(scenario.start, scenario.horizon)
    ends = np.append(begins[1:], scenario.horizon)
    share = np.empty((n, len(begins)))
    for k, (begin, stop) in enumerate(zip(begins, ends, strict=True)):
        overlap = np.clip(np.minimum(end, stop) - np.maximum(start, begin), 0.0, None)
        share[:, k] = 1.0 - np.bincount(place, weights=overlap, minlength=n) / (stop - begin)
    sla = scenario.objectives.sla
    credit = np.zeros_like(share)
    if sla is not None:
        covered = (ends - begins) / _whole_months(begins, scenario)
        shares_back = np.vectorize(lambda value: credit_share(value, sla), otypes=[float])(share)
        credit = shares_back * sla.fee * covered
    return share, {
        "month": np.tile(np.arange(len(begins)), n),
        "population": scenario.measured,
        "availability_time": share.ravel(),
        "availability_requests": np.nan,
        "met": (share >= scenario.objectives.availability.target).ravel(),
        "credit": credit.ravel(),
    }


def _whole_months(begins: Floats, scenario: ReliabilityScenario) -> Floats:
    """Length of the calendar months, s, whatever part of them the horizon covers."""
    at = scenario.start.astimezone(UTC)
    lengths = []
    for k in range(len(begins)):
        months = at.year * 12 + at.month - 1 + k
        begin = datetime(months // 12, months % 12 + 1, 1, tzinfo=UTC)
        stop = datetime((months + 1) // 12, (months + 1) % 12 + 1, 1, tzinfo=UTC)
        lengths.append((stop - begin).total_seconds())
    return np.array(lengths)


def _spread(mine: NDArray[np.bool_], counted: NDArray[np.bool_]) -> NDArray[np.bool_]:
    """A choice among the outages of the measured system as one among all."""
    chosen = np.zeros(len(mine), dtype=bool)
    chosen[mine] = counted
    return chosen


def _is_common(label: str, scenario: ReliabilityScenario) -> bool:
    return label in scenario.common_causes or label.endswith("(common cause)")


def _outages(
    histories: Histories, chosen: NDArray[np.bool_], labels: list[str], scenario: ReliabilityScenario, who: str
) -> Table:
    trial, cause = histories.outage_trial[chosen], histories.outage_cause[chosen]
    start, end = histories.outage_start[chosen], histories.outage_end[chosen]
    first_of_trial = np.searchsorted(trial, trial)  # outages of a trial stand together
    names = np.array([*labels, "down at the start"], dtype=object)
    rows = {
        "outage": np.arange(len(trial)) - first_of_trial,
        "population": scenario.measured,
        "start_s": start,
        "detected_s": np.nan,
        "end_s": end,
        "duration_s": end - start,
        "censored": histories.outage_censored[chosen],
        "cause": names[cause] if len(cause) else np.zeros(0, dtype=object),
        "cause_level": "",
        **dict.fromkeys(PHASES, np.nan),
    }
    return _table("outages", trial, who, rows)


def _fault_kinds(histories: Histories, labels: list[str], is_fault: NDArray[np.bool_], who: str) -> Table:
    """One row per kind of failure and trial."""
    names = np.array(labels, dtype=object)[is_fault]
    trial = np.repeat(histories.trials, len(names))
    rows = {"fault": np.tile(names, len(histories.trials)), "occurrences": histories.tally[:, is_fault].ravel()}
    return _table("fault_kinds", trial, who, rows)


def _elements(histories: Histories, kinds: list[str], scenario: ReliabilityScenario, who: str) -> Table:
    """Share of each kind that was up, over the horizon and at its end; one row per kind and trial."""
    n, count = len(histories.trials), np.array([scenario.elements[kind].count for kind in kinds])
    return {
        "architecture": np.full(n * len(kinds), who, dtype=object),
        "trial": np.repeat(histories.trials, len(kinds)),
        "element": np.tile(np.array(kinds, dtype=object), n),
        "up_share": (histories.rewards[:, 1:] / (count * histories.horizon)).ravel(),
        "up_share_at_end": (histories.last_values[:, 1:] / count).ravel(),
    }


def _table(name: str, trial: Ints, architecture: str, rows: dict[str, Any]) -> Table:
    """A table with all columns of its kind, those that need traffic filled with 0 or nothing, then those of its own."""
    n = len(trial)
    table: Table = {}
    for column, kind in {**COLUMNS[name], **{own: np.float64 for own in rows if own not in COLUMNS[name]}}.items():
        if column == "trial":
            table[column] = trial
            continue
        value = architecture if column == "architecture" else rows.get(column)
        if value is None:
            value = "" if kind is object else 0
        table[column] = np.array(np.broadcast_to(np.asarray(value, dtype=kind), (n,)))
    table["trial"] = trial.astype(np.int64)
    return table
