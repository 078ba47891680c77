"""Knobs: found, stepped, set by text, refused; the laws of time scaled as a whole."""

from pathlib import Path

import pytest
from small_study import write_scenario
from worlds import fault, service, world

from sim.errors import UsageError
from sim.laws import law_of
from sim.scenario.knobs import knob_at, knobs_of, refusal, scaled_law, stepped, value_at, with_text, with_value
from sim.scenario.load import load_experiment
from sim.scenario.schema import (
    EmpiricalLaw,
    ExponentialLaw,
    Fault,
    GammaLaw,
    LawSpec,
    LognormalLaw,
    Scenario,
    WeibullLaw,
)
from sim.study.what_ifs import element_what_ifs, fault_what_ifs, knob_what_ifs, more_often, never, repaired_faster


@pytest.fixture
def scenario(tmp_path: Path) -> Scenario:
    return load_experiment([write_scenario(tmp_path)]).scenarios["single"]


def test_what_the_file_states_is_found_and_what_is_asked_or_paid_is_not(scenario: Scenario):
    names = {knob.name for knob in knobs_of(scenario)}
    assert {
        "services.web.queue",
        "services.web.slots",
        "services.web.work",
        "services.web.memory.limit",
        "services.web.calls.store.timeout",
        "populations.people.requests",
        "populations.people.attempts",
        "regions.north.nodes.count",
        "place.north.web",
    } <= names
    for part in ("horizon", "seed", "trials", "objectives", "cost", "every", "dependence", "zones"):
        assert not any(part in name.split(".") for name in names), part
    assert "services.web.crash_loop.initial" not in names  # a default that nobody chose ...
    assert knob_at(scenario, "services.web.crash_loop.initial").value == 10.0  # ... can be asked for


def test_steps_change_whole_numbers_and_keep_shares_shares(scenario: Scenario):
    def both(name: str, step: float = 0.2) -> tuple:
        return stepped(knob_at(scenario, name), step)

    assert both("services.web.slots") == (8, 12)
    assert both("place.north.web") == (2, 4)
    assert both("populations.people.attempts") == (2, 4)
    assert both("services.web.work") == (pytest.approx(0.08), pytest.approx(0.12))
    assert both("populations.people.dependence") == (pytest.approx(0.4), pytest.approx(0.6))
    rest = stepped(knob_at(scenario, "objectives.availability.target"), 0.2)
    assert rest == (pytest.approx(1 - 0.0012), pytest.approx(1 - 0.0008))


def test_values_as_users_write_them(scenario: Scenario):
    knob = knob_at(scenario, "services.web.work")
    assert value_at(with_text(scenario, knob, "250ms"), knob.path) == 0.25
    with pytest.raises(UsageError, match=r"services.web.work=250"):
        with_text(scenario, knob, "250")
    with pytest.raises(UsageError, match=r"services.web.slots=-1"):
        with_text(scenario, knob_at(scenario, "services.web.slots"), "-1")
    repair = knob_at(scenario, "faults.region-loss.repair.fixed")
    assert repair.name == "faults.region-loss.repair.fixed"
    assert value_at(with_text(scenario, repair, "3h"), repair.path) == 10_800.0


@pytest.mark.parametrize("name", ["services.web.quue", "services.web", "name", "services.web.calls", "", "a..b"])
def test_what_is_no_knob_is_refused(scenario: Scenario, name: str):
    with pytest.raises(UsageError):
        knob_at(scenario, name)


def test_a_change_that_the_scenario_does_not_stand_is_told(scenario: Scenario):
    assert refusal(scenario) == ""
    assert "place" in refusal(with_value(scenario, ("place", "north", "web"), 10_000))
    found, notes = knob_what_ifs(scenario, [], 0.2)
    assert found
    attempts = [one for one in found if one.about == "services.web.calls.store.attempts"]
    assert [one.setting for one in attempts] == ["1", "3"]
    single = with_value(scenario, ("services", "web", "calls", "store", "attempts"), 1)
    knob = "services.web.calls.store.attempts"
    found, notes = knob_what_ifs(single, [knob], 0.2)
    assert [one.kind for one in found] == ["high"]
    assert notes[0].startswith(f"{knob}: low of 1 was not tried")


def test_chosen_values(scenario: Scenario):
    found, _ = knob_what_ifs(scenario, ["services.web.queue=10,60"], 0.2)
    assert [(one.kind, one.setting) for one in found] == [("low", "10"), ("high", "60")]
    same, _ = knob_what_ifs(scenario, ["services.web.queue=30,60"], 0.2)
    assert [one.kind for one in same] == ["high"]  # 30 is what it is
    with pytest.raises(UsageError, match="path=low,high"):
        knob_what_ifs(scenario, ["services.web.queue=10"], 0.2)


LAWS = [
    LawSpec(exponential=ExponentialLaw(mean=100.0)),
    LawSpec(lognormal=LognormalLaw(median=100.0, p95=500.0)),
    LawSpec(lognormal=LognormalLaw(mean=100.0, sigma=1.0)),
    LawSpec(weibull=WeibullLaw(mean=100.0, shape=0.7)),
    LawSpec(gamma=GammaLaw(mean=100.0, shape=2.0)),
    LawSpec(fixed=100.0),
    LawSpec(empirical=EmpiricalLaw(file="x.csv", values_s=(50.0, 100.0, 300.0))),
]


@pytest.mark.parametrize("spec", LAWS, ids=lambda spec: next(k for k, v in spec if v is not None))
def test_a_scaled_law_has_every_quantile_scaled(spec: LawSpec):
    law, scaled = law_of(spec), law_of(scaled_law(spec, 0.5))
    for u in (0.01, 0.3, 0.5, 0.9, 0.999):
        assert scaled.from_uniform(u) == pytest.approx(0.5 * law.from_uniform(u), rel=1e-12)


def test_every_fault_gets_what_it_can_have(scenario: Scenario):
    found = {(one.about, one.kind) for one in fault_what_ifs(scenario)}
    assert found == {
        ("pod-crash", "never"),
        ("pod-crash", "more"),
        ("region-loss", "never"),
        ("region-loss", "more"),
        ("region-loss", "repair"),
    }
    dated = fault("db in home", at_s=100.0, until=60.0)
    assert more_often(dated) is None
    assert repaired_faster(dated) == dated.model_copy(
        update={"repair": dated.repair.model_copy(update={"law": LawSpec(fixed=30.0)})}
    )
    assert never(dated, 3600.0).at == ()
    Fault.model_validate(never(dated, 3600.0).model_dump())  # still a valid fault


def test_of_like_pods_one_stands_for_all():
    both = world(
        services={"web": service(), "db": service()},
        place={"home": {"web": 3, "db": 2}},
        faults={"crash": fault("any pod", at_s=1.0, until=1.0), "zone": fault("any zone", at_s=1.0, until=1.0)},
    )
    some = {one.about for one in element_what_ifs(both)}
    assert some == {
        "crash @ home/web/1",
        "crash @ home/db/1",
        *(f"zone @ home/zone-{k}" for k in (1, 2, 3)),
    }
    every = {one.about for one in element_what_ifs(both, all_elements=True)}
    assert len(every) == 5 + 3
    for one in element_what_ifs(both):
        assert refusal(one.scenario) == ""
