"""The arrays of one data plane and their names, as one bundle."""

from dataclasses import dataclass

from sim.traffic.assemble import Names
from sim.traffic.layout import Floats, StateLayout
from sim.traffic.network import Network


@dataclass(frozen=True)
class Plane:
    """The arrays of one data plane."""

    names: Names
    layout: StateLayout
    net: Network
    state: Floats
