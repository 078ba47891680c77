"""A small sensitivity study on the stand-in for the engine."""

from pathlib import Path

import numpy as np
from small_study import fake_trial, small_experiment

from sim.scenario.schema import Scenario
from sim.study import RunOptions
from sim.study.sensitivity import Choice, Sensitivity, sensitivity_of
from sim.study.tables import Tables
from sim.world.log import TrialRecord

OPTIONS = RunOptions(trials=6, workers=1)
CHOICE = Choice(
    knobs=("services.web.queue", "services.web.work=50ms,200ms"),
    sobol=("services.web.queue=10,60", "faults.region-loss.repair.fixed=1h,4h,log"),
    sobol_samples=4,
    check=False,
)


def trial_of_the_queue(
    scenario: Scenario, architecture: str, trial: int, *, keep: bool = False
) -> tuple[TrialRecord, Tables]:
    """The stand-in on common random numbers, with downtime in proportion to the queue of web."""
    record, tables = fake_trial(scenario, "the same for all", trial, keep=keep)
    factor = scenario.services["web"].queue / 30.0
    for name in ("trials", "downtime_shares", "sequences"):
        tables[name]["downtime_s"] = tables[name]["downtime_s"] * factor
    for table in tables.values():
        table["architecture"] = np.full(len(table["trial"]), architecture, dtype=object)
    return record, tables


def make_sensitivity(folder: Path) -> Sensitivity:
    """The study of the small experiment, in memory; its scenario file goes to `folder`."""
    return sensitivity_of(small_experiment(folder), CHOICE, OPTIONS, trial_function=trial_of_the_queue)
