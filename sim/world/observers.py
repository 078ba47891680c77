"""What the log needs to know of the data plane: users' success, failing pools, calendar months."""

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import lru_cache

import numpy as np

from sim.traffic.engine import Traffic
from sim.traffic.layout import (
    GUARD_BREAKER,
    GUARD_BUSY,
    GUARD_HEALTH,
    GUARD_HOT,
    GUARD_IN_FLIGHT,
    GUARD_POD_IN_TIME,
    GUARD_SERVED,
    GUARD_SUCCESS,
    Floats,
)
from sim.world.context import Context
from sim.world.log import Kind, Trace


class Observers:
    """Guards whose crossings are recorded, and the totals at the ends of the months."""

    def __init__(self, context: Context) -> None:
        self._context = context
        names, objectives = context.traffic.names, context.scenario.objectives
        for group, name in enumerate(names.populations):
            context.watch(
                GUARD_SUCCESS,
                group,
                objectives.availability.threshold,
                lambda below, g=group, n=name: self._success_crossed(g, n, below),  # type: ignore[misc]
            )
        for pool, (region, service) in enumerate(names.pools):
            context.watch(
                GUARD_SERVED,
                pool,
                objectives.cascade_below,
                lambda below, r=region, s=service: self._served_crossed(r, s, below),  # type: ignore[misc]
            )
        self.month_start_s = month_starts(context.scenario.start, context.scenario.horizon)
        self._at_month_ends: list[Floats] = []
        for start_s in self.month_start_s[1:]:
            context.looks.append((float(start_s), self._month_ends))

    def month_totals(self) -> Floats:
        """(n_months, n_populations, N_TOTALS) integrals within each month; call it at the horizon, once."""
        self._month_ends()
        return np.diff(np.array([np.zeros_like(self._at_month_ends[0]), *self._at_month_ends]), axis=0)

    def _month_ends(self) -> None:
        self._at_month_ends.append(self._context.traffic.all_totals())

    def _success_crossed(self, group: int, name: str, below: bool) -> None:
        kind = Kind.SLI_BELOW if below else Kind.SLI_ABOVE
        traffic = self._context.traffic
        self._context.record(kind, population=name, value=traffic.success(group), totals=traffic.totals(group))

    def _served_crossed(self, region: str, service: str, below: bool) -> None:
        kind = Kind.POOL_FAILED if below else Kind.POOL_RECOVERED
        self._context.record(kind, region=region, service=service)


def watched_by(traffic: Traffic, guard: int, pod_names: Sequence[str]) -> str:
    """The quantity that a guard watches, in words with the name of its element."""
    kind, index, region = traffic.guard_of(guard)
    names = traffic.names
    if kind == GUARD_SUCCESS:
        return f"the success of population {names.populations[index]}"
    if kind == GUARD_HEALTH:
        return f"the success of population {names.populations[index]} in {names.regions[int(region)]}"
    if kind == GUARD_BREAKER:
        caller, _, callee = names.edges[index]
        return f"the success of calls from {'/'.join(names.pools[caller])} to {callee}"
    if kind == GUARD_IN_FLIGHT:
        pods = pod_names[int(region) : int(region) + index]
        return f"the requests inside {pods[0]}" + (f" to {pods[-1]}" if len(pods) > 1 else "")
    if kind == GUARD_POD_IN_TIME:
        return f"the chance of a free slot in {pod_names[index]}"
    quantity = {GUARD_SERVED: "served share", GUARD_BUSY: "busy share", GUARD_HOT: "busiest pod"}[kind]
    return f"the {quantity} of {'/'.join(names.pools[index])}"


@lru_cache(maxsize=64)  # the same in all trials
def month_starts(start: datetime, horizon_s: float) -> Floats:
    """Starts (s) of the calendar months (UTC) that the horizon touches, read-only; the first one is 0."""
    starts = [0.0]
    year, month = start.year, start.month
    while True:
        year, month = (year + 1, 1) if month == 12 else (year, month + 1)
        at_s = (datetime(year, month, 1, tzinfo=UTC) - start).total_seconds()
        if at_s >= horizon_s:
            found = np.array(starts)
            found.flags.writeable = False
            return found
        starts.append(at_s)


def trace_of(traffic: Traffic) -> Trace:
    """The recorded rows by name."""
    rows = traffic.trace()
    n_groups, n_pools = len(traffic.names.populations), len(traffic.names.pools)
    groups = rows[:, 1 : 1 + 3 * n_groups].reshape(-1, n_groups, 3)
    pools = rows[:, 1 + 3 * n_groups :].reshape(-1, n_pools, 5)
    return Trace(
        at_s=rows[:, 0],
        demand_per_s=groups[:, :, 0],
        success=groups[:, :, 1],
        attempts_per_s=groups[:, :, 2],
        ready=pools[:, :, 0],
        in_flight=pools[:, :, 1],
        memory_mib=pools[:, :, 2],
        memory_limit_mib=pools[:, :, 3],
        served_share=pools[:, :, 4],
    )
