"""What a worker does: run the trials of one task and measure them.

A task is plain data, and its result depends on the scenario and the trial numbers only, never on the worker,
the order or the size of tasks. Knows nothing of processes, files or other tasks.
"""

import json
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol

from sim.errors import RunError
from sim.scenario.document import Experiment
from sim.scenario.reliability import ReliabilityScenario
from sim.scenario.schema import Scenario
from sim.study.tables import Tables
from sim.world.log import TrialRecord


class TrialFunction(Protocol):
    """Runs one trial and measures it; an importable function, so that worker processes find it."""

    def __call__(
        self, scenario: Scenario, architecture: str, trial: int, *, keep: bool = False
    ) -> tuple[TrialRecord, Tables]:
        """Record (with its trace if `keep`) and tables of one trial."""
        ...


def engine_trial(
    scenario: Scenario, architecture: str, trial: int, *, keep: bool = False
) -> tuple[TrialRecord, Tables]:
    """One trial of the simulator itself."""
    if isinstance(scenario, ReliabilityScenario):
        from sim.study.elements import recorded_trial

        return recorded_trial(scenario, architecture, trial)
    from sim.measures import measure_trial
    from sim.study.parameters import with_drawn_parameters
    from sim.world import run_trial

    scenario = with_drawn_parameters(scenario, trial)
    record = run_trial(scenario, architecture, trial, keep=keep)
    return record, measure_trial(record, scenario)


@dataclass(frozen=True, slots=True)
class Task:
    """Consecutive trials of one architecture."""

    architecture: str
    first: int
    count: int
    keep: bool = False
    """Bring the records with their traces too."""

    @property
    def trials(self) -> range:
        """Trial numbers."""
        return range(self.first, self.first + self.count)


@dataclass(frozen=True, slots=True)
class TaskResult:
    """What a finished task brings back."""

    task: Task
    tables: list[Tables]
    """One per trial, or fewer of several trials each; each trial's rows stand together in one of them."""
    took_s: float
    records: list[TrialRecord] = field(default_factory=list)
    """Kept records only."""


@dataclass(frozen=True, slots=True)
class Job:
    """What all tasks of a run share."""

    document: str
    """The resolved experiment as JSON."""
    trial_function: TrialFunction = engine_trial


def never() -> bool:
    """Whether to stop early: no."""
    return False


_should_stop: Callable[[], bool] = never


def stop_when(condition: Callable[[], bool]) -> None:
    """Set the condition under which this process leaves a task between two trials."""
    global _should_stop
    _should_stop = condition


@lru_cache(maxsize=2)
def _experiment(document: str) -> Experiment:
    """The experiment, built once per process rather than once per task."""
    return Experiment.from_document(json.loads(document))


def run_task(job: Job, task: Task) -> TaskResult:
    """Run the trials of a task.

    Raises RunError with architecture and trial if a trial fails. If told to stop it returns early; the caller,
    who told it so, throws that result away.
    """
    scenario = _experiment(job.document).scenarios[task.architecture]
    started_s = time.perf_counter()
    result = TaskResult(task, [], 0.0)
    if isinstance(scenario, ReliabilityScenario) and job.trial_function is engine_trial and not task.keep:
        return TaskResult(task, [_many(scenario, task)], time.perf_counter() - started_s)
    for trial in task.trials:
        if _should_stop():
            break
        try:
            record, tables = job.trial_function(scenario, task.architecture, trial, keep=task.keep)
        except Exception as error:
            raise RunError(_failure_text(scenario, task.architecture, trial, error)) from error
        result.tables.append(tables)
        if task.keep:
            result.records.append(record)
    took_s = time.perf_counter() - started_s
    return TaskResult(task, result.tables, took_s, result.records)


def _many(scenario: ReliabilityScenario, task: Task) -> Tables:
    """All trials of a task in one compiled call."""
    from sim.study.elements import measured_trials

    try:
        return measured_trials(scenario, task.architecture, task.trials)
    except Exception as error:
        raise RunError(_failure_text(scenario, task.architecture, task.first, error)) from error


def _failure_text(scenario: Scenario, architecture: str, trial: int, error: Exception) -> str:
    return (
        f"trial {trial} of {architecture} (seed {scenario.seed}) failed: {type(error).__name__}: {error}; "
        f"repeat it alone with: regionfall replay FILE --architecture {architecture} --trial {trial}"
    )
