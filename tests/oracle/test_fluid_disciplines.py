"""Queues whose late requests leave, and queues that serve the newest first: against exact queues with one impatience.

Truths: the virtual wait of M/M/c with a fixed patience (F. Baccelli and G. Hebuterne, On queues with impatient
customers, 1981) and the busy period of M/M/1 (L. Takacs, Introduction to the Theory of Queues, 1962), integrated here.
Each test states how far the mean field may be from them, as measured.
"""

import math
from typing import Any

import numpy as np
import pytest
from scenarios import one_pool, service, users
from scipy.special import ive

from sim.oracles.queue_forms import erlang_c
from sim.scenario.schema import Model
from sim.traffic.assemble import assemble
from sim.traffic.engine import Traffic
from sim.traffic.layout import ALG_LEFT, REACHED

FINE = Model(tolerance=0.01, noise="never")
SLOTS = 8


def plane_of(rate_per_s: float, deadline_s: float, *, queue: int = 4000, **of_service: Any) -> Traffic:
    """One pod of 8 slots and 1 s of work, ready and empty; users who try once."""
    scenario = one_pool(
        1,
        1e6,
        service=service(work=1.0, slots=SLOTS, queue=queue, **of_service),
        populations={"u": users(requests=rate_per_s, deadline=deadline_s)},
        model=FINE,
    )
    plane = Traffic(assemble(scenario), tolerance=scenario.model.tolerance)
    plane.start_pod(0, oom_level=math.inf)
    return plane


def to(plane: Traffic, end_s: float) -> Traffic:
    assert plane.advance(end_s) == (REACHED, -1)
    return plane


# -- late requests leave ------------------------------------------------------------------------------------------


def impatient(rate_per_s: float, patience_s: float) -> tuple[float, float]:
    """M/M/c with patience for the wait: shares of the arrivals that never get a slot, and that are answered by then.

    Notes
    -----
    Density of the offered wait w: g exp((rate - c) w) up to the patience, then falling like exp(-c w).
    """
    states = np.array([rate_per_s**n / math.factorial(n) for n in range(SLOTS)])
    w = np.linspace(0.0, patience_s, 20_001)
    density = rate_per_s * states[-1] * np.exp((rate_per_s - SLOTS) * w)
    never = density[-1] / SLOTS
    total = states.sum() + np.trapezoid(density, w) + never
    in_time = states.sum() * -math.expm1(-patience_s) + np.trapezoid(density * -np.expm1(-(patience_s - w)), w)
    return never / total, in_time / total


OVER = pytest.mark.parametrize("rate_per_s", [4.0, 7.2, 8.0, 12.0, 24.0])


@OVER
@pytest.mark.parametrize("deadline_s", [2.0, 10.0])
def test_late_requests_are_dropped_when_their_turn_comes(rate_per_s: float, deadline_s: float) -> None:
    """The mean field is off by 0.04 in the share dropped and by 0.06 in the share in time, most at capacity."""
    plane = to(plane_of(rate_per_s, deadline_s, deadline_aware=True), 5000.0)
    never, in_time = impatient(rate_per_s, deadline_s)
    assert plane.net.pod_algebra[0, ALG_LEFT] / rate_per_s == pytest.approx(never, abs=0.04)
    assert plane.success(0) == pytest.approx(in_time, abs=0.06)
    if rate_per_s > SLOTS:  # negative control: a server that works for nobody is never in time
        assert to(plane_of(rate_per_s, deadline_s), 5000.0).success(0) < in_time - 0.015


def cut_short(rate_per_s: float, patience_s: float, n: int = 200_000) -> tuple[float, float]:
    """The same when work in progress is cut as well, request by request (the recursion of Kiefer and Wolfowitz): share
    answered in time, and mean time inside. Nobody waits longer than the patience: whoever came before is gone by then.
    """
    rng = np.random.default_rng(8)
    at_s = np.cumsum(rng.exponential(1.0 / rate_per_s, n)).tolist()
    work_s = rng.exponential(1.0, n).tolist()
    free_s = [0.0] * SLOTS
    in_time, inside_s = 0, 0.0
    for t, work in zip(at_s, work_s, strict=True):
        first = min(range(SLOTS), key=free_s.__getitem__)
        start = max(t, free_s[first])
        free_s[first] = min(start + work, t + patience_s)
        in_time += start + work <= t + patience_s
        inside_s += free_s[first] - t
    return in_time / n, inside_s / n


@OVER
@pytest.mark.parametrize("deadline_s", [2.0, 10.0])
def test_work_is_cut_when_its_caller_has_given_up(rate_per_s: float, deadline_s: float) -> None:
    """The mean field is off by 0.05 in the share in time and by 12 % in the requests inside (its memory)."""
    plane = to(plane_of(rate_per_s, deadline_s, cancels=True), 5000.0)
    in_time, inside_s = cut_short(rate_per_s, deadline_s)
    assert plane.success(0) == pytest.approx(in_time, abs=0.05)
    assert plane.in_flight(0) == pytest.approx(rate_per_s * inside_s, rel=0.12)
    if rate_per_s > SLOTS:  # negative control: without it the queue fills all of its 4000 places
        assert to(plane_of(rate_per_s, deadline_s), 5000.0).in_flight(0) > 3000.0


def newest_in_time(rate_per_s: float, deadline_s: float) -> float:
    """Share answered in time of M/M/c, newest first: a wait is a busy period of M/M/1 with the rate of all slots."""
    waits = erlang_c(SLOTS, rate_per_s) if rate_per_s < SLOTS else 1.0
    t = np.linspace(1e-9, deadline_s, 400_001)
    root = math.sqrt(rate_per_s * SLOTS)
    density = ive(1, 2.0 * root * t) * np.exp(-((math.sqrt(rate_per_s) - math.sqrt(SLOTS)) ** 2) * t) / t
    density *= math.sqrt(SLOTS / rate_per_s)
    after_wait = np.trapezoid(density * -np.expm1(-(deadline_s - t)), t)
    return (1.0 - waits) * -math.expm1(-deadline_s) + waits * after_wait


@OVER
@pytest.mark.parametrize("deadline_s", [2.0, 5.0])
def test_the_newest_first(rate_per_s: float, deadline_s: float) -> None:
    """The mean field is off by 0.02 in the share in time, at any load; beyond capacity a plain queue has none."""
    truth = newest_in_time(rate_per_s, deadline_s)
    found = to(plane_of(rate_per_s, deadline_s, order="lifo", queue=40_000), 500.0).success(0)
    assert found == pytest.approx(truth, abs=0.02)
    plain = to(plane_of(rate_per_s, deadline_s, queue=40_000), 500.0).success(0)
    adaptive = to(plane_of(rate_per_s, deadline_s, order="adaptive", adaptive_above=0.5, queue=40_000), 500.0).success(
        0
    )
    assert adaptive == pytest.approx(plain if rate_per_s < 5.0 else found, abs=0.02 if rate_per_s != 7.2 else 0.15)
    if rate_per_s >= SLOTS:
        assert plain < 0.3 * truth  # negative control


def test_a_drain_serves_the_new_ones_first() -> None:
    """3000 wait after a surge; at 4/s those who come now are in time at once, and a plain queue lets them wait."""
    success = {}
    for order in ("lifo", "adaptive", "fifo"):
        plane = plane_of(4.0, 5.0, order=order)
        plane.set_demand_factor(0, 27.0)
        to(plane, 30.0)
        assert plane.in_flight(0) > 2900.0
        plane.set_demand_factor(0, 1.0)
        success[order] = to(plane, 40.0).success(0)
    # All slots are busy: a busy period of M/M/1 at 4 and 8/s, then 1 s of work.
    t = np.linspace(1e-9, 5.0, 400_001)
    busy = ive(1, 2.0 * math.sqrt(32.0) * t) * np.exp(-((2.0 - math.sqrt(8.0)) ** 2) * t) / t * math.sqrt(2.0)
    truth = np.trapezoid(busy * -np.expm1(-(5.0 - t)), t)
    assert success["lifo"] == pytest.approx(truth, abs=0.02)
    assert success["adaptive"] == pytest.approx(truth, abs=0.02)
    assert success["fifo"] < 1e-6
