"""Alerts on the burn rate of an error budget: they page when errors take up too much of two windows at once.

The errors of a window are those of first attempts, and the requests that began in it; both are read off the totals of
the data plane. Nothing is evaluated while errors are too few to page. It knows neither people nor outages.
"""

from bisect import bisect_left
from collections.abc import Callable

from sim.scenario.schema import BurnRate
from sim.traffic.demand import Cumulative
from sim.traffic.layout import GUARD_SUCCESS, TOTAL_FIRST_GOOD, TOTAL_OFFERED
from sim.world.context import Context

_ROUNDING = 1e-9


class BurnAlert:
    """One alert for one population.

    Parameters
    ----------
    context : Context
        The trial.
    group : int
        The population.
    spec : BurnRate
        The alert.
    page : callable
        Called each time the alert begins to fire.

    Notes
    -----
    B. Beyer et al., The Site Reliability Workbook (2018), chapter 5. Between two looks the demand follows its curve and
    the share of errors is constant; before the start there were none.
    """

    def __init__(self, context: Context, group: int, spec: BurnRate, page: Callable[[], None]) -> None:
        self._context, self._group, self._spec, self._page = context, group, spec, page
        self._demand = Cumulative(context.traffic.net.curves[group])
        self._at_s, self._offered, self._bad = [0.0], [0.0], [0.0]
        self.firing = self._below = self._looking = False
        """`firing`: errors take up too much of both windows."""
        self._above_since_s = 0.0
        self.threshold = spec.burn * (1.0 - context.scenario.objectives.availability.target)
        """Share of errors that pages."""
        if self.threshold < 1.0 - _ROUNDING:
            context.watch(GUARD_SUCCESS, group, 1.0 - self.threshold, self._success_changes)

    def _success_changes(self, below: bool) -> None:
        self._note()
        self._below, self._above_since_s = below, self._context.now_s
        if not self._looking:
            self._looking = True
            self._later()

    def _later(self) -> None:
        """At the next moment of evaluation; these stand in no relation to the begin of an outage."""
        every_s, now_s = self._spec.every, self._context.now_s
        next_s = (int(now_s / every_s) + 1) * every_s
        self._context.after(next_s - now_s, self._look)

    def _look(self) -> None:
        self._note()
        mean = min(self._error_share(self._spec.over), self._error_share(self._spec.short_s))
        fires = mean >= self.threshold * (1.0 - _ROUNDING)
        begins = fires and not self.firing
        self.firing = fires
        # Once errors are few again, the short window can reach the threshold only while it still holds many.
        if self._below or fires or self._context.now_s - self._above_since_s < self._spec.short_s:
            self._later()
        else:
            self._looking = False
        if begins:
            self._page()

    def _note(self) -> None:
        totals = self._context.traffic.totals(self._group)
        self._at_s.append(self._context.now_s)
        self._offered.append(totals[TOTAL_OFFERED])
        self._bad.append(totals[TOTAL_OFFERED] - totals[TOTAL_FIRST_GOOD])
        forget = bisect_left(self._at_s, self._context.now_s - self._spec.over) - 1
        if forget > 0:
            del self._at_s[:forget], self._offered[:forget], self._bad[:forget]

    def _error_share(self, window_s: float) -> float:
        """Errors as a share of the requests of the last `window_s`."""
        offered, bad = self._until(self._context.now_s - window_s)
        requests = self._offered[-1] - offered
        return (self._bad[-1] - bad) / requests if requests > 0.0 else 0.0

    def _until(self, at_s: float) -> tuple[float, float]:
        """Requests offered and lost until a moment of the past."""
        if at_s <= 0.0:
            return self._demand(at_s), 0.0
        k = bisect_left(self._at_s, at_s)
        if self._at_s[k] == at_s:
            return self._offered[k], self._bad[k]
        begin, end = self._demand(self._at_s[k - 1]), self._demand(self._at_s[k])
        part = (self._demand(at_s) - begin) / (end - begin) if end > begin else 1.0
        return (
            self._offered[k - 1] + part * (self._offered[k] - self._offered[k - 1]),
            self._bad[k - 1] + part * (self._bad[k] - self._bad[k - 1]),
        )
