"""`replay`: one trial with its timeline, as a table, a document and a report."""

from datetime import datetime, timedelta
from pathlib import Path

from sim.commands.documents import print_document, replay_document
from sim.commands.places import refuse_file, results_folder
from sim.commands.request import OutputChoice, RunChoice, ScenarioChoice
from sim.commands.show import print_table, stdout_console
from sim.errors import UsageError
from sim.study.folder import REPORT_FILE, RUN_FILE, storage_errors
from sim.study.parquet import write_text
from sim.study.replay import Replay, replay_trial
from sim.study.timeline import TimelineEvent, condensed, timeline


def replay_one(scenario: ScenarioChoice, choice: RunChoice, output: OutputChoice, *, trial: int) -> None:
    """Run one trial and show everything that happened in it."""
    experiment = scenario.load()
    _refuse_run(choice.out)
    architecture = choice.architectures[0] if choice.architectures else None
    replay = replay_trial(experiment, architecture, trial=trial, seed=choice.seed)
    report = _write_report(replay, choice.out) if output.report else None
    if output.json:
        print_document(replay_document(replay))
        return
    print_timeline(replay)
    if report is not None:
        stdout_console().print(f"Report: {report}")


def title_of(replay: Replay) -> str:
    """Name of the experiment, the architecture and the trial."""
    return f"{replay.experiment.name}: {replay.architecture}, trial {replay.record.trial}, seed {replay.record.seed}"


def print_timeline(replay: Replay) -> None:
    """The timeline on stdout, runs of like pod events joined, then what it amounts to."""
    console, start = stdout_console(), replay.record.start
    rows = [
        [_clock(start, event.at_s), event.kind, _place(event, count), _what(event, count, start, last_s)]
        for event, count, last_s in condensed(timeline(replay))
    ]
    print_table(console, title_of(replay), ["time (UTC)", "kind", "where", "what"], rows)
    trials = replay.tables["trials"]
    console.print(
        f"Availability by time {float(trials['availability_time'][0]):.4%}, "
        f"by requests {float(trials['availability_requests'][0]):.4%}; "
        f"{int(trials['outages'][0])} outages, {float(trials['downtime_s'][0]) / 3600:.2f} h down."
    )


def _clock(start: datetime, at_s: float) -> str:
    at = start + timedelta(seconds=round(at_s))
    return at.strftime("%Y-%m-%d %H:%M:%S")


def _place(event: TimelineEvent, count: int) -> str:
    """The narrowest name, which holds the wider ones; of joined events what they have in common."""
    common = "/".join(part for part in (event.region, event.service) if part)
    return common if count > 1 else event.pod or event.node or event.zone or common


def _what(event: TimelineEvent, count: int, start: datetime, last_s: float) -> str:
    if count == 1:
        return event.what
    more = f"{count} times until {_clock(start, last_s)[11:]}"
    return f"{event.what} ({more})" if event.what else more


def _refuse_run(out: Path | None) -> None:
    """Raises UsageError for the folder of a run, whose report would be replaced."""
    if out is not None and (out / RUN_FILE).exists():
        raise UsageError(f"{out} holds a run, whose report would be replaced; choose another --out")
    refuse_file(out)


def _write_report(replay: Replay, out: Path | None) -> Path:
    from sim.report import build_replay_report

    folder = results_folder(out, f"replay {replay.experiment.name}")
    html = build_replay_report(replay.record, dict(replay.tables), replay.scenario, title_of(replay))
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
        write_text(folder / REPORT_FILE, html)
    return folder / REPORT_FILE
