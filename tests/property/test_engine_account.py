"""Every request is accounted for: offered = good + failed for good + waiting to try again, at every moment.

Both sides are added up flow by flow, each by itself; no story of kills, sheds, switches, cuts and errors, and no length
of the steps, may make them differ by more than rounding.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from worlds import MEAN_RATES, memory, region, service, users, world

from sim.scenario.schema import Calendar, Call, Failover, Provider, Scenario
from sim.traffic import losses
from sim.traffic.assemble import assemble
from sim.traffic.engine import Traffic
from sim.traffic.layout import EDGE_ATTEMPTS, GROUP_ATTEMPTS, N_TOTALS, OOM, TOTAL_FAILED, TOTAL_GOOD, TOTAL_OFFERED
from sim.traffic.plane import Plane
from sim.traffic.tables import queue_table

SETTINGS = settings(deadline=None, derandomize=True, max_examples=60, suppress_health_check=[HealthCheck.too_slow])
ROUNDING = 1e-9
ACTIONS = (
    "kill",
    "start",
    "unlist",
    "shed",
    "cut",
    "join",
    "switch",
    "errors",
    "slow",
    "surge",
    "no retries",
    "wait",
)
STORIES = st.lists(
    st.tuples(st.sampled_from(ACTIONS), st.integers(0, 7), st.floats(0.0, 1.0), st.floats(-3.0, 4.5)),
    min_size=1,
    max_size=14,
)
"""What happens, to which of the pods or populations, how much of it, and the logarithm of the time until the next."""


def crowd(**clients: Any) -> Scenario:
    """Two regions that share a provider: impatient clients who stay at it, and patient ones who seldom do."""
    night = Calendar(hours={"day": (1.0, 0.0, 0.4) * 8}, smooth=False)
    many = {"attempts": 5, "backoff": 2.0, "deadline": 1.0} | clients
    return world(
        regions={"home": region(), "spare": region()},
        services={
            "web": service(0.2, memory=memory(per_request=10.0, limit=230.0), calls={"db": Call(timeout=1.0)}),
            "db": service(0.1),
        },
        place={"home": {"web": 2, "db": 2}, "spare": {"web": 2, "db": 1}},
        populations={
            "many": users(60.0, home="home", **many),
            "few": users(15.0, home="spare", calendar=night, attempts=2, retry_share=0.6, backoff=20.0),
        },
        failover=Failover(policy="provider", ttl=20.0, provider=Provider(quota=0.3, quality=0.5, latency=0.5)),
        model=MEAN_RATES,
    )


def plane_of(scenario: Scenario) -> Traffic:
    plane = Traffic(assemble(scenario), tolerance=scenario.model.tolerance)
    for pool, pods in enumerate(plane.pods_of):
        for pod in pods[: plane.names.placed[pool]]:
            start(plane, pod)
    return plane


def start(plane: Traffic, pod: int) -> None:
    plane.start_pod(pod, oom_level=0.7)
    plane.set_per_request(pod, 10.0)
    plane.set_memory(pod, limit_mib=230.0, used_mib=100.0, growth_mib_per_s=0.01)


def act(plane: Traffic, action: str, which: int, amount: float) -> None:
    """Do it to the `which`-th thing of its kind, modulo their number."""
    pod, group = which % len(plane.net.pods), which % 2
    if action == "kill":
        plane.stop_pod(pod)
    elif action == "start":
        start(plane, pod)
    elif action == "unlist":
        plane.set_listed(pod, amount > 0.5)
    elif action == "shed":
        plane.set_tables(plane.pods_of[which % 4], queue_table(1 + int(7 * amount), which, stationary=True))
    elif action in ("cut", "join"):
        plane.set_reachable(2 * group, action == "join")  # the entry pool of a region
    elif action == "switch":
        plane.set_targets(group, [amount, (1.0 - amount) * 0.5, (1.0 - amount) * 0.5])
    elif action == "errors":
        plane.set_condition(pod, slow=1.0, error_share=amount)
    elif action == "slow":
        plane.set_condition(pod, slow=1.0 + 50.0 * amount, error_share=0.0)
    elif action == "surge":
        plane.set_demand_factor(group, 4.0 * amount)
    elif action == "no retries":
        n_attempts = plane.net.groups[:, GROUP_ATTEMPTS].copy()
        n_attempts[group] = 1.0 + int(amount * (n_attempts[group] - 1.0))
        plane.set_attempts(plane.net.edges[:, EDGE_ATTEMPTS], n_attempts)


def imbalance(plane: Traffic, group: int) -> float:
    """What is missing, as a share of what was offered."""
    totals = plane.totals(group)
    found = totals[TOTAL_GOOD] + totals[TOTAL_FAILED] + plane.waiting_to_retry(group)
    return abs(found - totals[TOTAL_OFFERED]) / (1.0 + totals[TOTAL_OFFERED])


def play(plane: Traffic, story: list[tuple[str, int, float, float]]) -> float:
    """Live through the story; the largest imbalance seen on the way."""
    worst = 0.0
    for action, which, amount, log_pause in story:
        act(plane, action, which, amount)
        worst = max(worst, imbalance(plane, 0), imbalance(plane, 1))
        end_s = plane.now_s + 10.0**log_pause
        for _ in range(40):
            code, pod = plane.advance(end_s)
            worst = max(worst, imbalance(plane, 0), imbalance(plane, 1))
            if code != OOM:
                break
            plane.stop_pod(pod)
    assert np.all(np.isfinite(plane.state))
    return worst


@SETTINGS
@given(STORIES, st.sampled_from([None, 0.0, 0.2]), st.sampled_from([1.0, 0.7]))
def test_no_request_is_lost_or_made_up(story: list, budget: float | None, retry_share: float) -> None:
    plane = plane_of(crowd(retry_budget=budget, retry_share=retry_share, jitter="full", backoff_growth=2.0))
    assert play(plane, story) <= ROUNDING


LONG = [("wait", 0, 0.0, 2.0), ("kill", 0, 0.0, 1.0), ("cut", 0, 0.0, 2.0), ("cut", 1, 0.0, 3.0), ("kill", 1, 0.0, 4.0)]


def test_there_is_something_to_account_for() -> None:
    """The story above has good, failed and waiting requests of both populations."""
    plane = plane_of(crowd(retry_budget=0.2))
    assert play(plane, LONG) <= ROUNDING
    for group in (0, 1):
        assert min(plane.totals(group)[TOTAL_GOOD], plane.totals(group)[TOTAL_FAILED]) > 10.0
    assert plane.waiting_to_retry(0) > 1.0


@pytest.mark.parametrize("fault", ["retries are forgotten", "a kill loses nobody"])
def test_an_error_in_the_books_is_seen(fault: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Negative control: the same story, with one entry of the books left out."""
    plane = plane_of(crowd())
    take_back = losses._take_back

    def forgetful(arrays: Plane, g: int, lost: float) -> None:
        waiting = losses.waiting_to_retry(arrays, g).copy()
        take_back(arrays, g, lost)
        if fault == "retries are forgotten":
            losses.waiting_to_retry(arrays, g)[:] = waiting
        else:
            arrays.state[arrays.layout.totals + g * N_TOTALS + TOTAL_FAILED] -= 1e-3 * lost

    monkeypatch.setattr(losses, "_take_back", forgetful)
    assert play(plane, LONG) > 1e3 * ROUNDING


@pytest.mark.parametrize("step_s", [0.01, 1.0, 100.0])
def test_failed_for_good_is_what_the_attempts_say(step_s: float) -> None:
    """Nobody is reached: every request fails when its last attempt does; n attempts fail, n - 1 of them wait."""
    plane = plane_of(crowd(attempts=3, backoff=2.0, deadline=1.0))
    plane.set_reachable(0, False)
    end_s = 0.0
    while end_s < 2000.0:
        end_s += 20.0 * step_s
        plane.advance(end_s)
    totals = plane.totals(0)
    assert totals[TOTAL_GOOD] == 0.0
    # Little's law: two pauses of 2 s, each after a deadline of 1 s and the 0.05 s until it is noticed.
    assert plane.waiting_to_retry(0) == pytest.approx(60.0 * 2.0 * (2.0 + 1.0 + 0.05), rel=1e-3)
    assert totals[TOTAL_FAILED] == pytest.approx(totals[TOTAL_OFFERED] - plane.waiting_to_retry(0), rel=ROUNDING)
    assert math.isclose(totals[TOTAL_OFFERED], 60.0 * end_s, rel_tol=1e-9)
