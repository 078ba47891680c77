"""Events by due time: a binary heap that knows the place of each event, in two columns of the state."""

import math
from typing import Any

from sim.reliability.compiled import inner
from sim.reliability.model import DUE, N_HEAP


@inner
def place(s: Any, e: int, due: float) -> None:
    """Put an event at a due time, whether it stands in the heap already or not."""
    i = s.heap[e, 1]
    s.clocks[e, DUE] = due
    if i < 0:
        i = s.marks[N_HEAP]
        s.marks[N_HEAP] += 1
        s.heap[i, 0] = e
        s.heap[e, 1] = i
    _down(s, _up(s, i))


@inner
def removed(s: Any, e: int) -> None:
    """Take an event out."""
    i = s.heap[e, 1]
    s.heap[e, 1] = -1
    s.clocks[e, DUE] = math.inf
    s.marks[N_HEAP] -= 1
    last = s.marks[N_HEAP]
    if i != last:
        moved = s.heap[last, 0]
        s.heap[i, 0] = moved
        s.heap[moved, 1] = i
        _down(s, _up(s, i))


@inner
def _before(s: Any, a: int, b: int) -> bool:
    # Equal times are settled by the events' order, else the answer would depend on the past.
    return s.clocks[a, DUE] < s.clocks[b, DUE] or (s.clocks[a, DUE] == s.clocks[b, DUE] and a < b)


@inner
def _up(s: Any, i: int) -> int:
    e = s.heap[i, 0]
    while i > 0:
        parent = (i - 1) // 2
        above = s.heap[parent, 0]
        if not _before(s, e, above):
            break
        s.heap[i, 0] = above
        s.heap[above, 1] = i
        i = parent
    s.heap[i, 0] = e
    s.heap[e, 1] = i
    return i


@inner
def _down(s: Any, i: int) -> None:
    e, n = s.heap[i, 0], s.marks[N_HEAP]
    while True:
        child = 2 * i + 1
        if child >= n:
            break
        if child + 1 < n and _before(s, s.heap[child + 1, 0], s.heap[child, 0]):
            child += 1
        below = s.heap[child, 0]
        if not _before(s, below, e):
            break
        s.heap[i, 0] = below
        s.heap[below, 1] = i
        i = child
    s.heap[i, 0] = e
    s.heap[e, 1] = i
