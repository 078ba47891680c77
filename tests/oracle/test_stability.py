"""The stability analysis against published borders of metastability: C20, C21, D03, D04, D05.

All are statements on mean rates, so the bench runs without single requests, without a stationary queue below saturation
and with ten times the usual accuracy; borders are found to 0.5 %, and each test says what else it allows and why.
"""

import math

import numpy as np
import pytest
from scenarios import one_pool, service, users

from sim.oracles.network_model import run_requests
from sim.oracles.queue_forms import erlang_a
from sim.scenario.schema import CrashLoop, Model, PodMemory, Scenario
from sim.study.margins import Reason, kill_time_s
from sim.study.stability import (
    PRECISION,
    Blow,
    State,
    column_of,
    critical_load,
    highest_load,
    shortest_trigger_s,
    tips,
)
from sim.study.stability_bench import Bench, Loss, System, system_of

FLUID = Model(queues="fluid", noise="never", tolerance=1.0)
BORDER = 1.5 * PRECISION
"""Half a step of the bisection, and the integrator's own error."""


# --- C20: retries of a server that does the work that nobody waits for ------------------------------------------

CAPACITY_PER_S, TIMEOUT_S = 100.0, 5.0


def c20(attempts: int, *, load_per_s: float = 80.0, cancels: bool = False, **pod: object) -> System:
    """A FIFO server of 100/s whose queue holds twice the wait that its clients have patience for."""
    fields = {"work": 0.1, "slots": 10, "queue": 1000, "cancels": cancels} | pod
    clients = users(requests=load_per_s, deadline=TIMEOUT_S, attempts=attempts, backoff=0.1)
    return system_of(one_pool(1, 3600.0, service=service(**fields), populations={"u": clients}, model=FLUID))


@pytest.mark.parametrize("attempts", [1, 2, 3, 4])
def test_c20_collapse_feeds_itself_from_capacity_over_attempts_on(attempts: int) -> None:
    system = c20(attempts)
    assert 80.0 * critical_load(system) == pytest.approx(CAPACITY_PER_S / attempts, rel=BORDER)
    assert 80.0 * highest_load(system) == pytest.approx(CAPACITY_PER_S, rel=BORDER)


@pytest.mark.parametrize(("attempts", "state"), [(1, State.STABLE), (2, State.VULNERABLE), (4, State.VULNERABLE)])
def test_c20_eighty_a_second_needs_two_attempts(attempts: int, state: State) -> None:
    assert column_of(c20(attempts), 1.0, [Blow(0, 0.0)]) == [state]


def test_c20_four_attempts_are_safe_below_25_a_second() -> None:
    system = c20(4, load_per_s=25.0)
    assert column_of(system, 0.98, [Blow(0, 0.0)]) == [State.STABLE]
    assert column_of(system, 1.02, [Blow(0, 0.0)]) == [State.VULNERABLE]
    assert column_of(system, 4.1, [Blow(0, 0.0)]) == [State.OVERLOADED]


def test_c20_a_queue_that_is_shorter_than_the_patience_does_not_collapse_like_that() -> None:
    """Negative control: no request waits 5 s where 200 wait for 100/s, so what is done is not done for nobody."""
    assert 80.0 * critical_load(c20(4, queue=200)) > 2.0 * CAPACITY_PER_S / 4


# --- C21: the hyperbola of size and length ----------------------------------------------------------------------


def c21(attempts: int) -> System:
    """Ten thousand a second, so that the spread of waiting times is small beside them."""
    pod = service(work=0.001, slots=10, queue=100_000)
    clients = users(requests=8000.0, deadline=TIMEOUT_S, attempts=attempts, backoff=0.1)
    return system_of(one_pool(1, 3600.0, service=pod, populations={"u": clients}, model=FLUID))


LEFT_PER_S = (0.0, 20.0, 50.0, 70.0)
HYPERBOLA_S = tuple(500.0 / (80.0 - left) for left in LEFT_PER_S)
"""6.25, 8.33, 16.7 and 50 s, for a capacity of 100/s and 80/s of load."""


@pytest.mark.parametrize(("left_per_s", "expected_s"), list(zip(LEFT_PER_S, HYPERBOLA_S, strict=True)))
def test_c21_fresh_arrivals_are_late_from_the_hyperbola_on(left_per_s: float, expected_s: float) -> None:
    """Within 1 %: a service time, and the spread of waits whose median the border is."""
    found_s = shortest_trigger_s(c21(1), 1.0, Blow(0, 1.0 - left_per_s / CAPACITY_PER_S), late=True)
    assert found_s == pytest.approx(expected_s, rel=0.01)


def test_c21_another_load_is_another_hyperbola() -> None:
    """Negative control of the hyperbola."""
    found_s = shortest_trigger_s(c21(1), 0.95, Blow(0, 0.8), late=True)
    assert found_s != pytest.approx(HYPERBOLA_S[1], rel=0.05)
    assert found_s == pytest.approx(500.0 / (76.0 - 20.0), rel=0.01)


def stays_late(lasts_s: float, left_per_s: float, step_s: float = 5e-3) -> bool:
    """Two attempts, request by request in the limit of many: first come first served, each first attempt that will be
    answered after 5 s is made again 0.1 s later; whether fresh ones are still late at the end.
    """
    n, delay = int(150.0 / step_s), round((TIMEOUT_S + 0.1) / step_s)
    late, waiting = np.zeros(n), 0.0
    for k in range(n):
        to_end_s = lasts_s - k * step_s
        rate = left_per_s if to_end_s > 0.0 else CAPACITY_PER_S
        again = 80.0 * late[k - delay] if k >= delay else 0.0
        waiting = max(waiting + (80.0 + again - rate) * step_s, 0.0)
        done_in_loss = left_per_s * max(to_end_s, 0.0)
        if waiting >= done_in_loss:
            wait_s = max(to_end_s, 0.0) + (waiting - done_in_loss) / CAPACITY_PER_S
        else:
            wait_s = waiting / left_per_s
        late[k] = wait_s > TIMEOUT_S
    return bool(late[-100:].mean() > 0.5)


def test_c21_retries_tip_it_below_the_upper_bound() -> None:
    """What tips the system (two attempts) against the exact delays, which keep the shape of the hyperbola.

    Mean rates take the wait of an arrival from the rate of its moment and so count all of a short, deep loss as late:
    they tip up to a third too early where nothing is left, and within a tenth where most is.
    """
    system, exact_s = c21(2), []
    for left in LEFT_PER_S:
        low_s, high_s = 1.0, 60.0
        while high_s - low_s > 0.02 * high_s:
            middle_s = 0.5 * (low_s + high_s)
            low_s, high_s = (low_s, middle_s) if stays_late(middle_s, left) else (middle_s, high_s)
        exact_s.append(high_s)
    missed = [lasts_s * (80.0 - left) for lasts_s, left in zip(exact_s, LEFT_PER_S, strict=True)]
    assert missed == pytest.approx([missed[0]] * 4, rel=0.05)
    found_s = [shortest_trigger_s(system, 1.0, Blow(0, 1.0 - left / CAPACITY_PER_S)) for left in LEFT_PER_S]
    assert all(found < bound for found, bound in zip(found_s, HYPERBOLA_S, strict=True))
    assert found_s == sorted(found_s)
    ratios = [found / exact for found, exact in zip(found_s, exact_s, strict=True)]
    assert ratios == sorted(ratios)
    assert ratios[0] > 0.65
    assert 0.9 < ratios[-1] < 1.02


def test_c21_without_retries_nothing_tips() -> None:
    """Negative control: the queue is late for a while, and drains."""
    assert shortest_trigger_s(c21(1), 1.0, Blow(0, 1.0), longest_s=600.0) == math.inf


# --- D03: contention makes two thresholds -----------------------------------------------------------------------

LATENCY_MAX_S = 3.0 - 0.2


def d03(*, attempts: int = 3, contention: float = 0.01) -> System:
    """Latency 1 / (1 - 0.01 rate), no queue; clients give up after 3 s, of which 0.2 s are the network's."""
    pod = service(work=1.0, slots=1000, queue=0, contention=contention, work_spread=0.0)
    clients = users(requests=40.0, deadline=LATENCY_MAX_S, attempts=attempts, backoff=0.2)
    return system_of(one_pool(1, 3600.0, service=pod, populations={"u": clients}, model=FLUID))


def test_d03_the_vulnerable_band_between_two_thresholds() -> None:
    """Healthy while 1/(1 - 0.01 rate) < 2.8 s; collapsed while 1/(1 - 0.03 rate) > 2.8 s."""
    system = d03()
    highest_per_s = (1.0 - 1.0 / LATENCY_MAX_S) / 0.01
    assert highest_per_s == pytest.approx(64.3, abs=0.05)
    assert 40.0 * critical_load(system) == pytest.approx(highest_per_s / 3.0, rel=0.01)
    assert 40.0 * highest_load(system) == pytest.approx(highest_per_s, rel=0.015)
    assert column_of(system, 1.0, [Blow(0, 0.0)]) == [State.VULNERABLE]


def test_d03_one_attempt_or_other_contention_moves_them() -> None:
    """Negative controls."""
    alone = d03(attempts=1)
    assert critical_load(alone) == pytest.approx(highest_load(alone), rel=BORDER)
    assert 40.0 * highest_load(d03(contention=0.02)) == pytest.approx(64.3 / 2.0, rel=0.02)


# --- D04: the critical load of a small retry chain --------------------------------------------------------------


def d04(retry_share: float = 0.8, attempts: int = 20) -> System:
    """10/s, room for 30, answers late after 0.5 s, 2/s come back; a hundred times as much of all, for mean rates."""
    pod = service(work=0.1, slots=100, queue=2900)
    clients = users(requests=200.0, deadline=0.5, attempts=attempts, backoff=0.5, retry_share=retry_share)
    return system_of(one_pool(1, 3600.0, service=pod, populations={"u": clients}, model=FLUID))


def test_d04_the_critical_load_is_capacity_times_the_share_that_gives_up() -> None:
    """10 (1 - 0.8) = 2; with twenty attempts instead of any number 10 / (1 + 0.8 + ... + 0.8^19) = 2.023."""
    critical_per_s = 2.0 * critical_load(d04())
    assert critical_per_s == pytest.approx(10.0 * (1.0 - 0.8), rel=0.02)
    assert critical_per_s == pytest.approx(10.0 / sum(0.8**k for k in range(20)), rel=BORDER)


def test_d04_another_share_is_another_load() -> None:
    """Negative control."""
    assert 2.0 * critical_load(d04(0.5)) == pytest.approx(10.0 * (1.0 - 0.5), rel=BORDER)


# --- D05: a narrow window in size, length and load --------------------------------------------------------------

D05_LOAD = 0.603
"""Load over capacity; the window for which all four outcomes hold is 0.593 to 0.615."""


def d05(attempts: int = 5) -> System:
    """A primary of 1000/s; clients wait 3 s and send again at once, four times."""
    pod = service(work=0.01, slots=10, queue=10_000)
    clients = users(requests=1000.0, deadline=3.0, attempts=attempts, backoff=0.0)
    return system_of(one_pool(1, 3600.0, service=pod, populations={"u": clients}, model=FLUID))


OUTCOMES = {
    "quota 0.45 for 10 s": (1.0, 0.45, 10.0, False),
    "quota 0.40 for 10 s": (1.0, 0.40, 10.0, True),
    "quota 0.40 for 9 s": (1.0, 0.40, 9.0, False),
    "quota 0.40 for 10 s, a quarter less load": (0.75, 0.40, 10.0, False),
    "quota 0.40 for 10 s, 30 % less load": (0.70, 0.40, 10.0, False),
}
"""(times the load, capacity left, seconds, metastable?)"""


def outcomes(system: System, load: float) -> dict[str, bool]:
    """Which of the published experiments end metastable."""
    return {
        name: tips(system, load * factor, Blow(0, 1.0 - quota, Loss.SLOW, lasts_s))
        for name, (factor, quota, lasts_s, _) in OUTCOMES.items()
    }


@pytest.mark.parametrize("load", [0.594, D05_LOAD, 0.613])
def test_d05_one_load_has_all_four_outcomes(load: float) -> None:
    assert outcomes(d05(), load) == {name: metastable for name, (*_, metastable) in OUTCOMES.items()}


@pytest.mark.parametrize(("load", "attempts"), [(0.55, 5), (0.65, 5), (D05_LOAD, 2)])
def test_d05_other_loads_or_fewer_attempts_have_not(load: float, attempts: int) -> None:
    """Negative controls: the window is narrow, as the authors say."""
    assert outcomes(d05(attempts), load) != {name: metastable for name, (*_, metastable) in OUTCOMES.items()}


# --- C10: where mean rates are known to be wrong, and by how much ---------------------------------------------------


def impatient(slots: int, utilisation: float, patience_s: float) -> Scenario:
    """Erlang-A: one pod, exponential work of 1 s, exponential patience."""
    pod = service(work=1.0, slots=slots, queue=1000, patience=patience_s)
    clients = users(requests=utilisation * slots, deadline=1e6)
    return one_pool(1, 3600.0, service=pod, populations={"u": clients}, model=Model(noise="never"))


@pytest.mark.parametrize("utilisation", [0.95, 1.0, 1.05])
@pytest.mark.parametrize("slots", [8, 32, 200])
@pytest.mark.parametrize("patience_s", [0.5, 2.0, 5.0])
def test_c10_the_size_that_the_warning_names(slots: int, utilisation: float, patience_s: float) -> None:
    bench = Bench(system_of(impatient(slots, utilisation, patience_s)), 1.0)
    bench.settle(3600.0)
    waiting = bench.traffic.in_flight(0) - float(bench.traffic.net.pod_algebra[0, 0])
    exact = erlang_a(slots, utilisation * slots, 1.0, 1.0 / patience_s).waiting
    assert 1.2 < waiting / exact < 2.0
    assert "by 20 to 100 %" in Reason.PATIENCE.value


def test_c10_far_from_saturation_the_size_is_another() -> None:
    """Negative control: at 1.2 x 200 slots the mean is right within 3 %."""
    bench = Bench(system_of(impatient(200, 1.2, 5.0)), 1.0)
    bench.settle(3600.0)
    waiting = bench.traffic.in_flight(0) - float(bench.traffic.net.pod_algebra[0, 0])
    assert waiting == pytest.approx(erlang_a(200, 240.0, 1.0, 0.2).waiting, rel=0.03)


# --- chance against a memory limit: first passage against every single request ----------------------------------

KILLS_RUN_S = 6000.0


def full_of_chance(utilisation: float) -> Scenario:
    """A pod of 8 slots whose memory 36 requests fill; nobody retries, so that each kill is one of chance."""
    memory = PodMemory(base=600.0, per_request=40.0, limit=2048.0)
    pod = service(work=0.2, slots=8, queue=40, memory=memory, crash_loop=CrashLoop(first=0.001, initial=0.001))
    clients = users(requests=utilisation * 8 / 0.2, deadline=60.0, attempts=1)
    return one_pool(1, KILLS_RUN_S, service=pod, populations={"u": clients})


def test_the_time_until_chance_fills_a_pod_is_that_of_single_requests() -> None:
    """A renewal process: kills in a run are near Poisson; a utilisation of 0.75 would have a seventh of them."""
    run = run_requests(full_of_chance(0.81), rng=np.random.default_rng([20260101, 0]), settle_s=0.0)
    kills, pod = len(run.oom_kills), full_of_chance(0.81).services["s"]

    def z_of(utilisation: float) -> float:
        expected = KILLS_RUN_S / kill_time_s(pod, utilisation)
        return (kills - expected) / math.sqrt(expected)

    assert abs(z_of(0.81)) <= 4.0
    assert z_of(0.75) > 4.0
