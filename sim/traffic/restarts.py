"""What it costs that one pod dies and is back a fixed time later while all else is well, and up to which demand nobody
notices.

Most disturbances of a year are like that. What is tried here is what happens, no longer loss than that: at the peak a
pool may carry the loss of a pod for the half minute of its restart and not for good.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from sim.traffic.course import Change, Scratch
from sim.traffic.layout import *
from sim.traffic.layout import Floats
from sim.traffic.levels import N_LEVELS, PARTS, SETTLES_S, Levels, extend

_BOOK_S: Final = 900.0
"""Every request has ended so long after it."""
_FEW: Final = 1.0
"""Where chance could decide, fewer requests than this may fail beside those that die with the pod: a storm of retries
needs as many as a pod holds."""
_FAIL: Final = 0.1
"""Where more requests than this fail, what they cost bends: finer steps."""
_STEP: Final = PARTS // 4
_NOTHING: Final = -60.0
_KILLS: Final = 1e-6
"""So little added hazard counts as none: one kill in ten thousand years of a hundred crashes."""


@dataclass
class Restart:
    """Up to which demand the restart of a pod is endured, and what it costs, by parts of levels (row 0: no demand)."""

    limit: int
    """Parts of levels; 0: it is not endured."""
    once: Floats
    """(N_LEVELS * PARTS + 1, n_groups * N_TOTALS) change of the totals by the pod in the middle of its pool."""

    def take(self, part: int, row: Floats) -> None:
        """Note a row found at a part of a level, and a line from the last one that is known."""
        extend(self.once, self.limit, part, row)
        self.limit = part


class Restarts:
    """Restarts of single pods.

    Parameters
    ----------
    levels : Levels
        Planes to try it on.
    down_s : float
        From the crash until the pod is ready, s.
    """

    def __init__(self, levels: Levels, down_s: float) -> None:
        self._levels, self._down_s = levels, down_s
        course, layout = levels.course, levels.course.blueprint.layout
        self._totals = slice(layout.totals, None)
        self._first_good = slice(layout.totals + TOTAL_FIRST_GOOD, None, N_TOTALS)
        self._hazard = slice(layout.hazard, layout.hold)
        # Where chance decides is no threshold that anybody watches: see `_FEW`.
        self._guards = course.guards.copy()
        hot = self._guards[:, GUARD_KIND] == GUARD_HOT
        self._chance_matters = bool((hot & (self._guards[:, GUARD_ARMED] != 0.0)).any())
        self._guards[hot, GUARD_ARMED] = 0.0

    def found(self, worst: int, middle: int) -> Restart:
        """Tried at whole levels while next to nothing fails, and finer from there on.

        Parameters
        ----------
        worst, middle : int
            Rows of the pod of a pool that carries most, which decides what is endured, and of a typical one.
        """
        n_columns = len(self._levels.course.net.groups) * N_TOTALS
        found, step = Restart(0, np.zeros((N_LEVELS * PARTS + 1, n_columns))), PARTS
        while found.limit + step <= N_LEVELS * PARTS:
            tried = self._try((found.limit + step) / PARTS, worst, middle)
            if step == PARTS and (tried is None or tried[0] > _FAIL):
                step = _STEP
            elif tried is None:
                break
            else:
                found.take(found.limit + step, tried[1])
        return found

    def kills(self, pod: int) -> Floats:
        """(N_LEVELS + 1, n_pods) logarithm of what the restart of a pod adds to the hazard of each, by level of demand.

        Whoever notices. Hardly anything at one level is nothing at all levels below; minus infinity throughout if there
        never is anything.
        """
        found, lowest = np.full((N_LEVELS + 1, len(self._levels.course.net.pods)), _NOTHING), N_LEVELS + 1
        for level in range(N_LEVELS, 0, -1):
            if self._levels.steady(level) is None:
                found[level] = 0.0  # nothing is passed over there
                continue
            untouched, (scratch, _) = self._untouched(level), self._crashed(level, pod)
            self._restart(scratch, pod)
            more = np.maximum((scratch.state - untouched.state)[self._hazard], 0.0)
            more[pod] = 0.0  # it has a hazard of its own from its restart on
            if more.sum() < _KILLS:
                break
            lowest = level
            found[level] = np.log(np.maximum(more, math.exp(_NOTHING)))
        return found if lowest <= N_LEVELS else np.full_like(found, -np.inf)

    # -- inside ---------------------------------------------------------------------------------------

    def _try(self, level: float, worst: int, middle: int) -> tuple[float, Floats] | None:
        """Requests that fail, and change of the totals, by a restart at a level; None if it is not endured."""
        if self._levels.steady(level) is None:
            return None
        untouched, (scratch, died) = self._untouched(level), self._crashed(level, worst)
        if not self._restart(scratch, worst):
            return None
        n_failed = float((untouched.state - scratch.state)[self._first_good].sum() - died)
        if self._chance_matters and n_failed > _FEW:
            return None
        if not self._levels.course.is_near(scratch.state, untouched.state):
            return None
        if middle != worst:
            scratch, _ = self._crashed(level, middle)
            if not self._restart(scratch, middle):
                return None
        for plane in (scratch, untouched):
            plane.run(self._down_s + SETTLES_S + _BOOK_S)
        return n_failed, np.asarray((scratch.state - untouched.state)[self._totals])

    def _untouched(self, level: float) -> Scratch:
        """A plane without a crash, when one with it should have settled."""
        scratch = self._levels.at(level)
        scratch.run(self._down_s + SETTLES_S)
        return scratch

    def _crashed(self, level: float, pod: int) -> tuple[Scratch, float]:
        """A plane in which a pod has just died, and first attempts that died with it."""
        scratch = self._levels.at(level)
        before = scratch.state[self._first_good].sum()
        scratch.change(Change(0.0, pod, starts=False))
        return scratch, float(before - scratch.state[self._first_good].sum())

    def _restart(self, scratch: Scratch, pod: int) -> bool:
        """Go on until it should have settled; whether nothing crossed a threshold."""
        quiet = scratch.run(self._down_s, self._guards)
        if not quiet:
            scratch.run(self._down_s)
        scratch.change(Change(self._down_s, pod, starts=True))
        end_s = self._down_s + SETTLES_S
        if scratch.run(end_s, self._guards):
            return quiet
        scratch.run(end_s)
        return False
