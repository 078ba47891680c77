"""Sweeps: how a measure moves with one key (curves with bands) or with two (heat maps)."""

from itertools import product
from typing import Final

import plotly.graph_objects as go

from sim.estimate import Estimate
from sim.report.figures_availability import measure_name
from sim.report.panel import Panel, Table
from sim.report.style import base_figure, colour_bar, look, safe, wrap
from sim.report.text import drawn, estimate_text, measure_of, nines, nines_ticks, number
from sim.study.result import RunResult

SHOWN: Final = ("cascades_per_fault", "cascade_year_prob", "total_cost_per_year")
"""Measures drawn beside the availability that the objective is about."""
CELLS_MAX: Final = 150
"""Above so many cells a heat map has no numbers in them."""
Values = dict[tuple[str, ...], Estimate]
"""Swept values, in the order of the axes -> estimate."""


def sweep_panels(result: RunResult, currency: str) -> list[Panel]:
    """One figure per measure; for two axes one per measure and architecture; none without a sweep.

    With more than two axes the first two are drawn, the others at their first value.
    """
    axes = result.experiment.sweep_axes
    if not axes:
        return []
    panels = []
    for name in (measure_name(result), *SHOWN):
        found = {a: values for a, values in _values(result, name).items() if values}
        if found and len(axes) == 1:
            panels.append(_curve(found, name, axes, currency))
        elif found:
            panels += [_heat_map((a, i), values, name, axes, currency) for i, (a, values) in enumerate(found.items())]
    return panels


def _values(result: RunResult, name: str) -> dict[str, Values]:
    """Architecture -> swept values -> estimate of a measure."""
    experiment = result.experiment
    found: dict[str, Values] = {}
    for variant, estimates in result.estimates.items():
        settings = experiment.settings[variant]
        fixed = all(settings[key] == values[0] for key, values in list(experiment.sweep_axes.items())[2:])
        if fixed and name in estimates:
            place = tuple(settings[key] for key in list(experiment.sweep_axes)[:2])
            found.setdefault(experiment.architectures[variant], {})[place] = estimates[name]
    return found


def _height(name: str, value: float) -> float:
    """Where a value stands on the figure's axis: availabilities as nines (at most 7), all else as it is."""
    return min(7.0, nines(value)) if name.startswith("availability") else value


def _finding(name: str, architecture: str, values: Values, keys: tuple[str, ...], currency: str) -> str:
    """Where the measure is best, if its interval there is clear of the worst one's."""
    order = sorted(values, key=lambda place: values[place].mean, reverse=measure_of(name).higher_is_better)
    best, worst = values[order[0]], values[order[-1]]
    plain = f"{measure_of(name).plain} with {architecture}"
    if best.low <= worst.high and worst.low <= best.high:
        return f"{plain}: no difference beyond chance over {' and '.join(keys)}"
    at = ", ".join(f"{key} = {value}" for key, value in zip(keys, order[0], strict=True))
    return f"{plain} is best at {at}: {estimate_text(name, best, currency)}"


def _curve(found: dict[str, Values], name: str, axes: dict[str, tuple[str, ...]], currency: str) -> Panel:
    key, ticks = next(iter(axes.items()))
    figure = base_figure(400)
    for i, (a, values) in enumerate(found.items()):
        xs = [t for t in ticks if (t,) in values]
        _add_curve(figure, (i, a, [safe(x) for x in xs]), [values[x,] for x in xs], name, currency)
    figure.update_xaxes(type="category", categoryarray=[safe(t) for t in ticks], title={"text": safe(key)})
    measure = measure_of(name)
    figure.update_yaxes(title={"text": measure.plain + (f" ({currency} per year)" if measure.unit == "money" else "")})
    if name.startswith("availability"):
        figure.update_yaxes(tickvals=list(nines_ticks()), ticktext=list(nines_ticks().values()))
    elif measure.unit == "share":
        figure.update_yaxes(tickformat=".3~%", rangemode="tozero")
    first = next(iter(found))
    title = _finding(name, first, found[first], (key,), currency)
    rows = tuple(
        (a, t, estimate_text(name, values[t,], currency))
        for a, values in found.items()
        for t in ticks
        if (t,) in values
    )
    return Panel(
        f"sweep-{name}",
        title,
        f"{measure.plain} against {key}. " + " ".join(f"{r[0]}, {r[1]}: {r[2]}." for r in rows[:12]),
        figure,
        Table(f"{measure.plain} against {key}", ("Architecture", key, "Mean [interval]"), rows),
        ("Bands are intervals. The swept values stand side by side, not to scale.",),
    )


def _add_curve(
    figure: go.Figure, which: tuple[int, str, list[str]], values: list[Estimate], name: str, currency: str
) -> None:
    index, architecture, xs = which
    seen = look(index)
    lows, highs = ([_height(name, drawn(e)[end]) for e in values] for end in (0, 1))
    figure.add_scatter(
        x=[*xs, *reversed(xs)],
        y=[*highs, *reversed(lows)],
        fill="toself",
        mode="none",
        showlegend=False,
        fillcolor=seen.fill(0.15),
        legendgroup=safe(architecture),
        hoverinfo="skip",
    )
    figure.add_scatter(
        x=xs,
        y=[_height(name, e.mean) for e in values],
        mode="lines+markers",
        name=safe(architecture),
        line={"color": seen.colour, "dash": seen.dash, "width": 2.5},
        marker={"symbol": seen.symbol, "size": 9},
        legendgroup=safe(architecture),
        hoverinfo="text",
        hovertext=[
            f"{safe(architecture)}, {x}<br>{safe(estimate_text(name, e, currency))}"
            for x, e in zip(xs, values, strict=True)
        ],
    )


def _heat_map(
    which: tuple[str, int], values: Values, name: str, axes: dict[str, tuple[str, ...]], currency: str
) -> Panel:
    key_y, key_x, *others = axes
    architecture, index = which
    plain = measure_of(name).plain
    rows = tuple(
        (y, x, estimate_text(name, values[y, x], currency))
        for y, x in product(axes[key_y], axes[key_x])
        if (y, x) in values
    )
    notes = ["Lighter is better; every cell's interval is in the table."]
    if others:
        notes.append("Held at their first value: " + ", ".join(f"{key} = {axes[key][0]}" for key in others) + ".")
    return Panel(
        f"sweep-{name}-{index}",
        _finding(name, architecture, values, (key_y, key_x), currency),
        f"{plain} of {architecture} by {key_y} and {key_x}.",
        _heat_map_figure(values, name, axes, currency),
        Table(f"{plain} of {architecture}", (key_y, key_x, "Mean [interval]"), rows),
        tuple(notes),
    )


def _heat_map_figure(values: Values, name: str, axes: dict[str, tuple[str, ...]], currency: str) -> go.Figure:
    (key_y, ys), (key_x, xs), *_ = axes.items()
    measure = measure_of(name)
    cells = {(y, x): values.get((y, x)) for y, x in product(ys, xs)}
    text = [
        [
            "" if (e := cells[y, x]) is None else number(e.mean, measure.unit, currency, 2).removesuffix(f" {currency}")
            for x in xs
        ]
        for y in ys
    ]
    full = [["" if (e := cells[y, x]) is None else safe(estimate_text(name, e, currency)) for x in xs] for y in ys]
    figure = base_figure(max(280, 44 * len(ys) + 150))
    heights = [_height(name, e.mean) for e in values.values()]
    pad = 0.0 if max(heights) > min(heights) else 0.1 * abs(heights[0]) or 1.0  # plotly would make up a range
    figure.add_heatmap(
        z=[[None if (e := cells[y, x]) is None else _height(name, e.mean) for x in xs] for y in ys],
        zmin=min(heights) - pad,
        zmax=max(heights) + pad,
        x=[safe(x) for x in xs],
        y=[safe(y) for y in ys],
        xgap=2,
        ygap=2,
        text=text,
        customdata=full,
        texttemplate="%{text}" if len(xs) * len(ys) <= CELLS_MAX else None,
        colorscale="Cividis",
        reversescale=not measure.higher_is_better,
        colorbar=colour_bar(wrap(measure.plain, 14)),
        hovertemplate="%{y}, %{x}<br>%{customdata}<extra></extra>",
    )
    if name.startswith("availability"):
        ticks = nines_ticks()
        figure.update_traces(colorbar={"tickvals": list(ticks), "ticktext": list(ticks.values())})
    elif measure.unit == "share":
        figure.update_traces(colorbar={"tickformat": ".2~%"})
    figure.update_xaxes(type="category", title={"text": safe(key_x)}, showgrid=False)
    figure.update_yaxes(type="category", title={"text": safe(key_y)}, showgrid=False)
    return figure
