"""A stand-in for a scenario with mistakes, so that its other mistakes can be told in the same breath.

Each value that a model refuses is replaced by a plain valid one (or dropped, where it may be missing). The stand-in is
only ever checked for names that do not exist; it is never run.
"""

from typing import Annotated, Any, Final, get_args, get_origin

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from sim.scenario.fields import alternatives, keys_at
from sim.scenario.quantities import FROM_FILE, TextField
from sim.scenario.schema import Call, Effect, Fault, LawSpec, Nodes, Region, Repair, Scenario, Service, Step
from sim.scenario.tree import Node, Path, assigned, descend, plain
from sim.scenario.wording import MAX_ISSUES, written_path

_ROUNDS: Final = 6
"""A replaced value may reveal the next mistake of the same block."""

_NODES: Final = {"count": 10_000, "memory": "4Ti"}
_STAND_INS: Final[dict[type, object]] = {
    str: "any pod",
    int: 1,
    float: 1.0,
    Call: {"timeout": "1s"},
    Effect: "down",
    Fault: {"target": "any pod", "every": "1y", "effect": "down", "repair": "restart"},
    LawSpec: {"fixed": "1h"},
    Nodes: _NODES,
    Region: {"nodes": _NODES},
    Repair: "1h",
    Service: {"work": "1ms", "slots": 1},
    Step: {"action": "fix"},
}


class _UnmendableError(Exception):
    """There is no plain valid value to put here."""


def mended(tree: Node) -> tuple[Scenario, set[Path]] | None:
    """A scenario that stands in for `tree`, and the blocks in which something was replaced; None if there is none."""
    if "elements" in tree.mapping:
        return None  # their names are told once the blocks are right
    touched: set[Path] = set()
    for _ in range(_ROUNDS):
        try:
            return Scenario.model_validate(plain(tree), context=FROM_FILE), touched
        except ValidationError as error:
            details = error.errors(include_url=False, include_context=False)
            if len(details) > MAX_ISSUES:
                return None
            try:
                for path in dict.fromkeys(written_path(detail["loc"], tree) for detail in details):
                    is_bad_name = any("[key]" in detail["loc"] and path[-1] in detail["loc"] for detail in details)
                    tree = _replaced(tree, path, is_bad_name=is_bad_name)
                    touched.add(block_of(path))
            except _UnmendableError:
                return None
    return None


def block_of(path: Path) -> Path:
    """The named block in which a path lies: `services.irm`, `operations.runbook.restart`."""
    return path[:3] if path[:1] == ("operations",) else path[:2]


def _replaced(tree: Node, path: Path, *, is_bad_name: bool) -> Node:
    node, rest = descend(tree, path)
    n_kept = len(path) - max(0, len(rest) - 1)
    # Items of a list are replaced with their list.
    n_kept = next((n for n, part in enumerate(path[:n_kept]) if isinstance(part, int)), n_kept)
    path = path[:n_kept]
    keys = keys_at(path[:-1]) if path else None
    if keys is None:
        raise _UnmendableError
    info = keys.fields.get(str(path[-1]))
    if is_bad_name or (info is None and keys.values is None) or (info is not None and not info.is_required()):
        return assigned(tree, path, Node(None, node.at))
    stand_in = _stand_in(info, keys.values)
    return assigned(tree, path, _node(stand_in, node))


def _stand_in(info: FieldInfo | None, values: Any) -> object:
    """A plain valid value of a field, or of a named block."""
    annotation = info.annotation if info is not None else values
    metadata = list(info.metadata) if info is not None else []
    while get_origin(annotation) is Annotated:
        metadata += get_args(annotation)[1:]
        annotation = get_args(annotation)[0]
    for item in metadata:
        if isinstance(item, TextField) and "examples" in item.schema:
            return item.schema["examples"][0]
    for part in alternatives(annotation):
        if part in _STAND_INS:
            return _STAND_INS[part]
    raise _UnmendableError


def _node(value: object, like: Node) -> Node:
    if isinstance(value, dict):
        return Node({key: _node(item, like) for key, item in value.items()}, like.at, like.key_at)
    assert value is None or isinstance(value, str | int | float), "stand-ins are blocks and scalars"
    return Node(value, like.at, like.key_at)
