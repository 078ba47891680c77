"""Operations: steps that name what exists and have the fields that their action takes."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Final, get_args

from sim.errors import did_you_mean, listed
from sim.scenario.finding import Finding, unknown_name, warning
from sim.scenario.schema import Action, BurnRate, Scenario, ScriptedAction, ScriptedStep, Step
from sim.scenario.tree import Path
from sim.units import format_duration, format_memory, format_share

_NEEDED: Final = {
    "scale_out": ("service", "pods"),
    "raise_memory": ("service", "limit"),
    "shed": ("service", "in_flight"),
}
_EXAMPLES: Final = {
    "service": "irm",
    "pods": "+4",
    "limit": "4Gi",
    "in_flight": "480",
}
_OWN: Final = {
    "pods": ("scale_out",),
    "limit": ("raise_memory",),
    "in_flight": ("shed",),
    "to": ("failover",),
    "roll": ("raise_memory", "restart", "rollback", "scale_out"),
}
_ROUNDING: Final = 1e-9


def action_of(name: str, step: Step) -> str:
    """The action of a step: its own, or its name."""
    return step.action if step.action is not None else name


def check_operations(scenario: Scenario) -> Iterator[Finding]:
    """Every step of runbook and script."""
    operations = scenario.operations
    if operations is None:
        return
    allowed = 1.0 - scenario.objectives.availability.target
    for name, alert in operations.detection.burn_rate.items():
        yield from _alert(("operations", "detection", "burn_rate", name), alert, allowed, scenario.horizon)
    for name, step in operations.runbook.items():
        yield from _step(("operations", "runbook", name), name, step, scenario)
    for name, scripted in operations.script.items():
        path: Path = ("operations", "script", name)
        yield from _step(path, name, scripted, scenario)
        yield from _scripted(path, scripted, scenario)


def _alert(path: Path, alert: BurnRate, allowed: float, horizon_s: float) -> Iterator[Finding]:
    """An alert that never pages, that looks away between its evaluations, or that remembers more than is simulated."""
    if alert.burn * allowed >= 1.0 - _ROUNDING:
        message = (
            f"got {alert.burn:g}, but with all requests lost the error budget of {format_share(allowed, digits=6)} "
            f"burns {1.0 / allowed:.4g} times too fast: this alert never pages"
        )
        yield warning((*path, "burn"), message)
    if alert.every > alert.short_s:
        message = (
            f"got {format_duration(alert.every)}, longer than the short window of {format_duration(alert.short_s)}: "
            "errors that come and go between two evaluations are never seen; expected at most that window"
        )
        yield warning((*path, "every"), message)
    if alert.over > horizon_s:
        message = (
            f"got {format_duration(alert.over)}, longer than the horizon of {format_duration(horizon_s)}: the window "
            "is never full of what is simulated, the rest counts as a past without errors; this alert cannot be judged "
            "here"
        )
        yield warning((*path, "over"), message)


def _step(path: Path, name: str, step: Step, scenario: Scenario) -> Iterator[Finding]:
    action = action_of(name, step)
    actions = get_args(ScriptedAction if isinstance(step, ScriptedStep) else Action)
    if action not in actions:
        message = (
            f"got the step {name} without an action, expected action: {listed(actions)}{did_you_mean(name, actions)}"
        )
        yield Finding(path, message, about="key")
        return
    for field in _NEEDED.get(action, ()):
        if getattr(step, field) is None:
            message = f"missing, expected {field}: {action} needs {listed(_NEEDED[action]).replace(' or ', ' and ')}"
            yield Finding((*path, field), f"{message}, such as {field}: {_EXAMPLES[field]}")
    for field, owners in _OWN.items():
        if getattr(step, field) is not None and action not in owners:
            message = f"got {field} for {action}, but only {listed(owners)} has it: drop it"
            yield Finding((*path, field), message, about="key")
    yield from _names(path, step, scenario)
    if action == "raise_memory":
        yield from _limit(path, step, scenario)


def _names(path: Path, step: Step, scenario: Scenario) -> Iterator[Finding]:
    """Names of faults, services and regions."""
    for field in ("helps_against", "makes_worse"):
        for index, fault in enumerate(getattr(step, field)):
            if fault not in scenario.faults:
                yield unknown_name((*path, field, index), "fault", scenario.faults, name=fault)
    if step.service is not None and step.service not in scenario.services:
        yield unknown_name((*path, "service"), "service", scenario.services, name=step.service)
    if step.to is not None and step.to not in scenario.regions:
        yield unknown_name((*path, "to"), "region", scenario.regions, name=step.to)


def _limit(path: Path, step: Step, scenario: Scenario) -> Iterator[Finding]:
    """A new memory limit that no pod has use for, or no node has room for."""
    service = scenario.services.get(step.service or "")
    if service is None or step.limit is None:
        return
    if service.memory is None:
        yield Finding((*path, "service"), f"got {step.service}, which has no memory limit to raise: give it memory")
    elif step.limit <= service.memory.limit:
        message = (
            f"got {format_memory(step.limit)}, which is no more than the limit of {format_memory(service.memory.limit)}"
        )
        yield warning((*path, "limit"), message)
    for region, pods in scenario.place.items():
        if pods.get(step.service or "", 0) and region in scenario.regions:
            node_mib = scenario.regions[region].nodes.memory
            if step.limit > node_mib:
                message = f"got {format_memory(step.limit)}, but a node of {region} has {format_memory(node_mib)}"
                yield Finding((*path, "limit"), message)


def _scripted(path: Path, step: ScriptedStep, scenario: Scenario) -> Iterator[Finding]:
    if step.region is not None and step.region not in scenario.regions:
        yield unknown_name((*path, "region"), "region", scenario.regions, name=step.region)
    end = scenario.start + timedelta(seconds=scenario.horizon)
    if not scenario.start <= step.at < end:
        message = (
            f"is outside the horizon, {scenario.start:%Y-%m-%d %H:%M} to {end:%Y-%m-%d %H:%M} UTC: it never happens"
        )
        yield warning((*path, "at"), message)
