"""Signals: what the tape of a trial says, less what was to be expected, so that their mean over trials is 0.

Not less the mean of all tapes, which would have to be estimated, but less the compensator of each clock: while a clock
runs, its fault strikes at the rate of its law, and what a strike of that moment would bring on average is known. What
strikes bring less that integral is a martingale (O. O. Aalen, Nonparametric inference for a family of counting
processes, 1978), of mean 0 in every design, exactly but for the rounding of one integral. `sim.estimate.control` makes
means surer by it.
"""

import math
from collections.abc import Sequence
from typing import Final

import numpy as np
from numpy.typing import NDArray

from sim.laws import Empirical, Exponential, Fixed, Law
from sim.scenario.schema import Scenario
from sim.world.forecast import FACTS, UNTIL_FIXED_S, Clock, Forecast

MOST_DRAWS: Final = 25.0
"""Causes are taken, the rarest first, until so many strikes a trial are expected: each costs some microseconds, and
what strikes every other week makes no year worse than others."""
_STEP_S: Final = 1800.0
"""Longest step of an integral over lengths of repairs, for demand changes within hours ..."""
_STEPS: Final = 12.0
"""... and so many times a step is shorter than the lengths that it is about, down to ..."""
_SHORT_S: Final = 1.0
_RARE: Final = 0.01
"""Share of repairs that are longer; there days are averaged over, and steps may be as long as a part of them."""
_PIECE: Final = 1024
"""Moments whose integrals are worked out at once."""
Floats = NDArray[np.float64]


class Signals:
    """Signals of the trials of one design.

    Parameters
    ----------
    scenario : Scenario
        Faults that come by an exponential law or by deployments count; of those by other laws nothing is said.
    """

    def __init__(self, scenario: Scenario) -> None:
        self._forecast = Forecast([scenario], most_in_all=MOST_DRAWS)
        known = [clock.every is None or isinstance(clock.every, Exponential) for clock in self._forecast.clocks]
        self._is_known = np.array(known, dtype=np.bool_)
        self._expected = [_Expected(clock, self._forecast) for clock in self._forecast.clocks]

    def of(self, trials: Sequence[int]) -> Floats:
        """Signals of these trials: shape (n_trials, 3 n_causes), of mean 0; by cause, then as in `FACTS`."""
        n = len(trials)
        strikes = self._forecast.strikes(trials)
        strikes = strikes.those(self._is_known[strikes.clock])
        found = self._forecast.added_up(strikes, n)
        for k in np.flatnonzero(self._is_known):
            clock, expected = self._forecast.clocks[k], self._expected[k]
            mine = strikes.is_own & (strikes.clock == k)
            of_clock = np.tile(expected.in_all, (n, 1))
            # While a fault is active, its clock does not run.
            idle = expected.until(strikes.end_s[mine]) - expected.until(strikes.begin_s[mine])
            np.subtract.at(of_clock, strikes.trial[mine], idle)
            for cause, prob in clock.places:
                found[:, self._forecast.place_of[cause]] -= prob * of_clock
        return found.reshape(n, found.shape[1] * found.shape[2])


class _Expected:
    """Facts that a clock is to bring on average.

    A strike at t that lasts R brings B(t + R) - B(t), where B counts hours, or busy ones, up to the horizon. At a rate
    of r per second that is, until t, r times the integral over s of [B(t + s) - B(s)] P(R > s).
    """

    def __init__(self, clock: Clock, forecast: Forecast) -> None:
        self._forecast = forecast
        self._per_s = 0.0 if clock.every is None else 1.0 / clock.every.mean_s
        if clock.every is None:
            assert clock.spec.per_deployment is not None
            at_s = np.array(list(clock.deployments(forecast.horizon_s)))
            brought = self._brought(at_s + UNTIL_FIXED_S) - self._brought(at_s)
            self.in_all = clock.spec.per_deployment * np.array([len(at_s), *brought.sum(axis=1)])
            return
        repair = clock.repair or Fixed(UNTIL_FIXED_S)
        nodes_s = _nodes(repair, forecast.horizon_s)
        self._middle_s, widths_s = 0.5 * (nodes_s[1:] + nodes_s[:-1]), np.diff(nodes_s)
        # Two points of Gauss, inside of each step, because at its ends a law of few values jumps.
        inner = widths_s / math.sqrt(12.0)
        over = [[1.0 - repair.cdf(float(s)) for s in self._middle_s + side * inner] for side in (-1.0, 1.0)]
        self._weight = 0.5 * np.sum(over, axis=0) * widths_s
        self.in_all = self.until(np.array([forecast.horizon_s]))[0]
        """Until the horizon, if the clock ran all the time: shape (3,), as `FACTS`."""

    def until(self, at_s: Floats) -> Floats:
        """Facts of strikes until these times, if the clock ran all the time: shape (n, 3), as `FACTS`."""
        found = np.zeros((len(at_s), len(FACTS)))
        if self._per_s == 0.0:
            return found
        found[:, 0] = at_s
        begin = self._brought(self._middle_s)
        for first in range(0, len(at_s), _PIECE):
            piece = slice(first, first + _PIECE)
            rise = self._brought(at_s[piece, None] + self._middle_s) - begin[:, None]
            found[piece, 1:] = np.einsum("fts,s->tf", rise, self._weight)
        return self._per_s * found

    def _brought(self, at_s: Floats) -> Floats:
        """Hours and busy hours until times, none beyond the horizon: shape (2, *shape of the times)."""
        inside = np.minimum(at_s, self._forecast.horizon_s)
        return np.stack([inside, self._forecast.busy_s(inside)]) / 3600.0


def _nodes(repair: Law, horizon_s: float) -> Floats:
    """Lengths between which the integral is taken: close where repairs end, and at each length that is certain."""
    nodes, at_s = [0.0], 0.0
    while at_s < horizon_s and repair.cdf(at_s) < 1.0:
        longest_s = _STEP_S if 1.0 - repair.cdf(at_s) > _RARE else math.inf
        at_s += min(max(at_s / _STEPS, _SHORT_S), longest_s)
        nodes.append(min(at_s, horizon_s))
    if isinstance(repair, Fixed):
        nodes.append(repair.median_s)
    if isinstance(repair, Empirical):
        nodes.extend(repair.values_s)
    return np.unique(np.minimum(nodes, horizon_s))
