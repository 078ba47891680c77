"""The request-level network model feature by feature: values worked out by hand, each with a case that must differ.

Most tests put single requests at stated times into a network without demand, whose work takes constant time, so that
every time of the outcome is known exactly.
"""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scenarios import at, call, exponential, fixed, one_pool, service, several, users

from sim.oracles.network_faults import scheduled_script
from sim.oracles.network_jobs import Job
from sim.oracles.network_kit import after
from sim.oracles.network_model import Network, run_requests
from sim.oracles.network_player import Player
from sim.oracles.network_run import CallStart, ClientStart, NetworkStart, PodStart, Remembered, RequestRun
from sim.oracles.network_script import (
    Attempts,
    DemandFactor,
    EdgeReach,
    Happening,
    PodBounds,
    PodCondition,
    PodLimit,
    PodMemoryUse,
    PodStarts,
    PodStops,
    PoolReach,
    ProviderState,
    Routing,
    Script,
)
from sim.scenario.schema import (
    Autoscale,
    Breaker,
    Cold,
    CommonCause,
    CrashLoop,
    Effect,
    Failover,
    Fault,
    Nodes,
    PodMemory,
    Probe,
    Provider,
    Region,
    Repair,
    Scenario,
    Throttle,
)

FAR_S = 1e6
U = "u"


class Bench:
    """A network without demand, and requests put into it by hand; notes when each ended, and how."""

    def __init__(self, scenario: Scenario, *happenings: Happening, start: NetworkStart | None = None) -> None:
        begin = NetworkStart() if start is None else start
        self.network = Network(scenario, begin, lambda name, at_s: 0.0, 1e5, np.random.default_rng(5))
        Player(self.network, Script(happenings))
        self.ended: dict[int, tuple[float, bool]] = {}
        self._jobs: dict[Job, int] = {}

    def answered(self, job: Job, ok: bool) -> None:
        """As the owner of the requests."""
        job.awaiting = 0
        self.ended[self._jobs[job]] = (round(self.network.env.now, 6), ok)

    def send(self, at_s: float, *, pool: tuple[str, str] = ("r", "s"), gives_up_s: float = math.inf) -> None:
        """A request at a time; whoever waits for it gives up after so long."""
        number = len(self._jobs)
        job = Job(self, number, at_s, at_s + gives_up_s)
        self._jobs[job] = number

        def arrive(_: Any) -> None:
            if not self.network.pools[pool].receive(job):
                self.answered(job, False)

        def give_up(_: Any) -> None:
            if job.awaiting:
                self.ended[number] = (round(self.network.env.now, 6), False)
                self.network.pools[pool].abandon(job)

        after(self.network.env, at_s - self.network.env.now, arrive)
        if math.isfinite(gives_up_s):
            after(self.network.env, at_s + gives_up_s - self.network.env.now, give_up)

    def run(self, until_s: float = 1000.0) -> dict[int, tuple[float, bool]]:
        """Play; returns (time, usable) by number of the request."""
        if self.network.env.now < until_s:
            self.network.env.run(until=until_s)
        return self.ended


def pod(work_s: float = 1.0, **fields: Any) -> Any:
    """Constant work, one slot, a long queue."""
    return service(**{"work": work_s, "work_spread": 0.0, "slots": 1, "queue": 100} | fields)


def bench(of_pod: Any, *happenings: Happening, pods: int = 1, **fields: Any) -> Bench:
    """One pool `r/s`."""
    return Bench(one_pool(pods, 1e5, service=of_pod), *happenings, **fields)


# --- queues


@pytest.mark.parametrize(
    ("fields", "ends_s"),
    [
        ({}, [1.0, 2.0, 3.0, 4.0]),
        ({"order": "lifo"}, [1.0, 4.0, 3.0, 2.0]),
        # The oldest has waited 0.9 s at 1, 1.8 s at 2: the newest goes first only from a limit below that on.
        ({"order": "adaptive", "adaptive_above": 5.0}, [1.0, 2.0, 3.0, 4.0]),
        ({"order": "adaptive", "adaptive_above": 0.85}, [1.0, 4.0, 3.0, 2.0]),
        ({"order": "adaptive", "adaptive_above": 0.95}, [1.0, 2.0, 4.0, 3.0]),
    ],
)
def test_the_queue_serves_in_its_order(fields: dict[str, Any], ends_s: list[float]) -> None:
    setup = bench(pod(**fields))
    for k in range(4):
        setup.send(0.1 * k)
    ended = setup.run()
    assert [ended[k][0] for k in range(4)] == ends_s


@pytest.mark.parametrize(("cancels", "end_s"), [(True, 4.0), (False, 12.0)])
def test_work_for_nobody_stops_only_where_it_is_cancelled(cancels: bool, end_s: float) -> None:
    setup = bench(pod(3.0, cancels=cancels))
    setup.send(0.0, gives_up_s=1.0)
    setup.send(0.1, gives_up_s=0.5)
    setup.send(0.2, gives_up_s=0.7)
    setup.send(0.3, gives_up_s=20.0)
    assert setup.run()[3] == (end_s, True)


@pytest.mark.parametrize(("aware", "end_s"), [(True, 4.0), (False, 6.0)])
def test_a_late_request_is_dropped_when_its_turn_comes(aware: bool, end_s: float) -> None:
    setup = bench(pod(2.0, deadline_aware=aware))
    setup.send(0.0)
    setup.send(0.1, gives_up_s=1.0)
    setup.send(0.2)
    assert setup.run()[2] == (end_s, True)
    assert setup.network.pools["r", "s"].dropped == int(aware)


def test_contention_counts_those_at_work_when_the_work_begins() -> None:
    setup = bench(pod(1.0, slots=3, contention=0.5))
    for k in range(3):
        setup.send(0.1 * k)
    # One, two, three at work: 1.5, 2.0, 2.5 s.
    assert [setup.run()[k][0] for k in range(3)] == [1.5, 2.1, 2.7]


def test_slowness_counts_for_work_that_begins_meanwhile_and_errors_for_answers() -> None:
    setup = bench(
        pod(1.0, slots=9),
        PodCondition(10.0, "r/s/1", "a", slow=3.0, errors=1.0),
        PodCondition(10.0, "r/s/1", "b", slow=2.0),
        PodCondition(20.0, "r/s/1", "a"),
    )
    for at_s in (9.5, 10.5, 15.0, 21.0):
        setup.send(at_s)
    assert setup.run() == {0: (10.5, False), 1: (16.5, False), 2: (21.0, True), 3: (23.0, True)}


def test_a_full_or_shed_pod_turns_away() -> None:
    setup = bench(pod(1.0, queue=1), PodBounds(5.0, "r/s/1", slots=1, queue=0))
    for at_s in (0.0, 0.1, 0.2, 6.0, 6.1):
        setup.send(at_s)
    assert [setup.run()[k] for k in range(5)] == [
        (1.0, True), (2.0, True), (0.2, False), (7.0, True), (6.1, False),
    ]  # fmt: skip


def test_shedding_is_an_equal_part_of_each_pod() -> None:
    scenario = one_pool(2, 1e5, service=pod(slots=4, queue=10, shed_above=6))
    pods = Bench(scenario).network.pools["r", "s"].pods
    assert [(p.slots, p.room) for p in pods] == [(3, 3), (3, 3)]


def test_needs_turns_all_away_when_too_few_are_ready() -> None:
    setup = bench(pod(needs=2), PodStops(5.0, "r/s/1", "x"), PodStarts(9.0, "r/s/1", "x"), pods=2)
    for at_s in (1.0, 6.0, 10.0):
        setup.send(at_s)
    assert [setup.run()[k][1] for k in range(3)] == [True, False, True]


# --- memory and life


def test_the_request_that_fills_the_memory_kills_and_all_inside_fail() -> None:
    memory = PodMemory(base=100.0, per_request=30.0, limit=190.0)
    loop = CrashLoop(first=0.0, initial=10.0)
    setup = bench(pod(1.0, slots=9, memory=memory, startup=fixed(2.0), crash_loop=loop))
    for at_s in (0.0, 0.1, 0.2, 1.0, 3.0, 3.1, 3.2, 10.0, 15.3):
        setup.send(at_s)
    ended = setup.run()
    assert [ended[k] for k in range(3)] == [(0.2, False)] * 3
    assert ended[3] == (1.0, False)  # nobody there until 2.2
    assert [ended[k] for k in (4, 5, 6)] == [(3.2, False)] * 3
    assert ended[7] == (10.0, False)  # the second time 10 s and the startup: until 15.2
    assert ended[8] == (16.3, True)
    assert [at_s for at_s, _, _ in setup.network.kills] == pytest.approx([0.2, 3.2])


def test_a_leak_kills_at_its_instant_and_a_restart_clears_it() -> None:
    memory = PodMemory(base=100.0, per_request=10.0, limit=200.0, leak=1.0)
    setup = bench(pod(30.0, memory=memory, startup=fixed(5.0)))
    setup.send(85.0)  # from 85 on 90 s are enough
    setup.run(195.5)
    assert [at_s for at_s, _, _ in setup.network.kills] == pytest.approx([90.0, 195.0])


@pytest.mark.parametrize(
    ("happenings", "kill_s"),
    [
        ((PodMemoryUse(10.0, "r/s/1", "x", extra_mib=50.0),), None),
        ((PodMemoryUse(10.0, "r/s/1", "x", extra_mib=100.0),), 10.0),
        ((PodMemoryUse(10.0, "r/s/1", "x", growth_mib_per_s=2.0),), 60.0),
        ((PodMemoryUse(10.0, "r/s/1", "x", leak_mib_per_s=2.0), PodMemoryUse(50.0, "r/s/1", "x")), None),
        ((PodMemoryUse(10.0, "r/s/1", "x", extra_mib=50.0), PodLimit(30.0, "r/s/1", 140.0)), 30.0),
    ],
)
def test_what_faults_take_of_memory(happenings: tuple[Happening, ...], kill_s: float | None) -> None:
    setup = bench(pod(memory=PodMemory(base=100.0, limit=200.0), startup=fixed(1e4)), *happenings)
    setup.run(500.0)
    kills = [at_s for at_s, _, _ in setup.network.kills]
    assert kills == ([] if kill_s is None else pytest.approx([kill_s]))


def test_a_memory_factor_counts_for_all_inside() -> None:
    memory = PodMemory(base=100.0, per_request=30.0, limit=200.0)
    setup = bench(pod(9.0, slots=9, memory=memory), PodMemoryUse(3.0, "r/s/1", "x", factor=2.0))
    setup.send(0.0)
    setup.send(1.0)
    assert [setup.run()[k] for k in range(2)] == [(3.0, False)] * 2


def test_a_pod_that_two_causes_hold_starts_with_the_last() -> None:
    setup = bench(
        pod(startup=fixed(2.0)),
        PodStops(1.0, "r/s/1", "a"),
        PodStops(2.0, "r/s/1", "b"),
        PodStarts(5.0, "r/s/1", "a"),
        PodStarts(8.0, "r/s/1", "b"),
    )
    for at_s in (0.5, 7.5, 9.9, 10.1):
        setup.send(at_s)
    assert [setup.run()[k] for k in range(4)] == [(1.0, False), (7.5, False), (9.9, False), (11.1, True)]


@pytest.mark.parametrize(("lag_s", "share"), [(0.0, 1.0), (1e4, 0.5)])
def test_a_dead_pod_gets_its_share_as_long_as_it_is_listed(lag_s: float, share: float) -> None:
    of_pod = pod(0.001, slots=50, endpoint_lag=lag_s)
    scenario = one_pool(2, 400.0, service=of_pod, populations={U: users(requests=20.0)})
    run = run_requests(scenario, rng=np.random.default_rng(1), script=Script((PodStops(0.0, "r/s/2", "x"),)))
    n = run.populations[U].offered
    # The shares are 1 -+ 0.08, the first pod has 0.92 of 2.
    expected = 1.0 if share == 1.0 else 0.46
    assert run.availability == pytest.approx(expected, abs=4 * math.sqrt(0.25 / n))


def test_cold_caches_slow_until_they_are_warm() -> None:
    setup = bench(
        pod(1.0, slots=9, cold=Cold(slow=4.0, **{"for": 10.0}), startup=fixed(1.0)),
        PodStops(2.0, "r/s/1", restarts=True),
    )
    for at_s in (0.0, 5.0, 13.5):
        setup.send(at_s)
    assert [setup.run()[k] for k in range(3)] == [(1.0, True), (9.0, True), (14.5, True)]


# --- probes and the autoscaler


@pytest.mark.parametrize(("timeout_s", "killed"), [(1.0, True), (8.0, False)])
def test_a_busy_pod_fails_its_liveness_probes(timeout_s: float, killed: bool) -> None:
    # One slot, each request holds it 7 s, and the next one comes when it is done: a probe waits up to 7 s.
    probe = Probe(every=10.0, timeout=timeout_s, failures=3, delay=5.0)
    setup = bench(pod(100.0 if killed else 7.0, liveness=probe, startup=fixed(50.0)))
    for k in range(6):
        setup.send(0.5 + 7.1 * k)
    setup.run(45.0)
    # Probes at 5, 15, 25 are given up one second later.
    kills = [(at_s, reason) for at_s, _, reason in setup.network.kills]
    assert kills == ([(26.0, "liveness")] if killed else [])


@pytest.mark.parametrize(
    ("begin_s", "age_s", "expected_s"),
    [
        (0.0, math.inf, 5.0),
        (1000.0, 1000.0, 1005.0),  # probes at 5, 15, ... since it got ready, and one of them now
        (1002.0, 1000.0, 1007.0),
        (1002.0, math.inf, 1005.0),  # ready since the scenario began
        (1002.0, 1.5, 1005.5),  # the delay is not over
    ],
)
def test_the_first_probe_is_at_ready_and_delay(begin_s: float, age_s: float, expected_s: float) -> None:
    """The pod is full, so that its next probe kills it."""
    probe = Probe(every=10.0, timeout=1.0, failures=1, delay=5.0)
    of_pod = pod(1e6, queue=0, liveness=probe, startup=fixed(1e4))
    scenario = one_pool(1, 2000.0, service=of_pod, populations={U: users(requests=0.0)})
    start = NetworkStart(at_s=begin_s, pods={"r/s/1": PodStart(inside=1, awaited=0, age_s=age_s)})
    run = run_requests(scenario, rng=np.random.default_rng(1), start=start)
    assert [at_s for at_s, _ in run.liveness_kills] == [pytest.approx(expected_s)]


def test_a_full_queue_fails_a_probe_at_once() -> None:
    setup = bench(pod(1e4, queue=0, liveness=Probe(every=10.0, failures=2), startup=fixed(50.0)))
    setup.send(0.0)
    setup.run(60.0)
    assert [at_s for at_s, _, _ in setup.network.kills] == [20.0]


def test_readiness_takes_a_pod_off_the_list_until_a_probe_succeeds() -> None:
    setup = bench(pod(30.0, readiness=Probe(every=10.0, timeout=1.0, failures=2)))
    for at_s in (5.0, 22.0, 36.0, 41.0):
        setup.send(at_s)
    # Probes at 10 and 20 are given up at 11 and 21; the slot is free at 35, the probe at 40 finds it so.
    assert [setup.run()[k] for k in range(4)] == [(35.0, True), (22.0, False), (36.0, False), (71.0, True)]
    assert setup.network.kills == []


def _scaled(rate: float, **fields: Any) -> RequestRun:
    scaler = Autoscale(**{"least": 1, "most": 9, "target": 0.5, "every": 20.0} | fields)
    of_pod = pod(1.0, slots=20, queue=1000, autoscale=scaler)
    scenario = one_pool(2, 900.0, service=of_pod, populations={U: users(requests=rate, deadline=100.0)})
    return run_requests(scenario, rng=np.random.default_rng(3))


def test_the_autoscaler_follows_the_busy_share() -> None:
    # 40 busy of 2 x 20: the share of 1 asks for 4 pods, and 40 of 80 is the target.
    ready = _scaled(40.0).curves.ready["r/s"]
    assert ready[1] == 2
    assert ready[4] == 4
    assert set(ready[5:]) == {4.0}
    # 20/s are half the target of 2 pods: one is enough after the stabilisation window of 300 s, not before.
    ready = _scaled(9.0).curves.ready["r/s"]
    assert set(ready[:30]) == {2.0}
    assert set(ready[34:]) == {1.0}


def test_the_autoscaler_waits_for_its_windows_and_keeps_its_bounds() -> None:
    ready = _scaled(40.0, up_after=200.0, most=3).curves.ready["r/s"]
    # The state of the begin counts as a decision, so that the first pod comes after the window.
    assert set(ready[:20]) == {2.0}
    assert set(ready[23:]) == {3.0}
    assert _scaled(40.0, tolerance=1.0).curves.ready["r/s"].max() == 2


# --- calls


def chain(of_call: Any, callee: Any, *happenings: Happening, callees: int = 1, **caller: Any) -> Bench:
    """`s` calls `t`; own work of `s` 1 s, slots for all."""
    services = {"s": pod(1.0, **{"slots": 50, "calls": {"t": of_call}} | caller), "t": callee}
    return Bench(several(services, {"s": 1, "t": callees}, 1e5), *happenings)


def test_a_call_holds_the_slot_and_adds_its_time() -> None:
    setup = chain(call(timeout=9.0, calls=2.0), pod(3.0, slots=9), slots=1)
    setup.send(0.0)
    setup.send(0.5)
    assert setup.run() == {0: (7.0, True), 1: (14.0, True)}


@pytest.mark.parametrize(
    ("fields", "ended", "sent"),
    [
        ({"timeout": 2.0}, (3.0, False), 1),
        # 1 + (2 + 0.5) x 2 + 2
        ({"timeout": 2.0, "attempts": 3, "backoff": 0.5}, (8.0, False), 3),
        ({"timeout": 2.0, "attempts": 2, "fallback": 1.0}, (5.0, True), 2),
        ({"timeout": 5.0}, (5.0, True), 1),
    ],
)
def test_a_call_is_repeated_and_fails_for_good(fields: dict[str, Any], ended: tuple[float, bool], sent: int) -> None:
    setup = chain(call(**fields), pod(4.0, slots=9))
    setup.send(0.0)
    assert setup.run()[0] == ended
    assert setup.network.pools["r", "t"].offered == sent


def test_a_rejected_call_fails_fast_and_a_cut_off_one_at_its_timeout() -> None:
    setup = chain(
        call(timeout=2.0, fast_fail=0.25), pod(1.0), PodStops(5.0, "r/t/1", "x"), EdgeReach(10.0, "r", "s", "t", False)
    )
    for at_s in (0.0, 6.0, 12.0):
        setup.send(at_s)
    assert setup.run() == {0: (2.0, True), 1: (7.25, False), 2: (15.0, False)}


def test_the_death_of_the_callee_is_felt_at_once_and_that_of_the_caller_not_below() -> None:
    setup = chain(
        call(timeout=90.0),
        pod(20.0, slots=9),
        PodStops(5.0, "r/t/1", "x"),
        PodStarts(6.0, "r/t/1", "x"),
        PodStops(15.0, "r/s/1", "x"),
    )
    setup.send(0.0)
    setup.send(8.0)
    assert setup.run() == {0: (5.0, False), 1: (15.0, False)}
    assert setup.network.pools["r", "t"].done == 1


@pytest.mark.parametrize(("cancels", "done"), [(True, 0), (False, 1)])
def test_giving_up_goes_down_the_tiers_where_they_cancel(cancels: bool, done: int) -> None:
    setup = chain(call(timeout=90.0), pod(20.0, cancels=cancels), cancels=True)
    setup.send(0.0, gives_up_s=3.0)
    setup.run()
    assert setup.network.pools["r", "t"].done == done
    assert setup.network.pools["r", "s"].cancelled == 1


@pytest.mark.parametrize(("aware", "end_s"), [(True, 4.0), (False, 9.0)])
def test_calls_wait_no_longer_than_the_user(aware: bool, end_s: float) -> None:
    setup = chain(call(timeout=8.0), pod(50.0, slots=9), deadline_aware=aware)
    setup.send(0.0, gives_up_s=4.0)
    setup.run()
    edge = setup.network.pools["r", "s"]
    assert edge.failed == 1
    assert edge.n_inside == 0
    # The slot is free from then on: found by replaying up to just before and just after.
    for until_s, inside in ((end_s - 0.01, 1), (end_s + 0.01, 0)):
        again = chain(call(timeout=8.0), pod(50.0, slots=9), deadline_aware=aware)
        again.send(0.0, gives_up_s=4.0)
        again.run(until_s)
        assert again.network.pools["r", "s"].n_inside == inside


def test_a_hedge_halves_the_failures_that_one_of_two_pods_makes() -> None:
    def good(hedge_s: float | None) -> float:
        services = {
            "s": pod(0.01, slots=500, calls={"t": call(timeout=2.0, hedge_after=hedge_s)}),
            "t": pod(0.1, slots=9000, imbalance=0.0),
        }
        crowd = {U: users(requests=50.0, deadline=5.0)}
        scenario = several(services, {"s": 1, "t": 2}, 200.0, populations=crowd)
        slow = Script((PodCondition(0.0, "r/t/2", slow=100.0),))
        run = run_requests(scenario, rng=np.random.default_rng(2), script=slow)
        assert abs(run.availability - (0.75 if hedge_s else 0.5)) <= 4 * math.sqrt(0.25 / run.populations[U].offered)
        return run.edges["r", "s", "t"].hedged / run.edges["r", "s", "t"].calls

    assert good(0.5) == pytest.approx(0.5, abs=0.02)
    assert good(None) == 0.0


def test_a_breaker_opens_tries_a_trickle_and_closes() -> None:
    breaker = Breaker(failures=0.5, window=10.0, open=30.0, trickle=0.2)
    services = {
        "s": pod(0.001, slots=500, calls={"t": call(timeout=1.0, breaker=breaker)}),
        "t": pod(0.001, slots=500),
    }
    crowd = {U: users(requests=100.0, deadline=5.0)}
    scenario = several(services, {"s": 1, "t": 1}, 300.0, populations=crowd)
    script = Script((PodCondition(100.0, "r/t/1", "x", errors=1.0), PodCondition(160.0, "r/t/1", "x")))
    run = run_requests(scenario, rng=np.random.default_rng(4), script=script)
    opened = run.edges["r", "s", "t"].opened_at_s
    # The success share decays as exp(-t / 10 s): 0.5 after 6.93 s. Trickle 30 s later, judged 10 s after that.
    assert opened[0] == pytest.approx(100.0 + 10.0 * math.log(2.0), abs=0.8)
    assert np.diff(opened) == pytest.approx([40.0])
    blocked = run.edges["r", "s", "t"].blocked
    # Open twice for 30 s; half-open twice for 10 s lets 20 % through.
    assert blocked == pytest.approx(100.0 * (60.0 + 20.0 * 0.8), rel=0.05)
    assert run.bin_good[U][19:].sum() == run.bin_offered[U][19:].sum()
    calm = run_requests(scenario, rng=np.random.default_rng(4), script=Script())
    assert calm.edges["r", "s", "t"].opened_at_s == ()


def test_a_retry_budget_of_a_call_limits_its_attempts() -> None:
    def attempts_per_call(budget: float | None) -> float:
        services = {
            "s": pod(0.001, slots=500, calls={"t": call(timeout=1.0, attempts=4, retry_budget=budget)}),
            "t": pod(0.001, slots=500),
        }
        crowd = {U: users(requests=50.0, deadline=5.0)}
        scenario = several(services, {"s": 1, "t": 1}, 200.0, populations=crowd)
        run = run_requests(
            scenario, rng=np.random.default_rng(4), script=Script((PodCondition(0.0, "r/t/1", errors=1.0),))
        )
        edge = run.edges["r", "s", "t"]
        return edge.attempts / edge.calls

    assert attempts_per_call(0.1) == pytest.approx(1.1, abs=0.005)
    assert attempts_per_call(None) == pytest.approx(4.0, abs=0.01)


def test_a_throttled_call_is_not_sent() -> None:
    def refused(ratio: float) -> float:
        throttle = Throttle(ratio=ratio, window=10.0)
        services = {
            "s": pod(0.001, slots=500, calls={"t": call(timeout=1.0, throttle=throttle)}),
            "t": pod(0.001, slots=500),
        }
        scenario = several(services, {"s": 1, "t": 1}, 400.0, populations={U: users(requests=100.0)})
        script = Script((PodCondition(0.0, "r/t/1", errors=0.9),))
        run = run_requests(scenario, rng=np.random.default_rng(4), script=script)
        edge = run.edges["r", "s", "t"]
        return edge.throttled / edge.attempts

    # Of R wanted, R (1 - p) are sent and a share q = 0.1 of those is accepted: p = 1 - K q (1 - p), so that p = 1 for
    # K q < 1 (but for the + 1 of the rule), and p = 0 for K q > 1.
    assert refused(2.0) > 0.9
    assert refused(20.0) < 0.05


def test_a_handover_waits_for_room_and_gives_the_slot_back() -> None:
    setup = chain(call(timeout=1.0, handoff=True), pod(5.0, queue=0), slots=1)
    for at_s in (0.0, 0.1, 0.2):
        setup.send(at_s)
    # s: 0-1 then over; 1-2, blocked until 6; 6-7, blocked until 11.
    assert setup.run() == {0: (6.0, True), 1: (11.0, True), 2: (16.0, True)}


# --- users


def _failing(**fields: Any) -> tuple[float, RequestRun]:
    """Users of a pool whose only pod is down; mean time from the first attempt to the last, and the run."""
    crowd = users(**{"requests": 5.0, "deadline": 5.0} | fields)
    scenario = one_pool(1, 400.0, service=pod(), populations={U: crowd})
    network = Network(scenario, NetworkStart(), lambda name, at_s: 5.0, 400.0, np.random.default_rng(2))
    group = network.groups[U]
    lives: list[float] = []
    failed = group.answered

    def note(job: Job, ok: bool) -> None:
        if job.number == crowd.attempts:
            lives.append(network.env.now - job.arrived_at_s)
        failed(job, ok)

    group.answered = note  # type: ignore[method-assign]
    run = network.run(Script((PodStops(0.0, "r/s/1", "x"),)), 0.0, None)
    return float(np.mean(lives)), run


@pytest.mark.parametrize(
    ("fields", "mean_s", "within"),
    [
        ({"backoff": 2.0}, 4.0, 1e-6),
        ({"backoff": 2.0, "backoff_growth": 3.0}, 8.0, 1e-6),
        ({"backoff": 2.0, "backoff_growth": 3.0, "jitter": "full"}, 4.0, 0.2),
        ({"backoff": 2.0, "backoff_growth": 3.0, "jitter": "exponential"}, 8.0, 0.6),
    ],
)
def test_pauses_grow_and_jitter(fields: dict[str, Any], mean_s: float, within: float) -> None:
    found_s, run = _failing(attempts=3, **fields)
    assert found_s == pytest.approx(mean_s + 3 * 0.05, abs=within)
    assert run.populations[U].failed == run.populations[U].offered


def test_only_a_share_retries_and_a_budget_limits_them() -> None:
    def per_request(**fields: Any) -> float:
        _, run = _failing(attempts=3, backoff=0.1, **fields)
        return run.populations[U].attempts / run.populations[U].offered

    assert per_request() == pytest.approx(3.0, abs=0.02)
    assert per_request(retry_share=0.5) == pytest.approx(1.0 + 0.5 + 0.25, abs=0.08)
    assert per_request(retry_budget=0.1) == pytest.approx(1.1 + 10.0 / 2000.0, abs=0.005)


def test_a_cut_off_region_is_a_black_hole_until_the_deadline() -> None:
    scenario = one_pool(1, 100.0, service=pod(0.001, slots=50), populations={U: users(requests=20.0, deadline=4.0)})
    script = Script((PoolReach(30.0, "r", "s", False), PoolReach(60.0, "r", "s", True)))
    run = run_requests(scenario, rng=np.random.default_rng(2), script=script)
    good = run.bin_good[U] / run.bin_offered[U]
    assert list(good) == [1.0] * 3 + [0.0] * 3 + [1.0] * 4
    # Whoever sent in the last 4 s before 60 still waits then: nothing ends well or badly in the first 4 s.
    assert run.curves.success[U][4] == 0.0
    assert run.pools["r/s"].rejected == 0


def two_regions(failover: Failover, requests: float = 200.0) -> Scenario:
    """`a` and `b`, each with one pod with room for all."""
    region = Region(zones=1, nodes=Nodes(count=1, memory=1e6))
    return several(
        {"s": pod(0.001, slots=500)}, {"s": 1}, 200.0, regions={"a": region, "b": region},
        place={"a": {"s": 1}, "b": {"s": 3}}, populations={U: users(requests=requests)}, failover=failover,
    )  # fmt: skip


def test_clients_follow_new_targets_with_the_time_to_live() -> None:
    script = Script((Routing(50.0, U, (("a", 0.0), ("b", 1.0))),))
    run = run_requests(two_regions(Failover(ttl=40.0)), rng=np.random.default_rng(2), script=script)
    # In b: the integral of 1 - exp(-(t - 50) / 40) over [50, 200].
    expected = 200.0 * (150.0 - 40.0 * (1.0 - math.exp(-150.0 / 40.0)))
    assert run.pools["b/s"].offered == pytest.approx(expected, abs=4 * math.sqrt(expected))
    quick = run_requests(two_regions(Failover(ttl=1.0)), rng=np.random.default_rng(2), script=script)
    assert quick.pools["b/s"].offered == pytest.approx(200.0 * 149.0, rel=0.03)


def test_active_active_spreads_by_placed_pods() -> None:
    run = run_requests(two_regions(Failover(policy="active-active")), rng=np.random.default_rng(2))
    share = run.pools["b/s"].offered / run.populations[U].offered
    assert share == pytest.approx(0.75, abs=4 * math.sqrt(0.1875 / run.populations[U].offered))


def test_the_provider_takes_its_quota_and_answers_its_share() -> None:
    failover = Failover(policy="provider", provider=Provider(quota=0.4, latency=2.0), ttl=1.0)
    scenario = one_pool(
        1, 300.0, service=pod(0.001, slots=50), populations={U: users(requests=50.0)}, failover=failover
    )
    script = Script((Routing(0.0, U, (("r", 0.0), ("provider", 1.0))), ProviderState(150.0, U, 0.5, 50.0)))
    run = run_requests(scenario, rng=np.random.default_rng(2), script=script)
    share = run.bin_good[U] / run.bin_offered[U]
    in_time = 1.0 - math.exp(-5.0 / 2.0)
    assert share[2:15].mean() == pytest.approx(0.4 * in_time, abs=0.02)
    assert share[15:].mean() == pytest.approx(0.5, abs=0.05)


def test_demand_factor_attempts_and_sources_of_demand() -> None:
    scenario = one_pool(1, 200.0, service=pod(0.001, slots=50), populations={U: users(requests=20.0)})
    script = Script((DemandFactor(100.0, U, 3.0, "x"), Attempts(0.0, 1, population=U)))
    run = run_requests(scenario, rng=np.random.default_rng(2), script=script)
    first, second = run.bin_offered[U][:10].sum(), run.bin_offered[U][10:].sum()
    assert first == pytest.approx(2000.0, abs=4 * math.sqrt(2000.0))
    assert second == pytest.approx(6000.0, abs=4 * math.sqrt(6000.0))
    ramp = run_requests(scenario, rng=np.random.default_rng(2), demand=lambda name, at_s: 0.2 * at_s)
    assert ramp.populations[U].offered == pytest.approx(4000.0, abs=4 * math.sqrt(4000.0))
    office = one_pool(1, 200.0, populations={U: users(calendar="office-hours")})
    with pytest.raises(ValueError, match="pass demand="):
        run_requests(office, rng=np.random.default_rng(2))


# --- begin, script, bookkeeping


def test_a_run_begins_with_what_is_inside() -> None:
    start = NetworkStart(
        at_s=500.0,
        pods={
            "r/s/1": PodStart(inside=3, awaited=1),
            "r/s/2": PodStart(ready=False, ready_in_s=20.0, crashes=2),
            "r/s/3": PodStart(ready=False),
        },
        retrying={U: (7, 0)},
    )
    crowd = users(requests=1e-9, deadline=9.0, attempts=3, backoff=1.0)
    scenario = one_pool(3, 1000.0, service=pod(2.0), populations={U: crowd})
    run = run_requests(scenario, rng=np.random.default_rng(1), script=Script(), start=start, horizon_s=600.0)
    assert run.start_s == 500.0
    assert run.curves.times_s[0] == 500.0
    assert list(run.curves.ready["r/s"][[0, 1, 3, 9]]) == [1.0, 1.0, 2.0, 2.0]
    assert run.curves.in_flight["r/s"][0] == 3.0
    # The seven that waited to retry, and what they send again; three of before are done as well.
    assert run.populations[U].attempts >= 7
    assert run.populations[U].offered == run.populations[U].good == 0
    assert run.pools["r/s"].done == run.pools["r/s"].offered + 3


def test_calls_under_way_are_joined() -> None:
    services = {"s": pod(1.0, slots=9, calls={"t": call(timeout=30.0)}), "t": pod(4.0)}
    scenario = several(services, {"s": 1, "t": 1}, 1e5)
    start = NetworkStart(pods={"r/s/1": PodStart(inside=2), "r/t/1": PodStart(inside=3)})
    setup = Bench(scenario, start=start)
    pools = setup.network.pools
    assert (pools["r", "s"].n_inside, pools["r", "t"].n_inside) == (2, 3)
    setup.run(100.0)
    # Two calls are those of s; the third request of t is for nobody, and no further call is made.
    assert (pools["r", "s"].done, pools["r", "t"].done, pools["r", "t"].offered) == (2, 3, 0)


def test_calls_that_are_known_one_by_one_go_on_where_they_were() -> None:
    services = {"s": pod(1.0, slots=9, calls={"t": call(timeout=30.0, attempts=2)}), "t": pod(4.0)}
    scenario = several(services, {"s": 1, "t": 1}, 1e5)
    last = CallStart("r/s/1", "t", number=2, in_s=3.0, pod="r/t/1")
    first = CallStart("r/s/1", "t", number=1, in_s=10.0, pod="r/t/1")
    paused = CallStart("r/s/1", "t", number=2, in_s=20.0, pauses=True)
    start = NetworkStart(pods={"r/s/1": PodStart(inside=4), "r/t/1": PodStart(inside=2)}, calls=(last, first, paused))
    setup = Bench(scenario, start=start)
    pool = setup.network.pools["r", "s"]
    setup.run(2.9)
    assert (pool.done, pool.failed) == (0, 0)
    setup.run(3.5)  # the older one in `t` is answered at 4, but its caller had 3 s left, and no other attempt
    assert (pool.done, pool.failed) == (0, 1)
    setup.run(8.5)
    assert (pool.done, pool.failed) == (1, 1)
    setup.run(12.5)  # the one at its own work called at 1
    assert (pool.done, pool.failed) == (2, 1)
    setup.run(23.5)
    assert pool.done == 2
    setup.run(24.5)  # sent at 20
    assert (pool.done, pool.failed) == (3, 1)


def test_callers_do_not_wait_for_requests_older_than_their_timeout() -> None:
    """Ten in line, the oldest since 20 s: those of the last four seconds are awaited, at either attempt."""
    services = {"s": pod(1.0, slots=9, calls={"t": call(timeout=4.0, attempts=2)}), "t": pod(100.0)}
    scenario = several(services, {"s": 1, "t": 1}, 1e5)
    pods = {"r/s/1": PodStart(inside=9), "r/t/1": PodStart(inside=11, wait_s=20.0)}
    edges = Bench(scenario, start=NetworkStart(pods=pods)).network.edges
    assert edges["r", "s", "t"].calls == 2
    fresh = pods | {"r/t/1": PodStart(inside=11)}
    edges = Bench(scenario, start=NetworkStart(pods=fresh)).network.edges
    assert edges["r", "s", "t"].calls == 9


def _users_of_before(*happenings: Happening, start: NetworkStart, **fields: Any) -> RequestRun:
    crowd = users(**{"requests": 1e-9, "deadline": 9.0, "attempts": 3, "backoff": 1.0} | fields)
    scenario = one_pool(1, 100.0, service=pod(2.0), populations={U: crowd})
    return run_requests(scenario, rng=np.random.default_rng(1), script=Script(happenings), start=start)


def test_clients_that_are_known_one_by_one_go_on_where_they_were() -> None:
    """One sends its second attempt at 3, one its third at 2 (the second fails at 1), one has failed for good at 5."""
    clients = (ClientStart(2, 3.0), ClientStart(2, 1.0, fails=True), ClientStart(3, 5.0, fails=True))
    seen = _users_of_before(start=NetworkStart(clients={U: clients})).populations[U]
    assert (seen.attempts, seen.ended_good, seen.ended_failed) == (2, 2, 1)
    assert (seen.offered, seen.good, seen.failed) == (0, 0, 0)
    assert seen.served == pytest.approx(2.0 / 3.0)


def test_those_who_wait_when_retries_are_disabled_give_up() -> None:
    start = NetworkStart(clients={U: (ClientStart(2, 3.0), ClientStart(2, 0.5))})
    seen = _users_of_before(Attempts(1.0, 1, population=U), start=start).populations[U]
    assert (seen.attempts, seen.ended_good, seen.ended_failed) == (1, 1, 1)


def test_users_that_wait_at_the_begin_have_what_is_left_of_their_deadline() -> None:
    """The first one is answered at 2, the second at 4."""
    attempts = ((U, 3, 1.0), (U, 1, 5.0))
    start = NetworkStart(pods={"r/s/1": PodStart(inside=2, attempts=attempts)})
    seen = _users_of_before(start=start).populations[U]
    assert (seen.attempts, seen.ended_good, seen.ended_failed) == (0, 1, 1)
    # Counted as good before: only what fails is left to count.
    booked = NetworkStart(pods=start.pods, booked={U: 2})
    seen = _users_of_before(start=booked).populations[U]
    assert (seen.ended_good, seen.ended_failed) == (-1, 1)


@pytest.mark.parametrize(
    ("past", "sent"), [(Remembered(tokens=0.0), 0), (Remembered(tokens=1.0), 1), (Remembered(), 1)]
)
def test_a_retry_budget_has_the_tokens_that_were_left(past: Remembered, sent: int) -> None:
    start = NetworkStart(clients={U: (ClientStart(1, 1.0, fails=True),)}, remembered={U: past})
    assert _users_of_before(start=start, retry_budget=0.1).populations[U].attempts == sent


@pytest.mark.parametrize(("past", "throttled"), [(Remembered(1e6, 0.0), 1), (Remembered(1e6, 1e6), 0)])
def test_throttles_remember_what_went_wrong_before(past: Remembered, throttled: int) -> None:
    start = NetworkStart(clients={U: (ClientStart(3, 1.0),)}, remembered={U: past})
    seen = _users_of_before(start=start, throttle=Throttle(ratio=2.0, window=100.0)).populations[U]
    assert seen.throttled == throttled


def test_scheduled_faults_become_a_script() -> None:
    outage = Fault(target="s in r", at=at(30.0), effect=Effect(down=True), repair=Repair(law=fixed(20.0)))
    slow = Fault(target="s", at=at(60.0), effect=Effect(slow=10.0), repair=Repair(law=fixed(20.0)))
    of_pod = pod(0.3, slots=500, startup=fixed(10.0))
    crowd = users(requests=20.0, deadline=1.0)
    scenario = one_pool(2, 120.0, service=of_pod, populations={U: crowd}, faults={"outage": outage, "slow": slow})
    run = run_requests(scenario, rng=np.random.default_rng(1))
    good = run.bin_good[U] / run.bin_offered[U]
    # Down at 30, started at 50, ready at 60; slow from 60 to 80.
    assert list(good[4:6]) == [0.0, 0.0]
    assert list(good[6:8]) == [0.0, 0.0]
    assert list(good[[0, 1, 8, 9, 10, 11]]) == [1.0] * 6
    quiet = run_requests(scenario, rng=np.random.default_rng(1), script=Script())
    assert quiet.availability == 1.0


def test_a_partition_cuts_users_and_calls_between_regions() -> None:
    region = Region(zones=1, nodes=Nodes(count=1, memory=1e6))
    services = {
        "s": pod(0.001, slots=500, calls={"t": call(timeout=1.0), "v": call(timeout=1.0)}),
        "t": pod(0.001, slots=500),
        "v": pod(0.001, slots=500),
    }
    cut = Fault(target="b", at=at(20.0), effect=Effect(partition=True), repair=Repair(law=fixed(20.0)))
    crowd = {name: users(requests=20.0, home=name, deadline=0.5) for name in ("a", "b")}
    scenario = several(
        services, {}, 60.0, regions={"a": region, "b": region}, populations=crowd, faults={"cut": cut},
        place={"a": {"s": 1, "t": 1}, "b": {"s": 1, "t": 1, "v": 1}},
    )  # fmt: skip
    run = run_requests(scenario, rng=np.random.default_rng(1))
    # b is cut off from its users; a works but for its calls to v, which is in b only.
    assert run.bin_good["b"][2:4].sum() == run.bin_good["a"][2:4].sum() == 0
    assert run.pools["a/s"].offered == run.populations["a"].offered
    assert run.pools["b/s"].offered < 0.8 * run.populations["b"].offered
    for name in ("a", "b"):
        whole = [0, 1, 4, 5]
        assert run.bin_good[name][whole].sum() == run.bin_offered[name][whole].sum()


def test_a_pod_taken_away_while_it_is_held_down_stays_away() -> None:
    setup = bench(
        pod(startup=fixed(2.0), autoscale=Autoscale(least=1, most=3, every=10.0, down_after=0.0)),
        PodStops(5.0, "r/s/2", "x"),
        PodStarts(50.0, "r/s/2", "x"),
        pods=2,
    )
    setup.run(100.0)
    pods = setup.network.pools["r", "s"].pods
    assert [p.ready for p in pods] == [True, False, False]
    held = bench(pod(startup=fixed(2.0)), PodStops(5.0, "r/s/2", "x"), PodStarts(50.0, "r/s/2", "x"), pods=2)
    held.run(100.0)
    assert [p.ready for p in held.network.pools["r", "s"].pods] == [True, True]


@pytest.mark.parametrize(
    ("changes", "why"),
    [
        ({"at": (), "every": exponential(1000.0)}, "not scheduled"),
        ({"repair": Repair(law=exponential(5.0))}, "random repair"),
        ({"common_cause": CommonCause(pods=0.5)}, "common cause"),
        ({"target": "any pod of s"}, "any of several"),
        ({"target": "zone 1 of r"}, "zone"),
    ],
)
def test_a_fault_of_chance_is_refused(changes: dict[str, Any], why: str) -> None:
    given: dict[str, Any] = {
        "target": "s in r",
        "at": at(3.0),
        "effect": Effect(down=True),
        "repair": Repair(law=fixed(2.0)),
    }
    scenario = one_pool(2, 120.0, faults={"breakdown": Fault(**given | changes)})
    with pytest.raises(ValueError, match=f"breakdown.*{why}"):
        scheduled_script(scenario)


def _busy_world() -> tuple[Scenario, Script]:
    """Everything at once: no exact value, but nothing may get lost."""
    services = {
        "s": service(
            work=0.05, slots=30, queue=30, cancels=True, deadline_aware=True, order="adaptive", endpoint_lag=3.0,
            memory=PodMemory(base=100.0, per_request=5.0, limit=330.0, leak=0.3), startup=fixed(4.0), patience=1.0,
            calls={
                "t": call(
                    timeout=0.8, attempts=3, retry_budget=0.2, hedge_after=0.3, breaker=Breaker(window=5.0, open=4.0)
                ),
                "v": call(timeout=1.0, calls=0.3, fallback=0.5, throttle=Throttle(window=5.0)),
            },
        ),
        "t": service(
            work=0.2, slots=8, queue=20, work_spread=2.0, cold=Cold(slow=3.0, **{"for": 5.0}), cancels=True,
            liveness=Probe(every=3.0, timeout=0.02, failures=1), startup=fixed(2.0),
            autoscale=Autoscale(most=5, every=5.0, down_after=10.0),
        ),
        "v": service(work=0.1, slots=3, queue=2, order="lifo", calls={"w": call(timeout=3.0, handoff=True)}),
        "w": service(work=0.1, slots=4, queue=0, contention=0.3),
    }  # fmt: skip
    crowd = users(requests=60.0, attempts=3, backoff=0.5, deadline=1.5, jitter="full", throttle=Throttle(window=9.0))
    scenario = several(services, {"s": 2, "t": 2, "v": 1, "w": 1}, 300.0, populations={U: crowd})
    script = Script(
        (
            PodStops(50.0, "r/t/1", "x"), PodStarts(70.0, "r/t/1", "x"), PodCondition(100.0, "r/t/2", slow=5.0),
            PodCondition(140.0, "r/t/2"), PodStops(150.0, "r/s/1", restarts=True), DemandFactor(180.0, U, 3.0),
            DemandFactor(220.0, U, 1.0), EdgeReach(230.0, "r", "s", "t", False), EdgeReach(240.0, "r", "s", "t", True),
            PodStops(250.0, "r/v/1", restarts=True), PodBounds(260.0, "r/s/2", 10, 5),
        )
    )  # fmt: skip
    return scenario, script


def test_nothing_gets_lost_when_everything_happens() -> None:
    scenario, script = _busy_world()
    network = Network(scenario, NetworkStart(), lambda name, at_s: 60.0, 300.0, np.random.default_rng(9))
    run = network.run(script, 0.0, 30.0)
    totals = run.populations[U]
    assert totals.open == 0
    assert totals.offered == totals.good + totals.failed
    assert 0 < totals.good < totals.offered
    assert run.bin_offered[U].sum() == totals.offered
    assert run.bin_good[U].sum() == totals.good
    seen = {"oom": len(run.oom_kills), "liveness": len(run.liveness_kills)}
    for name, pool in run.pools.items():
        ended = pool.rejected + pool.done + pool.failed + pool.left + pool.cancelled + pool.dropped + pool.lost
        assert 0 <= pool.offered - ended <= 200, name
    for pool in network.pools.values():
        now = pool.rejected + pool.done + pool.failed + pool.left + pool.cancelled + pool.dropped + pool.lost
        assert pool.offered == now + pool.n_inside, pool.name
        assert pool.n_inside == sum(pod.n_inside for pod in pool.pods)
        assert pool.n_waiting == sum(pod.n_waiting for pod in pool.pods)
        for each in pool.pods:
            assert len(each.jobs) == each.n_inside
            assert each.ready or not each.n_inside
    assert all(n > 0 for n in seen.values()), seen


def test_same_seed_same_run_and_other_seed_another() -> None:
    scenario, script = _busy_world()
    runs = [
        run_requests(scenario, rng=np.random.default_rng(seed), script=script, horizon_s=80.0) for seed in (5, 5, 6)
    ]
    assert runs[0].populations == runs[1].populations
    assert runs[0].pools == runs[1].pools
    assert runs[0].edges == runs[1].edges
    assert runs[0].pools != runs[2].pools


def test_the_horizon_must_come_after_the_begin() -> None:
    with pytest.raises(ValueError, match="after the begin"):
        run_requests(one_pool(1, 100.0), rng=np.random.default_rng(1), start=NetworkStart(at_s=200.0))
