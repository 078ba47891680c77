"""How many members of each stratum to sample, from what a pilot sample of each says. Knows nothing of what is lost."""

import math
from collections.abc import Mapping

import numpy as np
from numpy.typing import ArrayLike

from sim.errors import UsageError
from sim.estimate.base import Floats
from sim.estimate.means import FEW

LEAST_DRAWS = 20
"""Draws that each stratum gets at least, unless it has fewer members. The pilot of a skewed stratum often holds none of
its large losses, so that its spread looks like nothing; see docs/estimation.md for what coverage this many buy."""


def neyman_allocation(
    pilot: Mapping[str, ArrayLike],
    weights: Mapping[str, float],
    budget: float,
    *,
    costs: Mapping[str, float] | None = None,
    members: Mapping[str, int] | None = None,
    least: int = LEAST_DRAWS,
) -> dict[str, int]:
    """Return how many draws each stratum gets in all, the pilot's included.

    Best called in rounds, with a quarter, half and all of the budget, each time with all draws so far: what a pilot of
    twenty says of a skewed law is not to be trusted with everything.

    Parameters
    ----------
    pilot : mapping of array_like
        By stratum: losses of the draws made so far, shape (n_draws, n_measures) or (n_draws,).
    weights : mapping of float
        By stratum: how many members a trial has on average, or its share; positive for a stratum to be sampled.
    budget : float
        Draws in all, or, with `costs`, what they may cost in all; positive.
    costs : mapping of float, optional
        By stratum: what one draw costs (e.g. seconds), positive.
    members : mapping of int, optional
        By stratum: members there are to draw from; none gets more.
    least : int
        Draws that each stratum gets whatever the pilot says, >= 2.

    Returns
    -------
    dict of int
        By stratum, never fewer than the pilot has drawn. The budget may be exceeded by `least` and the pilot.

    Raises
    ------
    UsageError
        If the budget, a cost or `least` is impossible.

    Notes
    -----
    Neyman (1934): draws in proportion to weight x standard deviation / sqrt(cost) (Cochran 1977, eq. 5.24). With
    several measures the standard deviation is the root of the mean square over measures, each relative to the
    estimated total of its measure, so that no unit outweighs another. A stratum whose share exceeds its members gives
    the rest to the others. Where fewer than `FEW` draws differ from the rest, one more is imagined that is as large as
    the largest of any stratum: a spread that was not seen is not known to be absent, and its bound is what makes the
    interval wide.
    """
    if not (budget > 0 and math.isfinite(budget)):
        raise UsageError(f"the budget of draws must be positive and finite; got {budget!r}")
    if least < 2:
        raise UsageError(f"each stratum needs at least 2 draws for a spread; got least={least!r}")
    price = {name: 1.0 if costs is None else float(costs[name]) for name in weights}
    if any(not (cost > 0 and math.isfinite(cost)) for cost in price.values()):
        raise UsageError(f"the cost of a draw must be positive and finite; got {price!r}")
    drawn = {name: _rows(pilot[name]) if name in pilot else np.empty((0, 1)) for name in weights}
    pull = _pulls(drawn, weights, price)
    most = {name: math.inf if members is None else members[name] for name, weight in weights.items() if weight > 0}
    floor = {name: min(max(least, drawn[name].shape[0]), most[name]) for name in most}
    found = _shared(pull, price, budget, floor, most)
    return {name: int(found.get(name, 0)) for name in weights}


def _rows(values: ArrayLike) -> Floats:
    numbers = np.asarray(values, dtype=np.float64)
    return numbers[:, None] if numbers.ndim == 1 else numbers


def _pulls(drawn: Mapping[str, Floats], weights: Mapping[str, float], price: Mapping[str, float]) -> dict[str, float]:
    """Weight x relative standard deviation / sqrt(cost) by stratum."""
    sampled = [rows for rows in drawn.values() if rows.size]
    if not sampled:
        return {name: weights[name] / math.sqrt(price[name]) for name in drawn}
    totals = sum((weights[name] * rows.mean(axis=0) for name, rows in drawn.items() if rows.size), np.zeros(1))
    scale = np.where(np.abs(totals) > 0, np.abs(totals), 1.0)
    largest = np.abs(np.concatenate(sampled)).max(axis=0)
    pulls = {}
    for name, rows in drawn.items():
        spread = np.array([_spread(column, reach) for column, reach in zip(rows.T, largest, strict=False)]) / scale
        pulls[name] = weights[name] * float(np.sqrt((spread**2).mean())) / math.sqrt(price[name])
    return pulls


def _spread(values: Floats, reach: float) -> float:
    """Standard deviation of the values and, if few of them differ from the rest, of one as large as `reach`."""
    if values.size:
        _, counts = np.unique(values, return_counts=True)
        if values.size - counts.max() >= FEW:
            return float(values.std(ddof=1))
    return float(np.append(values, [reach, 0.0][: 1 if values.size else 2]).std(ddof=1))


def _shared(
    pull: Mapping[str, float],
    price: Mapping[str, float],
    budget: float,
    floor: Mapping[str, float],
    most: Mapping[str, float],
) -> dict[str, float]:
    """Share the budget in proportion to the pulls, within floor and most of each stratum.

    The factor between pull and draws is found by bisection: cost grows with it.
    """

    def draws(factor: float) -> dict[str, float]:
        return {name: min(max(floor[name], math.floor(factor * pull[name])), most[name]) for name in floor}

    def cost(factor: float) -> float:
        return sum(price[name] * n for name, n in draws(factor).items())

    pulling = [pull[name] for name in floor if pull[name] > 0]
    if not pulling or cost(0.0) >= budget:
        return draws(0.0)
    low, high = 0.0, (budget / min(price.values()) + 1.0) / min(pulling)
    for _ in range(200):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if cost(middle) <= budget else (low, middle)
    return draws(low)
