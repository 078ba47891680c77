"""Every file of `experiments/` loads without an error and runs, measured, at a small size."""

from pathlib import Path

import numpy as np
import pytest

from sim.scenario.load import load_experiment
from sim.scenario.reliability import ReliabilityScenario
from sim.study.work import engine_trial

FILES = sorted((Path(__file__).parents[2] / "experiments").glob("*.yaml"))


def test_there_are_experiments() -> None:
    names = {path.stem for path in FILES}
    assert {"sweden_central", "single_vs_multi_region", "memory_headroom", "active_active_headroom"} <= names


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_each_architecture_of_an_experiment_runs(path: Path) -> None:
    experiment = load_experiment([path])
    for name, scenario in experiment.scenarios.items():
        short = scenario.model_copy(update={"horizon": min(scenario.horizon, 7 * 86400.0)})
        record, tables = engine_trial(short, name, 0)
        trial = tables["trials"]
        assert 0.0 <= trial["availability_time"][0] <= 1.0
        if isinstance(scenario, ReliabilityScenario):
            assert trial["faults"][0] > 0
            continue
        assert 0.0 <= trial["availability_requests"][0] <= 1.0
        assert trial["total_cost"][0] > 0.0
        assert np.all(np.isfinite(record.totals))
