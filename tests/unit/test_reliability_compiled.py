"""Functions without a way in from Python."""

import numpy as np
import pytest

from sim.reliability.compiled import compiled, inner


@inner
def first(values):
    return values[0] + 1.0


@compiled
def doubled(values):
    return 2.0 * first(values)


def test_an_inner_function_is_refused_to_python_and_not_a_crash():
    """Before it was compiled, and after."""
    for _ in range(2):
        with pytest.raises(TypeError, match="first is called by compiled functions only"):
            first(np.ones(3))
        assert doubled(np.ones(3)) == 4.0
