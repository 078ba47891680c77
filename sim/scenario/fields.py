"""Which keys the scenario file has where: names for did-you-mean and for dotted paths.

Walks the annotations of the models; knows no values.
"""

import types
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, Union, get_args, get_origin

from pydantic import BaseModel
from pydantic.fields import FieldInfo

from sim.scenario.hazards import Repair
from sim.scenario.reliability import ReliabilityFile
from sim.scenario.schema import ExperimentFile
from sim.scenario.spec import LawSpec
from sim.scenario.tree import Path


@dataclass(frozen=True)
class Keys:
    """What may stand at a path.

    Parameters
    ----------
    fields : mapping of str to FieldInfo
        Keys with a meaning of their own.
    values : annotation, optional
        What stands under names that the user chooses; None if no name may be chosen.
    """

    fields: Mapping[str, FieldInfo]
    values: Any = None

    @property
    def is_leaf(self) -> bool:
        """Whether nothing stands below."""
        return not self.fields and self.values is None


def keys_of(annotation: Any) -> Keys:
    """Keys below a value of this type."""
    fields: dict[str, FieldInfo] = {}
    values = None
    for part in alternatives(annotation):
        if isinstance(part, type) and issubclass(part, BaseModel):
            fields |= {field_name(name, info): info for name, info in part.model_fields.items()}
            if part is Repair:  # a repair is written as its law
                fields |= dict(LawSpec.model_fields)
        elif get_origin(part) is dict:
            values = get_args(part)[1]
        elif get_origin(part) is tuple:
            values = get_args(part)[0]
    return Keys(fields, values)


def keys_at(path: Path, top: type[BaseModel] = ExperimentFile) -> Keys | None:
    """Keys that may stand below `path`; None if the path leads to nothing."""
    keys = keys_of(top)
    if top is ExperimentFile:  # a file of elements has keys of its own beside these
        keys = Keys({**ReliabilityFile.model_fields, **keys.fields})
    for part in path:
        info = keys.fields.get(str(part))
        if info is None and keys.values is None:
            return None
        keys = keys_of(info.annotation if info else keys.values)
    return keys


def field_name(name: str, info: FieldInfo) -> str:
    """The key as users write it."""
    return info.alias or name


def alternatives(annotation: Any) -> Iterator[Any]:
    """The types that a value may have, without None and annotations."""
    origin = get_origin(annotation)
    if origin is Annotated:
        yield from alternatives(get_args(annotation)[0])
    elif origin in (Union, types.UnionType):
        for part in get_args(annotation):
            yield from alternatives(part)
    elif annotation is not type(None):
        yield annotation
