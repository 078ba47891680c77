"""Year-trials per second and core of two regions x three services x eight pods, and where the time goes.

Side by side in one run: quiet time skipped, the same trials with all of it integrated, and a naive model in SimPy and
NumPy (`naive_year.py`). Before anything is reported, both ways of the simulator must give the same trials: as many
faults and outages, and lost requests that agree as a sum. `played` counts the faults that the control plane saw; all
others were passed over in compiled code (docs/data-plane.md, section 5.1).

    python benchmarks/flagship.py            table; results/benchmarks/flagship.json
"""

import json
import math
import os
import platform
import time
from datetime import UTC, datetime
from pathlib import Path

import numba
import numpy as np
import simpy
from naive_year import naive_year

import sim
from sim.measures import measure_trial
from sim.scenario.load import load_experiment
from sim.scenario.schema import Scenario
from sim.traffic import kernel
from sim.world.log import Kind
from sim.world.trial import Trial

HERE = Path(__file__).resolve().parent
RESULT = HERE.parent / "results" / "benchmarks" / "flagship.json"
FIRST, N_SKIPPED, N_FULL, N_NAIVE = 40, 60, 6, 4
"""Trials before the clock runs (they find what is endured), and trials of each way."""
ROUNDS = 7
"""The same trials so often, skipped and naive in turns: other load on the machine only adds, so the least counts.
What is endured is known from the second round on, as in a run of thousands of years."""


def design(*, quiet: str = "skip", imbalance: float | None = None) -> Scenario:
    """The scenario with mean rates; equal pods if `imbalance` is 0."""
    scenario = load_experiment(HERE / "cases" / "flagship.yaml").scenarios["default"]
    model = scenario.model.model_copy(update={"noise": "never", "quiet": quiet})
    services = scenario.services
    if imbalance is not None:
        services = {n: s.model_copy(update={"imbalance": imbalance}) for n, s in services.items()}
    return scenario.model_copy(update={"model": model, "services": services})


class KernelClock:
    """Time spent in the compiled kernel."""

    def __init__(self) -> None:
        self.spent_s = 0.0
        self._advance = kernel.advance

    def __enter__(self) -> "KernelClock":
        kernel.advance = self._timed
        return self

    def __exit__(self, *_: object) -> None:
        kernel.advance = self._advance

    def _timed(self, *args):
        began = time.process_time()
        found = self._advance(*args)
        self.spent_s += time.process_time() - began
        return found


def trials(scenario: Scenario, numbers: range) -> dict[str, float]:
    """Means per trial, times in CPU milliseconds."""
    build = run = measure = 0.0
    rows = []
    with KernelClock() as clock:
        for number in numbers:
            moments = [time.process_time()]
            trial = Trial(scenario, "flagship", number)
            moments.append(time.process_time())
            record = trial.run()
            moments.append(time.process_time())
            row = measure_trial(record, scenario)["trials"]
            moments.append(time.process_time())
            build, run, measure = (
                spent + later - earlier
                for spent, earlier, later in zip((build, run, measure), moments[:-1], moments[1:], strict=True)
            )
            integrated = [trial.traffic.n_steps, record.n_windows, record.simulated_s / 3600.0]
            played = sum(entry.kind is Kind.FAULT for entry in record.records)
            met = [row["faults"][0], played, row["outages"][0], row["offered"][0] - row["good"][0]]
            rows.append([*integrated, *met])
    n = len(numbers)
    steps, windows, hours, faults, played, outages, lost = np.mean(rows, axis=0)
    return {
        "ms": 1e3 * (build + run + measure) / n,
        "build_ms": 1e3 * build / n,
        "kernel_ms": 1e3 * clock.spent_s / n,
        "control_ms": 1e3 * (run - clock.spent_s) / n,
        "measure_ms": 1e3 * measure / n,
        "steps": float(steps),
        "windows": float(windows),
        "hours_integrated": float(hours),
        "faults": float(faults),
        "played": float(played),
        "outages": float(outages),
        "lost_requests": float(lost),
    }


def main() -> None:
    """Measure, compare and print."""
    load = os.getloadavg()[0]
    skipping, integrating, equal = design(), design(quiet="simulate"), design(imbalance=0.0)
    for scenario in (skipping, equal):
        trials(scenario, range(FIRST))
    trials(integrating, range(1))
    both = range(FIRST, FIRST + N_FULL)
    same = trials(skipping, both), trials(integrating, both)
    assert same[0]["outages"] == same[1]["outages"], same
    assert same[0]["faults"] == same[1]["faults"], same
    assert abs(same[0]["lost_requests"] / same[1]["lost_requests"] - 1.0) < 0.02, same
    numbers = range(FIRST, FIRST + N_SKIPPED)
    naive_ms, rows, equal_rows = math.inf, [], []
    for _ in range(ROUNDS):
        began = time.process_time()
        for seed in range(N_NAIVE):
            naive_year(skipping, seed)
        naive_ms = min(naive_ms, 1e3 * (time.process_time() - began) / N_NAIVE)
        rows.append(trials(skipping, numbers))
        equal_rows.append(trials(equal, numbers))
    found = {
        "rows": {
            "quiet time skipped": min(rows, key=lambda row: row["ms"]),
            "skipped, equal pods": min(equal_rows, key=lambda row: row["ms"]),
            "all of it integrated": same[1],
        },
        "ms_of_rounds": [row["ms"] for row in rows],
        "naive_ms": naive_ms,
        "lost_requests": [same[0]["lost_requests"], same[1]["lost_requests"]],
        "measured_with": {
            "date": datetime.now(UTC).date().isoformat(),
            "simulator": sim.__version__,
            "python": platform.python_version(),
            "numba": numba.__version__,
            "numpy": np.__version__,
            "simpy": simpy.__version__,
            "machine": f"{platform.system()} {platform.machine()}, {os.cpu_count()} cores",
            "load_at_start": round(load, 2),
        },
    }
    RESULT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    for name, row in found["rows"].items():
        print(f"{name:24} {row['ms']:8.1f} ms  {1e3 / row['ms']:6.1f} trials/s", row)
    print(f"naive SimPy and NumPy    {naive_ms:8.1f} ms  {1e3 / naive_ms:6.1f} trials/s")


if __name__ == "__main__":
    main()
