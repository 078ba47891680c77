"""Circuit breakers of calls: closed, open, half-open with a trickle, closed again if the trickle works."""

from sim.scenario.schema import Breaker
from sim.traffic.layout import GUARD_BREAKER
from sim.world.context import Context
from sim.world.log import Kind

_LOWEST_LEVEL = 1e-3
"""An average never falls to 0: a breaker that opens when all calls fail opens at 99.9 %."""


class Breakers:
    """All breakers of one trial."""

    def __init__(self, context: Context) -> None:
        self._context = context
        names = context.traffic.names
        for edge, (caller, _, callee) in enumerate(names.edges):
            region, service = names.pools[caller]
            breaker = context.scenario.services[service].calls[callee].breaker
            if breaker is not None:
                self._watch(edge, breaker, region, f"{service} to {callee}")

    def _watch(self, edge: int, breaker: Breaker, region: str, label: str) -> None:
        context, traffic = self._context, self._context.traffic
        level = max(1.0 - breaker.failures, _LOWEST_LEVEL)

        def log(state: str) -> None:
            context.record(Kind.BREAKER, f"{label}: {state}", region=region)

        def open_() -> None:
            traffic.arm_guard(guard, False)
            traffic.set_breaker(edge, gate=0.0)
            log("open")
            context.after(breaker.open, half_open)

        def half_open() -> None:
            # The average starts at the level: after one window it tells which way the trickle pulled it.
            traffic.set_breaker(edge, gate=breaker.trickle, success=level)
            log("half-open")
            context.after(breaker.window, judge)

        def judge() -> None:
            if traffic.breaker_success(edge) < level:
                open_()
                return
            traffic.set_breaker(edge, gate=1.0, success=1.0)
            traffic.reset_guard(guard)
            log("closed")

        def crossed(below: bool) -> None:
            if below:
                open_()

        guard = context.watch(GUARD_BREAKER, edge, level, crossed)
