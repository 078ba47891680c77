"""The parts of a page, before they become HTML."""

from dataclasses import dataclass

from sim.report.panel import Panel, Table


@dataclass(frozen=True)
class Verdict:
    """One line of the head: a design against its objective."""

    design: str
    word: str
    """meets, misses or undecided."""
    text: str


@dataclass(frozen=True)
class Section:
    """One heading with its sentences, tables and figures."""

    key: str
    title: str
    lines: tuple[str, ...] = ()
    tables: tuple[Table, ...] = ()
    panels: tuple[Panel, ...] = ()
    definitions: tuple[tuple[str, str], ...] = ()
    prose: bool = False
    """Whether the cells of its tables may wrap."""


@dataclass(frozen=True)
class Page:
    """All that a page says, in its order; empty sections are left out by whoever makes it."""

    title: str
    kind: str
    facts: tuple[tuple[str, str], ...]
    verdicts: tuple[Verdict, ...]
    warnings: tuple[str, ...]
    sections: tuple[Section, ...]
    footer: str

    @property
    def panels(self) -> tuple[Panel, ...]:
        """Every figure of the page, in order."""
        return tuple(panel for section in self.sections for panel in section.panels)
