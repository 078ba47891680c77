"""The documents of `-o json`: their exact keys and types, and nothing else on stdout."""

import json
import math
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import jsonschema
import numpy as np
import pytest
from small_study import fake_trial, write_scenario
from stability_fixture import make_stabilities
from typer.testing import CliRunner

import sim.commands.replay
import sim.commands.run
import sim.commands.stability_check
import sim.study.sensitivity
import sim.study.stability_all
from sim.cli import app
from sim.commands.documents import estimate_document
from sim.commands.stability_check import Check
from sim.estimate import Estimate
from sim.study import run_experiment
from sim.study.replay import replay_trial
from sim.study.sensitivity import sensitivity_of

NUMBER = {"type": ["number", "null"]}
TEXT = {"type": "string"}
TIME = {"type": "string", "pattern": r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$"}
TIME_OR_NULL = {"anyOf": [TIME, {"type": "null"}]}


def exactly(**properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(properties), "additionalProperties": False}


def map_of(values: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": values}


ESTIMATE = exactly(mean=NUMBER, low=NUMBER, high=NUMBER, confidence={"type": "number"}, n={"type": "integer"})
RUN = exactly(
    architectures=map_of(map_of(ESTIMATE)),
    differences=map_of(map_of(ESTIMATE)),
    warnings={"type": "array", "items": TEXT, "minItems": 3},
    run=TEXT,
)
OUTAGE = exactly(
    start=TIME,
    detected=TIME_OR_NULL,
    end=TIME_OR_NULL,
    duration_s=NUMBER,
    cause=TEXT,
    population=TEXT,
    censored={"type": "boolean"},
    cascade=exactly(size={"type": "integer"}, depth={"type": "integer"}, cross_region={"type": "boolean"}),
    phases=map_of(NUMBER),
)
EVENT = exactly(
    at=TIME, at_s={"type": "number"}, kind=TEXT, region=TEXT, zone=TEXT, node=TEXT, service=TEXT, pod=TEXT, what=TEXT
)
REPLAY = exactly(
    architecture=TEXT,
    trial={"type": "integer"},
    seed={"type": "integer"},
    start=TIME,
    horizon_s={"type": "number"},
    availability_time=NUMBER,
    availability_requests=NUMBER,
    outages={"type": "array", "items": OUTAGE},
    events={"type": "array", "items": EVENT},
)
VALIDATE = exactly(
    valid={"type": "boolean"},
    issues={
        "type": "array",
        "items": exactly(
            file=TEXT,
            line={"type": "integer"},
            column={"type": "integer"},
            path=TEXT,
            message=TEXT,
            severity={"enum": ["error", "warning"]},
        ),
    },
)


SHARE = {"type": "number", "minimum": 0, "maximum": 1}
STATE = {"enum": ["stable", "vulnerable", "metastable", "overloaded"]}
STABILITY = exactly(
    architectures=map_of(
        exactly(
            today=STATE,
            bottleneck=exactly(region=TEXT, service=TEXT),
            peak_per_s={"type": "number"},
            threshold=SHARE,
            loss={"enum": ["slow", "pods"]},
            lasts_s={"type": "number"},
            critical_load=NUMBER,
            highest_load=NUMBER,
            chance_load=NUMBER,
            map={"type": "array", "items": exactly(load={"type": "number"}, lost=SHARE, state=STATE), "minItems": 1},
            triggers={"type": "array", "items": exactly(lost=SHARE, shortest_s=NUMBER)},
            recovery={"type": "array", "items": exactly(load={"type": "number"}, time_s=NUMBER)},
            faults={
                "type": "array",
                "items": exactly(fault=TEXT, lost=SHARE, loss=TEXT, lasts_s={"type": "number"}, tips_share=NUMBER),
            },
            remedies={
                "type": "array",
                "items": exactly(name=TEXT, what=TEXT, critical_load=NUMBER, highest_load=NUMBER),
            },
        )
    ),
    checks={
        "type": "array",
        "items": exactly(
            architecture=TEXT,
            load={"type": "number"},
            lost=SHARE,
            state=STATE,
            n_collapsed={"type": "integer"},
            n_runs={"type": "integer"},
            agrees={"type": "boolean"},
        ),
    },
    warnings={"type": "array", "items": TEXT, "minItems": 2},
    page={"anyOf": [TEXT, {"type": "null"}]},
)


CHANGE = exactly(
    about=TEXT,
    kind={"enum": ["never", "more", "repair", "low", "high", "birnbaum"]},
    setting=TEXT,
    changes=map_of(ESTIMATE),
    same={"type": "boolean"},
)
SEQUENCE = exactly(
    sequence=TEXT,
    outages={"type": "integer"},
    minutes_per_year={"type": "number"},
    lost_hours_per_year={"type": "number"},
    share=ESTIMATE,
    cumulative=SHARE,
    in_set={"type": "boolean"},
    example=exactly(
        trial={"type": "integer"},
        start=TIME,
        end=TIME,
        population=TEXT,
        faults={"type": "array", "items": TEXT},
        left_out={"type": "array", "items": TEXT},
    ),
    remains_without={"anyOf": [map_of(SHARE), {"type": "null"}]},
)
SOBOL = exactly(
    noise_share=NUMBER,
    mean_h_per_year={"type": "number"},
    spread_h_per_year={"type": "number"},
    knobs=map_of(
        exactly(
            range=TEXT, first=ESTIMATE, total=ESTIMATE, first_plain={"type": "number"}, total_plain={"type": "number"}
        )
    ),
)
SENSITIVITY = exactly(
    architecture=TEXT,
    trials={"type": "integer"},
    base=map_of(ESTIMATE),
    shares=map_of(map_of(ESTIMATE)),
    effects={"type": "array", "items": CHANGE},
    birnbaum={"type": "array", "items": CHANGE},
    sequences={"type": "array", "items": SEQUENCE},
    covered=SHARE,
    sobol={"anyOf": [SOBOL, {"type": "null"}]},
    warnings={"type": "array", "items": TEXT},
    run=TEXT,
    page={"anyOf": [TEXT, {"type": "null"}]},
)


@pytest.fixture(autouse=True)
def stand_in(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sim.commands.run, "run_experiment", partial(run_experiment, trial_function=fake_trial))
    monkeypatch.setattr(sim.commands.replay, "replay_trial", partial(replay_trial, trial_function=fake_trial))


def refuse_constant(name: str) -> float:
    raise AssertionError(f"{name} is no JSON")


def document(*arguments: str, exit_code: int = 0) -> Any:
    result = CliRunner().invoke(app, [*arguments, "-o", "json"])
    assert result.exit_code == exit_code, result.output
    return json.loads(result.stdout, parse_constant=refuse_constant)


@pytest.mark.parametrize("command", ["run", "compare"])
def test_run_and_compare(tmp_path: Path, command: str):
    found = document(command, str(write_scenario(tmp_path)), "-n", "4", "--workers", "1", "--no-report")
    jsonschema.validate(found, RUN)
    assert list(found["architectures"]) == (["single"] if command == "run" else ["single", "double"])
    assert list(found["differences"]) == ([] if command == "run" else ["double - single"])
    assert Path(found["run"], "run.json").exists()
    for mine in found["architectures"].values():
        for estimate in mine.values():
            assert estimate["n"] == 4
            assert estimate["confidence"] == 0.95
            assert estimate["low"] <= estimate["mean"]


def test_infinities_and_nan_are_null():
    estimate = estimate_document(Estimate(0.0, -math.inf, math.inf, 0.95, 3))
    assert estimate == {"mean": 0.0, "low": None, "high": None, "confidence": 0.95, "n": 3}


def test_a_failed_gate_still_gives_one_document(tmp_path: Path):
    arguments = (
        "run",
        str(write_scenario(tmp_path)),
        "--workers",
        "1",
        "--no-report",
        "--fail-under",
        "availability>=99.9999%",
    )
    jsonschema.validate(document(*arguments, exit_code=1), RUN)


def test_replay(tmp_path: Path):
    found = document("replay", str(write_scenario(tmp_path)), "--trial", "2", "--no-report")
    jsonschema.validate(found, REPLAY)
    kinds = [event["kind"] for event in found["events"]]
    assert {"fault", "repair", "oom_kill", "outage_start", "outage_end"} <= set(kinds)
    assert kinds.count("outage_start") == len(found["outages"]) > 0
    times = [event["at_s"] for event in found["events"]]
    assert times == sorted(times)
    assert set(found["outages"][0]["phases"]) == {
        "detection_s", "acknowledgement_s", "diagnosis_s", "wrong_turns_s", "remedy_s", "drain_s"
    }  # fmt: skip
    assert found["outages"][0]["phases"]["detection_s"] == 60.0
    assert found["outages"][0]["phases"]["drain_s"] is None


def test_times_are_utc(tmp_path: Path):
    found = document("replay", str(write_scenario(tmp_path)), "--trial", "2", "--no-report")
    event = found["events"][0]
    expected = np.datetime64("2026-01-01T00:00:00.000") + np.timedelta64(round(event["at_s"] * 1000), "ms")
    assert abs((np.datetime64(event["at"][:-1]) - expected) / np.timedelta64(1, "ms")) <= 1


def test_validate(tmp_path: Path):
    good = write_scenario(tmp_path)
    found = document("validate", str(good))
    jsonschema.validate(found, VALIDATE)
    assert found["valid"] is True
    (tmp_path / "bad.yaml").write_text("name: x\nregoins: {}\n")
    found = document("validate", str(tmp_path / "bad.yaml"), exit_code=2)
    jsonschema.validate(found, VALIDATE)
    assert found["valid"] is False
    assert any(issue["line"] == 2 for issue in found["issues"])


def made_by_hand(experiment: Any, architectures: Any = (), **_: Any) -> Any:
    return [replace(s, architecture=name) for s, name in zip(make_stabilities(), experiment.scenarios, strict=False)]


def two_checks(scenario: Any, found: Any, n: int, tell: Any) -> list[Check]:
    return [Check(found.architecture, cell, 2, 3) for cell in found.cells[:n]]


@pytest.mark.parametrize("n_checks", [0, 2])
def test_stability(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, n_checks: int):
    monkeypatch.setattr(sim.study.stability_all, "analyse_all", made_by_hand)
    monkeypatch.setattr(sim.commands.stability_check, "check_cells", two_checks)
    found = document("stability", str(write_scenario(tmp_path)), "--check", str(n_checks), "--out", "here")
    jsonschema.validate(found, STABILITY)
    assert list(found["architectures"]) == ["single", "double"]
    assert len(found["checks"]) == 2 * n_checks
    assert Path(found["page"]) == Path("here/stability.html")
    assert Path(found["page"]).exists()
    assert found["architectures"]["double"]["triggers"][0]["shortest_s"] is None
    without = document("stability", str(write_scenario(tmp_path)), "--no-report")
    jsonschema.validate(without, STABILITY)
    assert without["page"] is None


def queue_trial(scenario: Any, architecture: str, trial: int, *, keep: bool = False) -> Any:
    """The stand-in with downtime in proportion to the queue, so that the Sobol indices are something."""
    record, tables = fake_trial(scenario, architecture, trial, keep=keep)
    tables["trials"]["downtime_s"] = np.full(1, 60.0 * scenario.services["web"].queue * (trial + 1))
    tables["trials"]["common_cause_downtime_s"] = np.zeros(1)
    for name in ("downtime_shares", "sequences"):
        tables[name]["downtime_s"] = np.full(len(tables[name]["downtime_s"]), float(tables["trials"]["downtime_s"][0]))
    return record, tables


@pytest.mark.parametrize("with_sobol", [False, True])
def test_sensitivity(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_sobol: bool):
    monkeypatch.setattr(sim.study.sensitivity, "sensitivity_of", partial(sensitivity_of, trial_function=queue_trial))
    file = str(write_scenario(tmp_path))
    sobol = ("--sobol", "services.web.queue=10,60", "--sobol-samples", "4", "--cover", "50%")
    asked = sobol if with_sobol else ()
    common = ("-A", "double", "-n", "3", "--workers", "1", "--quiet", "--out", "here")
    found = document("sensitivity", file, "--knob", "services.web.queue", *asked, *common)
    jsonschema.validate(found, SENSITIVITY)
    assert found["architecture"] == "double"
    assert found["covered"] == (0.5 if with_sobol else 0.8)
    assert (found["sobol"] is not None) is with_sobol
    assert Path(found["page"]) == Path("here/sensitivity.html")
    assert Path("here/run.json").exists()
    assert {effect["about"] for effect in found["effects"]} == {"pod-crash", "region-loss", "services.web.queue"}
    less = ("--no-knobs", "--elements", "none", "--no-report", "-n", "2", "--workers", "1", "--quiet")
    again = document("sensitivity", file, *less)
    jsonschema.validate(again, SENSITIVITY)
    assert (again["page"], again["birnbaum"]) == (None, [])


@pytest.mark.parametrize(
    "wrong",
    [("--knob", "services.web.nope"), ("--step", "20"), ("--elements", "some"), ("-A", "nowhere"), ("--cover", "0%")],
)
def test_a_wrong_question_about_sensitivity_costs_nothing(tmp_path: Path, wrong: tuple[str, str]):
    result = CliRunner().invoke(app, ["sensitivity", str(write_scenario(tmp_path)), *wrong])
    assert result.exit_code == 2, result.output
    assert "Traceback" not in result.output
    assert not Path("results").exists()
