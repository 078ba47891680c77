"""Who is repaired next: the orders of service of a repair crew.

A crew of size n works on n elements at a time; those that wait stand in queues, one per kind of element.
"""

from typing import Any

from sim.reliability import model as at
from sim.reliability.compiled import inner, uniform_pair
from sim.reliability.state import set_variable


@inner
def dispatch(m: Any, s: Any, c: int) -> None:
    """Let a crew take on what waits, for as long as somebody is free; more urgent repairs push others aside if it may.

    A crew that is called or patrols is sent by its own events instead.
    """
    if m.crews[c, at.ORDER] == at.CALLED or m.crews[c, at.ORDER] == at.PATROL:
        return
    while s.crews[c, at.BUSY] < m.crews[c, at.SIZE]:
        v = _next_in_line(m, s, c)
        if v < 0:
            return
        _serve(m, s, c, v)
    if m.crews[c, at.PREEMPTS] == 0:
        return
    while True:
        v, least = _next_in_line(m, s, c), _least_urgent(m, s, c)
        if v < 0 or least < 0 or m.variables[v, at.PRIORITY] <= m.variables[least, at.PRIORITY]:
            return
        set_variable(m, s, least, at.WAITS)
        _serve(m, s, c, v)


@inner
def _serve(m: Any, s: Any, c: int, v: int) -> None:
    set_variable(m, s, v, at.TRAVELLED_TO if m.crews[c, at.TRAVELS] == 1 else at.REPAIRED)


@inner
def _next_in_line(m: Any, s: Any, c: int) -> int:
    """The most urgent element that waits; among equals by the crew's order. -1 if none waits."""
    urgent = -1
    for i in range(m.crews[c, at.CREW_MEMBERS], m.crews[c, at.CREW_MEMBERS + 1]):
        v = m.lists[i]
        if s.x[v] == at.WAITS and (urgent < 0 or _comes_before(m, s, v, urgent)):
            urgent = v
    if urgent < 0 or m.crews[c, at.ORDER] == at.FIRST_COME:
        return int(urgent)
    priority = m.variables[urgent, at.PRIORITY]
    if m.crews[c, at.ORDER] == at.RANDOM_KIND:
        return _of_random_kind(m, s, c, priority)
    n = 0
    for i in range(m.crews[c, at.CREW_MEMBERS], m.crews[c, at.CREW_MEMBERS + 1]):
        v = m.lists[i]
        n += s.x[v] == at.WAITS and m.variables[v, at.PRIORITY] == priority
    wanted = _chosen(m, s, c, n)
    for i in range(m.crews[c, at.CREW_MEMBERS], m.crews[c, at.CREW_MEMBERS + 1]):
        v = m.lists[i]
        if s.x[v] == at.WAITS and m.variables[v, at.PRIORITY] == priority:
            if wanted == 0:
                return int(v)
            wanted -= 1
    return int(urgent)


@inner
def _comes_before(m: Any, s: Any, a: int, b: int) -> bool:
    more = m.variables[a, at.PRIORITY] - m.variables[b, at.PRIORITY]
    return bool(more > 0 or (more == 0 and s.tickets[a] < s.tickets[b]))


@inner
def _chosen(m: Any, s: Any, c: int, n: int) -> int:
    """One of n, each equally likely."""
    u = uniform_pair(m.crew_keys[c], s.trial[0], s.crews[c, at.CREW_DRAWS])[0]
    s.crews[c, at.CREW_DRAWS] += 1
    return min(n - 1, int(u * n))


@inner
def _of_random_kind(m: Any, s: Any, c: int, priority: int) -> int:
    """The longest waiting of a kind, each kind that waits with this priority equally likely."""
    n = 0
    for q in range(m.crews[c, at.CREW_QUEUES], m.crews[c, at.CREW_QUEUES + 1]):
        n += _first_of(m, s, m.lists[q], priority) >= 0
    wanted = _chosen(m, s, c, n)
    for q in range(m.crews[c, at.CREW_QUEUES], m.crews[c, at.CREW_QUEUES + 1]):
        v = _first_of(m, s, m.lists[q], priority)
        if v >= 0:
            if wanted == 0:
                return v
            wanted -= 1
    return -1


@inner
def _first_of(m: Any, s: Any, queue: int, priority: int) -> int:
    """The longest waiting of a kind; with a priority of at least `priority`. -1 if none waits."""
    first = -1
    if s.waiting[queue] == 0:
        return first
    for i in range(m.queues[queue, at.QUEUE_MEMBERS], m.queues[queue, at.QUEUE_MEMBERS + 1]):
        v = m.lists[i]
        matters = s.x[v] == at.WAITS and m.variables[v, at.PRIORITY] >= priority
        if matters and (first < 0 or s.tickets[v] < s.tickets[first]):
            first = v
    return int(first)


@inner
def _least_urgent(m: Any, s: Any, c: int) -> int:
    """The least urgent element that is worked on, the last come among equals; -1 if none is."""
    least = -1
    for i in range(m.crews[c, at.CREW_MEMBERS], m.crews[c, at.CREW_MEMBERS + 1]):
        v = m.lists[i]
        is_served = s.x[v] == at.REPAIRED or s.x[v] == at.TRAVELLED_TO
        if is_served and (least < 0 or _comes_before(m, s, least, v)):
            least = v
    return int(least)


@inner
def take_on(m: Any, s: Any, queue: int) -> None:
    """A crew takes on the longest waiting element of a kind."""
    v = _first_of(m, s, queue, -(2**62))
    if v >= 0:
        _serve(m, s, m.queues[queue, at.QUEUE_CREW], v)


@inner
def look(m: Any, s: Any, c: int) -> None:
    """A patrolling crew looks at the kind where it stands: it takes on what waits there, else it goes on."""
    first = m.crews[c, at.CREW_QUEUES]
    queue = m.lists[first + s.crews[c, at.SPOT]]
    if s.waiting[queue] > 0:
        take_on(m, s, queue)
    else:
        s.crews[c, at.SPOT] = (s.crews[c, at.SPOT] + 1) % (m.crews[c, at.CREW_QUEUES + 1] - first)
