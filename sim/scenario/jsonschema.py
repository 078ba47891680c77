"""JSON Schema of the scenario file, for completion and hover text in editors."""

from typing import Any, Final

from pydantic import BaseModel

from sim.scenario import reliability, schema
from sim.scenario.fields import field_name

DIALECT: Final = "https://json-schema.org/draft/2020-12/schema"


def scenario_schema() -> dict[str, Any]:
    """JSON Schema (draft 2020-12) of a whole scenario file, with descriptions, examples and defaults.

    Notes
    -----
    It says what an editor can say. What takes two blocks to tell (names that must exist, pods that must fit) is told
    by `regionfall validate`.
    """
    whole = schema.ExperimentFile.model_json_schema(by_alias=True, mode="validation")
    elements = reliability.ReliabilityFile.model_json_schema(by_alias=True, mode="validation")
    own = {key: part for key, part in elements["properties"].items() if key not in whole["properties"]}
    _tidy(whole)
    _tidy(elements)
    blocks = {**elements["$defs"], **whole["$defs"]}
    for name, block in blocks.items():
        _write_defaults(block, getattr(schema, name, None) or getattr(reliability, name))
    _write_defaults(elements, reliability.ReliabilityFile)
    _write_defaults(whole, schema.ExperimentFile)
    whole["$defs"] = blocks
    whole["properties"] |= own
    # One kind of file or the other; the models say the rest, by names.
    needed = {key: list(kind["required"]) for key, kind in (("traffic", whole), ("elements", elements))}
    whole["required"] = [key for key in needed["traffic"] if key in needed["elements"]]
    whole["if"] = {"required": ["elements"]}
    whole["then"] = {"required": [key for key in needed["elements"] if key not in whole["required"]]}
    whole["else"] = {"required": [key for key in needed["traffic"] if key not in whole["required"]]}
    return {"$schema": DIALECT, **whole, "title": "Regionfall scenario"}


def _write_defaults(block: dict[str, Any], model: type[BaseModel]) -> None:
    """Defaults as a user writes them, `10s` for 10.0."""
    names = {name: field_name(name, info) for name, info in model.model_fields.items() if not info.is_required()}
    given = {name: model.model_fields[name].get_default(call_default_factory=True, validated_data={}) for name in names}
    written = model.model_construct(**given).model_dump(mode="json", by_alias=True, include=set(names), warnings=False)
    for key in names.values():
        described = block["properties"][key]
        described.pop("default", None)
        if written.get(key) not in (None, {}, []) and not isinstance(written[key], dict):
            described["default"] = written[key]


def _tidy(part: Any) -> None:
    """Drop generated titles, and let keys that are no names be errors."""
    if isinstance(part, list):
        for item in part:
            _tidy(item)
    if not isinstance(part, dict):
        return
    if isinstance(part.get("title"), str):
        del part["title"]
    if "patternProperties" in part:
        part["additionalProperties"] = False
    for item in part.values():
        _tidy(item)
