"""Which losses of pods the plane endures without anybody noticing, and up to which demand.

Found by trying: from a steady state the pods are killed at once, and for half an hour nothing may cross a threshold,
no pod may come near its memory limit and success must stay what it was. Each question is asked once for all trials,
and for all processes that share the course (`Course.once`).
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from sim.traffic.course import Change, Course, Scratch
from sim.traffic.layout import *
from sim.traffic.layout import Floats
from sim.traffic.levels import N_LEVELS, PARTS, RATE_S, WATCH_S, Levels, extend
from sim.traffic.once import Arrays
from sim.traffic.restarts import Restart, Restarts

_BOOK_S: Final = 900.0
_SUCCESS_SLACK: Final = 1e-6
"""Success may fall by so much: less than a second of lost requests in ten days of a lost pod."""
_BOOKED_AT: Final = (6, 12, 18, 24)
_BENDS_BY: Final = 1e-5
"""Slowness is tried at parts of a level where from one level to the next so much larger a share is lost."""
_BOOKED_SLACK: Final = 2e-4
"""Where what it costs is booked, such a share of the requests may be lost, or so much more from one level to the next:
then straight lines between the levels are good to a few requests an hour."""
_GROWS_BY: Final = 1.6
"""... or what is lost may grow by so many times: of a curve that bends like that, lines are good to 3 %."""


@dataclass
class Slowness:
    """How much of a slowness is endured, and what it costs, by parts of levels (row 0: no demand)."""

    limit: int
    """Parts of levels; 0: none is endured."""
    rates: Floats
    """(N_LEVELS * PARTS + 1, n_groups * N_TOTALS) change of the totals, 1/s."""
    once: Floats
    """The same once, until it has settled and when it is over."""

    def take(self, part: int, lost: Floats, *rows: Floats) -> Floats:
        """Note rows found at a part of a level, and lines from the last one that is known; returns `lost`."""
        for table, row in zip((self.rates, self.once), rows, strict=True):
            extend(table, self.limit, part, row)
        self.limit = part
        return lost


class Endurance:
    """What one architecture endures.

    Parameters
    ----------
    course : Course
        Its undisturbed course, with guards and demand.
    """

    def __init__(self, course: Course) -> None:
        self._course, self._levels = course, Levels(course)
        names, shares = course.blueprint.names, course.net.pods[:, POD_SHARE]
        first = np.concatenate([[0], np.cumsum(names.slots)]).astype(int)
        running = course.net.pods[:, POD_READY] != 0.0
        self._pool_of = [int(pool) for pool in course.net.pods[:, POD_POOL]]
        # Those that carry most are taken away first, but the one that carries most stays: no other set of as many
        # leaves a pod with more load.
        self._worst: list[list[int]] = []
        for pool in range(len(names.pools)):
            rows = [p for p in range(first[pool], first[pool + 1]) if running[p]]
            rows.sort(key=lambda p: -shares[p])
            self._worst.append(rows[1:] + rows[:1])
        self.limit = lru_cache(maxsize=None)(self._limit)
        self._booked = lru_cache(maxsize=None)(self._totals_of_a_kill)
        self._ones = [tuple(int(i == pool) for i in range(len(self._worst))) for pool in range(len(self._worst))]

    def until_s(self, counts: tuple[int, ...], at_s: float) -> float:
        """Until when so many pods of each pool may be missing; at or before `at_s` if it is too much now."""
        if not any(counts):
            return np.inf
        limit = self.limit(counts)
        return self._course.below_until_s(limit / N_LEVELS, at_s) if limit > 0 else -np.inf

    def kill_totals(self, pods: Sequence[int], at_s: Sequence[float]) -> Floats:
        """(n_groups, N_TOTALS) what kills of these pods at these times (s) change of the totals, all together.

        Tried with a pod in the middle of each pool; the loss of another one goes with its load.
        """
        found = np.zeros((len(self._course.net.groups), N_TOTALS))
        by_pool: dict[int, list[int]] = {}
        for k, pod in enumerate(pods):
            by_pool.setdefault(self._pool_of[pod], []).append(k)
        for pool, kills in by_pool.items():
            tried, booked = self._booked(pool)
            if len(tried) == 0:
                continue
            levels = self._course.levels_at(np.array([at_s[k] for k in kills])) * N_LEVELS
            shares = self._course.net.pods[[pods[k] for k in kills], POD_SHARE]
            times = shares / self._course.net.pods[self._middle(pool), POD_SHARE]
            below = np.clip(np.searchsorted(tried, levels, side="right") - 1, 0, len(tried) - 2)
            part = (levels - tried[below]) / (tried[below + 1] - tried[below])
            weights = np.bincount(below, times * (1.0 - part), len(tried))
            weights += np.bincount(below + 1, times * part, len(tried))
            found += np.tensordot(weights, booked, axes=1)
        return found

    def one_of(self, pool: int) -> tuple[int, ...]:
        """One pod of a pool missing, as counts of all pools."""
        return self._ones[pool]

    def limit_if_booked(self, counts: tuple[int, ...], slow: tuple[int, float] | None = None) -> int:
        """Highest level at which a loss of pods is endured if what it costs is booked, 0 if none.

        Parameters
        ----------
        counts : tuple of int
            (n_pools,) missing pods.
        slow : tuple of int and float
            All pods of this pool are so many times slower meanwhile.
        """
        question = "limit if booked", counts, slow
        return self._whole(question, lambda: _highest(lambda level: self._loses_little(counts, level, slow)))

    def _loses_little(self, counts: tuple[int, ...], level: int, slow: tuple[int, float] | None) -> bool:
        """Whether nothing crosses a threshold, and hardly any request is lost that would not be if all pods ran."""
        steady = self._levels.steady(level)
        if steady is None:
            return False
        normal = self._levels.steady_rates(level)
        if slow is not None:
            slower = self._slower(*slow, level)
            if slower is None:
                return False
            normal = normal + slower[1]
        scratch = self._levels.at(level)
        if slow is not None:
            scratch.set_speed(*slow)
        self._kill(scratch, counts)
        if not self._levels.stays_quiet(scratch, steady):
            return False
        return bool((self._lost(self._levels.rates(scratch), normal) <= _BOOKED_SLACK).all())

    @staticmethod
    def _lost(rates: Floats, normal: Floats) -> Floats:
        """(n_groups,) share of the requests of each population that is lost beside what is lost normally."""
        return np.asarray((normal - rates)[TOTAL_GOOD::N_TOTALS] / np.maximum(normal[TOTAL_OFFERED::N_TOTALS], 1e-9))

    def _kill(self, scratch: Scratch, counts: tuple[int, ...]) -> None:
        for pool, count in enumerate(counts):
            for pod in self._worst[pool][:count]:
                scratch.change(Change(0.0, pod, starts=False))

    def cost_of_missing(self, pool: int, n_missing: int) -> tuple[int, Floats]:
        """Highest level at which so many pods of a pool may be missing at no cost, and what it costs at each level.

        Returns
        -------
        int
            0 to `N_LEVELS`.
        array
            (N_LEVELS + 1, n_groups * N_TOTALS) change of the totals, 1/s. Nothing where the loss is not endured.
        """

        def find() -> Arrays:
            free, rates = self._cost_of_missing(pool, n_missing)
            return {"free": np.array(free), "rates": rates}

        found = self._course.once(("cost of missing", pool, n_missing), find)
        return int(found["free"]), found["rates"]

    def _cost_of_missing(self, pool: int, n_missing: int) -> tuple[int, Floats]:
        counts = tuple(n_missing * one for one in self.one_of(pool))
        free = self.limit(counts)
        rates = np.zeros((N_LEVELS + 1, len(self._course.net.groups) * N_TOTALS))
        for level in range(free + 1, N_LEVELS + 1):
            if self._levels.steady(level) is None:
                break
            scratch = self._levels.at(level)
            self._kill(scratch, counts)
            if not scratch.run(WATCH_S, self._course.guards):
                break
            rates[level] = self._levels.rates(scratch) - self._levels.steady_rates(level)
        return free, rates

    def slowness(self, pool: int, factor: float) -> "Slowness":
        """How much of a slower pool is endured if what it costs is booked, and what that is.

        All pods are `factor` times slower. It is tried at parts of a level where losses depend on the demand: up to the
        limit, what is lost grows by so little from one of them to the next that straight lines between are good to a
        few requests an hour, and nothing crosses a threshold.
        """

        def find() -> Arrays:
            found = self._slowness(pool, factor)
            return {"limit": np.array(found.limit), "rates": found.rates, "once": found.once}

        known = self._course.once(("slowness", pool, float(factor)), find)
        return Slowness(int(known["limit"]), known["rates"], known["once"])

    def _slowness(self, pool: int, factor: float) -> "Slowness":
        n_columns = len(self._course.net.groups) * N_TOTALS
        found = Slowness(0, *(np.zeros((N_LEVELS * PARTS + 1, n_columns)) for _ in range(2)))
        lost = np.zeros(len(self._course.net.groups))
        for level in range(1, N_LEVELS + 1):
            tried, last = self._slower(pool, factor, level), found.limit
            if tried is not None and (level == 1 or (tried[0] - lost <= np.maximum(_BENDS_BY, 0.1 * lost)).all()):
                lost = found.take(PARTS * level, *tried)
                continue
            for part in range(last + 1, PARTS * level + 1):
                tried = self._slower(pool, factor, part / PARTS)
                if tried is None or (tried[0] - lost > np.maximum(_BOOKED_SLACK, (_GROWS_BY - 1.0) * lost)).any():
                    return found
                lost = found.take(part, *tried)
        return found

    def _slower(self, pool: int, factor: float, level: float) -> tuple[Floats, Floats, Floats] | None:
        """Share lost of each population, rates (1/s) and what changes once (`Slowness`); None if not endured."""
        steady = self._levels.steady(level)
        if steady is None:
            return None
        scratch, totals, normal = (
            self._levels.at(level),
            self._course.blueprint.layout.totals,
            self._levels.steady_rates(level),
        )
        before = scratch.state[totals:].copy()
        scratch.set_speed(pool, factor)
        if not self._levels.stays_quiet(scratch, steady):
            return None
        then = scratch.state[totals:].copy()
        rates = self._levels.rates(scratch)
        once = then - before - rates * WATCH_S
        before = scratch.state[totals:].copy()
        scratch.set_speed(pool, 1.0)
        if not scratch.run(WATCH_S + RATE_S + _BOOK_S, self._course.guards):
            return None
        # Who waits longer at the begin is served at the end: apart from each other they say nothing.
        once += scratch.state[totals:] - before - normal * _BOOK_S
        return self._lost(rates, normal), rates - normal, once

    def restart(self, pool: int, down_s: float) -> Restart:
        """How much of a crash is endured after which a pod of this pool is back in `down_s`, and what it costs."""
        if len(self._worst[pool]) < 2:  # the pool would be gone
            return Restart(0, np.zeros((N_LEVELS * PARTS + 1, len(self._course.net.groups) * N_TOTALS)))

        def find() -> Arrays:
            found = Restarts(self._levels, down_s).found(self._worst[pool][0], self._middle(pool))
            return {"limit": np.array(found.limit), "once": found.once}

        known = self._course.once(("restart", pool, float(down_s)), find)
        return Restart(int(known["limit"]), known["once"])

    def restart_kills(self, pod: int, down_s: float) -> Floats:
        """(N_LEVELS + 1, n_pods) logarithm of what the restart of a pod adds to the hazard of each; see `Restarts`."""
        question = "restart kills", pod, float(down_s)
        return self._course.once(question, lambda: {"kills": Restarts(self._levels, down_s).kills(pod)})["kills"]

    def kill_by_level(self, pool: int) -> Floats:
        """(N_LEVELS + 1, n_groups * N_TOTALS) what the end of the pod in the middle of a pool changes of the totals."""
        found = np.zeros((N_LEVELS + 1, len(self._course.net.groups) * N_TOTALS))
        tried, booked = self._booked(pool) if self._worst[pool] else ((), ())
        if len(tried) == 0:
            return found
        for level in range(N_LEVELS + 1):
            below = min(int(np.searchsorted(tried, level, side="right")) - 1, len(tried) - 2)
            part = (level - tried[below]) / (tried[below + 1] - tried[below])
            found[level] = (booked[below] + part * (booked[below + 1] - booked[below])).ravel()
        return found

    def load_of(self, pod: int) -> float:
        """Load of a pod beside that of the one in the middle of its pool."""
        pods = self._course.net.pods
        if not self._worst[self._pool_of[pod]]:
            return 1.0  # none of them runs
        return float(pods[pod, POD_SHARE] / pods[self._middle(self._pool_of[pod]), POD_SHARE])

    # -- inside ---------------------------------------------------------------------------------------

    def _middle(self, pool: int) -> int:
        rows = sorted(self._worst[pool])
        return rows[len(rows) // 2]

    def _whole(self, question: tuple[object, ...], find: Callable[[], int]) -> int:
        """A whole number, found once for all."""
        return int(self._course.once(question, lambda: {"is": np.array(find())})["is"])

    def _totals_of_a_kill(self, pool: int) -> tuple[Floats, Floats]:
        """Levels at which a kill was tried, 0 among them, and (n_levels, n_groups, N_TOTALS) what it changed.

        Without any level if it changes nothing: requests of users that are not on their way in this pool.
        """

        def find() -> Arrays:
            levels, booked = self._find_totals_of_a_kill(pool)
            return {"levels": levels, "booked": booked}

        found = self._course.once(("totals of a kill", pool), find)
        return found["levels"], found["booked"]

    def _find_totals_of_a_kill(self, pool: int) -> tuple[Floats, Floats]:
        levels = [j for j in _BOOKED_AT if j <= self.limit(self.one_of(pool))]
        nothing = np.zeros((len(self._course.net.groups), N_TOTALS))
        booked = np.array([nothing, *(self._kill_totals(pool, j) for j in levels)])
        if not levels or np.abs(booked).max() < 1e-6:
            return np.zeros(0), np.zeros((0, *nothing.shape))
        return np.array([0.0, *levels]), booked

    def _limit(self, counts: tuple[int, ...]) -> int:
        """Highest level at which the loss is endured and nobody notices, 0 if none."""
        return self._whole(("limit", counts), lambda: _highest(lambda level: self._endures(counts, level)))

    def _endures(self, counts: tuple[int, ...], level: int) -> bool:
        scratch, steady = self._levels.at(level), self._levels.steady(level)
        if steady is None:
            return False
        before = scratch.net.group_algebra[:, FLOW_SUCCESS].copy()
        self._kill(scratch, counts)
        if not self._levels.stays_quiet(scratch, steady):
            return False
        return bool((scratch.net.group_algebra[:, FLOW_SUCCESS] >= before - _SUCCESS_SLACK).all())

    def _kill_totals(self, pool: int, level: int) -> Floats:
        found = []
        for killed in ([], [self._middle(pool)]):
            scratch = self._levels.at(level)
            for pod in killed:
                scratch.change(Change(0.0, pod, starts=False))
            scratch.run(_BOOK_S)
            found.append(scratch.state[self._course.blueprint.layout.totals :].copy())
        return np.asarray(found[1] - found[0]).reshape(len(self._course.net.groups), N_TOTALS)


def _highest(holds: Callable[[int], bool]) -> int:
    """Highest level at which something holds, 0 if none: by bisection, as more demand is never easier."""
    low, high = 0, N_LEVELS + 1
    while high - low > 1:
        middle = N_LEVELS if high == N_LEVELS + 1 and low == 0 else (low + high) // 2
        low, high = (middle, high) if holds(middle) else (low, middle)
    return low
