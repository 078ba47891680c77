"""Failures and repairs per second of the reliability-only mode, beside three peers on the same 100-component system.

Nine units in series, each of C3, a 1-of-2 pair and a 1-of-3 group whose third member is two in series; each of the 63
basic components fails after 100 (exponential) and is repaired in 1 (fixed); 100 trials of length 1000. Peers: AvailSim4
with its own benchmark files (BM100_system.xlsx, BM_simulation.xlsx), a hand-written SimPy model, and a hand-written
compiled loop. Events are failures and repairs, counted by each; AvailSim4's by the same expectation, because it tells
none. All give the same availability, or nothing is reported.

    python benchmarks/reliability_speed.py --availsim PYTHON   table; results/benchmarks/reliability_speed.json

PYTHON is the interpreter of an environment of its own that has availsim4 (GPL: never installed beside this package).
"""

import argparse
import json
import os
import platform
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

import numba
import numpy as np
import simpy

from sim.reliability.elements import build
from sim.reliability.renewal import run_tapes, tapes_of
from sim.reliability.trials import run_trials
from sim.scenario.quantities import FROM_FILE
from sim.scenario.reliability import ReliabilityScenario

RESULT = Path(__file__).resolve().parent.parent / "results" / "benchmarks" / "reliability_speed.json"
UNITS, TRIALS, HORIZON, MTTF, REPAIR = 9, 100, 1000.0, 100.0, 1.0
BASIC_PER_UNIT = 7
"""C3, two in the pair, two and two in the group."""
ROUNDS = 5
EXPECTED_EVENTS = TRIALS * UNITS * BASIC_PER_UNIT * 2 * HORIZON / (MTTF + REPAIR)


def scenario() -> ReliabilityScenario:
    """The system as a file of elements would have it."""
    law = {"fails": f"{MTTF}h", "repair": {"fixed": f"{REPAIR}h"}}
    elements, systems = {}, {}
    for i in range(UNITS):
        elements |= {f"c3-{i}": law, f"pair-{i}": law | {"count": 2}, f"b3-{i}": law | {"count": 2}}
        elements |= {f"a-{i}": law | {"count": 2}}
        systems |= {f"c1-{i}": {"any": [f"pair-{i}"]}, f"b4-{i}": {"all": [f"a-{i}"]}}
        systems |= {f"c2-{i}": {"any": [f"b3-{i}", f"b4-{i}"]}}
        systems |= {f"unit-{i}": {"all": [f"c1-{i}", f"c2-{i}", f"c3-{i}"]}}
    systems["whole"] = {"all": [f"unit-{i}" for i in range(UNITS)]}
    top = {"name": "100 components", "start": "2026-01-01", "horizon": f"{HORIZON}h", "service": "whole"}
    return ReliabilityScenario.model_validate(top | {"elements": elements, "systems": systems}, context=FROM_FILE)


def unit_is_up(up: Any) -> Any:
    """C3, pair, pair, b3, b3, a, a -> whether the unit is up."""
    return up[0] and (up[1] or up[2]) and (up[3] or up[4] or (up[5] and up[6]))


def simpy_run(seed: int) -> tuple[float, int]:
    """The hand-written SimPy model: a process per component, the structure looked at after each event."""
    generator = np.random.default_rng(seed)
    down = 0.0
    events = 0
    for _ in range(TRIALS):
        env = simpy.Environment()
        up = [[True] * BASIC_PER_UNIT for _ in range(UNITS)]
        is_up = [True] * UNITS
        since: list[float] = []

        def changed(i: int, env: Any = env, up: Any = up, is_up: Any = is_up, since: Any = since) -> None:
            nonlocal down
            was = all(is_up)
            is_up[i] = unit_is_up(up[i])
            now = all(is_up)
            if was and not now:
                since.append(env.now)
            elif now and not was:
                down += env.now - since.pop()

        def component(i: int, k: int, env: Any = env, up: Any = up, changed: Any = changed) -> Any:
            nonlocal events
            while True:
                yield env.timeout(generator.exponential(MTTF))
                up[i][k] = False
                events += 1
                changed(i)
                yield env.timeout(REPAIR)
                up[i][k] = True
                events += 1
                changed(i)

        for i in range(UNITS):
            for k in range(BASIC_PER_UNIT):
                env.process(component(i, k))
        env.run(until=HORIZON)
        down += sum(HORIZON - begun for begun in since)
    return 1.0 - down / TRIALS / HORIZON, events


@numba.njit  # type: ignore[untyped-decorator]
def compiled_run(seed: int, trials: int) -> tuple[float, int]:
    """The hand-written compiled loop: looks at all 63 clocks for the next, NumPy generator, this structure only."""
    np.random.seed(seed)
    n, down, events = UNITS * BASIC_PER_UNIT, 0.0, 0
    due, up = np.empty(n), np.empty(n, dtype=np.bool_)
    for _ in range(trials):
        for c in range(n):
            due[c], up[c] = np.random.exponential(MTTF), True
        since = -1.0
        while True:
            c = np.argmin(due)
            now = due[c]
            if now > HORIZON:
                break
            events += 1
            up[c] = not up[c]
            due[c] = now + (np.random.exponential(MTTF) if up[c] else REPAIR)
            is_up = True
            for i in range(UNITS):
                u = up[i * BASIC_PER_UNIT : (i + 1) * BASIC_PER_UNIT]
                if not (u[0] and (u[1] or u[2]) and (u[3] or u[4] or (u[5] and u[6]))):
                    is_up = False
                    break
            if not is_up and since < 0.0:
                since = now
            elif is_up and since >= 0.0:
                down += now - since
                since = -1.0
        if since >= 0.0:
            down += HORIZON - since
    return 1.0 - down / trials / HORIZON, events


AVAILSIM = """
import sys, time, pathlib, tempfile
import availsim4core
from availsim4core import main
root = pathlib.Path(availsim4core.__file__).parent / "test/E2E/input/benchmark"
begun = time.perf_counter()
with tempfile.TemporaryDirectory() as folder:
    results = main.start(str(root / "BM_simulation.xlsx"), str(root / "BM100_system.xlsx"), folder)
print("TOOK", time.perf_counter() - begun)
"""


def availsim_s(python: str) -> tuple[float, str]:
    """Seconds that AvailSim4 takes for its own benchmark, files read and results written, and its version."""
    with tempfile.TemporaryDirectory() as folder:
        run = subprocess.run([python, "-c", AVAILSIM], capture_output=True, text=True, cwd=folder, check=False)
    took = [line for line in run.stdout.splitlines() if line.startswith("TOOK")]
    if not took:
        raise SystemExit(f"AvailSim4 did not run: {run.stderr[-2000:]}")
    ask = "import importlib.metadata as m; print(m.version('availsim4'))"
    version = subprocess.run([python, "-c", ask], capture_output=True, text=True, check=True).stdout.strip()
    return float(took[0].split()[1]), version


def timed(run: Callable[[], tuple[float, int]]) -> tuple[float, float, float]:
    """(events per second, availability, seconds) of one call."""
    begun_s = time.perf_counter()
    availability, events = run()
    took_s = time.perf_counter() - begun_s
    return events / took_s, availability, took_s


def measured(python: str | None) -> dict[str, Any]:
    """All of it, one after the other in each round."""
    built = build(of := scenario())
    model, n_labels = built.machine.compile(), len(built.machine.names.labels)
    tapes = tapes_of(of, built, model)

    def mode(seed: int, runner: Any, what: Any) -> tuple[float, int]:
        found = runner(what, np.arange(seed * TRIALS, (seed + 1) * TRIALS), of.horizon, n_labels)
        return float(found.rewards[:, 0].mean() / of.horizon), found.n_events

    runs: dict[str, Callable[[int], tuple[float, int]]] = {
        "tapes": lambda seed: mode(seed, run_tapes, tapes),
        "machine": lambda seed: mode(seed, run_trials, model),
        "compiled loop": lambda seed: compiled_run(seed, TRIALS),
        "SimPy": simpy_run,
    }
    for run in runs.values():
        run(0)  # compiles
    found = [{name: timed(lambda run=run, k=k: run(k)) for name, run in runs.items()} for k in range(1, ROUNDS + 1)]
    rates = {name: median(row[name][0] for row in found) for name in runs}
    availability = {name: float(np.mean([row[name][1] for row in found])) for name in runs}
    assert max(availability.values()) - min(availability.values()) < 2e-3, availability
    result: dict[str, Any] = {"events_per_s": rates, "availability": availability}
    if python:
        took_s, version = availsim_s(python)
        result["events_per_s"]["AvailSim4"] = EXPECTED_EVENTS / took_s
        result["availsim4"] = {"version": version, "took_s": took_s}
    tape = rates["tapes"]
    result["ratio_of_tapes_to"] = {
        name: tape / rate for name, rate in result["events_per_s"].items() if name != "tapes"
    }
    return result


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--availsim", help="Python interpreter of an environment that has availsim4")
    found = measured(parser.parse_args().availsim)
    found["when"] = datetime.now(UTC).isoformat(timespec="seconds")
    found["machine"] = {"cpu": platform.processor() or platform.machine(), "cores": os.cpu_count()}
    found["load_average"] = os.getloadavg()[0]
    found["versions"] = {
        "python": sys.version.split()[0],
        "numba": numba.__version__,
        "numpy": np.__version__,
        "simpy": simpy.__version__,
    }
    for name, rate in found["events_per_s"].items():
        ratio = found["ratio_of_tapes_to"].get(name)
        print(f"{name:15} {rate:14,.0f} events/s" + (f"   tapes are {ratio:,.2f} x as fast" if ratio else ""))
    RESULT.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
