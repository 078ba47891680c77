"""The arrays that describe a network to the kernel, as one typed bundle.

A named tuple of flat arrays is what Numba compiles and caches well; a class or a dictionary would not.
"""

from typing import NamedTuple

from numba import types

from sim.traffic.compiled import F2, F3, I1
from sim.traffic.layout import Floats, Ints


class Network(NamedTuple):
    """Parameters (set by the control plane) and algebra (refreshed by each evaluation); see `layout`."""

    pods: Floats
    pools: Floats
    edges: Floats
    groups: Floats
    routes: Floats
    tables: Floats
    curves: Floats
    counts: Ints
    pod_algebra: Floats
    pool_algebra: Floats
    group_algebra: Floats
    health: Floats
    moving: Ints
    """Indices of the states that the integrator moves (`alike`)."""


NETWORK = types.NamedTuple([F2, F2, F2, F2, F3, F3, F2, I1, F2, F2, F2, F2, I1], Network)  # type: ignore[no-untyped-call]


def copied(net: Network, *, own_curves: bool = False) -> Network:
    """The same with arrays of its own, but for queue tables and demand curves: nobody changes those of a plane."""
    own = {name: array.copy() for name, array in net._asdict().items() if name not in ("tables", "curves")}
    if own_curves:
        own["curves"] = net.curves.copy()
    return net._replace(**own)
