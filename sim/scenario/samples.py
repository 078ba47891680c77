"""Measured durations of empirical laws: read from CSV files beside the scenario file.

A file must lie inside the folder of the scenario file that names it: a scenario from elsewhere cannot read
other files of this machine.
"""

import csv
import os
from dataclasses import dataclass, replace
from pathlib import Path as FilePath
from typing import Final

from sim.errors import Issue, did_you_mean, listed
from sim.scenario.tree import Node, children
from sim.units import YEAR_S

MAX_BYTES: Final = 5_000_000
MAX_VALUES: Final = 100_000
UNIT_S: Final = {"s": 1.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}
UNIT_OF_ENDING: Final = {"_s": "s", "_min": "m", "_m": "m", "_h": "h", "_d": "d"}


def with_samples(root: Node, folder: str) -> tuple[Node, list[Issue]]:
    """The tree with `values_s` in every empirical law, and what is wrong with their files.

    Parameters
    ----------
    root : Node
        Merged tree.
    folder : str
        Where files are looked for that the command line names.
    """
    issues: list[Issue] = []
    return _filled(root, folder, issues), issues


def _filled(node: Node, folder: str, issues: list[Issue]) -> Node:
    if isinstance(node.value, tuple):
        return node
    changes: dict[str, Node | None] = {}
    for key, child in children(node):
        name = str(key)
        if name == "empirical" and isinstance(child.value, str):
            child = Node({"file": replace(child, key_at=child.key_at)}, child.at, child.key_at)
        if name == "empirical" and isinstance(_text(child, "file"), str):
            changes[name] = _law(child, folder, issues)
        elif isinstance(child.value, dict):
            changes[name] = _filled(child, folder, issues)
    return node.with_keys(changes) if changes else node


def _law(law: Node, folder: str, issues: list[Issue]) -> Node:
    """One empirical law with its values."""
    at = law.mapping["file"].at
    if "values_s" in law.mapping:
        issues.append(law.mapping["values_s"].name_at.issue("is filled from the file: remove it"))
        return law
    base = folder if at.file.startswith("--") else os.path.dirname(at.file)
    try:
        values_s = read_durations(base, _Source(_text(law, "file") or "", _text(law, "column"), _text(law, "unit")))
    except ValueError as error:
        issues.append(at.issue(str(error)))
        return law
    return law.with_keys({"values_s": Node(tuple(Node(value, at) for value in values_s), at)})


def _text(law: Node, key: str) -> str | None:
    node = law.mapping.get(key)
    return node.value if node is not None and isinstance(node.value, str) else None


@dataclass(frozen=True)
class _Source:
    """What an empirical law says about its file."""

    file: str
    column: str | None
    unit: str | None


def read_durations(folder: str, source: _Source) -> tuple[float, ...]:
    """Sorted durations in seconds, at least two, each above 0 and at most 1000 years.

    Raises
    ------
    ValueError
        If the file is not there, is outside `folder`, too large, or has no such column of durations.
    """
    base = FilePath(folder or ".").resolve()
    try:
        path = (base / source.file).resolve()
        if not path.is_relative_to(base):
            raise ValueError(f"got {source.file}, expected a file inside the folder of the scenario file")
        if not path.is_file():
            raise ValueError(f"got {source.file}, expected a CSV file beside the scenario file; there is none")
        if path.stat().st_size > MAX_BYTES:
            raise ValueError(f"got {path.stat().st_size / 1e6:.1f} MB, expected a CSV file of at most 5 MB")
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise ValueError(f"{source.file} is not UTF-8 text") from None
    except OSError as error:
        raise ValueError(f"{source.file} cannot be read: {error.strerror}") from None
    except RuntimeError:  # what Python before 3.13 raises for symbolic links that go round in a circle
        raise ValueError(f"{source.file} cannot be read: its symbolic links go round in a circle") from None
    try:
        rows = list(csv.reader(text.splitlines()))
    except csv.Error as error:
        raise ValueError(f"{source.file} is no CSV file: {error}") from None
    return _durations(rows, source)


def _durations(rows: list[list[str]], source: _Source) -> tuple[float, ...]:
    header = [name.strip() for name in rows[0]] if rows else []
    column = source.column or (header[0] if len(header) == 1 else None)
    if column not in header:
        got = f"no column {column}" if column else "no column named"
        raise ValueError(f"got {got}, expected one of {source.file}: {listed(header)}{did_you_mean(column, header)}")
    unit = source.unit or next((u for end, u in UNIT_OF_ENDING.items() if column.endswith(end)), None)
    if unit not in UNIT_S:
        raise ValueError(f"got no unit for column {column}, expected unit: s, m, h or d")
    index, values_s = header.index(column), []
    for number, row in enumerate(rows[1:], start=2):
        if not any(row):
            continue
        cell = row[index].strip() if index < len(row) else ""
        try:
            value_s = float(cell) * UNIT_S[unit]
        except ValueError:
            value_s = float("nan")
        if not 0 < value_s <= 1000 * YEAR_S:
            raise ValueError(f"{source.file}:{number}: got {cell[:40]!r}, expected a duration in {unit} above 0")
        values_s.append(value_s)
    if not 2 <= len(values_s) <= MAX_VALUES:
        raise ValueError(f"got {len(values_s)} durations in {source.file}, expected 2 to {MAX_VALUES}")
    return tuple(sorted(values_s))
