"""Random numbers as a pure function of what they are for: no stream, no state, no order.

A draw is keyed by (seed, trial, element name, purpose, index). Whoever asks, in whatever order, on whatever
worker, gets the same number; two architectures that share an element see the same history of it (common random
numbers), and one trial can be replayed alone. This module must not know what an element is.
"""

import math
from dataclasses import dataclass
from hashlib import blake2b


def uniform(seed: int, trial: int, element: str, purpose: str, index: int) -> float:
    """Draw a uniform number strictly between 0 and 1, a pure function of the arguments.

    Parameters
    ----------
    seed : int
        Root of all random numbers of an experiment.
    trial : int
        Number of the trial.
    element : str
        Name of the element, e.g. ``sweden-central/irm/2``.
    purpose : str
        What the number decides, e.g. ``time-to-failure``.
    index : int
        How many such decisions the element made before; 0 for the first.

    Returns
    -------
    float
        In [2**-53, 1 - 2**-53]: never 0 and never 1, so that every inverse cdf is finite.

    Notes
    -----
    The key is hashed by BLAKE2b (RFC 7693), about 1 us. Names are preceded by their length, so that different
    keys never give the same text. 52 bits of the hash are kept, because (k + 1/2) / 2**52 is then an exact float;
    with 53 bits the largest one would round to 1.

    Examples
    --------
    >>> uniform(7, 0, "gateway", "repair", 0) == uniform(7, 0, "gateway", "repair", 0)
    True
    >>> uniform(7, 0, "a", "bc", 0) == uniform(7, 0, "ab", "c", 0)
    False
    """
    key = f"{seed},{trial},{index},{len(element)}:{element}{len(purpose)}:{purpose}"
    bits = int.from_bytes(blake2b(key.encode(), digest_size=8).digest(), "little") >> 12
    return (bits + 0.5) * 2.0**-52


@dataclass(frozen=True, slots=True)
class Draws:
    """All random numbers of one trial.

    Parameters
    ----------
    seed : int
        Root of all random numbers of an experiment.
    trial : int
        Number of the trial.
    """

    seed: int
    trial: int

    def uniform(self, element: str, purpose: str, index: int) -> float:
        """Draw a uniform number strictly between 0 and 1; see `uniform`."""
        return uniform(self.seed, self.trial, element, purpose, index)

    def integer(self, element: str, purpose: str, index: int) -> int:
        """Draw 52 random bits, e.g. the seed of a generator that is kept for one thing only."""
        return int(uniform(self.seed, self.trial, element, purpose, index) * 2.0**52)

    def exponential(self, element: str, purpose: str, index: int) -> float:
        """Draw an exponential number of unit mean, growing with the uniform number of the same key."""
        return -math.log1p(-uniform(self.seed, self.trial, element, purpose, index))
