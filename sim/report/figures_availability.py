"""Availability: the nines of each design, and how many months keep the objective."""

from datetime import timedelta
from typing import Any

import numpy as np
import plotly.graph_objects as go

from sim import units
from sim.estimate import Estimate, mean_interval, proportion_interval
from sim.report.inputs import (
    Columns,
    Floats,
    confidence_of,
    designs_of,
    floats_of,
    rows_of,
    sums_by_trial,
    where,
)
from sim.report.panel import Panel, Table
from sim.report.style import BLACK, GREY, ROW_PX, base_figure, colour_bar, joined, look, safe, wrap
from sim.report.text import estimate_text, explain, measure_of, nines, number, verdict, window_text
from sim.study.result import RunResult
from sim.study.tables import pieces_of

NINES_MAX = 7.0
"""Beyond seven nines (3 s a year) the axis ends; what lies further is drawn as an arrow at its end."""
_TICKS = {
    0: "0 %",
    0.301: "50 %",
    1: "90 %<br>36.5 d/y",
    2: "99 %<br>3.7 d/y",
    3: "99.9 %<br>8.8 h/y",
    4: "99.99 %<br>53 min/y",
    5: "99.999 %<br>5.3 min/y",
    6: "99.9999 %<br>32 s/y",
    7: "99.99999 %<br>3 s/y",
}


def objective_of(result: RunResult) -> Any:
    """The availability objective of the first design (all designs of an experiment share it)."""
    return next(iter(result.experiment.scenarios.values())).objectives.availability


def measure_name(result: RunResult) -> str:
    """The availability that the objective is about."""
    return f"availability_{objective_of(result).measured}"


def verdicts_of(result: RunResult) -> dict[str, str]:
    """`meets`, `misses` or `undecided` of each design."""
    target, name = objective_of(result).target, measure_name(result)
    return {a: verdict(result.estimates[a][name], target) for a in designs_of(result) if name in result.estimates[a]}


def availability_panel(result: RunResult) -> Panel:
    """Availability of each design on a nines axis, with interval, single years and the objective."""
    objective, name = objective_of(result), measure_name(result)
    found = verdicts_of(result)
    designs = list(found)
    top = _axis_end([result.estimates[a][name] for a in designs], objective.target)
    figure = base_figure(ROW_PX * len(designs) + 130)
    spread = {a: _years(result, name, a) for a in designs}
    for i, a in enumerate(designs):
        _add_design(figure, (i, a), result.estimates[a][name], spread[a], top)
    figure.add_vline(x=nines(objective.target), line={"color": BLACK, "dash": "dash", "width": 1.5})
    figure.add_annotation(
        x=nines(objective.target),
        y=1,
        yref="paper",
        yanchor="bottom",
        showarrow=False,
        text=f"objective {number(objective.target, 'share')}",
    )
    low = min([nines(objective.target), *(nines(spread[a][0]) for a in designs)])
    reach = max(0.0, min(low, top - 1) - 0.15), top + 0.12
    ticks = axis_ticks(*reach)
    figure.update_xaxes(
        range=reach,
        tickvals=list(ticks),
        ticktext=list(ticks.values()),
        title={"text": f"{measure_of(name).exact.split(' over ')[0]} over {window_text(_horizon(result))}, nines axis"},
    )
    figure.update_yaxes(autorange="reversed")
    figure.update_layout(showlegend=False, margin={"t": 26})
    title = _finding(found, result, name)
    return Panel(
        "availability",
        title,
        _summary(result, name, found),
        figure,
        _table(result, name, found, spread),
        (
            "Marker: estimated mean; thick line: its interval; thin grey line: single trials from the 5th to the "
            "95th percentile. Each whole step to the right is ten times less downtime.",
            f"Measured as {explain(name, next(iter(result.experiment.scenarios.values())))}.",
        ),
    )


def axis_ticks(low: float, high: float) -> dict[float, str]:
    """Ticks of a nines axis from `low` to `high`: whole nines, finer where fewer than two of them are in sight."""
    inside = {at: text for at, text in _TICKS.items() if low <= at <= high}
    if len(inside) > 1:
        return inside
    finer = [1.0 - lost * 10.0**-power for power in range(1, round(NINES_MAX) + 2) for lost in (5, 2, 1)]
    return {nines(share): number(share, "share", digits=1) for share in finer if low <= nines(share) <= high}


def _horizon(result: RunResult) -> float:
    return float(next(iter(result.experiment.scenarios.values())).horizon)


def _years(result: RunResult, name: str, architecture: str) -> tuple[float, float]:
    """5th and 95th percentile of single trials; (1, 1) without a table."""
    rows = rows_of(result, "trials", architecture)
    if not rows:
        return 1.0, 1.0
    low, high = np.quantile(floats_of(rows, name), [0.05, 0.95])
    return float(low), float(high)


def _axis_end(estimates: list[Any], target: float) -> float:
    ends = [nines(target), *(min(NINES_MAX, nines(v)) for e in estimates for v in (e.low, e.mean, e.high) if v < 1)]
    return min(NINES_MAX, max(ends) + 0.5)


def _add_design(
    figure: go.Figure, which: tuple[int, str], estimate: Estimate, spread: tuple[float, float], top: float
) -> None:
    index, name = which
    style, label = look(index), wrap(safe(name))
    hover = f"<b>{safe(name)}</b><br>{safe(estimate_text('availability_time', estimate))}"
    at = [min(nines(v), top) for v in (*spread, estimate.low, estimate.high, estimate.mean)]
    figure.add_scatter(x=at[:2], y=[label, label], mode="lines", line={"color": GREY, "width": 1.5}, hoverinfo="skip")
    figure.add_scatter(
        x=at[2:4],
        y=[label, label],
        mode="lines",
        line={"color": style.colour, "width": 6},
        opacity=0.55,
        hoverinfo="skip",
    )
    beyond = nines(estimate.mean) > top
    figure.add_scatter(
        x=[at[4]],
        y=[label],
        mode="markers",
        hovertext=[hover],
        hoverinfo="text",
        marker={
            "color": style.colour,
            "size": 12,
            "symbol": "triangle-right" if beyond else style.symbol,
            "line": {"color": BLACK, "width": 1},
        },
    )


def _finding(found: dict[str, str], result: RunResult, name: str) -> str:
    target = number(objective_of(result).target, "share")
    by = {word: [a for a in found if found[a] == word] for word in ("meets", "misses", "undecided")}
    best = max(found, key=lambda a: float(result.estimates[a][name].mean))
    if len(found) == 1:
        return f"{best} {_WORDS[found[best]]} {target}: {estimate_text(name, result.estimates[best][name])}"
    parts = [f"{len(by[w])} of {len(found)} designs {w if w != 'meets' else 'meet'} {target}" for w in ("meets",)]
    if by["undecided"]:
        parts.append(f"{joined(by['undecided'], 2)} undecided at this number of trials")
    return f"{', '.join(parts)}; best: {best}, {estimate_text(name, result.estimates[best][name])}"


_WORDS = {"meets": "meets", "misses": "misses", "undecided": "is undecided against"}


def _summary(result: RunResult, name: str, found: dict[str, str]) -> str:
    return "Availability on a nines axis. " + " ".join(
        f"{a}: {estimate_text(name, result.estimates[a][name])}, {found[a]}." for a in found
    )


def _table(result: RunResult, name: str, found: dict[str, str], spread: dict[str, tuple[float, float]]) -> Table:
    rows = tuple(
        (
            a,
            estimate_text(name, result.estimates[a][name]),
            f"{result.estimates[a][name].n:,}",
            number(spread[a][0], "share"),
            number(spread[a][1], "share"),
            found[a],
        )
        for a in found
    )
    columns = ("Design", "Mean [interval]", "Trials", "Trials, 5th percentile", "Trials, 95th percentile", "Objective")
    return Table(f"Availability against {units.format_share(objective_of(result).target)}", columns, rows)


# --- months -----------------------------------------------------------------------------------------


def months_panel(result: RunResult) -> Panel | None:
    """Share of trials whose calendar month met the objective: heat map of design by month, and all months."""
    shares = {a: by_month(result, a) for a in designs_of(result)}
    shares = {a: s for a, s in shares.items() if s}
    if not shares:
        return None
    labels = _month_labels(result, max(len(s) for s in shares.values()))
    designs = list(shares)
    figure = _months_figure(shares, labels)
    pooled = {a: result.estimates[a].get("slo_met_month_prob") for a in designs}
    worst = min(designs, key=lambda a: float(np.mean([c.mean for c in shares[a]])))
    best = max(designs, key=lambda a: float(np.mean([c.mean for c in shares[a]])))
    target = number(objective_of(result).target, "share")

    def words(a: str) -> str:
        return estimate_text("slo_met_month_prob", found) if (found := pooled[a]) is not None else "unknown"

    title = f"{best} keeps {target} in {words(best)} of months"
    if len(designs) > 1:
        title += f"; {worst} in {words(worst)}"
    rows = tuple(
        (a, words(a), *(f"{100 * c.mean:.0f} [{100 * c.low:.0f}, {100 * c.high:.0f}]" for c in shares[a]))
        for a in designs
    )
    return Panel(
        "months",
        title,
        "Share of trials that kept the objective, by design and calendar month. "
        + " ".join(f"{a}: {words(a)} of all months." for a in designs),
        figure,
        Table(f"Trials (%) whose month kept {target}, with interval", ("Design", "All months", *labels), rows),
        ("Cells: percent of trials (and populations) whose calendar month, UTC, was at or above the objective.",),
    )


def _months_figure(shares: dict[str, list[Estimate]], labels: list[str]) -> go.Figure:
    designs = list(shares)
    grid = [[cell.mean for cell in shares[a]] for a in designs]
    figure = base_figure(ROW_PX * len(designs) + 150)
    figure.add_heatmap(
        z=grid,
        x=labels,
        y=[wrap(safe(a)) for a in designs],
        zmin=0,
        zmax=1,
        xgap=2,
        ygap=2,
        text=[[f"{100 * cell.mean:.0f}" for cell in shares[a]] for a in designs],
        texttemplate="%{text}",
        customdata=[[f"{number(c.low, 'share')} to {number(c.high, 'share')}" for c in shares[a]] for a in designs],
        hovertemplate="%{y}<br>%{x}: %{text} % of trials (interval %{customdata})<extra></extra>",
        colorscale=[[0, "#7f2704"], [0.5, "#fdae6b"], [1, "#f7fbff"]],
        colorbar=colour_bar("share that<br>kept it", tickformat=".0%"),
    )
    figure.update_yaxes(autorange="reversed", showgrid=False)
    figure.update_xaxes(showgrid=False, type="category", tickangle=0 if len(labels) <= 12 else -45)
    return figure


def by_month(result: RunResult, architecture: str) -> list[Estimate]:
    """Share of (trial, population) pairs that met the objective in each month, intervals over trials."""
    rows = rows_of(result, "months", architecture)
    if not rows:
        return []
    level, found = confidence_of(result), []
    last = max(int(piece["month"].max()) for piece in pieces_of(rows, ("month",)) if len(piece["month"]))
    for index in range(last + 1):
        own = where(rows, month=index)
        trials = np.unique(own["trial"])
        count, met = sums_by_trial(own, trials, ("met",), _counted)
        kept = met / count
        if bool(np.all((kept == 0) | (kept == 1))):  # one population: plain successes
            found.append(proportion_interval(float(kept.sum()), len(kept), confidence=level))
        else:
            found.append(mean_interval(kept, confidence=level, bounds=(0.0, 1.0)))
    return found


def _counted(rows: Columns) -> tuple[Floats, Floats]:
    return np.ones(len(rows["met"])), floats_of(rows, "met")


def _month_labels(result: RunResult, n: int) -> list[str]:
    start = next(iter(result.experiment.scenarios.values())).start
    year, month = (start + timedelta(0)).year, start.month
    names = ("Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec")
    found = []
    for k in range(n):
        at = month - 1 + k
        label = names[at % 12]
        found.append(
            f"{label}<br>{year + at // 12}"
            if k == 0 or at % 12 == 0
            else label
            if n <= 12
            else f"{label} {year + at // 12}"
        )
    return found
