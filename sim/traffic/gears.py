"""Which gear the data plane runs in: mean rates, or single requests where chance decides.

It knows when to shift and why; `handover` knows how, `requests` and `kernel` run the gears.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from enum import Enum
from typing import Literal

import numpy as np

from sim.traffic.layout import *
from sim.traffic.network import Network

_CALM_S = 120.0
"""So long the hottest pod must have been well below the level before mean rates take over again ..."""
_CALM_SHARE = 0.9
"""... which is this share of the level that started the window."""
_SETTLED_S = 600.0
"""A collapse that nothing but its own crash loop changed for so long is taken as certain: mean rates do."""
_COLLAPSED_SUCCESS = 0.5
_HEALTHY_SUCCESS = 0.9
_LONG_S = 300.0


@dataclass(frozen=True)
class Noise:
    """How the gears are chosen.

    Parameters
    ----------
    mode : {"auto", "always", "never"}
        Windows in which chance decides; all the time; at no time.
    above_share : float
        Busy share of the hottest pod, at which a window begins, (0, 1]; of pools that callers retry against, and of
        those whose full queue does not fit their memory.
    most_requests : int
        Attempts and calls simulated one by one in a trial of `auto`, at most.
    seed_of : callable
        Unsigned 64-bit seed of the k-th window.
    """

    mode: Literal["auto", "always", "never"] = "never"
    above_share: float = 0.9
    most_requests: int = 1_000_000
    seed_of: Callable[[int], int] = field(default=lambda k: k)


class Shift(Enum):
    """Why the gear was shifted."""

    HOT = "single requests from here: a pod is near saturation, and retries or OOM kills may follow"
    ALWAYS = "single requests from here, as model.noise says"
    CALM = "mean rates from here: no pod is near saturation"
    SETTLED = "mean rates from here: the collapse is certain"
    BUDGET = "mean rates from here: as many single requests were simulated as model.noise_requests allows"


def delicate_pools(net: Network) -> list[int]:
    """Pools in which chance can decide how a hot hour ends.

    Somebody retries against them, directly or further up on the way of the calls; or a full queue kills their pods.
    """
    retried = {
        int(pool)
        for g, pools in enumerate(net.routes[:, :, ROUTE_ENTRY])
        if net.groups[g, GROUP_ATTEMPTS] > 1
        for pool in pools
        if pool >= 0
    }
    retried |= {int(edge[EDGE_TO]) for edge in net.edges if edge[EDGE_ATTEMPTS] > 1}
    while True:
        further = {int(edge[EDGE_TO]) for edge in net.edges if int(edge[EDGE_FROM]) in retried} - retried
        if not further:
            overflowing = {int(i) for i in np.flatnonzero(net.pools[:, POOL_OVERFLOWS])}
            return sorted(retried | overflowing)
        retried |= further


class Chooser:
    """Decides when to shift; one per trial."""

    def __init__(self, noise: Noise, net: Network) -> None:
        self.noise = noise
        self.pools = delicate_pools(net) if noise.mode == "auto" else []
        self.n_windows = 0
        self.spent = 0
        """Requests simulated in earlier windows."""
        self._taken_over = 0
        """Requests that were there already when a window began: each costs about as much as one simulated."""
        self._calm_since_s = np.inf
        self._collapsed_since_s = np.inf
        self._long_success = 1.0
        self._looked_at_s = 0.0
        self._settled = False

    def begin(self, now_s: float, success: float, n_open: int) -> int:
        """A window begins: its seed.

        Parameters
        ----------
        now_s : float
            Time, s.
        success : float
            Of the worst population, [0, 1].
        n_open : int
            Requests inside or waiting to try again.
        """
        self.n_windows += 1
        self._taken_over += n_open
        self._long_success, self._looked_at_s = success, now_s
        self._calm_since_s = self._collapsed_since_s = np.inf
        return self.noise.seed_of(self.n_windows - 1)

    @property
    def most_in_window(self) -> int | None:
        """Requests that the budget leaves to the window that has begun; None: no bound."""
        return None if self.noise.mode != "auto" else self.noise.most_requests - self.spent - self._taken_over

    def may_begin(self, success: float, n_open: int) -> bool:
        """Whether a window may begin: the budget allows it, and no certain collapse goes on."""
        if self._settled and success > _HEALTHY_SUCCESS:
            self._settled = False
        if self.noise.mode == "always":
            return True
        return not self._settled and self.spent + self._taken_over + n_open < self.noise.most_requests

    def disturbed(self) -> None:
        """Faults, people or controllers changed something: nothing is settled any more."""
        self._collapsed_since_s = np.inf
        self._settled = False

    def wants_rates(self, now_s: float, hottest: float, success: float, n_sent: int) -> Shift | None:
        """After a tick: whether to go back to mean rates, and why.

        Parameters
        ----------
        now_s : float
            Time, s.
        hottest : float
            Smoothed busy share of the hottest pod of the `pools`.
        success : float
            Smoothed success of the worst population, [0, 1].
        n_sent : int
            Requests simulated in this window.
        """
        if self.noise.mode != "auto":
            return None
        if self.spent + self._taken_over + n_sent >= self.noise.most_requests:
            return Shift.BUDGET
        calm = hottest < _CALM_SHARE * self.noise.above_share and success > _COLLAPSED_SUCCESS
        self._calm_since_s = min(self._calm_since_s, now_s) if calm else np.inf
        if now_s - self._calm_since_s >= _CALM_S:
            return Shift.CALM
        # Pods of a crash loop serve for moments: what counts is the success over several minutes.
        passed_s = now_s - self._looked_at_s
        self._long_success += (success - self._long_success) * -math.expm1(-passed_s / _LONG_S)
        self._looked_at_s = now_s
        collapsed = self._long_success < _COLLAPSED_SUCCESS
        self._collapsed_since_s = min(self._collapsed_since_s, now_s) if collapsed else np.inf
        if now_s - self._collapsed_since_s >= _SETTLED_S:
            self._settled = True
            return Shift.SETTLED
        return None
