"""Which pods get requests, and the guards that probes, autoscalers and the noise mode watch: against closed forms."""

import math
from typing import Any

import pytest
from scenarios import FAR_S, one_pool, service, users

from sim.oracles.queue_forms import mmc_wait_tail, mmck
from sim.scenario.schema import Model
from sim.traffic.answers import slot_in_time_prob
from sim.traffic.assemble import assemble
from sim.traffic.engine import Traffic
from sim.traffic.layout import (
    ALG_BUSY,
    GUARD,
    GUARD_BUSY,
    GUARD_HOT,
    GUARD_POD_IN_TIME,
    OUT_REJECTED,
    OUT_UP,
    REACHED,
)

FINE = Model(tolerance=0.01, noise="never")


def plane_of(pods: int, rate_per_s: float, *, deadline: float = FAR_S, **of_service: Any) -> Traffic:
    """One pool, all pods ready and empty."""
    fields = {"work": 1.0, "slots": 8, "queue": 2000, "imbalance": 0.0} | of_service
    scenario = one_pool(
        pods,
        1e4,
        service=service(**fields),
        populations={"u": users(requests=rate_per_s, deadline=deadline)},
        model=FINE,
    )
    plane = Traffic(assemble(scenario), tolerance=scenario.model.tolerance)
    for pod in plane.pods_of[0]:
        plane.start_pod(pod, oom_level=math.inf)
    return plane


def to(plane: Traffic, end_s: float) -> None:
    assert plane.advance(end_s) == (REACHED, -1)


# -- who gets requests ----------------------------------------------------------------------------------------


def test_a_dead_pod_that_is_listed_rejects_its_share() -> None:
    """Shares 1, 2, 3, 4: the dead third pod gets 3/10 of the requests, and nobody else gets more than before."""
    plane = plane_of(4, 10.0, load_shares=(1.0, 2.0, 3.0, 4.0), slots=100, work=0.1)
    to(plane, 10.0)
    plane.stop_pod(2)
    to(plane, 20.0)
    without_it = [plane.state[pod] for pod in (0, 1, 3)]
    assert plane.success(0) == pytest.approx(1.0)  # negative control: not listed, nothing is rejected
    plane.set_listed(2, True)
    to(plane, 30.0)
    assert plane.net.pool_algebra[0, OUT_REJECTED] == pytest.approx(3.0 / 10.0, rel=1e-9)
    assert plane.success(0) == pytest.approx(1.0 - 3.0 / 10.0, rel=1e-6)
    assert [plane.state[pod] for pod in (0, 1, 3)] == pytest.approx([7.0 / 10.0 * x for x in without_it], rel=1e-3)


def test_a_ready_pod_that_is_not_listed_works_off_what_it_has() -> None:
    """With a slot for each request inside, they leave one by one: x exp(-t / work)."""
    plane = plane_of(2, 20.0, slots=400, queue=0)
    to(plane, 50.0)
    plane.set_listed(1, False)
    before = plane.state[1]
    for passed_s in (0.5, 2.0, 4.0):
        to(plane, 50.0 + passed_s)
        assert plane.state[1] == pytest.approx(before * math.exp(-passed_s), rel=1e-3)
        assert plane.net.pool_algebra[0, OUT_REJECTED] < 1e-9
    assert plane.state[0] == pytest.approx(20.0 - 10.0 * math.exp(-4.0), rel=1e-3)  # the other one has it all
    plane.set_listed(1, True)
    to(plane, 100.0)
    assert plane.state[1] == pytest.approx(before, rel=1e-3)  # negative control


def test_nothing_listed_is_nothing_served_and_needs_counts_ready_pods() -> None:
    plane = plane_of(3, 10.0, needs=2, slots=100)
    to(plane, 5.0)
    plane.set_listed(0, False)
    plane.set_listed(1, False)
    to(plane, 10.0)
    assert plane.net.pool_algebra[0, OUT_UP] == 1.0  # three are ready
    assert plane.success(0) == pytest.approx(1.0, abs=1e-9)
    plane.set_listed(2, False)
    to(plane, 15.0)
    assert plane.net.pool_algebra[0, OUT_REJECTED] == 1.0
    assert plane.success(0) == 0.0
    for pod in (1, 2):
        plane.stop_pod(pod)
    plane.set_listed(0, True)
    to(plane, 20.0)
    assert plane.net.pool_algebra[0, OUT_UP] == 0.0
    assert plane.success(0) == 0.0


# -- what guards look at ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(("kind", "truth"), [(GUARD_BUSY, 8.0 / 16.0), (GUARD_HOT, 6.0 / 8.0)])
def test_busy_share_of_the_pool_and_of_its_hottest_pod(kind: int, truth: float) -> None:
    """An offered load of a makes a slots busy, however they queue: 2 + 6 of 8 + 8."""
    for level, reached in ((truth - 0.01, True), (truth + 0.01, False)):
        plane = plane_of(2, 8.0, load_shares=(1.0, 3.0))
        guard = plane.add_guard(kind, 0, level)
        assert plane.advance(0.0) == (GUARD, guard)
        assert plane.guard_flipped(guard)  # nobody is inside at the start
        assert plane.advance(300.0) == ((GUARD, guard) if reached else (REACHED, -1))


def test_the_busy_guard_returns_at_its_level() -> None:
    """One slot per request, empty at 0: busy = 20 (1 - exp(-t)) of 40 slots crosses a quarter at log 2."""
    plane = plane_of(1, 20.0, slots=40, queue=0)
    guard = plane.add_guard(GUARD_BUSY, 0, 0.25)
    assert plane.advance(10.0) == (GUARD, guard)
    assert plane.guard_flipped(guard)  # at 0 it is below
    assert plane.advance(10.0) == (GUARD, guard)
    assert not plane.guard_flipped(guard)
    assert plane.net.pod_algebra[0, ALG_BUSY] / 40.0 == pytest.approx(0.25, abs=6e-3)  # the level and the hysteresis
    assert plane.now_s == pytest.approx(math.log(2.0), abs=0.03)
    assert plane.advance(10.0) == (REACHED, -1)
    plane.stop_pod(0)
    assert plane.advance(20.0) == (GUARD, guard)  # none ready counts as idle


@pytest.mark.parametrize("utilisation", [0.3, 0.7, 0.9, 0.97])
@pytest.mark.parametrize("slots", [1, 4, 32])
def test_a_slot_in_time_is_erlangs_law(slots: int, utilisation: float) -> None:
    """M/M/c: P(wait <= t) = 1 - C exp(-(c - a) t); the mean field has it to 1e-3 up to 97 %."""
    plane = plane_of(1, slots * utilisation, slots=slots)
    to(plane, 20_000.0)
    for wait_s in (0.05, 0.5, 2.0, 10.0, 40.0):
        truth = 1.0 - mmc_wait_tail(slots, slots * utilisation, 1.0, wait_s)
        assert slot_in_time_prob(wait_s, 0, plane.state, plane.net) == pytest.approx(truth, abs=1e-3)


def test_the_law_of_another_load_would_be_seen() -> None:
    """Negative control of the above: three per cent less load is ten times its error and more."""
    plane = plane_of(1, 4 * 0.90, slots=4)
    to(plane, 20_000.0)
    wrong = 1.0 - mmc_wait_tail(4, 4 * 0.87, 1.0, 2.0)
    assert abs(slot_in_time_prob(2.0, 0, plane.state, plane.net) - wrong) > 0.01


def test_a_slot_in_time_counts_rejections_and_a_full_queue() -> None:
    """1.5 times the capacity: a third is rejected, and the rest waits for 40 places at 8/s, 5 s."""
    plane = plane_of(1, 12.0, queue=40)
    to(plane, 600.0)
    let_in = 1.0 - mmck(8, 48, 12.0, 1.0).blocked
    assert let_in == pytest.approx(2.0 / 3.0, abs=1e-6)
    assert slot_in_time_prob(20.0, 0, plane.state, plane.net) == pytest.approx(let_in, abs=1e-3)
    assert slot_in_time_prob(1.0, 0, plane.state, plane.net) < 1e-3
    assert 0.2 < slot_in_time_prob(4.9, 0, plane.state, plane.net) / let_in < 0.8
    plane.stop_pod(0)
    assert slot_in_time_prob(1.0, 0, plane.state, plane.net) == 1.0


def test_the_guard_of_a_probe_crosses_while_the_queue_fills() -> None:
    """16/s on 8/s: the wait reaches the 2 s of the probe when 16 wait, a little after 2 s."""
    plane = plane_of(1, 16.0)
    guard = plane.add_guard(GUARD_POD_IN_TIME, 0, 0.5, region=2)
    assert plane.advance(60.0) == (GUARD, guard)
    assert plane.guard_flipped(guard)
    assert plane.state[0] == pytest.approx(8.0 + 16.0, abs=2.0)
    assert plane.now_s == pytest.approx(2.4, abs=0.4)
