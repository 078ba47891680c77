"""The tape of a trial: the control plane plays what faults do to whom, or passes over what nobody would notice.

Most strikes are pods that crash and nodes that are lost while the others carry their load: where it is certain
beforehand that nobody notices, neither plane is asked (`quiet`). All others happen in the control plane.
"""

from collections.abc import Callable

from sim.traffic.parking import Parking
from sim.world.clocks import Clocks
from sim.world.context import Context
from sim.world.elements import Element
from sim.world.fleet import Fleet
from sim.world.log import PassedOver
from sim.world.plan import Clock, plan_of
from sim.world.quiet import Quiet
from sim.world.quiet_arrays import CLOCK_STRUCK, NODES, SLOW


class Tape:
    """Clocks of all faults that have a law.

    Parameters
    ----------
    context : Context
        Draws and log.
    fleet : Fleet
        Pods and nodes that faults take away.
    strike : callable
        Does what a clock says now, in the control plane, and calls the given function when the clock starts again.

    Notes
    -----
    All clocks start at 0.
    """

    def __init__(
        self,
        context: Context,
        fleet: Fleet,
        strike: Callable[[Clock, Callable[[], None]], None],
    ) -> None:
        self._context = context
        self._strike = strike
        plan = plan_of(context.scenario)
        self._clocks = Clocks(plan, context.draws, context.scenario.horizon)
        self._quiet = Quiet(context, fleet, self._clocks)
        self._number = plan.numbers
        self._n_struck: dict[tuple[str, str], int] = {}

    @property
    def next_s(self) -> float:
        """Time of the next strike, s."""
        return self._clocks.next_s

    def count(self, fault: str, element: Element) -> int:
        """Count one more occurrence of a fault of an element, by whatever cause; returns its number from 1."""
        key = fault, element.name
        clock = self._number.get(key)
        if clock is None:
            number = self._n_struck[key] = self._n_struck.get(key, 0) + 1
            return number
        self._clocks.ints[clock, CLOCK_STRUCK] += 1
        return int(self._clocks.ints[clock, CLOCK_STRUCK])

    def strike_next(self) -> None:
        """The next clock strikes; called by the control plane when it is due."""
        clock = self._clocks.take_next()
        if self._quiet.refused and clock.kind in (NODES, SLOW):
            self._context.traffic.wake()  # it will be woken by the loss anyway, and before is cheaper
        self._quiet.refused = False
        self._strike(clock, lambda: self._clocks.wind(clock, self._context.now_s))

    # -- passing over ---------------------------------------------------------------------------------

    @property
    def passed_over(self) -> PassedOver:
        """What was passed over and not written to the log."""
        return self._quiet.passed_over()

    def write_all(self) -> None:
        """From now on what is passed over is written to the log record by record, for those who read it."""
        self._quiet.writes_all = True

    def pass_over(self, parking: Parking, until_s: float) -> bool:
        """Pass over the next strikes as long as nobody would notice; True if there was one.

        Parameters
        ----------
        parking : Parking
            Of a plane that is parked.
        until_s : float
            The next thing that happens otherwise, s.
        """
        return self._quiet.pass_over(parking, until_s)

    def settle(self) -> None:
        """Before the control plane acts: the fleet is what was passed over has left of it."""
        self._quiet.settle()
