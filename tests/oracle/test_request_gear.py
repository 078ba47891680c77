"""The compiled single requests (`noise: always`) against the request-level model, one feature at a time.

Each case is one scenario that both play: share of good requests, attempts per request and requests inside each service
must agree, |z| <= 4. The negative control is the gear without the feature: the same comparison must refute it. What has
an exact value is asserted against that; exact queues are in `test_engine_request_queues`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import pytest
from scenarios import FAR_S, at, call, fixed, one_pool, service, several, users

from sim.oracles.network_model import run_requests
from sim.oracles.network_script import Routing, Script
from sim.scenario.schema import (
    Breaker,
    Cold,
    Effect,
    Failover,
    Fault,
    Model,
    Nodes,
    PodMemory,
    Provider,
    Region,
    Repair,
    Scenario,
    Throttle,
)
from sim.traffic.assemble import assemble
from sim.traffic.engine import Traffic
from sim.traffic.gears import Noise
from sim.traffic.layout import POD_POOL, REACHED, TOTAL_ATTEMPTS, TOTAL_FAILED, TOTAL_GOOD, TOTAL_OFFERED
from sim.world.trial import Trial, run_trial

Z_MAX = 4.0
ORACLE_RUNS, GEAR_TRIALS = 8, 40
HORIZON_S, WARM_S = 120.0, 20.0
SINGLE = Model(noise="always")


def failing(target: str, errors: float, start_s: float = 0.0, end_s: float = HORIZON_S) -> dict[str, Fault]:
    """A share of the answers of a service are errors."""
    repair = Repair(law=fixed(end_s - start_s))
    return {"errors": Fault(target=f"{target} in r", at=at(start_s), effect=Effect(errors=errors), repair=repair)}


def down(target: str, start_s: float, end_s: float, capacity: float | None = None) -> dict[str, Fault]:
    """A service, or a share of its pods, is down."""
    effect = Effect(down=True) if capacity is None else Effect(capacity=capacity)
    repair = Repair(law=fixed(end_s - start_s))
    return {"down": Fault(target=f"{target} in r", at=at(start_s), effect=effect, repair=repair)}


def pool(pods: int = 1, *, faults: dict[str, Fault] | None = None, crowd: Any = None, **of_service: Any) -> Scenario:
    """One pool; overloaded (9/s into 8/s) by users who wait for 3 s unless told otherwise."""
    pod = service(**{"work": 0.5, "slots": 4, "queue": 60} | of_service)
    clients = users(**{"requests": 9.0, "deadline": 3.0} | (crowd or {}))
    return one_pool(pods, HORIZON_S, service=pod, populations={"u": clients}, faults=faults or {}, model=SINGLE)


def tiers(
    of_call: dict[str, Any], *, faults: dict[str, Fault] | None = None, crowd: Any = None, **of_j: Any
) -> Scenario:
    """A service that calls another, which has two pods of four slots."""
    services = {
        "s": service(work=0.1, slots=40, queue=40, calls={"j": call(**of_call)}),
        "j": service(**{"work": 0.3, "slots": 4, "queue": 20} | of_j),
    }
    clients = users(**{"requests": 15.0, "deadline": 5.0} | (crowd or {}))
    return several(services, {"s": 1, "j": 2}, HORIZON_S, populations={"u": clients}, faults=faults or {}, model=SINGLE)


def two_regions(failover: Failover, **fields: Any) -> Scenario:
    """One pod in `r`, three in `q`."""
    blocks: dict[str, Any] = {
        "regions": {name: Region(zones=1, nodes=Nodes(count=1, memory=1e6)) for name in ("r", "q")},
        "place": {"r": {"s": 1}, "q": {"s": 3}},
        "failover": failover,
        "populations": {"u": users(requests=12.0, deadline=3.0, home="r")},
        "model": SINGLE,
    }
    pod = service(work=0.5, slots=2, queue=20)
    return one_pool(1, HORIZON_S, service=pod, **blocks | fields)


@dataclass(frozen=True)
class Feature:
    """A scenario with the feature, the same without it, and the measure that must tell them apart."""

    scenario: Scenario
    without: Scenario
    tells: str


ERRORS = failing("j", 0.5)
PATIENT = {"requests": 6.5, "deadline": FAR_S}
HASTY = {"requests": 4.0, "deadline": 0.25}
FEATURES = {
    "newest first": Feature(pool(order="lifo"), pool(), "good"),
    "adaptive order": Feature(pool(order="adaptive", adaptive_above=1.0), pool(), "good"),
    "cancels": Feature(pool(cancels=True), pool(), "good"),
    "cancelled calls": Feature(
        tiers({"timeout": 0.5, "attempts": 2}, crowd={"requests": 30.0}, cancels=True),
        tiers({"timeout": 0.5, "attempts": 2}, crowd={"requests": 30.0}),
        "inside j",
    ),
    "deadline aware": Feature(pool(deadline_aware=True), pool(), "good"),
    "contention": Feature(pool(contention=0.2, crowd={"requests": 5.0}), pool(crowd={"requests": 5.0}), "inside s"),
    "patience": Feature(pool(patience=1.0), pool(), "good"),
    "constant work": Feature(pool(crowd=PATIENT, work_spread=0.0), pool(crowd=PATIENT), "inside s"),
    "lognormal work": Feature(pool(crowd=HASTY, work_spread=2.0), pool(crowd=HASTY), "good"),
    "hedge": Feature(
        tiers({"timeout": 1.0, "hedge_after": 0.4}, work_spread=2.0), tiers({"timeout": 1.0}, work_spread=2.0), "good"
    ),
    "attempts of a call": Feature(
        tiers({"timeout": 0.5, "attempts": 3, "backoff": 0.1}), tiers({"timeout": 0.5}), "good"
    ),
    "retry budget of a call": Feature(
        tiers({"timeout": 1.0, "attempts": 3, "retry_budget": 0.1}, faults=ERRORS),
        tiers({"timeout": 1.0, "attempts": 3}, faults=ERRORS),
        "good",
    ),
    "fallback": Feature(
        tiers({"timeout": 1.0, "fallback": 0.6}, faults=ERRORS), tiers({"timeout": 1.0}, faults=ERRORS), "good"
    ),
    "breaker": Feature(
        tiers(
            {"timeout": 1.0, "breaker": Breaker(window=5.0, open=15.0, trickle=0.2), "fallback": 0.3},
            faults=failing("j", 0.9, 30.0, 60.0),
        ),
        tiers({"timeout": 1.0, "fallback": 0.3}, faults=failing("j", 0.9, 30.0, 60.0)),
        "inside j",
    ),
    "throttled call": Feature(
        tiers({"timeout": 1.0, "attempts": 2, "throttle": Throttle(ratio=1.2, window=10.0)}, faults=ERRORS),
        tiers({"timeout": 1.0, "attempts": 2}, faults=ERRORS),
        "inside j",
    ),
    "fewer calls than requests": Feature(tiers({"timeout": 1.0, "calls": 0.3}), tiers({"timeout": 1.0}), "inside j"),
    "more calls than requests": Feature(tiers({"timeout": 1.0, "calls": 1.4}), tiers({"timeout": 1.0}), "inside j"),
    "handoff": Feature(
        tiers({"timeout": 1.0, "handoff": True}, slots=3, queue=0),
        tiers({"timeout": 1.0}, slots=3, queue=0),
        "good",
    ),
    "death of an inner pool": Feature(
        tiers({"timeout": 4.0}, faults=down("j", 60.0, 70.0), work=0.5),
        tiers({"timeout": 4.0}, work=0.5),
        "good",
    ),
    "retry budget of users": Feature(
        pool(faults=failing("s", 0.5), crowd={"requests": 4.0, "attempts": 3, "retry_budget": 0.1}),
        pool(faults=failing("s", 0.5), crowd={"requests": 4.0, "attempts": 3}),
        "attempts",
    ),
    "share that retries": Feature(
        pool(faults=failing("s", 0.5), crowd={"requests": 4.0, "attempts": 3, "retry_share": 0.4}),
        pool(faults=failing("s", 0.5), crowd={"requests": 4.0, "attempts": 3}),
        "attempts",
    ),
    "growing pauses with jitter": Feature(
        pool(queue=1, crowd={"attempts": 4, "backoff": 1.0, "backoff_growth": 2.0, "jitter": "full"}),
        pool(queue=1, crowd={"attempts": 4, "backoff": 0.01}),
        "good",
    ),
    "throttled users": Feature(
        pool(queue=1, crowd={"requests": 20.0, "throttle": Throttle(ratio=1.1, window=10.0)}),
        pool(queue=1, crowd={"requests": 20.0}),
        "attempts",
    ),
    "k of n": Feature(
        pool(3, needs=3, faults=down("s", 50.0, 80.0, 0.3)), pool(3, faults=down("s", 50.0, 80.0, 0.3)), "good"
    ),
    "endpoint lag": Feature(
        pool(3, endpoint_lag=20.0, faults=down("s", 50.0, 90.0, 0.3)),
        pool(3, faults=down("s", 50.0, 90.0, 0.3)),
        "good",
    ),
    "cold caches": Feature(
        pool(2, cold=Cold(slow=4.0, **{"for": 20.0}), faults=down("s", 40.0, 50.0), crowd={"requests": 8.0}),
        pool(2, faults=down("s", 40.0, 50.0), crowd={"requests": 8.0}),
        "inside s",
    ),
    "regions by share": Feature(two_regions(Failover(policy="active-active")), two_regions(Failover()), "good"),
}  # fmt: skip


def of_oracle(scenario: Scenario, seed: int, script: Script | None = None) -> dict[str, float]:
    """Measures of one run of the request-level model."""
    run = run_requests(
        scenario, rng=np.random.default_rng([7, seed]), script=script, window_start_s=WARM_S, settle_s=0.0
    )
    users_seen = run.populations["u"]
    found = {
        "good": users_seen.good / (users_seen.good + users_seen.failed),
        "attempts": (users_seen.attempts - users_seen.throttled) / users_seen.offered,
    }
    for name, seen in run.pools.items():
        key = f"inside {name.split('/')[1]}"
        found[key] = found.get(key, 0.0) + seen.inside_mean
    return found


def of_gear(scenario: Scenario, number: int, act: Callable[[Trial], None] | None = None) -> dict[str, float]:
    """The same of one trial of the engine."""
    trial = Trial(scenario, "gear", number)
    if act is not None:
        act(trial)
    inside: dict[str, list[float]] = {}

    def look() -> None:
        now: dict[str, float] = {}
        for k, (_, name) in enumerate(trial.traffic.names.pools):
            now[name] = now.get(name, 0.0) + trial.traffic.in_flight(k)
        for name, value in now.items():
            inside.setdefault(f"inside {name}", []).append(value)

    ended: list[tuple[float, ...]] = []
    for at_s in np.arange(WARM_S, HORIZON_S, 0.5):
        trial.context.after(float(at_s), look)
    # Before the horizon decides what is expected of those that are still open.
    trial.context.after(HORIZON_S - 1e-9, lambda: ended.append(trial.traffic.totals(0)))
    trial.run()
    totals = ended[0]
    found = {
        "good": totals[TOTAL_GOOD] / (totals[TOTAL_GOOD] + totals[TOTAL_FAILED]),
        "attempts": totals[TOTAL_ATTEMPTS] / totals[TOTAL_OFFERED],
    }
    return found | {name: float(np.mean(values)) for name, values in inside.items()}


def z_scores(gear: list[dict[str, float]], oracle: list[dict[str, float]]) -> dict[str, float]:
    """z of the difference of each measure; 0 where all runs of both are the same."""
    found = {}
    for name in oracle[0]:
        a, b = np.array([row[name] for row in gear]), np.array([row[name] for row in oracle])
        apart, error = a.mean() - b.mean(), math.hypot(a.std(ddof=1) / a.size**0.5, b.std(ddof=1) / b.size**0.5)
        found[name] = apart / error if error > 0.0 else math.copysign(math.inf, apart) if apart else 0.0
    return found


@cache
def truth(name: str) -> list[dict[str, float]]:
    """Runs of the request-level model with the feature."""
    return [of_oracle(FEATURES[name].scenario, seed) for seed in range(ORACLE_RUNS)]


@pytest.mark.parametrize("name", FEATURES)
def test_each_feature_is_that_of_the_request_level_model(name: str) -> None:
    gear = [of_gear(FEATURES[name].scenario, number) for number in range(GEAR_TRIALS)]
    wrong = {measure: round(z, 1) for measure, z in z_scores(gear, truth(name)).items() if abs(z) > Z_MAX}
    assert not wrong


@pytest.mark.parametrize("name", FEATURES)
def test_without_the_feature_it_is_not(name: str) -> None:
    gear = [of_gear(FEATURES[name].without, number) for number in range(GEAR_TRIALS)]
    assert abs(z_scores(gear, truth(name))[FEATURES[name].tells]) > Z_MAX


# --- routing by hand: the fallback provider


PROVIDED = two_regions(
    Failover(policy="provider", ttl=5.0, provider=Provider(quota=0.3, latency=1.0)),
    populations={"u": users(requests=12.0, deadline=3.0, home="q")},
)


@pytest.mark.parametrize(("share", "agrees"), [(0.5, True), (0.3, False)])
def test_the_provider_takes_what_its_quota_allows(share: float, agrees: bool) -> None:
    script = Script((Routing(30.0, "u", (("q", 0.5), ("provider", 0.5))),))
    oracle = [of_oracle(PROVIDED, seed, script) for seed in range(ORACLE_RUNS)]

    def act(trial: Trial) -> None:
        trial.context.after(30.0, lambda: trial.traffic.set_targets(0, [0.0, 1.0 - share, share]))

    gear = [of_gear(PROVIDED, number, act) for number in range(GEAR_TRIALS)]
    assert (max(abs(z) for z in z_scores(gear, oracle).values()) <= Z_MAX) == agrees


# --- exact


def plane_of(scenario: Scenario, seed: int = 1, *, limited: bool = False) -> Traffic:
    """The data plane alone with all placed pods ready, single requests only."""
    plane = Traffic(assemble(scenario), noise=Noise(mode="always", seed_of=lambda window: seed + window))
    for k, pods in enumerate(plane.pods_of):
        for pod in pods[: plane.names.placed[k]]:
            start(plane, pod, limited=limited)
    return plane


def start(plane: Traffic, pod: int, *, limited: bool = True) -> None:
    """Pods of `s` have memory for 10 requests, half their places; the others have no limit."""
    limited = limited and plane.names.pools[int(plane.net.pods[pod, POD_POOL])] == ("r", "s")
    if limited:
        plane.set_memory(pod, limit_mib=150.0, used_mib=100.0, growth_mib_per_s=0.0)
        plane.set_per_request(pod, 5.0)
    plane.start_pod(pod, oom_level=1.0 if limited else math.inf)


def to(plane: Traffic, end_s: float) -> None:
    while plane.advance(end_s) != (REACHED, -1):
        pass


@pytest.mark.parametrize("attempts", [4, 3])
def test_layers_of_attempts_multiply(attempts: int) -> None:
    services = {
        "s": service(calls={"b": call(attempts=attempts)}),
        "b": service(calls={"c": call(attempts=attempts)}),
        "c": service(),
    }
    crowd = {"u": users(requests=1.0, attempts=attempts, backoff=0.1)}
    scenario = several(services, {"s": 1, "b": 1, "c": 1}, 3000.0, populations=crowd)
    plane = plane_of(scenario)
    plane.set_condition(plane.pods_of[plane.names.pools.index(("r", "c"))].start, slow=1.0, error_share=1.0)
    to(plane, 3000.0)
    totals = plane.totals(0)
    assert totals[TOTAL_GOOD] == 0.0
    # Of each request: n attempts, n^2 calls of b, n^3 of c (64 for four).
    sent = plane.n_single_requests / totals[TOTAL_OFFERED]
    assert sent == pytest.approx(attempts + attempts**2 + attempts**3, rel=0.01)


def test_callers_of_a_dead_pod_fail_at_once() -> None:
    services = {
        "s": service(work=1e-3, slots=1000, calls={"j": call(timeout=500.0)}),
        "j": service(work=50.0, slots=1000),
    }
    scenario = several(services, {"s": 1, "j": 1}, 1000.0, populations={"u": users(requests=20.0, deadline=900.0)})
    plane = plane_of(scenario)
    s, j = (plane.names.pools.index(("r", name)) for name in ("s", "j"))
    to(plane, 20.0)
    inside, failed = plane.in_flight(j), plane.totals(0)[TOTAL_FAILED]
    assert plane.in_flight(s) >= inside > 100.0
    assert failed == 0.0
    plane.stop_pod(plane.pods_of[j].start)
    to(plane, 20.0 + 1e-6)
    assert plane.totals(0)[TOTAL_FAILED] == inside
    assert plane.in_flight(s) <= 2.0  # those at their own work
    # Negative control: the death of another pod's requests would be felt at their timeout only.
    quiet = plane_of(scenario)
    to(quiet, 20.0 + 1e-6)
    assert quiet.totals(0)[TOTAL_FAILED] == 0.0


# --- nothing gets lost, and looking changes nothing


def everything() -> Scenario:
    """All features at once."""
    services = {
        "s": service(
            work=0.05, slots=10, queue=10, cancels=True, deadline_aware=True, order="adaptive", patience=1.0,
            calls={
                "t": call(
                    timeout=0.8, attempts=3, retry_budget=0.2, hedge_after=0.3, breaker=Breaker(window=5.0, open=4.0)
                ),
                "v": call(timeout=1.0, calls=1.3, fallback=0.5, throttle=Throttle(window=5.0)),
            },
            memory=PodMemory(base=100.0, per_request=5.0, limit=150.0),
        ),
        "t": service(work=0.2, slots=8, queue=20, work_spread=2.0, cancels=True),
        "v": service(work=0.1, slots=3, queue=2, order="lifo", calls={"w": call(timeout=3.0, handoff=True)}),
        "w": service(work=0.1, slots=4, queue=0, contention=0.3),
    }  # fmt: skip
    crowd = users(
        requests=60.0, attempts=3, backoff=0.5, deadline=1.5, jitter="full", retry_share=0.8,
        throttle=Throttle(window=9.0),
    )  # fmt: skip
    return several(services, {"s": 2, "t": 2, "v": 1, "w": 1}, 300.0, populations={"u": crowd}, model=SINGLE)


def shake(plane: Traffic, rng: np.random.Generator) -> None:
    """Do something to the network."""
    pod = int(rng.integers(len(plane.net.pods)))
    edge = int(rng.integers(len(plane.net.edges)))
    deeds: list[Callable[[], None]] = [
        lambda: plane.stop_pod(pod),
        lambda: start(plane, pod),
        lambda: start(plane, pod),
        lambda: plane.set_condition(pod, slow=float(rng.uniform(0.5, 8.0)), error_share=float(rng.uniform(0.0, 0.5))),
        lambda: plane.set_listed(pod, bool(rng.integers(2))),
        lambda: plane.set_edge_reachable(edge, bool(rng.integers(2))),
        lambda: plane.set_reachable(0, bool(rng.integers(3))),
        lambda: plane.set_breaker(edge, gate=float(rng.choice([0.0, 0.1, 1.0]))),
        lambda: plane.set_demand_factor(0, float(rng.uniform(0.0, 3.0))),
        lambda: plane.set_attempts(
            rng.integers(1, 4, len(plane.net.edges)).astype(float), rng.integers(1, 4, 1).astype(float)
        ),
    ]
    deeds[int(rng.integers(len(deeds)))]()


@pytest.mark.parametrize("seed", range(6))
def test_requests_are_conserved_exactly_through_any_faults(seed: int) -> None:
    plane, rng = plane_of(everything(), seed, limited=True), np.random.default_rng(seed)
    killed = 0
    while plane.now_s < 200.0:
        end_s = plane.now_s + float(rng.exponential(2.0))
        code, index = plane.advance(end_s)
        while code != REACHED:
            if index >= 0:
                plane.stop_pod(index)
                killed += 1
            code, index = plane.advance(end_s)
        totals, open_now = plane.totals(0), plane._requests.open_requests(0)
        assert totals[TOTAL_OFFERED] == totals[TOTAL_GOOD] + totals[TOTAL_FAILED] + open_now
        assert open_now >= 0.0
        shake(plane, rng)
    assert plane.totals(0)[TOTAL_GOOD] > 0.0
    assert killed > 0


def test_recording_changes_nothing_and_another_trial_is_another() -> None:
    bare, kept, other = (
        run_trial(everything(), "a", trial, keep=keep) for trial, keep in ((3, False), (3, True), (4, False))
    )
    assert kept.trace is not None
    assert np.array_equal(bare.totals, kept.totals)
    assert bare.records == kept.records
    assert not np.array_equal(bare.totals, other.totals)
