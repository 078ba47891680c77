"""The request-level network model against exact queues: C06 to C10 and C12 of the published truths.

Each truth is met by many independent copies of one queue in a single run, so that the standard error comes from the
copies. What a test needs is the value in `truths/closed_form.json`; the negative control is the same queue with one
number changed. Queues start empty: rates and shares count from zero on, over horizons that are long against the time
in which the queue settles, and every half-width that is asked for is wider than what the start leaves.
"""

import json
import math
from functools import lru_cache
from pathlib import Path

import numpy as np
import pytest
from agreement import check, mean_of, ratio_of, refute
from batteries import ENDLESS, Battery, battery

from sim.oracles import queue_forms as queues
from sim.scenario.schema import Model
from sim.traffic.assemble import assemble
from sim.traffic.engine import Traffic
from sim.traffic.layout import ALG_BUSY

TRUTHS = json.loads((Path(__file__).parent / "truths" / "closed_form.json").read_text(encoding="utf-8"))
PATIENT = {"deadline": 1e6}


# --- C06: M/M/1 ------------------------------------------------------------------------------------------


@lru_cache
def mm1(work_s: float = 1.0) -> Battery:
    """M/M/1 at utilisation 0.8; the deadline is the 5 of P(T > 5), and late requests stay in line."""
    queue = battery(250, 0.8, 500.0, client={"deadline": 5.0}, work=work_s, slots=1, queue=ENDLESS)
    return Battery(queue, warm_up_s=200.0)


def test_c06_number_inside_and_sojourn():
    runs = mm1()
    check(mean_of(runs.inside_mean(), TRUTHS["Q01"]["L"]), 0.7)
    # Little's law on what each queue counted itself: W = L / arrivals per second.
    arrivals = [pool.offered / runs.horizon_s for pool in runs.pools]
    check(ratio_of(runs.inside_mean(), arrivals, TRUTHS["Q01"]["W"]), 0.9)


def test_c06_share_that_takes_longer_than_5():
    late = [1.0 - client.availability for client in mm1().clients]
    # From empty, the first tens of seconds are better than the long run: 4.0 of 600 s by the exact transient below.
    check(mean_of(late, TRUTHS["Q01"]["P_W_gt_5"]), 0.035)


def test_c06_share_of_time_with_ten_inside():
    many = (mm1().settled() >= 10).mean(axis=1)
    check(mean_of(many, TRUTHS["Q01"]["p_n_ge_10"]), 0.05)


@pytest.mark.parametrize(("time", "half_width"), [(10, 0.6), (50, 1.0), (200, 1.4)])
def test_c06_from_empty(time: int, half_width: float):
    check(mean_of(mm1().inside_at(time), TRUTHS[f"Q10_t{time}"]["EL"]), half_width)


def test_c06_a_slower_server_fails():
    slower = mm1(1.1)
    refute(mean_of(slower.inside_mean(), TRUTHS["Q01"]["L"]), 1.5)
    refute(mean_of([1.0 - c.availability for c in slower.clients], TRUTHS["Q01"]["P_W_gt_5"]), 0.05)


# --- C07, C08: M/M/c and M/M/c/K -------------------------------------------------------------------------


@lru_cache
def mmc(slots: int = 10) -> Battery:
    """M/M/c, 8 arrivals per service time."""
    queue = battery(30, 8.0, 300.0, client={"deadline": 2.0}, work=1.0, slots=slots, queue=ENDLESS)
    return Battery(queue, warm_up_s=30.0)


def test_c07_share_that_waits_and_how_many():
    pools = mmc().pools
    check(mean_of([p.queued / p.offered for p in pools], TRUTHS["Q02"]["ErlangC"]), 0.06)
    check(mean_of(mmc().waiting_mean(), TRUTHS["Q02"]["Lq"]), 0.6)
    check(ratio_of(mmc().waiting_mean(), [p.offered / 300.0 for p in pools], TRUTHS["Q02"]["Wq"]), 0.07)


def test_c07_sojourn_within_the_deadline():
    """T = Wq + S: exp(-t) + C (exp(-t) - exp(-2 t)) for c - a = 2, with C the probability of waiting.

    Wq is 0 with 1 - C and exponential of rate 2 with C; the published P(Wq > 1) = C exp(-2) is the same law.
    """
    waits = TRUTHS["Q02"]["ErlangC"]
    assert waits * math.exp(-2.0) == pytest.approx(TRUTHS["Q02"]["P_Wq_gt_1"], rel=1e-9)
    late = math.exp(-2.0) + waits * (math.exp(-2.0) - math.exp(-4.0))
    check(mean_of([1.0 - c.availability for c in mmc().clients], late), 0.025)


def test_c07_another_server_more_fails():
    pools = mmc(11).pools
    refute(mean_of([p.queued / p.offered for p in pools], TRUTHS["Q02"]["ErlangC"]), 0.06)


@lru_cache
def mmck(queue: int = 5) -> Battery:
    """M/M/10/15 at 12 arrivals per service time."""
    return Battery(battery(20, 12.0, 200.0, client=PATIENT, work=1.0, slots=10, queue=queue), warm_up_s=20.0)


def test_c08_blocking_number_inside_and_throughput():
    runs, truth = mmck(), TRUTHS["Q03"]
    pools = runs.pools
    check(ratio_of([p.rejected for p in pools], [p.offered for p in pools], truth["P_block"]), 0.02)
    check(mean_of(runs.inside_mean(), truth["L"]), 0.35)
    # Services completed: those let in less those still inside, who came in the last few seconds of 200.
    done = [(p.offered - p.rejected) / 200.0 for p in pools]
    check(mean_of(done, truth["throughput"]), 0.25)
    check(ratio_of(runs.inside_mean(), done, truth["W_accepted"]), 0.04)


def test_c08_two_places_less_fail():
    pools = mmck(3).pools
    refute(ratio_of([p.rejected for p in pools], [p.offered for p in pools], TRUTHS["Q03"]["P_block"]), 0.02)


# --- C09: Erlang loss, whatever the law of service ---------------------------------------------------------

SPREADS = {"constant": 0.0, "gamma": 0.5, "exponential": 1.0, "lognormal": 2.0}


def lost(slots: int, load: float, law: str, *, work_s: float = 1.0, n: int = 12) -> list[float]:
    """Share lost of each of n loss systems, of those who came after the first 20 services."""
    horizon_s = 10.0 * max(round(3000.0 / (n * load)), 6)
    pod = {"work": work_s, "work_spread": SPREADS[law], "slots": slots, "queue": 0}
    run = Battery(battery(n, load, horizon_s, client=PATIENT, **pod), warm_up_s=0.0).run
    return [1.0 - run.bin_good[u][2:].sum() / run.bin_offered[u][2:].sum() for u in run.bin_offered]


@pytest.mark.parametrize("law", SPREADS)
@pytest.mark.parametrize(
    ("slots", "load", "key", "half_width"), [(10, 8.0, "B_10_8", 0.035), (5, 10.0, "B_5_10", 0.035)]
)
def test_c09_loss_depends_on_the_mean_only(law: str, slots: int, load: float, key: str, half_width: float):
    check(mean_of(lost(slots, load, law), TRUTHS["Q04"][key]), half_width)


@pytest.mark.slow
def test_c09_a_hundred_slots():
    check(mean_of(lost(100, 90.0, "lognormal", n=30), TRUTHS["Q04"]["B_100_90"]), 0.012)


def test_c09_a_longer_service_fails():
    refute(mean_of(lost(10, 8.0, "lognormal", work_s=1.25), TRUTHS["Q04"]["B_10_8"]), 0.04)


# --- C10: Erlang-A -----------------------------------------------------------------------------------------


@lru_cache
def erlang_a(servers: int, patience_s: float = 2.0) -> Battery:
    """M/M/n+M at 1.2 times its capacity; each who waits leaves after an exponential time of mean `patience_s`."""
    pod = {"work": 1.0, "slots": servers, "queue": ENDLESS, "patience": patience_s}
    queue = battery(4 if servers > 50 else 20, 1.2 * servers, 150.0, client=PATIENT, **pod)
    return Battery(queue, warm_up_s=20.0)


@pytest.mark.parametrize(("servers", "key"), [(10, "Q05a"), (100, "Q05b")])
def test_c10_request_by_request(servers: int, key: str):
    runs, truth = erlang_a(servers), TRUTHS[key]
    pools = runs.pools
    if len(pools) > 4:  # enough copies to take the spread from
        check(mean_of(runs.waiting_mean(), truth["EQ"]), 0.6)
        check(mean_of([p.queued / p.offered for p in pools], truth["P_wait"]), 0.04)
        check(ratio_of([p.left for p in pools], [p.offered for p in pools], truth["P_ab"]), 0.02)
        check(mean_of([b / servers for b in runs.busy_mean()], truth["util"]), 0.012)
    else:
        # The variance of a time average from the exact chain's: 2 var t / T, relaxation time t about 1 / patience.
        error = math.sqrt(2.0 * truth["VarL"] * 2.0 / 130.0 / len(pools))
        assert abs(np.mean(runs.waiting_mean()) - truth["EQ"]) <= 4.0 * error
        assert abs(np.mean([p.left / p.offered for p in pools]) - truth["P_ab"]) <= 4.0 * error / (2.0 * 120.0)
        assert 4.0 * error <= 6.5


def test_c10_more_patience_fails():
    runs = erlang_a(10, 3.0)
    refute(mean_of(runs.waiting_mean(), TRUTHS["Q05a"]["EQ"]), 1.0)


def fluid_waiting(servers: int, load: float, queues_as: str) -> float:
    """Requests waiting in the fluid data plane once it has settled."""
    pod = {"work": 1.0, "slots": servers, "queue": 10 * servers, "patience": 2.0}
    spec = battery(1, load * servers, 600.0, client=PATIENT, **pod)
    spec = spec.model_copy(update={"model": Model(noise="never", queues=queues_as)})
    traffic = Traffic(assemble(spec))
    traffic.start_pod(0, oom_level=math.inf)
    traffic.advance(200.0)
    return traffic.in_flight(0) - float(traffic.net.pod_algebra[0, ALG_BUSY])


@pytest.mark.parametrize(
    ("queues_as", "servers", "load", "error"),
    [
        # The queue of patient customers at the same mean number inside: too long where chance and patience meet.
        ("stationary", 10, 1.0, 0.444),
        ("stationary", 10, 1.2, 0.278),
        ("stationary", 100, 0.95, 0.570),
        ("stationary", 100, 1.0, 0.493),
        ("stationary", 100, 1.2, 0.089),
        # No queue without an excess: nobody waits at saturation, and far above it the published gap is met.
        ("fluid", 10, 1.0, -1.0),
        ("fluid", 100, 1.0, -1.0),
        ("fluid", 100, 1.2, 40.0 / TRUTHS["Q05b"]["EQ"] - 1.0),
    ],
)
def test_c10_the_error_of_the_fluid_near_saturation_has_this_size(
    queues_as: str, servers: int, load: float, error: float
):
    exact = queues.erlang_a(servers, load * servers, 1.0, 0.5).waiting
    found = fluid_waiting(servers, load, queues_as) / exact - 1.0
    assert found == pytest.approx(error, abs=0.02 if queues_as == "stationary" else 1e-4)


def test_c10_the_gap_closes_with_more_servers():
    """The published 7.44e-4 at n = 100; the fluid limit is the truth of many servers."""
    assert pytest.approx(-TRUTHS["Q05f_100"]["rel"], rel=1e-3) == 40.0 / TRUTHS["Q05b"]["EQ"] - 1.0
    few, many = (fluid_waiting(n, 1.2, "stationary") / queues.erlang_a(n, 1.2 * n, 1.0, 0.5).waiting for n in (10, 100))
    assert many - 1.0 < 0.5 * (few - 1.0)


# --- C12: processor sharing ----------------------------------------------------------------------------------


def test_c12_with_exponential_work_the_order_of_service_does_not_matter():
    """Processor sharing, M/M/1 at 0.8: mean 4 inside, 5 s; room for 20 at 0.9: 0.01365 lost.

    Slots of a pod do not share a processor, so only what is insensitive to the order can be met: exponential work.
    """
    check(mean_of(mm1().inside_mean(), TRUTHS["Q07"]["EL"]), 0.7)
    pod = {"work": 1.0, "slots": 1, "queue": 19}
    pools = Battery(battery(100, 0.9, 600.0, client=PATIENT, **pod), warm_up_s=200.0).pools
    lost_share = ratio_of([p.rejected for p in pools], [p.offered for p in pools], TRUTHS["Q07b"]["P_block"])
    check(lost_share, 0.007)


def test_c12_with_constant_work_first_come_first_served_is_shorter():
    """What falls short: processor sharing would still hold 4; M/D/1 holds rho + rho^2 / (2 (1 - rho)) = 2.4."""
    queue = battery(100, 0.8, 400.0, client=PATIENT, work=1.0, work_spread=0.0, slots=1, queue=ENDLESS)
    inside = Battery(queue, warm_up_s=100.0).inside_mean()
    check(mean_of(inside, 0.8 + 0.8**2 / (2.0 * 0.2)), 0.5)
    refute(mean_of(inside, TRUTHS["Q07"]["EL"]), 0.5)
