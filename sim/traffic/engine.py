"""The data plane as the control plane sees it: named actions on the kernel's arrays.

Every action takes effect at `now_s`. It knows pods, pools and shares, but not why anything happens.
"""

from collections.abc import Callable
from functools import wraps
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Concatenate, ParamSpec

import numpy as np

from sim.traffic import kernel
from sim.traffic.assemble import Blueprint
from sim.traffic.course import Scratch
from sim.traffic.gears import Chooser, Noise, Shift
from sim.traffic.layout import *
from sim.traffic.layout import Floats
from sim.traffic.looks import Looks
from sim.traffic.losses import lose, waiting_to_retry
from sim.traffic.network import Network, copied
from sim.traffic.parking import Courses, Parking
from sim.traffic.under_way import keep_drawn_work

if TYPE_CHECKING:
    from sim.traffic.request_gear import RequestGear

_STEP_START_S = 0.05
_TRACE_ROWS = 4096
_HIGHEST_LEVEL = 1.0 - 1e-6
"""A share that should be all of it counts as all of it from here on: rounding alone keeps it below 1."""


Journal = Callable[[str, tuple[Any, ...], dict[str, Any]], None]
"""Told of every action of the control plane when it is done: its name and its arguments."""
_P = ParamSpec("_P")


def action(method: "Callable[Concatenate[Traffic, _P], None]") -> "Callable[Concatenate[Traffic, _P], None]":
    """Tell the journal, if there is one, of every call."""

    @wraps(method)
    def noted(self: "Traffic", /, *args: _P.args, **kwargs: _P.kwargs) -> None:
        if self._parking is None or not self._parking.is_parked:
            method(self, *args, **kwargs)
        elif not self._parking.takes(method.__name__, args, kwargs):
            self._parking.leave()
            method(self, *args, **kwargs)
        if self.journal is not None:
            self.journal(method.__name__, args, kwargs)

    return noted


class Traffic(Looks):
    """State of the data plane of one trial.

    Parameters
    ----------
    blueprint : Blueprint
        The network; copied, so that trials do not share arrays.
    tolerance : float
        Integration tolerance in units of 2e-3.
    trace_every_s : float
        Least distance of recorded rows; inf records nothing. Recording never changes a step.
    noise : Noise
        When single requests are simulated instead of mean rates. Default: never.
    """

    def __init__(
        self,
        blueprint: Blueprint,
        *,
        tolerance: float = 10.0,
        trace_every_s: float = np.inf,
        noise: Noise | None = None,
    ) -> None:
        self.names = blueprint.names
        self.layout = blueprint.layout
        self.net: Network = copied(blueprint.network)
        self._state: Floats = blueprint.state.copy()
        self._work = np.zeros((8, blueprint.layout.size))
        self._guards = np.zeros((0, N_GUARD_COLUMNS))
        n_columns = 1 + 3 * len(self.names.populations) + 5 * len(self.names.pools)
        self._trace = np.zeros((_TRACE_ROWS if np.isfinite(trace_every_s) else 1, n_columns))
        self._traced: list[Floats] = []
        self._clock = np.zeros(N_CLOCK)
        self._clock[[CLOCK_STEP, CLOCK_TOLERANCE, CLOCK_TRACE_EVERY]] = _STEP_START_S, tolerance, trace_every_s
        self._clock[CLOCK_TRACE_LAST] = -1e18  # long ago; minus infinity plus never would not be a number
        # With constant demand only faults change anything: steps may be as long as the error allows.
        self._clock[CLOCK_STEP_MAX] = 30.0 * 86400.0 if blueprint.demand_is_constant else 6.0 * 3600.0
        first = np.concatenate([[0], np.cumsum(self.names.slots)])
        self.pods_of: tuple[range, ...] = tuple(range(int(a), int(b)) for a, b in pairwise(first))
        self._chooser = Chooser(noise or Noise(), self.net)
        self._requests: RequestGear | None = None
        self._parking: Parking | None = None
        self.n_crossings = 0
        """Thresholds crossed so far."""
        self._hot_guards = [self.add_guard(GUARD_HOT, i, self._chooser.noise.above_share) for i in self._chooser.pools]
        self._guards[self._hot_guards, GUARD_BELOW] = 1.0
        self.journal: Journal | None = None
        self.shifts: list[tuple[Shift, float]] = []
        """Shifts that nobody took note of yet: why, and the single requests simulated in the window that ended."""

    # -- time -----------------------------------------------------------------------------------------

    @property
    def now_s(self) -> float:
        """Seconds since the start."""
        return float(self._clock[CLOCK_NOW])

    @property
    def n_steps(self) -> int:
        """Accepted steps so far."""
        return int(self._clock[CLOCK_N_STEPS])

    def advance(self, end_s: float) -> tuple[int, int]:
        """To `end_s` or the first crossing; (REACHED, -1), (OOM, pod), (GUARD, guard) or (SHIFTED, -1)."""
        if self._chooser.noise.mode == "always" and self._requests is None:
            return self._shift(Shift.ALWAYS)
        while True:
            stop_s = self._parked_until(end_s)
            if stop_s is None:
                return REACHED, -1
            if self._requests is not None:
                code, index = self._requests.advance(stop_s, self._guards, self._trace)
            else:
                code, index = kernel.advance(
                    stop_s, self._clock, self._state, self._work, self._guards, self._trace, self.net
                )
            if code == REACHED and stop_s < end_s:
                continue
            self.n_crossings += code in (GUARD, OOM)
            if code == TRACE_FULL:
                self._drain_trace()
            elif code == BROKEN:
                raise FloatingPointError(f"the data plane lost a finite state at {self.now_s:.3f} s")
            elif code == GUARD and index in self._hot_guards:
                below = self.guard_flipped(index)
                if not below and self._requests is None and self._may_begin():
                    return self._shift(Shift.HOT)
            elif code == TICKED:
                assert self._requests is not None
                why = self._requests.wants_rates(self._chooser)
                if why is not None:
                    return self._shift(why)
            else:
                return int(code), int(index)

    def _parked_until(self, end_s: float) -> float | None:
        """How far to integrate in one go; None if the plane is parked until `end_s`, and so is there."""
        parking = self._parking
        if parking is None:
            return end_s
        if not parking.is_parked and self.now_s >= parking.look_s:
            parking.look()
        if not parking.is_parked:
            return min(end_s, parking.look_s)
        if end_s <= parking.until_s:
            self._clock[CLOCK_NOW] = end_s
            return None
        self._clock[CLOCK_NOW] = max(parking.until_s, self.now_s)
        parking.leave()
        return min(end_s, parking.look_s)

    def park_on(self, courses: Courses) -> None:
        """From now on the plane is parked whenever it follows one of these courses."""
        self._parking = Parking(self, courses)

    def resume(self, scratch: Scratch, *, n_steps: int) -> None:
        """Go on from a plane moved elsewhere, whose steps count; `Parking` calls it."""
        self._state[:] = scratch.state
        for mine, its in zip(self.net[8:12], scratch.net[8:12], strict=True):
            mine[:] = its
        self._clock[CLOCK_STEP], self._clock[CLOCK_JOINED] = _STEP_START_S, 0.0
        self._clock[CLOCK_N_STEPS] += n_steps
        self._work[6] = 0.0
        if np.isfinite(self._clock[CLOCK_TRACE_EVERY]):
            assert self._parking is not None
            self._drain_trace()
            self._traced.append(self._parking.trace_rows(self._parking.since_s, self.now_s))
            self._clock[CLOCK_TRACE_LAST] = -1e18

    def close(self) -> None:
        """At the horizon: requests that are still open count for what the mean rates expect of them."""
        if self._parking is not None and self._parking.is_parked:
            self._parking.leave(at_end=True)
        if self._requests is not None:
            self._chooser.spent += self._requests.n_sent
            self._requests.end()
            self._requests = None

    def _shift(self, why: Shift) -> tuple[int, int]:
        """Shift the gear and say so."""
        from sim.traffic.request_gear import RequestGear  # compiled when first needed: many trials never do

        n_sent = 0.0
        if self._requests is None:
            seed = self._chooser.begin(self.now_s, self._worst_success(), self._n_open())
            self._requests = RequestGear(self._plane(), self._clock, seed, most=self._chooser.most_in_window)
        else:
            n_sent = float(self._requests.n_sent)
            self._chooser.spent += self._requests.n_sent
            self._requests.end()
            self._requests = None
            self._clock[CLOCK_STEP] = _STEP_START_S
            self._work[6] = 0.0
            self._guards[self._hot_guards, GUARD_BELOW] = 1.0
            self._look_again()
        self.shifts.append((why, n_sent))
        return SHIFTED, -1

    def _n_open(self) -> int:
        """Requests inside the pods and between two attempts: what a window begins with."""
        waiting = self._state[self.layout.orbit : self.layout.share]
        return int(self._state[: len(self.net.pods)].sum() + waiting.sum())

    def touched(self) -> None:
        """After any action the integrator starts again with a short step, and expects nothing of the next one."""
        self._clock[CLOCK_STEP] = _STEP_START_S
        self._work[6] = 0.0
        self._look_again()
        if self._requests is not None:
            self._requests.touched(self.net)

    def _look_again(self) -> None:
        if self._parking is not None:
            self._parking.touched()

    def disturbed(self) -> None:
        """Something other than a crash loop changed what is to be expected: no collapse is certain any more."""
        self._chooser.disturbed()
        self._guards[self._hot_guards, GUARD_BELOW] = 1.0
        self._look_again()

    def _may_begin(self) -> bool:
        return self._chooser.may_begin(self._worst_success(), self._n_open())

    def _worst_success(self) -> float:
        return float(self.net.group_algebra[:, FLOW_SUCCESS].min(initial=1.0))

    # -- pods -----------------------------------------------------------------------------------------

    @action
    def start_pod(self, pod: int, *, oom_level: float) -> None:
        """The pod serves from now on, empty."""
        self._empty(pod)
        row = self.net.pods[pod]
        row[POD_READY] = row[POD_LISTED] = 1.0
        row[POD_OOM_LEVEL] = oom_level
        self.touched()

    @action
    def stop_pod(self, pod: int) -> None:
        """The pod is gone, and with it every request inside: goodput booked for them is taken back.

        Requests of users that still have attempts left come again (docs/data-plane.md 1.5, "Kill").
        """
        if not self.is_ready(pod):
            if self.is_listed(pod):  # it died a moment ago
                self.set_listed(pod, False)
            return
        if self._requests is not None:
            self._requests.kill(pod)
        else:
            lose(self._plane(), pod, 1.0)
        self.net.pods[pod, POD_READY] = self.net.pods[pod, POD_LISTED] = 0.0
        self._empty(pod)
        self.touched()

    @action
    def set_listed(self, pod: int, listed: bool) -> None:
        """Whether the pod gets its share of the requests: a ready one that is not listed works off what it has, a dead
        one that is listed rejects them all.
        """
        self.net.pods[pod, POD_LISTED] = float(listed)
        self.touched()

    def _empty(self, pod: int) -> None:
        n = len(self.net.pods)
        self._state[pod : 4 * n : n] = 0.0
        self.net.pods[pod, POD_OLD_BUSY] = 0.0

    def is_ready(self, pod: int) -> bool:
        """Whether the pod serves."""
        return bool(self.net.pods[pod, POD_READY])

    def is_listed(self, pod: int) -> bool:
        """Whether the pod gets its share of the requests."""
        return bool(self.net.pods[pod, POD_LISTED])

    @action
    def set_memory(self, pod: int, *, limit_mib: float, used_mib: float, growth_mib_per_s: float) -> None:
        """Memory of a pod apart from its requests: used now, and growing from now on."""
        row = self.net.pods[pod]
        row[POD_LIMIT_MIB], row[POD_ROOM_MIB] = limit_mib, limit_mib - used_mib
        row[POD_ROOM_AT_S], row[POD_ROOM_LOSS] = self.now_s, growth_mib_per_s
        self.touched()

    @action
    def set_per_request(self, pod: int, per_request_mib: float) -> None:
        """Memory of one request inside."""
        self.net.pods[pod, POD_PER_REQUEST_MIB] = per_request_mib
        self.touched()

    @action
    def set_condition(self, pod: int, *, slow: float, error_share: float) -> None:
        """Own service time times `slow` of those that begin from now on; share of its requests that fail at once."""
        row = self.net.pods[pod]
        if slow != row[POD_SLOW]:
            keep_drawn_work(self._plane(), pod, self.now_s)
        row[POD_SLOW], row[POD_ERROR_SHARE] = slow, error_share
        self.touched()

    @action
    def forget_drawn_work(self, pod: int) -> None:
        """The capacity of the pod changed, not what its requests have to do: all go on at the present speed."""
        self.net.pods[pod, POD_OLD_BUSY] = 0.0

    # -- pools, edges, groups -------------------------------------------------------------------------

    @action
    def set_reachable(self, pool: int, reachable: bool) -> None:
        """Whether users reach the pool."""
        self.net.pools[pool, POOL_REACHABLE] = float(reachable)
        self.touched()
        self.disturbed()

    @action
    def set_edge_reachable(self, edge: int, reachable: bool) -> None:
        """Whether calls of this edge arrive."""
        self.net.edges[edge, EDGE_REACHABLE] = float(reachable)
        self.touched()
        self.disturbed()

    @action
    def set_breaker(self, edge: int, *, gate: float, success: float | None = None) -> None:
        """Share of calls let through, and (to start an observation) the averaged success share."""
        self.net.edges[edge, EDGE_GATE] = gate
        if success is not None:
            self._state[self.layout.breaker + edge] = success
        self.touched()

    @action
    def set_attempts(self, edges: Floats, groups: Floats) -> None:
        """Attempts of each call and of each group (retries disabled: 1); who waits for one too many gives up."""
        self.net.edges[:, EDGE_ATTEMPTS], self.net.groups[:, GROUP_ATTEMPTS] = edges, groups
        for g, n_attempts in enumerate(groups):
            given_up = waiting_to_retry(self._plane(), g)[int(n_attempts) - 1 :]
            self._state[self.layout.totals + g * N_TOTALS + TOTAL_FAILED] += given_up.sum()
            given_up[:] = 0.0
        self.touched()
        self.disturbed()

    @action
    def set_tables(self, pods: range, table: Floats) -> None:
        """Other slots and queue bound for these pods (load shedding by hand)."""
        number = next((k for k, known in enumerate(self.net.tables) if np.array_equal(known, table)), None)
        if number is None:
            number = len(self.net.tables)
            self.net = self.net._replace(tables=np.concatenate([self.net.tables, table[None]]))
        if (self.net.pods[pods, POD_TABLE] == number).all():
            return
        room = float(table[TABLE_HEAD, HEAD_ROOM])
        for p in pods:
            self.net.pods[p, POD_TABLE] = number
            if self._requests is None and self._state[p] > room:
                lose(self._plane(), p, 1.0 - room / self._state[p])
        if self._requests is not None:
            self._requests.shed(pods, self.net)
        self.touched()
        self.disturbed()

    @action
    def set_demand_factor(self, group: int, factor: float) -> None:
        """Demand of the group times this."""
        self.net.groups[group, GROUP_FACTOR] = factor
        self.touched()
        self.disturbed()

    @action
    def set_provider(self, group: int, *, ok_share: float, quota_per_s: float) -> None:
        """Share of the provider's accepted answers that are in time (0 while it is down), and what it accepts."""
        self.net.groups[group, [GROUP_PROVIDER_OK, GROUP_PROVIDER_QUOTA]] = ok_share, quota_per_s
        self.touched()
        self.disturbed()

    @action
    def set_targets(self, group: int, shares: list[float]) -> None:
        """Where the controllers want the load of the group, by region."""
        assert abs(sum(shares) - 1.0) < 1e-9
        self.net.routes[group, :, ROUTE_TARGET] = shares
        self.touched()
        self.disturbed()

    # -- what it looks like ---------------------------------------------------------------------------

    def trace(self) -> Floats:
        """(n, columns) recorded rows; see `kernel.write_trace`."""
        self._drain_trace()
        return np.concatenate(self._traced) if self._traced else np.zeros((0, self._trace.shape[1]))

    def _drain_trace(self) -> None:
        rows = int(self._clock[CLOCK_TRACE_ROWS])
        self._traced.append(self._trace[:rows].copy())
        self._clock[CLOCK_TRACE_ROWS] = 0.0

    # -- guards ---------------------------------------------------------------------------------------

    def add_guard(self, kind: int, index: int, level: float, *, region: float = 0) -> int:
        """Watch a quantity: `advance` returns when it falls below `level`, and when it rises above again."""
        if kind != GUARD_IN_FLIGHT:
            level = min(level, _HIGHEST_LEVEL)
        guards = np.zeros((len(self._guards) + 1, N_GUARD_COLUMNS))
        guards[:-1], row = self._guards, guards[-1]
        row[GUARD_KIND], row[GUARD_INDEX], row[GUARD_REGION] = kind, index, region
        row[GUARD_LEVEL], row[GUARD_ARMED] = level, 1.0
        self._guards = guards
        self.net.counts[N_GUARDS] = len(self._guards)
        return len(self._guards) - 1

    def guard_flipped(self, guard: int) -> bool:
        """Note a crossing; True if the quantity is now below its level."""
        row = self._guards[guard]
        row[GUARD_BELOW] = 1.0 - row[GUARD_BELOW]
        self._look_again()
        return bool(row[GUARD_BELOW])

    def reset_guard(self, guard: int) -> None:
        """Watch again, from above the level."""
        self.wake()
        self._look_again()
        self._guards[guard, GUARD_BELOW], self._guards[guard, GUARD_ARMED] = 0.0, 1.0

    def move_guard(self, guard: int, level: float, *, below: bool) -> None:
        """Watch at another level, from this side of it."""
        self.wake()
        self._look_again()
        self._guards[guard, [GUARD_LEVEL, GUARD_BELOW, GUARD_ARMED]] = min(level, _HIGHEST_LEVEL), float(below), 1.0

    def guard_of(self, guard: int) -> tuple[int, int, float]:
        """What a guard watches: its kind, index and region column."""
        kind, index, region = self._guards[guard, [GUARD_KIND, GUARD_INDEX, GUARD_REGION]]
        return int(kind), int(index), float(region)

    def arm_guard(self, guard: int, armed: bool) -> None:
        """Watch, or do not."""
        self.wake()
        self._look_again()
        self._guards[guard, GUARD_ARMED] = float(armed)
