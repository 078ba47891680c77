"""Memory of one pod of the request-level model: base, requests, leak, and what faults add.

It must not know the engine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

from sim.scenario.schema import PodMemory

_EDGE_MIB = 1e-9
"""Rounding of a leak that has just met the limit."""


@dataclass(frozen=True, slots=True)
class _Added:
    """What one cause adds from `since_s` on."""

    extra_mib: float
    growth_mib_per_s: float
    leak_mib_per_s: float
    factor: float
    since_s: float


class PodMemoryState:
    """What a pod's memory holds; apart from the requests it is a straight line between two changes.

    Parameters
    ----------
    spec : PodMemory
        Base, per request, limit and leak.
    now_s : float
        Time, s.
    """

    __slots__ = (
        "_added", "_at_s", "_leaked_mib", "_other_mib", "_per_request_mib", "_rate", "_spec", "limit_mib", "look_at_s",
    )  # fmt: skip

    def __init__(self, spec: PodMemory, now_s: float) -> None:
        self._spec = spec
        self.limit_mib = spec.limit
        self._added: dict[str, _Added] = {}
        self._leaked_mib = 0.0
        self._at_s = now_s
        self._rate = 0.0
        self.look_at_s = math.inf
        """When somebody looks next whether growth has met the limit; infinity: nobody does."""
        self._draw_line(now_s)

    def used_mib(self, now_s: float, n_inside: int) -> float:
        """Memory in use, MiB."""
        return self._other_mib + self._rate * (now_s - self._at_s) + self._per_request_mib * n_inside

    @property
    def grows(self) -> bool:
        """Whether it grows by itself."""
        return self._rate > 0.0

    def is_full(self, now_s: float, n_inside: int) -> bool:
        """Whether the limit is met."""
        return self.used_mib(now_s, n_inside) >= self.limit_mib - _EDGE_MIB

    def wait_s(self, now_s: float, n_inside: int) -> float:
        """Time until growth alone meets the limit, s; 0: it is met; infinity: it never will."""
        room_mib = self.limit_mib - self.used_mib(now_s, n_inside)
        if room_mib <= _EDGE_MIB:
            return 0.0
        return room_mib / self._rate if self._rate > 0.0 else math.inf

    def restart(self, now_s: float) -> None:
        """A new process: what has leaked is free again, what faults take is not."""
        self._leaked_mib = 0.0
        self._at_s = now_s
        self._draw_line(now_s)

    def set_used(self, now_s: float, used_mib: float) -> None:
        """Take what is used apart from requests and the causes known as leaked."""
        self._settle(now_s)
        self._leaked_mib += used_mib - self.used_mib(now_s, 0)
        self._draw_line(now_s)

    def add(self, now_s: float, cause: str, extra_mib: float, growth: float, leak: float, factor: float) -> None:
        """Let a cause take memory from now on (MiB, MiB/s, MiB/s, times); neutral values end it."""
        self._settle(now_s)
        self._added.pop(cause, None)
        if (extra_mib, growth, leak, factor) != (0.0, 0.0, 0.0, 1.0):
            self._added[cause] = _Added(extra_mib, growth, leak, factor, now_s)
        self._draw_line(now_s)

    def set_limit(self, now_s: float, limit_mib: float) -> None:
        """Change the limit."""
        self._settle(now_s)
        self.limit_mib = limit_mib
        self._draw_line(now_s)

    def _leak_rate(self) -> float:
        return self._spec.leak + sum(added.leak_mib_per_s for added in self._added.values())

    def _settle(self, now_s: float) -> None:
        self._leaked_mib += self._leak_rate() * (now_s - self._at_s)
        self._at_s = now_s

    def _draw_line(self, now_s: float) -> None:
        grown = sum(a.extra_mib + a.growth_mib_per_s * (now_s - a.since_s) for a in self._added.values())
        self._other_mib = self._spec.base + self._leaked_mib + grown
        self._rate = self._leak_rate() + sum(a.growth_mib_per_s for a in self._added.values())
        self._per_request_mib = self._spec.per_request * math.prod(a.factor for a in self._added.values())
        self._at_s = now_s
        self.look_at_s = math.inf
