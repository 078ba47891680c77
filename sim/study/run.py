"""Run every architecture of an experiment for its trials: the main path of a study.

Plan what is not done yet, hand it to workers, store what comes back, re-run the worst trial of each architecture
with its trace, summarise. Knows neither how a trial works nor how a file is written.
"""

import json
from collections.abc import Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from sim.errors import RunError, UsageError
from sim.scenario.document import Experiment, document_hash
from sim.scenario.schema import Scenario
from sim.study.controls import Controls
from sim.study.dispatch import Dispatcher
from sim.study.folder import RUN_FILE, ResultsFolder, open_stored
from sim.study.kept import read_kept, worst_trials, write_kept
from sim.study.memory import MemoryStore, Store
from sim.study.meta import new_meta
from sim.study.options import ProgressCallback, RunOptions
from sim.study.ranges import below, n_in
from sim.study.recording import Recording
from sim.study.result import RunResult
from sim.study.scan import Scan, scan
from sim.study.schedule import Schedule
from sim.study.stopping import most_trials, next_look, unmet, unmet_text, wanted_measures
from sim.study.stored_tables import StoredTables, stored_pieces
from sim.study.summary import Summary, estimated, summarise
from sim.study.tables import Rows
from sim.study.warning_lines import warning_lines
from sim.study.work import Job, Task, TaskResult, TrialFunction, engine_trial, modules_of
from sim.study.workers import Workers, make_workers
from sim.world.log import TrialRecord


def run_experiment(
    experiment: Experiment,
    options: RunOptions | None = None,
    *,
    progress: ProgressCallback | None = None,
    trial_function: TrialFunction = engine_trial,
    workers: Workers | None = None,
) -> RunResult:
    """Run the trials of every architecture and summarise them.

    Parameters
    ----------
    experiment : what to run.
    options : how; `RunOptions()` by default.
    progress : called as trials end.
    trial_function : runs and measures one trial; importable by worker processes.
    workers : where tasks run; by default as `options.workers` says.

    Returns
    -------
    RunResult
        The same tables for any number of workers, any chunk size, and after any number of interruptions.

    Raises
    ------
    InterruptedRunError
        Ctrl-C; finished trials are kept in the folder.
    RunError
        A trial failed, workers died again and again, or the folder cannot be used.
    UsageError
        An unknown architecture, or an option out of range.
    """
    options = options or RunOptions()
    experiment = chosen(experiment, options)
    meta = new_meta(experiment, trials_asked(experiment, options), options)
    store = ResultsFolder(options.out, meta) if options.out is not None else MemoryStore()
    job = Job(json.dumps(meta["document"]), trial_function)
    with closing(store):
        run = _Run(experiment, options, meta, store, progress)
        workers = workers or workers_of(options, modules_of(job, experiment.scenarios.values()))
        with run.recording.going_on(lambda: run.counts), Dispatcher(job, workers) as dispatcher:
            found = run.simulate_enough(dispatcher)
            kept = run.keep_worst(dispatcher, found.tables) if options.keep else {}
            meta["table_hash"] = found.hash
            confidence = float(meta["confidence"])
            summary = summarise(found.tables, experiment.scenarios, confidence, controls=run.controls)
            meta["headline"] = headline(summary)
        tables = store.tables(meta["trials_asked"])
    return _result(options.out, experiment, meta, (tables, found, summary), kept)


def headline(summary: Summary) -> dict[str, dict[str, float]]:
    """Availability and its interval by architecture, for the list of stored runs."""
    found = {name: mine["availability_time"] for name, mine in summary.estimates.items() if "availability_time" in mine}
    return {name: {"mean": e.mean, "low": e.low, "high": e.high} for name, e in found.items()}


def workers_of(options: RunOptions, modules: Sequence[str]) -> Workers:
    """Where the options say that tasks run; `modules` are imported there first."""
    return make_workers(options.n_workers, executor=options.executor, scheduler=options.scheduler, modules=modules)


def load_result(folder: Path) -> RunResult:
    """The result of a run from its folder, nothing run again.

    Raises RunError if the folder holds no run, no finished trial, or a damaged file.
    """
    meta, manifest = open_stored(folder)
    if meta.get("sample") is not None:
        raise RunError(f"{folder} holds trials chosen by {meta['sample']}, not as they come: show it with rare --out")
    try:
        experiment = Experiment.from_document(meta["document"])
        asked = {name: int(meta["trials_asked"][name]) for name in experiment.scenarios}
        RunOptions(confidence=float(meta["confidence"]))
    except (UsageError, KeyError, TypeError, ValueError) as error:
        raise RunError(f"{folder / RUN_FILE} is not of this version ({type(error).__name__}: {error})") from error
    tables = StoredTables(folder, manifest, asked)
    found = scan(stored_pieces(folder, manifest, asked), tables)
    if not found.n_trials:
        raise RunError(f"{folder} holds no finished trial yet")
    if document_hash(meta["document"]) != meta.get("scenario_hash"):
        raise RunError(f"{folder / RUN_FILE} was changed: its scenario is not the one that was run")
    if meta.get("table_hash") not in (None, found.hash):  # None: the run is not finished
        raise RunError(f"{folder / RUN_FILE} is of another run than the tables beside it")
    summary = summarise(found.tables, experiment.scenarios, float(meta["confidence"]))
    return _result(folder, experiment, meta, (tables, found, summary), read_kept(folder))


def chosen(experiment: Experiment, options: RunOptions) -> Experiment:
    """The experiment with the options' architectures and seed only; raises UsageError for an unknown name."""
    unknown = [name for name in options.architectures if name not in experiment.scenarios]
    if unknown:
        raise UsageError(f"there is no architecture {unknown[0]}; there are {', '.join(experiment.scenarios)}")
    names = [name for name in experiment.scenarios if not options.architectures or name in options.architectures]
    scenarios = {name: _with_seed(experiment.scenarios[name], options.seed) for name in names}
    return replace(
        experiment,
        scenarios=scenarios,
        settings={name: values for name, values in experiment.settings.items() if name in scenarios},
        architectures={name: value for name, value in experiment.architectures.items() if name in scenarios},
    )


def _with_seed(scenario: Scenario, seed: int | None) -> Scenario:
    return scenario if seed is None else scenario.model_copy(update={"seed": seed})


def trials_asked(experiment: Experiment, options: RunOptions) -> int:
    """Trials per architecture: the options', else the scenario's."""
    return options.trials or max(scenario.trials for scenario in experiment.scenarios.values())


@dataclass
class _Run:
    """A run in progress."""

    experiment: Experiment
    options: RunOptions
    meta: dict[str, Any]
    store: Store
    progress: ProgressCallback | None
    n_done: int = 0

    def __post_init__(self) -> None:
        self.controls = Controls()
        self.recording = Recording(self.store, self.meta, list(self.experiment.scenarios), self.options.out)

    @property
    def counts(self) -> tuple[int, int]:
        """Trials done and asked, over all architectures."""
        return self.n_done, sum(self.meta["trials_asked"].values())

    def simulate_enough(self, dispatcher: Dispatcher) -> Scan:
        """Run the trials asked; where the scenario asks for a precision instead, more of them until it is met."""
        scenarios, asked = self.experiment.scenarios, self.meta["trials_asked"]
        goes_on = self.options.trials is None and any(s.precision is not None for s in scenarios.values())
        while True:
            self.simulate(dispatcher)
            if not goes_on:
                break
            confidence, wanted = float(self.meta["confidence"]), wanted_measures(scenarios)
            # Only what was asked for is read and estimated: workers wait meanwhile.
            wide = unmet(estimated(self.store.tables(asked), scenarios, confidence, wanted, self.controls), scenarios)
            self.meta["precision_unmet"] = [f"{field} of {name}" for name, field, _, _ in wide]
            more = next_look(wide, asked, most_trials(scenarios))
            if not more:
                break
            asked.update(more)
            self._report(unmet_text(max(wide, key=lambda row: row[2] / row[3])))
        return self.store.scan(asked)

    def simulate(self, dispatcher: Dispatcher) -> None:
        """Run every trial that is not stored yet."""
        asked: dict[str, int] = self.meta["trials_asked"]
        done = self.store.done()
        self.n_done = sum(n_in(below(done.get(name, ()), trials)) for name, trials in asked.items())
        schedule = Schedule(asked, done=done, chunk=self.options.chunk, n_workers=lambda: dispatcher.n_workers)
        for text in self.store.damage:
            self._report(text)
        self._report("")

        def take(result: TaskResult) -> None:
            self.n_done += result.task.count
            schedule.learn(result.task, result.took_s, self.recording.take(result.tables))
            self._report("")

        dispatcher.run(schedule.next_task, take)
        self.recording.flush()

    def keep_worst(self, dispatcher: Dispatcher, tables: Mapping[str, Rows]) -> dict[str, TrialRecord]:
        """Run the worst trial of each architecture once more, with its trace."""
        self._report("worst trials with their traces")
        tasks = iter([Task(name, trial, 1, keep=True) for name, trial in worst_trials(tables).items()])
        found: dict[str, TrialRecord] = {}

        def take(result: TaskResult) -> None:
            found[result.task.architecture] = result.records[0]

        dispatcher.run(lambda: next(tasks, None), take)
        kept = {name: found[name] for name in self.experiment.scenarios}
        if self.options.out is not None:
            write_kept(self.options.out, kept)
        self.meta["kept"] = {name: record.trial for name, record in kept.items()}
        return kept

    def _report(self, text: str) -> None:
        if self.progress is not None:
            self.progress(*self.counts, text)


def _result(
    folder: Path | None,
    experiment: Experiment,
    meta: dict[str, Any],
    rows: tuple[Mapping[str, Rows], Scan, Summary],
    kept: dict[str, TrialRecord],
) -> RunResult:
    tables, found, summary = rows
    return RunResult(
        folder=folder,
        experiment=experiment,
        meta=meta,
        tables=tables,
        estimates=summary.estimates,
        differences=summary.differences,
        better_prob=summary.better_prob,
        warnings=warning_lines(experiment, found.tables, summary),
        kept=kept,
        parameters=summary.parameters,
    )
