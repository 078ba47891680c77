"""The arrays that hold single requests, their random numbers and their calendar of events, for the kernel.

The request gear of the data plane (`requests`, `request_calls`) simulates every attempt and call by itself where mean
rates would hide that chance decides. Like `layout` this module names columns; it knows no equations.
"""

import math
from typing import Final, NamedTuple

import numpy as np
from numba import types
from numpy.typing import NDArray

from sim.traffic.compiled import F1, F2, F8, I1, I2, I8, NOTHING, U1, compiled
from sim.traffic.layout import Floats, Ints

# jobs[j, column]: a request inside a pod
JOB_POD: Final = 0
JOB_STAGE: Final = 1
JOB_SERIAL: Final = 2  # goes up when the row is used again: events of the old job are void
JOB_OWNER_KIND: Final = 3
JOB_OWNER: Final = 4
JOB_OWNER_SERIAL: Final = 5  # the owner's serial when it sent this; another one means that it has given up
JOB_NEXT: Final = 6  # queue of the pod, queue before a full callee, or list of free rows
JOB_PREVIOUS: Final = 7
JOB_EDGE: Final = 8  # the call it is at
JOB_CALLS_LEFT: Final = 9  # calls of this edge still to make, this one included
JOB_ATTEMPT: Final = 10  # of the present call
JOB_CALL_SERIAL: Final = 11  # goes up with each attempt
JOB_CHILD: Final = 12  # the callee's job of the present attempt, -1: none
JOB_CHILD_SERIAL: Final = 13
JOB_HEDGE: Final = 14  # the second copy of the present attempt
JOB_HEDGE_SERIAL: Final = 15
JOB_COPIES: Final = 16  # copies of the present attempt without an answer yet
N_JOB_COLUMNS: Final = 17

STAGE_FREE: Final = 0
STAGE_QUEUED: Final = 1
STAGE_WORKING: Final = 2
STAGE_CALLING: Final = 3
STAGE_BLOCKED: Final = 4  # waits until a full callee takes the request over

OWNER_NONE: Final = 0
OWNER_CLIENT: Final = 1
OWNER_JOB: Final = 2

# job_times[j, column]
JOB_SINCE_S: Final = 0  # when it entered the pod
JOB_DEADLINE_S: Final = 1  # when the user's attempt is over
N_JOB_TIMES: Final = 2

# clients[c, column]: a user request that is not decided yet
CLIENT_GROUP: Final = 0
CLIENT_ATTEMPT: Final = 1  # 1: the first; 0: the row is free
CLIENT_SERIAL: Final = 2
CLIENT_JOB: Final = 3  # job of the present attempt, -1: none
CLIENT_JOB_SERIAL: Final = 4
CLIENT_REGION: Final = 5  # where the present attempt went
CLIENT_BOOKED: Final = 6  # 1: counted as good already, by the mean rates that ran before
CLIENT_NEXT: Final = 7  # list of free rows
N_CLIENT_COLUMNS: Final = 8

# queues[p, column]
LINE_HEAD: Final = 0  # oldest; of queues and of gates alike
LINE_TAIL: Final = 1
QUEUE_BUSY: Final = 2
QUEUE_INSIDE: Final = 3
N_QUEUE_COLUMNS: Final = 4

# gates[i, column]: requests that wait before a full pool (hand-over of a finished request), and its first call
GATE_EDGE: Final = 2  # the first call of the pool's requests; that of another pool, or none, if it makes no calls
N_GATE_COLUMNS: Final = 3

# pool_sums[i, column]
POOL_WEIGHT: Final = 0  # load shares of the listed pods
POOL_N_READY: Final = 1
POOL_OK: Final = 2  # forgotten exponentially: requests that ended usable for their callers ...
POOL_ALL: Final = 3  # ... of those that ended
POOL_ARRIVED: Final = 4  # arrivals since the last tick
N_POOL_SUMS: Final = 5

# edge_sums[e, column]
EDGE_OK: Final = 0  # attempts since the last tick
EDGE_ALL: Final = 1
EDGE_TOKENS: Final = 2
EDGE_WANTED: Final = 3  # throttling, forgotten exponentially
EDGE_ACCEPTED: Final = 4
N_EDGE_SUMS: Final = 5

# group_sums[g, column]
GROUP_OK: Final = 0
GROUP_ALL: Final = 1
GROUP_TOKENS: Final = 2
GROUP_WANTED: Final = 3
GROUP_ACCEPTED: Final = 4
GROUP_SENT: Final = 5  # attempts since the last tick
GROUP_QUOTA: Final = 6  # what the provider still accepts, attempts
GROUP_OPEN: Final = 7  # user requests not decided and not booked as good
N_GROUP_SUMS: Final = 8

# marks[...]
MARK_HEAP: Final = 0  # events in the calendar
MARK_FREE_JOB: Final = 1
MARK_FREE_JOBS: Final = 2
MARK_FREE_CLIENT: Final = 3
MARK_FREE_CLIENTS: Final = 4
MARK_OOM_POD: Final = 5  # a pod whose memory is full, -1: none
MARK_SENT: Final = 6  # attempts and calls simulated
MARK_STALE: Final = 7  # 1: weights must be summed again
MARK_TICKS: Final = 8
MARK_MOST: Final = 9  # so many attempts and calls are enough: back to Python, which may shift the gear
MARK_LOOK: Final = 10  # 1: back to Python, for the gears may want to shift
N_MARKS: Final = 11

EVENT_ARRIVAL: Final = 0
EVENT_WORK_DONE: Final = 1
EVENT_USER_LATE: Final = 2
EVENT_USER_FAILED: Final = 3
EVENT_USER_RETRY: Final = 4
EVENT_CALL_LATE: Final = 5
EVENT_CALL_FAILED: Final = 6  # one copy of the attempt failed
EVENT_CALL_RETRY: Final = 7
EVENT_CALL_REFUSED: Final = 8  # the breaker is open
EVENT_HEDGE: Final = 9
EVENT_LEAVES: Final = 10  # patience is over
EVENT_TICK: Final = 11
EVENT_CANCEL: Final = 12

_SERIAL_BITS: Final = 30
_ID_BITS: Final = 28
SERIAL_MASK: Final = (1 << _SERIAL_BITS) - 1
_ID_MASK: Final = (1 << _ID_BITS) - 1
MOST_ROWS: Final = _ID_MASK
BUCKET: Final = 10.0
"""Most tokens of a retry budget."""
TICK_S: Final = 0.5
FORGET_S: Final = 2.0
"""Time over which the success of ended requests is averaged: shown success lags by about three times this ..."""
LEAST_ENDED: Final = 30.0
"""... or by so many ended requests, if there are fewer in that time ..."""
SPARSE_FORGET_S: Final = 20.0
"""... but not for longer than about three times this: a load that moved away leaves no memory behind."""

Unsigned = NDArray[np.uint64]


class Crowd(NamedTuple):
    """All single requests of one trial."""

    jobs: Ints
    job_times: Floats
    clients: Ints
    queues: Ints
    busy_share: Floats
    """(n_pods,) smoothed."""
    gates: Ints
    pool_sums: Floats
    edge_sums: Floats
    group_sums: Floats
    region_sums: Floats
    """(n_groups, 2 n_regions): usable ones and all that ended."""
    marks: Ints
    event_at_s: Floats
    event_what: Ints
    random: Unsigned


CROWD = types.NamedTuple([I2, F2, I2, I2, F1, I2, F2, F2, F2, F2, I1, F1, I1, U1], Crowd)  # type: ignore[no-untyped-call]


def new_crowd(*, n_pods: int, n_pools: int, n_edges: int, n_groups: int, n_regions: int, seed: int) -> Crowd:
    """No request at all; `seed` is an unsigned 64-bit number."""
    crowd = Crowd(
        jobs=np.zeros((0, N_JOB_COLUMNS), dtype=np.int64),
        job_times=np.zeros((0, N_JOB_TIMES)),
        clients=np.zeros((0, N_CLIENT_COLUMNS), dtype=np.int64),
        queues=np.zeros((n_pods, N_QUEUE_COLUMNS), dtype=np.int64),
        busy_share=np.zeros(n_pods),
        gates=np.full((n_pools, N_GATE_COLUMNS), -1, dtype=np.int64),
        pool_sums=np.zeros((n_pools, N_POOL_SUMS)),
        edge_sums=np.zeros((n_edges, N_EDGE_SUMS)),
        group_sums=np.zeros((n_groups, N_GROUP_SUMS)),
        region_sums=np.zeros((n_groups, 2 * n_regions)),
        marks=np.zeros(N_MARKS, dtype=np.int64),
        event_at_s=np.zeros(0),
        event_what=np.zeros(0, dtype=np.int64),
        random=np.array([seed], dtype=np.uint64),
    )
    crowd.queues[:, [LINE_HEAD, LINE_TAIL]] = -1
    crowd.edge_sums[:, EDGE_TOKENS] = crowd.group_sums[:, GROUP_TOKENS] = BUCKET
    crowd.marks[[MARK_FREE_JOB, MARK_FREE_CLIENT, MARK_OOM_POD]] = -1
    crowd.marks[MARK_STALE] = 1
    crowd.marks[MARK_MOST] = np.iinfo(np.int64).max
    return grown(crowd, n_jobs=1024, n_clients=1024, n_events=8192)


def grown(crowd: Crowd, *, n_jobs: int = 0, n_clients: int = 0, n_events: int = 0) -> Crowd:
    """The same with room for so many more rows; all arrays but the grown ones are shared."""
    jobs, clients, marks = crowd.jobs, crowd.clients, crowd.marks
    if n_jobs:
        jobs = _more_rows(jobs, n_jobs, JOB_NEXT, marks, MARK_FREE_JOB)
        jobs[len(crowd.jobs) :, JOB_SERIAL] = 1
        crowd = crowd._replace(jobs=jobs, job_times=np.concatenate([crowd.job_times, np.zeros((n_jobs, N_JOB_TIMES))]))
    if n_clients:
        clients = _more_rows(clients, n_clients, CLIENT_NEXT, marks, MARK_FREE_CLIENT)
        crowd = crowd._replace(clients=clients)
    if n_events:
        crowd = crowd._replace(
            event_at_s=np.concatenate([crowd.event_at_s, np.zeros(n_events)]),
            event_what=np.concatenate([crowd.event_what, np.zeros(n_events, dtype=np.int64)]),
        )
    return crowd


def _more_rows(rows: Ints, n: int, next_column: int, marks: Ints, free: int) -> Ints:
    """Append rows and put them in front of the list of free ones."""
    if len(rows) + n > MOST_ROWS:
        raise MemoryError(f"more than {MOST_ROWS} requests at once: use model.noise: never for this scenario")
    more = np.zeros((n, rows.shape[1]), dtype=np.int64)
    more[:, next_column] = np.arange(len(rows) + 1, len(rows) + n + 1)
    more[-1, next_column] = marks[free]
    marks[free] = len(rows)
    marks[free + 1] += n
    return np.concatenate([rows, more])


@compiled(F8(U1))
def uniform(random: Unsigned) -> float:
    """In [0, 1): splitmix64 (Steele, Lea, Flood 2014), 53 bits."""
    state = random[0] + np.uint64(0x9E3779B97F4A7C15)
    random[0] = state
    z = (state ^ (state >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    z = z ^ (z >> np.uint64(31))
    return float(z >> np.uint64(11)) * (1.0 / 9007199254740992.0)


@compiled(F8(F8, F8))
def kept_share(passed_s: float, n_ended: float) -> float:
    """What an average over ended requests keeps of its past after `passed_s`."""
    keep = math.exp(-passed_s / FORGET_S)
    return keep if keep * n_ended > LEAST_ENDED else math.exp(-passed_s / SPARSE_FORGET_S)


@compiled(F8(U1))
def unit_exponential(random: Unsigned) -> float:
    """Exponential with mean 1."""
    return -math.log1p(-uniform(random))


@compiled(F8(U1))
def _normal(random: Unsigned) -> float:
    """Standard normal (Box and Muller 1958; the second one is thrown away: no state to keep)."""
    radius = math.sqrt(2.0 * unit_exponential(random))
    return radius * math.cos(2.0 * math.pi * uniform(random))


@compiled(F8(F8, U1))
def unit_work(spread: float, random: Unsigned) -> float:
    """Mean 1 and coefficient of variation `spread`: constant, gamma below 1, exponential at 1, lognormal above."""
    if spread == 1.0:
        return unit_exponential(random)
    if spread == 0.0:
        return 1.0
    if spread > 1.0:
        variance = math.log1p(spread * spread)
        return math.exp(math.sqrt(variance) * _normal(random) - 0.5 * variance)
    # Marsaglia and Tsang (2000); the shape is above 1.
    shape = 1.0 / (spread * spread)
    d = shape - 1.0 / 3.0
    c = 1.0 / math.sqrt(9.0 * d)
    while True:
        x = _normal(random)
        v = 1.0 + c * x
        if v <= 0.0:
            continue
        v = v * v * v
        if math.log1p(-uniform(random)) < 0.5 * x * x + d - d * v + d * math.log(v):
            return d * v / shape


@compiled(NOTHING(F8, I8, I8, I8, CROWD))
def schedule(at_s: float, kind: int, row: int, serial: int, crowd: Crowd) -> None:
    """Put an event into the calendar (a binary heap by time)."""
    at, what, marks = crowd.event_at_s, crowd.event_what, crowd.marks
    k = marks[MARK_HEAP]
    marks[MARK_HEAP] = k + 1
    packed = (kind << (_ID_BITS + _SERIAL_BITS)) | (row << _SERIAL_BITS) | (serial & SERIAL_MASK)
    while k > 0:
        above = (k - 1) >> 1
        if at[above] <= at_s:
            break
        at[k], what[k] = at[above], what[above]
        k = above
    at[k], what[k] = at_s, packed


@compiled(types.UniTuple(I8, 3)(CROWD))  # type: ignore[no-untyped-call]
def take_next(crowd: Crowd) -> tuple[int, int, int]:
    """Remove the earliest event: (kind, row, serial)."""
    at, what, marks = crowd.event_at_s, crowd.event_what, crowd.marks
    packed = what[0]
    n = marks[MARK_HEAP] - 1
    marks[MARK_HEAP] = n
    last_at, last_what = at[n], what[n]
    k = 0
    while True:
        below = 2 * k + 1
        if below >= n:
            break
        if below + 1 < n and at[below + 1] < at[below]:
            below += 1
        if at[below] >= last_at:
            break
        at[k], what[k] = at[below], what[below]
        k = below
    if n > 0:
        at[k], what[k] = last_at, last_what
    return packed >> (_ID_BITS + _SERIAL_BITS), (packed >> _SERIAL_BITS) & _ID_MASK, packed & SERIAL_MASK


def planned(crowd: Crowd) -> tuple[Floats, Ints, Ints, Ints]:
    """All events of the calendar in no order: their times (s), kinds, rows and serials."""
    n = int(crowd.marks[MARK_HEAP])
    packed = crowd.event_what[:n]
    rows = (packed >> _SERIAL_BITS) & _ID_MASK
    return crowd.event_at_s[:n], packed >> (_ID_BITS + _SERIAL_BITS), rows, packed & SERIAL_MASK
