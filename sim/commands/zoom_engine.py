"""A window of a trial as the engine plays it: the state at its begin, what happens in it, and the curves.

The glue between the engine and the request-level model, with `zoom_begin` and `zoom_notes`: the only places that know
both.  The two share nothing else.

Notes
-----
The window is that of the very trial, to the last bit: looking at a moment ends a step of the mean rates there, and the
shifted rounding is enough for another history once chance decides.  So the trial is played twice, up to the begin for
the state there, and through the window without a look; the curves are what the kernel records at its own steps.
"""

from dataclasses import dataclass, fields, replace
from typing import Final

import numpy as np

from sim.commands.zoom_begin import Begin, begin_of
from sim.commands.zoom_notes import Notes
from sim.oracles.network_script import Script
from sim.report.zoom import PoolCurves
from sim.scenario.schema import Scenario
from sim.traffic.demand import demand_curve
from sim.traffic.layout import (
    FLOW_ATTEMPTS,
    FLOW_DEMAND,
    FLOW_SUCCESS,
    OUT_SERVED,
    POD_LIMIT_MIB,
    POD_PER_REQUEST_MIB,
    POD_ROOM_AT_S,
    POD_ROOM_LOSS,
    POD_ROOM_MIB,
    Floats,
)
from sim.world.log import Kind, Record, Trace, TrialRecord
from sim.world.trial import Trial

_TRACE_EVERY_S: Final = 1.0


@dataclass(frozen=True)
class DemandCurves:
    """Demand of all populations as the engine has it: (distance s, n, 1 for lines, n values in 1/s) by name."""

    curves: dict[str, Floats]

    def __call__(self, population: str, at_s: float) -> float:
        """Requests per second."""
        distance_s, n, lines, *_ = curve = self.curves[population]
        values = np.asarray(curve[3 : 3 + int(n)])
        place = min(at_s / distance_s, n - 1.0)
        left = int(place)
        if not lines or left + 1 >= n:
            return float(values[left])
        return float(values[left] + (place - left) * (values[left + 1] - values[left]))


@dataclass(frozen=True)
class EngineWindow:
    """A window of a trial as the engine played it."""

    begin: Begin
    script: Script
    demand: DemandCurves
    record: TrialRecord
    """Up to the end of the window; its trace is that of the window."""
    totals: Floats
    """(n_populations, N_TOTALS) integrals within the window."""
    pools: PoolCurves

    @property
    def oom_kills(self) -> list[Record]:
        """OOM kills within the window."""
        return [r for r in self.record.records if r.kind is Kind.OOM_KILL and r.at_s >= self.begin.at_s]

    @property
    def plays_requests(self) -> bool:
        """Whether the engine itself played single requests at some time within the window."""
        shifts = (r for r in self.record.records if r.kind is Kind.GEAR and r.at_s >= self.begin.at_s)
        return self.begin.plays_requests or any(True for _ in shifts)


def play_window(scenario: Scenario, architecture: str, trial: int, from_s: float, for_s: float) -> EngineWindow:
    """Play a trial of the engine up to the end of a window (s since the start), and note what it did in it."""
    to_s = from_s + for_s
    before = Trial(scenario, architecture, trial)
    before.play_to(from_s)
    notes = Notes(before, from_s)
    notes.begin()
    begin, first = begin_of(before, from_s), _now(before, from_s)
    played = Trial(scenario, architecture, trial, keep=True, trace_every_s=_TRACE_EVERY_S)
    notes.follow(played)
    played.traffic.stay_awake(from_s)  # whatever happens in the window is wanted, quiet or not
    record = played.run(to_s)
    assert record.trace is not None
    trace = _with_begin(first, record.trace)
    demand = {name: demand_curve(p, scenario.start, to_s) for name, p in scenario.populations.items()}
    return EngineWindow(
        begin,
        notes.script(record.records),
        DemandCurves(demand),
        replace(record, trace=trace),
        record.totals - begin.totals,
        pool_curves(trace, notes.ready_changes(), to_s),
    )


# --- curves


def _now(trial: Trial, at_s: float) -> Trace:
    """What a trace would have at this moment: one row."""
    traffic, pools = trial.traffic, range(len(trial.traffic.names.pools))
    groups = traffic.net.group_algebra
    memory = np.array([_fullest(trial, i) for i in pools]).reshape(1, -1, 2)
    return Trace(
        at_s=np.array([at_s]),
        demand_per_s=groups[None, :, FLOW_DEMAND].copy(),
        success=groups[None, :, FLOW_SUCCESS].copy(),
        attempts_per_s=groups[None, :, FLOW_ATTEMPTS].copy(),
        ready=np.array([[float(trial.fleet.n_ready(i)) for i in pools]]),
        in_flight=np.array([[traffic.in_flight(i) for i in pools]]),
        memory_mib=memory[:, :, 0],
        memory_limit_mib=memory[:, :, 1],
        served_share=traffic.net.pool_algebra[None, :, OUT_SERVED].copy(),
    )


def _fullest(trial: Trial, pool: int) -> tuple[float, float]:
    """Memory and limit (MiB) of the fullest ready pod; NaN without."""
    traffic, most, limit = trial.traffic, np.nan, np.nan
    if trial.fleet.services[pool].memory is None:
        return most, limit
    for row in traffic.pods_of[pool]:
        if traffic.is_ready(row):
            pod = traffic.net.pods[row]
            room = pod[POD_ROOM_MIB] - pod[POD_ROOM_LOSS] * (traffic.now_s - pod[POD_ROOM_AT_S])
            used = min(pod[POD_LIMIT_MIB] - room + pod[POD_PER_REQUEST_MIB] * traffic.state[row], pod[POD_LIMIT_MIB])
            if not used <= most:
                most, limit = float(used), float(pod[POD_LIMIT_MIB])
    return most, limit


def _with_begin(first: Trace, trace: Trace) -> Trace:
    """The rows of the window: its begin, and what was recorded after that."""
    after = trace.at_s > first.at_s[0]
    return Trace(*(np.concatenate([getattr(first, f.name), getattr(trace, f.name)[after]]) for f in fields(Trace)))


def pool_curves(trace: Trace, changes: list[tuple[float, int, int, float]], to_s: float) -> PoolCurves:
    """Pools at the recorded rows and whenever a pod starts or stops: rows are a second apart, and some pods live less.

    Parameters
    ----------
    trace : Trace
        Of the window, from its begin.
    changes : list of (float, int, int, float)
        Time (s), pool, change of its ready pods, and requests inside it after that (NaN: not known), in order.
    to_s : float
        End of the window, s.
    """
    n_rows, n_pools = trace.ready.shape
    at_s = np.array([*trace.at_s, *(change[0] for change in changes), to_s])
    # A row at a kill is that of the moment before, and comes first.
    order = np.argsort(at_s, kind="stable")
    rows = np.searchsorted(trace.at_s, at_s, side="right") - 1
    inside = np.full((len(at_s), n_pools), np.nan)
    inside[:n_rows] = trace.in_flight
    ready = np.repeat(trace.ready[:1], len(at_s), axis=0)
    place = np.argsort(order)
    for k, (_, pool, change, n_inside) in enumerate(changes, start=n_rows):
        ready[place >= place[k], pool] += change
        inside[k, pool] = n_inside
    for column in inside.T:
        # Between two of what is known requests change along a line: steps are long only while little happens.
        known = order[~np.isnan(column[order])]
        missing = np.isnan(column)
        column[missing] = np.interp(at_s[missing], at_s[known], column[known])
    return PoolCurves(at_s[order], inside[order], ready[order], trace.memory_mib[rows][order])
