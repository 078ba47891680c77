"""Columns and bundles of the arrays in which faults are passed over (`quiet_loop`)."""

from typing import Any, Final, NamedTuple

# States of a pod, as `PodState`.
READY: Final = 0
STARTING: Final = 1
WAITING: Final = 2
ABSENT: Final = 3

# Kinds of clocks: what a strike does.
OTHER: Final = 0  # anything else: it is played by the control plane
CRASH: Final = 1  # one pod dies and is restarted
NODES: Final = 2  # a node, or all of a zone or region, is down until it is repaired
SLOW: Final = 3  # all pods of a service in a region are slower until it is repaired

# Whole numbers of a clock.
CLOCK_KIND: Final = 0
CLOCK_FAULT: Final = 1  # number of its fault
CLOCK_TARGET: Final = 2  # pod, node (-1: several) or pool
CLOCK_REGION: Final = 3
CLOCK_ZONE: Final = 4  # -1: all of the region
CLOCK_SLOW: Final = 5  # which slowness, as in `Known`
CLOCK_DRAWN: Final = 6  # times to failure used
CLOCK_STRUCK: Final = 7  # occurrences so far
N_CLOCK_INTS: Final = 8
# Times of a clock, s.
CLOCK_DUE: Final = 0  # of its next strike; infinite while an occurrence is active
CLOCK_REPAIR: Final = 1  # of the repair of its active occurrence; infinite without one
N_CLOCK_TIMES: Final = 2

# Whole numbers of a pod slot.
POD_STATE: Final = 0
POD_NODE: Final = 1  # -1: none
POD_STARTS: Final = 2
POD_INCARNATION: Final = 3
POD_CRASHES: Final = 4  # in a row
POD_CLOCK: Final = 5  # clock whose occurrence ends when the pod is ready; -1: none
N_POD_INTS: Final = 6
# Times of a pod slot, s.
POD_STARTED: Final = 0
POD_READY_AT: Final = 1  # infinite unless it is starting
# Of each pod as well: when it is killed for lack of memory (`quiet_kills`).
POD_REACH: Final = 2  # integrated hazard of the course that kills it; NaN: its level has not been drawn
POD_KILLED: Final = 3  # time before which the course does not kill it, s; NaN: not known yet
N_POD_TIMES: Final = 4

# Whole numbers of a node, and its memory in use (MiB) apart.
NODE_REGION: Final = 0
NODE_ZONE: Final = 1
NODE_RANK: Final = 2  # its place by name
NODE_HOLDS: Final = 3  # faults that keep it down
NODE_RETURNS: Final = 4
N_NODE_INTS: Final = 5

# Whole numbers of a pool.
POOL_REGION: Final = 0
POOL_FIRST: Final = 1  # first row of its pods
POOL_END: Final = 2
POOL_RUNNING: Final = 3  # pods that run when all is well
POOL_SIMPLE: Final = 4  # 1: a pod is as good as new a fixed time after its crash
N_POOL_INTS: Final = 5
# Times of a pool, s.
POOL_STARTUP: Final = 0
POOL_FIRST_WAIT: Final = 1
POOL_INITIAL: Final = 2
POOL_LONGEST: Final = 3
POOL_RESET: Final = 4
POOL_EVICTION: Final = 5
N_POOL_TIMES: Final = 6

# Counters.
N_ROWS: Final = 0  # disturbances passed over
N_NAMES: Final = 1  # faults in them
N_EVENTS: Final = 2
N_EVICTIONS: Final = 3
N_ACTIVE: Final = 4
N_MISSING: Final = 5
SLOW_NOW: Final = 6  # which slowness is active; -1: none
HITS: Final = 7  # bit per pool hit in this disturbance
SLOW_MET: Final = 8  # which slowness there was while pods were missing; -1: none
N_MARKS: Final = 9
# Times.
SETTLED: Final = 0  # when the last disturbance ended, s
MISSING_FROM: Final = 1
SLOW_FROM: Final = 2
BOOKED_TO: Final = 3  # what missing pods cost is booked until here
N_MARK_TIMES: Final = 4

# What happened, for those who read the log.
EVENT_FAULT: Final = 0  # clock, number of the occurrence
EVENT_REPAIR: Final = 1  # clock, number of the occurrence
EVENT_LOST: Final = 2  # pod, node
EVENT_READY: Final = 3  # pod, node

# Why passing over ended.
STOPPED: Final = 0  # what comes next is played
REFUSED: Final = 8  # it is played because people would notice
NEEDS_TIMES: Final = 1  # more times to failure
NEEDS_LOSS: Final = 2  # how much of a loss in a region is endured: region, how much
NEEDS_COST: Final = 3  # what it costs that pods of a pool are missing: pool, how many
NEEDS_SLOW: Final = 4  # how much of a slowness is endured, and what it costs
NEEDS_ALONE: Final = 5  # how much of a loss in one pool is endured: pool, how many
NEEDS_SLOW_LOSS: Final = 6  # how much of a loss is endured while a pool is slower: row of the table, how many
NEEDS_RESTART: Final = 9  # how much of the restart of one pod is endured: pool
NEEDS_KILLS: Final = 10  # what the restart of one pod adds to the hazard of others: pod
NEEDS_LEVEL: Final = 11  # OOM levels of a pod: pod, incarnation
FULL: Final = 7  # there is no room for more rows

MOST_EVICTIONS: Final = 64
LONGEST_CLUSTER: Final = 64
"""Faults in one disturbance that is passed over."""


class Moving(NamedTuple):
    """What changes while faults are passed over, and what is put back if a disturbance is not."""

    clocks: Any
    """(n_clocks, N_CLOCK_INTS) int64"""
    clock_s: Any
    pods: Any
    pod_s: Any
    nodes: Any
    used_mib: Any
    """(n_nodes,)"""
    marks: Any
    mark_s: Any
    booked: Any
    """(n_months, n_groups * N_TOTALS) change of the totals, by the month in which it falls."""


class Given(NamedTuple):
    """What does not change."""

    lasts_s: Any
    """(n_clocks, n) times to failure."""
    repairs_s: Any
    pools: Any
    pool_s: Any
    pool_of: Any
    """(n_pods,)"""
    limit_mib: Any
    share: Any
    """(n_pods,) load of a pod beside the middle one of its pool."""
    node_mib: Any
    month_s: Any
    """(n_months,) when each begins."""
    curves: Any
    peaks: Any
    knot_s: Any
    knot_levels: Any
    hazard: Any
    """(n_knots, n_pods) of OOM kills on the course, integrated from the start; no rows if there is none."""
    levels: Any
    """(n_pods, n) at which integrated hazard each incarnation is killed; NaN where it has not been drawn."""


class Log(NamedTuple):
    """What was passed over."""

    row_s: Any
    """(n, 2) start and end."""
    rows: Any
    """(n, 2) pools hit directly, as bits; where its faults begin in `names`."""
    names: Any
    events: Any
    """(n, 4) kind, two numbers and pools hit as bits; no rows if nobody reads them."""
    event_s: Any
    evictions: Any
    """(MOST_EVICTIONS, 2) node and how often it had come back."""
    eviction_s: Any
    worst: Any
    """(n_pools,) most pods that were missing at once: work space."""
