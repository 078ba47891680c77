"""The example of docs/load-behaviour.md is valid, runs, and does what the page says it does."""

import re
from pathlib import Path

import pytest

from sim.scenario.load import load_experiment
from sim.scenario.schema import Call, Model, Population, Scenario, Service
from sim.world import Kind, run_trial

PAGE = Path(__file__).parents[2] / "docs" / "load-behaviour.md"


@pytest.fixture(scope="module")
def scenario(tmp_path_factory: pytest.TempPathFactory) -> Scenario:
    (block,) = re.findall(r"```yaml\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    path = tmp_path_factory.mktemp("page") / "shop.yaml"
    path.write_text(block, encoding="utf-8")
    experiment = load_experiment(path)
    assert experiment.warnings == ()
    return experiment.scenarios["shop"]


def test_the_example_runs_and_its_autoscaler_follows_the_sale(scenario: Scenario) -> None:
    quiet = scenario.model_copy(update={"model": Model(noise="never")})
    record = run_trial(quiet, "shop", 0)
    sale_s = next(r.at_s for r in record.records if r.fault.startswith("sale"))
    assert sale_s == 6 * 3600.0
    sizes = [(r.at_s, r.value) for r in record.records if r.kind is Kind.SCALED and r.service == "web"]
    before, during, after = (
        [n for t, n in sizes if low <= t < high]
        for low, high in ((0.0, sale_s), (sale_s, sale_s + 3600.0), (sale_s + 3600.0, 12 * 3600.0))
    )
    assert min([4.0, *before]) >= 3.0
    assert max(during) > 4.0
    assert after[-1] < max(during)


def test_the_example_uses_every_key_that_the_page_explains(scenario: Scenario) -> None:
    text = PAGE.read_text(encoding="utf-8")
    keys = {key for row in re.findall(r"^\| (`.*?) \|", text, re.MULTILINE) for key in re.findall(r"`(\w+)", row)}
    known = set(Service.model_fields) | set(Call.model_fields) | set(Population.model_fields)
    assert {"liveness", "autoscale", "jitter", "hedge_after", "order"} <= keys
    used = text.partition("```yaml")[2].partition("```")[0]
    for key in keys & known - {"handoff"}:  # a handoff goes with none of the other ways to call
        assert f"{key}:" in used, key
