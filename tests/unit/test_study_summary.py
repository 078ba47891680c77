"""Measures from tables: which exist, how they are annualised, bounded and paired."""

import math
from pathlib import Path

import numpy as np
import pytest
from small_study import fake_trial, small_experiment

from sim.scenario.document import Experiment
from sim.scenario.load import load_experiment
from sim.study.catalogue import MEASURES
from sim.study.summary import Summary, summarise
from sim.study.tables import Tables, merge

CONTRACT = {
    "availability_time",
    "availability_requests",
    "downtime_h_per_year",
    "outages_per_year",
    "cascades_per_fault",
    "cascade_year_prob",
    "cross_region_cascade_year_prob",
    "lost_hours_per_year",
    "productivity_cost_per_year",
    "sla_credit_per_year",
    "infrastructure_cost_per_year",
    "total_cost_per_year",
    "slo_met_month_prob",
    "rto_met_prob",
}
N_TRIALS = 30


@pytest.fixture
def experiment(tmp_path: Path) -> Experiment:
    return small_experiment(tmp_path)


@pytest.fixture
def tables(experiment: Experiment) -> Tables:
    parts = [fake_trial(s, name, trial)[1] for name, s in experiment.scenarios.items() for trial in range(N_TRIALS)]
    return merge(parts, list(experiment.scenarios))


def summary_of(experiment: Experiment, tables: Tables, confidence: float = 0.95) -> Summary:
    return summarise(tables, experiment.scenarios, confidence)


def test_no_measure_of_the_contract_is_missing_or_renamed():
    assert set(MEASURES) >= CONTRACT


def test_a_scenario_has_all_measures_that_it_can_have(experiment: Experiment, tables: Tables):
    estimates = summary_of(experiment, tables).estimates
    assert set(estimates["double"]) == set(MEASURES)
    assert set(MEASURES) - set(estimates["single"]) == {"cross_region_cascade_year_prob"}


def test_what_a_scenario_cannot_have_is_absent(tmp_path: Path):
    (tmp_path / "bare.yaml").write_text(
        "objectives: {rto: null, sla: null}\ncosts: null\npopulations: {people: {cost: 0 EUR/h}}\n"
    )
    small_experiment(tmp_path)
    bare = load_experiment([tmp_path / "small.yaml", tmp_path / "bare.yaml"])
    parts = [fake_trial(bare.scenarios["double"], "double", trial)[1] for trial in range(5)]
    found = set(summary_of(bare, merge(parts, ["double"])).estimates["double"])
    absent = {
        "productivity_cost_per_year",
        "sla_credit_per_year",
        "infrastructure_cost_per_year",
        "total_cost_per_year",
        "total_cost_p95",
        "total_cost_cvar95",
        "rto_met_prob",
    }
    assert set(MEASURES) - found == absent


def test_means_are_those_of_the_columns(experiment: Experiment, tables: Tables):
    trials = {column: values[:N_TRIALS] for column, values in tables["trials"].items()}
    found = summary_of(experiment, tables).estimates["single"]
    expected = {
        "availability_time": trials["availability_time"].mean(),
        "downtime_h_per_year": trials["downtime_s"].mean() / 3600,
        "outages_per_year": trials["outages"].mean(),
        "total_cost_per_year": trials["total_cost"].mean(),
        "slo_met_month_prob": trials["months_met"].sum() / trials["months"].sum(),
        "rto_met_prob": trials["rto_met"].sum() / trials["rto_checked"].sum(),
    }
    assert {name: found[name].mean for name in expected} == pytest.approx(expected)


def test_rates_are_per_year_of_365_days(tmp_path: Path, tables: Tables):
    half = load_experiment(tmp_path / "small.yaml", sets=["horizon=73d"])
    whole = summary_of(small_experiment(tmp_path), tables).estimates["single"]
    found = summary_of(half, tables).estimates["single"]
    assert found["outages_per_year"].mean == pytest.approx(5 * whole["outages_per_year"].mean)
    assert found["availability_time"] == whole["availability_time"]


def test_yearly_probability_from_a_shorter_horizon(tmp_path: Path, tables: Tables):
    """Three of 30 trials of a fifth of a year have a cascade: 1 - 0.9^5 in a year."""
    small_experiment(tmp_path)
    short = load_experiment(tmp_path / "small.yaml", sets=["horizon=73d"])
    tables["trials"]["cascade_any"][:3] = 1
    summary = summary_of(short, tables)
    assert summary.estimates["single"]["cascade_year_prob"].mean == pytest.approx(1 - 0.9**5)
    difference = summary.differences["double - single"]["cascade_year_prob"]
    assert difference.mean == pytest.approx(-(1 - 0.9**5))
    assert difference.low < difference.mean < difference.high


def test_availability_never_leaves_its_bounds(experiment: Experiment, tables: Tables):
    for column in ("availability_time", "availability_requests"):
        tables["trials"][column][:] = 1.0
    for mine in summary_of(experiment, tables).estimates.values():
        estimate = mine["availability_time"]
        assert estimate.high == 1.0
        assert 0.9 < estimate.low < 1.0
        assert not estimate.seen


def test_what_was_not_seen_has_its_bound(experiment: Experiment, tables: Tables):
    for column in ("outages", "downtime_s", "lost_hours", "productivity_cost", "sla_credit"):
        tables["trials"][column][:] = 0
    bill = tables["trials"]["infrastructure_cost"]
    tables["trials"]["total_cost"] = bill.copy()
    found = summary_of(experiment, tables).estimates["single"]
    missed = 1 - 0.05 ** (1 / N_TRIALS)
    worst_hours = 1000 * 0.5 * 8760
    assert found["outages_per_year"].high == pytest.approx(-math.log(0.05) / N_TRIALS)
    assert found["downtime_h_per_year"].high == pytest.approx(missed * 8760)
    assert found["lost_hours_per_year"].high == pytest.approx(missed * worst_hours)
    assert found["productivity_cost_per_year"].high == pytest.approx(missed * worst_hours * 60)
    assert found["sla_credit_per_year"].high == pytest.approx(missed * 0.10 * 1000 * 12)
    assert found["total_cost_per_year"].low == bill[0]
    assert math.isfinite(found["total_cost_per_year"].high)
    for name in ("outages_per_year", "lost_hours_per_year", "sla_credit_per_year", "total_cost_per_year"):
        assert not found[name].seen


def test_a_fixed_bill_is_known(experiment: Experiment, tables: Tables):
    estimate = summary_of(experiment, tables).estimates["single"]["infrastructure_cost_per_year"]
    assert estimate.low == estimate.mean == estimate.high == 3 * 8760
    assert estimate.note == ""


def test_the_same_loss_in_every_trial_is_no_spread_but_a_bound(experiment: Experiment, tables: Tables):
    """One event that cost each trial the same, but for rounding, bounds nothing of what was not seen: in all measures
    alike."""
    trials = tables["trials"]
    jitter = 1e-9 * np.random.default_rng(1).random(len(trials["trial"]))
    trials["availability_time"] = np.full(len(jitter), 0.9985878)
    trials["availability_requests"] = 0.9985887 + 1e-3 * jitter
    trials["lost_hours"] = 148_358.5 * (1.0 + jitter)
    estimates = summary_of(experiment, tables).estimates["single"]
    by_time, by_requests = estimates["availability_time"], estimates["availability_requests"]
    assert by_requests.low == pytest.approx(by_time.low, abs=1e-5)
    assert not by_requests.seen
    assert estimates["lost_hours_per_year"].low < 0.95 * estimates["lost_hours_per_year"].mean
    assert estimates["lost_hours_per_year"].mean == pytest.approx(148_358.5, rel=1e-6)
    difference = summary_of(experiment, tables).differences["double - single"]["availability_requests"]
    assert not difference.seen
    assert difference.high - difference.low > 0.01


def test_total_cost_is_bounded_by_the_bill_not_by_the_cheapest_trial(experiment: Experiment, tables: Tables):
    trials = tables["trials"]
    mine = trials["architecture"] == "single"
    bill = float(trials["infrastructure_cost"][mine][0])
    trials["total_cost"][mine] = bill + np.where(trials["trial"][mine] % 2, 300.0, 100.0)
    few = {name: table | {k: v[table["trial"] < 2] for k, v in table.items()} for name, table in tables.items()}
    total = summary_of(experiment, few).estimates["single"]["total_cost_per_year"]
    assert total.mean == pytest.approx(bill + 200.0)
    assert bill <= total.low < bill + 100.0


def test_cascades_per_fault_leave_out_those_of_mere_load(experiment: Experiment, tables: Tables):
    kinds = tables["fault_kinds"]
    mine = (kinds["architecture"] == "single") & (kinds["fault"] == "pod-crash")
    kinds["cascades"][mine] = 0.5
    found = summary_of(experiment, tables).estimates["single"]["cascades_per_fault"]
    assert found.mean == pytest.approx(0.5 * N_TRIALS / tables["trials"]["faults"][:N_TRIALS].sum())
    kinds["fault"][mine] = "load"
    assert summary_of(experiment, tables).estimates["single"]["cascades_per_fault"].mean == 0


def test_pairs_are_paired_by_trial(experiment: Experiment, tables: Tables):
    """B is A plus one outage in every trial: the difference is exact although the trials vary."""
    trials = tables["trials"]
    trials["downtime_s"][N_TRIALS:] = trials["downtime_s"][:N_TRIALS] + 3600.0
    summary = summary_of(experiment, tables)
    difference = summary.differences["double - single"]["downtime_h_per_year"]
    assert difference.mean == pytest.approx(1.0)
    assert summary.better_prob["double - single"]["downtime_h_per_year"].mean == 0.0
    better = summary.better_prob["double - single"]["downtime_h_per_year"]
    assert better.high < 0.15


def test_pairs_use_the_trials_that_both_have(experiment: Experiment, tables: Tables):
    """As in the folder of an interrupted run."""
    partial = merge([tables], ["single", "double"])
    keep = np.ones(2 * N_TRIALS, dtype=bool)
    keep[N_TRIALS + 10 :] = False
    partial["trials"] = {column: values[keep] for column, values in partial["trials"].items()}
    kinds = partial["fault_kinds"]
    both = (kinds["architecture"] == "single") | (kinds["trial"] < 10)
    partial["fault_kinds"] = {column: values[both] for column, values in kinds.items()}
    summary = summary_of(experiment, partial)
    assert summary.estimates["single"]["availability_time"].n == N_TRIALS
    assert summary.differences["double - single"]["availability_time"].n == 10


def test_pair_names_and_their_number(tmp_path: Path):
    small_experiment(tmp_path)
    values = {3: "1,2,3", 9: "1,2,3,4,5,6,7,8,9"}
    for n, texts in values.items():
        swept = load_experiment(
            tmp_path / "small.yaml", sets=["architectures.double=null"], sweep=[f"services.web.slots={texts}"]
        )
        parts = [fake_trial(s, name, trial)[1] for name, s in swept.scenarios.items() for trial in range(2)]
        names = list(swept.scenarios)
        pairs = list(summarise(merge(parts, names), swept.scenarios, 0.95).differences)
        with_first = [f"{name} - {names[0]}" for name in names[1:]]
        assert pairs[: n - 1] == with_first
        assert pairs[n - 1 :] == ([f"{names[2]} - {names[1]}"] if n == 3 else [])
