"""What the data plane looks like to those who ask: numbers of populations, regions, pools and pods at this moment.

Looking changes nothing. A plane that is parked (`parking`) works out its state first, so that nobody sees an old one.
"""

from typing import TYPE_CHECKING

from sim.traffic import kernel
from sim.traffic.assemble import Names
from sim.traffic.gears import Chooser
from sim.traffic.layout import *
from sim.traffic.layout import Floats, StateLayout
from sim.traffic.losses import waiting_to_retry
from sim.traffic.network import Network
from sim.traffic.plane import Plane

if TYPE_CHECKING:
    from sim.traffic.parking import Parking
    from sim.traffic.request_gear import RequestGear


class Looks:
    """Reading side of `Traffic`."""

    names: Names
    layout: StateLayout
    net: Network
    pods_of: tuple[range, ...]
    _state: Floats
    _guards: Floats
    _chooser: Chooser
    _requests: "RequestGear | None"
    _parking: "Parking | None"

    def wake(self) -> None:
        """Work out the state at this moment, if the plane is parked."""
        if self._parking is not None and self._parking.is_parked:
            self._parking.leave()

    def stay_awake(self, from_s: float) -> None:
        """Integrate everything from a time (s) on."""
        if self._parking is not None:
            self._parking.awake_from_s = from_s

    @property
    def state(self) -> Floats:
        """(size,) the state at this moment."""
        self.wake()
        return self._state

    @property
    def parking(self) -> "Parking | None":
        """What was skipped, if anything may be."""
        return self._parking

    @property
    def is_parked(self) -> bool:
        """Whether the plane follows the undisturbed course now."""
        return self._parking is not None and self._parking.is_parked

    def stays_parked(self, until_s: float) -> bool:
        """Whether the plane follows the course until a time (s), if nobody acts on it."""
        return self._parking is not None and self._parking.is_parked and until_s <= self._parking.until_s

    @property
    def raw_state(self) -> Floats:
        """(size,) the state when it was last integrated."""
        return self._state

    @property
    def guards(self) -> Floats:
        """(n_guards, N_GUARD_COLUMNS) what is watched."""
        return self._guards

    @property
    def plays_requests(self) -> bool:
        """Whether single requests are simulated now."""
        return self._requests is not None

    @property
    def n_single_requests(self) -> int:
        """Attempts and calls simulated one by one so far."""
        return self._chooser.spent + (0 if self._requests is None else self._requests.n_sent)

    def _seen(self) -> Network:
        self.wake()
        return self.net

    def _plane(self) -> Plane:
        return Plane(self.names, self.layout, self.net, self._state)

    def breaker_success(self, edge: int) -> float:
        """Averaged success share of a call that has a breaker."""
        return float(self.state[self.layout.breaker + edge])

    def all_totals(self) -> Floats:
        """(n_groups, N_TOTALS) integrals since the start; a plane that is parked stays so."""
        if self._parking is not None and self._parking.is_parked:
            return self._parking.totals()
        return self._state[self.layout.totals :].reshape(-1, N_TOTALS).copy()

    def totals(self, group: int) -> tuple[float, ...]:
        """Integrals since the start, in the order of the event log's TOTALS."""
        at = self.layout.totals + group * N_TOTALS
        return tuple(float(v) for v in self.state[at : at + N_TOTALS])

    def waiting_to_retry(self, group: int) -> float:
        """User requests between a failed attempt and the next one."""
        return sum(self.waiting_by_attempts(group))

    def waiting_by_attempts(self, group: int) -> list[float]:
        """The same by the number of attempts that failed, from one on."""
        self.wake()
        return [float(v) for v in waiting_to_retry(self._plane(), group).sum(axis=1)]

    def open_requests(self, group: int) -> float:
        """User requests that are neither good nor failed for good yet; of mean rates those who wait to try again."""
        of_gear = 0.0 if self._requests is None else self._requests.open_requests(group)
        return self.waiting_to_retry(group) + of_gear

    def success(self, group: int) -> float:
        """Share of first attempts that end usable, at the last evaluation."""
        return float(self._seen().group_algebra[group, FLOW_SUCCESS])

    def health(self, group: int, region: int) -> float:
        """The same for those sent to one region."""
        return float(self._seen().health[group, region])

    def served(self, pool: int) -> float:
        """Share of what the pool is offered that ends usable."""
        return float(self._seen().pool_algebra[pool, OUT_SERVED])

    def demand(self, group: int) -> float:
        """User requests per second now."""
        return float(self._seen().group_algebra[group, FLOW_DEMAND])

    def offered(self, pool: int) -> float:
        """Arrivals per second at the pool."""
        return float(self._seen().pool_algebra[pool, OUT_OFFERED])

    def in_flight(self, pool: int) -> float:
        """Requests inside the pool."""
        pods = self.pods_of[pool]
        return float(self.state[pods.start : pods.stop].sum())

    def busy_share(self, pool: int) -> float:
        """Busy slots of the ready pods as a share of their slots; 0 with no pod ready."""
        return float(kernel.watched(GUARD_BUSY, pool, 0.0, self.state, self._seen()))

    def pod_in_time(self, pod: int, within_s: float) -> float:
        """Probability that a request arriving at the pod now gets a slot within this time; 1 if it is not ready."""
        return float(kernel.watched(GUARD_POD_IN_TIME, pod, within_s, self.state, self._seen()))
