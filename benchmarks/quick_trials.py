"""A stand-in for trials that take microseconds: tables of the real shape, made by the column.

Each number is a hash of its trial, so that results are the same for any chunks. Importable by worker processes.
"""

from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np

from sim.measures.tables import COLUMNS
from sim.scenario.document import Experiment
from sim.scenario.load import load_experiment
from sim.world.log import TOTALS, Trace, TrialRecord

SCENARIO = """\
name: quick trials
start: 2026-01-01
horizon: 1y
seed: 7
regions:
  north: {zones: 3, nodes: {count: 3, memory: 16Gi}}
services:
  web: {work: 100ms, slots: 10, queue: 30, memory: {base: 200Mi, per_request: 10Mi, limit: 1Gi}}
populations:
  people: {workers: 1000, requests: 36/h, journey: web, deadline: 5s, attempts: 3, cost: 60 EUR/h, dependence: 50%}
faults:
  pod-crash: {target: any pod, every: {exponential: {mean: 30d}}, effect: down, repair: restart}
architectures:
  single: {place: {north: {web: 3}}}
"""
ROWS_PER_TRIAL = {"months": 12}
"""One row in every other table."""
YEAR_S = 365 * 86400.0
FLAGS = {"censored", "met", "cascade", "cascade_any", "cross_region_cascade_any", "cross_region", "noise_budget_spent"}
"""Columns of 0 and 1; other counts go to 2."""


def experiment_in(folder: Path) -> Experiment:
    """The experiment, from a file in `folder`."""
    path = folder / "quick.yaml"
    path.write_text(SCENARIO, encoding="utf-8")
    return load_experiment(path)


def uniform(trials: np.ndarray) -> np.ndarray:
    """A number in [0, 1) for each trial, shape (n,): a mix of multiplications and shifts."""
    z = trials.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    z = (z ^ (z >> np.uint64(31))) * np.uint64(0xD6E8FEB86659FD93)
    return ((z ^ (z >> np.uint64(32))) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def tables_of(architecture: str, trials: range) -> dict[str, dict[str, np.ndarray]]:
    """All tables of consecutive trials."""
    numbers = np.arange(trials.start, trials.stop)
    tables = {}
    for name, columns in COLUMNS.items():
        trial = np.repeat(numbers, ROWS_PER_TRIAL.get(name, 1))
        texts = {"architecture": architecture, "fault": "pod-crash"}
        draws = uniform(trial)
        made: dict[str, np.ndarray] = {}
        for column, kind in columns.items():
            if column == "trial":
                made[column] = trial
            elif column == "month":
                made[column] = np.tile(np.arange(ROWS_PER_TRIAL[name]), len(trials))
            elif column == "horizon_s":
                made[column] = np.full(len(trial), YEAR_S)
            elif column in FLAGS:
                made[column] = (draws < 0.5).astype(np.int64)
            elif kind is object:
                made[column] = np.full(len(trial), texts.get(column, "people"), dtype=object)
            else:
                made[column] = (3 * draws).astype(np.int64) if kind is np.int64 else draws.copy()
        tables[name] = made
    return tables


class QuickTrial:
    """One trial, or many at once."""

    modules = ("sim.measures.tables", "sim.study.work")

    def __call__(self, scenario: Any, architecture: str, trial: int, *, keep: bool = False) -> Any:
        """A kept trial has an empty record."""
        curves = {name: np.zeros((2, 1)) for name in Trace.__dataclass_fields__ if name != "at_s"}
        record = TrialRecord(
            architecture=architecture,
            trial=trial,
            seed=scenario.seed,
            start=datetime(2026, 1, 1, tzinfo=UTC),
            horizon_s=scenario.horizon,
            populations=("people",),
            pools=("north/web",),
            records=[],
            totals=np.ones((1, len(TOTALS))),
            node_hours={"north": 8760.0},
            pod_hours={"web": 3 * 8760.0},
            trace=Trace(at_s=np.array([0.0, scenario.horizon]), **curves) if keep else None,
        )
        return record, tables_of(architecture, range(trial, trial + 1))

    def batch(self, scenario: Any, architecture: str, trials: range) -> Any:
        """All trials of a task."""
        return tables_of(architecture, trials)
