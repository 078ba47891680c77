"""The short way into compiled code: planes hand over what it was compiled for, and where types differ there is none."""

import numba
import numpy as np
import pytest
from numba import types
from worlds import memory, service, users, world

from sim.compilation import without_types
from sim.traffic.assemble import assemble
from sim.traffic.compiled import F1, F2, F8
from sim.traffic.engine import Traffic
from sim.traffic.network import NETWORK
from sim.traffic.tables import queue_table

pytestmark = pytest.mark.skipif(bool(numba.config.DISABLE_JIT), reason="nothing is compiled")


def doubled(x):
    """Works for any number."""
    return 2 * x


def kernel_types(plane: Traffic) -> tuple[types.Type, ...]:
    """Types of what a plane hands to the kernel."""
    clock, state, work = plane._clock, plane.raw_state, plane._work
    return tuple(numba.typeof(v) for v in (plane.now_s, clock, state, work, plane.guards, plane._trace, plane.net))


def test_a_plane_hands_over_what_the_kernel_was_compiled_for():
    """Also after the actions that make new arrays: other queue tables, one guard more."""
    scenario = world(services={"web": service(memory=memory(per_request=1.0))}, populations={"people": users()})
    for trace_every_s in (np.inf, 60.0):
        plane = Traffic(assemble(scenario), trace_every_s=trace_every_s)
        plane.add_guard(0, 0, 0.9)
        plane.set_tables(plane.pods_of[0], queue_table(2, 4, stationary=True))
        plane.advance(1.0)
        assert kernel_types(plane) == (F8, F1, F1, F2, F2, F2, NETWORK)


def test_the_short_way_gives_what_the_long_way_gives():
    plain = numba.njit("float64(float64)")(doubled)
    assert without_types(plain) is not plain
    assert without_types(plain)(1.5) == plain(1.5) == 3.0


def test_where_types_differ_there_is_no_short_way():
    """Negative control: the code for whole numbers would misread others."""
    several = numba.njit(doubled)
    assert without_types(several) is several  # not compiled yet
    several(1)
    assert without_types(several) is not several
    several(1.5)
    assert without_types(several) is several
    assert without_types(doubled) is doubled
