"""`zoom`: a window of one trial of the engine, and the same window request by request."""

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from multiprocessing import get_context
from os import cpu_count
from pathlib import Path
from typing import Any, Final

import numpy as np

from sim.commands.documents import iso_time, number, print_document
from sim.commands.exits import print_error
from sim.commands.places import refuse_file, results_folder
from sim.commands.request import OutputChoice, RunChoice, ScenarioChoice
from sim.commands.show import print_table, stdout_console
from sim.commands.zoom_engine import EngineWindow, play_window
from sim.errors import UsageError
from sim.oracles.network_model import run_requests
from sim.oracles.network_run import RequestRun
from sim.report.zoom import Zoom, verdict
from sim.scenario.schema import Scenario, moment_s
from sim.study.folder import REPORT_FILE, RUN_FILE, storage_errors
from sim.study.options import MOST_TRIALS, RunOptions
from sim.study.parquet import write_text
from sim.study.run import chosen
from sim.units import format_duration, parse_duration

LONGEST_S: Final = 86400.0
"""A longer window would take hours request by request."""


@dataclass(frozen=True, slots=True)
class WindowChoice:
    """Which window of which trial, and how many request-level runs of it."""

    trial: int
    from_: str
    for_: str
    seeds: int


def zoom_in(scenario: ScenarioChoice, choice: RunChoice, output: OutputChoice, window: WindowChoice) -> None:
    """Play the window both ways, and show both."""
    if not 0 <= window.trial < MOST_TRIALS:
        raise UsageError(f"trial is {window.trial}, but must be at least 0 and below {MOST_TRIALS}")
    if choice.out is not None and (choice.out / RUN_FILE).exists():
        raise UsageError(f"{choice.out} holds a run, whose report would be replaced; choose another --out")
    refuse_file(choice.out)
    experiment = chosen(scenario.load(), RunOptions(seed=choice.seed, architectures=choice.architectures[:1]))
    name = next(iter(experiment.scenarios))
    resolved = experiment.scenarios[name]
    from_s, for_s = window_of(window, resolved)
    if for_s < parse_duration(window.for_):
        print_error(f"--for is cut to {format_duration(for_s)}: the horizon of the scenario ends there")
    if not resolved.populations:
        raise UsageError("this scenario has no populations: there are no requests to play")
    played = play_window(resolved, name, window.trial, from_s, for_s)
    runs = request_runs(resolved, played, window, workers=choice.workers)
    zoom = zoom_of(experiment.name, resolved, played, from_s, from_s + for_s, runs)
    report = _write_report(zoom, choice.out) if output.report else None
    if output.json:
        print_document(zoom_document(zoom, report))
        return
    _print(zoom, report)


def zoom_of(
    name: str, scenario: Scenario, played: EngineWindow, from_s: float, to_s: float, runs: tuple[RequestRun, ...]
) -> Zoom:
    """Both sides of a window (s since the start), beside each other."""
    return Zoom(name, scenario, played.record, played.totals, played.pools, from_s, to_s, runs, played.plays_requests)


def window_of(window: WindowChoice, scenario: Scenario) -> tuple[float, float]:
    """Begin (s since the start) and length (s) of the window; raises UsageError if there is no such window."""
    from_s = _begin_s(window.from_, scenario)
    try:
        for_s = parse_duration(window.for_)
    except ValueError as error:
        raise UsageError(f"--for: {error}") from None
    if not 0.0 < for_s <= LONGEST_S:
        raise UsageError(f"--for is {window.for_}, but must be above 0s and at most 1d")
    if not 0.0 <= from_s < scenario.horizon:
        raise UsageError(f"--from is {window.from_}, which is not within the horizon of the scenario")
    return from_s, min(for_s, scenario.horizon - from_s)


def _begin_s(text: str, scenario: Scenario) -> float:
    """A time of day with date (ISO 8601, UTC unless it has an offset), or a duration since the start."""
    try:
        return parse_duration(text)
    except ValueError as error:
        try:
            moment = datetime.fromisoformat(text)
        except ValueError:
            raise UsageError(
                f"--from is {text}, expected a time such as 2026-01-27T09:00 or a duration since the start such as "
                f"9h: {error}"
            ) from None
    return moment_s(moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC), scenario.start)


def request_runs(
    scenario: Scenario, window: EngineWindow, choice: WindowChoice, *, workers: int | None = None
) -> tuple[RequestRun, ...]:
    """The window request by request, once per seed, on several cores."""
    keys = [[scenario.seed, choice.trial, k] for k in range(choice.seeds)]
    end_s = window.record.horizon_s
    n = min(len(keys), workers or cpu_count() or 1)
    if n == 1:
        return tuple(_one(scenario, window, key, end_s) for key in keys)
    with ProcessPoolExecutor(n, mp_context=get_context("forkserver")) as pool:
        begun = [pool.submit(_one, scenario, window, key, end_s) for key in keys]
        return tuple(future.result() for future in begun)


def _one(scenario: Scenario, window: EngineWindow, key: list[int], end_s: float) -> RequestRun:
    rng = np.random.default_rng(key)
    start = window.begin.drawn(rng)
    return run_requests(scenario, rng=rng, script=window.script, start=start, demand=window.demand, horizon_s=end_s)


def zoom_document(zoom: Zoom, report: Path | None) -> dict[str, Any]:
    """The document of `zoom`."""
    start = zoom.record.start
    return {
        "architecture": zoom.record.architecture,
        "trial": zoom.record.trial,
        "seed": zoom.record.seed,
        "start": iso_time(start, 0.0),
        "from": iso_time(start, zoom.from_s),
        "for_s": float(zoom.to_s - zoom.from_s),
        "seeds": len(zoom.runs),
        "agree": all(figure.agrees for figure in zoom.figures),
        "verdict": verdict(zoom),
        "figures": {
            figure.key: {
                "engine": number(figure.engine),
                "requests_mean": number(figure.mean),
                "requests_se": number(figure.standard_error),
                "difference_in_se": number(figure.difference_in_se),
                "agree": figure.agrees,
            }
            for figure in zoom.figures
        },
        "report": str(report) if report is not None else None,
    }


def _print(zoom: Zoom, report: Path | None) -> None:
    console = stdout_console()
    rows = [
        [f.label, f.engine_text, f.requests_text, f.difference_text, "yes" if f.agrees else "no"] for f in zoom.figures
    ]
    columns = ["", "engine", f"request by request ({len(zoom.runs)} seeds)", "difference in SE", "agree"]
    print_table(console, zoom.title, columns, rows)
    console.print(verdict(zoom), soft_wrap=True)
    if report is not None:
        console.print(f"Report: {report}")


def _write_report(zoom: Zoom, out: Path | None) -> Path:
    from sim.report.figures_zoom import build_zoom_report

    folder = results_folder(out, f"zoom {zoom.name}")
    html = build_zoom_report(zoom)
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / REPORT_FILE, html)
    return folder / REPORT_FILE
