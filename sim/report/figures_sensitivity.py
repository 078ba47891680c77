"""What matters most: faults, elements and numbers of one design by what they do to the users' minutes.

Each figure is a list of rows with a marker or bars and an interval, the largest first.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import plotly.graph_objects as go

from sim.estimate import Estimate
from sim.report.marks import error_bars
from sim.report.minutes import change_text, excludes_zero, in_minutes
from sim.report.panel import Panel, Table
from sim.report.style import BLACK, BLUE, GREEN, GREY, INK, ORANGE, VERMILLION, base_figure, hatch, safe, wrap
from sim.report.text import difference_text, drawn, estimate_text, number
from sim.study.sensitivity import DOWNTIME, Effect, Sensitivity

ROWS_MAX: Final = 16
"""Rows of a figure; the table has all."""
ROW: Final = 34
"""Height of one row, px."""
NOTHING_MIN: Final = 1e-3
"""Less change of minutes per year than this is rounding of the data plane."""
MINUTES_AXIS: Final = "change of user-visible minutes down per year"


@dataclass(frozen=True)
class Series:
    """What is drawn in one colour and shape."""

    name: str
    colour: str
    symbol: str
    pattern: str


SERIES: Final = {
    "never": Series("it never happens", GREEN, "triangle-left", ""),
    "repair": Series("repaired in half the time", BLUE, "diamond", ""),
    "more": Series("twice as often", VERMILLION, "triangle-right", ""),
    "low": Series("lower value", ORANGE, "square", "/"),
    "high": Series("higher value", BLUE, "circle", ""),
}


def minutes_of(effect: Effect) -> Estimate:
    """Change of downtime, minutes per year."""
    return in_minutes(effect.changes[DOWNTIME])


def _size(effects: Sequence[Effect]) -> float:
    return max(abs(minutes_of(effect).mean) for effect in effects)


def grouped(effects: Sequence[Effect], kinds: Sequence[str]) -> dict[str, list[Effect]]:
    """Effects of these kinds by what they are about, the largest change first."""
    found: dict[str, list[Effect]] = {}
    for effect in effects:
        if effect.kind in kinds:
            found.setdefault(effect.about, []).append(effect)
    return dict(sorted(found.items(), key=lambda item: (-_size(item[1]), item[0])))


# -- faults ---------------------------------------------------------------------------------------------


def faults_panel(found: Sensitivity) -> Panel | None:
    """What each fault costs: if it never happened, came twice as often, were repaired faster."""
    groups = grouped(found.effects, ("never", "repair", "more"))
    if not groups:
        return None
    rows = _rows_of(groups, found.scenario.currency)
    shown = dict(list(groups.items())[:ROWS_MAX])
    labels = [wrap(safe(name), 30) for name in shown]
    figure = base_figure(50 * len(shown) + 130)
    _marks(figure, list(shown.values()), labels)
    _zero_axis(figure, [minutes_of(e) for effects in shown.values() for e in effects])
    figure.update_yaxes(
        tickvals=list(range(len(labels))), ticktext=labels, range=[len(labels) - 0.5, -0.5], showgrid=False
    )
    return Panel(
        "sensitivity-faults",
        _faults_title(found, groups),
        "Change of downtime in minutes per year for each fault. "
        + " ".join(f"{r[0]}, {r[1]}: {r[2]}." for r in rows[:15]),
        figure,
        Table(
            "Changes against the design as it is, on the same random histories [interval]", _COLUMNS, rows, words=True
        ),
        (
            "Left of zero is less downtime. Filled: the interval excludes zero. It never happens: risk reduction worth "
            "as a difference; twice as often: risk achievement worth as a difference, with every time to failure "
            "halved (a probability per deployment doubled). All else happens as before: common random numbers.",
        ),
    )


_COLUMNS: Final = ("What", "Changed", "Minutes down per year", "Work lost per year", "Cost per year")


def _rows_of(groups: dict[str, list[Effect]], currency: str) -> tuple[tuple[str, ...], ...]:
    return tuple(
        (
            about,
            effect.setting,
            "exactly none" if effect.is_same else change_text(minutes_of(effect)),
            _other(effect, "lost_hours_per_year", currency),
            _other(effect, "total_cost_per_year", currency),
        )
        for about, effects in groups.items()
        for effect in effects
    )


def _other(effect: Effect, measure: str, currency: str) -> str:
    estimate = effect.changes.get(measure)
    return "-" if estimate is None else difference_text(measure, estimate, currency)


def _marks(figure: go.Figure, rows: Sequence[Sequence[Effect]], labels: Sequence[str]) -> None:
    kinds = [kind for kind in SERIES if any(e.kind == kind for effects in rows for e in effects)]
    for k, kind in enumerate(kinds):
        series, nudge = SERIES[kind], 0.26 * (k - (len(kinds) - 1) / 2)
        here = [(i, e) for i, effects in enumerate(rows) for e in effects if e.kind == kind]
        values = [_drawable(minutes_of(e)) for _, e in here]
        figure.add_scatter(
            x=[v.mean for v in values],
            y=[i + nudge for i, _ in here],
            mode="markers",
            name=series.name,
            marker={
                "color": [series.colour if excludes_zero(v) else "#ffffff" for v in values],
                "symbol": series.symbol,
                "size": 11,
                "line": {"color": series.colour, "width": 2},
            },
            error_x={**error_bars(values, series.colour), "thickness": 2.5, "width": 0},
            hovertext=[f"{labels[i]}, {series.name}<br>{safe(change_text(minutes_of(e)))}" for i, e in here],
            hoverinfo="text",
        )


def _drawable(estimate: Estimate) -> Estimate:
    """A change that no trial showed is drawn as a point: its bound, the worst year, would be all that one sees."""
    if estimate.seen:
        return estimate
    return Estimate(estimate.mean, estimate.mean, estimate.mean, estimate.confidence, estimate.n, seen=False)


def _zero_axis(figure: go.Figure, values: Sequence[Estimate], title: str = MINUTES_AXIS, *, pad: float = 0.06) -> None:
    ends = [0.0, *(end for v in values for end in drawn(_drawable(v)))]
    room = pad * (max(ends) - min(ends)) or 1.0
    figure.add_vline(x=0.0, line={"color": BLACK, "width": 1.5})
    figure.update_xaxes(range=[min(ends) - room, max(ends) + room], title={"text": title})


def _faults_title(found: Sensitivity, groups: dict[str, list[Effect]]) -> str:
    worth = {about: minutes_of(e) for about, effects in groups.items() for e in effects if e.kind == "never"}
    sure = {about: m for about, m in worth.items() if m.high < 0}
    if not sure:
        return f"No single fault is shown to cost {found.architecture} downtime: every interval holds zero"
    best = min(sure, key=lambda about: sure[about].mean)
    base = in_minutes(found.base[DOWNTIME])
    part = f" of {number(base.mean, 'count')}" if base.mean > 0 else ""
    saved = f"{number(-sure[best].mean, 'count')}{part} minutes a year"
    return f"Without {best} {found.architecture} would be down {saved} less"


# -- numbers --------------------------------------------------------------------------------------------


def tornado_panel(found: Sensitivity) -> Panel | None:
    """The numbers of the design by what a step down and a step up do."""
    groups = grouped(found.effects, ("low", "high"))
    if not groups:
        return None
    rows = _rows_of(groups, found.scenario.currency)
    moving = {about: effects for about, effects in groups.items() if _size(effects) > NOTHING_MIN}
    still = [about for about in groups if about not in moving]
    shown = dict(list((moving or groups).items())[:ROWS_MAX])
    figure = base_figure(ROW * len(shown) + 140, barmode="overlay", bargap=0.3)
    labels = [wrap(safe(about), 40) for about in shown]
    for kind in ("low", "high"):
        _bars(figure, kind, shown, labels)
    _zero_axis(figure, [minutes_of(e) for effects in shown.values() for e in effects], pad=0.16)
    figure.update_yaxes(type="category", categoryarray=labels[::-1], categoryorder="array", showgrid=False)
    notes = [
        f"Each number alone is changed by {number(found.step, 'share')} of itself (or to the values asked for), whole "
        "numbers by at least one; its new value and the change of minutes stand at the bar. Lines are intervals of "
        "the difference on the same "
        "random histories. Left of zero is less downtime.",
    ]
    if still:
        notes.append(f"No difference worth naming for {len(still)}: {', '.join(still)}.")
    if len(moving) > len(shown):
        notes.append(f"The {len(shown)} largest of {len(moving)} are drawn; the table has all.")
    return Panel(
        "sensitivity-tornado",
        _tornado_title(found, groups),
        "Change of downtime for each number of the design. " + " ".join(f"{r[0]} {r[1]}: {r[2]}." for r in rows[:16]),
        figure,
        Table(
            "Changes against the design as it is, on the same random histories [interval]", _COLUMNS, rows, words=True
        ),
        tuple(notes),
    )


def _bars(figure: go.Figure, kind: str, shown: dict[str, list[Effect]], labels: Sequence[str]) -> None:
    series = SERIES[kind]
    here = [
        (label, e) for label, effects in zip(labels, shown.values(), strict=True) for e in effects if e.kind == kind
    ]
    values = [_drawable(minutes_of(e)) for _, e in here]
    figure.add_bar(
        y=[label for label, _ in here],
        x=[v.mean for v in values],
        orientation="h",
        name=series.name,
        marker={"color": series.colour, "pattern": hatch(series.pattern), "line": {"color": INK, "width": 0.5}},
        opacity=0.85,
        error_x={**error_bars(values, GREY), "thickness": 1.5, "width": 4},
        text=[safe(e.setting.removeprefix("fixed ")) for _, e in here],
        textposition="none",
        hovertext=[f"{label} = {safe(e.setting)}<br>{safe(change_text(minutes_of(e)))}" for label, e in here],
        hoverinfo="text",
    )
    for (label, effect), value in zip(here, values, strict=True):
        low, high = drawn(value)
        is_left = value.mean < 0
        figure.add_annotation(
            x=low if is_left else high,
            y=label,
            text=f"{safe(effect.setting.removeprefix('fixed '))} ({_signed(value.mean)})",
            showarrow=False,
            xanchor="right" if is_left else "left",
            xshift=-5 if is_left else 5,
            yshift=8 if kind == "low" else -8,
            font={"size": 11, "color": INK},
        )


def _signed(minutes: float) -> str:
    return ("" if minutes < 0 else "+") + number(minutes, "count", digits=2)


def _tornado_title(found: Sensitivity, groups: dict[str, list[Effect]]) -> str:
    better = [(minutes_of(e), e) for effects in groups.values() for e in effects if minutes_of(e).high < 0]
    worse = [(minutes_of(e), e) for effects in groups.values() for e in effects if minutes_of(e).low > 0]
    parts = []
    if better:
        minutes, effect = min(better, key=lambda pair: pair[0].mean)
        parts.append(f"{_named(effect)} saves {number(-minutes.mean, 'count')} minutes a year")
    if worse:
        minutes, effect = max(worse, key=lambda pair: pair[0].mean)
        parts.append(f"{_named(effect)} costs {number(minutes.mean, 'count')} more")
    if not parts:
        return f"No number of {found.architecture} is shown to matter at this step: every interval holds zero"
    return ", ".join(parts)


def _named(effect: Effect) -> str:
    return f"{effect.about} = {effect.setting.removeprefix('fixed ')}"


# -- elements -------------------------------------------------------------------------------------------


def elements_panel(found: Sensitivity) -> Panel | None:
    """Birnbaum's importance: unavailability with an element down for sure, less with it up for sure."""
    ordered = sorted(found.birnbaum, key=lambda effect: (-importance_of(effect).mean, effect.about))
    if not ordered:
        return None
    shown = ordered[:ROWS_MAX]
    values = [_drawable(importance_of(effect)) for effect in shown]
    labels = [wrap(safe(effect.about), 40) for effect in shown]
    figure = base_figure(ROW * len(shown) + 110)
    figure.add_scatter(
        x=[v.mean for v in values],
        y=labels,
        mode="markers",
        marker={
            "color": [BLUE if excludes_zero(v) else "#ffffff" for v in values],
            "symbol": "diamond",
            "size": 11,
            "line": {"color": BLUE, "width": 2},
        },
        error_x={**error_bars(values, BLUE), "thickness": 2.5, "width": 0},
        hovertext=[f"{label}<br>{safe(importance_text(effect))}" for label, effect in zip(labels, shown, strict=True)],
        hoverinfo="text",
    )
    _zero_axis(figure, values, "Birnbaum importance: share of the time that it decides about being served")
    figure.update_xaxes(tickformat=".3~%")
    figure.update_yaxes(type="category", categoryarray=labels[::-1], categoryorder="array", showgrid=False)
    rows = tuple((effect.about, importance_text(effect)) for effect in ordered)
    first, top = ordered[0], importance_of(ordered[0])
    title = (
        f"{first.about} is most critical: out of order all along it takes {_two(top.mean)} of the time"
        if excludes_zero(top)
        else f"No element alone is shown to decide whether {found.architecture} serves its users"
    )
    return Panel(
        "sensitivity-elements",
        title,
        "Birnbaum importance of each element. " + " ".join(f"{r[0]}: {r[1]}." for r in rows[:15]),
        figure,
        Table("Birnbaum importance [interval]", ("Fault @ element", "Importance"), rows, words=True),
        (
            "Share of time not served with the element under this fault from the start to the end, less that with the "
            "element spared by it (Birnbaum 1969), all else on the same random histories. Of pods and nodes that are "
            "alike one stands for all.",
        ),
    )


def _two(share: float) -> str:
    return number(share, "share", digits=2)


def importance_of(effect: Effect) -> Estimate:
    """Birnbaum's importance: the difference in unavailability, a share."""
    up = effect.changes["availability_time"]
    return Estimate(-up.mean, -up.high, -up.low, up.confidence, up.n, up.seen, up.note)


def importance_text(effect: Effect) -> str:
    """The same in words."""
    if effect.is_same:
        return "exactly none"
    value = importance_of(effect)
    if not value.seen and value.mean == 0.0:
        return f"no difference in {value.n:,} trials"
    return estimate_text("birnbaum_share", value) if value.low >= 0 else _signed_share(value)


def _signed_share(value: Estimate) -> str:
    mean, low, high = (number(v, "share") for v in (value.mean, value.low, value.high))
    return f"{mean} [{low}, {high}]"
