"""`zoom` on the command line: one JSON document or a table, a self-contained page, errors that say what to write."""

import json
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from typer.testing import CliRunner
from zoomed import write_zoomed

from sim.cli import app

NUMBER = {"type": ["number", "null"]}
TIME = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$"}


def exactly(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


FIGURE = exactly(
    engine=NUMBER, requests_mean=NUMBER, requests_se=NUMBER, difference_in_se=NUMBER, agree={"type": "boolean"}
)
ZOOM = exactly(
    **{
        "architecture": {"type": "string"},
        "trial": {"type": "integer"},
        "seed": {"type": "integer"},
        "start": TIME,
        "from": TIME,
        "for_s": {"type": "number"},
        "seeds": {"type": "integer"},
        "agree": {"type": "boolean"},
        "verdict": {"type": "string"},
        "figures": {"type": "object", "minProperties": 7, "additionalProperties": FIGURE},
        "report": {"type": ["string", "null"]},
    }
)
WINDOW = ("--from", "9m30s", "--for", "1m", "--seeds", "2")


def zoom(folder: Path, *options: str) -> Any:
    return CliRunner().invoke(app, ["zoom", str(write_zoomed(folder)), *options])


def test_the_document_is_the_only_output(tmp_path: Path) -> None:
    result = zoom(tmp_path, *WINDOW, "--workers", "1", "--no-report", "-o", "json")
    assert result.exit_code == 0, result.output
    document = json.loads(result.stdout)
    jsonschema.validate(document, ZOOM)
    assert document["from"] == "2026-01-05T00:09:30.000Z"
    assert (document["for_s"], document["seeds"], document["report"]) == (60.0, 2, None)
    assert set(document["figures"]) == {
        "availability shoppers", "attempts shoppers", "oom_kills", "in_flight north/web", "ready north/web",
        "in_flight north/store", "ready north/store",
    }  # fmt: skip


def test_workers_change_nothing(tmp_path: Path) -> None:
    documents = [
        json.loads(zoom(tmp_path, *WINDOW, "--workers", n, "--no-report", "-o", "json").stdout) for n in ("1", "2")
    ]
    assert documents[0] == documents[1]


def test_the_table_says_whether_they_agree_and_the_page_is_self_contained(tmp_path: Path) -> None:
    result = zoom(tmp_path, *WINDOW, "--workers", "1", "--out", str(tmp_path / "out"))
    assert result.exit_code == 0, result.output
    assert "request by request (2 seeds)" in result.stdout
    assert "The engine and the request-level model" in result.stdout
    page = (tmp_path / "out" / "report.html").read_text(encoding="utf-8")
    assert "The engine and the request-level model" in page
    assert page.count('class="plot"') == 3
    assert "src=" not in page.split("<main")[1].split("</main>")[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--from", "soon"), "--from is soon"),
        (("--from", "3h"), "not within the horizon"),
        (("--from", "1m", "--for", "3d"), "at most 1d"),
        (("--from", "1m", "-A", "other"), "other"),
        (("--from", "1m", "--trial", "99999999999"), "trial is"),
    ],
)
def test_mistakes_end_with_2(tmp_path: Path, options: tuple[str, ...], message: str) -> None:
    result = zoom(tmp_path, *options)
    assert result.exit_code == 2
    assert message in result.stderr
