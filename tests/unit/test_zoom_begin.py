"""What a window begins with and what it is a window of: users by number, what they remember, and the very trial."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any, Literal

import numpy as np
import pytest
from worlds import fault, run_trial, service, users, world
from zoomed import write_zoomed

from sim.commands.request import ScenarioChoice
from sim.commands.zoom import WindowChoice, request_runs, verdict, zoom_of
from sim.commands.zoom_begin import Begin, begin_of
from sim.commands.zoom_engine import EngineWindow, play_window
from sim.oracles.network_script import PodBounds
from sim.scenario.schema import (
    Breaker,
    Call,
    Detection,
    Effect,
    Model,
    Monitor,
    Operations,
    Scenario,
    Step,
    Throttle,
)
from sim.world.log import Kind, Record
from sim.world.trial import Trial

Mode = Literal["never", "always", "auto"]
MODES: tuple[Mode, ...] = ("never", "always", "auto")
STORM_S = 640.0
"""40 s into the slow minute of the shop: hundreds wait to try again."""


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    experiment = ScenarioChoice((write_zoomed(tmp_path_factory.mktemp("zoom")),)).load()
    return next(iter(experiment.scenarios.values()))


def played_by(scenario: Scenario, mode: Mode) -> Scenario:
    return scenario.model_copy(update={"model": Model(noise=mode)})


def begun(scenario: Scenario, at_s: float) -> tuple[Trial, Begin]:
    trial = Trial(scenario, "test", 0)
    trial.play_to(at_s)
    return trial, begin_of(trial, at_s)


def attempts_at_first(scenario: Scenario, window: EngineWindow, seeds: int = 3) -> float:
    """Attempts per second in the first ten seconds, request by request."""
    runs = request_runs(scenario, window, WindowChoice(0, "", "", seeds), workers=1)
    return float(np.mean([next(iter(run.curves.attempts_per_s.values()))[1] for run in runs]))


@pytest.mark.parametrize("mode", ["always", "auto"])
def test_users_of_single_requests_are_handed_over_one_by_one(shop: Scenario, mode: Mode) -> None:
    trial, begin = begun(played_by(shop, mode), STORM_S)
    assert trial.traffic.plays_requests
    clients = begin.clients["shoppers"]
    asked = [one for pod in begin.pods.values() for one in pod.attempts or ()]
    # Rounding to whole users when the gear was shifted is the only difference.
    assert len(clients) + len(asked) == pytest.approx(trial.traffic.open_requests(0), abs=1.0)
    pausing = [c for c in clients if not c.fails]
    assert len(pausing) > 250
    assert {c.number for c in pausing} == {2, 3}
    assert all(0.0 <= c.in_s <= 2.0 for c in pausing)
    assert len({round(c.in_s, 6) for c in pausing}) > 200, "each at its own time"
    for name, pod in begin.pods.items():
        assert pod.attempts is not None
        assert len(pod.attempts) <= begin.inside[name]
        assert all(1 <= number <= 3 and 0.0 <= left_s <= 5.0 for _, number, left_s in pod.attempts)
    calls = begin.calls or ()
    assert len(calls) > 50
    assert {call.number for call in calls} == {1, 2}
    assert all(call.pod is None or call.pod.startswith("north/store") for call in calls)
    assert all(0.0 <= call.in_s <= 2.0 for call in calls)
    # No more than that: the columns of the mean rates are empty.
    assert begin.retrying == begin.awaited == {}


@pytest.mark.parametrize("mode", MODES)
def test_a_window_that_begins_in_a_storm_begins_with_it(shop: Scenario, mode: Mode) -> None:
    scenario = played_by(shop, mode)
    window = play_window(scenario, "test", 0, STORM_S, 60.0)
    assert window.record.trace is not None
    sent_per_s = float(window.record.trace.attempts_per_s[:8, 0].mean())
    assert sent_per_s > 250.0
    assert attempts_at_first(scenario, window) == pytest.approx(sent_per_s, rel=0.1)
    # Without its users the storm is there, but it takes as long as their deadline to come back.
    pods = {name: replace(pod, attempts=()) for name, pod in window.begin.pods.items()}
    alone = replace(window.begin, retrying={}, clients={}, awaited={}, pods=pods)
    assert attempts_at_first(scenario, replace(window, begin=alone)) < 0.85 * sent_per_s


@pytest.mark.parametrize("mode", MODES)
def test_after_a_storm_both_count_the_requests_that_ended(shop: Scenario, mode: Mode) -> None:
    scenario = played_by(shop, mode)
    window = play_window(scenario, "test", 0, STORM_S, 120.0)
    runs = request_runs(scenario, window, WindowChoice(0, "", "", 4), workers=1)
    zoom = zoom_of("shop", scenario, window, STORM_S, STORM_S + 120.0, runs)
    if mode != "never":  # mean rates are 8 % off in what is inside of `web`
        assert verdict(zoom).startswith("The engine and the request-level model agree")
    served = zoom.figures[0]
    assert served.engine == pytest.approx(served.mean, abs=0.03 if mode == "never" else 0.025)
    # Those who came within the window alone do better than those who had been in the storm for a while.
    assert np.mean([run.populations["shoppers"].availability for run in runs]) > served.mean + 0.02


@pytest.mark.parametrize("mode", MODES)
def test_calls_under_way_have_what_is_left_of_their_timeout(shop: Scenario, mode: Mode) -> None:
    """Else callers wait for up to twice as long at first, and send half as much to a queue that grows."""
    scenario = played_by(shop, mode)
    engine, oracle = [], []
    for trial in range(1 if mode == "never" else 4):
        window = play_window(scenario, "test", trial, STORM_S, 20.0)
        store = window.record.pools.index("north/store")
        runs = request_runs(scenario, window, WindowChoice(trial, "", "", 3), workers=1)
        engine.append(np.diff(np.interp([640.0, 650.0], window.pools.times_s, window.pools.in_flight[:, store]))[0])
        oracle += [np.diff(run.curves.in_flight["north/store"][:2])[0] for run in runs]
    assert np.mean(engine) > 80.0
    assert np.mean(oracle) == pytest.approx(np.mean(engine), rel=0.35)


# --- the very trial


def seen(records: list[Record], until_s: float) -> list[tuple[Any, ...]]:
    return [(r.at_s, r.kind, r.pod, r.fault, r.what, str(r.value)) for r in records if r.at_s < until_s]


@pytest.mark.parametrize("mode", MODES)
def test_a_window_is_the_same_trial_to_the_last_bit(shop: Scenario, mode: Mode) -> None:
    """With the shifts of the gear within it, which chance follows."""
    scenario = played_by(shop, mode)
    window = play_window(scenario, "test", 0, 540.0, 420.0)
    whole = run_trial(scenario, "test", 0)
    assert seen(window.record.records, 960.0) == seen(whole.records, 960.0)
    assert [r.what for r in window.record.records if r.kind is Kind.GEAR] == [
        *(["single requests from here, as model.noise says"] * (mode == "always")),
        *(
            [
                "single requests from here: a pod is near saturation, and retries or OOM kills may follow",
                "mean rates from here: no pod is near saturation",
            ]
            * (mode == "auto")
        ),
    ]
    cut = run_trial(scenario.model_copy(update={"horizon": 960.0}), "test", 0)
    assert window.record.totals.tolist() == cut.totals.tolist()
    assert window.record.month_totals.tolist() == [window.record.totals.tolist()]
    assert window.plays_requests is (mode != "never")


def test_a_look_within_the_window_would_give_another_history(shop: Scenario) -> None:
    """Negative control: why the trial is played once more without one."""
    looked_at = Trial(played_by(shop, "auto"), "test", 0)
    looked_at.context.after(600.3, lambda: None)
    whole = run_trial(played_by(shop, "auto"), "test", 0)
    assert seen(looked_at.run(960.0).records, 960.0) != seen(whole.records, 960.0)


def test_pods_that_live_for_less_than_a_sample_are_in_the_average() -> None:
    """Two pods that are killed within half a second of their start, every ten seconds."""
    scenario = world(
        services={
            "web": service(
                10.0, slots=400, queue=0, startup={"fixed": 9.5},
                memory={"base": 100.0, "per_request": 50.0, "limit": 1000.0},
                crash_loop={"first": 0.0, "initial": 0.01, "longest": 0.01},
            )
        },
        populations={"staff": users(100.0)},
        horizon=3600.0,
    )  # fmt: skip
    window = play_window(scenario, "test", 0, 100.0, 300.0)
    kills = [r for r in window.record.records if r.kind is Kind.OOM_KILL and r.at_s >= 100.0]
    starts = [r for r in window.record.records if r.kind is Kind.POD_READY and r.at_s >= 100.0]
    assert len(kills) > 30
    lived_s = sum(r.at_s for r in kills) - sum(r.at_s for r in starts)
    pools = window.pools
    area = float(pools.ready[:-1, 0] @ np.diff(pools.times_s))
    assert area == pytest.approx(lived_s, abs=1e-6)
    inside = float(np.trapezoid(pools.in_flight[:, 0], pools.times_s)) / 300.0
    looked_at = Trial(scenario, "test", 0)
    seen: list[float] = []
    for at_s in np.arange(100.0, 400.0, 0.02):
        looked_at.context.after(float(at_s), lambda: seen.append(looked_at.traffic.in_flight(0)))
    looked_at.play_to(400.0)
    assert inside == pytest.approx(float(np.mean(seen)), rel=0.05)
    assert 0.05 < area / len(kills) < 1.0


# --- shedding


@pytest.mark.parametrize("mode", ["never", "always"])
def test_the_end_of_shedding_is_handed_over(mode: Mode) -> None:
    steps = {"shed": Step(action="shed", service="web", in_flight=20)}
    scenario = world(
        services={"web": service(1.0, slots=8, queue=40)},
        populations={"staff": users(10.0)},
        faults={"bad": fault("web in home", Effect(errors=1.0), at_s=100.0, until=500.0)},
        operations=Operations(detection=Detection(monitor=Monitor(**{"for": 60.0})), reassess=60.0, runbook=steps),
        model=Model(noise=mode),
        horizon=3600.0,
    )
    window = play_window(scenario, "test", 0, 50.0, 1200.0)
    closed_s = next(r.at_s for r in window.record.records if r.kind is Kind.CLOSED)
    bounds = [h for h in window.script.happenings if isinstance(h, PodBounds)]
    assert {(h.slots, h.queue) for h in bounds if h.at_s == 50.0} == {(8, 40)}
    assert {(h.slots, h.queue) for h in bounds if 50.0 < h.at_s < closed_s} == {(8, 2)}
    assert {(h.slots, h.queue) for h in bounds if h.at_s >= closed_s} == {(8, 40)}
    runs = request_runs(scenario, window, WindowChoice(0, "", "", 2), workers=1)
    assert verdict(zoom_of("shed", scenario, window, 50.0, 1250.0, runs)).startswith("The engine and the request")


# --- what users and callers remember


@pytest.mark.parametrize("mode", ["never", "always"])
def test_throttles_budgets_and_breakers_are_handed_over(mode: Mode) -> None:
    """Half of the answers of `db` are errors: less than opens the breaker, more than the budgets can repeat."""
    of_call = Call(timeout=1.0, attempts=2, retry_budget=0.1, breaker=Breaker(failures=0.7, window=20.0))
    scenario = world(
        services={"web": service(0.05, slots=50, calls={"db": of_call}), "db": service(0.05, slots=50)},
        place={"home": {"web": 2, "db": 2}},
        populations={"staff": users(20.0, attempts=3, retry_budget=0.1, throttle=Throttle(ratio=1.5, window=60.0))},
        faults={"bad": fault("db in home", Effect(errors=0.5), at_s=10.0, until=1e5)},
        model=Model(noise=mode),
    )
    _, begin = begun(scenario, 600.0)
    of_users, of_calls = begin.remembered["staff"], begin.remembered["home", "web", "db"]
    assert of_users.wanted is not None
    assert of_users.usable is not None
    assert of_users.wanted == pytest.approx(20.0 * 1.05 * 60.0, rel=0.15)
    assert 0.05 < of_users.usable / of_users.wanted < 0.2
    assert of_users.tokens is not None
    assert of_users.tokens < 2.0
    assert of_calls.seen is not None
    assert 50.0 < of_calls.seen < 400.0
    assert of_calls.share == pytest.approx(0.5, abs=0.1)
    if mode == "always":
        assert of_calls.tokens is not None
        assert of_calls.tokens < 2.0
    drawn = begin.drawn(np.random.default_rng(1))
    assert drawn.remembered == begin.remembered


def test_a_window_begins_with_a_closed_breaker_that_one_failure_does_not_open() -> None:
    """Late windows as well: what a breaker has seen is not forgotten since the scenario's start."""
    of_call = Call(timeout=1.0, breaker=Breaker(failures=0.5, window=10.0))
    scenario = world(
        services={"web": service(0.05, slots=50, calls={"db": of_call}), "db": service(0.05, slots=50)},
        place={"home": {"web": 2, "db": 2}},
        populations={"staff": users(2.0)},
        faults={"bad": fault("db in home", Effect(errors=0.2), at_s=10.0, until=1e5)},
    )
    window = play_window(scenario, "test", 0, 3000.0, 60.0)
    runs = request_runs(scenario, window, WindowChoice(0, "", "", 10), workers=1)
    assert [run.edges["home", "web", "db"].opened_at_s for run in runs] == [()] * 10


def test_later_attempts_wait_for_longer_pauses() -> None:
    scenario = world(
        services={"web": service(0.1)},
        populations={"staff": users(20.0, attempts=4, backoff=1.0, backoff_growth=3.0)},
        faults={"bad": fault("web in home", Effect(errors=1.0), at_s=10.0, until=1e5)},
    )
    _, begin = begun(scenario, 300.0)
    assert begin.retry_within_s["staff"] == pytest.approx((1.1, 3.1, 9.1), abs=0.1)
    assert begin.retrying["staff"] == pytest.approx([22.0, 62.0, 182.0], rel=0.05)
    assert math.isfinite(begin.totals.sum())
