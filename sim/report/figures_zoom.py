"""Figures of a zoom: the engine's curve as a line over the band of the request-level runs, and the page around them."""

from dataclasses import dataclass
from datetime import UTC, timedelta
from typing import Any, Final

import numpy as np
import plotly.graph_objects as go
from numpy.typing import NDArray
from plotly.subplots import make_subplots

from sim.oracles.network_run import BIN_S
from sim.report.html import render
from sim.report.inputs import Floats
from sim.report.page import Page, Section
from sim.report.panel import Panel, Table
from sim.report.style import BLUE, GREY, VERMILLION, Look, joined, safe, style
from sim.report.zoom import CONFIDENCE, FAILED_SHARE, POINTS, SHARE, Zoom, length_text, verdict

POOLS_MAX: Final = 8
"""Pools drawn, those with most requests inside; the table has all."""
LANE_PX: Final = 150
GAP_PX: Final = 46
ROWS_MAX: Final = 400
ENGINE: Final = Look(BLUE, "solid", "circle", "")
REQUESTS: Final = Look(VERMILLION, "dot", "square", "")
HOW_TO_READ: Final = (
    "Line: the engine. Band: smallest to largest of the request-level runs, with their mean as a dotted line. Rates "
    "and shares of the runs are those of 10 s, and their pods are looked at every 10 s: what comes and goes in between "
    "counts in the table only."
)


@dataclass(frozen=True)
class _Lane:
    """One quantity over time."""

    title: str
    engine_s: Floats
    engine: Floats
    runs_s: Floats
    runs: Floats
    """(n_seeds, n) values."""
    is_share: bool = False
    limit: Floats | None = None
    """The engine's memory limit."""
    held: bool = False
    """Changes in steps."""


def build_zoom_report(zoom: Zoom) -> str:
    """The comparison of one window as one self-contained HTML document."""
    return render(page_of_zoom(zoom))


def page_of_zoom(zoom: Zoom) -> Page:
    """All of it."""
    table = comparison_table(zoom)
    panels = zoom_panels(zoom)
    pools = zoom.record.pools
    dead = [pool for pool in pools if not _was_ready(zoom, pool)]
    lines: tuple[str, ...] = ()
    if dead:
        lines += (f"No pod was ready in {joined(dead, POOLS_MAX)}: nothing to draw.",)
    left_out = sum(_was_ready(zoom, pool) and _is_used(zoom, pool) for pool in pools) - len(drawn_pools(zoom))
    if left_out:
        lines += (f"Pools with fewer requests inside are in the table only ({left_out}).",)
    sections = (
        Section("figures", "In numbers", lines=(verdict(zoom), *about_the_table(zoom)), tables=(table,)),
        Section("curves", "Over time", panels=panels, lines=lines),
        Section("method", "How it was compared", lines=METHOD),
    )
    facts = (
        ("Design", zoom.record.architecture),
        ("Trial", str(zoom.record.trial)),
        ("Seed", str(zoom.record.seed)),
        ("Window", f"{length_text(zoom)} from {zoom.span.split(' to ')[0]} UTC"),
        ("Request-level runs", str(len(zoom.runs))),
        ("Requests played one by one", f"{_n_played(zoom):,}"),
    )
    return Page(
        zoom.title,
        "a window of one trial, request by request",
        facts,
        (),
        (),
        sections,
        "Made by Regionfall. Both start from the same state and meet the same faults and actions.",
    )


METHOD: Final = (
    "The engine plays the trial to the begin of the window. Its state there is handed over in whole requests: those "
    "inside each pod, the clients that wait to try again, the shares of the regions, breakers, throttles and retry "
    "budgets, memory and age of the pods. The curves are those of the trial without a stop there.",
    "From then on a model of every single request (SimPy, written apart from the engine) plays the same window once "
    "per seed. Faults, repairs, what people and failover controllers did, and the demand are those of the trial. OOM "
    "kills, restarts after them, probes, autoscaling and breakers happen in each model by itself.",
    "Requests served are those of all that ended within the window, whenever they came. Success over time is by the "
    "moment of arrival; what arrived before the end is followed until it has ended.",
)


def about_the_table(zoom: Zoom) -> tuple[str, ...]:
    """What the last columns mean."""
    compared = (
        "The engine's window is one history of several, because it plays single requests itself or pods are killed by "
        "chance: it is compared as one more draw with the spread of the runs."
        if zoom.is_by_chance
        else "The engine gives an expectation: it is compared with the mean of the runs, which more seeds make sharper."
    )
    return (
        "Difference: the engine minus the mean of the request-level runs, in standard errors of that difference. "
        + compared,
        f"Agree: within chance ({CONFIDENCE:.0%}), or too near to matter. That is for shares of requests: shares of "
        f"failed ones within {FAILED_SHARE:.0%} of the larger one and within {100.0 * POINTS:.0f} percentage point, "
        f"plus the error of counting so many requests; for other figures: within {SHARE:.0%} of the larger one, half a "
        "request inside, or a twentieth of a pod.",
    )


def _n_played(zoom: Zoom) -> int:
    attempts = sum(totals.attempts for run in zoom.runs for totals in run.populations.values())
    return attempts + sum(edge.attempts for run in zoom.runs for edge in run.edges.values())


def comparison_table(zoom: Zoom) -> Table:
    """Engine beside request by request."""
    rows = tuple(
        (f.label, f.engine_text, f.requests_text, f.difference_text, "yes" if f.agrees else "no") for f in zoom.figures
    )
    columns = ("", "Engine", "Request by request, mean ± SE", "Difference in SE", "Agree")
    return Table("The window in numbers", columns, rows)


def zoom_panels(zoom: Zoom) -> tuple[Panel, ...]:
    """What users see, then pool by pool."""
    panels = [_panel(zoom, "users", _users_title(zoom), _user_lanes(zoom))]
    drawn = drawn_pools(zoom)
    for i, pool in enumerate(zoom.record.pools):
        if pool in drawn:
            panels.append(_panel(zoom, f"pool-{i}", _pool_title(zoom, pool), _pool_lanes(zoom, i, pool)))
    return tuple(panels)


def drawn_pools(zoom: Zoom) -> list[str]:
    """Pools that get curves: those that worked at all, and of many those with most requests inside."""
    inside = {pool: np.mean([run.pools[pool].inside_mean for run in zoom.runs]) for pool in zoom.record.pools}
    used = [pool for pool in zoom.record.pools if _is_used(zoom, pool) and _was_ready(zoom, pool)]
    return sorted(used, key=lambda pool: -float(inside[pool]))[:POOLS_MAX]


def _is_used(zoom: Zoom, pool: str) -> bool:
    return any(run.pools[pool].offered for run in zoom.runs)


def _was_ready(zoom: Zoom, pool: str) -> bool:
    return any(figure.key == f"in_flight {pool}" for figure in zoom.figures)


def _users_title(zoom: Zoom) -> str:
    parts = [
        f"{f.label}: {f.engine_text} by the engine, {f.requests_text} request by request"
        for f in zoom.figures
        if f.key.startswith("availability ")
    ]
    text = "; ".join(parts) or "nobody came"
    return text[0].upper() + text[1:]


def _pool_title(zoom: Zoom, pool: str) -> str:
    found = next(f for f in zoom.figures if f.key == f"in_flight {pool}")
    return f"{pool}: in flight {found.engine_text} by the engine, {found.requests_text} request by request"


def _user_lanes(zoom: Zoom) -> list[_Lane]:
    trace = zoom.trace
    at_s, many = trace.at_s, len(zoom.record.populations) > 1
    lanes = []
    for g, name in enumerate(zoom.record.populations):
        of = f", {name}" if many else ""
        offered = np.array([run.bin_offered[name] for run in zoom.runs], dtype=float)
        first = np.array([run.bin_first_good[name] for run in zoom.runs], dtype=float)
        share: Floats = np.divide(first, offered, out=np.full_like(offered, np.nan), where=offered > 0.0)
        edges_s = np.minimum(zoom.from_s + BIN_S * np.arange(offered.shape[1] + 1.0), zoom.to_s)
        bins_s = 0.5 * (edges_s[:-1] + edges_s[1:])
        lanes.append(_Lane(f"success of first attempts{of}", at_s, trace.success[:, g], bins_s, share, is_share=True))
        times_s, sent = _of_runs(zoom, lambda run, n=name: run.curves.attempts_per_s[n])
        lanes.append(_Lane(f"attempts per second{of}", at_s, trace.attempts_per_s[:, g], _middles(times_s), sent))
    return lanes


def _pool_lanes(zoom: Zoom, index: int, pool: str) -> list[_Lane]:
    trace, pools = zoom.trace, zoom.pools
    at_s = pools.times_s
    times_s, inside = _of_runs(zoom, lambda run: run.curves.in_flight[pool])
    _, ready = _of_runs(zoom, lambda run: run.curves.ready[pool])
    lanes = [
        _Lane("requests inside", at_s, pools.in_flight[:, index], times_s, inside),
        _Lane("ready pods", at_s, pools.ready[:, index], times_s, ready, held=True),
    ]
    if zoom.scenario.services[pool.partition("/")[2]].memory is not None:
        _, memory = _of_runs(zoom, lambda run: run.curves.memory_mib[pool])
        limits = trace.memory_limit_mib[:, index]
        known = limits > 0.0
        limit = np.interp(at_s, trace.at_s[known], limits[known]) if known.any() else None  # no pod may be ready
        lanes.append(
            _Lane("memory of the fullest pod (MiB)", at_s, pools.memory_mib[:, index], times_s, memory, limit=limit)
        )
    return lanes


def _of_runs(zoom: Zoom, curve: Any) -> tuple[Floats, Floats]:
    """Times, and one row per seed."""
    times_s = zoom.runs[0].curves.times_s
    return times_s, np.array([curve(run) for run in zoom.runs])


def _middles(times_s: Floats) -> Floats:
    """Middles of the intervals that end with the samples; the last one may be shorter."""
    return times_s - 0.5 * np.diff(times_s, prepend=times_s[0])


def _panel(zoom: Zoom, key: str, title: str, lanes: list[_Lane]) -> Panel:
    height = len(lanes) * (LANE_PX + GAP_PX) + 70
    figure = make_subplots(
        rows=len(lanes),
        cols=1,
        shared_xaxes=True,
        vertical_spacing=GAP_PX / height,
        subplot_titles=[safe(lane.title) for lane in lanes],
    )
    style(figure, height, hovermode="x unified", legend={"orientation": "h", "x": 0, "y": 1.0 + 34 / height})
    for annotation in figure.layout.annotations:
        annotation.update(x=0, xanchor="left", font={"size": 13})
    for row, lane in enumerate(lanes, start=1):
        _draw(figure, zoom, lane, row)
    span = [_moment(zoom, zoom.from_s), _moment(zoom, zoom.to_s)]
    # The date stands in the head of the page; under every lane it would lie on the title of the next one.
    length_s = zoom.to_s - zoom.from_s
    seconds = ":%S.%1f" if length_s < 10.0 else ":%S" if length_s < 600.0 else ""
    figure.update_xaxes(range=span, tickformat=f"%H:%M{seconds}")
    figure.update_xaxes(title={"text": "time (UTC)"}, row=len(lanes), col=1)
    figure.update_layout(margin={"t": 64})
    summary = f"{title}. Curves over time of {', '.join(lane.title for lane in lanes)}."
    return Panel(f"zoom-{key}", title, summary, figure, _lane_table(zoom, lanes, title), (HOW_TO_READ,))


def _moment(zoom: Zoom, at_s: float) -> Any:
    return (zoom.record.start + timedelta(seconds=float(at_s))).astimezone(UTC).replace(tzinfo=None)


def _draw(figure: go.Figure, zoom: Zoom, lane: _Lane, row: int) -> None:
    known = ~np.all(np.isnan(lane.runs), axis=0)
    shape = "hv" if lane.held else "linear"
    common = {"showlegend": row == 1, "row": row, "col": 1}
    # One band for each stretch without a gap: a fill would run across the gap.
    for k, part in enumerate(_stretches(known)):
        times = [_moment(zoom, at_s) for at_s in lane.runs_s[part]]
        values = lane.runs[:, part]
        hidden = {"mode": "lines", "line": {"width": 0, "shape": shape}, "hoverinfo": "skip", "legendgroup": "band"}
        figure.add_scatter(x=times, y=np.nanmin(values, axis=0), showlegend=False, row=row, col=1, **hidden)
        figure.add_scatter(
            x=times, y=np.nanmax(values, axis=0), fill="tonexty", fillcolor=REQUESTS.fill(0.25),
            name="request by request, all seeds", **common | {"showlegend": row == 1 and k == 0}, **hidden,
        )  # fmt: skip
    mean = np.full(len(known), np.nan)
    mean[known] = np.nanmean(lane.runs[:, known], axis=0)
    figure.add_scatter(
        x=[_moment(zoom, at_s) for at_s in lane.runs_s], y=mean, name="request by request, mean",
        mode="lines" if known.sum() > 1 else "markers", marker={"color": REQUESTS.colour, "symbol": REQUESTS.symbol},
        legendgroup="mean",
        line={"color": REQUESTS.colour, "dash": REQUESTS.dash, "width": 2, "shape": shape}, **common,
    )  # fmt: skip
    engine_times = [_moment(zoom, at_s) for at_s in lane.engine_s]
    figure.add_scatter(
        x=engine_times, y=lane.engine, mode="lines", name="engine", legendgroup="engine",
        line={"color": ENGINE.colour, "width": 2.5, "shape": shape}, **common,
    )  # fmt: skip
    if lane.limit is not None:
        figure.add_scatter(
            x=engine_times, y=lane.limit, mode="lines", name="memory limit", legendgroup="limit",
            line={"color": GREY, "dash": "dash", "width": 1.5}, showlegend=True, row=row, col=1,
        )  # fmt: skip
    if lane.is_share:
        figure.update_yaxes(tickformat=".0%", range=[-0.03, 1.03], row=row, col=1)
        return
    figure.update_yaxes(rangemode="tozero", row=row, col=1)
    if lane.held:
        most = int(max(np.nanmax(lane.engine, initial=1.0), np.nanmax(lane.runs, initial=1.0)))
        step = max(1, -(-most // 4))
        figure.update_yaxes(
            tickvals=list(range(0, most + step, step)), range=[-0.05 * most, 1.1 * most], row=row, col=1
        )


def _stretches(known: NDArray[np.bool_]) -> list[slice]:
    """The longest stretches without a gap."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], known, [False]])))
    return [slice(int(a), int(b)) for a, b in zip(edges[::2], edges[1::2], strict=True)]


def _lane_table(zoom: Zoom, lanes: list[_Lane], title: str) -> Table:
    """The curves as numbers, at the times of the request-level samples."""
    times_s = lanes[-1].runs_s
    step = max(1, -(-len(times_s) // ROWS_MAX))
    rows = []
    for k in range(0, len(times_s), step):
        cells = [f"{_moment(zoom, times_s[k]):%H:%M:%S}"]
        for lane in lanes:
            engine = np.interp(times_s[k], lane.engine_s, lane.engine) if len(lane.engine_s) else np.nan
            column = lane.runs[:, min(k, lane.runs.shape[1] - 1)]
            known = column[~np.isnan(column)]
            between = f"{known.min():.4g} to {known.max():.4g}" if len(known) else "-"
            cells += [f"{engine:.4g}" if np.isfinite(engine) else "-", between]
        rows.append(tuple(cells))
    heads = [part for lane in lanes for part in (f"{lane.title}: engine", f"{lane.title}: runs")]
    return Table(title, ("Time (UTC)", *heads), tuple(rows))
