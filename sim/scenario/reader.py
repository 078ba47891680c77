"""Text to tree: YAML 1.2, read defensively, with line and column of every key and value.

Only events of the YAML parser are used: nothing is ever constructed from a tag, aliases share what they
point to, and size, depth and number of values are bounded before anything is built. Knows no models.
"""

import os
import re
import stat
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

from ruamel.yaml import YAML
from ruamel.yaml.error import MarkedYAMLError, YAMLError

from sim.errors import Issue, ScenarioError
from sim.scenario.tree import Node, Path, Place, Scalar
from sim.units import describe

MAX_BYTES: Final = 2_000_000
MAX_VALUES: Final = 50_000
"""Keys and values in one file, aliases counted with all they stand for."""
MAX_DEPTH: Final = 40

_CONTROL: Final = re.compile("[^\t\n\r\x20-\x7e\x85\xa0-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_INT: Final = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT: Final = re.compile(r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?")
_INFINITE: Final = re.compile(r"[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)")


def read_file(path: str) -> tuple[Node, list[Issue]]:
    """Tree of one file, whose top is a block of keys, and issues that did not hinder reading on.

    Raises
    ------
    ScenarioError
        If there is no reading on: unreadable, too large, not UTF-8, not YAML, ...
    """
    text = _text_of(path)
    node, issues = read_text(text, path)
    if node is None or node.value is None:
        raise ScenarioError(
            [Issue(path, 1, 1, "", "got an empty file, expected a scenario: name, start, horizon, ...")]
        )
    if not isinstance(node.value, dict):
        message = "got no block of keys, expected a scenario such as `name: My service`"
        raise ScenarioError([*issues, node.at.issue(message)])
    return node, issues


def read_text(text: str, file: str, path: Path = ()) -> tuple[Node | None, list[Issue]]:
    """Tree of a YAML text that stands at `path` (None if it holds nothing), and issues such as duplicate keys.

    Raises
    ------
    ScenarioError
        If there is no reading on.
    """
    if match := _CONTROL.search(text):
        line = text.count("\n", 0, match.start()) + 1
        column = match.start() - (text.rfind("\n", 0, match.start()) + 1) + 1
        raise ScenarioError([Issue(file, line, column, "", _control_message(match))])
    reader = _Reader(file, path)
    try:
        root = reader.document(iter(YAML(typ="safe", pure=True).parse(text)))
    except MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line, column = (mark.line + 1, mark.column + 1) if mark else (1, 1)
        raise ScenarioError([*reader.issues, Issue(file, line, column, "", _wording(error))]) from None
    except YAMLError as error:
        raise ScenarioError([Issue(file, 1, 1, "", f"not valid YAML: {str(error)[:200]}")]) from None
    return root, reader.issues


def scalar(text: str) -> Scalar:
    """Value of a plain (unquoted) scalar by the YAML 1.2 core schema.

    Raises
    ------
    ValueError
        If it is a number of absurd length.
    """
    if text in ("", "~", "null", "Null", "NULL"):
        return None
    if text in ("true", "True", "TRUE", "false", "False", "FALSE"):
        return text.lower() == "true"
    if len(text) > 400 and (_INT.fullmatch(text) or _FLOAT.fullmatch(text)):
        raise ValueError(f"got a number of {len(text)} digits, expected one of at most 400")
    if _INT.fullmatch(text):
        return int(text, 0) if text[:2] in ("0o", "0x") else int(text)
    if _FLOAT.fullmatch(text):
        return float(text)
    return float(text.replace(".", "", 1)) if _INFINITE.fullmatch(text) else text


def _text_of(path: str) -> str:
    """Text of a file, after checking that it is a small text file."""

    def refuse(message: str, line: int = 0, column: int = 0) -> ScenarioError:
        return ScenarioError([Issue(path, line, column, "", message)])

    try:
        status = os.stat(path)
        if stat.S_ISDIR(status.st_mode):
            raise refuse("got a directory, expected a scenario file (YAML)")
        if not stat.S_ISREG(status.st_mode):
            raise refuse("got a device or pipe, expected a scenario file (YAML)")
        if status.st_size > MAX_BYTES:
            raise refuse(
                f"got {status.st_size / 1e6:.1f} MB, expected a scenario file of at most {MAX_BYTES / 1e6:.0f} MB"
            )
        with open(path, "rb") as stream:
            data = stream.read(MAX_BYTES + 1)
    except FileNotFoundError:
        raise refuse("got no such file, expected a scenario file (YAML); check the path") from None
    except PermissionError:
        raise refuse("got permission denied, expected a readable file; check its permissions") from None
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else error
        raise refuse(f"cannot be read: {reason}") from None
    if len(data) > MAX_BYTES:
        raise refuse(f"expected a scenario file of at most {MAX_BYTES / 1e6:.0f} MB")
    if data[:2] in (b"\xff\xfe", b"\xfe\xff"):
        raise refuse("got UTF-16, expected UTF-8: save the file as UTF-8")
    if b"\0" in data:
        raise refuse("got a binary file, expected a scenario file (YAML)")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        column = error.start - (data.rfind(b"\n", 0, error.start) + 1) + 1
        message = f"got byte 0x{data[error.start]:02X}, which is not UTF-8: save the file as UTF-8"
        raise refuse(message, line, column) from None


def _control_message(match: re.Match[str]) -> str:
    return f"got control character U+{ord(match[0]):04X}, expected text: remove it"


def _wording(error: MarkedYAMLError) -> str:
    """The parser's complaint in house wording."""
    problem = str(error.problem or "").strip()
    if "'\\t'" in problem or "\t" in problem:
        return "got a tab, expected spaces: YAML is indented with spaces"
    if "mapping values are not allowed" in problem:
        return "got a second `:` here, expected one key per line: quote the text or check the indentation"
    if "cannot start any token" in problem:
        return f"not valid YAML: {problem}; quote the text"
    if "stream end" in problem or "end of stream" in problem:
        return "got the end of the file, expected a closing bracket or quote"
    return f"not valid YAML: {problem}"


@dataclass
class _Block:
    """A mapping or sequence under construction."""

    at: Place
    is_mapping: bool
    anchor: str | None
    n_values: int = 1
    mapping: dict[str, Node] = field(default_factory=dict)
    items: list[Node] = field(default_factory=list)
    key: str | None = None
    key_at: Place | None = None


class _Reader:
    """Builds the tree from parser events; collects issues that do not hinder reading on."""

    def __init__(self, file: str, path: Path) -> None:
        self.file, self.path = file, path
        self.issues: list[Issue] = []
        self.anchors: dict[str, tuple[Node, int]] = {}
        self.n_events = 0

    def document(self, events: Iterator[Any]) -> Node | None:
        """Tree of the only document."""
        root: Node | None = None
        stack: list[_Block] = []
        n_documents = 0
        for event in events:
            kind = type(event).__name__
            self.n_events += 1
            at = self._place(event, stack)
            if kind == "DocumentStartEvent":
                n_documents += 1
                if n_documents > 1:
                    self._stop(at, "got a second YAML document, expected one per file; use several -f files")
            elif kind in ("MappingStartEvent", "SequenceStartEvent"):
                self._open(event, kind == "MappingStartEvent", at, stack)
            elif kind in ("MappingEndEvent", "SequenceEndEvent"):
                root = self._close(stack)
            elif kind in ("ScalarEvent", "AliasEvent"):
                node, n_values = self._scalar(event, at) if kind == "ScalarEvent" else self._alias(event, at)
                root = self._add(node, n_values, stack)
            if self.n_events > MAX_VALUES:
                self._stop(at, f"got more than {MAX_VALUES} keys and values, expected a smaller file")
        return root

    def _open(self, event: Any, is_mapping: bool, at: Place, stack: list[_Block]) -> None:
        self._refuse_tag(event, at)
        if len(stack) >= MAX_DEPTH:
            self._stop(at, f"got blocks nested more than {MAX_DEPTH} deep, expected a flatter file")
        if stack and stack[-1].is_mapping and stack[-1].key is None:
            self._stop(at, "got a block or list as a key, expected a name")
        stack.append(_Block(at, is_mapping, event.anchor))

    def _close(self, stack: list[_Block]) -> Node:
        block = stack.pop()
        node = Node(block.mapping if block.is_mapping else tuple(block.items), block.at)
        if block.anchor:
            self.anchors[block.anchor] = (node, block.n_values)
        return self._add(node, block.n_values, stack)

    def _scalar(self, event: Any, at: Place) -> tuple[Node, int]:
        self._refuse_tag(event, at)
        value: Scalar = event.value
        if match := _CONTROL.search(event.value):  # written as an escape; a terminal would obey it
            self._stop(at, _control_message(match))
        if event.style is None:
            try:
                value = scalar(event.value)
            except ValueError as error:
                self.issues.append(at.issue(str(error)))
                value = 1  # told already; a stand-in that few fields refuse
        node = Node(value, at)
        if event.anchor:
            self.anchors[event.anchor] = (node, 1)
        return node, 1

    def _alias(self, event: Any, at: Place) -> tuple[Node, int]:
        if event.anchor not in self.anchors:
            self._stop(
                at, f"got alias *{event.anchor[:60]}, expected one whose anchor &{event.anchor[:60]} stands before it"
            )
        node, n_values = self.anchors[event.anchor]
        return replace(node, at=at), n_values

    def _add(self, node: Node, n_values: int, stack: list[_Block]) -> Node:
        """Put a finished node where it belongs; the node itself if it is the root."""
        if not stack:
            return node
        block = stack[-1]
        block.n_values += n_values
        if block.n_values > MAX_VALUES:
            self._stop(
                node.at, f"got aliases that stand for more than {MAX_VALUES} values, expected fewer: write it out"
            )
        if not block.is_mapping:
            block.items.append(node)
        elif block.key is None:
            block.key, block.key_at = self._key(node, block), replace(node.at, path=(*block.at.path, str(node.value)))
        else:
            block.mapping[block.key] = replace(node, key_at=block.key_at)
            block.key = None
        return node

    def _key(self, node: Node, block: _Block) -> str:
        key = node.value
        if not isinstance(key, str):
            self.issues.append(node.at.issue(f"got {describe(key)} as a key, expected a name: quote it if it is one"))
            return str(key)
        if key in block.mapping:
            first = block.mapping[key].name_at
            self.issues.append(
                replace(node.at, path=(*block.at.path, key)).issue(
                    f"got the key {key[:60]} twice, expected it once; it stands already in line {first.line}"
                )
            )
        return key

    def _place(self, event: Any, stack: list[_Block]) -> Place:
        path = self.path
        if stack:
            block = stack[-1]
            step: Path = (
                ()
                if block.is_mapping and block.key is None
                else (block.key if block.is_mapping and block.key is not None else len(block.items),)
            )
            path = block.at.path + step
        return Place(self.file, event.start_mark.line + 1, event.start_mark.column + 1, path)

    def _refuse_tag(self, event: Any, at: Place) -> None:
        if event.ctag is not None:
            self.issues.append(at.issue(f"got the tag {str(event.ctag)[:60]}, expected no tags: write the plain value"))

    def _stop(self, at: Place, message: str) -> None:
        raise ScenarioError([*self.issues, at.issue(message)])
