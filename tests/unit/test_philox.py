"""The counter-based generator: known answers of its authors, the same bits in both kinds of code, plain checks."""

import numpy as np
import pytest
from scipy import stats

from sim.randomness import key_of, uniforms
from sim.randomness.philox import philox
from sim.reliability.compiled import uniform_pair

KNOWN = (  # Random123, kat_vectors: philox4x32 10
    ((0, 0, 0, 0), (0, 0), (0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8)),
    ((0xFFFFFFFF,) * 4, (0xFFFFFFFF,) * 2, (0x408F276D, 0x41C83B0E, 0xA20BC7C6, 0x6D5451FD)),
    (
        (0x243F6A88, 0x85A308D3, 0x13198A2E, 0x03707344),
        (0xA4093822, 0x299F31D0),
        (0xD16CFE09, 0x94FDCCEB, 0x5001E420, 0x24126EA1),
    ),
)


@pytest.mark.parametrize(("counter", "key", "answer"), KNOWN)
def test_known_answers(counter, key, answer):
    words = philox(tuple(np.uint64(word) for word in counter), np.uint64(key[0]), np.uint64(key[1]))
    assert tuple(int(word) for word in words) == answer


def test_numpy_and_compiled_give_the_same_bits():
    key, trial = key_of(3, "db/1", "cycle"), 2**40 + 5
    bulk = uniforms(key, trial, np.arange(2000))
    single = [uniform_pair(np.uint64(key), np.uint64(trial), i) for i in range(2000)]
    assert np.array_equal(np.array(single).T, np.array(bulk))


def test_every_part_of_the_key_counts():
    base = (7, "a", "cycle")
    others = [(8, "a", "cycle"), (7, "b", "cycle"), (7, "a", "shock"), (7, "ac", "ycle")]
    assert len({key_of(*base), *(key_of(*other) for other in others)}) == 5
    assert uniforms(key_of(*base), 0, 1)[0] != uniforms(key_of(*base), 1, 0)[0]


def test_uniform_whichever_way_one_looks():
    """Along the index, along trials, and along names; both halves; neighbours do not go together."""
    n = 50_000
    along_names = np.array([float(uniforms(key_of(1, f"disk/{i}", "cycle"), 0, 0)[0]) for i in range(5000)])
    sequences = [
        *uniforms(key_of(1, "a", "x"), 3, np.arange(n)),
        *uniforms(key_of(1, "a", "x"), np.arange(n), 3),
        along_names,
    ]
    for numbers in sequences:
        assert stats.kstest(numbers, "uniform").pvalue > 1e-4
        assert abs(np.corrcoef(numbers[:-1], numbers[1:])[0, 1]) * np.sqrt(len(numbers)) < 4
        assert numbers.min() > 0
        assert numbers.max() < 1
    assert abs(np.corrcoef(sequences[0], sequences[1])[0, 1]) * np.sqrt(n) < 4
    assert stats.kstest(np.arange(n) / n % 0.9, "uniform").pvalue < 1e-4, "the check itself can fail"
