"""Designs against the first one: paired differences, and how often each is better."""

from typing import Any, Final

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from sim.estimate import Estimate
from sim.report.inputs import designs_of
from sim.report.marks import error_bars
from sim.report.panel import Panel, Table
from sim.report.style import BLACK, GREY, ROW_PX, look, safe, style, wrap
from sim.report.text import difference_text, drawn, measure_of, number
from sim.study.result import RunResult

SHOWN: Final = (
    "downtime_h_per_year",
    "lost_hours_per_year",
    "cascade_year_prob",
    "cross_region_cascade_year_prob",
    "infrastructure_cost_per_year",
    "total_cost_per_year",
)
"""Measures of the figure; the table has all."""
_UNITS: Final = {"hours": "h per year", "person_hours": "worker-hours per year", "share": "percentage points"}


def differences_panel(result: RunResult, currency: str) -> Panel | None:
    """Paired differences to the first design, with intervals, and the probability of being better in a trial."""
    order = designs_of(result)
    base = order[0]
    pairs = {a: result.differences[f"{a} - {base}"] for a in order[1:] if result.differences.get(f"{a} - {base}")}
    if not pairs:
        return None
    shown = [m for m in SHOWN if all(m in values for values in pairs.values())] or list(next(iter(pairs.values())))[:4]
    figure = _figure(result, pairs, shown, currency)
    rows = tuple(
        (a, measure_of(m).plain, difference_text(m, estimate, currency), _better(result, f"{a} - {base}", m))
        for a, values in pairs.items()
        for m, estimate in values.items()
    )
    return Panel(
        "differences",
        _finding(pairs, base, currency),
        f"Paired differences to {base}. "
        + " ".join(f"{r[0]}: {r[1]} {r[2]}." for r in rows if r[1] in {measure_of(m).plain for m in shown[:1]}),
        figure,
        Table(
            f"Differences to {base}, with intervals",
            ("Design", "Measure", "Difference [interval]", "P(better)"),
            rows,
            words=True,
        ),
        (
            "Each pair met the same faults at the same times (common random numbers), so the differences are known "
            f"better than the means. Left of zero is less than {base}; filled markers: the interval excludes zero. "
            "P(better): share of trials in which the design did better, ties counted half.",
        ),
    )


def _figure(result: RunResult, pairs: dict[str, Any], shown: list[str], currency: str) -> go.Figure:
    """One row per measure: the differences on the left, P(better) on the right."""
    order = designs_of(result)
    titles = [text for m in shown for text in (f"<b>{measure_of(m).plain}</b>, {_unit(m, currency)}", "P(better)")]
    height = len(shown) * (len(pairs) * (ROW_PX - 8) + 74) + 20
    figure = make_subplots(
        rows=len(shown),
        cols=2,
        shared_yaxes=True,
        column_widths=[0.7, 0.3],
        horizontal_spacing=0.03,
        vertical_spacing=74 / height,
        subplot_titles=titles,
    )
    style(figure, height, showlegend=False, margin_t=34)
    for annotation, axis in zip(figure.layout.annotations, figure.select_xaxes(), strict=True):
        annotation.update(x=axis.domain[0], xanchor="left", font={"size": 13})
    for row, measure in enumerate(shown, start=1):
        for a, values in pairs.items():
            better = result.better_prob.get(f"{a} - {order[0]}", {}).get(measure)
            _add_difference(figure, (row, order.index(a), a), measure, values[measure], currency)
            if better is not None:
                _add_better(figure, (row, order.index(a), a), better)
        ends = [0.0, *(end for values in pairs.values() for end in (*drawn(values[measure]), values[measure].mean))]
        pad, factor = 0.05 * (max(ends) - min(ends)) or 1.0, _factor(measure)
        figure.update_xaxes(range=[(min(ends) - pad) * factor, (max(ends) + pad) * factor], row=row, col=1)
    _axes(figure, len(shown))
    return figure


def _factor(measure: str) -> float:
    """From a measure's unit to that of its axis: shares are drawn in percentage points."""
    return 100.0 if measure_of(measure).unit == "share" else 1.0


def _unit(measure: str, currency: str) -> str:
    unit = measure_of(measure).unit
    return f"{currency} per year" if unit == "money" else _UNITS.get(unit, "per year")


def _add_difference(
    figure: go.Figure, place: tuple[int, int, str], measure: str, estimate: Estimate, currency: str
) -> None:
    row, index, name = place
    seen, factor = look(index), _factor(measure)
    excludes = estimate.low > 0 or estimate.high < 0 or (not estimate.seen and estimate.mean != 0)
    figure.add_scatter(
        x=[estimate.mean * factor],
        y=[wrap(safe(name))],
        mode="markers",
        marker={
            "color": seen.colour if excludes else "#ffffff",
            "symbol": seen.symbol,
            "size": 11,
            "line": {"color": seen.colour, "width": 2},
        },
        error_x={**error_bars([estimate], seen.colour, factor), "thickness": 3, "width": 0},
        hovertext=[f"{safe(name)}<br>{safe(difference_text(measure, estimate, currency))}"],
        hoverinfo="text",
        row=row,
        col=1,
    )


def _add_better(figure: go.Figure, place: tuple[int, int, str], better: Estimate) -> None:
    row, index, name = place
    figure.add_scatter(
        x=[better.mean],
        y=[wrap(safe(name))],
        mode="markers",
        marker={"color": BLACK, "symbol": look(index).symbol, "size": 9},
        error_x={**error_bars([better], GREY), "thickness": 3, "width": 0},
        hovertext=[number(better.mean, "share")],
        hoverinfo="text",
        row=row,
        col=2,
    )


def _axes(figure: go.Figure, n_rows: int) -> None:
    figure.update_yaxes(autorange="reversed")
    figure.update_xaxes(zeroline=True, zerolinecolor=BLACK, zerolinewidth=1.5, nticks=7, tickangle=0, col=1)
    figure.update_xaxes(range=[-0.04, 1.04], tickvals=[0, 0.5, 1], ticktext=["0", "50 %", "100 %"], tickangle=0, col=2)
    for row in range(1, n_rows + 1):
        figure.add_vline(x=0.5, line={"color": GREY, "dash": "dot", "width": 1}, row=row, col=2)


def _better(result: RunResult, pair: str, measure: str) -> str:
    better = result.better_prob.get(pair, {}).get(measure)
    if better is None:
        return "-"
    return f"{number(better.mean, 'share')} [{number(better.low, 'share')}, {number(better.high, 'share')}]"


def _finding(pairs: dict[str, Any], base: str, currency: str) -> str:
    measure = "total_cost_per_year"
    if not all(measure in values for values in pairs.values()):
        measure = next(iter(next(iter(pairs.values()))))
    name = min(pairs, key=lambda a: float(pairs[a][measure].mean))
    estimate = pairs[name][measure]
    plain, text = measure_of(measure).plain.lower(), difference_text(measure, estimate, currency)
    if estimate.high < 0:
        return f"{name} lowers the {plain} most against {base}: {text} per year"
    if estimate.low > 0:
        return f"No design lowers the {plain} of {base}; the nearest, {name}, changes it by {text} per year"
    return f"Undecided at this number of trials whether any design lowers the {plain} of {base}: {name} {text} per year"
