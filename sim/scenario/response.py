"""Who acts when something goes wrong: people with a runbook, and the failover controller."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from sim.scenario.quantities import (
    AlsoPlain,
    CountChange,
    Duration,
    Moment,
    MoneyPerRequest,
    Name,
    PerPod,
    PositiveDuration,
    PositiveMemory,
    Share,
)
from sim.scenario.spec import LawSpec, Spec, StepTime


class Monitor(Spec):
    """An alert on what users get."""

    signal: Literal["success"] = "success"
    """Share of first attempts that end usable."""
    below: Share = 0.95
    """Fires when the signal is below this ..."""
    for_: Annotated[Duration, Field(alias="for")] = 300.0
    """... for this long."""


class BurnRate(Spec):
    """An alert on how fast the error budget burns: 14.4 over 1h spends 2 % of a month's budget within the hour."""

    burn: Annotated[float, Field(gt=0)]
    """Pages when the error budget burns this many times faster than the objective allows, over both windows. Must be
    below 1 / (1 - target), at which all requests are lost."""
    over: PositiveDuration
    """The long window."""
    short: PositiveDuration | None = None
    """The short window, which ends the alert soon after the errors end. Default: a twelfth of the long one."""
    every: PositiveDuration = 60.0
    """Time between two evaluations."""

    @property
    def short_s(self) -> float:
        """The short window, s."""
        return self.over / 12.0 if self.short is None else self.short

    @model_validator(mode="after")
    def _shorter(self) -> Self:
        if self.short_s > self.over:
            raise ValueError("the short window is longer than `over`")
        return self


class Detection(Spec):
    """How an outage is noticed: whichever comes first."""

    monitor: Monitor | None = None
    burn_rate: dict[Name, BurnRate] = Field(default_factory=dict)
    """Alerts on the burn rate of the error budget (1 - objectives.availability.target)."""
    users: LawSpec | None = None
    """Time until reports of users reach the people on call."""

    @model_validator(mode="after")
    def _some_way(self) -> Self:
        if self.monitor is None and self.users is None and not self.burn_rate:
            raise ValueError("detection needs a monitor, a burn_rate or users, else nobody ever notices")
        return self


Action = Literal["restart", "rollback", "scale_out", "raise_memory", "failover", "shed", "disable_retries", "fix"]


ScriptedAction = Literal[
    "restart", "rollback", "scale_out", "raise_memory", "failover", "shed", "disable_retries", "fix", "notice"
]


class Step(Spec):
    """One step of the runbook."""

    action: Action | None = None
    """Default: the step's name, if that is an action. `disable_retries` stops the retries of calls between services;
    users' clients are not the operators' and go on as before."""
    takes: StepTime | None = None
    """How long the step takes. Default: at once (raise_memory: its roll)."""
    helps_against: tuple[Name, ...] = ()
    """Faults that end when this step is done."""
    makes_worse: tuple[Name, ...] = ()
    """Faults against which this step is never taken knowingly."""
    service: Name | None = None
    """Service acted on. Default: the one that fails and whose dependencies do not."""
    pods: CountChange | None = None
    """scale_out: pods added, e.g. +4."""
    limit: PositiveMemory | None = None
    """raise_memory: the new limit of each pod."""
    roll: PerPod | None = None
    """Time per pod of a rolling change, e.g. 140s per pod. Default: all pods at once."""
    to: Name | None = None
    """failover: region to move the load to. Default: the one with the most ready capacity."""
    in_flight: Annotated[int, Field(ge=1)] | None = None
    """shed: most requests in flight over all pods of the service in a region."""


class ScriptedStep(Step):
    """A step at a stated time (the replay of a real incident)."""

    at: Moment
    """When it begins."""
    action: ScriptedAction | None = None  # type: ignore[assignment]  # a script knows one action more
    """`notice`: the outage is detected. Default: the step's name, if that is an action."""
    region: Name | None = None
    """Region acted on. Default: every region."""


class Operations(Spec):
    """The people on call."""

    detection: Detection = Detection(monitor=Monitor())
    acknowledge: StepTime | None = None
    """From detection until somebody works on it."""
    diagnose: StepTime | None = None
    """From then until the first remedy is chosen; after each step people watch for `reassess` instead."""
    crew: Annotated[int, Field(ge=1, le=1000)] = 1
    """Incidents worked on at once; further ones wait."""
    runbook: dict[Name, Step] = Field(default_factory=dict)
    """Steps the people know, in the order they try them when nothing better is known."""
    first_action_wrong: Share = 0.0
    """Probability that the first step taken does not help."""
    reassess: Duration = 300.0
    """Watching after a step before the next one is chosen."""
    script: dict[Name, ScriptedStep] = Field(default_factory=dict)
    """Steps at stated times; with a script nobody acts on his own."""


class Detect(Spec):
    """Health probes of a region by the failover controller."""

    every: PositiveDuration = 10.0
    """Time between probes."""
    failures: Annotated[int, Field(ge=1, le=1000)] = 3
    """Failed probes in a row that count as down."""
    below: Share = 0.5
    """A probe fails when less than this share of requests ends usable there."""


class FailoverSuccess(Spec):
    """Probability that a failover works when it is needed."""

    tested: Share = 1.0
    """Right after a disaster-recovery test."""
    untested_half_life: PositiveDuration | None = None
    """It halves for each such time since the last test."""


class Failback(Spec):
    """Return of the load to its home region."""

    after: PositiveDuration = 1800.0
    """The home region must have been healthy this long."""
    stages: Annotated[int, Field(ge=1, le=100)] = 1
    """The load returns in this many equal parts ..."""
    every: PositiveDuration = 600.0
    """... with this pause between them; it stops when the home region gets sick again."""
    automatic: bool = True
    """False: nobody moves the load back until the horizon."""


class Provider(Spec):
    """Another provider as fallback."""

    quota: Share = 1.0
    """Requests it accepts, as a share of the peak demand of normal times."""
    quality: Share = 1.0
    """Share of the work that its answers still support."""
    latency: Duration = 0.0
    """Mean time of an answer; beyond the users' deadline an answer is of no use."""
    availability: Annotated[Share, Field(gt=0)] = 1.0
    """Own long-run availability."""
    outage_mean: PositiveDuration = 3600.0
    """Mean length of its outages (exponential); with `availability` this gives their rate."""
    price: MoneyPerRequest = 0.0
    """Per request answered."""


class Failover(Spec):
    """What moves the load when a region is sick."""

    policy: Literal["none", "manual", "active-passive", "active-active", "provider"] = "none"
    standby: Literal["hot", "warm", "cold"] = "hot"
    """active-passive: hot pods run; warm nodes run, pods start on failover; cold nodes are provisioned first."""
    detect: Detect = Detect()
    decide: Duration = 0.0
    """From detection to the switch."""
    ttl: Duration = 60.0
    """Time constant with which clients follow the switch (DNS time to live)."""
    ignore_ttl: Annotated[Share, Field(lt=1)] = 0.0
    """Share of clients that never follow."""
    move: Annotated[Share, Field(gt=0)] = 1.0
    """Share of the load that is moved."""
    capacity_check: bool = False
    """Move no more than the target can serve at the moment of the switch."""
    success: FailoverSuccess = FailoverSuccess()
    dr_test_every: PositiveDuration | None = None
    """Time between disaster-recovery tests; the last one was at the start."""
    failback: Failback = Failback()
    provider: Provider | None = None

    @model_validator(mode="after")
    def _provider_given(self) -> Self:
        if self.policy == "provider" and self.provider is None:
            raise ValueError("policy provider needs a provider block, e.g. provider: {quota: 60%, latency: 6s}")
        if self.policy != "provider" and self.provider is not None:
            raise ValueError("a provider block needs policy: provider")
        return self


def _failover_from_plain(value: object) -> object:
    return {"policy": value} if isinstance(value, str) else value


POLICIES = ("none", "manual", "active-passive", "active-active", "provider")


FailoverField = Annotated[Failover, BeforeValidator(_failover_from_plain), AlsoPlain({"enum": list(POLICIES)})]
