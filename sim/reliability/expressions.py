"""Expressions over the integer state of a machine: written with Python's operators, run as a postfix program.

`(sensors >= 2) & (main == 1)` makes an `Expression`, a tuple of (operation, argument); nothing is evaluated until the
compiled loop runs it on its state. A truth is 1 or 0. Nothing here knows events.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sim.reliability.compiled import inner

CONSTANT: Final = 0
VARIABLE: Final = 1
UP: Final = 2
"""1 if a gate is up."""
COUNT: Final = 3
"""How many inputs of a gate are up."""
ADD: Final = 4
SUBTRACT: Final = 5
MULTIPLY: Final = 6
LESS: Final = 7
AT_MOST: Final = 8
EQUAL: Final = 9
AND: Final = 10
OR: Final = 11
NOT: Final = 12
MOST: Final = 13
LEAST: Final = 14

DEEPEST: Final = 64
"""Values on the stack at the same time; a deeper expression is refused when it is made."""

Operation = tuple[int, float]


@dataclass(frozen=True, eq=False)
class Expression:
    """A number computed from the state; combine with `+ - * < <= > >= == !=`, and truths with `& | ~`."""

    program: tuple[Operation, ...]

    def _with(self, other: "Expression | float", operation: int) -> "Expression":
        return Expression((*self.program, *expression(other).program, (operation, 0.0)))

    def _after(self, other: float, operation: int) -> "Expression":
        return expression(other)._with(self, operation)

    def __add__(self, other: "Expression | float") -> "Expression":
        return self._with(other, ADD)

    def __radd__(self, other: float) -> "Expression":
        return self._after(other, ADD)

    def __sub__(self, other: "Expression | float") -> "Expression":
        return self._with(other, SUBTRACT)

    def __rsub__(self, other: float) -> "Expression":
        return self._after(other, SUBTRACT)

    def __mul__(self, other: "Expression | float") -> "Expression":
        return self._with(other, MULTIPLY)

    def __rmul__(self, other: float) -> "Expression":
        return self._after(other, MULTIPLY)

    def __lt__(self, other: "Expression | float") -> "Expression":
        return self._with(other, LESS)

    def __le__(self, other: "Expression | float") -> "Expression":
        return self._with(other, AT_MOST)

    def __gt__(self, other: "Expression | float") -> "Expression":
        return expression(other)._with(self, LESS)

    def __ge__(self, other: "Expression | float") -> "Expression":
        return expression(other)._with(self, AT_MOST)

    def __eq__(self, other: object) -> "Expression":  # type: ignore[override]  # it builds, it does not compare
        return self._with(other, EQUAL)  # type: ignore[arg-type]

    def __ne__(self, other: object) -> "Expression":  # type: ignore[override]
        return ~(self == other)

    def __and__(self, other: "Expression | float") -> "Expression":
        return self._with(other, AND)

    def __or__(self, other: "Expression | float") -> "Expression":
        return self._with(other, OR)

    def __invert__(self) -> "Expression":
        return Expression((*self.program, (NOT, 0.0)))

    def __bool__(self) -> bool:
        raise TypeError("an expression has no truth of its own: use & | ~ instead of and, or, not, and no a < b < c")

    __hash__ = object.__hash__


def expression(value: Expression | float) -> Expression:
    """Return a number as a constant; an expression as it is."""
    return value if isinstance(value, Expression) else Expression(((CONSTANT, float(value)),))


def most(first: Expression, second: Expression | float) -> Expression:
    """Return the larger of two."""
    return first._with(second, MOST)


def least(first: Expression, second: Expression | float) -> Expression:
    """Return the smaller of two."""
    return first._with(second, LEAST)


def used(program: Sequence[Operation], *operations: int) -> set[int]:
    """Return the numbers of the variables or gates that a program looks at by these operations."""
    return {int(argument) for operation, argument in program if operation in operations}


def deepest(program: Sequence[Operation]) -> int:
    """Return how many values are on the stack at most."""
    depth = highest = 0
    for operation, _ in program:
        depth += 1 if operation <= COUNT else 0 if operation == NOT else -1
        highest = max(highest, depth)
    return highest


@inner
def evaluate(m: Any, s: Any, program: int) -> float:
    """Return the value of a model's program on a state."""
    stack, top = s.stack, -1
    for i in range(m.programs[program], m.programs[program + 1]):
        operation = m.operations[i]
        if operation <= COUNT:
            top += 1
            argument = m.arguments[i]
            if operation == CONSTANT:
                stack[top] = argument
            elif operation == VARIABLE:
                stack[top] = s.x[int(argument)]
            elif operation == UP:
                stack[top] = 1.0 if s.counts[int(argument)] >= m.gates[int(argument), 0] else 0.0
            else:
                stack[top] = s.counts[int(argument)]
        elif operation == NOT:
            stack[top] = 1.0 if stack[top] == 0.0 else 0.0
        else:
            top -= 1
            stack[top] = _combined(operation, stack[top], stack[top + 1])
    return float(stack[0])


@inner
def _combined(operation: int, a: float, b: float) -> float:
    if operation == ADD:
        return a + b
    if operation == SUBTRACT:
        return a - b
    if operation == MULTIPLY:
        return a * b
    if operation == LESS:
        return 1.0 if a < b else 0.0
    if operation == AT_MOST:
        return 1.0 if a <= b else 0.0
    if operation == EQUAL:
        return 1.0 if a == b else 0.0
    if operation == AND:
        return 1.0 if a != 0.0 and b != 0.0 else 0.0
    if operation == OR:
        return 1.0 if a != 0.0 or b != 0.0 else 0.0
    if operation == MOST:
        return max(a, b)
    return min(a, b)
