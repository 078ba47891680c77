"""Monotonicity, units of time and splitting of the mean rates, one factor at a time.

More of a good thing does not help every system: more memory keeps a queue alive that is answered too late, a retry
saves a request where there is capacity to spare, and more callers can drown a callee. A *monotone setting* is one in
which none of that can happen:

- one region; one tier, or a chain of two (`web` calls `db` once); equal pods (`imbalance: 0`), so that no pod is lost
  before the others; first in, first out; no patience, breaker, throttle, hedge, probe, autoscaler or failover;
- whoever is let in is answered in time: a full queue is worked off within half of the deadline, and that of `db`
  within half of the time-out of the call, so that no work is done for nobody;
- nothing that strikes depends on the pods: the only faults are slowdowns of a whole service and surges of demand at
  fixed times; memory is compared with `oom: mean`, which draws nothing;
- for attempts, saturation as well: demand is half above capacity all the time, and a queue keeps the slots busy.
  (Elsewhere fewer attempts do lose the requests that a retry would have saved: below capacity, and without a queue,
  where a slot that gets free waits for the next attempt.)

`test_engine_properties` has the properties of whole trials: pods lost with their zone, a second region, failover.
Tolerances are those of the integrator (`tolerance: 1`): 0.5 % of what is offered, unless a test says otherwise.
"""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from worlds import availability, check, fault, memory, region, run, service, users, world

from sim.scenario.schema import Breaker, Call, CrashLoop, Effect, Model, Scenario, Service, Throttle
from sim.world.trial import run_trial

FEW = settings(deadline=None, derandomize=True, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
EXACT = Model(noise="never", tolerance=1.0, oom="mean")
SLACK = 5e-3
DEADLINE_S = 5.0
TIERS = st.sampled_from([1, 2])
SLOTS, QUEUES = st.sampled_from([1, 4, 20]), st.sampled_from([0, 3, 30])
LOADS = st.floats(0.2, 4.0)
ROUGH = st.booleans()
"""Whether something slows the service down and demand surges meanwhile."""


def chain(
    load: float,
    *,
    n_tiers: int = 1,
    slots: int = 4,
    queue: int = 3,
    rough: bool = False,
    pods: tuple[int, int] = (2, 2),
    attempts: int = 2,
    call_attempts: int = 1,
    limit_mib: float | None = None,
    base_pods: int = 2,
) -> Scenario:
    """A monotone setting; `load` is the demand over the capacity of `base_pods` pods, whatever there are."""
    work_s = DEADLINE_S / 20.0 * slots / (slots + queue)  # a full queue is worked off within a quarter, slowed a half
    limits = None if limit_mib is None else memory(per_request=10.0, limit=limit_mib)
    loop = CrashLoop(first=5.0, initial=5.0, longest=5.0)
    call = Call(timeout=DEADLINE_S / 2.0, attempts=call_attempts, backoff=1.0)
    pool: dict[str, Any] = {"slots": slots, "queue": queue, "imbalance": 0.0}
    services = {"web": service(work_s, memory=limits, crash_loop=loop, startup=5.0, **pool)}
    place = {"web": pods[0]}
    if n_tiers == 2:
        front: dict[str, Any] = pool | {"slots": 4 * slots}
        services = {
            "web": service(work_s, calls={"db": call}, **front),
            "db": service(work_s, memory=limits, crash_loop=loop, startup=5.0, **pool),
        }
        place["db"] = pods[1]
    rate_per_s = load * base_pods * slots / work_s
    faults = {
        "slow": fault("db in home" if n_tiers == 2 else "web in home", Effect(slow=2.0), at_s=1000.0, until=300.0),
        "surge": fault("population staff", Effect(demand=2.0), at_s=1200.0, until=300.0),
    }
    return world(
        regions={"home": region(8, 100_000.0)},
        services=services,
        place={"home": place},
        populations={"staff": users(rate_per_s, attempts=attempts, backoff=3.0, deadline=DEADLINE_S)},
        faults=faults if rough else {},
        model=EXACT,
    )


def share(scenario: Scenario) -> float:
    """Good requests over offered ones."""
    return availability(run(scenario))


@FEW
@given(TIERS, LOADS, SLOTS, QUEUES, ROUGH)
def test_more_memory_never_lowers_goodput(n_tiers: int, load: float, slots: int, queue: int, rough: bool) -> None:
    setting: dict[str, Any] = {"n_tiers": n_tiers, "slots": slots, "queue": queue, "rough": rough}
    full_mib = 100.0 + 10.0 * (slots + queue)
    shares = [share(chain(load, limit_mib=limit, **setting)) for limit in (0.6 * full_mib + 60.0, full_mib + 20.0)]
    # A crash loop that ends with the horizon ends anywhere in its cycle of ten seconds.
    assert shares[1] >= shares[0] - SLACK - 10.0 / 3600.0


@FEW
@given(TIERS, LOADS, SLOTS, QUEUES, ROUGH, st.sampled_from([(1, 0), (0, 1), (1, 1), (4, 4)]))
def test_more_pods_never_lower_goodput(
    n_tiers: int, load: float, slots: int, queue: int, rough: bool, more: tuple[int, int]
) -> None:
    setting: dict[str, Any] = {"n_tiers": n_tiers, "slots": slots, "queue": queue, "rough": rough}
    found = share(chain(load, pods=(2 + more[0], 2 + more[1]), **setting))
    assert found >= share(chain(load, **setting)) - SLACK


@FEW
@given(TIERS, LOADS, st.floats(0.05, 0.95), SLOTS, QUEUES, ROUGH)
def test_a_smaller_load_never_lowers_the_share_served(
    n_tiers: int, load: float, part: float, slots: int, queue: int, rough: bool
) -> None:
    setting: dict[str, Any] = {"n_tiers": n_tiers, "slots": slots, "queue": queue, "rough": rough}
    assert share(chain(part * load, **setting)) >= share(chain(load, **setting)) - SLACK


@FEW
@given(TIERS, st.floats(1.5, 5.0), SLOTS, st.sampled_from([30, 60]), st.integers(2, 20), st.integers(1, 6))
def test_fewer_attempts_never_lower_the_goodput_of_a_saturated_service(
    n_tiers: int, load: float, slots: int, queue: int, attempts: int, call_attempts: int
) -> None:
    setting: dict[str, Any] = {"n_tiers": n_tiers, "slots": slots, "queue": queue}
    few = share(chain(load, attempts=1, **setting))
    assert few >= share(chain(load, attempts=attempts, call_attempts=call_attempts, **setting)) - SLACK


@pytest.mark.parametrize("factor", ["memory", "attempts", "pods"])
def test_outside_of_a_monotone_setting_each_factor_can_hurt(factor: str) -> None:
    """Negative control: the comparisons see a system in which more is worse."""

    def of(more: bool) -> float:
        # A queue ten times as long as anybody waits; a pod that dies is empty, and answers in time for a while.
        slow = service(
            0.2,
            slots=4,
            queue=1000 if factor != "attempts" else 20,
            startup=0.1,
            crash_loop=CrashLoop(first=0.1, initial=0.1, longest=0.1),
            memory=memory(per_request=1.0, limit=10_000.0 if more or factor != "memory" else 115.0),
        )
        services: dict[str, Service] = {"web": slow}
        place = {"web": 1}
        if factor == "pods":
            waits = Call(timeout=1.0)
            services = {"web": service(0.01, slots=8, queue=0, calls={"db": waits}), "db": slow}
            place = {"web": 6 if more else 1, "db": 1}
        people = users(60.0, deadline=1.5, backoff=0.5, attempts=8 if more and factor == "attempts" else 1)
        if factor == "attempts":  # below capacity a retry saves what was turned away
            people = users(18.0, deadline=5.0, backoff=1.0, attempts=1 if more else 3)
        return share(world(services=services, place={"home": place}, populations={"staff": people}, model=EXACT))

    assert of(True) < of(False) - 2.0 * SLACK


def in_units(unit_s: float, load: float, hedged: bool) -> Scenario:
    """Two tiers with every defence that has a time, all times in units of `unit_s`."""
    call = Call(
        timeout=1.0 * unit_s,
        attempts=2,
        backoff=0.2 * unit_s,
        fast_fail=0.01 * unit_s,
        retry_budget=0.3,
        breaker=Breaker(failures=0.9, window=20.0 * unit_s, open=30.0 * unit_s),
        throttle=Throttle(window=60.0 * unit_s),
        hedge_after=0.5 * unit_s if hedged else None,
    )
    people = users(
        load * 40.0 / unit_s,
        attempts=3,
        backoff=5.0 * unit_s,
        backoff_growth=2.0,
        jitter="full",
        deadline=3.0 * unit_s,
        throttle=Throttle(window=60.0 * unit_s),
    )
    return world(
        horizon=2000.0 * unit_s,
        services={
            "web": service(0.05 * unit_s, slots=16, queue=30, calls={"db": call}, patience=2.0 * unit_s),
            "db": service(0.2 * unit_s, slots=4, queue=20, order="lifo"),
        },
        place={"home": {"web": 2, "db": 2}},
        populations={"staff": people},
        faults={"slow": fault("db in home", Effect(slow=3.0), at_s=500.0 * unit_s, until=200.0 * unit_s)},
        model=EXACT,
    )


@settings(FEW, max_examples=12)
@given(st.sampled_from([3.0, 10.0, 60.0]), st.floats(0.3, 2.0), st.booleans())
def test_all_times_longer_and_all_rates_smaller_give_the_same_shares(unit_s: float, load: float, hedged: bool) -> None:
    """The 50 ms after which users know of a rejection and the 1 ms of a pod's start are the only other times."""
    expected, found = (run_trial(in_units(u, load, hedged), "test", 0) for u in (2.0, 2.0 * unit_s))
    for record in (expected, found):
        check(record, throttles=True)
    assert found.totals[0] / found.totals[0, 0] == pytest.approx(expected.totals[0] / expected.totals[0, 0], abs=2e-2)
    assert availability(found) == pytest.approx(availability(expected), abs=1e-2)


@FEW
@given(st.sampled_from(["services", "regions"]), LOADS, SLOTS, QUEUES, ROUGH, st.sampled_from([1, 3]))
def test_two_halves_are_the_whole(kind: str, load: float, slots: int, queue: int, rough: bool, attempts: int) -> None:
    """Four equal pods, or two and two of them in services or regions of their own with half of the users each."""
    whole = chain(load, slots=slots, queue=queue, rough=rough, attempts=attempts, pods=(4, 0), base_pods=4)
    people, spec = whole.populations["staff"], whole.services["web"]
    half = {"requests": people.requests / 2.0}
    names = ["home", "spare"] if kind == "regions" else ["home"]
    services = {"web": spec} if kind == "regions" else {"web": spec, "twin": spec}
    populations = {
        "staff": people.model_copy(update=half | {"home": "home"}),
        "others": people.model_copy(
            update=half | ({"home": "spare"} if kind == "regions" else {"journey": "twin", "home": "home"})
        ),
    }
    slow, surge = Effect(slow=2.0), Effect(demand=2.0)
    targets = ["web in home", "web in spare" if kind == "regions" else "twin in home"]
    faults = {f"slow{k}": fault(target, slow, at_s=1000.0, until=300.0) for k, target in enumerate(targets)}
    faults |= {
        f"surge{k}": fault(f"population {name}", surge, at_s=1200.0, until=300.0) for k, name in enumerate(populations)
    }
    halves = whole.model_copy(
        update={
            "regions": dict.fromkeys(names, whole.regions["home"]),
            "services": services,
            "place": {name: dict.fromkeys(services, 2) for name in names},
            "populations": populations,
            "faults": faults if rough else {},
        }
    )
    expected, found = run(whole).totals[0], run(halves).totals.sum(axis=0)
    assert found == pytest.approx(expected, rel=1e-3, abs=1e-3 * expected[0])
