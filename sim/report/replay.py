"""The report of one replayed trial: its timelines, its outages, its events."""

from typing import Any, Final

from sim import units
from sim.report.figures_incident import incident_panel
from sim.report.incident import NAMES, Window, clock, windows_of
from sim.report.inputs import Columns
from sim.report.page import Page, Section
from sim.report.panel import Table
from sim.report.text import duration, moment, number, window_text
from sim.study.timeline import TimelineEvent, condensed
from sim.world.log import Kind, TrialRecord

WHOLE_MAX_S: Final = 3 * 86400.0
"""Up to this long a trial is drawn whole; else its most costly outages."""
TIMELINES_MAX: Final = 3
EVENTS_MAX: Final = 2000
"""Rows of the event table; more would make the page slow."""


def page_of_replay(record: TrialRecord, tables: dict[str, Columns], scenario: Any, title: str) -> Page:
    """All of a replay's report."""
    outages = tables.get("outages", {})
    n_outages = len(outages["start_s"]) if outages else 0
    windows = _windows(record, outages)
    drawn = record.trace is not None and len(record.trace.at_s) > 0
    about = f"{record.architecture}, trial {record.trial}"
    panels = (
        tuple(incident_panel(record, scenario, w, f"incident-{i}", about) for i, w in enumerate(windows))
        if drawn
        else ()
    )
    trials = tables.get("trials", {})
    facts = [
        ("Design", record.architecture),
        ("Trial", str(record.trial)),
        ("Seed", str(record.seed)),
        ("Window", f"{window_text(record.horizon_s)} from {moment(units.format_moment(record.start))}"),
        ("Outages", f"{n_outages:,}"),
    ]
    if trials and len(trials["trial"]):
        facts += [
            ("Uptime (by time)", number(float(trials["availability_time"][0]), "share")),
            ("Requests served", number(float(trials["availability_requests"][0]), "share")),
        ]
    sections = (
        Section("timeline", "Timeline", panels=panels),
        Section(
            "outages",
            "Outages",
            tables=(outage_table(record, outages, scenario.currency),) if n_outages else (),
            lines=()
            if n_outages
            else ("No outage: success stayed at or above the threshold, or fell below it too shortly.",),
        ),
        Section("events", "Events", tables=(event_table(record),)),
    )
    return Page(
        title,
        "replay of one trial",
        tuple(facts),
        (),
        (),
        tuple(s for s in sections if s.panels or s.tables or s.lines),
        "Made by Regionfall. One trial is one history that could happen, not what to expect.",
    )


def _windows(record: TrialRecord, outages: Columns) -> list[Window]:
    chosen = windows_of(record, outages, TIMELINES_MAX)
    if record.horizon_s > WHOLE_MAX_S:
        return chosen
    if not chosen:
        return [Window(0.0, record.horizon_s)]
    return [Window(0.0, record.horizon_s, chosen[0].outage_start_s, chosen[0].outage_end_s)]


def outage_table(record: TrialRecord, outages: Columns, currency: str) -> Table:
    """Every outage with its phases, cause, cascade and cost."""
    phases = ("detection_s", "acknowledgement_s", "diagnosis_s", "wrong_turns_s", "remedy_s", "drain_s")
    columns = (
        "Start (UTC)",
        "End (UTC)",
        "Length",
        "Population",
        "Cause",
        "Pools that followed",
        "Hops",
        "Another region",
        *(p.removesuffix("_s").replace("_", " ").capitalize() for p in phases),
        "Worker-hours lost",
        "Cost",
    )
    rows = []
    for i in range(len(outages["start_s"])):
        end = clock(record, float(outages["end_s"][i]))
        rows.append(
            (
                clock(record, float(outages["start_s"][i])),
                f"{end} (still open)" if outages["censored"][i] else end,
                duration(float(outages["duration_s"][i])),
                str(outages["population"][i]),
                str(outages["cause"][i]),
                str(int(outages["cascade_size"][i])),
                str(int(outages["cascade_depth"][i])),
                "yes" if outages["cross_region"][i] else "no",
                *(duration(float(outages[p][i])) for p in phases),
                number(float(outages["lost_hours"][i]), "person_hours"),
                number(float(outages["cost"][i]), "money", currency),
            )
        )
    return Table(f"All {len(rows):,} outages of the trial", columns, tuple(rows), words=True)


def event_table(record: TrialRecord) -> Table:
    """The event log with runs of like events joined."""
    events = [
        TimelineEvent(
            r.at_s, r.kind.value, r.region, r.zone, r.node, r.service, r.pod, r.what or r.fault or r.population
        )
        for r in record.records
    ]
    lines = condensed(events)
    rows = []
    for event, count, last_s in lines[:EVENTS_MAX]:
        place = event.pod or event.node or event.zone or "-"
        run = f"{count:,} times until {clock(record, last_s)}" if count > 1 else event.what or "-"
        rows.append(
            (clock(record, event.at_s), NAMES[Kind(event.kind)], event.region or "-", event.service or "-", place, run)
        )
    cut = f", the first {EVENTS_MAX:,} of {len(lines):,} lines" if len(lines) > EVENTS_MAX else ""
    return Table(
        f"Events (UTC){cut}; like events of pods and pools are joined until something else happens",
        ("Time", "Kind", "Region", "Service", "Element", "What"),
        tuple(rows),
        words=True,
    )
