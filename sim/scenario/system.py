"""What is built and who uses it: regions, services and populations, one frozen model per block."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from sim.errors import did_you_mean, listed
from sim.scenario.defences import Autoscale, Cold, Probe, Throttle
from sim.scenario.quantities import (
    Duration,
    Growth,
    Memory,
    MemoryRate,
    MoneyPerHour,
    Name,
    PositiveDuration,
    PositiveMemory,
    Rate,
    Share,
)
from sim.scenario.spec import LawSpec, Spec, StepTime
from sim.units import describe


class Nodes(Spec):
    """The machines of one region."""

    count: Annotated[int, Field(ge=1, le=10_000)]
    """Nodes at the start, spread evenly over the zones."""
    memory: PositiveMemory
    """Memory of one node; pods are packed by their memory limits."""
    provision: StepTime | None = None
    """Time to get one more node. Without it no node can be added."""
    quota: Annotated[int, Field(ge=1, le=10_000)] | None = None
    """Most nodes that the region may have. Default: no bound."""
    eviction: Duration = 300.0
    """How long a node must be lost before its pods are started on other nodes. Default 5m (Kubernetes)."""


class Region(Spec):
    """One region of a cloud provider."""

    zones: Annotated[int, Field(ge=1, le=16)] = 3
    """Number of availability zones."""
    nodes: Nodes


class PodMemory(Spec):
    """Memory of one pod."""

    base: Memory
    """Used with no request inside."""
    per_request: Memory = 0.0
    """Used by each request inside (waiting or executed)."""
    limit: PositiveMemory
    """At this much the pod is OOM-killed."""
    leak: MemoryRate = 0.0
    """Growth since the pod's start, e.g. 10Mi/h; a restart clears it."""

    @model_validator(mode="after")
    def _base_fits(self) -> Self:
        if self.base >= self.limit:
            raise ValueError("base must be below limit: this pod would be OOM-killed at once")
        return self


class CrashLoop(Spec):
    """Waits before a pod that crashed is started again (CrashLoopBackOff); the defaults are those of Kubernetes.

    Before restart k in a row: `first` for k = 1, then `initial` doubled for each further one, `longest` at most.
    """

    first: Duration = 0.0
    """Wait before the first restart. Default: at once."""
    initial: PositiveDuration = 10.0
    """Wait before the second restart; it doubles from there."""
    longest: PositiveDuration = 300.0
    """No wait is longer."""
    reset: PositiveDuration = 600.0
    """A pod that was ready for so long has its earlier crashes forgotten."""

    @model_validator(mode="after")
    def _longest_is_longest(self) -> Self:
        if max(self.first, self.initial) > self.longest:
            raise ValueError("longest must not be below first or initial, e.g. {initial: 10s, longest: 5m}")
        return self


class Breaker(Spec):
    """Circuit breaker of a call: opens on failures, then lets a trickle through to see whether to close."""

    failures: Annotated[Share, Field(gt=0, le=1)] = 0.5
    """Opens when this share of calls failed, averaged over `window`."""
    window: PositiveDuration = 10.0
    """Averaging time of the failure share."""
    open: PositiveDuration = 30.0
    """How long it stays open before the trickle."""
    trickle: Annotated[Share, Field(gt=0, le=1)] = 0.05
    """Share of calls let through while half-open; 100% is a breaker without half-open state."""


class Call(Spec):
    """How one service calls another."""

    timeout: PositiveDuration
    """The caller gives up waiting after this long."""
    attempts: Annotated[int, Field(ge=1, le=20)] = 1
    """Attempts in all (1: no retry)."""
    backoff: Duration = 0.0
    """Pause between attempts."""
    calls: Annotated[float, Field(gt=0, le=1000)] = 1.0
    """Calls made per request."""
    fast_fail: PositiveDuration = 0.005
    """Time to learn of a rejection or of an open breaker."""
    fallback: Share = 0.0
    """Share of failed calls that the caller can answer without (100%: a soft dependency)."""
    retry_budget: Share | None = None
    """Retries allowed as a share of first calls."""
    breaker: Breaker | None = None
    """Stops calling a service that fails."""
    throttle: Throttle | None = None
    """Adaptive throttling by the caller."""
    hedge_after: PositiveDuration | None = None
    """A second, equal call is sent when there is no answer after this long; the first answer counts."""
    handoff: bool = False
    """The caller is done as soon as the callee has taken the request over; while the callee is full it keeps its slot
    and waits (back-pressure between tiers). Timeout and attempts have no meaning then."""


class Service(Spec):
    """A program that runs as pods and answers requests."""

    work: PositiveDuration
    """Own service time, mean, without the time spent waiting for calls."""
    work_spread: Annotated[float, Field(ge=0, le=10)] = 1.0
    """Coefficient of variation of the own service time: 1 exponential, 0 constant, below 1 gamma, above lognormal."""
    contention: Annotated[float, Field(ge=0, le=100)] = 0.0
    """Own service time grows by this share for each request executed at once in the pod, itself included."""
    slots: Annotated[int, Field(ge=1, le=100_000)]
    """Requests executed at once, per pod."""
    queue: Annotated[int, Field(ge=0, le=1_000_000)] = 0
    """Requests that may wait, per pod; beyond it a request is rejected at once."""
    memory: PodMemory | None = None
    """Without it the pod has no memory limit and is never OOM-killed."""
    order: Literal["fifo", "lifo", "adaptive"] = "fifo"
    """Who is served next: the oldest, the newest, or the newest while the oldest has waited longer than
    `adaptive_above`."""
    adaptive_above: PositiveDuration = 0.1
    """Waiting time of the oldest above which an adaptive queue serves the newest."""
    cancels: bool = False
    """Work stops at once when its caller has given up. Default: the work is done for nobody."""
    deadline_aware: bool = False
    """Requests carry the deadline of their user: one that has passed it is dropped when its turn comes, and calls wait
    no longer than it."""
    startup: StepTime = LawSpec(fixed=0.0)
    """From start to ready."""
    cold: Cold | None = None
    """Slower after each start."""
    liveness: Probe | None = None
    """Pods that fail it are restarted."""
    readiness: Probe | None = None
    """Pods that fail it get no more requests until a probe succeeds."""
    endpoint_lag: Duration = 0.0
    """How long a pod that died still gets its share of the requests, which all fail."""
    autoscale: Autoscale | None = None
    """Horizontal autoscaler."""
    crash_loop: CrashLoop = CrashLoop()
    """Waits before a crashed or OOM-killed pod is started again."""
    calls: dict[Name, Call] = Field(default_factory=dict)
    """Services called for each request, in this order."""
    shed_above: Annotated[int, Field(ge=1)] | None = None
    """Load shedding: most requests in flight over all placed pods of a region; beyond it requests are rejected."""
    patience: PositiveDuration | None = None
    """Mean time a waiting request stays before it leaves the queue. Default: it never leaves."""
    needs: Annotated[int, Field(ge=1)] | None = None
    """k of n: the service of a region is down with fewer ready pods than this."""
    imbalance: Annotated[Share, Field(lt=1)] = 0.08
    """Load of the most loaded pod above the mean (load balancing is never perfect)."""
    load_shares: tuple[Annotated[float, Field(gt=0)], ...] | None = None
    """Relative load of each pod, instead of `imbalance`."""


class Calendar(Spec):
    """A weekly activity profile of one's own: activity (0 to 100%) by hour of local time."""

    hours: dict[
        Literal["mon", "tue", "wed", "thu", "fri", "sat", "sun", "weekday", "weekend", "day"], tuple[Share, ...]
    ]
    """24 shares for each named day; `day` stands for all days, `weekday` and `weekend` for several."""
    smooth: bool = True
    """Join the hourly values by straight lines; false keeps each value for its whole hour."""

    @model_validator(mode="after")
    def _whole_days(self) -> Self:
        for day, shares in self.hours.items():
            if len(shares) != 24:
                raise ValueError(f"got {len(shares)} hours for {day}, expected 24 shares, one for each hour from 0h")
        if not self.hours:
            raise ValueError("got no hours, expected 24 shares for at least one day")
        return self


CALENDARS = ("office-hours", "extended-hours", "always")


def _known_calendar(value: object) -> object:
    if not isinstance(value, dict | Calendar) and value not in CALENDARS:
        raise ValueError(
            f"got {describe(value)}, expected {listed(CALENDARS)}, or hours of one's own"
            f"{did_you_mean(value, CALENDARS)}"
        )
    return value


class Population(Spec):
    """People who work with the service."""

    workers: Annotated[float, Field(gt=0, le=1e10)]
    """Workers who use the service when all are at work."""
    timezone: str = "UTC"
    """IANA name of the time zone, e.g. Europe/Stockholm."""
    calendar: Annotated[
        Literal["office-hours", "extended-hours", "always"] | Calendar, BeforeValidator(_known_calendar)
    ] = "always"
    """Share of the workers active at each hour of the week."""
    holidays: str | None = None
    """Country code (ISO 3166, e.g. SE) whose public holidays count as Sundays."""
    requests: Rate
    """Requests per active worker."""
    growth: Growth = 0.0
    """Growth of the number of workers who use it, per year."""
    journey: Name
    """Entry service of a request."""
    deadline: PositiveDuration
    """An answer after this long is of no use."""
    attempts: Annotated[int, Field(ge=1, le=20)] = 1
    """Attempts in all."""
    backoff: Duration = 1.0
    """Pause before the next attempt."""
    backoff_growth: Annotated[float, Field(ge=1, le=10)] = 1.0
    """Each further pause is this times the one before (2: exponential back-off)."""
    jitter: Literal["none", "full", "exponential"] = "none"
    """Pauses as stated, uniform between 0 and the stated one, or exponential with that mean."""
    retry_share: Share = 1.0
    """Share of failed attempts that are tried again while attempts are left."""
    retry_budget: Share | None = None
    """Retries allowed as a share of first attempts."""
    throttle: Throttle | None = None
    """Adaptive throttling by the clients."""
    home: Name | None = None
    """Region that serves this population in normal times. Default: the first region placed."""
    cost: MoneyPerHour = 0.0
    """What an hour of a worker costs."""
    dependence: Share = 1.0
    """Share of the work that stops without the service."""
    deferrable: Share = 0.0
    """Share of the stopped work that is caught up later."""
    refocus: Duration = 0.0
    """Time lost by each active worker per interruption, beside the outage itself."""
