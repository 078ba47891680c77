"""When an alert on the burn rate of an error budget pages: what it would have made of a trial's curve of success.

A pure function of a curve. It must not know who is paged, nor what the trial did about it.
"""

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class BurnAlert:
    """Pages when the error budget burns `burn` times too fast, over a long and over a short window.

    Parameters
    ----------
    objective : float
        Share of requests that must end well, (0, 1).
    burn : float
        Mean error share over a window, as a multiple of 1 - objective, that pages, > 0.
    window_s : float
        Long window, s, > 0.
    short_share : float
        Short window as a share of the long one, (0, 1]; it ends pages soon after the errors end.

    Notes
    -----
    B. Beyer et al., The Site Reliability Workbook (2018), chapter 5: 14.4 over 1 h and 6 over 6 h page, 1 over 3 d is a
    ticket, each with a short window of a twelfth.
    """

    objective: float
    burn: float
    window_s: float
    short_share: float = 1.0 / 12.0

    @property
    def threshold(self) -> float:
        """Mean error share that pages."""
        return self.burn * (1.0 - self.objective)

    def detection_s(self, error_share: float) -> float:
        """Return the time from a step of the error share to the page, in s; infinity if it never pages.

        Parameters
        ----------
        error_share : float
            From then on, [0, 1]; before, no errors over a window.
        """
        if error_share < self.threshold or error_share <= 0.0:
            return math.inf
        return self.threshold / error_share * self.window_s  # the short window is behind its threshold sooner

    def paged_at_s(self, times_s: Floats, success: Floats) -> float:
        """Return when it pages first, s; infinity if never.

        Parameters
        ----------
        times_s : (n,) array
            Rising; the success share is constant from each time to the next, and one before the first.
        success : (n,) array
            Share of requests that end well, [0, 1]; the last value counts up to its own time only.
        """
        lost = np.concatenate([[0.0], np.cumsum((1.0 - success[:-1]) * np.diff(times_s))])
        windows = np.array([self.window_s, self.window_s * self.short_share])
        # Means over windows are straight lines between the moments at which a value enters or leaves one.
        moments = np.unique(np.concatenate([times_s, *(times_s + w for w in windows)]))
        moments = moments[moments <= times_s[-1]]
        if len(moments) == 0:
            return math.inf
        before = np.interp(moments[:, None] - windows, times_s, lost)
        over = (np.interp(moments, times_s, lost)[:, None] - before) / windows - self.threshold
        for k in range(len(moments)):
            if k == 0:
                if (over[0] >= 0.0).all():
                    return float(moments[0])
                continue
            # Each line crosses zero once at most in this piece; the page comes when the later one has risen above.
            rise = over[k] - over[k - 1]
            with np.errstate(divide="ignore", invalid="ignore"):
                part = np.where(over[k - 1] >= 0.0, 0.0, np.where(rise > 0.0, -over[k - 1] / rise, np.inf))
            latest = float(part.max())
            if latest <= 1.0 and (over[k - 1] + latest * rise >= -1e-12).all():
                return float(moments[k - 1] + latest * (moments[k] - moments[k - 1]))
        return math.inf
