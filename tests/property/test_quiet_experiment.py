"""Years of the experiment with quiet time skipped and integrated: people, hazards of kills, faults that nobody feels.

Trials in which pods collapse are left out: there the end of a step decides which pod is killed first, and histories
part. What is skipped must then agree in all that is counted.
"""

from pathlib import Path

import numpy as np
import pytest
from quiet_designs import simulated

from sim.measures import measure_trial, tables
from sim.scenario.load import load_experiment
from sim.scenario.schema import Scenario
from sim.world import run_trial

FILE = Path(__file__).resolve().parents[2] / "experiments" / "single_vs_multi_region.yaml"
COUNTED = ("faults", "n_faults", "direct", "failed", "cascade", "common_cause")


@pytest.fixture(scope="module")
def designs() -> dict[str, Scenario]:
    return dict(load_experiment([FILE], sets=("model.noise=never",)).scenarios)


@pytest.mark.parametrize(
    ("name", "trial"),
    [("single", 30), ("active-passive-hot", 32), ("active-active-headroom", 32), ("other-provider", 31)],
)
def test_a_year_is_the_same_either_way(
    name: str, trial: int, designs: dict[str, Scenario], monkeypatch: pytest.MonkeyPatch
):
    scenario = designs[name]
    record = run_trial(scenario, name, trial)
    skipped, full = (
        measure_trial(record, scenario),
        measure_trial(run_trial(simulated(scenario), name, trial), scenario),
    )
    for column in ("faults", "outages", "oom_kills", "cascades"):
        assert skipped["trials"][column] == full["trials"][column], column
    assert skipped["trials"]["downtime_s"] == pytest.approx(full["trials"]["downtime_s"], abs=60.0)
    lost = [float((of["trials"]["offered"] - of["trials"]["good"])[0]) for of in (skipped, full)]
    assert lost[0] == pytest.approx(lost[1], rel=0.01, abs=10.0)
    for column in COUNTED:
        assert np.array_equal(skipped["disturbances"][column], full["disturbances"][column]), column
    assert len(record.passed_over) > 100
    assert record.simulated_s < 0.02 * record.horizon_s
    if name == "active-passive-hot":
        # A fault of the standby that nobody feels lasts for months, and what was passed over meanwhile is part of that.
        assert skipped["disturbances"]["n_faults"].max() > 50
        monkeypatch.setattr(tables, "_within", lambda starts_s, _: np.full(len(starts_s), -1))
        apart = measure_trial(record, scenario)["disturbances"]
        assert len(apart["faults"]) > len(full["disturbances"]["faults"])
