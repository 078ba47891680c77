"""What is passed over in compiled code is what the control plane would have played: crashes, nodes, zones, slowness.

Both ways on the same tape; what people would notice is never passed over, and what it costs is booked.
"""

from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from quiet_designs import BASE, lost, renewed, scenarios, simulated

from sim.measures import measure_trial
from sim.randomness import Draws, uniforms
from sim.randomness.philox import key_of
from sim.scenario.load import load_experiment
from sim.scenario.schema import Scenario
from sim.traffic.endurance import Endurance, Slowness
from sim.traffic.levels import N_LEVELS, PARTS
from sim.world import run_trial
from sim.world.clocks import Clocks
from sim.world.log import Kind, Record
from sim.world.plan import plan_of
from sim.world.quiet_arrays import NODES, OTHER, SLOW
from sim.world.trial import Trial

N_TRIALS = 3
TOLD = {Kind.FAULT, Kind.REPAIR, Kind.POD_LOST, Kind.POD_READY}
ZONES = BASE.replace(
    "  node-loss:",
    "  zone-loss: {target: any zone, every: {weibull: {mean: 20d, shape: 1.5}}, effect: down, "
    "repair: {lognormal: {median: 10m, p95: 2h}}}\n  node-loss:",
)
MILD = ZONES.replace("effect: {slow: 6}", "effect: {slow: 1.5}")
MILD = MILD.replace("mean: 30d}}, effect: {slow", "mean: 6d}}, effect: {slow")
"""Slowness that mostly goes unnoticed, and more often."""


@lru_cache
def design(text: str) -> dict[str, Scenario]:
    return scenarios(text)


def told(records: list[Record]) -> list[Record]:
    """Faults and pods, in an order that does not depend on which of two at the same moment was written first."""
    found = [r._replace(value=0.0) for r in records if r.kind in TOLD]
    return sorted(found, key=lambda r: (round(r.at_s, 3), r.kind, r.pod, r.fault))


@pytest.mark.parametrize("text", [ZONES, MILD], ids=["zones", "mild slowness"])
def test_the_log_of_a_trial_that_is_read_is_what_would_have_been_played(text: str):
    kinds = set()
    for name, scenario in design(text).items():
        for trial in range(N_TRIALS):
            kept, played = run_trial(scenario, "a", trial, keep=True), run_trial(simulated(scenario), "a", trial)
            mine, theirs = told(kept.records), told(played.records)
            assert [r._replace(at_s=0.0) for r in mine] == [r._replace(at_s=0.0) for r in theirs], (name, trial)
            assert np.allclose([r.at_s for r in mine], [r.at_s for r in theirs], rtol=0.0, atol=1.0)
            kinds |= set(run_trial(scenario, "a", trial).passed_over.faults_of_each())
    assert {"pod-crash", "node-loss", "zone-loss", "slow"} <= kinds
    assert any("+" in kind for kind in kinds), "no disturbance of several faults was passed over"


@pytest.mark.parametrize("text", [ZONES, MILD], ids=["zones", "mild slowness"])
def test_disturbances_and_the_fleet_are_the_same_either_way(text: str):
    for name, scenario in design(text).items():
        for number in range(N_TRIALS):
            one, other = Trial(scenario, "a", number), Trial(simulated(scenario), "a", number)
            tables = [measure_trial(trial.run(), scenario) for trial in (one, other)]
            for column, values in tables[0]["disturbances"].items():
                if values.dtype.kind == "f":
                    assert np.allclose(values, tables[1]["disturbances"][column], rtol=0.0, atol=30.0), (name, column)
                else:
                    assert np.array_equal(values, tables[1]["disturbances"][column]), (name, number, column)
            occurrences = [table["fault_kinds"]["occurrences"] for table in tables]
            assert np.array_equal(*occurrences)
            one.faults.tape.settle()
            for mine, theirs in zip(one.fleet.pods, other.fleet.pods, strict=True):
                assert (mine.node and mine.node.name) == (theirs.node and theirs.node.name)
                assert (mine.n_starts, mine.incarnation, mine.state) == (
                    theirs.n_starts,
                    theirs.incarnation,
                    theirs.state,
                )
            nodes = zip(one.fleet.topology.all_nodes(), other.fleet.topology.all_nodes(), strict=True)
            assert all(mine.used_mib == theirs.used_mib for mine, theirs in nodes)


def test_what_is_passed_over_is_booked_in_its_month():
    """Without regions that are lost hardly anything is played, and months lie within one run of the loop."""
    scenario = design(MILD.replace("attempts: 3", "attempts: 1"))["double"]
    faults = {name: fault for name, fault in scenario.faults.items() if name != "region-loss"}
    scenario = scenario.model_copy(update={"faults": faults})
    skipped, full = run_trial(scenario, "a", 0), run_trial(simulated(scenario), "a", 0)
    assert len(skipped.month_totals) == 3
    months = [of.month_totals[:, 0, 0] - of.month_totals[:, 0, 1] for of in (skipped, full)]
    assert months[0] == pytest.approx(months[1], rel=0.02, abs=5.0)
    assert skipped.month_totals.sum(axis=0) == pytest.approx(skipped.totals, rel=1e-12, abs=1e-6)
    assert months[1].max() > 2.0 * months[1].min() + 10.0, "all months are alike, and nothing is shown"


def test_what_slowness_costs_is_booked(monkeypatch: pytest.MonkeyPatch):
    """Users who do not try again lose what a slow pool does not answer in time; without booking nothing shows."""
    text = MILD.replace("attempts: 3", "attempts: 1")
    scenario = design(text)["double"]
    scenario = scenario.model_copy(update={"faults": {"slow": scenario.faults["slow"]}})
    right, full = run_trial(scenario, "a", 0), run_trial(simulated(scenario), "a", 0)
    assert len(right.passed_over) > 0
    assert lost(right) == pytest.approx(lost(full), rel=0.02, abs=5.0)
    found = Endurance.slowness
    monkeypatch.setattr(
        Endurance,
        "slowness",
        lambda self, pool, factor: Slowness((s := found(self, pool, factor)).limit, 0.0 * s.rates, 0.0 * s.once),
    )
    assert lost(run_trial(renewed(scenario), "a", 0)) < 0.5 * lost(full)


def test_slowness_that_people_notice_is_not_passed_over(monkeypatch: pytest.MonkeyPatch):
    """x6 at noon ends in an outage: it is played. Negative control: said to be endured, outages are missed."""
    scenario = design(BASE)["single"]
    scenario = scenario.model_copy(update={"faults": {"slow": scenario.faults["slow"]}})
    outages = [[], []]
    for trial in range(N_TRIALS):
        skipped, full = run_trial(scenario, "a", trial), run_trial(simulated(scenario), "a", trial)
        for found, record in zip(outages, (skipped, full), strict=True):
            found.append(int(measure_trial(record, scenario)["trials"]["outages"][0]))
        below = [r.at_s for r in full.records if r.kind is Kind.SLI_BELOW]
        passed = zip(skipped.passed_over.start_s, skipped.passed_over.end_s, strict=True)
        assert not any(start_s <= at_s <= end_s for start_s, end_s in passed for at_s in below)
    assert outages[0] == outages[1]
    assert sum(outages[1]) > 0
    nothing = np.zeros((N_LEVELS * PARTS + 1, 7))
    monkeypatch.setattr(Endurance, "slowness", lambda *_: Slowness(N_LEVELS * PARTS, nothing, nothing))
    unknown = renewed(scenario)
    assert all(len(run_trial(unknown, "a", trial).records) == 0 for trial in range(N_TRIALS))


def test_a_lost_region_is_not_passed_over(monkeypatch: pytest.MonkeyPatch):
    """Negative control: said to be endured, nobody notices that it is gone."""
    scenario = design(BASE)["double"]
    scenario = scenario.model_copy(update={"faults": {"region-loss": scenario.faults["region-loss"]}})
    right = run_trial(scenario, "a", 0)
    assert len(right.passed_over) == 0
    assert any(r.kind is Kind.SLI_BELOW for r in right.records)
    monkeypatch.setattr(Endurance, "limit_if_booked", lambda *_: N_LEVELS)
    monkeypatch.setattr(Endurance, "cost_of_missing", lambda *_: (N_LEVELS, np.zeros((N_LEVELS + 1, 7))))
    assert len(run_trial(renewed(scenario), "a", 0).passed_over) > 0


def first_kills(scenario: Scenario) -> list[Record | None]:
    """The first OOM kill of each trial; what follows from one hangs on the last digits."""
    records = [run_trial(scenario, "a", trial, keep=True).records for trial in range(4 * N_TRIALS)]
    return [next((r for r in of if r.kind is Kind.OOM_KILL), None) for of in records]


@pytest.mark.parametrize("limit", ["380Mi", "400Mi"])
def test_pods_that_are_killed_without_any_other_loss_are_killed_when_they_are_due(
    limit: str, monkeypatch: pytest.MonkeyPatch
):
    """On the course itself (a pod that was restarted while it was passed over counts anew from then on), and by what
    the crash of another adds to its hazard. Negative control: nothing is added, and a kill is missed.
    """
    text = BASE.replace("limit: 1Gi}\n    calls", f"limit: {limit}}}\n    calls")
    scenario = scenarios(text)["double"]
    scenario = scenario.model_copy(update={"faults": {"pod-crash": scenario.faults["pod-crash"]}})
    skipped, full = first_kills(scenario), first_kills(simulated(scenario))

    def alike(one: Record | None, other: Record | None) -> bool:
        if one is None or other is None:
            return one is other
        return one.pod == other.pod and abs(one.at_s - other.at_s) < 1800.0

    assert all(map(alike, skipped, full)), [(a, b) for a, b in zip(skipped, full, strict=True) if not alike(a, b)]
    crashes = [[r for r in run_trial(scenario, "a", k, keep=True).records if r.kind is Kind.FAULT] for k in range(12)]
    restarted = [
        kill is not None and any(r.at_s < kill.at_s and kill.pod in r.fault for r in before)
        for kill, before in zip(full, crashes, strict=True)
    ]
    assert sum(restarted) > 2, "hardly any pod was restarted before it was killed"
    if limit == "400Mi":
        found = Endurance.restart_kills
        monkeypatch.setattr(Endurance, "restart_kills", lambda *args: np.full_like(found(*args), -np.inf))
        assert not all(map(alike, first_kills(renewed(scenario)), full))


def test_times_to_failure_hang_on_the_name_and_the_number_only():
    """Few or many at once, with other clocks or alone; the same numbers as those of the reliability mode."""
    scenario = design(ZONES)["double"]
    plan = plan_of(scenario)
    short, long = (Clocks(plan, Draws(scenario.seed, 5), horizon_s) for horizon_s in (86400.0, 400 * 86400.0))
    n = short.lasts_s.shape[1]
    assert n < long.lasts_s.shape[1]
    assert np.array_equal(short.lasts_s, long.lasts_s[:, :n])
    short.draw(n)
    assert np.array_equal(short.lasts_s, long.lasts_s[:, : 2 * n])
    alone = plan_of(design(ZONES)["single"])
    single = Clocks(alone, Draws(scenario.seed, 5), 86400.0)
    for clock in alone.clocks:
        same = next(c for c in plan.clocks if (c.fault, c.element.name) == (clock.fault, clock.element.name))
        both = min(single.lasts_s.shape[1], long.lasts_s.shape[1])
        assert np.array_equal(single.lasts_s[clock.number, :both], long.lasts_s[same.number, :both])
    clock = plan.clocks[0]
    first, _ = uniforms(key_of(scenario.seed, clock.element.name, f"{clock.fault}:time-to-failure"), 5, np.arange(n))
    assert long.lasts_s[0, :n] == pytest.approx(-clock.law.mean_s * np.log1p(-first), rel=1e-12)


def test_only_what_is_understood_is_passed_over():
    scenario = design(ZONES)["double"]
    kinds = {clock.fault: clock.kind for clock in plan_of(scenario).clocks}
    assert kinds["slow"] == SLOW
    assert kinds["zone-loss"] == kinds["node-loss"] == NODES
    for changed in (
        {"spare": frozenset({"north"})},
        {"common_cause": scenario.faults["zone-loss"].common_cause or _common_cause()},
        {"repair": scenario.faults["zone-loss"].repair.model_copy(update={"law": None, "until_fixed": True})},
    ):
        fault = scenario.faults["zone-loss"].model_copy(update=changed)
        other = scenario.model_copy(update={"faults": {"zone-loss": fault}})
        assert {clock.kind for clock in plan_of(other).clocks} == {OTHER}, changed


def _common_cause():
    from sim.scenario.hazards import CommonCause

    return CommonCause(zones=0.5)


def test_faults_passed_over_before_a_node_was_added_are_counted_too():
    """People had a node provisioned, the compiled loop got new arrays, and what it had noted till then was lost."""
    path = Path(__file__).parents[2] / "experiments" / "single_vs_multi_region.yaml"
    scenario = load_experiment(path, sets=["model.noise=never"]).scenarios["single"]
    played = Trial(scenario, "single", 1)
    record, kept = played.run(), run_trial(scenario, "single", 1, keep=True)
    assert len(played.fleet.topology.nodes["sweden-central"]) > scenario.regions["sweden-central"].nodes.count
    mine, theirs = measure_trial(record, scenario), measure_trial(kept, scenario)
    assert mine["fault_kinds"]["occurrences"].tolist() == theirs["fault_kinds"]["occurrences"].tolist()
    assert mine["trials"]["faults"] == theirs["trials"]["faults"]
