"""A mistake or doubt about a valid scenario, by path; the loader adds where it was written."""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from sim.errors import Severity, did_you_mean, listed
from sim.scenario.tree import Path


@dataclass(frozen=True, slots=True)
class Finding:
    """What is wrong, and where in the scenario.

    Parameters
    ----------
    path : tuple of str and int
        Keys from the top of the scenario.
    message : str
        What was got, what is expected, the next step.
    severity : str
        `error` or `warning`.
    about : str
        Whether the place shown is that of the `key` or of the `value`.
    everywhere : bool
        True if it counts only when every architecture has it.
    """

    path: Path
    message: str
    severity: Severity = "error"
    about: Literal["key", "value"] = "value"
    everywhere: bool = False


def unknown_name(path: Path, kind: str, choices: Iterable[str], *, name: str | None = None) -> Finding:
    """A name that should be one of `choices`: a key, or the value `name`."""
    choices = list(choices)
    got = str(path[-1]) if name is None else name
    message = f"got the {kind} {got}, expected {listed(choices)}{did_you_mean(got, choices)}"
    return Finding(path, message, about="key" if name is None else "value")


def warning(path: Path, message: str, *, about: Literal["key", "value"] = "value", everywhere: bool = False) -> Finding:
    """A doubt that does not stop."""
    return Finding(path, message, "warning", about, everywhere)
