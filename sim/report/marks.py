"""Marks that several figures share: error bars and stacked bars with the interval of their total."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import plotly.graph_objects as go

from sim.estimate import Estimate
from sim.report.style import BLACK, ROW_PX, base_figure, hatch, safe, wrap
from sim.report.text import drawn


@dataclass(frozen=True)
class Part:
    """One part of every stacked bar."""

    column: str
    """Where its values come from."""
    name: str
    colour: str
    pattern: str
    """Plotly's fill pattern, the second cue beside the colour."""


REACH: Final = 3.0
"""The axis of stacked bars ends at so many times the longest bar: an interval of few events must not hide the bars."""
Bars = tuple[Part, Sequence[float], Sequence[str]]
"""A part with its lengths in the axis' unit, one per bar, and what each says when pointed at."""


def error_bars(estimates: Sequence[Estimate], colour: str = BLACK, scale: float = 1.0) -> dict[str, Any]:
    """Intervals as plotly's error bars around the means.

    Parameters
    ----------
    estimates : sequence of Estimate
        One per point; an end that is not bounded falls on the mean.
    colour : str
        Of the bars.
    scale : float
        From the estimates' unit to the axis.
    """
    return {
        "type": "data",
        "symmetric": False,
        "array": [(drawn(e)[1] - e.mean) * scale for e in estimates],
        "arrayminus": [(e.mean - drawn(e)[0]) * scale for e in estimates],
        "color": colour,
        "thickness": 2,
        "width": 5,
    }


def stacked_bars(
    names: Sequence[str],
    parts: Sequence[tuple[Part, Sequence[float], Sequence[str]]],
    totals: Sequence[Estimate],
    scale: float,
) -> go.Figure:
    """Horizontal stacked bars, one per name, with a diamond and its interval at the total.

    Parameters
    ----------
    names : sequence of str
        Designs, top to bottom.
    parts : sequence of Bars
        From left to right.
    totals : sequence of Estimate
        One per bar.
    scale : float
        From the unit of the totals to the axis.
    """
    figure = base_figure(ROW_PX * len(names) + 130, barmode="stack", bargap=0.35, legend_traceorder="normal")
    labels = [wrap(safe(name)) for name in names]
    for part, values, texts in parts:
        figure.add_bar(
            y=labels,
            x=list(values),
            orientation="h",
            name=part.name,
            marker={"color": part.colour, "line": {"color": BLACK, "width": 0.6}, "pattern": hatch(part.pattern)},
            hovertext=[safe(f"{part.name}: {text}") for text in texts],
            hoverinfo="y+text",
        )
    figure.add_scatter(
        y=labels,
        x=[total.mean * scale for total in totals],
        mode="markers",
        name="mean and its interval",
        marker={"color": "#ffffff", "symbol": "diamond", "size": 9, "line": {"color": BLACK, "width": 2}},
        error_x=error_bars(totals, scale=scale),
        hoverinfo="x",
    )
    longest = max(total.mean for total in totals)
    reach = min(max(drawn(total)[1] for total in totals), REACH * longest)
    figure.update_xaxes(range=[0.0, 1.05 * max(reach, longest) * scale or 1.0])
    figure.update_yaxes(autorange="reversed")
    return figure
