"""What the request-level model is told: one pool, its users, its memory and what goes wrong.

Purpose: frozen plain data in SI units, independent of the scenario models, so that the oracle shares no parsing with
the engine that it checks.  It must not know the engine.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

__all__ = ["Client", "Memory", "PoolCase", "Restart", "Slowdown", "pool_case_from_document"]


@dataclass(frozen=True, slots=True)
class Client:
    """How users behave.

    Parameters
    ----------
    deadline_s : float
        Longest time a client waits for one attempt, s, > 0; infinity switches the timer off.
    attempts : int
        Attempts per user request, first one included, >= 1.
    backoff_s : float
        Pause between a failed attempt and the next, s, >= 0.
    reject_s : float
        Time until a client learns that it was turned away, s, >= 0.
    budget_share : float or None
        Retries allowed per first attempt (token bucket), >= 0; None is no budget.
    budget_burst : float
        Tokens the bucket holds at most, and at the start, >= 1.
    """

    deadline_s: float = 5.0
    attempts: int = 1
    backoff_s: float = 1.0
    reject_s: float = 0.01
    budget_share: float | None = None
    budget_burst: float = 10.0


@dataclass(frozen=True, slots=True)
class Memory:
    """What a pod's memory holds; the pod is killed when the sum reaches the limit.

    Parameters
    ----------
    limit_mib, base_mib, per_request_mib : float
        Limit, need of an idle pod, and need of each request inside (waiting or served), MiB, > 0.
    leak_mib_per_s : float
        Growth with the pod's age, MiB/s, >= 0; a restart takes it back.
    """

    limit_mib: float
    base_mib: float
    per_request_mib: float
    leak_mib_per_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Restart:
    """How a killed pod comes back.

    Parameters
    ----------
    startup_s : float
        Mean time from the start of the container to ready, s, > 0.
    delays_s : tuple of float
        Delay before the first, second, ... restart in a row, s, >= 0; the last one repeats.
    reset_after_s : float
        Time of running after which the row begins anew, s, > 0.
    startup_spread_share : float
        Startup times are uniform within this share of the mean on either side, [0, 1).
    """

    startup_s: float = 30.0
    delays_s: tuple[float, ...] = (10.0, 20.0, 40.0, 80.0, 160.0, 300.0)
    reset_after_s: float = 600.0
    startup_spread_share: float = 0.0


@dataclass(frozen=True, slots=True)
class Slowdown:
    """Service times drawn in [start_s, end_s) are `factor` (> 0) times as long; a hang is a large factor."""

    start_s: float
    end_s: float
    factor: float


@dataclass(frozen=True, slots=True)
class PoolCase:
    """One pool under a constant demand.

    Parameters
    ----------
    rate_per_s : float
        First attempts per second, > 0.
    load_shares : tuple of float
        Weight of each pod in the routing, > 0; only ratios among the ready pods matter.
    slots, queue_bound : int
        Requests a pod serves at once, >= 1, and lets wait, >= 0; one more is turned away.
    service_mean_s : float
        Mean service time, s, > 0.
    service_law : {"exponential", "constant"}
        Law of the service time.
    horizon_s : float
        End of the trial, s, > 0.
    window_start_s : float
        Samples and averages before this time are left out, s, >= 0; offered and good requests count from time zero.
    """

    rate_per_s: float
    load_shares: tuple[float, ...] = (0.90, 0.97, 1.03, 1.10)
    slots: int = 8
    queue_bound: int = 400
    service_mean_s: float = 0.5
    service_law: Literal["exponential", "constant"] = "exponential"
    client: Client = field(default_factory=Client)
    memory: Memory | None = None
    restart: Restart = field(default_factory=Restart)
    slowdowns: tuple[Slowdown, ...] = ()
    horizon_s: float = 1800.0
    window_start_s: float = 60.0

    def __post_init__(self) -> None:
        """Refuse values outside the documented ranges (ValueError), all of them at once."""
        wrong = [name for name, right in self._checks().items() if not right]
        if wrong:
            raise ValueError(f"pool case out of range: {', '.join(wrong)}")

    def _checks(self) -> dict[str, bool]:
        client, memory, restart = self.client, self.memory, self.restart
        return {
            "rate_per_s": 0 < self.rate_per_s < math.inf,
            "load_shares": len(self.load_shares) > 0 and all(share > 0 for share in self.load_shares),
            "slots": self.slots >= 1,
            "queue_bound": self.queue_bound >= 0,
            "service_mean_s": 0 < self.service_mean_s < math.inf,
            "service_law": self.service_law in ("exponential", "constant"),
            "horizon_s": 0 <= self.window_start_s < self.horizon_s < math.inf,
            "client.deadline_s": client.deadline_s > 0,
            "client.attempts": client.attempts >= 1,
            "client.backoff_s": client.backoff_s >= 0 and client.reject_s >= 0,
            "client.budget": (client.budget_share is None or client.budget_share >= 0) and client.budget_burst >= 1,
            "memory": memory is None
            or (memory.limit_mib > memory.base_mib > 0 and memory.per_request_mib > 0 and memory.leak_mib_per_s >= 0),
            "restart": restart.startup_s > 0
            and 0 <= restart.startup_spread_share < 1
            and len(restart.delays_s) > 0
            and min(restart.delays_s) >= 0,
            "slowdowns": all(s.factor > 0 and s.end_s > s.start_s for s in self.slowdowns),
        }


def pool_case_from_document(document: Mapping[str, Any]) -> PoolCase:
    """Rebuild a case from the nested mapping that `dataclasses.asdict` makes of it (tuples may be lists).

    Parameters
    ----------
    document : mapping
        Field names and values; a field that is left out takes its default.

    Returns
    -------
    PoolCase
        Equal to the case that the mapping was made of.

    Raises
    ------
    TypeError
        For a name that is not a field.
    ValueError
        For values out of range.
    """
    values = dict(document)
    parts: dict[str, Any] = {}
    if "load_shares" in values:
        parts["load_shares"] = tuple(values.pop("load_shares"))
    if "client" in values:
        parts["client"] = Client(**values.pop("client"))
    if values.get("memory") is not None:
        parts["memory"] = Memory(**values.pop("memory"))
    if "restart" in values:
        restart = dict(values.pop("restart"))
        if "delays_s" in restart:
            restart["delays_s"] = tuple(restart["delays_s"])
        parts["restart"] = Restart(**restart)
    if "slowdowns" in values:
        parts["slowdowns"] = tuple(Slowdown(**slowdown) for slowdown in values.pop("slowdowns"))
    return PoolCase(**values, **parts)
