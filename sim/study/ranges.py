"""Sets of trial numbers as sorted, disjoint, closed ranges: a million finished trials are one pair of numbers.

Knows nothing of what the numbers stand for.
"""

from collections.abc import Collection, Iterable

Range = tuple[int, int]
Ranges = list[Range]


def to_ranges(numbers: Collection[int]) -> Ranges:
    """Sorted, closed ranges that cover the numbers: {0, 1, 2, 5} -> [(0, 2), (5, 5)]."""
    return joined((number, number) for number in numbers)


def joined(ranges: Iterable[Range]) -> Ranges:
    """The same numbers as sorted ranges that neither overlap nor touch."""
    found: Ranges = []
    for first, last in sorted(ranges):
        if found and first <= found[-1][1] + 1:
            found[-1] = (found[-1][0], max(found[-1][1], last))
        else:
            found.append((first, last))
    return found


def without(ranges: Iterable[Range], taken: Iterable[Range]) -> Ranges:
    """The numbers of `ranges` that are not in `taken`."""
    left: Ranges = []
    holes = joined(taken)
    for first, last in joined(ranges):
        for hole_first, hole_last in holes:
            if hole_last < first:
                continue
            if hole_first > last:
                break
            if hole_first > first:
                left.append((first, hole_first - 1))
            first = hole_last + 1
        if first <= last:
            left.append((first, last))
    return left


def below(ranges: Iterable[Range], end: int) -> Ranges:
    """The numbers smaller than `end`."""
    return [(first, min(last, end - 1)) for first, last in ranges if first < end]


def n_in(ranges: Iterable[Range]) -> int:
    """How many numbers there are in disjoint ranges."""
    return sum(last - first + 1 for first, last in ranges)
