"""Queue tables against M/M/c/K probabilities added up here; the time-limit law at its limits."""

import math
from functools import cache

import numpy as np
import pytest

from sim.traffic.answers import in_time_prob, look_up
from sim.traffic.layout import HEAD_EDGE, HEAD_ROOM, HEAD_SLOTS, N_NODES, TABLE_BLOCKED, TABLE_BUSY, TABLE_HEAD, Floats
from sim.traffic.tables import queue_table

# (slots, queue); (1, 0) is Erlang's loss system of one slot.
SHAPES = [(1, 0), (1, 3), (3, 0), (8, 8)]


@cache
def table(slots: int, queue: int, *, stationary: bool = True) -> Floats:
    return queue_table(slots, queue, stationary=stationary)


def mmck(load: float, slots: int, queue: int) -> tuple[float, float, float]:
    """Mean inside, mean busy and blocking of M/M/c/K, from the birth-and-death weights in logarithms."""
    logs = [0.0]
    for n in range(1, slots + queue + 1):
        logs.append(logs[-1] + math.log(load / min(n, slots)))
    top = max(logs)
    weights = [math.exp(w - top) for w in logs]
    total = math.fsum(weights)
    inside = math.fsum(n * w for n, w in enumerate(weights)) / total
    busy = math.fsum(min(n, slots) * w for n, w in enumerate(weights)) / total
    return inside, busy, weights[-1] / total


def at(slots: int, queue: int, in_flight: float) -> tuple[float, float, float, float]:
    return look_up(table(slots, queue)[None], 0, in_flight)


@pytest.mark.parametrize("utilisation", [0.05, 0.5, 0.9, 0.99999, 1.0, 1.00001, 1.3, 3.0, 40.0])
@pytest.mark.parametrize(("slots", "queue"), SHAPES)
def test_busy_slots_and_blocking_are_those_of_the_stationary_queue(slots: int, queue: int, utilisation: float):
    inside, busy, blocked = mmck(utilisation * slots, slots, queue)
    found = at(slots, queue, inside)
    # Linear between 2048 nodes: the curvature of these functions leaves 1e-4 and less.
    assert found[0] == pytest.approx(busy, abs=2e-4 * slots)
    assert found[1] == pytest.approx(blocked, abs=5e-4)


def test_the_wrong_queue_would_be_noticed():
    inside, busy, blocked = mmck(0.9 * 8, 8, 8)
    wrong = at(8, 0, min(inside, 8.0))
    assert abs(wrong[0] - busy) > 0.05
    assert abs(wrong[1] - blocked) > 0.05


@pytest.mark.parametrize(("slots", "queue"), SHAPES)
def test_tables_rise_from_nothing_to_full(slots: int, queue: int):
    rows = table(slots, queue)
    assert rows.shape == (3, N_NODES)
    assert np.all(np.isfinite(rows))
    assert rows[TABLE_BUSY, 0] == rows[TABLE_BLOCKED, 0] == 0.0
    assert rows[TABLE_BUSY, -1] == slots
    assert rows[TABLE_BLOCKED, -1] == 1.0
    assert np.all(np.diff(rows[TABLE_BUSY]) >= -1e-9 * slots)
    assert np.all(np.diff(rows[TABLE_BLOCKED]) >= -1e-9)
    head = rows[TABLE_HEAD]
    assert (head[HEAD_SLOTS], head[HEAD_ROOM]) == (slots, slots + queue)
    assert np.all(np.diff(head[HEAD_EDGE : HEAD_EDGE + 5]) >= 0.0)


@pytest.mark.parametrize(("slots", "queue"), SHAPES)
def test_work_in_service_is_no_more_than_work_inside(slots: int, queue: int):
    for in_flight in np.linspace(0.0, slots + queue, 97):
        busy, blocked, busy_slope, blocked_slope = at(slots, queue, float(in_flight))
        assert -1e-9 <= busy <= min(in_flight, slots) + 1e-9
        assert -1e-12 <= blocked <= 1.0
        assert busy_slope >= -1e-6
        assert blocked_slope >= -1e-6


@pytest.mark.parametrize(("slots", "queue"), SHAPES)
def test_slopes_are_those_of_the_values(slots: int, queue: int):
    for in_flight in np.linspace(0.013, slots + queue - 0.017, 41):
        step = 1e-7
        low, high = at(slots, queue, float(in_flight) - step), at(slots, queue, float(in_flight) + step)
        for k in (0, 1):
            slope = at(slots, queue, float(in_flight))[2 + k]
            assert (high[k] - low[k]) / (2.0 * step) == pytest.approx(slope, rel=0.02, abs=0.02)


@pytest.mark.parametrize("in_flight", [0.0, 3.5, 8.0, 11.0, 15.0, 15.5, 16.0])
def test_the_fluid_table_is_the_limit_of_many_slots(in_flight: float):
    busy, blocked, _, _ = look_up(table(8, 8, stationary=False)[None], 0, in_flight)
    assert busy == pytest.approx(min(in_flight, 8.0))
    assert blocked == pytest.approx(max(0.0, in_flight - 15.0))


def test_blocking_falls_with_room_and_slots():
    blocked = [mmck(6.0, slots, queue)[2] for slots, queue in ((3, 0), (8, 0), (8, 8))]
    assert blocked == sorted(blocked, reverse=True)


# -- the law of waiting + service ---------------------------------------------------------------------------


def in_time(wait_s: float, variance: float, work_s: float, dependency_s: float, limit_s: float) -> float:
    return in_time_prob(wait_s + work_s, variance + work_s * work_s, limit_s - dependency_s)


def test_without_waiting_the_time_in_service_is_exponential():
    for part in (0.1, 0.5, 1.0, 2.0, 5.0):
        assert in_time(0.0, 0.0, 0.2, 0.0, 0.2 * part) == pytest.approx(-math.expm1(-part), abs=0.02)


def test_time_spent_on_dependencies_is_taken_from_the_limit():
    assert in_time(0.0, 0.0, 0.1, 0.4, 0.4) == 0.0
    assert in_time(0.0, 0.0, 0.1, 0.4, 0.1) == 0.0
    assert in_time(0.0, 0.0, 0.1, 0.4, 0.9) == pytest.approx(in_time(0.0, 0.0, 0.1, 0.0, 0.5))


def test_the_probability_grows_with_the_limit_and_falls_with_the_wait():
    limits = [in_time(1.0, 0.5, 0.2, 0.1, t) for t in np.linspace(0.0, 50.0, 200)]
    assert np.all(np.diff(limits) >= 0.0)
    assert limits[0] == 0.0
    assert limits[-1] == 1.0
    waits = [in_time(w, 0.1, 0.2, 0.0, 2.0) for w in np.linspace(1.0, 30.0, 200)]
    assert np.all(np.diff(waits) <= 1e-12)
    assert waits[-1] < 1e-6


def test_a_narrow_wait_is_a_hard_switch():
    assert in_time(10.0, 1e-6, 1e-3, 0.0, 9.0) < 1e-9
    assert in_time(10.0, 1e-6, 1e-3, 0.0, 11.0) > 1.0 - 1e-9


def test_extreme_arguments_stay_probabilities():
    for wait_s, variance, work_s, limit_s in [
        (0.0, 0.0, 1e-6, 1e9),
        (1e6, 1e12, 1e-6, 1e-6),
        (0.0, 0.0, 1e6, 1e-6),
        (1e-9, 1e-12, 1e-3, 1e-3),
    ]:
        assert 0.0 <= in_time(wait_s, variance, work_s, 0.0, limit_s) <= 1.0
