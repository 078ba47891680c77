"""Kill a run at its k-th file operation, kill the resumed run too, resume again: which tables come out?

`python crash_points.py SCENARIO FOLDER FIRST STEP` prints one JSON line per crash point and a last one with the plain
run's hash and the number of operations. Every run is a fork of this process that kills itself with SIGKILL, so that no
`finally` cleans up behind it.
"""

import json
import os
import shutil
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from small_study import fake_trial

import sim.study.recording as study_recording
from sim.scenario.load import load_experiment
from sim.study import RunOptions, run_experiment

TRIALS = 4
OPERATIONS = [(os, "fsync"), (os, "ftruncate"), (Path, "replace"), (Path, "mkdir"), (Path, "write_text")]
NEVER = 10**9


class Counter:
    """Counts operations; dies before or after the chosen one."""

    def __init__(self, at: int) -> None:
        self.n, self.at = 0, at

    def wrap(self, real: Callable[..., Any]) -> Callable[..., Any]:
        def counted(*arguments: Any, **options: Any) -> Any:
            self.n += 1
            self._die(2 * self.n)
            result = real(*arguments, **options)
            self._die(2 * self.n + 1)
            return result

        return counted

    def _die(self, moment: int) -> None:
        if moment == self.at:
            os.kill(os.getpid(), signal.SIGKILL)


def forked(work: Callable[[], Any]) -> tuple[int, Any]:
    """Signal that ended a fork of this process (0: none), and what its work returned."""
    reader, writer = os.pipe()
    pid = os.fork()
    if pid == 0:
        os.write(writer, json.dumps(work()).encode())
        os._exit(0)
    os.close(writer)
    with os.fdopen(reader) as file:
        told = file.read()
    status = os.waitpid(pid, 0)[1]
    return os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0, json.loads(told) if told else None


def run(file: Path, out: Path, *, chunk: int, die_at: int) -> dict[str, Any]:
    """One run that dies at a moment: 2 k is before operation k, 2 k + 1 after it."""
    counter = Counter(die_at)
    for owner, name in OPERATIONS:
        setattr(owner, name, counter.wrap(getattr(owner, name)))
    study_recording.FLUSH_INTERVAL_S = 0.0
    options = RunOptions(trials=TRIALS, workers=1, chunk=chunk, out=out)
    result = run_experiment(load_experiment(file), options, trial_function=fake_trial)
    return {"hash": result.meta["table_hash"], "operations": counter.n}


def main(arguments: list[str]) -> None:
    """Go through the crash points."""
    file, folder, first, step = Path(arguments[0]), Path(arguments[1]), int(arguments[2]), int(arguments[3])
    _, plain = forked(partial(run, file, folder / "plain", chunk=2, die_at=NEVER))
    n = plain["operations"]
    for moment in range(2 + first, 2 * n + 2, step):
        out = folder / f"run-{moment}"
        killed, _ = forked(partial(run, file, out, chunk=2, die_at=moment))
        again, _ = forked(partial(run, file, out, chunk=3, die_at=2 + moment * 7 % 40))
        ended, last = forked(partial(run, file, out, chunk=1, die_at=NEVER))
        print(json.dumps({"moment": moment, "killed": killed, "again": again, "ended": ended, "last": last}))
        shutil.rmtree(out)
    print(json.dumps(plain))


if __name__ == "__main__":
    main(sys.argv[1:])
