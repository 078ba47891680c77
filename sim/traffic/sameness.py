"""Whether parameters are as they are when all is well: asked at every look, so compiled.

What carries no load may be otherwise: a bad rollout of an idle standby lies there for months, and a fallback provider
fails with nobody asking it, while everything else goes its usual way.
"""

from sim.traffic.compiled import F1, F2, I8, NOTHING, TRUTH, compiled
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


@compiled(NOTHING(NETWORK, F1))
def find_idle(net: Network, idle: Floats) -> None:
    """Write 1 for each pool that no load reaches, neither from users nor by calls of others, else 0."""
    idle[:] = 1.0
    for g in range(net.routes.shape[0]):
        for r in range(net.routes.shape[1]):
            pool = int(net.routes[g, r, ROUTE_ENTRY])
            if pool >= 0 and net.routes[g, r, ROUTE_TARGET] > 0.0:
                idle[pool] = 0.0
    for _ in range(net.edges.shape[0]):
        for e in range(net.edges.shape[0]):
            if idle[int(net.edges[e, EDGE_FROM])] == 0.0:
                idle[int(net.edges[e, EDGE_TO])] = 0.0


@compiled(TRUTH(F1, F1, NETWORK))
def watches_idle(guard: Floats, idle: Floats, net: Network) -> bool:
    """Whether a guard watches something that carries no load: on which side of its level it is does not matter."""
    kind, index = int(guard[GUARD_KIND]), int(guard[GUARD_INDEX])
    if kind == GUARD_HEALTH:
        region = int(guard[GUARD_REGION])
        pool = int(net.routes[index, region, ROUTE_ENTRY])
        return bool(idle[pool] != 0.0) if pool >= 0 else bool(net.routes[index, region, ROUTE_TARGET] == 0.0)
    return kind == GUARD_POD_IN_TIME and bool(idle[int(net.pods[index, POD_POOL])] != 0.0)


@compiled(TRUTH(I8, F2, F2, NETWORK))
def same_group(g: int, groups: Floats, nominal: Floats, net: Network) -> bool:
    """Whether the parameters of a population are the same; those of a provider that it does not use do not count."""
    last = net.routes.shape[1] - 1
    unused = net.counts[HAS_PROVIDER] != 0 and net.routes[g, last, ROUTE_TARGET] == 0.0
    for column in range(groups.shape[1]):
        if unused and column in (GROUP_PROVIDER_OK, GROUP_PROVIDER_QUOTA):
            continue
        if groups[g, column] != nominal[g, column]:
            return False
    return True


@compiled(TRUTH(NETWORK, F2, NETWORK, F2, F1))
def same_parameters(net: Network, guards: Floats, nominal: Network, nominal_guards: Floats, idle: Floats) -> bool:
    """Whether all that the control plane may set is as it is when all is well, but for pods that are gone and memory.

    Guards that were added later must not be armed; of guards that are not armed nothing else counts, as they are set
    anew before they are. `idle` says of each pool whether it carries no load (`find_idle`).
    """
    for p in range(net.pods.shape[0]):
        row, should = net.pods[p], nominal.pods[p]
        if row[POD_LISTED] != row[POD_READY]:
            return False
        if row[POD_READY] != 0.0 and (should[POD_READY] == 0.0 or row[POD_ROOM_LOSS] != should[POD_ROOM_LOSS]):
            return False
        if idle[int(row[POD_POOL])] != 0.0:
            continue
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
                if guards[k, column] != nominal_guards[k, column] and not (
                    column == GUARD_BELOW and watches_idle(guards[k], idle, net)
                ):
                    return False
    for g in range(net.routes.shape[0]):
        if not equal(net.routes[g], nominal.routes[g]) or not same_group(g, net.groups, nominal.groups, net):
            return False
    return equal(net.pools, nominal.pools) and equal(net.edges, nominal.edges)
