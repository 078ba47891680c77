"""The page of the stability analysis."""

import math
from collections.abc import Mapping, Sequence

from sim.report.figures_stability import Verdict, borders_panel, map_panel, times
from sim.report.figures_tipping import own_faults_table, recovery_panel, remedies_panel, triggers_panel
from sim.report.page import Page, Section
from sim.report.page import Verdict as HeadLine
from sim.report.panel import Table
from sim.report.text import duration, number
from sim.study.stability import Stability


def page_of_stability(
    title: str,
    found: Sequence[Stability],
    *,
    warnings: Sequence[str] = (),
    verdicts: Mapping[str, Sequence[Verdict]] | None = None,
    checks: Table | None = None,
) -> Page:
    """All of the analysis on one page.

    Parameters
    ----------
    title : str
        Name of the experiment.
    found : sequence of Stability
        One per architecture, at least one.
    warnings : sequence of str
        Lines that stand first.
    verdicts : dict of str to sequence, optional
        By architecture: which cells another model was asked about, and what share of its runs agrees.
    checks : Table, optional
        The same in full.
    """
    verdicts = verdicts or {}
    triggers = triggers_panel(found)
    own = own_faults_table(found)
    sections = [
        Section("borders", "How far from the border", panels=(borders_panel(found),)),
        *(_of_design(k, s, verdicts.get(s.architecture, ())) for k, s in enumerate(found)),
        Section(
            "triggers",
            "What tips it",
            () if triggers else ("No loss of capacity of up to an hour tips any of these designs at today's peak.",),
            (own,) if own else (),
            (triggers,) if triggers else (),
        ),
        Section("recovery", "Time to recover", panels=(recovery_panel(found),)),
        *([Section("checks", "Checked against single requests", tables=(checks,))] if checks else []),
        Section("method", "How to read this", definitions=_definitions(found[0])),
    ]
    first = found[0]
    return Page(
        title=title,
        kind="stability analysis",
        facts=(
            ("Load", "times the highest demand of each population today, without growth"),
            ("Losses of the map", f"{duration(first.lasts_s)} long"),
            ("Healthy", f"at least {number(first.threshold, 'share', digits=3)} of first attempts usable"),
        ),
        verdicts=tuple(_head_line(s) for s in found),
        warnings=tuple(warnings),
        sections=tuple(sections),
        footer="Made by Regionfall. Mean rates with constant demand; nobody and nothing acts except crashed pods that "
        "restart and breakers. This page holds everything it shows and asks nothing of the network.",
    )


def _of_design(index: int, found: Stability, verdicts: Sequence[Verdict]) -> Section:
    remedies = remedies_panel(found)
    panels = (map_panel(found, verdicts), *([remedies] if remedies else []))
    return Section(f"design-{index}", found.architecture, panels=panels)


def _head_line(found: Stability) -> HeadLine:
    reach = f"recovers by itself up to {times(found.critical_load)} that load"
    if math.isinf(found.critical_load):
        reach = f"recovers by itself at every load looked at, its border is {times(found.critical_load)} that load"
    end = f", is overloaded above {times(found.highest_load)}" if math.isfinite(found.highest_load) else ""
    chance = f"; above {times(found.chance_load)} chance alone kills pods" if math.isfinite(found.chance_load) else ""
    return HeadLine(
        found.architecture,
        found.today.value,
        f"at today's peak: {reach}{end}{chance}",
    )


def _definitions(found: Stability) -> tuple[tuple[str, str], ...]:
    lasts = duration(found.lasts_s)
    return (
        ("Stable", "Healthy at the end from any start: from empty, and from full congestion."),
        (
            "Vulnerable",
            "Healthy from empty, but a congested start stays congested (bistable): no trigger, no outage; after a "
            "large enough one the retries and full queues that it leaves behind keep the system down.",
        ),
        (
            "Metastable",
            f"The system was healthy at this load; losing this capacity for {lasts} tips it. The capacity comes back, "
            "the outage stays: it feeds itself, and ends only when load falls or somebody acts.",
        ),
        (
            "Overloaded",
            "No healthy state that lasts at this load while the capacity is missing, not even from empty: too much "
            "load, or pods that are killed sooner or later. Where the load itself can be served, it is healthy again "
            "by itself once the capacity is back.",
        ),
        (
            "Full congestion",
            "Every queue full, every caller waiting as long as its timeouts and attempts allow, and as many users "
            "about to retry as can be when everything fails.",
        ),
        (
            "What is left out",
            "Failover, operators, autoscaling, and the chance of single requests: mean rates only. Where chance "
            "decides when pods are OOM-killed, which probes fail or how long a pod starts, three runs vote. The terms "
            "are those of Bronson et al. (HotOS 2021) and Huang et al. (OSDI 2022).",
        ),
    )
