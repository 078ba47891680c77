"""Draws are uniform, independent of each other, and depend on nothing but their key."""

import math
import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from sim.randomness import Draws, uniform

N = 20_000


def draws_by(axis: str) -> np.ndarray:
    """Draw N numbers along one part of the key, the others fixed."""
    keys = {
        "seed": lambda k: uniform(k, 0, "a", "b", 0),
        "trial": lambda k: uniform(0, k, "a", "b", 0),
        "element": lambda k: uniform(0, 0, f"region/{k}", "b", 0),
        "purpose": lambda k: uniform(0, 0, "a", f"purpose-{k}", 0),
        "index": lambda k: uniform(0, 0, "a", "b", k),
    }
    return np.array([keys[axis](k) for k in range(N)])


AXES = ("seed", "trial", "element", "purpose", "index")


@pytest.mark.parametrize("axis", AXES)
def test_draws_along_each_part_of_the_key_are_uniform(axis: str) -> None:
    u = draws_by(axis)
    assert stats.kstest(u, "uniform").pvalue > 1e-4
    counts, _ = np.histogram(u, bins=100, range=(0, 1))
    assert stats.chisquare(counts).pvalue > 1e-4


@pytest.mark.parametrize("axis", AXES)
def test_neighbours_along_each_part_of_the_key_are_independent(axis: str) -> None:
    u = draws_by(axis)
    table, _, _ = np.histogram2d(u[:-1], u[1:], bins=10, range=((0, 1), (0, 1)))
    assert stats.chisquare(table.ravel()).pvalue > 1e-4
    assert abs(np.corrcoef(u[:-1], u[1:])[0, 1]) * math.sqrt(N) < 4


def test_the_same_index_of_two_elements_is_independent() -> None:
    a = np.array([uniform(1, 1, "irm", "repair", k) for k in range(N)])
    b = np.array([uniform(1, 1, "gpt", "repair", k) for k in range(N)])
    assert abs(np.corrcoef(a, b)[0, 1]) * math.sqrt(N) < 4
    assert stats.kstest((a + b) % 1, "uniform").pvalue > 1e-4


def test_the_uniformity_check_can_fail() -> None:
    biased = draws_by("index") ** 1.05
    assert stats.kstest(biased, "uniform").pvalue < 1e-4


def test_the_order_of_asking_changes_nothing() -> None:
    draws = Draws(7, 3)
    forward = [draws.uniform("irm", "repair", k) for k in range(50)]
    draws.exponential("gateway", "time-to-failure", 0)
    backward = [draws.uniform("irm", "repair", k) for k in reversed(range(50))]
    assert forward == backward[::-1]
    assert forward == [uniform(7, 3, "irm", "repair", k) for k in range(50)]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ((0, 0, "a", "bc", 0), (0, 0, "ab", "c", 0)),
        ((0, 0, "", "abc", 0), (0, 0, "abc", "", 0)),
        ((1, 11, "a", "b", 0), (11, 1, "a", "b", 0)),
        ((1, 1, "a", "b", 11), (1, 11, "a", "b", 1)),
        ((0, 0, "1:a1:b", "", 0), (0, 0, "1:a", "1:b", 0)),
        ((0, 0, "zone 1", "x", 1), (0, 0, "zone 11", "x", 0)),
        ((-1, 0, "a", "b", 0), (1, 0, "a", "b", 0)),
    ],
)
def test_different_keys_are_never_taken_for_each_other(one: tuple, other: tuple) -> None:
    assert uniform(*one) != uniform(*other)


def test_golden_values_are_stable_over_versions_and_processes() -> None:
    expected = [0.7657416536865084, 0.7646851376947891, 0.7259736711558274]
    keys = [
        (0, 0, "", "", 0),
        (20260127, 5, "sweden-central/irm/2", "repair", 1),
        (2**62, 10**6, "göteborg", "väntan", 9),
    ]
    assert [uniform(*key) for key in keys] == expected
    code = f"from sim.randomness import uniform; print([uniform(*k) for k in {keys!r}] == {expected!r})"
    fresh = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert fresh.stdout.strip() == "True"


def test_numbers_are_strictly_inside_the_unit_interval() -> None:
    smallest, largest = (0 + 0.5) * 2.0**-52, (2**52 - 1 + 0.5) * 2.0**-52
    assert smallest > 0
    assert largest < 1
    u = draws_by("index")
    assert u.min() >= smallest
    assert u.max() <= largest


def test_exponential_draws_have_unit_mean_and_follow_the_uniform_of_their_key() -> None:
    draws = Draws(3, 4)
    e = np.array([draws.exponential("node 1", "time-to-failure", k) for k in range(N)])
    assert abs(e.mean() - 1) * math.sqrt(N) / e.std() < 4
    assert stats.kstest(e, "expon").pvalue > 1e-4
    u = np.array([draws.uniform("node 1", "time-to-failure", k) for k in range(N)])
    assert np.array_equal(np.argsort(e), np.argsort(u))
