"""The page of a zoom where there is little to show: short windows, pools that are down, pods that never get ready."""

from __future__ import annotations

import numpy as np
import pytest
from worlds import MEAN_RATES, fault, memory, service, two_regions, users

from sim.commands.zoom import WindowChoice, request_runs, verdict, zoom_of
from sim.commands.zoom_engine import play_window
from sim.report.figures_zoom import about_the_table, build_zoom_report, zoom_panels
from sim.report.zoom import Figure, Zoom
from sim.scenario.schema import Effect, Failover, Scenario


def zoomed(scenario: Scenario, from_s: float, for_s: float, seeds: int = 2) -> Zoom:
    played = play_window(scenario, "test", 0, from_s, for_s)
    runs = request_runs(scenario, played, WindowChoice(0, "", "", seeds), workers=1)
    return zoom_of("Little", scenario, played, from_s, from_s + for_s, runs)


@pytest.fixture(scope="module")
def half_down() -> Scenario:
    """`home` is lost from 100 s to 1000 s, and its users go to `spare`, which kills its pods one after another."""
    return two_regions(
        Failover(policy="active-passive", standby="hot", ttl=10.0),
        services={"web": service(0.1, slots=4, queue=60, memory=memory(100.0, 20.0, 1000.0), startup={"fixed": 20.0})},
        populations={"staff": users(50.0, home="home", attempts=3)},
        faults={
            "lost": fault("home", at_s=100.0, until=900.0),
            "slow": fault("web in spare", Effect(slow=4.0), at_s=300.0, until=60.0),
        },
        model=MEAN_RATES,
    )


def test_a_pool_without_any_pod_is_said_and_not_drawn(half_down: Scenario) -> None:
    """It has no memory limit to draw either: no pod is there that has one."""
    zoom = zoomed(half_down, 400.0, 120.0)
    assert [panel.title.split(":")[0] for panel in zoom_panels(zoom)[1:]] == ["spare/web"]
    page = build_zoom_report(zoom)
    assert "No pod was ready in home/web: nothing to draw." in page
    assert "OOM kills" in page


def test_a_window_in_a_crash_loop_is_one_history(half_down: Scenario) -> None:
    zoom = zoomed(half_down, 400.0, 120.0)
    assert not zoom.plays_requests
    assert zoom.n_kills > 0
    assert zoom.is_by_chance
    assert all(figure.is_by_chance for figure in zoom.figures)
    assert "one history of several" in about_the_table(zoom)[0]
    if all(figure.agrees for figure in zoom.figures):
        assert "of the engine's one history" in verdict(zoom)


def test_two_regions_in_failover_agree(half_down: Scenario) -> None:
    zoom = zoomed(half_down, 80.0, 90.0, seeds=3)
    assert verdict(zoom).startswith("The engine and the request-level model agree"), verdict(zoom)
    assert zoom.runs[0].pools["spare/web"].offered > 1000


@pytest.mark.parametrize("for_s", [1.0, 12.0])
def test_what_a_short_window_shows_is_within_it(half_down: Scenario, for_s: float) -> None:
    zoom = zoomed(half_down, 50.0, for_s)
    begin, end = np.datetime64("2026-01-05T00:00:50"), np.datetime64("2026-01-05T00:00:50") + int(1e6 * for_s)
    for panel in zoom_panels(zoom):
        for line in panel.figure.data:
            assert all(begin <= np.datetime64(x) <= end for x in line.x)
    assert "one history" not in about_the_table(zoom)[0]


def test_at_the_very_end_of_the_horizon(half_down: Scenario) -> None:
    zoom = zoomed(half_down, half_down.horizon - 1.0, 1.0)
    assert verdict(zoom).startswith("The engine and the request-level model agree")


def test_next_to_nothing_is_nothing() -> None:
    assert Figure("key", "label", 4.3e-7, (0.0, 0.0)).engine_text == "0"
    assert Figure("key", "label", 0.00107, (0.0, 0.0)).engine_text == "0.00107"
