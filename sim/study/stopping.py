"""When a run has enough trials: the precision that a scenario asks for, checked at few numbers of trials.

The first look is at the scenario's `trials`. Each architecture whose intervals are too wide then goes on by itself, to
as many as its widest interval says it takes, but to no more than twice as many: so where it stops depends on its
trials alone and not on workers, chunks, interruptions or other architectures. A stop at a random look makes intervals
cover less than they say, because samples that look alike are those that lack the large losses. Few looks, and intervals
that allow for what a sample hides, keep that small; how small is measured in `docs/estimation.md`, beside what the same
rule does to Student's t.
"""

import math
from collections.abc import Iterable, Mapping
from typing import Final

from sim.estimate import Estimate
from sim.scenario.promises import Within
from sim.scenario.schema import Precision, Scenario

_MEASURE_OF = {"availability": "availability_time"}
"""Where a field of `Precision` is not called like its measure."""


_SPARE: Final = 1.1
"""So many times the trials that it would take if they fell with the width as with this ..."""
_POWER: Final = 1.4
"""... power of it. It would be 2 if widths only fell with the root of the number of trials; but what they add for
skewness and for what a small sample hides falls too, and faster."""
_LEAST: Final = 1.15
"""... but at least so many times as many as at the last look, and at most ..."""
_MOST: Final = 2.0
"""... so many: the first intervals say little of how many it takes."""


def unmet(
    estimates: Mapping[str, Mapping[str, Estimate]], scenarios: Mapping[str, Scenario]
) -> list[tuple[str, str, float, float]]:
    """Return (architecture, measure, half-width, wanted) of each interval that is still too wide.

    Half-widths are relative, or in the measure's own unit where `wanted` is a `Within`. A measure that was not seen at
    all has an infinite relative half-width.
    """
    found = []
    for name, scenario in scenarios.items():
        for field, wanted in _wanted(scenario.precision):
            estimate = estimates.get(name, {}).get(_MEASURE_OF.get(field, field))
            if estimate is None:
                continue  # a measure that this scenario cannot have
            if isinstance(wanted, Within):
                reached = half_width(estimate)
            else:
                reached = relative_half_width(estimate, of_rest=field.startswith("availability"))
            if reached > wanted:
                found.append((name, field, reached, wanted))
    return found


def wanted_measures(scenarios: Mapping[str, Scenario]) -> set[str]:
    """Measures that some precision is about."""
    return {_MEASURE_OF.get(field, field) for s in scenarios.values() for field, _ in _wanted(s.precision)}


def next_look(wide: Iterable[tuple[str, str, float, float]], asked: Mapping[str, int], most: int) -> dict[str, int]:
    """Number of trials at the next look of each architecture that has not enough; of none that has, or has `most`.

    Parameters
    ----------
    wide : iterable
        As `unmet` returns it.
    asked : mapping
        Trials of each architecture at this look.
    most : int
        Trials at which it ends.
    """
    found: dict[str, int] = {}
    for name, _, reached, wanted in wide:
        times = min(max(_SPARE * (reached / wanted) ** _POWER, _LEAST), _MOST)
        if asked[name] < most:
            found[name] = max(found.get(name, 0), min(math.ceil(asked[name] * times), most))
    return found


def unmet_text(row: tuple[str, str, float, float]) -> str:
    """Say how far one measure is from what is wanted of it."""
    name, field, reached, wanted = row
    if isinstance(wanted, Within):
        return f"{field} of {name} is known within {reached:.3g}, wanted {wanted:.3g}"
    return f"{field} of {name} is known to {reached:.0%}, wanted {wanted:.0%}"


def half_width(estimate: Estimate) -> float:
    """Longer half of the interval."""
    return max(estimate.high - estimate.mean, estimate.mean - estimate.low)


def relative_half_width(estimate: Estimate, *, of_rest: bool) -> float:
    """Longer half of the interval over the estimate, or (`of_rest`) over 1 - estimate."""
    size = abs(1.0 - estimate.mean if of_rest else estimate.mean)
    return half_width(estimate) / size if size > 0.0 else float("inf")


def most_trials(scenarios: Mapping[str, Scenario]) -> int:
    """Trials per architecture at which a run with a precision stops at the latest."""
    return max(scenario.max_trials for scenario in scenarios.values())


def _wanted(precision: Precision | None) -> list[tuple[str, float]]:
    if precision is None:
        return []
    return [(name, value) for name, value in precision if value is not None]
