"""`sensitivity`: what matters most in one design, as tables, a document and a page."""

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sim.commands.documents import estimate_document, iso_time, print_document
from sim.commands.exits import print_error
from sim.commands.places import results_folder
from sim.commands.progress import shown_progress
from sim.commands.request import OutputChoice, RunChoice, ScenarioChoice
from sim.commands.show import print_table, stdout_console
from sim.errors import UsageError
from sim.study.folder import storage_errors
from sim.study.parquet import write_text
from sim.units import parse_share

if TYPE_CHECKING:
    from sim.study.sensitivity import Choice, Effect, Sensitivity
    from sim.study.shares import Ranked

PAGE_FILE = "sensitivity.html"
MOST_ROWS = 12
"""Rows of a table on stdout; page and document have all."""


def choice_of(
    architecture: str | None, knobs: list[str] | None, sobol: list[str] | None, *, step: str, covered: str
) -> "Choice":
    """What is asked, from options where None means not given; raises UsageError for a share that cannot be read."""
    from sim.study.sensitivity import Choice

    return Choice(
        architecture=architecture or "",
        knobs=tuple(knobs or ()),
        sobol=tuple(sobol or ()),
        step=share_option("--step", step),
        covered=share_option("--cover", covered),
    )


def share_option(name: str, text: str) -> float:
    """A share as an option gives it, `20%`; raises UsageError with the option's name."""
    try:
        return parse_share(text)
    except ValueError as error:
        raise UsageError(f"{name}: {error}") from None


def show_sensitivity(scenario: ScenarioChoice, choice: RunChoice, output: OutputChoice, asked: "Choice") -> None:
    """Run the study of one architecture, and show what was found."""
    from sim.study import InterruptedRunError
    from sim.study.sensitivity import sensitivity_of

    experiment = scenario.load()
    folder = results_folder(choice.out, f"sensitivity {experiment.name}")
    try:
        with shown_progress(output.quiet) as progress:
            found = sensitivity_of(experiment, asked, choice.options(folder, ()), progress=progress)
    except InterruptedRunError as error:
        print_error(f"to continue, give the same command with --out {folder}")
        raise error
    page = _write_page(found, experiment.name, folder) if output.report else None
    if output.json:
        print_document(sensitivity_document(found, page))
        return
    _print(found, folder, page)


def _write_page(found: "Sensitivity", title: str, folder: Path) -> Path:
    from sim.report.html import render
    from sim.report.sensitivity import page_of_sensitivity

    html = render(page_of_sensitivity(found, title))
    with storage_errors(folder):
        write_text(folder / PAGE_FILE, html)
    return folder / PAGE_FILE


# -- the document ---------------------------------------------------------------------------------------


def sensitivity_document(found: "Sensitivity", page: Path | None) -> dict[str, Any]:
    """The document of `sensitivity -o json`."""
    from sim.report.sensitivity import warnings_of

    folder = found.result.folder
    return {
        "architecture": found.architecture,
        "trials": max(found.result.meta["trials_asked"].values()),
        "base": {name: estimate_document(estimate) for name, estimate in found.base.items()},
        "shares": {
            grouping: {name: estimate_document(share) for name, share in shares.items()}
            for grouping, shares in found.shares.items()
        },
        "effects": [_effect_document(effect) for effect in found.effects],
        "birnbaum": [_effect_document(effect) for effect in found.birnbaum],
        "sequences": [_sequence_document(found, one) for one in found.sequences],
        "covered": found.covered,
        "sobol": _sobol_document(found),
        "warnings": warnings_of(found),
        "run": None if folder is None else str(folder),
        "page": None if page is None else str(page),
    }


def _effect_document(effect: "Effect") -> dict[str, Any]:
    return {
        "about": effect.about,
        "kind": effect.kind,
        "setting": effect.setting,
        "changes": {name: estimate_document(change) for name, change in effect.changes.items()},
        "same": effect.is_same,
    }


def _sequence_document(found: "Sensitivity", one: "Ranked") -> dict[str, Any]:
    from sim.study.necessity import verdict_for

    start, example = found.scenario.start, one.example
    verdict = verdict_for(one.text, found.verdicts)
    return {
        "sequence": one.text,
        "outages": one.n_outages,
        "minutes_per_year": one.minutes_per_year,
        "lost_hours_per_year": one.lost_hours_per_year,
        "share": estimate_document(one.share),
        "cumulative": one.cumulative,
        "in_set": one.is_needed,
        "example": {
            "trial": example.trial,
            "start": iso_time(start, example.start_s),
            "end": iso_time(start, example.end_s),
            "population": example.population,
            "faults": list(example.faults),
            "left_out": list(example.left_out),
        },
        "remains_without": None if verdict is None else dict(verdict.remains),
    }


def _sobol_document(found: "Sensitivity") -> dict[str, Any] | None:
    indices = found.sobol
    if indices is None:
        return None
    return {
        "noise_share": None if math.isnan(indices.noise_share) else indices.noise_share,
        "mean_h_per_year": indices.mean,
        "spread_h_per_year": indices.spread,
        "knobs": {
            one.knob.name: {
                "range": one.text,
                "first": estimate_document(indices.first[i]),
                "total": estimate_document(indices.total[i]),
                "first_plain": indices.first_plain[i],
                "total_plain": indices.total_plain[i],
            }
            for i, one in enumerate(found.ranges)
        },
    }


# -- tables ---------------------------------------------------------------------------------------------


def _print(found: "Sensitivity", folder: Path, page: Path | None) -> None:
    from sim.report.minutes import in_minutes, minutes_text, share_text
    from sim.report.sensitivity import warnings_of
    from sim.study.sensitivity import DOWNTIME

    console = stdout_console()
    base = minutes_text(in_minutes(found.base[DOWNTIME]))
    console.print(f"{found.architecture} is down {base} a year", soft_wrap=True)
    if found.shares:
        rows = [[name, share_text(share)] for name, share in list(found.shares["fault"].items())[:MOST_ROWS]]
        print_table(console, "Share of the minutes", ["fault", "share"], rows)
    _print_sequences(found)
    _print_effects(found)
    if found.sobol is not None:
        rows = [
            [one.knob.name, one.text, _index(found.sobol.first[i]), _index(found.sobol.total[i])]
            for i, one in enumerate(found.ranges)
        ]
        print_table(console, "Sobol indices of downtime", ["number", "range", "first order", "total"], rows)
    for line in warnings_of(found):
        console.print(f"- {line}", soft_wrap=True)
    console.print(f"Results: {folder}" + (f"   Page: {page}" if page is not None else ""), soft_wrap=True)


def _print_sequences(found: "Sensitivity") -> None:
    from sim.report.minutes import share_text

    rows = [
        [one.text, share_text(one.share), str(one.n_outages), str(one.example.trial)]
        for one in found.sequences
        if one.is_needed
    ]
    if rows:
        title = f"Sequences of events that make up {found.covered:.0%} of the minutes"
        print_table(stdout_console(), title, ["sequence", "share", "outages", "replay --trial"], rows[:MOST_ROWS])


def _print_effects(found: "Sensitivity") -> None:
    from sim.report.figures_sensitivity import importance_text, minutes_of
    from sim.report.minutes import change_text

    ordered = sorted(found.effects, key=lambda effect: -abs(minutes_of(effect).mean))
    rows = [
        [effect.about, effect.setting, "exactly none" if effect.is_same else change_text(minutes_of(effect))]
        for effect in ordered[:MOST_ROWS]
    ]
    if rows:
        title = "Changes of minutes down per year, on the same random histories"
        print_table(stdout_console(), title, ["what", "changed", "minutes"], rows)
    critical = sorted(found.birnbaum, key=lambda effect: effect.changes["availability_time"].mean)
    if critical:
        rows = [[effect.about, importance_text(effect)] for effect in critical[:MOST_ROWS]]
        print_table(stdout_console(), "Birnbaum importance", ["fault @ element", "share of time"], rows)


def _index(estimate: Any) -> str:
    return f"{estimate.mean:.2f} [{estimate.low:.2f}, {estimate.high:.2f}]"
