"""Run many random scenarios in fresh processes with bounds checks, and write down what was found.

    python tests/support/random_run.py 2000 results/validation/random_scenarios.json

A process that hangs or dies is ended and its scenario noted; the next one goes on behind it.
"""

import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path
from typing import Any

LONGEST_S = 120.0
"""A trial that takes longer than this hangs (loading the compiled code counts for the first one)."""
ROOT = Path(__file__).parents[2]


def run_many(n_scenarios: int, path: Path | None = None) -> dict[str, Any]:
    """The first scenarios: what was found, and how long they took; written to `path` every now and then."""
    began_s, rows, result = time.monotonic(), [], {}
    with tempfile.TemporaryDirectory() as folder:
        while len(rows) < n_scenarios:
            out = Path(folder) / f"{len(rows)}.jsonl"
            rows += _until_it_hangs(len(rows), min(len(rows) + 200, n_scenarios), out)
            result = _summary(rows, time.monotonic() - began_s)
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(json.dumps(result, indent=2) + "\n")
    return result


def _summary(rows: list[dict[str, Any]], took_s: float) -> dict[str, Any]:
    found = [row for row in rows if row["found"]]
    timed = sorted((row for row in rows if not row["found"]), key=lambda row: -row["took_s"])
    return {
        "command": f"python tests/support/random_run.py {len(rows)} results/validation/random_scenarios.json",
        "seeds": [0, len(rows) - 1],
        "n_scenarios": len(rows),
        "bounds_checked": True,
        "versions": _versions(),
        "found": found,
        "gears": dict(Counter(row["gear"] for row in timed)),
        "n_with_windows": sum(row["n_windows"] > 0 for row in timed),
        "n_single_requests": sum(row["n_single_requests"] for row in timed),
        "n_steps": sum(row["n_steps"] for row in timed),
        "n_events": sum(row["n_events"] for row in timed),
        "trial_median_s": timed[len(timed) // 2]["took_s"] if timed else None,
        "slowest": timed[:5],
        "took_s": round(took_s, 1),
    }


def _until_it_hangs(first: int, after: int, out: Path) -> list[dict[str, Any]]:
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "support")])
    environment = os.environ | {"NUMBA_BOUNDSCHECK": "1", "PYTHONPATH": paths}
    command = [sys.executable, __file__, "chunk", str(first), str(after), str(out)]
    process = subprocess.Popen(command, env=environment, cwd=ROOT)
    seen, since_s = -1, time.monotonic()
    while process.poll() is None:
        time.sleep(0.5)
        n_rows = out.read_text().count("\n") if out.exists() else 0
        if n_rows != seen:
            seen, since_s = n_rows, time.monotonic()
        # Compiling for the first time takes minutes.
        if time.monotonic() - since_s > (LONGEST_S if seen > 0 else 600.0):
            process.kill()
            process.wait()
    rows = [json.loads(line) for line in out.read_text().splitlines()] if out.exists() else []
    if process.returncode != 0:
        rows.append({"number": first + len(rows), "found": f"hangs or dies: {process.returncode}"})
    return rows


def _versions() -> dict[str, str]:
    from importlib.metadata import version

    names = ("numba", "numpy", "simpy", "pydantic")
    return {"python": platform.python_version()} | {name: version(name) for name in names}


def _chunk(first: int, after: int, out: Path) -> None:
    import warnings

    from random_scenarios import random_scenario, run_checked

    import sim.traffic.request_gear  # noqa: F401  # loaded before anything is timed
    from sim.scenario.check import findings_of

    warnings.simplefilter("error")
    with out.open("w") as file:
        for number in range(first, after):
            began_s = time.monotonic()
            row: dict[str, Any] = {"number": number, "found": ""}
            try:
                scenario = random_scenario(number)
                mistakes = [finding.message for finding in findings_of(scenario) if finding.severity == "error"]
                assert not mistakes, f"not valid: {mistakes}"
                trial = run_checked(scenario)
                row["gear"] = scenario.model.noise
                row["n_steps"], row["n_events"] = trial.traffic.n_steps, len(trial.context.records)
                row["n_single_requests"] = trial.traffic.n_single_requests
                row["n_windows"] = sum(record.kind.value == "gear" for record in trial.context.records)
            except Exception as error:
                row["found"] = f"{type(error).__name__}: {str(error)[:300]}"
            row["took_s"] = round(time.monotonic() - began_s, 3)
            file.write(json.dumps(row) + "\n")
            file.flush()


def main() -> None:
    """See the module."""
    if sys.argv[1] == "chunk":
        _chunk(int(sys.argv[2]), int(sys.argv[3]), Path(sys.argv[4]))
        return
    result = run_many(int(sys.argv[1]), Path(sys.argv[2]))
    print(f"{result['n_scenarios']} scenarios in {result['took_s']} s, {len(result['found'])} with a finding")


if __name__ == "__main__":
    main()
