"""A window of a trial played by the engine and request by request: what both say, and whether they agree.

The data and the page; the figures are in `figures_zoom`.  It draws nothing and plays nothing itself.
"""

import math
from dataclasses import dataclass
from datetime import timedelta
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from sim import units
from sim.oracles.network_run import RequestRun
from sim.report.inputs import Floats
from sim.report.style import joined
from sim.scenario.schema import Scenario
from sim.world.log import TOTALS, Trace, TrialRecord

CONFIDENCE: Final = 0.95
POINTS: Final = 0.01
"""Availabilities nearer than this agree whatever chance says."""
SHARE: Final = 0.05
"""All other figures that differ by no more than this share of the larger one agree whatever chance says."""


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
        The engine's trial up to the end of the window, with its trace.
    totals : ndarray, shape (n_populations, n_totals)
        The engine's integrals within the window.
    from_s, to_s : float
        The window, s since the start.
    runs : tuple of RequestRun
        The window request by request, one per seed.
    """

    name: str
    scenario: Scenario
    record: TrialRecord
    totals: Floats
    from_s: float
    to_s: float
    runs: tuple[RequestRun, ...]

    @property
    def trace(self) -> Trace:
        """The engine's curves of the whole trial."""
        assert self.record.trace is not None, "a zoom needs a kept trial"
        return self.record.trace

    @cached_property
    def shown(self) -> NDArray[np.bool_]:
        """Which of the engine's samples are within the window."""
        at_s = self.trace.at_s
        return np.asarray((at_s >= self.from_s - 1e-6) & (at_s <= self.to_s + 1e-6))

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
    """

    key: str
    label: str
    engine: float
    values: tuple[float, ...]
    is_share: bool = False

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
    def difference_in_se(self) -> float:
        """Engine minus mean in standard errors; NaN if there is none, or if no seed differs from another."""
        error = self.standard_error
        return (self.engine - self.mean) / error if error > 0.0 else math.nan

    @property
    def agrees(self) -> bool:
        """Whether the difference is within chance, or too small to matter."""
        difference = abs(self.engine - self.mean)
        near = POINTS if self.is_share else SHARE * max(abs(self.engine), abs(self.mean))
        chance = 0.0
        if self.standard_error > 0.0:
            chance = self.standard_error * float(stats.t.ppf(0.5 + 0.5 * CONFIDENCE, len(self.values) - 1))
        return bool(difference <= max(near, chance) + 1e-12)

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
        return f"{value:,.0f}" if abs(value) >= 1000.0 else f"{value:.3g}"


def _figures(zoom: Zoom) -> list[Figure]:
    found = []
    many = len(zoom.record.populations) > 1
    offered, good, attempts = (TOTALS.index(name) for name in ("offered", "good", "attempts"))
    for g, name in enumerate(zoom.record.populations):
        of = f" of {name}" if many else ""
        mine, totals = zoom.totals[g], [run.populations[name] for run in zoom.runs]
        if mine[offered] <= 0.0 or any(t.offered == 0 or t.good + t.failed == 0 for t in totals):
            continue  # nobody came: there is nothing to compare
        served = tuple(t.availability for t in totals)
        found.append(
            Figure(f"availability {name}", f"requests served{of}", float(mine[good] / mine[offered]), served, True)
        )
        tries = tuple(t.attempts / t.offered for t in totals)
        found.append(
            Figure(f"attempts {name}", f"attempts per request{of}", float(mine[attempts] / mine[offered]), tries)
        )
    kills = sum(1 for r in zoom.record.records if r.kind == "oom_kill" and r.at_s >= zoom.from_s)
    if any(service.memory is not None for service in zoom.scenario.services.values()):
        of_runs = tuple(float(len(run.oom_kills)) for run in zoom.runs)
        found.append(Figure("oom_kills", "OOM kills", float(kills), of_runs))
    for i, pool in enumerate(zoom.record.pools):
        inside = tuple(run.pools[pool].inside_mean for run in zoom.runs)
        ready = tuple(_mean_over(run.curves.times_s, run.curves.ready[pool]) for run in zoom.runs)
        at_s = zoom.trace.at_s[zoom.shown]
        engine_ready = _mean_over(at_s, zoom.trace.ready[zoom.shown, i])
        if max(engine_ready, *ready) == 0.0:
            continue  # asleep all the time
        engine_inside = _mean_over(at_s, zoom.trace.in_flight[zoom.shown, i])
        found.append(Figure(f"in_flight {pool}", f"in flight in {pool}, mean", engine_inside, inside))
        found.append(Figure(f"ready {pool}", f"ready pods of {pool}, mean", engine_ready, ready))
    return found


def _mean_over(times_s: Floats, values: Floats) -> float:
    """Time average of a sampled curve."""
    if len(times_s) < 2:
        return float(values[-1]) if len(values) else math.nan
    return float(np.trapezoid(values, times_s) / (times_s[-1] - times_s[0]))


def verdict(zoom: Zoom) -> str:
    """Whether the two agree, in one sentence."""
    n_seeds = len(zoom.runs)
    seeds = f"{n_seeds} seeds" if n_seeds > 1 else "one seed"
    apart = [f for f in zoom.figures if not f.agrees]
    within = f"within chance ({CONFIDENCE:.0%}, {seeds}) or within {100 * POINTS:.0f} percentage point or {SHARE:.0%}"
    if not apart:
        return f"The engine and the request-level model agree: all {len(zoom.figures)} figures are {within}."
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
