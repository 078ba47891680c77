"""What is known of one pod slot: where the pod is in its life, what holds it down, what faults add to its memory."""

from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum

from sim.world.topology import Node


class PodState(Enum):
    """Where a pod is in its life."""

    ABSENT = "absent"  # not placed: a slot for scale-out, or a standby that does not run
    WAITING = "waiting"  # no node, or held down
    STARTING = "starting"  # back-off or startup under way
    READY = "ready"


@dataclass(slots=True)
class AddedMemory:
    """What faults add to the memory of a pod, by occurrence."""

    extra: dict[str, float] = field(default_factory=dict)
    """MiB at once."""
    growth: dict[str, tuple[float, float, float]] = field(default_factory=dict)
    """(start s, end s, MiB in all): a working set, which a restart does not clear."""
    leak: dict[str, float] = field(default_factory=dict)
    """MiB/s since the pod's start."""
    factor: dict[str, float] = field(default_factory=dict)
    """Times memory per request."""

    def forget(self, occurrence: str) -> None:
        """End what one occurrence added."""
        self.extra.pop(occurrence, None)
        self.growth.pop(occurrence, None)
        self.leak.pop(occurrence, None)
        self.factor.pop(occurrence, None)

    def grown(self, now_s: float) -> tuple[float, float]:
        """Working set added until now (MiB), and how fast it grows from now on (MiB/s)."""
        mib, rate = sum(self.extra.values()), 0.0
        for start_s, end_s, total_mib in self.growth.values():
            mib += total_mib * min(max((now_s - start_s) / (end_s - start_s), 0.0), 1.0)
            if start_s <= now_s < end_s - 1e-9:
                rate += total_mib / (end_s - start_s)
        return mib, rate


@dataclass(slots=True)
class Pod:
    """One pod slot."""

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
    holds: set[str] = field(default_factory=set)
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
    added: AddedMemory = field(default_factory=AddedMemory)
    on_ready: list[Callable[[], None]] = field(default_factory=list)
