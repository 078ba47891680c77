"""What the models' complaints mean to the user: pydantic errors as located issues in house wording.

Knows the models only through `fields`.
"""

import re
from typing import Final

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from sim.errors import Issue, did_you_mean, listed
from sim.scenario.fields import keys_at
from sim.scenario.tree import Node, Path, descend
from sim.units import describe, format_share, plain_number

_EXPECTED: Final = {
    "int_type": "a whole number",
    "int_from_float": "a whole number",
    "int_parsing_size": "a whole number of sane size",
    "float_type": "a number",
    "finite_number": "a finite number",
    "bool_type": "true or false",
    "string_type": "text",
    "string_too_long": "text of at most {max_length} characters",
    "tuple_type": "a list",
    "dict_type": "a block of names",
    "greater_than": "more than {gt}",
    "greater_than_equal": "{ge} or more",
    "less_than": "less than {lt}",
    "less_than_equal": "{le} or less",
}
MAX_ISSUES: Final = 200
"""More are no help; a file of junk would take a minute to describe."""
_NAME_RULE: Final = "a name: a letter, then letters, digits, - or _, at most 63 in all"
_CURRENCY_RULE: Final = "a currency of three capital letters, such as EUR"


def issues_of(error: ValidationError, root: Node, prefix: Path = ()) -> list[Issue]:
    """One issue per complaint about what stands at `prefix`, at the key or value that it concerns."""
    details = error.errors(include_url=False)
    issues = [
        _issue(written_path((*prefix, *detail["loc"]), root), detail, root)
        for detail in details[:MAX_ISSUES]
        # A block given for a calendar is not compared with the named calendars too.
        if not (detail["type"] == "literal_error" and isinstance(detail["input"], dict))
    ]
    if len(details) > MAX_ISSUES:
        issues.append(root.at.issue(f"got {len(details)} mistakes; the first {MAX_ISSUES} are told"))
    return issues


def written_path(loc: Path, root: Node) -> Path:
    """Path in the tree: without what pydantic adds for alternatives, and without what a short form implies."""
    path: Path = ()
    for part in loc:
        node, rest = descend(root, path)
        is_block = isinstance(node.value, dict | tuple)
        if not rest and not is_block:
            break
        implied = part == "law" and "law" not in node.mapping
        alternative = part in ("[key]", "Calendar") or str(part).startswith(("literal[", "function-"))
        if part in node.mapping or not (implied or alternative):
            path = (*path, part)
    return path


def _issue(path: Path, detail: ErrorDetails, root: Node) -> Issue:
    node, rest = descend(root, path)
    kind = detail["type"]
    if kind == "missing":
        return node.name_at.issue(f"missing, expected {path[-1]}: {_meaning(path)}", below=rest)
    if kind == "extra_forbidden":
        keys = keys_at(path[:-1])
        choices = list(keys.fields) if keys else []
        message = f"got unknown key {path[-1]}, expected {listed(choices, most=40)}{did_you_mean(path[-1], choices)}"
        return node.name_at.issue(message, below=rest)
    about_key = "[key]" in detail["loc"] or isinstance(node.value, dict)
    return (node.name_at if about_key else node.at).issue(_message(path, detail), below=rest)


def _message(path: Path, detail: ErrorDetails) -> str:
    kind, context, got = detail["type"], detail.get("ctx", {}), describe(detail["input"])
    if kind == "value_error":
        return str(context["error"])
    if kind == "literal_error":
        choices = re.findall(r"'([^']*)'", str(context["expected"]))
        return f"got {got}, expected {listed(choices)}{did_you_mean(detail['input'], choices)}"
    if kind == "string_pattern_mismatch":
        return f"got {got}, expected {_CURRENCY_RULE if 'A-Z]{3}' in str(context['pattern']) else _NAME_RULE}"
    if kind == "model_type":
        keys = keys_at(path)
        names = listed(keys.fields if keys else (), most=40).replace(" or ", " and ")
        return f"got {got}, expected a block of keys: {names}"
    if kind == "too_short" and isinstance(detail["input"], dict):
        return f"got {got}, expected at least one: {_meaning(path)}"
    is_share = isinstance(detail["input"], str) and detail["input"].strip().endswith("%")
    written = format_share if is_share else plain_number  # a bound is written as what it bounds
    bounds = {name: written(bound) for name, bound in context.items() if isinstance(bound, int | float)}
    expected = _EXPECTED.get(kind)
    return f"got {got}, expected {expected.format(**bounds)}" if expected else f"got {got}: {detail['msg']}"


def _meaning(path: Path) -> str:
    """First words of the docstring of a field."""
    keys = keys_at(path[:-1])
    info = keys.fields.get(str(path[-1])) if keys else None
    description = (info.description if info else None) or "a block of keys"
    return re.split(r"(?<!e\.g)\.(?:\s|$)", description)[0].replace("\n", " ")
