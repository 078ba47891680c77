"""How long it takes to compare six designs over a year until each downtime is known to 10 %.

`regionfall compare experiments/single_vs_multi_region.yaml` as a process of its own, from its start to the report, at
mean rates (`model.noise=never`) with two workers. Beside it some of the same years with single requests where chance
decides (the file's own setting): what a year costs then, and by how much downtime differs on the same histories.

    python -m benchmarks.compare_precision [YEARS]     results/benchmarks/compare_precision.json
"""

import json
import os
import platform
import subprocess
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numba
import numpy as np

import sim
from sim.estimate import paired_difference
from sim.study.run import load_result

ROOT = Path(__file__).resolve().parent.parent
EXPERIMENT = ROOT / "experiments" / "single_vs_multi_region.yaml"
RESULT = ROOT / "results" / "benchmarks" / "compare_precision.json"
MEASURE = "downtime_h_per_year"
WANTED = "10%"
YEARS = 16


def compared(folder: Path, *options: str) -> tuple[float, Any]:
    """Seconds of one command, and what it found."""
    command = [sys.executable, "-m", "sim", "compare", str(EXPERIMENT), "--workers", "2", "--quiet"]
    began = time.perf_counter()
    subprocess.run([*command, *options, "--out", str(folder)], check=True, stdout=subprocess.DEVNULL, cwd=ROOT)
    return time.perf_counter() - began, load_result(folder)


def hours(result: Any, design: str) -> np.ndarray:
    """Hours down of each year of a design."""
    rows = result.tables["trials"]
    return np.asarray(rows["downtime_s"][rows["architecture"] == design]) / 3600.0


def main() -> None:
    """Measure and print."""
    years = int(sys.argv[1]) if len(sys.argv) > 1 else YEARS
    load = os.getloadavg()[0]
    rates = ("--set", "model.noise=never")
    with TemporaryDirectory() as name:
        folder = Path(name)
        compared(folder / "first", *rates, "--trials", "2")  # compiled from here on
        took_s, found = compared(folder / "rates", *rates, "--set", f"precision={{{MEASURE}: {WANTED}}}")
        chance_s, chance = compared(folder / "chance", "--trials", str(years))
        rows = []
        for design, estimates in found.estimates.items():
            one, other = hours(found, design)[:years], hours(chance, design)
            difference = paired_difference(one, other, bounds=(-8760.0, 8760.0))
            estimate = estimates[MEASURE]
            rows.append(
                {
                    "design": design,
                    "years": found.meta["trials_asked"][design],
                    "mean": estimate.mean,
                    "low": estimate.low,
                    "high": estimate.high,
                    "worth": estimate.worth,
                    "less_chance": [difference.mean, difference.low, difference.high],
                }
            )
    document = {
        "wanted": WANTED,
        "seconds": took_s,
        "rows": rows,
        "chance_years": years,
        "chance_seconds_per_year_of_all": chance_s / years,
        "unmet": found.meta["precision_unmet"],
        "measured_with": {
            "simulator": sim.__version__,
            "python": platform.python_version(),
            "numba": numba.__version__,
            "processor": platform.machine(),
            "cores": os.cpu_count(),
            "load_at_start": round(load, 2),
            "date": datetime.now(UTC).date().isoformat(),
        },
    }
    RESULT.write_text(json.dumps(document, indent=1) + "\n", encoding="utf-8")
    print(json.dumps(document, indent=1))


if __name__ == "__main__":
    main()
