"""What changes with a variable: gates above it, the queue of its crew, its pool of spares, and who must look again.

The only place where `State.x` and `State.counts` are written after the start of a history.
"""

from typing import Any

from sim.reliability import model as at
from sim.reliability.compiled import inner, uniform_pair


@inner
def set_variable(m: Any, s: Any, v: int, new: int) -> None:
    """Give a variable a value, and mark all that depends on it."""
    old = s.x[v]
    if new == old:
        return
    s.x[v] = new
    row = m.variables[v]
    if row[at.CREW] >= 0:
        _move_in_queue(m, s, v, old)
    if row[at.POOL] >= 0:
        s.pools[row[at.POOL], 1] = 1
        s.marks[at.N_FLAGGED] += 1
    if old == at.WORKS or new == at.WORKS:
        change = 1 if new == at.WORKS else -1
        for i in range(row[at.VAR_GATES], row[at.VAR_GATES + 1]):
            _count(m, s, m.lists[i], change)
    for i in range(row[at.VAR_EVENTS], row[at.VAR_EVENTS + 1]):
        _mark_event(s, m.lists[i])
    for i in range(row[at.VAR_REWARDS], row[at.VAR_REWARDS + 1]):
        _mark_reward(s, m.lists[i])


@inner
def _count(m: Any, s: Any, gate: int, change: int) -> None:
    """One more or one less input of a gate is up; what flips is told upwards."""
    stack, n = s.gate_stack, 1
    stack[0] = gate
    while n > 0:
        n -= 1
        g = stack[n]
        need = m.gates[g, at.NEED]
        was_up = s.counts[g] >= need
        s.counts[g] += change
        for i in range(m.gates[g, at.GATE_EVENTS], m.gates[g, at.GATE_EVENTS + 1]):
            _mark_event(s, m.lists[i])
        for i in range(m.gates[g, at.GATE_REWARDS], m.gates[g, at.GATE_REWARDS + 1]):
            _mark_reward(s, m.lists[i])
        if was_up != (s.counts[g] >= need):
            for i in range(m.gates[g, at.GATE_PARENTS], m.gates[g, at.GATE_PARENTS + 1]):
                stack[n] = m.lists[i]
                n += 1


@inner
def _mark_event(s: Any, e: int) -> None:
    if s.dirty[e, 1] == 0:
        s.dirty[e, 1] = 1
        s.dirty[s.marks[at.N_DIRTY], 0] = e
        s.marks[at.N_DIRTY] += 1


@inner
def _mark_reward(s: Any, r: int) -> None:
    if s.dirty_rewards[r, 1] == 0:
        s.dirty_rewards[r, 1] = 1
        s.dirty_rewards[s.marks[at.N_DIRTY_REWARDS], 0] = r
        s.marks[at.N_DIRTY_REWARDS] += 1


@inner
def _move_in_queue(m: Any, s: Any, v: int, old: int) -> None:
    """Keep count of who waits and who is worked on."""
    crew, queue, new = m.variables[v, at.CREW], m.variables[v, at.QUEUE], s.x[v]
    was_served = old == at.REPAIRED or old == at.TRAVELLED_TO
    is_served = new == at.REPAIRED or new == at.TRAVELLED_TO
    if old == at.WAITS:
        s.waiting[queue] -= 1
    if new == at.WAITS:
        s.waiting[queue] += 1
        if not was_served:  # one that a more urgent repair sent back keeps its turn
            s.crews[crew, at.NEXT_TICKET] += 1
            s.tickets[v] = s.crews[crew, at.NEXT_TICKET]
    if was_served != is_served:
        s.crews[crew, at.BUSY] += 1 if is_served else -1
        if was_served and m.crews[crew, at.ORDER] == at.PATROL and new != at.WAITS:
            _go_on(m, s, crew)
    s.crews[crew, at.CREW_FLAG] = 1
    s.marks[at.N_FLAGGED] += 1


@inner
def _go_on(m: Any, s: Any, crew: int) -> None:
    """A patrolling crew goes to its next stop."""
    n = m.crews[crew, at.CREW_QUEUES + 1] - m.crews[crew, at.CREW_QUEUES]
    s.crews[crew, at.SPOT] = (s.crews[crew, at.SPOT] + 1) % n


@inner
def struck(m: Any, s: Any, v: int) -> None:
    """An element that works, or could, goes down: it waits for its crew, or is repaired at once if it has none."""
    if s.x[v] == at.WORKS or s.x[v] == at.DORMANT or s.x[v] == at.STARTING:
        set_variable(m, s, v, at.WAITS if m.variables[v, at.CREW] >= 0 else at.REPAIRED)


@inner
def repaired(m: Any, s: Any, v: int) -> None:
    """An element is back."""
    set_variable(m, s, v, at.DORMANT if m.variables[v, at.POOL] >= 0 else at.WORKS)


@inner
def start_spares(m: Any, s: Any, pool: int) -> None:
    """Let dormant members of a pool start, in its order, for as long as fewer than wanted work or start."""
    first, last = m.pools[pool, at.POOL_MEMBERS], m.pools[pool, at.POOL_MEMBERS + 1]
    n_active = 0
    for i in range(first, last):
        if s.x[m.lists[i]] == at.WORKS or s.x[m.lists[i]] == at.STARTING:
            n_active += 1
    for i in range(first, last):
        v = m.lists[i]
        if n_active >= m.pools[pool, at.ACTIVE]:
            return
        if s.x[v] != at.DORMANT:
            continue
        if m.pools[pool, at.DELAYED] == 1:
            set_variable(m, s, v, at.STARTING)
            n_active += 1
            continue
        works = True
        if m.pool_probs[pool] < 1.0:
            works = uniform_pair(m.pool_keys[pool], s.trial[0], s.pools[pool, 0])[0] < m.pool_probs[pool]
            s.pools[pool, 0] += 1
        if works:
            set_variable(m, s, v, at.WORKS)
            n_active += 1
        else:
            struck(m, s, v)
