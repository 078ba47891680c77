"""Sequences of events and shares of downtime under faults with known times, worked out by hand in each docstring.

As in `test_golden_faults`: 10/s on pods that serve 80/s each, so that success is 1 or 0 and jumps with the pods.
"""

import pytest
from worlds import fault, region, run, service, two_regions, users, world

from sim.measures import measure_trial
from sim.scenario.schema import Call, Detect, Failback, Failover, Scenario
from sim.study.necessity import without
from sim.study.shares import ranked_sequences
from sim.study.tables import merge


def told(scenario: Scenario) -> list[tuple[str, int, float]]:
    """(sequence, outages, downtime in s) of one trial, in the order of the table."""
    rows = measure_trial(run(scenario), scenario)["sequences"]
    return [
        (str(text), int(n), float(down_s))
        for text, n, down_s in zip(rows["sequence"], rows["outages"], rows["downtime_s"], strict=True)
    ]


def shares(scenario: Scenario, grouping: str) -> dict[str, float]:
    rows = measure_trial(run(scenario), scenario)["downtime_shares"]
    here = rows["grouping"] == grouping
    return {str(n): float(s) for n, s in zip(rows["name"][here], rows["downtime_s"][here], strict=True)}


CHAIN = {
    "services": {"web": service(calls={"db": Call(timeout=1.0)}), "db": service(), "batch": service()},
    "place": {"home": {"web": 2, "db": 2, "batch": 1}},
}


def test_a_dependency_that_dies_takes_its_caller():
    """db is down from 600 to 900: 300 s, and web fails with it. batch, which nobody calls, dies at 500 to 1000.

    batch-death is active when the outage begins, so it gets half of the minutes; it hits nothing that the users depend
    on, so the sequence leaves it out.
    """
    scenario = world(
        **CHAIN,
        faults={
            "batch-death": fault("batch in home", at_s=500.0, until=500.0),
            "db-death": fault("db in home", at_s=600.0, until=300.0),
        },
    )
    assert told(scenario) == [("db-death of db in home -> db, web fail in home", 1, pytest.approx(300.0, abs=0.5))]
    assert shares(scenario, "fault") == {
        "batch-death": pytest.approx(150.0, abs=0.25),
        "db-death": pytest.approx(150.0, abs=0.25),
    }
    assert set(shares(scenario, "element")) == {"home/batch", "home/db"}
    rows = measure_trial(run(scenario), scenario)["sequences"]
    assert rows["example_faults"].tolist() == ["db-death#1@home/db"]
    assert rows["example_left_out"].tolist() == ["batch-death#1@home/batch"]
    assert rows["example_start_s"][0] == pytest.approx(600.0, abs=0.5)


def test_without_the_cause_nothing_is_left_and_without_the_bystander_all_of_it():
    """The same day again on the same draws, each fault taken out by its label."""
    scenario = world(
        **CHAIN,
        faults={
            "batch-death": fault("batch in home", at_s=500.0, until=500.0),
            "db-death": fault("db in home", at_s=600.0, until=300.0),
        },
    )
    no_cause, no_bystander = (without(scenario, [x]) for x in ("db-death#1@home/db", "batch-death#1@home/batch"))
    assert no_cause is not None
    assert no_bystander is not None
    assert told(no_cause) == []
    assert told(no_bystander) == told(scenario)
    assert without(scenario, ["provider-outage#1@provider"]) is None


def test_like_elements_are_one_sequence():
    """Three zones of one node each with one web pod: zone 1 is lost at 600 and zone 2 at 1800, each for 120 s.

    Two of three pods cannot carry 190/s (160/s), so both are outages. Faults of two names are two sequences; the same
    fault in another zone is the same one.
    """
    scenario = world(
        regions={"home": region(3, 1000.0)},
        populations={"staff": users(190.0)},
        place={"home": {"web": 3}},
        faults={
            "zone-loss": fault("zone 1 of home", at_s=600.0, until=120.0),
            "zone-lost-too": fault("zone 2 of home", at_s=1800.0, until=120.0),
        },
    )
    each = fault("any zone", at_s=(600.0, 1800.0), until=120.0)
    first, second = (each.model_copy(update={"at": (moment,)}) for moment in each.at)
    assert sorted(told(scenario)) == [
        ("zone-loss in home -> requests too slow or failing", 1, pytest.approx(120.0, abs=5.0)),
        ("zone-lost-too in home -> requests too slow or failing", 1, pytest.approx(120.0, abs=5.0)),
    ]
    first = first.model_copy(update={"only": ("home/zone-1",)})
    second = second.model_copy(update={"only": ("home/zone-2",)})
    days = [scenario.model_copy(update={"faults": {"zone-loss": one}}) for one in (first, second)]
    one, other = (told(day) for day in days)
    assert [text for text, _, _ in one] == ["zone-loss in home -> requests too slow or failing"]
    assert [text for text, _, _ in other] == [text for text, _, _ in one]
    assert shares(days[0], "element").keys() == {"home/zone-1"}
    both = scenario.model_copy(update={"faults": {"zone-loss": each}})
    assert told(both)[0][:2] == ("3 x zone-loss in home -> web fails in home", 2)


def test_a_failover_and_the_region_that_took_over():
    """home is lost at 600 for an hour. Probes every 10 s, 3 failures: seen sick at 620; all follow at once (ttl 1 s).

    Then spare is lost at 1200 for 300 s: everything is down again. The second outage has the first one's story in it,
    because without it nobody would have noticed the loss of a standby.
    """
    policy = Failover(
        policy="active-passive", detect=Detect(every=10.0, failures=3), ttl=1.0, failback=Failback(automatic=False)
    )
    scenario = two_regions(
        policy,
        faults={
            "region-loss": fault("home", at_s=600.0, until=3600.0),
            "spare-loss": fault("spare", at_s=1200.0, until=300.0),
        },
        objectives={"availability": {"target": 0.999, "for": 10.0}},
    )
    found = told(scenario)
    assert [text for text, _, _ in found] == [
        "region-loss in home -> failover from home -> spare-loss in spare -> web fails in spare",
        "region-loss in home -> web fails in home -> failover from home",
    ]
    assert found[0][2] == pytest.approx(300.0, abs=15.0)
    assert found[1][2] == pytest.approx(25.0, abs=10.0)


def test_load_that_nothing_began():
    """200/s on two pods of 80/s: down from the start, and no fault."""
    scenario = world(services={"web": service(queue=0)}, populations={"staff": users(200.0)})
    assert [text for text, _, _ in told(scenario)] == ["load -> requests too slow or failing"]
    assert shares(scenario, "fault") == {"load": pytest.approx(3600.0, rel=1e-3)}
    assert shares(scenario, "level") == {"none": pytest.approx(3600.0, rel=1e-3)}


def test_the_smallest_set_and_its_examples():
    """db is down once for 300 s and twice for 90 s; web's pods are down once for 30 s, too short for an outage.

    Shares of 510 s: 300 / 510 = 59 %, together with the next 480 / 510 = 94 %, which covers 80 %; the dips, 30 s, stay
    outside any set. Of the two short outages the first is the example: equally much happens around both.
    """
    scenario = world(
        **CHAIN,
        faults={
            "db-death": fault("db in home", at_s=600.0, until=300.0),
            "db-blink": fault("db in home", at_s=(1500.0, 2500.0), until=90.0),
            "web-crash": fault("all pods of web", at_s=3000.0, until=30.0),
        },
    )
    tables = measure_trial(run(scenario), scenario)
    ranked = ranked_sequences(merge([tables], ["test"]), "test", confidence=0.95)
    assert [(one.text, one.n_outages, one.is_needed) for one in ranked] == [
        ("db-death of db in home -> db, web fail in home", 1, True),
        ("db-blink of db in home -> db, web fail in home", 2, True),
        ("dips too short to be an outage", 0, False),
    ]
    assert ranked[0].share.mean == pytest.approx(300.0 / 510.0, abs=2e-3)
    assert ranked[1].cumulative == pytest.approx(480.0 / 510.0, abs=2e-3)
    assert ranked[1].example.start_s == pytest.approx(1500.0, abs=0.5)
    assert ranked_sequences(merge([tables], ["test"]), "test", confidence=0.95, covered=0.5)[1].is_needed is False


def test_an_element_that_is_spared_is_not_hit_and_the_others_are():
    """`only` and `spare` by the names of the log; `2@home/web/1` spares the second strike alone."""
    base = fault("any pod of web", at_s=(600.0, 1200.0), until=60.0)

    def hits(**changes: object) -> list[str]:
        record = run(world(faults={"down": base.model_copy(update=changes)}))
        return [entry.fault for entry in record.records if entry.kind == "fault"]

    assert hits() == ["down#1@home/web/1", "down#1@home/web/2", "down#2@home/web/1", "down#2@home/web/2"]
    assert hits(spare=("home/web/1",)) == ["down#1@home/web/2", "down#2@home/web/2"]
    assert hits(spare=("2@home/web/1",)) == ["down#1@home/web/1", "down#1@home/web/2", "down#2@home/web/2"]
    assert hits(only=("home/web/2",)) == ["down#1@home/web/2", "down#2@home/web/2"]
