"""What happened in one outage, read from the event log: window, bands, operators, controllers.

Must not know figures.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import numpy as np

from sim.report.inputs import Columns, floats_of
from sim.world.log import Kind, Record, TrialRecord

MARGIN_SHARE: Final = 0.12
MARGIN_MIN_S: Final = 600.0

OPERATORS: Final = (Kind.DETECTED, Kind.ACKNOWLEDGED, Kind.DIAGNOSED, Kind.ACTION, Kind.ACTION_DONE, Kind.CLOSED)
CONTROLLERS: Final = (Kind.FAILOVER, Kind.FAILOVER_FAILED, Kind.FAILBACK, Kind.BREAKER, Kind.DEPLOYMENT, Kind.DR_TEST)
NAMES: Final[Mapping[Kind, str]] = {
    Kind.FAULT: "fault",
    Kind.REPAIR: "fault ends",
    Kind.OOM_KILL: "OOM kill",
    Kind.POD_LOST: "pod lost",
    Kind.POD_READY: "pod ready",
    Kind.POD_ADDED: "pod added",
    Kind.POD_REMOVED: "pod removed",
    Kind.POD_UNLISTED: "pod gets no requests",
    Kind.POD_LISTED: "pod gets requests again",
    Kind.SCALED: "scaled",
    Kind.NODE_READY: "node ready",
    Kind.POOL_FAILED: "pool failed",
    Kind.POOL_RECOVERED: "pool recovered",
    Kind.SLI_BELOW: "success below threshold",
    Kind.SLI_ABOVE: "success above threshold",
    Kind.DETECTED: "detected",
    Kind.ACKNOWLEDGED: "acknowledged",
    Kind.DIAGNOSED: "diagnosed",
    Kind.ACTION: "begins",
    Kind.ACTION_DONE: "done",
    Kind.CLOSED: "closed",
    Kind.FAILOVER: "failover",
    Kind.FAILOVER_FAILED: "failover failed",
    Kind.FAILBACK: "failback",
    Kind.BREAKER: "breaker",
    Kind.DEPLOYMENT: "deployment",
    Kind.DR_TEST: "DR test",
    Kind.GEAR: "data plane",
}
"""What each kind of record is called in a report."""


@dataclass(frozen=True)
class Window:
    """The part of a trial that a timeline shows, and the outage it is about."""

    start_s: float
    end_s: float
    outage_start_s: float = float("nan")
    outage_end_s: float = float("nan")


def windows_of(record: TrialRecord, outages: Columns, most: int = 1) -> list[Window]:
    """Windows around the most costly (then longest) outages of the trial, at most `most`, none overlapping.

    Parameters
    ----------
    record : TrialRecord
        The trial.
    outages : table
        Its rows of `outages`; may be empty.
    """
    if not outages or len(outages["start_s"]) == 0:
        return []
    start, end = floats_of(outages, "start_s"), floats_of(outages, "end_s")
    cost = np.nan_to_num(floats_of(outages, "cost"))
    chosen: list[Window] = []
    for i in np.lexsort((start - end, -cost)):
        margin = max(MARGIN_MIN_S, MARGIN_SHARE * (end[i] - start[i]))
        window = Window(max(0.0, start[i] - margin), min(record.horizon_s, end[i] + margin), start[i], end[i])
        if all(window.end_s < other.start_s or window.start_s > other.end_s for other in chosen):
            chosen.append(window)
        if len(chosen) == most:
            break
    return chosen


def within(records: Iterable[Record], window: Window, kinds: Iterable[Kind]) -> list[Record]:
    """Records of some kinds inside a window."""
    wanted = set(kinds)
    return [r for r in records if r.kind in wanted and window.start_s <= r.at_s <= window.end_s]


def fault_spans(records: Iterable[Record], window: Window) -> list[tuple[float, float, Record]]:
    """(start, end, record of the fault) of each fault active in the window, clipped to it."""
    spans: dict[str, tuple[float, float, Record]] = {}
    for record in records:
        if record.kind is Kind.FAULT:
            spans[record.fault] = (record.at_s, window.end_s, record)
        elif record.kind is Kind.REPAIR and record.fault in spans:
            start, _, fault = spans[record.fault]
            spans[record.fault] = (start, record.at_s, fault)
    return [
        (max(start, window.start_s), min(end, window.end_s), fault)
        for start, end, fault in spans.values()
        if start <= window.end_s and end >= window.start_s
    ]


def label(record: Record) -> str:
    """A few words for a timeline: what was done, and where it helps."""
    where = record.service or record.region
    if record.kind is Kind.ACTION:
        wrong = " (does not help)" if record.value == 0 else ""
        return f"{record.what} {where}".strip() + wrong
    if record.kind is Kind.ACTION_DONE:
        return f"{record.what} done"
    if record.kind in (Kind.FAILOVER, Kind.FAILOVER_FAILED, Kind.FAILBACK):
        return f"{NAMES[record.kind]}: {record.what}" if record.what else f"{NAMES[record.kind]} {record.region}"
    return NAMES[record.kind]


def when(record: TrialRecord, at_s: float) -> datetime:
    """Moment of a second of the trial, UTC."""
    return record.start.astimezone(UTC) + timedelta(seconds=at_s)


def clock(record: TrialRecord, at_s: float) -> str:
    """`2026-01-27 09:00:10`, UTC; `-` where there is none."""
    return when(record, at_s).strftime("%Y-%m-%d %H:%M:%S") if np.isfinite(at_s) else "-"
