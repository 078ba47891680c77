"""Planes in the steady state of a constant demand, by levels: where it is tried what a design endures."""

from functools import lru_cache
from typing import Final

import numpy as np

from sim.traffic.course import NO_HAZARD_PER_S, Course, Scratch
from sim.traffic.layout import *
from sim.traffic.layout import Floats

N_LEVELS: Final = 24
"""Demand is tried in this many steps of the peak; an answer is rounded to the safe side."""
PARTS: Final = 8
"""Parts of a level at which it is tried where it has to be."""
WATCH_S: Final = 1800.0
SETTLES_S: Final = 600.0
"""So long after a pod is back all must be as before; `world.quiet_loop` keeps what it passes over as far apart."""
_SETTLE_S: Final = 6.0 * 3600.0
RATE_S: Final = 600.0
"""Rates are means over so long, after half an hour."""


def extend(table: Floats, known: int, part: int, row: Floats) -> None:
    """Fill the rows of a table after the last one that is known by a straight line to this one, found at `part`."""
    weights = np.arange(1, part - known + 1)[:, np.newaxis] / (part - known)
    table[known + 1 : part + 1] = table[known] + weights * (row - table[known])


class Levels:
    """Planes of one course at constant demand.

    Parameters
    ----------
    course : Course
        Its undisturbed course, with guards and demand.
    """

    def __init__(self, course: Course) -> None:
        self.course = course
        self.steady = lru_cache(maxsize=None)(self._steady)
        self.steady_rates = lru_cache(maxsize=None)(self._steady_rates)

    def at(self, level: float) -> Scratch:
        """A plane in the steady state of a level, at time 0."""
        scratch = self._at_constant_demand(level)
        steady = self.steady(level)
        if steady is not None:
            scratch.begin(0.0, steady)
            scratch.run(1e-3)  # so that the algebra is that of the state
        return scratch

    def stays_quiet(self, scratch: Scratch, steady: Floats) -> bool:
        """Whether in the next half hour nothing crosses a threshold, and no pod comes near its memory limit."""
        if not scratch.run(WATCH_S, self.course.guards):
            return False
        layout = self.course.blueprint.layout
        hazard = scratch.state[layout.hazard : layout.hold] - steady[layout.hazard : layout.hold]
        return bool(hazard.max(initial=0.0) <= NO_HAZARD_PER_S * WATCH_S)

    def rates(self, scratch: Scratch) -> Floats:
        """(n_groups * N_TOTALS,) how fast totals grow, 1/s, from half an hour on at a constant demand."""
        totals = self.course.blueprint.layout.totals
        before = scratch.state[totals:].copy()
        scratch.run(WATCH_S + RATE_S)
        return np.asarray((scratch.state[totals:] - before) / RATE_S)

    # -- inside ---------------------------------------------------------------------------------------

    def _steady_rates(self, level: float) -> Floats:
        question = ("steady rates", float(level))
        return self.course.once(question, lambda: {"rates": self._find_steady_rates(level)})["rates"]

    def _find_steady_rates(self, level: float) -> Floats:
        scratch = self.at(level)
        scratch.run(WATCH_S)
        return self.rates(scratch)

    def _at_constant_demand(self, level: float) -> Scratch:
        scratch = Scratch(self.course, own_curves=True)
        curves = scratch.net.curves
        curves[:, :3] = 1.0
        curves[:, 3] = self.course.peak_per_s * level / N_LEVELS
        return scratch

    def _steady(self, level: float) -> Floats | None:
        """State in the long run at a constant demand; None if there something crosses a threshold anyway."""
        found = self.course.once(("steady", float(level)), lambda: {"state": self._find_steady(level)})["state"]
        return found if len(found) else None

    def _find_steady(self, level: float) -> Floats:
        """The same, empty if there is none."""
        scratch = self._at_constant_demand(level)
        scratch.begin(0.0, self.course.blueprint.state)
        scratch.run(_SETTLE_S)
        scratch.begin(0.0, scratch.state.copy())
        is_quiet = scratch.run(WATCH_S, self.course.guards)
        return scratch.state.copy() if is_quiet else scratch.state[:0]
