"""The tape of a trial: when each fault strikes which element next, drawn from laws that do not look at the data plane.

Strikes are drawn one after the other by the element's name and their number, so that whatever happens in between, the
k-th time to failure of an element is the same in every design. Most of them are pods that crash and restart while the
others carry their load: where that is certain beforehand they are noted in the log as passed over, and neither plane is
asked. All others happen in the control plane.
"""

from collections.abc import Callable, Collection
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Final

from sim.laws import Law, law_of
from sim.scenario.schema import Fault, Service
from sim.scenario.targets import TargetKind
from sim.traffic.parking import Parking
from sim.world.context import SHORTEST_S, Context
from sim.world.elements import Element
from sim.world.fleet import Fleet
from sim.world.log import Kind, PassedOver, Record
from sim.world.pods import Pod, PodState

APART_S: Final = 600.0
"""What is so far from all else that happens is a disturbance of its own (`measures.disturbances`), and has settled."""


@dataclass(slots=True, eq=False)
class Clock:
    """One fault of one element."""

    fault: str
    element: Element
    law: Law
    pod: Pod | None = None
    """The pod that it may pass over; None: it always happens in the control plane."""
    down_s: float = 0.0
    """From the crash of that pod until it is ready, s."""
    n_drawn: int = 0


class Tape:
    """Clocks of all faults that have a law.

    Parameters
    ----------
    context : Context
        Draws and log.
    fleet : Fleet
        Pods, of which some crash and restart.
    active : collection
        Occurrences of faults that are active now; while there are any, nothing is a disturbance of its own.
    strike : callable
        Does what a clock says now, in the control plane, and calls the given function when the clock starts again.
    """

    def __init__(
        self,
        context: Context,
        fleet: Fleet,
        active: Collection[str],
        strike: Callable[[Clock, Callable[[], None]], None],
    ) -> None:
        self._context = context
        self._active = active
        self._fleet = fleet
        self._strike = strike
        self._due: list[tuple[float, int, Clock]] = []
        self._n_scheduled = 0
        self._settled_s = -APART_S
        self._n_struck: dict[tuple[str, str], int] = {}
        self.passed_over: list[PassedOver] = []
        self.writes_all = False
        """Whether what is passed over is written to the log record by record (for those who read it)."""

    @property
    def next_s(self) -> float:
        """Time of the next strike, s."""
        return self._due[0][0] if self._due else float("inf")

    def add(self, name: str, fault: Fault, element: Element, law: Law) -> None:
        """A clock that starts now."""
        clock = Clock(name, element, law)
        if passes_over(fault, element):
            pod = self._fleet.by_name[element.name]
            service = self._fleet.services[pod.pool]
            if restarts_simply(service):
                startup_s = law_of(service.startup).mean_s
                clock.pod, clock.down_s = pod, max(service.crash_loop.first + startup_s, SHORTEST_S)
        self._wind(clock, 0.0)

    def _wind(self, clock: Clock, from_s: float) -> None:
        at_s = from_s + self._lasts_s(clock)
        clock.n_drawn += 1
        self._n_scheduled += 1
        heappush(self._due, (at_s, self._n_scheduled, clock))

    def _lasts_s(self, clock: Clock) -> float:
        """The next time to failure of a clock, s."""
        purpose = f"{clock.fault}:time-to-failure"
        return self._context.draw(clock.law, clock.element.name, purpose, clock.n_drawn)

    def count(self, fault: str, element: Element) -> int:
        """Count one more occurrence of a fault of an element, by whatever cause; returns its number from 1."""
        number = self._n_struck[fault, element.name] = self._n_struck.get((fault, element.name), 0) + 1
        return number

    def strike_next(self) -> None:
        """The next clock strikes; called by the control plane when it is due."""
        _, _, clock = heappop(self._due)
        self._strike(clock, lambda: self._wind(clock, self._context.now_s))

    # -- passing over ---------------------------------------------------------------------------------

    def pass_over(self, parking: Parking, until_s: float) -> bool:
        """Pass over the next strikes as long as nobody would notice; True if there was one.

        Parameters
        ----------
        parking : Parking
            Of a plane that is parked.
        until_s : float
            The next thing that happens otherwise, s.
        """
        if self._active:
            return False
        passed = False
        records = self._context.records
        while self._due:
            at_s, _, clock = self._due[0]
            pod, ready_s = clock.pod, at_s + clock.down_s
            others_s = min((entry[0] for entry in self._due[1:3]), default=float("inf"))
            if pod is None or ready_s + APART_S >= min(until_s, parking.until_s, others_s):
                break
            before_s = max(self._settled_s, records[-1].at_s if records else -APART_S)
            if at_s < before_s + APART_S or not self._is_plain(pod, at_s):
                break
            if not parking.passes_over(pod.row, at_s, ready_s) or self._lasts_s(clock) < APART_S:
                break
            heappop(self._due)
            self._pass(clock, pod, at_s, ready_s, parking)
            self._wind(clock, ready_s)
            passed = True
        return passed

    def _is_plain(self, pod: Pod, at_s: float) -> bool:
        """Whether the pod runs, has crashed lately no more, and holds nothing but its own memory."""
        added = pod.added
        return (
            pod.state is PodState.READY
            and not pod.leaving
            and (pod.incarnation <= 1 or at_s - pod.started_s >= self._fleet.services[pod.pool].crash_loop.reset)
            and not (added.extra or added.growth or added.leak or added.factor)
        )

    def _pass(self, clock: Clock, pod: Pod, at_s: float, ready_s: float, parking: Parking) -> None:
        """What a crash and a restart leave behind in the fleet, the plane and the log."""
        number = self.count(clock.fault, clock.element)
        if self.writes_all:
            self._write(clock, number, pod, (at_s, ready_s))
        else:
            self.passed_over.append(PassedOver(clock.fault, at_s, ready_s))
        level = self._fleet.restarted_unnoticed(pod, ready_s)
        parking.restarted(pod.row, at_s, ready_s, level)
        self._settled_s = ready_s

    def _write(self, clock: Clock, number: int, pod: Pod, when_s: tuple[float, float]) -> None:
        assert pod.node is not None
        at_s, ready_s = when_s
        place = {"region": pod.region, "service": pod.service, "pod": pod.name}
        fault = {
            "region": clock.element.region,
            "service": clock.element.service,
            "pod": clock.element.pod,
            "fault": f"{clock.fault}#{number}@{clock.element.name}",
            "hits": (f"{pod.region}/{pod.service}",),
        }
        where = place | {"zone": pod.node.zone_name, "node": pod.node.name}
        self._context.records += [
            Record(at_s, Kind.FAULT, f"{clock.fault} hits {clock.element.name}", **fault),  # type: ignore[arg-type]
            Record(at_s, Kind.POD_LOST, clock.fault, **where),  # type: ignore[arg-type]
            Record(ready_s, Kind.POD_READY, "", **where),  # type: ignore[arg-type]
            Record(ready_s, Kind.REPAIR, f"{clock.element.name} restarted", **fault),  # type: ignore[arg-type]
        ]


def restarts_simply(service: Service) -> bool:
    """Whether a pod of it is as good as new a fixed time after its crash, and nothing but the pod is concerned."""
    return (
        service.startup.fixed is not None
        and service.cold is None
        and service.endpoint_lag == 0.0
        and service.liveness is None
        and service.readiness is None
        and (service.memory is None or service.memory.leak == 0.0)
    )


def passes_over(fault: Fault, element: Element) -> bool:
    """Whether the fault does nothing but crash one pod, which is restarted."""
    effect = fault.effect.model_dump(exclude_defaults=True)
    return (
        element.kind is TargetKind.POD
        and not element.is_several
        and fault.repair.restart
        and fault.common_cause is None
        and not fault.spare
        and effect == {"down": True}
    )
