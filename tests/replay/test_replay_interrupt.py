"""A real Ctrl-C, at any moment: exit code 130, no traceback, no process left, and the run can be continued."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from small_study import write_scenario

PROGRAM = """
import sys
if __name__ == "__main__":
    print("ready", flush=True)
    from functools import partial
    import sim.commands.run
    from sim.cli import main
    from sim.study import run_experiment
    from small_study import slow_trial
    sim.commands.run.run_experiment = partial(run_experiment, trial_function=slow_trial)
    print("set", flush=True)
    main()
"""
SUPPORT = Path(__file__).parent.parent / "support"
PATHS = os.pathsep.join([str(SUPPORT), str(SUPPORT.parents[1])])
"""This checkout, for the parent as for its workers."""


def start(folder: Path) -> subprocess.Popen[str]:
    """The command line in a session of its own, as a terminal would have it."""
    file = write_scenario(folder)
    (folder / "program.py").write_text(PROGRAM)
    arguments = ["compare", str(file), "--out", str(folder / "run"), "--workers", "2", "--no-report", "--trials", "400"]
    environment = os.environ | {"PYTHONPATH": PATHS}
    return subprocess.Popen(
        [sys.executable, str(folder / "program.py"), *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


@pytest.mark.parametrize(
    ("delay_s", "signal_name"), [(0.0, "SIGINT"), (0.5, "SIGINT"), (1.5, "SIGTERM"), (4.0, "SIGINT")]
)
def test_a_signal_at_any_moment(tmp_path: Path, delay_s: float, signal_name: str):
    process = start(tmp_path)
    assert process.stdout is not None
    while process.stdout.readline() != "set\n":
        assert process.poll() is None
    run_file = tmp_path / "run" / "run.json"
    while not run_file.exists():
        assert process.poll() is None
        time.sleep(0.01)
    time.sleep(delay_s)
    if signal_name == "SIGINT":
        os.killpg(process.pid, signal.SIGINT)  # a terminal sends it to every process
    else:
        process.terminate()
    _, error = process.communicate(timeout=60)
    assert process.returncode == 130, error
    assert "Traceback" not in error
    assert "to continue, give the same command with --out" in error
    assert json.loads(run_file.read_text())["stop_reason"] == "interrupted"
