"""Borders and maps: at which load and loss a design is stable, vulnerable, metastable or overloaded."""

import math
from collections.abc import Sequence
from typing import Final

import plotly.graph_objects as go

from sim.report.panel import Panel, Table
from sim.report.style import (
    BLACK,
    GREY,
    INK,
    ORANGE,
    ROW_PX,
    SKY,
    VERMILLION,
    base_figure,
    hatch,
    joined,
    safe,
    wrap,
)
from sim.report.text import duration, number
from sim.study.stability import LOAD_MAX, Stability, State

Verdict = tuple[float, float, float]
"""(load, capacity lost, share of checked runs that agree with the cell)."""

COLOURS: Final = {State.STABLE: SKY, State.VULNERABLE: ORANGE, State.METASTABLE: VERMILLION, State.OVERLOADED: GREY}
LETTERS: Final = {State.STABLE: "S", State.VULNERABLE: "V", State.METASTABLE: "M", State.OVERLOADED: "O"}
INKS: Final = {State.STABLE: INK, State.VULNERABLE: INK, State.METASTABLE: "#ffffff", State.OVERLOADED: "#ffffff"}
MEANINGS: Final = {
    State.STABLE: "recovers by itself from anything",
    State.VULNERABLE: "fine, but a larger trigger tips it",
    State.METASTABLE: "this loss tips it: the outage stays when the capacity is back",
    State.OVERLOADED: "does not stay healthy while the capacity is missing",
}
CELL_PX: Final = 34


def times(load: float) -> str:
    """A load as a multiple of today's peak; of a border that was not found, the largest load looked at."""
    return f"above {LOAD_MAX:g}x" if math.isinf(load) else f"{load:.2f}x"


def borders_panel(found: Sequence[Stability]) -> Panel:
    """How far each design is from its borders."""
    names = [safe(s.architecture) for s in found]
    end = 1.15 * max([1.2, *(s.highest_load for s in found if math.isfinite(s.highest_load))])
    figure = base_figure(70 + ROW_PX * len(found) + 60, barmode="stack", bargap=0.35)
    zones = (
        (State.STABLE, "", [min(s.critical_load, end) for s in found]),
        (State.VULNERABLE, "/", [max(0.0, min(s.highest_load, end) - min(s.critical_load, end)) for s in found]),
        (State.OVERLOADED, "x", [max(0.0, end - min(s.highest_load, end)) for s in found]),
    )
    for state, pattern, widths in zones:
        figure.add_bar(
            y=names,
            x=widths,
            orientation="h",
            name=state.value,
            marker={"color": COLOURS[state], "pattern": hatch(pattern), "line": {"color": "#ffffff", "width": 1}},
            hovertext=[f"{name}: {state.value}" for name in names],
            hoverinfo="text",
        )
    figure.add_vline(x=1.0, line={"color": BLACK, "width": 2.5})
    figure.add_annotation(x=1.0, y=1.0, yref="paper", yanchor="bottom", text="<b>today's peak</b>", showarrow=False)
    figure.update_layout(legend={"y": above(figure, 24), "entrywidth": 90, "traceorder": "normal"}, margin_t=64)
    figure.update_xaxes(range=[0, end], title={"text": "load, times today's peak"})
    figure.update_yaxes(autorange="reversed", tickvals=names, ticktext=[wrap(n, 26) for n in names])
    rows = tuple(
        (
            s.architecture,
            s.today.value,
            f"{s.peak_per_s:.4g}/s",
            times(s.critical_load),
            times(s.highest_load),
            "never" if math.isinf(s.chance_load) else f"from {times(s.chance_load)}",
            f"{s.pool[1]} in {s.pool[0]}",
        )
        for s in found
    )
    return Panel(
        "stability-borders",
        _borders_finding(found),
        "Load at which each design stops recovering by itself, and at which it is overloaded. "
        + " ".join(f"{r[0]}: {r[1]} today, stable up to {r[3]}, overloaded above {r[4]}." for r in rows),
        figure,
        Table(
            "Borders of each design, in multiples of today's peak",
            ("Design", "Today", "Peak", "Stable up to", "Overloaded above", "OOM kills by chance", "Bottleneck"),
            rows,
            words=True,
        ),
        (
            "Stable: it comes back by itself even when every queue is full and every client retries. Vulnerable: it "
            "runs well, but once a trigger has congested it, it stays down after the trigger is gone. Overloaded: it "
            "cannot serve the load at all.",
        ),
    )


def _borders_finding(found: Sequence[Stability]) -> str:
    by_state = {state: [s.architecture for s in found if s.today is state] for state in State}
    parts = [
        f"{joined(names, 6)} {'is' if len(names) == 1 else 'are'} {state.value}"
        for state, names in by_state.items()
        if names
    ]
    return "At today's peak " + "; ".join(parts)


def map_panel(found: Stability, verdicts: Sequence[Verdict] = ()) -> Panel:
    """Load x capacity lost, each cell by its state."""
    loads = sorted({cell.load for cell in found.cells})
    losses = sorted({cell.lost for cell in found.cells})
    states = {(cell.load, cell.lost): cell.state for cell in found.cells}
    order = list(State)
    xs, ys = [f"{load:g}" for load in loads], [number(lost, "share", digits=2) for lost in losses]
    scale = [[edge, COLOURS[s]] for k, s in enumerate(order) for edge in (k / len(order), (k + 1) / len(order))]
    figure = base_figure(CELL_PX * len(losses) + 170)
    figure.add_heatmap(
        z=[[order.index(states[load, lost]) + 0.5 for load in loads] for lost in losses],
        x=xs,
        y=ys,
        zmin=0,
        zmax=len(order),
        colorscale=scale,
        showscale=False,
        xgap=2,
        ygap=2,
        customdata=[[f"{states[a, b].value}: {MEANINGS[states[a, b]]}" for a in loads] for b in losses],
        hovertemplate="load %{x}x, %{y} lost<br>%{customdata}<extra></extra>",
    )
    for state in order:
        here = [(x, y) for x, load in zip(xs, loads, strict=True) for y, lost in zip(ys, losses, strict=True)
                if states[load, lost] is state]  # fmt: skip
        figure.add_scatter(
            x=[x for x, _ in here],
            y=[y for _, y in here],
            mode="text",
            text=LETTERS[state],
            textfont={"color": INKS[state], "size": 13},
            hoverinfo="skip",
            showlegend=False,
        )
        figure.add_scatter(
            x=[None],
            y=[None],
            mode="markers",
            marker={"symbol": "square", "size": 15, "color": COLOURS[state]},
            name=f"<b>{LETTERS[state]}</b> {state.value}: {MEANINGS[state]}",
        )
    _mark_today(figure, loads)
    _mark_chance(figure, loads, found.chance_load)
    _mark_checks(figure, verdicts)
    kind = "slower work" if found.how == "slow" else "pods gone"
    figure.update_xaxes(type="category", categoryarray=xs, showgrid=False, title={"text": "load, times today's peak"})
    figure.update_yaxes(
        type="category",
        categoryarray=ys,
        showgrid=False,
        title={"text": f"capacity of {safe(found.pool[1])} lost ({kind})"},
    )
    figure.update_layout(legend={"entrywidth": 500, "y": above(figure, 24)}, margin_t=100)
    rows = tuple(
        (ys[k], *(states[load, lost].value for load in loads)) for k, lost in reversed(list(enumerate(losses)))
    )
    return Panel(
        f"stability-map-{key_of(found)}",
        _map_finding(found),
        f"State of {found.architecture} by load and by the share of {found.pool[1]}'s capacity that is lost; the table "
        "has every cell.",
        figure,
        Table(
            f"State of {found.architecture}: rows are the capacity lost, columns the load",
            ("Lost", *(f"{x}x" for x in xs)),
            rows,
            words=True,
        ),
        _map_notes(found, verdicts),
    )


def _map_notes(found: Stability, verdicts: Sequence[Verdict]) -> tuple[str, ...]:
    region, service = found.pool
    notes = [
        f"Each cell: {service} in {region} loses this share of its capacity for {duration(found.lasts_s)} at this "
        f"load, then gets it back; nobody fails over, adds pods or restarts anything by hand. Healthy: at least "
        f"{number(found.threshold, 'share', digits=3)} of first attempts end usable."
    ]
    if math.isfinite(found.chance_load):
        notes.append(
            f"Right of the dotted line ({times(found.chance_load)} today's peak) chance alone fills the memory of a "
            "pod within half an hour: the map, which knows mean rates only, shows the design better there than it is."
        )
    if verdicts:
        agree = sum(share >= 0.5 for _, _, share in verdicts)
        notes.append(
            f"Checked against single requests in {len(verdicts)} cells near the borders: {agree} agree (circle), "
            f"{len(verdicts) - agree} do not (cross)."
        )
    return tuple(notes)


def _mark_today(figure: go.Figure, loads: Sequence[float]) -> None:
    """A frame around the column of today's peak."""
    near = min(range(len(loads)), key=lambda k: abs(loads[k] - 1.0))
    if abs(loads[near] - 1.0) < 1e-9:
        figure.add_shape(
            type="rect",
            x0=near - 0.5,
            x1=near + 0.5,
            y0=0,
            y1=1,
            yref="paper",
            line={"color": BLACK, "width": 3},
        )
        figure.add_annotation(
            x=near, y=1.0, yref="paper", yanchor="bottom", text="<b>today's peak</b>", showarrow=False
        )


def _mark_chance(figure: go.Figure, loads: Sequence[float], chance: float) -> None:
    """A dashed line from which chance alone kills pods."""
    if not loads[0] <= chance <= loads[-1]:
        return
    after = next(k for k, load in enumerate(loads) if load >= chance)
    before = max(after - 1, 0)
    part = (chance - loads[before]) / max(loads[after] - loads[before], 1e-9)
    x = before + part
    figure.add_shape(
        type="line", x0=x, x1=x, y0=0, y1=1, yref="paper", line={"color": BLACK, "width": 3, "dash": "dot"}
    )
    figure.add_annotation(
        x=x, y=0.985, yref="paper", yanchor="top", xanchor="right", text="OOM kills by chance \u2192", showarrow=False,
        font={"color": "#ffffff", "size": 12}, bgcolor=BLACK,
    )  # fmt: skip


def _mark_checks(figure: go.Figure, verdicts: Sequence[Verdict]) -> None:
    for agrees, symbol, name in (
        (True, "circle-open", "single requests agree"),
        (False, "x-thin-open", "single requests disagree"),
    ):
        here = [(load, lost) for load, lost, share in verdicts if (share >= 0.5) is agrees]
        if here:
            figure.add_scatter(
                x=[f"{load:g}" for load, _ in here],
                y=[number(lost, "share", digits=2) for _, lost in here],
                mode="markers",
                name=name,
                hoverinfo="skip",
                marker={"symbol": symbol, "size": 24, "color": BLACK, "line": {"width": 2.5, "color": BLACK}},
            )


def _map_finding(found: Stability) -> str:
    name = found.architecture
    if found.today is State.OVERLOADED:
        return f"{name} cannot serve today's peak: it is healthy up to {times(found.highest_load)} of it only"
    if found.today is State.VULNERABLE:
        gap = f"between {times(found.critical_load)} and {times(found.highest_load)} today's peak"
        chance = ", and chance alone congests it" if found.chance_load < 1.0 else ""
        return f"{name} is vulnerable today: {gap} it runs well but does not come back once it is congested{chance}"
    if math.isinf(found.critical_load):
        return f"{name} recovers by itself at any load tried"
    room = found.critical_load - 1.0
    return f"{name} is stable today, with {number(100.0 * room, 'count')} % more load to the border"


def above(figure: go.Figure, pixels: int) -> float:
    """A place so many pixels above the plot, as a share of its height (some 110 px are margins)."""
    return 1.0 + pixels / max(80.0, float(figure.layout.height) - 110.0)


def key_of(found: Stability) -> str:
    """A key of letters, digits and dashes that no other architecture's name gives."""
    return "".join(c if c.isascii() and c.isalnum() else f"-{ord(c):x}-" for c in found.architecture)
