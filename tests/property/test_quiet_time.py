"""Quiet time that is skipped and quiet time that is integrated give the same trials on the same tape.

Each design is run both ways on the same draws. Outages, kills, failovers and what people do must be the same, at the
same moments within seconds; requests lost within a hundredth and a handful. What may not be skipped is not.
"""

from functools import lru_cache

import numpy as np
import pytest
from quiet_designs import BASE, lost, renewed, scenarios, simulated

from sim.measures import measure_trial
from sim.scenario.schema import Scenario
from sim.study.tables import Tables
from sim.traffic.endurance import Endurance
from sim.traffic.levels import N_LEVELS, PARTS
from sim.traffic.restarts import Restart
from sim.world import run_trial
from sim.world.log import TOTALS, Kind, TrialRecord
from sim.world.trial import Trial
from sim.world.undisturbed import why_simulated

N_TRIALS = 3
PEOPLE = """\
operations:
  detection: {monitor: {signal: success, below: 95%, for: 2m}}
  acknowledge: {lognormal: {median: 5m, p95: 20m}}
  runbook:
    scale_out: {service: store, pods: +2, takes: {fixed: 20m}}
    raise_memory: {service: store, limit: 2Gi, roll: 60s per pod, helps_against: [grown]}
  first_action_wrong: 40%
"""
GROWN = (
    "  grown: {target: store in any region, every: {exponential: {mean: 40d}}, "
    "effect: {memory_growth: 700Mi, over: 6h}, repair: until fixed, common_cause: {regions: 30%}}\n  node-loss:"
)
DESIGNS = {
    "plain": BASE,
    "breaker": BASE.replace("attempts: 2}", "attempts: 2, breaker: {failures: 50%}}"),
    "probes": BASE.replace("startup: 20s", "startup: 20s\n    liveness: {every: 10s, timeout: 1s}"),
    "cold caches": BASE.replace("startup: 20s", "startup: 20s\n    cold: {slow: 2, for: 5m}"),
    "endpoint lag": BASE.replace("startup: 20s", "startup: 20s\n    endpoint_lag: 10s"),
    "random startup": BASE.replace("startup: 20s", "startup: {lognormal: {median: 20s, p95: 2m}}"),
    "people": BASE.replace("  node-loss:", GROWN).replace("objectives:", PEOPLE + "objectives:"),
    "no retries": BASE.replace("attempts: 3", "attempts: 1"),
    "tested failover": BASE.replace(
        "{policy: active-active}", "{policy: active-passive, standby: warm, dr_test_every: 20d, failback: {after: 20m}}"
    ),
}

ROOM = {"people": 0.03}
"""What a collapse of half an hour costs moves by 5 % with the tolerance of the integration, and by so much with the
moment at which it begins to step."""

CHANCY = {
    "single requests in windows": BASE.replace("noise: never", "noise: auto"),
    "leak": BASE.replace("limit: 1Gi}\n    calls", "limit: 1Gi, leak: 30Mi/h}\n    calls"),
}
"""Which pod dies first is decided by the last digits: only how much is lost can be compared."""


@lru_cache
def architectures(design: str) -> dict[str, Scenario]:
    return scenarios((DESIGNS | CHANCY)[design])


def moments(record: TrialRecord) -> list[tuple[str, str, str]]:
    """What happened that is not an ordinary crash and restart of a pod: kind, place and minute."""
    told = {Kind.SLI_BELOW, Kind.SLI_ABOVE, Kind.DETECTED, Kind.FAILOVER, Kind.FAILBACK, Kind.OOM_KILL, Kind.ACTION}
    return [(r.kind.value, r.region + r.pod, r.what) for r in record.records if r.kind in told]


def times(record: TrialRecord) -> np.ndarray:
    told = {Kind.SLI_BELOW, Kind.SLI_ABOVE, Kind.DETECTED, Kind.FAILOVER, Kind.FAILBACK, Kind.OOM_KILL, Kind.ACTION}
    return np.array([r.at_s for r in record.records if r.kind in told])


def both(scenario: Scenario, trial: int) -> tuple[TrialRecord, TrialRecord, Tables, Tables]:
    skipped, full = run_trial(scenario, "a", trial), run_trial(simulated(scenario), "a", trial)
    return skipped, full, measure_trial(skipped, scenario), measure_trial(full, scenario)


@pytest.mark.parametrize("design", DESIGNS)
def test_the_same_trials_either_way(design: str):
    shares = []
    for name, scenario in architectures(design).items():
        for trial in range(N_TRIALS):
            skipped, full, table, whole = both(scenario, trial)
            assert moments(skipped) == moments(full), (name, trial)
            assert np.abs(times(skipped) - times(full)).max(initial=0.0) < 30.0, (name, trial)
            assert lost(skipped) == pytest.approx(lost(full), rel=ROOM.get(design, 0.01), abs=5.0), (name, trial)
            for column in ("outages", "faults", "cascades", "oom_kills", "failovers"):
                assert table["trials"][column] == whole["trials"][column], (name, trial, column)
            assert table["trials"]["offered"] == pytest.approx(whole["trials"]["offered"], rel=1e-9)
            assert table["trials"]["downtime_s"] == pytest.approx(whole["trials"]["downtime_s"], rel=0.01, abs=30.0)
            assert len(table["disturbances"]["trial"]) == len(whole["disturbances"]["trial"])
            shares.append(skipped.simulated_s / skipped.horizon_s)
    assert min(shares) < 0.1, f"{design}: time was integrated all along, and nothing is shown"


@pytest.mark.parametrize("design", CHANCY)
def test_as_much_is_lost_either_way(design: str):
    for scenario in architectures(design).values():
        trials = [both(scenario, trial) for trial in range(2 * N_TRIALS)]
        assert sum(lost(t[0]) for t in trials) == pytest.approx(sum(lost(t[1]) for t in trials), rel=0.1, abs=20.0)
        for column in ("outages", "oom_kills"):
            one, other = (sum(int(t[k]["trials"][column][0]) for t in trials) for k in (2, 3))
            assert one == pytest.approx(other, rel=0.05, abs=3), column
        assert all(t[2]["trials"]["faults"] == t[3]["trials"]["faults"] for t in trials)
        assert min(t[0].simulated_s / t[0].horizon_s for t in trials) < 0.7


@pytest.mark.parametrize("design", ["plain", "people"])
def test_a_trial_that_is_read_is_the_same_to_the_last_bit(design: str):
    """What is passed over without records, and what is written record by record."""
    for scenario in architectures(design).values():
        short, long = (run_trial(scenario, "a", 1, keep=keep) for keep in (False, True))
        assert not long.passed_over
        assert np.array_equal(short.totals, long.totals)
        for name, table in measure_trial(short, scenario).items():
            other = measure_trial(long, scenario)[name]
            for column, values in table.items():
                assert np.array_equal(values, other[column], equal_nan=values.dtype.kind == "f"), (name, column)
    assert short.passed_over, "nothing was passed over, and nothing is shown"


def test_an_autoscaler_holds_the_window_open():
    text = BASE.replace("startup: 20s", "startup: 20s\n    autoscale: {target: 60%, most: 6}")
    scenario = scenarios(text)["single"]
    assert "autoscaler" in why_simulated(scenario)
    record, other = run_trial(scenario, "a", 0), run_trial(simulated(scenario), "a", 0)
    assert record.simulated_s == record.horizon_s
    assert np.array_equal(record.totals, other.totals)
    assert record.records == other.records


def test_a_fault_free_trial_is_its_course():
    scenario = architectures("plain")["double"].model_copy(update={"faults": {}})
    skipped, full = run_trial(scenario, "a", 0), run_trial(simulated(scenario), "a", 0)
    assert skipped.simulated_s < 1.0
    assert skipped.totals == pytest.approx(full.totals, rel=1e-6, abs=1e-3)
    assert skipped.month_totals == pytest.approx(full.month_totals, rel=1e-6, abs=1e-3)


def test_losses_taken_for_harmless_that_are_not_show(monkeypatch: pytest.MonkeyPatch):
    """Negative control: with every loss of pods endured, outages are missed."""
    scenario = architectures("plain")["single"]
    monkeypatch.setattr(Endurance, "_limit", lambda self, counts: N_LEVELS)
    monkeypatch.setattr(Endurance, "limit_if_booked", lambda *_: N_LEVELS)
    unknown = renewed(scenario)
    wrong = [run_trial(unknown, "a", trial) for trial in range(N_TRIALS)]
    right = [run_trial(simulated(scenario), "a", trial) for trial in range(N_TRIALS)]
    assert sum(map(lost, wrong)) < 0.5 * sum(map(lost, right))


def test_kills_that_are_not_booked_show(monkeypatch: pytest.MonkeyPatch):
    """Negative control: without the requests that crashes cost, users who do not try again lose nothing."""
    scenario = architectures("no retries")["double"]
    scenario = scenario.model_copy(update={"faults": {"pod-crash": scenario.faults["pod-crash"]}})
    right, full, _, _ = both(scenario, 0)
    assert lost(right) == pytest.approx(lost(full), rel=0.02)
    nothing = Restart(N_LEVELS * PARTS, np.zeros((N_LEVELS * PARTS + 1, len(TOTALS))))
    monkeypatch.setattr(Endurance, "restart", lambda *_: nothing)
    monkeypatch.setattr(Endurance, "kill_by_level", lambda *_: np.zeros((N_LEVELS + 1, len(TOTALS))))
    wrong = run_trial(renewed(scenario), "a", 0)
    assert lost(wrong) < 0.5 * lost(full)


def test_parking_counts_its_windows():
    scenario = architectures("plain")["single"]
    record = run_trial(scenario, "a", 0)
    row = measure_trial(record, scenario)["trials"]
    assert row["windows"][0] == record.n_windows > 0
    assert 0.0 < row["simulated_s"][0] == record.simulated_s < 0.2 * record.horizon_s


def test_a_plane_that_should_have_been_awake_wakes_up_now():
    """A pod that restarts while parked, short of memory, ends the parking at a time that is past."""
    trial = Trial(architectures("plain")["single"], "a", 0)
    trial.play_to(3600.0)
    parking = trial.traffic.parking
    assert parking is not None
    assert parking.is_parked
    parking.until_s = -np.inf
    trial.play_to(3700.0)
    assert trial.traffic.now_s == 3700.0
    assert np.isfinite(trial.traffic.state).all()
