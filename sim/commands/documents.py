"""The JSON documents of `-o json`: a contract, kept stable. Infinities and NaN become null."""

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sim.errors import Issue

if TYPE_CHECKING:  # `validate` needs none of the engine behind these
    from sim.estimate import Estimate, Spread
    from sim.study.replay import Replay
    from sim.study.result import RunResult
    from sim.study.timeline import TimelineEvent


def print_document(document: Any) -> None:
    """The one document on stdout."""
    import typer

    typer.echo(json.dumps(document, indent=2, allow_nan=False, ensure_ascii=False))


def number(value: float) -> float | None:
    """A JSON number, or None where JSON has none."""
    return float(value) if math.isfinite(value) else None


def estimate_document(estimate: "Estimate") -> dict[str, Any]:
    """Mean, interval, confidence and number of trials; how many plain ones they are worth, if that is more."""
    document = {
        "mean": number(estimate.mean),
        "low": number(estimate.low),
        "high": number(estimate.high),
        "confidence": estimate.confidence,
        "n": int(estimate.n),
    }
    return document | ({"worth": estimate.worth} if estimate.worth != 1.0 else {})


def result_document(result: "RunResult") -> dict[str, Any]:
    """The document of `run`, `compare` and `sweep`."""

    def nested(estimates: "Mapping[str, Mapping[str, Estimate]]") -> dict[str, Any]:
        return {
            name: {measure: estimate_document(estimate) for measure, estimate in mine.items()}
            for name, mine in estimates.items()
        }

    document = {
        "architectures": nested(result.estimates),
        "differences": nested(result.differences),
        "warnings": list(result.warnings),
        "run": str(result.folder) if result.folder is not None else None,
    }
    if result.parameters:  # only where laws are estimates
        document["parameters"] = {
            name: {measure: spread_document(spread) for measure, spread in mine.items()}
            for name, mine in result.parameters.items()
        }
    return document


def spread_document(spread: "Spread") -> dict[str, Any]:
    """What a mean owes to parameters that are estimates: its standard deviation, range, share of variance, draws."""
    return {
        "sd": number(spread.sd),
        "low": number(spread.low),
        "high": number(spread.high),
        "share": number(spread.share),
        "n": int(spread.n),
    }


def iso_time(start: datetime, at_s: float) -> str | None:
    """ISO 8601 UTC to the millisecond of a time in seconds since the start; None for NaN."""
    if not math.isfinite(at_s):
        return None
    at = start.astimezone(UTC) + timedelta(seconds=float(at_s))
    return at.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def replay_document(replay: "Replay") -> dict[str, Any]:
    """The document of `replay`."""
    from sim.study.timeline import timeline

    record, trials = replay.record, replay.tables["trials"]
    return {
        "architecture": replay.architecture,
        "trial": record.trial,
        "seed": record.seed,
        "start": iso_time(record.start, 0.0),
        "horizon_s": float(record.horizon_s),
        "availability_time": number(trials["availability_time"][0]),
        "availability_requests": number(trials["availability_requests"][0]),
        "outages": _outage_documents(replay),
        "events": [event_document(event, record.start) for event in timeline(replay)],
    }


def _outage_documents(replay: "Replay") -> list[dict[str, Any]]:
    import numpy as np

    from sim.measures.recovery import PHASES

    outages, start = replay.tables["outages"], replay.record.start
    documents = []
    for i in range(len(outages["outage"])):
        row = {column: values[i] for column, values in outages.items()}
        documents.append(
            {
                "start": iso_time(start, row["start_s"]),
                "detected": iso_time(start, row["detected_s"]),
                "end": iso_time(start, row["end_s"]),
                "duration_s": number(row["duration_s"]),
                "cause": str(row["cause"]),
                "population": str(row["population"]),
                "censored": bool(row["censored"]),
                "cascade": {
                    "size": int(np.nan_to_num(row["cascade_size"])),
                    "depth": int(np.nan_to_num(row["cascade_depth"])),
                    "cross_region": bool(row["cross_region"]),
                },
                "phases": {phase: number(row[phase]) for phase in PHASES},
            }
        )
    return documents


def event_document(event: "TimelineEvent", start: datetime) -> dict[str, Any]:
    """One entry of the timeline."""
    return {
        "at": iso_time(start, event.at_s),
        "at_s": float(event.at_s),
        "kind": event.kind,
        "region": event.region,
        "zone": event.zone,
        "node": event.node,
        "service": event.service,
        "pod": event.pod,
        "what": event.what,
    }


def issue_document(issue: Issue) -> dict[str, Any]:
    """One issue of `validate`."""
    return {
        "file": issue.file,
        "line": issue.line,
        "column": issue.column,
        "path": issue.path,
        "severity": issue.severity,
        "message": issue.message,
    }
