"""Results that stay in memory: the same interface as a folder, for callers who want arrays only."""

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

from sim.study.ranges import Ranges, joined, without
from sim.study.scan import Scan, scan
from sim.study.tables import Rows, Tables, merge, ranges_by_architecture


class Store(Protocol):
    """Where the tables of finished trials go."""

    damage: list[str]
    """What was found damaged, one text per part."""

    def done(self) -> dict[str, Ranges]:
        """Stored trial numbers by architecture."""
        ...

    def add(self, parts: Sequence[Tables]) -> None:
        """Store the tables of some trials; those that are stored already are left out."""
        ...

    def tables(self, asked: Mapping[str, int]) -> Mapping[str, Rows]:
        """All stored rows of the trials asked of each architecture, in their order; a table is read when used."""
        ...

    def scan(self, asked: Mapping[str, int]) -> Scan:
        """One pass over the same rows, in the same order."""
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
        self._done: dict[str, Ranges] = {}

    def done(self) -> dict[str, Ranges]:
        """Stored trial numbers by architecture."""
        return {name: list(ranges) for name, ranges in self._done.items()}

    def add(self, parts: Sequence[Tables]) -> None:
        """Store the tables of some trials; those that are stored already are left out."""
        for part in parts:
            trials = ranges_by_architecture(part["trials"])
            if not any(without(ranges, self._done.get(name, ())) for name, ranges in trials.items()):
                continue
            self._parts.append(part)
            for name, ranges in trials.items():
                self._done[name] = joined([*self._done.get(name, ()), *ranges])

    def tables(self, asked: Mapping[str, int]) -> Tables:
        """All stored rows of the trials asked of each architecture, in their order."""
        return merge(self._parts, tuple(asked), asked=asked)

    def scan(self, asked: Mapping[str, int]) -> Scan:
        """One pass over the same rows, which are in memory anyway."""
        return scan({name: [table] for name, table in self.tables(asked).items()})

    def write_json(self, name: str, document: Any) -> None:
        """Nothing is stored beside the tables."""

    def close(self) -> None:
        """Nothing is held."""
