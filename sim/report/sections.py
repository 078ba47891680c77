"""The report of a run: which sections it has, in which order, and the words around the figures."""

from collections.abc import Iterable
from dataclasses import replace
from typing import Any, Final

from sim import units
from sim.report.figures_availability import availability_panel, measure_name, months_panel, objective_of, verdicts_of
from sim.report.figures_cascade import kinds_panel, size_panel
from sim.report.figures_comparison import differences_panel
from sim.report.figures_cost import pareto_panel, stack_panel
from sim.report.figures_incident import incident_panel
from sim.report.figures_loss import cost_panel, downtime_panel
from sim.report.figures_recovery import recovery_panel
from sim.report.figures_sequences import SEQUENCES_MAX, sequences_table, shares_panel
from sim.report.figures_sweep import sweep_panels
from sim.report.figures_waves import waves_panel
from sim.report.incident import windows_of
from sim.report.inputs import confidence_of, designs_of, floats_of, rows_of, where
from sim.report.page import Page, Section, Verdict
from sim.report.panel import Panel, Table
from sim.report.text import MEASURES, estimate_text, explain, from_to, measure_of, moment, number, window_text
from sim.study.result import RunResult
from sim.study.shares import downtime_shares, ranked_sequences

DESIGNS_MAX: Final = 12
"""Designs drawn side by side; a sweep has more, which have their own figures and the comparison table."""
TIMELINES_MAX: Final = 6
"""Timelines in a report, those of the designs with most downtime: each weighs some 150 kB."""
FOOTER: Final = (
    "Made by Regionfall. This page holds everything it shows and asks nothing of the network. Lines with very many "
    "points are thinned to what a screen shows; tables and estimates use all data."
)


def page_of_run(result: RunResult) -> Page:
    """All of a run's report."""
    scenario = next(iter(result.experiment.scenarios.values()))
    drawn = _first_designs(result)
    sections = [
        Section("comparison", "What to expect of each design", tables=(comparison_table(result),), prose=True),
        *_figures(result, drawn, scenario.currency),
        Section("method", "How to read these numbers", definitions=_method(result, scenario)),
    ]
    return Page(
        title=result.experiment.name,
        kind="availability report",
        facts=_facts(result, scenario),
        verdicts=_verdicts(result),
        warnings=tuple(result.warnings),
        sections=tuple(s for s in sections if s.panels or s.tables or s.definitions),
        footer=FOOTER,
    )


def _first_designs(result: RunResult) -> RunResult:
    """The run cut to the designs that fit into one figure."""
    names = designs_of(result)
    if len(names) <= DESIGNS_MAX:
        return result
    return replace(
        result,
        estimates={a: result.estimates[a] for a in names[:DESIGNS_MAX]},
        kept={a: record for a, record in result.kept.items() if a in names[:DESIGNS_MAX]},
    )


def _figures(result: RunResult, drawn: RunResult, currency: str) -> list[Section]:
    left_off = len(designs_of(result)) - len(designs_of(drawn))
    lines = (f"The first {DESIGNS_MAX} designs are drawn; {left_off} more are in the table above.",) if left_off else ()
    return [
        Section("sweep", "What the swept settings change", panels=tuple(sweep_panels(result, currency))),
        Section(
            "availability",
            "Availability",
            (*lines, *_without_loss(drawn)),
            panels=_there(
                [
                    availability_panel(drawn),
                    differences_panel(drawn, currency),
                    downtime_panel(drawn),
                    months_panel(drawn),
                ]
            ),
        ),
        causes_section(drawn),
        Section("cascades", "Cascades", panels=_there([size_panel(drawn), kinds_panel(drawn), waves_panel(drawn)])),
        Section(
            "cost",
            "Cost",
            panels=_there([stack_panel(drawn, currency), cost_panel(drawn, currency), pareto_panel(drawn, currency)]),
        ),
        Section("recovery", "Time to recover", panels=_there([recovery_panel(drawn)])),
        Section("incidents", "The worst trial of each design", panels=tuple(incidents(drawn))),
    ]


def causes_section(result: RunResult) -> Section:
    """Shares of downtime by fault, and the sequences behind most of it, from the stored tables."""
    confidence, scenarios = confidence_of(result), result.experiment.scenarios
    shares = {
        a: downtime_shares(result.tables, a, confidence=confidence, scenario=scenarios[a]).get("fault", {})
        for a in designs_of(result)
    }
    tables = []
    for a in designs_of(result)[:TIMELINES_MAX]:
        ranked = ranked_sequences(result.tables, a, confidence=confidence)
        tables.append(sequences_table(a, ranked[:SEQUENCES_MAX], scenarios[a].start))
    return Section(
        "causes",
        "Where the downtime comes from",
        tables=tuple(table for table in tables if table is not None),
        panels=_there([shares_panel(shares, "fault")]),
        prose=True,
    )


def _without_loss(result: RunResult) -> tuple[str, ...]:
    """What to say where a curve of losses would be empty."""
    rows = [found for a in designs_of(result) if (found := rows_of(result, "trials", a))]
    lost = any(bool((floats_of(found, "downtime_s") > 0).any()) for found in rows)
    return () if lost or not rows else ("No trial lost anything: there is no loss curve of downtime to draw.",)


def _there(panels: Iterable[Panel | None]) -> tuple[Panel, ...]:
    return tuple(panel for panel in panels if panel is not None)


def incidents(result: RunResult) -> list[Panel]:
    """Timeline of the most costly outage of each kept trial, worst designs first when there are too many."""
    found = []
    for number_of, (a, record) in enumerate(result.kept.items()):
        windows = windows_of(record, where(rows_of(result, "outages", a), trial=record.trial))
        if windows and record.trace is not None and len(record.trace.at_s):
            length = windows[0].outage_end_s - windows[0].outage_start_s
            about = f"{a}, trial {record.trial}"
            found.append(
                (
                    length,
                    incident_panel(record, result.experiment.scenarios[a], windows[0], f"incident-{number_of}", about),
                )
            )
    longest = sorted((length for length, _ in found), reverse=True)[:TIMELINES_MAX]
    return [panel for length, panel in found if length >= longest[-1]][:TIMELINES_MAX] if found else []


def comparison_table(result: RunResult) -> Table:
    """Every measure of every design; designs are columns, and rows when there are many."""
    designs = designs_of(result)
    scenario = next(iter(result.experiment.scenarios.values()))
    measures = list(dict.fromkeys(m for values in result.estimates.values() for m in values))
    measures.sort(key=lambda m: list(MEASURES).index(m) if m in MEASURES else len(MEASURES))

    def cell(a: str, m: str) -> str:
        estimate = result.estimates[a].get(m)
        return "-" if estimate is None else estimate_text(m, estimate, scenario.currency)

    n = min((e.n for values in result.estimates.values() for e in values.values()), default=0)
    level = number(float(result.meta.get("confidence", 0.95)), "share")
    caption = (
        f"Mean [{level} interval] over at least {n:,} trials per design, each {window_text(scenario.horizon)} long"
    )
    if len(designs) > DESIGNS_MAX:
        return Table(
            caption,
            ("Design", *(measure_of(m).plain for m in measures)),
            tuple((a, *(cell(a, m) for m in measures)) for a in designs),
        )
    rows = tuple((f"{measure_of(m).plain}\n{explain(m, scenario)}", *(cell(a, m) for a in designs)) for m in measures)
    return Table(caption, ("Measure", *designs), rows)


def _facts(result: RunResult, scenario: Any) -> tuple[tuple[str, str], ...]:
    meta = result.meta
    done = meta.get("trials_done", {})
    trials, asked = from_to(done.values()), from_to(meta.get("trials_asked", {}).values())
    git = meta.get("git")
    facts = {
        "Trials per design": f"{trials} of {asked} asked" if asked else trials,
        "Stopped because": str(meta.get("stop_reason", "")),
        "Each trial": f"{window_text(scenario.horizon)} from {moment(units.format_moment(scenario.start))}",
        "Designs": f"{len(designs_of(result)):,}",
        "Seed": str(meta.get("seed", scenario.seed)),
        "Scenario hash": str(meta.get("scenario_hash", ""))[:16],
        "Command": str(meta.get("command", "")),
        "Versions": ", ".join(
            [f"regionfall {meta.get('regionfall', '')}", *(f"{k} {v}" for k, v in meta.get("versions", {}).items())]
        ),
        "Code": f"{str(git['commit'])[:12]}{', modified' if git.get('modified') else ''}" if git else "",
        "Run": f"{moment(meta.get('started', ''))} to {moment(meta.get('ended') or 'now')}",
    }
    return tuple((name, value) for name, value in facts.items() if value)


def _verdicts(result: RunResult) -> tuple[Verdict, ...]:
    name, objective = measure_name(result), objective_of(result)
    target = number(objective.target, "share")
    what = measure_of(name).plain.lower()
    words = {"meets": f"{target}", "misses": f"{target}", "undecided": f"against {target}: more trials are needed"}
    found = []
    for a, word in list(verdicts_of(result).items())[:DESIGNS_MAX]:
        text = estimate_text(name, result.estimates[a][name])
        met = result.estimates[a].get("slo_met_month_prob")
        months = (
            f"; keeps it in {estimate_text('slo_met_month_prob', met)} of months"
            if met is not None and met.seen
            else ""
        )
        found.append(Verdict(a, word, f"{words[word]} ({what} over a trial: {text}{months})"))
    return tuple(found)


def _method(result: RunResult, scenario: Any) -> tuple[tuple[str, str], ...]:
    objectives = scenario.objectives
    level = number(float(result.meta.get("confidence", 0.95)), "share")
    share, length = units.format_share(objectives.cascade_below), units.format_duration(objectives.cascade_for)
    used = [m for m in MEASURES if any(m in values for values in result.estimates.values())]
    return (
        *((measure_of(m).plain, explain(m, scenario)) for m in used),
        (
            "Outage",
            f"success below {units.format_share(objectives.availability.threshold)} for at least "
            f"{units.format_duration(objectives.availability.for_)}, per population; one that is still open at the end "
            "of a trial is counted and flagged",
        ),
        (
            "Cascade",
            "a disturbance in which a pool (service in a region) that no fault hit directly serves less than "
            f"{share} of what it is offered for at least {length}. Size: number of such pools. Depth: hops from the "
            "pools hit. Cross-region: a pool fails in a region without a direct hit",
        ),
        (
            "Interval",
            f"at {level}; its coverage is tested. Where an event was not seen, the bound that so many trials support "
            "is given",
        ),
        (
            "Meets, misses, undecided",
            "the objective against the nearer end of the interval; undecided when it lies inside",
        ),
        ("Paired difference", "the same faults strike the compared designs at the same times (common random numbers)"),
        (
            "Limits of the model",
            "traffic is a fluid with the fluctuations of a queue, not single requests; it is too optimistic close to "
            "saturation (hottest pod above 90 % with retries), where a real system can tip over by chance. Faults "
            "strike independently unless a common cause is stated, and repair, detection and human delays are as good "
            "as the laws given for them",
        ),
    )
