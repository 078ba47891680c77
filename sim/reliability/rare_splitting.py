"""Rare failures by RESTART: a history that comes nearer to failure than before is tried again and again from there.

Villen-Altamirano, M. and J. (1991), RESTART: a method for accelerating rare event simulations. Each time a history
rises above threshold k, R(k) - 1 retrials start from the state it has there; a retrial ends when it falls below that
threshold; the history itself goes on. What happens between thresholds k and k + 1 has weight 1 / (R(1) ... R(k)). So
every integral over time and every count has the right expectation, whatever the thresholds are. Factors of 1 are plain
Monte Carlo in the same loop. Exponential events under way are drawn anew for a retrial; others keep what was drawn,
which is right too, but gains less.

Histories are cycles (from the state of the start until it is back) or last until a horizon.
"""

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from sim.reliability import model as at
from sim.reliability.compiled import compiled
from sim.reliability.loop import begin, next_time, redraw, step
from sim.reliability.model import Floats, Ints, Model, State, new_state
from sim.reliability.rare_levels import Levels, level

CYCLE: Final = 0
"""Until everything is as at the start again."""
HORIZON: Final = 1
"""Until the horizon."""
FIRST: Final = 2
"""Until the system is down for the first time, or the horizon."""
CLONES: Final = 2**24
"""Retrials of one history, at most: their numbers must not meet those of the next one."""


@dataclass(frozen=True)
class Histories:
    """What was found in each of n independent histories, retrials weighted."""

    down: Floats
    """(n,) time that the system was down."""
    lasted: Floats
    """(n,) length; of a cycle it is random."""
    failures: Floats
    """(n,) times that it went down (`FIRST`: 0 or 1, weighted)."""
    n_events: int
    """Events simulated, those of retrials included: the work."""
    rises: Floats
    """(n_levels + 1,) weighted times that a threshold was passed upwards; [0] counts histories."""


def split_histories(
    model: Model, levels: Levels, factors: Ints, numbers: Ints, *, mode: int, horizon: float = math.inf
) -> Histories:
    """Run histories with retrials.

    Parameters
    ----------
    model : Model
        Compiled; for cycles every event that can happen at the start is exponential (see `refuse_cycles`).
    levels : Levels
        Of the watched system.
    factors : ndarray of int
        (distance + 1,) how many histories one becomes at each threshold, >= 1; [0] is 1.
    numbers : ndarray of int
        Numbers of the histories, each in [0, 2^38); the same number is the same history.
    mode : int
        `CYCLE`, `HORIZON` or `FIRST`.
    horizon : float
        In the unit of the model's laws.

    Raises
    ------
    RuntimeError
        If a history had more retrials than can be numbered: the factors are far too large.
    """
    if (np.asarray(factors) < 1).any() or factors[0] != 1 or len(factors) != int(levels.distance[0]) + 1:
        raise ValueError(f"factors are one for each level, >= 1, the first of them 1; got {factors!r}")
    n_labels = int(model.events[:, at.LABEL].max()) + 1
    state = new_state(model, n_labels, log_room=1)
    slots = State(*(np.zeros((len(factors), *array.shape), dtype=array.dtype) for array in state))
    n = len(numbers)
    out = np.zeros((n, 3))
    rises = np.zeros(len(factors))
    weights = 1.0 / np.cumprod(np.asarray(factors, dtype=np.float64))
    work = np.zeros((3, len(factors) + 1), dtype=np.int64)
    n_events = _run(
        model,
        state,
        slots,
        levels,
        (np.asarray(factors, dtype=np.int64), weights, work),
        numbers,
        (mode, horizon),
        out,
        rises,
    )
    if n_events < 0:
        raise RuntimeError("a history has more retrials than can be numbered: ask for fewer retrials at each level")
    return Histories(out[:, 0], out[:, 1], out[:, 2], int(n_events), rises)


@compiled
def put_aside(s: Any, slots: Any, k: int) -> None:
    """Keep what a history needs to go on from here; what it logged stays where it is."""
    _put_1(slots.x, k, s.x)
    _put_1(slots.tickets, k, s.tickets)
    _put_1(slots.counts, k, s.counts)
    _put_1(slots.waiting, k, s.waiting)
    _put_1(slots.fired, k, s.fired)
    _put_1(slots.down_since, k, s.down_since)
    _put_1(slots.down_cause, k, s.down_cause)
    _put_1(slots.tally, k, s.tally)
    _put_1(slots.time, k, s.time)
    _put_1(slots.trial, k, s.trial)
    _put_1(slots.marks, k, s.marks)
    _put_2(slots.crews, k, s.crews)
    _put_2(slots.pools, k, s.pools)
    _put_2(slots.clocks, k, s.clocks)
    _put_2(slots.heap, k, s.heap)
    _put_2(slots.dirty, k, s.dirty)
    _put_2(slots.dirty_rewards, k, s.dirty_rewards)
    _put_2(slots.rewards, k, s.rewards)


@compiled
def take_up(s: Any, slots: Any, k: int) -> None:
    """Go on from what was kept."""
    _take_1(s.x, slots.x, k)
    _take_1(s.tickets, slots.tickets, k)
    _take_1(s.counts, slots.counts, k)
    _take_1(s.waiting, slots.waiting, k)
    _take_1(s.fired, slots.fired, k)
    _take_1(s.down_since, slots.down_since, k)
    _take_1(s.down_cause, slots.down_cause, k)
    _take_1(s.tally, slots.tally, k)
    _take_1(s.time, slots.time, k)
    _take_1(s.trial, slots.trial, k)
    _take_1(s.marks, slots.marks, k)
    _take_2(s.crews, slots.crews, k)
    _take_2(s.pools, slots.pools, k)
    _take_2(s.clocks, slots.clocks, k)
    _take_2(s.heap, slots.heap, k)
    _take_2(s.dirty, slots.dirty, k)
    _take_2(s.dirty_rewards, slots.dirty_rewards, k)
    _take_2(s.rewards, slots.rewards, k)


@compiled
def _put_1(to: Any, k: int, of: Any) -> None:
    for i in range(len(of)):
        to[k, i] = of[i]


@compiled
def _put_2(to: Any, k: int, of: Any) -> None:
    for i in range(of.shape[0]):
        for j in range(of.shape[1]):
            to[k, i, j] = of[i, j]


@compiled
def _take_1(to: Any, of: Any, k: int) -> None:
    for i in range(len(to)):
        to[i] = of[k, i]


@compiled
def _take_2(to: Any, of: Any, k: int) -> None:
    for i in range(to.shape[0]):
        for j in range(to.shape[1]):
            to[i, j] = of[k, i, j]


@compiled
def is_start(m: Any, s: Any) -> bool:
    """Whether every variable is as at the start, and every patrol where it began."""
    for v in range(len(m.variables)):
        if s.x[v] != m.variables[v, at.BEGIN]:
            return False
    n_away = 0
    for c in range(len(m.crews)):
        n_away += 1 if s.crews[c, at.SPOT] != 0 else 0
    return n_away == 0


@compiled
def is_down(m: Any, s: Any, levels: Any) -> bool:
    """Whether the watched system is down."""
    gate = levels.gates[len(levels.gates) - 1]
    return bool(s.counts[gate] < m.gates[gate, at.NEED])


@compiled
def _run(m: Any, s: Any, slots: Any, levels: Any, plan: Any, numbers: Any, until: Any, out: Any, rises: Any) -> int:
    n_events = 0
    for i in range(len(numbers)):
        found = _one(m, s, slots, levels, plan, numbers[i], until, out[i], rises)
        if found < 0:
            return -1
        n_events += found
    return n_events


@compiled
def _one(m: Any, s: Any, slots: Any, levels: Any, plan: Any, number: int, until: Any, out: Any, rises: Any) -> int:
    """Run one history and its retrials, depth first; return the events, or -1 if retrials cannot be numbered.

    `work` holds by threshold: retrials still to start, the birth level of the history that waits there, and the stack
    of thresholds at which one waits.
    """
    factors, weights, work = plan
    n_waiting, n_clones = 0, 0
    begin(m, s, number * CLONES)
    birth, entered, n_events = 0, 0, 0
    rises[0] += 1.0
    while True:
        ended, fired, entered, rose = _path(m, s, levels, weights, birth, entered, until, out)
        n_events += fired
        if rose:
            # One threshold higher; the history waits there until its retrials are done.
            entered += 1
            rises[entered] += weights[entered - 1]
            if factors[entered] > 1:
                put_aside(s, slots, entered)
                work[0, entered] = factors[entered] - 1
                work[1, entered] = birth
                work[2, n_waiting] = entered
                n_waiting += 1
                ended = True
        if not ended:
            continue
        if n_waiting == 0:
            return n_events
        entered = work[2, n_waiting - 1]
        take_up(s, slots, entered)
        if work[0, entered] > 0:
            work[0, entered] -= 1
            birth = entered
            n_clones += 1
            if n_clones >= CLONES:
                return -1
            s.trial[0] = np.uint64(number * CLONES + n_clones)
            redraw(m, s)
        else:
            birth = work[1, entered]
            n_waiting -= 1


@compiled
def _path(
    m: Any, s: Any, levels: Any, weights: Any, birth: int, entered: int, until: Any, out: Any
) -> tuple[bool, int, int, bool]:
    """Go on until the history ends or passes a threshold upwards: (ended, events, level entered, rose)."""
    mode, horizon = until
    fired = 0
    while True:
        now = level(m, s, levels)
        if now > entered:
            return False, fired, entered, True
        if now < birth:
            return True, fired, entered, False
        entered = now
        was_down = is_down(m, s, levels)
        if was_down and mode == FIRST:
            return True, fired, entered, False
        before, due = s.time[0], next_time(s)
        if mode == CYCLE and due == math.inf:
            return True, fired, entered, False  # nothing can happen any more: there is no way back to the start
        after = min(due, horizon)
        if was_down:
            out[0] += weights[entered] * (after - before)
        out[1] += weights[entered] * (after - before)
        if due > horizon:
            return True, fired, entered, False
        s.marks[at.N_LOG] = 0
        s.marks[at.LOG_FULL] = 0
        step(m, s)
        fired += 1
        if not was_down and is_down(m, s, levels):
            # It may have risen by several thresholds at once, none of which has multiplied it yet.
            out[2] += weights[entered]
            if mode == FIRST:
                return True, fired, entered, False
        if mode == CYCLE and birth == 0 and is_start(m, s):
            return True, fired, entered, False


def refuse_cycles(model: Model) -> str:
    """Return why the start of a model is no state that forgets the past; empty if it is."""
    from sim.reliability.durations import EXPONENTIAL

    state: State = new_state(model, int(model.events[:, at.LABEL].max()) + 1, log_room=1)
    begin(model, state, 0)
    open_laws = [e for e in range(len(model.events)) if state.heap[e, 1] >= 0]
    aged = [e for e in open_laws if model.law_kinds[model.events[e, at.LAW]] != EXPONENTIAL]
    if aged:
        return f"{len(aged)} of the events that can happen at the start have a law that remembers their age"
    return "" if open_laws else "nothing can happen at the start"
