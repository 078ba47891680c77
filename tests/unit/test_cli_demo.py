"""The demo with the real engine and short inputs: one report, one document, nothing else."""

import json
import re
from pathlib import Path

import pytest
from small_study import SCENARIO
from typer.testing import CliRunner

import sim.commands.demo
from sim.cli import app
from sim.commands.places import packaged_scenario, results_folder
from sim.errors import RunError


@pytest.fixture
def short_demo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Small scenarios in the place of the packaged ones."""
    path = tmp_path / "small.yaml"
    path.write_text(SCENARIO.replace("horizon: 1y", "horizon: 2d"))
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sim.commands.demo, "packaged_scenario", lambda name: path)
    monkeypatch.setattr(sim.commands.demo, "DEMO_HORIZON", "3d")
    monkeypatch.setattr(sim.commands.demo, "DEMO_TRIALS", 2)
    return tmp_path


def test_demo_writes_one_report_and_says_where(short_demo: Path):
    result = CliRunner().invoke(app, ["demo", "--workers", "1", "--quiet"])
    assert result.exit_code == 0, result.output
    (report,) = short_demo.rglob("*.html")
    assert report.absolute().as_uri() in result.stdout
    assert "2 trials of 3d each, so the intervals are wide" in result.stdout
    html = report.read_text(encoding="utf-8")
    for name in ("single: ", "double: "):
        assert name in html
    ids = re.findall(r'\sid="([^"]+)"', html)
    assert len(ids) == len(set(ids)), "two sections of the page have the same key"


def test_demo_as_json_is_one_document(short_demo: Path):
    result = CliRunner().invoke(app, ["demo", "--workers", "1", "--quiet", "-o", "json", "--out", "here"])
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    assert [replay["architecture"] for replay in document["replays"]] == ["single", "double"]
    assert document["comparison"]["run"] == "here"
    assert Path(document["report"]).is_file()


def test_a_missing_packaged_scenario_is_a_broken_installation():
    with pytest.raises(RunError, match="install it again"):
        packaged_scenario("no_such_scenario.yaml")


def test_results_folders_never_collide(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    found = []
    for _ in range(3):
        folder = results_folder(None, "Größe / ../x")
        folder.mkdir(parents=True)
        found.append(folder)
    assert len(set(found)) == 3
    assert all(re.fullmatch(r"gr-e-x-\d{8}T\d{6}Z(-\d)?", folder.name) for folder in found)
    assert results_folder(Path("mine"), "x") == Path("mine")
