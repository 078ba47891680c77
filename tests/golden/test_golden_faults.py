"""Faults with known times: the whole event log against times worked out by hand in each docstring.

Demand is 10/s on pods that serve 80/s each: while one pod is ready, every request succeeds, and a population's
success jumps between 1 and 0 at the moment its last pod goes or its first one comes.
"""

import math

import pytest
from worlds import (
    RESTART,
    assert_log,
    availability,
    fault,
    lasting,
    memory,
    region,
    run,
    service,
    two_regions,
    users,
    world,
)

from sim.measures.faults import occurrences
from sim.scenario.schema import Breaker, Call, CommonCause, Deployments, Effect, Failover, Fault
from sim.world.log import Kind

POD = memory(100.0, 0.0, 1000.0)


def test_a_crashing_pod_comes_back_after_ever_longer_back_offs():
    """Startup 30 s. Crash 1 at 100: at once, ready 130. Crash 2 at 150: 10 s, ready 190.

    Crash 3 at 200: 20 s, ready 250.
    Ready from 250 to 850 is 600 s: the crash at 850 is the first again, ready 880. The strike at 860 finds a pod
    that is down already and does nothing.
    """
    record = run(
        world(
            services={"web": service(startup=30.0)},
            place={"home": {"web": 1}},
            faults={"crash": fault("any pod of web", at_s=(100.0, 150.0, 200.0, 850.0, 860.0), until=RESTART)},
        )
    )
    expected = []
    for k, (down_s, up_s) in enumerate([(100.0, 130.0), (150.0, 190.0), (200.0, 250.0), (850.0, 880.0)], start=1):
        expected += [
            (down_s, f"fault crash#{k}@home/web/1 (crash hits home/web/1)"),
            (down_s, "pod_lost home/web/1 (crash)"),
            (down_s, "sli_below staff 0"),
            (down_s, "pool_failed home/web"),
            (up_s, "pod_ready home/web/1"),
            (up_s, f"repair crash#{k}@home/web/1 (home/web/1 restarted)"),
            (up_s, "pool_recovered home/web"),
            (up_s, "sli_above staff 1"),
        ]
    assert_log(record, expected)
    assert availability(record) == pytest.approx(1.0 - 150.0 / 3600.0, abs=2e-4)  # and one request per crash


def test_pods_of_a_lost_node_move_after_the_eviction_time():
    """Two nodes of one pod each and a third one that is empty. Node 1 is lost from 100 to 1000.

    Eviction after 5 min at 400: pod 1 finds room on node 3 and is ready 30 s later, 430. When node 1 is back at
    1000 nothing moves back.
    """
    record = run(
        world(
            regions={"home": region(3, 600.0)},
            services={"web": service(startup=30.0, memory=memory(100.0, 0.0, 600.0))},
            faults={"box": fault("zone 1 of home", at_s=100.0, until=900.0)},
        )
    )
    assert_log(
        record,
        [
            (100.0, "fault box#1@home/zone-1 (box hits home/zone-1)"),
            (100.0, "pod_lost home/web/1 (lost with home/zone-1)"),
            (430.0, "pod_ready home/web/1"),
            (1000.0, "repair box#1@home/zone-1 (home/zone-1 repaired)"),
        ],
    )
    ready = next(r for r in record.records if r.kind == "pod_ready")
    assert (ready.node, ready.zone) == ("home/node-3", "home/zone-3")


def test_without_room_elsewhere_pods_wait_for_their_node():
    """Two nodes, both full. Node 1 is lost from 100 to 1000: evicted at 400, no room; ready 30 s after 1000."""
    record = run(
        world(
            regions={"home": region(2, 600.0, zones=2)},
            services={"web": service(startup=30.0, memory=memory(100.0, 0.0, 600.0))},
            faults={"box": fault("zone 1 of home", at_s=100.0, until=900.0)},
        )
    )
    assert_log(
        record,
        [
            (100.0, "fault box#1@home/zone-1 (box hits home/zone-1)"),
            (100.0, "pod_lost home/web/1 (lost with home/zone-1)"),
            (1000.0, "repair box#1@home/zone-1 (home/zone-1 repaired)"),
            (1030.0, "pod_ready home/web/1"),
        ],
    )


def test_a_node_that_came_back_in_time_is_not_evicted_by_the_old_timer():
    """Lost 100 to 200, ready 230; lost again 350 to 500. The first timer at 400 is void; back at 500, ready 530."""
    record = run(
        world(
            regions={"home": region(2, 1000.0, zones=2)},
            services={"web": service(startup=30.0, memory=memory(100.0, 0.0, 500.0))},
            faults={
                "one": fault("zone 1 of home", at_s=100.0, until=100.0),
                "two": fault("zone 1 of home", at_s=350.0, until=150.0),
            },
        )
    )
    assert_log(
        record,
        [
            (100.0, "fault one#1@home/zone-1 (one hits home/zone-1)"),
            (100.0, "pod_lost home/web/1 (lost with home/zone-1)"),
            (200.0, "repair one#1@home/zone-1 (home/zone-1 repaired)"),
            (230.0, "pod_ready home/web/1"),
            (350.0, "fault two#1@home/zone-1 (two hits home/zone-1)"),
            (350.0, "pod_lost home/web/1 (lost with home/zone-1)"),
            (500.0, "repair two#1@home/zone-1 (home/zone-1 repaired)"),
            (530.0, "pod_ready home/web/1"),
        ],
    )


def test_zones_lost_one_after_the_other():
    """One pod in each of two zones. Zone 1 from 100 to 300, zone 2 from 200 to 400; startup 30 s.

    Users see nothing from 200 (the last pod goes) until pod 1 is ready at 330; pod 2 follows at 430.
    """
    record = run(
        world(
            regions={"home": region(2, 1000.0, zones=2)},
            services={"web": service(startup=30.0, memory=POD)},
            faults={
                "one": fault("zone 1 of home", at_s=100.0, until=200.0),
                "two": fault("zone 2 of home", at_s=200.0, until=200.0),
            },
        )
    )
    assert_log(
        record,
        [
            (100.0, "fault one#1@home/zone-1 (one hits home/zone-1)"),
            (100.0, "pod_lost home/web/1 (lost with home/zone-1)"),
            (200.0, "fault two#1@home/zone-2 (two hits home/zone-2)"),
            (200.0, "pod_lost home/web/2 (lost with home/zone-2)"),
            (200.0, "sli_below staff 0"),
            (200.0, "pool_failed home/web"),
            (300.0, "repair one#1@home/zone-1 (home/zone-1 repaired)"),
            (330.0, "pod_ready home/web/1"),
            (330.0, "pool_recovered home/web"),
            (330.0, "sli_above staff 1"),
            (400.0, "repair two#1@home/zone-2 (home/zone-2 repaired)"),
            (430.0, "pod_ready home/web/2"),
        ],
    )
    assert availability(record) == pytest.approx(1.0 - 130.0 / 3600.0, abs=1e-4)


def test_a_pod_that_would_be_ready_when_its_node_is_lost():
    """Crash at 100, ready due at 150; the region goes at 150 too, until 300, and was scheduled first: ready at 350."""
    record = run(
        world(
            services={"web": service(startup=50.0)},
            place={"home": {"web": 1}},
            faults={
                "dark": fault("home", at_s=150.0, until=150.0),
                "crash": fault("any pod", at_s=100.0, until=RESTART),
            },
        )
    )
    assert_log(
        record,
        [
            (100.0, "fault crash#1@home/web/1 (crash hits home/web/1)"),
            (100.0, "pod_lost home/web/1 (crash)"),
            (100.0, "sli_below staff 0"),
            (100.0, "pool_failed home/web"),
            (150.0, "fault dark#1@home (dark hits home)"),
            (300.0, "repair dark#1@home (home repaired)"),
            (350.0, "pod_ready home/web/1"),
            (350.0, "repair crash#1@home/web/1 (home/web/1 restarted)"),
            (350.0, "pool_recovered home/web"),
            (350.0, "sli_above staff 1"),
        ],
    )


def test_two_faults_hold_an_element_until_both_are_over():
    """Both strike the region at 100; one is over at 200, the other at 300."""
    record = run(
        world(
            place={"home": {"web": 1}},
            services={"web": service(startup=5.0)},
            faults={"a": fault("home", at_s=100.0, until=100.0), "b": fault("home", at_s=100.0, until=200.0)},
        )
    )
    assert_log(
        record,
        [
            (100.0, "fault a#1@home (a hits home)"),
            (100.0, "pod_lost home/web/1 (lost with home)"),
            (100.0, "sli_below staff 0"),
            (100.0, "pool_failed home/web"),
            (100.0, "fault b#1@home (b hits home)"),
            (200.0, "repair a#1@home (home repaired)"),
            (300.0, "repair b#1@home (home repaired)"),
            (305.0, "pod_ready home/web/1"),
            (305.0, "pool_recovered home/web"),
            (305.0, "sli_above staff 1"),
        ],
    )


def test_a_bad_deployment_reaches_every_region():
    """Deployed every 1000 s, always bad, and with the same release in the other region; each repaired after 300 s.

    All pods of both regions answer with errors from 1000 to 1300 and from 2000 to 2300.
    """
    broken = Effect(errors=1.0)
    record = run(
        two_regions(
            Failover(),
            horizon=2500.0,
            faults={
                "release": fault(
                    "web in home",
                    broken,
                    per_deployment=1.0,
                    deployments=Deployments(every=1000.0),
                    common_cause=CommonCause(regions=1.0),
                    until=300.0,
                )
            },
        )
    )
    expected = []
    for k, at_s in enumerate((1000.0, 2000.0), start=1):
        expected += [
            (at_s, "deployment home/web (of home/web)"),
            (at_s, f"fault release#{k}@home/web (release hits home/web)"),
            (at_s, f"fault release#{k}@spare/web (release hits spare/web, common cause with home/web)"),
            (at_s, "sli_below staff 0"),
            (at_s, "pool_failed home/web"),
            (at_s + 300.0, f"repair release#{k}@home/web (home/web repaired)"),
            (at_s + 300.0, "pool_recovered home/web"),
            (at_s + 300.0, "sli_above staff 1"),
            (at_s + 300.0, f"repair release#{k}@spare/web (spare/web repaired)"),
        ]
    assert_log(record, expected)


@pytest.mark.parametrize(
    ("spec", "together"),
    [
        (fault("any pod", Effect(errors=1.0), every=lasting(200.0), until=10.0), set()),
        (fault("any pod", Effect(errors=1.0), at_s=1000.0, until=10.0), {"bad at"}),
        (fault("all pods", Effect(errors=1.0), at_s=1000.0, until=10.0), {"bad#1@all pods"}),
        (fault("home", Effect(errors=1.0), at_s=1000.0, until=10.0), set()),
        (
            fault("web in home", Effect(errors=1.0), at_s=1000.0, until=10.0, common_cause=CommonCause(regions=1.0)),
            {"bad#1@home/web"},
        ),
    ],
)
def test_a_fault_says_whether_it_hit_several_elements_in_one_event(spec: Fault, together: set[str]):
    """Pods with clocks of their own may strike at the same instant (here all of them, the law being fixed): that is no
    common event. One moment stated for several, a target `all ...` and a common cause are."""
    record = run(two_regions(Failover(), horizon=1500.0, faults={"bad": spec}))
    found = {entry.together for entry in record.records if entry.kind is Kind.FAULT}
    assert {text.partition(" 20")[0] for text in found if text} == together
    assert {o.common_cause for o in occurrences(record)} == {bool(together)}


def test_a_breaker_opens_tries_and_closes():
    """db answers with errors from 1000 to 1100; web can answer without it.

    The success averaged over 10 s is exp(-t/10): below half after 10 ln 2 = 6.93 s, the breaker opens. Open for
    30 s, then 5 % for 10 s: still failing at 46.93 and at 86.93 s, well at 126.93 s.
    While it is open nobody calls db, so nobody is failed by it.
    """
    breaker = Breaker(failures=0.5, window=10.0, open=30.0, trickle=0.05)
    record = run(
        world(
            services={"web": service(calls={"db": Call(timeout=1.0, fallback=1.0, breaker=breaker)}), "db": service()},
            place={"home": {"web": 2, "db": 2}},
            faults={"sick": fault("db in home", Effect(errors=1.0), at_s=1000.0, until=100.0)},
        )
    )
    opened = 1000.0 + 10.0 * math.log(2.0)
    expected = [
        (1000.0, "fault sick#1@home/db (sick hits home/db)"),
        (1000.0, "pool_failed home/db"),
    ]
    for k in range(3):
        expected += [
            (opened + 40.0 * k, "breaker home (web to db: open)"),
            (opened + 40.0 * k, "pool_recovered home/db"),
        ]
        if k == 2:
            expected.append((1100.0, "repair sick#1@home/db (home/db repaired)"))
        expected.append((opened + 40.0 * k + 30.0, "breaker home (web to db: half-open)"))
        if k < 2:
            expected.append((opened + 40.0 * k + 30.0, "pool_failed home/db"))
    expected.append((opened + 120.0, "breaker home (web to db: closed)"))
    assert_log(record, expected, within_s=0.02)
    assert availability(record) > 0.9999


def test_a_partition_cuts_a_region_off_and_keeps_it_running():
    """home cannot be reached from 100 to 400: its users lose 300 s, those of spare nothing; no pod stops."""
    record = run(
        two_regions(
            Failover(),
            populations={"staff": users(home="home"), "others": users(home="spare")},
            faults={"cable": fault("home", Effect(partition=True), at_s=100.0, until=300.0)},
        )
    )
    assert_log(
        record,
        [
            (100.0, "fault cable#1@home (cable hits home)"),
            (100.0, "sli_below staff 0"),
            (400.0, "repair cable#1@home (home repaired)"),
            (400.0, "sli_above staff 1"),
        ],
    )
    assert availability(record, 0) == pytest.approx(1.0 - 300.0 / 3600.0, abs=1e-4)
    assert availability(record, 1) == pytest.approx(1.0, abs=1e-9)


def test_capacity_lost_and_needed():
    """Of three pods two are needed. A third of them (pod 1) goes from 100 to 200.

    Half of them, rounded up (pods 1 and 2), go from 300 to 400.
    """
    record = run(
        world(
            services={"web": service(needs=2, startup=10.0)},
            place={"home": {"web": 3}},
            faults={
                "part": fault("web in home", Effect(capacity=1.0 / 3.0), at_s=100.0, until=100.0),
                "most": fault("web in home", Effect(capacity=0.5), at_s=300.0, until=100.0),
            },
        )
    )
    held = "capacity lost by"
    assert_log(
        record,
        [
            (100.0, "fault part#1@home/web (part hits home/web)"),
            (100.0, f"pod_lost home/web/1 ({held} part#1@home/web)"),
            (200.0, "repair part#1@home/web (home/web repaired)"),
            (210.0, "pod_ready home/web/1"),
            (300.0, "fault most#1@home/web (most hits home/web)"),
            (300.0, f"pod_lost home/web/1 ({held} most#1@home/web)"),
            (300.0, f"pod_lost home/web/2 ({held} most#1@home/web)"),
            (300.0, "sli_below staff 0"),
            (300.0, "pool_failed home/web"),
            (400.0, "repair most#1@home/web (home/web repaired)"),
            (410.0, "pod_ready home/web/1"),
            (410.0, "pool_recovered home/web"),
            (410.0, "sli_above staff 1"),
            (410.0, "pod_ready home/web/2"),
        ],
    )
