"""Faults: when they strike which element, what they do to it, and how they end.

One SimPy process per fault and element draws times to failure keyed by the element's name, so that two
architectures that share an element see the same history of it. What a fault does is in `Effects`.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import partial

from simpy.events import Event

from sim.scenario.schema import Fault, moment_s
from sim.scenario.targets import TargetKind
from sim.world.context import Context, Steps
from sim.world.effects import Effects
from sim.world.elements import Element, siblings_of
from sim.world.log import Kind
from sim.world.plan import Clock, plan_of
from sim.world.tape import Tape
from sim.world.topology import Node


@dataclass
class Occurrence:
    """One strike of a fault on one element."""

    name: str
    """`FAULT#K@ELEMENT`."""
    number: int
    """K."""
    fault: str
    element: Element
    ended: Event
    hits: tuple[str, ...]
    undo: list[Callable[[], None]] = field(default_factory=list)
    is_active: bool = True


class Faults:
    """All faults of one trial.

    Notes
    -----
    A clock of an element runs on while a common cause keeps it down; a strike that then falls due is void
    and the clock starts again when the element is repaired.
    """

    def __init__(self, context: Context, effects: Effects) -> None:
        self._context = context
        self._effects = effects
        plan = self._plan = plan_of(context.scenario)
        self.active: dict[str, Occurrence] = {}
        self.tape = Tape(context, effects.fleet, self._struck)
        for name, element, together in plan.others:
            fault = context.scenario.faults[name]
            if fault.at:
                self._schedule(name, fault, element, together=together)
            else:
                context.process(self._deployments(name, fault, element))

    def active_names(self, regions: Iterable[str] | None = None) -> list[str]:
        """Names of the faults that are active (in any of `regions`), in the order in which they began."""
        wanted = None if regions is None else set(regions)
        found = [
            o.fault
            for o in self.active.values()
            if wanted is None or not o.element.region or o.element.region in wanted
        ]
        return list(dict.fromkeys(found))

    def fix(self, names: Iterable[str], what: str) -> list[str]:
        """End all active occurrences of these faults, in every region; returns the names that were active."""
        wanted = set(names)
        fixed = [o for o in self.active.values() if o.fault in wanted]
        for occurrence in fixed:
            self._end(occurrence, what)
        return list(dict.fromkeys(o.fault for o in fixed))

    def keep_down(self, node: Node) -> None:
        """A node that arrives in a zone or region that is down is down with it."""
        for occurrence in self.active.values():
            element, fault = occurrence.element, self._context.scenario.faults[occurrence.fault]
            holds_down = fault.effect.down and not fault.repair.restart
            if not holds_down or element.kind not in (TargetKind.ZONE, TargetKind.REGION):
                continue
            if element.region in ("", node.region) and element.zone in ("", node.zone_name):
                node.holds.add(occurrence.name)

    # -- when -----------------------------------------------------------------------------------------

    def _struck(self, clock: Clock, start_again: Callable[[], None]) -> None:
        """A clock strikes: an occurrence begins, unless one is there or nothing is there to hit."""
        present = self._present(clock.fault, clock.element)
        if present is None:
            present = self._strike_with_siblings(clock.fault, clock.element)
        if present is None:
            start_again()
        else:
            assert present.ended.callbacks is not None
            present.ended.callbacks.append(lambda _: start_again())

    def _deployments(self, name: str, fault: Fault, element: Element) -> Steps:
        deployments = fault.deployments
        assert deployments is not None
        assert fault.per_deployment is not None
        yield self._context.env.timeout(deployments.every if deployments.first is None else deployments.first)
        index = 0
        while True:
            bad = self._context.draws.uniform(element.name, f"{name}:deployment", index) < fault.per_deployment
            self._context.record(Kind.DEPLOYMENT, f"of {element.name}", region=element.region, service=element.service)
            if bad and self._present(name, element) is None:
                self._strike_with_siblings(name, element)
            index += 1
            yield self._context.env.timeout(deployments.every)

    def _schedule(self, name: str, fault: Fault, element: Element, *, together: bool) -> None:
        for moment in fault.at:
            at_s = moment_s(moment, self._context.scenario.start)
            event = f"{name} at {moment.isoformat()}" if together else ""
            if at_s >= 0.0:
                self._context.after(at_s, partial(self._strike_if_free, name, element, event))

    def _strike_if_free(self, name: str, element: Element, together: str) -> None:
        if self._present(name, element) is None:
            self._strike_with_siblings(name, element, together)

    def _present(self, name: str, element: Element) -> Occurrence | None:
        return next((o for o in self.active.values() if o.fault == name and o.element == element), None)

    # -- strike and end -------------------------------------------------------------------------------

    def _strike_with_siblings(self, name: str, element: Element, together: str = "") -> Occurrence | None:
        first = self._strike(name, element, together=together)
        cause = self._context.scenario.faults[name].common_cause
        if first is None or cause is None:
            return first
        index = first.number
        topology = self._effects.fleet.topology
        for sibling, prob in siblings_of(element, cause, self._context.scenario, topology):
            key = f"{element.name} with {sibling.name}"
            drawn = self._context.draws.uniform(key, f"{name}:common-cause", index) < prob
            if drawn and self._present(name, sibling) is None:
                why = f", common cause with {element.name}"
                self._strike(name, sibling, why, together=together or first.name)
        return first

    def _strike(self, name: str, element: Element, why: str = "", *, together: str = "") -> Occurrence | None:
        """Begin an occurrence; None if there is nothing there to hit (a pod that is down already), or it is spared."""
        if not self._effects.can_hit(element):
            return None
        index = self.tape.count(name, element)
        if {element.name, f"{index}@{element.name}"}.intersection(self._context.scenario.faults[name].spare):
            return None
        occurrence = Occurrence(
            name=f"{name}#{index}@{element.name}",
            number=index,
            fault=name,
            element=element,
            ended=Event(self._context.env),
            hits=self._effects.pools_hit(element),
        )
        self.active[occurrence.name] = occurrence
        fault = self._context.scenario.faults[name]
        if element.is_several:
            together = together or occurrence.name
        self._log(Kind.FAULT, occurrence, f"{name} hits {element.name}{why}", together=together)
        restart = fault.repair.restart
        self._context.traffic.disturbed()
        occurrence.undo = self._effects.apply(element, self._plan.effects[name], occurrence.name)
        if restart and fault.effect.down:
            self._effects.crash(element, name, lambda: self._end(occurrence, f"{element.name} restarted"))
        elif fault.repair.law is not None:
            law = self._plan.laws[name][1]
            assert law is not None
            repair_s = self._context.draw(law, element.name, f"{name}:repair", index - 1)
            self._context.after(repair_s, lambda: self._end(occurrence, f"{element.name} repaired"))
        return occurrence

    def _end(self, occurrence: Occurrence, what: str) -> None:
        if not occurrence.is_active:
            return
        occurrence.is_active = False
        del self.active[occurrence.name]
        self._log(Kind.REPAIR, occurrence, what)
        self._context.traffic.disturbed()
        for undo in occurrence.undo:
            undo()
        occurrence.ended.succeed()

    def _log(self, kind: Kind, occurrence: Occurrence, what: str, *, together: str = "") -> None:
        element = occurrence.element
        self._context.record(
            kind,
            what,
            region=element.region,
            zone=element.zone,
            node=element.node,
            service=element.service,
            pod=element.pod,
            fault=occurrence.name,
            population=element.population,
            hits=occurrence.hits,
            together=together,
        )
