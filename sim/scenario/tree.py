"""Plain values that remember where they were written: what lies between YAML and the models.

A tree is immutable; merging and setting make new ones that share branches. Knows neither YAML nor the
models.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

from sim.errors import Issue, Severity

Path = tuple[str | int, ...]
Scalar = str | int | float | bool | None


@dataclass(frozen=True, slots=True)
class Place:
    """Where something was written.

    Parameters
    ----------
    file : str
        File as the user named it, or `--set`, `--sweep`.
    line, column : int
        From 1.
    path : tuple of str and int
        Keys from the top of that file down to it.
    """

    file: str
    line: int
    column: int
    path: Path = ()

    def issue(self, message: str, *, below: Path = (), severity: Severity = "error") -> Issue:
        """An issue here, or `below` it where nothing was written."""
        return Issue(self.file, self.line, self.column, dotted(self.path + below), message, severity)


@dataclass(frozen=True, slots=True)
class Node:
    """A value, the place where it begins, and the place of the key it belongs to."""

    value: "Scalar | Mapping[str, Node] | Sequence[Node]"
    at: Place
    key_at: Place | None = None

    @property
    def mapping(self) -> "Mapping[str, Node]":
        """Its keys; empty if it is no block."""
        return self.value if isinstance(self.value, Mapping) else {}

    @property
    def name_at(self) -> Place:
        """Place of its key, or of itself if it has none."""
        return self.key_at or self.at

    def with_keys(self, changes: "Mapping[str, Node | None]") -> "Node":
        """The same block with some keys changed, or dropped if None."""
        merged = {key: node for key, node in ({**self.mapping, **changes}).items() if node is not None}
        return replace(self, value=merged)


def plain(node: Node) -> object:
    """The value without places: dicts, tuples and scalars."""
    if isinstance(node.value, Mapping):
        return {key: plain(child) for key, child in node.value.items()}
    if isinstance(node.value, Sequence) and not isinstance(node.value, str):
        return tuple(plain(child) for child in node.value)
    return node.value


def children(node: Node) -> Iterator[tuple[str | int, Node]]:
    """Keys or indices with what is under them."""
    if isinstance(node.value, Mapping):
        yield from node.value.items()
    elif isinstance(node.value, Sequence) and not isinstance(node.value, str):
        yield from enumerate(node.value)


def descend(root: Node, path: Path) -> tuple[Node, Path]:
    """The deepest node along `path` that exists, and the rest of the path."""
    node = root
    for depth, part in enumerate(path):
        below = dict(children(node)).get(part)
        if below is None:
            return node, path[depth:]
        node = below
    return node, ()


def merged(below: Node, above: Node) -> Node:
    """Deep merge of blocks: `above` wins, a key that is null there is dropped, lists are replaced."""
    if not isinstance(below.value, Mapping) or not isinstance(above.value, Mapping):
        return above
    changes: dict[str, Node | None] = {}
    for key, node in above.value.items():
        old = below.value.get(key)
        if node.value is None and old is not None:
            changes[key] = None
        else:
            changes[key] = node if old is None else merged(old, node)
    return below.with_keys(changes)


def assigned(root: Node, path: Path, value: Node) -> Node:
    """The tree with `value` at `path` (dropped if the value is null); blocks on the way are made if missing."""
    key = str(path[0])
    old = root.mapping.get(key)
    if len(path) > 1:
        block = old if old is not None else Node({}, value.at, value.key_at)
        return root.with_keys({key: assigned(block, path[1:], value)})
    return root.with_keys({key: None if value.value is None else value})


def dotted(path: Path) -> str:
    """`a.b[0]` of a path; a key with a dot or a space is quoted."""
    text = ""
    for part in path:
        if isinstance(part, int):
            text += f"[{part}]"
        else:
            name = f'"{part}"' if "." in part or " " in part else part
            text += f".{name}" if text else name
    return text


def split_path(text: str) -> Path:
    """Parts of a dotted path; a quoted part may hold dots: `objectives.sla.credits."below 99.9%"`.

    Raises
    ------
    ValueError
        If a part is empty or a quote is open.
    """
    parts, rest = [], text.strip()
    while True:
        if rest.startswith('"'):
            part, quote, rest = rest[1:].partition('"')
            dot, rest = rest[:1], rest[1:]
            if not quote or dot not in ("", "."):
                raise ValueError(f"got {text[:80]!r}, expected a dotted path such as services.irm.queue")
        else:
            part, dot, rest = rest.partition(".")
        if not part.strip():
            raise ValueError(f"got {text[:80]!r}, expected a dotted path such as services.irm.queue")
        parts.append(part.strip())
        if not dot:
            return tuple(parts)
