"""One trial again, alone and with everything that happened in it."""

from dataclasses import dataclass

from sim.errors import UsageError
from sim.scenario.document import Experiment
from sim.scenario.schema import Scenario
from sim.study.options import MOST_TRIALS, RunOptions
from sim.study.run import chosen
from sim.study.tables import Tables
from sim.study.work import TrialFunction, engine_trial
from sim.world.log import TrialRecord


@dataclass(frozen=True)
class Replay:
    """A trial with its log, its trace and its measures."""

    experiment: Experiment
    architecture: str
    record: TrialRecord
    tables: Tables

    @property
    def scenario(self) -> Scenario:
        """The resolved scenario of the architecture."""
        return self.experiment.scenarios[self.architecture]


def replay_trial(
    experiment: Experiment,
    architecture: str | None = None,
    *,
    trial: int = 0,
    seed: int | None = None,
    trial_function: TrialFunction = engine_trial,
) -> Replay:
    """Run one trial with its trace: the same trial as in a run with this seed.

    Parameters
    ----------
    experiment : what to run.
    architecture : its name; the first by default.
    trial : number, at least 0 and below 10 million.
    seed : instead of the scenario's.

    Raises UsageError for an unknown architecture or a trial that no run can have.
    """
    if not 0 <= trial < MOST_TRIALS:
        raise UsageError(f"trial is {trial}, but must be at least 0 and below {MOST_TRIALS}")
    options = RunOptions(seed=seed, architectures=(architecture,) if architecture else ())
    experiment = chosen(experiment, options)
    name = next(iter(experiment.scenarios))
    record, tables = trial_function(experiment.scenarios[name], name, trial, keep=True)
    return Replay(experiment, name, record, tables)
