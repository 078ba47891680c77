"""Each fault that random scenarios found in the data plane, as the smallest story that shows it; and extreme cases.

The cases of the request gear are those that a queue of nobody, a budget of nothing or a shift at the wrong moment make.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from random_scenarios import random_scenario, run_checked
from worlds import RESTART, at, fault, service, users, world

from sim.errors import RunError
from sim.scenario.schema import Call, Effect, Failover, Model, Operations, Provider, Scenario, ScriptedStep
from sim.traffic.assemble import Blueprint, assemble
from sim.traffic.disciplines import cut_hold_s
from sim.traffic.layout import (
    CLOCK_NOW,
    FLOW_SUCCESS,
    GUARD,
    GUARD_SERVED,
    POD_LISTED,
    POD_OOM_LEVEL,
    POD_READY,
    TOTAL_ATTEMPTS,
    TOTAL_FAILED,
    TOTAL_GOOD,
    TOTAL_OFFERED,
)
from sim.traffic.rates import derivative
from sim.world.trial import Trial

ALWAYS = Model(noise="always")


def auto(**fields: Any) -> Model:
    return Model(noise="auto", **fields)


def mean_rates(**fields: Any) -> Trial:
    return run_checked(world(**fields))


def single(**fields: Any) -> Trial:
    """A trial request by request, unless told otherwise."""
    trial = run_checked(world(**({"model": ALWAYS, "horizon": 600.0} | fields)))
    assert trial.traffic.n_single_requests > 0 or sum(trial.traffic.totals(0)) == 0.0
    return trial


# --- found by random scenarios ---------------------------------------------------------------------------


def test_a_world_without_users_runs() -> None:
    """`max(1, *())` is no number."""
    crash = fault("any pod", at_s=10.0, until=RESTART)
    trial = run_checked(world(populations={}, faults={"crash": crash}))
    assert [record.kind.value for record in trial.context.records if record.kind.value == "fault"]


def test_a_long_queue_of_late_requests_may_be_dropped_at_once() -> None:
    """The calendar grew for 256 events more; each dropped request makes one, and thousands wrote beyond its end."""
    late = service(1.0, slots=1, queue=100_000, deadline_aware=True, work_spread=0.0)
    trial = single(
        horizon=30.0,
        services={"web": late},
        place={"home": {"web": 1}},
        populations={"staff": users(2_000.0, deadline=0.5)},
    )
    assert trial.traffic.totals(0)[TOTAL_GOOD] < 100.0


def test_an_idle_pod_that_dies_takes_nobody_back() -> None:
    """A kill took back up to 0.05 requests of a pod with none inside: more than were ever good."""
    killed = fault("all pods", at_s=tuple(float(t) for t in range(100, 3000, 100)), until=1.0)
    trial = mean_rates(populations={"staff": users(1e-6, attempts=20, backoff=0.001)}, faults={"crash": killed})
    totals = trial.traffic.totals(0)
    assert totals[TOTAL_ATTEMPTS] <= totals[TOTAL_OFFERED] * 20.0
    assert totals[TOTAL_GOOD] >= 0.0


@pytest.mark.parametrize("queue", [0, 20])
def test_a_handover_to_a_full_service_takes_no_short_steps(queue: int) -> None:
    """What a full callee was offered jumped to zero with its last place: the integrator chattered about it."""
    forward = Call(timeout=1.0, handoff=True)
    trial = mean_rates(
        services={"web": service(0.01, calls={"slow": forward}), "slow": service(3600.0, slots=1, queue=queue)},
        place={"home": {"web": 2, "slow": 1}},
        populations={"staff": users(1000.0)},
    )
    assert trial.traffic.n_steps < 5_000


@pytest.mark.parametrize("order", ["fifo", "lifo"])
def test_a_pod_that_meets_a_thousand_times_its_capacity_takes_no_short_steps(order: str) -> None:
    """A correction with the slope at the start of a step threw the full pod back, step for step."""
    small = service(0.5, slots=40, queue=20, order=order, contention=1.0, deadline_aware=True)
    trial = mean_rates(
        services={"web": small},
        populations={"staff": users(60_000.0, deadline=0.001, attempts=2, backoff=0.001)},
        model=Model(noise="never", tolerance=100.0),
    )
    assert trial.traffic.n_steps < 5_000


ORDERS: dict[str, Any] = {
    "services": {
        "web": service(0.005, slots=500, calls={"db": Call(timeout=0.02, attempts=20, calls=3.0)}),
        "db": service(0.0015, slots=2, queue=20, order="lifo"),
    },
    "place": {"home": {"web": 2, "db": 2}},
    "populations": {"staff": users(500.0)},
}


def all_ready(scenario: Scenario) -> Blueprint:
    """Its arrays, with all pods ready and empty."""
    blueprint = assemble(scenario)
    blueprint.network.pods[:, [POD_READY, POD_LISTED]] = 1.0
    blueprint.network.pods[:, POD_OOM_LEVEL] = np.inf
    return blueprint


def test_rates_of_change_have_no_memory() -> None:
    """Seeds 647 and 757: the load that answers depend on was that of the last evaluation, at whatever state."""
    blueprint = all_ready(world(**ORDERS))
    n_pods = len(blueprint.network.pods)
    state, other = blueprint.state.copy(), blueprint.state.copy()
    state[:n_pods], other[:n_pods] = 5.0, 1.0
    rates = np.zeros((3, state.size))
    for rate, at_state in zip(rates, (state, other, state), strict=True):
        derivative(0.0, 0.0, at_state, rate, np.zeros(state.size), blueprint.network)
    np.testing.assert_array_equal(rates[0], rates[2])


@pytest.mark.parametrize(
    ("number", "n_steps_max"),
    [
        # Calls that are tried again load the callee by its own answers: two solutions, and each step went to the other.
        # A guard fell below its level with the one and rose above it with the other, for ever.
        (647, 10_000),
        (757, 10_000),
        # A thousandth of a place decides how many are rejected: requests, and those booked, were thrown to and fro.
        (798, 1_000),
        # An empty pod that completes none yet buried all that came, if any did.
        (1387, 10_000),
        # Completions of callers that cancel jumped where an idle pod had a billionth of a slot busy; it stayed there.
        (1487, 1_000),
    ],
)
def test_seeds_that_took_minutes_take_few_steps(number: int, n_steps_max: int) -> None:
    assert run_checked(random_scenario(number)).traffic.n_steps < n_steps_max


def test_an_empty_pod_buries_nobody() -> None:
    """Seed 1387: newest first, of those let in no more return than are completed, which are none at first.

    A load of one request in 1e300 years made the difference between nobody and everybody in time.
    """
    blueprint = all_ready(world(services={"web": service(0.1, order="lifo")}))
    state, rate, net = blueprint.state, np.zeros(blueprint.state.size), blueprint.network
    for load_per_s in (0.0, 1e-310, 1e-9, 5.0):
        state[blueprint.layout.load] = load_per_s
        derivative(0.0, 0.0, state, rate, np.zeros(state.size), net)
        assert net.group_algebra[0, FLOW_SUCCESS] == pytest.approx(1.0, abs=1e-9)


@pytest.mark.parametrize("between_s", [0.0, 1e-12])
def test_a_guard_that_chatters_is_an_error_with_its_name(between_s: float, monkeypatch: pytest.MonkeyPatch) -> None:
    """Seed 1487 went from one double to the next with each crossing: time passed, if hardly any, and nobody noticed."""
    trial = Trial(world(), "chatters", 0)
    traffic = trial.traffic
    guard = next(q for q in range(100) if traffic.guard_of(q)[0] == GUARD_SERVED)

    def crossed(_: float) -> tuple[int, int]:
        traffic._clock[CLOCK_NOW] += between_s
        return GUARD, guard

    monkeypatch.setattr(traffic, "advance", crossed)
    with pytest.raises(RunError, match="the served share of home/web changes state without time passing"):
        trial.run()


def test_the_holding_time_of_those_who_cancel_has_no_stairs() -> None:
    """Seed 1084: it was found by 16 bisections, and what depends on it could not be located to more than 1e-4."""
    holds_s = [cut_hold_s(2.0, 10.0 + k * 1e-7, 0.9, 8.0, 1.5) for k in range(20)]
    rises_s = np.diff(holds_s)
    np.testing.assert_allclose(rises_s, rises_s.mean(), rtol=1e-2)
    assert rises_s.mean() != 0.0


def test_a_handover_where_no_user_comes_has_a_finite_deadline() -> None:
    """Laws of late requests made no numbers of an infinite deadline."""
    forward = Call(timeout=1.0, handoff=True)
    mean_rates(
        services={
            "idle": service(0.01, deadline_aware=True, calls={"web": forward}),
            "web": service(0.02, slots=2, queue=20, order="lifo", cancels=True),
        },
        place={"home": {"idle": 1, "web": 1}},
        populations={"staff": users(100.0)},
    )


def test_the_budget_of_single_requests_holds_between_two_ticks() -> None:
    """It was looked at every ten seconds, in which a thousand calls of each of 1e5 requests per second fit."""
    many = Call(timeout=1.0, calls=1000.0, attempts=2, fallback=1.0)
    trial = run_checked(
        world(
            horizon=20.0,
            services={"web": service(0.001, slots=200, calls={"db": many}), "db": service(1e-6)},
            place={"home": {"web": 2, "db": 1}},
            populations={"staff": users(1e5, attempts=2, backoff=0.1)},
            model=auto(noise_above=0.01, noise_requests=5_000),
        )
    )
    assert 0 < trial.traffic.n_single_requests <= 5_001


def test_a_window_that_begins_with_more_requests_than_its_budget_does_not_begin() -> None:
    """Each request that is there already costs as much as one simulated."""
    trial = run_checked(
        world(
            services={"web": service(10.0, slots=200, queue=100_000)},
            populations={"staff": users(1000.0, attempts=3, backoff=5.0)},
            faults={"more": fault("population staff", Effect(demand=0.5), at_s=(500.0, 1000.0, 1500.0), until=100.0)},
            model=auto(noise_above=1.0, noise_requests=500),
        )
    )
    assert trial.traffic.n_single_requests < 500


def test_rounding_to_whole_users_never_goes_below_zero() -> None:
    """Less than one request in all: a window makes it one, or none, and gives the difference back."""
    n_simulated = 0
    for seed in range(12):
        trial = run_checked(
            world(
                seed=seed,
                horizon=100.0,
                services={"web": service(1.0, slots=1, queue=0)},
                populations={"staff": users(0.02, attempts=5, backoff=30.0, deadline=0.5)},
                model=auto(noise_above=0.001),
            )
        )
        n_simulated += trial.traffic.n_single_requests
        totals = trial.traffic.totals(0)
        assert min(totals) >= 0.0
        assert trial.traffic.waiting_to_retry(0) >= 0.0
    assert n_simulated > 0


# --- extreme cases of the request gear -------------------------------------------------------------------


def test_no_pod_at_all_fails_every_request() -> None:
    dead = fault("all pods", at_s=0.0)
    totals = single(faults={"dead": dead}).traffic.totals(0)
    assert totals[TOTAL_GOOD] < 0.01 * totals[TOTAL_OFFERED]


def test_all_pods_dead_for_a_day() -> None:
    dead = fault("all pods", at_s=60.0, until=86_400.0)
    people = users(0.5, attempts=20, backoff=60.0, backoff_growth=2.0, jitter="full")
    totals = single(horizon=90_000.0, faults={"dead": dead}, populations={"staff": people}).traffic.totals(0)
    assert totals[TOTAL_FAILED] >= 0.0
    assert totals[TOTAL_ATTEMPTS] > 5.0 * totals[TOTAL_OFFERED]


def test_one_slot_without_a_queue_is_a_loss_system() -> None:
    """Erlang B of one slot: a / (1 + a) are rejected; a = 1."""
    trial = single(
        horizon=20_000.0,
        services={"web": service(0.5, slots=1, queue=0)},
        place={"home": {"web": 1}},
        populations={"staff": users(2.0, deadline=1e6)},
    )
    totals = trial.traffic.totals(0)
    assert totals[TOTAL_GOOD] / totals[TOTAL_OFFERED] == pytest.approx(0.5, abs=4.0 * 0.5 / math.sqrt(40_000.0))


def test_twenty_attempts_are_twenty_at_most() -> None:
    full = fault("web in home", Effect(errors=1.0), at_s=0.0)
    people = users(20.0, attempts=20, backoff=0.0)
    totals = single(horizon=100.0, populations={"staff": people}, faults={"bad": full}).traffic.totals(0)
    assert totals[TOTAL_ATTEMPTS] <= 20.0 * totals[TOTAL_OFFERED]
    assert totals[TOTAL_ATTEMPTS] > 19.0 * totals[TOTAL_OFFERED]


def test_zero_demand_is_no_request() -> None:
    assert sum(single(populations={"staff": users(0.0)}).traffic.totals(0)) == 0.0


def test_demand_that_jumps_from_nothing() -> None:
    surge = fault("population staff", Effect(demand=1e4), at_s=100.0, until=1.0)
    totals = single(horizon=200.0, populations={"staff": users(1.0)}, faults={"surge": surge}).traffic.totals(0)
    assert totals[TOTAL_OFFERED] == pytest.approx(10_000.0 + 199.0, abs=5.0 * 100.0)


HANDING: dict[str, Any] = {
    "services": {
        "web": service(0.01, slots=4, queue=4, calls={"slow": Call(timeout=1.0, handoff=True)}),
        "slow": service(20.0, slots=1, queue=0),
    },
    "place": {"home": {"web": 2, "slow": 2}},
}


@pytest.mark.parametrize("killed", ["web", "slow"])
def test_a_pod_that_dies_while_a_handover_is_blocked(killed: str) -> None:
    crash = fault(f"any pod of {killed}", at_s=tuple(float(t) for t in range(10, 500, 7)), until=RESTART)
    single(**HANDING, faults={"crash": crash})


def test_shedding_below_what_is_inside() -> None:
    script = {"shed": ScriptedStep(at=at(100.0), service="web", in_flight=1)}
    trial = single(
        services={"web": service(30.0, slots=4, queue=200)},
        operations=Operations(script=script),
        populations={"staff": users(2.0, deadline=500.0)},
    )
    assert trial.traffic.in_flight(0) <= 8.0


@pytest.mark.parametrize("model", [ALWAYS, auto(noise_above=0.01, noise_requests=30_000)])
def test_services_that_call_each_other_for_ever(model: Model) -> None:
    """Each request becomes a chain without an end, which slots and time-outs bound."""
    there, back = Call(timeout=0.5, hedge_after=0.1), Call(timeout=0.4, attempts=3, hedge_after=0.05)
    single(
        horizon=60.0,
        services={"web": service(0.01, calls={"db": there}), "db": service(0.01, calls={"web": back}, cancels=True)},
        place={"home": {"web": 2, "db": 2}},
        populations={"staff": users(20.0, attempts=2)},
        model=model,
    )


def test_one_call_in_a_thousand_requests() -> None:
    """The callee gets its share by chance: 6000 requests make six calls, which all fail."""
    trial = single(
        services={"web": service(0.001, calls={"db": Call(timeout=1.0, calls=0.001)}), "db": service(0.001)},
        place={"home": {"web": 2, "db": 1}},
        faults={"dead": fault("db in home", at_s=0.0)},
    )
    totals = trial.traffic.totals(0)
    failed = totals[TOTAL_FAILED]
    assert 0.0 <= failed <= 25.0


def test_a_provider_that_accepts_nothing() -> None:
    failover = Failover(policy="provider", provider=Provider(quota=0.0), ttl=0.0)
    dead = fault("all pods", at_s=100.0)
    totals = single(failover=failover, faults={"dead": dead}).traffic.totals(0)
    assert totals[TOTAL_GOOD] == pytest.approx(1000.0, abs=200.0)


def test_a_budget_of_no_request_never_begins_a_window() -> None:
    trial = run_checked(
        world(populations={"staff": users(150.0, attempts=3)}, model=auto(noise_above=0.01, noise_requests=0))
    )
    assert trial.traffic.n_single_requests == 0


def hot(horizon_s: float) -> Scenario:
    """Hot from the first moment on."""
    return world(
        horizon=horizon_s,
        services={"web": service(0.1, slots=8, queue=8)},
        populations={"staff": users(155.0, attempts=3, backoff=0.5)},
        model=auto(noise_above=0.02, noise_requests=4_000),
    )


def test_a_shift_back_at_the_horizon_is_the_same_as_just_before() -> None:
    """The horizon is where the budget ends the window, or the double before, or the double after it."""
    shifts = [record for record in run_checked(hot(600.0)).context.records if record.kind.value == "gear"]
    assert len(shifts) >= 2
    end_s = shifts[1].at_s
    for horizon_s in (end_s, float(np.nextafter(end_s, 0.0)), float(np.nextafter(end_s, 1e9)), shifts[0].at_s + 1e-9):
        totals = run_checked(hot(horizon_s)).traffic.totals(0)
        assert totals[TOTAL_OFFERED] == pytest.approx(155.0 * horizon_s, abs=5.0 * math.sqrt(155.0 * horizon_s) + 1.0)
