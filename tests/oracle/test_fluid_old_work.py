"""Requests that began before their pod became faster or slower keep their work: against exact decay and simulation."""

import heapq
import math

import numpy as np
import pytest
from scenarios import FAR_S, one_pool, service, users

from sim.scenario.schema import Model
from sim.traffic.answers import wait_behind_old
from sim.traffic.assemble import assemble
from sim.traffic.engine import Traffic
from sim.traffic.layout import ALG_DONE, ALG_OLD, POD_OLD_BUSY, POD_OLD_LEFT_S, REACHED

SLOTS = 8


def full_pod(**of_service: float) -> Traffic:
    """One pod at twice its capacity, full: all slots are busy whatever happens."""
    fields = {"work": 0.5, "slots": SLOTS, "queue": 100, "imbalance": 0.0} | of_service
    people = {"u": users(requests=2.0 * SLOTS / 0.5, deadline=FAR_S)}
    scenario = one_pool(1, 1e6, service=service(**fields), populations=people, model=Model(noise="never"))
    plane = Traffic(assemble(scenario), tolerance=0.01)
    plane.start_pod(0, oom_level=math.inf)
    return to(plane, 60.0)


def to(plane: Traffic, end_s: float) -> Traffic:
    assert plane.advance(end_s) == (REACHED, -1)
    return plane


@pytest.mark.parametrize(("slow", "then"), [(1.0, 20.0), (20.0, 1.0)])
def test_a_full_pod_changes_its_pace_as_its_slots_turn_over(slow: float, then: float) -> None:
    """Exact for exponential work: n old slots fall as e^(-t / old work), and each that is freed has new work."""
    plane = full_pod()
    plane.set_condition(0, slow=slow, error_share=0.0)
    to(plane, 2000.0)
    plane.set_condition(0, slow=then, error_share=0.0)
    for after_s in (0.1, 1.0, 5.0, 30.0):
        to(plane, 2000.0 + after_s)
        old = SLOTS * math.exp(-after_s / (0.5 * slow))
        truth = old / (0.5 * slow) + (SLOTS - old) / (0.5 * then)
        assert plane.net.pod_algebra[0, ALG_DONE] == pytest.approx(truth, rel=2e-3)
        assert plane.net.pod_algebra[0, ALG_OLD] == pytest.approx(old, rel=2e-3, abs=1e-9)


def test_two_changes_at_one_moment_are_one() -> None:
    plane, other = full_pod(), full_pod()
    for factor in (4.0, 8.0):
        plane.set_condition(0, slow=factor, error_share=0.0)
    other.set_condition(0, slow=8.0, error_share=0.0)
    assert np.array_equal(plane.net.pods, other.net.pods)


def test_errors_alone_change_no_work_and_a_new_pod_has_none() -> None:
    plane = full_pod()
    plane.set_condition(0, slow=1.0, error_share=0.5)
    assert plane.net.pods[0, POD_OLD_BUSY] == 0.0
    plane.set_condition(0, slow=3.0, error_share=0.0)
    assert plane.net.pods[0, POD_OLD_BUSY] == pytest.approx(SLOTS, rel=1e-3)
    plane.stop_pod(0)
    plane.start_pod(0, oom_level=math.inf)
    assert plane.net.pods[0, POD_OLD_BUSY] == 0.0


@pytest.mark.parametrize(("spread", "share"), [(0.0, 0.5), (1.0, 1.0), (2.0, 2.5)])
def test_work_of_another_spread_is_found_half_done(spread: float, share: float) -> None:
    """Inspection paradox: the rest of the work found at a random moment is S (1 + cv^2) / 2 on average."""
    plane = full_pod(work_spread=spread)
    plane.set_condition(0, slow=3.0, error_share=0.0)
    assert plane.net.pods[0, POD_OLD_LEFT_S] == pytest.approx(share * 0.5, rel=0.02)


@pytest.mark.parametrize(
    ("waiting", "hold_s", "old", "left_s"),
    [(40, 0.5, 8, 10.0), (20, 0.2, 8, 10.0), (40, 0.5, 3, 10.0), (40, 10.0, 8, 0.5), (100, 0.5, 8, 1.5)],
)
def test_the_wait_behind_old_work_is_that_of_single_requests(
    waiting: int, hold_s: float, old: int, left_s: float
) -> None:
    """Mean within 12 % and deviation within 15 % of the simulated wait; services spread it as well."""
    rng = np.random.default_rng([61, waiting, old])
    waits = np.array([_simulated_wait(waiting, hold_s, old, left_s, rng) for _ in range(4000)])
    mean_s, spread = wait_behind_old(float(waiting), float(SLOTS), hold_s, float(old), left_s)
    assert mean_s == pytest.approx(waits.mean(), rel=0.12)
    assert math.sqrt(spread + mean_s**2 / waiting) == pytest.approx(waits.std(), rel=0.15)
    if left_s > 4.0 * hold_s and old == SLOTS:  # negative control: the services alone spread less
        assert mean_s / math.sqrt(waiting) < 0.7 * waits.std()


def _simulated_wait(waiting: int, hold_s: float, old: int, left_s: float, rng: np.random.Generator) -> float:
    """Time at which `waiting` requests have begun in slots that are all busy at first."""
    free_s = [*rng.exponential(left_s, old), *rng.exponential(hold_s, SLOTS - old)]
    heapq.heapify(free_s)
    at_s = 0.0
    for work_s in rng.exponential(hold_s, waiting):
        at_s = heapq.heappop(free_s)
        heapq.heappush(free_s, at_s + work_s)
    return at_s
