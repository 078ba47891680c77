"""What is known of one pod slot: where the pod is in its life, what holds it down, what faults add to its memory."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, TypeVar

from sim.world.topology import Node

T = TypeVar("T")


class PodState(Enum):
    """Where a pod is in its life."""

    ABSENT = "absent"  # not placed: a slot for scale-out, or a standby that does not run
    WAITING = "waiting"  # no node, or held down
    STARTING = "starting"  # back-off or startup under way
    READY = "ready"


@dataclass(frozen=True, slots=True)
class AddedMemory:
    """What faults add to the memory of a pod, by occurrence."""

    extra: Mapping[str, float] = field(default_factory=dict)
    """MiB at once."""
    growth: Mapping[str, tuple[float, float, float]] = field(default_factory=dict)
    """(start s, end s, MiB in all): a working set, which a restart does not clear."""
    leak: Mapping[str, float] = field(default_factory=dict)
    """MiB/s since the pod's start."""
    factor: Mapping[str, float] = field(default_factory=dict)
    """Times memory per request."""

    def plus(
        self,
        occurrence: str,
        *,
        extra: float | None,
        growth: tuple[float, float, float] | None,
        leak: float | None,
        factor: float | None,
    ) -> "AddedMemory":
        """The same and what one occurrence adds (None: not that)."""
        return AddedMemory(
            extra=_with(self.extra, occurrence, extra),
            growth=_with(self.growth, occurrence, growth),
            leak=_with(self.leak, occurrence, leak),
            factor=_with(self.factor, occurrence, factor),
        )

    def without(self, occurrence: str) -> "AddedMemory":
        """The same without what one occurrence added."""
        return AddedMemory(
            extra=_without(self.extra, occurrence),
            growth=_without(self.growth, occurrence),
            leak=_without(self.leak, occurrence),
            factor=_without(self.factor, occurrence),
        )

    def grown(self, now_s: float) -> tuple[float, float]:
        """Working set added until now (MiB), and how fast it grows from now on (MiB/s)."""
        mib, rate = sum(self.extra.values()), 0.0
        for start_s, end_s, total_mib in self.growth.values():
            mib += total_mib * min(max((now_s - start_s) / (end_s - start_s), 0.0), 1.0)
            if start_s <= now_s < end_s - 1e-9:
                rate += total_mib / (end_s - start_s)
        return mib, rate


def _with(part: Mapping[str, T], occurrence: str, value: T | None) -> Mapping[str, T]:
    return part if value is None else {**part, occurrence: value}


def _without(part: Mapping[str, T], occurrence: str) -> Mapping[str, T]:
    return {name: value for name, value in part.items() if name != occurrence}


NOTHING_ADDED: Final = AddedMemory()
"""Of all pods to whose memory no fault has added anything."""


@dataclass(slots=True)
class Pod:
    """One pod slot.

    Most pods of a trial are never held, waited for or given memory, and share what stands for none of that: a pod of
    its own sets and dictionaries takes longer to make than all that ever happens to it.
    """

    row: int
    name: str
    pool: int
    region: str
    service: str
    limit_mib: float
    placed: bool
    for_people: bool
    """A slot that only the runbook fills."""
    state: PodState = PodState.ABSENT
    leaving: bool = False
    """It gets no more requests and is taken away when it is empty."""
    node: Node | None = None
    holds: frozenset[str] = frozenset()
    generation: int = 0
    incarnation: int = 0
    n_starts: int = 0
    n_retired: int = 0
    empty_guard: int | None = None
    n_crashes: int = 0
    crashes_of_minute: tuple[int, int] = (-1, 0)
    """(minute since the start, crashes in it)"""
    started_s: float = 0.0
    leaked_mib: float = 0.0
    leak_at_s: float = 0.0
    leak_rate: float = 0.0
    added: AddedMemory = NOTHING_ADDED
    on_ready: tuple[Callable[[], None], ...] = ()
