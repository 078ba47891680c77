"""The three numbers that explain most collapses, worked out by hand."""

from pathlib import Path

import pytest
from small_study import fake_trial, small_experiment

from sim.scenario.load import load_experiment
from sim.scenario.schema import Scenario
from sim.study.margins import hot_pod_after_loss, hot_pod_today, queue_fits
from sim.study.summary import summarise
from sim.study.tables import merge
from sim.study.warning_lines import common_cause_line, hot_pod_line, queue_line, warning_lines


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


def test_circles_of_calls_end(tmp_path: Path):
    single = scenario(tmp_path, "single", "services.store.calls={web: {timeout: 1s, calls: 0.5}}")
    assert hot_pod_today(single).utilisation > 0


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
    assert any("small.yaml:19" in line for line in lines[3:])
    assert any(line.startswith("Fewer than ten events") and "cascade_year_prob" in line for line in lines[3:])


def test_no_downtime_is_no_share(tmp_path: Path):
    experiment = small_experiment(tmp_path)
    tables = merge([fake_trial(experiment.scenarios["single"], "single", t)[1] for t in range(3)], ["single"])
    tables["trials"]["downtime_s"][:] = 0
    summary = summarise(tables, experiment.scenarios, 0.95)
    assert "single no downtime seen" in common_cause_line(tables, summary)
