"""Faults as the log tells them: when each occurrence was active, what it hit, and how wide its target is.

Knows nothing of how faults are drawn or applied.
"""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from sim.scenario.schema import Scenario
from sim.scenario.targets import TargetKind, parse_target
from sim.world.design import PerDesign
from sim.world.log import Kind, Record, TrialRecord

Level = Literal["region", "zone", "dependency", "node", "pod", "provider", "population", "none"]
WIDEST_FIRST: Final[tuple[Level, ...]] = ("region", "zone", "dependency", "node", "pod", "provider", "population")
"""An outage with several causes is held against the objective of the widest of them."""
LEVELS: Final[dict[TargetKind, Level]] = {
    TargetKind.POD: "pod",
    TargetKind.NODE: "node",
    TargetKind.ZONE: "zone",
    TargetKind.REGION: "region",
    TargetKind.SERVICE: "dependency",
    TargetKind.PROVIDER: "provider",
    TargetKind.POPULATION: "population",
}
NO_FAULT: Final = "load"
"""Cause of an outage in which no fault was active."""


@dataclass(frozen=True, slots=True)
class Occurrence:
    """One occurrence of a fault.

    Parameters
    ----------
    name : str
        Key of the fault in the scenario.
    label : str
        The occurrence, `NAME#K@ELEMENT`.
    start_s, end_s : float
        While it was active; infinite end if it still was at the horizon.
    hits : tuple of str
        Pools (`region/service`) hit directly.
    common_cause : bool
        It is part of one event that hit several elements, by what the fault says (`Record.together`), or hit pools
        of several regions. Faults of elements with clocks of their own are none, even when they begin together.
    """

    name: str
    label: str
    start_s: float
    end_s: float
    hits: tuple[str, ...]
    common_cause: bool

    def active_at(self, at_s: float) -> bool:
        """Return whether it was active just after `at_s`; one that begins and ends right then counts."""
        return self.start_s <= at_s and (self.end_s > at_s or self.start_s == at_s)

    def begins_within(self, start_s: float, end_s: float) -> bool:
        """Return whether it began in [start_s, end_s)."""
        return start_s <= self.start_s < end_s


def occurrences(record: TrialRecord) -> list[Occurrence]:
    """Return all occurrences of faults in the order in which they began.

    Raises
    ------
    ValueError
        If a repair in the log has no fault before it.
    """
    ends: dict[str, float] = {}
    begun: set[str] = set()
    starts: list[Record] = []
    is_fault, is_repair = Kind.FAULT, Kind.REPAIR
    for entry in record.records:
        kind = entry.kind
        if kind is is_fault:
            starts.append(entry)
            begun.add(entry.fault)
        elif kind is is_repair:
            if entry.fault not in begun:
                raise ValueError(f"the log repairs {entry.fault!r} at {entry.at_s!r} s, which never began")
            ends.setdefault(entry.fault, entry.at_s)
    # The occurrence that a common cause spread from is named by the others only: it began before they were drawn.
    shared = {entry.together for entry in starts if entry.together}
    return [
        Occurrence(
            name=name_of(entry.fault),
            label=entry.fault,
            start_s=entry.at_s,
            end_s=ends.get(entry.fault, math.inf),
            hits=entry.hits,
            common_cause=bool(entry.together)
            or entry.fault in shared
            or len({region_of(pool) for pool in entry.hits}) > 1,
        )
        for entry in starts
    ]


def name_of(label: str) -> str:
    """Return the scenario's name of an occurrence `NAME#K@ELEMENT`."""
    return label.partition("#")[0]


def region_of(pool: str) -> str:
    """Return the region of a pool `region/service`."""
    return pool.partition("/")[0]


def causes(faults: Sequence[Occurrence], start_s: float, end_s: float) -> list[Occurrence]:
    """Return the faults active at the start of an interval, else those that began within it."""
    return [fault for fault in faults if fault.active_at(start_s)] or [
        fault for fault in faults if fault.begins_within(start_s, end_s)
    ]


def joined_names(faults: Iterable[Occurrence]) -> str:
    """Return the different fault names joined by `+`, in the order in which they began; `load` without any."""
    return "+".join(dict.fromkeys(fault.name for fault in faults)) or NO_FAULT


def widest_level(faults: Iterable[Occurrence], scenario: Scenario) -> Level:
    """Return the widest level that the faults' targets name; `none` without faults."""
    levels = {level_of(fault.name, scenario) for fault in faults}
    return next((level for level in WIDEST_FIRST if level in levels), "none")


def level_of(name: str, scenario: Scenario) -> Level:
    """Return what kind of thing a fault's target is; a service counts as `dependency`, wherever it is.

    The other provider's own outages are no fault of the scenario: they are recognised by not being one.
    """
    fault = scenario.faults.get(name)
    if fault is None:
        return "provider"
    return _levels.of(scenario)[name]


_levels: Final = PerDesign(
    lambda scenario: {
        name: LEVELS[parse_target(fault.target, scenario).kind] for name, fault in scenario.faults.items()
    },
    with_faults=True,
)
