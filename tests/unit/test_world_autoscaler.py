"""The rule of the Kubernetes autoscaler on examples worked by hand, and what the autoscaler must not fight."""

from typing import Any

import pytest
from worlds import at, fault, memory, region, run, service, two_regions, users, world

from sim.scenario.schema import (
    Autoscale,
    Breaker,
    Call,
    Detection,
    Effect,
    Failback,
    Failover,
    Model,
    Monitor,
    Operations,
    Probe,
    Scenario,
    ScriptedStep,
    Step,
)
from sim.world import Kind, TrialRecord
from sim.world.autoscaler import pods_wanted, stabilised
from sim.world.observers import watched_by
from sim.world.trial import Trial

MEAN = Model(noise="never")


@pytest.mark.parametrize(
    ("busy", "n_ready", "n_pods", "wanted", "why"),
    [
        (0.9, 4, 4, 6, "4 * 0.9 / 0.6"),
        (0.6, 4, 4, 4, "on target"),
        (0.66, 4, 4, 4, "10 % above is tolerated"),
        (0.67, 4, 4, 5, "4 * 0.67 / 0.6 = 4.47"),
        (0.54, 4, 4, 4, "10 % below is tolerated"),
        (0.53, 4, 4, 4, "4 * 0.53 / 0.6 = 3.53, rounded up"),
        (0.45, 4, 4, 3, "4 * 0.45 / 0.6 = 3"),
        (0.3, 8, 8, 4, "half of the target"),
        (0.0, 4, 4, 0, "idle: the bounds keep some"),
        (1.0, 10, 10, 17, "10 / 0.6 = 16.67"),
        (0.9, 0, 4, 4, "nothing to measure"),
        (0.9, 2, 4, 4, "2 ready at 0.9 and 2 idle: 4 * 0.45 / 0.6 = 3, the other way round"),
        (1.0, 3, 4, 5, "3 ready at 1 and 1 idle: 4 * 0.75 / 0.6 = 5"),
        (0.3, 2, 4, 3, "2 ready at 0.3 and 2 on target: 4 * 0.45 / 0.6 = 3"),
    ],
)
def test_the_rule_of_kubernetes(busy: float, n_ready: int, n_pods: int, wanted: int, why: str):
    assert pods_wanted(busy, n_ready, n_pods, Autoscale(most=100, target=0.6)) == wanted, why


def test_windows_take_the_smallest_up_and_the_largest_down():
    rule = Autoscale(most=100, up_after=60.0, down_after=300.0)
    asked = [(100.0, 9), (350.0, 5), (380.0, 7)]
    assert stabilised(4, 8, 400.0, asked, rule) == 5  # up: the least of 8, 5 and 7
    assert stabilised(4, 8, 410.0, asked, rule) == 7  # 350 is as old as the window
    assert stabilised(10, 3, 399.0, asked, rule) == 9  # down: the most of 3, 9, 5 and 7
    assert stabilised(10, 3, 400.0, asked, rule) == 7
    assert stabilised(6, 6, 400.0, asked, rule) == 6


def scaled(rule: Autoscale, *, per_s: float = 36.0, placed: int = 4, **fields: Any) -> Scenario:
    """Pods of 10 slots and 1 s of work."""
    given: dict[str, Any] = {
        "services": {"web": service(1.0, slots=10, queue=40, startup=20.0, autoscale=rule, imbalance=0.0)},
        "place": {"home": {"web": placed}},
        "populations": {"staff": users(per_s, deadline=30.0)},
        "model": MEAN,
        "horizon": 3000.0,
        **fields,
    }
    return world(**given)


def sizes(record: TrialRecord) -> list[tuple[float, float]]:
    """(time, pods wanted) of each change."""
    return [(r.at_s, r.value) for r in record.records if r.kind is Kind.SCALED]


def test_a_load_within_the_tolerance_costs_no_decisions():
    """24/s on 40 slots are the target: the day takes as many steps as without an autoscaler, and no poll of 5760."""
    steps = []
    for rule in (Autoscale(least=2, most=8), None):
        services = {"web": service(1.0, slots=10, queue=40, autoscale=rule)}
        trial = Trial(scaled(Autoscale(most=8), per_s=24.0, services=services, horizon=86_400.0), "test", 0)
        record = trial.run()
        assert sizes(record) == []
        steps.append(trial.traffic.n_steps)
    assert steps[0] <= steps[1] + 20


def test_a_pool_at_its_bounds_is_left_alone():
    assert sizes(run(scaled(Autoscale(most=4), per_s=39.0))) == []
    assert sizes(run(scaled(Autoscale(least=4, most=8), per_s=1.0))) == []


def test_growth_is_limited_as_by_default_in_kubernetes():
    """2 pods, all busy, at a target of 10 % ask for 20 and more: 4 more at 15 s, then as many as there are."""
    rule = Autoscale(least=2, most=30, target=0.1)
    record = run(scaled(rule, per_s=500.0, placed=2, regions={"home": region(6)}, horizon=300.0))
    assert sizes(record) == [(15.0, 6.0), (30.0, 12.0), (45.0, 24.0), (60.0, 30.0)]


def test_pods_need_room_on_the_nodes():
    """Two nodes of four pods each: of the 12 pods asked for, 8 run and the others wait."""
    web: dict[str, Any] = {"slots": 10, "queue": 40, "startup": 20.0, "autoscale": Autoscale(most=12)}
    services = {"web": service(1.0, memory=memory(limit=250.0), **web)}
    record = run(scaled(Autoscale(most=12), per_s=70.0, services=services, regions={"home": region(2, 1000.0)}))
    ready = {r.pod for r in record.records if r.kind is Kind.POD_READY}
    waiting = {r.pod for r in record.records if r.kind is Kind.POD_ADDED and "no node" in r.what}
    assert len(ready) == 4
    assert len(waiting) == 4
    assert not ready & waiting


def test_people_and_the_autoscaler_do_not_undo_each_other():
    """People add two pods at 1000 to four that are idle enough to go: the autoscaler keeps to its own."""
    script = {"scale_out": ScriptedStep(at=at(1000.0), service="web", pods=2)}
    record = run(scaled(Autoscale(least=2, most=4), per_s=4.0, operations=Operations(script=script)))
    assert [n for _, n in sizes(record)] == [2.0]
    assert {r.pod for r in record.records if r.kind is Kind.POD_REMOVED} == {"home/web/3", "home/web/4"}
    assert {r.pod for r in record.records if r.kind is Kind.POD_ADDED} == {"home/web/5", "home/web/6"}


def test_a_standby_that_sleeps_is_not_scaled():
    rule = Autoscale(least=1, most=8, down_after=60.0)
    services = {"web": service(1.0, slots=10, queue=40, startup=20.0, autoscale=rule)}
    policy = Failover(policy="active-passive", standby="warm", ttl=10.0, failback=Failback(after=300.0))
    faults = {"dark": fault("home", at_s=2000.0, until=1000.0)}
    record = run(
        two_regions(
            policy, services=services, faults=faults, populations={"staff": users(12.0, home="home", deadline=30.0)},
            model=MEAN, horizon=9000.0,
        )
    )  # fmt: skip
    spare = [(r.at_s, r.kind) for r in record.records if r.region == "spare" and r.service == "web"]
    woken = next(r.at_s for r in record.records if r.kind is Kind.FAILOVER)
    assert all(t >= woken - 30.0 for t, _ in spare)
    assert not [r for r in record.records if r.kind is Kind.SCALED and r.region == "spare" and r.value == 0.0]


def test_pods_that_a_fault_holds_are_neither_removed_nor_replaced():
    """Half of four pods are lost: two at 90 % and two idle ones ask for 4 * 0.45 / 0.6 = 3, which is no increase."""
    faults = {"cut": fault("web in home", Effect(capacity=0.5), at_s=500.0, until=1000.0)}
    record = run(scaled(Autoscale(least=2, most=8), per_s=18.0, placed=4, faults=faults, horizon=1400.0))
    during = [r for r in record.records if r.kind is Kind.SCALED and 500.0 <= r.at_s < 1500.0]
    assert during == []


def test_a_scaled_in_pool_is_not_taken_for_a_sick_one():
    """One pod of four runs at night; people who look for what is sick in another service do not restart it."""
    runbook = {"restart": Step()}
    scenario = scaled(
        Autoscale(least=1, most=4, down_after=30.0),
        per_s=4.0,
        services={
            "web": service(
                1.0, slots=10, queue=40, autoscale=Autoscale(least=1, most=4, down_after=30.0), imbalance=0.0
            ),
            "other": service(),
        },
        place={"home": {"web": 4, "other": 1}},
        populations={"staff": users(4.0, deadline=30.0), "others": users(journey="other")},
        faults={"bad": fault("other in home", Effect(errors=1.0), at_s=1000.0, until=600.0)},
        operations=Operations(detection=Detection(monitor=Monitor(**{"for": 60.0})), runbook=runbook),
    )
    record = run(scenario)
    assert {r.service for r in record.records if r.kind is Kind.POD_LOST} == {"other"}


def test_an_endless_loop_is_blamed_on_an_element_by_name():
    """Every kind of guard is told in words with the name of what it watches."""
    call = Call(timeout=1.0, breaker=Breaker())
    services = {
        "web": service(calls={"db": call}, liveness=Probe(), autoscale=Autoscale(least=1, most=3)),
        "db": service(),
    }
    policy = Failover(policy="active-passive")
    trial = Trial(
        two_regions(policy, services=services, place={"home": {"web": 1, "db": 1}, "spare": {"web": 1}}), "t", 0
    )
    pods = [pod.name for pod in trial.fleet.pods]
    told = {watched_by(trial.traffic, guard, pods) for guard in range(int(trial.traffic.net.counts[6]))}
    assert {
        "the success of population staff",
        "the success of population staff in home",
        "the served share of home/db",
        "the busy share of spare/web",
        "the chance of a free slot in home/web/1",
        "the success of calls from home/web to db",
    } <= told
