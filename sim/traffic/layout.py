"""Where each quantity stands in the kernel's flat arrays.

The kernel works on plain float64 arrays (Numba compiles them to straight loops); this module names their
columns, so that no other module ever writes a bare number as an index. It must not know the scenario.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

# pods[p, column]: what the control plane tells the kernel about each pod slot
POD_POOL: Final = 0  # index of its pool
POD_READY: Final = 1  # 1 serves, 0 does not
POD_SHARE: Final = 2  # relative load among the listed pods of its pool
POD_TABLE: Final = 3  # queue table (slots and room; shedding makes them smaller)
POD_ROOM_MIB: Final = 4  # memory left for requests at ROOM_AT_S
POD_ROOM_AT_S: Final = 5
POD_ROOM_LOSS: Final = 6  # MiB/s that leak and growth take from the room
POD_PER_REQUEST_MIB: Final = 7
POD_OOM_LEVEL: Final = 8  # unit exponential drawn once per incarnation; inf: no limit
POD_LIMIT_MIB: Final = 9
POD_SLOW: Final = 10  # own service time times this
POD_ERROR_SHARE: Final = 11  # share of its requests that fail at once
POD_LISTED: Final = 12  # 1: gets its share of the requests; a dead pod that is listed rejects them all
POD_OLD_BUSY: Final = 13  # slots held at OLD_AT_S by requests that began before their pod became faster or slower
POD_OLD_AT_S: Final = 14
POD_OLD_LEFT_S: Final = 15  # mean time for which each of them keeps its slot
POD_STANDS_FOR: Final = 16  # equal pods that are computed with it, itself included; 0: it is computed with another one
POD_LIKE: Final = 17  # row of the pod that it is computed with
N_POD_COLUMNS: Final = 18

# pools[i, column]
POOL_WORK_S: Final = 0  # own service time of a pod that is not slowed
POOL_PATIENCE_RATE: Final = 1  # 1/s at which a waiting request leaves the queue; 0: never
POOL_FIRST_POD: Final = 2
POOL_N_PODS: Final = 3  # pod slots, ready or not
POOL_NEEDS: Final = 4  # k of n
POOL_REACHABLE: Final = 5  # 0: users cannot reach it (a partition)
POOL_TIMEOUT_S: Final = 6  # longest patience of a caller; what "served" is measured with
POOL_WORK_SPREAD: Final = 7  # coefficient of variation of the own service time
POOL_CONTENTION: Final = 8  # own service time grows by this share per request executed at once
POOL_ORDER: Final = 9  # FIFO, LIFO or ADAPTIVE
POOL_ADAPTIVE_S: Final = 10
POOL_CANCELS: Final = 11  # 1: work stops when its caller has given up
POOL_DEADLINE_AWARE: Final = 12  # 1: late requests are dropped when their turn comes
POOL_DEADLINE_S: Final = 13  # longest deadline of a user whose request comes here; inf: none does
POOL_OVERFLOWS: Final = 14  # 1: a full queue takes a pod over its memory limit
N_POOL_COLUMNS: Final = 15
FIFO: Final = 0
LIFO: Final = 1
ADAPTIVE: Final = 2

# edges[e, column], in call order of each caller; callers before their callees where calls run in no circle
EDGE_FROM: Final = 0
EDGE_TO: Final = 1
EDGE_TIMEOUT_S: Final = 2
EDGE_ATTEMPTS: Final = 3
EDGE_BACKOFF_S: Final = 4
EDGE_CALLS: Final = 5
EDGE_FAST_FAIL_S: Final = 6
EDGE_FALLBACK: Final = 7
EDGE_BUDGET: Final = 8  # retries as a share of first calls; inf: no budget
EDGE_GATE: Final = 9  # breaker: share of calls let through
EDGE_WINDOW_S: Final = 10  # breaker: averaging time; 0: no breaker
EDGE_REACHABLE: Final = 11  # 0: calls to another region across a partition
EDGE_HEDGE_S: Final = 12  # a second call is sent after this long; inf: never
EDGE_THROTTLE: Final = 13  # requests allowed per accepted one; inf: no throttling
EDGE_THROTTLE_S: Final = 14  # time over which both are counted
EDGE_HANDOFF: Final = 15  # 1: done as soon as the callee has it
EDGE_CIRCULAR: Final = 16  # 1: the caller is called by its own callees, somehow
N_EDGE_COLUMNS: Final = 17

# groups[g, column]
GROUP_ATTEMPTS: Final = 0
GROUP_BACKOFF_S: Final = 1
GROUP_DEADLINE_S: Final = 2
GROUP_BUDGET: Final = 3
GROUP_FACTOR: Final = 4  # demand times this
GROUP_DRAIN_S: Final = 5  # time constant with which clients follow a switch
GROUP_FAST_FAIL_S: Final = 6
GROUP_PROVIDER_OK: Final = 7  # share of accepted provider answers that come in time (0 while it is down)
GROUP_PROVIDER_QUOTA: Final = 8  # attempts per second that the provider accepts
GROUP_PROVIDER_QUALITY: Final = 9
GROUP_RETRY_SHARE: Final = 10  # share of failed attempts that are tried again
GROUP_BACKOFF_GROWTH: Final = 11
GROUP_JITTER: Final = 12  # NO_JITTER, FULL_JITTER or EXPONENTIAL_JITTER
GROUP_THROTTLE: Final = 13  # as of edges
GROUP_THROTTLE_S: Final = 14
GROUP_STEPS: Final = 15  # steps in which the time until the next attempt passes: the more, the less it varies
N_GROUP_COLUMNS: Final = 16
NO_JITTER: Final = 0
FULL_JITTER: Final = 1
EXPONENTIAL_JITTER: Final = 2
RETRY_STEPS: Final = 6
"""Most of them: a constant pause has a sixth of the variance of an exponential one, and its front in time."""

# routes[g, r, column]: region r for group g; the last r is the other provider
ROUTE_ENTRY: Final = 0  # pool index, -1: none there
ROUTE_TARGET: Final = 1  # share of the load that the controllers want there
N_ROUTE_COLUMNS: Final = 2

# tables[k, row, node]
TABLE_BUSY: Final = 0  # mean busy slots at mean in-flight x
TABLE_BLOCKED: Final = 1  # probability that an arrival is rejected
TABLE_HEAD: Final = 2
HEAD_SLOTS: Final = 0
HEAD_ROOM: Final = 1  # slots + queue bound
HEAD_EDGE: Final = 2  # five piece borders follow
HEAD_INVERSE: Final = 7  # four inverse node distances follow
NODES_PER_PIECE: Final = 512
N_NODES: Final = 4 * NODES_PER_PIECE + 1

# guards[q, column]: thresholds at which the kernel returns
GUARD_KIND: Final = 0
GUARD_INDEX: Final = 1
GUARD_REGION: Final = 2
GUARD_LEVEL: Final = 3
GUARD_BELOW: Final = 4  # 1 while the quantity is below the level
GUARD_ARMED: Final = 5
N_GUARD_COLUMNS: Final = 6
GUARD_SUCCESS: Final = 0  # success of group INDEX
GUARD_HEALTH: Final = 1  # success of group INDEX in region REGION
GUARD_SERVED: Final = 2  # served share of pool INDEX
GUARD_BREAKER: Final = 3  # success share of edge INDEX, averaged
GUARD_IN_FLIGHT: Final = 4  # requests inside pool INDEX
GUARD_BUSY: Final = 5  # busy slots of pool INDEX as a share of all slots of its ready pods
GUARD_POD_IN_TIME: Final = 6  # probability that a request arriving at pod INDEX now gets a slot within REGION seconds
GUARD_HOT: Final = 7  # busy share of the hottest ready pod of pool INDEX

# algebra of each pod, refreshed by every evaluation of the right-hand side
ALG_BUSY: Final = 0
ALG_BLOCKED: Final = 1  # 1 if not ready
ALG_BUSY_SLOPE: Final = 2
ALG_BLOCKED_SLOPE: Final = 3
ALG_DONE: Final = 4  # completions per second
ALG_WAIT_S: Final = 5
ALG_WAIT_VAR: Final = 6
ALG_WEIGHT: Final = 7  # share of the pool's load, 0 if not listed
ALG_BOOKED: Final = 8  # arrivals per second that will end usable (entry pools)
ALG_HOLD_S: Final = 9  # time a slot is held by one request
ALG_WORK_S: Final = 10  # own service time, slowdown included
ALG_STAYS: Final = 11  # share of those let in that do not leave the queue before their turn
ALG_IN_TIME: Final = 12  # share of those served that is answered within the limit asked for last
ALG_DONE_SLOPE: Final = 13  # completions per second for each request more inside
ALG_LEFT: Final = 14  # requests per second that leave the queue without work
ALG_LEFT_SLOPE: Final = 15  # the same for each request more inside
ALG_LAW: Final = 16  # law of the wait: LAW_PLAIN, LAW_LATE or LAW_NEWEST, and its numbers
ALG_LAW_SHARE: Final = 17  # share of the requests that it holds for; the rest waits first come first served
ALG_LAW_WAITS: Final = 18  # probability to wait at all
ALG_LAW_GROWTH: Final = 19  # LAW_LATE: growth of the density (1/s); LAW_NEWEST: share that is not buried
ALG_LAW_RATE: Final = 20  # LAW_LATE: completions per second; LAW_NEWEST: shape of the wait (s)
ALG_LAW_LIMIT_S: Final = 21  # LAW_LATE: when they leave; LAW_NEWEST: mean of the wait
ALG_ASKED_S: Final = 22  # the limit asked for last; the answer to the same question again is remembered
ALG_SPENT_S: Final = 23  # mean time until the answer or the limit
ALG_OLD: Final = 24  # slots still held by requests that began before the pod became faster or slower
ALG_SLOT_S: Final = 25  # time for which a slot is held by one request, on average while one that arrives now waits
N_POD_ALGEBRA: Final = 26
LAW_PLAIN: Final = 0
LAW_LATE: Final = 1
LAW_NEWEST: Final = 2

# algebra of each pool
OUT_OFFERED: Final = 0  # arrivals per second
OUT_DONE: Final = 1
OUT_REJECTED: Final = 2  # share rejected
OUT_SERVED: Final = 3  # share of what is offered that ends usable for its callers
OUT_HOLD_TARGET_S: Final = 4
OUT_QUALITY_TARGET: Final = 5
OUT_UP: Final = 6  # 1 if it has pods enough
OUT_ENTRY: Final = 7  # user attempts per second among the arrivals
OUT_ASKED_S: Final = 8  # the limit asked for last, and what `pool_answer` said: it is asked again and again
OUT_ASKED_OK: Final = 9
OUT_ASKED_SPENT_S: Final = 10
OUT_ASKED_ANSWERED: Final = 11
N_POOL_ALGEBRA: Final = 12

# algebra of each group
FLOW_DEMAND: Final = 0
FLOW_SUCCESS: Final = 1
FLOW_ATTEMPTS: Final = 2
FLOW_PROVIDER: Final = 3  # accepted by the provider per second
FLOW_RETRY_S: Final = 4  # mean time until a failed first attempt is tried again
FLOW_RETRY_SCALE: Final = 5  # share of retries that the budget lets through
FLOW_USABLE: Final = 6  # success weighted by quality
FLOW_FAIL_S: Final = 7  # mean time until a failed attempt is known to have failed
N_GROUP_ALGEBRA: Final = 8

# totals of each group (the same order as world.log.TOTALS)
TOTAL_OFFERED: Final = 0
TOTAL_GOOD: Final = 1
TOTAL_ATTEMPTS: Final = 2
TOTAL_FIRST_GOOD: Final = 3
TOTAL_USABLE: Final = 4
TOTAL_BY_PROVIDER: Final = 5
TOTAL_FAILED: Final = 6
N_TOTALS: Final = 7

# what the right-hand side leaves in the places of the totals: `account` makes their integrals of it
BOOK_DEMAND: Final = 0  # first attempts per second
BOOK_SUCCESS: Final = 1  # share of the attempts that ends usable
BOOK_SENT: Final = 2  # share that is sent at all
BOOK_KEPT: Final = 3  # share of the retries that the budget lets through
BOOK_USABLE: Final = 4  # success weighted by quality
BOOK_PROVIDER: Final = 5  # share accepted by the provider

# counts[...] (int64)
N_PODS: Final = 0
N_POOLS: Final = 1
N_EDGES: Final = 2
N_GROUPS: Final = 3
N_REGIONS: Final = 4  # the provider counts as the last one
N_STAGES: Final = 5  # retry stages kept per group, each of RETRY_STEPS states
N_GUARDS: Final = 6
OOM_BY_MEAN: Final = 7
HAS_PROVIDER: Final = 8
AT_HOLD: Final = 9  # where the blocks of the state begin (as in StateLayout)
AT_QUALITY: Final = 10
AT_BREAKER: Final = 11
AT_ORBIT: Final = 12
AT_SHARE: Final = 13
AT_TOTALS: Final = 14
AT_LOAD: Final = 15
AT_THROTTLE: Final = 16
N_MOVING: Final = 17  # states that the integrator moves: the first entries of `moving`
N_COUNTS: Final = 18

# clock[...] (float64)
CLOCK_NOW: Final = 0
CLOCK_STEP: Final = 1
CLOCK_TOLERANCE: Final = 2
CLOCK_TRACE_EVERY: Final = 3  # inf: no trace
CLOCK_TRACE_LAST: Final = 4
CLOCK_TRACE_ROWS: Final = 5
CLOCK_N_STEPS: Final = 6
CLOCK_STEP_MAX: Final = 7
CLOCK_JOINED: Final = 8  # 1: equal pods are joined, for the next call goes on where this one stopped
N_CLOCK: Final = 9

# return codes of `advance`
REACHED: Final = 0
OOM: Final = 1
GUARD: Final = 2
TRACE_FULL: Final = 3
BROKEN: Final = 4  # a state is not finite: a programming error
TICKED: Final = 5  # request gear: ten seconds passed
MORE_ROOM: Final = 6  # request gear: the arrays are full
SHIFTED: Final = 7  # `Traffic` only: from mean rates to single requests, or back


class StateLayout(NamedTuple):
    """Offsets of the blocks of the state vector."""

    in_flight: int
    variance: int
    credit: int
    hazard: int
    hold: int
    quality: int
    breaker: int
    throttle: int
    """Requests wanted and accepts of each edge, then of each group, if anybody throttles."""
    load: int
    """Arrivals per second at each pool, averaged over a holding time, if any answer depends on them."""
    orbit: int
    share: int
    totals: int
    size: int


def state_layout(
    *,
    n_pods: int,
    n_pools: int,
    n_edges: int,
    n_groups: int,
    n_regions: int,
    n_stages: int,
    throttles: bool = False,
    newest_first: bool = False,
) -> StateLayout:
    """Offsets for the given counts."""
    hold = 4 * n_pods
    breaker = hold + 2 * n_pools
    throttle = breaker + n_edges
    load = throttle + (2 * (n_edges + n_groups) if throttles else 0)
    orbit = load + (n_pools if newest_first else 0)
    share = orbit + n_groups * n_stages * RETRY_STEPS
    totals = share + n_groups * n_regions
    return StateLayout(
        in_flight=0,
        variance=n_pods,
        credit=2 * n_pods,
        hazard=3 * n_pods,
        hold=hold,
        quality=hold + n_pools,
        breaker=breaker,
        throttle=throttle,
        load=load,
        orbit=orbit,
        share=share,
        totals=totals,
        size=totals + n_groups * N_TOTALS,
    )
