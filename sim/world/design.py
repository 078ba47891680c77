"""What is made once per process for a design: a scenario without its faults and its numbers of trials.

Trials of one architecture share it, also those whose laws of faults are drawn anew.
"""

from collections import OrderedDict
from collections.abc import Callable
from typing import Any, Final, Generic, TypeVar

from sim.scenario.schema import Scenario

T = TypeVar("T")
_NOT_OF_A_TRIAL: Final = ("name", "seed", "trials", "precision", "max_trials")
_MOST_DESIGNS: Final = 64


def design_text(scenario: Scenario) -> str:
    """The design of a scenario as a text, the same in every process."""
    return scenario.model_dump_json(
        by_alias=True, exclude={*_NOT_OF_A_TRIAL, "faults"}, context={"currency": scenario.currency}
    )


class PerDesign(Generic[T]):
    """Remembers what `make` made of a design.

    Parameters
    ----------
    make : callable
        Makes it of any scenario of that design; must not look at seed or trials.
    with_faults : bool
        Designs with other faults are others; else it must not look at faults either.

    Notes
    -----
    Blocks are compared by identity: scenarios are frozen, and copies with other faults share all other blocks.
    """

    def __init__(self, make: Callable[[Scenario], T], *, with_faults: bool = False) -> None:
        self._make = make
        left_out = _NOT_OF_A_TRIAL if with_faults else (*_NOT_OF_A_TRIAL, "faults")
        self._fields = [field for field in Scenario.model_fields if field not in left_out]
        self._made: OrderedDict[tuple[object, ...], tuple[list[Any], T]] = OrderedDict()
        self._last: tuple[Scenario, T] | None = None
        """What was asked for last: trials of one scenario follow each other."""

    def of(self, scenario: Scenario) -> T:
        """What was made of the design of this scenario; made now if it is new."""
        last = self._last
        if last is not None and last[0] is scenario:
            return last[1]
        blocks = [getattr(scenario, field) for field in self._fields]
        key = tuple(block if isinstance(block, str | float | int) else id(block) for block in blocks)
        if key not in self._made:
            # The blocks are kept: the identity of what is gone could be given to something else.
            self._made[key] = blocks, self._make(scenario)
            if len(self._made) > _MOST_DESIGNS:
                self._made.popitem(last=False)
        made = self._made[key][1]
        self._last = scenario, made
        return made
