"""Errors that users see: located issues and the exceptions that carry them.

Knows nothing of YAML, scenarios or the engine; every layer may raise these.
"""

import difflib
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Issue:
    """One mistake (or doubt) in what the user wrote, and where it stands.

    Parameters
    ----------
    file : str
        File as the user named it, or `--set`, `--sweep` for the command line.
    line, column : int
        Counted from 1; 0 when the issue concerns the whole file.
    path : str
        Dotted path of the key, as written there; empty for the whole file.
    message : str
        What was got, what is expected, the next step.
    severity : str
        `error` stops, `warning` is shown and kept with the results.
    """

    file: str
    line: int
    column: int
    path: str
    message: str
    severity: Severity = "error"

    def __str__(self) -> str:
        place = f"{self.file}:{self.line}:{self.column}: " if self.line else f"{self.file}: "
        severity = "warning: " if self.severity == "warning" else ""
        path = f"{self.path}: " if self.path else ""
        return f"{place}{severity}{path}{self.message}"


class RegionfallError(Exception):
    """Base of every error that is the user's business; never a programmer's mistake."""


class UsageError(RegionfallError):
    """A command or function was called in a way that cannot work."""


class RunError(RegionfallError):
    """A run could not be completed or stored."""


class ScenarioError(RegionfallError):
    """What the user wrote is not a scenario; carries every issue found, not only the first.

    Parameters
    ----------
    issues : iterable of Issue
        At least one of severity `error`; warnings may be among them.
    """

    def __init__(self, issues: Iterable[Issue]) -> None:
        self.issues: tuple[Issue, ...] = tuple(issues)
        assert any(issue.severity == "error" for issue in self.issues), "a ScenarioError needs an error"
        super().__init__("\n".join(str(issue) for issue in self.issues))

    def __reduce__(self) -> tuple[type["ScenarioError"], tuple[tuple[Issue, ...]]]:
        # The default would hand the joined text to __init__ when a worker process raises this.
        return type(self), (self.issues,)


def did_you_mean(word: object, choices: Iterable[object]) -> str:
    """End of a message that names the closest choice: `; did you mean x?`, or nothing if none is close."""
    folded = {str(choice).casefold(): str(choice) for choice in choices}
    close = difflib.get_close_matches(str(word)[:80].casefold(), folded, n=1, cutoff=0.6)
    return f"; did you mean {folded[close[0]]}?" if close else ""


def listed(choices: Iterable[object], *, most: int = 12, joint: str = "") -> str:
    """`a, b or c` of the choices (or with `joint` between them), cut after `most`; `nothing` if there are none."""
    words = [str(choice) for choice in choices]
    if len(words) > most:
        return f"{(joint or ', ').join(words[:most])} ... ({len(words)} in all)"
    if joint:
        return joint.join(words)
    return " or ".join(filter(None, [", ".join(words[:-1]), words[-1]])) if words else "nothing"
