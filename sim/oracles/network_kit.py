"""Tools of the request-level model of a network: drawn numbers in blocks, timers, token buckets, throttles, breakers.

Nothing here knows pods, calls or users.  It must not know the engine.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np
import simpy
from numpy.typing import NDArray
from simpy.events import Timeout

from sim.scenario.schema import Breaker, Throttle

_BLOCK = 4096
_TOKENS_MOST = 10.0
"""Retry tokens that a bucket holds at most, and at the start."""
_SAME_TIME_S = 1e-9
_BREAKER_WEIGHT = 10.0
"""A breaker starts as if it had just seen so many successes: one early failure must not open it."""


def after(env: simpy.Environment, delay_s: float, handler: Callable[[Any], None], value: Any = None) -> None:
    """Call `handler(event)` after a delay (s); `event.value` is the value.

    A bare timeout with one callback: a process per request would cost three times as much.
    """
    event = Timeout(env, delay_s, value)
    event.callbacks.append(handler)


def stream(draw: Callable[[int], NDArray[np.float64]]) -> Iterator[float]:
    """Single numbers out of blocks: alone they cost a microsecond each, from a block a tenth of that."""
    while True:
        yield from draw(_BLOCK).tolist()


def unit_work(spread: float, rng: np.random.Generator) -> Iterator[float]:
    """Draws of mean 1 with coefficient of variation `spread`: constant, gamma, exponential or lognormal."""
    if spread == 0.0:
        return stream(lambda n: np.ones(n))
    if spread == 1.0:
        return stream(rng.standard_exponential)
    if spread < 1.0:
        shape = 1.0 / spread**2
        return stream(lambda n: rng.gamma(shape, 1.0 / shape, n))
    variance = math.log1p(spread**2)
    return stream(lambda n: rng.lognormal(-0.5 * variance, math.sqrt(variance), n))


class Awaited(Protocol):
    """What a timer watches: it is still awaited while `awaiting` is what it was when the timer began (never 0)."""

    awaiting: int


class TimerLine:
    """Timers of one length: they end in the order in which they began, so that one event at a time is enough.

    A timer each would double the events of a run, nearly all of them for answers that came long ago.
    """

    def __init__(self, env: simpy.Environment, length_s: float, expire: Callable[[Any], None]) -> None:
        self._env, self._length_s, self._expire = env, length_s, expire
        self._line: deque[tuple[float, Awaited, int]] = deque()
        self._is_armed = False

    def start(self, ticket: Awaited) -> None:
        """Expire the ticket after the length, unless it is awaited no more by then."""
        self._line.append((self._env.now + self._length_s, ticket, ticket.awaiting))
        if not self._is_armed:
            self._is_armed = True
            after(self._env, self._length_s, self._ring)

    def _ring(self, _: Any) -> None:
        line, now_s = self._line, self._env.now
        while line:
            ends_s, ticket, awaited = line[0]
            if ticket.awaiting == awaited:
                if ends_s > now_s + _SAME_TIME_S:
                    after(self._env, ends_s - now_s, self._ring)
                    return
                line.popleft()
                self._expire(ticket)
            else:
                line.popleft()
        self._is_armed = False


class Budget:
    """Retry budget as a token bucket: each first attempt brings `share` of a token, each retry takes one."""

    def __init__(self, share: float) -> None:
        self._share = share
        self._tokens = _TOKENS_MOST

    def earn(self) -> None:
        """A first attempt was made."""
        self._tokens = min(_TOKENS_MOST, self._tokens + self._share)

    def spend(self) -> bool:
        """Whether a retry is allowed; it then costs a token."""
        if self._tokens < 1.0:
            return False
        self._tokens -= 1.0
        return True

    def set_tokens(self, n: float) -> None:
        """So many tokens are left, at the begin of a run in the middle."""
        self._tokens = min(max(n, 0.0), _TOKENS_MOST)


class Fading:
    """Two counts that forget exponentially: what was wanted and what of it went well."""

    def __init__(self, now_s: float, window_s: float, *, seen: float = 0.0) -> None:
        self._window_s = window_s
        self.n = self.n_good = seen
        self._at_s = now_s

    def fade(self, now_s: float) -> None:
        """Forget what the time since the last call makes forget."""
        if now_s > self._at_s:
            kept = math.exp((self._at_s - now_s) / self._window_s)
            self.n *= kept
            self.n_good *= kept
            self._at_s = now_s


class Throttling:
    """Client-side adaptive throttling (Site Reliability Engineering, 2016, "Handling Overload")."""

    def __init__(self, now_s: float, spec: Throttle) -> None:
        self._ratio = spec.ratio
        self._counts = Fading(now_s, spec.window)

    def remember(self, wanted: float, usable: float) -> None:
        """At the begin of a run in the middle: what was wanted before, and what of it ended usable."""
        self._counts.n, self._counts.n_good = wanted, usable

    def refuses(self, now_s: float, coin: float) -> bool:
        """Count one more wanted attempt; whether it is not even sent."""
        counts = self._counts
        counts.fade(now_s)
        refused = coin * (counts.n + 1.0) < counts.n - self._ratio * counts.n_good
        counts.n += 1.0
        return refused

    def accepted(self, now_s: float) -> None:
        """An attempt ended usable."""
        self._counts.fade(now_s)
        self._counts.n_good += 1.0


class CircuitBreaker:
    """Closed, open, half-open with a trickle; closed again if the trickle works.

    Notes
    -----
    The success share of attempts is an exponential average over `window`.  Closed: it opens when the share falls below
    1 - failures.  After `open` the trickle passes and the average starts again on that level; one window later the
    breaker closes if the trickle pulled it up (or nothing passed), and opens again if it pulled it down.  Once closed
    it remembers a full window of successes.
    """

    CLOSED, OPEN, HALF_OPEN = "closed", "open", "half-open"

    def __init__(self, env: simpy.Environment, spec: Breaker) -> None:
        self._env, self._spec = env, spec
        self._level = max(1.0 - spec.failures, 1e-3)
        self._counts = Fading(env.now, spec.window, seen=_BREAKER_WEIGHT)
        self._weight_closed = _BREAKER_WEIGHT
        self.state = self.CLOSED
        self.opened_at_s: list[float] = []

    def remember(self, seen: float, share: float) -> None:
        """At the begin of a run in the middle: attempts seen before, and the usable share of them."""
        # Above the level, as of every closed breaker.
        seen, share = max(seen, _BREAKER_WEIGHT), min(max(share, self._level), 1.0)
        self._counts.n, self._counts.n_good = seen, seen * share

    def lets_through(self, coin: float) -> bool:
        """Whether a call may go out now."""
        return self.state == self.CLOSED or (self.state == self.HALF_OPEN and coin < self._spec.trickle)

    def seen(self, worked: bool) -> None:
        """An attempt ended."""
        if self.state == self.OPEN:
            return
        counts = self._counts
        counts.fade(self._env.now)
        counts.n += 1.0
        counts.n_good += worked
        if self.state == self.CLOSED and counts.n_good < self._level * counts.n:
            self._weight_closed = counts.n
            self.open()

    def open(self, for_s: float | None = None) -> None:
        """Let nothing through for a time (s; default: as the scenario says)."""
        self.state = self.OPEN
        self.opened_at_s.append(self._env.now)
        after(self._env, self._spec.open if for_s is None else for_s, self.half_open)

    def half_open(self, _: Any = None) -> None:
        """Let the trickle through and judge it one window later."""
        self.state = self.HALF_OPEN
        self._restart_average(1.0, self._level)
        after(self._env, self._spec.window, self._judge)

    def _judge(self, _: Any) -> None:
        counts = self._counts
        if counts.n_good < self._level * counts.n * (1.0 - 1e-9):
            self.open()
            return
        self.state = self.CLOSED
        self._restart_average(self._weight_closed, 1.0)

    def _restart_average(self, weight: float, success: float) -> None:
        self._counts.fade(self._env.now)
        self._counts.n, self._counts.n_good = weight, weight * success
