"""The data plane alone: what goes in comes out, bounds hold, thresholds are met, cuts change nothing."""

import math
from typing import Any

import numpy as np
import pytest
from worlds import MEAN_RATES, memory, service, two_regions, users, world

from sim.scenario.pods import load_shares, pod_bounds
from sim.scenario.schema import Calendar, Call, Failover, Model, Provider, Scenario
from sim.traffic.assemble import assemble, home_shares
from sim.traffic.engine import Traffic
from sim.traffic.layout import (
    ALG_DONE,
    EDGE_ATTEMPTS,
    FLOW_ATTEMPTS,
    FLOW_PROVIDER,
    FLOW_SUCCESS,
    GROUP_ATTEMPTS,
    GUARD,
    GUARD_IN_FLIGHT,
    GUARD_SUCCESS,
    OOM,
    OUT_DONE,
    OUT_OFFERED,
    OUT_REJECTED,
    REACHED,
    RETRY_STEPS,
)
from sim.traffic.tables import queue_table

FLUID = Model(queues="fluid", tolerance=1.0, noise="never")


def traffic(scenario: Scenario, **options: Any) -> Traffic:
    """The data plane of a scenario with all placed pods ready and empty."""
    plane = Traffic(assemble(scenario), tolerance=scenario.model.tolerance, **options)
    for pool, pods in enumerate(plane.pods_of):
        for pod in pods[: plane.names.placed[pool]]:
            plane.start_pod(pod, oom_level=math.inf)
    return plane


def to(plane: Traffic, end_s: float) -> None:
    assert plane.advance(end_s) == (REACHED, -1)


def one_pool(rate_per_s: float = 40.0, work_s: float = 0.2, *, model: Model | None = None, **fields: Any) -> Scenario:
    """Two pods of 8 slots and 8 places: 80/s at a work of 0.2 s."""
    keys = ("memory", "patience", "shed_above", "load_shares", "imbalance", "needs")
    of_service = {key: fields.pop(key) for key in keys if key in fields}
    return world(
        services={"web": service(work_s, **of_service)},
        populations={"staff": users(rate_per_s, **fields)},
        model=MEAN_RATES if model is None else model,
    )


def pool_rates(plane: Traffic, pool: int = 0) -> tuple[float, float, float, float]:
    """(arrivals, rejected, done, left the queue) per second, at the last evaluation."""
    offered = float(plane.net.pool_algebra[pool, OUT_OFFERED])
    rejected = offered * float(plane.net.pool_algebra[pool, OUT_REJECTED])
    busy = sum(float(plane.net.pod_algebra[p, 0]) for p in plane.pods_of[pool])
    left = float(plane.net.pools[pool, 1]) * max(plane.in_flight(pool) - busy, 0.0)
    return offered, rejected, float(plane.net.pool_algebra[pool, OUT_DONE]), left


# -- conservation -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("patience", [None, 0.5])
@pytest.mark.parametrize("rate_per_s", [30.0, 76.0, 200.0])
def test_what_comes_in_is_done_rejected_left_or_inside(rate_per_s: float, patience: float | None):
    """In the steady state, where integrals and rates are the same statement, to 1e-6 of the arrivals."""
    plane = traffic(one_pool(rate_per_s, patience=patience, model=Model(tolerance=0.1, noise="never")))
    to(plane, 3600.0)
    offered, rejected, done, left = pool_rates(plane)
    assert offered == pytest.approx(rate_per_s, rel=1e-9)
    assert done + rejected + left == pytest.approx(offered, rel=1e-6)
    assert done <= 80.0 * (1.0 + 1e-9)
    assert (left > 0.0) == (patience is not None)


def test_while_a_queue_fills_the_rest_is_inside():
    """Trapezoids over small steps: the integral of arrivals - rejected - done is what is inside."""
    plane = traffic(one_pool(120.0, model=Model(tolerance=0.1, noise="never")))
    inside, before, step_s = 0.0, None, 0.005
    for k in range(1, 401):
        to(plane, k * step_s)
        offered, rejected, done, _ = pool_rates(plane)
        change = offered - rejected - done
        if before is not None:
            inside += 0.5 * step_s * (before + change)
        else:
            start = plane.in_flight(0)
        before = change
    assert plane.in_flight(0) > 20.0
    assert start + inside == pytest.approx(plane.in_flight(0), rel=2e-3)


def test_totals_count_each_request_once():
    plane = traffic(one_pool(200.0, attempts=3, deadline=1.0))
    to(plane, 600.0)
    offered, good, attempts, first_good, usable, by_provider, _ = plane.totals(0)
    assert offered == pytest.approx(200.0 * 600.0, rel=1e-6)
    assert 0.0 < first_good <= good <= offered
    assert offered < attempts <= 3.0 * offered
    assert usable == pytest.approx(good, rel=1e-9)
    assert by_provider == 0.0
    # What was done cannot be less than what was good for somebody.
    assert good <= 80.0 * 600.0 * (1.0 + 1e-6)


# -- retries, budgets, shedding, patience -------------------------------------------------------------------


@pytest.mark.parametrize("n_attempts", [1, 2, 5])
def test_users_never_try_more_often_than_they_may(n_attempts: int):
    plane = traffic(one_pool(40.0, attempts=n_attempts))
    plane.set_reachable(0, False)  # everything fails
    to(plane, 3600.0)
    assert plane.success(0) == 0.0
    assert plane.net.group_algebra[0, FLOW_ATTEMPTS] == pytest.approx(40.0 * n_attempts, rel=1e-3)


def test_a_retry_budget_bounds_the_retries():
    plane = traffic(one_pool(40.0, attempts=5, retry_budget=0.1))
    plane.set_reachable(0, False)
    for end_s in (1.0, 10.0, 100.0, 1000.0):
        to(plane, end_s)
        assert plane.net.group_algebra[0, FLOW_ATTEMPTS] <= 44.0 * (1.0 + 1e-9)
    assert plane.net.group_algebra[0, FLOW_ATTEMPTS] == pytest.approx(44.0, rel=1e-6)


def test_without_demand_nothing_is_retried_for_ever():
    night = Calendar(hours={"day": (1.0,) + (0.0,) * 23}, smooth=False)
    for budget in (None, 0.2):
        plane = traffic(one_pool(40.0, attempts=3, retry_budget=budget, calendar=night))
        plane.set_reachable(0, False)
        to(plane, 7200.0)
        assert np.all(np.isfinite(plane.state))
        assert plane.demand(0) == 0.0
        assert plane.net.group_algebra[0, FLOW_ATTEMPTS] < (1e-9 if budget is not None else 40.0)


def test_shedding_bounds_what_is_inside():
    plane = traffic(one_pool(500.0, shed_above=20))
    to(plane, 600.0)
    assert plane.in_flight(0) <= 20.0
    assert plane.in_flight(0) > 15.0
    open_plane = traffic(one_pool(500.0))
    to(open_plane, 600.0)
    assert open_plane.in_flight(0) > 30.0  # the control: without it the queues fill


def test_shedding_by_hand_takes_back_what_it_throws_out():
    plane = traffic(one_pool(79.0))
    to(plane, 600.0)
    inside, (_, good, *_) = plane.in_flight(0), plane.totals(0)
    assert inside > 10.0
    plane.set_tables(plane.pods_of[0], queue_table(1, 0, stationary=False))
    assert plane.in_flight(0) == pytest.approx(2.0)
    assert plane.totals(0)[1] == pytest.approx(good - (inside - 2.0), rel=0.02)


def test_requests_that_leave_the_queue_are_not_good():
    """Twice the capacity, none rejected: half of them must leave."""
    services = {"web": service(0.2, slots=8, queue=2000, patience=1.0, imbalance=0.0)}
    scenario = world(services=services, populations={"staff": users(160.0, deadline=60.0)}, model=FLUID)
    plane = traffic(scenario)
    to(plane, 600.0)
    offered, rejected, done, left = pool_rates(plane)
    assert rejected < 1e-6 * offered
    assert done == pytest.approx(80.0, rel=1e-3)
    assert left == pytest.approx(80.0, rel=1e-3)
    assert plane.success(0) == pytest.approx(0.5, abs=1e-3)


def test_errors_are_failures_that_come_back_soon():
    """Half of the answers are errors: half succeed, and retries wait for the back-off, not for the deadline."""
    plane = traffic(one_pool(10.0, attempts=2, backoff=1.0, deadline=600.0))
    for pod in plane.pods_of[0]:
        plane.set_condition(pod, slow=1.0, error_share=0.5)
    to(plane, 30.0)
    assert plane.success(0) == pytest.approx(0.5, abs=1e-3)
    assert plane.net.group_algebra[0, FLOW_ATTEMPTS] == pytest.approx(15.0, rel=0.01)


# -- calls --------------------------------------------------------------------------------------------------


def chain(**fields: Any) -> Scenario:
    return world(
        services={"web": service(0.05, calls={"db": Call(timeout=1.0, **fields)}), "db": service(0.05)},
        place={"home": {"web": 2, "db": 2}},
        populations={"staff": users(20.0, attempts=1)},
    )


def without_db(scenario: Scenario) -> Traffic:
    plane = traffic(scenario)
    to(plane, 60.0)
    for pod in plane.pods_of[1]:
        plane.stop_pod(pod)
    to(plane, 120.0)
    return plane


def test_a_call_without_an_answer_fails_its_caller():
    assert without_db(chain()).success(0) < 1e-6


@pytest.mark.parametrize("share", [0.25, 1.0])
def test_a_fallback_saves_its_share(share: float):
    assert without_db(chain(fallback=share)).success(0) == pytest.approx(share, abs=1e-3)


@pytest.mark.parametrize("n_attempts", [1, 3])
def test_calls_are_repeated_no_more_than_allowed(n_attempts: int):
    plane = without_db(chain(attempts=n_attempts))
    assert plane.offered(1) == pytest.approx(20.0 * n_attempts, rel=1e-3)


def test_a_call_budget_bounds_the_repeats():
    plane = without_db(chain(attempts=5, retry_budget=0.2))
    assert 20.0 < plane.offered(1) <= 24.0 * (1.0 + 1e-6)


@pytest.mark.parametrize("gate", [0.0, 0.3, 1.0])
def test_the_gate_of_a_breaker_lets_its_share_through(gate: float):
    plane = traffic(chain(fallback=1.0))
    plane.set_breaker(0, gate=gate)
    to(plane, 120.0)
    assert plane.offered(1) == pytest.approx(20.0 * gate, rel=1e-3, abs=1e-9)
    assert plane.success(0) == pytest.approx(1.0, abs=1e-3)


def test_disabled_retries_stop_the_repeats():
    plane = without_db(chain(attempts=4))
    plane.set_attempts(np.minimum(plane.net.edges[:, EDGE_ATTEMPTS], 1.0), plane.net.groups[:, GROUP_ATTEMPTS])
    to(plane, 180.0)
    assert plane.offered(1) == pytest.approx(20.0, rel=1e-3)


# -- regions and the other provider -------------------------------------------------------------------------


def test_clients_follow_a_switch_with_the_time_constant_of_the_record():
    scenario = two_regions(Failover(policy="active-passive", ttl=60.0))
    plane = traffic(scenario)
    to(plane, 100.0)
    plane.set_targets(0, [0.0, 1.0])
    for passed_s in (30.0, 60.0, 300.0):
        to(plane, 100.0 + passed_s)
        stayed = math.exp(-passed_s / 60.0)
        assert plane.offered(0) == pytest.approx(10.0 * stayed, rel=5e-3, abs=0.02)
        assert plane.offered(0) + plane.offered(1) == pytest.approx(10.0, rel=1e-6)


def with_provider(**fields: Any) -> Traffic:
    given = Failover(policy="provider", ttl=1.0, provider=Provider(**fields))
    plane = traffic(world(populations={"staff": users(20.0, attempts=2)}, failover=given))
    plane.set_targets(0, [0.0, 1.0])
    to(plane, 600.0)
    return plane


def test_a_provider_accepts_no_more_than_its_quota():
    plane = with_provider(quota=0.6)
    assert plane.net.group_algebra[0, FLOW_PROVIDER] == pytest.approx(12.0, rel=1e-6)
    # Attempts times success is what the quota lets through.
    flow = plane.net.group_algebra[0]
    assert flow[FLOW_ATTEMPTS] * flow[FLOW_SUCCESS] == pytest.approx(12.0, rel=1e-3)


def test_a_provider_with_room_serves_all_but_the_late_ones_at_its_quality():
    plane = with_provider(quota=1.0, quality=0.8, latency=0.0)
    assert plane.success(0) == pytest.approx(1.0)
    offered, good, _, _, usable, by_provider, _ = plane.totals(0)
    assert usable < good <= offered
    assert by_provider == pytest.approx(20.0 * 600.0, rel=0.01)
    slow = with_provider(quota=1.0, latency=5.0)  # deadline 5 s: 1 - 1/e in time
    assert slow.success(0) <= -math.expm1(-1.0) + 1e-9


# -- memory -------------------------------------------------------------------------------------------------


def test_a_pod_is_killed_when_its_mean_memory_meets_the_limit():
    """In `mean` mode the place is exact: base + per_request * inside = limit."""
    plane = traffic(one_pool(200.0, memory=memory(100.0, 10.0, 200.0), model=Model(oom="mean", noise="never")))
    for pod in plane.pods_of[0]:
        plane.start_pod(pod, oom_level=1.0)
        plane.set_per_request(pod, 10.0)
        plane.set_memory(pod, limit_mib=200.0, used_mib=100.0, growth_mib_per_s=0.0)
    code, pod = plane.advance(100.0)
    assert code == OOM
    assert plane.state[pod] == pytest.approx(10.0, abs=1e-5)
    hottest = plane.pods_of[0][1]  # the larger share
    assert pod == hottest


def test_a_leak_alone_kills_at_its_own_time():
    plane = traffic(one_pool(0.0))
    pod = plane.pods_of[0][0]
    plane.start_pod(pod, oom_level=1.0)
    plane.set_memory(pod, limit_mib=200.0, used_mib=100.0, growth_mib_per_s=0.5)
    assert plane.advance(1000.0) == (OOM, pod)
    assert plane.now_s == pytest.approx(200.0, abs=1e-4)  # 100 MiB at 0.5 MiB/s


def test_fluctuations_kill_before_the_mean_does():
    plane = traffic(one_pool(60.0, memory=memory()))
    for pod in plane.pods_of[0]:
        plane.start_pod(pod, oom_level=1.0)
        plane.set_per_request(pod, 10.0)
        plane.set_memory(pod, limit_mib=240.0, used_mib=100.0, growth_mib_per_s=0.0)
    code, pod = plane.advance(36_000.0)
    assert code == OOM
    assert plane.state[pod] < 13.0


def test_a_kill_takes_back_the_goodput_booked_for_requests_inside():
    plane = traffic(one_pool(70.0, attempts=2))
    to(plane, 300.0)
    pod = plane.pods_of[0][0]
    inside, (_, good, attempts, *_) = float(plane.state[pod]), plane.totals(0)
    plane.stop_pod(pod)
    assert plane.state[pod] == 0.0
    assert plane.totals(0)[1] == pytest.approx(good - inside, rel=0.02)
    assert plane.totals(0)[2] == attempts


# -- integrator ---------------------------------------------------------------------------------------------


def test_a_crossing_is_found_to_a_millionth():
    """One pod of plenty of slots: inside = rate work (1 - exp(-t / work)) until it fills, a known time."""
    services = {"web": service(10.0, slots=1000, queue=0)}
    scenario = world(
        services=services, place={"home": {"web": 1}}, populations={"staff": users(20.0, deadline=99.0)}, model=FLUID
    )
    plane = traffic(scenario)
    guard = plane.add_guard(GUARD_IN_FLIGHT, 1, 100.0, region=plane.pods_of[0][0])
    plane.guard_flipped(guard)  # below the level now
    assert plane.advance(1000.0) == (GUARD, guard)
    assert plane.in_flight(0) == pytest.approx(100.0, abs=1e-3)
    assert plane.now_s == pytest.approx(10.0 * math.log(2.0), rel=1e-3)


def test_a_drain_crosses_its_level_at_the_logarithm():
    plane = traffic(two_regions(Failover(policy="active-passive", ttl=60.0), model=Model(tolerance=0.1, noise="never")))
    to(plane, 100.0)
    guard = plane.add_guard(GUARD_SUCCESS, 0, 0.95)
    plane.set_reachable(0, False)
    plane.set_targets(0, [0.0, 1.0])
    assert plane.advance(1000.0) == (GUARD, guard)
    assert plane.now_s == 100.0
    plane.guard_flipped(guard)
    assert plane.advance(1000.0) == (GUARD, guard)
    assert plane.success(0) == pytest.approx(0.951, abs=1e-8)
    assert plane.now_s - 100.0 == pytest.approx(-60.0 * math.log(1.0 - 0.951), rel=1e-3)


def test_a_disarmed_guard_is_silent_and_a_level_of_one_is_reached_again():
    plane = traffic(one_pool(10.0))
    guard = plane.add_guard(GUARD_SUCCESS, 0, 1.0)
    plane.arm_guard(guard, False)
    plane.set_reachable(0, False)
    to(plane, 10.0)
    plane.arm_guard(guard, True)
    assert plane.advance(20.0) == (GUARD, guard)
    assert plane.guard_flipped(guard)
    plane.set_reachable(0, True)
    assert plane.advance(30.0) == (GUARD, guard)
    assert not plane.guard_flipped(guard)


def test_recording_changes_no_bit():
    day = Calendar(hours={"day": tuple(0.5 + 0.02 * k for k in range(24))})
    scenario = one_pool(90.0, attempts=3, calendar=day)
    silent, recorded = traffic(scenario), traffic(scenario, trace_every_s=0.0)
    for plane in (silent, recorded):
        to(plane, 7200.0)
        plane.stop_pod(plane.pods_of[0][0])
        to(plane, 14_400.0)
    assert len(recorded.trace()) == recorded.n_steps
    assert len(silent.trace()) == 0
    assert recorded.n_steps == silent.n_steps
    assert recorded.state.tobytes() == silent.state.tobytes()


def test_a_full_trace_changes_no_bit_either(monkeypatch: pytest.MonkeyPatch):
    silent = traffic(one_pool(90.0, attempts=3))
    monkeypatch.setattr("sim.traffic.engine._TRACE_ROWS", 3)
    recorded = traffic(one_pool(90.0, attempts=3), trace_every_s=0.0)
    for plane in (silent, recorded):
        to(plane, 600.0)
    assert recorded.n_steps > 9
    assert len(recorded.trace()) == recorded.n_steps
    assert recorded.state.tobytes() == silent.state.tobytes()


def test_cutting_time_anywhere_changes_the_result_within_tolerance_only():
    scenario = one_pool(90.0, attempts=3, deadline=1.0)
    whole, cut = traffic(scenario), traffic(scenario)
    to(whole, 300.0)
    for end_s in [*np.sort(np.random.default_rng(1).uniform(0.0, 300.0, 40)), 300.0]:
        to(cut, float(end_s))
    assert cut.totals(0) == pytest.approx(whole.totals(0), rel=0.01)
    assert cut.in_flight(0) == pytest.approx(whole.in_flight(0), rel=0.01)


def test_no_time_passes_in_no_time():
    plane = traffic(one_pool())
    to(plane, 10.0)
    before = plane.state.copy()
    to(plane, 10.0)
    assert plane.now_s == 10.0
    assert plane.state.tobytes() == before.tobytes()


def test_a_lost_number_is_an_error_and_not_a_result():
    plane = traffic(one_pool())
    to(plane, 10.0)
    plane.net.pools[0, 0] = math.nan
    with pytest.raises((FloatingPointError, ValueError), match=r"finite|NaN"):  # the latter without compilation
        plane.advance(20.0)


def test_a_pod_that_meets_a_huge_load_is_full_and_serves_what_it_can():
    plane = traffic(one_pool(1e6, deadline=60.0))
    to(plane, 60.0)
    assert plane.in_flight(0) == pytest.approx(32.0, rel=1e-3)
    assert float(plane.net.pod_algebra[:, ALG_DONE].sum()) == pytest.approx(80.0, rel=1e-3)
    assert plane.success(0) == pytest.approx(80.0 / 1e6, rel=0.01)


# -- assembly -----------------------------------------------------------------------------------------------


def test_load_shares_are_spread_evenly_and_keep_their_mean():
    web = service(imbalance=0.1)
    assert load_shares(web, 3, 3) == pytest.approx([0.9, 1.0, 1.1])
    assert load_shares(web, 1, 2) == [1.0, 1.0]
    assert load_shares(web, 2, 4) == pytest.approx([0.9, 1.1, 1.0, 1.0])
    assert load_shares(service(load_shares=(1.0, 3.0)), 2, 3) == [1.0, 3.0, 1.0]


@pytest.mark.parametrize(
    ("shed_above", "expected"), [(None, (8, 8)), (40, (8, 8)), (20, (8, 2)), (10, (5, 0)), (1, (1, 0))]
)
def test_shedding_cuts_the_queue_before_the_slots(shed_above: int | None, expected: tuple[int, int]):
    assert pod_bounds(service(), 2, shed_above) == expected


def test_arrays_have_a_row_for_every_name():
    scenario = world(
        services={"web": service(calls={"db": Call(timeout=1.0)}), "db": service()},
        regions=two_regions(Failover()).regions,
        place={"home": {"web": 2, "db": 0}, "spare": {"db": 3}},
        populations={"a": users(attempts=4), "b": users(journey="db")},
    )
    blueprint = assemble(scenario)
    names, net = blueprint.names, blueprint.network
    assert names.pools == (("home", "web"), ("spare", "db"))
    assert names.placed == names.slots == (2, 3)
    assert names.edges == ((0, 1, "db"),)  # called where it is placed
    assert names.regions == ("home", "spare")
    assert net.pods.shape[0] == 5
    assert net.pools.shape[0] == 2
    assert blueprint.state.size == blueprint.layout.size == 4 * 5 + 2 * 2 + 1 + 2 * 3 * RETRY_STEPS + 2 * 2 + 2 * 7
    assert home_shares(scenario, names, "a") == [1.0, 0.0]
    assert home_shares(scenario, names, "b") == [0.0, 1.0]


def test_trials_do_not_share_arrays():
    blueprint = assemble(one_pool())
    before = [array.copy() for array in blueprint.network]
    plane = Traffic(blueprint)
    for pod in plane.pods_of[0]:
        plane.start_pod(pod, oom_level=math.inf)
    plane.set_demand_factor(0, 3.0)
    to(plane, 60.0)
    for array, expected in zip(blueprint.network, before, strict=True):
        assert np.array_equal(array, expected)


def test_a_kill_takes_nothing_from_users_whom_it_did_not_serve():
    """`hasty` never gets an answer in time, so nothing was booked for it that could be taken back."""
    people = {"hasty": users(10.0, deadline=1e-3), "patient": users(10.0)}
    plane = traffic(world(services={"web": service(0.5)}, populations=people))
    to(plane, 300.0)
    hasty, patient = plane.totals(0)[1], plane.totals(1)[1]
    plane.stop_pod(plane.pods_of[0][0])
    assert plane.totals(0)[1] == pytest.approx(hasty, abs=0.02)
    assert plane.totals(1)[1] < patient - 1.0
