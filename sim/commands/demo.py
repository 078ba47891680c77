"""`demo`: the packaged day of Sweden Central, then one region against two, in one report."""

import time
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from sim.commands.documents import iso_time, print_document, replay_document, result_document
from sim.commands.places import packaged_scenario, results_folder
from sim.commands.replay import title_of
from sim.commands.request import OutputChoice, RunChoice
from sim.commands.run import run_with_progress
from sim.commands.show import print_result, print_table, stdout_console
from sim.report.html import render
from sim.report.page import Page, Section
from sim.report.replay import page_of_replay
from sim.report.sections import page_of_run
from sim.scenario.load import load_experiment
from sim.study.folder import REPORT_FILE, refuse_foreign, storage_errors
from sim.study.parquet import write_text
from sim.study.replay import Replay, replay_trial
from sim.study.result import RunResult

DAY_FILE = "sweden_central.yaml"
COMPARISON_FILE = "single_vs_multi_region.yaml"
DEMO_TRIALS = 12
DEMO_HORIZON = "90d"
"""Short enough for a minute on two cores, hence wide intervals; the demo says so."""


def demonstrate(choice: RunChoice, output: OutputChoice) -> None:
    """Replay the day in every architecture, compare designs over a shortened horizon, write one report."""
    started_s = time.monotonic()
    console = stdout_console()
    folder = results_folder(choice.out, "demo")
    with storage_errors(folder):
        refuse_foreign(folder)  # before the day is replayed, which takes a while
    replays = list(_replays(packaged_scenario(DAY_FILE)))
    if not output.json:
        _print_day(replays)
    file = packaged_scenario(COMPARISON_FILE)
    comparison = load_experiment(file, sets=(f"horizon={DEMO_HORIZON}",))
    note = (
        f"{DEMO_TRIALS} trials of {DEMO_HORIZON} each, so the intervals are wide; "
        f"the whole of it: regionfall compare {file}"
    )
    if not output.json:
        console.print(f"\nNow {comparison.name}: {note}")
    result = run_with_progress(comparison, replace(choice, trials=DEMO_TRIALS), folder, output)
    report = folder / REPORT_FILE
    html = render(combined_page(replays, result, note))
    with storage_errors(folder):
        write_text(report, html)
    if output.json:
        documents = [replay_document(replay) for replay in replays]
        print_document({"replays": documents, "comparison": result_document(result), "report": str(report)})
        return
    print_result(result)
    console.print(
        f"Took {time.monotonic() - started_s:.0f} s. Open the report in a browser: {report.absolute().as_uri()}"
    )


def _replays(file: Path) -> Iterator[Replay]:
    experiment = load_experiment(file)
    for architecture in experiment.scenarios:
        yield replay_trial(experiment, architecture)


def _print_day(replays: Sequence[Replay]) -> None:
    rows = []
    for replay in replays:
        outages, start = replay.tables["outages"], replay.record.start
        trials = replay.tables["trials"]
        first = iso_time(start, float(np.min(outages["start_s"]))) if len(outages["start_s"]) else None
        last = iso_time(start, float(np.max(outages["end_s"]))) if len(outages["end_s"]) else None
        rows.append(
            [
                replay.architecture,
                (first or "-")[:19],
                (last or "-")[:19],
                f"{float(trials['downtime_s'][0]) / 60:.0f} min",
                f"{float(trials['availability_requests'][0]):.2%}",
                f"{int(trials['oom_kills'][0])}",
            ]
        )
    columns = ["architecture", "outage from (UTC)", "until", "down", "requests served", "OOM kills"]
    print_table(stdout_console(), replays[0].experiment.name, columns, rows)


def combined_page(replays: Sequence[Replay], result: RunResult, note: str) -> Page:
    """One page: the day as it was, the comparison, then the same day in the other designs without their events."""
    page = page_of_run(result)
    days: list[list[Section]] = []
    for i, replay in enumerate(replays):
        day = page_of_replay(replay.record, dict(replay.tables), replay.scenario, title_of(replay))
        shown = [section for section in day.sections if i == 0 or section.key != "events"]
        days.append([_renamed(section, f"day{i}", replay.architecture) for section in shown])
    title = f"{replays[0].experiment.name}; {result.experiment.name}"
    others = [section for day in days[1:] for section in day]
    return replace(page, title=title, warnings=(*page.warnings, note), sections=(*days[0], *page.sections, *others))


def _renamed(section: Section, prefix: str, architecture: str) -> Section:
    """The section with keys that no other section of the page has."""
    panels = tuple(replace(panel, key=f"{prefix}-{panel.key}") for panel in section.panels)
    return replace(section, key=f"{prefix}-{section.key}", title=f"{architecture}: {section.title}", panels=panels)
