"""Times to failure of all clocks of a trial, drawn in one compiled pass.

The k-th time of a clock is a pure function of (seed, element name, fault) by the key, of the trial and of k, so that
neither how many are drawn at once nor which other clocks there are changes it.
"""

import math
from typing import Any

import numpy as np

from sim.world.compiled import compiled, philox, to_unit

LOW = np.uint64(0xFFFFFFFF)
HALF = np.uint64(32)


@compiled
def fill(trial: Any, keys: Any, means_s: Any, first: int, lasts_s: Any) -> None:
    """Fill rows of times (s), or of uniform numbers where the mean is not a number.

    Parameters
    ----------
    trial : uint64
        Number of the trial.
    keys : (n,) uint64
        Of `sim.randomness.philox.key_of`.
    means_s : (n,) float
        Of exponential laws; NaN where another law makes a time of the uniform number.
    first : int
        Number of the first draw, >= 0.
    lasts_s : (n, m) float
        Draws `first` to `first + m - 1`.
    """
    for c in range(lasts_s.shape[0]):
        key = keys[c]
        for k in range(lasts_s.shape[1]):
            place = np.uint64(first + k)
            words = philox((place & LOW, place >> HALF, trial & LOW, trial >> HALF), key & LOW, key >> HALF)
            u = to_unit(words[0], words[1])
            lasts_s[c, k] = u if math.isnan(means_s[c]) else -means_s[c] * math.log1p(-u)
