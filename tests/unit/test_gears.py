"""From mean rates to single requests and back: what a shift keeps, and what is seen before anybody was answered."""

import math

import pytest
from worlds import memory, service, users, world

from sim.scenario.schema import PodMemory, Scenario
from sim.traffic.assemble import assemble
from sim.traffic.engine import Traffic
from sim.traffic.gears import Noise, Shift
from sim.traffic.layout import REACHED, SHIFTED, TOTAL_FAILED


def one_pool(rate_per_s: float, work_s: float = 0.2, limits: PodMemory | None = None, **of_users: float) -> Scenario:
    """Two pods of 8 slots and 8 places: 80/s at a work of 0.2 s."""
    return world(services={"web": service(work_s, memory=limits)}, populations={"staff": users(rate_per_s, **of_users)})


def shifting(scenario: Scenario, noise: Noise | None = None) -> Traffic:
    """The data plane with single requests at hand, all pods ready and empty."""
    plane = Traffic(assemble(scenario), noise=noise or Noise(mode="auto"))
    for pod in range(len(plane.net.pods)):
        plane.start_pod(pod, oom_level=math.inf)
    return plane


def to(plane: Traffic, end_s: float) -> None:
    assert plane.advance(end_s) == (REACHED, -1)


def test_a_shift_keeps_the_hazard_of_a_pod():
    """What is left of a level is as long as if the pod had just been started; a hazard from nothing would be longer."""
    plane = shifting(one_pool(70.0, limits=memory(per_request=60.0)))
    for pod in (0, 1):
        plane.set_memory(pod, limit_mib=1000.0, used_mib=100.0, growth_mib_per_s=0.0)
        plane.set_per_request(pod, 60.0)
        plane.start_pod(pod, oom_level=1e9)
    to(plane, 60.0)
    hazards = plane.state[6:8].copy()
    assert (hazards > 0.0).all()
    plane._shift(Shift.HOT)
    assert plane.plays_requests
    plane._shift(Shift.CALM)
    assert plane.state[6:8].tolist() == hazards.tolist()


def test_of_requests_inside_only_the_share_that_retries_comes_again():
    """Twenty seconds of work, and all of it fails: of those inside at the shift three in ten will try again."""
    plane = shifting(one_pool(0.5, 20.0, attempts=2, deadline=1e6, retry_share=0.3))
    plane._shift(Shift.HOT)
    to(plane, 15.0)
    for pod in (0, 1):
        plane.set_condition(pod, slow=1.0, error_share=1.0)
    inside, failed = plane.in_flight(0), plane.totals(0)[TOTAL_FAILED]
    waiting = plane.open_requests(0) - inside
    assert inside > 2.0
    plane._shift(Shift.CALM)
    assert plane.waiting_to_retry(0) == pytest.approx(waiting + 0.3 * inside)
    assert plane.totals(0)[TOTAL_FAILED] == pytest.approx(failed + 0.7 * inside)


def test_a_trial_of_single_requests_begins_well():
    """Nobody has been answered yet: users and pools are as well as the pods promise, not as if all had failed."""
    plane = shifting(one_pool(30.0), Noise(mode="always"))
    assert plane.advance(0.001)[0] == SHIFTED
    to(plane, 0.6)
    assert plane.success(0) > 0.95
    assert plane.served(0) > 0.95
    assert plane.health(0, 0) > 0.95
