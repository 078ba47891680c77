"""Answers that are found once for all who ask: arrays by question.

Each is a pure function of the course and the question, so that it does not matter who finds it. Where answers lie, and
who else asks, is up to whoever made the course.
"""

from collections.abc import Callable, Mapping
from typing import Any

from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]
Once = Callable[[tuple[object, ...], Callable[[], Arrays]], Arrays]
"""Gives the arrays of a question, read only: found by the function, or by another process before. Parts of a question
are texts and numbers, told apart by their `repr`."""


def found_here(question: tuple[object, ...], find: Callable[[], Arrays]) -> Arrays:
    """An answer of which nobody else hears."""
    del question
    return find()
