"""Disturbances and cascades (DESIGN, section 7): from leaving the nominal state to returning to it.

Nominal: no fault active, no placed pod missing, no pool failed, all load at home. A cascade is a disturbance in which a
pool fails that no fault hit directly. Knows nothing of why a pool failed beyond who depends on whom.
"""

import math
from collections import deque
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from sim.measures.faults import NO_FAULT, Occurrence, region_of
from sim.scenario.schema import Scenario
from sim.world.log import Kind, Record, TrialRecord

if TYPE_CHECKING:
    import networkx as nx


@dataclass(frozen=True, slots=True)
class Disturbance:
    """One departure from the nominal state.

    Parameters
    ----------
    start_s, end_s : float
        End at the horizon if censored.
    censored : bool
        Not yet nominal again at the horizon.
    faults : tuple of Occurrence
        Active at any moment of it.
    blamed : tuple of Occurrence
        Active when it began (else the first that began within it): they share it equally.
    direct : frozenset of str
        Pools that those faults hit; without any, the pools that failed first.
    failed : frozenset of str
        Pools that failed for as long as the objective says.
    spread : frozenset of str
        Those of them that no fault hit. Only faults active while pods were missing, pools failed or load was away
        around that failure count as having hit it: a fault that nobody notices may stay for weeks, and what crashed
        and came back meanwhile is no reason for what fails now.
    depth : int
        Most hops from a direct pool to a failed one outside; 0 if none.
    cross_region : bool
        It spread to a region in which no pool was hit.
    """

    start_s: float
    end_s: float
    censored: bool
    faults: tuple[Occurrence, ...]
    blamed: tuple[Occurrence, ...]
    direct: frozenset[str]
    failed: frozenset[str]
    spread: frozenset[str]
    depth: int
    cross_region: bool

    @property
    def size(self) -> int:
        """Number of failed pools that no fault hit."""
        return len(self.spread)

    @property
    def cascade(self) -> bool:
        """Whether it spread at all."""
        return bool(self.spread)

    @property
    def common_cause(self) -> bool:
        """Whether one of its faults hit several elements at once."""
        return any(fault.common_cause for fault in self.faults)


_READY: Final = Kind.POD_READY
_REMOVED: Final = Kind.POD_REMOVED
_FAILED: Final = Kind.POOL_FAILED
_RECOVERED: Final = Kind.POOL_RECOVERED
_COME: Final = frozenset({_READY, Kind.POD_ADDED})
_OF_PODS: Final = _COME | {_REMOVED, Kind.POD_LOST, Kind.OOM_KILL}


@dataclass
class _State:
    """What keeps the system from being nominal."""

    faults: set[str] = field(default_factory=set)
    ran: set[tuple[str, str, str]] = field(default_factory=set)
    extra: set[tuple[str, str, str]] = field(default_factory=set)
    missing: set[tuple[str, str, str]] = field(default_factory=set)
    failed: set[str] = field(default_factory=set)
    away: set[str] = field(default_factory=set)

    @property
    def upset(self) -> bool:
        """Something is wrong beside a fault being active."""
        return bool(self.missing or self.failed or self.away)

    def apply(self, entry: Record) -> None:
        """Take one record into account."""
        kind = entry.kind
        if kind in _OF_PODS:  # most records are
            self._apply_pod(kind, (entry.region, entry.service, entry.pod))
            return
        match kind:
            case Kind.FAULT:
                self.faults.add(entry.fault)
            case Kind.REPAIR:
                self.faults.discard(entry.fault)
            case Kind.POOL_FAILED:
                self.failed.add(pool_of(entry))
            case Kind.POOL_RECOVERED:
                self.failed.discard(pool_of(entry))
            case Kind.FAILOVER:
                self.away.add(entry.population)
            case Kind.FAILBACK if entry.value >= 1.0 - 1e-9:  # a sum of shares
                self.away.discard(entry.population)

    def _apply_pod(self, kind: Kind, pod: tuple[str, str, str]) -> None:
        if kind in _COME:
            # A pod heard of first when it comes did not run at the start (scale-out, or a standby that was
            # asleep): the system is nominal without it.
            if pod not in self.ran:
                self.extra.add(pod)
            if kind is _READY:
                self.missing.discard(pod)
        elif kind is _REMOVED:
            self.missing.discard(pod)
        elif pod not in self.extra:
            self.ran.add(pod)
            self.missing.add(pod)


def pool_of(entry: Record) -> str:
    """Return the pool `region/service` of a record."""
    return f"{entry.region}/{entry.service}"


def disturbances_of(record: TrialRecord, faults: Sequence[Occurrence], scenario: Scenario) -> list[Disturbance]:
    """Return all disturbances of a trial in order.

    Parameters
    ----------
    record : TrialRecord
    faults : sequence of Occurrence
        `occurrences(record)`.
    scenario : Scenario
    """
    failures = _lasting_failures(record, scenario.objectives.cascade_for)
    departures, of_effects = _departures(record)
    upsets = [
        (start_s, end_s, within)
        for start_s, end_s, _ in of_effects
        if (within := [(pool, at_s) for pool, at_s in failures if start_s <= at_s <= end_s])
    ]
    found = []
    later, begun = deque(faults), list[Occurrence]()
    for start_s, end_s, censored in departures:
        begun = [fault for fault in begun if fault.end_s >= start_s]  # departures are in order: what is over is over
        while later and later[0].start_s <= end_s:
            begun.append(later.popleft())
        active = tuple(fault for fault in begun if fault.end_s >= start_s)
        blamed = tuple(f for f in active if f.active_at(start_s)) or active[:1]
        spreads = [
            _spread(within, [f for f in active if f.start_s <= until_s and f.end_s >= from_s], record, scenario)
            for from_s, until_s, within in upsets
            if start_s <= from_s <= end_s
        ]
        found.append(
            Disturbance(
                start_s=start_s,
                end_s=end_s,
                censored=censored,
                faults=active,
                blamed=blamed,
                direct=_hits(active).union(*(spread.origin for spread in spreads)),
                failed=frozenset(pool for pool, at_s in failures if start_s <= at_s <= end_s),
                spread=frozenset().union(*(spread.pools for spread in spreads)),
                depth=max((spread.depth for spread in spreads), default=0),
                cross_region=any(spread.cross_region for spread in spreads),
            )
        )
    return found


@dataclass(frozen=True, slots=True)
class _Spread:
    """Where failure began and where it got to, in one stretch of time in which the fault's effects showed."""

    origin: frozenset[str]
    pools: frozenset[str]
    depth: int

    @property
    def cross_region(self) -> bool:
        return bool({region_of(pool) for pool in self.pools} - {region_of(pool) for pool in self.origin})


def _spread(
    failures: Sequence[tuple[str, float]], faults: Sequence[Occurrence], record: TrialRecord, scenario: Scenario
) -> _Spread:
    origin = _hits(faults) or frozenset(pool for pool, at_s in failures if at_s == failures[0][1])
    outside = frozenset(pool for pool, _ in failures) - origin
    return _Spread(origin, outside, _depth(outside, origin, record.pools, scenario) if outside else 0)


def _hits(faults: Sequence[Occurrence]) -> frozenset[str]:
    return frozenset(pool for fault in faults for pool in fault.hits)


_Stretch = tuple[float, float, bool]
"""(start, end, censored) of one, s."""
SETTLED_S: Final = 600.0
"""A return to the nominal state counts once it has lasted so long: CrashLoopBackOff forgets after it, and a crash
loop in which all pods are ready for a few seconds between two rounds has not returned to anything."""


class _Absences:
    """Stretches of time outside a state that is well, however short, from one instant of the log to the next."""

    def __init__(self) -> None:
        self.found: list[_Stretch] = []
        self._start_s: float | None = None

    def note(self, at_s: float, *, was_ill: bool, is_ill: bool) -> None:
        """At this instant, after any of its records and after all of them."""
        if self._start_s is None and was_ill:
            self._start_s = at_s
        if self._start_s is not None and not is_ill:
            self.found.append((self._start_s, at_s, False))
            self._start_s = None

    def closed(self, horizon_s: float) -> list[_Stretch]:
        """All of them, the last one censored if need be."""
        return self.found if self._start_s is None else [*self.found, (self._start_s, horizon_s, True)]


def _departures(record: TrialRecord) -> tuple[list[_Stretch], list[_Stretch]]:
    """Return the departures from the nominal state, and those that are more than an active fault.

    Records of the same instant are taken together: a fault whose repair starts a pod right then is one departure.
    """
    state, records = _State(), record.records
    nominal, unaffected = _Absences(), _Absences()
    at_s = records[0].at_s if records else 0.0
    was_struck = was_upset = is_struck = is_upset = False
    for entry in records:
        if entry.at_s != at_s:
            nominal.note(at_s, was_ill=was_struck, is_ill=is_struck)
            unaffected.note(at_s, was_ill=was_upset, is_ill=is_upset)
            at_s, was_struck, was_upset = entry.at_s, False, False
        state.apply(entry)
        is_upset = state.upset
        is_struck = is_upset or bool(state.faults)
        was_struck, was_upset = was_struck or is_struck, was_upset or is_upset
    nominal.note(at_s, was_ill=was_struck, is_ill=is_struck)
    unaffected.note(at_s, was_ill=was_upset, is_ill=is_upset)
    return _settled(nominal.closed(record.horizon_s)), _settled(unaffected.closed(record.horizon_s))


def _settled(absences: Sequence[_Stretch]) -> list[_Stretch]:
    """Join absences: short returns do not end one."""
    found: list[_Stretch] = []
    for start_s, end_s, censored in absences:
        if found and start_s - found[-1][1] < SETTLED_S:
            found[-1] = (found[-1][0], end_s, censored)
        else:
            found.append((start_s, end_s, censored))
    return found


def _lasting_failures(record: TrialRecord, for_s: float) -> list[tuple[str, float]]:
    """Return (pool, start) of each failure of a pool that lasted at least `for_s`, in order of their start."""
    begun: dict[str, float] = {}
    found: list[tuple[str, float]] = []
    for entry in record.records:
        kind = entry.kind
        if kind is _FAILED:
            begun.setdefault(pool_of(entry), entry.at_s)
        elif kind is _RECOVERED:
            start_s = begun.pop(pool_of(entry), math.inf)
            if entry.at_s - start_s >= for_s:
                found.append((pool_of(entry), start_s))
    found += [(pool, start_s) for pool, start_s in begun.items() if record.horizon_s - start_s >= for_s]
    return sorted(found, key=lambda failure: (failure[1], failure[0]))


def failure_paths(pools: Sequence[str], scenario: Scenario) -> "nx.DiGraph[str]":
    """Return the ways by which failure travels between pools.

    From a service to those that call it: in its own region if it is placed there, else in every region that lacks it.
    And between the pools of one service in different regions, which take each other's load.
    """
    import networkx as nx  # 12 MiB that elements without traffic do not need

    graph: nx.DiGraph[str] = nx.DiGraph()
    graph.add_nodes_from(pools)
    graph.add_edges_from((one, other) for one, others in _reached_from(pools, scenario).items() for other in others)
    return graph


def _reached_from(pools: Sequence[str], scenario: Scenario) -> dict[str, list[str]]:
    """Return the pools to which the failure of each one may travel; see `failure_paths`."""
    by_service: dict[str, list[str]] = {}
    for pool in pools:
        by_service.setdefault(pool.partition("/")[2], []).append(pool)
    reached = {pool: [other for other in by_service[pool.partition("/")[2]] if other != pool] for pool in pools}
    for caller in pools:
        region, _, name = caller.partition("/")
        for callee in scenario.services[name].calls:
            local = f"{region}/{callee}"
            for pool in [local] if local in reached else by_service.get(callee, []):
                reached[pool].append(caller)
    return reached


def _depth(spread: frozenset[str], direct: frozenset[str], pools: Sequence[str], scenario: Scenario) -> int:
    """Return the most hops from a direct pool to a failed one.

    A pool that no such way reaches was overloaded by those who call it (retries travel from caller to callee): for it
    the ways count in both directions. At least 1.
    """
    onward = _reached_from(pools, scenario)
    sources = [pool for pool in direct if pool in onward]
    if not sources:
        return 1
    forward = _hops(onward, sources)
    both: dict[str, list[str]] = {pool: list(others) for pool, others in onward.items()}
    for pool, others in onward.items():
        for other in others:
            both[other].append(pool)
    either = _hops(both, sources)
    return max(forward.get(pool, either.get(pool, 1)) for pool in spread)


def _hops(reached: Mapping[str, Sequence[str]], sources: Iterable[str]) -> dict[str, int]:
    """Return the fewest hops to each pool that can be reached from the sources, breadth first."""
    hops = dict.fromkeys(sources, 0)
    front = deque(hops)
    while front:
        pool = front.popleft()
        for other in reached[pool]:
            if other not in hops:
                hops[other] = hops[pool] + 1
                front.append(other)
    return hops


def cascades_by_fault(disturbances: Sequence[Disturbance]) -> dict[str, float]:
    """Return the number of cascades that each fault is blamed for; faults blamed together share equally."""
    shares: dict[str, float] = {}
    for disturbance in disturbances:
        if disturbance.cascade:
            names = [fault.name for fault in disturbance.blamed] or [NO_FAULT]
            for name in names:
                shares[name] = shares.get(name, 0.0) + 1.0 / len(names)
    return shares
