"""The request-level network model against exact queues, published rules and the one-pool model: |z| <= 4.

Every estimate is the mean over independent seeds with its own standard error, tight enough to say something; every
group of cases has a negative control, the same check on a system that differs from the one the formula is for.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
from agreement import Comparison, check, mean_of, refute
from scenarios import call, fixed, one_pool, service, several, users

from sim.oracles.network_model import run_requests
from sim.oracles.network_run import RequestRun
from sim.oracles.network_script import PodCondition, Script
from sim.oracles.queue_forms import erlang_a, erlang_b, erlang_c, mm1_sojourn_tail, mmc_wait, mmck
from sim.scenario.schema import CrashLoop, PodMemory, Scenario, Throttle

CASES = json.loads((Path(__file__).parent / "cases" / "request_model_cases.json").read_text(encoding="utf-8"))["cases"]
FAR_S = 1e9
NO_FAULTS = Script()
UNIT_S = 50.0
HERE, U = "r/s", "u"


def _queue(rate: float, slots: int, queue: int, *, horizon_s: float = 2000.0, **fields: Any) -> Scenario:
    """One pod; unit work; nobody gives up."""
    of_users = fields.pop("users", {})
    pod = service(**{"work": 1.0, "slots": slots, "queue": queue} | fields)
    crowd = users(**{"requests": rate, "deadline": FAR_S} | of_users)
    return one_pool(1, horizon_s, service=pod, populations={U: crowd})


def _runs(scenario: Scenario, n: int = 8, *, script: Script = NO_FAULTS, **fields: Any) -> list[RequestRun]:
    given: dict[str, Any] = {"settle_s": 0.0, **fields}
    return [run_requests(scenario, rng=np.random.default_rng([11, k]), script=script, **given) for k in range(n)]


def _blocked(run: RequestRun) -> float:
    return run.pools[HERE].rejected / run.pools[HERE].offered


def _waiting(run: RequestRun) -> float:
    return run.pools[HERE].waiting_mean


def _inside(run: RequestRun) -> float:
    return run.pools[HERE].inside_mean


def _queued(run: RequestRun) -> float:
    return run.pools[HERE].queued / run.pools[HERE].offered


class Case(NamedTuple):
    """A queue, what is measured, the exact value, and how near the seeds must come."""

    scenario: Scenario
    measure: Callable[[RequestRun], float]
    exact: float
    half_width: float


FULL = mmck(10, 15, 12.0, 1.0)
PALM = erlang_a(10, 12.0, 1.0, 0.5)
UNBOUND = 1_000_000
QUEUES = {
    "M/M/1 inside": Case(_queue(0.8, 1, UNBOUND, horizon_s=8000.0), _inside, 0.8 / (1 - 0.8), 0.8),
    "M/M/c waiting": Case(_queue(8.0, 10, UNBOUND, horizon_s=6000.0), _waiting, 8.0 * mmc_wait(10, 8.0, 1.0), 0.4),
    "M/M/c share that waits": Case(_queue(8.0, 10, UNBOUND), _queued, erlang_c(10, 8.0), 0.04),
    "M/M/c/K blocked": Case(_queue(12.0, 10, 5), _blocked, FULL.blocked, 0.01),
    "M/M/c/K inside": Case(_queue(12.0, 10, 5), _inside, FULL.in_system, 0.2),
    "Erlang loss": Case(_queue(8.0, 10, 0), _blocked, erlang_b(10, 8.0), 0.01),
    "Erlang loss, constant work": Case(_queue(8.0, 10, 0, work_spread=0.0), _blocked, erlang_b(10, 8.0), 0.01),
    "Erlang loss, gamma work": Case(_queue(8.0, 10, 0, work_spread=0.5), _blocked, erlang_b(10, 8.0), 0.01),
    "Erlang loss, lognormal work": Case(_queue(8.0, 10, 0, work_spread=2.0), _blocked, erlang_b(10, 8.0), 0.02),
    # Pollaczek and Khinchine: L = rho + rho^2 (1 + cv^2) / (2 (1 - rho)).
    "M/D/1 inside": Case(
        _queue(0.7, 1, UNBOUND, horizon_s=6000.0, work_spread=0.0), _inside, 0.7 + 0.49 / (2 * 0.3), 0.15
    ),
    "M/G/1 inside, gamma work": Case(
        _queue(0.7, 1, UNBOUND, horizon_s=6000.0, work_spread=0.5), _inside, 0.7 + 0.49 * 1.25 / (2 * 0.3), 0.3
    ),
    "M/G/1 inside, lognormal work": Case(
        _queue(0.5, 1, UNBOUND, horizon_s=12000.0, work_spread=1.5), _inside, 0.5 + 0.25 * 3.25 / (2 * 0.5), 0.3
    ),
    "Erlang-A waiting": Case(_queue(12.0, 10, UNBOUND, patience=2.0), _waiting, PALM.waiting, 0.4),
    "Erlang-A share that leaves": Case(
        _queue(12.0, 10, UNBOUND, patience=2.0),
        lambda run: run.pools[HERE].left / run.pools[HERE].offered,
        PALM.abandoned,
        0.02,
    ),
    "M/M/1 in time": Case(
        _queue(0.5, 1, UNBOUND, horizon_s=4000.0, users={"deadline": 2.0}),
        lambda run: run.availability,
        1.0 - mm1_sojourn_tail(0.5, 1.0, 2.0),
        0.05,
    ),
}


def _compare(case: Case) -> Comparison:
    window_start_s = 0.1 * case.scenario.horizon
    return mean_of([case.measure(run) for run in _runs(case.scenario, window_start_s=window_start_s)], case.exact)


@pytest.mark.parametrize("name", QUEUES)
def test_exact_queues_are_met(name: str) -> None:
    check(_compare(QUEUES[name]), QUEUES[name].half_width)


@pytest.mark.parametrize(
    ("name", "broken"),
    [
        ("M/M/c/K blocked", _queue(12.0, 10, 4)),
        ("Erlang loss, lognormal work", _queue(8.0, 10, 1, work_spread=2.0)),
        ("M/D/1 inside", _queue(0.7, 1, UNBOUND, horizon_s=6000.0, work_spread=1.0)),
        ("Erlang-A share that leaves", _queue(12.0, 10, UNBOUND, patience=3.0)),
        ("M/M/1 in time", _queue(0.5, 1, UNBOUND, horizon_s=4000.0, users={"deadline": 2.6})),
    ],
)
def test_a_broken_queue_fails(name: str, broken: Scenario) -> None:
    case = QUEUES[name]._replace(scenario=broken)
    refute(_compare(case), 3.0 * case.half_width)


# --- retrials (truth C13)


def _retrial(slots: int, rate: float, retry_rate: float, horizon: float, queue: int = 0) -> Scenario:
    # A unit of time is so long that the 0.05 s in which users learn of a rejection do not count.
    unit_s = UNIT_S
    crowd = {"attempts": 20, "backoff": unit_s / retry_rate, "jitter": "exponential"}
    return _queue(rate / unit_s, slots, queue, horizon_s=horizon * unit_s, work=unit_s, users=crowd)


def _orbit(retry_rate: float) -> Callable[[RequestRun], float]:
    def measure(run: RequestRun) -> float:
        """Mean number waiting to retry: each does so at `retry_rate`."""
        retries = run.populations[U].attempts - run.populations[U].offered
        return retries / (run.horizon_s / UNIT_S) / retry_rate

    return measure


ORBIT_1 = 0.6 * (0.6 + 0.6 * 0.5) / ((1 - 0.6) * 0.5)


@pytest.mark.parametrize(
    ("case", "window"),
    [
        (Case(_retrial(1, 0.6, 0.5, 4000.0), _orbit(0.5), ORBIT_1, 0.3), "one server"),
        (Case(_retrial(10, 8.0, 2.0, 2500.0), _orbit(2.0), 3.0702676134, 0.4), "ten servers"),
        (Case(_retrial(1, 0.6, 0.5, 4000.0), lambda r: r.pools[HERE].busy_mean, 0.6, 0.03), "busy"),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_retrial_queues_are_met(case: Case, window: str) -> None:
    assert pytest.approx(2.7) == ORBIT_1
    check(_compare(case), case.half_width)


def test_a_retrial_queue_with_a_waiting_place_fails() -> None:
    refute(_compare(Case(_retrial(1, 0.6, 0.5, 4000.0, queue=1), _orbit(0.5), ORBIT_1, 0.3)), 0.5)


# --- two tiers


def _two_tiers(j_rate_slots: int, rate: float, **of_call: Any) -> Scenario:
    """U has slots for all, so that J sees a Poisson stream (Burke 1956) and is M/M/c."""
    services = {
        "s": service(work=0.3, slots=100_000, calls={"j": call(**{"timeout": FAR_S} | of_call)}),
        "j": service(work=0.5, slots=j_rate_slots, queue=100_000),
    }
    crowd = {U: users(requests=rate, deadline=FAR_S)}
    return several(services, {"s": 1, "j": 1}, 2000.0, populations=crowd)


HOLD_S = 0.3 + 0.5 + mmc_wait(8, 13.0, 2.0)


def test_a_caller_holds_its_slot_while_it_waits() -> None:
    # Little: busy slots of U = rate x (own work + sojourn in J).
    case = Case(_two_tiers(8, 13.0), lambda run: run.pools[HERE].busy_mean, 13.0 * HOLD_S, 0.9)
    check(_compare(case), case.half_width)


def test_two_calls_hold_it_longer() -> None:
    case = Case(_two_tiers(8, 13.0, calls=1.05), lambda run: run.pools[HERE].busy_mean, 13.0 * HOLD_S, 0.9)
    refute(_compare(case), 6.0)


def test_a_call_is_in_time_as_often_as_the_sojourn_law_says() -> None:
    # J is M/M/1 and keeps what nobody waits for, so that each attempt is in time with P(sojourn <= tau); a second
    # attempt would disturb the stream, so there is one.
    scenario = several(
        {
            "s": service(work=0.3, slots=100_000, calls={"j": call(timeout=2.0)}),
            "j": service(work=1.0, slots=1, queue=100_000),
        },
        {"s": 1, "j": 1},
        4000.0,
        populations={U: users(requests=0.5, deadline=FAR_S)},
    )
    in_time = [run.edges["r", "s", "j"].good / run.edges["r", "s", "j"].calls for run in _runs(scenario)]
    check(mean_of(in_time, 1.0 - mm1_sojourn_tail(0.5, 1.0, 2.0)), 0.06)
    refute(mean_of(in_time, 1.0 - mm1_sojourn_tail(0.5, 1.0, 2.5)), 0.06)


# --- blocking between tiers (truth A09)


def _tandem(c: int, *, handoff: bool = True) -> Scenario:
    services = {
        "s": service(
            work=0.5, slots=1, queue=c - 1,
            calls={"phase2": call(timeout=FAR_S, calls=0.1), "second": call(timeout=FAR_S, handoff=handoff)},
        ),
        "phase2": service(work=0.5, slots=1000),
        "second": service(work=0.25, slots=1, queue=c - 1),
    }  # fmt: skip
    crowd = {U: users(requests=4.0 * c, deadline=FAR_S)}
    return several(services, {"s": 1, "phase2": 1, "second": 1}, 9000.0 / c, populations=crowd)


def _in_both(run: RequestRun) -> float:
    return run.pools[HERE].inside_mean + run.pools["r/second"].inside_mean


@pytest.mark.parametrize(("c", "exact"), [(5, 5.679249959967679), (15, 15.798592927169762)])
def test_tandem_with_blocking_is_met(c: int, exact: float) -> None:
    check(_compare(Case(_tandem(c), _in_both, exact, 0.08)), 0.08)


def test_a_tandem_that_holds_its_slot_to_the_end_fails() -> None:
    refute(_compare(Case(_tandem(5, handoff=False), _in_both, 5.679249959967679, 0.06)), 0.12)


# --- rules of retries and throttling (truth B09)


def _throttled(ratio: float) -> list[RequestRun]:
    backend = service(work=0.01, work_spread=0.0, slots=2, queue=50)
    crowd = users(requests=1000.0, deadline=5.0, throttle=Throttle(ratio=ratio, window=10.0))
    scenario = one_pool(1, 80.0, service=backend, populations={U: crowd})
    return _runs(scenario, 4, settle_s=6.0)


def _settled(run: RequestRun) -> tuple[float, float]:
    """Good answers per second and attempts per second sent, after the window of the throttle has filled."""
    good_per_s = run.bin_good[U][5:].sum() / (10.0 * len(run.bin_good[U][5:]))
    sent = run.pools[HERE].offered
    return float(good_per_s), sent / 80.0


def test_adaptive_throttling_settles_where_the_rule_says() -> None:
    # 1000/s wanted, 200/s accepted, ratio 2: 2 x 200 = 400/s are sent, 1 - 400/1000 are refused by the client.
    runs = _throttled(2.0)
    refused = [(run.curves.times_s.size, run.populations[U].throttled / run.populations[U].attempts) for run in runs]
    good = [_settled(run)[0] for run in runs]
    assert np.mean(good) == pytest.approx(200.0, rel=0.01)
    # The first seconds, in which nothing is known yet, let more through: below 0.6 by about window / run length.
    assert np.mean([share for _, share in refused]) == pytest.approx(0.6, abs=0.03)
    looser = [run.populations[U].throttled / run.populations[U].attempts for run in _throttled(3.0)]
    assert np.mean(looser) == pytest.approx(0.4, abs=0.03)


def test_three_layers_of_four_attempts_make_sixty_four() -> None:
    def layers(attempts: int) -> Scenario:
        services = {
            "s": service(calls={"b": call(attempts=attempts)}),
            "b": service(calls={"c": call(attempts=attempts)}),
            "c": service(),
        }
        crowd = {U: users(requests=1.0, attempts=attempts, backoff=0.1)}
        return several(services, {"s": 1, "b": 1, "c": 1}, 300.0, populations=crowd)

    for attempts in (4, 3):
        failing = Script((PodCondition(0.0, "r/c/1", errors=1.0),))
        run = _runs(layers(attempts), 1, script=failing, settle_s=0.0)[0]
        assert run.populations[U].good == 0
        assert run.pools["r/c"].offered == pytest.approx(attempts**3 * run.populations[U].offered, rel=0.02)


# --- the one-pool model


def _one_pool(parameters: dict[str, Any]) -> Scenario:
    """The scenario that says what the parameters of a one-pool case say."""
    client, memory, restart = parameters["client"], parameters["memory"], parameters["restart"]
    assert restart["startup_spread_share"] == 0.0
    pod = service(
        work=parameters["service_mean_s"],
        slots=parameters["slots"],
        queue=parameters["queue_bound"],
        load_shares=tuple(parameters["load_shares"]),
        startup=fixed(restart["startup_s"]),
        crash_loop=CrashLoop(first=restart["delays_s"][0], initial=restart["delays_s"][1]),
        memory=None if memory is None else PodMemory(
            base=memory["base_mib"], per_request=memory["per_request_mib"], limit=memory["limit_mib"],
            leak=memory["leak_mib_per_s"],
        ),
    )  # fmt: skip
    crowd = users(
        requests=parameters["rate_per_s"],
        deadline=client["deadline_s"],
        attempts=client["attempts"],
        # Users learn of a rejection after 0.05 s here, after reject_s there.
        backoff=client["backoff_s"] + client["reject_s"] - 0.05,
        retry_budget=client["budget_share"],
    )
    return one_pool(len(parameters["load_shares"]), parameters["horizon_s"], service=pod, populations={U: crowd})


def _slowdowns(parameters: dict[str, Any]) -> Script:
    happenings = []
    for slowdown in parameters["slowdowns"]:
        for k in range(len(parameters["load_shares"])):
            pod = f"{HERE}/{k + 1}"
            happenings.append(PodCondition(slowdown["start_s"], pod, "slow", slow=slowdown["factor"]))
            happenings.append(PodCondition(slowdown["end_s"], pod, "slow"))
    return Script(tuple(happenings))


MEASURES: dict[str, Callable[[RequestRun], float]] = {
    "availability": lambda run: run.populations[U].good / run.populations[U].offered,
    "in_flight_mean": _inside,
    "first_oom_s": lambda run: run.oom_kills[0][0],
}


@cache
def _one_pool_runs(name: str, n: int) -> tuple[RequestRun, ...]:
    parameters = CASES[name]["parameters"]
    window_start_s = parameters["window_start_s"]
    script = _slowdowns(parameters)
    return tuple(_runs(_one_pool(parameters), n, script=script, settle_s=None, window_start_s=window_start_s))


def _against_one_pool(name: str, of: str, measure: str, n: int) -> float:
    """z of the difference between the network model on one case and the figures stored for another (or the same)."""
    runs = _one_pool_runs(name, n)
    values = np.array([MEASURES[measure](run) for run in runs])
    stored = CASES[of]["request_model"][measure]
    error = math.hypot(values.std(ddof=1) / math.sqrt(n), stored["sd"] / math.sqrt(stored["n"]))
    return float((values.mean() - stored["mean"]) / error)


@pytest.mark.parametrize(
    ("name", "measure"),
    [
        ("A", "in_flight_mean"),
        ("B", "first_oom_s"),
        ("B", "availability"),
        ("C", "first_oom_s"),
        ("C", "availability"),
        pytest.param("D", "availability", marks=pytest.mark.slow),
        pytest.param("F2", "availability", marks=pytest.mark.slow),
        pytest.param("G", "first_oom_s", marks=pytest.mark.slow),
        pytest.param("I", "in_flight_mean", marks=pytest.mark.slow),
        pytest.param("I", "availability", marks=pytest.mark.slow),
        pytest.param("J", "availability", marks=pytest.mark.slow),
    ],
)
def test_one_pool_cases_are_those_of_the_one_pool_model(name: str, measure: str) -> None:
    assert abs(_against_one_pool(name, name, measure, 4)) <= 4


def test_a_crash_loop_kills_as_often_as_in_the_one_pool_model() -> None:
    # Nothing is left to chance in how often: each kill is followed by the same growing waits.
    stored = CASES["B"]["request_model"]["oom_kills"]
    assert stored["sd"] == 0.0
    assert {len(run.oom_kills) for run in _one_pool_runs("B", 4)} == {round(stored["mean"])}


def test_the_comparison_of_one_pool_cases_can_fail() -> None:
    assert abs(_against_one_pool("B", "C", "first_oom_s", 4)) > 4


# --- the first OOM kill is a first passage


def _first_passage_s(to: int, slots: int, rate: float, work_s: float) -> float:
    """Mean time until `to` are inside M/M/c that begins empty: h(n) = (1 + death(n) h(n-1)) / rate, summed."""
    step_s, total_s = 0.0, 0.0
    for n in range(to):
        step_s = (1.0 + min(n, slots) / work_s * step_s) / rate
        total_s += step_s
    return total_s


def _first_kills(limit_mib: float) -> list[float]:
    memory = PodMemory(base=1143.0, per_request=40.0, limit=limit_mib)
    pod = service(work=0.2, slots=8, queue=40, memory=memory, startup=fixed(1e5))
    crowd = {U: users(requests=31.3, deadline=60.0)}
    scenario = one_pool(1, 1000.0, service=pod, populations=crowd)
    kills = []
    for k in range(100):
        # A pod that is dead stays so: nothing more happens after its kill.
        run = run_requests(
            scenario, rng=np.random.default_rng([17, k]), script=NO_FAULTS, settle_s=0.0, horizon_s=400.0
        )
        kills.append(run.oom_kills[0][0])
    return kills


def test_the_first_oom_kill_is_the_first_passage_of_the_queue() -> None:
    # 1143 + 40 n MiB meet 2048 MiB with n = 23 inside.
    check(mean_of(_first_kills(2048.0), _first_passage_s(23, 8, 31.3, 0.2)), 24.0)


def test_three_requests_less_of_room_live_shorter() -> None:
    refute(mean_of(_first_kills(1928.0), _first_passage_s(23, 8, 31.3, 0.2)), 24.0)
