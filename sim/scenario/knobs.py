"""The numbers of a resolved scenario that one may turn: found by themselves, changed one at a time.

A knob is a dotted path as `--set` takes it. Laws of time are one knob each, scaled as a whole. Knows nothing of trials.
"""

import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final

from pydantic import BaseModel, ValidationError

from sim.errors import UsageError, did_you_mean, listed
from sim.scenario.check import findings_of
from sim.scenario.document import scenario_document
from sim.scenario.fields import field_name
from sim.scenario.hazards import Repair
from sim.scenario.quantities import FROM_FILE
from sim.scenario.schema import LawSpec, Scenario
from sim.scenario.tree import Path, dotted, split_path

NOT_THE_SYSTEM: Final = frozenset(
    [
        *("name", "start", "horizon", "currency", "seed", "trials", "precision", "max_trials"),
        *("model", "objectives", "costs"),
    ]
)
"""Top-level keys that say what is asked, promised or paid, not how the system is built."""
NOT_TURNED: Final = frozenset(
    [
        *("calendar", "cost", "price", "dependence", "deferrable", "refocus", "workers", "zones", "script"),
        *("every", "at", "per_deployment", "deployments", "repair"),
    ]
)
"""Keys left out wherever they stand under populations, faults, regions, operations and the provider: what an hour is
worth, what others own, and how often faults come and stay, which `sim.study.what_ifs` varies as such."""
_LEFT_OUT_OF: Final = ("populations", "faults", "regions", "operations", "failover")
_KEPT_ANYWHERE: Final = (("failover", "detect", "every"), ("failover", "failback", "every"))


@dataclass(frozen=True, slots=True)
class Knob:
    """One number of a scenario.

    Parameters
    ----------
    path : tuple
        Keys from the top, as users write them.
    value : float, int or LawSpec
        Present value in internal units.
    text : str
        The same as a user would write it.
    """

    path: Path
    value: "float | int | LawSpec"
    text: str

    @property
    def name(self) -> str:
        """Dotted path, as users write it: a repair without the key `law`."""
        parts = [part for i, part in enumerate(self.path) if (part, self.path[i - 1 : i]) != ("law", ("repair",))]
        return dotted(tuple(parts))

    @property
    def is_share(self) -> bool:
        """Whether it lies in [0, 1]."""
        return self.text.endswith("%")


def knobs_of(scenario: Scenario) -> list[Knob]:
    """Return every number of the system that the file states and that is not zero, in the order of the language.

    What is left at its default is not listed (it can be asked for by its path): a hundred numbers that nobody chose
    would bury those that somebody did. A scenario from a stored document states all of them.
    """
    document = scenario_document(scenario)
    return [
        Knob(path, value, text_at(document, path))
        for path, value in _numbers(scenario, ())
        if isinstance(value, LawSpec) or (value != 0 and math.isfinite(value))
    ]


def _numbers(value: Any, path: Path) -> Iterator[tuple[Path, Any]]:
    if _is_left_out(path):
        return
    if isinstance(value, LawSpec) or (isinstance(value, int | float) and not isinstance(value, bool)):
        yield path, value
    elif isinstance(value, BaseModel):
        for name, info in type(value).model_fields.items():
            if name not in value.model_fields_set:
                continue
            yield from _numbers(getattr(value, name), (*path, field_name(name, info)))
    elif isinstance(value, Mapping):
        for name, child in value.items():
            yield from _numbers(child, (*path, name))


def _is_left_out(path: Path) -> bool:
    if not path:
        return False
    if path[0] in NOT_THE_SYSTEM:
        return True
    is_key = len(path) > 2 or path[0] in ("operations", "failover")
    return path[0] in _LEFT_OUT_OF and is_key and path[-1] in NOT_TURNED and path not in _KEPT_ANYWHERE


def knob_at(scenario: Scenario, name: str) -> Knob:
    """Return the knob at a dotted path.

    Raises
    ------
    UsageError
        If there is no number or law.
    """
    try:
        path = _as_stored(scenario, split_path(name))
        value = value_at(scenario, path)
    except (KeyError, ValueError) as error:
        known = [knob.name for knob in knobs_of(scenario)]
        raise UsageError(
            f"{name} is no number of this scenario; there are {listed(known, most=12)}{did_you_mean(name, known)}"
        ) from error
    if not isinstance(value, LawSpec | int | float) or isinstance(value, bool):
        raise UsageError(f"{name} is no number of this scenario; give the whole path of one")
    return Knob(path, value, text_at(scenario_document(scenario), path))


def _as_stored(scenario: Scenario, path: Path) -> Path:
    """The path with the key `law`, which users leave out of a repair."""
    node: Any = scenario
    for depth, part in enumerate(path):
        if isinstance(node, Repair) and part not in Repair.model_fields:
            return (*path[:depth], "law", *path[depth:])
        node = _child(node, part)
    return path


def _child(node: Any, part: str | int) -> Any:
    if isinstance(node, BaseModel):
        return getattr(node, _attribute(node, part))
    if isinstance(node, Mapping):
        return node[part]
    raise KeyError(part)


def _attribute(node: BaseModel, part: str | int) -> str:
    for name, info in type(node).model_fields.items():
        if field_name(name, info) == part:
            return name
    raise KeyError(part)


def value_at(scenario: Scenario, path: Path) -> Any:
    """Return the value at a path in internal units; raises KeyError without one."""
    node: Any = scenario
    for part in path:
        node = _child(node, part)
    if node is None:
        raise KeyError(dotted(path))
    return node


def text_at(document: Mapping[str, Any], path: Path) -> str:
    """Return the value at a path of a scenario's document, as users write it."""
    node: Any = document
    for part in path:
        node = node[part]
    return node if isinstance(node, str) else _short(node)


def _short(node: Any) -> str:
    if isinstance(node, dict):
        given = {key: value for key, value in node.items() if value is not None}
        return ", ".join(f"{key}: {_short(value)}" if isinstance(value, dict) else f"{key} {value}"
                         for key, value in given.items())  # fmt: skip
    return json.dumps(node)


def with_value(scenario: Scenario, path: Path, value: Any) -> Scenario:
    """Return the scenario with another value (internal units) at a path; not checked."""
    changed: Scenario = _with(scenario, path, value)
    return changed


def _with(node: Any, path: Path, value: Any) -> Any:
    if not path:
        return value
    below = _with(_child(node, path[0]), path[1:], value)
    if isinstance(node, BaseModel):
        return node.model_copy(update={_attribute(node, path[0]): below})
    return {**node, path[0]: below}


def with_text(scenario: Scenario, knob: Knob, text: str) -> Scenario:
    """Return the scenario with a value as the user wrote it.

    Raises
    ------
    UsageError
        If it cannot be read, or the scenario does not stand it.
    """
    document = scenario_document(scenario)
    node: Any = document
    for part in knob.path[:-1]:
        node = node[part]
    node[knob.path[-1]] = _scalar(text)
    try:
        changed = Scenario.model_validate(document, context=FROM_FILE)
    except ValidationError as error:
        message = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise UsageError(f"{knob.name}={text}: {message}") from None
    refused = refusal(changed)
    if refused:
        raise UsageError(f"{knob.name}={text}: {refused}")
    return changed


def _scalar(text: str) -> Any:
    try:
        value = json.loads(text)
    except ValueError:
        return text
    return value if isinstance(value, int | float) else text


def refusal(scenario: Scenario) -> str:
    """Return why a changed scenario is not valid, empty if it is: the limits of its fields, then its cross-checks."""
    try:
        checked = Scenario.model_validate(scenario_document(scenario), context=FROM_FILE)
    except ValidationError as error:
        return error.errors()[0]["msg"].removeprefix("Value error, ")
    mistakes = [finding for finding in findings_of(checked) if finding.severity == "error"]
    return f"{dotted(mistakes[0].path)}: {mistakes[0].message}" if mistakes else ""


def stepped(knob: Knob, step: float) -> "tuple[float | int | LawSpec, float | int | LawSpec]":
    """Return the knob's value a step below and above.

    Parameters
    ----------
    knob : Knob
    step : float
        Relative step, in (0, 1): 0.2 is 20 % less and 20 % more.

    Notes
    -----
    Whole numbers are rounded away from the present value, so that they change. Of a share above one half the rest
    to 1 is stepped (99 % becomes 98.8 % and 99.2 %), since 80 % and 119 % would be another world.
    """
    value = knob.value
    if isinstance(value, LawSpec):
        return scaled_law(value, 1.0 - step), scaled_law(value, 1.0 + step)
    if isinstance(value, int):
        return math.floor(value * (1.0 - step)), math.ceil(value * (1.0 + step))
    if knob.is_share and value > 0.5:
        low, high = 1.0 - (1.0 - value) * (1.0 + step), 1.0 - (1.0 - value) * (1.0 - step)
    else:
        low, high = value * (1.0 - step), value * (1.0 + step)
    return low, min(high, 1.0) if knob.is_share else high


_SCALED: Final = ("mean", "median", "p95")


def scaled_law(law: LawSpec, factor: float) -> LawSpec:
    """Return the law of a time `factor` times as long: every quantile is multiplied, the shape is kept."""
    if law.fixed is not None:
        return law.model_copy(update={"fixed": law.fixed * factor})
    if law.empirical is not None:
        values = law.empirical.values_s
        scaled = None if values is None else tuple(value * factor for value in values)
        return law.model_copy(update={"empirical": law.empirical.model_copy(update={"values_s": scaled})})
    for name in ("exponential", "lognormal", "weibull", "gamma"):
        given = getattr(law, name)
        if given is not None:
            times = {key: t * factor for key in _SCALED if (t := getattr(given, key, None)) is not None}
            return law.model_copy(update={name: given.model_copy(update=times)})
    raise AssertionError(f"a law without a kind: {law!r}")
