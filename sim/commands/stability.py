"""`stability`: where each design is stable, vulnerable, metastable or overloaded, as a table, a document and a page."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.commands.documents import number, print_document
from sim.commands.exits import print_error
from sim.commands.places import refuse_file, results_folder
from sim.commands.request import OutputChoice, RunChoice, ScenarioChoice
from sim.commands.show import print_table, stdout_console
from sim.errors import UsageError
from sim.scenario.document import Experiment
from sim.study.folder import RUN_FILE, storage_errors
from sim.study.parquet import write_text
from sim.units import parse_duration

if TYPE_CHECKING:
    from sim.commands.stability_check import Check
    from sim.study.stability import Stability

PAGE_FILE = "stability.html"


def show_stability(
    scenario: ScenarioChoice, choice: RunChoice, output: OutputChoice, *, loss: str, lasts: str, check: int
) -> None:
    """Analyse all architectures, or the named ones, and show what was found."""
    from sim.study.options import usable_cores
    from sim.study.stability_all import analyse_all
    from sim.study.stability_bench import Loss
    from sim.study.warning_lines import scenario_lines

    if loss not in tuple(Loss):
        raise UsageError(f"--loss is {loss}, but must be slow or pods")
    try:
        lasts_s = parse_duration(lasts)
    except ValueError as error:
        raise UsageError(f"--lasts: {error}") from None
    if lasts_s <= 0.0:
        raise UsageError("--lasts must be above 0, e.g. 10m")
    experiment = scenario.load()
    folder = _folder(choice.out, experiment.name)
    tell = (lambda _: None) if output.quiet else print_error
    found = analyse_all(
        experiment,
        choice.architectures,
        how=Loss(loss),
        lasts_s=lasts_s,
        workers=choice.workers or usable_cores(),
        progress=tell,
    )
    checks = _checked(experiment, found, check, tell) if check else []
    warnings = [*_disagreements(checks), *scenario_lines(experiment, [s.architecture for s in found])]
    page = _write_page(experiment, found, checks, warnings, folder) if output.report else None
    if output.json:
        print_document(stability_document(found, checks, warnings, page))
        return
    _print(found, checks, warnings)
    if page is not None:
        stdout_console().print(f"Page: {page}")


def _folder(out: Path | None, name: str) -> Path:
    if out is not None and (out / RUN_FILE).exists():
        raise UsageError(f"{out} holds a run; choose another --out")
    refuse_file(out)
    return results_folder(out, f"stability {name}")


def _checked(experiment: Experiment, found: "list[Stability]", n: int, tell: Any) -> "list[Check]":
    from sim.commands.stability_check import check_cells

    return [check for s in found for check in check_cells(experiment.scenarios[s.architecture], s, n, tell)]


def _disagreements(checks: "list[Check]") -> list[str]:
    from sim.commands.stability_check import disagreement_lines

    return disagreement_lines(checks)


def _write_page(
    experiment: Experiment, found: "list[Stability]", checks: "list[Check]", warnings: list[str], folder: Path
) -> Path:
    from sim.commands.stability_check import check_table, verdicts_of
    from sim.report.html import render
    from sim.report.stability import page_of_stability

    page = page_of_stability(
        experiment.name,
        found,
        warnings=warnings,
        verdicts=verdicts_of(checks),
        checks=check_table(checks) if checks else None,
    )
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / PAGE_FILE, render(page))
    return folder / PAGE_FILE


def _print(found: "list[Stability]", checks: "list[Check]", warnings: list[str]) -> None:
    from sim.report.figures_stability import times

    console = stdout_console()
    columns = ["architecture", "today", "stable up to", "overloaded above", "bottleneck", "moves the border most"]
    rows = []
    for s in found:
        best = s.remedies[0] if s.remedies and s.remedies[0].critical_load > s.critical_load else None
        remedy = "-" if best is None else f"{best.name}: {times(best.critical_load)}"
        borders = [times(s.critical_load), times(s.highest_load)]
        rows.append([s.architecture, s.today.value, *borders, f"{s.pool[1]} in {s.pool[0]}", remedy])
    print_table(console, "Stability; loads are multiples of today's peak", columns, rows)
    for check in checks:
        console.print(f"- {check.text}", soft_wrap=True)
    for line in warnings:
        console.print(f"- {line}", soft_wrap=True)


def stability_document(
    found: "list[Stability]", checks: "list[Check]", warnings: list[str], page: Path | None
) -> dict[str, Any]:
    """The document of `stability -o json`."""
    return {
        "architectures": {s.architecture: _design_document(s) for s in found},
        "checks": [check.document() for check in checks],
        "warnings": warnings,
        "page": None if page is None else str(page),
    }


def _design_document(s: "Stability") -> dict[str, Any]:
    return {
        "today": s.today.value,
        "bottleneck": {"region": s.pool[0], "service": s.pool[1]},
        "peak_per_s": s.peak_per_s,
        "threshold": s.threshold,
        "loss": s.how.value,
        "lasts_s": s.lasts_s,
        "critical_load": number(s.critical_load),
        "highest_load": number(s.highest_load),
        "chance_load": number(s.chance_load),
        "map": [{"load": c.load, "lost": c.lost, "state": c.state.value} for c in s.cells],
        "triggers": [{"lost": t.lost, "shortest_s": number(t.shortest_s)} for t in s.tippings],
        "recovery": [{"load": load, "time_s": number(time_s)} for load, time_s in s.recovery],
        "faults": [
            {"fault": t.fault, "lost": t.lost, "loss": t.how.value, "lasts_s": t.lasts_s, "tips_share": number(share)}
            for t, share in s.own
        ],
        "remedies": [
            {
                "name": e.name,
                "what": e.what,
                "critical_load": number(e.critical_load),
                "highest_load": number(e.highest_load),
            }
            for e in s.remedies
        ],
    }
