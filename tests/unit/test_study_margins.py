"""The three numbers that explain most collapses, worked out by hand."""

import math
from datetime import timedelta
from pathlib import Path

import pytest
from small_study import fake_trial, small_experiment

from sim.scenario.load import load_experiment
from sim.scenario.schema import Fault, PodMemory, Scenario, Service
from sim.study.flows import holding_s
from sim.study.margins import (
    Reason,
    hot_pod_after_loss,
    hot_pod_today,
    kill_time_s,
    pool_kill_time_s,
    queue_fits,
    untrusted_zones,
    utilisations,
)
from sim.study.summary import summarise
from sim.study.tables import merge
from sim.study.warning_lines import (
    budget_lines,
    common_cause_line,
    dated_lines,
    hot_pod_line,
    queue_line,
    scenario_lines,
    warning_lines,
    zone_lines,
)


def scenario(folder: Path, name: str, *sets: str) -> Scenario:
    small_experiment(folder)
    return load_experiment(folder / "small.yaml", sets=sets).scenarios[name]


def test_queue_bounds(tmp_path: Path):
    """web: 40 x 10 + 200 = 600 of 1024 MiB; store: 100 x 10 + 200 = 1200 of 1024 MiB."""
    fits = {fit.service: (fit.needed_mib, fit.fits) for fit in queue_fits(scenario(tmp_path, "single"))}
    assert fits == {"web": (600.0, True), "store": (1200.0, False)}


def test_a_service_that_is_not_placed_is_not_judged(tmp_path: Path):
    found = scenario(
        tmp_path, "single", "services.spare={work: 1s, slots: 99, memory: {base: 1Mi, per_request: 1Gi, limit: 2Mi}}"
    )
    assert {fit.service for fit in queue_fits(found)} == {"web", "store"}


def test_hot_pod_with_one_region(tmp_path: Path):
    """1000 workers x 36/h = 10/s over 3 web pods of 10 slots; a request holds 0.1 s + 0.05 s; hottest pod 1.08."""
    single = scenario(tmp_path, "single")
    pod = hot_pod_today(single)
    assert pod.service == "web"
    assert pod.utilisation == pytest.approx(10 / 3 * 1.08 * 0.15 / 10)
    assert pod.utilisation_with_retries == pytest.approx(3 * 10 / 3 * 1.08 * 0.15 / 10)
    assert hot_pod_after_loss(single) is None


def test_hot_pod_after_losing_a_region(tmp_path: Path):
    """Active-active: the region that is left serves all; today each serves half."""
    double = scenario(tmp_path, "double")
    today, after = hot_pod_today(double), hot_pod_after_loss(double)
    assert after is not None
    assert after.lost_region != after.region
    assert after.utilisation == pytest.approx(2 * today.utilisation)


def test_retries_multiply_along_the_calls(tmp_path: Path):
    """Slow store pods (1 s, 2 slots): 10/s x 3 user attempts x 2 call attempts arrive there."""
    single = scenario(tmp_path, "single", "services.store.work=1s", "services.store.slots=2", "services.web.slots=1000")
    pod = hot_pod_today(single)
    assert pod.service == "store"
    assert pod.utilisation == pytest.approx(10 / 3 * 1.08 / 2)
    assert pod.utilisation_with_retries == pytest.approx(6 * pod.utilisation)


def test_a_retry_budget_bounds_the_attempts(tmp_path: Path):
    single = scenario(tmp_path, "single", "populations.people.retry_budget=10%")
    pod = hot_pod_today(single)
    assert pod.utilisation_with_retries == pytest.approx(1.1 * pod.utilisation)


def test_growth_counts_at_the_end_of_the_horizon(tmp_path: Path):
    grown = hot_pod_today(scenario(tmp_path, "single", "populations.people.growth=40%/y"))
    assert grown.utilisation == pytest.approx(1.4 * hot_pod_today(scenario(tmp_path, "single")).utilisation)


def test_active_passive_moves_the_stated_share(tmp_path: Path):
    sets = ("architectures.double.failover={policy: active-passive, move: 50%}",)
    double = scenario(tmp_path, "double", *sets)
    after = hot_pod_after_loss(double)
    assert after is not None
    # Losing the standby leaves all load at home; losing home moves half of it.
    assert after.lost_region == "south"
    assert after.utilisation == pytest.approx(hot_pod_today(double).utilisation)


def test_nothing_moves_the_load_without_failover(tmp_path: Path):
    double = scenario(tmp_path, "double", "architectures.double.failover=none")
    assert hot_pod_after_loss(double) is None
    assert "nothing moves the load" in hot_pod_line({"double": double})


def test_a_dependency_that_is_lost_with_its_region_is_not_looked_for_elsewhere(tmp_path: Path):
    """web of south calls the store of north, the first that has it; without north its calls fail, also if a third
    region has a store.
    """
    sets = (
        "architectures.double.place={north: {web: 3, store: 3}, south: {web: 3}, west: {store: 3}}",
        "regions.west={nodes: {count: 3, memory: 16Gi}}",
    )
    double = scenario(tmp_path, "double", *sets)
    assert set(utilisations(double)) == {("north", "web"), ("south", "web"), ("north", "store")}
    assert set(utilisations(double, "north")) == {("south", "web")}


def test_another_provider_takes_what_no_region_does(tmp_path: Path):
    provider = "architectures.double.failover={policy: provider, provider: {quota: 60%}}"
    double = scenario(tmp_path, "double", provider)
    assert hot_pod_after_loss(double) is None
    line = hot_pod_line({"double": double})
    assert "no other region takes the load of a lost one, another provider takes at most 60% of the peak" in line


def circle(folder: Path, calls: float, attempts: int = 1) -> Scenario:
    """web calls store once (twice if it fails), store calls web back."""
    back = f"services.store.calls={{web: {{timeout: 1s, calls: {calls}, attempts: {attempts}}}}}"
    return scenario(folder, "single", back, "populations.people.attempts=1")


def test_all_rounds_of_a_circle_count(tmp_path: Path):
    """H_web = 0.1 + H_store, H_store = 0.05 + H_web / 2: 0.3 and 0.2 s. Rates double: 20/s at both."""
    single = circle(tmp_path, 0.5)
    assert holding_s(single) == pytest.approx({"web": 0.3, "store": 0.2})
    assert utilisations(single) == pytest.approx(
        {("north", "web"): 20 / 3 * 1.08 * 0.3 / 10, ("north", "store"): 20 / 3 * 1.08 * 0.2 / 20}
    )


def test_a_circle_that_feeds_itself_is_said(tmp_path: Path):
    """1 call each way brings forth another for ever; half a call does as soon as each is made twice."""
    for_ever, when_failing, fine = circle(tmp_path, 1.0), circle(tmp_path, 0.5), circle(tmp_path, 0.49)
    assert math.isinf(hot_pod_today(for_ever).utilisation)
    assert math.isinf(hot_pod_today(when_failing).utilisation_with_retries)
    assert math.isfinite(hot_pod_today(when_failing).utilisation)
    assert math.isfinite(hot_pod_today(fine).utilisation_with_retries)
    always, once_failing = hot_pod_line({"a": for_ever}), hot_pod_line({"a": when_failing})
    assert "without bound (web in north)" in always
    assert "the circle of calls web -> store -> web feeds itself" in always
    assert "feeds itself once calls fail" in once_failing
    assert "feeds itself" not in hot_pod_line({"a": fine})


def test_handing_over_frees_the_slot_and_is_not_repeated(tmp_path: Path):
    single = scenario(tmp_path, "single", "services.web.calls={store: {timeout: 1s, handoff: true}}")
    assert holding_s(single)["web"] == pytest.approx(0.1)
    assert utilisations(single, retries=True)["north", "store"] == pytest.approx(30 / 3 * 1.08 * 0.05 / 20)


def test_contention_makes_a_busy_pod_busier(tmp_path: Path):
    """b = rate (S (1 + c b) + calls): with rate 3.6/s, S 0.1 s, 0.05 s of calls and c = 0.5 it is 0.54 / (1 - 0.18)."""
    single = scenario(tmp_path, "single", "services.web.contention=0.5")
    assert hot_pod_today(single).utilisation == pytest.approx(0.54 / (1 - 0.18) / 10)
    assert math.isinf(hot_pod_today(scenario(tmp_path, "single", "services.web.contention=3")).utilisation)


def test_a_share_that_gives_up_and_hedges_count(tmp_path: Path):
    sets = ("populations.people.retry_share=50%", "services.web.calls.store.hedge_after=100ms")
    rates = utilisations(scenario(tmp_path, "single", *sets), retries=True)
    first = utilisations(scenario(tmp_path, "single", *sets))
    assert rates["north", "web"] == pytest.approx(1.75 * first["north", "web"])
    assert rates["north", "store"] == pytest.approx(1.75 * 2 * 2 * first["north", "store"])


# --- where mean rates may not be trusted -------------------------------------------------------------------------

BUSY = ("populations.people.workers=17600",)
"""176/s: hottest web pod at 0.95, hottest store pod at 0.16."""


def test_mean_rates_on_purpose_where_callers_retry(tmp_path: Path):
    never = scenario(tmp_path, "single", *BUSY, "model.noise=never")
    [zone] = untrusted_zones(never)
    assert (zone.region, zone.service, zone.lost_region, zone.reason) == ("north", "web", "", Reason.RETRIES)
    assert zone.utilisation == pytest.approx(0.9504)
    [line] = zone_lines({"a": never})
    assert line.startswith("Mean rates may not be trusted: hottest pod of web in north at 0.95 at peak demand. Callers")


@pytest.mark.parametrize(
    "sets",
    [
        (*BUSY,),
        (*BUSY, "model.noise=always"),
        ("populations.people.workers=16000", "model.noise=never"),
        (*BUSY, "model.noise=never", "model.noise_above=96%"),
        (*BUSY, "model.noise=never", "populations.people.attempts=1"),
    ],
)
def test_no_doubt_where_single_requests_are_simulated_or_nothing_is_repeated(tmp_path: Path, sets: tuple[str, ...]):
    """Negative controls: auto, always, less load, a higher bound, one attempt."""
    assert untrusted_zones(scenario(tmp_path, "single", *sets)) == []


def test_impatience_near_saturation(tmp_path: Path):
    """`auto` does not simulate requests that nobody repeats."""
    sets = ("services.web.patience=1s", "populations.people.attempts=1")
    [zone] = untrusted_zones(scenario(tmp_path, "single", *BUSY, *sets))
    assert zone.reason is Reason.PATIENCE
    assert "by 20 to 100 %" in zone_lines({"a": scenario(tmp_path, "single", *BUSY, *sets)})[0]
    for far in ("populations.people.workers=16000", "populations.people.workers=22000"):
        assert untrusted_zones(scenario(tmp_path, "single", far, *sets)) == []
    assert untrusted_zones(scenario(tmp_path, "single", *BUSY, *sets, "model.noise=always")) == []
    # Where they are repeated as well, auto starts.
    assert untrusted_zones(scenario(tmp_path, "single", *BUSY, "services.web.patience=1s")) == []


def test_memory_that_chance_fills(tmp_path: Path):
    """Store: 36 requests of 10 MiB fill it, 20 slots are 95 % busy: they come together within the hour.

    From `noise_above` on `auto` simulates requests, so what it leaves to mean rates ends at 90 %.
    """
    busy = ("populations.people.workers=105000", "services.web.slots=2000", "services.web.queue=0")
    plain = ("services.web.memory=null", "services.web.calls.store.attempts=1", "populations.people.attempts=1")
    full = (*busy, *plain, "services.store.memory.limit=560Mi")
    for noise, utilisation in (("auto", 0.9), ("never", 0.945)):
        doubted = scenario(tmp_path, "single", *full, f"model.noise={noise}")
        [zone] = untrusted_zones(doubted)
        assert (zone.service, zone.reason) == ("store", Reason.MEMORY)
        assert zone.utilisation == pytest.approx(utilisation)
        assert "OOM-killed once in" in zone_lines({"a": doubted})[0]
    for change in ("services.store.queue=10", "populations.people.workers=40000", "model.noise=always"):
        assert untrusted_zones(scenario(tmp_path, "single", *full, change)) == []


def one_slot(n_fit: int) -> Service:
    """A pod of one slot whose memory is reached by one request more than `n_fit`."""
    memory = PodMemory(base=10.0, per_request=1.0, limit=11.0 + n_fit)
    return Service(work=1.0, slots=1, queue=1000, memory=memory)


@pytest.mark.parametrize("n_fit", [1, 5, 20])
def test_the_time_until_chance_fills_the_memory(n_fit: int):
    """M/M/1 at arrivals = service: from empty to n it takes n (n + 1) / 2 services, a Poisson process n arrivals."""
    n = n_fit + 1
    assert kill_time_s(one_slot(n_fit), 1.0) == pytest.approx(n * (n + 1) / 2)
    many = one_slot(n_fit).model_copy(update={"slots": 1000, "queue": 0})
    load = 1e9  # nobody leaves meanwhile
    assert kill_time_s(many, load) == pytest.approx(n / (load * 1000), rel=1e-3)


def test_a_request_that_waits_for_its_calls_leaves_later():
    """At the same utilisation all rates are slower by as much as a slot is held longer: 4 s for 1 s, 4 times 3/s^-1."""
    assert kill_time_s(one_slot(1), 1.0, held_s=4.0) == pytest.approx(4.0 * 3.0)
    assert pool_kill_time_s(one_slot(5), 0.9, 4, 4.0) == pytest.approx(4.0 * pool_kill_time_s(one_slot(5), 0.9, 4))


def test_contention_holds_slots_longer_the_more_are_busy():
    """One slot of 1 s, contention 0.5: 1.5 s each, arrivals 1 / 1.5; 1 + 2 steps up to two requests inside."""
    crowded = one_slot(1).model_copy(update={"contention": 0.5})
    assert kill_time_s(crowded, 1.0) == pytest.approx(1.5 * 3.0)


def test_in_doubt_is_a_pod_as_long_as_it_waits_for_its_calls(tmp_path: Path):
    """A slot of web is held for 0.1 s and a store of 1 ms, or of 909 ms, ten times as long; with a tenth of the load it
    is as busy, and chance fills it once in ten times the time.
    """
    full = ("services.web.memory.limit=400Mi", "services.store.memory=null", "model.noise=never")
    alone = ("populations.people.attempts=1", "services.web.calls.store.attempts=1", "services.store.slots=2000")
    times_s = {}
    for store, workers in (("1ms", 16000), ("909ms", 1600)):
        sets = (f"services.store.work={store}", f"populations.people.workers={workers}")
        [zone] = untrusted_zones(scenario(tmp_path, "single", *full, *alone, *sets))
        assert (zone.service, zone.reason) == ("web", Reason.MEMORY)
        times_s[store] = zone.kill_s
    assert times_s["909ms"] == pytest.approx(10.0 * times_s["1ms"], rel=0.02)


def test_of_several_pods_the_first_counts():
    """Equal pods: a share of the time of one; a hotter one alone decides."""
    one, equal = one_slot(5), one_slot(5).model_copy(update={"load_shares": (1.0,)})
    assert pool_kill_time_s(equal, 0.9, 4) == pytest.approx(kill_time_s(equal, 0.9) / 4)
    uneven = one.model_copy(update={"load_shares": (1.0, 0.01)})
    assert pool_kill_time_s(uneven, 0.9, 2) == pytest.approx(kill_time_s(one, 0.9), rel=1e-3)
    assert pool_kill_time_s(one_slot(900), 0.5, 3) == math.inf


def test_memory_that_is_never_filled():
    """Negative controls: no limit, a queue that fits, no load."""
    fits = one_slot(5).model_copy(update={"queue": 4})
    assert kill_time_s(fits, 0.99) == math.inf
    assert kill_time_s(Service(work=1.0, slots=1), 0.99) == math.inf
    assert kill_time_s(one_slot(5), 0.0) == math.inf
    assert kill_time_s(one_slot(900), 0.5) == math.inf


def test_the_zone_after_losing_a_region(tmp_path: Path):
    [*zones] = untrusted_zones(scenario(tmp_path, "double", *BUSY, "model.noise=never"))
    assert {(zone.region, zone.lost_region) for zone in zones} == {("north", "south"), ("south", "north")}
    assert "after losing south" in zones[1].text + zones[0].text


# --- all warnings of all commands come from here -----------------------------------------------------------------


@pytest.mark.parametrize(
    ("sets", "words"),
    [
        ((), "a full queue does not fit the memory limit"),
        (("services.web.calls.store.timeout=9s",), "longer than the deadline of people"),
        (("populations.people.attempts=5",), "attempts multiply over tiers"),
        (("services.web.calls.store.breaker={trickle: 100%}",), "a breaker without half-open state"),
        (("services.store.calls={web: {timeout: 1s}}",), "in a circle (web -> store -> web) that feeds itself"),
        ((*BUSY, "model.noise=never"), "Mean rates may not be trusted"),
        ((), "Hottest pod at peak demand after losing a region"),
    ],
)
def test_every_warning_reaches_runs_reports_and_the_stability_page(tmp_path: Path, sets: tuple[str, ...], words: str):
    small_experiment(tmp_path)
    experiment = load_experiment(tmp_path / "small.yaml", sets=sets)
    parts = [fake_trial(s, name, 0)[1] for name, s in experiment.scenarios.items()]
    tables = merge(parts, list(experiment.scenarios))
    of_run = warning_lines(experiment, tables, summarise(tables, experiment.scenarios, 0.95))
    assert any(words in line for line in of_run)
    assert any(words in line for line in scenario_lines(experiment, list(experiment.scenarios)))
    healthy = load_experiment(
        tmp_path / "small.yaml", sets=("services.store.queue=10", "populations.people.attempts=2")
    )
    if sets:
        assert not any(
            words in line for line in scenario_lines(healthy, list(healthy.scenarios)) if "Hottest" not in line
        )


def test_a_full_queue_that_just_reaches_the_limit_does_not_fit(tmp_path: Path):
    """82.4 requests of 10 MiB and 200 MiB are 1024: 62 places fit beside 20 slots; at the limit a pod is killed."""
    for queue, told in ((62, False), (63, True)):
        small_experiment(tmp_path)
        experiment = load_experiment(tmp_path / "small.yaml", sets=(f"services.store.queue={queue}",))
        assert any("a full queue does not fit" in str(issue) for issue in experiment.warnings) is told
    exact = load_experiment(
        tmp_path / "small.yaml", sets=("services.store.queue=80", "services.store.memory.limit=1200Mi")
    )
    assert any("a queue of 79 fits" in str(issue) for issue in exact.warnings)
    assert "store does not fit" in queue_line(exact.scenarios)


def test_lines(tmp_path: Path):
    experiment = small_experiment(tmp_path)
    parts = [fake_trial(s, name, t)[1] for name, s in experiment.scenarios.items() for t in range(20)]
    tables = merge(parts, list(experiment.scenarios))
    summary = summarise(tables, experiment.scenarios, 0.95)
    lines = warning_lines(experiment, tables, summary)
    assert lines[0] == queue_line(experiment.scenarios)
    assert "store does not fit (100 requests x 10Mi + 200Mi" in lines[0]
    assert "single: no second region (today 0.05 (web in north), 0.16" in lines[1]
    assert lines[2].startswith("Share of downtime from common causes: single 50% [")
    assert "several elements at once" in lines[2]
    assert "the loss of one zone or region is one element" in lines[2]
    assert any("small.yaml:19" in line for line in lines[3:])
    assert any(line.startswith("Fewer than ten events") and "cascade_year_prob" in line for line in lines[3:])


def test_dated_events_in_less_than_a_year_are_said_to_be_annualised(tmp_path: Path):
    scenario = small_experiment(tmp_path).scenarios["single"]
    name, fault = next(iter(scenario.faults.items()))
    dated = fault.model_copy(update={"every": None, "at": (scenario.start + timedelta(days=8),)})

    def lines(horizon_s: float, faults: dict[str, Fault]) -> list[str]:
        return dated_lines({"a": scenario.model_copy(update={"horizon": horizon_s, "faults": faults})})

    [line] = lines(30 * 86400.0, {name: dated})
    assert line.startswith("Dated events in a horizon of 30d")
    assert f"as if they came every 30d: {name}." in line
    assert lines(365 * 86400.0, {name: dated}) == []
    assert lines(7 * 86400.0, {name: dated}) == []  # after the horizon
    assert lines(30 * 86400.0, {name: fault}) == []


def test_a_spent_budget_of_single_requests_is_said(tmp_path: Path):
    experiment = small_experiment(tmp_path)
    parts = [fake_trial(s, name, t)[1] for name, s in experiment.scenarios.items() for t in range(4)]
    tables = merge(parts, list(experiment.scenarios))
    assert budget_lines(tables, ["single", "double"]) == []
    tables["trials"]["noise_budget_spent"][[0, 2]] = 1
    [line] = budget_lines(tables, ["single", "double"])
    assert "single in 2 of 4 trials. Raise model.noise_requests" in line
    assert line in warning_lines(experiment, tables, summarise(tables, experiment.scenarios, 0.95))
    del tables["trials"]["noise_budget_spent"]
    assert budget_lines(tables, ["single"]) == []


def test_no_downtime_is_no_share(tmp_path: Path):
    experiment = small_experiment(tmp_path)
    tables = merge([fake_trial(experiment.scenarios["single"], "single", t)[1] for t in range(3)], ["single"])
    tables["trials"]["downtime_s"][:] = 0
    summary = summarise(tables, experiment.scenarios, 0.95)
    assert "single no downtime seen" in common_cause_line(tables, summary)
