"""Write `docs/validation.md` from the stored figures.

Usage, from the root of the repository: ``python -m benchmarks.validation.page``; ``--check`` only compares.  It runs no
model.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Iterable

from benchmarks.validation.cases import PHASES, RECOVERED, ROOT, TWO_TIERS
from benchmarks.validation.compare import Z_MARKED, Figure, Row, difference, rows
from benchmarks.validation.run import stored

PAGE = ROOT / "docs" / "validation.md"
COLUMNS = ("fluid", "noise", "auto")
ALLOWED_WORSE = 2.0
MEASURES = {
    "in_flight_mean": "requests inside, mean",
    "availability": "availability",
    "first_oom_s": "first OOM kill, s",
    "oom_kills": "OOM kills",
    "recovered_share": "share of runs that recover",
    "recovery_s": "recovery, s (those that do)",
    "collapsed_share": "share of runs that collapse",
    "collapse_s": "collapse, s (those that do)",
}
PROTOTYPE_TWO_TIERS = (
    ("J x1.5: in flight U", 163.0, 114.0),
    ("J x1.5: success", 0.948, 0.985),
    ("after the hang: in flight U", 25.0, 18.0),
)
"""What is published of the two tiers where the prototype's fluid was off: request model and fluid."""
INTRODUCTION = """# Validation: request model, mean rates, single requests

<!-- Written by `python -m benchmarks.validation.page` from `results/validation/`; edit that, not this. -->

Every case is a scenario that is played by two independent programs: the **request model** (`sim/oracles/network_*.py`,
SimPy, every request, timer, slot, memory byte and kill) and the engine (`sim/traffic`), which has three settings of
`model.noise`: **fluid** (`never`: mean rates only), **noise** (`always`: compiled single requests) and **auto** (the
default: single requests in windows in which chance decides, mean rates elsewhere). How the parameters of the cases were
recovered is told in [validation-cases.md](validation-cases.md); the prototype is that of
[data-plane.md](data-plane.md), section 2.

One definition of each measure serves all columns (`benchmarks/validation/measures.py`). A run is looked at every 10 s.
Requests inside: mean from 60 s on. Availability: good requests of those that arrived. A request counts for the 10 s in
which it *ended*; success is good / ended. Recovery: the end of the last 10 s below 95 %. Collapse: the start of the
intervals of 30 s below 50 % that last to the end. Mean rates book a good request when it arrives and a failed one
when its last attempt is sent, up to one deadline earlier than it ends: part of what their recovery is early.

Figures are mean +- standard error; a share that is the same in all runs has the error of Agresti and Coull. `z` is the
distance from the request model in standard errors of the difference; **bold** marks |z| > 3.
"""


def number(value: float) -> str:
    """Return four significant digits."""
    return f"{value:.4g}" if abs(value) < 1e4 else f"{value:.0f}"


def figure_text(figure: Figure) -> str:
    """Return mean and standard error."""
    return number(figure.mean) if figure.error == 0.0 else f"{number(figure.mean)} +- {figure.error:.2g}"


def with_z(row: Row, name: str) -> str:
    """Return the figure of a column and its z, marked where it is beyond what chance explains."""
    if name not in row.columns:
        return ""
    z = row.z(name)
    mark = "**" if abs(z) > Z_MARKED else ""
    return f"{figure_text(row.columns[name])} ({mark}{z:+.1f}{mark})"


def table(header: Iterable[str], lines: Iterable[Iterable[str]]) -> list[str]:
    """Return a Markdown table."""
    names = list(header)
    return [f"| {' | '.join(names)} |", f"|{'---|' * len(names)}", *(f"| {' | '.join(line)} |" for line in lines)]


def bias_text(row: Row) -> str:
    """Return what mean rates are off by, as far as chance allows to say."""
    if "fluid" not in row.columns:
        return "not defined: no run of mean rates has it"
    fluid = row.columns["fluid"]
    apart, error = difference(fluid, row.request), math.hypot(fluid.error, row.request.error)
    if abs(apart) <= 2.0 * error or apart == 0.0:
        return f"none seen (within {2.0 * error:.2g})"
    share = f", {apart / row.request.mean:+.1%}" if row.request.mean else ""
    return f"{apart:+.2g} +- {error:.1g}{share}"


def main_table(found: list[Row]) -> list[str]:
    """Return the rows of one pool."""
    header = ("case", "measure", "published request", "prototype's fluid", "request model", "runs", *COLUMNS)
    lines = []
    for row in found:
        theirs = row.published
        cells = [row.case, MEASURES[row.measure]]
        cells += [number(theirs[key]) if key in theirs else "" for key in ("request", "fluid")]
        cells += [figure_text(row.request), str(row.request.n)]
        cells += [with_z(row, name) for name in COLUMNS]
        lines.append(cells)
    return table(header, lines)


def bias_table(found: list[Row]) -> list[str]:
    """Return what mean rates are still off by."""
    return table(
        ("case", "measure", "fluid less request model"),
        ((row.case, MEASURES[row.measure], bias_text(row)) for row in found),
    )


def check_table(found: list[Row]) -> list[str]:
    """Return the check that no row is worse than the prototype's fluid."""
    lines, failed = [], []
    for row in found:
        worse = {name: row.worse_by(name) for name in COLUMNS if not math.isnan(row.worse_by(name))}
        if not worse:
            continue
        theirs = abs(row.published["fluid"] - row.published["request"])
        cells = [row.case, MEASURES[row.measure], number(theirs)]
        for name in COLUMNS:
            if name not in worse:
                cells.append("")
                continue
            ours = abs(difference(row.columns[name], row.request))
            verdict = "ok" if worse[name] <= ALLOWED_WORSE else "**WORSE**"
            cells.append(f"{number(ours)} ({worse[name]:+.1f}) {verdict}")
            if worse[name] > ALLOWED_WORSE:
                failed.append((name, f"{row.case} {row.measure}"))
        lines.append(cells)
    header = ("case", "measure", "error of the prototype's fluid", *(f"error of {name}" for name in COLUMNS))
    verdicts = []
    for name in COLUMNS:
        rows_failed = [what for column_name, what in failed if column_name == name]
        verdicts.append(f"- {name}: " + (f"worse in {', '.join(rows_failed)}." if rows_failed else "no row is worse."))
    return [*verdicts, "", *table(header, lines)]


def tiers_table() -> list[str]:
    """Return the rows of the two tiers, by phase."""
    found = [row for row in rows() if row.case == TWO_TIERS]
    lines = [
        [*row.measure.split(": "), figure_text(row.request)] + [with_z(row, name) for name in COLUMNS] for row in found
    ]
    return table(("phase", "measure", "request model", *COLUMNS), lines)


def exceptions_table() -> list[str]:
    """Return where the prototype's fluid was off by most."""
    by_measure = {row.measure: row for row in rows() if row.case == TWO_TIERS}
    lines = []
    for measure, request, fluid in PROTOTYPE_TWO_TIERS:
        row = by_measure[measure]
        cells = [measure, f"{number(request)} / {number(fluid)}", f"{fluid / request - 1.0:+.1%}"]
        cells += [f"{row.columns[name].mean / row.request.mean - 1.0:+.1%}" for name in COLUMNS if name in row.columns]
        lines.append(cells)
    return table(("row", "published request / fluid", "prototype's fluid", *COLUMNS), lines)


def page() -> str:
    """Return the whole page."""
    found = [row for row in rows() if row.case != TWO_TIERS]
    phases = ", ".join(f"{p.name} {p.start_s:g}-{p.end_s:g} s" for p in PHASES)
    runs = stored("request")["cases"].get(TWO_TIERS, {"runs": 0})["runs"]
    about = stored("request")
    machine = ", ".join(f"{key} {value}" for key, value in (about["versions"] | about["machine"]).items())
    cases = [f"- **{name}**: {RECOVERED[name]['title']}" for name in dict.fromkeys(row.case for row in found)]
    return "\n".join(
        [
            INTRODUCTION,
            f"Run with {machine}.",
            "",
            "## One pool",
            "",
            *cases,
            "",
            *main_table(found),
            "",
            "## What mean rates are still off by",
            "",
            "The remaining error of the fluid, for those who set `noise: never`. `auto` keeps it wherever it",
            "stays with mean rates.",
            "",
            *bias_table(found),
            "",
            "## No row worse than the prototype's fluid",
            "",
            "Error = distance from the request model of the same author: ours from ours, the published fluid from the",
            "published request model. In brackets: by how many standard errors (of all four figures) ours is worse;",
            f"allowed {ALLOWED_WORSE:g}.",
            "",
            *check_table(found),
            "",
            "## Two tiers",
            "",
            f"U (4 x 16 slots) calls J (4 x 8 slots); {runs} runs of the request model; phases: {phases}.",
            "The published figures name no load, work or queue bound, so only the sizes of errors can be compared.",
            "",
            *tiers_table(),
            "",
            "Where the prototype was off by most, relative to the request model of each:",
            "",
            *exceptions_table(),
            "",
        ]
    )


def main(arguments: list[str]) -> int:
    """Write the page, or with ``--check`` return 1 if it is not what would be written."""
    new = page()
    if "--check" in arguments:
        return int(not PAGE.exists() or PAGE.read_text(encoding="utf-8") != new)
    PAGE.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
