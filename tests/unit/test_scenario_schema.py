"""The JSON Schema that editors use: it accepts what loads, refuses what does not, and explains every key."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from pydantic import BaseModel

from sim.scenario import json_schema, reliability, schema
from sim.scenario.reader import read_text
from sim.scenario.tree import plain

GOLDEN = Path(__file__).parents[1] / "golden"


@pytest.fixture(scope="module")
def validator() -> jsonschema.Draft202012Validator:
    whole = json_schema()
    jsonschema.Draft202012Validator.check_schema(whole)
    return jsonschema.Draft202012Validator(whole)


def data_of(text: str) -> Any:
    """JSON-able value of a YAML text."""
    node, issues = read_text(text, "x.yaml")
    assert node is not None
    assert issues == []
    return json.loads(json.dumps(plain(node)))


@pytest.mark.parametrize("name", ["scenario-example.yaml", "bad_scenarios/good.yaml"])
def test_it_accepts_what_loads(validator: jsonschema.Draft202012Validator, name: str) -> None:
    data = data_of((GOLDEN / name).read_text(encoding="utf-8"))
    assert [error.message for error in validator.iter_errors(data)] == []


@pytest.mark.parametrize(
    "spoil",
    [
        "services: {web: {work: 20}}",
        "services: {web: {work: 20ms, slots: 1, quue: 5}}",
        "services: {9web: {work: 20ms, slots: 1}}",
        "horizon: -1d",
        "horizon: 4 weeks",
        "horizont: 1y",
        "faults: {a: {target: web, every: 9d, effect: dwon, repair: 1h}}",
        "faults: {a: {target: web, every: 9d, effect: down, repair: untill fixed}}",
        "faults: {a: {target: web, effect: down}}",
        "architectures: {one: {failover: activ}}",
        "architectures: {one: {place: {north: {web: -1}}}}",
        "populations: {x: {workers: 1, requests: 1/h, journey: web, deadline: 5s, cost: 40}}",
        "populations: {x: {workers: 1, requests: 1/h, journey: web, deadline: 5s, calendar: office}}",
        "sweep: {services.web.queue: 5}",
        "objectives: {sla: {credits: {99%: 5%}, fee: 5 EUR/month}}",
        "operations: {runbook: {scale_out: {pods: 4 more}}}",
    ],
)
def test_it_refuses_what_does_not(validator: jsonschema.Draft202012Validator, spoil: str) -> None:
    good = data_of((GOLDEN / "bad_scenarios" / "good.yaml").read_text(encoding="utf-8"))
    assert list(validator.iter_errors({**good, **data_of(spoil)}))


def test_the_file_may_do_without_architectures(validator: jsonschema.Draft202012Validator) -> None:
    good = data_of((GOLDEN / "bad_scenarios" / "good.yaml").read_text(encoding="utf-8"))
    del good["architectures"]
    assert list(validator.iter_errors({**good, "place": {"north": {"web": 1}}})) == []
    assert {"name", "start", "horizon"} == set(json_schema()["required"])
    assert {"regions", "services"} == set(json_schema()["else"]["required"]), "unless the file has elements"


def test_every_block_is_explained_and_closed() -> None:
    whole = json_schema()
    for name, block in whole["$defs"].items():
        assert block["description"], name
        assert block["additionalProperties"] is False, name
        assert issubclass(getattr(schema, name, None) or getattr(reliability, name), BaseModel)


def test_defaults_and_examples_are_shown_as_they_are_written() -> None:
    detect = json_schema()["$defs"]["Detect"]["properties"]
    assert (detect["every"]["default"], detect["below"]["default"], detect["failures"]["default"]) == ("10s", "50%", 3)
    work = json_schema()["$defs"]["Service"]["properties"]["work"]
    assert "300ms" in work["examples"]
    assert work["description"].startswith("Own service time")


def test_quantities_of_defaults_match_their_own_pattern(validator: jsonschema.Draft202012Validator) -> None:
    whole = json_schema()
    for name, block in whole["$defs"].items():
        for key, described in block["properties"].items():
            if "default" in described:
                part = validator.evolve(schema={**described, "$defs": whole["$defs"]})
                assert list(part.iter_errors(described["default"])) == [], f"{name}.{key}"


def test_the_modeline_of_the_example_is_a_comment() -> None:
    first = (GOLDEN / "scenario-example.yaml").read_text(encoding="utf-8").splitlines()[0]
    assert first.startswith("# yaml-language-server: $schema=")
