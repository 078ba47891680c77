"""Clocks of faults: when each one strikes which element next, as arrays that compiled code moves as well.

Times to failure are keyed by the element's name and their number, so that whatever happens in between, the k-th one of
an element is the same in every design.
"""

import math
from typing import Final

import numpy as np

from sim.randomness import Draws
from sim.world.elements import SHORTEST_S
from sim.world.plan import Clock, Plan
from sim.world.quiet_arrays import CLOCK_DRAWN, CLOCK_DUE, N_CLOCK_INTS, N_CLOCK_TIMES
from sim.world.quiet_draws import fill

_MARGIN: Final = 4.0
"""As many times are drawn at first as will be used but for so many standard deviations."""
_MOST_AT_ONCE: Final = 4096


class Clocks:
    """All clocks of one trial; they start at 0.

    Parameters
    ----------
    plan : Plan
        Of the faults.
    draws : Draws
        Seed and number of the trial.
    horizon_s : float
        For as long as that times are drawn at once, s.
    """

    def __init__(self, plan: Plan, draws: Draws, horizon_s: float) -> None:
        self.clocks, self._plan, self._draws = plan.clocks, plan, draws
        n = len(self.clocks)
        self.ints = np.zeros((n, N_CLOCK_INTS), dtype=np.int64)
        """(n, N_CLOCK_INTS)"""
        self.times_s = np.full((n, N_CLOCK_TIMES), np.inf)
        """(n, N_CLOCK_TIMES)"""
        self.lasts_s = np.zeros((n, 0))
        """(n, m) times to failure drawn so far, s."""
        expected = min(horizon_s / max(plan.shortest_s, SHORTEST_S), _MOST_AT_ONCE)
        self.draw(math.ceil(expected + _MARGIN * math.sqrt(expected)) + 4)
        self.times_s[:, CLOCK_DUE] = self.lasts_s[:, 0]
        self.ints[:, CLOCK_DRAWN] = 1
        self.next_s = math.inf
        """Time of the next strike, s."""
        self.moved()

    def draw(self, n_more: int) -> None:
        """Draw the next times to failure of all clocks."""
        first, means_s = self.lasts_s.shape[1], self._plan.means_s
        more_s = np.zeros((len(self.clocks), n_more))
        fill(np.uint64(self._draws.trial), self._plan.keys(self._draws.seed), means_s, first, more_s)
        for k in np.flatnonzero(np.isnan(means_s)):
            law = self.clocks[k].law
            more_s[k] = [law.from_uniform(float(u)) for u in more_s[k]]
        np.maximum(more_s, SHORTEST_S, out=more_s)
        self.lasts_s = np.hstack([self.lasts_s, more_s]) if first else more_s

    def moved(self) -> None:
        """Somebody moved the arrays."""
        self.next_s = float(self.times_s[:, CLOCK_DUE].min(initial=np.inf))

    def take_next(self) -> Clock:
        """The clock that strikes next stands still from now on."""
        number = int(self.times_s[:, CLOCK_DUE].argmin())
        self.times_s[number, CLOCK_DUE] = np.inf
        self.moved()
        return self.clocks[number]

    def wind(self, clock: Clock, from_s: float) -> None:
        """The clock starts again."""
        n_drawn = int(self.ints[clock.number, CLOCK_DRAWN])
        if n_drawn == self.lasts_s.shape[1]:
            self.draw(n_drawn)
        self.times_s[clock.number, CLOCK_DUE] = from_s + self.lasts_s[clock.number, n_drawn]
        self.ints[clock.number, CLOCK_DRAWN] = n_drawn + 1
        self.moved()
