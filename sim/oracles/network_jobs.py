"""Requests and pods of the request-level model as plain records.  It must not know the engine."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Protocol

import simpy

from sim.oracles.network_memory import PodMemoryState
from sim.scenario.schema import CrashLoop, Service

if TYPE_CHECKING:
    from sim.oracles.network_pods import Pool

OUTSIDE, WAITING, WORKING, CALLING = 0, 1, 2, 3


class Owner(Protocol):
    """Whoever waits for the answer to a request."""

    def answered(self, job: Job, ok: bool) -> None:
        """The request ended; called only while it is awaited."""


class GivesUp(Protocol):
    """What a request waits for itself."""

    def give_up(self) -> None:
        """Nobody wants it any more."""


class Calls(Protocol):
    """Calls to one other service."""

    n_whole: int
    part: float
    coins: Iterator[float]

    def start(self, job: Job) -> None:
        """Call once; the caller's pool is told by `next_call` or `finish`."""


class Job:
    """One attempt of a user or of a call, at a pod or on the way.

    `awaiting` is not 0 while somebody waits for the answer.
    """

    __slots__ = (
        "arrived_at_s", "awaiting", "call", "entered_at_s", "expires_at_s", "n_left", "number", "owner", "pod", "pool",
        "state", "step",
    )  # fmt: skip

    pod: Pod
    entered_at_s: float
    step: int
    n_left: int

    def __init__(self, owner: Owner, number: int, arrived_at_s: float, expires_at_s: float) -> None:
        self.owner = owner
        self.number = number
        self.arrived_at_s = arrived_at_s  # of the user's request, not of this attempt
        self.expires_at_s = expires_at_s  # deadline of the user's attempt
        self.awaiting = 1
        self.state = OUTSIDE
        self.call: GivesUp | None = None
        self.pool: Pool | None = None


class ProbeTicket:
    """A health probe that waits for a slot; it takes one for no time and no memory."""

    __slots__ = ("entered_at_s", "state", "taken")

    def __init__(self, now_s: float, taken: Callable[[], None]) -> None:
        self.entered_at_s = now_s
        self.state = WAITING
        self.taken = taken


class Pod:
    """One pod: its slots, its queue and its life."""

    __slots__ = (
        "busy", "cold_until_s", "crashes", "deaths", "error_share", "generation", "holds", "is_draining", "is_unwell",
        "jobs", "listed", "memory", "n_inside", "name", "present", "queue", "ready", "ready_at_s", "room", "share",
        "slots", "slow",
    )  # fmt: skip

    def __init__(self, name: str, share: float, slots: int, queue: int, memory: PodMemoryState | None) -> None:
        self.name, self.share, self.memory = name, share, memory
        self.slots, self.room = slots, slots + queue
        self.slow, self.error_share = 1.0, 0.0
        self.ready = self.listed = self.present = False
        self.is_draining = self.is_unwell = False
        self.holds: set[str] = set()
        self.generation = self.crashes = self.deaths = 0
        self.ready_at_s, self.cold_until_s = -math.inf, -math.inf
        self.busy = self.n_inside = 0
        self.queue: deque[Any] = deque()
        self.jobs: dict[Job, None] = {}  # a set in the order of arrival, so that a death is the same in every run

    @property
    def n_waiting(self) -> int:
        """Requests that wait for a slot."""
        return self.n_inside - self.busy


def backoff_s(spec: CrashLoop, n_crashes: int) -> float:
    """Wait before the restart that follows `n_crashes` (>= 1) crashes in a row, s."""
    if n_crashes <= 1:
        return spec.first
    return min(spec.initial * 2.0 ** min(n_crashes - 2, 64), spec.longest)


def picker(service: Service, env: simpy.Environment) -> Callable[[deque[Any]], Any]:
    """What takes the next one out of a queue that is not empty, in the order of the service."""
    if service.order == "fifo":
        return deque.popleft
    if service.order == "lifo":
        return deque.pop

    def adaptive(queue: deque[Any]) -> Any:
        while len(queue) > 1 and queue[0].state != WAITING:
            queue.popleft()
        if env.now - queue[0].entered_at_s > service.adaptive_above:
            return queue.pop()
        return queue.popleft()

    return adaptive
