"""Killed before and after every file operation, killed again while it resumes: the tables are the same."""

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from small_study import write_scenario

SUPPORT = Path(__file__).parent.parent / "support"


def crash(folder: Path, first: int, step: int) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """One entry per crash point, and the plain run."""
    script = [sys.executable, str(SUPPORT / "crash_points.py"), str(write_scenario(folder)), str(folder)]
    done = subprocess.run([*script, str(first), str(step)], capture_output=True, text=True, timeout=580)
    assert done.returncode == 0, done.stderr
    *points, plain = map(json.loads, done.stdout.splitlines())
    return points, plain


def check(points: list[dict[str, Any]], plain: dict[str, Any], n_least: int) -> None:
    assert len(points) >= n_least
    assert [p["moment"] for p in points if p["killed"] != signal.SIGKILL] == [], "not killed: nothing was tested"
    assert sum(p["again"] == signal.SIGKILL for p in points) > len(points) / 3, "the resumed runs were not killed"
    assert [p["moment"] for p in points if p["ended"] or p["last"]["hash"] != plain["hash"]] == []


@pytest.mark.skipif(not hasattr(os, "fork"), reason="runs are forks that kill themselves")
def test_killed_around_some_file_operations(tmp_path: Path):
    check(*crash(tmp_path, 3, 47), n_least=4)


@pytest.mark.slow
@pytest.mark.parametrize("first", range(4))
def test_killed_around_every_file_operation(tmp_path: Path, first: int):
    check(*crash(tmp_path, first, 4), n_least=30)


@pytest.mark.slow
def test_killed_at_random_times_again_and_again(tmp_path: Path):
    """With other numbers of workers and other chunks each time."""
    file, out = write_scenario(tmp_path), tmp_path / "run"
    rng = random.Random(20261127)

    def start(engine: str, workers: int, chunk: int, to: Path) -> subprocess.Popen[str]:
        script = [sys.executable, str(SUPPORT / "small_study.py"), engine, str(file), str(to), str(workers), str(chunk)]
        return subprocess.Popen(script, stdout=subprocess.PIPE, text=True)

    expected = start("fake", 1, 5, tmp_path / "plain").communicate()[0]
    n_killed = 0
    for _ in range(12):
        process = start("slow", rng.choice([1, 2, 3]), rng.choice([1, 2, 5]), out)
        while not (out / "run.json").exists() and process.poll() is None:
            time.sleep(0.01)
        try:
            process.wait(rng.uniform(0.5, 2.5))  # soon: what was done stays done, and the run ends
        except subprocess.TimeoutExpired:
            process.kill()
            n_killed += 1
        process.communicate()
    assert n_killed >= 3, "it was hardly ever killed"
    assert start("fake", 2, 7, out).communicate()[0] == expected
