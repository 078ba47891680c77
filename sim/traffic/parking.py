"""Parking: a data plane at rest follows the undisturbed course and is not integrated.

It is parked when every parameter and guard is nominal and its state is that of the course; it is woken by whatever
changes or reads it, by the next thing that happens on the course, and before a pod may come near its memory limit.
Pods that come and go are no reason to wake up as long as the others carry the load with nobody noticing (`endurance`).
The exactness of each step is argued in docs/design.md, "Quiet time".
"""

from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any, Final

import numpy as np
from numpy.typing import NDArray

from sim.compilation import without_types
from sim.traffic.course import Change, Course, Scratch, places
from sim.traffic.known import Known
from sim.traffic.layout import *
from sim.traffic.layout import Floats
from sim.traffic.sameness import same_parameters

if TYPE_CHECKING:
    from sim.traffic.engine import Traffic

Courses = Callable[[tuple[int, ...]], Course]
"""The undisturbed course with these pods more than are placed (rows, in order)."""
_FIRST_LOOK_S: Final = 60.0
_LAST_LOOK_S: Final = 900.0
"""So often at least while only the demand is too high."""
_WARM_S: Final = 600.0
"""So long a change of the pods is followed step by step when the plane wakes up; then it has settled."""
_STAYS_S: Final = 3600.0
"""Pods that were added so long ago stay."""
_LEAST_S: Final = 300.0
"""Parking for less is not worth the look."""
_BETWEEN: Final = 0.01
"""What is further outside of its values at two knots is not between them."""
_same_parameters = without_types(same_parameters)
_FORGOTTEN_TIMES: Final = 20.0
"""Mean holding times after which nobody who began before a change of speed is left."""


class Parking:
    """Parks one plane.

    Parameters
    ----------
    traffic : Traffic
        The plane; its arrays are read and, on waking up, written.
    courses : Courses
        Of its architecture, shared by all trials.
    """

    def __init__(self, traffic: "Traffic", courses: Courses) -> None:
        self._traffic = traffic
        self._courses = courses
        self._own = courses(())
        self._ever_ran = self._own.net.pods[:, POD_READY] != 0.0
        """Pods that ran at any time; of a course they run, or are missing."""
        self._more_since_s, self._has_new = -np.inf, False
        self._follow(self._own)
        self.is_parked = False
        self.look_s = 0.0
        """When to see next whether the plane is at rest."""
        self.until_s = 0.0
        """Parked: when to wake up at the latest."""
        self.awake_from_s = np.inf
        """From here on the plane is never parked."""
        self.parked_s = 0.0
        """Time spent parked so far."""
        self.n_windows = 0
        """Stretches in which the plane was integrated, so far."""
        self._touched_s = 0.0
        self._since_s = 0.0
        self._settled: set[int] = set()
        """Pods missing for long."""
        self._changes: list[Change] = []
        """Pods that stopped and started lately, while parked."""
        self._renewed: set[int] = set()
        """Pods that were restarted while they were passed over."""
        self._levels: Callable[[int], float] = lambda _: np.inf
        self._booked: deque[tuple[float, Floats]] = deque()
        """Changes of the totals by what was passed over: from when on they are seen, and what."""
        self._passed: list[tuple[float, int]] = []
        """Crashes since it was parked whose loss has to be booked: when, and of which pod."""
        self._other_memory = False
        """Whether any pod leaks, or has not the memory left that it had at its start."""
        net = traffic.net
        self._offset = np.zeros((len(net.groups), N_TOTALS))
        self._hazard = np.zeros(len(net.pods))
        self._hazard_from = np.zeros(len(net.pods))
        self._hazardous = np.ones(len(net.pods), dtype=bool)
        self._pool_of = net.pods[:, POD_POOL].astype(int)

    def _follow(self, course: Course) -> None:
        """Compare with this course from now on."""
        self._course, self._endurance = course, course.endurance
        self._scratch = Scratch(course)
        self._absolute, self._relative = course.tolerances

    # -- while awake ----------------------------------------------------------------------------------

    def touched(self) -> None:
        """Somebody acted on the plane, or a guard was crossed."""
        self._touched_s = self._traffic.now_s
        self.look_s = self._touched_s + _FIRST_LOOK_S

    def look(self) -> None:
        """Park if the plane is at rest, else say when to look again."""
        now_s = self._traffic.now_s
        self.look_s = max(self._settled_from_s(now_s), now_s)
        if self.look_s > now_s:
            return
        self.look_s = now_s + max(0.5 * (now_s - self._touched_s), _FIRST_LOOK_S)
        missing, self._other_memory = self._missing(), self._is_other_memory()
        until_s = self._until_s(now_s, missing)
        if until_s < now_s + _LEAST_S:
            self.look_s = min(self.look_s, now_s + _LAST_LOOK_S)
            return
        at = self._course.blueprint.layout.totals
        if not missing and not self._course.may_be_near(
            now_s, self._traffic.state[:at], self._absolute + _BETWEEN, self._relative + _BETWEEN
        ):
            return
        self._scratch.along(now_s, sorted(missing), [], _WARM_S)
        if self._course.is_near(self._traffic.state, self._scratch.state):
            self._park(now_s, missing, until_s)

    def _settled_from_s(self, now_s: float) -> float:
        """From when the plane may be at rest if nobody acts on it: never, if something is set that is not nominal."""
        if self._traffic.plays_requests or now_s >= self.awake_from_s:
            return np.inf
        known_from_s = self._known_from_s(now_s)
        if now_s < known_from_s:
            return known_from_s
        return self._forgotten_s() if self._is_nominal() else np.inf

    def _forgotten_s(self) -> float:
        """When nobody is left who began before a pod became faster or slower."""
        pods = self._traffic.net.pods
        held = pods[pods[:, POD_OLD_BUSY] > 0.0]
        return float((held[:, POD_OLD_AT_S] + _FORGOTTEN_TIMES * held[:, POD_OLD_LEFT_S]).max(initial=-np.inf))

    def _known_from_s(self, now_s: float) -> float:
        """From when the course is that of all pods that ever ran: those added by people count as missing later.

        A new course is worth its while only for pods that stay, and people add them one by one.
        """
        new = (self._traffic.net.pods[:, POD_READY] != 0.0) & ~self._ever_ran
        if new.any():
            self._ever_ran |= new
            self._more_since_s, self._has_new = now_s, True
        if self._has_new and now_s >= self._more_since_s + _STAYS_S:
            more = self._ever_ran & (self._own.net.pods[:, POD_READY] == 0.0)
            self._follow(self._courses(tuple(np.flatnonzero(more).tolist())))
            self._has_new = False
        return self._more_since_s + _STAYS_S

    def _park(self, now_s: float, missing: set[int], until_s: float) -> None:
        layout, state, expected = self._course.blueprint.layout, self._traffic.state, self._scratch.state
        n_groups = len(self._offset)
        self._offset = (state - expected)[layout.totals :].reshape(n_groups, N_TOTALS)
        # Who waits to try again here and not there will be served as everybody is: nobody may get lost.
        waiting = (state - expected)[layout.orbit : layout.share].reshape(n_groups, -1).sum(axis=1)
        for column in (TOTAL_GOOD, TOTAL_USABLE, TOTAL_ATTEMPTS):
            self._offset[:, column] += waiting
        self._hazard = state[layout.hazard : layout.hold].copy()
        self._hazard_from = self._course.hazard(now_s)
        self._hazardous = self._traffic.net.pods[:, POD_ROOM_MIB] == self._course.net.pods[:, POD_ROOM_MIB]
        self._settled, self._changes = missing, []
        self._since_s, self.until_s = now_s, min(until_s, self._killed_from_s())
        self.is_parked = self.until_s > now_s
        self._traffic.net.pods[:, POD_OLD_BUSY] = 0.0

    def _missing(self) -> set[int]:
        gone = (self._course.net.pods[:, POD_READY] != 0.0) & (self._traffic.net.pods[:, POD_READY] == 0.0)
        return {int(p) for p in np.flatnonzero(gone)}

    def _is_nominal(self) -> bool:
        """Whether all that the control plane may set is as when all is well, but for pods that are gone."""
        traffic, course = self._traffic, self._course
        return bool(_same_parameters(traffic.net, traffic.guards, course.net, course.guards, course.idle))

    # -- while parked ---------------------------------------------------------------------------------

    def takes(self, name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Whether an action leaves the plane parked; if so it has been done."""
        pods, nominal = self._traffic.net.pods, self._course.net.pods
        if name == "stop_pod":
            return self._stop(args[0])
        if name == "start_pod":
            return self._start(args[0], kwargs["oom_level"])
        if name == "set_listed":
            return bool(pods[args[0], POD_LISTED] == float(args[1]))
        if name == "set_condition":
            row = pods[args[0]]
            return bool(row[POD_SLOW] == kwargs["slow"] and row[POD_ERROR_SHARE] == kwargs["error_share"])
        if name == "set_per_request":
            return bool(nominal[args[0], POD_PER_REQUEST_MIB] == args[1])
        if name == "set_memory":
            return self._set_memory(args[0], kwargs["limit_mib"], kwargs["used_mib"], kwargs["growth_mib_per_s"])
        return False

    def is_plain(self, at_s: float) -> bool:
        """Whether by a time (s) nothing is missing, and every pod has the memory that it had at its start."""
        self._settle(at_s)
        return not (self._settled or self._changes or self._other_memory)

    @property
    def course(self) -> Course:
        """What is followed."""
        return self._course

    @property
    def known(self) -> Known:
        """What is known so far of losses that are endured on this course."""
        return self._course.known

    def counts_hazard(self) -> NDArray[np.bool_]:
        """(n_pods,) pods that the hazard of the course is about: not those that were given more memory."""
        return self._hazardous

    def reach(self) -> Floats:
        """(n_pods,) integrated hazard of the course at which each pod is killed; infinite if nothing on it does, and
        NaN for pods whose level nobody has asked for.
        """
        pods = self._traffic.net.pods
        levels = np.where((pods[:, POD_READY] != 0.0) & self._hazardous, pods[:, POD_OOM_LEVEL], np.inf)
        reach = levels - self._hazard + self._hazard_from
        if self._renewed:
            reach[list(self._renewed)] = np.nan
        return reach

    def book(self, from_s: Floats, booked: Floats) -> None:
        """What was passed over has changed of the totals.

        Parameters
        ----------
        from_s : array
            (n,) from when on each row is seen, s, in order.
        booked : array
            (n, n_groups * N_TOTALS) changes between one of these times and the next.
        """
        rows = np.flatnonzero(booked.any(axis=1)).tolist()
        self._booked += [(float(from_s[k]), booked[k].reshape(self._offset.shape).copy()) for k in rows]

    def passed(
        self, restarted: Iterable[int], started_s: Floats, reach: Floats, levels: Callable[[int], float]
    ) -> None:
        """Pods were away and are back, and nobody noticed.

        Parameters
        ----------
        restarted : iterable of int
            Their rows.
        started_s : array
            (n_pods,) when each pod was ready the last time, s.
        reach : array
            (n_pods,) as `reach` says, with what was passed over.
        levels : callable
            OOM level of a pod; of those of which `reach` is NaN it is asked for when the plane wakes up.
        """
        self._renewed.update(restarted)
        self._levels = levels
        known = [pod for pod in self._renewed if not np.isnan(reach[pod])]
        for pod in known:
            self._traffic.net.pods[pod, POD_OOM_LEVEL] = levels(pod)
            self._hazard_from[pod] = self._course.hazard_of(pod, float(started_s[pod]))
        self._renewed.difference_update(known)
        finite = np.isfinite(reach)
        self._hazard[finite] = (self._traffic.net.pods[:, POD_OOM_LEVEL] + self._hazard_from)[finite] - reach[finite]
        if self._course.has_hazard:
            self.until_s = min(self.until_s, self._killed_from_s())

    def leave(self, *, at_end: bool = False) -> None:
        """Wake up: the state is that of the course now, and the totals are those counted while parked.

        At the end of a trial nobody is killed any more, and levels do not matter.
        """
        traffic, layout = self._traffic, self._course.blueprint.layout
        now_s, before = traffic.now_s, self._scratch.n_steps
        for pod in () if at_end else self._renewed:
            traffic.net.pods[pod, POD_OOM_LEVEL] = self._levels(pod)
        self._renewed.clear()
        traffic.resume(self._along(), n_steps=self._scratch.n_steps - before)
        state = traffic.raw_state
        state[layout.totals :] += self._offset.ravel()
        hazard = self._hazard + self._hazardous * (self._course.hazard(now_s) - self._hazard_from)
        state[layout.hazard : layout.hold] = np.where(traffic.net.pods[:, POD_READY] != 0.0, hazard, 0.0)
        self.is_parked = False
        self.parked_s += now_s - self._since_s
        self.n_windows += 1
        self._touched_s = now_s
        self.look_s = now_s + _FIRST_LOOK_S if now_s >= self.until_s else now_s

    def totals(self) -> Floats:
        """(n_groups, N_TOTALS) integrals since the start; the plane stays parked."""
        self._book()
        knot = self._course.knot_just_at(self._traffic.now_s)
        if knot is not None and not (self._settled or self._changes):
            return np.asarray(self._course.totals[knot].reshape(self._offset.shape) + self._offset)
        state = self._along().state[self._course.blueprint.layout.totals :]
        return np.asarray(state.reshape(self._offset.shape) + self._offset)

    def _book(self) -> None:
        """Book all that was lost until now."""
        self._settle(self._traffic.now_s)
        while self._booked and self._booked[0][0] < self._traffic.now_s:
            self._offset += self._booked.popleft()[1]
        if self._passed:
            at_s, killed = zip(*self._passed, strict=True)
            self._offset += self._endurance.kill_totals(killed, at_s)
            self._passed.clear()

    def _along(self) -> Scratch:
        """The course now, with the pods that are gone, and all that was lost meanwhile booked."""
        now_s = self._traffic.now_s
        self._book()
        self._scratch.along(now_s, sorted(self._settled), self._changes, _WARM_S, idle=self._traffic.net)
        return self._scratch

    def trace_rows(self, from_s: float, to_s: float) -> Floats:
        """(n, n_columns) rows of the course between two times."""
        first, last = np.searchsorted(self._course.knot_s, [from_s, to_s], side="right")
        return self._course.traces[first:last].copy()

    @property
    def since_s(self) -> float:
        """When it was parked last."""
        return self._since_s

    def _counts(self, missing: set[int]) -> tuple[int, ...]:
        counts = [0] * len(self._course.net.pools)
        for pod in missing:
            counts[self._pool_of[pod]] += 1
        return tuple(counts)

    def _until_s(self, now_s: float, missing: set[int]) -> float:
        endured_s = self._endurance.until_s(self.known.rounded(self._counts(missing)), now_s) if missing else np.inf
        enough_s = self._short_of_memory_s(missing) if self._other_memory else np.inf
        return float(min(self._course.quiet_until_s(now_s), endured_s, enough_s, self.awake_from_s))

    def _short_of_memory_s(self, missing: set[int]) -> float:
        """When the first pod has so little memory left that what is inside may fill it; long ago if one has now.

        Pods as all are at their start count with the course's own hazard. Of others so many requests must fit that no
        hazard is left: those that are inside at the fullest hour of the course and their fluctuation, and all that
        there are places for in a pool that is short of pods.
        """
        pods, other = self._traffic.net.pods, self._has_other_memory()
        needed = self._course.enough
        if missing:
            short = np.zeros(len(self._course.net.pools), dtype=bool)
            short[self._pool_of[list(missing)]] = True
            needed = np.where(short[self._pool_of], places(self._traffic.net), needed)
        spare_mib = (pods[:, POD_ROOM_MIB] - needed * pods[:, POD_PER_REQUEST_MIB])[other]
        loss, at_s = pods[other, POD_ROOM_LOSS], pods[other, POD_ROOM_AT_S]
        lasts_s = np.divide(spare_mib, loss, out=np.where(spare_mib >= 0.0, np.inf, -np.inf), where=loss > 0.0)
        return float((at_s + lasts_s).min(initial=np.inf))

    def _has_other_memory(self) -> NDArray[np.bool_]:
        """(n_pods,) pods that leak, or have not the memory left that all have at their start, and may lack it."""
        pods, nominal = self._traffic.net.pods, self._course.net.pods
        leaks, room_mib = pods[:, POD_ROOM_LOSS] > 0.0, pods[:, POD_ROOM_MIB]
        # A pod without load holds no requests: when some come, somebody has acted, and it is integrated.
        loaded = self._course.idle[self._pool_of] == 0.0
        may_lack = room_mib < np.where(loaded, places(self._traffic.net) * pods[:, POD_PER_REQUEST_MIB], 1.0)
        other = leaks | ((room_mib != nominal[:, POD_ROOM_MIB]) & may_lack)
        return np.asarray(other & (pods[:, POD_READY] != 0.0) & np.isfinite(pods[:, POD_OOM_LEVEL]))

    def _is_other_memory(self) -> bool:
        """Whether there are any; asked at every look and every start, when hardly ever one has another room at all."""
        pods, nominal = self._traffic.net.pods, self._course.net.pods
        changed = (pods[:, POD_ROOM_MIB] != nominal[:, POD_ROOM_MIB]) | (pods[:, POD_ROOM_LOSS] > 0.0)
        return bool(changed.any()) and bool(self._has_other_memory().any())

    def _killed_from_s(self) -> float:
        """Before when no pod reaches its level by the hazard of the undisturbed course."""
        course = self._course
        if not course.has_hazard:
            return np.inf
        reached, due_s = self.reach(), np.inf
        for pod in (reached <= course.hazard_at_end).nonzero()[0].tolist():
            due_s = min(due_s, course.hazard_reached_s(pod, float(reached[pod])))
        return due_s

    def _now_missing(self) -> set[int]:
        missing = set(self._settled)
        for change in self._changes:
            (missing.discard if change.starts else missing.add)(change.pod)
        return missing

    def _stop(self, pod: int) -> bool:
        pods, now_s = self._traffic.net.pods, self._traffic.now_s
        if pods[pod, POD_READY] == 0.0:
            return bool(pods[pod, POD_LISTED] == 0.0)
        missing = self._now_missing() | {pod}
        until_s = self._until_s(now_s, missing)
        if until_s <= now_s:
            return False
        self._settle(now_s)
        self._changes.append(Change(now_s, pod, starts=False))
        pods[pod, POD_READY] = pods[pod, POD_LISTED] = pods[pod, POD_OLD_BUSY] = 0.0
        self.until_s = min(until_s, self._killed_from_s())
        return True

    def _start(self, pod: int, oom_level: float) -> bool:
        pods, now_s = self._traffic.net.pods, self._traffic.now_s
        if self._course.net.pods[pod, POD_READY] == 0.0 or pods[pod, POD_READY] != 0.0:
            return False
        self._settle(now_s)
        self._changes.append(Change(now_s, pod, starts=True))
        pods[pod, POD_READY], pods[pod, POD_LISTED], pods[pod, POD_OOM_LEVEL] = 1.0, 1.0, oom_level
        self._renewed.discard(pod)
        # What it uses is set next: until then it counts as it was before.
        self._hazard[pod], self._hazard_from[pod] = 0.0, self._course.hazard_of(pod, now_s)
        self.until_s = min(self._until_s(now_s, self._now_missing()), self._killed_from_s())
        return True

    def _set_memory(self, pod: int, limit_mib: float, used_mib: float, growth_mib_per_s: float) -> bool:
        row, nominal, now_s = self._traffic.net.pods[pod], self._course.net.pods[pod], self._traffic.now_s
        if growth_mib_per_s != nominal[POD_ROOM_LOSS]:
            return False
        row[POD_LIMIT_MIB], row[POD_ROOM_MIB] = limit_mib, limit_mib - used_mib
        row[POD_ROOM_AT_S], row[POD_ROOM_LOSS] = now_s, growth_mib_per_s
        self._hazardous[pod] = self._is_as_at_start(pod)
        self._other_memory = self._is_other_memory()
        self.until_s = min(self._until_s(now_s, self._now_missing()), self._killed_from_s())
        return True

    def _is_as_at_start(self, pod: int) -> bool:
        return bool(self._traffic.net.pods[pod, POD_ROOM_MIB] == self._course.net.pods[pod, POD_ROOM_MIB])

    def _settle(self, now_s: float) -> None:
        """Changes that are long past: what the kills cost is booked, and nobody looks at them again."""
        while self._changes and self._changes[0].at_s < now_s - _WARM_S:
            change = self._changes.pop(0)
            if change.starts:
                self._settled.discard(change.pod)
                continue
            self._settled.add(change.pod)
            self._passed.append((change.at_s, change.pod))
