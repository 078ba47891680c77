"""Cascades: how big, after which fault, and along which way through the pools."""

import math
from collections.abc import Iterable

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from sim.estimate import Estimate, mean_interval, proportion_interval, ratio_interval
from sim.report.inputs import (
    Columns,
    Floats,
    confidence_of,
    designs_of,
    distinct,
    floats_of,
    rows_of,
    sums_by_trial,
    trials_of,
    where,
)
from sim.report.panel import Panel, Table
from sim.report.style import GREY, base_figure, look, safe, style
from sim.report.text import drawn, estimate_text, number, with_interval
from sim.study.result import RunResult
from sim.units import YEAR_S

LEVELS_MAX = 8
"""Largest size and depth drawn by itself."""


def size_panel(result: RunResult) -> Panel | None:
    """Cascades per year of at least k failed pools, and of at least so many hops, by design."""
    found = {a: (at_least(result, a, "size"), at_least(result, a, "depth")) for a in designs_of(result)}
    found = {a: both for a, both in found.items() if both[0]}
    if not found:
        return None
    figure = make_subplots(rows=1, cols=2, shared_yaxes=True, horizontal_spacing=0.04)
    style(figure, 420)
    for i, (a, both) in enumerate(found.items()):
        for col, levels in enumerate(both, start=1):
            _add_levels(figure, (i, a, len(found)), levels, col)
    for col, (text, column) in enumerate(
        (("failed pools outside those hit (size)", 0), ("hops from the fault (depth)", 1)), 1
    ):
        ticks = list(range(1, max(len(both[column]) for both in found.values()) + 1))
        figure.update_xaxes(title={"text": f"at least k {text}"}, tickvals=ticks, range=[0.5, ticks[-1] + 0.5], col=col)
    figure.update_yaxes(
        type="log", dtick=1, minor={"ticks": "outside"}, tickformat="~g", col=1, title={"text": "cascades per year"}
    )
    figure.update_yaxes(type="log", dtick=1, showticklabels=False, col=2)
    rows = []
    for a, both in found.items():
        for k, (size, depth) in enumerate(_pairs(both), start=1):
            rows.append((a, str(k), _cell(size), _cell(depth)))
    far = {a: cross_region_share(result, a) for a in found}
    known = {a: share for a, share in far.items() if share is not None}
    often = max(found, key=lambda a: found[a][0][0].mean)
    most = found[often][0][0]
    title = f"{often} has the most cascades, {with_interval(most, 'count')} a year"
    if most.mean == 0.0:
        title = f"No cascade seen in {most.n:,} trials of any design"
    if known:
        widest = max(known, key=lambda a: known[a].mean)
        title += f"; with {widest} {with_interval(known[widest], 'share')} of cascades reach another region"
    shares = "; ".join(f"{a}: {with_interval(share, 'share') if share.seen else 'none'}" for a, share in known.items())
    return Panel(
        "cascade-size",
        title,
        "Cascades per year by least size and by least depth. "
        + " ".join(f"{a}: {number(both[0][0].mean, 'count')} per year." for a, both in found.items()),
        figure,
        Table(
            "Cascades per year of at least k failed pools, and of at least k hops [interval]",
            ("Design", "k", "size at least k", "depth at least k"),
            tuple(rows),
        ),
        (
            f"Share of cascades that reach another region: {shares}.",
            "Cascades that were not seen have no place on a logarithmic axis; the table has their bound.",
        ),
    )


def at_least(result: RunResult, architecture: str, column: str) -> list[Estimate]:
    """Cascades per year whose `column` (size or depth) is at least 1, 2, ...; empty without trials."""
    trials, rows = rows_of(result, "trials", architecture), rows_of(result, "disturbances", architecture)
    if not trials:
        return []
    numbers = trials_of(result, architecture)
    years = floats_of(trials, "horizon_s") / YEAR_S
    if not rows:
        return [mean_interval(np.zeros(len(numbers)), confidence=confidence_of(result), bounds=(0.0, math.inf))]

    def reached(piece: Columns) -> list[Floats]:
        values = np.where(floats_of(piece, "cascade") > 0, floats_of(piece, column), 0.0)
        return [(values >= k).astype(np.float64) for k in range(1, LEVELS_MAX + 1)]

    levels = sums_by_trial(rows, numbers, ("cascade", column), reached)
    while len(levels) > 1 and not levels[-1].any():
        levels.pop()
    return [mean_interval(n / years, confidence=confidence_of(result), bounds=(0.0, math.inf)) for n in levels]


def cross_region_share(result: RunResult, architecture: str) -> Estimate | None:
    """Share of cascades that reach another region, over trials; None without any cascade."""
    rows = rows_of(result, "trials", architecture)
    if not rows or not bool(np.any(floats_of(rows, "cascades") > 0)):
        return None
    return ratio_interval(
        floats_of(rows, "cross_region_cascades"),
        floats_of(rows, "cascades"),
        confidence=confidence_of(result),
        bounds=(0.0, 1.0),
    )


def _pairs(both: tuple[list[Estimate], list[Estimate]]) -> Iterable[tuple[Estimate | None, Estimate | None]]:
    for k in range(max(map(len, both))):
        yield both[0][k] if k < len(both[0]) else None, both[1][k] if k < len(both[1]) else None


def _cell(estimate: Estimate | None) -> str:
    return "none" if estimate is None else estimate_text("cascades", estimate)


def _add_levels(figure: go.Figure, which: tuple[int, str, int], levels: list[Estimate], col: int) -> None:
    index, name, n = which
    if not any(e.mean > 0 for e in levels):
        figure.add_scatter(
            x=[None],
            y=[None],
            mode="markers",
            name=f"{safe(name)} (none seen)",
            showlegend=col == 1,
            marker={"symbol": look(index).symbol, "color": look(index).colour},
        )
        return
    seen, shown = look(index), [(k, e) for k, e in enumerate(levels, start=1) if e.mean > 0]
    nudge = (index - (n - 1) / 2) * 0.07
    floor = [max(drawn(e)[0], e.mean / 30) for _, e in shown]  # a logarithmic axis has no zero
    figure.add_scatter(
        x=[k + nudge for k, _ in shown],
        y=[e.mean for _, e in shown],
        mode="lines+markers",
        name=safe(name),
        legendgroup=safe(name),
        showlegend=col == 1,
        line={"color": seen.colour, "dash": seen.dash, "width": 2},
        marker={"symbol": seen.symbol, "size": 9},
        error_y={
            "type": "data",
            "symmetric": False,
            "array": [drawn(e)[1] - e.mean for _, e in shown],
            "arrayminus": [e.mean - low for (_, e), low in zip(shown, floor, strict=True)],
            "thickness": 1.5,
            "width": 3,
        },
        hovertext=[f"{safe(name)}<br>at least {k}: {safe(with_interval(e, 'count'))} per year" for k, e in shown],
        hoverinfo="text",
        row=1,
        col=col,
    )


# --- by kind of fault -------------------------------------------------------------------------------


def kinds_panel(result: RunResult) -> Panel | None:
    """P(cascade | fault of a kind) by design, on a logarithmic axis."""
    found = {a: by_kind(result, a) for a in designs_of(result)}
    kinds = list(dict.fromkeys(kind for values in found.values() for kind in values))
    if not kinds or not any(e.seen for values in found.values() for e in values.values()):
        return None
    step = 13
    figure = base_figure(len(kinds) * (len(found) * step + 16) + 150)
    floor = _floor(e for values in found.values() for e in values.values())
    for i, (a, values) in enumerate(found.items()):
        offset = (i - (len(found) - 1) / 2) * step / (len(found) * step + 16)
        _add_kinds(figure, (i, a), {kinds.index(k) + offset: (k, e) for k, e in values.items()}, floor)
    for row in range(1, len(kinds)):
        figure.add_hline(y=row - 0.5, line={"color": GREY, "width": 0.5})
    ticks = {p: number(p, "share") for p in (1e-6, 1e-5, 1e-4, 1e-3, 0.01, 0.1, 0.3, 1.0) if p >= floor}
    figure.update_xaxes(
        type="log",
        range=[math.log10(floor), 0.05],
        tickvals=list(ticks),
        ticktext=list(ticks.values()),
        title={"text": "probability that a fault of this kind starts a cascade (log scale)"},
    )
    figure.update_yaxes(
        tickvals=list(range(len(kinds))),
        ticktext=[safe(k) for k in kinds],
        range=[len(kinds) - 0.5, -0.5],
        showgrid=False,
    )
    first = next(iter(found))
    seen = {k: e for k, e in found[first].items() if e.seen}
    if seen:
        worst = max(seen, key=lambda k: seen[k].mean)
        title = f"{worst} cascades most often: {with_interval(seen[worst], 'share')} of its occurrences with {first}"
    else:
        title = f"No cascade was seen with {first}"
    rows = tuple(
        (k, a, estimate_text("cascade_given_fault_prob", e))
        for k in kinds
        for a, v in found.items()
        if k in v
        for e in [v[k]]
    )
    return Panel(
        "cascade-kinds",
        title,
        "Probability of a cascade given a fault, by kind. "
        + " ".join(f"{r[0]}, {r[1]}: {r[2]}." for r in rows if r[1] == first),
        figure,
        Table("P(cascade | fault of this kind) [interval]", ("Fault", "Design", "Probability"), rows, words=True),
        (
            "The faults active when a disturbance began share its cascade equally. Open left-pointing triangles: none "
            "seen, the bound is drawn.",
        ),
    )


def by_kind(result: RunResult, architecture: str) -> dict[str, Estimate]:
    """P(cascade | fault) of each kind that occurred; intervals over trials."""
    rows = rows_of(result, "fault_kinds", architecture)
    if not rows:
        return {}
    trials = trials_of(result, architecture)
    found = {}
    columns = ("occurrences", "cascades")
    for kind in distinct(rows, "fault"):
        occurred, cascades = sums_by_trial(
            where(rows, fault=kind), trials, columns, lambda piece: [floats_of(piece, column) for column in columns]
        )
        if occurred.sum() > 0:
            if cascades.any():
                found[str(kind)] = ratio_interval(
                    cascades, occurred, confidence=confidence_of(result), bounds=(0.0, 1.0), numerator_max=1.0
                )
            else:
                found[str(kind)] = proportion_interval(0, int(occurred.sum()), confidence=confidence_of(result))
    return found


def _floor(estimates: Iterable[Estimate]) -> float:
    """Left end of the axis: the decade below the smallest number that is drawn as a marker, at least 1e-6."""
    values = [e.mean if e.seen else e.high for e in estimates]
    return max(1e-6, 10.0 ** math.floor(math.log10(min(v for v in values if v > 0)) - 0.2))


def _add_kinds(
    figure: go.Figure, which: tuple[int, str], places: dict[float, tuple[str, Estimate]], floor: float
) -> None:
    index, name = which
    seen = look(index)
    x: list[float | None] = []
    y: list[float | None] = []
    for at, (_, estimate) in places.items():
        low, high = drawn(estimate)
        x += [max(low, floor), max(high, floor), None]
        y += [at, at, None]
    figure.add_scatter(
        x=x,
        y=y,
        mode="lines",
        line={"color": seen.colour, "width": 3},
        opacity=0.55,
        showlegend=False,
        legendgroup=safe(name),
        hoverinfo="skip",
    )
    texts = [
        f"{safe(name)}, {safe(kind)}<br>{safe(estimate_text('cascade_given_fault_prob', e))}"
        for kind, e in places.values()
    ]
    figure.add_scatter(
        x=[max(e.mean if e.seen else e.high, floor) for _, e in places.values()],
        y=list(places),
        mode="markers",
        name=safe(name),
        legendgroup=safe(name),
        hovertext=texts,
        hoverinfo="text",
        marker={
            "size": 9,
            "color": [seen.colour if e.seen else "#ffffff" for _, e in places.values()],
            "symbol": [seen.symbol if e.seen else "triangle-left" for _, e in places.values()],
            "line": {"color": seen.colour, "width": 1.5},
        },
    )
