"""The undisturbed course of the data plane: what it does over the horizon while nothing goes wrong.

It is integrated once for all trials of an architecture. Where a trial is at rest, its data plane follows this course
and need not be integrated again (`parking`). Knows nothing of faults; who plays it says where it is quiet.
"""

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from sim.traffic import kernel
from sim.traffic.assemble import Blueprint
from sim.traffic.layout import *
from sim.traffic.layout import Floats
from sim.traffic.losses import lose
from sim.traffic.network import Network, copied
from sim.traffic.once import Once, found_here
from sim.traffic.plane import Plane
from sim.traffic.rates import crossing_hazard, queue_hazard
from sim.traffic.sameness import find_idle
from sim.traffic.under_way import keep_drawn_work

if TYPE_CHECKING:
    from sim.traffic.endurance import Endurance
    from sim.traffic.known import Known

NO_HAZARD_PER_S: Final = 1e-12
"""Hazard of an OOM kill that counts as none: one kill of a pod in thirty thousand years."""
NEVER_KILLED: Final = 1e300
"""An OOM level that no hazard reaches, while the hazard is still integrated."""
_NO_GUARDS: Final = np.zeros((0, N_GUARD_COLUMNS))
_NO_TRACE: Final = np.zeros((1, 1))
_STEP_START_S: Final = 0.05


class Change(NamedTuple):
    """A pod stopped or started."""

    at_s: float
    pod: int
    starts: bool


def places(net: Network) -> Floats:
    """(n_pods,) requests that each pod has room for, waiting or at work."""
    return np.asarray(net.tables[net.pods[:, POD_TABLE].astype(int), TABLE_HEAD, HEAD_ROOM])


def _enough(course: "Course", pod: int) -> float:
    """Fewest requests that must fit into a pod so that no hazard of a kill is left at its fullest hour."""
    room = float(places(course.net)[pod])
    scratch = Scratch(course)
    k = int(np.argmax(course.moving[:, pod]))
    scratch.begin(float(course.knot_s[k]), course.state(k))
    scratch.run(float(course.knot_s[k]) + 1e-3)
    net, inside = scratch.net, float(scratch.state[pod])
    variance = float(scratch.state[course.blueprint.layout.variance + pod])
    algebra = net.pod_algebra[pod]
    arriving = float(net.pool_algebra[int(net.pods[pod, POD_POOL]), OUT_OFFERED] * algebra[ALG_WEIGHT])
    let_in = arriving * (1.0 - float(algebra[ALG_BLOCKED]))
    low, high = inside, room
    while high - low > 0.5:
        fits = 0.5 * (low + high)
        hazard = max(
            crossing_hazard(arriving, fits, pod, inside, variance, net), queue_hazard(let_in, fits, pod, inside, net)
        )
        low, high = (low, fits) if hazard <= NO_HAZARD_PER_S else (fits, high)
    return min(high + 0.5, room)


@dataclass(frozen=True)
class Course:
    """The undisturbed course at knots.

    Parameters
    ----------
    blueprint : Blueprint
        The network.
    tolerance : float
        Integration tolerance in units of 2e-3.
    knot_s : array
        (n,) times, s; the first 0, the last one the horizon.
    moving : array
        (n, layout.totals) state at the knots but for the totals, in single precision: a year of knots is megabytes.
    totals : array
        (n, n_groups x N_TOTALS) totals at the knots.
    traces : array
        (n, n_columns) rows of `kernel.write_trace`.
    is_open : array
        (n - 1,) whether anything crosses a threshold, or is not nominal, between two knots.
    net : Network
        Parameters as they are when all is well.
    guards : array
        The same of the guards.
    once : callable
        Finds what is asked of this course once for all processes that share it.
    """

    blueprint: Blueprint
    tolerance: float
    knot_s: Floats
    moving: NDArray[np.float32]
    totals: Floats
    traces: Floats
    is_open: NDArray[np.bool_]
    net: Network
    guards: Floats
    once: Once = found_here
    _exceeds: dict[int, Floats] = field(default_factory=dict)

    def state(self, knot: int) -> Floats:
        """(size,) state at a knot."""
        return np.concatenate([self.moving[knot].astype(np.float64), self.totals[knot]])

    @cached_property
    def endurance(self) -> "Endurance":
        """Which losses of pods are endured on this course."""
        from sim.traffic.endurance import Endurance

        return Endurance(self)

    @cached_property
    def known(self) -> "Known":
        """The same as tables, as far as anybody has asked."""
        from sim.traffic.known import Known

        names = self.blueprint.names
        return Known(self.endurance, self.net, [names.regions.index(region) for region, _ in names.pools])

    @cached_property
    def has_hazard(self) -> bool:
        """Whether any pod may be OOM-killed although nothing goes wrong."""
        layout = self.blueprint.layout
        return bool(self.moving[-1, layout.hazard : layout.hold].max(initial=0.0) > 0.0)

    @cached_property
    def hazards(self) -> NDArray[np.float32]:
        """(n, n_pods) integrated hazard of an OOM kill at the knots; no rows if there is none at all."""
        layout = self.blueprint.layout
        found = self.moving[:, layout.hazard : layout.hold]
        return np.ascontiguousarray(found if self.has_hazard else found[:0])

    @cached_property
    def idle(self) -> Floats:
        """(n_pools,) 1 where a pool carries no load while all is well, else 0."""
        idle = np.zeros(len(self.net.pools))
        find_idle(self.net, idle)
        return idle

    @cached_property
    def enough(self) -> Floats:
        """(n_pods,) free places in memory with which no pod is near a kill at any time of the course; see `_enough`."""
        return np.array([_enough(self, pod) for pod in range(len(self.net.pods))])

    def knot(self, at_s: float) -> int:
        """The last knot that is not after a time (s)."""
        return min(bisect_right(self._knots, at_s) - 1, len(self._knots) - 2)

    def knot_just_at(self, at_s: float) -> int | None:
        """The knot at exactly this time (s), if there is one."""
        k = bisect_right(self._knots, at_s) - 1
        return k if self._knots[k] == at_s else None

    def may_be_near(self, at_s: float, state: Floats, margin: Floats, relative: Floats) -> bool:
        """Whether a state may be that of the course at a time (s): it lies between those at the knots around it.

        Parameters
        ----------
        state, margin, relative : array
            (layout.totals,) what moves, and how far it may be away: absolute, and as a share of what it should be.
        """
        low, high = self.moving[self.knot(at_s)], self.moving[self.knot(at_s) + 1]
        most, least = np.maximum(low, high), np.minimum(low, high)
        return bool(((state <= most + margin + relative * most) & (state >= least - margin - relative * least)).all())

    def is_near(self, state: Floats, expected: Floats) -> bool:
        """Whether a state (size,) is the expected one, within the tolerance of the integration; totals do not count."""
        layout = self.blueprint.layout
        absolute, relative = self.tolerances
        difference, should = np.abs(state - expected)[: layout.totals], np.abs(expected[: layout.totals])
        if (difference > absolute + relative * should).any():
            return False
        # Booked ones count as far as they are inside only: what no demand ever moves may stay from the day before.
        booked, should = (np.minimum(v[layout.credit : layout.hazard], v[: layout.variance]) for v in (state, expected))
        return bool((np.abs(booked - should) <= 0.1 + 0.1 * should).all())

    @cached_property
    def tolerances(self) -> tuple[Floats, Floats]:
        """(layout.totals,) how far a state may be from the expected one: absolute, and as a share of what it should be.

        Infinite for what is not compared like that.
        """
        layout = self.blueprint.layout
        absolute, relative = np.full(layout.totals, np.inf), np.zeros(layout.totals)
        for begin, end, most, share in (
            (layout.in_flight, layout.variance, 0.05, 0.02),
            (layout.variance, layout.credit, 0.1, 0.1),
            (layout.hold, layout.orbit, 1e-4, 0.02),
            (layout.orbit, layout.share, 0.05, 0.05),
            (layout.share, layout.totals, 1e-4, 0.0),
        ):
            absolute[begin:end], relative[begin:end] = most, share
        return absolute, relative

    @cached_property
    def _knots(self) -> list[float]:
        return [float(at_s) for at_s in self.knot_s]

    @cached_property
    def _open_from_s(self) -> Floats:
        return _first_from(self.is_open, self.knot_s)

    def quiet_until_s(self, at_s: float) -> float:
        """Until when nothing crosses a threshold by itself; at or before `at_s` if something does at once."""
        return float(self._open_from_s[self.knot(at_s)])

    @cached_property
    def peak_per_s(self) -> Floats:
        """(n_groups,) highest demand of each population."""
        curves = self.net.curves
        return np.array([curve[3 : 3 + int(curve[1])].max() for curve in curves])

    @cached_property
    def levels(self) -> Floats:
        """(n - 1,) highest demand between two knots as a share of the peak, of the population that is nearest to it."""
        levels = np.zeros(len(self.knot_s) - 1)
        for curve in self._used:
            at_s = np.union1d(self.knot_s, np.arange(int(curve[1])) * curve[0])
            after, before = _demand(curve, at_s)
            begins = np.searchsorted(at_s, self.knot_s)
            highest = np.maximum.reduceat(after, begins[:-1])
            levels = np.maximum(levels, np.maximum(highest, before[begins[1:]]) / after.max())
        return levels

    def levels_at(self, at_s: Floats) -> Floats:
        """(n,) demand at times (s) as a share of the peak, of the population that is nearest to its own."""
        peaks = self.peak_per_s[self.peak_per_s > 0.0]
        levels = [_demand(curve, at_s)[0] / peak for curve, peak in zip(self._used, peaks, strict=True)]
        return np.asarray(np.max(levels, axis=0))

    @cached_property
    def _used(self) -> list[Floats]:
        """Demand curves of populations that ever send anything."""
        return [curve for curve, peak in zip(self.net.curves, self.peak_per_s, strict=True) if peak > 0.0]

    def below_until_s(self, level: float, at_s: float) -> float:
        """Until when the demand stays at or below a share of the peak; at or before `at_s` if it does not now."""
        key = round(level * 1e9)
        if key not in self._exceeds:
            self._exceeds[key] = _first_from(self.levels > level + 1e-12, self.knot_s)
        return float(self._exceeds[key][self.knot(at_s)])

    def hazard(self, at_s: float) -> Floats:
        """(n_pods,) hazard of an OOM kill of each pod, integrated from the start."""
        k = self.knot(at_s)
        part = (at_s - self.knot_s[k]) / (self.knot_s[k + 1] - self.knot_s[k])
        layout = self.blueprint.layout
        before, after = (self.moving[j, layout.hazard : layout.hold].astype(np.float64) for j in (k, k + 1))
        return np.asarray(before + min(max(part, 0.0), 1.0) * (after - before))

    def hazard_of(self, pod: int, at_s: float) -> float:
        """The same of one pod."""
        k, column = self.knot(at_s), self.blueprint.layout.hazard + pod
        part = (at_s - self._knots[k]) / (self._knots[k + 1] - self._knots[k])
        before, after = float(self.moving[k, column]), float(self.moving[k + 1, column])
        return before + min(max(part, 0.0), 1.0) * (after - before)

    @cached_property
    def hazard_at_end(self) -> Floats:
        """(n_pods,) the same at the horizon."""
        layout = self.blueprint.layout
        return self.moving[-1, layout.hazard : layout.hold].astype(np.float64)

    def hazard_reached_s(self, pod: int, hazard: float) -> float:
        """The last knot (s) before the hazard of a pod reaches a value."""
        # Half of the knots at a time; NumPy would widen all of them to double precision first.
        column = self.moving[:, self.blueprint.layout.hazard + pod]
        return self._knots[max(bisect_left(column, hazard, key=float) - 1, 0)]


def _demand(curve: Floats, at_s: Floats) -> tuple[Floats, Floats]:
    """(n,) requests per second by a demand curve at times (s), and just before them where the curve jumps."""
    n, values = int(curve[1]), curve[3 : 3 + int(curve[1])]
    place = np.clip(at_s / curve[0], 0.0, n - 1.0)
    if curve[2] != 0.0:
        first = place.astype(int)
        begin = values[first]
        found = begin + (place - first) * (values[np.minimum(first + 1, n - 1)] - begin)
        return found, found
    jumps = np.maximum(np.ceil(place - 1e-9).astype(int) - 1, 0)
    return values[np.floor(place + 1e-9).astype(int)], values[jumps]


def _first_from(is_so: NDArray[np.bool_], knot_s: Floats) -> Floats:
    """(n,) start of the first interval from each knot on in which it is so; infinite if there is none."""
    starts = np.where(is_so, knot_s[:-1], np.inf)
    return np.append(np.minimum.accumulate(starts[::-1])[::-1], np.inf)


class Scratch:
    """Arrays of its own in which a plane is moved beside the one that is simulated.

    Parameters
    ----------
    course : Course
        Nominal parameters; copied.
    own_curves : bool
        Demand curves that may be changed.
    """

    def __init__(self, course: Course, *, own_curves: bool = False) -> None:
        self.course = course
        layout = course.blueprint.layout
        self.net = copied(course.net, own_curves=own_curves)
        self.net.counts[N_GUARDS] = 0
        self.net.pods[:, POD_ROOM_LOSS] = 0.0
        finite = np.isfinite(self.net.pods[:, POD_OOM_LEVEL])
        self.net.pods[finite, POD_OOM_LEVEL] = NEVER_KILLED
        self.state = np.zeros(layout.size)
        self.plane = Plane(course.blueprint.names, layout, self.net, self.state)
        self._clock = np.zeros(N_CLOCK)
        self._clock[[CLOCK_TOLERANCE, CLOCK_TRACE_EVERY]] = course.tolerance, np.inf
        self._clock[CLOCK_STEP_MAX] = 30.0 * 86400.0 if course.blueprint.demand_is_constant else 6.0 * 3600.0
        self._work = np.zeros((8, layout.size))
        self._finite = finite

    @property
    def n_steps(self) -> int:
        """Accepted steps so far."""
        return int(self._clock[CLOCK_N_STEPS])

    def begin(self, at_s: float, state: Floats, missing: Sequence[int] = ()) -> None:
        """Start from a state at a time, with these of the pods gone and the others as they are when all is well."""
        self.state[:] = state
        self._clock[CLOCK_NOW], self._clock[CLOCK_STEP], self._clock[CLOCK_JOINED] = at_s, _STEP_START_S, 0.0
        self._work[6] = 0.0
        pods, nominal = self.net.pods, self.course.net.pods
        for column in (POD_READY, POD_LISTED):
            pods[:, column] = nominal[:, column]
        for pod in missing:
            self._empty(pod)

    def run(self, end_s: float, guards: Floats = _NO_GUARDS) -> bool:
        """Go on to a time; False if anything crosses one of the guards before."""
        self.net.counts[N_GUARDS] = len(guards)
        code, _ = kernel.advance(end_s, self._clock, self.state, self._work, guards, _NO_TRACE, self.net)
        return int(code) == REACHED

    def change(self, change: Change) -> None:
        """A pod stops or starts now."""
        self._clock[CLOCK_STEP] = _STEP_START_S
        self._work[6] = 0.0
        if change.starts:
            self._clear(change.pod)
            self.net.pods[change.pod, POD_READY] = self.net.pods[change.pod, POD_LISTED] = 1.0
            return
        lose(self.plane, change.pod, 1.0)
        self._empty(change.pod)

    def set_speed(self, pool: int, slow: float) -> None:
        """All pods of a pool are so many times slower from now on; what has begun keeps the time that it drew."""
        self._clock[CLOCK_STEP] = _STEP_START_S
        self._work[6] = 0.0
        for pod in np.flatnonzero(self.net.pods[:, POD_POOL] == pool):
            keep_drawn_work(self.plane, int(pod), float(self._clock[CLOCK_NOW]))
            self.net.pods[pod, POD_SLOW] = slow

    def along(
        self,
        now_s: float,
        missing: Sequence[int],
        changes: Sequence[Change],
        warm_s: float,
        *,
        idle: Network | None = None,
    ) -> None:
        """The state at a time on the course: without the `missing` pods, after the latest changes.

        `missing` are those missing before the changes, of which all are later than `now_s` - `warm_s`; so long they
        have settled. Pools that carry no load are as in `idle`.
        """
        course = self.course
        if idle is not None:
            pods = course.idle[self.net.pods[:, POD_POOL].astype(int)] != 0.0
            for column in (POD_SLOW, POD_ERROR_SHARE):
                self.net.pods[pods, column] = idle.pods[pods, column]
            unused = idle.routes[:, -1, ROUTE_TARGET] == 0.0
            for column in (GROUP_PROVIDER_OK, GROUP_PROVIDER_QUOTA):
                self.net.groups[unused, column] = idle.groups[unused, column]
        if missing or changes:
            k = course.knot(max(now_s - warm_s, 0.0))
        else:
            just_at = course.knot_just_at(now_s)
            k = course.knot(now_s) if just_at is None else just_at
        self.begin(float(course.knot_s[k]), course.state(k), missing)
        for change in changes:
            self.run(change.at_s)
            self.change(change)
        self.run(now_s)

    def _clear(self, pod: int) -> None:
        n = len(self.net.pods)
        self.state[pod : 4 * n : n] = 0.0

    def _empty(self, pod: int) -> None:
        self._clear(pod)
        self.net.pods[pod, POD_READY] = self.net.pods[pod, POD_LISTED] = 0.0
