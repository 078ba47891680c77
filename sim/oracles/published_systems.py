"""Two published systems that collapse under retries, as their authors set them up, and solved or played by themselves.

They are not expressible in the language of scenarios; what the engine can be asked about them stands beside them in the
tests. Ids such as D01 name the entries of the published truths. It must never import a model of ours.
"""

import heapq
import math
from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import sparse, stats
from scipy.sparse.linalg import spsolve

Floats = NDArray[np.float64]

# --- D01: congestion collapse by re-entering failures --------------------------------------------------


@dataclass(frozen=True, slots=True)
class Collapse:
    """A queue whose late answers count as failures, of which a share comes again as new requests (D01).

    Parameters
    ----------
    rate : float
        New requests per tick.
    ticks : int
        Length of a run.
    workers, queue : int
        Requests served at once, and most that may wait.
    service, service_sd : float
        Of a normal law cut at 0, whole ticks.
    timeout : int
        Ticks from arrival after which an answer is a failure.
    again : float
        Share of failures that re-enter.
    slow_requests : int
        The first so many requests take ten times as long; 0 is no trigger.

    Notes
    -----
    Magerramov, M., queueing simulator, commit b4046d7. A free worker that meets a queue takes from it one tick after it
    got free; a request that comes in between, also one that re-enters, takes the worker past the queue. That lets the
    system escape: without it (`overtaking` of `failed_share`) it fails more than twice as often.
    """

    rate: float = 0.1
    ticks: int = 1_000_000
    workers: int = 10
    queue: int = 1000
    service: float = 50.0
    service_sd: float = 12.5
    timeout: int = 1000
    again: float = 0.5
    slow_requests: int = 1000

    def failed_share(self, rng: np.random.Generator, *, overtaking: bool = True) -> float:
        """Play one run.

        Parameters
        ----------
        rng : numpy.random.Generator
            Source of all draws.
        overtaking : bool
            False: a request that re-enters comes after the free workers have taken from the queue.

        Returns
        -------
        float
            Failures as a share of all requests, those that re-entered included.
        """
        return _CollapseRun(self, rng, overtaking=overtaking).play()


class _CollapseRun:
    """One run, from event to event in whole ticks."""

    def __init__(self, system: Collapse, rng: np.random.Generator, *, overtaking: bool) -> None:
        self.system, self.rng, self.overtaking = system, rng, overtaking
        self.idle = system.workers
        self.waiting: deque[tuple[int, int]] = deque()  # (arrival, number)
        self.served: list[tuple[int, int]] = []  # heap of (end, arrival)
        self.n_requests = self.n_failed = 0

    def play(self) -> float:
        """Share of failures."""
        system = self.system
        # The counter grows by a normal number each tick, and one request leaves for as long as it is above zero.
        counted = np.cumsum(self.rng.normal(system.rate, system.rate / 4.0, system.ticks))
        emitted = np.maximum(np.maximum.accumulate(np.ceil(counted)), 0.0).astype(np.int64)
        n_new = np.diff(emitted, prepend=0)
        arrivals = deque(np.repeat(np.arange(system.ticks), n_new).tolist())
        pick_up = math.inf  # when free workers look at the queue
        while True:
            tick = min(arrivals[0] if arrivals else math.inf, self.served[0][0] if self.served else math.inf, pick_up)
            if tick >= system.ticks:
                return self.n_failed / self.n_requests
            now = int(tick)
            while arrivals and arrivals[0] == now:
                arrivals.popleft()
                self._enter(now)
            if pick_up <= now:
                self._take_from_queue(now)
            again = self._finish(now)
            if not self.overtaking:
                self._take_from_queue(now)
            for _ in range(again):
                self._enter(now)
            pick_up = now + 1 if self.waiting and self.idle > 0 else math.inf

    def _take_from_queue(self, now: int) -> None:
        while self.idle > 0 and self.waiting:
            self._serve(now, *self.waiting.popleft())

    def _finish(self, now: int) -> int:
        again = 0
        while self.served and self.served[0][0] <= now:
            _, arrived = heapq.heappop(self.served)
            self.idle += 1
            if now - arrived > self.system.timeout:
                again += self._fails()
        return again

    def _fails(self) -> int:
        self.n_failed += 1
        return int(self.rng.random() < self.system.again)

    def _enter(self, now: int) -> None:
        entering = 1
        while entering:
            self.n_requests += 1
            if self.idle > 0:
                self._serve(now, now, self.n_requests)
            elif len(self.waiting) < self.system.queue:
                self.waiting.append((now, self.n_requests))
            else:
                entering = self._fails()
                continue
            return

    def _serve(self, now: int, arrived: int, number: int) -> None:
        self.idle -= 1
        time = max(self.rng.normal(self.system.service, self.system.service_sd), 0.0)
        time = time * 10.0 if number <= self.system.slow_requests else time
        heapq.heappush(self.served, (now + max(int(time), 1), arrived))


# --- D04: a small chain with retries, exactly -----------------------------------------------------------


@dataclass(frozen=True, slots=True)
class RetryChain:
    """A queue whose customers leave a copy in an orbit when they foresee that they will wait too long (D04).

    Parameters
    ----------
    arrival_rate : float
        Fresh arrivals per second.
    service_rate, return_rate : float
        Of the server, and of each copy in the orbit, 1/s.
    again : float
        Probability that somebody who will be late, or is turned away, goes to the orbit.
    limit_s : float
        Longest wait that is in time, s.
    room, orbit : int
        Most in the queue (with the one in service) and in the orbit.
    """

    arrival_rate: float
    service_rate: float = 10.0
    return_rate: float = 2.0
    again: float = 0.8
    limit_s: float = 0.5
    room: int = 30
    orbit: int = 60

    @property
    def critical_load(self) -> float:
        """Fresh arrivals that fill the server when all are late: above it a full queue can stay full."""
        return self.service_rate * (1.0 - self.again)

    def _state(self, q: int, r: int) -> int:
        return q * (self.orbit + 1) + r

    def late_prob(self, q: int) -> float:
        """P(the wait behind q customers passes the limit): fewer than q + 1 services within it."""
        return float(stats.poisson.cdf(q, self.service_rate * self.limit_s))

    def generator(self) -> sparse.csr_matrix:
        """Rates between states, rows summing to 0."""
        n = (self.room + 1) * (self.orbit + 1)
        rows: list[int] = []
        columns: list[int] = []
        rates: list[float] = []

        def move(source: int, q: int, r: int, rate: float) -> None:
            target = self._state(q, min(r, self.orbit))
            if rate > 0.0 and target != source:
                rows.extend([source, source])
                columns.extend([target, source])
                rates.extend([rate, -rate])

        for q in range(self.room + 1):
            full = q == self.room
            copies = self.again * (1.0 if full else self.late_prob(q))
            after = q if full else q + 1
            for r in range(self.orbit + 1):
                here = self._state(q, r)
                for left, rate in ((r, self.arrival_rate), (r - 1, self.return_rate * r)):
                    move(here, after, left + 1, rate * copies)
                    move(here, after, left, rate * (1.0 - copies))
                if q > 0:
                    move(here, q - 1, r, self.service_rate)
        return sparse.csr_matrix((rates, (rows, columns)), shape=(n, n))

    def steady_state(self) -> Floats:
        """Long-run probabilities, shape (room + 1, orbit + 1), by a direct solve relative to the empty state."""
        balance = self.generator().T.tocsc()
        others = spsolve(balance[1:, 1:], -balance[1:, 0].toarray().ravel())
        probs = np.concatenate([[1.0], np.asarray(others, dtype=np.float64)])
        return np.asarray(probs / probs.sum(), dtype=np.float64).reshape(self.room + 1, self.orbit + 1)

    def goodput_share(self) -> float:
        """Requests let in that will be in time, per fresh arrival, in the long run."""
        probs = self.steady_state()
        arriving = self.arrival_rate + self.return_rate * np.arange(self.orbit + 1)
        in_time = np.array([0.0 if q == self.room else 1.0 - self.late_prob(q) for q in range(self.room + 1)])
        return float(in_time @ probs @ arriving / self.arrival_rate)

    def queue_mean(self) -> float:
        """Mean number in the queue in the long run."""
        return float(np.arange(self.room + 1) @ self.steady_state().sum(axis=1))

    def _before(self, target_q: int) -> tuple[sparse.csr_matrix, NDArray[np.int64]]:
        others = np.flatnonzero(np.arange((self.room + 1) * (self.orbit + 1)) // (self.orbit + 1) != target_q)
        return self.generator()[others][:, others], others

    def passage_mean_s(self, q: int, r: int, target_q: int) -> float:
        """Mean time from (q, r) to the first state with `target_q` in the queue, s."""
        rates, others = self._before(target_q)
        times = spsolve(rates.tocsc(), -np.ones(len(others)))
        return float(times[int(np.flatnonzero(others == self._state(q, r))[0])])

    def passage_prob(self, q: int, r: int, target_q: int, within_s: float) -> float:
        """P(such a state is reached within `within_s`).

        The exponential of a stiff generator by the inverse Laplace integral on a parabola: Weideman and Trefethen
        (2007), Math. Comp. 76, 1341-1356; 32 nodes are right to far below 1e-12.
        """
        rates, others = self._before(target_q)
        start = (others == self._state(q, r)).astype(np.float64)
        moved = (rates.T * within_s).tocsc().astype(np.complex128)
        unit = sparse.csc_matrix(sparse.identity(len(others), dtype=np.complex128, format="csc"))
        n, stays = 32, 0.0
        for k in range(n // 2):  # the other half are the conjugates
            angle = (2 * k + 1) * math.pi / n
            z = n * (0.1309 - 0.1194 * angle**2 + 0.25j * angle)
            slope = n * (-0.2388 * angle + 0.25j)
            weight = 2.0 * np.exp(z) * slope / (1j * n)
            stays += float((weight * spsolve(z * unit - moved, start.astype(np.complex128)).sum()).real)
        return 1.0 - stays
