"""What is said of mistakes in a file of elements, where they stand."""

import json

import jsonschema
import pytest

from sim.errors import ScenarioError
from sim.scenario import json_schema
from sim.scenario.document import Experiment
from sim.scenario.load import load_experiment

GOOD = """\
name: Pair
start: 2026-01-01
horizon: 1y
elements:
  disk: {count: 2, fails: 3y, repair: 8h, crew: people}
  power: {fails: 1y, repair: {exponential: {mean: 2h}}}
crews:
  people: {size: 1}
systems:
  service: {all: [1 of disk, power]}
"""


def issues(tmp_path, text):
    path = tmp_path / "file.yaml"
    path.write_text(text)
    with pytest.raises(ScenarioError) as error:
        load_experiment(path)
    return [str(issue).removeprefix(f"{path}:") for issue in error.value.issues]


def test_a_good_file_survives_the_round_trip(tmp_path):
    path = tmp_path / "file.yaml"
    path.write_text(GOOD)
    experiment = load_experiment(path, sets=["elements.disk.count=3"])
    assert experiment.scenarios["default"].elements["disk"].count == 3
    assert experiment.warnings == ()
    again = Experiment.from_document(json.loads(json.dumps(experiment.to_document())))
    assert again == experiment


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("crew: people", "crew: poeple", "did you mean people"),
        ("1 of disk", "1 of disc", "did you mean disk"),
        ("1 of disk", "3 of disk", "there is only 2 of disk"),
        ("fails: 3y, repair: 8h", "fails: 3y, repair: 8", "8"),
        ("repair: 8h", "repairs: 8h", "did you mean repair"),
        ("size: 1", "order: called", "`call` and `order: called` go together"),
        ("power: {fails: 1y", "power: {common_cause: 5%, fails: 1y", "expected a count above 1"),
        ("  service: {all: [1 of disk, power]}", "  service: {all: [other]}\n  other: {any: [service]}", "circle"),
        ("  service: {all: [1 of disk, power]}", "  a: {all: [disk]}\n  b: {any: [disk]}", "service: b"),
        ("systems:", "regions: {r: {nodes: {count: 1, memory: 1Gi}}}\nsystems:", "beside elements"),
        ("{all: [1 of disk, power]}", "{all: [disk], any: [power]}", "exactly one of"),
    ],
)
def test_mistakes_are_told_where_they_stand(tmp_path, old, new, said):
    assert old in GOOD
    found = issues(tmp_path, GOOD.replace(old, new))
    assert any(said in text for text in found), found
    assert all(text[0].isdigit() for text in found)


def test_the_schema_for_editors_knows_both_kinds_of_file(tmp_path):
    import ruamel.yaml

    schema = json_schema()
    document = ruamel.yaml.YAML(typ="safe", pure=True).load(GOOD)
    document["start"] = "2026-01-01"
    jsonschema.validate(document, schema)
    del document["systems"]
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(document, schema)
