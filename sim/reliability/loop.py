"""The compiled event loop: the next event of a history, what it changes, and what that sets going.

`begin`, then `step` again and again. Every function takes a model `m` and a state `s` and allocates nothing. Of events
due at the same moment the one declared first comes first. When its speed changes, an event under way
keeps its work and is rescaled, which is exact for every law.

For splitting and failure biasing: `model.copied` clones a history, `importance` says how near a system is to failing,
`hazards` gives the rates of an all-exponential model, `redraw` forgets what was drawn for its future.
"""

import math
from typing import Any

import numpy as np

from sim.reliability import model as at
from sim.reliability.compiled import compiled, inner, uniform_pair
from sim.reliability.crews import dispatch, look, take_on
from sim.reliability.durations import EXPONENTIAL, duration
from sim.reliability.expressions import evaluate
from sim.reliability.heap import place, removed
from sim.reliability.state import repaired, set_variable, start_spares, struck


@compiled
def begin(m: Any, s: Any, trial: int) -> None:
    """Start history number `trial` (uint64): everything as it is at the start, all draws still to be made."""
    s.trial[0] = np.uint64(trial)
    s.time[0] = 0.0
    s.marks[:] = 0
    s.marks[at.LAST] = -1
    for v in range(len(s.x)):
        s.x[v] = m.variables[v, at.BEGIN]
        s.tickets[v] = 0
    for g in range(len(s.counts)):
        s.counts[g] = m.gates[g, at.BEGIN_COUNT]
    s.crews[:, :] = 0
    s.waiting[:] = 0
    s.pools[:, :] = 0
    s.fired[:] = 0
    s.dirty[:, :] = 0
    s.dirty_rewards[:, :] = 0
    s.tally[:] = 0
    s.down_since[:] = np.nan
    for e in range(len(m.events)):
        s.heap[e, 1] = -1
        s.clocks[e, at.LEFT] = -1.0
        s.clocks[e, at.DUE] = math.inf
        s.clocks[e, at.SPEED] = 0.0
    for r in range(len(m.rewards)):
        s.rewards[r, at.REWARD_SINCE] = 0.0
        s.rewards[r, at.REWARD_SUM] = 0.0
        s.rewards[r, at.REWARD_VALUE] = evaluate(m, s, m.rewards[r])
    for e in range(len(m.events)):
        refresh(m, s, e)
    for i in range(len(m.systems)):
        if s.counts[m.systems[i]] < m.gates[m.systems[i], at.NEED]:
            s.down_since[i] = 0.0
            s.down_cause[i] = -1


@inner
def next_time(s: Any) -> float:
    """Return when the next event is due; infinity if none ever is."""
    return s.clocks[s.heap[0, 0], at.DUE] if s.marks[at.N_HEAP] > 0 else math.inf


@inner
def step(m: Any, s: Any) -> int:
    """Let the next event happen; return its number, or -1 if there is none."""
    if s.marks[at.N_HEAP] == 0:
        return -1
    e = s.heap[0, 0]
    s.time[0] = s.clocks[e, at.DUE]
    removed(s, e)
    s.clocks[e, at.LEFT] = -1.0
    s.clocks[e, at.SPEED] = 0.0
    s.tally[m.events[e, at.LABEL]] += 1
    s.marks[at.LAST] = e
    s.marks[at.N_FIRED] += 1
    if s.marks[at.N_TRACE] < len(s.trace):
        s.trace[s.marks[at.N_TRACE]] = e
        s.trace_times[s.marks[at.N_TRACE]] = s.time[0]
        s.marks[at.N_TRACE] += 1
    _mark(s, e)
    for a in range(m.events[e, at.ACT_FROM], m.events[e, at.ACT_TO]):
        _act(m, s, e, a)
    _settle(m, s)
    return int(e)


@inner
def _mark(s: Any, e: int) -> None:
    if s.dirty[e, 1] == 0:
        s.dirty[e, 1] = 1
        s.dirty[s.marks[at.N_DIRTY], 0] = e
        s.marks[at.N_DIRTY] += 1


@inner
def _act(m: Any, s: Any, e: int, a: int) -> None:
    kind, target, value = m.actions[a, 0], m.actions[a, 1], m.actions[a, 2]
    prob = m.action_probs[a]
    happens = True
    if prob < 1.0:
        # The n-th time that this event happens decides by the n-th number of this action's own name.
        happens = uniform_pair(m.action_keys[a], s.trial[0], s.fired[e])[0] < prob
    if kind == at.SERVE:
        repaired(m, s, target)
    elif kind == at.START:
        if happens:
            set_variable(m, s, target, at.WORKS)
        else:
            struck(m, s, target)
    elif not happens:
        return
    elif kind == at.SET:
        set_variable(m, s, target, value)
    elif kind == at.COMPUTE:
        set_variable(m, s, target, math.floor(evaluate(m, s, value) + 0.5))
    elif kind == at.STRIKE:
        struck(m, s, target)
    elif kind == at.ASSIGN:
        take_on(m, s, target)
    elif kind == at.LOOK:
        look(m, s, target)
    elif kind == at.RENEW:
        if s.heap[target, 1] >= 0:
            removed(s, target)
        s.clocks[target, at.LEFT] = -1.0
        s.clocks[target, at.SPEED] = 0.0
        _mark(s, target)


@inner
def _settle(m: Any, s: Any) -> None:
    """What follows at the same moment: crews and spares, then clocks, rewards and the watched systems."""
    while s.marks[at.N_FLAGGED] > 0:
        s.marks[at.N_FLAGGED] = 0
        for p in range(len(m.pools)):
            if s.pools[p, 1] != 0:
                s.pools[p, 1] = 0
                start_spares(m, s, p)
        for c in range(len(m.crews)):
            if s.crews[c, at.CREW_FLAG] != 0:
                s.crews[c, at.CREW_FLAG] = 0
                dispatch(m, s, c)
    for i in range(s.marks[at.N_DIRTY]):
        e = s.dirty[i, 0]
        s.dirty[e, 1] = 0
        refresh(m, s, e)
    s.marks[at.N_DIRTY] = 0
    for i in range(s.marks[at.N_DIRTY_REWARDS]):
        r = s.dirty_rewards[i, 0]
        s.dirty_rewards[r, 1] = 0
        accrue(s, r)
        s.rewards[r, at.REWARD_VALUE] = evaluate(m, s, m.rewards[r])
    s.marks[at.N_DIRTY_REWARDS] = 0
    for i in range(len(m.systems)):
        is_up = s.counts[m.systems[i]] >= m.gates[m.systems[i], at.NEED]
        was_up = s.down_since[i] != s.down_since[i]
        if was_up and not is_up:
            s.down_since[i] = s.time[0]
            s.down_cause[i] = m.events[s.marks[at.LAST], at.LABEL]
        elif is_up and not was_up:
            note_outage(s, i, censored=0)


@inner
def note_outage(s: Any, system: int, censored: int) -> None:
    """Log the outage of a system that ends now (or is cut by the horizon); one without length is none."""
    begun = s.down_since[system]
    s.down_since[system] = np.nan
    if s.time[0] <= begun:
        return
    row = s.marks[at.N_LOG]
    if row >= len(s.log):
        s.marks[at.LOG_FULL] = 1
        return
    s.log_times[row, 0] = begun
    s.log_times[row, 1] = s.time[0]
    s.log[row, 0] = int(s.trial[0])
    s.log[row, 1] = system
    s.log[row, 2] = s.down_cause[system]
    s.log[row, 3] = censored
    s.marks[at.N_LOG] += 1


@inner
def accrue(s: Any, r: int) -> None:
    """Bring the integral of a reward up to now."""
    s.rewards[r, at.REWARD_SUM] += s.rewards[r, at.REWARD_VALUE] * (s.time[0] - s.rewards[r, at.REWARD_SINCE])
    s.rewards[r, at.REWARD_SINCE] = s.time[0]


@inner
def speed_of(m: Any, s: Any, e: int) -> float:
    """Return how fast an event's clock runs now; 0 if it stands still."""
    kind, when = m.events[e, at.SPEED_KIND], m.events[e, at.WHEN]
    if kind == at.BY_VALUE:
        return m.factors[e] if s.x[when] == m.events[e, at.VALUE] else 0.0
    if kind == at.BY_PROGRAM:
        return evaluate(m, s, m.events[e, at.PROGRAM])
    crew = m.queues[when, at.QUEUE_CREW] if kind == at.BY_CALL else when
    if s.crews[crew, at.BUSY] >= m.crews[crew, at.SIZE]:
        return 0.0
    return 1.0 if kind == at.BY_LOOK or s.waiting[when] > 0 else 0.0


@inner
def refresh(m: Any, s: Any, e: int) -> None:
    """Start, stop or rescale the clock of an event after what it depends on has changed."""
    new, old = speed_of(m, s, e), s.clocks[e, at.SPEED]
    if new == old:
        return
    now = s.time[0]
    if old > 0.0:
        s.clocks[e, at.LEFT] = max(0.0, s.clocks[e, at.DUE] - now) * old
    s.clocks[e, at.SPEED] = new
    if new <= 0.0:
        if m.events[e, at.KEEPS] == 0:
            s.clocks[e, at.LEFT] = -1.0
        if s.heap[e, 1] >= 0:
            removed(s, e)
        return
    if s.clocks[e, at.LEFT] < 0.0:
        s.clocks[e, at.LEFT] = drawn(m, s, e)
    place(s, e, now + s.clocks[e, at.LEFT] / new)


@inner
def drawn(m: Any, s: Any, e: int) -> float:
    """Return the next duration of an event's law."""
    first, second = uniform_pair(m.keys[e], s.trial[0], s.fired[e])
    s.fired[e] += 1
    law = m.events[e, at.LAW]
    u = first if m.events[e, at.HALF] == 0 else second
    return duration(m.law_kinds[law], m.law_numbers[law, 0], m.law_numbers[law, 1], u, m.samples)


@inner
def redraw(m: Any, s: Any) -> None:
    """Draw every exponential event that is under way anew, by the state's trial number: the law has no memory.

    Other laws keep what was drawn, so that a clone of a history shares it with its origin.
    """
    for e in range(len(m.events)):
        if s.heap[e, 1] >= 0 and m.law_kinds[m.events[e, at.LAW]] == EXPONENTIAL:
            s.clocks[e, at.LEFT] = drawn(m, s, e)
            place(s, e, s.time[0] + s.clocks[e, at.LEFT] / s.clocks[e, at.SPEED])


@inner
def hazards(m: Any, s: Any, out: Any) -> float:
    """Write the rate of each event now into `out` (n_events,) and return their sum; NaN if a law is not exponential."""
    total = 0.0
    for e in range(len(m.events)):
        law = m.events[e, at.LAW]
        out[e] = s.clocks[e, at.SPEED] / m.law_numbers[law, 0] if m.law_kinds[law] == EXPONENTIAL else np.nan
        total += out[e]
    return total


@inner
def importance(m: Any, s: Any, gate: int) -> float:
    """Return how near a gate is to being down, from 0 (nothing is) to 1 (it is down): the share of the inputs whose
    loss takes it down that are lost already. Linear in one gate; see `gates.depth` for nested ones.
    """
    enough = m.gates[gate, at.BEGIN_COUNT] - m.gates[gate, at.NEED] + 1
    lost = m.gates[gate, at.BEGIN_COUNT] - s.counts[gate]
    return min(1.0, max(0.0, lost / enough)) if enough > 0 else 1.0
