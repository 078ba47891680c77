"""Results that stay in memory: the same interface as a folder, for callers who want arrays only."""

from collections.abc import Sequence
from typing import Any, Protocol

from sim.study.tables import Tables, merge, trials_by_architecture


class Store(Protocol):
    """Where the tables of finished trials go."""

    damage: list[str]
    """What was found damaged, one text per part."""

    def done(self) -> dict[str, set[int]]:
        """Stored trial numbers by architecture."""
        ...

    def add(self, parts: Sequence[Tables]) -> None:
        """Store the tables of some trials; those that are stored already are left out."""
        ...

    def tables(self, architectures: Sequence[str], trials: int) -> Tables:
        """All stored rows of the named architectures' trials 0 to `trials` - 1, in order."""
        ...

    def write_json(self, name: str, document: Any) -> None:
        """Store a JSON document beside the tables."""
        ...

    def close(self) -> None:
        """End the use of the store."""
        ...


class MemoryStore:
    """Keeps the tables of finished trials as they came."""

    def __init__(self) -> None:
        self.damage: list[str] = []
        self._parts: list[Tables] = []
        self._done: dict[str, set[int]] = {}

    def done(self) -> dict[str, set[int]]:
        """Stored trial numbers by architecture."""
        return {name: set(numbers) for name, numbers in self._done.items()}

    def add(self, parts: Sequence[Tables]) -> None:
        """Store the tables of some trials; those that are stored already are left out."""
        for part in parts:
            trials = trials_by_architecture(part["trials"])
            if all(set(numbers) <= self._done.get(name, set()) for name, numbers in trials.items()):
                continue
            self._parts.append(part)
            for name, numbers in trials.items():
                self._done.setdefault(name, set()).update(numbers)

    def tables(self, architectures: Sequence[str], trials: int) -> Tables:
        """All stored rows of the named architectures' trials 0 to `trials` - 1, in order."""
        return merge(self._parts, architectures, below_trial=trials)

    def write_json(self, name: str, document: Any) -> None:
        """Nothing is stored beside the tables."""

    def close(self) -> None:
        """Nothing is held."""
