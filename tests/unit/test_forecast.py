"""What tapes say beforehand, against what trials meet."""

from pathlib import Path

import numpy as np
import pytest
from years_models import RARE_REGION

from sim.scenario.load import load_experiment
from sim.scenario.schema import Scenario
from sim.world.forecast import FACTS, UNTIL_FIXED_S, Forecast
from sim.world.log import Kind
from sim.world.trial import run_trial

OFTEN = RARE_REGION.replace("20y", "40d") + (
    "operations: {detection: {users: {fixed: 10m}}, acknowledge: {fixed: 5m}, diagnose: {fixed: 10m}, crew: 1,"
    " runbook: {rollback: {takes: 5m, helps_against: [bad]}}}\n"
)
BAD = (
    "  bad: {target: web, per_deployment: 20%, deployments: {every: 7d}, effect: {errors: 60%}, repair: until fixed}\n"
)


def scenario_of(folder: Path, text: str) -> Scenario:
    path = folder / "case.yaml"
    path.write_text(text)
    return load_experiment([path]).scenarios["default"]


def met(scenario: Scenario, trial: int, fault: str) -> tuple[int, float]:
    """Strikes of a fault, and hours between them and their repairs or the horizon."""
    records = [r for r in run_trial(scenario, "case", trial).records if r.fault.startswith(f"{fault}#")]
    strikes = {r.fault: r.at_s for r in records if r.kind is Kind.FAULT}
    ends = {r.fault: r.at_s for r in records if r.kind is Kind.REPAIR}
    return len(strikes), sum(ends.get(name, scenario.horizon) - at_s for name, at_s in strikes.items()) / 3600.0


def test_strikes_and_hours_are_those_that_the_trial_meets(tmp_path: Path) -> None:
    scenario = scenario_of(tmp_path, RARE_REGION.replace("20y", "40d"))
    facts = Forecast([scenario]).facts(range(6))[:, 0]
    for trial in range(6):
        assert facts[trial, :2] == pytest.approx(met(scenario, trial, "region-loss"))
    assert facts[:, 0].sum() > 30
    other = scenario.model_copy(update={"seed": 6})
    assert not np.allclose(Forecast([other]).facts(range(6))[:, 0, 1], facts[:, 1])


def test_an_hour_of_constant_demand_is_a_busy_hour_and_an_hour_at_night_is_none(tmp_path: Path) -> None:
    often = RARE_REGION.replace("20y", "40d")
    always = Forecast([scenario_of(tmp_path, often)]).facts(range(4))[:, 0]
    assert always[:, FACTS.index("busy hours")] == pytest.approx(always[:, FACTS.index("hours")])
    office = scenario_of(tmp_path, often.replace("calendar: always", "calendar: office-hours"))
    busy = Forecast([office]).facts(range(40))[:, 0].sum(axis=0)
    assert 0.2 < busy[2] / busy[1] < 0.35  # the mean of the calendar over a week is 0.27 of its peak


def test_bad_deployments_are_counted_and_last_until_somebody_fixes_them(tmp_path: Path) -> None:
    scenario = scenario_of(tmp_path, OFTEN.replace("place:", BAD + "place:"))
    forecast = Forecast([scenario])
    place = [cause.fault for cause in forecast.causes].index("bad")
    facts = forecast.facts(range(4))[:, place]
    for trial in range(4):
        assert facts[trial, 0] == met(scenario, trial, "bad")[0]
    assert facts[:, 1] == pytest.approx(facts[:, 0] * UNTIL_FIXED_S / 3600.0)


def test_what_strikes_all_the_time_or_at_a_stated_moment_tells_no_trials_apart(tmp_path: Path) -> None:
    faults = (
        "  pod-crash: {target: any pod, every: {exponential: {mean: 1d}}, effect: down, repair: restart}\n"
        "  planned: {target: any region, at: [2026-03-01T00:00], effect: down, repair: {fixed: 1h}}\n"
    )
    forecast = Forecast([scenario_of(tmp_path, RARE_REGION.replace("place:", faults + "place:"))])
    assert [cause.name for cause in forecast.causes] == ["region-loss in a"]
