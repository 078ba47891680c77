"""The request gear as the facade drives it: one window of single requests, from its begin to its end."""

from sim.traffic.crowd import *
from sim.traffic.crowd import Crowd, grown
from sim.traffic.gears import Chooser, Shift
from sim.traffic.handover import to_rates, to_requests
from sim.traffic.layout import *
from sim.traffic.layout import Floats
from sim.traffic.network import Network
from sim.traffic.plane import Plane
from sim.traffic.request_jobs import kill_pod, shed_excess
from sim.traffic.requests import advance_requests, needed_events


class RequestGear:
    """One window.

    Parameters
    ----------
    plane : Plane
        The arrays of the data plane; shared with the facade.
    clock : (N_CLOCK,) array
        Shared as well.
    seed : int
        Unsigned 64-bit seed of all chance in this window.
    most : int, optional
        After so many attempts and calls `advance` returns TICKED at once. Default: no bound.
    """

    def __init__(self, plane: Plane, clock: Floats, seed: int, *, most: int | None = None) -> None:
        self._plane, self._clock = plane, clock
        self._crowd, self._left_over = to_requests(plane, float(clock[CLOCK_NOW]), seed)
        if most is not None:
            self._crowd.marks[MARK_MOST] = most

    @property
    def crowd(self) -> Crowd:
        """All single requests, to be looked at; other arrays hold them as soon as there are more."""
        return self._crowd

    @property
    def n_sent(self) -> int:
        """Attempts and calls simulated so far."""
        return int(self._crowd.marks[MARK_SENT])

    def advance(self, end_s: float, guards: Floats, trace: Floats) -> tuple[int, int]:
        """As `requests.advance_requests`; arrays grow as needed."""
        while True:
            code, index = advance_requests(
                end_s, self._clock, self._plane.state, guards, trace, self._crowd, self._plane.net
            )
            if code != MORE_ROOM:
                return int(code), int(index)
            self._grow()

    def open_requests(self, group: int) -> float:
        """User requests that are not decided, and not counted as good already."""
        return float(self._crowd.group_sums[group, GROUP_OPEN] + self._left_over[group])

    def wants_rates(self, chooser: Chooser) -> Shift | None:
        """After a tick: whether the chooser wants to go back to mean rates."""
        net, hottest = self._plane.net, 0.0
        for i in chooser.pools:
            first = int(net.pools[i, POOL_FIRST_POD])
            shares = self._crowd.busy_share[first : first + int(net.pools[i, POOL_N_PODS])]
            hottest = max(hottest, float(shares.max(initial=0.0)))
        success = float(net.group_algebra[:, FLOW_SUCCESS].min(initial=1.0))
        return chooser.wants_rates(float(self._clock[CLOCK_NOW]), hottest, success, self.n_sent)

    def kill(self, pod: int) -> None:
        """All requests inside are lost."""
        self._need_events(4 * int(self._crowd.queues[pod, QUEUE_INSIDE]))
        kill_pod(float(self._clock[CLOCK_NOW]), pod, self._crowd, self._plane.net)

    def shed(self, pods: range, net: Network) -> None:
        """These pods have other bounds now."""
        self.touched(net)
        for p in pods:
            self._need_events(2 * int(self._crowd.queues[p, QUEUE_INSIDE]))
            shed_excess(float(self._clock[CLOCK_NOW]), p, self._plane.state, self._crowd, net)

    def touched(self, net: Network) -> None:
        """The control plane changed something."""
        self._plane = Plane(self._plane.names, self._plane.layout, net, self._plane.state)
        self._crowd.marks[MARK_STALE] = 1

    def end(self) -> None:
        """Write everything into the state of the mean rates."""
        to_rates(self._plane, self._crowd, self._left_over, float(self._clock[CLOCK_NOW]))

    def _grow(self) -> None:
        crowd = self._crowd
        needed = int(crowd.marks[MARK_HEAP]) + needed_events(crowd)
        self._crowd = grown(
            crowd,
            n_jobs=len(crowd.jobs) if crowd.marks[MARK_FREE_JOBS] < len(crowd.jobs) // 8 else 0,
            n_clients=len(crowd.clients) if crowd.marks[MARK_FREE_CLIENTS] < len(crowd.clients) // 8 else 0,
            n_events=len(crowd.event_at_s) if 1.25 * needed > len(crowd.event_at_s) else 0,
        )

    def _need_events(self, n: int) -> None:
        missing = int(self._crowd.marks[MARK_HEAP]) + n + 1024 - len(self._crowd.event_at_s)
        if missing > 0:
            self._crowd = grown(self._crowd, n_events=max(missing, len(self._crowd.event_at_s)))
