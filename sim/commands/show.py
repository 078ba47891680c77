"""Results as text on stdout: what a person reads who asked for no JSON."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from sim.estimate import Estimate
from sim.report.text import difference_text, estimate_text, from_to
from sim.study.folder import REPORT_FILE
from sim.study.result import RunResult

if TYPE_CHECKING:
    from rich.console import Console

PIPE_WIDTH = 160
MOST_ROWS_OF_DIFFERENCES = 8
COLUMNS = (
    "availability_time",
    "downtime_h_per_year",
    "slo_met_month_prob",
    "cascade_year_prob",
    "total_cost_per_year",
)
"""Measures of the table; the report and `-o json` have all."""
TITLES = {
    "availability_time": "availability (time)",
    "downtime_h_per_year": "downtime h/year",
    "slo_met_month_prob": "months that meet the SLO",
    "cascade_year_prob": "P(cascade in a year)",
    "total_cost_per_year": "total cost/year",
}


def stdout_console() -> "Console":
    """A console on stdout that marks up nothing by itself."""
    from rich.console import Console

    console = Console(highlight=False, markup=False)
    if not console.is_terminal:  # a file or a pipe has no width: long lines are better than folded names
        console.width = PIPE_WIDTH
    return console


def print_result(result: RunResult) -> None:
    """Estimates, differences to the first architecture, warnings, and where everything is."""
    console, currency = stdout_console(), currency_of(result)
    confidence = next(iter(next(iter(result.estimates.values())).values())).confidence
    trials = from_to(result.meta["trials_done"].values())
    print_table(
        console,
        f"{result.experiment.name}: {trials} trials, {confidence:.0%} intervals",
        ["architecture", *(_title(m) for m in _present(result.estimates))],
        [
            [name, *(interval_text(measure, mine.get(measure), currency) for measure in _present(result.estimates))]
            for name, mine in result.estimates.items()
        ],
    )
    _print_differences(console, result)
    _print_parameters(console, result)
    for line in result.warnings:
        console.print(f"- {line}", soft_wrap=True)
    if result.folder is not None:
        report = result.folder / REPORT_FILE
        console.print(f"Results: {result.folder}" + (f"   Report: {report}" if report.exists() else ""))


def currency_of(result: RunResult) -> str:
    """The currency of the run's costs; all designs of an experiment share it."""
    return next(iter(result.experiment.scenarios.values())).currency


def print_table(console: "Console", title: str, columns: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """A table whose cells are text, never markup."""
    from rich.table import Table
    from rich.text import Text

    table = Table(title=Text(title), title_justify="left")
    for column in columns:
        table.add_column(Text(column), overflow="fold")
    for row in rows:
        table.add_row(*(Text(cell) for cell in row))
    console.print(table)


def _print_differences(console: "Console", result: RunResult) -> None:
    first = next(iter(result.estimates))
    pairs = [pair for pair in result.differences if pair.endswith(f" - {first}")][:MOST_ROWS_OF_DIFFERENCES]
    if not pairs:
        return
    measures = _present(result.differences)
    rows = []
    for pair in pairs:
        cells = [pair]
        for measure in measures:
            better = result.better_prob[pair].get(measure)
            chance = f"\nbetter in {better.mean:.0%}" if better is not None else ""
            difference = result.differences[pair].get(measure)
            cells.append(interval_text(measure, difference, currency_of(result), difference=True) + chance)
        rows.append(cells)
    console.print()
    print_table(console, "Paired differences on the same random histories", ["pair", *map(_title, measures)], rows)


def _print_parameters(console: "Console", result: RunResult) -> None:
    """What comes from laws that are estimates, apart from the sampling error above."""
    measures = [m for m in COLUMNS if any(m in mine for mine in result.parameters.values())]
    if not measures:
        return
    rows = []
    for name, mine in result.parameters.items():
        cells = [name]
        for measure in measures:
            spread = mine.get(measure)
            text = "-"
            if spread is not None:
                middle = min(max(result.estimates[name][measure].mean, spread.low), spread.high)
                ends = Estimate(middle, spread.low, spread.high, 0.95, spread.n)
                text = f"{interval_text(measure, ends, currency_of(result))}\n{spread.share:.0%} of the variance"
            cells.append(text)
        rows.append(cells)
    console.print()
    print_table(console, "If uncertain laws were other than stated", ["architecture", *map(_title, measures)], rows)


def _title(measure: str) -> str:
    return TITLES[measure]


def _present(found: dict[str, dict[str, Estimate]]) -> list[str]:
    return [measure for measure in COLUMNS if any(measure in mine for mine in found.values())]


def interval_text(measure: str, estimate: Estimate | None, currency: str, *, difference: bool = False) -> str:
    """Estimate and interval in the words of the report, so that both say the same; the interval on its own line."""
    if estimate is None:
        return "-"
    text = (difference_text if difference else estimate_text)(measure, estimate, currency)
    return text.replace(" [", "\n[").replace(": ", ":\n")
