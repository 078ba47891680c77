"""Compiled laws against the laws themselves, far tails included."""

import numpy as np
import pytest

from sim.laws import Empirical, Exponential, Fixed, Gamma, Lognormal, Weibull
from sim.reliability.durations import duration, rows_of

LEVELS = [2.0**-53, 1e-9, 1e-4, 0.1, 0.25, 0.5, 0.75, 0.9, 0.999, 1 - 1e-9, 1 - 2.0**-53]
LAWS = [
    Exponential(3.0),
    Lognormal(60.0, 1.4),
    Weibull(100.0, 0.7),
    *(Gamma(5.0, shape) for shape in (0.05, 0.3, 1.0, 2.0, 30.0, 1000.0)),
    Fixed(4.0),
    Empirical((1.0, 5.0, 2.0, 9.0)),
]


@pytest.mark.parametrize("i", range(len(LAWS)))
def test_same_as_the_law(i):
    kinds, numbers, samples = rows_of(LAWS)
    levels = [*LEVELS, *np.random.default_rng(1).random(300)]
    found = [duration(kinds[i], numbers[i, 0], numbers[i, 1], level, samples) for level in levels]
    assert found == pytest.approx([LAWS[i].from_uniform(level) for level in levels], rel=1e-9, abs=1e-300)


def test_an_unknown_law_is_refused():
    with pytest.raises(TypeError, match="no compiled form of object"):
        rows_of([object()])
