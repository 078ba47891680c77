"""What every part of the control plane shares: time, random draws, the data plane, the log, the guards.

The parts (fleet, faults, failover, operations) are written against this and not against each other's
insides; `trial` wires them.
"""

from collections import deque
from collections.abc import Callable, Generator
from heapq import heappush
from typing import Any

import simpy
from simpy.core import Environment
from simpy.events import NORMAL, Event, EventPriority

from sim.laws import Fixed, Law
from sim.randomness import Draws
from sim.scenario.schema import Scenario
from sim.traffic.engine import Traffic
from sim.world.elements import SHORTEST_S
from sim.world.log import EXCESSES, Kind, Record

Steps = Generator[Event, Any, None]
"""A SimPy process."""

_FIRST = EventPriority(-1)  # before SimPy's own URGENT: processes that start at the same moment wait


class Context:
    """Shared by all parts of one trial.

    Parameters
    ----------
    scenario : Scenario
        The architecture simulated.
    draws : Draws
        Random numbers keyed by name.
    traffic : Traffic
        The data plane.
    """

    def __init__(self, scenario: Scenario, draws: Draws, traffic: Traffic) -> None:
        self.scenario = scenario
        self.draws = draws
        self.traffic = traffic
        self.env: Environment = simpy.Environment()
        self.records: list[Record] = []
        self.excess: dict[str, float] = dict.fromkeys(EXCESSES, 0.0)
        """See `TrialRecord.excess`."""
        self.looks: deque[tuple[float, Callable[[], None]]] = deque()
        """In order: moments at which the data plane is read and nothing happens, before what is due then."""
        self._on_guard: dict[int, Callable[[bool], None]] = {}

    @property
    def now_s(self) -> float:
        """Seconds since the start."""
        return float(self.env.now)

    def record(self, kind: Kind, what: str = "", **fields: Any) -> None:
        """Append to the event log at this moment."""
        self.records.append(Record(at_s=self.now_s, kind=kind, what=what, **fields))

    def after(self, delay_s: float, action: Callable[[], None]) -> None:
        """Run `action` after `delay_s` (whoever schedules checks on arrival that it still applies)."""
        self.env.timeout(max(delay_s, 0.0)).callbacks.append(lambda _: action())

    def at_crossing(self, action: Callable[[], None]) -> None:
        """Run `action` at the data plane's moment, before anything else that is due then."""
        event = Event(self.env)
        event._ok, event._value = True, None
        event.callbacks.append(lambda _: action())
        # Not `env.schedule`: now + (then - now) may differ from then in the last bit, and the event must be the
        # next one, or the data plane would report the same crossing again.
        at_s = min(max(self.traffic.now_s, self.now_s), self.env.peek())
        heappush(self.env._queue, (at_s, _FIRST, next(self.env._eid), event))

    def at(self, at_s: float, action: Callable[[], None]) -> None:
        """Run `action` at a moment, to the last bit."""
        event = Event(self.env)
        event._ok, event._value = True, None
        event.callbacks.append(lambda _: action())
        heappush(self.env._queue, (at_s, NORMAL, next(self.env._eid), event))

    def process(self, steps: Steps) -> None:
        """Start a SimPy process."""
        self.env.process(steps)

    def draw(self, law: Law, element: str, purpose: str, index: int) -> float:
        """Duration (s) drawn for an element, at least `SHORTEST_S`; nothing is drawn for a fixed one."""
        if isinstance(law, Fixed):
            return max(law.time_s, SHORTEST_S)
        return max(law.from_uniform(self.draws.uniform(element, purpose, index)), SHORTEST_S)

    def watch(self, kind: int, index: int, level: float, action: Callable[[bool], None], *, region: float = 0) -> int:
        """Call `action(below)` whenever a quantity of the data plane crosses `level`; returns the guard.

        `region` is what the kind of guard has in that column (`traffic.layout`).
        """
        guard = self.traffic.add_guard(kind, index, level, region=region)
        self._on_guard[guard] = action
        return guard

    def guard_crossed(self, guard: int) -> None:
        """The data plane says that a watched quantity crossed its level."""
        self._on_guard[guard](self.traffic.guard_flipped(guard))
