"""Whether parameters are as they are when all is well: asked at every look, so compiled."""

from sim.traffic.compiled import F2, TRUTH, compiled
from sim.traffic.layout import *
from sim.traffic.layout import Floats
from sim.traffic.network import NETWORK, Network


@compiled(TRUTH(F2, F2))
def equal(one: Floats, other: Floats) -> bool:
    """Whether two tables are the same."""
    for k in range(one.shape[0]):
        for column in range(one.shape[1]):
            if one[k, column] != other[k, column]:
                return False
    return True


@compiled(TRUTH(NETWORK, F2, NETWORK, F2))
def same_parameters(net: Network, guards: Floats, nominal: Network, nominal_guards: Floats) -> bool:
    """Whether all that the control plane may set is as it is when all is well, but for which pods run and their memory.

    Guards that were added later must not be armed; of guards that are not armed nothing else counts, as they are set
    anew before they are.
    """
    for p in range(net.pods.shape[0]):
        row, should = net.pods[p], nominal.pods[p]
        if row[POD_SHARE] != should[POD_SHARE] or row[POD_TABLE] != should[POD_TABLE]:
            return False
        if row[POD_SLOW] != should[POD_SLOW] or row[POD_ERROR_SHARE] != should[POD_ERROR_SHARE]:
            return False
        if row[POD_READY] != 0.0 and row[POD_PER_REQUEST_MIB] != should[POD_PER_REQUEST_MIB]:
            return False
    for k in range(guards.shape[0]):
        armed = nominal_guards[k, GUARD_ARMED] if k < nominal_guards.shape[0] else 0.0
        if guards[k, GUARD_ARMED] != armed:
            return False
        if armed != 0.0:
            for column in range(guards.shape[1]):
                if guards[k, column] != nominal_guards[k, column]:
                    return False
    for g in range(net.routes.shape[0]):
        if not equal(net.routes[g], nominal.routes[g]):
            return False
    return equal(net.pools, nominal.pools) and equal(net.edges, nominal.edges) and equal(net.groups, nominal.groups)
