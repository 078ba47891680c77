"""From one merged file to the scenarios that are compared: `like` chains, `set` paths and sweeps.

Works on trees, before the models see them, so that every mistake keeps the place where it was written.
"""

import itertools
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from pydantic import ValidationError

from sim.errors import Issue, ScenarioError, did_you_mean, listed
from sim.scenario.fields import keys_at
from sim.scenario.reader import read_text
from sim.scenario.schema import Architecture
from sim.scenario.tree import Node, Path, Place, assigned, dotted, plain, split_path
from sim.scenario.wording import issues_of

MAX_VARIANTS = 2000
DEFAULT_ARCHITECTURE = "default"


@dataclass(frozen=True)
class Variant:
    """One scenario of an experiment, not yet validated.

    Parameters
    ----------
    architecture : str
        Its name in the file.
    settings : tuple of (str, str)
        Swept keys with the value of this variant, as text.
    tree : Node
        The scenario without `architectures` and `sweep`.
    """

    architecture: str
    settings: tuple[tuple[str, str], ...]
    tree: Node

    @property
    def name(self) -> str:
        """`ARCHITECTURE`, or `ARCHITECTURE | key=value, key=value`; keys of services without that first word."""
        settings = ", ".join(f"{key.removeprefix('services.')}={value}" for key, value in self.settings)
        return f"{self.architecture} | {settings}" if settings else self.architecture


Axes = Mapping[str, Sequence[Node]]


def apply_sets(root: Node, sets: Iterable[str]) -> tuple[Node, list[Issue]]:
    """The tree after `a.b=value` of the command line, and what is wrong with them."""
    issues: list[Issue] = []
    for number, text in enumerate(sets, start=1):
        key, equals, value = text.partition("=")
        at = Place("--set", number, 1)
        if not equals or not value.strip():  # an empty shell variable must not delete what the file says
            hint = "; null deletes a key" if equals else ""
            issues.append(at.issue(f"got {text[:80]!r}, expected key=value such as services.irm.queue=20{hint}"))
            continue
        try:
            path = split_path(key)
            shifted = "\n" * (number - 1) + " " * (len(key) + 1) + value
            node = _read(shifted, "--set", path) or Node(None, replace(at, path=path))
            root = set_value(root, path, replace(node, key_at=replace(at, path=path)))
        except (ScenarioError, ValueError) as error:
            issues += _issues(error, at)
    return root, issues


def read_axes(root: Node, sweeps: Iterable[str]) -> tuple[dict[str, tuple[Node, ...]], list[Issue]]:
    """Swept keys with their values: of the `sweep` block, then of the command line (which wins for a key)."""
    axes: dict[str, tuple[Node, ...]] = {}
    issues: list[Issue] = []
    block = root.mapping.get("sweep")
    if block is not None and not isinstance(block.value, dict):
        issues.append(block.name_at.issue("expected values by dotted path, such as {services.irm.queue: [10, 20]}"))
    for key, node in block.mapping.items() if block else ():
        if isinstance(node.value, tuple) and node.value:
            axes[key] = _different(replace(value, key_at=node.key_at) for value in node.value)
        else:
            issues.append(node.name_at.issue("expected a list of values to try, such as [10, 20, 40]"))
    for number, text in enumerate(sweeps, start=1):
        key, equals, values = text.partition("=")
        at = Place("--sweep", number, 1)
        try:
            shifted = "\n" * (number - 1) + " " * len(key) + f"[{values}]"
            tried = _read(shifted, "--sweep", split_path(key))
            if not equals or tried is None or not isinstance(tried.value, tuple) or not tried.value:
                raise ValueError(f"got {text[:80]!r}, expected key=value,value such as services.irm.queue=10,20,40")
            axes[key.strip()] = _different(replace(value, key_at=at) for value in tried.value)
        except (ScenarioError, ValueError) as error:
            issues += _issues(error, at)
    return axes, issues


def _different(values: Iterable[Node]) -> tuple[Node, ...]:
    """Without repetition: equal values would make variants of the same name."""
    return tuple({label(value): value for value in values}.values())


def variants_of(root: Node, axes: Axes) -> tuple[list[Variant], list[Issue]]:
    """Every architecture with every combination of swept values, and what is wrong with them."""
    architectures, issues = _architectures_of(root)
    n_variants = len(architectures)
    for values in axes.values():
        n_variants *= len(values)
    if n_variants > MAX_VARIANTS:
        at = next(iter(axes.values()))[0].name_at
        message = f"got {n_variants} variants (architectures x swept values), expected at most {MAX_VARIANTS}"
        return [], [*issues, at.issue(message)]
    variants = []
    for name, tree in architectures.items():
        for combination in itertools.product(*axes.values()):
            swept, settings = tree, []
            for key, value in zip(axes, combination, strict=True):
                settings.append((key, label(value)))
                try:
                    swept = set_value(swept, split_path(key), value)
                except ValueError as error:
                    issues += _issues(error, value.name_at)
            variants.append(Variant(name, tuple(settings), swept))
    return variants, issues


def label(node: Node) -> str:
    """Short text of a swept value."""
    value = plain(node)
    return value if isinstance(value, str) else json.dumps(value)


def set_value(root: Node, path: Path, value: Node) -> Node:
    """The tree with `value` at `path`; null deletes.

    Raises
    ------
    ValueError
        If the path leads to nothing that exists or that the language knows.
    """
    node = root
    is_there = True
    for depth, part in enumerate(path):
        if node.value is not None and not isinstance(node.value, dict):
            if path[:depth] == ("failover",):  # `failover: none` is short for a block
                node = Node({"policy": node}, node.at, node.key_at)
                root = assigned(root, ("failover",), node)
            else:
                raise ValueError(f"{dotted(path[:depth])} is a plain value here: set the whole of it")
        keys = keys_at(path[:depth])
        below = node.mapping.get(str(part))
        if below is None:
            fields = keys.fields if keys else {}
            is_new_name = keys is not None and keys.values is not None and depth == len(path) - 1
            if str(part) not in fields and not is_new_name:
                choices = list(dict.fromkeys([*node.mapping, *fields]))
                where = dotted(path[:depth]) or "the scenario"
                raise ValueError(
                    f"got {dotted(path)}, but {where} has no {part}; expected {listed(choices, most=40)}"
                    f"{did_you_mean(part, choices)}"
                )
            below, is_there = Node(None, value.at, value.key_at), False
        node = below
    return assigned(root, path, value) if is_there or value.value is not None else root


def _architectures_of(root: Node) -> tuple[dict[str, Node], list[Issue]]:
    """Tree of each architecture; those with a mistake of their own are left out."""
    base = root.with_keys({"architectures": None, "sweep": None})
    block = root.mapping.get("architectures")
    if block is None:
        return {DEFAULT_ARCHITECTURE: base}, []
    if not isinstance(block.value, dict) or not block.value:
        return {}, [block.name_at.issue("expected architectures by name, such as {single: {place: {...}}}")]
    issues, trees = _block_issues(root, block), {}
    broken = {str(issue.path.split(".")[1]) for issue in issues if issue.path.count(".") >= 1}
    for name in block.value:
        try:
            chain = _like_chain(block, name)
        except _LikeError as error:
            issues.append(error.issue)
            continue
        if broken.intersection(chain):
            continue
        tree, found = _resolved(base, [block.value[ancestor] for ancestor in chain])
        issues += found
        trees[name] = tree
    return trees, issues


def _block_issues(root: Node, block: Node) -> list[Issue]:
    """What is wrong with the keys of the architectures themselves."""
    issues = []
    for name, node in block.mapping.items():
        own = node.with_keys({"place": None, "failover": None}) if isinstance(node.value, dict) else node
        try:
            Architecture.model_validate(plain(own))
        except ValidationError as error:
            issues += issues_of(error, root, ("architectures", name))
    return issues


class _LikeError(Exception):
    """A chain of `like` that leads nowhere."""

    def __init__(self, issue: Issue) -> None:
        super().__init__(issue.message)
        self.issue = issue


def _like_chain(block: Node, name: str) -> list[str]:
    """Names from the first ancestor down to `name`."""
    chain = [name]
    while (like := block.mapping[chain[0]].mapping.get("like")) is not None:
        parent = like.value
        if not isinstance(parent, str):
            break  # told by the model of the block
        if parent not in block.mapping:
            choices = [other for other in block.mapping if other != name]
            message = f"got {parent!r}, expected an architecture: {listed(choices)}{did_you_mean(parent, choices)}"
            raise _LikeError(like.at.issue(message))
        if parent in chain:
            # Told once for all its members, at the first of them in the file.
            members = chain[: chain.index(parent) + 1]
            first = next(other for other in block.mapping if other in members)
            turned = members[members.index(first) + 1 :] + members[: members.index(first) + 1]
            circle = " -> ".join([first, *reversed(turned[:-1]), first])
            at = block.mapping[first].mapping["like"].at
            raise _LikeError(at.issue(f"got a circle of likes: {circle}; expected a chain that ends"))
        chain.insert(0, parent)
    return chain


def _resolved(base: Node, chain: list[Node]) -> tuple[Node, list[Issue]]:
    """The scenario after each architecture of the chain has laid its own over it."""
    tree, issues = base, []
    for own in chain:
        changes = {key: own.mapping[key] for key in ("place", "failover") if key in own.mapping}
        tree = tree.with_keys(changes)
        for key, value in own.mapping["set"].mapping.items() if "set" in own.mapping else ():
            try:
                tree = set_value(tree, split_path(key), value)
            except ValueError as error:
                issues.append(value.name_at.issue(str(error)))
    return tree, issues


def _read(text: str, file: str, path: Path) -> Node | None:
    """Value of a text from the command line; raises ScenarioError with every issue."""
    node, issues = read_text(text, file, path)
    if issues:
        raise ScenarioError(issues)
    return node


def _issues(error: Exception, at: Place) -> list[Issue]:
    return list(error.issues) if isinstance(error, ScenarioError) else [at.issue(str(error))]
