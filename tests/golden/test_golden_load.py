"""What servers do by themselves under load, with times worked out by hand: probes, routers, caches, autoscaler.

Demand is 10/s on pods of 8 slots of 0.1 s each unless said otherwise. A pod that hangs (slow a million times) has its
8 slots taken within 2 s at 5/s or more, and then none of its requests is answered. These keep the work that they drew,
a day of it each: their slots are lost until the pod is restarted.
"""

import math
from dataclasses import replace

import pytest
from worlds import RESTART, Line, assert_log, at, availability, fault, run, service, users, world

from sim.scenario.schema import Autoscale, Cold, Effect, Model, Operations, Probe, Scenario, ScriptedStep
from sim.world import Kind, TrialRecord

MEAN = Model(noise="never")
HANG = Effect(slow=1e6)


def assert_events(record: TrialRecord, expected: list[Line], *, within_s: float) -> None:
    """The whole log, without the success share at which a threshold was crossed: the fluid's tail is not the point."""
    records = [r._replace(value=math.nan) if r.kind in (Kind.SLI_BELOW, Kind.SLI_ABOVE) else r for r in record.records]
    assert_log(replace(record, records=records), expected, within_s=within_s)


def hanging_pod(**fields: object) -> Scenario:
    """One pod that hangs from 100 to 250."""
    return world(
        services={"web": service(**fields)},
        place={"home": {"web": 1}},
        faults={"hang": fault("web in home", HANG, at_s=100.0, until=150.0)},
        model=MEAN,
        horizon=600.0,
    )


def test_a_liveness_probe_restarts_a_pod_that_hangs_again_and_again():
    """Probes at 5, 15, 25 .. s after ready; those at 105, 115, 125 fail: restart at once, ready 30 s later, 155.

    It hangs again at once: 160, 170, 180 fail; 10 s back-off, ready at 220; 225, 235, 245 fail; 20 s back-off, ready at
    295, when the fault is over.
    """
    record = run(hanging_pod(startup=30.0, liveness=Probe(every=10.0, timeout=1.0, failures=3, delay=5.0)))
    what = "liveness probe failed 3 times"
    assert_events(
        record,
        [
            (100.0, "fault hang#1@home/web (hang hits home/web)"),
            (100.0, "sli_below staff"),
            (100.0, "pool_failed home/web"),
            (125.0, f"pod_lost home/web/1 ({what})"),
            (155.0, "pod_ready home/web/1"),
            (180.0, f"pod_lost home/web/1 ({what})"),
            (220.0, "pod_ready home/web/1"),
            (245.0, f"pod_lost home/web/1 ({what})"),
            (250.0, "repair hang#1@home/web (home/web repaired)"),
            (295.0, "pod_ready home/web/1"),
            (295.0, "pool_recovered home/web"),
            (295.0, "sli_above staff"),
        ],
        within_s=1e-3,
    )


def test_without_the_probe_the_hang_outlasts_its_fault():
    """Negative control: no pod is lost, and users are not well again when the fault is over."""
    record = run(hanging_pod(startup=30.0))
    assert not [r for r in record.records if r.kind is Kind.POD_LOST]
    assert not [r for r in record.records if r.kind is Kind.SLI_ABOVE]


def test_a_hang_of_a_few_seconds_of_work_ends_soon_after_its_fault():
    """Requests that began in the hang take 2 s: of 8 slots 8 e^(-t/2) are left, and a tenth of them are enough."""
    faults = {"hang": fault("web in home", Effect(slow=20.0), at_s=100.0, until=150.0)}
    scenario = world(services={"web": service()}, place={"home": {"web": 1}}, faults=faults, model=MEAN, horizon=600.0)
    assert next(r.at_s for r in run(scenario).records if r.kind is Kind.SLI_ABOVE) == pytest.approx(250.0, abs=2.0)


def zone_that_hangs(slow: float = 1e6, **fields: object) -> Scenario:
    """Two pods, of which that of zone 1 hangs from 100 to 200; 0.1 s of work and a deadline of 5 s."""
    return world(
        services={"web": service(**fields)},
        faults={"hang": fault("zone 1 of home", Effect(slow=slow), at_s=100.0, until=100.0)},
        model=MEAN,
        horizon=600.0,
    )


@pytest.mark.parametrize(("slow", "listed_again"), [(1e6, False), (1000.0, True)])
def test_a_readiness_probe_takes_a_hanging_pod_off_the_list_until_it_answers(slow: float, listed_again: bool):
    """Probes at 5, 15 .. s; 105 and 115 fail: unlisted at 115, and the other pod serves all 10/s.

    The fault is over at 200. Of 16 requests of 100 s some 9 are left by then: the first slots that are free work off
    what waits, and the probe at 215 lists the pod again. Of those of a day all are left.
    """
    record = run(zone_that_hangs(slow, readiness=Probe(every=10.0, timeout=1.0, failures=2, delay=5.0)))
    assert_events(
        record,
        [
            (100.0, "fault hang#1@home/zone-1 (hang hits home/zone-1)"),
            (100.0, "sli_below staff"),
            (115.0, "pod_unlisted home/web/1 (readiness probe failed 2 times)"),
            (115.0, "sli_above staff"),
            (200.0, "repair hang#1@home/zone-1 (home/zone-1 repaired)"),
            (215.0, "pod_listed home/web/1 (readiness probe succeeded)"),
        ][: None if listed_again else -1],
        within_s=1e-3,
    )
    # 46 % of 15 s are lost, and what was inside.
    assert availability(record) == pytest.approx(1.0 - 0.46 * 15.0 / 600.0, abs=1e-3)


def test_a_pod_that_died_is_sent_requests_until_the_routers_know():
    """Zone 1 is lost at 100 and stays listed until 120: 46 % fail for 20 s; without lag none do."""
    faults = {"dark": fault("zone 1 of home", at_s=100.0, until=60.0)}
    lagging, prompt = (
        run(
            world(services={"web": service(startup=30.0, endpoint_lag=lag_s)}, faults=faults, model=MEAN, horizon=600.0)
        )
        for lag_s in (20.0, 0.0)
    )
    assert_events(
        lagging,
        [
            (100.0, "fault dark#1@home/zone-1 (dark hits home/zone-1)"),
            (100.0, "pod_lost home/web/1 (lost with home/zone-1)"),
            (100.0, "sli_below staff"),
            (120.0, "sli_above staff"),
            (160.0, "repair dark#1@home/zone-1 (home/zone-1 repaired)"),
            (190.0, "pod_ready home/web/1"),
        ],
        within_s=1e-3,
    )
    assert availability(prompt) - availability(lagging) == pytest.approx(0.46 * 20.0 / 600.0, rel=1e-3)


def test_people_who_restart_a_pod_take_it_off_the_list_first():
    """A rolling restart by hand with the same lag loses what was inside, and not 46 % of 20 s."""
    script = {"restart": ScriptedStep(at=at(100.0), service="web", roll=60.0)}
    record = run(
        world(
            services={"web": service(startup=30.0, endpoint_lag=20.0)},
            operations=Operations(script=script),
            model=MEAN,
            horizon=600.0,
        )
    )
    assert [r.at_s for r in record.records if r.kind is Kind.POD_LOST] == [100.0, 160.0]
    assert availability(record) > 1.0 - 4.0 / 6000.0


def test_caches_are_cold_after_a_restart_and_not_at_the_start():
    """One pod, deadline 1 s. Crash at 100, ready at 130; its work takes 30 times 0.1 s until 190: 8/3 s of 10/s done.

    P(work of 3 s within 1 s) = 1 - exp(-1/3) = 28 %, less what waits: users are below 95 % from 100 to 190
    and until enough of the slots are free of work of 3 s, one or two seconds.
    """
    record = run(
        world(
            services={"web": service(startup=30.0, cold=Cold(slow=30.0, **{"for": 60.0}))},
            place={"home": {"web": 1}},
            populations={"staff": users(deadline=1.0)},
            faults={"crash": fault("any pod of web", at_s=100.0, until=RESTART)},
            model=MEAN,
            horizon=600.0,
        )
    )
    below, above = ([r.at_s for r in record.records if r.kind is kind] for kind in (Kind.SLI_BELOW, Kind.SLI_ABOVE))
    assert below == [100.0]
    assert above == [pytest.approx(191.0, abs=1.0)]


def scaled(**fields: object) -> Scenario:
    """4 pods of 10 slots, work of 1 s, 36/s: 90 % busy; from 1000 on 48 % of that demand."""
    rule = Autoscale(**{"least": 2, "most": 8, "target": 0.6, **fields})
    return world(
        services={"web": service(1.0, slots=10, queue=40, startup=30.0, autoscale=rule, imbalance=0.0)},
        place={"home": {"web": 4}},
        populations={"staff": users(36.0, deadline=30.0)},
        faults={"evening": fault("population staff", Effect(demand=0.48), at_s=1000.0, until=9000.0)},
        model=MEAN,
        horizon=3000.0,
    )


def test_an_autoscaler_adds_at_once_and_removes_after_its_window():
    """At 15: 90 % busy at a target of 60 % are 4 * 1.5 = 6 pods; ready 30 s later.

    From 1000 on 17.28/s: 28.8 % of 60 slots ask for 6 * 0.48 = 2.88, so 3 pods. The decision at 990 still stood for 6
    and keeps them until 990 + 300 = 1290: then the three youngest go. Each has 17.28 / 6 = 2.88 requests
    of 1 s inside; 0.01 are left after ln 288 = 5.66 s. Then 17.28 of 30 slots are 96 % of the target.
    """
    record = run(scaled())
    gone_s = 1290.0 + 5.663
    evening = "evening#1@population staff"
    assert_events(
        record,
        [
            (15.0, "scaled home/web (4 to 6 pods) 6"),
            (15.0, "pod_added home/web/5 (by the autoscaler)"),
            (15.0, "pod_added home/web/6 (by the autoscaler)"),
            (45.0, "pod_ready home/web/5"),
            (45.0, "pod_ready home/web/6"),
            (1000.0, f"fault {evening} (evening hits population staff)"),
            (1290.0, "scaled home/web (6 to 3 pods) 3"),
            (gone_s, "pod_removed home/web/6 (by the autoscaler)"),
            (gone_s, "pod_removed home/web/5 (by the autoscaler)"),
            (gone_s, "pod_removed home/web/4 (by the autoscaler)"),
        ],
        within_s=0.5,
    )
    hours = (4.0 * 15.0 + 6.0 * (gone_s - 15.0) + 3.0 * (3000.0 - gone_s)) / 3600.0
    assert record.pod_hours["web"] == pytest.approx(hours, abs=1e-3)
    assert availability(record) == pytest.approx(1.0, abs=1e-4)  # orderly removal loses nobody
