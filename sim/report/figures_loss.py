"""Loss exceedance: how probable is a horizon with more than so much downtime, or cost."""

import math
from typing import Final

import numpy as np
import plotly.graph_objects as go

from sim.estimate import proportion_interval
from sim.report.inputs import Floats, confidence_of, designs_of, floats_of, rows_of
from sim.report.panel import Panel, Table
from sim.report.style import base_figure, look, safe
from sim.report.text import Unit, from_to, number, window_text
from sim.study.result import RunResult

LEVELS: Final = (0.5, 0.2, 0.1, 0.05, 0.02, 0.01)
"""Probabilities of exceedance that the table reads off."""
MARKED_MAX: Final = 10
"""Up to so many losses each has its marker: a line through a single one would not be seen."""
POINTS_MAX: Final = 400
"""Points drawn per curve; more would not be seen."""


def downtime_panel(result: RunResult) -> Panel | None:
    """Exceedance curve of the downtime of a trial."""
    return _panel(result, "exceedance-downtime", ("downtime_s", 1 / 3600), ("downtime", "hours", ""))


def cost_panel(result: RunResult, currency: str) -> Panel | None:
    """Exceedance curve of what outages cost in a trial: lost work and SLA credits."""
    return _panel(
        result, "exceedance-cost", ("productivity_cost+sla_credit", 1.0), ("cost of outages", "money", currency)
    )


def exceedance(values: Floats) -> tuple[Floats, Floats]:
    """Positive losses, ascending, and the share of trials with at least that loss.

    Parameters
    ----------
    values : array of shape (n,)
        Losses, zeros allowed (they count in the share's denominator).

    Returns
    -------
    tuple of arrays of shape (k,)
        Losses and shares, k <= n.
    """
    losses = np.sort(values[values > 0])
    return losses, np.arange(len(losses), 0, -1) / len(values)


def thin(n: int, most: int) -> Floats:
    """Indices of at most `most` of `n` points of an exceedance curve: even in the logarithm of the rank from above.

    The largest losses, which the tail is about, are all kept.
    """
    if n <= most:
        return np.arange(n, dtype=np.float64)
    ranks = np.unique(np.round(np.geomspace(1, n, most)))
    return n - ranks[::-1]


def _panel(result: RunResult, key: str, source: tuple[str, float], words: tuple[str, Unit, str]) -> Panel | None:
    columns, factor = source
    noun, unit, currency = words
    losses = {}
    for a in designs_of(result):
        rows = rows_of(result, "trials", a)
        if rows:
            losses[a] = factor * np.sum([floats_of(rows, c) for c in columns.split("+")], axis=0)
    if not any(bool(np.any(v > 0)) for v in losses.values()):
        return None
    level = confidence_of(result)
    window = window_text(next(iter(result.experiment.scenarios.values())).horizon)
    figure = _figure(losses, f"{noun} in {window} ({currency or 'hours'}, log scale)", level)
    n, trials = min(len(v) for v in losses.values()), from_to(len(v) for v in losses.values())
    odds, words_of = (0.1, "ten") if n >= 10 else (0.5, "two")
    every = f"One year in {words_of}" if window == "1 year" else f"One trial ({window}) in {words_of}"
    tail = {a: _quantile(v, odds) for a, v in losses.items()}
    title = _finding(losses, tail, every, words)
    return Panel(
        key,
        title,
        f"Loss exceedance curves of the {noun} of a trial. "
        + " ".join(f"{a}: one in {words_of} at least {number(tail[a], unit, currency)}." for a in losses),
        figure,
        _table(losses, words, level),
        (
            f"Read: the share of {trials} trials per design (each {window}) whose {noun} reached at least the value on "
            "the horizontal axis; bands are pointwise intervals (Clopper-Pearson). Trials without any are counted in "
            "the share but have no place on a logarithmic axis. Curves of many trials are thinned evenly in the "
            "logarithm of the rank; the largest losses are all drawn.",
        ),
    )


def _finding(losses: dict[str, Floats], tail: dict[str, float], every: str, words: tuple[str, Unit, str]) -> str:
    """What is reached with the odds that `every` names; where that is nothing, how many trials lost anything."""
    noun, unit, currency = words
    worst, best = max(tail, key=lambda a: tail[a]), min(tail, key=lambda a: tail[a])
    if tail[worst] == 0.0:
        worst = max(losses, key=lambda a: float(losses[a].sum()))
        hit, most = int(np.sum(losses[worst] > 0)), number(float(losses[worst].max()), unit, currency)
        return f"{hit} of {len(losses[worst]):,} trials have any {noun} with {worst}, the worst {most}"
    title = f"{every} has {number(tail[worst], unit, currency)} of {noun} or more with {worst}"
    if unit == "money":
        title = f"{every}, outages cost {number(tail[worst], unit, currency)} or more with {worst}"
    if best != worst:
        title += f", {number(tail[best], unit, currency) if tail[best] else 'nothing'} with {best}"
    return title


def _figure(losses: dict[str, Floats], axis_title: str, level: float) -> go.Figure:
    """Curves of all designs on logarithmic axes."""
    figure = base_figure(470)
    for i, (a, values) in enumerate(losses.items()):
        _add_curve(figure, (i, a), values, level)
    n = min(len(v) for v in losses.values())
    figure.update_xaxes(
        type="log",
        tickformat="~g" if axis_title.endswith("(hours, log scale)") else ".2~s",
        dtick=1 if _decades(losses) > 1.5 else "D2",  # whole decades alone could leave one tick or none
        title={"text": axis_title},
    )
    figure.update_yaxes(
        type="log",
        tickvals=[1, 0.5, 0.2, 0.1, 0.05, 0.02, 0.01, 0.001, 0.0001],
        ticktext=["100 %", "50 %", "20 %", "10 %", "5 %", "2 %", "1 %", "0.1 %", "0.01 %"],
        range=[math.log10(0.4 / n), 0.06],
        title={"text": "share of trials with at least that much"},
    )
    return figure


def _decades(losses: dict[str, Floats]) -> float:
    """How many powers of ten lie between the smallest and the largest loss."""
    seen = np.concatenate([values[values > 0] for values in losses.values()])
    return float(np.log10(seen.max() / seen.min()))


def _add_curve(figure: go.Figure, which: tuple[int, str], values: Floats, level: float) -> None:
    index, name = which
    x, share = exceedance(values)
    if len(x) == 0:
        figure.add_scatter(
            x=[None],
            y=[None],
            mode="lines",
            name=f"{safe(name)} (none in {len(values):,} trials)",
            line={"color": look(index).colour, "dash": look(index).dash},
        )
        return
    keep = thin(len(x), POINTS_MAX).astype(np.int64)
    x, share = x[keep], share[keep]
    seen, n = look(index), len(values)
    bounds = [proportion_interval(round(float(p * n)), n, confidence=level, method="exact") for p in share]
    figure.add_scatter(
        x=np.concatenate([x, x[::-1]]),
        fill="toself",
        mode="none",
        fillcolor=seen.fill(0.10),
        hoverinfo="skip",
        y=np.array([b.high for b in bounds] + [max(b.low, 0.3 / n) for b in reversed(bounds)]),
        showlegend=False,
        legendgroup=safe(name),
    )
    figure.add_scatter(
        x=x,
        y=share,
        mode="lines+markers" if len(x) <= MARKED_MAX else "lines",
        marker={"size": 8, "symbol": seen.symbol, "color": seen.colour},
        name=safe(name),
        line={"color": seen.colour, "dash": seen.dash, "width": 2.5},
        legendgroup=safe(name),
        hovertemplate="%{x:.3~s}: %{y:.2~%} of trials<extra>%{fullData.name}</extra>",
    )


def _quantile(values: Floats, prob: float) -> float:
    """Loss reached or exceeded by a share `prob` of the trials."""
    ordered = np.sort(values)[::-1]
    return float(ordered[max(0, int(np.ceil(prob * len(ordered))) - 1)])


def _table(losses: dict[str, Floats], words: tuple[str, Unit, str], level: float) -> Table:
    noun, unit, currency = words
    rows = []
    for a, values in losses.items():
        n = len(values)
        some = proportion_interval(int(np.sum(values > 0)), n, confidence=level, method="exact")
        cells = [number(_quantile(values, p), unit, currency) if p * n >= 1 else "too few trials" for p in LEVELS]
        any_text = f"{number(some.mean, 'share')} [{number(some.low, 'share')}, {number(some.high, 'share')}]"
        tail = np.sort(values)[-max(1, int(np.ceil(0.05 * n))) :]
        rows.append((a, f"{n:,}", any_text, *cells, number(float(tail.mean()), unit, currency)))
    columns = ("Design", "Trials", "P(any) [interval]", *(f"1 in {1 / p:.0f}" for p in LEVELS), "Mean of worst 5 %")
    return Table(f"{noun.capitalize()} of a trial that is reached or exceeded with a probability", columns, tuple(rows))
