"""What matters most in one design: shares, importance, tornado, Sobol indices, minimal sequences of events.

All what-ifs and all points of a Sobol design are the architectures of one run, so that they meet the same random
histories, use all workers, and a run that was killed goes on where it was. Knows nothing of figures.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sim.errors import UsageError
from sim.estimate import Estimate
from sim.estimate.sobol import SobolIndices, sobol_design, sobol_from
from sim.scenario.document import Experiment
from sim.scenario.knobs import Knob, knob_at, refusal, value_at, with_text, with_value
from sim.scenario.schema import Scenario
from sim.study.catalogue import HOUR_S, YEAR_S
from sim.study.controls import Controls
from sim.study.necessity import Verdict, verdicts_of
from sim.study.options import ProgressCallback, RunOptions
from sim.study.result import RunResult
from sim.study.run import run_experiment
from sim.study.shares import COVERED, Ranked, downtime_shares, ranked_sequences
from sim.study.summary import summarise
from sim.study.tables import Rows, rows_of
from sim.study.what_ifs import BASE, Kind, WhatIf, base_of, element_what_ifs, fault_what_ifs, knob_what_ifs
from sim.study.work import TrialFunction, engine_trial
from sim.study.workers import Workers, make_workers

DOWNTIME: Final = "downtime_h_per_year"
MOST_CHECKED: Final = 24
"""Sequences whose faults are checked by reruns; each costs a trial per fault."""
TRIALS_PER_TASK: Final = 10
"""Unless the caller says otherwise."""
COMPARED: Final = (DOWNTIME, "availability_time", "lost_hours_per_year", "total_cost_per_year")
"""Measures whose change is kept."""


@dataclass(frozen=True, slots=True)
class Choice:
    """What is asked.

    Parameters
    ----------
    architecture : str
        Name; empty for the first.
    knobs : tuple of str
        `path` or `path=low,high`; empty for every number that the file states.
    step : float
        Relative step of knobs without values of their own, in (0, 1).
    with_knobs, with_elements : bool
        Whether numbers are stepped, and Birnbaum's importance is asked.
    all_elements : bool
        Every pod and node, not one of those that are alike.
    sobol : tuple of str
        `path=low,high` or `path=low,high,log`.
    sobol_samples : int
        Power of two; a design of d knobs has (d + 2) times as many points.
    covered : float
        Share of the lost minutes that the sequences are to explain, in (0, 1].
    check : bool
        Whether faults of the sequences are proved needed by reruns.
    """

    architecture: str = ""
    knobs: tuple[str, ...] = ()
    step: float = 0.2
    with_knobs: bool = True
    with_elements: bool = True
    all_elements: bool = False
    sobol: tuple[str, ...] = ()
    sobol_samples: int = 32
    covered: float = COVERED
    check: bool = True

    def __post_init__(self) -> None:
        if not 0.0 < self.step < 1.0:
            raise UsageError(f"the step is {self.step:g}, but must lie between 0 and 1, e.g. 20%")
        if not 0.0 < self.covered <= 1.0:
            raise UsageError(f"the share to cover is {self.covered:g}, but must lie above 0 and at most 1, e.g. 80%")

    def with_parts(self, *, knobs: bool, elements: str, samples: int, check: bool) -> "Choice":
        """The same with other parts of the study; raises UsageError if elements is not `like`, `all` or `none`."""
        if elements not in ("like", "all", "none"):
            raise UsageError(f"--elements is {elements}, but must be like, all or none")
        return replace(
            self,
            with_knobs=knobs,
            with_elements=elements != "none",
            all_elements=elements == "all",
            sobol_samples=samples,
            check=check,
        )


@dataclass(frozen=True, slots=True)
class Effect:
    """What one change does.

    Parameters
    ----------
    about : str
        The fault, `FAULT @ ELEMENT`, or the knob.
    kind : str
        `never`, `more`, `repair`, `low`, `high`, or `birnbaum`.
    setting : str
        What was changed, in words.
    changes : dict of str to Estimate
        By measure: paired difference, changed less as it is (for `birnbaum`: always down less never down).
    is_same : bool
        The downtime of no trial differed, to the last bit.
    """

    about: str
    kind: str
    setting: str
    changes: dict[str, Estimate]
    is_same: bool


@dataclass(frozen=True, slots=True)
class Range:
    """A knob of a Sobol design with its range, uniform or log-uniform; whole numbers take each value alike."""

    knob: Knob
    low: float
    high: float
    is_log: bool
    text: str

    def at(self, unit: float) -> "float | int":
        """Value at a place in [0, 1)."""
        if isinstance(self.knob.value, int):
            return math.floor(self.low + unit * (self.high - self.low + 1.0))
        if self.is_log:
            return float(self.low * (self.high / self.low) ** unit)
        return self.low + unit * (self.high - self.low)


@dataclass(frozen=True)
class Sensitivity:
    """All that was found of one design."""

    result: RunResult
    architecture: str
    scenario: Scenario
    base: dict[str, Estimate]
    shares: dict[str, dict[str, Estimate]]
    effects: list[Effect]
    birnbaum: list[Effect]
    sequences: list[Ranked]
    verdicts: dict[str, Verdict]
    ranges: list[Range]
    sobol: SobolIndices | None
    covered: float
    step: float
    notes: list[str] = field(default_factory=list)


def sensitivity_of(
    experiment: Experiment,
    choice: Choice | None = None,
    options: RunOptions | None = None,
    *,
    progress: ProgressCallback | None = None,
    trial_function: TrialFunction = engine_trial,
) -> Sensitivity:
    """Ask what matters most in one architecture.

    Parameters
    ----------
    experiment : Experiment
    choice : what is asked; `Choice()` by default.
    options : how it is run; `architectures` and `keep` are not used.
    progress : called as trials end.
    trial_function : runs and measures one trial.

    Raises
    ------
    UsageError
        An unknown architecture or knob, a value that it cannot have.
    RunError, InterruptedRunError
        As `run_experiment`; the same call with the same folder goes on.
    """
    choice, options = choice or Choice(), options or RunOptions()
    scenario = _scenario(experiment, choice, options)
    ranges = [_range(scenario, text) for text in choice.sobol]
    plan, notes = _plan(scenario, choice, ranges)
    name = choice.architecture or next(iter(experiment.scenarios))
    study = Experiment(f"{experiment.name}: what matters in {name}", {one.name: one.scenario for one in plan})
    trials = options.trials or scenario.trials
    # A worker prepares each changed scenario anew (its network, its undisturbed course): a task has many of its trials.
    chunk = options.chunk or min(trials, TRIALS_PER_TASK)
    asked = replace(options, architectures=(), keep=False, seed=None, trials=trials, chunk=chunk)
    result = run_experiment(study, asked, progress=progress, trial_function=trial_function)
    result = replace(result, tables={name: result.tables[name] for name in READ if name in result.tables})
    workers = make_workers(options.n_workers)
    sequences, verdicts = _sequences(result, scenario, choice, workers, trial_function)
    points = [one for one in plan if one.kind == "point"]
    values = _downtime_h(result, points)
    confidence, controls = options.confidence, Controls()
    changed = [one for one in plan if one.kind in ("never", "more", "repair", "low", "high")]
    return Sensitivity(
        result=result,
        architecture=name,
        scenario=scenario,
        base=result.estimates[BASE],
        shares=downtime_shares(result.tables, BASE, confidence=confidence, scenario=scenario),
        effects=[_effect(result, one, controls) for one in changed],
        birnbaum=list(_birnbaum(result, plan, confidence, controls)),
        sequences=sequences,
        verdicts=verdicts,
        ranges=ranges,
        sobol=sobol_from(values, len(ranges), confidence=confidence, seed=scenario.seed) if ranges else None,
        covered=choice.covered,
        step=choice.step,
        notes=notes,
    )


READ: Final = ("trials", "fault_kinds", "downtime_shares", "sequences")
"""Tables that are read, each once: a stored run reads a table anew whenever it is asked for."""


def _scenario(experiment: Experiment, choice: Choice, options: RunOptions) -> Scenario:
    name = choice.architecture or next(iter(experiment.scenarios))
    if name not in experiment.scenarios:
        raise UsageError(f"there is no architecture {name}; there are {', '.join(experiment.scenarios)}")
    scenario = experiment.scenarios[name]
    return scenario if options.seed is None else scenario.model_copy(update={"seed": options.seed})


# -- what is run ----------------------------------------------------------------------------------------


def _plan(scenario: Scenario, choice: Choice, ranges: Sequence[Range]) -> tuple[list[WhatIf], list[str]]:
    notes: list[str] = []
    plan = [base_of(scenario), *fault_what_ifs(scenario)]
    if choice.with_elements:
        plan += element_what_ifs(scenario, all_elements=choice.all_elements)
    if choice.with_knobs:
        found, notes = knob_what_ifs(scenario, choice.knobs, choice.step)
        plan += found
    elif choice.knobs:
        raise UsageError("--knob and --no-knobs exclude each other")
    return [*plan, *_points(scenario, choice, ranges)], notes


def _range(scenario: Scenario, text: str) -> Range:
    """`path=low,high` or `path=low,high,log`."""
    name, _, values = text.partition("=")
    low, high, *rest = [part.strip() for part in values.split(",")] if values.count(",") else ("", "")
    if not low or not high or rest not in ([], ["log"], ["uniform"]):
        raise UsageError(
            f"--sobol {text}: expected path=low,high or path=low,high,log such as services.irm.queue=10,80"
        )
    knob = knob_at(scenario, name.strip())
    ends = [value_at(with_text(scenario, knob, end), knob.path) for end in (low, high)]
    if not all(isinstance(end, int | float) for end in ends):
        raise UsageError(f"--sobol {text}: {knob.name} is a law; give one number of it, such as {knob.name}.fixed")
    is_log = rest == ["log"]
    if not ends[0] < ends[1] or (is_log and not ends[0] > 0):
        raise UsageError(f"--sobol {text}: expected low below high" + (", and above 0 for log" if is_log else ""))
    if is_log and isinstance(knob.value, int):
        raise UsageError(f"--sobol {text}: whole numbers are drawn uniformly; leave out log")
    return Range(knob, float(ends[0]), float(ends[1]), is_log, f"{low} to {high}" + (" (log)" if is_log else ""))


def _points(scenario: Scenario, choice: Choice, ranges: Sequence[Range]) -> Iterable[WhatIf]:
    if not ranges:
        return
    points = sobol_design(choice.sobol_samples, len(ranges), scenario.seed).points()
    for number, point in enumerate(points):
        changed = scenario
        for one, unit in zip(ranges, point, strict=True):
            changed = with_value(changed, one.knob.path, one.at(float(unit)))
        refused = refusal(changed)
        if refused:
            raise UsageError(f"--sobol: a point of the ranges is no valid scenario: {refused}; narrow the ranges")
        yield WhatIf(f"Sobol point {number}", "", "point", "", changed)


# -- what it says ---------------------------------------------------------------------------------------


def _effect(result: RunResult, one: WhatIf, controls: Controls) -> Effect:
    scenarios = {BASE: result.experiment.scenarios[BASE], one.name: one.scenario}
    found = summarise(_tables(result), scenarios, _confidence(result), controls=controls)
    differences = found.differences[f"{one.name} - {BASE}"]
    return Effect(one.about, one.kind, one.setting, _kept(differences), _is_same(result, one.name, BASE))


def _birnbaum(result: RunResult, plan: Sequence[WhatIf], confidence: float, controls: Controls) -> Iterable[Effect]:
    pairs: dict[str, dict[Kind, WhatIf]] = {}
    for one in plan:
        if one.kind in ("down", "up"):
            pairs.setdefault(one.about, {})[one.kind] = one
    for about, pair in pairs.items():
        down, up = pair["down"], pair["up"]
        scenarios = {up.name: up.scenario, down.name: down.scenario}
        found = summarise(_tables(result), scenarios, confidence, controls=controls)
        differences = found.differences[f"{down.name} - {up.name}"]
        same = _is_same(result, down.name, up.name)
        yield Effect(about, "birnbaum", "always against never", _kept(differences), same)


def _tables(result: RunResult) -> Mapping[str, Rows]:
    """The tables of a summary."""
    return {name: result.tables[name] for name in ("trials", "fault_kinds")}


def _kept(differences: dict[str, Estimate]) -> dict[str, Estimate]:
    return {name: differences[name] for name in COMPARED if name in differences}


def _confidence(result: RunResult) -> float:
    return float(result.meta["confidence"])


def _is_same(result: RunResult, one: str, other: str) -> bool:
    """Whether the trials have the same downtime, bit by bit.

    Not the lost work: an event that concerns nobody still ends a step of the data plane, and sums of requests in other
    parts differ in their last bits.
    """
    a, b = (rows_of(result.tables["trials"], name) for name in (one, other))
    return all(np.array_equal(a[key], b[key]) for key in ("trial", "downtime_s"))


def _downtime_h(result: RunResult, points: Sequence[WhatIf]) -> NDArray[np.float64]:
    """Downtime in hours per year, (n_points, n_trials)."""
    found = []
    for one in points:
        rows = rows_of(result.tables["trials"], one.name)
        found.append(rows["downtime_s"].astype(np.float64) / HOUR_S * (YEAR_S / one.scenario.horizon))
    return np.array(found, dtype=np.float64)


def _sequences(
    result: RunResult, scenario: Scenario, choice: Choice, workers: Workers, trial_function: TrialFunction
) -> tuple[list[Ranked], dict[str, Verdict]]:
    """Ranked sequences, minimal ones where the reruns were asked for, and the verdicts on those checked."""
    confidence = _confidence(result)
    ranked = ranked_sequences(result.tables, BASE, confidence=confidence, covered=choice.covered)
    if not choice.check:
        return ranked, {}
    checked = [one for one in ranked if one.is_needed and one.example.faults][:MOST_CHECKED]
    verdicts = verdicts_of(scenario, checked, workers, trial_function=trial_function)
    merged = {text: verdict.text for text, verdict in verdicts.items()}
    again = ranked_sequences(result.tables, BASE, confidence=confidence, covered=choice.covered, merged=merged)
    return again, verdicts
