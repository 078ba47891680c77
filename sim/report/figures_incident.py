"""Swimlanes of one outage: what users saw on top, then demand, pools, and what people and machines did.

The lanes share one axis of time in UTC.
"""

from collections.abc import Sequence
from typing import Any, Final

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from sim.report.decimate import BINS, envelope, held, steps
from sim.report.incident import CONTROLLERS, OPERATORS, Window, clock, fault_spans, label, within
from sim.report.inputs import Floats
from sim.report.panel import Panel, Table
from sim.report.style import BLACK, BLUE, GREEN, ORANGE, PURPLE, VERMILLION, joined, look, safe, style
from sim.report.text import duration, number
from sim.world.log import Kind, Record, TrialRecord

POOLS_MAX: Final = 9
"""Pools drawn per timeline, those that suffered most; the table of the trial has all events."""
LANE_PX: Final = 105
GAP_PX: Final = 30
ROWS_MAX: Final = 300
ACTORS: Final = (("controller", CONTROLLERS, 2), ("people", OPERATORS, 5))
"""Who acts, what of theirs is marked, and over how many rows the labels are spread, so that neighbours do not overlap.
Who did nothing in the window (no failover, nobody on call) has no lane."""
EVENT_ROW_PX: Final = 18


def incident_panel(record: TrialRecord, scenario: Any, window: Window, key: str, about: str) -> Panel:
    """Timeline of one outage.

    Parameters
    ----------
    record : TrialRecord
        With its trace.
    scenario : Scenario
        For the objective's threshold.
    window : Window
        What to show.
    key : str
        Unique in the page.
    about : str
        Begin of the title, e.g. the design and trial.
    """
    assert record.trace is not None, "a timeline needs a kept trial"
    pools = _pools(record, window)
    n_event_rows = 2 + sum(levels for _, _, levels in _acting(record, window))
    lanes = [LANE_PX, LANE_PX, *[LANE_PX] * len(pools), 30 + EVENT_ROW_PX * n_event_rows]
    height = sum(lanes) + GAP_PX * len(lanes) + 80
    titles = ["success as users see it", "user requests and attempts (per s)"]
    titles += [safe(p) for p in pools] + ["what happened"]
    figure = make_subplots(
        rows=len(lanes),
        cols=1,
        shared_xaxes=True,
        row_heights=lanes,
        vertical_spacing=GAP_PX / (height - 80),
        subplot_titles=titles,
        specs=[[{"secondary_y": 2 < row <= 2 + len(pools)}] for row in range(1, len(lanes) + 1)],
    )
    style(figure, height, showlegend=False, hovermode="x", dragmode="zoom", margin_t=30)
    for annotation in figure.layout.annotations:
        annotation.update(x=0, xanchor="left", font={"size": 12})
    _success(figure, record, scenario, window)
    _demand(figure, record, window)
    for row, pool in enumerate(pools, start=3):
        _pool(figure, record, pool, window, row)
    _events(figure, record, window, len(lanes))
    _frame(figure, record, window, len(lanes))
    left_off = len(record.pools) - len(pools)
    notes = [
        "All lanes share the time axis (UTC). Shaded: the outage. Memory is that of the fullest pod of a pool. Drag to "
        "zoom, double-click to see all of it.",
        f"Lines are thinned to {BINS} steps of time with the lowest and highest value of each: what a screen shows.",
    ]
    if left_off:
        notes.append(f"{left_off} pools that suffered less are left off.")
    return Panel(key, *_words(record, scenario, window, about), figure, _table(record, window), tuple(notes))


def _ms(record: TrialRecord, at_s: Any) -> Any:
    """Milliseconds since 1970, which plotly reads as a date."""
    return record.start.timestamp() * 1000 + np.asarray(at_s, dtype=np.float64) * 1000


def _line(record: TrialRecord, x: Floats, y: Floats, colour: str, **line: Any) -> dict[str, Any]:
    """A curve over time; single precision is more than a screen shows and halves the page."""
    at = {"x": _ms(record, x), "y": y.astype(np.float32), "mode": "lines"}
    return {**at, "line": {"color": colour, "width": 1.5, **line}}


def _inside(at_s: Floats, window: Window) -> slice:
    """Rows of the trace inside the window, one more at each end."""
    low = int(np.searchsorted(at_s, window.start_s, side="right")) - 1
    return slice(max(0, low), int(np.searchsorted(at_s, window.end_s, side="left")) + 1)


def _pools(record: TrialRecord, window: Window) -> list[str]:
    """Pools to draw, in the record's order."""
    trace = record.trace
    assert trace is not None
    rows = _inside(trace.at_s, window)
    kills = dict.fromkeys(record.pools, 0)
    for r in within(record.records, window, (Kind.OOM_KILL, Kind.POOL_FAILED, Kind.POD_LOST)):
        kills[f"{r.region}/{r.service}"] = kills.get(f"{r.region}/{r.service}", 0) + 1
    moved = {p: float(np.ptp(trace.ready[rows, i])) for i, p in enumerate(record.pools)}
    ranked = sorted(record.pools, key=lambda p: (-kills[p], -moved[p]))
    return [p for p in record.pools if p in ranked[:POOLS_MAX]]


def _success(figure: go.Figure, record: TrialRecord, scenario: Any, window: Window) -> None:
    trace = record.trace
    assert trace is not None
    rows = _inside(trace.at_s, window)
    threshold = scenario.objectives.availability.threshold
    for i, population in enumerate(record.populations):
        x, y = envelope(trace.at_s[rows], trace.success[rows, i])
        seen = look(i)
        figure.add_scatter(
            x=_ms(record, x),
            y=y.astype(np.float32),
            mode="lines",
            line={"color": seen.colour, "dash": seen.dash, "width": 1.8},
            name=safe(population),
            hovertemplate="%{y:.1%}<extra>" + safe(population).replace("%", "") + "</extra>",
            row=1,
            col=1,
        )
    figure.add_hline(y=threshold, line={"color": BLACK, "dash": "dash", "width": 1}, row=1, col=1)
    figure.update_yaxes(range=[-0.04, 1.06], tickvals=[0, 0.5, 1], ticktext=["0", "50 %", "100 %"], row=1, col=1)
    names = ", ".join(f"{safe(p)} ({look(i).dash})" for i, p in enumerate(record.populations[:4]))
    figure.layout.annotations[
        0
    ].text = f"<b>success as users see it</b>: {names}; dashed: threshold {number(threshold, 'share')}"


def _demand(figure: go.Figure, record: TrialRecord, window: Window) -> None:
    trace = record.trace
    assert trace is not None
    rows = _inside(trace.at_s, window)
    lines = (
        ("user requests", trace.demand_per_s, BLUE, "solid"),
        ("attempts, retries included", trace.attempts_per_s, VERMILLION, "dot"),
    )
    for name, values, colour, dash in lines:
        x, y = envelope(trace.at_s[rows], values[rows].sum(axis=1))
        figure.add_scatter(
            x=_ms(record, x),
            y=y.astype(np.float32),
            mode="lines",
            line={"color": colour, "dash": dash, "width": 1.8},
            hovertemplate="%{y:.3~s} per s<extra>" + name + "</extra>",
            row=2,
            col=1,
        )
    figure.layout.annotations[
        1
    ].text = "<b>load per s</b>: user requests (solid blue), attempts with retries (dotted red)"
    figure.update_yaxes(rangemode="tozero", nticks=4, row=2, col=1)


def _pool(figure: go.Figure, record: TrialRecord, pool: str, window: Window, row: int) -> None:
    trace, column = record.trace, record.pools.index(pool)
    assert trace is not None
    rows = _inside(trace.at_s, window)
    at = trace.at_s[rows]
    axes = {"row": row, "col": 1}
    x, y = steps(at, trace.ready[rows, column])
    if len(x) > 4 * BINS:
        x, y = envelope(x, y)
    figure.add_scatter(
        **_line(record, x, y, GREEN, width=1, shape="hv"),
        fill="tozeroy",
        fillcolor="rgba(0,158,115,0.14)",
        hovertemplate="%{y} ready<extra></extra>",
        secondary_y=True,
        **axes,
    )
    known = bool(np.isfinite(trace.memory_limit_mib[rows, column]).any())
    text = f"<b>{safe(pool)}</b>: pods ready (green, right)"
    if known:
        memory, limit = (
            envelope(at, trace.memory_mib[rows, column]),
            steps(at, held(trace.memory_limit_mib[rows, column])),
        )
        hover = "%{y:.4~r} MiB<extra></extra>"
        figure.add_scatter(**_line(record, *memory, BLUE), hovertemplate=hover, secondary_y=False, **axes)
        figure.add_scatter(
            **_line(record, *limit, VERMILLION, dash="dash", shape="hv"),
            hovertemplate="limit " + hover,
            secondary_y=False,
            **axes,
        )
        text = f"<b>{safe(pool)}</b>: memory (blue, MiB), limit (dashed); pods ready (green, right)"
    figure.layout.annotations[row - 1].text = text
    top = float(np.nanmax(trace.ready[:, column], initial=1.0))
    figure.update_yaxes(rangemode="tozero", nticks=4, visible=known, row=row, col=1, secondary_y=False)
    figure.update_yaxes(
        range=[0, top * 1.15], tick0=0, dtick=max(1, round(top / 2)), showgrid=False, row=row, col=1, secondary_y=True
    )


def _events(figure: go.Figure, record: TrialRecord, window: Window, row: int) -> None:
    """Faults as bars, OOM kills as a rug, controllers and operators as labelled marks."""
    for start, end, fault in fault_spans(record.records, window):
        figure.add_scatter(
            x=_ms(record, [start, end]),
            y=[0, 0],
            mode="lines",
            line={"color": VERMILLION, "width": 9},
            opacity=0.55,
            hovertext=safe(f"{fault.fault}: {fault.what}"),
            hoverinfo="text",
            row=row,
            col=1,
        )
    kills = within(record.records, window, (Kind.OOM_KILL,))
    pods = within(record.records, window, (Kind.POD_LOST,))
    for y, found, name, colour in ((1, kills, "OOM kill", BLACK), (1, pods, "pod lost", ORANGE)):
        at = _thinned(np.array([r.at_s for r in found]), window)
        figure.add_scatter(
            x=_ms(record, at),
            y=[y] * len(at),
            mode="markers",
            hovertext=name,
            hoverinfo="x+text",
            marker={"symbol": "line-ns-open", "size": 12, "color": colour},
            row=row,
            col=1,
        )
    names, places, borders = ["faults", f"OOM kills ({len(kills):,})"], [0.0, 1.0], [0.5]
    top = 1.5
    for name, kinds, levels in _acting(record, window):
        _marks(figure, record, window, (row, round(top + 0.5), levels), kinds)
        names.append(name)
        places.append(top + levels / 2)
        borders.append(top)
        top += levels
    figure.update_yaxes(tickvals=places, ticktext=names, range=[-0.6, top + 0.1], showgrid=False, row=row, col=1)
    for border in borders:
        figure.add_hline(y=border, line={"color": "#c9c9c9", "width": 1}, row=row, col=1)
    causes = sorted({fault.fault.split("#")[0] for _, _, fault in fault_spans(record.records, window)})
    figure.layout.annotations[row - 1].text = f"<b>what happened</b>; faults: {safe(joined(causes, 4))}"
    if pods:
        figure.layout.annotations[row - 1].text += "; orange ticks: pods lost otherwise"


def _acting(record: TrialRecord, window: Window) -> list[tuple[str, tuple[Kind, ...], int]]:
    """Those of `ACTORS` who did something in the window."""
    return [actor for actor in ACTORS if within(record.records, window, set(actor[1]) - {Kind.ACTION_DONE})]


def _thinned(at_s: Floats, window: Window) -> Floats:
    """One mark per step of time that a screen can tell apart."""
    step = (window.end_s - window.start_s) / (2 * BINS)
    return at_s[np.unique(np.floor((at_s - window.start_s) / step), return_index=True)[1]] if len(at_s) else at_s


def _marks(
    figure: go.Figure, record: TrialRecord, window: Window, place: tuple[int, int, int], kinds: tuple[Kind, ...]
) -> None:
    """Marks with labels, in `place` = (row of the figure, lowest y, number of y levels)."""
    row, low, levels = place
    found = [r for r in within(record.records, window, kinds) if r.kind is not Kind.ACTION_DONE]
    marks = _arranged(found, window, levels)
    wrong = [r.kind is Kind.FAILOVER_FAILED or (r.kind is Kind.ACTION and r.value == 0) for r, *_ in marks]
    figure.add_scatter(
        x=_ms(record, [r.at_s for r, *_ in marks]),
        y=[low + levels - 1 - level for _, level, *_ in marks],
        mode="markers+text",
        text=[safe(text) for *_, text, _ in marks],
        textposition=[f"middle {side}" for *_, side in marks],
        textfont={"size": 11},
        cliponaxis=False,
        marker={
            "symbol": ["x" if bad else "circle" for bad in wrong],
            "size": 8,
            "color": [
                VERMILLION if bad else BLUE if r.kind in OPERATORS else PURPLE
                for (r, *_), bad in zip(marks, wrong, strict=True)
            ],
        },
        hovertext=[safe(f"{clock(record, r.at_s)[11:]} {label(r)}; {r.what}") for r, *_ in marks],
        hoverinfo="text",
        row=row,
        col=1,
    )


def _arranged(found: Sequence[Record], window: Window, levels: int) -> list[tuple[Record, int, str, str]]:
    """(record, level, text, side of the text) of each mark, so that no text covers another.

    A label without room is left out; its mark stays unless an unlabelled one stands at the same step of time.
    """
    span = window.end_s - window.start_s
    letter_s = span / 130  # an upper bound of the width of a letter on a narrow page
    free = [window.start_s - 1.0] * levels
    marks, bare = [], set()
    for r in found:
        text = label(r)
        leftward = r.at_s > window.start_s + 0.72 * span
        begins = r.at_s - (len(text) * letter_s if leftward else 0.0)
        room = [k for k in range(levels) if free[k] <= begins]
        step = int((r.at_s - window.start_s) / span * 2 * BINS)
        if not room and (step, r.kind) in bare:
            continue
        if not room:
            bare.add((step, r.kind))
        level = room[0] if room else int(np.argmin(free))
        if room:
            free[level] = r.at_s + (2 if leftward else len(text) + 2) * letter_s
        marks.append((r, level, text if room else "", "left" if leftward else "right"))
    return marks


def _frame(figure: go.Figure, record: TrialRecord, window: Window, n_rows: int) -> None:
    """The time axis, and the band of the outage over all lanes."""
    low, high = (float(_ms(record, s)) for s in (window.start_s, window.end_s))
    figure.update_xaxes(type="date", range=[low, high], showticklabels=False, ticks="", showgrid=True)
    figure.update_xaxes(
        showticklabels=True,
        ticks="outside",
        title={"text": "time (UTC)"},
        row=n_rows,
        col=1,
        tickformatstops=[
            {"dtickrange": [None, 60000], "value": "%H:%M:%S\n%d %b %Y"},
            {"dtickrange": [60000, None], "value": "%H:%M\n%d %b %Y"},
        ],
    )
    if np.isfinite(window.outage_start_s):
        figure.add_shape(
            type="rect",
            xref="x",
            yref="paper",
            y0=0,
            y1=1,
            line={"width": 0},
            fillcolor="rgba(213,94,0,0.10)",
            layer="below",
            x0=float(_ms(record, window.outage_start_s)),
            x1=float(_ms(record, window.outage_end_s)),
        )


def _words(record: TrialRecord, scenario: Any, window: Window, about: str) -> tuple[str, str]:
    """Title and summary."""
    kills = len(within(record.records, window, (Kind.OOM_KILL,)))
    causes = sorted({fault.fault.split("#")[0] for _, _, fault in fault_spans(record.records, window)})
    length = duration(window.outage_end_s - window.outage_start_s)
    threshold = number(scenario.objectives.availability.threshold, "share")
    title = f"{about}: success stayed below {threshold} for {length} from {clock(record, window.outage_start_s)} UTC"
    if not np.isfinite(window.outage_start_s):
        title = f"{about}: {clock(record, window.start_s)} to {clock(record, window.end_s)} UTC, no outage"
    title += f"; {kills:,} OOM kills" if kills else ""
    steps_taken = [
        f"{clock(record, r.at_s)[11:]} {label(r)}" for r in within(record.records, window, (*OPERATORS, *CONTROLLERS))
    ]
    summary = f"Timeline. Faults: {', '.join(causes) or 'none'}. " + "; ".join(steps_taken[:20]) + "."
    return title, summary


def _table(record: TrialRecord, window: Window) -> Table:
    """Steps of the outage without the single pods."""
    skipped = {Kind.OOM_KILL, Kind.POD_READY, Kind.POD_LOST}
    rows = tuple(
        (
            clock(record, r.at_s),
            r.kind.value,
            r.region or "-",
            r.service or "-",
            r.population or r.fault or "-",
            r.what or "-",
        )
        for r in within(record.records, window, set(Kind) - skipped)
    )
    return Table(
        f"Events of {record.architecture}, trial {record.trial}, without those of single pods (UTC)",
        ("Time", "Kind", "Region", "Service", "Concerns", "What"),
        rows[:ROWS_MAX],
        words=True,
    )
