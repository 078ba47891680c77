"""What a results folder holds for certain: its parts, the trials in them, and the checksum of every file.

Plain data and its JSON form (`progress.json`). Knows no tables and writes nothing.
"""

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sim.errors import RunError
from sim.study.ranges import Range, Ranges, joined, n_in


@dataclass(frozen=True, slots=True)
class StoredFile:
    """Size and checksum of a file as it was written."""

    n_bytes: int
    sha256: str

    @classmethod
    def of(cls, path: Path) -> "StoredFile":
        """Measure a file; raises OSError if it cannot be read."""
        with path.open("rb") as file:
            digest = hashlib.file_digest(file, "sha256").hexdigest()
            return cls(file.tell(), digest)


@dataclass(frozen=True, slots=True)
class Part:
    """Some trials, as one file per table."""

    trials: Mapping[str, tuple[tuple[int, int], ...]]
    """Closed ranges of trial numbers by architecture."""
    files: Mapping[str, StoredFile]
    """By table."""

    @classmethod
    def of(cls, trials: Mapping[str, Sequence[Range]], files: Mapping[str, StoredFile]) -> "Part":
        """A part from the trial numbers in it."""
        return cls({name: tuple(ranges) for name, ranges in trials.items()}, dict(files))

    @property
    def n_trials(self) -> int:
        """Trials in this part, over all architectures."""
        return sum(n_in(ranges) for ranges in self.trials.values())


@dataclass
class Manifest:
    """The parts of a folder."""

    parts: dict[str, Part] = field(default_factory=dict)

    def done(self) -> dict[str, Ranges]:
        """Stored trial numbers by architecture."""
        ranges: dict[str, Ranges] = {}
        for part in self.parts.values():
            for name, mine in part.trials.items():
                ranges.setdefault(name, []).extend(mine)
        return {name: joined(mine) for name, mine in ranges.items()}

    def pieces(self, architecture: str) -> list[tuple[Range, str]]:
        """Where the trials of an architecture lie: (range, part), in the order of trials."""
        found = [(r, name) for name, part in self.parts.items() for r in part.trials.get(architecture, ())]
        return sorted(found)

    def next_name(self) -> str:
        """A name that no part has."""
        numbers = [int(name.removeprefix("part-")) for name in self.parts]
        return f"part-{max(numbers, default=-1) + 1:06d}"

    def to_document(self) -> dict[str, Any]:
        """JSON form."""
        return {
            "parts": {
                name: {
                    "trials": {architecture: [list(r) for r in ranges] for architecture, ranges in part.trials.items()},
                    "files": {table: {"bytes": f.n_bytes, "sha256": f.sha256} for table, f in part.files.items()},
                }
                for name, part in self.parts.items()
            }
        }

    @classmethod
    def from_document(cls, document: Any) -> "Manifest":
        """The manifest of a JSON form; raises RunError if it is none."""
        try:
            return cls({str(name): _part(entry) for name, entry in document["parts"].items()})
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise RunError(f"progress.json is not a list of parts ({type(error).__name__}: {error})") from error


def _part(entry: Any) -> Part:
    trials = {str(name): tuple((int(a), int(b)) for a, b in ranges) for name, ranges in entry["trials"].items()}
    files = {str(t): StoredFile(int(f["bytes"]), str(f["sha256"])) for t, f in entry["files"].items()}
    return Part(trials, files)
