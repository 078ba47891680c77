"""How much faster two workers are than one: the same run of the engine, in turns, on one machine.

`python benchmarks/two_workers.py [TRIALS] [ROUNDS]` writes results/benchmarks/two_workers.json. One worker is a pool of
one process too, so that the ratio compares workers and not ways of calling. Other load on the machine makes two
workers look worse; the load average before and after each run stands beside it.
"""

import json
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from sim.scenario.load import load_experiment
from sim.study import RunOptions, run_experiment
from sim.study.workers import ProcessWorkers

ROOT = Path(__file__).parents[1]
OUT = ROOT / "results" / "benchmarks" / "two_workers.json"
SCENARIO = ROOT / "experiments" / "single_vs_multi_region.yaml"
WANTED_RATIO = 1.8


def timed(n_workers: int, trials: int) -> tuple[float, str]:
    """Seconds of one run with results on disk, and the hash of its tables."""
    experiment = load_experiment(SCENARIO)
    with tempfile.TemporaryDirectory() as name:
        options = RunOptions(trials=trials, out=Path(name) / "run", architectures=(next(iter(experiment.scenarios)),))
        started_s = time.perf_counter()
        result = run_experiment(experiment, options, workers=ProcessWorkers(n_workers))
        return time.perf_counter() - started_s, str(result.meta["table_hash"])


def main(arguments: list[str]) -> None:
    """Measure, compare, store."""
    trials, rounds = [*map(int, arguments), *(200, 3)[len(arguments) :]]
    timed(2, 4)  # compiled code is cached from here on
    rows = []
    for _ in range(rounds):
        before = os.getloadavg()[0]
        (one_s, hash_1), (two_s, hash_2) = timed(1, trials), timed(2, trials)
        assert hash_1 == hash_2
        rows.append({"one_s": one_s, "two_s": two_s, "ratio": one_s / two_s, "load": [before, os.getloadavg()[0]]})
        print(rows[-1], flush=True)
    ratio = statistics.median(row["one_s"] / row["two_s"] for row in rows)
    document = {"trials": trials, "cores": os.cpu_count(), "rounds": rows, "ratio": ratio, "wanted": WANTED_RATIO}
    OUT.write_text(json.dumps(document, indent=1) + "\n")
    print(f"two workers are {ratio:.2f} x one (wanted {WANTED_RATIO})")


if __name__ == "__main__":
    main(sys.argv[1:])
