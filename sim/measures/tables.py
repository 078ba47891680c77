"""The tables of one trial: everything that the study stores and the report draws.

A table is a dict of equally long arrays: text as object arrays, counts and flags as int64, the rest as float64.
"""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sim.measures import cost
from sim.measures.attribution import parts_of, shares_of
from sim.measures.availability import Month, by_requests, by_time, months_of, population_weights
from sim.measures.disturbances import Disturbance, cascades_by_fault, disturbances_of
from sim.measures.faults import Level, Occurrence, causes, joined_names, occurrences, widest_level
from sim.measures.outages import Below, outages_of, stretches_below, time_below_s
from sim.measures.recovery import PHASES, detected_at_s, operator_records, phases_of, rto_met
from sim.measures.sequences import SMALLEST_S, EventSequence, Told, rows_of_sequences, sequence_of
from sim.scenario.schema import Scenario
from sim.world.log import EXCESSES, TOTALS, Kind, Record, TrialRecord

Table = dict[str, NDArray[Any]]
Tables = dict[str, Table]
Row = dict[str, Any]

TEXT, WHOLE, REAL = object, np.int64, np.float64
KEY: Final[dict[str, type]] = {"architecture": TEXT, "trial": WHOLE}
COLUMNS: Final[dict[str, dict[str, type]]] = {
    "trials": KEY
    | {"horizon_s": REAL, "offered": REAL, "good": REAL, "usable": REAL, "attempts": REAL}
    | {"availability_time": REAL, "availability_requests": REAL, "downtime_s": REAL, "outages": WHOLE}
    | {"faults": WHOLE, "cascades": WHOLE, "cross_region_cascades": WHOLE}
    | {"cascade_any": WHOLE, "cross_region_cascade_any": WHOLE}
    | {"lost_hours": REAL, "productivity_cost": REAL, "sla_credit": REAL, "infrastructure_cost": REAL}
    | {"provider_cost": REAL, "node_cost": REAL, "pod_cost": REAL, "total_cost": REAL}
    | {"months": WHOLE, "months_met": WHOLE, "rto_checked": WHOLE, "rto_met": WHOLE}
    | {"oom_kills": WHOLE, "failovers": WHOLE, "failovers_failed": WHOLE, "common_cause_downtime_s": REAL}
    | {"noise_budget_spent": WHOLE, "simulated_s": REAL, "windows": WHOLE}
    | {f"excess_{name}": REAL for name in EXCESSES},
    "outages": KEY
    | {"outage": WHOLE, "population": TEXT, "start_s": REAL, "detected_s": REAL, "end_s": REAL, "duration_s": REAL}
    | {"censored": WHOLE, "cause": TEXT, "cause_level": TEXT, "lost_requests": REAL, "lost_hours": REAL, "cost": REAL}
    | {"cascade_size": WHOLE, "cascade_depth": WHOLE, "cross_region": WHOLE, "sequence": TEXT}
    | dict.fromkeys(PHASES, REAL),
    "disturbances": KEY
    | {"disturbance": WHOLE, "start_s": REAL, "end_s": REAL, "censored": WHOLE, "faults": TEXT, "n_faults": WHOLE}
    | {"direct": WHOLE, "failed": WHOLE, "size": WHOLE, "depth": WHOLE}
    | {"cross_region": WHOLE, "cascade": WHOLE, "common_cause": WHOLE},
    "months": KEY
    | {"month": WHOLE, "population": TEXT, "availability_time": REAL, "availability_requests": REAL}
    | {"met": WHOLE, "credit": REAL},
    "fault_kinds": KEY | {"fault": TEXT, "occurrences": WHOLE, "cascades": REAL},
    "downtime_shares": KEY | {"grouping": TEXT, "name": TEXT, "downtime_s": REAL},
    "sequences": KEY
    | {"sequence": TEXT, "steps": WHOLE, "outages": WHOLE, "downtime_s": REAL, "lost_hours": REAL}
    | {"example_population": TEXT, "example_start_s": REAL, "example_end_s": REAL, "example_records": WHOLE}
    | {"example_faults": TEXT, "example_left_out": TEXT},
}


@dataclass(frozen=True)
class _Outage:
    """An outage with whose it is and what it is put down to."""

    population: str
    below: Below
    causes: tuple[Occurrence, ...]
    level: Level
    disturbance: Disturbance | None
    sequence: EventSequence


@dataclass(frozen=True)
class _Population:
    """What was found of one population."""

    name: str
    weight: float
    stretches: list[Below]
    outages: list[_Outage]
    months: list[Month]
    lost_hours: float


def measure_trial(record: TrialRecord, scenario: Scenario) -> Tables:
    """Measure one trial.

    Parameters
    ----------
    record : TrialRecord
        Its event log and integrals.
    scenario : Scenario
        What it was a trial of.

    Returns
    -------
    dict
        Tables `trials` (one row), `outages`, `disturbances`, `months`, `fault_kinds`, `downtime_shares` and
        `sequences`, each column -> array.

    Raises
    ------
    ValueError
        If the log contradicts itself, e.g. ends what it never began, or if it has no population: availability is
        what somebody gets.
    """
    if not record.populations:
        raise ValueError("a trial without populations has nobody whose availability could be measured")
    faults = occurrences(record)
    disturbances = disturbances_of(record, faults, scenario)
    populations = _populations(record, scenario, faults, disturbances)
    n_faults = sum(f.name in scenario.faults for f in faults) + len(record.passed_over.fault)
    rows = {
        "trials": [_trial_row(record, scenario, populations, disturbances, n_faults=n_faults)],
        "outages": _outage_rows(record, scenario, populations),
        "months": _month_rows(scenario, populations),
        "fault_kinds": _fault_rows(scenario, record, faults, disturbances),
        "downtime_shares": _share_rows(scenario, faults, populations),
        "sequences": _sequence_rows(scenario, populations),
    }
    tables = {name: _table(record, COLUMNS[name], found) for name, found in rows.items()}
    tables["disturbances"] = _disturbance_table(record, disturbances)
    return {name: tables[name] for name in COLUMNS}


def concatenate(tables: Iterable[Tables]) -> Tables:
    """Join the tables of several trials, in the order given.

    Raises
    ------
    ValueError
        If there are none.
    """
    parts = list(tables)
    if not parts:
        raise ValueError("there is nothing to join: give the tables of at least one trial")
    return {
        name: {column: np.concatenate([part[name][column] for part in parts]) for column in columns}
        for name, columns in parts[0].items()
    }


def _table(record: TrialRecord, columns: dict[str, type], rows: Sequence[Row]) -> Table:
    if not rows:
        return {name: np.empty(0, dtype=kind) for name, kind in columns.items()}
    key = {"architecture": record.architecture, "trial": record.trial}
    full = [key | row for row in rows]
    return {name: np.array([row[name] for row in full], dtype=kind) for name, kind in columns.items()}


def _populations(
    record: TrialRecord, scenario: Scenario, faults: Sequence[Occurrence], disturbances: Sequence[Disturbance]
) -> list[_Population]:
    objective = scenario.objectives.availability
    weights = population_weights(record.totals)
    found = []
    for i, name in enumerate(record.populations):
        stretches = stretches_below(record, name)
        belows = outages_of(stretches, objective.for_)
        outages = [
            _with_cause(below, sequence_of(record, below, name, faults, scenario), faults, disturbances, scenario)
            for below in belows
        ]
        months = months_of(record, i, stretches, objective)
        lost = cost.trial_lost_hours(record.totals[i], belows, scenario.populations[name])
        found.append(_Population(name, float(weights[i]), stretches, outages, months, lost))
    return found


def _with_cause(
    below: Below,
    sequence: EventSequence,
    faults: Sequence[Occurrence],
    disturbances: Sequence[Disturbance],
    scenario: Scenario,
) -> _Outage:
    blamed = causes(faults, below.start_s, below.end_s)
    # It may begin a moment before anything is disturbed (success falls before a pool counts as failed).
    during = (d for d in disturbances if d.start_s < below.end_s and d.end_s >= below.start_s)
    level = widest_level(blamed, scenario)
    return _Outage(sequence.population, below, tuple(blamed), level, next(during, None), sequence)


def _trial_row(
    record: TrialRecord,
    scenario: Scenario,
    populations: Sequence[_Population],
    disturbances: Sequence[Disturbance],
    *,
    n_faults: int,
) -> Row:
    kinds = [entry.kind for entry in record.records]
    totals = dict(zip(TOTALS, record.totals.sum(axis=0), strict=True))
    outages = [outage for population in populations for outage in population.outages]
    months = [month for population in populations for month in population.months]
    rto = scenario.objectives.rto
    kept = [kept for outage in outages if (kept := rto_met(outage.below, outage.level, rto)) is not None]
    n_cascades = sum(d.cascade for d in disturbances)
    n_cross = sum(d.cross_region for d in disturbances)
    return {
        "horizon_s": record.horizon_s,
        **{name: float(totals[name]) for name in ("offered", "good", "usable", "attempts")},
        "availability_time": _weighted(populations, lambda p: by_time(p.stretches, 0.0, record.horizon_s)),
        "availability_requests": by_requests(record.totals.sum(axis=0)),
        "downtime_s": _weighted(populations, lambda p: time_below_s(p.stretches)),
        "common_cause_downtime_s": _weighted(populations, _common_cause_s),
        "outages": len(outages),
        "faults": n_faults,
        "cascades": n_cascades,
        "cross_region_cascades": n_cross,
        "cascade_any": n_cascades > 0,
        "cross_region_cascade_any": n_cross > 0,
        "months": len(months),
        "months_met": sum(month.met for month in months),
        "rto_checked": len(kept),
        "rto_met": sum(kept),
        "oom_kills": kinds.count(Kind.OOM_KILL),
        "failovers": kinds.count(Kind.FAILOVER),
        "failovers_failed": kinds.count(Kind.FAILOVER_FAILED),
        "simulated_s": record.simulated_s,
        "windows": record.n_windows,
        **{f"excess_{name}": value for name, value in record.excess.items()},
        "noise_budget_spent": Kind.GEAR in kinds and _is_budget_spent(record),
        **_cost_cells(record, scenario, populations),
    }


def _cost_cells(record: TrialRecord, scenario: Scenario, populations: Sequence[_Population]) -> Row:
    productivity = math.fsum(p.lost_hours * scenario.populations[p.name].cost for p in populations)
    credit = math.fsum(cost.month_credit(m, p.weight, scenario) for p in populations for m in p.months)
    infrastructure = cost.infrastructure_of(record, scenario)
    return {
        "lost_hours": math.fsum(p.lost_hours for p in populations),
        "productivity_cost": productivity,
        "sla_credit": credit,
        "infrastructure_cost": infrastructure.total,
        "provider_cost": infrastructure.provider,
        "node_cost": infrastructure.node,
        "pod_cost": infrastructure.pod,
        "total_cost": productivity + credit + infrastructure.total,
    }


def _weighted(populations: Sequence[_Population], value: Callable[[_Population], float]) -> float:
    return math.fsum(p.weight * value(p) for p in populations)


def _common_cause_s(population: _Population) -> float:
    """Return the time below the threshold within outages with a fault that hit several elements at once."""
    return math.fsum(
        time_below_s(population.stretches, outage.below.start_s, outage.below.end_s)
        for outage in population.outages
        if any(fault.common_cause for fault in outage.causes)
    )


def _is_budget_spent(record: TrialRecord) -> bool:
    from sim.traffic.gears import Shift  # with the data plane, which elements without traffic do not need

    return any(entry.kind is Kind.GEAR and entry.what == Shift.BUDGET.value for entry in record.records)


def _outage_rows(record: TrialRecord, scenario: Scenario, populations: Sequence[_Population]) -> list[Row]:
    """Return one row per outage, ordered by their start."""
    steps = {p.name: operator_records(record, p.name, scenario) for p in populations if p.outages}
    found = [outage for population in populations for outage in population.outages]
    found.sort(key=lambda outage: outage.below.start_s)
    return [{"outage": i} | _outage_row(outage, scenario, steps[outage.population]) for i, outage in enumerate(found)]


def _outage_row(outage: _Outage, scenario: Scenario, steps: Sequence[Record]) -> Row:
    below, disturbance = outage.below, outage.disturbance
    population = scenario.populations[outage.population]
    hours = cost.lost_hours(below.lost_usable, population) + cost.refocus_hours(below, population)
    phases = phases_of(below, steps)
    return {
        "population": outage.population,
        "start_s": below.start_s,
        "detected_s": detected_at_s(below, steps),
        "end_s": below.end_s,
        "duration_s": below.duration_s,
        "censored": below.censored,
        "cause": joined_names(outage.causes),
        "cause_level": outage.level,
        "lost_requests": below.lost_requests,
        "lost_hours": hours,
        "cost": hours * population.cost,
        "cascade_size": disturbance.size if disturbance else 0,
        "cascade_depth": disturbance.depth if disturbance else 0,
        "cross_region": disturbance.cross_region if disturbance else False,
        "sequence": outage.sequence.text,
        **{name: getattr(phases, name) for name in PHASES},
    }


def _disturbance_row(found: Disturbance) -> Row:
    return {
        "start_s": found.start_s,
        "end_s": found.end_s,
        "censored": found.censored,
        "faults": joined_names(found.faults),
        "n_faults": len(found.faults),
        "direct": len(found.direct),
        "failed": len(found.failed),
        "size": found.size,
        "depth": found.depth,
        "cross_region": found.cross_region,
        "cascade": found.cascade,
        "common_cause": found.common_cause,
    }


def _disturbance_table(record: TrialRecord, disturbances: Sequence[Disturbance]) -> Table:
    """All disturbances in order; those that nobody noticed are most of the rows.

    What was passed over while a fault that nobody feels was active belongs to the disturbance that this fault began.
    """
    passed, n_noticed = record.passed_over, len(disturbances)
    within = _within(passed.start_s, disturbances)
    apart = within < 0
    starts_s = np.concatenate([[found.start_s for found in disturbances], passed.start_s[apart]])
    n = len(starts_s)
    place = np.empty(n, dtype=np.intp)
    place[np.argsort(starts_s, kind="stable")] = np.arange(n)
    table: Table = {name: np.zeros(n, dtype=kind) for name, kind in COLUMNS["disturbances"].items()}
    table["architecture"][:], table["trial"][:] = record.architecture, record.trial
    table["disturbance"] = np.arange(n)
    names = passed.faults_of_each()
    for number, (k, found) in enumerate(zip(place[:n_noticed].tolist(), disturbances, strict=True)):
        row = _disturbance_row(found)
        rows = np.flatnonzero(within == number)
        if len(rows):
            row |= _with_passed(found, record, rows, [names[r] for r in rows.tolist()])
        for name, value in row.items():
            table[name][k] = value
    others = place[n_noticed:]
    for name in ("start_s", "end_s", "n_faults"):
        table[name][others] = getattr(passed, name)[apart]
    table["direct"][others] = np.bitwise_count(passed.direct[apart])
    table["faults"][others] = names[apart]
    return table


def _within(starts_s: NDArray[np.float64], disturbances: Sequence[Disturbance]) -> NDArray[np.intp]:
    """Number of the disturbance in which each of these moments lies, -1 if in none."""
    begins_s = np.array([found.start_s for found in disturbances])
    ends_s = np.array([found.end_s for found in disturbances] + [-np.inf])
    found = np.searchsorted(begins_s, starts_s, side="right") - 1
    return np.where(starts_s <= ends_s[found], found, -1)


def _with_passed(found: Disturbance, record: TrialRecord, rows: NDArray[np.intp], names: Sequence[str]) -> Row:
    """What changes of the row of a disturbance by those that were passed over within it (rows, and their faults)."""
    passed = record.passed_over
    told = [(fault.start_s, fault.name) for fault in found.faults]
    told += [(at_s, name) for at_s, of in zip(passed.start_s[rows], names, strict=True) for name in of.split("+")]
    hit = int(np.bitwise_or.reduce(passed.direct[rows]))
    return {
        "faults": "+".join(dict.fromkeys(name for _, name in sorted(told, key=lambda one: one[0]))),
        "n_faults": len(found.faults) + int(passed.n_faults[rows].sum()),
        "direct": len(found.direct.union(pool for k, pool in enumerate(record.pools) if hit >> k & 1)),
    }


def _month_rows(scenario: Scenario, populations: Sequence[_Population]) -> list[Row]:
    return [
        {
            "month": month.number,
            "population": population.name,
            "availability_time": month.by_time,
            "availability_requests": month.by_requests,
            "met": month.met,
            "credit": cost.month_credit(month, population.weight, scenario),
        }
        for population in populations
        for month in population.months
    ]


def _fault_rows(
    scenario: Scenario, record: TrialRecord, faults: Sequence[Occurrence], disturbances: Sequence[Disturbance]
) -> list[Row]:
    """Return one row per fault of the scenario, seen or not.

    More rows if need be: `load` for cascades that no fault began, and the other provider's own outages.
    """
    counts = dict.fromkeys(scenario.faults, 0)
    for fault in faults:
        counts[fault.name] = counts.get(fault.name, 0) + 1
    passed = record.passed_over
    for fault_name, n_passed in zip(passed.names, np.bincount(passed.fault, minlength=len(passed.names)), strict=True):
        counts[fault_name] += int(n_passed)
    shares = cascades_by_fault(disturbances)
    for name in shares:
        counts.setdefault(name, 0)
    return [{"fault": name, "occurrences": n, "cascades": shares.get(name, 0.0)} for name, n in counts.items()]


def _share_rows(scenario: Scenario, faults: Sequence[Occurrence], populations: Sequence[_Population]) -> list[Row]:
    """Return the trial's downtime by fault, element, level and kind of cause; weighted over populations."""
    found: dict[tuple[str, str], list[float]] = {}
    for population in populations:
        outages = [(outage.below, outage.causes) for outage in population.outages]
        shares = shares_of(parts_of(population.stretches, outages, faults), scenario)
        for key, down_s in shares.items():
            found.setdefault(key, []).append(population.weight * down_s)
    return [{"grouping": key[0], "name": key[1], "downtime_s": math.fsum(parts)} for key, parts in found.items()]


def _sequence_rows(scenario: Scenario, populations: Sequence[_Population]) -> list[Row]:
    """Return one row per different sequence of events; together their downtime is that of the trial."""
    told = []
    for population in populations:
        within_s = []
        for outage in population.outages:
            below = outage.below
            down_s = time_below_s(population.stretches, below.start_s, below.end_s)
            within_s.append(down_s)
            spec = scenario.populations[population.name]
            hours = cost.lost_hours(below.lost_usable, spec) + cost.refocus_hours(below, spec)
            told.append(Told(outage.sequence, below, population.weight * down_s, hours))
        dips_s = time_below_s(population.stretches) - math.fsum(within_s)
        if dips_s > SMALLEST_S:
            told.append(Told.dips(population.name, population.stretches[0], population.weight * dips_s))
    return rows_of_sequences(told)
