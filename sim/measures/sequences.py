"""What led to an outage, as a short sequence: the faults behind it, then what failed next until users noticed.

Names of like elements are merged (`zone-loss in north`, whichever zone), things that happen within a minute are one
step, and what the users of this outage do not depend on is left out. So the same story has the same text in each trial.
Knows nothing of how often a sequence happens.
"""

import math
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sim.measures.attribution import element_of
from sim.measures.faults import NO_FAULT, Occurrence, level_of, region_of
from sim.measures.outages import Below
from sim.scenario.schema import Scenario
from sim.world.log import Kind, Record, TrialRecord

JOINED_S: Final = 60.0
"""Like things that happen within this time are one step: which of two pools goes first is chance."""
BEFORE_S: Final = 600.0
"""What happened so long before an outage may belong to it: as long as CrashLoopBackOff remembers."""
MOST_STEPS: Final = 8
"""A sequence ends here; whatever still follows is the long end of a long outage."""
ARROW: Final = " -> "
LABELS: Final = " | "
"""Between the labels of occurrences in one cell."""
DIPS: Final = "dips too short to be an outage"
"""Stands for the time below the threshold outside outages."""
OTHERS: Final = "other sequences"
"""Stands for the sequences of a trial beyond the first MOST_PER_TRIAL."""
MOST_PER_TRIAL: Final = 64
"""Rows that one trial can add; the sequences with most downtime have their own."""
SMALLEST_S: Final = 1e-6
"""Less downtime than this is rounding."""
SLOW_OR_FAILING: Final = "requests too slow or failing"
"""Last step of a sequence in which no pool fails altogether."""


@dataclass(frozen=True, slots=True)
class EventSequence:
    """What led to one outage.

    Parameters
    ----------
    population : str
        Whose outage it is.
    text : str
        Steps joined by arrows.
    n_steps : int
        Number of steps.
    faults : tuple of str
        Occurrences in it, by label.
    left_out : tuple of str
        Occurrences active at its begin that the users do not depend on.
    n_records : int
        Records of the log from the first step, at most `BEFORE_S` before the outage, to its end: the fewer, the
        clearer an example.
    """

    population: str
    text: str
    n_steps: int
    faults: tuple[str, ...]
    left_out: tuple[str, ...]
    n_records: int


@dataclass(frozen=True, slots=True)
class Told:
    """The sequence of one outage, with what it cost."""

    sequence: EventSequence
    outage: Below
    downtime_s: float
    """Weighted with the population's share of the requests."""
    lost_hours: float

    @classmethod
    def dips(cls, population: str, first: Below, downtime_s: float) -> "Told":
        """Return what stands for the time below the threshold outside outages."""
        return cls(EventSequence(population, DIPS, 0, (), (), 0), first, downtime_s, 0.0)


@dataclass(frozen=True, slots=True)
class _Event:
    """One thing that happened, before like ones are joined."""

    at_s: float
    what: str
    """Text with `{}` for whom."""
    who: str
    where: str
    rank: int
    """Order within a minute: faults, kills, failures, then what is done about them."""


def sequence_of(
    record: TrialRecord, outage: Below, population: str, faults: Sequence[Occurrence], scenario: Scenario
) -> EventSequence:
    """Return what led to an outage of a population.

    Parameters
    ----------
    record : TrialRecord
    outage : Below
        One of the population's.
    population : str
    faults : sequence of Occurrence
        All of the trial, in the order in which they began.
    scenario : Scenario

    Notes
    -----
    A fault belongs to it if it was active when the outage began, and hits a pool that the population depends on: its
    entry service where its load goes (everywhere, once load was moved), and what that calls. Where no fault does,
    all active ones are kept rather than none. A fault that strikes later belongs to it if something fails within
    `BEFORE_S` of it, or if it lasts when those before it are repaired. That each is needed is not proved here; see
    `sim.study.necessity`.
    """
    served_by = _pools_behind(record, outage, population, scenario)
    failures = list(_failures(record, outage, population, served_by))
    started = [fault for fault in faults if fault.active_at(outage.start_s)]
    candidates = started or [fault for fault in faults if fault.begins_within(outage.start_s, outage.end_s)]
    related = [fault for fault in candidates if _concerns(fault, population, served_by, scenario)] or candidates
    later = [
        fault
        for fault in faults
        if outage.start_s < fault.start_s < outage.end_s
        and fault not in related
        and _concerns(fault, population, served_by, scenario)
    ]
    for fault in later:
        last_s = max((known.end_s for known in related), default=outage.start_s)
        takes_over = last_s < outage.end_s <= fault.end_s + BEFORE_S and fault.end_s > last_s
        if takes_over or any(fault.start_s <= event.at_s <= fault.start_s + BEFORE_S for event in failures):
            related.append(fault)
    first_s = min([outage.start_s, *(event.at_s for event in failures)])
    begun = [_fault_event(fault, scenario) for fault in related] or [_Event(first_s, "{}", NO_FAULT, "", rank=0)]
    steps = _steps([*begun, *failures], first_s)
    if not any(event.what == _SHOWN[Kind.POOL_FAILED][1] for event in failures):
        steps.append(SLOW_OR_FAILING)
    steps = steps[:MOST_STEPS]
    first_s = max(min(event.at_s for event in [*begun, *failures]), outage.start_s - BEFORE_S)
    return EventSequence(
        population=population,
        text=ARROW.join(steps),
        n_steps=len(steps),
        faults=tuple(fault.label for fault in related),
        left_out=tuple(fault.label for fault in started if fault not in related),
        n_records=sum(first_s <= entry.at_s <= outage.end_s for entry in record.records),
    )


def rows_of_sequences(told: Sequence[Told]) -> list[dict[str, Any]]:
    """Return one row per different sequence of a trial, most downtime first, with its clearest outage as example.

    Clearest is the outage around which the log has fewest records; of equals the first.
    """
    groups: dict[str, list[Told]] = {}
    for one in told:
        groups.setdefault(one.sequence.text, []).append(one)
    ordered = sorted(groups.items(), key=lambda item: (-_downtime_s(item[1]), item[0]))
    kept, rest = ordered[:MOST_PER_TRIAL], [one for _, group in ordered[MOST_PER_TRIAL:] for one in group]
    return [_row(text, group) for text, group in [*kept, *([(OTHERS, rest)] if rest else [])]]


def _downtime_s(group: Sequence[Told]) -> float:
    return math.fsum(one.downtime_s for one in group)


def _row(text: str, group: Sequence[Told]) -> dict[str, Any]:
    example = min(group, key=lambda one: (one.sequence.n_records, one.outage.start_s))
    return {
        "sequence": text,
        "steps": example.sequence.n_steps,
        "outages": 0 if text == DIPS else len(group),
        "downtime_s": _downtime_s(group),
        "lost_hours": math.fsum(one.lost_hours for one in group),
        "example_population": example.sequence.population,
        "example_start_s": example.outage.start_s,
        "example_end_s": example.outage.end_s,
        "example_records": example.sequence.n_records,
        "example_faults": LABELS.join(example.sequence.faults),
        "example_left_out": LABELS.join(example.sequence.left_out),
    }


# -- what belongs to it ---------------------------------------------------------------------------------


def _pools_behind(record: TrialRecord, outage: Below, population: str, scenario: Scenario) -> frozenset[str]:
    """Return the pools that the population depended on: entries that get its load, and all that they call."""
    users = scenario.populations[population]
    entries = [pool for pool in record.pools if pool.partition("/")[2] == users.journey]
    moved = any(
        entry.population == population and entry.kind is Kind.FAILOVER and entry.at_s <= outage.end_s
        for entry in record.records
    )
    if scenario.failover.policy != "active-active" and not moved:
        at_home = [pool for pool in entries if region_of(pool) == users.home]
        entries = at_home or entries[:1]
    found, open_ = set(entries), list(entries)
    while open_:
        region, _, name = open_.pop().partition("/")
        for callee in scenario.services[name].calls:
            local = f"{region}/{callee}"
            is_local = local in record.pools
            for pool in [local] if is_local else [p for p in record.pools if p.partition("/")[2] == callee]:
                if pool not in found:
                    found.add(pool)
                    open_.append(pool)
    return frozenset(found)


def _concerns(fault: Occurrence, population: str, served_by: frozenset[str], scenario: Scenario) -> bool:
    """Return whether a fault can reach the population: through a pool it hit, its demand, or the other provider."""
    level = level_of(fault.name, scenario)
    if level == "provider":
        return scenario.failover.provider is not None
    if level == "population":
        element = element_of(fault.label).removeprefix("population ")
        if element not in scenario.populations or element == population:
            return True
        return any(pool.partition("/")[2] == scenario.populations[element].journey for pool in served_by)
    return bool(served_by.intersection(fault.hits))


_SHOWN: Final = {
    Kind.OOM_KILL: (1, "{} out of memory"),
    Kind.POOL_FAILED: (2, "{} fails"),
    Kind.FAILOVER: (3, "failover"),
    Kind.FAILOVER_FAILED: (3, "no failover"),
}
_BY_RANK: Final = sorted(set(_SHOWN.values()))
_MOVES: Final = (Kind.FAILOVER, Kind.FAILOVER_FAILED)
_FAILED: Final = Kind.POOL_FAILED
_RECOVERED: Final = Kind.POOL_RECOVERED


def _failures(record: TrialRecord, outage: Below, population: str, served_by: frozenset[str]) -> Iterator[_Event]:
    """Yield what failed, for each pool its first failure only, and the first attempt to move a region's load."""
    told: set[tuple[str, str, str]] = set()
    for entry in _belonging(record, outage):
        is_move = entry.kind in _MOVES
        if (entry.population != population) if is_move else (f"{entry.region}/{entry.service}" not in served_by):
            continue
        key = ("move" if is_move else entry.kind, entry.region, entry.service)
        if key not in told:
            told.add(key)
            rank, what = _SHOWN[entry.kind]
            yield _Event(entry.at_s, what, entry.service, entry.region, rank)


def _belonging(record: TrialRecord, outage: Below) -> Iterator[Record]:
    """Yield the records shown: pools that fail when it begins or later, kills and moves from shortly before on."""
    failed: dict[tuple[str, str], Record] = {}
    kept: list[Record] = []
    for entry in record.records:
        if entry.at_s >= outage.end_s:
            break
        kind = entry.kind
        if kind is _FAILED and entry.at_s < outage.start_s:
            failed[entry.region, entry.service] = entry
        elif kind is _RECOVERED and entry.at_s < outage.start_s:
            failed.pop((entry.region, entry.service), None)
        elif kind in _SHOWN and entry.at_s >= outage.start_s - BEFORE_S:
            kept.append(entry)
    yield from failed.values()
    yield from kept


# -- words ----------------------------------------------------------------------------------------------


def _fault_event(fault: Occurrence, scenario: Scenario) -> _Event:
    """A fault without the number of its element: `pod-crash of web in north` for each of its pods."""
    element, level = element_of(fault.label), level_of(fault.name, scenario)
    region, _, rest = element.partition("/")
    if region in scenario.regions:
        service = rest.partition("/")[0] if level in ("pod", "dependency") else ""
        return _Event(fault.start_s, fault.name + "{}", f" of {service}" if service else "", region, 0)
    of = "" if level == "provider" else f" of {element.removeprefix('population ')}"
    return _Event(fault.start_s, fault.name + "{}", of, "", 0)


def _steps(events: Sequence[_Event], first_s: float) -> list[str]:
    """Text of each step: the causes before `first_s` as one, then what follows, cut into spells of a minute.

    Within a spell the order is by rank and name: it is chance that decides which of two pools goes first.
    """
    spells: list[list[_Event]] = [[event for event in events if event.rank == 0 and event.at_s <= first_s]]
    for event in sorted((e for e in events if e not in spells[0]), key=lambda event: event.at_s):
        if len(spells) == 1 or event.at_s - spells[-1][0].at_s > JOINED_S:
            spells.append([])
        spells[-1].append(event)
    return [text for spell in spells for text in _texts(spell)]


def _texts(spell: Sequence[_Event]) -> list[str]:
    """One text per kind of thing in a spell, faults joined by `+`."""
    causes_ = [event for event in spell if event.rank == 0]
    faults = {(event.what, event.who) for event in causes_}
    found = [" + ".join(_fault_text([e for e in causes_ if (e.what, e.who) == key]) for key in sorted(faults))]
    for rank, what in _BY_RANK:
        same = [event for event in spell if (event.rank, event.what) == (rank, what)]
        if rank == _SHOWN[Kind.FAILOVER][0] and same:
            found.append(f"{what} from {_listed(event.where for event in same)}")
        elif same:
            found.append(_failure_text(what, same))
    return [text for text in found if text]


def _fault_text(same: Sequence[_Event]) -> str:
    """`2 x pod-crash of web in north`: the same fault on like elements."""
    places = [event.where for event in same if event.where]
    count = f"{len(same)} x " if len(same) > len(set(places) or {""}) else ""
    text = same[0].what.format(same[0].who)
    return f"{count}{text} in {_listed(places)}" if places else count + text


def _failure_text(what: str, same: Sequence[_Event]) -> str:
    """`gateway, irm fail in north`: pools of one kind of failure, by region."""
    parts = []
    for region in sorted({event.where for event in same}):
        names = sorted({event.who for event in same if event.where == region})
        verb = what.replace("fails", "fail") if len(names) > 1 else what
        parts.append(f"{verb.format(', '.join(names))} in {region}")
    return " and ".join(parts)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(set(names)))
