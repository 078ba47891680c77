"""The kernel's special functions against those of the standard library."""

import math

import numpy as np
import pytest

from sim.traffic.roots import cube_root, normal_cdf


def test_the_cube_root_is_right_to_fourteen_digits():
    rng = np.random.default_rng(1)
    for x in np.exp(rng.uniform(math.log(1e-300), math.log(1e300), 2000)):
        assert cube_root(float(x)) == pytest.approx(math.cbrt(x), rel=1e-14)
    assert math.isnan(cube_root(math.nan))


def test_the_normal_law_in_the_middle_and_in_its_tail():
    for z in np.linspace(-5.999, 5.999, 4001):
        exact = 0.5 * math.erfc(-z / math.sqrt(2.0))
        assert normal_cdf(float(z)) == pytest.approx(exact, abs=1.1e-6, rel=2e-4)
        assert abs(normal_cdf(float(z)) - exact) <= 1.1e-6
    assert math.isnan(normal_cdf(math.nan))
