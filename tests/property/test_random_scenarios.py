"""Random valid scenarios over the whole language: no NaN, no negative state, no lost request, no endless loop.

Sixty of them run here; two thousand, with bounds checks in the compiled code, by `random_run`. Whatever one of them
found has a test of its own in `test_found_by_chance`.
"""

from __future__ import annotations

import pytest
from random_run import run_many
from random_scenarios import random_scenario, run_checked

from sim.scenario.check import findings_of
from sim.traffic import losses

NUMBERS = range(10_000, 10_060)


@pytest.mark.parametrize("first", [NUMBERS[k] for k in range(0, 60, 10)])
def test_any_valid_scenario_runs(first: int) -> None:
    for number in range(first, first + 10):
        scenario = random_scenario(number)
        assert [f.message for f in findings_of(scenario) if f.severity == "error"] == []
        run_checked(scenario)


def test_the_scenarios_use_the_whole_language() -> None:
    """Every option is there somewhere, and the trials shift gears: what is never drawn is never tested."""
    scenarios = [random_scenario(number) for number in NUMBERS]
    services = [service for scenario in scenarios for service in scenario.services.values()]
    calls = [call for service in services for call in service.calls.values()]
    users = [users for scenario in scenarios for users in scenario.populations.values()]
    for specs in (services, calls, users):
        for name, field in type(specs[0]).model_fields.items():
            if name not in ("cost", "dependence", "deferrable", "refocus", "holidays"):
                assert any(getattr(spec, name) != field.default for spec in specs), f"{name} is never given"
    effects = [fault.effect for scenario in scenarios for fault in scenario.faults.values()]
    assert all(any(getattr(e, name) not in (None, False) for e in effects) for name in type(effects[0]).model_fields)
    assert {s.failover.policy for s in scenarios} == {"none", "manual", "provider", "active-passive", "active-active"}
    assert {s.model.noise for s in scenarios} == {"never", "auto", "always"}


def test_a_lost_request_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: kills that forget what was inside."""
    monkeypatch.setattr(
        losses, "_take_back", lambda plane, g, lost: plane.state.__setitem__(-1, plane.state[-1] + lost)
    )

    def all_of_them() -> None:
        for number in NUMBERS:
            run_checked(random_scenario(number))

    with pytest.raises(AssertionError, match="missing"):
        all_of_them()


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_two_thousand_of_them() -> None:
    assert run_many(2000)["found"] == []
