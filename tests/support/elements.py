"""Scenarios of elements written in a test, and what many trials of them gave."""

from typing import Any

import numpy as np

from sim.measures.reliability import measure_histories
from sim.reliability.elements import build
from sim.reliability.trials import Histories, run_trials
from sim.scenario.quantities import FROM_FILE
from sim.scenario.reliability import ReliabilityScenario
from sim.study.tables import Tables

H = 3600.0


def scenario(horizon: str, **blocks: Any) -> ReliabilityScenario:
    """A scenario from the blocks of a file; every outage counts, however short."""
    objectives = {"availability": {"for": "0s", "target": "99.9%"}}
    top = {"name": "test", "start": "2026-01-01", "horizon": horizon, "seed": 11, "objectives": objectives}
    return ReliabilityScenario.model_validate(top | blocks, context=FROM_FILE)


def histories(of: ReliabilityScenario, n: int, first: int = 0) -> Histories:
    """Trials first .. first + n - 1."""
    machine = build(of).machine
    return run_trials(machine.compile(), np.arange(first, first + n), of.horizon, len(machine.names.labels))


def tables(of: ReliabilityScenario, n: int) -> Tables:
    """The tables of n trials."""
    labels = build(of).machine.names.labels
    return measure_histories(histories(of, n), labels, list(of.elements), of, "default")


def trials(of: ReliabilityScenario, n: int) -> Any:
    """The table `trials` of n trials."""
    return tables(of, n)["trials"]


def down_at_end(of: ReliabilityScenario, n: int) -> Any:
    """Whether the measured system is down at the horizon, by trial."""
    return histories(of, n).last_values[:, 0] == 0.0
