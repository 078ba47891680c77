"""Equal pods are computed once: the same answers as one by one, and never for pods that differ in anything."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from worlds import memory, service, users, world

from sim.scenario.schema import Call, Model, Scenario
from sim.traffic import engine
from sim.traffic.alike import join_equal, part_equal
from sim.traffic.assemble import assemble
from sim.traffic.engine import Traffic
from sim.traffic.layout import (
    ALG_BUSY,
    GROUP_ATTEMPTS,
    GROUP_STEPS,
    GUARD,
    GUARD_BUSY,
    GUARD_HOT,
    GUARD_POD_IN_TIME,
    N_MOVING,
    OOM,
    POD_ERROR_SHARE,
    POD_LIKE,
    POD_LIMIT_MIB,
    POD_LISTED,
    POD_OOM_LEVEL,
    POD_PER_REQUEST_MIB,
    POD_ROOM_AT_S,
    POD_ROOM_LOSS,
    POD_ROOM_MIB,
    POD_SLOW,
    POD_STANDS_FOR,
    POD_TABLE,
    REACHED,
)
from sim.traffic.rates import derivative

PODS = 6
EQUAL = (1.0,) * PODS
ALMOST = tuple(1.0 + 1e-12 * k for k in range(PODS))
"""Shares that differ in the last digits: the same system, but no two pods are equal."""


def two_tiers(shares: tuple[float, ...], *, tolerance: float = 0.1, order: str = "fifo") -> Scenario:
    """A web tier of six pods that calls a service of six near saturation: 6 x 8 slots of 0.2 s each."""
    of_pods = {"order": order, "load_shares": shares, "memory": memory(base=100.0, per_request=8.0, limit=200.0)}
    return world(
        services={
            "web": service(0.02, slots=24, calls={"db": Call(timeout=1.0, attempts=2)}, **of_pods),
            "db": service(0.2, **of_pods),
        },
        place={"home": {"web": PODS, "db": PODS}},
        populations={"staff": users(190.0, attempts=3, deadline=3.0)},
        model=Model(tolerance=tolerance, noise="never"),
    )


def started(shares: tuple[float, ...], *, order: str = "fifo", oom_level: float = 1e6, **options: Any) -> Traffic:
    """All pods ready, with room in memory for 12.5 requests under OOM levels of their own."""
    spec = two_tiers(shares, order=order)
    plane = Traffic(assemble(spec), tolerance=spec.model.tolerance, **options)
    for p in range(2 * PODS):
        plane.set_memory(p, limit_mib=200.0, used_mib=100.0, growth_mib_per_s=0.0)
        plane.set_per_request(p, 8.0)
        plane.start_pod(p, oom_level=oom_level + p)
    return plane


def joined(plane: Traffic) -> list[int]:
    """For each pod the one that it would be computed with now."""
    join_equal(plane.now_s, plane.state, plane.net)
    like = [int(q) for q in plane.net.pods[:, POD_LIKE]]
    stands_for = plane.net.pods[:, POD_STANDS_FOR]
    assert stands_for.sum() == 2 * PODS
    assert all(stands_for[p] == like.count(p) for p in range(2 * PODS))
    part_equal(plane.net)
    return like


def others(plane: Traffic) -> int:
    """States that are no pod's, without the steps of pauses that nobody waits in."""
    layout, n_retries = plane.layout, int(plane.net.groups[0, GROUP_ATTEMPTS]) - 1
    unused = layout.share - layout.orbit - n_retries * int(plane.net.groups[0, GROUP_STEPS])
    return layout.totals - layout.hold - unused


def story(plane: Traffic) -> list[tuple[float, ...]]:
    """A day in miniature: slow pods, a kill, a restart, errors; state and totals after each part."""
    seen = []

    def to(end_s: float) -> None:
        code, _ = plane.advance(end_s)
        assert code == REACHED
        seen.append((*plane.totals(0), plane.in_flight(0), plane.in_flight(1), plane.success(0), plane.busy_share(1)))

    to(30.0)
    for p in plane.pods_of[1]:
        plane.set_condition(p, slow=1.5, error_share=0.0)
    to(60.0)
    plane.stop_pod(8)
    to(61.0)
    plane.set_condition(7, slow=3.0, error_share=0.1)
    to(90.0)
    plane.start_pod(8, oom_level=1e6)
    for p in plane.pods_of[1]:
        plane.set_condition(p, slow=1.0, error_share=0.0)
    to(91.0)
    to(400.0)
    return seen


def test_equal_pods_give_what_they_give_one_by_one() -> None:
    """Every total and queue to 1e-3 of its largest value.

    Where a queue is just full the control of the steps answers a difference in the last digit with other steps, so that
    both agree as far as the integrator's tolerance goes and not to rounding.
    """
    both, single = started(EQUAL), started(ALMOST)
    of_both, of_single = np.array(story(both)), np.array(story(single))
    assert np.all(np.abs(of_both - of_single) <= 1e-3 * np.abs(of_single).max(axis=0))
    assert of_single[:, 9].min() < 0.5 < 0.99 < of_single[:, 9].max()  # it went through an incident
    assert both.state[: 6 * PODS] == pytest.approx(single.state[: 6 * PODS], rel=1e-3, abs=1e-3)
    assert both.state[6 * PODS : 8 * PODS] == pytest.approx(single.state[6 * PODS : 8 * PODS], rel=2e-2)


def test_a_slow_pod_among_equal_ones_shows() -> None:
    """Negative control: were it computed with the others, the comparison above would not see it."""
    plane = started(EQUAL)
    plane.set_condition(9, slow=3.0, error_share=0.0)
    plane.advance(30.0)
    inside = plane.state[PODS : 2 * PODS]
    assert inside[3] > 1.4 * inside[0]
    assert inside[[1, 2, 4, 5]] == pytest.approx(inside[0])


def test_equal_pods_are_joined_and_the_integrator_moves_one_of_them() -> None:
    plane = started(EQUAL)
    assert joined(plane) == [0] * PODS + [PODS] * PODS
    assert int(plane.net.counts[N_MOVING]) == others(plane) + 7  # users send nothing to the second pool
    almost = started(ALMOST)
    assert joined(almost) == list(range(2 * PODS))
    assert int(almost.net.counts[N_MOVING]) == others(almost) + 7 * PODS


@pytest.mark.parametrize("oom_level", [1e6, math.inf])
def test_what_is_not_moved_has_no_rate(oom_level: float) -> None:
    """Whatever is left out stays as it is; without a level that is every hazard, with one none of them."""
    plane = started(ALMOST, oom_level=oom_level)
    work, layout = np.zeros((2, plane.layout.size)), plane.layout
    hazards = set(range(layout.hazard, layout.hold))
    for end_s in (1.0, 20.0, 60.0):
        plane.advance(end_s)
        join_equal(end_s, plane.state, plane.net)
        moved = set(plane.net.moving[: plane.net.counts[N_MOVING]].tolist())
        derivative(end_s, end_s, plane.state, work[0], work[1], plane.net)
        left_out = sorted(set(range(layout.totals)) - moved)
        assert len(left_out) >= PODS
        assert not work[0, left_out].any()
        assert not plane.state[left_out].any()
        assert hazards <= moved if math.isfinite(oom_level) else not hazards & moved
        credits_of_entry = set(range(layout.credit, layout.credit + PODS))
        assert credits_of_entry <= moved
        part_equal(plane.net)
    assert (plane.state[layout.credit : layout.credit + PODS] > 0.0).all()
    plane.state[layout.credit + PODS] = 0.5  # of requests that came one by one
    join_equal(plane.now_s, plane.state, plane.net)
    assert layout.credit + PODS in plane.net.moving[: plane.net.counts[N_MOVING]]


@pytest.mark.parametrize(
    "column", [POD_TABLE, POD_ROOM_LOSS, POD_ROOM_MIB, POD_PER_REQUEST_MIB, POD_LIMIT_MIB, POD_SLOW, POD_ERROR_SHARE]
)
def test_a_pod_that_differs_in_anything_is_not_joined(column: int) -> None:
    plane = started(EQUAL)
    plane.net.pods[2, column] += 1e-9
    assert joined(plane) == [0, 0, 2, 0, 0, 0] + [PODS] * PODS


def test_listing_limit_age_and_requests_inside_keep_pods_apart() -> None:
    plane = started(EQUAL)
    plane.net.pods[1, POD_LISTED] = 0.0
    plane.net.pods[2, POD_OOM_LEVEL] = math.inf
    plane.state[3] += 1e-4
    plane.net.pods[4, POD_ROOM_AT_S] = 7.0  # without a leak the age is nothing
    plane.net.pods[PODS:, POD_ROOM_LOSS] = 0.5
    plane.net.pods[PODS + 1, POD_ROOM_AT_S] = 7.0
    assert joined(plane) == [0, 1, 2, 3, 0, 0] + [PODS, PODS + 1] + [PODS] * (PODS - 2)


def test_old_work_keeps_pods_apart_until_it_is_done() -> None:
    """Pods that were slow until a moment ago hold requests that began then: they differ from those that were not."""
    plane = started(EQUAL)
    plane.advance(60.0)
    plane.set_condition(2, slow=3.0, error_share=0.0)
    plane.advance(61.0)
    for p in range(PODS):
        plane.set_condition(p, slow=1.5, error_share=0.0)
    assert joined(plane) == [0, 0, 2, 0, 0, 0] + [PODS] * PODS
    plane.advance(120.0)
    plane.advance(121.0)
    assert joined(plane) == [0] * PODS + [PODS] * PODS


def test_leaks_of_the_same_age_are_equal_whenever_they_were_written_down() -> None:
    plane = started(EQUAL)
    plane.net.pods[:PODS, POD_ROOM_LOSS] = 0.5
    plane.net.pods[3, [POD_ROOM_MIB, POD_ROOM_AT_S]] = 95.0, 10.0
    assert joined(plane)[:PODS] == [0] * PODS


def test_a_restarted_pod_is_alone_until_it_is_as_full_as_the_others() -> None:
    plane = started(EQUAL)
    plane.advance(60.0)
    plane.stop_pod(8)
    plane.advance(61.0)
    assert joined(plane)[PODS:] == [6, 6, 8, 6, 6, 6]
    assert int(plane.net.counts[N_MOVING]) == others(plane) + 7  # a dead pod is not moved either
    plane.start_pod(8, oom_level=1e6)
    plane.advance(62.0)
    assert joined(plane)[PODS:] == [6, 6, 8, 6, 6, 6]
    plane.advance(300.0)
    plane.advance(301.0)
    assert joined(plane)[PODS:] == [6] * PODS


def test_the_one_with_the_lowest_level_is_killed_and_only_that() -> None:
    """OOM levels and hazards stay each pod's own."""
    plane = started(EQUAL)
    plane.net.pods[PODS : 2 * PODS, POD_OOM_LEVEL] = [3.0, 2.0, 1e-3, 4.0, 5.0, 6.0]
    for p in plane.pods_of[1]:
        plane.set_condition(p, slow=3.0, error_share=0.0)
    code, pod = plane.advance(600.0)
    assert (code, pod) == (OOM, 8)
    hazard = plane.state[3 * 2 * PODS + PODS : 4 * 2 * PODS]
    assert hazard == pytest.approx([1e-3] * PODS, rel=1e-6)
    plane.stop_pod(8)
    assert plane.advance(600.0) == (OOM, 7)
    assert plane.state[3 * 2 * PODS + 7] == pytest.approx(2.0, rel=1e-6)
    assert plane.state[3 * 2 * PODS + 8] == 0.0


@pytest.mark.parametrize(
    ("kind", "index", "where"), [(GUARD_BUSY, 1, 0.0), (GUARD_HOT, 1, 0.0), (GUARD_POD_IN_TIME, 10, 0.02)]
)
def test_guards_see_all_of_them(kind: int, index: int, where: float) -> None:
    """A guard on a share of the pool or on a pod that another one stands for crosses at the same time."""

    def crossed_at(shares: tuple[float, ...]) -> float:
        plane = started(shares)
        assert plane.advance(60.0) == (REACHED, -1)
        plane.add_guard(kind, index, 0.5 if kind == GUARD_POD_IN_TIME else 0.95, region=where)
        plane.move_guard(0, 0.5 if kind == GUARD_POD_IN_TIME else 0.95, below=kind != GUARD_POD_IN_TIME)
        for p in plane.pods_of[1]:
            plane.set_condition(p, slow=2.0, error_share=0.0)
        code, guard = plane.advance(600.0)
        assert (code, guard) == (GUARD, 0)
        return plane.now_s

    assert crossed_at(EQUAL) == pytest.approx(crossed_at(ALMOST), rel=1e-5)


def test_after_a_call_every_pod_has_the_algebra_of_its_own() -> None:
    plane = started(EQUAL)
    plane.advance(60.0)
    busy = plane.net.pod_algebra[:, ALG_BUSY]
    assert busy[:PODS] == pytest.approx([busy[0]] * PODS)
    assert busy[0] > 0.0
    assert list(plane.net.pods[:, POD_LIKE]) == list(range(2 * PODS))
    assert list(plane.net.pods[:, POD_STANDS_FOR]) == [1.0] * 2 * PODS


@pytest.mark.parametrize("order", ["fifo", "lifo", "adaptive"])
@pytest.mark.parametrize("played", [story, lambda plane: plane.advance(5e4)])
def test_a_trace_changes_nothing_to_the_last_bit(
    played: Callable[[Traffic], Any], order: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A full trace interrupts the kernel at moments at which pods may have become equal: they are not joined then."""
    monkeypatch.setattr(engine, "_TRACE_ROWS", 7)
    bare, traced = started(EQUAL, order=order), started(EQUAL, order=order, trace_every_s=0.0)
    played(bare)
    played(traced)
    assert traced.n_steps == bare.n_steps
    assert traced.state.tobytes() == bare.state.tobytes()
