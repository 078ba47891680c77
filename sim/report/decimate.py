"""Fewer points for the same picture: what a screen cannot show need not be in the file.

A line is cut into as many bins of time as a wide screen has columns for it; of each bin the first, lowest, highest and
last point stay, so every spike and every level survives. Must not know figures.
"""

from typing import Final

import numpy as np

from sim.report.inputs import Floats

BINS: Final = 350


def envelope(x: Floats, y: Floats, bins: int = BINS) -> tuple[Floats, Floats]:
    """Points of a line that carry its envelope.

    Parameters
    ----------
    x : array of shape (n,)
        Ascending.
    y : array of shape (n,)
        NaN where the line is broken.
    bins : int
        At least 1; at most about 5 * bins points come back.

    Returns
    -------
    tuple of arrays of shape (k,)
        k <= n; x ascending, and a NaN of `y` kept in each bin that has one.
    """
    n = len(x)
    if n <= 4 * bins:
        return x, y
    edges = np.linspace(x[0], x[-1], bins + 1)
    of = np.clip(np.searchsorted(edges, x, side="right") - 1, 0, bins - 1)
    order = np.lexsort((np.where(np.isnan(y), -np.inf, y), of))  # within a bin: NaN first, then from low to high
    first = np.flatnonzero(np.diff(of[order], prepend=-1))
    last = np.append(first[1:], n) - 1
    broken = np.isnan(y[order])
    n_broken = np.add.reduceat(broken, first)
    lowest = order[np.minimum(first + n_broken, last)]
    ends = np.flatnonzero(np.diff(of, prepend=-1))
    keep = np.unique(np.concatenate([lowest, order[last], order[first], ends, np.append(ends[1:], n) - 1]))
    return x[keep], y[keep]


def steps(x: Floats, y: Floats) -> tuple[Floats, Floats]:
    """Points of a step line (constant until the next point): where the value changes, before a gap, and the ends."""
    if len(x) < 3:
        return x, y
    missing = np.isnan(y)
    same = (y[1:] == y[:-1]) | (missing[1:] & missing[:-1])
    keep = np.concatenate([[True], ~same])
    keep[:-1] |= missing[1:] & ~missing[:-1]  # else the step before a gap would have no end
    keep[-1] = True
    return x[keep], y[keep]


def held(y: Floats) -> Floats:
    """The line with each gap filled by the value before it (the first gap by the value after it)."""
    known = np.flatnonzero(np.isfinite(y))
    if len(known) == 0:
        return y
    before = np.searchsorted(known, np.arange(len(y)), side="right") - 1
    return np.asarray(y[known[np.maximum(before, 0)]], dtype=np.float64)
