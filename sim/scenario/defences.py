"""What pods, servers and clients do by themselves when load rises: probes, autoscaling, warm-up, throttling."""

from typing import Annotated, Self

from pydantic import Field, model_validator

from sim.scenario.quantities import Duration, PositiveDuration, Share
from sim.scenario.spec import Spec


class Probe(Spec):
    """A health probe of each pod. It needs a free slot like a request, so that it times out under load as well."""

    every: PositiveDuration = 10.0
    """Time between probes."""
    timeout: PositiveDuration = 1.0
    """A probe fails when no slot took it up within this time, or when the queue was full."""
    failures: Annotated[int, Field(ge=1, le=1000)] = 3
    """Failed probes in a row after which the pod is restarted (liveness) or gets no more requests (readiness)."""
    delay: Duration = 0.0
    """Time from ready to the first probe."""


class Cold(Spec):
    """Caches that are empty after a start."""

    slow: Annotated[float, Field(ge=1, le=1000)]
    """Own service time times this ..."""
    for_: Annotated[PositiveDuration, Field(alias="for")]
    """... for so long after the pod got ready."""


class Autoscale(Spec):
    """Horizontal autoscaler: pods follow the share of busy slots (the rule of Kubernetes).

    Pods wanted = pods * busy share / target, rounded up; nothing happens within the tolerance.
    """

    least: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Fewest pods in a region. Default: those placed."""
    most: Annotated[int, Field(ge=1, le=10_000)]
    """Most pods in a region."""
    target: Annotated[Share, Field(gt=0)] = 0.6
    """Busy slots as a share of all slots of the ready pods, mean."""
    tolerance: Share = 0.1
    """No change while busy share / target is within 1 -+ this."""
    every: PositiveDuration = 15.0
    """Time between decisions."""
    up_after: Duration = 0.0
    """Adds no more pods than every decision of this long asked for (stabilisation window)."""
    down_after: Duration = 300.0
    """Removes no more pods than every decision of this long asked for (stabilisation window)."""

    @model_validator(mode="after")
    def _room_between(self) -> Self:
        if self.least is not None and self.least > self.most:
            raise ValueError("least must not be above most, e.g. {least: 2, most: 12}")
        return self


class Throttle(Spec):
    """Client-side adaptive throttling: p = max(0, (requests - ratio * accepts) / (requests + 1)) are not even sent.

    Notes
    -----
    B. Beyer et al., Site Reliability Engineering (2016), chapter "Handling Overload".
    """

    ratio: Annotated[float, Field(ge=1, le=100)] = 2.0
    """Requests allowed per accepted one."""
    window: PositiveDuration = 120.0
    """Time over which both are counted (exponentially weighted)."""
