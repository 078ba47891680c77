"""When a run has enough trials: the precision that a scenario asks for, checked at fixed numbers of trials.

The looks are at the scenario's `trials`, twice as many, four times as many ... up to `max_trials`, of every
architecture, so that where a run stops depends on the trials alone and not on workers, chunks or interruptions.
A stop at a random look makes intervals cover a little less than they say; few, widely spaced looks keep that small.
"""

from collections.abc import Mapping

from sim.estimate import Estimate
from sim.scenario.schema import Precision, Scenario

_MEASURE_OF = {"availability": "availability_time"}
"""Where a field of `Precision` is not called like its measure."""


def unmet(
    estimates: Mapping[str, Mapping[str, Estimate]], scenarios: Mapping[str, Scenario]
) -> list[tuple[str, str, float, float]]:
    """Return (architecture, measure, relative half-width, wanted) of each interval that is still too wide.

    A measure that was not seen at all is too wide, its relative half-width infinite.
    """
    found = []
    for name, scenario in scenarios.items():
        for field, wanted in _wanted(scenario.precision):
            estimate = estimates.get(name, {}).get(_MEASURE_OF.get(field, field))
            if estimate is None:
                continue  # a measure that this scenario cannot have
            reached = relative_half_width(estimate, of_rest=field == "availability")
            if reached > wanted:
                found.append((name, field, reached, wanted))
    return found


def relative_half_width(estimate: Estimate, *, of_rest: bool) -> float:
    """Longer half of the interval over the estimate, or (`of_rest`) over 1 - estimate."""
    size = abs(1.0 - estimate.mean if of_rest else estimate.mean)
    half = max(estimate.high - estimate.mean, estimate.mean - estimate.low)
    return half / size if size > 0.0 else float("inf")


def most_trials(scenarios: Mapping[str, Scenario]) -> int:
    """Trials per architecture at which a run with a precision stops at the latest."""
    return max(scenario.max_trials for scenario in scenarios.values())


def _wanted(precision: Precision | None) -> list[tuple[str, float]]:
    if precision is None:
        return []
    return [(name, float(value)) for name, value in precision if value is not None]
