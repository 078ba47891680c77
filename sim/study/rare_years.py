"""Means of rare and grave years from fewer trials: trials are chosen by what their tapes say, not as they come.

Tapes are read, a pilot shows what they threaten, strata are cut (`sim.study.strata`), and each stratum gets trials in
proportion to its share and its spread (Neyman), in rounds, until the interval is narrow enough. All designs take the
trials of a stratum in the same order, so that their differences are of the same histories.
"""

import json
import math
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass, field, replace
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from sim.errors import UsageError
from sim.estimate import Estimate
from sim.estimate.allocation import LEAST_DRAWS, neyman_allocation
from sim.estimate.strata import stratified_difference, two_phase_mean
from sim.scenario.document import Experiment
from sim.scenario.schema import Scenario
from sim.study.catalogue import YEAR_S, Measure, measures_of, worst_year
from sim.study.dispatch import Dispatcher
from sim.study.folder import ResultsFolder
from sim.study.memory import MemoryStore, Store
from sim.study.meta import new_meta
from sim.study.options import ProgressCallback, RunOptions
from sim.study.parameters import uncertain_laws
from sim.study.ranges import n_in, to_ranges, without
from sim.study.recording import Recording
from sim.study.run import chosen, workers_of
from sim.study.stopping import relative_half_width
from sim.study.strata import MOST_TAPES, N_PILOT_TAPES, Stratification, Tapes, shares_of_variance
from sim.study.tables import Rows, rows_of
from sim.study.work import Job, Task, TaskResult, TrialFunction, engine_trial, modules_of
from sim.world.forecast import Forecast

MEASURE: Final = "downtime_h_per_year"
SAMPLE: Final = "strata"
"""What `run.json` says of a folder whose trials were chosen so."""
TAPES_SHARE: Final = 0.25
"""Of the variance that trials leave, what tapes may add."""
FASTEST: Final = 2.0
"""A round has at most so many times the trials of all rounds before it."""
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class YearsEffort:
    """When to stop.

    Parameters
    ----------
    measure : str
        Whose interval is to be narrow: a mean per trial, see `means_of`.
    wanted : float
        Half-width over the estimate, positive.
    most_trials : int
        Per design, the pilot not counted; all of each stratum at most.
    """

    measure: str = MEASURE
    wanted: float = 0.1
    most_trials: int = 2000


@dataclass(frozen=True)
class Years:
    """What was found of one design.

    Parameters
    ----------
    estimates : dict of str to Estimate
        By measure; `n` counts trials.
    drawn : dict of str to int
        Trials by stratum.
    means : dict of str to float
        Mean of the asked measure by stratum.
    worth : float
        Plain trials that would be as sure of the asked measure, over trials of the strata; NaN if nothing differed.
    """

    estimates: dict[str, Estimate]
    drawn: dict[str, int]
    means: dict[str, float]
    worth: float


@dataclass(frozen=True)
class RareYears:
    """What was found of all designs, and of pairs (`A - B`, each with the first design)."""

    designs: dict[str, Years]
    differences: dict[str, dict[str, Estimate]]
    stratification: Stratification
    n_pilot: int
    unmet: list[str] = field(default_factory=list)
    """Designs whose interval is still too wide."""


def means_of(scenario: Scenario) -> dict[str, Measure]:
    """The measures that can be had so: those that are means over trials, and those of a trial's yes or no."""
    found = measures_of(scenario)
    whole_years = math.isclose(scenario.horizon, YEAR_S)
    return {name: m for name, m in found.items() if m.kind == "mean" or (m.kind == "prob" and whole_years)}


def rare_years(
    experiment: Experiment,
    effort: YearsEffort | None = None,
    options: RunOptions | None = None,
    *,
    progress: ProgressCallback | None = None,
    trial_function: TrialFunction = engine_trial,
) -> RareYears:
    """Estimate the measures of all designs from strata of trials.

    Parameters
    ----------
    experiment : what to run.
    effort : when to stop.
    options : where it runs and is stored; `trials` and `keep` are not used.
    progress : called as trials end.
    trial_function : runs and measures one trial; importable by worker processes.

    Returns
    -------
    RareYears
        The same for any number of workers, any chunk size, and after any number of interruptions.

    Raises
    ------
    UsageError
        If the tapes tell nothing apart, laws are uncertain, or the measure is not a mean of trials.
    RunError
        As `sim.study.run.run_experiment`.
    """
    effort, options = effort or YearsEffort(), options or RunOptions()
    experiment = chosen(experiment, options)
    _refuse(experiment, effort)
    tapes = Tapes(Forecast(list(experiment.scenarios.values())))
    if not tapes.causes:
        raise UsageError("no fault of this scenario is rare enough to tell years apart: use run")
    meta = new_meta(experiment, 0, options) | {"sample": SAMPLE}
    store = ResultsFolder(options.out, meta) if options.out is not None else MemoryStore()
    job = Job(json.dumps(meta["document"]), trial_function)
    workers = workers_of(options, modules_of(job, experiment.scenarios.values()))
    with closing(store):
        sampling = _Sampling(experiment, effort, options, meta, store, progress)
        with sampling.recording.going_on(lambda: sampling.counts), Dispatcher(job, workers) as dispatcher:
            return sampling.run(tapes, dispatcher)


def _refuse(experiment: Experiment, effort: YearsEffort) -> None:
    for name, scenario in experiment.scenarios.items():
        if effort.measure not in means_of(scenario):
            known = ", ".join(means_of(scenario))
            raise UsageError(f"{effort.measure} of {name} is not a mean over trials; there are {known}")
        if uncertain_laws(scenario):
            raise UsageError("laws that are estimates are drawn for pairs of trials, which strata would part: use run")
    horizons = {(s.seed, s.start, s.horizon) for s in experiment.scenarios.values()}
    if len(horizons) > 1:
        raise UsageError("designs must have one start and one horizon to be sampled together")


@dataclass
class _Sampling:
    """The sampling in progress."""

    experiment: Experiment
    effort: YearsEffort
    options: RunOptions
    meta: dict[str, Any]
    store: Store
    progress: ProgressCallback | None
    n_asked: int = 0
    losses: dict[str, dict[int, Floats]] = field(default_factory=dict)
    """By design and trial: one number per measure."""

    def __post_init__(self) -> None:
        self.recording = Recording(self.store, self.meta, list(self.experiment.scenarios), self.options.out)

    def run(self, tapes: Tapes, dispatcher: Dispatcher) -> RareYears:
        """Pilot, strata, rounds."""
        names = list(self.experiment.scenarios)
        for text in self.store.damage:
            self._report(text)
        if any(self.store.done().values()):
            self._note(self.store.tables(dict.fromkeys(names, N_PILOT_TAPES + MOST_TAPES)))
        pilot = tapes.pilot()
        self._simulate(dispatcher, dict.fromkeys(names, pilot))
        losses = np.column_stack([self._losses_of(name, pilot)[:, self._asked(name)] for name in names])
        strata = tapes.stratified(pilot, losses)
        sizes = {name: {s: min(LEAST_DRAWS, n) for s, n in strata.members.items()} for name in names}
        while True:
            self._simulate(dispatcher, {name: list(_numbers(strata, sizes[name])) for name in names})
            found = {name: self._years(name, strata, sizes[name]) for name in names}
            wide = {name: self._ratio(mine) for name, mine in found.items() if self._ratio(mine) > 1.0}
            if any(self._lacks_tapes(name, strata, sizes[name]) for name in wide) and strata.n_tapes < MOST_TAPES:
                strata = tapes.with_more(strata)
                continue
            larger = {name: self._larger(name, strata, sizes[name], ratio) for name, ratio in wide.items()}
            larger = {name: size for name, size in larger.items() if size != sizes[name]}
            if not larger:
                break
            sizes |= larger
        return RareYears(found, self._differences(strata, sizes), strata, len(pilot), list(wide))

    # -- trials ---------------------------------------------------------------------------------------

    def _simulate(self, dispatcher: Dispatcher, wanted: Mapping[str, list[int]]) -> None:
        """Run the trials wanted that are not stored yet."""
        done = self.store.done()
        tasks = list(_tasks({n: without(to_ranges(numbers), done.get(n, ())) for n, numbers in wanted.items()}))
        self.n_asked = sum(n_in(ranges) for ranges in done.values()) + sum(task.count for task in tasks)

        def take(result: TaskResult) -> None:
            for tables in result.tables:
                self._note(tables)
            self.recording.take(result.tables)
            self._report()

        waiting = iter(tasks)
        dispatcher.run(lambda: next(waiting, None), take)
        self.recording.flush()

    @property
    def counts(self) -> tuple[int, int]:
        """Trials done and asked so far, over all designs."""
        return sum(len(mine) for mine in self.losses.values()), self.n_asked

    def _report(self, text: str = "") -> None:
        if self.progress is not None:
            self.progress(*self.counts, text)

    # -- numbers --------------------------------------------------------------------------------------

    def _asked(self, name: str) -> int:
        return list(means_of(self.experiment.scenarios[name])).index(self.effort.measure)

    def _note(self, tables: Mapping[str, Rows]) -> None:
        """Keep the measures of the trials in these tables."""
        for name in dict.fromkeys(tables["trials"]["architecture"].tolist()):
            scenario = self.experiment.scenarios[name]
            rows, years = rows_of(tables["trials"], name), scenario.horizon / YEAR_S
            columns = [
                _loss(m, rows[m.column].astype(np.float64) * (m.scale / (years if m.annual else 1.0)))
                for m in means_of(scenario).values()
            ]
            kept = self.losses.setdefault(name, {})
            kept.update(zip(rows["trial"].tolist(), np.column_stack(columns), strict=True))

    def _losses_of(self, name: str, numbers: list[int]) -> Floats:
        """Measures of these trials, shares as losses (`_loss`): shape (n_trials, n_measures)."""
        return np.array([self.losses[name][number] for number in numbers])

    def _draws(self, name: str, strata: Stratification, size: Mapping[str, int]) -> dict[str, Floats]:
        every = self._losses_of(name, list(_numbers(strata, size)))
        ends = np.cumsum([size[s.name] for s in strata.strata])[:-1]
        return dict(zip((s.name for s in strata.strata), np.split(every, ends), strict=True))

    def _years(self, name: str, strata: Stratification, size: Mapping[str, int]) -> Years:
        draws, measures = self._draws(name, strata, size), means_of(self.experiment.scenarios[name])
        bounds = [_bounds(measure, self.experiment.scenarios[name]) for measure in measures]
        found = two_phase_mean(
            draws, strata.counts(), strata.n_tapes, bounds=bounds, confidence=self.options.confidence
        )
        asked = self._asked(name)
        return Years(
            {name: _of_loss(measure, one) for (name, measure), one in zip(measures.items(), found, strict=True)},
            dict(size),
            {s: float(rows[:, asked].mean()) for s, rows in draws.items()},
            _worth({s: rows[:, asked] for s, rows in draws.items()}, strata),
        )

    def _ratio(self, years: Years) -> float:
        """How many times too wide the interval is."""
        of_rest = self.effort.measure.startswith("availability")
        return relative_half_width(years.estimates[self.effort.measure], of_rest=of_rest) / self.effort.wanted

    def _larger(self, name: str, strata: Stratification, size: Mapping[str, int], ratio: float) -> dict[str, int]:
        """Trials by stratum of the next round; those of this one if there are no more."""
        n = sum(size.values())
        budget = min(n * min(max(ratio**2, 1.25), FASTEST), self.effort.most_trials)
        if budget <= n:
            return dict(size)
        draws = self._draws_asked(name, strata, size)
        return neyman_allocation(draws, strata.shares, budget, members=strata.members)

    def _draws_asked(self, name: str, strata: Stratification, size: Mapping[str, int]) -> dict[str, Floats]:
        asked = self._asked(name)
        return {s: rows[:, asked] for s, rows in self._draws(name, strata, size).items()}

    def _lacks_tapes(self, name: str, strata: Stratification, size: Mapping[str, int]) -> bool:
        """Whether the number of tapes, which cost little, keeps the interval wide more than trials do."""
        _, by_tapes, by_trials = shares_of_variance(self._draws_asked(name, strata, size), strata)
        return by_tapes > TAPES_SHARE * by_trials

    def _differences(self, strata: Stratification, sizes: Mapping[str, Mapping[str, int]]) -> dict[str, Any]:
        """Each design less the first, from the trials that both have."""
        first, *others = self.experiment.scenarios
        scenarios = self.experiment.scenarios
        found = {}
        for name in others:
            both = {s: min(n, sizes[first][s]) for s, n in sizes[name].items()}
            one, other = self._draws(name, strata, both), self._draws(first, strata, both)
            mine, its = list(means_of(scenarios[name])), list(means_of(scenarios[first]))
            common = [measure for measure in mine if measure in its]
            a = {s: rows[:, [mine.index(m) for m in common]] for s, rows in one.items()}
            b = {s: rows[:, [its.index(m) for m in common]] for s, rows in other.items()}
            bounds = [_bounds(measure, scenarios[name]) for measure in common]
            estimates = stratified_difference(
                a, b, strata.counts(), strata.n_tapes, bounds=bounds, confidence=self.options.confidence
            )
            known = means_of(scenarios[name])
            found[f"{name} - {first}"] = {
                m: _of_loss(known[m], one, difference=True) for m, one in zip(common, estimates, strict=True)
            }
        return found


def _tasks(ranges: Mapping[str, list[tuple[int, int]]]) -> Iterator[Task]:
    """One trial each, the designs in turn: they take from a tenth of a second on, and a lost worker costs one."""
    waiting = {name: iter([k for first, last in mine for k in range(first, last + 1)]) for name, mine in ranges.items()}
    while waiting:
        for name in list(waiting):
            trial = next(waiting[name], None)
            if trial is None:
                del waiting[name]
            else:
                yield Task(name, trial, 1)


def _numbers(strata: Stratification, size: Mapping[str, int]) -> Iterator[int]:
    """Trials of the strata in order: of each the first, which is a draw at random because numbers mean nothing."""
    for stratum in strata.strata:
        yield from (int(number) for number in stratum.members[: size[stratum.name]])


def _loss(measure: Measure, values: Floats) -> Floats:
    """What a trial loses: 1 less a share that is better the higher it is.

    Then nothing lost is 0, and what was never seen is bounded by what was lost elsewhere, not by all there is.
    """
    return 1.0 - values if measure.is_share and measure.higher_is_better else values


def _of_loss(measure: Measure, loss: Estimate, *, difference: bool = False) -> Estimate:
    """The estimate of a measure from that of its loss, or of its difference."""
    if not (measure.is_share and measure.higher_is_better):
        return loss
    whole = 0.0 if difference else 1.0
    return replace(loss, mean=whole - loss.mean, low=whole - loss.high, high=whole - loss.low)


def _bounds(measure: str, scenario: Scenario) -> tuple[float, float]:
    return 0.0, 1.0 if measures_of(scenario)[measure].kind == "prob" else worst_year(measure, scenario)


def _worth(draws: Mapping[str, Floats], strata: Stratification) -> float:
    """Plain trials that would be as sure, over trials of the strata, from variances alone."""
    plain, by_tapes, by_trials = shares_of_variance(draws, strata)
    n = sum(len(rows) for rows in draws.values())
    return plain / (by_tapes + by_trials) / n if by_tapes + by_trials > 0.0 else math.nan
