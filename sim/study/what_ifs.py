"""Changed copies of a scenario, each with one thing different: what sensitivity compares on the same random history.

Faults: never, twice as often, repaired in half the time; an element out of order all along, or never by this fault;
numbers: a step down and up. Each keeps the keys of all draws, so that whatever is not changed happens as before.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final, Literal

from sim.errors import UsageError
from sim.scenario.document import scenario_document
from sim.scenario.knobs import Knob, knob_at, knobs_of, refusal, scaled_law, stepped, text_at, with_text, with_value
from sim.scenario.schema import Fault, LawSpec, Repair, Scenario
from sim.scenario.targets import TargetKind
from sim.world.elements import Element, elements_of
from sim.world.topology import Topology

Kind = Literal["base", "never", "more", "repair", "down", "up", "low", "high", "point"]
BASE: Final = "as it is"
MORE_OFTEN: Final = 2.0
"""How many times as often a fault comes in `more`."""
FASTER: Final = 0.5
"""How long a repair takes in `repair`, as a part of what it takes."""
BEYOND: Final = 10.0
"""What never happens, or never ends, does so after so many horizons."""
HELD: Final = "held-down"
"""The fault that keeps an element out of order from the start to the horizon."""


@dataclass(frozen=True, slots=True)
class WhatIf:
    """One changed scenario.

    Parameters
    ----------
    name : str
        Unique; the architecture's name in the run.
    about : str
        The fault, `FAULT @ ELEMENT`, or the knob.
    kind : str
        What was done with it.
    setting : str
        The value in words.
    scenario : Scenario
    """

    name: str
    about: str
    kind: Kind
    setting: str
    scenario: Scenario


def base_of(scenario: Scenario) -> WhatIf:
    """The scenario as it is."""
    return WhatIf(BASE, "", "base", "", scenario)


def fault_what_ifs(scenario: Scenario) -> list[WhatIf]:
    """Return for each fault: it never happens, it comes twice as often, it is repaired in half the time.

    Notes
    -----
    Twice as often: every time to failure is half as long (at the same draw), a probability per deployment is doubled
    (at most 1). Faults at stated times have no rate. Half the time: every repair time is half as long at the same
    draw; a fault that ends by a restart or by people has no repair time of its own.
    """
    found: list[WhatIf] = []
    for name, fault in scenario.faults.items():
        options: list[tuple[Kind, str, Fault | None]] = [
            ("never", "never happens", never(fault, scenario.horizon)),
            ("more", "twice as often", more_often(fault)),
            ("repair", "repaired in half the time", repaired_faster(fault)),
        ]
        for kind, words, changed in options:
            if changed is not None and changed != fault:
                faults = {**scenario.faults, name: changed}
                found.append(
                    WhatIf(f"{name}: {words}", name, kind, words, scenario.model_copy(update={"faults": faults}))
                )
    return found


def never(fault: Fault, horizon_s: float) -> Fault:
    """Return the fault with its first strike beyond the horizon; it stays known to runbooks."""
    every = LawSpec(fixed=BEYOND * horizon_s)
    return fault.model_copy(update={"every": every, "at": (), "per_deployment": None, "deployments": None})


def more_often(fault: Fault) -> Fault | None:
    """Return the fault that comes twice as often, None if it has no rate."""
    if fault.every is not None:
        return fault.model_copy(update={"every": scaled_law(fault.every, 1.0 / MORE_OFTEN)})
    if fault.per_deployment is not None:
        return fault.model_copy(update={"per_deployment": min(1.0, MORE_OFTEN * fault.per_deployment)})
    return None


def repaired_faster(fault: Fault) -> Fault | None:
    """Return the fault that is repaired in half the time, None if it has no repair time."""
    law = fault.repair.law
    if law is None:
        return None
    return fault.model_copy(update={"repair": fault.repair.model_copy(update={"law": scaled_law(law, FASTER)})})


def spared(fault: Fault, names: Sequence[str]) -> Fault:
    """Return the fault that does not hit these elements, or strikes `K@ELEMENT`."""
    return fault.model_copy(update={"spare": (*fault.spare, *names)})


# -- elements -------------------------------------------------------------------------------------------


def element_what_ifs(scenario: Scenario, *, all_elements: bool = False) -> list[WhatIf]:
    """Return pairs for Birnbaum's importance: each element under its fault all along, and never.

    Parameters
    ----------
    scenario : Scenario
    all_elements : bool
        Every element; else of the pods of a pool and of the nodes of a region the first only, being alike.

    Notes
    -----
    Birnbaum (1969): I(i) = h(1_i, p) - h(0_i, p), here with unavailability for h. `down` holds the fault's effect on
    the element from the start to the horizon whatever people do; `up` spares it this fault. All else keeps its draws.
    """
    found: list[WhatIf] = []
    for name, fault in scenario.faults.items():
        for element in _chosen(fault, scenario, all_elements):
            faults = {**scenario.faults, name: spared(fault, [element.name])}
            about = f"{name} @ {element.name}"
            up = scenario.model_copy(update={"faults": faults})
            down = scenario.model_copy(
                update={"faults": {**faults, _free_name(scenario): held(fault, element, scenario)}}
            )
            found.append(WhatIf(f"{about}: always", about, "down", "always", down))
            found.append(WhatIf(f"{about}: never", about, "up", "never", up))
    return found


def held(fault: Fault, element: Element, scenario: Scenario) -> Fault:
    """Return a fault with the same effect on one element, from the start to beyond the horizon."""
    return Fault(
        target=fault.target,
        at=(scenario.start,),
        effect=fault.effect,
        repair=Repair(law=LawSpec(fixed=BEYOND * scenario.horizon)),
        only=(element.name,),
    )


def _free_name(scenario: Scenario) -> str:
    name = HELD
    while name in scenario.faults:
        name += "-x"
    return name


def _chosen(fault: Fault, scenario: Scenario, all_elements: bool) -> Iterator[Element]:
    named = elements_of(fault.target, scenario, Topology(scenario))
    told: set[tuple[str, str, str]] = set()
    for element in named:
        if fault.only and element.name not in fault.only:
            continue
        alike = (element.kind, element.region, element.service)
        if all_elements or element.kind not in (TargetKind.POD, TargetKind.NODE) or alike not in told:
            told.add(alike)
            yield element


# -- numbers --------------------------------------------------------------------------------------------


def knob_what_ifs(scenario: Scenario, chosen: Sequence[str], step: float) -> tuple[list[WhatIf], list[str]]:
    """Return the scenario with each knob a step down and a step up, and what could not be tried.

    Parameters
    ----------
    scenario : Scenario
    chosen : sequence of str
        `path` or `path=low,high`; without any every knob that is found.
    step : float
        Relative step of knobs without values of their own, in (0, 1).

    Raises
    ------
    UsageError
        For a chosen knob that does not exist or a value that it cannot have.
    """
    found: list[WhatIf] = []
    notes: list[str] = []
    for text in chosen:
        name, equals, values = text.partition("=")
        knob = knob_at(scenario, name.strip())
        if not equals:
            found += _steps(scenario, knob, step, notes)
            continue
        low, comma, high = values.partition(",")
        if not comma or not low.strip() or not high.strip():
            raise UsageError(f"--knob {text}: expected path or path=low,high such as services.irm.queue=10,40")
        for kind, value in (("low", low.strip()), ("high", high.strip())):
            found += _changed(knob, kind, with_text(scenario, knob, value), scenario)  # type: ignore[arg-type]
    if not chosen:
        for knob in knobs_of(scenario):
            found += _steps(scenario, knob, step, notes)
    return found, notes


def _steps(scenario: Scenario, knob: Knob, step: float, notes: list[str]) -> list[WhatIf]:
    found: list[WhatIf] = []
    low, high = stepped(knob, step)
    sides: tuple[tuple[Kind, object], ...] = (("low", low), ("high", high))
    for kind, value in sides:
        changed = _shortest(scenario, knob, value)
        refused = refusal(changed)
        if refused:
            notes.append(f"{knob.name}: {kind} of {knob.text} was not tried: {refused}")
        else:
            found += _changed(knob, kind, changed, scenario)
    return found


def _shortest(scenario: Scenario, knob: Knob, value: object) -> Scenario:
    """With the value, or its neighbour at 12 digits where that is the shorter text: 112 ms, not 112.00000000000002."""
    changed = with_value(scenario, knob.path, value)
    if not isinstance(value, float):
        return changed
    rounded = with_value(scenario, knob.path, float(f"{value:.12g}"))
    return min(changed, rounded, key=lambda one: len(_text(one, knob)))


def _changed(knob: Knob, kind: Kind, changed: Scenario, scenario: Scenario) -> list[WhatIf]:
    if changed == scenario:
        return []
    text = _text(changed, knob)
    return [WhatIf(f"{knob.name}: {kind}", knob.name, kind, text, changed)]


def _text(changed: Scenario, knob: Knob) -> str:
    return text_at(scenario_document(changed), knob.path)
