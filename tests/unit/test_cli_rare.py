"""`regionfall rare`: exact values from a file of elements, the document, and what is refused."""

import json
from pathlib import Path

import pytest
from rare_models import binomial_unavailability
from typer.testing import CliRunner

from sim.cli import app
from sim.scenario.load import load_experiment
from sim.study.options import RunOptions
from sim.study.run import run_experiment

TEXT = """\
name: eight units
start: 2026-01-01
horizon: 500h
trials: 40
elements:
  unit: {count: 8, fails: {exponential: {mean: 1000h}}, repair: {exponential: {mean: 5h}}}
systems:
  service: {at_least: 6, of: [unit]}
"""


def rare(folder: Path, text: str, *options: str) -> tuple[int, str, str]:
    path = folder / "units.yaml"
    path.write_text(text)
    found = CliRunner().invoke(app, ["rare", str(path), *options])
    return found.exit_code, found.stdout, found.stderr


@pytest.mark.parametrize("method", ["auto", "splitting"])
def test_the_document_has_the_exact_value(tmp_path: Path, method: str) -> None:
    code, out, _ = rare(tmp_path, TEXT, "--method", method, "--precision", "15%", "--events", "1e6", "-o", "json")
    assert code == 0
    document = json.loads(out)
    found = document["architectures"]["default"]["unavailability_long_run"]
    truth = binomial_unavailability(8, 3, 1e-3, 0.2)
    assert found["method"] == ("biasing" if method == "auto" else "splitting")
    assert abs(found["mean"] - truth) <= 4 * (found["high"] - found["low"]) / 3.92
    assert found["high"] - found["low"] <= 0.31 * found["mean"]
    assert document["refused"] == {"default": {}}
    hours = document["architectures"]["default"]["downtime_h"]
    assert 0.5 * truth * 500 < hours["mean"] < 1.5 * truth * 500


def test_the_table_names_the_method_and_what_it_cannot_do(tmp_path: Path) -> None:
    code, out, _ = rare(tmp_path, TEXT, "--method", "biasing", "--precision", "50%")
    assert code == 0
    assert "biasing" in out
    assert "weights degenerate" in " ".join(out.split())


@pytest.mark.parametrize(
    ("text", "options", "said"),
    [
        (TEXT, ("--method", "magic"), "must be one of auto"),
        (TEXT, ("--precision", "10"), "--precision"),
        (
            TEXT.replace("{exponential: {mean: 1000h}}", "{weibull: {mean: 1000h, shape: 2}}"),
            ("--method", "biasing"),
            "age",
        ),
        (TEXT, ("-A", "other"), "no architecture other"),
    ],
)
def test_mistakes_say_what_to_do(tmp_path: Path, text: str, options: tuple[str, ...], said: str) -> None:
    code, _, err = rare(tmp_path, text, *options)
    assert code == 2
    assert said in err


def test_uncertain_laws_of_elements_are_drawn_for_pairs_of_trials(tmp_path: Path) -> None:
    (tmp_path / "units.yaml").write_text(TEXT.replace("{mean: 1000h}", "{mean: 1000h, failures: 2}"))
    experiment = load_experiment(tmp_path / "units.yaml")
    found = [run_experiment(experiment, RunOptions(workers=1, chunk=chunk)) for chunk in (3, 40)]
    assert found[0].meta["table_hash"] == found[1].meta["table_hash"]
    spread = found[0].parameters["default"]["faults_per_year"]
    assert spread.n == 20
    assert spread.share > 0.5  # two failures say little of a mean
