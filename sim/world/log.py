"""The event log of one trial: what happened, as typed records, and what was integrated meanwhile.

Everything a measure, a report or a replay says comes from here. The log knows nothing of SimPy or of the
kernel, so that `measures` can be pure functions of it.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]


class Kind(StrEnum):
    """What a record says happened."""

    FAULT = "fault"  # a fault became active (`fault` is its occurrence, `hits` the pools it hits directly)
    REPAIR = "repair"  # that occurrence ended
    OOM_KILL = "oom_kill"
    POD_LOST = "pod_lost"  # a pod stopped serving for any other reason (crash, node, zone, region, roll-out)
    POD_READY = "pod_ready"
    POD_ADDED = "pod_added"  # scale-out: a pod that was not placed at the start
    POD_REMOVED = "pod_removed"  # taken away in order by the autoscaler; what it had is worked off or lost
    POD_UNLISTED = "pod_unlisted"  # its readiness probe failed: no more requests
    POD_LISTED = "pod_listed"  # it succeeded again
    SCALED = "scaled"  # the autoscaler wants `value` pods
    NODE_READY = "node_ready"
    POOL_FAILED = "pool_failed"  # serves less than the objective's share of what it is offered
    POOL_RECOVERED = "pool_recovered"
    SLI_BELOW = "sli_below"  # a population's success fell below the objective's threshold
    SLI_ABOVE = "sli_above"
    DETECTED = "detected"
    ACKNOWLEDGED = "acknowledged"
    DIAGNOSED = "diagnosed"
    ACTION = "action"  # a step of the runbook begins (`value`: 1 right, 0 wrong, nan unknown)
    ACTION_DONE = "action_done"
    CLOSED = "closed"  # the people on call see that it is over
    FAILOVER = "failover"
    FAILOVER_FAILED = "failover_failed"
    FAILBACK = "failback"  # one stage; `value` is the share of the load that is home again
    BREAKER = "breaker"  # `what` says open, half-open or closed
    DEPLOYMENT = "deployment"
    DR_TEST = "dr_test"
    GEAR = "gear"  # the data plane shifts to single requests or back (`value`: those of the window that ended)


class Record(NamedTuple):
    """One thing that happened. Names that do not apply are empty; numbers that do not apply are NaN."""

    at_s: float
    kind: Kind
    what: str = ""
    region: str = ""
    zone: str = ""
    node: str = ""
    service: str = ""
    pod: str = ""
    fault: str = ""
    """Occurrence, `NAME#K@ELEMENT`; `NAME` is the key of the fault in the scenario."""
    population: str = ""
    hits: tuple[str, ...] = ()
    """Pools (`region/service`) hit directly by a fault."""
    value: float = float("nan")
    totals: tuple[float, ...] = ()
    """SLI_BELOW and SLI_ABOVE: the population's totals at that moment, in the order of TOTALS."""
    together: str = ""
    """FAULT: equal in all records of one event that hit several elements: the occurrence that a common cause spread
    from, the fault and its stated moment, or the occurrence itself where its target is `all ...`. Empty else."""


@dataclass(frozen=True)
class PassedOver:
    """Disturbances that nobody noticed: neither plane was asked, and no record written."""

    names: tuple[str, ...]
    """Keys of the faults in the scenario."""
    start_s: Floats
    """(n,) when the first fault of each struck."""
    end_s: Floats
    """(n,) when all was well again."""
    direct: Ints
    """(n,) pools that were hit, a bit each, in the order of the trial's pools."""
    n_faults: Ints
    """(n,)"""
    fault: Ints
    """(sum of n_faults,) numbers of all faults in `names`, in the order in which they struck."""

    @classmethod
    def nothing(cls) -> "PassedOver":
        """None of them."""
        none, no_numbers = np.zeros(0), np.zeros(0, dtype=np.int64)
        return cls((), none, none, no_numbers, no_numbers, no_numbers)

    @classmethod
    def joined(cls, parts: Sequence["PassedOver"]) -> "PassedOver":
        """Parts of one trial, one after another."""
        some = [part for part in parts if len(part.start_s)]
        if len(some) <= 1:
            return some[0] if some else cls.nothing()
        columns = ("start_s", "end_s", "direct", "n_faults", "fault")
        return cls(some[0].names, *(np.concatenate([getattr(part, c) for part in some]) for c in columns))

    def __len__(self) -> int:
        return len(self.start_s)

    def faults_of_each(self) -> NDArray[np.object_]:
        """(n,) different names of the faults of each disturbance, joined by `+`."""
        firsts = np.cumsum(self.n_faults) - self.n_faults
        found: NDArray[np.object_] = np.array(self.names, dtype=object)[self.fault[firsts]]
        several = np.flatnonzero(self.n_faults > 1)
        counts = self.n_faults[several].tolist()
        for row, first, n in zip(several.tolist(), firsts[several].tolist(), counts, strict=True):
            within = self.fault[first : first + n].tolist()
            found[row] = "+".join(dict.fromkeys(self.names[k] for k in within))
        return found


TOTALS: Final = ("offered", "good", "attempts", "first_good", "usable", "by_provider", "failed")
"""Integrals per population since the start: user requests (first attempts) offered; requests that ended usable;
attempts; first attempts that ended usable; usable weighted by the quality of what answered; attempts answered by
the other provider; requests that ended without success and are not tried again."""


@dataclass(frozen=True)
class Trace:
    """Curves of a kept trial at the kernel's own steps; all arrays have `n` rows."""

    at_s: Floats
    """(n,) seconds since the start."""
    demand_per_s: Floats
    """(n, n_populations) user requests."""
    success: Floats
    """(n, n_populations) share of first attempts that end usable."""
    attempts_per_s: Floats
    """(n, n_populations)"""
    ready: Floats
    """(n, n_pools) ready pods."""
    in_flight: Floats
    """(n, n_pools) requests inside, over all pods."""
    memory_mib: Floats
    """(n, n_pools) mean memory of the fullest ready pod; NaN with no pod ready or no limit."""
    memory_limit_mib: Floats
    """(n, n_pools) its limit."""
    served_share: Floats
    """(n, n_pools) share of what the pool is offered that it serves."""


DELAYS: Final = ("acknowledge", "diagnose", "steps")
EXCESSES: Final = (
    *(f"{delay}_h" for delay in DELAYS),
    *(f"{delay}_while_down_h" for delay in DELAYS),
    "wrong_turns",
    "failed_failovers",
)
"""What is drawn on the way, see `TrialRecord.excess`."""


@dataclass
class TrialRecord:
    """All that is known of one trial."""

    architecture: str
    trial: int
    seed: int
    start: datetime
    horizon_s: float
    populations: tuple[str, ...]
    pools: tuple[str, ...]
    """`region/service`, in the order of the trace's columns."""
    records: list[Record] = field(default_factory=list)
    passed_over: PassedOver = field(default_factory=PassedOver.nothing)
    """Disturbances without records, in order; a trial that is run to be read has records of all."""
    totals: Floats = field(default_factory=lambda: np.zeros((0, 0)))
    """(n_populations, len(TOTALS)) at the horizon."""
    month_start_s: Floats = field(default_factory=lambda: np.zeros(0))
    """(n_months,) starts of the calendar months (UTC) that the horizon touches, the first clipped to 0."""
    month_totals: Floats = field(default_factory=lambda: np.zeros((0, 0, 0)))
    """(n_months, n_populations, len(TOTALS)) integrals within each month."""
    node_hours: dict[str, float] = field(default_factory=dict)
    """By region, standby and scale-out included."""
    pod_hours: dict[str, float] = field(default_factory=dict)
    """By service, all regions."""
    excess: dict[str, float] = field(default_factory=lambda: dict.fromkeys(EXCESSES, 0.0))
    """What people and failovers took, by `EXCESSES`, less what was to be expected when it was drawn: hours, turns,
    failovers. Its mean over trials is 0. Turns count if users suffered at that moment, delays so and by themselves."""
    simulated_s: float = 0.0
    """Time in which the data plane was integrated; the rest was quiet and followed the undisturbed course."""
    n_windows: int = 0
    """Stretches of it."""
    trace: Trace | None = None
