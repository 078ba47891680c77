"""Work that is not exponential or grows with what runs beside it, and users who retry late or not at all.

Truths are closed forms, the published thresholds D03 and B09, and the request-level model of one pool. Each test states
how far the mean field may be from it, as measured.
"""

import math
from typing import Any

import numpy as np
import pytest
from scenarios import FAR_S, one_pool, service, users

from sim.oracles.request_model import Client, PoolCase, run_pool
from sim.scenario.schema import Model
from sim.traffic.assemble import assemble
from sim.traffic.engine import Traffic
from sim.traffic.layout import ALG_WAIT_S, FLOW_ATTEMPTS, OUT_REJECTED, REACHED

FINE = Model(tolerance=0.01, noise="never")
FLUID = Model(tolerance=0.01, queues="fluid", noise="never")


def plane_of(
    rate_per_s: float, *, pods: int = 1, model: Model = FINE, clients: dict[str, Any] | None = None, **of_service: Any
) -> Traffic:
    """One pool, all pods ready and empty."""
    fields = {"work": 1.0, "slots": 1, "queue": 5000, "imbalance": 0.0} | of_service
    people = {"requests": rate_per_s, "deadline": FAR_S} | (clients or {})
    scenario = one_pool(pods, 1e6, service=service(**fields), populations={"u": users(**people)}, model=model)
    plane = Traffic(assemble(scenario), tolerance=scenario.model.tolerance)
    for pod in plane.pods_of[0]:
        plane.start_pod(pod, oom_level=math.inf)
    return plane


def to(plane: Traffic, end_s: float) -> Traffic:
    assert plane.advance(end_s) == (REACHED, -1)
    return plane


# -- spread of the work -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("utilisation", [0.3, 0.7, 0.95])
@pytest.mark.parametrize("spread", [0.0, 0.5, 1.0, 2.0])
def test_the_mean_wait_is_that_of_pollaczek_and_khinchine(spread: float, utilisation: float) -> None:
    """M/G/1: Wq = rho S (1 + spread^2) / 2 / (1 - rho); the mean field is off by 1 % at most."""
    plane = to(plane_of(utilisation, work_spread=spread), 40_000.0)
    truth = utilisation * (1.0 + spread**2) / 2.0 / (1.0 - utilisation)
    assert plane.net.pod_algebra[0, ALG_WAIT_S] == pytest.approx(truth, rel=0.01)
    if spread != 1.0:  # negative control: exponential work waits otherwise
        other = to(plane_of(utilisation), 40_000.0).net.pod_algebra[0, ALG_WAIT_S]
        assert other != pytest.approx(truth, rel=0.2)


@pytest.mark.parametrize(("slots", "queue", "rate"), [(8, 400, 6.4), (8, 16, 8.0), (8, 16, 12.0), (8, 0, 8.0)])
def test_constant_work_on_several_slots_against_single_requests(slots: int, queue: int, rate: float) -> None:
    """M/D/8/K: mean inside within 5 % and rejected share within 0.02 of the request-level model."""
    case = PoolCase(
        rate,
        load_shares=(1.0,),
        slots=slots,
        queue_bound=queue,
        service_mean_s=1.0,
        service_law="constant",
        horizon_s=8000.0,
        window_start_s=500.0,
        client=Client(deadline_s=math.inf),
    )
    runs = [run_pool(case, np.random.default_rng([11, k])) for k in range(6)]
    inside = np.array([run.in_flight_mean for run in runs])
    rejected = np.array([run.rejected / run.attempts for run in runs])
    plane = to(plane_of(rate, slots=slots, queue=queue, work_spread=0.0), 20_000.0)
    slack = 4.0 * inside.std(ddof=1) / math.sqrt(len(runs))
    assert slack < 0.04 * inside.mean()
    assert abs(plane.in_flight(0) - inside.mean()) <= 0.05 * inside.mean() + slack
    assert plane.net.pool_algebra[0, OUT_REJECTED] == pytest.approx(rejected.mean(), abs=0.02)


@pytest.mark.parametrize(("spread", "error"), [(0.0, 0.001), (0.3, 0.02), (1.0, 0.02)])
def test_in_time_is_the_law_of_the_work_where_nobody_waits(spread: float, error: float) -> None:
    """A slot for everybody: P(work <= deadline); constant work is in time or is not."""
    for deadline in (0.8, 1.25, 2.0):
        plane = to(plane_of(10.0, slots=400, work_spread=spread, clients={"deadline": deadline}), 60.0)
        if spread == 0.0:
            truth = float(deadline > 1.0)
        else:
            sample = np.random.default_rng(3).gamma(1.0 / spread**2, spread**2, 400_000)
            truth = float((sample <= deadline).mean())
        assert plane.success(0) == pytest.approx(truth, abs=error)


# -- contention ---------------------------------------------------------------------------------------------------


def crowded(rate_per_s: float, crowd_per_s: float, *, attempts: int = 3) -> float:
    """D03: 1 s of work + 1 % for each request at work, 2.8 s of patience, 3 attempts; success at the end.

    The crowd came for a minute before.
    """
    clients = {"deadline": 2.8, "attempts": attempts, "backoff": 0.0}
    plane = plane_of(rate_per_s, model=FLUID, clients=clients, slots=20_000, queue=0, work_spread=0.0, contention=0.01)
    plane.net.groups[0, 6] = 1e-3  # a failure is known at the deadline
    plane.set_demand_factor(0, crowd_per_s / rate_per_s)
    to(plane, 60.0)
    plane.set_demand_factor(0, 1.0)
    return to(plane, 1500.0).success(0)


def threshold(low: float, high: float, crowd: float, attempts: int = 3) -> float:
    """The demand at which success breaks down, to 0.1/s."""
    assert crowded(low, max(crowd, low), attempts=attempts) > 0.9
    assert crowded(high, max(crowd, high), attempts=attempts) < 0.1
    while high - low > 0.1:
        middle = 0.5 * (low + high)
        low, high = (middle, high) if crowded(middle, max(crowd, middle), attempts=attempts) > 0.5 else (low, middle)
    return 0.5 * (low + high)


def test_d03_two_thresholds_of_a_crowded_server() -> None:
    """Published: healthy below 64.3/s, and collapsed for good above 21.4/s. A start also meets itself: 1 % less."""
    assert threshold(50.0, 75.0, 0.0) == pytest.approx((1.0 - 1.01 / 2.8) / 0.01, abs=0.2)
    assert threshold(50.0, 75.0, 0.0) == pytest.approx(64.3, rel=0.01)
    assert threshold(15.0, 33.0, 80.0) == pytest.approx((1.0 - 1.01 / 2.8) / 0.03, abs=0.2)
    assert threshold(15.0, 33.0, 80.0) == pytest.approx(21.4, rel=0.015)


def test_d03_without_retries_has_one_threshold() -> None:
    """Negative control: what collapses under the crowd comes back at every demand that was healthy before."""
    assert threshold(15.0, 75.0, 80.0, attempts=1) == pytest.approx(64.3, rel=0.01)


# -- retries of users ------------------------------------------------------------------------------------------------


def test_b09_independent_attempts() -> None:
    """Published: attempts (1 - f^n) / (1 - f) and success 1 - f^n; f = 0.3, n = 4: 1.417 and 0.9919."""
    plane = plane_of(10.0, slots=100, clients={"attempts": 4, "backoff": 1.0})
    plane.set_condition(0, slow=1.0, error_share=0.3)
    to(plane, 50_000.0)
    offered, good, attempts, *_ = plane.totals(0)
    assert attempts / offered == pytest.approx(1.417, abs=2e-3)
    assert good / offered == pytest.approx(0.9919, abs=2e-3)


@pytest.mark.parametrize("share", [0.0, 0.4, 1.0])
def test_a_share_of_the_failed_tries_again(share: float) -> None:
    """Of those that failed k times, share^k are left: 1 + q f + (q f)^2 attempts, success (1 - f) times that."""
    plane = plane_of(10.0, slots=100, clients={"attempts": 3, "backoff": 1.0, "retry_share": share})
    plane.set_condition(0, slow=1.0, error_share=0.3)
    to(plane, 1e6)
    offered, good, attempts, *_, failed = plane.totals(0)
    n_attempts = sum((share * 0.3) ** k for k in range(3))
    assert attempts / offered == pytest.approx(n_attempts, rel=1e-3)
    assert good / offered == pytest.approx(0.7 * n_attempts, rel=1e-3)
    assert failed / offered == pytest.approx(1.0 - 0.7 * n_attempts, abs=1e-3)


@pytest.mark.parametrize(("jitter", "factor"), [("none", 1.0), ("full", 0.5), ("exponential", 1.0)])
@pytest.mark.parametrize("growth", [1.0, 2.0])
def test_the_waiting_are_as_many_as_their_pauses_say(growth: float, jitter: str, factor: float) -> None:
    """Nobody is reached: by Little's law rate (deadline + pause) wait for each retry; pauses 3, 3 g, 3 g^2 or half."""
    clients = {"attempts": 4, "backoff": 3.0, "backoff_growth": growth, "jitter": jitter, "deadline": 2.0}
    plane = plane_of(10.0, slots=100, clients=clients)
    plane.set_reachable(0, False)
    to(plane, 2000.0)
    truth = sum(10.0 * (2.0 + 0.05 + factor * 3.0 * growth**k) for k in range(3))
    assert plane.waiting_to_retry(0) == pytest.approx(truth, rel=1e-3)
    assert plane.net.group_algebra[0, FLOW_ATTEMPTS] == pytest.approx(40.0, rel=1e-3)
