"""Trials that try to break the engine: nothing may crash, hang, lose a number, or say a thing twice."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
from worlds import (
    RESTART,
    at,
    availability,
    check,
    fault,
    lasting,
    lines,
    memory,
    region,
    run,
    service,
    two_regions,
    users,
    world,
)

from sim.errors import RunError
from sim.scenario.schema import (
    AvailabilityObjective,
    Breaker,
    Calendar,
    Call,
    CrashLoop,
    Detection,
    Effect,
    ExponentialLaw,
    Failback,
    Failover,
    LawSpec,
    Model,
    Monitor,
    Nodes,
    Objectives,
    Operations,
    Population,
    Region,
    Repair,
    Scenario,
    ScriptedStep,
    Service,
    Step,
)
from sim.traffic.layout import EDGE_ATTEMPTS, POD_TABLE, Floats
from sim.world import Kind, TrialRecord
from sim.world.trial import Trial

NIGHT = Calendar(hours={"day": (0.0,) * 8 + (1.0,) * 10 + (0.0,) * 6}, smooth=False)
EXPONENTIAL = LawSpec(exponential=ExponentialLaw(mean=3000.0))


def count(record: TrialRecord, kind: Kind) -> int:
    return sum(r.kind is kind for r in record.records)


# -- everything that should not happen, at once -------------------------------------------------------------

HOSTILE: dict[str, dict[str, Any]] = {
    "one pod": {"place": {"home": {"web": 1}}},
    "no demand": {"populations": {"staff": users(0.0, attempts=3)}},
    "no demand at night": {"populations": {"staff": users(200.0, attempts=3, calendar=NIGHT)}, "horizon": 2 * 86_400.0},
    "demand times nothing": {
        "populations": {"staff": users(200.0, attempts=3)},
        "faults": {"off": fault("population staff", Effect(demand=0.0), at_s=1000.0, until=1000.0)},
    },
    "a million per second": {"populations": {"staff": users(1e6, attempts=3)}},
    "a horizon shorter than a step": {"horizon": 1e-3},
    "a fault from begin to end": {"faults": {"dark": fault("home", at_s=0.0, until=3600.0)}},
    "every pool needs more than it has": {"services": {"web": service(needs=5)}},
    "impatient": {"services": {"web": service(patience=1e-6)}, "populations": {"staff": users(1000.0)}},
    "milliseconds": {
        "services": {"web": service(1e-3, calls={"db": Call(timeout=1e-3, attempts=20)}), "db": service(1e-3)},
        "place": {"home": {"web": 2, "db": 2}},
        "populations": {"staff": users(1e4, attempts=20, backoff=0.0, deadline=1e-3)},
    },
    "microseconds": {
        "services": {"web": service(1e-6)},
        "populations": {"staff": users(1e5, deadline=1e-6, backoff=0.0, attempts=3)},
    },
    "memory that does not fit": {"services": {"web": service(memory=memory(100.0, 50.0, 101.0))}},
    "memory gone at once": {
        "services": {"web": service(memory=memory())},
        "faults": {"eat": fault("web in home", Effect(memory=5000.0), at_s=0.0)},
    },
    "a service that nobody calls": {
        "services": {"web": service(), "alone": service()},
        "place": {"home": {"web": 2, "alone": 2}},
    },
    "a callee in another region": {
        "regions": {"home": region(), "far": region()},
        "services": {"web": service(calls={"db": Call(timeout=1.0)}), "db": service()},
        "place": {"home": {"web": 2}, "far": {"db": 2}},
        "faults": {"cable": fault("far", Effect(partition=True), at_s=100.0, until=100.0)},
    },
    "two that call each other": {
        "services": {
            "web": service(calls={"db": Call(timeout=1.0, calls=0.9)}),
            "db": service(calls={"web": Call(timeout=1.0, calls=0.9)}),
        },
        "place": {"home": {"web": 2, "db": 2}},
    },
    "one that calls itself twice": {"services": {"web": service(calls={"web": Call(timeout=1.0, calls=2.0)})}},
    "all capacity": {"faults": {"gone": fault("web in home", Effect(capacity=1.0), at_s=100.0, until=100.0)}},
    "a pod and its node at once": {
        "services": {"web": service(startup=50.0)},
        "faults": {
            "crash": fault("any pod", at_s=100.0, until=RESTART),
            "box": fault("any node", at_s=150.0, until=150.0),
            "again": fault("any node", at_s=150.0, until=100.0),
        },
    },
    "a partition of all regions, one of them empty": {
        "regions": {"home": region(), "empty": region()},
        "place": {"home": {"web": 2}, "empty": {}},
        "faults": {"cable": fault("all regions", Effect(partition=True), at_s=100.0, until=100.0)},
    },
    "much faster for a while": {
        "services": {"web": service(0.5, calls={"db": Call(timeout=2.0)}), "db": service(0.3)},
        "place": {"home": {"web": 2, "db": 2}},
        "populations": {"staff": users(20.0)},
        "faults": {
            "fast": fault("web in home", Effect(slow=1e-3), at_s=100.0, until=500.0),
            "slow": fault("db in home", Effect(slow=100.0), at_s=200.0, until=200.0),
        },
    },
    "a population without a home whose entry is elsewhere": {
        "regions": {"first": region(), "second": region(), "third": region()},
        "services": {"web": service(), "db": service()},
        "place": {"first": {"db": 1}, "second": {"web": 2}, "third": {"web": 2}},
        "failover": Failover(policy="active-passive", standby="cold"),
    },
}
LOST = {  # what must be lost, where that is known
    "one pod": 0.0,
    "every pool needs more than it has": 1.0,
    "a fault from begin to end": 1.0,
    "a million per second": 1.0 - 160.0 / 1e6,
    "all capacity": 100.0 / 3600.0,
    "a service that nobody calls": 0.0,
    "a population without a home whose entry is elsewhere": 0.0,
    "a partition of all regions, one of them empty": 100.0 / 3600.0,
}


@pytest.mark.parametrize("name", HOSTILE)
def test_the_engine_survives(name: str):
    began_s = time.monotonic()
    record = run(world(**HOSTILE[name]))
    assert time.monotonic() - began_s < 20.0
    assert len(record.records) < 500
    if name in LOST:
        assert availability(record) == pytest.approx(1.0 - LOST[name], abs=2e-3)


def test_a_thousand_pods():
    record = run(
        world(
            place={"home": {"web": 1000}},
            populations={"staff": users(1e4)},
            faults={"dark": fault("home", at_s=1000.0, until=600.0)},
            horizon=3000.0,
            model=Model(queues="fluid", noise="never"),
        )
    )
    assert count(record, Kind.POD_LOST) == count(record, Kind.POD_READY) == 1000


# -- what happens at one instant is said once ---------------------------------------------------------------


def test_a_threshold_that_is_crossed_at_the_start_is_crossed_once():
    """Work of 0.1 s and a deadline of 0.05 s: 39 % from the first moment on, while processes start."""
    record = run(
        world(
            populations={"staff": users(deadline=0.05)},
            faults={"box": fault("any node", every=EXPONENTIAL, until=60.0)},
            operations=Operations(script={"fix": ScriptedStep(at=at(10.0))}),
        )
    )
    at_0 = [line for t, line in lines(record) if t == 0.0]
    assert [line.split()[0] for line in at_0] == ["sli_below", "pool_failed"]


def test_an_oom_kill_at_the_start_is_one_kill():
    record = run(
        world(
            services={"web": service(memory=memory(), startup=5.0)},
            faults={
                "eat": fault("web in home", Effect(memory=5000.0), at_s=0.0, until=1.0),
                "box": fault("any node", every=LawSpec(exponential=ExponentialLaw(mean=1e9)), until=60.0),
            },
            horizon=60.0,
        )
    )
    assert count(record, Kind.OOM_KILL) == 2
    assert [r.at_s for r in record.records if r.kind is Kind.POD_READY] == [5.0, 5.0]


def test_a_success_of_all_is_reached_again():
    objectives = Objectives(availability=AvailabilityObjective(threshold=1.0))
    record = run(world(objectives=objectives, faults={"dark": fault("home", at_s=100.0, until=100.0)}))
    assert (count(record, Kind.SLI_BELOW), count(record, Kind.SLI_ABOVE)) == (1, 1)


def test_a_breaker_for_total_failure_opens():
    call = Call(timeout=1.0, fallback=1.0, breaker=Breaker(failures=1.0, window=5.0))
    record = run(
        world(
            services={"web": service(calls={"db": call}), "db": service()},
            place={"home": {"web": 2, "db": 2}},
            faults={"gone": fault("db in home", at_s=100.0, until=200.0)},
        )
    )
    states = [r.what.split()[-1] for r in record.records if r.kind is Kind.BREAKER]
    assert states[0] == "open"
    assert states[-1] == "closed"


def test_a_crash_loop_without_any_wait_is_refused_and_does_not_hang():
    hurry = CrashLoop(first=0.0, initial=1e-6, longest=1e-6)
    with pytest.raises(RunError, match=r"home/web/\d died more than"):
        run(
            world(
                services={"web": service(memory=memory(), crash_loop=hurry)},
                faults={"eat": fault("web in home", Effect(memory=5000.0), at_s=10.0)},
            )
        )


# -- people -------------------------------------------------------------------------------------------------


def tables_of(trial: Trial) -> Floats:
    """Slots, places and waiting law of every pod."""
    net = trial.traffic.net
    return np.array(net.tables[net.pods[:, POD_TABLE].astype(int)])


def test_what_was_done_for_the_incident_is_taken_back():
    """Retries disabled and load shed twice in one incident: after it all is as before."""
    steps = {
        "calm": Step(action="disable_retries"),
        "calmer": Step(action="disable_retries"),
        "shed": Step(action="shed", service="web", in_flight=10),
        "more": Step(action="shed", service="web", in_flight=4),
    }
    scenario = world(
        services={"web": service(calls={"db": Call(timeout=1.0, attempts=3)}), "db": service()},
        place={"home": {"web": 2, "db": 2}},
        faults={"bad": fault("db in home", Effect(errors=1.0), at_s=100.0, until=1500.0)},
        operations=Operations(detection=Detection(monitor=Monitor(**{"for": 60.0})), reassess=60.0, runbook=steps),
    )
    trial = Trial(scenario, "test", 0)
    tables = tables_of(trial)
    record = trial.run()
    check(record)
    assert {r.what for r in record.records if r.kind is Kind.ACTION} == set(steps)
    assert count(record, Kind.CLOSED) == 1
    assert trial.traffic.net.edges[:, EDGE_ATTEMPTS].tolist() == [3.0]
    assert tables_of(trial).tolist() == tables.tolist()


@pytest.mark.parametrize("noise", ["never", "always"])
def test_the_end_of_shedding_is_an_action_like_its_begin(noise: Literal["never", "always"]):
    """The journal hears of it, no collapse is taken as certain any more, and waiting requests get the slots back."""
    steps = {"shed": Step(action="shed", service="web", in_flight=20)}
    scenario = world(
        services={"web": service(1.0, slots=8, queue=40)},
        populations={"staff": users(10.0)},
        faults={"bad": fault("web in home", Effect(errors=1.0), at_s=100.0, until=500.0)},
        operations=Operations(detection=Detection(monitor=Monitor(**{"for": 60.0})), reassess=60.0, runbook=steps),
        model=Model(noise=noise),
        horizon=1500.0,
    )
    trial = Trial(scenario, "test", 0)
    tables, heard = tables_of(trial), []
    trial.traffic.journal = lambda name, args, kwargs: heard.append((name, trial.context.now_s))
    record = trial.run()
    closed_s = next(r.at_s for r in record.records if r.kind is Kind.CLOSED)
    of_tables = [at_s for name, at_s in heard if name == "set_tables"]
    assert len(of_tables) >= 2
    assert of_tables[-1] == closed_s
    assert tables_of(trial).tolist() == tables.tolist()


PEOPLE = (Kind.DETECTED, Kind.ACKNOWLEDGED, Kind.DIAGNOSED, Kind.ACTION, Kind.ACTION_DONE)


def two_sick_regions(first_until_s: float, runbook: dict[str, Step], **fields: Any) -> Scenario:
    """Errors in `home` from 100 s on, and in `spare` from 150 s until 2000 s; two people on call."""
    return two_regions(
        Failover(policy="none"),
        services={"web": service(calls={"db": Call(timeout=1.0, attempts=3)}), "db": service()},
        place={name: {"web": 2, "db": 1} for name in ("home", "spare")},
        populations={name: users(home=name) for name in ("home", "spare")},
        faults={
            "here": fault("db in home", Effect(errors=1.0), at_s=100.0, until=first_until_s - 100.0),
            "there": fault("db in spare", Effect(errors=1.0), at_s=150.0, until=1850.0),
        },
        operations=Operations(
            detection=Detection(monitor=Monitor(**{"for": 60.0})), reassess=60.0, crew=2, runbook=runbook, **fields
        ),
    )


def test_an_incident_that_is_closed_takes_nothing_from_another_one():
    """Both regions disable retries and shed; home is well at 800 s, spare at 2000 s."""
    steps = {"calm": Step(action="disable_retries"), "shed": Step(action="shed", service="web", in_flight=10)}
    trial = Trial(two_sick_regions(800.0, steps), "test", 0)
    normal, seen = tables_of(trial), {}

    def look() -> None:
        changed = [bool((a != b).any()) for a, b in zip(tables_of(trial), normal, strict=True)]
        seen[trial.context.now_s] = (trial.traffic.net.edges[:, EDGE_ATTEMPTS].tolist(), changed)

    for at_s in (700.0, 1500.0, 3000.0):
        trial.context.after(at_s, look)
    check(trial.run())
    of_home = [p for i in (0, 1) for p in trial.traffic.pods_of[i]]
    assert seen[700.0][0] == seen[1500.0][0] == [1.0, 1.0]
    assert seen[3000.0] == ([3.0, 3.0], [False] * 6)
    assert sum(seen[700.0][1]) == 4
    assert sum(seen[1500.0][1]) == 2
    assert not any(seen[1500.0][1][p] for p in of_home)


def test_what_people_draw_does_not_depend_on_incidents_elsewhere():
    """Common random numbers: the people of `spare` take as long whether `home` had an incident before or not."""
    long = LawSpec(exponential=ExponentialLaw(mean=300.0))

    def of_spare(first_until_s: float) -> list[tuple[float, str]]:
        steps = {"restart": Step(takes=long)}
        spec = two_sick_regions(first_until_s, steps, acknowledge=long, diagnose=long)
        return [(r.at_s, r.kind.value) for r in run(spec).records if r.region == "spare" and r.kind in PEOPLE]

    busy, quiet = of_spare(800.0), of_spare(100.001)
    assert len(busy) > 4
    assert [kind for _, kind in busy] == [kind for _, kind in quiet]
    assert [t for t, _ in busy] == pytest.approx([t for t, _ in quiet], abs=0.1)


def test_shedding_again_and_again_needs_no_more_room():
    """An incident that does not close: people shed every minute of a day."""
    steps = {"shed": Step(action="shed", service="web", in_flight=10)}
    trial = Trial(
        world(
            faults={"bad": fault("web in home", Effect(errors=1.0), at_s=100.0)},
            operations=Operations(detection=Detection(monitor=Monitor()), reassess=0.0, runbook=steps),
            horizon=86_400.0,
        ),
        "test",
        0,
    )
    record = trial.run()
    assert count(record, Kind.ACTION) > 500
    assert len(trial.traffic.net.tables) == 2


def test_disabled_retries_are_those_of_calls_and_users_go_on():
    """Every second answer is an error: with three attempts a user makes 1 + 1/2 + 1/4 = 1.75 of them, with two attempts
    a call succeeds three times of four, with one every second time.
    """
    script = {"disable_retries": ScriptedStep(at=at(1800.0))}
    scenario = world(
        populations={"staff": users(attempts=3, backoff=0.1)},
        faults={"bad": fault("web in home", Effect(errors=0.5), at_s=0.0)},
        operations=Operations(script=script),
    )
    [(offered, _, attempts, *_)] = run(scenario).totals
    assert attempts / offered == pytest.approx(1.75, rel=1e-2)
    services = {"web": service(calls={"db": Call(timeout=1.0, attempts=2)}), "db": service()}
    calls = world(
        services=services,
        place={"home": {"web": 2, "db": 2}},
        faults={"bad": fault("db in home", Effect(errors=0.5), at_s=0.0)},
        operations=Operations(script=script),
    )
    [(offered, good, *_)] = run(calls).totals
    assert good / offered == pytest.approx(0.5 * (0.75 + 0.5), rel=1e-2)


def test_scaling_out_twice_adds_no_more_than_there_are_slots():
    step = {"service": "web", "pods": 1}
    script = {
        "one": ScriptedStep(at=at(100.0), action="scale_out", **step),
        "two": ScriptedStep(at=at(200.0), action="scale_out", **step),
    }
    record = run(world(operations=Operations(script=script)))
    assert [r.pod for r in record.records if r.kind is Kind.POD_ADDED] == ["home/web/3", "home/web/4"]
    again = Operations(
        runbook={"scale_out": Step(service="web", pods=1)}, reassess=0.0, detection=Detection(monitor=Monitor())
    )
    record = run(world(operations=again, faults={"bad": fault("web in home", Effect(errors=1.0), at_s=100.0)}))
    assert count(record, Kind.POD_ADDED) == 1
    assert count(record, Kind.ACTION) > 5  # people without another idea try again, once a minute or two


def test_a_roll_back_rolls_if_it_says_how_fast():
    script = {"rollback": ScriptedStep(at=at(100.0), service="web", roll=60.0)}
    record = run(world(operations=Operations(script=script)))
    assert [r.at_s for r in record.records if r.kind is Kind.POD_LOST] == [100.0, 160.0]


def test_pods_added_while_their_service_is_down_are_down():
    script = {"scale_out": ScriptedStep(at=at(200.0), service="web", pods=2)}
    record = run(
        world(
            services={"web": service(startup=10.0)},
            operations=Operations(script=script),
            faults={"down": fault("web in home", at_s=100.0, until=300.0)},
        )
    )
    assert [r.at_s for r in record.records if r.kind is Kind.POD_READY] == [410.0] * 4


# -- standby ------------------------------------------------------------------------------------------------


def test_a_sleeping_standby_does_not_escape_what_hits_its_service():
    policy = Failover(policy="active-passive", standby="warm", failback=Failback(after=60.0))
    faults = {"all": fault("web in all regions", at_s=1000.0, until=1000.0)}
    record = run(two_regions(policy, faults=faults, services={"web": service(startup=10.0)}))
    assert min(r.at_s for r in record.records if r.kind is Kind.POD_READY) == 2010.0


def test_a_fault_of_a_pod_that_goes_to_sleep_is_over():
    """The crash of a standby's pod ends with the pod: its clock runs on for the next time the standby is up."""
    policy = Failover(policy="active-passive", standby="warm", ttl=1.0, failback=Failback(after=60.0))
    scenario = two_regions(
        policy,
        services={"web": service(startup=400.0)},
        faults={
            "dark": fault("home", at_s=(1000.0, 5000.0), until=500.0),
            "crash": fault("any pod of web in spare", at_s=(1990.0, 5990.0), until=RESTART),
        },
        horizon=8000.0,
    )
    record = run(scenario)
    crashed = [r.fault for r in record.records if r.kind is Kind.FAULT and r.fault.startswith("crash")]
    ended = [r.fault for r in record.records if r.kind is Kind.REPAIR and r.fault.startswith("crash")]
    assert crashed == [f"crash#{k}@spare/web/{n}" for k in (1, 2) for n in (1, 2)]
    assert sorted(ended) == sorted(crashed)


# -- accounts -----------------------------------------------------------------------------------------------


def test_infrastructure_is_paid_for_until_the_horizon():
    record = run(world(faults={"dark": fault("home", at_s=100.0, until=100.0)}))
    assert record.node_hours == {"home": pytest.approx(3.0)}
    assert record.pod_hours == {"web": pytest.approx(2.0)}


def test_months_add_up():
    record = run(world(horizon=70 * 86_400.0, faults={"box": fault("home", every=EXPONENTIAL, until=600.0)}))
    assert record.month_start_s.tolist() == [0.0, 27 * 86_400.0, 55 * 86_400.0]
    assert record.month_totals[:, 0, 0] == pytest.approx(np.array([27.0, 28.0, 15.0]) * 864_000.0, rel=1e-6)


def _filled_by_faults(*, horizon: float) -> Scenario:
    """Pods with room for all that may be inside, unless a fault takes it; crashes give them new levels meanwhile."""
    return world(
        horizon=horizon,
        services={"web": service(memory=memory(per_request=20.0), startup=15.0)},
        populations={"staff": users(190.0, workers=1.0)},
        place={"home": {"web": 3}},
        faults={
            "crash": fault("any pod", every=LawSpec(exponential=ExponentialLaw(mean=2 * 86_400.0)), until=RESTART),
            "grow": fault("web in home", Effect(memory_growth=780.0, over=1800.0), at_s=(600.0, 9e5), until=9000.0),
            "take": fault("web in home", Effect(memory=720.0), at_s=(4e5, 1.1e6), until=20_000.0),
            "leak": fault("any pod", Effect(leak=0.03), at_s=7e5, until=30_000.0),
            "more": fault("web in home", Effect(memory_factor=2.8), at_s=1.3e6, until=20_000.0),
        },
    )


@pytest.mark.parametrize("horizon", [86_400.0, 20 * 86_400.0])
def test_levels_that_are_not_drawn_decide_nothing(horizon: float, monkeypatch: pytest.MonkeyPatch):
    spared = run(_filled_by_faults(horizon=horizon))
    monkeypatch.setattr("sim.world.fleet._has_room", lambda service, memory: False)
    drawn = run(_filled_by_faults(horizon=horizon))
    assert count(spared, Kind.OOM_KILL) > 20
    assert _text(spared) == _text(drawn)
    assert spared.totals.tobytes() == drawn.totals.tobytes()


def test_keeping_curves_changes_no_bit():
    scenario = _busy()
    kept, plain = run(scenario, keep=True), run(scenario)
    assert kept.trace is not None
    assert len(kept.trace.at_s) > 50
    assert np.all(np.diff(kept.trace.at_s) >= 0.0)
    assert kept.totals.tobytes() == plain.totals.tobytes()
    assert _text(kept) == _text(plain)


# -- the tolerance ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", ["E", "F"])
def test_the_default_tolerance_is_fine_enough(case: str):
    """Cases E and F of the data plane's acceptance set: a retry storm that stays, and one that ends."""
    document = json.loads((Path(__file__).parents[1] / "oracle" / "cases" / "request_model_cases.json").read_text())
    given = document["cases"][case]["parameters"]
    (slow,), client = given["slowdowns"], given["client"]

    def of(tolerance: float) -> tuple[float, float]:
        pods = Service(
            work=given["service_mean_s"],
            slots=given["slots"],
            queue=given["queue_bound"],
            load_shares=tuple(given["load_shares"]),
        )
        people = Population(
            workers=1.0,
            requests=given["rate_per_s"],
            journey="web",
            deadline=client["deadline_s"],
            attempts=client["attempts"],
            backoff=client["backoff_s"],
        )
        effect = Effect(slow=slow["factor"])
        scenario = world(
            horizon=given["horizon_s"],
            services={"web": pods},
            populations={"staff": people},
            place={"home": {"web": 4}},
            faults={"slow": fault("web in home", effect, at_s=slow["start_s"], until=slow["end_s"] - slow["start_s"])},
            model=Model(tolerance=tolerance, queues="fluid", noise="never"),
        )
        trial = Trial(scenario, "test", 0)
        record = trial.run()
        return availability(record), trial.traffic.in_flight(0)

    coarse, fine = of(10.0), of(0.1)
    assert coarse == pytest.approx(fine, rel=0.01)
    assert fine[0] < (0.3 if case == "E" else 0.95)


# -- the same trial again -----------------------------------------------------------------------------------


def _busy() -> Scenario:
    """Faults of all kinds, two standby regions, people, retries: much that could depend on an order."""
    return world(
        horizon=40_000.0,
        seed=11,
        regions={name: Region(zones=2, nodes=Nodes(count=3, memory=3000.0)) for name in ("home", "spare", "third")},
        services={
            "web": service(startup=20.0, calls={"db": Call(timeout=1.0, attempts=2)}, memory=memory(300.0, 5.0, 600.0)),
            "db": service(),
        },
        place={name: {"web": 2, "db": 2} for name in ("home", "spare", "third")},
        populations={"staff": users(40.0, home="home", attempts=3), "others": users(20.0, home="home")},
        failover=Failover(policy="active-passive", standby="warm", failback=Failback(after=300.0)),
        faults={
            "dark": fault("any region", every=EXPONENTIAL, until=300.0),
            "box": fault("any node", every=LawSpec(exponential=ExponentialLaw(mean=9000.0)), until=500.0),
            "crash": fault("any pod", every=LawSpec(exponential=ExponentialLaw(mean=9000.0)), until=RESTART),
            "bad": fault("web in any region", Effect(errors=0.5), every=EXPONENTIAL, until=Repair(until_fixed=True)),
        },
        operations=Operations(
            detection=Detection(monitor=Monitor(**{"for": 60.0})),
            diagnose=lasting(60.0),
            reassess=60.0,
            runbook={"failover": Step(), "restart": Step(), "fix": Step(helps_against=("bad",))},
        ),
    )


def _text(record: TrialRecord) -> list[str]:
    return [repr(r) for r in record.records]


def test_a_trial_is_the_same_trial_every_time():
    first, second, other = run(_busy()), run(_busy()), run(_busy(), trial=1)
    assert len(first.records) > 100
    assert _text(first) == _text(second)
    assert first.totals.tobytes() == second.totals.tobytes()
    assert _text(first) != _text(other)


def test_the_order_of_sets_decides_nothing():
    """Fresh processes with other hash seeds write the same log."""
    script = (
        "import hashlib, sys; sys.path.insert(0, sys.argv[1]); sys.path.insert(0, sys.argv[2]);"
        "from test_world_trial import _busy, _text; from worlds import run;"
        "print(hashlib.sha256(''.join(_text(run(_busy()))).encode()).hexdigest())"
    )
    here = Path(__file__).parent
    found = set()
    for seed in ("0", "1", "7"):
        done = subprocess.run(
            [sys.executable, "-c", script, str(here), str(here.parent / "support")],
            env=os.environ | {"PYTHONHASHSEED": seed},
            capture_output=True,
            text=True,
            check=True,
            cwd=here.parents[1],
        )
        found.add(done.stdout.strip())
    assert len(found) == 1
