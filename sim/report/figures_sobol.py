"""Sobol indices: which of the chosen numbers, over their whole ranges, decides how long users are down."""

from typing import Final

from sim.report.marks import error_bars
from sim.report.minutes import MINUTES
from sim.report.panel import Panel, Table
from sim.report.style import BLACK, BLUE, GREY, ORANGE, base_figure, hatch, safe, wrap
from sim.report.text import number, with_interval
from sim.study.sensitivity import Sensitivity

_BARS: Final = (("first", "alone (first order)", BLUE, ""), ("total", "with all interactions (total)", ORANGE, "/"))


def sobol_panel(found: Sensitivity) -> Panel | None:
    """First and total order indices with their intervals; SciPy's plain ones as open marks."""
    indices = found.sobol
    if indices is None:
        return None
    names = [one.knob.name for one in found.ranges]
    order = sorted(range(len(names)), key=lambda i: -indices.total[i].mean)
    labels = [wrap(safe(f"{names[i]}, {found.ranges[i].text}"), 40) for i in order]
    figure = base_figure(64 * len(order) + 130, barmode="group", bargap=0.3)
    for key, title, colour, pattern in reversed(_BARS):  # the last one is drawn on top
        values = [getattr(indices, key)[i] for i in order]
        plain = [getattr(indices, f"{key}_plain")[i] for i in order]
        figure.add_bar(
            y=labels,
            x=[max(v.mean, 0.0) for v in values],
            orientation="h",
            name=title,
            marker={"color": colour, "pattern": hatch(pattern)},
            error_x={**error_bars(values, GREY), "thickness": 1.5, "width": 4},
            hovertext=[
                f"{label}<br>{title}: {safe(with_interval(v, 'ratio'))}<br>plain: {number(p, 'ratio', digits=2)}"
                for label, v, p in zip(labels, values, plain, strict=True)
            ],
            hoverinfo="text",
        )
    figure.add_vline(x=1.0, line={"color": BLACK, "width": 1, "dash": "dot"})
    ends = [end for key in ("first", "total") for v in getattr(indices, key) for end in (v.low, v.high)]
    figure.update_xaxes(
        range=[max(min(-0.05, *ends), -0.5), min(max(1.05, *ends), 2.0)],
        title={"text": "share of the variance of yearly downtime"},
    )
    figure.update_layout(legend={"traceorder": "reversed"})
    figure.update_yaxes(type="category", categoryarray=labels[::-1], categoryorder="array", showgrid=False)
    rows = tuple(
        (
            names[i],
            found.ranges[i].text,
            with_interval(indices.first[i], "ratio"),
            with_interval(indices.total[i], "ratio"),
            f"{number(indices.first_plain[i], 'ratio', digits=2)}, {number(indices.total_plain[i], 'ratio', digits=2)}",
        )
        for i in order
    )
    return Panel(
        "sensitivity-sobol",
        _title(found, names, order),
        "Sobol indices of yearly downtime. " + " ".join(f"{r[0]}: first order {r[2]}, total {r[3]}." for r in rows),
        figure,
        Table(
            "Sobol indices of yearly downtime [interval]",
            ("Number", "Range", "First order", "Total order", "Plain (SciPy), first and total"),
            rows,
            words=True,
        ),
        _notes(found),
    )


def _title(found: Sensitivity, names: list[str], order: list[int]) -> str:
    assert found.sobol is not None
    top = found.sobol.total[order[0]]
    if top.low <= 0.0:
        return "Over these ranges no number is shown to decide about downtime: every interval reaches zero"
    share = number(min(max(top.mean, 0.0), 1.0), "share", digits=2)
    return f"Over these ranges {names[order[0]]} takes part in {share} of the variance of downtime"


def _notes(found: Sensitivity) -> tuple[str, ...]:
    indices = found.sobol
    assert indices is not None
    minutes, spread = (number(value * MINUTES, "count") for value in (indices.mean, indices.spread))
    noise = (
        ""
        if indices.noise_share != indices.noise_share
        else f" The simulator's own error is {number(indices.noise_share, 'share', digits=2)} of the variance of the "
        "means; it is taken out of the bars (products of different trials only), the plain indices still hold it."
    )
    return (
        f"Downtime over the ranges: {minutes} minutes a year on average, standard deviation {spread}.{noise}",
        "Index 1: this number decides all. First order: alone; total: together with the others. Estimates near 0 may "
        "fall below 0. Lines: bootstrap over the points and jackknife over the trials.",
        *((indices.note,) if indices.note else ()),
    )
