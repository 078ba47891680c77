"""Passing over faults that nobody notices: what the compiled loop needs to know, and what it leaves behind.

The loop (`quiet_loop`) has the fleet as arrays. They are filled from the fleet when the control plane has changed it
meanwhile, and written back as soon as something was passed over.
"""

import math
from typing import Final, NamedTuple

import numpy as np

from sim.compilation import without_types
from sim.laws import law_of
from sim.scenario.schema import Service
from sim.traffic.known import Known
from sim.traffic.layout import N_TOTALS, Floats, Ints
from sim.traffic.parking import Parking
from sim.world.clocks import Clocks
from sim.world.context import Context
from sim.world.design import PerDesign
from sim.world.elements import SHORTEST_S
from sim.world.fleet import Fleet
from sim.world.log import PassedOver
from sim.world.plan import Clock
from sim.world.pods import NOTHING_ADDED, Pod, PodState
from sim.world.quiet_arrays import *
from sim.world.quiet_log import Rows
from sim.world.quiet_loop import pass_over

_LEVELS_AT_ONCE: Final = 4
_MOST_POOLS: Final = 60
"""Pools that were hit are bits of one number."""


class Ground(NamedTuple):
    """What is the same in all trials of a scenario."""

    aims: Ints
    """(n_clocks, CLOCK_SLOW) first columns of the clocks."""
    pools: Ints
    pool_s: Floats
    pool_of: Ints


_grounds: PerDesign[list[Ground]] = PerDesign(lambda _: [], with_faults=True)


class Quiet:
    """Passes over faults of one trial.

    Parameters
    ----------
    context : Context
        Scenario, draws and log.
    fleet : Fleet
        Pods and nodes.
    clocks : Clocks
        Of all faults.
    """

    def __init__(self, context: Context, fleet: Fleet, clocks: Clocks) -> None:
        self._context, self._fleet, self._clocks = context, fleet, clocks
        self._regions = context.traffic.names.regions
        self._looks_s: list[float] = []
        self._rows: Rows | None = None
        self._known: Known | None = None
        self._loaded = (-1, -1)
        """State of the fleet that the arrays show."""
        self._enter = pass_over
        """The way into the loop: of new arrays the types are looked at once."""
        self._starts: Ints = np.zeros(0, dtype=np.int64)
        self._unsettled: Parking | None = None
        """The plane that was passed over on, until that is written back."""
        self.refused = False
        """Whether the next strike is played because people would notice what is lost."""
        self.writes_all = False
        """Whether what is passed over is written to the log record by record."""

    def passed_over(self) -> PassedOver:
        """What was passed over and not written to the log."""
        return self._rows.passed_over() if self._rows is not None else PassedOver.nothing()

    def pass_over(self, parking: Parking, until_s: float) -> bool:
        """Pass over the next strikes as long as nobody would notice; True if there was one."""
        self.refused = False
        until_s, before_s = min(until_s, parking.until_s), self._clocks.next_s
        if before_s >= until_s or not parking.is_plain(before_s):
            return False
        if self._rows is None and not self._begin():
            return False
        if parking.known is not self._known:
            self._follow(parking)
        if (self._fleet.n_changes, self._fleet.topology.n_nodes) != self._loaded and not self._load(parking):
            return False
        records, marks_s = self._context.records, self._moving.mark_s
        if records and records[-1].at_s > marks_s[SETTLED]:
            marks_s[SETTLED] = records[-1].at_s
        if self._unsettled is None:
            self._moving.pod_s[:, POD_REACH], self._moving.pod_s[:, POD_KILLED] = parking.reach(), np.nan
        self._run(until_s)
        self._clocks.moved()
        if self._clocks.next_s == before_s:
            return False
        parking.book(self._given.month_s, self._moving.booked)
        self._moving.booked[:] = 0.0
        self._unsettled = parking
        if parking.course.has_hazard:
            runs = self._moving.pods[:, POD_STATE] == READY
            parking.until_s = min(parking.until_s, float(self._moving.pod_s[runs, POD_KILLED].min(initial=np.inf)))
        if self.writes_all:
            self.settle()
        return True

    def settle(self) -> None:
        """Write back what was passed over to the fleet and the log."""
        if self._unsettled is not None:
            self._store(self._unsettled)
            self._unsettled = None

    def _run(self, until_s: float) -> None:
        """Pass over what is endured, and find out what has to be known for it."""
        rows, known = self._rows, self._known
        assert rows is not None
        assert known is not None
        while True:
            given = self._given._replace(lasts_s=self._clocks.lasts_s)
            code, one, other = self._enter(until_s, self._moving, self._kept, given, known.tables, rows.log)
            self._enter = pass_over
            match code:
                case 0 | 8:
                    self._enter = without_types(pass_over)
                    self.refused = code == REFUSED
                    return
                case 1:
                    self._clocks.draw(self._clocks.lasts_s.shape[1])
                case 2:
                    known.find_loss(one, other)
                case 3:
                    known.find_cost(one, other)
                case 4:
                    known.find_slow(one)
                case 5:
                    known.find_alone(one, other)
                case 6:
                    known.find_slow_loss(one, other)
                case 9:
                    known.find_restart(one, self._down_s(one))
                case 10:
                    known.find_restart_kills(one, self._down_s(self._fleet.pods[one].pool))
                case 11:
                    self._draw_levels(one, other)
                case _:
                    rows.make_room(self._moving)

    # -- inside ---------------------------------------------------------------------------------------

    def _begin(self) -> bool:
        """Arrays of what never changes; False if there is too much of it."""
        fleet, clocks = self._fleet, self._clocks
        if len(fleet.services) > _MOST_POOLS:
            return False
        grounds = _grounds.of(self._context.scenario)
        if not grounds:
            grounds.append(self._make_ground())
        self._ground = ground = grounds[0]
        clocks.ints[:, :CLOCK_SLOW] = ground.aims
        self._looks_s = [at_s for at_s, _ in self._context.looks]
        self._given = Given(
            month_s=np.array([-math.inf, *self._looks_s]),
            lasts_s=clocks.lasts_s,
            repairs_s=self._repairs_s(),
            pools=ground.pools.copy(),
            pool_s=ground.pool_s,
            pool_of=ground.pool_of,
            levels=np.full((len(fleet.pods), 2 * _LEVELS_AT_ONCE), np.nan),
            **dict.fromkeys(("limit_mib", "share", "node_mib", "curves", "peaks", "knot_s", "knot_levels", "hazard")),
        )
        self._moving = self._new_moving(0)
        self._moving.mark_s[SETTLED] = -math.inf
        faults = list(self._context.scenario.faults)
        self._rows = Rows(self._context, fleet, clocks.clocks, faults, writes_all=self.writes_all)
        return True

    def _make_ground(self) -> "Ground":
        fleet, traffic = self._fleet, self._context.traffic
        pools = np.zeros((len(fleet.services), N_POOL_INTS), dtype=np.int64)
        for k, (region, _) in enumerate(traffic.names.pools):
            rows, simple = traffic.pods_of[k], restarts_simply(fleet.services[k])
            pools[k] = self._regions.index(region), rows.start, rows.stop, 0, int(simple)
        aims = [self._aim(clock) for clock in self._clocks.clocks]
        return Ground(
            aims=np.array(aims, dtype=np.int64).reshape(-1, CLOCK_SLOW),
            pools=pools,
            pool_s=np.array([self._pool_times(k) for k in range(len(fleet.services))]),
            pool_of=np.array([pod.pool for pod in fleet.pods]),
        )

    def _new_moving(self, n_nodes: int) -> Moving:
        n_pods, traffic = len(self._fleet.pods), self._context.traffic
        return Moving(
            clocks=self._clocks.ints,
            clock_s=self._clocks.times_s,
            pods=np.zeros((n_pods, N_POD_INTS), dtype=np.int64),
            pod_s=np.full((n_pods, N_POD_TIMES), np.inf),
            nodes=np.zeros((n_nodes, N_NODE_INTS), dtype=np.int64),
            used_mib=np.zeros(n_nodes),
            marks=np.zeros(N_MARKS, dtype=np.int64),
            mark_s=np.zeros(N_MARK_TIMES),
            booked=np.zeros((1 + len(self._looks_s), len(traffic.names.populations) * N_TOTALS)),
        )

    def _aim(self, clock: Clock) -> tuple[int, int, int, int, int]:
        """Kind of a clock, number of its fault, its target, region and zone."""
        kind, element, traffic = clock.kind, clock.element, self._context.traffic
        fault = list(self._context.scenario.faults).index(clock.fault)
        region = self._regions.index(element.region) if element.region else -1
        nodes = self._fleet.topology.all_nodes()
        target, zone = -1, -1
        if kind == CRASH:
            target = self._fleet.by_name[element.pod].row
        elif kind == SLOW:
            pool = traffic.names.pool(element.region, element.service)
            kind, target = (OTHER, -1) if pool is None else (kind, pool)
        elif kind == NODES and element.node:
            target = next(k for k, node in enumerate(nodes) if node.name == element.node)
        elif kind == NODES and element.zone:
            zone = next(node.zone for node in nodes if node.zone_name == element.zone)
        return kind, fault, target, region, zone

    def _repairs_s(self) -> Floats:
        """(n_clocks, m) how long each occurrence will last, s: as many as there may be, were all over at once."""
        context, clocks = self._context, self._clocks
        drawn: list[list[float]] = []
        most = (np.cumsum(clocks.lasts_s, axis=1) < context.scenario.horizon).sum(axis=1).tolist()
        for clock in clocks.clocks:
            if clock.kind not in (NODES, SLOW):
                drawn.append([])
                continue
            assert clock.repair is not None
            n = most[clock.number]
            name, purpose = clock.element.name, f"{clock.fault}:repair"
            drawn.append([context.draw(clock.repair, name, purpose, k) for k in range(n)])
        found = np.zeros((len(drawn), max(map(len, drawn), default=0)))
        for k, row in enumerate(drawn):
            found[k, : len(row)] = row
        return found

    def _pool_times(self, pool: int) -> tuple[float, ...]:
        service, (region, _) = self._fleet.services[pool], self._context.traffic.names.pools[pool]
        loop = service.crash_loop
        startup_s = law_of(service.startup).mean_s if restarts_simply(service) else 0.0
        eviction_s = self._context.scenario.regions[region].nodes.eviction
        return max(startup_s, SHORTEST_S), loop.first, loop.initial, loop.longest, loop.reset, eviction_s

    def _down_s(self, pool: int) -> float:
        """How long a pod is away that crashes for the first time."""
        times = self._given.pool_s[pool]
        return max(float(times[POOL_FIRST_WAIT] + times[POOL_STARTUP]), SHORTEST_S)

    def _follow(self, parking: Parking) -> None:
        """The plane is parked on another course."""
        course, known = parking.course, parking.known
        self._given.pools[:, POOL_RUNNING] = known.running
        self._given = self._given._replace(
            share=known.loads,
            curves=course.net.curves,
            peaks=course.peak_per_s,
            knot_s=course.knot_s,
            knot_levels=course.levels,
            hazard=course.hazards,
        )
        for clock in self._clocks.clocks:
            if clock.kind == SLOW:
                row, factor = self._clocks.ints[clock.number], self._context.scenario.faults[clock.fault].effect.slow
                assert factor is not None
                row[CLOCK_SLOW] = known.slow_number(int(row[CLOCK_TARGET]), factor)
        self._known, self._enter = known, pass_over

    def _draw_levels(self, pod: int, incarnation: int) -> None:
        """The next OOM levels of all pods of a pool, from an incarnation of one of them on."""
        levels, fleet = self._given.levels, self._fleet
        missing = incarnation + _LEVELS_AT_ONCE - levels.shape[1]
        if missing > 0:
            levels = np.hstack([levels, np.full((len(levels), max(missing, levels.shape[1])), np.nan)])
            self._given = self._given._replace(levels=levels)
        for other in fleet.of_pool(fleet.pods[pod].pool):
            first = incarnation if other.row == pod else int(self._moving.pods[other.row, POD_INCARNATION])
            for k in range(first, min(first + _LEVELS_AT_ONCE, levels.shape[1])):
                if np.isnan(levels[other.row, k]):
                    levels[other.row, k] = fleet.oom_level(other, k)

    def _level_now(self, pod: int) -> float:
        return self._fleet.oom_level(self._fleet.pods[pod], self._fleet.pods[pod].incarnation)

    # -- the fleet as arrays --------------------------------------------------------------------------

    def _load(self, parking: Parking) -> bool:
        """Read the fleet; False if something is not as it is when all is well."""
        fleet = self._fleet
        ready, absent = PodState.READY, PodState.ABSENT
        for pod in fleet.pods:  # compared, not looked up: an enumeration hashes its name in Python
            if pod.state is not ready and pod.state is not absent:
                return False
        if fleet.topology.n_nodes != len(self._moving.nodes):
            self._make_room()
        nodes, moving, place = self._nodes, self._moving, self._place
        moving.nodes[:, NODE_HOLDS:] = [(len(node.holds), node.n_returns) for node in nodes]
        moving.used_mib[:] = [node.used_mib for node in nodes]
        moving.pods[:] = [
            (
                READY if pod.state is ready else ABSENT,
                place[pod.node.name] if pod.node is not None else -1,
                pod.n_starts,
                pod.incarnation,
                pod.n_crashes,
                -1,
            )
            for pod in fleet.pods
        ]
        moving.pod_s[:, POD_STARTED] = [pod.started_s for pod in fleet.pods]
        self._given = self._given._replace(limit_mib=np.array([pod.limit_mib for pod in fleet.pods]))
        pools = self._given.pools
        pools[:, POOL_SIMPLE] = self._ground.pools[:, POOL_SIMPLE]
        pools[[pod.pool for pod in fleet.pods if not _is_plain(pod)], POOL_SIMPLE] = 0
        levels, counts = self._given.levels, parking.counts_hazard()
        levels[~counts] = np.inf
        levels[counts & np.isinf(levels[:, 0])] = np.nan
        self._loaded, self._enter = (fleet.n_changes, len(nodes)), pass_over
        self._starts = moving.pods[:, POD_STARTS].copy()
        return True

    def _make_room(self) -> None:
        """There are other nodes than before: arrays for them, and what does not change of them."""
        assert self._rows is not None
        if self._moving.marks[N_ROWS]:
            self._rows.make_room(self._moving)  # counted by the marks that go
        nodes = self._nodes = self._fleet.topology.all_nodes()
        marks_s = self._moving.mark_s
        self._moving, kept = self._new_moving(len(nodes)), self._new_moving(len(nodes))
        self._moving.mark_s[:] = marks_s
        self._kept = kept._replace(clocks=self._clocks.ints.copy(), clock_s=self._clocks.times_s.copy())
        self._rows.follow(self._moving)
        self._place = {node.name: k for k, node in enumerate(nodes)}
        ranks = {name: k for k, name in enumerate(sorted(node.name for node in nodes))}
        for k, node in enumerate(nodes):
            self._moving.nodes[k, :NODE_HOLDS] = self._regions.index(node.region), node.zone, ranks[node.name]
        self._given = self._given._replace(node_mib=np.array([node.memory_mib for node in nodes]))

    def _store(self, parking: Parking) -> None:
        """Write back what was passed over to fleet, plane and log."""
        moving, nodes = self._moving, self._nodes
        restarted = np.flatnonzero(moving.pods[:, POD_STARTS] != self._starts).tolist()
        for number in restarted:
            pod, row = self._fleet.pods[number], moving.pods[number].tolist()
            pod.node = nodes[row[POD_NODE]]
            pod.generation += row[POD_STARTS] - int(self._starts[number])
            pod.n_starts, pod.incarnation, pod.n_crashes = row[POD_STARTS], row[POD_INCARNATION], row[POD_CRASHES]
            pod.started_s = pod.leak_at_s = float(moving.pod_s[number, POD_STARTED])
            pod.leaked_mib = 0.0
        for node, used_mib, row in zip(nodes, moving.used_mib.tolist(), moving.nodes.tolist(), strict=True):
            node.used_mib, node.n_returns = used_mib, row[NODE_RETURNS]
        self._starts[:] = moving.pods[:, POD_STARTS]
        parking.passed(restarted, moving.pod_s[:, POD_STARTED], moving.pod_s[:, POD_REACH], self._level_now)
        assert self._rows is not None
        if self.writes_all:
            self._rows.make_room(moving)


def _is_plain(pod: Pod) -> bool:
    """Whether nobody is about to do anything with the pod, and it holds nothing but its own memory."""
    return not (
        pod.leaving or pod.holds or pod.on_ready or (pod.added is not NOTHING_ADDED and pod.added != NOTHING_ADDED)
    )


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
