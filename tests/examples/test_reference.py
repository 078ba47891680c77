"""Numbers in documents are those of the stored reference answers, which name existing experiments."""

import json
from pathlib import Path

import pytest
import reference_results as tool

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("path", tool.documents(), ids=lambda path: path.name)
def test_generated_passages_are_in_sync(path: Path):
    text = path.read_text(encoding="utf-8")
    assert tool.filled(text) == text, "run: python tools/reference_results.py --documents"


def test_every_passage_is_opened_closed_and_known():
    for path in tool.documents():
        text = path.read_text(encoding="utf-8")
        names = [found["name"] for found in tool.PASSAGE.finditer(text)]
        assert text.count("<!-- generated:") == text.count("<!-- /generated -->") == len(names)
        assert set(names) <= set(tool.RENDERERS)


def test_the_readme_quotes_something():
    assert tool.PASSAGE.search((ROOT / "README.md").read_text(encoding="utf-8"))


def test_stored_answers_are_of_existing_experiments():
    for source in tool.SOURCES:
        reference = json.loads((tool.RESULTS / "reference" / f"{source}.json").read_text(encoding="utf-8"))
        assert (ROOT / "experiments" / reference["file"]).is_file()


def test_a_changed_number_is_noticed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """Negative control: the same document with another reference answer is out of sync."""
    estimate = {"mean": 0.5, "low": 0.25, "high": None, "confidence": 0.95, "n": 3}
    measures = dict.fromkeys(("availability_time", "downtime_h_per_year", "cascade_year_prob"), estimate)
    reference = {"trials": 3, "seed": 1, "architectures": {"single": measures}}
    monkeypatch.setattr(tool, "RESULTS", tmp_path)
    path = tmp_path / "reference" / "comparison.json"
    path.parent.mkdir()
    path.write_text(json.dumps(reference))
    text = tool.filled("a\n<!-- generated:single-vs-multi-region -->\nold\n<!-- /generated -->\nb\n")
    assert "| single | 50.000 % [25.000 %, -] |" in text.replace("...", "-")
    assert "old" not in text
    assert tool.filled(text) == text
    measures["availability_time"] = estimate | {"mean": 0.6}
    path.write_text(json.dumps(reference))
    assert tool.filled(text) != text


def test_rounding_keeps_six_digits():
    assert tool.rounded({"a": [1.23456789, 0.0, 7, True, "x", None]}) == {"a": [1.23457, 0.0, 7, True, "x", None]}
