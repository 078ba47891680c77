"""The chance that a queue in balance reaches the memory limit: engine against the exact first passage of M/M/c.

Mean time to reach N requests from an empty system of birth rate a and death rates min(k, c) mu (W. Feller, An
Introduction to Probability Theory, vol. 1, birth and death processes): the sum over k < N of h_k with
h_k = (1 + min(k, c) mu h_(k-1)) / a.
"""

import numpy as np
import pytest
from scenarios import one_pool, service, users

from sim.scenario.schema import Model, PodMemory, Scenario
from sim.traffic.assemble import assemble
from sim.traffic.engine import Traffic
from sim.traffic.rates import crossing_hazard
from sim.world import Kind
from sim.world.trial import Trial

SLOTS, WORK_S, BASE_MIB, REQUEST_MIB = 8, 0.2, 100.0, 10.0
N_TRIALS = 400
CASES = [(0.5, 18), (0.65, 24), (0.75, 30), (0.81, 36)]
"""Utilisation of the pod, and the number of requests inside that kills it."""


def first_passage_s(utilisation: float, n_killed: int) -> float:
    rate = utilisation * SLOTS / WORK_S
    climb_s, total_s = 0.0, 0.0
    for k in range(n_killed):
        climb_s = (1.0 + min(k, SLOTS) / WORK_S * climb_s) / rate
        total_s += climb_s
    return total_s


def scenario(utilisation: float, n_killed: int, noise: str, horizon_s: float) -> Scenario:
    """One pod that is killed when `n_killed` requests are inside; half a request of slack, as on average."""
    memory = PodMemory(base=BASE_MIB, per_request=REQUEST_MIB, limit=BASE_MIB + (n_killed - 0.5) * REQUEST_MIB)
    pod = service(work=WORK_S, slots=SLOTS, queue=200, memory=memory, startup=30.0)
    rate = utilisation * SLOTS / WORK_S
    return one_pool(
        1,
        horizon_s,
        service=pod,
        populations={"u": users(requests=rate, deadline=100.0)},
        model=Model(noise=noise, noise_requests=10**9),
    )


def first_kills_s(utilisation: float, n_killed: int, noise: str, n_trials: int) -> np.ndarray:
    horizon_s = 12.0 * first_passage_s(utilisation, n_killed)
    found = []
    for trial in range(n_trials):
        record = Trial(scenario(utilisation, n_killed, noise, horizon_s), "a", trial).run()
        kills = [entry.at_s for entry in record.records if entry.kind is Kind.OOM_KILL]
        assert kills, "of a million such trials six last so long"
        found.append(kills[0])
    return np.array(found)


def z_score(times_s: np.ndarray, exact_s: float) -> float:
    return float((times_s.mean() - exact_s) / (times_s.std(ddof=1) / np.sqrt(times_s.size)))


@pytest.mark.parametrize(("utilisation", "n_killed"), CASES)
def test_mean_rates_kill_a_pod_as_often_as_its_queue_does(utilisation: float, n_killed: int) -> None:
    exact_s = first_passage_s(utilisation, n_killed)
    times_s = first_kills_s(utilisation, n_killed, "never", N_TRIALS)
    assert abs(times_s.mean() / exact_s - 1.0) < 0.05 + 4.0 / np.sqrt(N_TRIALS)  # model error, chance
    assert 0.8 < times_s.std() / times_s.mean() < 1.2  # exponential, as rare events are


@pytest.mark.parametrize(("utilisation", "n_killed"), [(0.75, 22)])
def test_single_requests_kill_a_pod_exactly_as_often(utilisation: float, n_killed: int) -> None:
    times_s = first_kills_s(utilisation, n_killed, "always", 200)
    assert abs(z_score(times_s, first_passage_s(utilisation, n_killed))) <= 4.0


def test_negative_control_another_utilisation_fails() -> None:
    times_s = first_kills_s(0.75, 22, "always", 200)
    assert abs(z_score(times_s, first_passage_s(0.78, 22))) > 4.0


def settled(utilisation: float, n_killed: int) -> Traffic:
    """Mean rates of the pod in balance, under a level that nothing reaches."""
    spec = scenario(utilisation, n_killed, "never", 1e9)
    memory = spec.services["s"].memory
    assert memory is not None
    plane = Traffic(assemble(spec), tolerance=0.1)
    plane.set_memory(0, limit_mib=memory.limit, used_mib=memory.base, growth_mib_per_s=0.0)
    plane.set_per_request(0, memory.per_request)
    plane.start_pod(0, oom_level=1e12)
    plane.advance(1000.0)
    return plane


@pytest.mark.parametrize(("utilisation", "n_killed"), CASES)
def test_the_hazard_is_one_over_the_mean_time(utilisation: float, n_killed: int) -> None:
    """Without any chance, to 1 %."""
    plane, exact_s = settled(utilisation, n_killed), first_passage_s(utilisation, n_killed)
    begun = float(plane.state[3])
    plane.advance(2000.0)
    per_s = (float(plane.state[3]) - begun) / 1000.0
    assert per_s * exact_s == pytest.approx(1.0, rel=0.01)


@pytest.mark.parametrize(("utilisation", "n_killed"), CASES)
def test_negative_control_the_normal_fluctuation_alone_would_hardly_kill(utilisation: float, n_killed: int) -> None:
    """What the hazard was before, asked of the engine: the crossings of a queue that moves, with a normal tail."""
    plane = settled(utilisation, n_killed)
    rate = utilisation * SLOTS / WORK_S
    normal_per_s = crossing_hazard(rate, n_killed - 0.5, 0, float(plane.state[0]), float(plane.state[1]), plane.net)
    assert normal_per_s * first_passage_s(utilisation, n_killed) < 1e-3
