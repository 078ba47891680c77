"""Which measures of which designs are made surer by what their tapes say beforehand, and the signals for that.

Where a precision is asked for, and laws are not estimates themselves: everywhere else a mean is the plain mean of its
trials.
"""

from typing import TYPE_CHECKING, Final

import numpy as np
from numpy.typing import NDArray

from sim.estimate.control import FEWEST_TRIALS, Control
from sim.scenario.schema import Scenario
from sim.study.parameters import uncertain_laws
from sim.study.tables import Rows
from sim.world.log import EXCESSES

if TYPE_CHECKING:
    from sim.world.signals import Signals

MOST_TRIALS: Final = 20_000
"""Of more trials signals are not read: means are sure enough, and each tape takes half a millisecond."""
DRAWN: Final = tuple(f"excess_{name}" for name in EXCESSES)
"""Columns of `trials` that say what people and failovers took, less what was to be expected."""
Floats = NDArray[np.float64]


class Controls:
    """Signals of the designs of one run; each tape is read once, however often the run is looked at."""

    def __init__(self) -> None:
        self._signals: dict[str, Signals] = {}
        self._known: dict[str, Floats] = {}

    def control(self, design: str, scenario: Scenario, rows: Rows) -> Control | None:
        """What takes off measures of these trials what is known of each; None where signals are not used.

        Parameters
        ----------
        design : str
            Name of the architecture.
        scenario : Scenario
            Its own.
        rows : table
            Its trials.
        """
        trials = rows["trial"]
        usable = scenario.precision is not None and scenario.populations and not uncertain_laws(scenario)
        if not usable or not len(trials) >= FEWEST_TRIALS or trials.max() >= MOST_TRIALS:
            return None
        drawn = [np.asarray(rows[name], dtype=np.float64) for name in DRAWN if name in rows]
        drawn = [values for values in drawn if np.isfinite(values).all()]  # a trial of another kind may not know
        return Control(np.column_stack([self._of(design, scenario, int(trials.max()) + 1)[trials], *drawn]))

    def _of(self, design: str, scenario: Scenario, n_trials: int) -> Floats:
        """Signals of the first trials of a design."""
        from sim.world.signals import Signals  # compiled draws, which most runs do without here

        if design not in self._signals:
            self._signals[design] = Signals(scenario)
            self._known[design] = self._signals[design].of(range(0))
        known = self._known[design]
        if len(known) < n_trials:
            more = self._signals[design].of(range(len(known), n_trials))
            self._known[design] = known = np.concatenate([known, more])
        return known
