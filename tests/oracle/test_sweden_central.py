"""The Sweden Central day (E01 of the truths; docs/data-plane.md, section 3): what happened, and what would have helped.

How far the working set has grown by the morning is the one calibrated number: it puts the first OOM kill of the median
trial at 09:00. Everything else asserted here follows from it, in every one of several trials.
"""

from functools import cache
from pathlib import Path

import numpy as np
import pytest

from sim.scenario.load import load_experiment
from sim.world import Kind, TrialRecord, run_trial

FILE = Path(__file__).parents[2] / "experiments" / "sweden_central.yaml"
TRIALS = (0, 1, 2, 3)
ALL = pytest.mark.parametrize("trial", TRIALS)


@cache
def scenarios() -> dict:
    return load_experiment([FILE]).scenarios


@cache
def day(architecture: str, trial: int) -> TrialRecord:
    return run_trial(scenarios()[architecture], architecture, trial, keep=True)


def clock(hour: float) -> float:
    """Seconds since the start (26 January 20:00) of an hour (UTC) of 27 January."""
    return (hour + 4.0) * 3600.0


def success(record: TrialRecord, start_h: float, end_h: float) -> float:
    """Mean share of first attempts that end usable."""
    at_s = np.arange(clock(start_h), clock(end_h), 1.0)
    return float(np.interp(at_s, record.trace.at_s, record.trace.success[:, 0]).mean())


def bad_minutes(record: TrialRecord) -> int:
    minutes = np.arange(0.0, record.horizon_s, 60.0)
    return int(np.sum(np.interp(minutes, record.trace.at_s, record.trace.success[:, 0]) < 0.95))


def availability(record: TrialRecord) -> float:
    return float(record.totals[0, 1] / record.totals[0, 0])


def first_oom_s(record: TrialRecord) -> float:
    return next(r.at_s for r in record.records if r.kind is Kind.OOM_KILL)


def pods_ready(record: TrialRecord, pool: str, at_s: float) -> float:
    row = np.searchsorted(record.trace.at_s, at_s) - 1
    return float(record.trace.ready[row, record.pools.index(pool)])


def test_calibrated_first_oom_kill_at_nine() -> None:
    """The median trial; which pod gets there first, and when, is chance (four trials of five within 40 min)."""
    firsts = [first_oom_s(run_trial(scenarios()["as-published"], "as-published", k)) for k in range(24)]
    assert abs(float(np.median(firsts)) - clock(9.0)) <= 600.0
    assert max(firsts) < clock(12.0)


@ALL
def test_all_pods_of_the_dependent_service_are_down_within_minutes(trial: int) -> None:
    """Once two of four are down at a time; a single kill in the morning may pass."""
    record = day("as-published", trial)
    ready = record.trace.ready[:, record.pools.index("sweden-central/irm")]
    begins_s = float(record.trace.at_s[np.flatnonzero(ready <= 2.0)[0]])
    after = (record.trace.at_s >= begins_s) & (record.trace.at_s < begins_s + 300.0)
    assert ready[after].min() == 0.0


@ALL
def test_users_success_stays_below_ten_percent_until_the_memory_is_raised(trial: int) -> None:
    record = day("as-published", trial)
    for start_h in np.arange(10.5, 15.5, 0.5):
        assert success(record, start_h, start_h + 0.5) < 0.10


@ALL
def test_the_restart_at_1236_does_not_recover_it(trial: int) -> None:
    record = day("as-published", trial)
    assert any(r.kind is Kind.ACTION and r.what == "restart-irm" for r in record.records)
    assert success(record, 12.7, 13.5) < 0.10


@ALL
def test_it_recovers_when_the_memory_is_raised(trial: int) -> None:
    record = day("as-published", trial)
    recovered_s = [r.at_s for r in record.records if r.kind is Kind.SLI_ABOVE][-1]
    assert clock(15 + 50 / 60) <= recovered_s <= clock(17.0)
    assert success(record, 17.0, 20.0) > 0.95


@ALL
def test_without_the_memory_step_it_does_not_recover_in_working_hours(trial: int) -> None:
    """The marked step left out (E01): 17:00 in Stockholm, the end of the working day, is 16:00 UTC.

    The scale-out of 16:00 then ends it in some trials, as load falls in the evening, and only eases it in others.
    """
    record = day("without-memory-step", trial)
    assert success(record, 15.0, 16.0) < 0.10
    assert max(r.at_s for r in record.records if r.kind is Kind.OOM_KILL) > clock(16.0)


@ALL
def test_with_a_queue_that_fits_into_memory_the_day_passes(trial: int) -> None:
    record = day("bounded-queue", trial)
    assert bad_minutes(record) <= 5
    assert availability(record) > 0.999


@ALL
def test_hot_standby_with_failover_keeps_the_day(trial: int) -> None:
    record = day("hot-standby", trial)
    assert availability(record) > 0.99
    assert any(r.kind is Kind.FAILOVER for r in record.records)


def test_the_same_growth_in_both_regions_defeats_the_standby() -> None:
    """The standby dies by the same cause, in some trials again and again; one trial in four gets away with minutes."""
    records = [day("hot-standby-same-growth", trial) for trial in TRIALS]
    assert np.mean([availability(record) for record in records]) < 0.98
    for record in records:
        assert any(r.kind is Kind.OOM_KILL and r.region == "germany-west" for r in record.records)


@ALL
def test_active_active_sized_for_half_collapses_in_both_regions(trial: int) -> None:
    """The load goes to and fro for hours before both are down for good: until 9:30, 9:30, 10:40 and 12:00 in the same
    trials request by request, with 0.1 % of success from then on.
    """
    record = day("active-active-half", trial)
    killed = {r.region for r in record.records if r.kind is Kind.OOM_KILL}
    assert killed == {"sweden-central", "germany-west"}
    assert success(record, 13.5, 14.5) < 0.05
    assert success(record, 10.5, 15.5) < 0.5


@ALL
def test_active_active_sized_for_all_survives(trial: int) -> None:
    assert availability(day("active-active-full", trial)) > 0.999


# Headroom of active-active when a whole region is lost for four hours.


@cache
def headroom(architecture: str, trial: int) -> TrialRecord:
    scenario = load_experiment([FILE.with_name("active_active_headroom.yaml")]).scenarios[architecture]
    return run_trial(scenario, architecture, trial, keep=True)


@pytest.mark.parametrize("architecture", ["x1", "x1.25", "x1.5"])
def test_half_more_capacity_does_not_survive_the_loss_of_a_region(architecture: str) -> None:
    """x1.5 would serve the load at 70 %, and chance kills its pods all the same."""
    record = headroom(architecture, 0)
    assert availability(record) < 0.8
    assert any(r.kind is Kind.POOL_FAILED and r.region == "germany-west" for r in record.records)


@pytest.mark.parametrize("architecture", ["x1.75", "x2"])
def test_three_quarters_more_capacity_survive_the_loss_of_a_region(architecture: str) -> None:
    record = headroom(architecture, 0)
    assert success(record, 9.1, 13.0) > 0.99
    assert not any(r.kind is Kind.OOM_KILL for r in record.records)


@pytest.mark.parametrize(("architecture", "single_requests"), [("x1-shedding", 0.795), ("x1-bounded-queue", 0.882)])
def test_bounds_that_fit_help_without_headroom(architecture: str, single_requests: float) -> None:
    """Negative control of the collapse: the same capacity, bounded, serves a good part, and as much as the same trial
    does request by request. (Without a bound that is .366, and mean rates are too good where chance decides for hours.)
    """
    assert availability(headroom(architecture, 0)) == pytest.approx(single_requests, abs=0.01)
    assert availability(headroom("x1", 0)) < 0.65


def test_negative_control_without_the_growth_nothing_happens() -> None:
    scenario = load_experiment([FILE], sets=("faults.irm-growth.effect.memory_growth=1Mi",))
    record = run_trial(scenario.scenarios["as-published"], "as-published", 0, keep=True)
    assert not any(r.kind is Kind.OOM_KILL and r.at_s < clock(12.5) for r in record.records)
    assert success(record, 8.0, 12.5) > 0.999
