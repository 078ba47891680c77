"""Time to recover: which part of it takes how long, by design."""

from typing import Final

import numpy as np

from sim.estimate import Estimate, ratio_interval
from sim.report.inputs import Columns, Floats, confidence_of, designs_of, floats_of, rows_of, sums_by_trial, trials_of
from sim.report.marks import Part, stacked_bars
from sim.report.panel import Panel, Table
from sim.report.style import (
    BLUE,
    GREEN,
    GREY,
    ORANGE,
    PURPLE,
    SKY,
    VERMILLION,
)
from sim.report.text import drawn, duration
from sim.study.result import RunResult
from sim.study.tables import pieces_of

PHASES: Final = (
    Part("detection_s", "detection", BLUE, ""),
    Part("acknowledgement_s", "acknowledgement", SKY, "/"),
    Part("diagnosis_s", "diagnosis", ORANGE, "x"),
    Part("wrong_turns_s", "wrong turns", VERMILLION, "."),
    Part("remedy_s", "remedy", GREEN, "\\"),
    Part("drain_s", "drain", PURPLE, "-"),
)
"""Parts of a recovery, in their order."""
REST: Final = Part("rest_s", "ended by itself", GREY, "|")
"""What the phases leave of an outage that ended before its people were done."""


def recovery_panel(result: RunResult) -> Panel | None:
    """Mean time to recover of the outages that somebody noticed, stacked by phase."""
    found = {a: phases_of(result, a) for a in designs_of(result)}
    found = {a: phases for a, phases in found.items() if phases}
    if not found:
        return None
    used = [p for p in (*PHASES, REST) if any(phases[p.column].mean > 1 for phases in found.values())]
    bars = []
    for part in used:
        means = [phases[part.column].mean for phases in found.values()]
        bars.append((part, [mean / 60 for mean in means], [duration(mean) for mean in means]))
    figure = stacked_bars(list(found), bars, [phases["duration_s"] for phases in found.values()], 1 / 60)
    figure.update_xaxes(title={"text": "mean of a noticed outage (minutes)"})
    first = next(iter(found))
    largest = max(PHASES, key=lambda p: found[first][p.column].mean)
    share = found[first][largest.column].mean / found[first]["duration_s"].mean
    title = (
        f"{largest.name.capitalize()} is the longest part of an outage with {first}: "
        f"{duration(found[first][largest.column].mean)} of {duration(found[first]['duration_s'].mean)} ({share:.0%})"
    )
    rows = tuple(
        (a, f"{counts[0]:,} of {counts[1]:,}", *(_cell(phases[p.column]) for p in used), _cell(phases["duration_s"]))
        for a, phases in found.items()
        for counts in [_noticed(result, a)]
    )
    columns = ("Design", "Outages noticed", *(p.name for p in used), "in all")
    return Panel(
        "recovery",
        title,
        "Mean time to recover by phase. " + " ".join(f"{r[0]}: {r[-1]} in all." for r in rows),
        figure,
        Table("Mean time to recover of noticed outages, by phase [interval]", columns, rows),
        (
            "Outages that nobody noticed before they ended are left out (counted in the table), as are those still "
            "open at the end of a trial. A phase that an outage did not reach counts as zero. "
            "Intervals that leave the axis are in the table.",
        ),
    )


def phases_of(result: RunResult, architecture: str) -> dict[str, Estimate]:
    """Mean of each phase, of the rest and of the whole over noticed outages; empty when none was noticed."""
    rows = rows_of(result, "outages", architecture)
    if not rows:
        return {}
    columns = [part.column for part in PHASES]
    trials = trials_of(result, architecture)
    count, *sums = sums_by_trial(rows, trials, ("detected_s", "censored", "duration_s", *columns), _phase_times)
    if not count.any():
        return {}
    return {
        name: ratio_interval(seconds, count, confidence=confidence_of(result))
        for name, seconds in zip((*columns, "rest_s", "duration_s"), sums, strict=True)
    }


def _phase_times(outages: Columns) -> list[Floats]:
    """What is added up over noticed outages: their number, each phase, the rest, the whole; 0 for the others."""
    use = np.isfinite(floats_of(outages, "detected_s")) & (floats_of(outages, "censored") == 0)
    phases = [np.nan_to_num(floats_of(outages, part.column)) for part in PHASES]
    whole = floats_of(outages, "duration_s")
    rest = np.maximum(0.0, whole - np.sum(phases, axis=0))
    return [np.where(use, values, 0.0) for values in (np.ones(len(whole)), *phases, rest, whole)]


def _noticed(result: RunResult, architecture: str) -> tuple[int, int]:
    noticed, n = 0, 0
    for piece in pieces_of(rows_of(result, "outages", architecture), ("detected_s",)):
        noticed += int(np.isfinite(floats_of(piece, "detected_s")).sum())
        n += len(piece["detected_s"])
    return noticed, n


def _cell(phase: Estimate) -> str:
    low, high = drawn(phase)
    return f"{duration(phase.mean)} [{duration(low)}, {duration(high)}]"
