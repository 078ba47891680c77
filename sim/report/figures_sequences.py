"""Shares of downtime by cause, and the sequences of events that led to most of it, of one or several designs."""

from collections.abc import Mapping, Sequence
from datetime import datetime, timedelta
from typing import Final

from sim.estimate import Estimate
from sim.report.marks import error_bars
from sim.report.minutes import share_text
from sim.report.panel import Panel, Table
from sim.report.style import GREY, ROW_PX, base_figure, hatch, look, safe, wrap
from sim.report.text import duration, number
from sim.study.necessity import REMAINS, Verdict, verdict_for
from sim.study.shares import Ranked

ROWS_MAX: Final = 14
SEQUENCES_MAX: Final = 12
Shares = Mapping[str, Mapping[str, Estimate]]
"""Design -> name -> share."""
GROUPING_WORDS: Final = {"fault": "fault", "element": "element", "level": "level", "cause": "kind of cause"}


def shares_panel(found: Shares, grouping: str) -> Panel | None:
    """Shares of the downtime of each design by one grouping, as bars; None without any downtime."""
    found = {design: shares for design, shares in found.items() if shares}
    if not found:
        return None
    names = sorted(
        {name for shares in found.values() for name in shares},
        key=lambda name: -max(shares[name].mean for shares in found.values() if name in shares),
    )
    drawn_names = names[:ROWS_MAX]
    labels = {name: wrap(safe(name), 30) for name in drawn_names}
    step = ROW_PX if len(found) == 1 else 16 * len(found) + 16
    figure = base_figure(step * len(drawn_names) + 110, barmode="group", bargap=0.25)
    for i, (design, shares) in reversed(list(enumerate(found.items()))):  # the last one is drawn on top
        seen, here = look(i), [name for name in drawn_names if name in shares]
        values = [shares[name] for name in here]
        figure.add_bar(
            y=[labels[name] for name in here],
            x=[v.mean for v in values],
            orientation="h",
            name=safe(design),
            marker={"color": seen.colour, "pattern": hatch(seen.pattern)},
            error_x={**error_bars(values, GREY), "thickness": 1.5, "width": 4},
            hovertext=[f"{safe(design)}, {labels[name]}<br>{safe(share_text(shares[name]))}" for name in here],
            hoverinfo="text",
        )
    figure.update_layout(showlegend=len(found) > 1, legend={"traceorder": "reversed"})
    figure.update_xaxes(range=[0, 1.03], tickformat=".0%", title={"text": "share of the users' minutes down"})
    figure.update_yaxes(
        type="category", categoryarray=list(labels.values())[::-1], categoryorder="array", showgrid=False
    )
    rows = tuple(
        (name, design, share_text(shares[name])) for name in names for design, shares in found.items() if name in shares
    )
    design, shares = next(iter(found.items()))
    top = max(shares, key=lambda name: shares[name].mean)
    notes = [
        "The faults active when an outage began share its minutes equally (load: none was). What a fault really costs, "
        "also as a bystander, is what would be saved without it.",
    ]
    if len(names) > len(drawn_names):
        notes.append(f"The {len(drawn_names)} largest of {len(names)} are drawn; the table has all.")
    word = GROUPING_WORDS[grouping]
    return Panel(
        f"shares-{grouping}",
        f"{top} stands behind {number(shares[top].mean, 'share', digits=2)} of the minutes that {design} is down",
        f"Share of downtime by {word}. " + " ".join(f"{r[0]}, {r[1]}: {r[2]}." for r in rows[:20]),
        figure,
        Table(f"Share of downtime by {word} [interval]", (word.capitalize(), "Design", "Share"), rows, words=True),
        tuple(notes),
    )


def sequences_panel(design: str, ranked: Sequence[Ranked], covered: float, key: str) -> Panel | None:
    """The sequences of events that make up most of the downtime, as bars with the sum so far."""
    shown = [one for one in ranked if one.is_needed][:SEQUENCES_MAX]
    if not shown:
        return None
    labels = [f"{i}. " + wrap(safe(one.text), 66) for i, one in enumerate(shown, start=1)]
    heights = [max(2, label.count("<br>") + 1) for label in labels]
    figure = base_figure(19 * sum(heights) + 14 * len(shown) + 110, bargap=0.35)
    figure.add_bar(
        y=labels,
        x=[one.share.mean for one in shown],
        orientation="h",
        marker={"color": look(0).colour},
        error_x={**error_bars([one.share for one in shown], GREY), "thickness": 1.5, "width": 4},
        hovertext=[f"{label}<br>{safe(share_text(one.share))}" for label, one in zip(labels, shown, strict=True)],
        hoverinfo="text",
        name="this sequence",
    )
    figure.add_scatter(
        x=[one.cumulative for one in shown],
        y=labels,
        mode="lines+markers",
        name="this and those above",
        line={"color": look(1).colour, "dash": "dot", "width": 2},
        marker={"symbol": "diamond", "size": 8},
        hovertext=[f"together {number(one.cumulative, 'share')}" for one in shown],
        hoverinfo="text",
    )
    figure.update_xaxes(range=[0, 1.03], tickformat=".0%", title={"text": "share of the users' minutes down"})
    figure.update_yaxes(type="category", categoryarray=labels[::-1], categoryorder="array", showgrid=False)
    n_all = sum(one.is_needed for one in ranked)
    rows = tuple((one.text, share_text(one.share), number(one.cumulative, "share")) for one in ranked if one.is_needed)
    many = f"{n_all} sequences of events make up" if n_all > 1 else "One sequence of events makes up"
    total = max(one.cumulative for one in ranked if one.is_needed)
    notes = ["Like elements are merged; what follows within a minute is one step."]
    if n_all > len(shown):
        notes.append(f"The {len(shown)} largest of {n_all} are drawn; the table has all.")
    if total < covered:
        notes.append("The rest is made of dips too short to be an outage.")
    return Panel(
        key,
        f"{many} {number(total, 'share', digits=2)} of the minutes that {design} is down",
        f"Sequences of events behind the downtime of {design}. " + " ".join(f"{r[0]}: {r[1]}." for r in rows[:12]),
        figure,
        Table(
            f"Sequences of {design}, most minutes first", ("Sequence", "Share [interval]", "Together"), rows, words=True
        ),
        tuple(notes),
    )


def sequences_table(
    design: str,
    ranked: Sequence[Ranked],
    start: datetime,
    verdicts: Mapping[str, Verdict] | None = None,
) -> Table | None:
    """Each sequence with how often, how long, and the trial to replay; what reruns proved, where there are any."""
    rows = [_row(one, start, verdicts) for one in ranked if one.is_needed]
    if not rows:
        return None
    columns = ["Sequence", "Share of minutes", "Outages", "Minutes per year", "Work lost per year", "Example to replay"]
    proved = verdicts is not None and bool(verdicts)
    return Table(
        f"Sequences of events behind the downtime of {design}; replay FILE -A {design} --trial N shows an example",
        (*columns, "Needed") if proved else tuple(columns),
        tuple(row if proved else row[:-1] for row in rows),
    )


def _row(one: Ranked, start: datetime, verdicts: Mapping[str, Verdict] | None) -> tuple[str, ...]:
    at = (start + timedelta(seconds=round(one.example.start_s))).strftime("%Y-%m-%d %H:%M")
    length = duration(one.example.end_s - one.example.start_s)
    return (
        one.text,
        share_text(one.share),
        f"{one.n_outages:,}",
        number(one.minutes_per_year, "count"),
        number(one.lost_hours_per_year, "person_hours"),
        f"--trial {one.example.trial}\n{at} UTC, {length}",
        _needed(one, verdicts or {}),
    )


def _needed(one: Ranked, verdicts: Mapping[str, Verdict]) -> str:
    """What the reruns without single faults say, of this sequence or of the one it was cut down from."""
    verdict = verdict_for(one.text, verdicts)
    if verdict is None or not verdict.remains:
        return "not checked"
    kept = [(label, part) for label, part in verdict.remains if label not in verdict.not_needed]
    if len(kept) > 1 and all(part >= REMAINS for _, part in kept):
        return "any of its faults is enough"
    parts = [f"{number(part, 'share', digits=2)} without {label.partition('#')[0]}" for label, part in kept]
    return f"yes: of the minutes remain {', '.join(parts)}" if parts else "not checked"
