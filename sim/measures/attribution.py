"""Who is to blame for downtime: its shares by fault, element, level and kind of cause.

A stretch of downtime is put down to the faults active when it began, shared equally (DESIGN, section 7); within an
outage the outage's begin counts, since its later stretches are its echo. The shares of a trial add up to its downtime.
"""

import math
from collections.abc import Callable, Sequence
from typing import Final

from sim.measures.faults import NO_FAULT, Occurrence, causes, level_of
from sim.measures.outages import Below, time_below_s
from sim.scenario.schema import Scenario

Parts = list[tuple[float, tuple[Occurrence, ...]]]
"""Downtime (s) and what it is put down to."""
COMMON: Final = "common cause"
INDEPENDENT: Final = "independent faults"
GROUPINGS: Final = ("fault", "element", "level", "cause")
"""The ways in which the same downtime is shared out."""


def element_of(label: str) -> str:
    """Return the element of an occurrence `NAME#K@ELEMENT`; the name itself where none is given."""
    name, _, element = label.partition("@")
    return element or name


def parts_of(
    stretches: Sequence[Below],
    outages: Sequence[tuple[Below, Sequence[Occurrence]]],
    faults: Sequence[Occurrence],
) -> Parts:
    """Return the downtime of one population, cut into parts of one cause each.

    Parameters
    ----------
    stretches : sequence of Below
        Every stretch below the threshold, in order.
    outages : sequence of (Below, causes)
        The outages made of them, each with its causes.
    faults : sequence of Occurrence
        All of the trial.

    Returns
    -------
    list of (float, tuple of Occurrence)
        Adds up to the time below the threshold. Stretches too short for an outage have causes of their own.
    """
    parts = [(time_below_s(stretches, below.start_s, below.end_s), tuple(blamed)) for below, blamed in outages]
    parts += [
        (stretch.duration_s, tuple(causes(faults, stretch.start_s, stretch.end_s)))
        for stretch in stretches
        if not any(below.start_s <= stretch.start_s < below.end_s for below, _ in outages)
    ]
    return [(length_s, blamed) for length_s, blamed in parts if length_s > 0.0]


def shares_of(parts: Parts, scenario: Scenario) -> dict[tuple[str, str], float]:
    """Return the downtime (s) by (grouping, name); the names of each grouping add up to the same total.

    Parameters
    ----------
    parts : list of (float, tuple of Occurrence)
        Downtime and its causes; without any it is put down to `load` (and to no level).
    scenario : Scenario
    """
    namings: dict[str, Callable[[Occurrence], str]] = {
        "fault": lambda fault: fault.name,
        "element": lambda fault: element_of(fault.label),
        "level": lambda fault: level_of(fault.name, scenario),
        "cause": lambda fault: COMMON if fault.common_cause else INDEPENDENT,
    }
    found: dict[tuple[str, str], list[float]] = {}
    for length_s, blamed in parts:
        for grouping, name in namings.items():
            names = [name(fault) for fault in blamed] or ["none" if grouping == "level" else NO_FAULT]
            for one in names:
                found.setdefault((grouping, one), []).append(length_s / len(names))
    return {key: math.fsum(lengths) for key, lengths in found.items()}
