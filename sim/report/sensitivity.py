"""The page of a sensitivity study: what matters most in one design."""

from sim import units
from sim.estimate import Estimate
from sim.report.figures_sensitivity import elements_panel, faults_panel, tornado_panel
from sim.report.figures_sequences import sequences_panel, sequences_table, shares_panel
from sim.report.figures_sobol import sobol_panel
from sim.report.minutes import in_minutes, minutes_text, share_text
from sim.report.page import Page, Section
from sim.report.panel import Panel, Table
from sim.report.text import moment, number, window_text
from sim.study.sensitivity import DOWNTIME, Sensitivity


def page_of_sensitivity(found: Sensitivity, title: str) -> Page:
    """All of the study on one page.

    Parameters
    ----------
    found : Sensitivity
    title : str
        Name of the experiment.
    """
    table = sequences_table(found.architecture, found.sequences, found.scenario.start, found.verdicts)
    sequences = sequences_panel(found.architecture, found.sequences, found.covered, "sequences")
    shares = [shares_panel(_of_design(found, grouping), grouping) for grouping in ("fault", "element")]
    sections = [
        Section("shares", "Where the downtime comes from", tables=_grouping_tables(found), panels=_there(*shares)),
        Section(
            "sequences",
            "How it comes about",
            _sequence_lines(found),
            (table,) if table else (),
            _there(sequences),
            prose=True,
        ),
        Section("faults", "What each fault costs", panels=_there(faults_panel(found))),
        Section("tornado", "Which numbers matter", panels=_there(tornado_panel(found))),
        Section("elements", "Which elements are critical", panels=_there(elements_panel(found))),
        Section("sobol", "Numbers over their whole ranges", panels=_there(sobol_panel(found))),
        Section("method", "How to read this", definitions=_definitions(found)),
    ]
    base = in_minutes(found.base[DOWNTIME])
    trials = max(found.result.meta["trials_asked"].values())
    return Page(
        title=title,
        kind="sensitivity analysis",
        facts=(
            ("Design", found.architecture),
            ("Down", f"{minutes_text(base)} a year"),
            ("Trials of each change", f"{trials:,}, {window_text(found.scenario.horizon)} each"),
            ("Changes tried", f"{len(found.result.experiment.scenarios) - 1:,}"),
            ("Seed", str(found.scenario.seed)),
            ("From", moment(units.format_moment(found.scenario.start))),
        ),
        verdicts=(),
        warnings=tuple(warnings_of(found)),
        sections=tuple(s for s in sections if s.panels or s.tables or s.definitions),
        footer="Made by Regionfall. This page holds everything it shows and asks nothing of the network.",
    )


def warnings_of(found: Sensitivity) -> list[str]:
    """What stands first: too little seen, what was not tried."""
    lines = []
    if not found.shares:
        lines.append(
            f"{found.architecture} had no downtime in any trial: there are no shares and sequences to tell of."
        )
    elif found.base[DOWNTIME].note.startswith("few"):
        lines.append("Downtime was seen in few trials: shares and sequences rest on few outages; run more --trials.")
    if found.ranges and found.sobol is None:
        lines.append("Sobol indices: downtime does not vary over the ranges beyond the simulator's own error.")
    if found.sobol is not None and found.sobol.note:
        lines.append(f"Sobol indices: {found.sobol.note}.")
    return [*lines, *found.notes]


def _there(*panels: Panel | None) -> tuple[Panel, ...]:
    return tuple(panel for panel in panels if panel is not None)


def _of_design(found: Sensitivity, grouping: str) -> dict[str, dict[str, Estimate]]:
    return {found.architecture: found.shares.get(grouping, {})}


def _grouping_tables(found: Sensitivity) -> tuple[Table, ...]:
    """Level and kind of cause are few rows: a table says it."""
    titles = {"level": "By the level of the fault", "cause": "By kind of cause"}
    return tuple(
        Table(title, ("", "Share of minutes"), tuple((name, share_text(s)) for name, s in found.shares[key].items()))
        for key, title in titles.items()
        if found.shares.get(key)
    )


def _sequence_lines(found: Sensitivity) -> tuple[str, ...]:
    if not found.sequences:
        return ()
    return (
        f"The smallest set of sequences that makes up {number(found.covered, 'share')} of the lost minutes. Faults "
        "that were active but that the users do not depend on are left out; "
        + (
            "that each of the others is needed was tried by running the example again without it, on the same draws."
            if found.verdicts
            else "whether each of the others is needed was not tried."
        ),
    )


def _definitions(found: Sensitivity) -> tuple[tuple[str, str], ...]:
    return (
        (
            "Minutes down",
            "minutes in which less than "
            f"{units.format_share(found.scenario.objectives.availability.threshold)} of first attempts end usable, "
            "weighted over populations by their requests, per year",
        ),
        (
            "Share",
            "the faults active when an outage began share its minutes equally; a ratio of totals over trials, with the "
            "interval of a jackknife",
        ),
        (
            "It never happens (risk reduction)",
            "downtime with the fault beyond the horizon, less downtime as it is",
        ),
        (
            "Twice as often (risk achievement)",
            "every time to failure is half as long at the same draw; a probability per deployment is doubled",
        ),
        (
            "Birnbaum importance",
            "unavailability with the element out of order from the start to the end, less that with the element never "
            "hit by this fault; Z. W. Birnbaum, On the importance of different components in a multicomponent system "
            "(1969)",
        ),
        (
            "Common random numbers",
            "all changes meet the same faults at the same times, unless they change these; a difference of exactly "
            "none means that every trial was the same to the last bit",
        ),
        (
            "Sobol indices",
            "share of the variance of downtime over the stated ranges, by Saltelli's and Jansen's estimators; the "
            "simulator's own error is taken out by multiplying different trials only",
        ),
    )
