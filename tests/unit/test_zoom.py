"""A window of a trial both ways: what the engine hands over, what it leaves out, and when the two are said to agree."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from worlds import at, fault, lasting, memory, region, service, two_regions, users, world
from zoomed import write_zoomed

from sim.commands.request import ScenarioChoice
from sim.commands.zoom import WindowChoice, request_runs, window_of, zoom_of
from sim.commands.zoom_engine import EngineWindow, play_window
from sim.errors import UsageError
from sim.oracles.network_script import (
    DemandFactor,
    Happening,
    PodCondition,
    PodLimit,
    PodMemoryUse,
    PodStarts,
    PodStops,
    Routing,
    Script,
)
from sim.report.zoom import Figure, Zoom, verdict
from sim.scenario.schema import (
    CrashLoop,
    Effect,
    Failover,
    Model,
    Operations,
    Population,
    Scenario,
    ScriptedStep,
)

MEAN_RATES = Model(noise="never")


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    experiment = ScenarioChoice((write_zoomed(tmp_path_factory.mktemp("zoom")),)).load()
    return next(iter(experiment.scenarios.values()))


@pytest.fixture(scope="module")
def played(shop: Scenario) -> EngineWindow:
    return play_window(shop, "default", 0, 540.0, 240.0)


def of_kind(window: EngineWindow, kind: type, *, after_s: float) -> list[Any]:
    return [h for h in window.script.happenings if isinstance(h, kind) and h.at_s > after_s]


def zoomed(shop: Scenario, played: EngineWindow, script: Script, seeds: int = 3) -> Zoom:
    given = replace(played, script=script)
    runs = request_runs(shop, given, WindowChoice(0, "9m", "4m", seeds), workers=1)
    return zoom_of("Web shop", shop, given, 540.0, 780.0, runs)


def test_the_two_agree_on_a_plain_window_and_not_without_its_fault(shop: Scenario, played: EngineWindow) -> None:
    """The engine with single requests where chance decides; its mean rates overshoot when a hang begins."""
    auto = shop.model_copy(update={"model": Model()})
    in_windows = play_window(auto, "default", 0, 540.0, 240.0)
    alike = zoomed(auto, in_windows, in_windows.script)
    assert verdict(alike).startswith("The engine and the request-level model agree: all 7 figures")
    assert 0.5 < alike.figures[0].engine < 0.9
    apart = zoomed(shop, played, Script(), seeds=2)
    assert "differ in" in verdict(apart)
    assert not apart.figures[0].agrees


def test_the_state_is_that_of_the_engine(shop: Scenario, played: EngineWindow) -> None:
    # Little's law at rest: 90/s x 0.2 s in the store; 90/s x 0.25 s in web, and what the store's queues add.
    inside = {name: n for name, n in played.begin.inside.items() if n}
    assert sum(n for name, n in inside.items() if "store" in name) == pytest.approx(18.0, abs=1.0)
    assert sum(n for name, n in inside.items() if "web" in name) == pytest.approx(22.5, abs=1.5)
    assert played.begin.totals[0][0] == pytest.approx(90.0 * 540.0, rel=1e-6)
    assert played.totals[0][0] == pytest.approx(90.0 * 240.0, rel=1e-6)
    assert played.demand("shoppers", 600.0) == 90.0


def test_whole_requests_have_the_mean_of_the_engine(played: EngineWindow) -> None:
    rng = np.random.default_rng(3)
    name = "north/store/2"
    mean = played.begin.inside[name]
    drawn = [played.begin.drawn(rng).pods[name].inside for _ in range(2000)]
    assert set(drawn) == {math.floor(mean), math.ceil(mean)}
    assert np.mean(drawn) == pytest.approx(mean, abs=4 * 0.5 / math.sqrt(2000))


def test_conditions_of_a_fault_are_handed_over(played: EngineWindow) -> None:
    slow = of_kind(played, PodCondition, after_s=540.0)
    assert [(h.at_s, h.pod, h.slow) for h in slow] == [
        (at_s, f"north/store/{k}", factor) for at_s, factor in ((600.0, 6.0), (660.0, 1.0)) for k in range(1, 5)
    ]
    assert not of_kind(played, PodStops, after_s=0.0)


def _with_memory(**fields: Any) -> Scenario:
    """A pool of two pods that fill their memory within seconds, again and again."""
    given: dict[str, Any] = {
        "services": {
            "web": service(
                1.0, slots=4, queue=50, memory=memory(base=100.0, per_request=50.0, limit=1000.0),
                startup=lasting(5.0), crash_loop=CrashLoop(first=0.0, initial=10.0),
            )
        },
        "populations": {"staff": users(20.0)},
        "horizon": 300.0,
        "model": MEAN_RATES,
        **fields,
    }  # fmt: skip
    return world(**given)


def test_oom_kills_and_their_restarts_are_left_to_the_request_level_model() -> None:
    window = play_window(_with_memory(), "default", 0, 1.0, 200.0)
    assert len(window.oom_kills) > 4
    assert not of_kind(window, PodStops, after_s=0.0)
    assert not of_kind(window, PodStarts, after_s=0.0)


def test_a_pod_that_a_fault_holds_down_is_handed_over() -> None:
    down = fault("web in home", until=30.0, at_s=100.0)
    window = play_window(_with_memory(faults={"outage": down}), "default", 0, 1.0, 200.0)
    stops = [h for h in of_kind(window, PodStops, after_s=0.0) if h.at_s == 100.0]
    starts = [(h.at_s, h.startup) for h in of_kind(window, PodStarts, after_s=0.0)]
    # Pods that were starting anyway are not stopped once more, but none is ready before 135 s.
    assert len(stops) <= 2
    assert len(starts) == len(stops)
    assert all(start == (135.0, False) for start in starts)


def test_a_pod_that_is_down_at_the_begin_starts_when_it_did() -> None:
    down = fault("web in home", until=30.0, at_s=20.0)
    calm = _with_memory(populations={"staff": users(0.5)}, faults={"outage": down})
    window = play_window(calm, "default", 0, 40.0, 100.0)
    assert [(h.at_s, h.pod) for h in of_kind(window, PodStarts, after_s=0.0)] == [
        (55.0, "home/web/1"), (55.0, "home/web/2"),
    ]  # fmt: skip
    runs = request_runs(calm, window, WindowChoice(0, "40s", "100s", 1), workers=1)
    assert list(runs[0].curves.ready["home/web"][[0, 1, 2, 9]]) == [0.0, 0.0, 2.0, 2.0]


def test_memory_that_faults_take_and_limits_that_people_raise_are_handed_over() -> None:
    grows = fault("web in home", Effect(memory_growth=200.0, over=100.0), until=1e4, at_s=50.0)
    raised = ScriptedStep(action="raise_memory", at=at(120.0), limit=2000.0, service="web")
    calm = _with_memory(
        populations={"staff": users(0.5)}, faults={"growth": grows}, operations=Operations(script={"raise": raised}),
        regions={"home": region(memory_mib=20_000.0)},
    )  # fmt: skip
    window = play_window(calm, "default", 0, 80.0, 150.0)
    first = next(h for h in window.script.happenings if isinstance(h, PodMemoryUse))
    assert (first.at_s, first.extra_mib, first.growth_mib_per_s) == (80.0, pytest.approx(60.0), pytest.approx(2.0))
    limits = of_kind(window, PodLimit, after_s=80.0)
    assert [(h.at_s, h.limit_mib) for h in limits] == [(125.0, 2000.0)] * 2
    assert len(of_kind(window, PodStops, after_s=80.0)) == len(of_kind(window, PodStarts, after_s=80.0)) == 2


def test_more_demand_and_a_failover_are_handed_over() -> None:
    surge = fault("population staff", Effect(demand=3.0), until=60.0, at_s=100.0)
    lost = fault("home", until=200.0, at_s=300.0)
    failover = Failover(policy="active-passive", standby="hot", ttl=30.0)
    scenario = two_regions(failover, faults={"surge": surge, "lost": lost}, model=MEAN_RATES, horizon=1000.0)
    window = play_window(scenario, "default", 0, 50.0, 500.0)
    factors = [(h.at_s, h.factor) for h in of_kind(window, DemandFactor, after_s=50.0)]
    assert factors == [(100.0, 3.0), (160.0, 1.0)]
    moved = of_kind(window, Routing, after_s=50.0)
    assert dict(moved[0].shares) == {"home": 0.0, "spare": 1.0}
    assert 300.0 < moved[0].at_s < 400.0
    runs = request_runs(scenario, window, WindowChoice(0, "50s", "500s", 1), workers=1)
    assert runs[0].pools["spare/web"].offered > 1000


def test_happenings_of_the_begin_come_with_it(played: EngineWindow) -> None:
    first: list[Happening] = [h for h in played.script.happenings if h.at_s == 540.0]
    assert {type(h).__name__ for h in first} == {
        "PodCondition", "PodBounds", "PodMemoryUse", "PoolReach", "EdgeReach", "Attempts", "DemandFactor", "Routing",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("engine", "values", "is_share", "agrees"),
    [
        (0.900, (0.895, 0.895, 0.895), True, True),  # within one point
        (0.900, (0.885, 0.885, 0.885), True, False),
        (0.9990, (0.9988, 0.9988, 0.9988), True, True),  # a fifth of the failures
        (0.9990, (0.9985, 0.9985, 0.9985), True, False),
        (0.9990, (0.9895, 0.9895, 0.9895), True, False),  # "99.9 %" and "98.95 %" are ten times as many failures
        (0.900, (0.85, 0.95, 0.99), True, True),  # within chance: 0.93 +- 4.3 x 0.042
        (100.0, (104.0,), False, True),  # within 5 %
        (100.0, (110.0,), False, False),
        (100.0, (110.0, 120.0, 95.0), False, True),
        (0.0, (0.0, 0.0), False, True),
    ],
)
def test_agreement_is_chance_or_too_little_to_matter(
    engine: float, values: tuple[float, ...], is_share: bool, agrees: bool
) -> None:
    assert Figure("key", "label", engine, values, is_share).agrees is agrees


@pytest.mark.parametrize(
    ("n_requests", "engine", "failed", "agrees"),
    [
        (1000.0, 0.999, 0.0, True),  # none of 2000 failed, 2 expected
        (1000.0, 0.990, 0.0, False),  # 20 expected
        (100_000.0, 0.999, 0.0, False),
        (1000.0, 0.999, 0.002, True),
        (100_000.0, 0.999, 0.002, False),
    ],
)
def test_shares_differ_by_what_counting_leaves_open(
    n_requests: float, engine: float, failed: float, agrees: bool
) -> None:
    values = (1.0 - failed, 1.0 - failed)
    assert Figure("key", "label", engine, values, True, n_requests=n_requests).agrees is agrees


def test_one_more_draw_is_compared_with_the_spread_of_the_runs() -> None:
    """Not with the error of their mean, which any history but the mean leaves behind if there are seeds enough."""
    rng = np.random.default_rng(8)
    values = rng.normal(100.0, 20.0, (4000, 10))
    draws = rng.normal(100.0, 20.0, 4000)
    found = [
        Figure("key", "label", draw, tuple(row), is_by_chance=True) for draw, row in zip(draws, values, strict=True)
    ]
    # 5 % of them differ by chance, fewer by those that are within 5 % of each other anyway.
    assert np.mean([not figure.agrees for figure in found]) == pytest.approx(0.05, abs=0.012)
    as_means = [replace(figure, is_by_chance=False) for figure in found]
    assert np.mean([not figure.agrees for figure in as_means]) > 0.3
    figure = Figure("key", "label", 140.0, (100.0, 120.0, 80.0), is_by_chance=True)
    assert figure.error == pytest.approx(20.0 * math.sqrt(4.0 / 3.0))
    assert figure.difference_in_se == pytest.approx(40.0 / figure.error)
    assert figure.standard_error == pytest.approx(20.0 / math.sqrt(3.0))


def test_a_floor_lets_small_numbers_agree() -> None:
    assert Figure("key", "label", 0.4, (0.01, 0.01), floor=0.5).agrees
    assert not Figure("key", "label", 0.6, (0.01, 0.01), floor=0.5).agrees


def test_the_engine_is_seen_from_begin_to_end(played: EngineWindow) -> None:
    """At its own steps: few while nothing happens, a second apart when something does."""
    pools = played.pools
    assert (pools.times_s[0], pools.times_s[-1]) == (540.0, 780.0)
    assert (np.diff(pools.times_s) >= 0.0).all()
    busy = (pools.times_s > 600.0) & (pools.times_s < 605.0)
    assert 3 <= busy.sum() <= 10
    assert set(pools.ready[:, 1]) == {4.0}
    assert pools.memory_mib[0, 1] == pytest.approx(300.0 + 5.0 * max(
        n for name, n in played.begin.inside.items() if "store" in name
    ), rel=1e-3)  # fmt: skip
    assert np.isnan(pools.memory_mib[:, 0]).all()
    trace = played.record.trace
    assert trace is not None
    assert trace.at_s[0] == 540.0
    assert trace.in_flight[0].tolist() == pytest.approx(pools.in_flight[0].tolist())


def test_texts_of_a_figure() -> None:
    figure = Figure("key", "label", 12.0, (10.0, 10.2, 10.4))
    assert (figure.engine_text, figure.requests_text, figure.difference_text) == ("12", "10.20 ± 0.12", "+15.6")
    alone = Figure("key", "label", 0.5, (0.25,), True)
    assert (alone.engine_text, alone.requests_text, alone.difference_text) == ("50.00 %", "25.00 %", "-")


@pytest.mark.parametrize(
    ("from_", "for_", "expected"),
    [
        ("9m", "4m", (540.0, 240.0)),
        ("0s", "10m", (0.0, 600.0)),
        ("2026-01-05T00:30", "10m", (1800.0, 600.0)),
        ("2026-01-05T01:30:00+01:00", "10m", (1800.0, 600.0)),
        ("1h55m", "10m", (6900.0, 300.0)),  # to the horizon
    ],
)
def test_windows_are_read(shop: Scenario, from_: str, for_: str, expected: tuple[float, float]) -> None:
    assert window_of(WindowChoice(0, from_, for_, 1), shop) == expected


@pytest.mark.parametrize(
    ("from_", "for_", "message"),
    [
        ("soon", "4m", "--from is soon"),
        ("2h", "4m", "not within the horizon"),
        ("2026-01-04T00:30", "4m", "not within the horizon"),
        ("9m", "0s", "above 0s"),
        ("9m", "2d", "at most 1d"),
        ("9m", "ten", "--for: "),
    ],
)
def test_windows_that_are_none_are_refused(shop: Scenario, from_: str, for_: str, message: str) -> None:
    with pytest.raises(UsageError, match=message):
        window_of(WindowChoice(0, from_, for_, 1), shop)


def test_a_window_from_the_very_start_can_be_played(shop: Scenario, tmp_path: Path) -> None:
    window = play_window(shop, "default", 0, 0.0, 60.0)
    assert window.begin.at_s == 0.0
    assert set(window.begin.inside.values()) == {0.0}
    runs = request_runs(shop, window, WindowChoice(0, "0s", "1m", 1), workers=1)
    assert runs[0].availability == 1.0
    assert isinstance(next(iter(shop.populations.values())), Population)
