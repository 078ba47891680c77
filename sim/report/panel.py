"""One figure of the report with all that belongs to it: its finding, its words, the table behind it.

Must not know HTML; `html` turns panels into a page.
"""

from dataclasses import dataclass

import plotly.graph_objects as go


@dataclass(frozen=True)
class Table:
    """The numbers behind a figure, already formatted."""

    caption: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    """Cells by row; the first cell of a row is its header. A line break within a cell begins small print."""
    words: bool = False
    """Whether its cells are words rather than numbers, which stand on the left."""


@dataclass(frozen=True)
class Panel:
    """A figure, what it shows, and the same in words and as a table."""

    key: str
    """Unique in the page; letters, digits and dashes."""
    title: str
    """The finding, one sentence generated from the data (plain text)."""
    summary: str
    """What the figure shows, for those who cannot see it (plain text)."""
    figure: go.Figure
    table: Table
    notes: tuple[str, ...] = ()
    """How to read it, what was left off (plain text)."""
