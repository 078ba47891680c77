"""Intervals for probabilities and for rates of events. Knows nothing of what the events are."""

import math
from typing import Literal

from sim.errors import UsageError
from sim.estimate.base import Estimate, risk, unseen_prob

FEW = 10
"""Fewer trials with (or without) the event make Wilson's interval too short on the side of the rare outcome."""


def proportion_interval(
    successes: float, n: int, *, confidence: float = 0.95, method: Literal["wilson", "exact"] = "wilson"
) -> Estimate:
    """Estimate a probability from independent yes-no trials.

    Parameters
    ----------
    successes : float
        Trials with the event, in [0, n]; may be half-integer, where ties count half (`wilson` only).
    n : int
        Trials, at least 1.
    confidence : float
        In (0.5, 1).
    method : str
        `wilson`: score interval (Wilson 1927), near its nominal coverage on average over the probability; where fewer
        than `FEW` trials had the event (or had it not) its hull with the exact one, because one event in n trials
        lifts Wilson's lower end so far that it covers 90 %. `exact`: Clopper and Pearson (1934), never below.

    Returns
    -------
    Estimate
        With the event in none or in all trials the interval is one-sided and exact: the bound is
        1 - alpha^(1/n), or alpha^(1/n). `seen` is False if it was in none.

    Raises
    ------
    UsageError
        If the counts or the confidence are impossible.

    Examples
    --------
    >>> proportion_interval(0, 1000).note
    'none in 1000 trials'
    """
    alpha = risk(confidence)
    if n < 1:
        raise UsageError("a proportion needs at least one trial")
    if not 0 <= successes <= n:
        raise UsageError(f"successes must lie between 0 and the number of trials ({n}); got {successes!r}")
    share = successes / n
    if successes == 0:
        return Estimate(0.0, 0.0, unseen_prob(alpha, n), confidence, n, seen=False, note=f"none in {n} trials")
    if successes == n:
        return Estimate(1.0, 1.0 - unseen_prob(alpha, n), 1.0, confidence, n, note=f"in all of {n} trials")
    if method == "wilson":
        low, high = wilson(successes, n, alpha)
        if min(successes, n - successes) < FEW:
            exact = clopper_pearson(successes, n, alpha)
            low, high = min(low, exact[0]), max(high, exact[1])
    elif successes != int(successes):
        raise UsageError(f"the exact interval needs a whole number of successes; got {successes!r}")
    else:
        low, high = clopper_pearson(int(successes), n, alpha)
    return Estimate(share, min(low, share), max(high, share), confidence, n)


def rate_interval(events: int, exposure: float, *, n: int = 1, confidence: float = 0.95) -> Estimate:
    """Estimate the rate of a Poisson process.

    Parameters
    ----------
    events : int
        Events seen, >= 0.
    exposure : float
        Time (or whatever the rate is per) watched in all, positive.
    n : int
        Trials behind it; for the record only.
    confidence : float
        In (0.5, 1).

    Returns
    -------
    Estimate
        Per unit of exposure. Without events the bound is one-sided: -ln(alpha) / exposure.

    Raises
    ------
    UsageError
        If the count, the exposure or the confidence is impossible.

    Notes
    -----
    Garwood, F. (1936), Biometrika 28, 437-442: exact. Events that come in clusters are no Poisson process; use
    `mean_interval` of the counts per trial for them.
    """
    from scipy.special import gammaincinv

    alpha = risk(confidence)
    if events < 0 or events != int(events):
        raise UsageError(f"events must be a whole number that is not negative; got {events!r}")
    if not (exposure > 0 and math.isfinite(exposure)):
        raise UsageError(f"the exposure must be positive and finite; got {exposure!r}")
    if events == 0:
        bound = -math.log(alpha) / exposure
        return Estimate(0.0, 0.0, bound, confidence, n, seen=False, note=f"none in an exposure of {exposure:g}")
    low = float(gammaincinv(events, alpha / 2)) / exposure
    high = float(gammaincinv(events + 1, 1 - alpha / 2)) / exposure
    return Estimate(events / exposure, low, high, confidence, n)


def wilson(successes: float, n: int, alpha: float) -> tuple[float, float]:
    """Return the ends of Wilson's score interval: the probabilities whose normal test does not reject the share."""
    from scipy.special import ndtri

    z2 = float(ndtri(1 - alpha / 2)) ** 2
    share = successes / n
    centre = (share + z2 / (2 * n)) / (1 + z2 / n)
    reach = math.sqrt(z2 * (share * (1 - share) + z2 / (4 * n)) / n) / (1 + z2 / n)
    return max(centre - reach, 0.0), min(centre + reach, 1.0)


def clopper_pearson(successes: float, n: int, alpha: float) -> tuple[float, float]:
    """Return the ends of the exact interval: the probabilities at which either tail of the count is alpha / 2."""
    from scipy.special import betaincinv

    low = 0.0 if successes == 0 else float(betaincinv(successes, n - successes + 1, alpha / 2))
    high = 1.0 if successes == n else float(betaincinv(successes + 1, n - successes, 1 - alpha / 2))
    return low, high
