"""A window of a trial played by the engine and request by request: what both say, and whether they agree.

The data and the page; the figures are in `figures_zoom`.  It draws nothing and plays nothing itself.
"""

import math
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Final

import numpy as np
from scipy import stats

from sim import units
from sim.oracles.network_run import RequestRun
from sim.report.inputs import Floats
from sim.report.style import joined
from sim.scenario.schema import Scenario
from sim.world.log import TOTALS, Kind, Trace, TrialRecord

CONFIDENCE: Final = 0.95
FAILED_SHARE: Final = 0.2
"""Availabilities agree if their shares of failed requests differ by no more than this share of the larger one ..."""
POINTS: Final = 0.01
"""... and by no more than this."""
SHARE: Final = 0.05
"""All other figures that differ by no more than this share of the larger one agree whatever chance says."""
REQUESTS: Final = 0.5
"""So do means of requests inside that are nearer than this."""
PODS: Final = 0.05
"""So do means of ready pods that are nearer than this."""
_NOTHING: Final = 5e-5
_NORMAL: Final = float(stats.norm.ppf(0.5 + 0.5 * CONFIDENCE))


@dataclass(frozen=True)
class PoolCurves:
    """Pools of the engine within the window.

    Attributes
    ----------
    times_s : ndarray, shape (n,)
        s since the start, from the begin to the end.
    in_flight, ready, memory_mib : ndarray, shape (n, n_pools)
        Requests inside; ready pods; memory of the fullest ready pod (NaN without).
    """

    times_s: Floats
    in_flight: Floats
    ready: Floats
    memory_mib: Floats


@dataclass(frozen=True)
class Zoom:
    """What was played.

    Parameters
    ----------
    name : str
        Of the experiment.
    scenario : Scenario
        Resolved.
    record : TrialRecord
        The engine's trial up to the end of the window, with its trace within the window.
    totals : ndarray, shape (n_populations, n_totals)
        The engine's integrals within the window.
    pools : PoolCurves
        The engine's pools within the window.
    from_s, to_s : float
        The window, s since the start.
    runs : tuple of RequestRun
        The window request by request, one per seed.
    plays_requests : bool
        Whether the engine played single requests as well at some time within the window.
    """

    name: str
    scenario: Scenario
    record: TrialRecord
    totals: Floats
    pools: PoolCurves
    from_s: float
    to_s: float
    runs: tuple[RequestRun, ...]
    plays_requests: bool = False

    @property
    def trace(self) -> Trace:
        """The engine's curves within the window."""
        assert self.record.trace is not None, "a zoom needs a kept trial"
        return self.record.trace

    @cached_property
    def n_kills(self) -> int:
        """The engine's OOM kills within the window."""
        return sum(1 for r in self.record.records if r.kind is Kind.OOM_KILL and r.at_s >= self.from_s)

    @property
    def is_by_chance(self) -> bool:
        """Whether the engine's window is one history of several: single requests, or pods killed by chance."""
        return self.plays_requests or self.n_kills > 0 or any(run.oom_kills for run in self.runs)

    @cached_property
    def figures(self) -> tuple["Figure", ...]:
        """What is compared."""
        return tuple(_figures(self))

    @property
    def title(self) -> str:
        """Experiment, design, trial and window."""
        return f"{self.name}: {self.record.architecture}, trial {self.record.trial}, {self.span}"

    @property
    def span(self) -> str:
        """The window in words."""
        begin, end = (self.record.start + timedelta(seconds=s) for s in (self.from_s, self.to_s))
        last = end.strftime("%H:%M:%S" if end.date() == begin.date() else "%Y-%m-%d %H:%M:%S")
        return f"{begin:%Y-%m-%d %H:%M:%S} to {last} UTC"


@dataclass(frozen=True)
class Figure:
    """One number that both have.

    Parameters
    ----------
    key : str
        Its name in documents.
    label : str
        Its name in a table.
    engine : float
        What the engine says.
    values : tuple of float
        What each request-level run says.
    is_share : bool
        A share in [0, 1].
    floor : float
        Nearer than this they agree whatever chance says.
    is_by_chance : bool
        The engine's value is one draw like those of the runs, not an expectation.
    n_requests : float
        Requests of which a share is a share, in one run.
    """

    key: str
    label: str
    engine: float
    values: tuple[float, ...]
    is_share: bool = False
    floor: float = 0.0
    is_by_chance: bool = False
    n_requests: float = math.inf

    @property
    def mean(self) -> float:
        """Mean over the seeds."""
        return float(np.mean(self.values))

    @property
    def standard_error(self) -> float:
        """Of the mean; NaN with one seed."""
        n = len(self.values)
        return float(np.std(self.values, ddof=1) / math.sqrt(n)) if n > 1 else math.nan

    @property
    def error(self) -> float:
        """Standard error of the difference; NaN with one seed.

        An expectation is compared with the mean of the runs. One more draw has the spread of the runs itself: the error
        is that of a prediction, which more seeds do not make small.
        """
        n = len(self.values)
        return self.standard_error * math.sqrt(n + 1.0) if self.is_by_chance else self.standard_error

    @property
    def difference_in_se(self) -> float:
        """Engine minus mean in standard errors of that; NaN if there is none, or if no seed differs from another."""
        error = self.error
        return (self.engine - self.mean) / error if error > 0.0 else math.nan

    @property
    def agrees(self) -> bool:
        """Whether the difference is within chance, or too small to matter."""
        difference = abs(self.engine - self.mean)
        near = max(self.floor, SHARE * max(abs(self.engine), abs(self.mean)))
        if self.is_share:
            near = self._near_share()
        chance = 0.0
        if self.error > 0.0:
            chance = self.error * float(stats.t.ppf(0.5 + 0.5 * CONFIDENCE, len(self.values) - 1))
        return bool(difference <= max(near, chance) + 1e-12)

    def _near_share(self) -> float:
        """What shares may differ by whatever the spread of the runs says: of the failures, and what counting allows."""
        failed = 1.0 - min(self.engine, self.mean)
        per_request = 1.0 / (self.n_requests * len(self.values))
        if self.is_by_chance:
            per_request += 1.0 / self.n_requests
        # Half the width of Wilson's interval: it does not vanish with no failure seen.
        counting = _NORMAL * math.sqrt(failed * (1.0 - failed) * per_request + (0.5 * _NORMAL * per_request) ** 2)
        return min(POINTS, FAILED_SHARE * failed) + counting

    @property
    def engine_text(self) -> str:
        """What the engine says, for people."""
        return self._text(self.engine)

    @property
    def requests_text(self) -> str:
        """Mean and standard error, for people: the error with two digits, the mean with as many decimals."""
        error = self.standard_error * (100.0 if self.is_share else 1.0)
        if not error > 0.0:
            return self._text(self.mean) + ("" if math.isnan(error) else " ± 0")
        decimals = min(max(1 - math.floor(math.log10(error)), 0), 4)
        mean, unit = (100.0 * self.mean, " %") if self.is_share else (self.mean, "")
        return f"{mean:,.{decimals}f} ± {error:.{decimals}f}{unit}"

    @property
    def difference_text(self) -> str:
        """Difference in standard errors, for people."""
        if math.isnan(self.difference_in_se):
            return "none" if self.engine == self.mean else "-"
        return f"{self.difference_in_se:+.1f}"

    def _text(self, value: float) -> str:
        if self.is_share:
            return f"{100.0 * value:.2f} %"
        if abs(value) < _NOTHING:
            return "0"  # means of queues that nobody uses fade for ever
        return f"{value:,.0f}" if abs(value) >= 1000.0 else f"{value:.3g}"


def _figures(zoom: Zoom) -> list[Figure]:
    found = []
    many = len(zoom.record.populations) > 1
    offered, good, attempts, failed = (TOTALS.index(name) for name in ("offered", "good", "attempts", "failed"))
    chance = zoom.is_by_chance
    for g, name in enumerate(zoom.record.populations):
        of = f" of {name}" if many else ""
        mine, totals = zoom.totals[g], [run.populations[name] for run in zoom.runs]
        ended = mine[good] + mine[failed]
        if min(mine[offered], ended) <= 0.0 or any(t.offered == 0 or t.n_ended <= 0 for t in totals):
            continue  # nobody came: there is nothing to compare
        # Of those that ended in the window, whenever they came: after a storm the engine cannot tell them apart.
        served = tuple(t.served for t in totals)
        share, n = float(mine[good] / ended), float(np.mean([t.n_ended for t in totals]))
        found.append(
            Figure(f"availability {name}", f"requests served{of}", share, served, True, 0.0, chance, n_requests=n)
        )
        tries = tuple(t.attempts / t.offered for t in totals)
        per_request = float(mine[attempts] / mine[offered])
        found.append(Figure(f"attempts {name}", f"attempts per request{of}", per_request, tries, is_by_chance=chance))
    if any(service.memory is not None for service in zoom.scenario.services.values()):
        of_runs = tuple(float(len(run.oom_kills)) for run in zoom.runs)
        found.append(Figure("oom_kills", "OOM kills", float(zoom.n_kills), of_runs, is_by_chance=chance))
    return found + _pool_figures(zoom)


def _pool_figures(zoom: Zoom) -> list[Figure]:
    found, times_s, chance = [], zoom.pools.times_s, zoom.is_by_chance
    for i, pool in enumerate(zoom.record.pools):
        inside = tuple(run.pools[pool].inside_mean for run in zoom.runs)
        ready = tuple(run.pools[pool].ready_mean for run in zoom.runs)
        engine_ready = _mean_of_steps(times_s, zoom.pools.ready[:, i])
        if max(engine_ready, *ready) == 0.0:
            continue  # asleep all the time
        engine_inside = float(np.trapezoid(zoom.pools.in_flight[:, i], times_s) / (times_s[-1] - times_s[0]))
        found += [
            Figure(f"in_flight {pool}", f"in flight in {pool}, mean", engine_inside, inside, False, REQUESTS, chance),
            Figure(f"ready {pool}", f"ready pods of {pool}, mean", engine_ready, ready, False, PODS, chance),
        ]
    return found


def _mean_of_steps(times_s: Floats, values: Floats) -> float:
    """Time average of a curve that changes in jumps: each value counts until the next one."""
    return float(values[:-1] @ np.diff(times_s) / (times_s[-1] - times_s[0]))


def verdict(zoom: Zoom) -> str:
    """Whether the two agree, in one sentence."""
    n_seeds = len(zoom.runs)
    seeds = f"{n_seeds} seeds" if n_seeds > 1 else "one seed"
    apart = [f for f in zoom.figures if not f.agrees]
    within = f"within chance ({CONFIDENCE:.0%}, {seeds}), or too near to matter"
    if not apart:
        history = " of the engine's one history" if zoom.is_by_chance else ""
        return f"The engine and the request-level model agree: all {len(zoom.figures)} figures{history} are {within}."
    worst = max(apart, key=_distance)
    which = joined((f.label for f in apart), 4)
    return (
        f"The engine and the request-level model differ in {len(apart)} of {len(zoom.figures)} figures ({which}), most "
        f"in {worst.label}: engine {worst.engine_text}, request by request {worst.requests_text}. The others are "
        f"{within}."
    )


def _distance(figure: Figure) -> float:
    """How far apart, as a share of the larger one."""
    return abs(figure.engine - figure.mean) / max(abs(figure.engine), abs(figure.mean), 1e-12)


def length_text(zoom: Zoom) -> str:
    """Length of the window."""
    return units.format_duration(zoom.to_s - zoom.from_s)
