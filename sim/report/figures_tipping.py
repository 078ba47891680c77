"""What tips a design, how long it takes to come back, and which remedy moves the border."""

import math
from collections.abc import Sequence

import plotly.graph_objects as go

from sim.report.figures_stability import above, key_of, times
from sim.report.panel import Panel, Table
from sim.report.style import BLACK, GREEN, GREY, ROW_PX, base_figure, hatch, joined, look, safe, wrap
from sim.report.text import duration, number
from sim.study.stability import Stability


def triggers_panel(found: Sequence[Stability]) -> Panel | None:
    """Size and length of the smallest loss that tips each design at today's peak."""
    tipped = [s for s in found if any(math.isfinite(t.shortest_s) for t in s.tippings)]
    if not tipped:
        return None
    figure = base_figure(460)
    for i, s in enumerate(found):
        points = [t for t in s.tippings if math.isfinite(t.shortest_s)]
        if points:
            seen = look(i)
            figure.add_scatter(
                x=[t.lost for t in points],
                y=[t.shortest_s for t in points],
                mode="lines+markers",
                name=safe(s.architecture),
                line={"color": seen.colour, "dash": seen.dash, "width": 2.5},
                marker={"symbol": seen.symbol, "size": 9},
                hovertext=[f"{safe(s.architecture)}: {t.lost:.0%} for {duration(t.shortest_s)}" for t in points],
                hoverinfo="text",
            )
    _add_own_faults(figure, found)
    figure.update_xaxes(range=[0, 1.06], tickformat=".0%", title={"text": "size: capacity lost by the bottleneck"})
    ticks = (0.1, 1.0, 10.0, 60.0, 600.0, 3600.0, 36000.0)
    figure.update_yaxes(
        type="log", tickvals=ticks, ticktext=[duration(t) for t in ticks], title={"text": "length of the loss"}
    )
    rows = tuple(
        (
            s.architecture,
            number(t.lost, "share", digits=2),
            "none up to 1h" if math.isinf(t.shortest_s) else duration(t.shortest_s),
        )
        for s in found
        for t in s.tippings
    )
    worst = min(((t.shortest_s, t.lost, s.architecture) for s in tipped for t in s.tippings), key=lambda row: row[0])
    half = [(s, t) for s in tipped for t in s.tippings if abs(t.lost - 0.5) < 0.2 and math.isfinite(t.shortest_s)]
    example = min(half, key=lambda st: abs(st[1].lost - 0.5)) if half else None
    title = (
        f"Losing {example[1].lost:.0%} of {example[0].pool[1]} for {duration(example[1].shortest_s)} at the peak is "
        f"enough to bring {example[0].architecture} down for good"
        if example
        else f"Losing {worst[1]:.0%} of capacity for {duration(worst[0])} at the peak brings {worst[2]} down for good"
    )
    return Panel(
        "stability-triggers",
        title,
        "The shortest loss of each size that tips a design at today's peak. "
        + " ".join(f"{r[0]}, {r[1]} lost: {r[2]}." for r in rows[:24]),
        figure,
        Table("Shortest loss that tips a design at today's peak", ("Design", "Capacity lost", "Shortest"), rows, True),
        (
            "Above a line the loss is fatal: the outage stays when the capacity is back. A design without a line is "
            "tipped by no loss of up to an hour. Open diamonds: faults of this scenario, at their mean repair time.",
        ),
    )


def _add_own_faults(figure: go.Figure, found: Sequence[Stability]) -> None:
    own = {(t.fault, t.lost, t.lasts_s) for s in found for t, _ in s.own if t.lasts_s > 0}
    if not own:
        return
    points = sorted(own, key=lambda row: (row[1], row[2]))
    figure.add_scatter(
        x=[lost for _, lost, _ in points],
        y=[lasts_s for _, _, lasts_s in points],
        mode="markers+text",
        name="faults of this scenario",
        text=[safe(name) for name, _, _ in points],
        textposition=["middle right" if lost < 0.8 else "middle left" for _, lost, _ in points],
        marker={"symbol": "diamond-open", "size": 12, "color": BLACK, "line": {"width": 2}},
        hoverinfo="text",
        hovertext=[f"{safe(name)}: {lost:.0%} for {duration(lasts_s)}" for name, lost, lasts_s in points],
        cliponaxis=False,
    )


def own_faults_table(found: Sequence[Stability]) -> Table | None:
    """Which of the scenario's own faults tip which design at today's peak: a row per fault, a column per design."""
    faults = {t.fault: t for s in found for t, _ in s.own}
    if not faults:
        return None
    rows = tuple(
        (
            f"{name}\n{'pods gone' if t.slow is None else f'{t.slow:g}x slower'} for {duration(t.lasts_s)}",
            *(_own_verdict(s, name) for s in found),
        )
        for name, t in faults.items()
    )
    return Table(
        "Does the outage stay after a fault of this scenario has ended? At today's peak, for its mean repair time",
        ("Fault", *(s.architecture for s in found)),
        rows,
        words=True,
    )


def _own_verdict(found: Stability, fault: str) -> str:
    for t, share in found.own:
        if t.fault == fault:
            size = f"\n{number(t.lost, 'share', digits=2)} of {found.pool[1]}"
            if math.isnan(share):
                return f"overloaded anyway{size}"
            word = f"in {number(share, 'share', digits=2)} of cases" if 0.0 < share < 1.0 else "yes" if share else "no"
            return word + size
    return "-"


def recovery_panel(found: Sequence[Stability]) -> Panel:
    """Time to come back from full congestion against load."""
    figure = base_figure(420)
    for i, s in enumerate(found):
        seen = look(i)
        points = [(load, max(time_s, 1.0)) for load, time_s in s.recovery if math.isfinite(time_s)]
        figure.add_scatter(
            x=[load for load, _ in points],
            y=[time_s for _, time_s in points],
            mode="lines+markers",
            name=safe(s.architecture),
            line={"color": seen.colour, "dash": seen.dash, "width": 2.5},
            marker={"symbol": seen.symbol, "size": 9},
            hovertext=[f"{safe(s.architecture)} at {load:g}x: {duration(time_s)}" for load, time_s in points],
            hoverinfo="text",
        )
    figure.add_vline(x=1.0, line={"color": BLACK, "width": 2})
    figure.add_annotation(x=1.0, y=1.0, yref="paper", yanchor="bottom", text="<b>today's peak</b>", showarrow=False)
    ticks = (1.0, 10.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0)
    figure.update_layout(legend={"y": above(figure, 24)}, margin_t=64)
    figure.update_xaxes(rangemode="tozero", title={"text": "load, times today's peak"})
    figure.update_yaxes(
        type="log", tickvals=ticks, ticktext=[duration(t) for t in ticks], title={"text": "time to recover"}
    )
    rows = tuple(
        (s.architecture, f"{load:g}x", "never" if math.isinf(time_s) else duration(time_s))
        for s in found
        for load, time_s in s.recovery
    )
    never = [s.architecture for s in found if s.critical_load < 1.0]
    title = (
        f"From full congestion at today's peak {joined(never, 6)} {'does' if len(never) == 1 else 'do'} not come back"
        if never
        else "From full congestion at today's peak every design comes back by itself"
    )
    return Panel(
        "stability-recovery",
        title,
        "Time to recover from full congestion against load. "
        + " ".join(f"{r[0]} at {r[1]}: {r[2]}." for r in rows[:24]),
        figure,
        Table("Time to recover from full congestion", ("Design", "Load", "Time"), rows, words=True),
        (
            "Start: every queue full, every caller waiting as long as it may, as many users about to retry as can be. "
            "Known to 10 s; a line ends where a design no longer recovers within half an hour.",
        ),
    )


def remedies_panel(found: Stability) -> Panel | None:
    """Remedies by the load that the design then still recovers from."""
    if not found.remedies:
        return None
    effects = found.remedies
    finite = [e.highest_load for e in effects if math.isfinite(e.highest_load)]
    end = 1.2 * max([1.1, found.critical_load if math.isfinite(found.critical_load) else 1.0, *finite])
    labels = [safe(e.name) for e in effects]
    better = [e.critical_load > 1.02 * found.critical_load for e in effects]
    figure = base_figure(ROW_PX * len(effects) + 100, bargap=0.35)
    for wanted, name, colour, pattern in ((True, "moves the border up", GREEN, ""), (False, "does not", GREY, "/")):
        here = [k for k, is_better in enumerate(better) if is_better is wanted]
        if here:
            figure.add_bar(
                y=[labels[k] for k in here],
                x=[min(effects[k].critical_load, end) for k in here],
                orientation="h",
                name=name,
                text=[times(effects[k].critical_load) for k in here],
                textposition="outside",
                cliponaxis=False,
                marker={"color": colour, "pattern": hatch(pattern)},
                hovertext=[safe(f"{effects[k].name}: {effects[k].what}") for k in here],
                hoverinfo="text",
            )
    for x, text, dash in ((found.critical_load, "as it is", "dash"), (1.0, "<b>today's peak</b>", "solid")):
        if math.isfinite(x):
            figure.add_vline(x=x, line={"color": BLACK, "width": 2.5, "dash": dash})
            lower = x <= min(found.critical_load, 1.0)  # the two labels stand away from each other
            side = "right" if lower else "left"
            figure.add_annotation(x=x, y=1.0, yref="paper", yanchor="bottom", xanchor=side, text=text, showarrow=False)
    figure.update_layout(legend={"y": above(figure, 24)}, margin_t=64)
    figure.update_xaxes(range=[0, end], title={"text": "largest load that recovers by itself, times today's peak"})
    figure.update_yaxes(
        type="category", categoryarray=list(reversed(labels)), tickvals=labels, ticktext=[wrap(x, 30) for x in labels]
    )
    best = effects[0]
    rows = (
        ("as it is", "", times(found.critical_load), times(found.highest_load)),
        *((e.name, e.what, times(e.critical_load), times(e.highest_load)) for e in effects),
    )
    return Panel(
        f"stability-remedies-{key_of(found)}",
        f"What moves the border of {found.architecture} most: {best.name}, from {times(found.critical_load)} to "
        f"{times(best.critical_load)} today's peak"
        if best.critical_load > 1.02 * found.critical_load
        else f"No remedy tried moves the border of {found.architecture} up from {times(found.critical_load)}",
        f"Largest load that {found.architecture} recovers from by itself, as it is and with each remedy. "
        + " ".join(f"{r[0]}: {r[2]}." for r in rows),
        figure,
        Table(
            f"Remedies of {found.architecture}, each alone",
            ("Remedy", "What is changed", "Recovers up to", "Overloaded above"),
            rows,
            words=True,
        ),
        ("Each remedy is applied alone to the whole design; exactly what is changed stands in the table.",),
    )
