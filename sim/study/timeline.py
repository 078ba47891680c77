"""The timeline of a replayed trial: its event log with the outages that were found in it, in order of time."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from sim.study.replay import Replay
from sim.world.log import Record

FREQUENT_KINDS: Final = frozenset(
    {"oom_kill", "pod_lost", "pod_ready", "pod_added", "node_ready", "pool_failed", "pool_recovered"}
    | {"pod_removed", "pod_unlisted", "pod_listed", "scaled"}
    | {"sli_below", "sli_above", "breaker", "outage_start", "outage_end"}
)
"""Kinds of events that `condensed` joins."""


@dataclass(frozen=True, slots=True)
class TimelineEvent:
    """One line of a timeline; names that do not apply are empty."""

    at_s: float
    kind: str
    region: str = ""
    zone: str = ""
    node: str = ""
    service: str = ""
    pod: str = ""
    what: str = ""


def timeline(replay: Replay) -> list[TimelineEvent]:
    """All events of a trial by time; of simultaneous ones the log's come first."""
    events = [_of_record(record) for record in replay.record.records]
    outages = replay.tables["outages"]
    for i in range(len(outages["outage"])):
        who = str(outages["population"][i])
        events.append(TimelineEvent(float(outages["start_s"][i]), "outage_start", what=f"{who}: outage begins"))
        if not outages["censored"][i]:
            minutes = float(outages["duration_s"][i]) / 60
            text = f"{who}: outage ends after {minutes:.1f} min, cause {outages['cause'][i]}"
            events.append(TimelineEvent(float(outages["end_s"][i]), "outage_end", what=text))
    return sorted(events, key=lambda event: event.at_s)


def condensed(events: Sequence[TimelineEvent]) -> list[tuple[TimelineEvent, int, float]]:
    """Events with like ones joined: (first, count, time of the last).

    Pods and pools come and go by the hundred in a crash loop, and outages flap with them; such events (same kind, place
    and population) are joined until something else happens: a fault, a repair, or somebody's action.
    """
    lines: list[tuple[TimelineEvent, int, float]] = []
    joined: dict[tuple[str, ...], int] = {}
    for event in events:
        if event.kind not in FREQUENT_KINDS:
            joined.clear()
            lines.append((event, 1, event.at_s))
            continue
        key = (event.kind, event.region, event.service, "" if event.pod else event.what.partition(":")[0])
        if key in joined:
            first, count, _ = lines[joined[key]]
            lines[joined[key]] = (first, count + 1, event.at_s)
        else:
            joined[key] = len(lines)
            lines.append((event, 1, event.at_s))
    return lines


def _of_record(record: Record) -> TimelineEvent:
    # A text that holds the name of the fault or population says it better than the bare name.
    names = [name for name in (record.fault, record.population) if name.partition("#")[0] not in record.what]
    words = [text for text in (*names, record.what) if text]
    return TimelineEvent(
        at_s=record.at_s,
        kind=record.kind.value,
        region=record.region,
        zone=record.zone,
        node=record.node,
        service=record.service,
        pod=record.pod,
        what=": ".join(words),
    )
