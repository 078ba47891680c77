"""Cost: what it is made of, and which designs nobody should choose."""

import math
from collections.abc import Iterable
from typing import Final

import plotly.graph_objects as go

from sim.estimate import Estimate, mean_interval
from sim.report.figures_availability import measure_name, objective_of
from sim.report.inputs import confidence_of, designs_of, floats_of, rows_of
from sim.report.marks import Part, error_bars, stacked_bars
from sim.report.panel import Panel, Table
from sim.report.style import (
    BLACK,
    BLUE,
    GREEN,
    GREY,
    PURPLE,
    SKY,
    VERMILLION,
    Look,
    base_figure,
    joined,
    look,
    safe,
)
from sim.report.text import estimate_text, nines, nines_ticks, number, with_interval
from sim.study.result import RunResult
from sim.units import YEAR_S

PARTS: Final = (
    Part("node_cost", "nodes", BLUE, ""),
    Part("pod_cost", "pods", SKY, "/"),
    Part("provider_cost", "other provider", GREEN, "x"),
    Part("productivity_cost", "lost work", VERMILLION, "."),
    Part("sla_credit", "SLA credits", PURPLE, "\\"),
)
"""What the total is made of."""


def stack_panel(result: RunResult, currency: str) -> Panel | None:
    """Yearly cost of each design, stacked by part, with the total's interval."""
    costs = {a: parts_of(result, a) for a in designs_of(result)}
    costs = {a: parts for a, parts in costs.items() if parts}
    if not costs or not any(part.mean > 0 for parts in costs.values() for part in parts.values()):
        return None
    used = [part for part in PARTS if any(parts[part.column].mean > 0 for parts in costs.values())]
    totals = {a: result.estimates[a]["total_cost_per_year"] for a in costs}
    bars = []
    for part in used:
        means = [parts[part.column].mean for parts in costs.values()]
        bars.append((part, means, [number(mean, "money", currency) for mean in means]))
    figure = stacked_bars(list(costs), bars, list(totals.values()), 1.0)
    figure.update_xaxes(title={"text": f"{currency} per year"}, tickformat=".3~s")
    cheapest = min(costs, key=lambda a: totals[a].mean)
    text = estimate_text("total_cost_per_year", totals[cheapest], currency)
    title = f"{cheapest} costs least in all, {text} a year" if len(costs) > 1 else f"{cheapest} costs {text} a year"
    outage = {a: parts["productivity_cost"].mean + parts["sla_credit"].mean for a, parts in costs.items()}
    title += f"; outages are {number(outage[cheapest] / max(1e-9, _sum(costs[cheapest])), 'share', digits=2)} of that"
    rows = tuple(
        (
            a,
            *(with_interval(parts[part.column], "money", currency) for part in used),
            estimate_text("total_cost_per_year", totals[a], currency),
        )
        for a, parts in costs.items()
    )
    table = Table("Cost per year, mean [interval]", ("Design", *(part.name for part in used), "total"), rows)
    return Panel(
        "cost-stack",
        title,
        "Stacked yearly cost. " + " ".join(f"{r[0]}: total {r[-1]}." for r in rows),
        figure,
        table,
        ("Intervals that leave the axis are in the table.", *_of_known_faults(totals.values())),
    )


def _of_known_faults(totals: Iterable[Estimate]) -> tuple[str, ...]:
    """Why a marker may lie beside the end of its bar."""
    if all(total.worth == 1.0 for total in totals):
        return ()
    return ("Bars are means of these trials; of the marker what known faults explain is taken off (see Read first).",)


def parts_of(result: RunResult, architecture: str) -> dict[str, Estimate]:
    """Mean yearly cost by part, intervals over trials; empty without trials."""
    rows = rows_of(result, "trials", architecture)
    if not rows:
        return {}
    years = floats_of(rows, "horizon_s") / YEAR_S
    return {
        part.column: mean_interval(
            floats_of(rows, part.column) / years, confidence=confidence_of(result), bounds=(0.0, math.inf)
        )
        for part in PARTS
    }


def _sum(parts: dict[str, Estimate]) -> float:
    return sum(part.mean for part in parts.values())


def front(points: dict[str, tuple[float, float]]) -> list[str]:
    """Names of (cost, availability) that no other point beats in both, in order of cost."""
    return sorted(
        (
            a
            for a, (cost, up) in points.items()
            if not any((c <= cost and u >= up and (c < cost or u > up)) for b, (c, u) in points.items() if b != a)
        ),
        key=lambda a: points[a],
    )


def pareto_panel(result: RunResult, currency: str) -> Panel | None:
    """Infrastructure cost against availability: which designs are on the front."""
    name, cost_name = measure_name(result), "infrastructure_cost_per_year"
    found = {a: (e[cost_name], e[name]) for a, e in result.estimates.items() if cost_name in e and name in e}
    if len(found) < 2 or all(cost.mean == 0 for cost, _ in found.values()):
        return None
    best = front({a: (cost.mean, up.mean) for a, (cost, up) in found.items()})
    figure = _pareto_figure(found, best, objective_of(result).target, currency)
    beaten = [a for a in found if a not in best]
    title = f"{joined(best)} {'are' if len(best) > 1 else 'is'} on the cost-availability front"
    title += f"; {joined(beaten, 2)} {'is' if len(beaten) == 1 else 'are'} beaten in both" if beaten else ""
    rows = tuple(
        (a, estimate_text(cost_name, cost, currency), estimate_text(name, up), "yes" if a in best else "no")
        for a, (cost, up) in found.items()
    )
    table = Table(
        "Infrastructure cost and availability",
        ("Design", "Infrastructure per year", "Availability", "On the front"),
        rows,
    )
    return Panel(
        "pareto",
        title,
        "Cost against availability. " + " ".join(f"{r[0]}: {r[1]}, {r[2]}." for r in rows),
        figure,
        table,
        (
            "On the front: no other design has both lower infrastructure cost and higher mean availability. "
            "Bars are intervals; where those of two designs overlap, their order is not certain.",
        ),
    )


def _pareto_figure(
    found: dict[str, tuple[Estimate, Estimate]], best: list[str], target: float, currency: str
) -> go.Figure:
    """Points of (cost, availability), the front as a line, the objective."""
    ups = [nines(v) for _, up in found.values() for v in (up.mean, up.high) if v < 1]
    top = max([nines(target), *ups]) + 0.3
    figure = base_figure(440)
    figure.add_scatter(
        x=[found[a][0].mean for a in best],
        y=[min(nines(found[a][1].mean), top) for a in best],
        mode="lines",
        name="front",
        hoverinfo="skip",
        line={"color": GREY, "dash": "dot", "width": 2},
    )
    for i, (a, both) in enumerate(found.items()):
        _add_point(figure, (look(i), a, a in best), both, top, currency)
    figure.add_hline(
        y=nines(target),
        line={"color": BLACK, "dash": "dash", "width": 1.5},
        annotation={"text": f"objective {number(target, 'share')}", "xanchor": "right", "yanchor": "bottom"},
    )
    costs = [cost.mean for cost, _ in found.values()]
    pad = 0.08 * (max(costs) - min(costs)) or 0.1 * max(costs)
    figure.update_xaxes(
        title={"text": f"infrastructure, {currency} per year"},
        tickformat=".3~s",
        range=[min(costs) - pad, max(costs) + pad],
    )
    ticks = nines_ticks()
    figure.update_yaxes(title={"text": "availability, nines axis"}, tickvals=list(ticks), ticktext=list(ticks.values()))
    return figure


def _add_point(
    figure: go.Figure, which: tuple[Look, str, bool], found: tuple[Estimate, Estimate], top: float, currency: str
) -> None:
    seen, name, on_front = which
    cost, up = found
    at = min(nines(up.mean), top)
    figure.add_scatter(
        x=[cost.mean],
        y=[at],
        mode="markers",
        name=safe(name),
        marker={
            "color": seen.colour if on_front else "#ffffff",
            "symbol": seen.symbol,
            "size": 13,
            "line": {"color": seen.colour, "width": 2.5},
        },
        error_x=error_bars([cost], seen.colour),
        error_y={
            **error_bars([up], seen.colour),
            "array": [min(nines(up.high), top) - at],
            "arrayminus": [at - nines(up.low)],
        },
        hovertext=[
            f"{safe(name)}<br>{safe(estimate_text('availability_time', up))}"
            f"<br>{safe(estimate_text('infrastructure_cost_per_year', cost, currency))}"
        ],
        hoverinfo="text",
    )
