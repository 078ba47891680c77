"""How near a system is to failing: how many more elements must go down, at least, until a gate is down.

The smaller that distance, the higher the level of a history; splitting multiplies histories where they rise. Any
function would give right answers, a good one gives them soon. Knows nothing of how histories are made.
"""

from typing import Any, NamedTuple

import numpy as np

from sim.reliability import model as at
from sim.reliability.compiled import compiled
from sim.reliability.machine import Gate, Machine, Variable
from sim.reliability.model import Ints


class Levels(NamedTuple):
    """The gates below (and including) a system's, inputs first, as flat arrays."""

    gates: Ints
    """(n,) numbers of the gates; the last one is the system's."""
    first: Ints
    """(n + 1,) where the inputs of each begin."""
    inputs: Ints
    """(n_inputs, 2): 0 and a variable, or 1 and the place of a gate in `gates`."""
    distance: Ints
    """(1,) of the start."""
    room: Ints
    """(n + largest number of inputs,) work space."""


def levels_of(machine: Machine, gate: Gate) -> Levels:
    """Return the tables of a system of a machine that is complete."""
    order: list[int] = []

    def visit(number: int) -> None:
        for part in machine.gate_inputs[number]:
            if isinstance(part, Gate) and part.number not in order:
                visit(part.number)
        if number not in order:
            order.append(number)

    visit(gate.number)
    inputs, first = [], [0]
    for number in order:
        for part in machine.gate_inputs[number]:
            is_variable = isinstance(part, Variable)
            inputs.append((0, part.number) if is_variable else (1, order.index(part.number)))
        first.append(len(inputs))
    distances: list[int] = []
    for place, number in enumerate(order):
        parts = inputs[first[place] : first[place + 1]]
        each = [int(machine.begins[n] == at.WORKS) if kind == 0 else distances[n] for kind, n in parts]
        distances.append(_nearest(each, machine.gate_needs[number]))
    widest = int(np.diff(first).max())
    return Levels(
        gates=np.array(order, dtype=np.int64),
        first=np.array(first, dtype=np.int64),
        inputs=np.array(inputs, dtype=np.int64).reshape(-1, 2),
        distance=np.array([distances[-1]], dtype=np.int64),
        room=np.zeros(len(order) + widest, dtype=np.int64),
    )


def _nearest(distances: list[int], need: int) -> int:
    """Fewest losses that leave fewer than `need` inputs up; inputs are taken to share nothing."""
    ups = sorted(d for d in distances if d > 0)
    return sum(ups[: max(len(ups) - need + 1, 0)])


@compiled
def level(m: Any, s: Any, levels: Any) -> int:
    """Return how many of the losses that it takes, at least, have come already; less than 0 never."""
    room, n = levels.room, len(levels.gates)
    for g in range(n):
        a, b = levels.first[g], levels.first[g + 1]
        n_up = 0
        for i in range(a, b):
            number = levels.inputs[i, 1]
            d = (1 if s.x[number] == at.WORKS else 0) if levels.inputs[i, 0] == 0 else room[number]
            if d > 0:
                # Sorted by insertion: inputs are few, and nearly sorted.
                k = n + n_up
                while k > n and room[k - 1] > d:
                    room[k] = room[k - 1]
                    k -= 1
                room[k] = d
                n_up += 1
        total = 0
        for k in range(n_up - m.gates[levels.gates[g], at.NEED] + 1):
            total += room[n + k]
        room[g] = total
    return int(max(levels.distance[0] - room[n - 1], 0))
