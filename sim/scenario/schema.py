"""What the user writes: one frozen model per block of the scenario file.

Every field holds an internal unit (seconds, MiB, requests per second, currency per hour, shares in
[0, 1]); the annotated types of `quantities` parse what the user typed. Every docstring here is shown by
editors as hover text (`regionfall schema`). Nothing in this module knows YAML, files or the engine.
"""

from datetime import datetime
from typing import Annotated, Literal

from pydantic import Field

from sim.scenario.defences import Autoscale, Cold, Probe, Throttle
from sim.scenario.hazards import CommonCause, Deployments, Effect, Fault, Repair
from sim.scenario.promises import AvailabilityObjective, Costs, Objectives, Precision, RecoveryObjective, Sla
from sim.scenario.quantities import Currency, Moment, Name, PositiveDuration, Share
from sim.scenario.response import (
    Action,
    BurnRate,
    Detect,
    Detection,
    Failback,
    Failover,
    FailoverField,
    FailoverSuccess,
    Monitor,
    Operations,
    Provider,
    ScriptedAction,
    ScriptedStep,
    Step,
)
from sim.scenario.spec import (
    EmpiricalLaw,
    ExponentialLaw,
    GammaLaw,
    LawSpec,
    LognormalLaw,
    Spec,
    StepTime,
    TimeToFailure,
    WeibullLaw,
)
from sim.scenario.system import Breaker, Calendar, Call, CrashLoop, Nodes, PodMemory, Population, Region, Service

__all__ = [
    "Action",
    "Architecture",
    "Autoscale",
    "AvailabilityObjective",
    "Breaker",
    "BurnRate",
    "Calendar",
    "Call",
    "Cold",
    "CommonCause",
    "Costs",
    "CrashLoop",
    "Deployments",
    "Detect",
    "Detection",
    "Effect",
    "EmpiricalLaw",
    "ExperimentFile",
    "ExponentialLaw",
    "Failback",
    "Failover",
    "FailoverField",
    "FailoverSuccess",
    "Fault",
    "GammaLaw",
    "LawSpec",
    "LognormalLaw",
    "Model",
    "Monitor",
    "Nodes",
    "Objectives",
    "Operations",
    "Placement",
    "PodMemory",
    "Population",
    "Precision",
    "Probe",
    "Provider",
    "RecoveryObjective",
    "Region",
    "Repair",
    "Scenario",
    "ScriptedAction",
    "ScriptedStep",
    "Service",
    "Sla",
    "Spec",
    "Step",
    "StepTime",
    "Throttle",
    "TimeToFailure",
    "WeibullLaw",
    "moment_s",
]

Placement = dict[Name, dict[Name, Annotated[int, Field(ge=0, le=10_000)]]]
"""Pods by region and service."""


class Model(Spec):
    """How the data plane computes; the defaults fit real systems."""

    queues: Literal["stationary", "fluid"] = "stationary"
    """`stationary`: mean queue of M/M/c/K at the current load; `fluid`: no queue below saturation."""
    oom: Literal["fluctuation", "mean"] = "fluctuation"
    """OOM when the fluctuating, or when the mean memory reaches the limit."""
    tolerance: Annotated[float, Field(gt=0, le=1000)] = 10.0
    """Integration tolerance in units of 2e-3; 10 is several times below the model's own error."""
    noise: Literal["auto", "always", "never"] = "auto"
    """Simulate single requests instead of mean rates: `auto` in windows in which chance decides, that is when a pod
    that callers retry against, or whose full queue does not fit its memory, is busier than `noise_above`; `always`;
    `never`."""
    noise_above: Annotated[Share, Field(gt=0)] = 0.9
    """Busy share of the hottest pod at which `auto` starts."""
    noise_requests: Annotated[int, Field(ge=0, le=10_000_000_000)] = 1_000_000
    """Most attempts and calls simulated one by one in a trial of `auto`; beyond it mean rates are used, and said so."""
    quiet: Literal["skip", "simulate"] = "skip"
    """Time in which the system is at rest follows a course that is computed once for all trials (`skip`), or is
    integrated in every trial again (`simulate`). Both give the same answers; `skip` is many times faster."""


class Scenario(Spec):
    """One architecture, resolved: everything the engine needs to run trials of it."""

    name: Annotated[str, Field(max_length=200)]
    """What this is about."""
    start: Moment
    """Begin of the horizon, UTC unless an offset is given."""
    horizon: PositiveDuration
    """Length of a trial, e.g. 1y (365 days) or 28h."""
    currency: Currency = "EUR"
    """Three letters; money quantities name the same one."""
    seed: Annotated[int, Field(ge=0, lt=2**63)] = 0
    """Root of all random numbers."""
    trials: Annotated[int, Field(ge=1, le=10_000_000)] = 1000
    """Trials per architecture; with `precision` the first look at the intervals."""
    precision: Precision | None = None
    """Go on until intervals are as narrow as this, instead of a fixed number of trials."""
    max_trials: Annotated[int, Field(ge=1, le=10_000_000)] = 100_000
    """With `precision`: stop here at the latest."""
    regions: Annotated[dict[Name, Region], Field(min_length=1)]
    """Regions by name, such as {sweden-central: {nodes: {count: 12, memory: 64Gi}}}."""
    services: Annotated[dict[Name, Service], Field(min_length=1)]
    """Services by name, such as {gateway: {work: 40ms, slots: 200}}."""
    populations: dict[Name, Population] = Field(default_factory=dict)
    """Who uses it, by name. Without any, only failures and repairs are simulated."""
    faults: dict[Name, Fault] = Field(default_factory=dict)
    """What goes wrong by itself, by name."""
    operations: Operations | None = None
    """Without it nobody acts; faults end by their repair law only."""
    objectives: Objectives = Objectives()
    """What was promised."""
    costs: Costs = Costs()
    """Prices of infrastructure."""
    model: Model = Model()
    """How the data plane computes."""
    place: Placement
    """Pods by region and service, such as {sweden-central: {gateway: 4}}."""
    failover: FailoverField = Failover()
    """What moves the load when a region is sick: `none`, or a block such as {policy: active-passive}."""


SweepValues = Annotated[tuple[object, ...], Field(min_length=1, max_length=100)]


class Architecture(Spec):
    """One design that is compared: what it has of its own."""

    like: Name | None = None
    """Start from this architecture."""
    place: Placement | None = None
    failover: FailoverField | None = None
    set: dict[str, object] = Field(default_factory=dict)
    """Changes of the scenario by dotted path, e.g. {services.irm.queue: 20}."""


class ExperimentFile(Scenario):
    """An experiment: one scenario and the architectures that are compared in it."""

    place: Placement = Field(default_factory=dict)
    """Pods by region and service; of every architecture that has no `place` of its own."""
    architectures: dict[Name, Architecture] = Field(default_factory=dict)
    """The designs that are compared. Without it, `place` and `failover` make the only one, `default`."""
    sweep: dict[str, SweepValues] = Field(default_factory=dict)
    """Values to try by dotted path, e.g. {services.irm.queue: [10, 20, 40]}: every combination is run."""


def moment_s(moment: datetime, start: datetime) -> float:
    """Seconds from `start` to `moment` (negative if earlier)."""
    return (moment - start).total_seconds()
