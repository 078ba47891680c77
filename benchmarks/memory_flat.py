"""Peak memory of a run by the number of trials: a parent and two workers, stand-in trials, results on disk.

`python benchmarks/memory_flat.py [TRIALS ...]` writes results/benchmarks/memory_flat.json. Each size runs in processes
of its own. The sum of the largest resident sizes of parent, fork server and workers counts shared pages again in
each: an upper bound.
"""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
OUT = ROOT / "results" / "benchmarks" / "memory_flat.json"
SIZES = (10_000, 100_000, 1_000_000)
WORKERS = 2


def resident_mib(session: int) -> dict[int, float]:
    """Largest resident size so far of each process of a session."""
    found = {}
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if int((entry / "stat").read_text().rsplit(")", 1)[1].split()[3]) != session:
                continue
            lines = (entry / "status").read_text().splitlines()
        except OSError:
            continue
        found.update({int(entry.name): int(line.split()[1]) / 1024 for line in lines if line.startswith("VmHWM")})
    return found


def measured(trials: int, chunk: int | None = None) -> dict[str, object]:
    """Run one size in a session of its own and watch its processes."""
    most: dict[int, float] = {}
    started_s = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, __file__, "--one", str(trials), str(chunk or 0)],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "benchmarks")])},
        stdout=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )

    def watch() -> None:
        while process.poll() is None:
            for pid, mib in resident_mib(process.pid).items():
                most[pid] = max(most.get(pid, 0.0), mib)
            time.sleep(0.1)

    watcher = threading.Thread(target=watch)
    watcher.start()
    told, _ = process.communicate()
    watcher.join()
    if process.returncode:
        raise SystemExit(f"the run of {trials} trials failed")
    return {
        "trials": trials,
        "chunk": chunk,
        "parent_mib": round(most[process.pid], 1),
        "largest_other_mib": round(max(v for pid, v in most.items() if pid != process.pid), 1),
        "sum_mib": round(sum(most.values()), 1),
        "took_s": round(time.perf_counter() - started_s, 1),
        **json.loads(told),
    }


def one(trials: int, chunk: int | None) -> None:
    """The run itself."""
    from quick_trials import QuickTrial, experiment_in

    from sim.study import RunOptions, run_experiment

    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        options = RunOptions(trials=trials, workers=WORKERS, chunk=chunk, out=folder / "run")
        result = run_experiment(experiment_in(folder), options, trial_function=QuickTrial())
        size = sum(path.stat().st_size for path in (folder / "run").rglob("*") if path.is_file())
        print(json.dumps({"hash": result.meta["table_hash"], "disk_mib": round(size / 2**20, 1)}))


def main(arguments: list[str]) -> None:
    """Measure all sizes and store them."""
    if arguments[:1] == ["--one"]:
        one(int(arguments[1]), int(arguments[2]) or None)
        return
    sizes = [int(text) for text in arguments] or list(SIZES)
    rows = []
    for trials, chunk in [(sizes[0], 777), *((trials, None) for trials in sizes)]:
        rows.append(measured(trials, chunk))
        print(json.dumps(rows[-1]), flush=True)
    assert rows[0]["hash"] == rows[1]["hash"], "another chunk length gave other tables"
    document = {"workers": WORKERS, "load_average": os.getloadavg(), "runs": rows}
    OUT.write_text(json.dumps(document, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
