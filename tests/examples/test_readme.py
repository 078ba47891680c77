"""What the README shows is true: its scenario loads, its commands exist, its program runs."""

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from sim.cli import app
from sim.scenario.load import load_experiment

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", README, re.DOTALL)


def test_the_language_in_twenty_lines(tmp_path: Path):
    (text,) = blocks("yaml")
    assert len(text.strip().splitlines()) == 20
    (tmp_path / "shop.yaml").write_text(text)
    assert list(load_experiment(tmp_path / "shop.yaml").scenarios) == ["three-pods", "six-pods"]


def test_every_command_of_the_table_exists():
    commands = re.findall(r"^\| `regionfall (\w+)", README, re.MULTILINE)
    listed = {command.name or command.callback.__name__ for command in app.registered_commands if command.callback}
    assert set(commands) == listed


@pytest.mark.parametrize("option", sorted(set(re.findall(r"`(--[a-z-]+)", README))))
def test_every_option_exists(option: str):
    helps = [CliRunner().invoke(app, [c, "--help"], terminal_width=200).stdout for c in ("run", "replay", "sweep")]
    assert any(option in text for text in helps)


def test_the_program_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """With the language block in the place of the experiment, and two trials of a month."""
    (program,) = blocks("python")
    assert (ROOT / "experiments" / "single_vs_multi_region.yaml").is_file()
    (tmp_path / "experiments").mkdir()
    text = blocks("yaml")[0].replace("horizon: 1y", "horizon: 7d")
    (tmp_path / "experiments" / "single_vs_multi_region.yaml").write_text(text)
    monkeypatch.chdir(tmp_path)
    exec(compile(program.replace("trials=100", "trials=2, workers=1"), "README.md", "exec"), {})  # noqa: S102  our own README
