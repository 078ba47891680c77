"""Peak memory of a run and of its report by the number of trials: a parent and two workers, results on disk.

`python benchmarks/memory_flat.py [TRIALS ...]` writes results/benchmarks/memory_flat.json. `stand-in` are made-up
trials with rows in every table, `elements` the reliability mode itself: `regionfall run` on a file, its report
included. `report` is `regionfall report` on the folder of each. Each size runs in processes of its own. The sum of the
largest resident sizes of parent, fork server and workers counts shared pages again in each: an upper bound.
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
MOST_MIB = 1024.0
"""All processes of a run of any size."""
ELEMENTS = """\
name: two power supplies
start: 2026-01-01
horizon: 1y
seed: 7
elements:
  supply: {count: 2, fails: 60d, repair: {exponential: {mean: 2d}}}
  board: {fails: 1000d, repair: {lognormal: {median: 4h, p95: 12h}}}
systems:
  power: {any: [supply]}
  server: {all: [power, board]}
objectives: {availability: {target: 99.9%}}
architectures:
  server: {}
"""


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


def measured(command: list[str]) -> dict[str, object]:
    """Run a command in a session of its own and watch its processes."""
    most: dict[int, float] = {}
    started_s = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, *command],
        env=os.environ | {"PYTHONPATH": os.pathsep.join([str(ROOT), str(ROOT / "benchmarks")])},
        stdout=subprocess.DEVNULL,
        start_new_session=True,
    )

    def watch() -> None:
        while process.poll() is None:
            for pid, mib in resident_mib(process.pid).items():
                most[pid] = max(most.get(pid, 0.0), mib)
            time.sleep(0.1)

    watcher = threading.Thread(target=watch)
    watcher.start()
    process.wait()
    watcher.join()
    if process.returncode:
        raise SystemExit(f"failed: {' '.join(command)}")
    others = [mib for pid, mib in most.items() if pid != process.pid]
    return {
        "parent_mib": round(most[process.pid], 1),
        "largest_other_mib": round(max(others, default=0.0), 1),
        "sum_mib": round(sum(most.values()), 1),
        "took_s": round(time.perf_counter() - started_s, 1),
    }


def stand_in(trials: int, folder: Path, chunk: int | None) -> None:
    """The run of made-up trials itself."""
    from quick_trials import QuickTrial, experiment_in

    from sim.study import RunOptions, run_experiment

    options = RunOptions(trials=trials, workers=WORKERS, chunk=chunk, out=folder / "run")
    run_experiment(experiment_in(folder), options, trial_function=QuickTrial())


def measured_run(kind: str, trials: int, chunk: int | None = None) -> dict[str, object]:
    """A run and its report."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        command = [__file__, "--one", str(trials), name, str(chunk or 0)]
        if kind == "elements":
            (folder / "elements.yaml").write_text(ELEMENTS, encoding="utf-8")
            options = ["--trials", str(trials), "--workers", str(WORKERS), "--out", str(folder / "run"), "--quiet"]
            command = ["-m", "sim", "run", str(folder / "elements.yaml"), *options]
        run = measured(command)
        report = measured(["-m", "sim", "report", str(folder / "run")])
        size = sum(path.stat().st_size for path in (folder / "run").rglob("*") if path.is_file())
        found = json.loads((folder / "run" / "run.json").read_text(encoding="utf-8"))["table_hash"]
    disk_mib = round(size / 2**20, 1)
    return {"kind": kind, "trials": trials, "chunk": chunk, "hash": found, "disk_mib": disk_mib} | {
        "run": run,
        "report": report,
    }


def main(arguments: list[str]) -> None:
    """Measure all sizes and store them."""
    if arguments[:1] == ["--one"]:
        stand_in(int(arguments[1]), Path(arguments[2]), int(arguments[3]) or None)
        return
    sizes = [int(text) for text in arguments] or list(SIZES)
    rows = []
    cases = [("stand-in", sizes[0], 777), *((kind, n, None) for kind in ("stand-in", "elements") for n in sizes)]
    for kind, trials, chunk in cases:
        rows.append(measured_run(kind, trials, chunk))
        print(json.dumps(rows[-1]), flush=True)
    assert rows[0]["hash"] == rows[1]["hash"], "another chunk length gave other tables"
    document = {"workers": WORKERS, "most_mib": MOST_MIB, "load_average": os.getloadavg(), "runs": rows}
    OUT.write_text(json.dumps(document, indent=1) + "\n")
    high = [row for row in rows for part in ("run", "report") if row[part]["sum_mib"] > MOST_MIB]
    if high:
        raise SystemExit(f"more than {MOST_MIB:.0f} MiB: {high}")


if __name__ == "__main__":
    main(sys.argv[1:])
