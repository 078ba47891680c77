"""The request-level model against exact queues, its own bookkeeping, and the figures stored for the engine's tests."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest

from sim.oracles.request_model import (
    Client,
    Memory,
    PoolCase,
    PoolRun,
    Restart,
    Slowdown,
    pool_case_from_document,
    recovery_time_s,
    run_pool,
)

ROOT = Path(__file__).resolve().parents[2]
DOCUMENT = ROOT / "tests" / "oracle" / "cases" / "request_model_cases.json"
NEVER = Client(deadline_s=math.inf)


def _queue(rate: float, slots: int, bound: int, **changes: Any) -> PoolCase:
    values: dict[str, Any] = {"horizon_s": 2000.0, "window_start_s": 200.0, **changes}
    return PoolCase(
        rate, load_shares=(1.0,), slots=slots, queue_bound=bound, service_mean_s=1.0, client=NEVER, **values
    )


def _runs(case: PoolCase, n: int, seed: int = 7) -> list[PoolRun]:
    return [run_pool(case, np.random.default_rng([seed, index])) for index in range(n)]


def _blocked(run: PoolRun) -> float:
    return run.rejected / run.attempts


def _erlang_b(slots: int, load: float) -> float:
    blocked = 1.0
    for k in range(1, slots + 1):
        blocked = load * blocked / (k + load * blocked)
    return blocked


def _erlang_c(slots: int, load: float) -> float:
    blocked = _erlang_b(slots, load)
    return slots * blocked / (slots - load * (1 - blocked))


def _mmck(slots: int, bound: int, load: float) -> list[float]:
    weights = [1.0]
    for n in range(1, slots + bound + 1):
        weights.append(weights[-1] * load / min(n, slots))
    return [weight / sum(weights) for weight in weights]


_FULL = _mmck(10, 5, 12.0)

# case, what is measured, exact value as an expression, half-width that the seeds must reach
EXACT: dict[str, tuple[PoolCase, Callable[[PoolRun], float], float, float]] = {
    "M/M/1 number inside": (_queue(0.8, 1, 10**6), lambda r: r.in_flight_mean, 0.8 / (1 - 0.8), 0.6),
    "M/M/c number waiting": (
        _queue(8.0, 10, 10**6),
        lambda r: r.waiting_mean,
        _erlang_c(10, 8.0) * 8.0 / (10 - 8.0),
        0.25,
    ),
    "M/M/c share that waits": (_queue(8.0, 10, 10**6), lambda r: r.queued / r.attempts, _erlang_c(10, 8.0), 0.02),
    "M/M/c/K share blocked": (_queue(12.0, 10, 5), _blocked, _FULL[-1], 0.005),
    "M/M/c/K number inside": (
        _queue(12.0, 10, 5),
        lambda r: r.in_flight_mean,
        sum(n * p for n, p in enumerate(_FULL)),
        0.1,
    ),
    "Erlang loss": (_queue(8.0, 10, 0), _blocked, _erlang_b(10, 8.0), 0.005),
    "Erlang loss, constant service": (_queue(8.0, 10, 0, service_law="constant"), _blocked, _erlang_b(10, 8.0), 0.005),
}


def _z_and_half_width(case: PoolCase, measure: Callable[[PoolRun], float], exact: float) -> tuple[float, float]:
    values = np.array([measure(run) for run in _runs(case, 10)])
    standard_error = float(values.std(ddof=1)) / math.sqrt(len(values))
    return (float(values.mean()) - exact) / standard_error, 1.96 * standard_error


@pytest.mark.parametrize("name", EXACT)
def test_exact_queues_are_met(name: str) -> None:
    case, measure, exact, allowed_half_width = EXACT[name]
    z, half_width = _z_and_half_width(case, measure, exact)
    assert abs(z) <= 4
    assert half_width <= allowed_half_width


def test_a_broken_queue_fails() -> None:
    # Negative control: one place too few in the queue must not pass for the published M/M/c/K.
    z, _ = _z_and_half_width(_queue(12.0, 10, 4), _blocked, _FULL[-1])
    assert abs(z) > 4


def test_exact_expressions_are_the_published_values() -> None:
    assert _erlang_c(10, 8.0) == pytest.approx(0.409180150796, abs=1e-12)
    assert _erlang_b(10, 8.0) == pytest.approx(0.121661064253, abs=1e-12)
    assert _FULL[-1] == pytest.approx(0.20326089889, abs=1e-11)


def test_deadline_success_is_the_sojourn_law() -> None:
    # M/M/1: P(sojourn <= t) = 1 - exp(-(mu - lambda) t).  Stale requests stay in line, so the law is untouched.
    case = PoolCase(
        0.5, load_shares=(1.0,), slots=1, queue_bound=10**6, service_mean_s=1.0, client=Client(deadline_s=2.0),
        horizon_s=3000.0,
    )  # fmt: skip
    values = np.array([run.availability for run in _runs(case, 10)])
    standard_error = float(values.std(ddof=1)) / math.sqrt(10)
    assert abs(values.mean() - (1 - math.exp(-0.5 * 2.0))) <= 4 * standard_error
    assert 1.96 * standard_error <= 0.03


def test_retries_multiply_by_the_failed_share() -> None:
    # No service fits the deadline, so every user sends exactly all attempts and none is good.
    case = PoolCase(
        5.0, client=Client(deadline_s=0.2, attempts=3, backoff_s=0.1), service_mean_s=1.0, service_law="constant",
        horizon_s=600.0,
    )  # fmt: skip
    run = run_pool(case, np.random.default_rng(1))
    assert run.good == 0
    assert run.attempts == pytest.approx(3 * run.offered, rel=0.01)


def test_retry_budget_holds_retries_to_its_share() -> None:
    client = Client(deadline_s=0.2, attempts=3, backoff_s=0.1, budget_share=0.1)
    case = PoolCase(5.0, client=client, service_mean_s=1.0, service_law="constant", horizon_s=600.0)
    run = run_pool(case, np.random.default_rng(1))
    assert run.attempts - run.offered == pytest.approx(0.1 * run.offered, rel=0.05)


def test_kills_follow_the_back_off() -> None:
    # Room for half a request: a pod dies with its first request, so lives last about 1/rate and the gaps are
    # restart delay + startup + that.
    case = PoolCase(
        100.0, load_shares=(1.0,), memory=Memory(100.5, 100.0, 1.0),
        restart=Restart(startup_s=5.0, delays_s=(1.0, 4.0)), horizon_s=60.0, window_start_s=0.0,
    )  # fmt: skip
    run = run_pool(case, np.random.default_rng(3))
    gaps_s = np.diff(run.oom_times_s)
    assert run.good == 0
    assert gaps_s[0] == pytest.approx(1.0 + 5.0, abs=0.2)
    assert gaps_s[1:] == pytest.approx(np.full(len(gaps_s) - 1, 4.0 + 5.0), abs=0.2)
    assert float(run.sample_ready.max()) <= 1


def test_leak_alone_kills_at_its_time() -> None:
    case = PoolCase(
        4.0, load_shares=(1.0,), memory=Memory(200.0, 100.0, 0.001, leak_mib_per_s=1.0), horizon_s=120.0,
    )  # fmt: skip
    run = run_pool(case, np.random.default_rng(3))
    assert run.oom_times_s[0] == pytest.approx(100.0, abs=3.0)


def test_same_seed_same_run_and_other_seed_another() -> None:
    case = PoolCase(45.0, client=Client(attempts=2), horizon_s=100.0)
    first, again, other = (run_pool(case, np.random.default_rng(seed)) for seed in (5, 5, 6))
    assert first.offered == again.offered
    assert first.in_flight_mean == again.in_flight_mean
    assert first.in_flight_mean != other.in_flight_mean


def test_recovery_is_the_end_of_the_last_bad_interval() -> None:
    run = run_pool(PoolCase(1.0, horizon_s=100.0), np.random.default_rng(0))
    offered = np.full(10, 20)
    good = offered.copy()
    good[[2, 4]] = 18
    recovered = dataclasses.replace(run, bin_offered=offered, bin_good=good)
    assert recovery_time_s(recovered) == 50.0
    assert recovery_time_s(recovered, threshold=0.9) == 0.0
    good_at_no_end = good.copy()
    good_at_no_end[-1] = 0
    assert recovery_time_s(dataclasses.replace(recovered, bin_good=good_at_no_end)) is None


@pytest.mark.parametrize(
    ("changes", "name"),
    [
        ({"rate_per_s": 0.0}, "rate_per_s"),
        ({"load_shares": ()}, "load_shares"),
        ({"slots": 0}, "slots"),
        ({"queue_bound": -1}, "queue_bound"),
        ({"service_mean_s": math.nan}, "service_mean_s"),
        ({"service_law": "gamma"}, "service_law"),
        ({"horizon_s": 30.0}, "horizon_s"),
        ({"client": Client(attempts=0)}, "client.attempts"),
        ({"client": Client(budget_share=-0.1)}, "client.budget"),
        ({"memory": Memory(100.0, 100.0, 1.0)}, "memory"),
        ({"restart": Restart(startup_spread_share=1.0)}, "restart"),
        ({"slowdowns": (Slowdown(5.0, 5.0, 2.0),)}, "slowdowns"),
    ],
)
def test_values_out_of_range_are_named(changes: dict[str, Any], name: str) -> None:
    with pytest.raises(ValueError, match=name):
        PoolCase(**{"rate_per_s": 45.0, **changes})


# --- the stored figures


def _cases() -> dict[str, Any]:
    cases: dict[str, Any] = json.loads(DOCUMENT.read_text(encoding="utf-8"))["cases"]
    return cases


def _module(name: str) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, ROOT / "benchmarks" / "cases" / f"{name}.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[name] = module
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("name", ["A", "B", "F", "G", "K"])
def test_stored_figures_come_from_this_model(name: str) -> None:
    document = _cases()[name]
    case = pool_case_from_document(document["parameters"])
    reconstruct = _module("reconstruct")
    found = reconstruct.measures(run_pool(case, np.random.default_rng([reconstruct.SEED, 0])), case)
    for measure, figures in document["request_model"].items():
        assert found[measure] == pytest.approx(figures["values"][0], rel=1e-9)


def test_stored_parameters_are_those_of_the_script() -> None:
    script = _module("reconstruct").CASES
    stored = _cases()
    assert set(stored) == set(script)
    for name, document in stored.items():
        assert pool_case_from_document(document["parameters"]) == script[name].case


@pytest.mark.parametrize(
    ("name", "measure"),
    [
        ("A", "in_flight_mean"),
        ("A2", "availability"),
        ("B", "first_oom_s"),
        ("B", "availability"),
        ("C", "first_oom_s"),
        ("C", "availability"),
        ("D", "availability"),
        ("D", "in_flight_sample_mean"),
        ("E", "availability"),
        ("E", "in_flight_sample_mean"),
        ("F", "availability"),
        ("F2", "availability"),
        ("F2", "recovery_s"),
        ("G", "first_oom_s"),
        ("I", "in_flight_mean"),
        ("I", "availability"),
        ("J", "availability"),
    ],
)
def test_published_request_figures_are_reproduced(name: str, measure: str) -> None:
    document = _cases()[name]
    published, ours = document["published"][measure]["request"], document["request_model"][measure]
    assert abs(_module("table").z_score(published, ours)) <= 4


def test_the_comparison_can_fail() -> None:
    # Negative control: the figures of B are far from those published for C.
    cases = _cases()
    z = _module("table").z_score(
        cases["C"]["published"]["first_oom_s"]["request"], cases["B"]["request_model"]["first_oom_s"]
    )
    assert abs(z) > 4


def test_table_of_the_note_is_up_to_date() -> None:
    assert _module("table").main(["--check"]) == 0
