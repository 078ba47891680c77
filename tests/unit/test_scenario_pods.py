"""What shedding leaves of a pod, and that everybody who needs to know it says the same."""

import math

import pytest
from scenarios import one_pool, several, users
from scenarios import service as pod_of

from sim.scenario.lint import lint_queues
from sim.scenario.pods import fewest_placed, full_pod_mib, hottest_share, overflows, pod_bounds, pod_room
from sim.scenario.schema import PodMemory, Scenario, Service
from sim.study.margins import kill_time_s, pool_kill_time_s, queue_fits, utilisations
from sim.study.stability_remedies import remedies
from sim.traffic.assemble import assemble
from sim.traffic.layout import POOL_OVERFLOWS
from sim.world.capacity import placed_capacity_per_s

PODS = 4


def killable(shed_above: int | None) -> Service:
    """8 slots and a queue of 40, of which 36 requests inside kill the pod: 600 + 36 x 40 = 2040 < 2048 <= 2080."""
    memory = PodMemory(base=600.0, per_request=40.0, limit=2048.0)
    return pod_of(work=0.2, slots=8, queue=40, memory=memory, shed_above=shed_above)


def pool(shed_above: int | None) -> Scenario:
    """Four such pods, 16/s: 3.2 busy slots in all."""
    return one_pool(PODS, 3600.0, service=killable(shed_above), populations={"u": users(requests=16.0)})


@pytest.mark.parametrize(
    ("shed_above", "n_inside", "fits"),
    [(None, 48, False), (60, 15, True), (147, 36, True), (148, 37, False), (10**6, 48, False)],
)
def test_a_queue_that_shedding_keeps_short_fits_its_memory(shed_above: int | None, n_inside: int, fits: bool):
    """60 over 4 pods are 15 in each, 600 + 15 x 40 = 1200 MiB; 147 over 4 are 36, and 148 are 37, which kill."""
    scenario = pool(shed_above)
    service = scenario.services["s"]
    assert pod_room(service, PODS) == n_inside
    assert full_pod_mib(service, PODS) == 600.0 + 40.0 * n_inside
    [fit] = queue_fits(scenario)
    assert (fit.n_requests, fit.needed_mib, fit.fits) == (n_inside, 600.0 + 40.0 * n_inside, fits)
    assert (list(lint_queues(scenario)) == []) is fits
    assert bool(assemble(scenario).network.pools[0, POOL_OVERFLOWS]) is not fits
    assert overflows(service, PODS) is not fits
    assert math.isinf(kill_time_s(service, 0.95, PODS)) is fits
    assert math.isinf(pool_kill_time_s(service, 0.95, PODS)) is fits


def test_the_remedy_shedding_is_not_warned_about_as_if_it_were_absent():
    """At capacity: 8 slots x 4 / 1.08 = 30 in flight, 7 in each pod; the warning is there before."""
    scenario = pool(None)
    assert len(list(lint_queues(scenario))) == 1
    [shedding] = [remedy for remedy in remedies(scenario) if remedy.name == "shedding at capacity"]
    assert shedding.what == "s.shed_above: 30"
    assert list(lint_queues(shedding.scenario)) == []
    assert queue_fits(shedding.scenario)[0].n_requests == 7


def test_utilisation_is_of_the_slots_that_shedding_leaves():
    """16/s x 0.2 s = 3.2 busy in 4 pods, 0.8 each: 0.10 of 8 slots, and 0.40 of the 2 that 8 in flight leave."""
    even = {"imbalance": 0.0}
    for shed_above, expected in ((None, 0.1), (8, 0.4)):
        service = killable(shed_above).model_copy(update=even)
        scenario = pool(shed_above).model_copy(update={"services": {"s": service}})
        assert utilisations(scenario)["r", "s"] == pytest.approx(expected)
        # 85 % of 4 x 8 slots or 4 x 2, 0.2 s each
        assert placed_capacity_per_s(scenario, "r", "s") == pytest.approx(0.85 * 16.0 / (expected * 1.0))


def test_the_hottest_pod_has_the_load_share_that_is_stated():
    """3 of 1 + 3 in two pods are 1.5 times the mean; without shares 1 + imbalance; alone the mean."""
    assert hottest_share(pod_of(load_shares=(1.0, 3.0)), 2) == pytest.approx(1.5)
    assert hottest_share(pod_of(imbalance=0.1), 3) == pytest.approx(1.1)
    assert hottest_share(pod_of(imbalance=0.1), 1) == 1.0


def test_the_region_with_the_fewest_pods_gives_each_the_most_room():
    two = pool(60).model_copy(update={"place": {"r": {"s": 4}, "q": {"s": 1}, "bare": {"s": 0}}})
    assert fewest_placed(two, "s") == 1
    assert queue_fits(two)[0].n_requests == 48
    assert fewest_placed(several({"s": pod_of()}, {}, 3600.0), "s") == 1


def test_unused_bounds_are_those_of_the_service():
    assert pod_bounds(pod_of(slots=3, queue=5), 7, None) == (3, 5)
