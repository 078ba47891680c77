"""Work and time to a 10 % relative half-width: plain sampling, splitting and failure biasing in the same compiled loop.

Systems of long-run unavailability 1e-5 and 1e-7 (eight units, down with three, failure rates chosen for it), and the
two-group system (two 2-of-3 groups, one repairer each). Plain sampling is run as far as `--plain` events and its work
extrapolated from its measured variance: work = events x (half-width reached / 10 %)^2. Work
is counted in events, retrials and pilots included; times are of one run each, compilation left out.

    python -m benchmarks.rare_events             table; results/benchmarks/rare_events.json
"""

import argparse
import json
import os
import platform
import sys
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numba
import numpy as np
from scipy.optimize import brentq

import sim
from sim.laws import Exponential
from sim.study.rare import Effort, RareEstimate, failure_probability, long_run_unavailability

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))

from rare_models import binomial_unavailability, k_of_n, two_groups, two_groups_exact

RESULT = Path(__file__).resolve().parent.parent / "results" / "benchmarks" / "rare_events.json"
WANTED = 0.1
YEAR_H = 8760.0


def cases() -> list[tuple[str, float, Callable[[str, Effort], RareEstimate], tuple[str, ...]]]:
    """(name, exact value, how to estimate it, methods) of each system."""
    found = []
    for target in (1e-5, 1e-7):
        rate = float(brentq(lambda r, t=target: binomial_unavailability(8, 3, r, 0.2) / t - 1, 1e-6, 0.1))
        machine, gate = k_of_n(8, 3, Exponential(1 / rate), Exponential(5.0))
        found.append(
            (
                f"8 units, down with 3, U = {target:.0e}",
                target,
                lambda method, effort, m=machine, g=gate: long_run_unavailability(m, g, method, effort),
                ("biasing", "splitting"),
            )
        )
    machine, gate = two_groups()
    within, long_run = two_groups_exact()
    found.append(
        (
            "two groups, long run",
            long_run,
            lambda method, effort: long_run_unavailability(machine, gate, method, effort),
            ("biasing", "splitting"),
        )
    )
    found.append(
        (
            "two groups, within 8,760 h",
            within,
            lambda method, effort: failure_probability(machine, gate, YEAR_H, method, effort),
            ("splitting",),
        )
    )
    return found


def row(found: RareEstimate, took_s: float, exact: float) -> dict[str, Any]:
    """One method on one system, and what a half-width of 10 % costs it."""
    estimate = found.estimate
    half = (estimate.high - estimate.low) / 2 / exact
    factor = max(half / WANTED, 0.0) ** 2 if estimate.mean > 0 else float("nan")
    return {
        "method": found.method,
        "mean": estimate.mean,
        "low": estimate.low,
        "high": estimate.high,
        "relative_half_width": half,
        "events": found.n_events,
        "seconds": took_s,
        "events_to_10_percent": found.n_events * factor,
        "seconds_to_10_percent": took_s * factor,
        "factors": list(found.factors),
    }


def timed(make: Callable[[], RareEstimate]) -> tuple[RareEstimate, float]:
    """An estimate and the seconds that it took."""
    began = time.perf_counter()
    found = make()
    return found, time.perf_counter() - began


def measure(plain_events: float) -> dict[str, Any]:
    """Every system by every method."""
    systems = []
    for name, exact, estimate, methods in cases():
        for method in (*methods, "plain"):
            estimate(method, Effort(wanted=0.9, most_events=1e4))  # compiles
        rows = [row(*timed(lambda m=m, e=estimate: e(m, Effort(wanted=WANTED))), exact) for m in methods]
        plain, took_s = timed(lambda e=estimate: e("plain", Effort(wanted=WANTED, most_events=plain_events)))
        rows.append(row(plain, took_s, exact))
        for one in rows:
            one["less_work_than_plain"] = rows[-1]["events_to_10_percent"] / one["events_to_10_percent"]
            one["less_time_than_plain"] = rows[-1]["seconds_to_10_percent"] / one["seconds_to_10_percent"]
            less = (
                f"{one['less_work_than_plain']:.3g} times less work, {one['less_time_than_plain']:.3g} times less time"
            )
            interval = f"{one['mean']:.4g} ({one['low']:.4g} to {one['high']:.4g}, exact {exact:.4g})"
            spent = f"{one['events']:.3g} events, {one['seconds']:.3g} s"
            print(f"{name:30} {one['method']:10} {interval}: {spent}; to 10 % {less}", flush=True)
        systems.append({"system": name, "exact": exact, "rows": rows})
    return {
        "measured_with": {
            "simulator": sim.__version__,
            "python": platform.python_version(),
            "numba": numba.__version__,
            "numpy": np.__version__,
            "processor": platform.machine(),
            "system": platform.system(),
            "load_at_start": round(os.getloadavg()[0], 1),
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
        },
        "wanted": WANTED,
        "systems": systems,
    }


def main(arguments: list[str]) -> None:
    """Measure, print and keep."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--plain", type=float, default=2e7, help="events that plain sampling may cost")
    parser.add_argument("--out", type=Path, default=RESULT)
    given = parser.parse_args(arguments)
    found = measure(given.plain)
    given.out.parent.mkdir(parents=True, exist_ok=True)
    given.out.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1:])
