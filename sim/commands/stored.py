"""`report` and `results`: what is on disk already."""

from pathlib import Path
from typing import Any

import typer

from sim.commands.documents import print_document
from sim.commands.request import OutputChoice
from sim.commands.run import write_report
from sim.commands.show import print_table, stdout_console
from sim.errors import RunError
from sim.study import load_result
from sim.study.folder import RUN_FILE, read_json

SHOWN_KEYS = ("name", "started", "stop_reason", "trials_asked", "seed")


def rebuild_report(folder: Path, output: OutputChoice) -> None:
    """Write report.html of a stored run again; nothing is simulated."""
    path = write_report(load_result(folder))
    if output.json:
        print_document({"run": str(folder), "report": str(path)})
    else:
        typer.echo(f"Report: {path}")


def list_results(folder: Path, output: OutputChoice) -> None:
    """All runs below a folder, oldest first; a run that cannot be read is listed as such."""
    runs = [_entry(path.parent) for path in sorted(folder.glob(f"*/{RUN_FILE}"))]
    runs.sort(key=lambda run: str(run["started"]))
    if output.json:
        print_document({"runs": runs})
        return
    if not runs:
        typer.echo(f"no runs in {folder}")
        return
    columns = ["folder", "name", "started", "state", "trials", "seed"]
    rows = [[run["run"], *(str(run[key]) for key in SHOWN_KEYS)] for run in runs]
    print_table(stdout_console(), "Runs", columns, rows)


def _entry(folder: Path) -> dict[str, Any]:
    try:
        meta = read_json(folder / RUN_FILE)
    except RunError:
        meta = {"name": "", "stop_reason": "unreadable"}
    return {"run": str(folder)} | {key: meta.get(key, "") for key in SHOWN_KEYS}
