"""Colours, second cues, base layout and safe text of all figures.

Colours are those of Okabe and Ito (2008), told apart with the common colour-vision deficiencies; every colour comes
with a dash, a marker symbol and a fill pattern, so that no figure relies on colour alone.
"""

import re
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import plotly.graph_objects as go

BLUE: Final = "#0072B2"
VERMILLION: Final = "#D55E00"
GREEN: Final = "#009E73"
PURPLE: Final = "#CC79A7"
ORANGE: Final = "#E69F00"
SKY: Final = "#56B4E9"
BLACK: Final = "#000000"
GREY: Final = "#6b6b6b"
INK: Final = "#1a1a1a"
GRID: Final = "#e4e4e4"

COLOURS: Final = (BLUE, VERMILLION, GREEN, PURPLE, BLACK, ORANGE, SKY)
DASHES: Final = ("solid", "dash", "dot", "dashdot", "longdash", "longdashdot")
SYMBOLS: Final = ("circle", "square", "diamond", "hourglass", "cross", "star", "hexagon", "bowtie")
PATTERNS: Final = ("", "/", "x", ".", "\\", "-", "+", "|")
FONT: Final = "system-ui, -apple-system, 'Segoe UI', Roboto, 'DejaVu Sans', sans-serif"
ROW_PX: Final = 38
"""Height of one category on a horizontal chart."""


@dataclass(frozen=True)
class Look:
    """Colour and second cues of one series."""

    colour: str
    dash: str
    symbol: str
    pattern: str

    def fill(self, alpha: float) -> str:
        """The colour with an opacity in [0, 1], as plotly wants it."""
        red, green, blue = (int(self.colour[i : i + 2], 16) for i in (1, 3, 5))
        return f"rgba({red},{green},{blue},{alpha:g})"


def look(index: int) -> Look:
    """Look of the series with this position; seven colours times six dashes before both repeat."""
    lap = index // len(COLOURS)
    return Look(
        COLOURS[index % len(COLOURS)],
        DASHES[(index % len(COLOURS) + lap) % len(DASHES)],
        SYMBOLS[index % len(SYMBOLS)],
        PATTERNS[index % len(PATTERNS)],
    )


def safe(text: str) -> str:
    """Text of the scenario for a label: plotly renders some HTML tags in labels, so markup is neutralised."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def wrap(text: str, width: int = 22) -> str:
    """Break a long label (already safe) at dashes, slashes and blanks, so that it leaves room for the chart."""
    lines = [""]
    for part in re.findall(r"[^-/ ]+[-/ ]?|[-/ ]", text):
        if lines[-1] and len(lines[-1]) + len(part) > width:
            lines.append("")
        lines[-1] += part
    return "<br>".join(lines)


def base_figure(height: int, **layout: Any) -> go.Figure:
    """An empty figure in the style of the report; its width follows the page.

    Parameters
    ----------
    height : int
        Pixels.
    **layout
        Further plotly layout entries.
    """
    figure = go.Figure()
    style(figure, height, **layout)
    return figure


def style(figure: go.Figure, height: int, **layout: Any) -> None:
    """Give a figure the fonts, colours, legend and margins of the report."""
    axis = {
        "automargin": True,
        "gridcolor": GRID,
        "linecolor": GREY,
        "showline": True,
        "ticks": "outside",
        "tickcolor": GREY,
        "zeroline": False,
        "title": {"standoff": 8, "font": {"size": 13}},
    }
    figure.update_layout(
        template="none",
        height=height,
        autosize=True,
        paper_bgcolor="#ffffff",
        plot_bgcolor="#ffffff",
        font={"family": FONT, "size": 13, "color": INK},
        margin={"l": 8, "r": 16, "t": 12, "b": 8},
        legend={
            "orientation": "h",
            "x": 0,
            "xanchor": "left",
            "y": 1.0,
            "yanchor": "bottom",
            "itemsizing": "constant",
            "itemwidth": 46,
        },
        hoverlabel={"bgcolor": "#ffffff", "font": {"color": INK}, "align": "left"},
    )
    figure.update_xaxes(**axis)
    figure.update_yaxes(**axis)
    figure.update_layout(**layout)


def hatch(shape: str) -> dict[str, Any]:
    """Fill pattern of a bar over its colour, as plotly wants it."""
    return {"shape": shape, "fillmode": "overlay", "fgcolor": BLACK, "fgopacity": 0.55, "size": 7, "solidity": 0.16}


def colour_bar(title: str, **entries: Any) -> dict[str, Any]:
    """Scale of a heat map, as plotly wants it."""
    return {"title": {"text": title, "font": {"size": 12}}, "thickness": 14, **entries}


def joined(names: Iterable[str], most: int = 3) -> str:
    """Names as a list in a sentence: `a, b and c`, cut to `most` with the count of the rest."""
    items = list(names)
    if len(items) > most:
        items = [*items[: most - 1], f"{len(items) - most + 1} more"]
    return items[0] if len(items) == 1 else ", ".join(items[:-1]) + " and " + items[-1] if items else "none"
