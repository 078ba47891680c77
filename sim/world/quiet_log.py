"""What was passed over: as rows for the measures, or written to the log record by record for those who read it."""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np

from sim.scenario.targets import TargetKind
from sim.world.context import Context
from sim.world.fleet import Fleet
from sim.world.log import Kind, PassedOver, Record
from sim.world.plan import Clock
from sim.world.quiet_arrays import *

_ROWS: Final = 2048


class Rows:
    """Room for the compiled loop's log, and what was in it.

    Parameters
    ----------
    context : Context
        The log that records are written to.
    fleet : Fleet
        Pods and nodes, for their names.
    clocks : sequence of Clock
        Of all faults.
    faults : sequence of str
        Keys of the faults in the scenario.
    writes_all : bool
        Write records instead of rows.
    """

    def __init__(
        self, context: Context, fleet: Fleet, clocks: Sequence[Clock], faults: Sequence[str], *, writes_all: bool
    ) -> None:
        self._context, self._fleet, self._clocks, self._faults = context, fleet, clocks, faults
        self._writes_all = writes_all
        self._full: list[PassedOver] = []
        self._marks: Any = None
        self._n_events = 4096 if writes_all else 0
        self._why = ""
        self._hits: dict[int, tuple[str, ...]] = {}
        self._new_log()

    def _new_log(self) -> None:
        n_events = self._n_events
        self.log = Log(
            row_s=np.zeros((_ROWS + 1, 2)),
            rows=np.zeros((_ROWS, 2), dtype=np.int64),
            names=np.zeros(2 * _ROWS, dtype=np.int64),
            events=np.zeros((n_events, 4), dtype=np.int64),
            event_s=np.zeros(n_events),
            evictions=np.zeros((MOST_EVICTIONS, 2), dtype=np.int64),
            eviction_s=np.zeros(MOST_EVICTIONS),
            worst=np.zeros(len(self._fleet.services), dtype=np.int64),
        )

    def passed_over(self) -> PassedOver:
        """All rows so far."""
        return PassedOver.joined([*self._full, self._taken(self._marks)])

    def _taken(self, marks: Any) -> PassedOver:
        if marks is None:
            return PassedOver.nothing()
        n, n_names = int(marks[N_ROWS]), int(marks[N_NAMES])
        return PassedOver(
            names=tuple(self._faults),
            start_s=self.log.row_s[:n, 0].copy(),
            end_s=self.log.row_s[:n, 1].copy(),
            direct=self.log.rows[:n, 0].copy(),
            fault=self.log.names[:n_names].copy(),
            n_faults=np.diff(np.append(self.log.rows[:n, 1], n_names)),
        )

    def follow(self, moving: Moving) -> None:
        """Rows are counted by these marks."""
        self._marks = moving.marks

    def make_room(self, moving: Moving) -> None:
        """Put away what is in the log, or make it larger if that is nothing."""
        marks = moving.marks
        if marks[N_ROWS] == 0:
            self._n_events *= 2
            self._new_log()
        if self._writes_all:
            self._write(int(marks[N_EVENTS]))
        else:
            self._full.append(self._taken(marks))
        marks[[N_ROWS, N_NAMES, N_EVENTS]] = 0

    def _write(self, n_events: int) -> None:
        nodes = self._fleet.topology.all_nodes()
        pools = [f"{region}/{service}" for region, service in self._context.traffic.names.pools]
        for at_s, (kind, one, other, hits) in zip(
            self.log.event_s[:n_events].tolist(), self.log.events[:n_events].tolist(), strict=True
        ):
            if kind in (EVENT_LOST, EVENT_READY):
                pod, node = self._fleet.pods[one], nodes[other]
                lost = kind == EVENT_LOST
                self._context.records.append(
                    Record(
                        at_s,
                        Kind.POD_LOST if lost else Kind.POD_READY,
                        self._why if lost else "",
                        region=pod.region,
                        zone=node.zone_name,
                        node=node.name,
                        service=pod.service,
                        pod=pod.name,
                    )
                )
                continue
            begins = kind == EVENT_FAULT
            if begins:
                self._hits[one] = tuple(sorted(name for k, name in enumerate(pools) if hits >> k & 1))
            record = self._of_fault(at_s, self._clocks[one], other, self._hits[one], begins=begins)
            self._context.records.append(record)

    def _of_fault(self, at_s: float, clock: Clock, number: int, hits: tuple[str, ...], *, begins: bool) -> Record:
        """The record of a fault that begins or ends; of one that begins, why pods are lost is remembered."""
        element, crashes = clock.element, clock.element.kind is TargetKind.POD
        if begins:
            self._why = clock.fault if crashes else f"lost with {element.name}"
        ends = "restarted" if crashes else "repaired"
        return Record(
            at_s,
            Kind.FAULT if begins else Kind.REPAIR,
            f"{clock.fault} hits {element.name}" if begins else f"{element.name} {ends}",
            region=element.region,
            zone=element.zone,
            node=element.node,
            service=element.service,
            pod=element.pod,
            fault=f"{clock.fault}#{number}@{element.name}",
            hits=hits,
        )
