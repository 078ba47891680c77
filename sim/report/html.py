"""The whole page: head, warnings, sections of figures and tables, plotly.js once, and nothing from outside.

Everything that comes from a scenario is escaped: by Jinja in HTML, by `\\u003c` in the JSON of the figures, and by
`style.safe` in labels that plotly would read as markup. Must not know measures.
"""

import re
from functools import cache
from pathlib import Path
from typing import Any, Final

import jinja2
import plotly.offline
from markupsafe import Markup, escape

from sim.report.inputs import Columns
from sim.report.page import Page
from sim.report.panel import Panel
from sim.report.replay import page_of_replay
from sim.report.sections import page_of_run
from sim.study.result import RunResult
from sim.world.log import TrialRecord

POLICY: Final = (
    "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'; img-src data: blob:; "
    "base-uri 'none'; form-action 'none'"
)
"""Content security policy of the page: nothing is fetched, whatever a scenario's text says."""


def build_report(result: RunResult) -> str:
    """The report of a run as one self-contained HTML document.

    Parameters
    ----------
    result : RunResult
        Tables, estimates, differences, warnings and one kept trial per design.

    Returns
    -------
    str
        HTML; write it as UTF-8.
    """
    return render(page_of_run(result))


def build_replay_report(record: TrialRecord, tables: dict[str, Columns], scenario: Any, title: str) -> str:
    """The report of one replayed trial: timeline, outages and events.

    Parameters
    ----------
    record : TrialRecord
        With its trace.
    tables : dict of str to table
        What `sim.measures.measure_trial` gave for it.
    scenario : Scenario
        The resolved scenario of the trial.
    title : str
        Plain text.
    """
    return render(page_of_replay(record, tables, scenario, title))


def render(page: Page) -> str:
    """HTML of a page."""
    return (
        _environment()
        .get_template("page.html.j2")
        .render(page=page, policy=POLICY, plotly_js=Markup(plotly.offline.get_plotlyjs()))
    )


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        autoescape=True,
        loader=jinja2.FileSystemLoader(Path(__file__).parent / "templates"),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
    )
    environment.globals["figure_json"] = figure_json
    environment.filters["breaks"] = _breaks
    environment.filters["cell"] = cell
    return environment


def figure_json(panel: Panel) -> Markup:
    """The figure as JSON that cannot end its script element, whatever its labels say."""
    text: str = panel.figure.to_json()
    return Markup(text.replace("&", "\\u0026").replace("<", "\\u003c").replace(">", "\\u003e"))


def cell(text: str) -> Markup:
    """A table cell: the interval and what follows a line break stand smaller, on lines of their own."""
    first, _, rest = text.partition("\n")
    found = re.fullmatch(r"(.*?) (\[[^\]]*\].*)", first)
    parts = [escape(first)] if found is None else [escape(found[1]), Markup("<small>{}</small>").format(found[2])]
    return Markup(" ").join([*parts, *([Markup("<small>{}</small>").format(rest)] if rest else [])])


def _breaks(text: str) -> Markup:
    """Text of a heading whose `<br>` (of axis labels) become blanks."""
    return escape(text.replace("<br>", " "))
