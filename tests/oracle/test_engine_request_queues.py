"""The engine's own single requests (`noise: always`) against exact queues: A09, B09, C06 to C10, C12, C13.

The compiled requests share no code with the request-level model, so that both are witnesses of the same published
values. Many independent copies of a queue run side by side in one trial; a negative control changes one number.
"""

import json
import math
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from agreement import check, mean_of, ratio_of, refute
from batteries import ENDLESS, EngineBattery, battery
from scenarios import at, call, fixed, service, several, users

from sim.scenario.schema import Effect, Fault, Repair, Scenario, Throttle

TRUTHS = json.loads((Path(__file__).parent / "truths" / "closed_form.json").read_text(encoding="utf-8"))
PATIENT = {"deadline": 1e6}
SPREADS = {"constant": 0.0, "gamma": 0.5, "exponential": 1.0, "lognormal": 2.0}


# --- C06, C12: M/M/1 -------------------------------------------------------------------------------------


@lru_cache
def mm1(work_s: float = 1.0) -> EngineBattery:
    """Utilisation 0.8; the deadline is the 5 of P(T > 5), and late requests stay in line."""
    queue = battery(400, 0.8, 800.0, client={"deadline": 5.0}, work=work_s, slots=1, queue=ENDLESS)
    return EngineBattery(queue, warm_up_s=300.0)


def test_c06_c12_number_inside():
    check(mean_of(mm1().settled().mean(axis=1), TRUTHS["Q01"]["L"]), 0.6)
    # Processor sharing with exponential work holds as many.
    assert TRUTHS["Q07"]["EL"] == TRUTHS["Q01"]["L"]


def test_c06_share_that_takes_longer_than_5():
    check(mean_of(mm1().lost_shares(), TRUTHS["Q01"]["P_W_gt_5"]), 0.03)


def test_c06_share_of_time_with_ten_inside():
    check(mean_of((mm1().settled() >= 10).mean(axis=1), TRUTHS["Q01"]["p_n_ge_10"]), 0.035)


@pytest.mark.parametrize(("time", "half_width"), [(10, 0.5), (50, 0.8), (200, 1.1)])
def test_c06_from_empty(time: int, half_width: float):
    check(mean_of(mm1().inside_at(time), TRUTHS[f"Q10_t{time}"]["EL"]), half_width)


def test_c06_a_slower_server_fails():
    refute(mean_of(mm1(1.08).settled().mean(axis=1), TRUTHS["Q01"]["L"]), 1.2)
    refute(mean_of(mm1(1.08).lost_shares(), TRUTHS["Q01"]["P_W_gt_5"]), 0.05)


def test_c12_loss_with_room_for_twenty():
    pod = {"work": 1.0, "slots": 1, "queue": 19}
    runs = EngineBattery(battery(200, 0.9, 1500.0, client=PATIENT, **pod), warm_up_s=200.0)
    check(ratio_of(runs.offered - runs.good, runs.offered, TRUTHS["Q07b"]["P_block"]), 0.004)


# --- C07, C08, C09: several servers ----------------------------------------------------------------------


@lru_cache
def mmc(slots: int = 10) -> EngineBattery:
    """M/M/c, 8 arrivals per service time."""
    queue = battery(50, 8.0, 800.0, client={"deadline": 2.0}, work=1.0, slots=slots, queue=ENDLESS)
    return EngineBattery(queue, warm_up_s=50.0)


def test_c07_number_inside_and_sojourn():
    check(mean_of(mmc().settled().mean(axis=1), TRUTHS["Q02"]["L"]), 0.4)
    # T = Wq + S, Wq being 0 or, with Erlang's C, exponential of rate 2: late with exp(-t) + C (exp(-t) - exp(-2 t)).
    late = math.exp(-2.0) + TRUTHS["Q02"]["ErlangC"] * (math.exp(-2.0) - math.exp(-4.0))
    check(mean_of(mmc().lost_shares(), late), 0.012)


def test_c07_another_server_more_fails():
    refute(mean_of(mmc(11).settled().mean(axis=1), TRUTHS["Q02"]["L"]), 0.4)


@lru_cache
def mmck(queue: int = 5) -> EngineBattery:
    """M/M/10/15 at 12 arrivals per service time."""
    pod = {"work": 1.0, "slots": 10, "queue": queue}
    return EngineBattery(battery(30, 12.0, 800.0, client=PATIENT, **pod), warm_up_s=20.0)


def test_c08_blocking_number_inside_and_throughput():
    runs, truth = mmck(), TRUTHS["Q03"]
    check(ratio_of(runs.offered - runs.good, runs.offered, truth["P_block"]), 0.008)
    check(mean_of(runs.settled().mean(axis=1), truth["L"]), 0.3)
    check(mean_of(runs.good / 780.0, truth["throughput"]), 0.08)
    check(ratio_of(runs.settled().mean(axis=1), runs.good / 780.0, truth["W_accepted"]), 0.03)


def test_c08_two_places_less_fail():
    runs = mmck(3)
    refute(ratio_of(runs.offered - runs.good, runs.offered, TRUTHS["Q03"]["P_block"]), 0.01)


def lost(slots: int, load: float, spread: float, *, work_s: float = 1.0, n: int = 30) -> EngineBattery:
    """n loss systems with 200 000 arrivals in all."""
    pod = {"work": work_s, "work_spread": spread, "slots": slots, "queue": 0}
    horizon_s = 20.0 + 200_000.0 / (n * load)
    return EngineBattery(battery(n, load, horizon_s, client=PATIENT, **pod), warm_up_s=20.0)


@pytest.mark.parametrize("law", SPREADS)
@pytest.mark.parametrize(
    ("slots", "load", "key", "half_width"),
    [(10, 8.0, "B_10_8", 0.01), (5, 10.0, "B_5_10", 0.015), (100, 90.0, "B_100_90", 0.01)],
)
def test_c09_loss_depends_on_the_mean_only(law: str, slots: int, load: float, key: str, half_width: float):
    runs = lost(slots, load, SPREADS[law])
    check(ratio_of(runs.offered - runs.good, runs.offered, TRUTHS["Q04"][key]), half_width)


def test_c09_a_longer_service_fails():
    runs = lost(10, 8.0, SPREADS["lognormal"], work_s=1.15)
    refute(ratio_of(runs.offered - runs.good, runs.offered, TRUTHS["Q04"]["B_10_8"]), 0.015)


# --- C10: Erlang-A ---------------------------------------------------------------------------------------


def erlang_a(servers: int, n: int, patience_s: float = 2.0) -> EngineBattery:
    """M/M/n+M at 1.2 times its capacity."""
    pod = {"work": 1.0, "slots": servers, "queue": ENDLESS, "patience": patience_s}
    return EngineBattery(battery(n, 1.2 * servers, 300.0, client=PATIENT, **pod), warm_up_s=20.0)


@pytest.mark.parametrize(
    ("servers", "n", "key", "inside", "left"), [(10, 60, "Q05a", 0.6, 0.012), (100, 10, "Q05b", 7.0, 0.012)]
)
def test_c10_number_inside_and_those_who_left(servers: int, n: int, key: str, inside: float, left: float):
    runs, truth = erlang_a(servers, n), TRUTHS[key]
    check(mean_of(runs.settled().mean(axis=1), truth["EL"]), inside)
    check(ratio_of(runs.offered - runs.good, runs.offered, truth["P_ab"]), left)


def test_c10_more_patience_fails():
    runs = erlang_a(10, 60, 4.0)
    refute(ratio_of(runs.offered - runs.good, runs.offered, TRUTHS["Q05a"]["P_ab"]), 0.012)


# --- C13: retrial queues ---------------------------------------------------------------------------------

SCALE_S = 100.0
"""One unit of time, so that the 0.05 s in which a user learns of a rejection are nothing beside 1 / theta."""


def retrial(slots: int, load: float, theta: float, *, n: int, units: float) -> EngineBattery:
    """A loss system whose lost customers come again after exponential times, up to 20 attempts."""
    client = {"deadline": 1e9, "attempts": 20, "backoff": SCALE_S / theta, "jitter": "exponential"}
    queue = battery(n, load / SCALE_S, units * SCALE_S, client=client, work=SCALE_S, slots=slots, queue=0)
    return EngineBattery(queue, warm_up_s=0.1 * units * SCALE_S)


def in_orbit(runs: EngineBattery, theta: float) -> np.ndarray:
    """Mean number in orbit of each system: it is left at theta per customer, and every departure is an attempt."""
    units = (runs.horizon_s - runs.warm_up_s) / SCALE_S
    return (runs.attempts - runs.offered) / (theta * units)


def test_c13_one_server():
    runs = retrial(1, 0.6, 0.5, n=60, units=600.0)
    check(mean_of(in_orbit(runs, 0.5), TRUTHS["Q08"]["EO"]), 0.7)
    check(mean_of(runs.settled().mean(axis=1), TRUTHS["Q08"]["Ebusy"]), 0.03)


def test_c13_ten_servers():
    runs = retrial(10, 8.0, 2.0, n=30, units=300.0)
    check(ratio_of(runs.offered - runs.first_good, runs.offered, TRUTHS["Q08c10"]["P_block"]), 0.05)
    check(mean_of(in_orbit(runs, 2.0), TRUTHS["Q08c10"]["EO"]), 1.2)


def test_c13_customers_that_come_later_fail():
    runs = retrial(1, 0.6, 0.3, n=60, units=600.0)
    refute(mean_of(in_orbit(runs, 0.3), TRUTHS["Q08"]["EO"]), 1.2)


# --- A09, B09 --------------------------------------------------------------------------------------------


def tandem(c: int, n: int, *, handoff: bool = True) -> Scenario:
    """n tandems with blocking: station 1 Coxian, station 2 exponential; the work of station 1's second phase is a call
    that one request in ten makes while it keeps its slot.
    """
    services, populations = {}, {}
    for i in range(n):
        calls = {f"phase{i}": call(timeout=1e6, calls=0.1), f"second{i}": call(timeout=1e6, handoff=handoff)}
        services[f"q{i}"] = service(work=0.5, slots=1, queue=c - 1, calls=calls)
        services[f"second{i}"] = service(work=0.25, slots=1, queue=c - 1)
        services[f"phase{i}"] = service(work=0.5, slots=1000)
        populations[f"u{i}"] = users(requests=4.0 * c, journey=f"q{i}", **PATIENT)
    return several(services, dict.fromkeys(services, 1), 600.0, populations=populations)


def in_both(c: int, n: int, *, handoff: bool = True) -> np.ndarray:
    """Mean number in both stations of each tandem; those in the second phase are inside station 1."""
    runs = EngineBattery(tandem(c, n, handoff=handoff), warm_up_s=50.0)
    inside = runs.settled().mean(axis=1).reshape(n, 3)  # pools in the order of the services
    return inside[:, 0] + inside[:, 1]


@pytest.mark.parametrize(("c", "exact", "half_width"), [(5, 5.679249959967679, 0.18), (15, 15.798592927169762, 0.25)])
def test_a09_a_full_second_station_blocks_the_first(c: int, exact: float, half_width: float):
    check(mean_of(in_both(c, 20), exact), half_width)


def test_a09_without_hand_over_fails():
    refute(mean_of(in_both(5, 20, handoff=False), 5.679249959967679), 0.3)


def test_b09_adaptive_throttling_sends_twice_what_is_accepted():
    """1000/s wanted, 200/s accepted: with ratio 2, 400/s are sent and 60 % refused by the clients; with 3, 600/s."""

    def accepted_and_sent(ratio: float) -> tuple[float, float]:
        pod = {"work": 0.01, "work_spread": 0.0, "slots": 2, "queue": 50}
        client = {"deadline": 5.0, "throttle": Throttle(ratio=ratio, window=10.0)}
        runs = EngineBattery(battery(4, 1000.0, 130.0, client=client, **pod), warm_up_s=60.0)
        return float(runs.good.mean() / 70.0), float(runs.arriving[:, runs.times_s >= 60.0].mean())

    accepted, sent = accepted_and_sent(2.0)
    assert accepted == pytest.approx(TRUTHS["H03"]["backend_accepts"], rel=0.01)
    assert sent == pytest.approx(TRUTHS["H03"]["sent"], rel=0.04)
    assert accepted_and_sent(3.0)[1] == pytest.approx(600.0, rel=0.04)


def failing(share: float, attempts: int) -> EngineBattery:
    """Three layers, each with so many attempts; this share of the answers of the last one is an error."""
    services = {
        "q0": service(calls={"b": call(attempts=attempts)}),
        "b": service(calls={"c": call(attempts=attempts)}),
        "c": service(),
    }
    errors = Fault(target="c in r", at=at(0.0), effect=Effect(errors=share), repair=Repair(law=fixed(1e6)))
    clients = {"u0": users(requests=20.0, attempts=attempts, backoff=0.1, journey="q0")}
    world = several(services, dict.fromkeys(services, 1), 400.0, populations=clients, faults={"errors": errors})
    return EngineBattery(world, warm_up_s=10.0)


def test_b09_three_layers_of_four_attempts_make_sixty_four():
    for attempts in (4, 3):
        runs = failing(1.0, attempts)
        assert runs.good.sum() == 0.0
        sent = runs.arriving[2, runs.times_s >= 10.0].mean() / 20.0
        assert sent == pytest.approx(attempts**3, rel=0.05)
    assert TRUTHS["H01"]["three_layers_worst"] == 4**3


def test_b09_independent_attempts():
    """Attempts (1 - f^n) / (1 - f) and success 1 - f^n with f = 0.3 and n = 4."""
    errors = Fault(target="q0 in r", at=at(0.0), effect=Effect(errors=0.3), repair=Repair(law=fixed(1e6)))
    client = {"deadline": 5.0, "attempts": 4, "backoff": 0.1}
    one = battery(1, 100.0, 1010.0, client=client, work=0.01, slots=100)
    runs = EngineBattery(one.model_copy(update={"faults": {"errors": errors}}), warm_up_s=10.0)
    n = runs.offered[0]
    attempts, success = runs.attempts[0] / n, runs.good[0] / n
    # Variance of a geometric law cut at 4, below f / (1 - f)^2; both at 100 000 requests.
    assert attempts == pytest.approx(TRUTHS["H01"]["attempts"], abs=4.0 * math.sqrt(0.3 / 0.49 / n))
    assert success == pytest.approx(TRUTHS["H01"]["success"], abs=4.0 * math.sqrt(0.0081 * 0.9919 / n))
    assert attempts != pytest.approx((1.0 - 0.3**3) / 0.7, abs=4.0 * math.sqrt(0.3 / 0.49 / n))
