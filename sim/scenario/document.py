"""A loaded experiment, and the document that stands for it in run folders and worker processes."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from functools import cached_property
from typing import Any, Final, Self

from sim.errors import Issue, UsageError
from sim.scenario.quantities import FROM_FILE
from sim.scenario.reliability import scenario_model
from sim.scenario.schema import Scenario

FORMAT: Final = 1
"""Version of the document's shape."""


@dataclass(frozen=True)
class Experiment:
    """One scenario in all its variants.

    Parameters
    ----------
    name : str
        What it is about.
    scenarios : dict of str to Scenario
        By the variant's name: `ARCHITECTURE`, or `ARCHITECTURE | key=value, key=value` with a sweep.
    sweep_axes : dict of str to tuple of str
        Swept keys with the values tried, as text; empty without a sweep.
    settings : dict of str to dict of str to str
        By the variant's name: its value of each swept key.
    architectures : dict of str to str
        By the variant's name: its architecture.
    warnings : tuple of Issue
        Doubts that do not stop; not part of the hash.
    """

    name: str
    scenarios: dict[str, Scenario]
    sweep_axes: dict[str, tuple[str, ...]] = field(default_factory=dict)
    settings: dict[str, dict[str, str]] = field(default_factory=dict)
    architectures: dict[str, str] = field(default_factory=dict)
    warnings: tuple[Issue, ...] = ()

    @cached_property
    def hash(self) -> str:
        """SHA-256 (hex) of the resolved document without its warnings."""
        return document_hash(self.to_document())

    def to_document(self) -> dict[str, Any]:
        """Everything as JSON-able values; quantities as text that reads back to the last bit."""
        return {
            "format": FORMAT,
            "name": self.name,
            "sweep_axes": {key: list(values) for key, values in self.sweep_axes.items()},
            "settings": self.settings,
            "architectures": self.architectures,
            "scenarios": {name: scenario_document(scenario) for name, scenario in self.scenarios.items()},
            "warnings": [asdict(issue) for issue in self.warnings],
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> Self:
        """The experiment that `to_document` was asked of.

        Raises
        ------
        UsageError
            If it is no such document, or of another version.
        """
        if document.get("format") != FORMAT:
            raise UsageError(f"got experiment document format {document.get('format')!r}, expected {FORMAT}")
        try:
            return cls(
                name=str(document["name"]),
                scenarios={
                    name: scenario_model(scenario).model_validate(scenario, context=FROM_FILE)
                    for name, scenario in document["scenarios"].items()
                },
                sweep_axes={key: tuple(values) for key, values in document["sweep_axes"].items()},
                settings={name: dict(values) for name, values in document["settings"].items()},
                architectures=dict(document["architectures"]),
                warnings=tuple(Issue(**issue) for issue in document["warnings"]),
            )
        except (KeyError, TypeError, AttributeError, ValueError) as error:
            raise UsageError(f"not an experiment document: {error}") from error


def document_hash(document: Mapping[str, Any]) -> str:
    """SHA-256 (hex) of an experiment's document without its warnings."""
    kept = {key: value for key, value in document.items() if key != "warnings"}
    canonical = json.dumps(kept, sort_keys=True, separators=(",", ":"), ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(canonical.encode()).hexdigest()


def scenario_document(scenario: Scenario) -> dict[str, Any]:
    """JSON-able values of one scenario, defaults included."""
    return scenario.model_dump(mode="json", by_alias=True, context={"currency": scenario.currency})
