"""CrashLoopBackOff against the published waits of Kubernetes (B02), and against a row of one's own."""

from itertools import islice

import pytest
from scenarios import one_pool, service

from sim.oracles.closed_forms import crash_loop_delays_s
from sim.scenario.quantities import FROM_FILE
from sim.scenario.schema import CrashLoop, PodMemory
from sim.world import Kind, run_trial

STARTUP_S = 5.0
RESET_S = 600.0
KUBERNETES_S = [0.0, 10.0, 20.0, 40.0, 80.0, 160.0, 300.0, 300.0, 300.0]
SHORTEST_S = 1e-3
"""What the engine makes of a wait of nothing: no pod starts in no time."""


def waits_s(lives_s: float, n: int, crash_loop: CrashLoop | None = None) -> list[float]:
    """Waits before the first `n` restarts of a pod that leaks so fast that it lives `lives_s` each time."""
    leak = PodMemory(base=100.0, limit=200.0, leak=100.0 / lives_s)
    dying = service(memory=leak, startup=STARTUP_S, **({} if crash_loop is None else {"crash_loop": crash_loop}))
    record = run_trial(one_pool(1, n * (lives_s + STARTUP_S + 310.0), service=dying), "a", 0)
    kills = [entry.at_s for entry in record.records if entry.kind is Kind.OOM_KILL]
    ready = [entry.at_s for entry in record.records if entry.kind is Kind.POD_READY]
    return [up - down - STARTUP_S for down, up in zip(kills, ready, strict=False)][:n]


def test_b02_the_published_row() -> None:
    assert list(islice(crash_loop_delays_s(), 9)) == KUBERNETES_S
    assert waits_s(0.05, 9) == pytest.approx(KUBERNETES_S, abs=2e-6)


@pytest.mark.parametrize("broken", [CrashLoop(initial=11.0), CrashLoop(longest=290.0), CrashLoop(first=10.0)])
def test_b02_another_row_fails(broken: CrashLoop) -> None:
    assert waits_s(0.05, 9, broken) != pytest.approx(KUBERNETES_S, abs=2e-6)


def test_b02_a_row_of_ones_own() -> None:
    own = CrashLoop(first=10.0, initial=20.0, longest=100.0)
    assert waits_s(0.05, 6, own) == pytest.approx([10.0, 20.0, 40.0, 80.0, 100.0, 100.0], abs=2e-6)


def test_b02_ten_minutes_of_running_are_forgiven() -> None:
    assert waits_s(RESET_S + 1e-3, 4) == pytest.approx([0.0] * 4, abs=2e-6)


def test_b02_a_moment_less_is_not() -> None:
    """Negative control of the reset; startup does not count as running."""
    assert waits_s(RESET_S - 1e-3, 4) == pytest.approx(KUBERNETES_S[:4], abs=2e-6)
    assert waits_s(RESET_S - STARTUP_S + 1e-3, 4) == pytest.approx(KUBERNETES_S[:4], abs=2e-6)


def test_b02_no_pod_starts_in_no_time() -> None:
    """Without startup time a wait of nothing takes a millisecond, or the clock would stand still."""
    leak = PodMemory(base=100.0, limit=200.0, leak=1000.0)
    record = run_trial(one_pool(1, 5.0, service=service(memory=leak)), "a", 0)
    first = [entry.at_s for entry in record.records if entry.kind in (Kind.OOM_KILL, Kind.POD_READY)][:2]
    assert first == pytest.approx([0.1, 0.1 + SHORTEST_S], abs=1e-6)


def test_the_block_in_a_scenario_file() -> None:
    written = {"first": "10s", "initial": "20s", "longest": "5m", "reset": "10m"}
    assert CrashLoop.model_validate(written, context=FROM_FILE) == CrashLoop(first=10.0, initial=20.0)
    with pytest.raises(ValueError, match="longest must not be below first or initial"):
        CrashLoop(longest=5.0)
