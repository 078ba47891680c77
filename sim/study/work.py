"""What a worker does: run the trials of one task and measure them.

A task is plain data, and its result depends on the scenario and the trial numbers only, never on the worker,
the order or the size of tasks. Knows nothing of processes, files or other tasks.
"""

import json
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Protocol, cast

from sim.errors import RunError
from sim.scenario.document import Experiment
from sim.scenario.reliability import ReliabilityScenario
from sim.scenario.schema import Scenario
from sim.study.tables import Tables, merge
from sim.world.log import TrialRecord

ENGINE_MODULES = ("sim.world.trial", "sim.measures", "sim.study.work")
"""What trials of the engine need."""
MOST_LOOSE_TABLES = 1024
"""Tables of single trials before they are joined: an array of one row takes more memory than its row."""


class TrialFunction(Protocol):
    """Runs one trial and measures it; an importable function, so that worker processes find it."""

    def __call__(
        self, scenario: Scenario, architecture: str, trial: int, *, keep: bool = False
    ) -> tuple[TrialRecord, Tables]:
        """Record (with its trace if `keep`) and tables of one trial."""
        ...


class BatchFunction(Protocol):
    """The attribute `batch` of a trial function whose trials are too quick to be called one by one."""

    def __call__(self, scenario: Scenario, architecture: str, trials: range) -> Tables:
        """Tables of consecutive trials, the rows of each as the trial alone would give them."""
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
    """Each holds one or more trials, and together they hold the task's."""
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
    batch = None if task.keep else _batch_of(job, scenario)
    if batch is not None:
        return TaskResult(task, [_batched(batch, scenario, task)], time.perf_counter() - started_s)
    result = TaskResult(task, [], 0.0)
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
        if len(result.tables) >= MOST_LOOSE_TABLES:
            result.tables[:] = [merge(result.tables, [task.architecture])]
    took_s = time.perf_counter() - started_s
    tables_of_task = [merge(result.tables, [task.architecture])] if len(result.tables) > 1 else result.tables
    return TaskResult(task, tables_of_task, took_s, result.records)


def _batch_of(job: Job, scenario: Scenario) -> BatchFunction | None:
    """What runs all trials of a task at once, if anything does."""
    if isinstance(scenario, ReliabilityScenario) and job.trial_function is engine_trial:
        from sim.study.elements import measured_trials

        return cast(BatchFunction, measured_trials)  # of its own kind of scenario, which this one is
    return getattr(job.trial_function, "batch", None)


def modules_of(job: Job, scenarios: Iterable[Scenario]) -> tuple[str, ...]:
    """What workers of a job import before its first task: not the engine (100 MiB) where no trial needs it.

    A trial function that is not the engine's may have `modules`, a tuple of names.
    """
    if job.trial_function is engine_trial and all(isinstance(s, ReliabilityScenario) for s in scenarios):
        return ("sim.study.elements", "sim.study.work")
    return tuple(getattr(job.trial_function, "modules", ENGINE_MODULES))


def _batched(batch: BatchFunction, scenario: Scenario, task: Task) -> Tables:
    """Tables of all trials of a task at once; raises RunError like a trial alone."""
    try:
        return batch(scenario, task.architecture, task.trials)
    except Exception as error:
        raise RunError(_failure_text(scenario, task.architecture, task.first, error)) from error


def _failure_text(scenario: Scenario, architecture: str, trial: int, error: Exception) -> str:
    return (
        f"trial {trial} of {architecture} (seed {scenario.seed}) failed: {type(error).__name__}: {error}; "
        f"repeat it alone with: regionfall replay FILE --architecture {architecture} --trial {trial}"
    )
