"""The way of cascades through the pools: hit directly, then wave by wave outward."""

import plotly.graph_objects as go
from plotly.subplots import make_subplots

from sim.report.panel import Panel, Table
from sim.report.style import BLACK, GREY, VERMILLION, safe, style
from sim.report.waves import Spread, spread_of
from sim.study.result import RunResult


def waves_panel(result: RunResult) -> Panel | None:
    """Pools by wave in the kept trials: hit directly, then outward, with the links that failures took."""
    spreads = {a: spread_of(record, result.experiment.scenarios[a]) for a, record in result.kept.items()}
    spreads = {a: s for a, s in spreads.items() if s.links}
    return waves_figure(spreads) if spreads else None


def waves_figure(spreads: dict[str, Spread]) -> Panel:
    """Node-link graphs by wave, one below the other; every spread has at least one link."""
    slots = {a: _slots(s) for a, s in spreads.items()}
    tall = {a: max(y for _, y in place.values()) + 1 for a, place in slots.items()}
    height = sum(66 * n + 30 for n in tall.values()) + 60
    figure = make_subplots(
        rows=len(spreads),
        cols=1,
        shared_xaxes=True,
        row_heights=[66 * n + 30 for n in tall.values()],
        vertical_spacing=min(0.9 / len(spreads), 46 / height),
        subplot_titles=[f"<b>{safe(a)}</b>" for a in spreads],
    )
    style(figure, height, showlegend=False, margin_t=34)
    for annotation in figure.layout.annotations:
        annotation.update(x=0, xanchor="left")
    last = max(s.wave(p) for s in spreads.values() for p in s.seen)
    for row, (a, spread) in enumerate(spreads.items(), start=1):
        _add_graph(figure, spread, slots[a], row)
        figure.update_yaxes(visible=False, range=[tall[a] - 0.35, -0.5], row=row, col=1)
    names = ["hit directly", *(f"wave {k}" for k in range(1, last + 1))]
    figure.update_xaxes(
        tickvals=list(range(last + 1)),
        ticktext=names,
        range=[-0.45, last + 0.45],
        showline=False,
        tickangle=0,
        ticks="",
    )
    rows = tuple(
        (a, origin, target, str(spread.wave(target)), f"{count} of {spread.n_cascades}")
        for a, spread in spreads.items()
        for (origin, target), count in spread.links.most_common()
    )
    a, origin, target, _, count = rows[0]
    return Panel(
        "cascade-waves",
        f"With {a}, failures spread most often from {origin} to {target}: in {count} cascades of its kept trial",
        "Pools by wave of failure. " + " ".join(f"{r[0]}: {r[1]} to {r[2]}, {r[4]}." for r in rows),
        figure,
        Table(
            "Ways that failures took in the kept trial of each design",
            ("Design", "From", "To", "Wave", "Cascades"),
            rows,
            words=True,
        ),
        (
            "From the kept trial of each design (its worst by downtime), added up over its cascades; thicker: more "
            "often. Failure travels from a service to its callers and between the regions that take each other's load, "
            "else back along the calls.",
        ),
    )


def _slots(spread: Spread) -> dict[str, tuple[int, int]]:
    """(wave, row) of each pool."""
    rows: dict[int, int] = {}
    place = {}
    for pool in sorted(spread.seen, key=lambda p: (spread.wave(p), -spread.seen[p], p)):
        wave = spread.wave(pool)
        place[pool] = (wave, rows.get(wave, 0))
        rows[wave] = rows.get(wave, 0) + 1
    return place


def _add_graph(figure: go.Figure, spread: Spread, place: dict[str, tuple[int, int]], row: int) -> None:
    most, axis = max(spread.links.values()), "" if row == 1 else str(row)
    for (origin, target), count in spread.links.items():
        (x0, y0), (x1, y1) = place[origin], place[target]
        figure.add_annotation(
            x=x1,
            y=y1,
            ax=x0,
            ay=y0,
            xref=f"x{axis}",
            yref=f"y{axis}",
            axref=f"x{axis}",
            ayref=f"y{axis}",
            text="",
            showarrow=True,
            arrowhead=2,
            arrowsize=1,
            arrowwidth=1.5 + 2.5 * count / most,
            arrowcolor=GREY,
            standoff=15,
            startstandoff=15,
        )
    pools = list(place)
    figure.add_scatter(
        x=[place[p][0] for p in pools],
        y=[place[p][1] for p in pools],
        mode="markers+text",
        row=row,
        col=1,
        text=[safe(p) for p in pools],
        textposition="bottom center",
        cliponaxis=False,
        hovertext=[f"{safe(p)}: {spread.seen[p]} of {spread.n_cascades} cascades" for p in pools],
        hoverinfo="text",
        marker={
            "size": [14 + 12 * spread.seen[p] / max(spread.seen.values()) for p in pools],
            "color": [VERMILLION if place[p][0] == 0 else "#ffffff" for p in pools],
            "symbol": ["diamond" if place[p][0] == 0 else "circle" for p in pools],
            "line": {"color": BLACK, "width": 2},
        },
    )
