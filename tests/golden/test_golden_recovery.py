"""Recovery with known times: failover, standby, provider, people. The whole event log, by hand in each docstring.

A share of the load follows a switch like exp(-t / ttl). Success counts as above again at 95.1 % (threshold 95 %
plus a hysteresis of 0.1 %), that is when 4.9 % are left behind: ttl ln(1 / 0.049) after the switch.
"""

import math
from typing import Any

import pytest
from worlds import Line, assert_log, at, availability, fault, lasting, memory, region, run, service, two_regions, world

from sim.scenario.schema import (
    Detection,
    Effect,
    Failback,
    Failover,
    Monitor,
    Operations,
    Provider,
    Scenario,
    ScriptedStep,
    Step,
)

FOLLOWED = math.log(1.0 / 0.049)
ONE_IN_1E9 = math.log(10.0 / 1e-9)
"""10/s fall below 1e-9/s, where a pool counts as not called, after this many time constants."""
HOT = Failover(policy="active-passive", decide=20.0, ttl=60.0, failback=Failback(after=1800.0, stages=3, every=300.0))
START_30 = {"services": {"web": service(startup=30.0)}}


def lost(at_s: float, where: str = "home") -> list[Line]:
    return [
        (at_s, f"fault dark#1@{where} (dark hits {where})"),
        (at_s, f"pod_lost {where}/web/1 (lost with {where})"),
        (at_s, f"pod_lost {where}/web/2 (lost with {where})"),
    ]


def back(at_s: float, ready_s: float, where: str = "home") -> list[Line]:
    return [
        (at_s, f"repair dark#1@{where} ({where} repaired)"),
        (ready_s, f"pod_ready {where}/web/1"),
        (ready_s, f"pod_ready {where}/web/2"),
    ]


SILENT: list[Line] = [(1003.0, "sli_below staff 0"), (1003.0, "pool_failed home/web")]


def test_hot_standby_takes_over_and_gives_back_in_three_stages():
    """home is lost at 1003. Probes every 10 s fail at 1010, 1020, 1030; 20 s to decide: switch at 1050.

    Above again 60 ln(1/0.049) = 181 s later. Nobody calls home 60 ln(1e10) = 1382 s after the switch. home is
    repaired at 3003, its pods are ready at 3033, well for 30 min at 4833: a third then, at 5133 and at 5433.
    """
    scenario = two_regions(HOT, **START_30, horizon=7200.0, faults={"dark": fault("home", at_s=1003.0, until=2000.0)})
    record = run(scenario)
    expected = [
        *lost(1003.0),
        *SILENT,
        (1050.0, "failover home (automatic: load of home to spare)"),
        (1050.0 + 60.0 * FOLLOWED, "sli_above staff 0.951"),
        (1050.0 + 60.0 * ONE_IN_1E9, "pool_recovered home/web"),
        *back(3003.0, 3033.0),
        (4833.0, "failback home (33% of the load of home is home again) 0.333333"),
        (5133.0, "failback home (67% of the load of home is home again) 0.666667"),
        (5433.0, "failback home (100% of the load of home is home again) 1"),
    ]
    assert_log(record, expected, within_s=0.5)
    # Lost: all for 47 s, then exp(-t/60), 60 s in all.
    assert availability(record) == pytest.approx(1.0 - (47.0 + 60.0) / 7200.0, abs=1e-4)


def test_a_region_that_is_back_before_the_decision_keeps_its_load():
    """Lost at 1003, repaired at 1010 with pods at 1040; the switch would have been at 1050."""
    record = run(two_regions(HOT, **START_30, faults={"dark": fault("home", at_s=1003.0, until=7.0)}))
    tail: list[Line] = [(1040.0, "pool_recovered home/web"), (1040.0, "sli_above staff 1")]
    ready = back(1010.0, 1040.0)
    assert_log(record, [*lost(1003.0), *SILENT, *ready[:2], *tail, ready[2]])


def standby(kind: str, **fields: Any) -> Scenario:
    regions = {"home": region(), "spare": region(2, provision=lasting(240.0))}
    policy = HOT.model_copy(update={"standby": kind})
    return two_regions(policy, **{**START_30, "regions": regions, "horizon": 7200.0, **fields})


@pytest.mark.parametrize(("kind", "arrives_s"), [("warm", 0.0), ("cold", 240.0)])
def test_a_standby_is_started_first(kind: str, arrives_s: float):
    """Decision at 1050 as above. Warm: pods start (30 s), switch at 1080. Cold: nodes come first (4 min), 1320.

    All load is sent home at 5433; the standby serves the last clients for 30 time constants more, until 7233.
    """
    record = run(standby(kind, horizon=9000.0, faults={"dark": fault("home", at_s=1003.0, until=2000.0)}))
    ready_s = 1050.0 + arrives_s + 30.0
    expected = [
        *lost(1003.0),
        *SILENT,
        (ready_s, "pod_ready spare/web/1"),
        (ready_s, "pod_ready spare/web/2"),
        (ready_s, "failover home (automatic: load of home to spare)"),
        (ready_s + 60.0 * FOLLOWED, "sli_above staff 0.951"),
        (ready_s + 60.0 * ONE_IN_1E9, "pool_recovered home/web"),
        *back(3003.0, 3033.0),
        (4833.0, "failback home (33% of the load of home is home again) 0.333333"),
        (5133.0, "failback home (67% of the load of home is home again) 0.666667"),
        (5433.0, "failback home (100% of the load of home is home again) 1"),
        (7233.0, "pod_lost spare/web/1 (standby no longer needed)"),
        (7233.0, "pod_lost spare/web/2 (standby no longer needed)"),
    ]
    assert_log(record, expected, within_s=0.5)
    node_hours = {"warm": 2.0 * 9000.0, "cold": 2.0 * (7233.0 - 1290.0)}[kind] / 3600.0
    assert record.node_hours["spare"] == pytest.approx(node_hours, rel=1e-3)
    pods_from_s = {"warm": 1050.0, "cold": 1290.0}[kind]
    assert record.pod_hours["web"] == pytest.approx(2.0 * (9000.0 + 7233.0 - pods_from_s) / 3600.0, rel=1e-3)


def test_the_standby_is_lost_while_it_comes_up():
    """Decision at 1050, pods due at 1080, but spare is lost from 1070 to 1200: pods at 1230, switch at 1230."""
    faults = {"dark": fault("home", at_s=1003.0, until=2000.0), "gone": fault("spare", at_s=1070.0, until=130.0)}
    record = run(standby("warm", faults=faults, horizon=1300.0))
    assert_log(
        record,
        [
            *lost(1003.0),
            *SILENT,
            (1070.0, "fault gone#1@spare (gone hits spare)"),
            (1200.0, "repair gone#1@spare (spare repaired)"),
            (1230.0, "pod_ready spare/web/1"),
            (1230.0, "pod_ready spare/web/2"),
            (1230.0, "failover home (automatic: load of home to spare)"),
        ],
    )


def test_home_is_back_before_its_standby_is_ready():
    """Decision at 1050, cold nodes due at 1290; home repaired at 1103, pods at 1133: nothing moves.

    The standby is noticed to be of no use when it is ready (1320) and sent away.
    """
    record = run(standby("cold", faults={"dark": fault("home", at_s=1003.0, until=100.0)}))
    ready = back(1103.0, 1133.0)
    assert_log(
        record,
        [
            *lost(1003.0),
            *SILENT,
            *ready[:2],
            (1133.0, "pool_recovered home/web"),
            (1133.0, "sli_above staff 1"),
            ready[2],
            (1320.0, "pod_ready spare/web/1"),
            (1320.0, "pod_ready spare/web/2"),
            (1320.0, "pod_lost spare/web/1 (standby no longer needed)"),
            (1320.0, "pod_lost spare/web/2 (standby no longer needed)"),
        ],
    )


def test_the_other_provider_takes_over():
    """Lost at 1003, switch at 1050; the provider answers all at once, so users are well 181 s later.

    home is back at 3003 (pods 3033), its load comes home at once after 30 min, at 4833.
    """
    policy = HOT.model_copy(
        update={"policy": "provider", "provider": Provider(quality=0.5), "failback": Failback(after=1800.0)}
    )
    record = run(
        world(failover=policy, **START_30, horizon=7200.0, faults={"dark": fault("home", at_s=1003.0, until=2000.0)})
    )
    assert_log(
        record,
        [
            *lost(1003.0),
            *SILENT,
            (1050.0, "failover home (automatic: load of home to provider)"),
            (1050.0 + 60.0 * FOLLOWED, "sli_above staff 0.951"),
            (1050.0 + 60.0 * ONE_IN_1E9, "pool_recovered home/web"),
            *back(3003.0, 3033.0),
            (4833.0, "failback home (100% of the load of home is home again) 1"),
        ],
        within_s=0.5,
    )
    # By the provider: from 1050 to 4833, 60 s less at the begin and 60 s more at the end.
    _, good, _, _, usable, by_provider, _ = record.totals[0]
    assert by_provider == pytest.approx(10.0 * 3783.0, rel=5e-3)
    assert good - usable == pytest.approx(0.5 * by_provider, rel=1e-3)


SICK = {"bad": fault("web in home", Effect(errors=1.0), at_s=1000.0)}


def test_people_notice_diagnose_err_and_mend():
    """Errors from 1000 on. The monitor waits 5 min: 1300. Acknowledged 3 min later, diagnosed after 10 more: 2080.

    The first step is wrong (restart, 2 min: all pods down at 2200, ready at 2230). After 5 min of watching, at 2500,
    the roll-back that helps, 5 min: mended at 2800. Seen to be over after 5 min more: 3100.
    """
    operations = Operations(
        detection=Detection(monitor=Monitor(below=0.95, **{"for": 300.0})),
        acknowledge=lasting(180.0),
        diagnose=lasting(600.0),
        first_action_wrong=1.0,
        reassess=300.0,
        runbook={
            "restart": Step(takes=lasting(120.0), service="web"),
            "rollback": Step(takes=lasting(300.0), helps_against=("bad",)),
        },
    )
    record = run(world(**START_30, faults=SICK, operations=operations))
    assert_log(
        record,
        [
            (1000.0, "fault bad#1@home/web (bad hits home/web)"),
            (1000.0, "sli_below staff 0"),
            (1000.0, "pool_failed home/web"),
            (1300.0, "detected home (monitor)"),
            (1480.0, "acknowledged home"),
            (2080.0, "diagnosed home"),
            (2080.0, "action home/web (restart) 0"),
            (2200.0, "pod_lost home/web/1 (restarted by hand)"),
            (2200.0, "pod_lost home/web/2 (restarted by hand)"),
            (2200.0, "action_done home/web (restart) 0"),
            (2230.0, "pod_ready home/web/1"),
            (2230.0, "pod_ready home/web/2"),
            (2500.0, "action home (rollback) 1"),
            (2800.0, "repair bad#1@home/web (ended by rollback)"),
            (2800.0, "action_done home (rollback) 1"),
            (2800.0, "pool_recovered home/web"),
            (2800.0, "sli_above staff 1"),
            (3100.0, "closed home"),
        ],
    )


def test_a_second_incident_waits_for_the_crew():
    """Two regions, errors in home at 1000 and in spare at 1010, a crew of one, 60 s each to notice and to mend.

    home: detected 1060, mended at 1120, closed after 60 s, 1180. spare: detected 1070, but worked on from 1180:
    the fault of spare was mended by the same fix at 1120 already, so it is closed at once.
    """
    operations = Operations(
        detection=Detection(monitor=Monitor(below=0.95, **{"for": 60.0})),
        reassess=60.0,
        runbook={"fix": Step(takes=lasting(60.0), helps_against=("bad", "worse"))},
    )
    record = run(
        two_regions(
            Failover(),
            populations={
                "staff": world().populations["staff"].model_copy(update={"home": "home"}),
                "others": world().populations["staff"].model_copy(update={"home": "spare"}),
            },
            faults={**SICK, "worse": fault("web in spare", Effect(errors=1.0), at_s=1010.0)},
            operations=operations,
        )
    )
    assert_log(
        record,
        [
            (1000.0, "fault bad#1@home/web (bad hits home/web)"),
            (1000.0, "sli_below staff 0"),
            (1000.0, "pool_failed home/web"),
            (1010.0, "fault worse#1@spare/web (worse hits spare/web)"),
            (1010.0, "sli_below others 0"),
            (1010.0, "pool_failed spare/web"),
            (1060.0, "detected home (monitor)"),
            (1060.0, "acknowledged home"),
            (1060.0, "diagnosed home"),
            (1060.0, "action home (fix) 1"),
            (1070.0, "detected spare (monitor)"),
            (1120.0, "repair bad#1@home/web (ended by fix)"),
            (1120.0, "repair worse#1@spare/web (ended by fix)"),
            (1120.0, "action_done home (fix) 1"),
            (1120.0, "pool_recovered home/web"),
            (1120.0, "pool_recovered spare/web"),
            (1120.0, "sli_above staff 1"),
            (1120.0, "sli_above others 1"),
            (1180.0, "closed home"),
            (1180.0, "acknowledged spare"),
            (1180.0, "diagnosed spare"),
            (1180.0, "closed spare"),
        ],
    )


def test_a_script_happens_at_its_times():
    """Errors at 1000. The script: noticed at 1200; restart at 1500, one pod every 60 s; mended at 2000 + 100."""
    script = {
        "notice": ScriptedStep(at=at(1200.0)),
        "restart": ScriptedStep(at=at(1500.0), service="web", roll=60.0, region="home"),
        "fix": ScriptedStep(at=at(2000.0), takes=lasting(100.0), helps_against=("bad",)),
    }
    record = run(world(**START_30, faults=SICK, operations=Operations(script=script)))
    assert_log(
        record,
        [
            (1000.0, "fault bad#1@home/web (bad hits home/web)"),
            (1000.0, "sli_below staff 0"),
            (1000.0, "pool_failed home/web"),
            (1200.0, "detected home (notice)"),
            (1500.0, "action home/web (restart)"),
            (1500.0, "pod_lost home/web/1 (restarted by hand)"),
            (1530.0, "pod_ready home/web/1"),
            (1560.0, "pod_lost home/web/2 (restarted by hand)"),
            (1590.0, "pod_ready home/web/2"),
            (1620.0, "action_done home/web (restart)"),
            (2000.0, "action home (fix)"),
            (2100.0, "repair bad#1@home/web (ended by fix)"),
            (2100.0, "action_done home (fix)"),
            (2100.0, "pool_recovered home/web"),
            (2100.0, "sli_above staff 1"),
        ],
    )


def test_memory_is_raised_pod_by_pod_and_pods_are_added_as_the_quota_allows():
    """Two nodes of 1000 MiB with a pod of 400 MiB each; a third node is allowed, after 5 min.

    raise_memory to 900 MiB at 1000, 140 s per pod: pod 1 rolls at 1140, ready 1170; pod 2 at 1280, ready 1310.
    scale_out +2 at 2000: no room, a node arrives at 2300, pod 3 ready 2330. Pod 4 finds no room and no quota.
    """
    script = {
        "raise_memory": ScriptedStep(at=at(1000.0), service="web", limit=900.0, roll=140.0),
        "scale_out": ScriptedStep(at=at(2000.0), service="web", pods=2),
    }
    record = run(
        world(
            regions={"home": region(2, 1000.0, zones=2, provision=lasting(300.0), quota=3)},
            services={"web": service(startup=30.0, memory=memory(100.0, 0.0, 400.0))},
            operations=Operations(script=script),
        )
    )
    assert_log(
        record,
        [
            (1000.0, "action home/web (raise_memory)"),
            (1140.0, "pod_lost home/web/1 (rolled for a new memory limit)"),
            (1170.0, "pod_ready home/web/1"),
            (1280.0, "pod_lost home/web/2 (rolled for a new memory limit)"),
            (1280.0, "action_done home/web (raise_memory)"),
            (1310.0, "pod_ready home/web/2"),
            (2000.0, "action home/web (scale_out)"),
            (2300.0, "node_ready home/node-3 (provisioned)"),
            (2300.0, "pod_added home/web/3"),
            (2300.0, "pod_added home/web/4 (no node has room for it)"),
            (2300.0, "action_done home/web (scale_out)"),
            (2330.0, "pod_ready home/web/3"),
        ],
    )
    assert record.node_hours["home"] == pytest.approx((2.0 * 3600.0 + 1300.0) / 3600.0, rel=1e-9)


def test_a_node_that_arrives_in_a_lost_region_waits_with_it():
    """scale_out at 1000, node due at 1300; the region is lost from 1100 to 2000. New pod ready at 2030."""
    script = {"scale_out": ScriptedStep(at=at(1000.0), service="web", pods=1)}
    record = run(
        world(
            regions={"home": region(2, 1000.0, provision=lasting(300.0), eviction=3600.0)},
            services={"web": service(startup=30.0, memory=memory(100.0, 0.0, 900.0))},
            faults={"dark": fault("home", at_s=1100.0, until=900.0)},
            operations=Operations(script=script),
        )
    )
    ready = back(2000.0, 2030.0)
    assert_log(
        record,
        [
            (1000.0, "action home/web (scale_out)"),
            *lost(1100.0),
            (1100.0, "sli_below staff 0"),
            (1100.0, "pool_failed home/web"),
            (1300.0, "node_ready home/node-3 (provisioned)"),
            (1300.0, "pod_added home/web/3 (no node has room for it)"),
            (1300.0, "action_done home/web (scale_out)"),
            *ready[:2],
            (2030.0, "pool_recovered home/web"),
            (2030.0, "sli_above staff 1"),
            (2030.0, "pod_ready home/web/3"),
            ready[2],
        ],
    )
