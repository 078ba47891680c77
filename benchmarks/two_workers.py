"""How much faster two workers are than one: the same runs of the engine, in turns, on one machine.

`python benchmarks/two_workers.py [ROUNDS]` writes results/benchmarks/two_workers.json. `one design` is the main case;
`several designs` have few trials each, so that what a worker prepares per design counts. Trials are as many as take one
worker about `TARGET_S`. One worker is a pool of one process too, so that the ratio compares workers and not ways of
calling. Other load on the machine makes two workers look worse; the load average before and after stands beside each.
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
WANTED_RATIO = 1.8
TARGET_S = 40.0
PROBE_TRIALS = 8
SEVERAL = "model: {noise: never}\narchitectures:\n" + "".join(
    f"  queue-{n}: {{set: {{services.irm.queue: {n}}}}}\n" for n in range(16, 22)
)
CASES = {
    "one design": ROOT / "experiments" / "single_vs_multi_region.yaml",
    "several designs": ROOT / "benchmarks" / "cases" / "flagship.yaml",
}


def timed(case: str, n_workers: int, trials: int) -> tuple[float, str]:
    """Seconds of one run with results on disk, and the hash of its tables."""
    with tempfile.TemporaryDirectory() as name:
        file = Path(name) / "case.yaml"
        file.write_text(CASES[case].read_text(encoding="utf-8") + (SEVERAL if case == "several designs" else ""))
        experiment = load_experiment(file)
        names = list(experiment.scenarios)[: 1 if case == "one design" else None]
        options = RunOptions(trials=trials, out=Path(name) / "run", architectures=tuple(names), keep=False)
        started_s = time.perf_counter()
        result = run_experiment(experiment, options, workers=ProcessWorkers(n_workers))
        return time.perf_counter() - started_s, str(result.meta["table_hash"])


def measured(case: str, rounds: int) -> dict[str, object]:
    """One and two workers in turns."""
    timed(case, 2, 1)  # compiled code is cached from here on
    few_s, more_s = timed(case, 1, PROBE_TRIALS)[0], timed(case, 1, 5 * PROBE_TRIALS)[0]
    trials = round(TARGET_S / max((more_s - few_s) / (4 * PROBE_TRIALS), 1e-3))
    trials = min(max(trials, 2 * PROBE_TRIALS), 2000)
    rows = []
    for _ in range(rounds):
        before = os.getloadavg()[0]
        (one_s, hash_1), (two_s, hash_2) = timed(case, 1, trials), timed(case, 2, trials)
        assert hash_1 == hash_2
        rows.append({"one_s": one_s, "two_s": two_s, "ratio": one_s / two_s, "load": [before, os.getloadavg()[0]]})
        print(case, rows[-1], flush=True)
    ratio = statistics.median(row["one_s"] / row["two_s"] for row in rows)
    print(f"{case}: two workers are {ratio:.2f} x one (wanted {WANTED_RATIO})")
    return {"trials": trials, "rounds": rows, "ratio": ratio}


def main(arguments: list[str]) -> None:
    """Measure, compare, store."""
    rounds = int(arguments[0]) if arguments else 3
    cases = {case: measured(case, rounds) for case in CASES}
    OUT.write_text(json.dumps({"cores": os.cpu_count(), "wanted": WANTED_RATIO, "cases": cases}, indent=1) + "\n")


if __name__ == "__main__":
    main(sys.argv[1:])
