"""A machine as flat arrays: what the compiled loop runs on, and the state that it changes.

A `Model` never changes; a `State` is one history at one moment, all of it in arrays, so that copying them copies the
history (`copied`). Columns of the two-dimensional tables are named here. Times are in the unit of the model's laws.
"""

from typing import Any, Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

Ints = NDArray[np.int64]
Floats = NDArray[np.float64]
Keys = NDArray[np.uint64]

# Element states. Other variables may hold any whole number.
WORKS: Final = 0
WAITS: Final = 1
"""Down, for a crew to come."""
REPAIRED: Final = 2
"""Down, being repaired."""
TRAVELLED_TO: Final = 3
"""Down, a crew is on its way."""
MAINTAINED: Final = 4
DORMANT: Final = 5
"""A spare that could start."""
STARTING: Final = 6

# Events: `events` (n_events, 11).
SPEED_KIND: Final = 0
WHEN: Final = 1
"""BY_VALUE: variable; BY_CALL: kind of element; BY_LOOK: crew."""
VALUE: Final = 2
PROGRAM: Final = 3
LAW: Final = 4
HALF: Final = 5
"""Which of the two numbers of a draw: repairs take the second of their failure's."""
KEEPS: Final = 6
"""1: work done so far is kept while the event is held up; 0: forgotten."""
LABEL: Final = 7
ACT_FROM: Final = 8
ACT_TO: Final = 9
N_EVENT_COLUMNS: Final = 10

BY_VALUE: Final = 0
"""Runs at `factors[e]` while variable WHEN has the value VALUE."""
BY_PROGRAM: Final = 1
"""Runs at the speed that PROGRAM says."""
BY_CALL: Final = 2
"""Runs while an element of kind WHEN waits and its crew is free."""
BY_LOOK: Final = 3
"""Runs while crew WHEN is free."""

# Actions: `actions` (n_actions, 3): kind, target, value.
SET: Final = 0
COMPUTE: Final = 1
STRIKE: Final = 2
"""An element that works (or is dormant) goes down, with the action's probability; value: what it is down with."""
ASSIGN: Final = 3
"""A crew takes on an element of kind `target`."""
LOOK: Final = 4
"""A patrolling crew, `target`, looks where it is."""
RENEW: Final = 5
"""Event `target` begins anew: what was drawn for it is forgotten."""
START: Final = 6
"""A spare ends its start: it works with the action's probability, else it is found down."""
SERVE: Final = 7
"""An element is back: it works, or is dormant if it belongs to a pool."""

# Variables: `variables` (n_variables, 11).
BEGIN: Final = 0
CREW: Final = 1
QUEUE: Final = 2
"""Its kind, among those that wait for a crew; -1 for none."""
PRIORITY: Final = 3
POOL: Final = 4
VAR_EVENTS: Final = 5
"""Two columns each: from, to in `lists`."""
VAR_GATES: Final = 7
VAR_REWARDS: Final = 9
N_VARIABLE_COLUMNS: Final = 11

# Gates: `gates` (n_gates, 8).
NEED: Final = 0
"""Inputs that must be up."""
BEGIN_COUNT: Final = 1
GATE_PARENTS: Final = 2
GATE_EVENTS: Final = 4
GATE_REWARDS: Final = 6
N_GATE_COLUMNS: Final = 8

# Crews: `crews` (n_crews, 8).
SIZE: Final = 0
ORDER: Final = 1
TRAVELS: Final = 2
PREEMPTS: Final = 3
CREW_MEMBERS: Final = 4
CREW_QUEUES: Final = 6
N_CREW_COLUMNS: Final = 8
FIRST_COME: Final = 0
AT_RANDOM: Final = 1
RANDOM_KIND: Final = 2
CALLED: Final = 3
PATROL: Final = 4

# Queues: `queues` (n_queues, 3).
QUEUE_MEMBERS: Final = 0
QUEUE_CREW: Final = 2
N_QUEUE_COLUMNS: Final = 3

# Pools: `pools` (n_pools, 4).
ACTIVE: Final = 0
DELAYED: Final = 1
POOL_MEMBERS: Final = 2
N_POOL_COLUMNS: Final = 4

# State of crews: `crews` (n_crews, 5); of events: `clocks` (n_events, 3); of rewards: (n_rewards, 3).
BUSY: Final = 0
NEXT_TICKET: Final = 1
SPOT: Final = 2
CREW_DRAWS: Final = 3
CREW_FLAG: Final = 4
LEFT: Final = 0
"""Work left, in time at speed 1; negative where nothing is drawn."""
DUE: Final = 1
SPEED: Final = 2
REWARD_VALUE: Final = 0
REWARD_SINCE: Final = 1
REWARD_SUM: Final = 2

# `State.marks`.
N_HEAP: Final = 0
N_DIRTY: Final = 1
N_DIRTY_REWARDS: Final = 2
N_FLAGGED: Final = 3
N_LOG: Final = 4
LOG_FULL: Final = 5
N_TRACE: Final = 6
LAST: Final = 7
"""The last event that happened; -1 for none."""
N_FIRED: Final = 8


class Model(NamedTuple):
    """What can happen; see `sim.reliability.machine.Machine`, which makes it."""

    events: Ints
    factors: Floats
    keys: Keys
    law_kinds: Ints
    law_numbers: Floats
    samples: Floats
    variables: Ints
    gates: Ints
    actions: Ints
    action_probs: Floats
    action_keys: Keys
    crews: Ints
    crew_keys: Keys
    queues: Ints
    pools: Ints
    pool_probs: Floats
    pool_keys: Keys
    lists: Ints
    programs: Ints
    operations: Ints
    arguments: Floats
    rewards: Ints
    """(n_rewards,) program of each."""
    systems: Ints
    """(n_systems,) gate of each watched system."""


class State(NamedTuple):
    """One history at one moment."""

    x: Ints
    """(n_variables,) the integer state."""
    tickets: Ints
    counts: Ints
    """(n_gates,) inputs that are up."""
    crews: Ints
    waiting: Ints
    pools: Ints
    """(n_pools, 2) draws made, flag."""
    clocks: Floats
    fired: Ints
    """(n_events,) draws made of each event."""
    heap: Ints
    """(n_events, 2) events by due time, and the place of each event in it (-1: not there)."""
    dirty: Ints
    dirty_rewards: Ints
    rewards: Floats
    down_since: Floats
    """(n_systems,) NaN while up."""
    down_cause: Ints
    tally: Ints
    """(n_labels,) events that happened, by label."""
    time: Floats
    """(1,)"""
    trial: Keys
    """(1,) what tells this history's draws from another's; give a clone another one."""
    stack: Floats
    gate_stack: Ints
    marks: Ints
    log_times: Floats
    """(room, 2) begin and end of outages."""
    log: Ints
    """(room, 4) trial, system, cause (label), censored."""
    trace_times: Floats
    trace: Ints
    """(room,) events that happened, for a replay; no room, no trace."""


def new_state(model: Model, n_labels: int, *, log_room: int = 4096, trace_room: int = 0) -> State:
    """Return a state with room for `log_room` outages; `sim.reliability.loop.begin` starts a history in it."""
    n_events, n_gates = len(model.events), len(model.gates)
    n_rewards, n_systems = len(model.rewards), len(model.systems)

    def ints(*shape: int) -> Ints:
        return np.zeros(shape, dtype=np.int64)

    return State(
        x=ints(len(model.variables)),
        tickets=ints(len(model.variables)),
        counts=ints(n_gates),
        crews=ints(len(model.crews), 5),
        waiting=ints(len(model.queues)),
        pools=ints(len(model.pools), 2),
        clocks=np.zeros((n_events, 3)),
        fired=ints(n_events),
        heap=ints(n_events, 2),
        dirty=ints(n_events, 2),
        dirty_rewards=ints(n_rewards, 2),
        rewards=np.zeros((n_rewards, 3)),
        down_since=np.full(n_systems, np.nan),
        down_cause=ints(n_systems),
        tally=ints(n_labels),
        time=np.zeros(1),
        trial=np.zeros(1, dtype=np.uint64),
        stack=np.zeros(64),
        gate_stack=ints(len(model.lists) + 64),
        marks=ints(16),
        log_times=np.zeros((log_room, 2)),
        log=ints(log_room, 4),
        trace_times=np.zeros(trace_room),
        trace=ints(trace_room),
    )


def copied(state: State, *, trial: int | None = None) -> State:
    """Return a history that goes its own way from here on; with another `trial` its future draws are its own.

    What was drawn already (the due times of events that are under way) stays; see `loop.redraw` for exponential ones.
    """
    arrays: Any = state
    other = State(*(array.copy() for array in arrays))
    if trial is not None:
        other.trial[0] = trial
    return other


def copy_into(target: State, source: State) -> None:
    """Overwrite a state by another of the same model, without making arrays."""
    arrays: Any = zip(target, source, strict=True)
    for to, of in arrays:
        to[...] = of
