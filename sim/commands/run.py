"""`run`, `compare` and `sweep`: trials, then a table or a document, then a report, then the gates."""

from dataclasses import replace
from pathlib import Path

import typer

from sim.commands.documents import print_document, result_document
from sim.commands.exits import EXIT_GATE_FAILED, print_error
from sim.commands.gate import failed_gates, parse_gate, refuse_unknown_architecture
from sim.commands.places import results_folder
from sim.commands.progress import shown_progress
from sim.commands.request import OutputChoice, RunChoice, ScenarioChoice
from sim.commands.show import print_result
from sim.errors import UsageError
from sim.scenario.document import Experiment
from sim.study import InterruptedRunError, RunResult, run_experiment
from sim.study.folder import REPORT_FILE, storage_errors
from sim.study.parquet import write_text


def run_first(scenario: ScenarioChoice, choice: RunChoice, output: OutputChoice) -> None:
    """Run the first architecture, or the named ones."""
    experiment = scenario.load()
    architectures = choice.architectures or (next(iter(experiment.scenarios)),)
    _run_and_show(experiment, replace(choice, architectures=architectures), output)


def run_all(scenario: ScenarioChoice, choice: RunChoice, output: OutputChoice) -> None:
    """Run all architectures, or the named ones, on the same random histories."""
    _run_and_show(scenario.load(), choice, output)


def run_sweep(scenario: ScenarioChoice, choice: RunChoice, output: OutputChoice) -> None:
    """Run all combinations of swept values; raises UsageError if nothing is swept."""
    experiment = scenario.load()
    if not experiment.sweep_axes:
        raise UsageError("nothing to sweep: give --sweep key=value,value or write a sweep block into the file")
    names = [
        name
        for name in experiment.scenarios
        if not choice.architectures or {name, experiment.architectures.get(name)} & set(choice.architectures)
    ]
    if not names:
        known = ", ".join(dict.fromkeys(experiment.architectures.values()))
        raise UsageError(f"there is no architecture {choice.architectures[0]}; there are {known}")
    _run_and_show(experiment, replace(choice, architectures=tuple(names)), output)


def _run_and_show(experiment: Experiment, choice: RunChoice, output: OutputChoice) -> None:
    gates = [parse_gate(text) for text in output.gates]  # a mistyped gate must not cost a run
    refuse_unknown_architecture(gates, choice.architectures or tuple(experiment.scenarios))
    folder = results_folder(choice.out, experiment.name)
    result = run_with_progress(experiment, choice, folder, output)
    if output.report:
        write_report(result)
    if output.json:
        print_document(result_document(result))
    else:
        print_result(result)
    failed = failed_gates(gates, result.estimates)
    for line in failed:
        print_error(line)
    if failed:
        raise typer.Exit(EXIT_GATE_FAILED)


def run_with_progress(experiment: Experiment, choice: RunChoice, folder: Path, output: OutputChoice) -> RunResult:
    """Run trials with progress on stderr; an interrupt says how to continue."""
    options = choice.options(folder, choice.architectures)
    try:
        with shown_progress(output.quiet) as progress:
            return run_experiment(experiment, options, progress=progress)
    except InterruptedRunError as error:
        print_error(f"to continue, give the same command with --out {folder}")
        raise error


def write_report(result: RunResult) -> Path | None:
    """Write report.html into the run's folder; None if the run has none."""
    from sim.report import build_report

    if result.folder is None:
        return None
    path = result.folder / REPORT_FILE
    html = build_report(result)
    with storage_errors(result.folder):
        write_text(path, html)
    return path
