"""Philox4x32-10: a hash of (key, trial, index) that is cheap enough for millions of draws a second.

The same functions run on NumPy arrays and, compiled, on single numbers (`sim.reliability.compiled`), so that both
give the same bits. A name is hashed once, by BLAKE2b, into the 64-bit key; trial and index make the 128-bit counter. So
a draw has no state, and neither order nor worker can matter. Must not know what an element is.

Source: Salmon, Moraes, Dror, Shaw, "Parallel random numbers: as easy as 1, 2, 3", SC'11. It passes TestU01's BigCrush;
the known answers of its authors and tests of what is made of it are in tests/unit/test_philox.py.
"""

from hashlib import blake2b
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

MULTIPLIER_0: Final = np.uint64(0xD2511F53)
MULTIPLIER_1: Final = np.uint64(0xCD9E8D57)
BUMP_0: Final = np.uint64(0x9E3779B9)
BUMP_1: Final = np.uint64(0xBB67AE85)
LOW: Final = np.uint64(0xFFFFFFFF)
HALF: Final = np.uint64(32)
DROPPED: Final = np.uint64(12)
ROUNDS: Final = 10
UNIT: Final = 2.0**-52


def key_of(seed: int, element: str, purpose: str) -> int:
    """Hash what a sequence of draws is for into a key of 64 bits.

    Parameters
    ----------
    seed : int
        Root of all random numbers of an experiment.
    element : str
        Name of the element, e.g. ``left-workstation/2``.
    purpose : str
        What the numbers decide, e.g. ``cycle``.

    Notes
    -----
    BLAKE2b (RFC 7693) with a personalisation of its own, so that no key of `draws.uniform` is met by chance.
    Two of n names share a key with probability n^2 / 2^65.
    """
    text = f"{seed},{len(element)}:{element}{len(purpose)}:{purpose}"
    return int.from_bytes(blake2b(text.encode(), digest_size=8, person=b"philox").digest(), "little")


def philox(counter: Any, key_low: Any, key_high: Any) -> Any:
    """Return four 32-bit words (as uint64) of a counter of four such words and a key of two.

    Works on uint64 scalars and, element by element, on uint64 arrays.
    """
    word_0, word_1, word_2, word_3 = counter
    for _ in range(ROUNDS):
        # 32 by 32 bits fit into 64: nothing overflows.
        product_0 = MULTIPLIER_0 * word_0
        product_1 = MULTIPLIER_1 * word_2
        word_0 = (product_1 >> HALF) ^ word_1 ^ key_low
        word_1 = product_1 & LOW
        word_2 = (product_0 >> HALF) ^ word_3 ^ key_high
        word_3 = product_0 & LOW
        key_low = (key_low + BUMP_0) & LOW
        key_high = (key_high + BUMP_1) & LOW
    return word_0, word_1, word_2, word_3


def to_unit(high: Any, low: Any) -> Any:
    """Return a number in [2**-53, 1 - 2**-53] of two 32-bit words; 52 bits, as in `draws.uniform`."""
    return ((((high << HALF) | low) >> DROPPED) + 0.5) * UNIT


def uniforms(key: int, trial: Any, index: Any) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the two uniform numbers strictly between 0 and 1 that one counter gives.

    Parameters
    ----------
    key : int
        Of `key_of`.
    trial, index : integers or integer arrays
        Number of the trial (with what a clone of it adds) and of the decision; broadcast against each other.

    Returns
    -------
    pair of arrays
        The first for a time to failure, say, the second for the repair that follows.

    Examples
    --------
    >>> first, second = uniforms(key_of(7, "db", "cycle"), 0, np.arange(3))
    >>> first.shape, bool(((first > 0) & (first < 1) & (first != second)).all())
    ((3,), True)
    """
    trials, indices = np.broadcast_arrays(np.asarray(trial, np.uint64), np.asarray(index, np.uint64))
    counter = (indices & LOW, indices >> HALF, trials & LOW, trials >> HALF)
    words = philox(counter, np.uint64(key) & LOW, np.uint64(key) >> HALF)
    return to_unit(words[0], words[1]), to_unit(words[2], words[3])
