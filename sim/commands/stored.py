"""`report` and `results`: what is on disk already."""

import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import typer

from sim.commands.documents import print_document, result_document
from sim.commands.exits import EXIT_RUN_ERROR, print_error
from sim.commands.request import OutputChoice
from sim.commands.run import write_report
from sim.commands.show import print_result, print_table, stdout_console
from sim.errors import UsageError
from sim.study import RunResult, load_result
from sim.study.listing import (
    STATES,
    Entry,
    document_of,
    entry_of,
    faults_of,
    list_runs,
    refuse_removal,
    remove_run,
)

SORTS: dict[str, Callable[[Entry], Any]] = {
    "started": lambda run: run.started,
    "name": lambda run: run.name,
    "size": lambda run: -run.n_bytes,
    "trials": lambda run: -run.trials_done,
}


@dataclass(frozen=True)
class ListChoice:
    """Which runs are listed, in which order."""

    state: str | None = None
    sort: str = "started"


def rebuild_report(folder: Path, output: OutputChoice) -> None:
    """Write report.html of a stored run again; nothing is simulated."""
    path = write_report(load_result(folder))
    if output.json:
        print_document({"run": str(folder), "report": str(path)})
    else:
        typer.echo(f"Report: {path}")


def results_command(arguments: Sequence[str], choice: ListChoice, output: OutputChoice, *, sure: bool) -> None:
    """`[FOLDER]`, `show RUN`, `verify RUN` or `remove RUN...`; raises UsageError for anything else."""
    verb, *rest = arguments or ["results"]
    folders = [Path(text) for text in rest]
    if verb == "remove" and folders:
        remove_runs(folders, sure=sure)
    elif verb in ("show", "verify") and len(folders) == 1:
        (show_run if verb == "show" else verify_run)(folders[0], output)
    elif not folders and verb not in ("show", "verify", "remove"):
        list_results(Path(verb), choice, output)
    else:
        raise UsageError("expected: results [FOLDER], results show RUN, results verify RUN, or results remove RUN...")


def list_results(folder: Path, choice: ListChoice, output: OutputChoice) -> None:
    """Runs below a folder; raises UsageError for an unknown state or order."""
    if choice.state is not None and choice.state not in STATES:
        raise UsageError(f"--state is {choice.state}, but must be one of {', '.join(STATES)}")
    if choice.sort not in SORTS:
        raise UsageError(f"--sort is {choice.sort}, but must be one of {', '.join(SORTS)}")
    runs = [run for run in list_runs(folder) if choice.state in (None, run.state)]
    runs.sort(key=SORTS[choice.sort])
    if output.json:
        print_document({"runs": [document_of(run) for run in runs]})
        return
    if not runs:
        typer.echo(f"no runs in {shown(str(folder))}")
        return
    columns = ["folder", "name", "started", "state", "trials", "seed", "size", "availability (time)"]
    print_table(stdout_console(), "Runs", columns, [_cells(run) for run in runs])


def show_run(folder: Path, output: OutputChoice) -> None:
    """One run: what was run, its state, its measures; raises RunError if it holds none or is damaged."""
    result = load_result(folder)
    entry = entry_of(folder)
    if output.json:
        print_document(document_of(entry) | {"result": result_document(result)})
        return
    print_table(stdout_console(), "Run", ["", ""], [[key, shown(str(value))] for key, value in _facts(entry, result)])
    print_result(result)


def verify_run(folder: Path, output: OutputChoice) -> None:
    """Check every file of a run; exit code 1 if one is damaged."""
    faults = faults_of(folder)
    if not faults:
        load_result(folder)  # the scenario and the tables belong together
    if output.json:
        print_document({"run": str(folder), "faults": faults})
    for fault in faults:
        print_error(shown(fault))
    if faults:
        print_error(f"the other parts are whole; the run's command with --out {shown(str(folder))} runs what is lost")
        raise typer.Exit(EXIT_RUN_ERROR)
    if not output.json:
        typer.echo(f"{shown(str(folder))}: all files are as they were written")


def remove_runs(folders: Sequence[Path], *, sure: bool) -> None:
    """Delete runs after a question; all are looked at before the first goes."""
    for folder in folders:
        refuse_removal(folder)
        if not sure and not sys.stdin.isatty():
            raise UsageError("nothing was removed: give --yes to remove without a question")
    for folder in folders:
        entry = entry_of(folder)
        question = f"Remove {shown(str(folder))} ({entry.state}, {entry.trials_done} trials, {_size(entry.n_bytes)})?"
        if sure or typer.confirm(question):
            remove_run(folder)
            typer.echo(f"removed {shown(str(folder))}")


def shown(text: str) -> str:
    """The text without control characters, which a terminal would obey: they are written out instead."""
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def _cells(run: Entry) -> list[str]:
    availability = "\n".join(
        f"{name} {of['mean']:.4%} [{of['low']:.4%}, {of['high']:.4%}]" for name, of in run.headline.items()
    )
    cells = [run.run, run.name, run.started, run.state, f"{run.trials_done} of {run.trials_asked}", str(run.seed)]
    return [*map(shown, cells), _size(run.n_bytes), "\n".join(map(shown, availability.split("\n"))) or "-"]


def _facts(entry: Entry, result: RunResult) -> list[tuple[str, object]]:
    keys = ("command", "ended", "confidence", "workers", "engine", "scenario_hash", "table_hash")
    facts = {"folder": entry.run, "name": entry.name, "state": entry.state, "started": entry.started}
    return [*facts.items(), ("size", _size(entry.n_bytes)), *((key, result.meta.get(key, "")) for key in keys)]


def _size(n_bytes: int) -> str:
    return f"{n_bytes / 1e6:.1f} MB" if n_bytes >= 1e5 else f"{n_bytes / 1e3:.1f} kB"
