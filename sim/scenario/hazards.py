"""What goes wrong by itself: faults, their effects and how they end."""

from datetime import datetime
from typing import Annotated, Self

from pydantic import BeforeValidator, Field, model_validator

from sim.errors import did_you_mean
from sim.scenario.quantities import (
    DURATION_SCHEMA,
    MOMENT_SCHEMA,
    AlsoPlain,
    Duration,
    Memory,
    MemoryRate,
    Moment,
    PositiveDuration,
    Share,
)
from sim.scenario.spec import LawSpec, Spec, StepTime, TimeToFailure
from sim.units import describe


class Effect(Spec):
    """What a fault does to its target; several effects may go together."""

    down: bool = False
    """The target is down."""
    slow: Annotated[float, Field(gt=0, le=1e6)] | None = None
    """Own service time times this."""
    errors: Share | None = None
    """Share of requests that fail at once."""
    memory: Memory | None = None
    """More memory in use per pod, at once."""
    memory_factor: Annotated[float, Field(gt=0, le=1000)] | None = None
    """Memory per request times this."""
    memory_growth: Memory | None = None
    """The working set of each pod grows by this much (a restart does not clear it) ..."""
    over: PositiveDuration | None = None
    """... evenly over this long."""
    leak: MemoryRate | None = None
    """Pods leak from their start on (a restart clears what has leaked, not the leak)."""
    capacity: Share | None = None
    """Share of the pods that is lost."""
    partition: bool = False
    """The region cannot be reached from outside; it keeps running."""
    demand: Annotated[float, Field(ge=0, le=1e4)] | None = None
    """Requests of the population times this."""

    @model_validator(mode="after")
    def _something(self) -> Self:
        if not any(value is not None and value is not False for value in self.__dict__.values()):
            raise ValueError("an effect must do something, e.g. down or {slow: 4}")
        if (self.memory_growth is None) != (self.over is None):
            raise ValueError("memory_growth and over go together, e.g. {memory_growth: 1200Mi, over: 12h}")
        return self


_PLAIN_EFFECTS = ("down", "partition")


def _effect_from_plain(value: object) -> object:
    if not isinstance(value, str):
        return value
    if value not in _PLAIN_EFFECTS:
        raise ValueError(
            f"got {describe(value)}, expected down, partition or a block such as {{slow: 4}}"
            f"{did_you_mean(value, _PLAIN_EFFECTS)}"
        )
    return {value: True}


class CommonCause(Spec):
    """Other elements hit by the same fault: probability for each of them."""

    regions: Share = 0.0
    """Probability that the same target in each other region is hit too."""
    zones: Share = 0.0
    """Probability for each other zone of the region."""
    nodes: Share = 0.0
    """Probability for each other node of the region."""
    pods: Share = 0.0
    """Probability for each other pod of the same service and region."""


class Deployments(Spec):
    """When a service is deployed."""

    every: PositiveDuration
    """Time between deployments."""
    first: Duration | None = None
    """First deployment after the start. Default: one interval."""


class Repair(Spec):
    """How a fault ends: exactly one of the keys."""

    law: StepTime | None = None
    restart: bool = False
    """The pod restarts at once (its startup time, and CrashLoopBackOff, follow)."""
    until_fixed: bool = False
    """It stays until an operator's step that helps against it is done."""

    @model_validator(mode="after")
    def _exactly_one(self) -> Self:
        if (self.law is not None) + self.restart + self.until_fixed != 1:
            raise ValueError("a repair is exactly one of: restart, until fixed, a law")
        return self


def _repair_from_plain(value: object) -> object:
    if isinstance(value, str):
        if value in _PLAIN_REPAIRS:
            return {_PLAIN_REPAIRS[value]: True}
        if not value[:1].isdigit():
            raise ValueError(
                f"got {describe(value)}, expected restart, until fixed, a duration or a law such as "
                f"{{lognormal: {{median: 20m, p95: 4h}}}}{did_you_mean(value, _PLAIN_REPAIRS)}"
            )
    if isinstance(value, str | int | float) or (isinstance(value, dict) and not set(value) & set(Repair.model_fields)):
        return {"law": value}
    return value


_PLAIN_REPAIRS = {"restart": "restart", "until fixed": "until_fixed"}


def _moments_from_plain(value: object) -> object:
    return (value,) if isinstance(value, str | datetime) else value


class Fault(Spec):
    """Something that goes wrong by itself."""

    target: str
    """What it hits. `any X`: each X on its own; `all Xs`: all of them at once. any|all pod|node|zone [in REGION],
    any pod of SERVICE [in REGION], any region, REGION, zone N of REGION (from 1), any service [in REGION],
    SERVICE in any region (or just SERVICE), SERVICE in REGION, SERVICE in all regions, provider, population NAME."""
    every: TimeToFailure | None = None
    """Time to failure of each element that the target names."""
    at: Annotated[tuple[Moment, ...], BeforeValidator(_moments_from_plain), AlsoPlain(MOMENT_SCHEMA)] = ()
    """Scheduled starts instead of a law: one time or a list."""
    per_deployment: Share | None = None
    """Probability that a deployment brings it."""
    deployments: Deployments | None = None
    effect: Annotated[Effect, BeforeValidator(_effect_from_plain), AlsoPlain({"enum": list(_PLAIN_EFFECTS)})]
    """`down`, `partition`, or a block such as {slow: 4} or {errors: 60%}."""
    repair: Annotated[
        Repair,
        BeforeValidator(_repair_from_plain),
        AlsoPlain({"enum": list(_PLAIN_REPAIRS)}, DURATION_SCHEMA, LawSpec),
    ]
    """`restart`, `until fixed` or a law."""
    common_cause: CommonCause | None = None
    """Other elements hit at the same time."""
    only: tuple[str, ...] = ()
    """Of the elements that the target names only these fail by themselves, by the names that a replay shows, such as
    north/zone-1, north/node-2, north/web/3."""
    spare: tuple[str, ...] = ()
    """Elements that it never hits, by name; `2@north/web/3` spares an element its second strike only. What-if studies
    use it: the same random history without one fault."""

    @model_validator(mode="after")
    def _one_cause(self) -> Self:
        causes = {
            "every": self.every is not None,
            "at": bool(self.at),
            "per_deployment": self.per_deployment is not None,
        }
        given = [name for name, is_given in causes.items() if is_given]
        if len(given) != 1:
            raise ValueError(
                f"got {' and '.join(given) or 'no cause'}, expected exactly one of every (a law), at (times) or "
                "per_deployment (a probability)"
            )
        if (self.per_deployment is None) != (self.deployments is None):
            raise ValueError(
                "per_deployment and deployments go together, such as {per_deployment: 1%, deployments: {every: 7d}}"
            )
        return self
