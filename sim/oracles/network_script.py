"""What happens to a network at stated times: the script that a request-level run plays.

Frozen plain data, named as in the scenario; nothing stochastic.  OOM kills, crash loops, probes, autoscaling and
breakers are not part of a script: the model makes them happen itself.  It must not know the engine.

Notes
-----
A condition belongs to a `cause`: the same cause again replaces what it did before, neutral values end it, and
different causes add up (slowdowns and factors multiply, error shares combine as independent, memory adds).
"""

from __future__ import annotations

from dataclasses import dataclass

__all__ = [
    "Attempts",
    "DemandFactor",
    "EdgeReach",
    "Happening",
    "PodBounds",
    "PodCondition",
    "PodLimit",
    "PodMemoryUse",
    "PodStarts",
    "PodStops",
    "PoolReach",
    "ProviderState",
    "Routing",
    "Script",
]


@dataclass(frozen=True, slots=True)
class PodStops:
    """A pod dies with all requests inside.

    Parameters
    ----------
    at_s : float
        When, s since the scenario's start.
    pod : str
        Its name, `region/service/number` (numbers from 1).
    cause : str
        Why; a pod that several causes hold down starts when the last one has let go.
    restarts : bool
        True: it is restarted at once like after a crash (CrashLoopBackOff and startup follow). False: it stays down
        until a `PodStarts` of the same cause.
    """

    at_s: float
    pod: str
    cause: str = ""
    restarts: bool = False


@dataclass(frozen=True, slots=True)
class PodStarts:
    """A pod is started: one that was held down by `cause`, or one more than those placed.

    `startup` False: it is ready at once, else the service's startup time is drawn and passes first.
    """

    at_s: float
    pod: str
    cause: str = ""
    startup: bool = True


@dataclass(frozen=True, slots=True)
class PodCondition:
    """Work started by a pod takes `slow` (> 0) times as long, and a share `errors` [0, 1] of its answers are errors."""

    at_s: float
    pod: str
    cause: str = ""
    slow: float = 1.0
    errors: float = 0.0


@dataclass(frozen=True, slots=True)
class PodMemoryUse:
    """A cause takes memory of a pod.

    Parameters
    ----------
    at_s, pod, cause
        As of `PodCondition`.
    extra_mib : float
        Used from now on; a restart does not clear it.
    growth_mib_per_s : float
        Grows from now on; a restart does not clear it.
    leak_mib_per_s : float
        Grows with the age of the pod; a restart clears what has leaked.
    factor : float
        Times memory per request, > 0.
    """

    at_s: float
    pod: str
    cause: str = ""
    extra_mib: float = 0.0
    growth_mib_per_s: float = 0.0
    leak_mib_per_s: float = 0.0
    factor: float = 1.0


@dataclass(frozen=True, slots=True)
class PodLimit:
    """The memory limit of a pod is another one (MiB) from now on."""

    at_s: float
    pod: str
    limit_mib: float


@dataclass(frozen=True, slots=True)
class PodBounds:
    """A pod has other slots (>= 1) and another queue bound (>= 0); whoever is inside stays."""

    at_s: float
    pod: str
    slots: int
    queue: int


@dataclass(frozen=True, slots=True)
class PoolReach:
    """Whether users reach a pool; what they send to one that is cut off is never answered."""

    at_s: float
    region: str
    service: str
    reachable: bool


@dataclass(frozen=True, slots=True)
class EdgeReach:
    """Whether the calls of a caller (in `region`) to a service arrive."""

    at_s: float
    region: str
    caller: str
    callee: str
    reachable: bool


@dataclass(frozen=True, slots=True)
class Attempts:
    """Attempts (>= 1) of a population, or of the calls from `caller` (in `region`) to `callee`, from now on."""

    at_s: float
    attempts: int
    population: str | None = None
    region: str | None = None
    caller: str | None = None
    callee: str | None = None


@dataclass(frozen=True, slots=True)
class DemandFactor:
    """Requests of a population times `factor` (>= 0)."""

    at_s: float
    population: str
    factor: float
    cause: str = ""


@dataclass(frozen=True, slots=True)
class ProviderState:
    """Share of the answers accepted by the fallback provider that are usable [0, 1], and attempts/s it accepts."""

    at_s: float
    population: str
    ok_share: float
    quota_per_s: float


@dataclass(frozen=True, slots=True)
class Routing:
    """Where the clients of a population are sent from now on: (region, share) pairs; shares add up to 1.

    The fallback provider is the region named `provider`. Clients follow exponentially with the time constant of
    `failover.ttl`.
    """

    at_s: float
    population: str
    shares: tuple[tuple[str, float], ...]


Happening = (
    PodStops
    | PodStarts
    | PodCondition
    | PodMemoryUse
    | PodLimit
    | PodBounds
    | PoolReach
    | EdgeReach
    | Attempts
    | DemandFactor
    | ProviderState
    | Routing
)


@dataclass(frozen=True, slots=True)
class Script:
    """Happenings in any order; those at the same time happen in the order given."""

    happenings: tuple[Happening, ...] = ()

    def in_order(self) -> list[Happening]:
        """By time; equal times keep their order."""
        return sorted(self.happenings, key=lambda happening: happening.at_s)
