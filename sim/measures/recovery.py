"""The time to recover, split into what people did, and whether it kept the objective.

Knows only records of the people on call; what their steps did is not its business.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

from sim.measures.faults import Level
from sim.measures.outages import Below
from sim.scenario.schema import RecoveryObjective, Scenario
from sim.world.log import Kind, Record, TrialRecord

NAN = math.nan
STEPS = (Kind.DETECTED, Kind.ACKNOWLEDGED, Kind.DIAGNOSED, Kind.ACTION, Kind.ACTION_DONE, Kind.CLOSED)


@dataclass(frozen=True, slots=True)
class Phases:
    """Parts of an outage in seconds, in order; NaN for a part that was not finished before the outage ended.

    With all six the sum is the outage's duration. The remedy is the last step that was right (or of which the log
    does not say) and began before the end; wrong turns are everything between the first diagnosis and it. A remedy
    still in progress when the outage ends has done its work: it counts up to the end, and nothing is left to drain.
    """

    detection_s: float = NAN
    acknowledgement_s: float = NAN
    diagnosis_s: float = NAN
    wrong_turns_s: float = NAN
    remedy_s: float = NAN
    drain_s: float = NAN


PHASES = tuple(field.name for field in fields(Phases))


def operator_records(record: TrialRecord, population: str, scenario: Scenario) -> list[Record]:
    """Return the records of the people at work on what this population gets, in order.

    Incidents belong to regions. A population's are those of its home (else the first region placed), with
    active-active those of every region; steps without a region are everybody's.
    """
    home = scenario.populations[population].home
    at_home = home if home in scenario.place else next(iter(scenario.place))
    everywhere = scenario.failover.policy == "active-active"
    return [
        entry
        for entry in record.records
        if entry.kind in STEPS
        and (
            entry.region == at_home
            or (everywhere and entry.region)
            or entry.population == population
            or not (entry.region or entry.population)
        )
    ]


def detected_at_s(outage: Below, steps: Sequence[Record]) -> float:
    """Return when the outage was noticed, s since the start of the trial; NaN if it was not before its end.

    If people were already at work on an incident when it began, that is its start.
    """
    opened = _opened_at_s(outage, steps)
    return max(opened, outage.start_s)


def phases_of(outage: Below, steps: Sequence[Record]) -> Phases:
    """Split an outage into its phases.

    Parameters
    ----------
    outage : Below
        With its true end, or cut by the horizon (then it never drained).
    steps : sequence of Record
        `operator_records` of its population.
    """
    opened = _opened_at_s(outage, steps)
    if math.isnan(opened):
        return Phases()
    mine = [step for step in steps if opened <= step.at_s <= outage.end_s]
    # What was done before the outage began cannot have ended it.
    begins = [s for s in mine if s.kind is Kind.ACTION and not _done_s(s, mine, outage) <= outage.start_s]
    remedy = next((step for step in reversed(begins) if step.value != 0), None)
    acknowledged = _first(mine, Kind.ACKNOWLEDGED)
    diagnosed = _first(mine, Kind.DIAGNOSED)
    # A later step implies the earlier ones: who acts has a diagnosis, who diagnoses has acknowledged.
    if math.isnan(diagnosed) and begins:
        diagnosed = begins[0].at_s
    if math.isnan(acknowledged) and not math.isnan(diagnosed):
        acknowledged = opened
    marks = [outage.start_s, opened, acknowledged, diagnosed]
    if remedy is not None:
        done = _done_s(remedy, mine, outage)
        marks += [remedy.at_s, done, NAN if outage.censored or math.isnan(done) else outage.end_s]
    marks += [NAN] * (len(PHASES) + 1 - len(marks))
    for i in range(1, len(marks)):  # an incident already under way has its first marks before this outage began
        marks[i] = max(marks[i], marks[i - 1])
    return Phases(*(marks[i + 1] - marks[i] for i in range(len(PHASES))))


def _opened_at_s(outage: Below, steps: Sequence[Record]) -> float:
    """Return when the incident was opened under which the outage was worked on; NaN if there was none by its end."""
    opened: dict[str, float] = {}
    for step in steps:
        if step.at_s > outage.end_s or (opened and step.at_s >= outage.start_s):
            break
        if step.kind is Kind.DETECTED:
            opened.setdefault(step.region, step.at_s)
        elif step.kind is Kind.CLOSED:
            opened.pop(step.region, None)
    return min(opened.values(), default=NAN)


def _first(steps: Sequence[Record], kind: Kind) -> float:
    return next((step.at_s for step in steps if step.kind is kind), NAN)


def _done_s(action: Record, steps: Sequence[Record], outage: Below) -> float:
    """Return when an action was done, at the latest at the outage's end; NaN if the horizon cut it."""
    for step in steps:
        if step.kind is Kind.ACTION_DONE and step.at_s >= action.at_s and step.what == action.what:
            return step.at_s
    return NAN if outage.censored else outage.end_s


def rto_met(outage: Below, level: Level, objective: RecoveryObjective | None) -> bool | None:
    """Return whether an outage ended within the objective for what broke.

    Returns
    -------
    bool or None
        None if there is no objective for this level, or the horizon cut the outage before it could be told.
    """
    limit_s = getattr(objective, level, None) if objective is not None else None
    if limit_s is None:
        return None
    if outage.duration_s > limit_s:
        return False
    return None if outage.censored else True
