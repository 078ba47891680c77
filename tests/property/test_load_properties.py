"""Probes, autoscalers, cold caches and faults in any combination: what holds whatever happens."""

from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st
from worlds import RESTART, fault, lines, memory, run, service, two_regions, users

from sim.scenario.schema import (
    Autoscale,
    Call,
    Cold,
    Effect,
    Failback,
    Failover,
    Operations,
    Probe,
    Scenario,
    ScriptedStep,
    Service,
)
from sim.world import Kind, TrialRecord

HORIZON_S = 1500.0
GONE = (Kind.POD_LOST, Kind.OOM_KILL, Kind.POD_REMOVED)


@st.composite
def probes(draw: st.DrawFn) -> Probe | None:
    every = draw(st.sampled_from([2.0, 10.0, 37.0]))
    given_probe = {
        "every": every,
        "timeout": min(every, draw(st.sampled_from([0.01, 1.0]))),
        "failures": draw(st.integers(1, 3)),
        "delay": draw(st.sampled_from([0.0, 7.0])),
    }
    return draw(st.sampled_from([None, Probe(**given_probe)]))


@st.composite
def services(draw: st.DrawFn, calls: dict[str, Call]) -> Service:
    rule = {
        "least": draw(st.integers(1, 2)),
        "most": draw(st.integers(3, 6)),
        "target": draw(st.sampled_from([0.3, 0.6])),
        "every": draw(st.sampled_from([15.0, 20.0])),
        "up_after": draw(st.sampled_from([0.0, 60.0])),
        "down_after": draw(st.sampled_from([0.0, 60.0, 300.0])),
    }
    fields: dict[str, Any] = {
        "startup": draw(st.sampled_from([0.0, 5.0, 40.0])),
        "endpoint_lag": draw(st.sampled_from([0.0, 1.0, 30.0])),
        "liveness": draw(probes()),
        "readiness": draw(probes()),
        "autoscale": draw(st.sampled_from([None, Autoscale(**rule)])),
        "cold": draw(st.sampled_from([None, Cold(slow=4.0, **{"for": 30.0})])),
        "memory": draw(st.sampled_from([None, memory(100.0, 20.0, 400.0)])),
    }
    return service(draw(st.sampled_from([0.05, 0.2])), calls=calls, **fields)


@st.composite
def worlds_under_load(draw: st.DrawFn) -> Scenario:
    at_s = st.sampled_from([15.0, 100.0, 300.0, 315.0, 700.0])
    lasts = st.sampled_from([10.0, 120.0, 400.0])
    effects = {
        "any pod of web": Effect(down=True),
        "web in home": draw(st.sampled_from([Effect(slow=50.0), Effect(capacity=0.5), Effect(errors=0.5)])),
        "zone 1 of home": draw(st.sampled_from([Effect(slow=1e4), Effect(down=True)])),
        "home": Effect(down=True),
        "population staff": Effect(demand=draw(st.sampled_from([0.0, 0.3, 4.0]))),
    }
    faults = {}
    for k, (target, effect) in enumerate(effects.items()):
        if draw(st.booleans()):
            until = RESTART if target.startswith("any pod") else draw(lasts)
            faults[f"f{k}"] = fault(target, effect, at_s=draw(at_s), until=until)
    step = {"service": "web", "pods": 2}
    scripted = Operations(
        script={
            "add": ScriptedStep(at="2026-01-05T00:05:00Z", action="scale_out", **step),
            "again": ScriptedStep(at="2026-01-05T00:12:00Z", action="restart", service="web"),
        }
    )
    policy = draw(
        st.sampled_from(
            [
                Failover(),
                Failover(policy="active-active"),
                Failover(policy="active-passive", standby="warm", ttl=5.0, failback=Failback(after=60.0)),
            ]
        )
    )
    return two_regions(
        policy,
        services={"web": draw(services({"db": Call(timeout=1.0, attempts=2)})), "db": draw(services({}))},
        place={"home": {"web": 2, "db": 2}, "spare": {"web": 2, "db": 2}},
        populations={"staff": users(draw(st.sampled_from([10.0, 60.0, 150.0])), home="home", attempts=2)},
        faults=faults,
        operations=draw(st.sampled_from([None, scripted])),
        horizon=HORIZON_S,
    )


@settings(max_examples=60, deadline=None, derandomize=True)
@given(worlds_under_load(), st.integers(0, 3))
def test_any_world_under_load(scenario: Scenario, trial: int) -> None:
    record = run(scenario, trial)
    pods_come_and_go_in_turn(record)
    sizes_stay_within_bounds(record, scenario)
    kept = run(scenario, trial, keep=True)
    assert lines(kept) == lines(record)
    assert kept.totals.tobytes() == record.totals.tobytes()


def pods_come_and_go_in_turn(record: TrialRecord) -> None:
    """A pod that is not ready does not stop (it may be taken away), and a ready one does not get ready."""
    ready: dict[str, bool] = {}
    listed: dict[str, bool] = {}
    for entry in record.records:
        if entry.kind is Kind.POD_READY:
            assert not ready.get(entry.pod, False), f"{entry.pod} gets ready twice at {entry.at_s} s"
            ready[entry.pod] = listed[entry.pod] = True
        elif entry.kind in (Kind.POD_LOST, Kind.OOM_KILL):
            assert ready.get(entry.pod, True), f"{entry.pod} stops twice at {entry.at_s} s"
            ready[entry.pod] = False
        elif entry.kind is Kind.POD_REMOVED:
            ready[entry.pod] = False
        elif entry.kind is Kind.POD_UNLISTED:
            assert ready.get(entry.pod, True)
            assert listed.get(entry.pod, True)
            listed[entry.pod] = False
        elif entry.kind is Kind.POD_LISTED:
            assert ready.get(entry.pod, True)
            assert not listed[entry.pod]
            listed[entry.pod] = True


def sizes_stay_within_bounds(record: TrialRecord, scenario: Scenario) -> None:
    """Pods of each pool lie between the bounds (and those that people added), and hours are of those pods."""
    by_people = 2 if scenario.operations is not None else 0
    for entry in record.records:
        if entry.kind is Kind.SCALED:
            rule = scenario.services[entry.service].autoscale
            assert rule is not None
            assert rule.least is not None
            assert rule.least <= entry.value <= rule.most + by_people
    for name, hours in record.pod_hours.items():
        rule = scenario.services[name].autoscale
        most = max(2, rule.most if rule is not None else 0) + (by_people if name == "web" else 0)
        assert hours <= 2 * most * HORIZON_S / 3600.0 + 1e-9
