"""The master loop that joins the two planes: the data plane is advanced lazily to the control plane's next event, or to
the first threshold on the way there. Nothing is rolled back, interrupted or polled.
"""

import math
from collections.abc import Callable

from sim.errors import RunError
from sim.traffic.layout import OOM, REACHED, SHIFTED
from sim.world.context import Context
from sim.world.fleet import Fleet
from sim.world.log import Kind
from sim.world.tape import Tape

_CROSSINGS_AT_ONCE = 10_000
"""More crossings than this without time passing are a fault of the model (Zeno), not of the system."""
_NO_TIME_S = 1e-6
"""Crossings that come closer to the first of them pass no time: some chatter from one double to the next."""


def run_until(
    context: Context, fleet: Fleet, tape: Tape | None, end_s: float, stuck: Callable[[int, int], str]
) -> None:
    """Run both planes until `end_s` (seconds since the start).

    Parameters
    ----------
    context : Context
        Time, log and data plane.
    tape : Tape
        When faults strike, if any do.
    fleet : Fleet
        Whose pods are killed when their memory is full.
    end_s : float
        At least now, s.
    stuck : callable
        What to say of an endless loop, given the code and index of the crossing that repeats.

    Raises
    ------
    RunError
        If crossings repeat without time passing.
    """
    traffic, env, queue = context.traffic, context.env, context.env._queue
    crossings, since_s = 0, -1.0
    while True:
        look_s = context.looks[0][0] if context.looks else math.inf
        event_s = min(queue[0][0], end_s) if queue else end_s  # `env.peek`, without its call
        next_s = min(event_s, look_s)
        if tape is not None and tape.next_s < next_s:
            was_parked = traffic.is_parked
            if was_parked and traffic.parking is not None and tape.pass_over(traffic.parking, event_s):
                continue
            next_s = tape.next_s
            tape.settle()
            code, index = traffic.advance(next_s)
            if code == REACHED:
                if not traffic.is_parked or was_parked:  # else it may be passed over after all
                    context.at(next_s, tape.strike_next)
                    env.step()
                continue
        else:
            if tape is not None and (next_s < look_s or next_s >= end_s or not traffic.stays_parked(next_s)):
                tape.settle()
            code, index = traffic.advance(next_s)
        if code == REACHED:
            if next_s >= end_s:
                return
            if look_s <= next_s:
                context.looks.popleft()[1]()
            else:
                env.step()
            continue
        crossings += 1
        if traffic.now_s > since_s + _NO_TIME_S:
            crossings, since_s = 0, traffic.now_s
        if crossings > _CROSSINGS_AT_ONCE:
            raise RunError(stuck(code, index))
        if code == OOM:
            context.at_crossing(lambda pod=fleet.pods[index]: fleet.oom_kill(pod))  # type: ignore[misc]
        elif code == SHIFTED:
            context.at_crossing(lambda: _log_shifts(context))
        else:
            context.at_crossing(lambda guard=index: context.guard_crossed(guard))  # type: ignore[misc]
        env.step()


def _log_shifts(context: Context) -> None:
    for why, n_requests in context.traffic.shifts:
        context.record(Kind.GEAR, why.value, value=n_requests)
    context.traffic.shifts.clear()
