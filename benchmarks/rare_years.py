"""Trials that years of designs with traffic take by strata and as they come, and how often the intervals hold.

The designs of `single_vs_multi_region.yaml` at mean rates, and a region that is lost once in twenty years, whose exact
downtime a two-state chain gives: strata to 10 % (20 %) of the expected downtime; the same number of trials as they
come beside it, and how many of those it would take (half-width squared). Coverage: the whole procedure, pilot to stop,
on trials that lose what their tape says at once, against the exact mean.

    python -m benchmarks.rare_years              table; results/benchmarks/rare_years.json
    python -m benchmarks.rare_years --quick      a few designs and repetitions only, nothing written
"""

import argparse
import json
import os
import platform
import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numba
import numpy as np

import sim
from sim.scenario.document import Experiment
from sim.scenario.load import load_experiment
from sim.study.options import RunOptions
from sim.study.rare_years import MEASURE, YearsEffort, rare_years
from sim.study.run import run_experiment

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests" / "support"))

from years_models import RARE_REGION, TapeTrial, exact_downtime_h

ROOT = Path(__file__).resolve().parent.parent
RESULT = ROOT / "results" / "benchmarks" / "rare_years.json"
CRASHES = "  pod-crash: {target: any pod, every: {exponential: {mean: 60d}}, effect: down, repair: restart}\n"
REPETITIONS = 400


def designs(*, quick: bool) -> list[dict[str, Any]]:
    """Designs of the experiment together, as `regionfall rare` takes them; then each as trials come."""
    path = ROOT / "experiments" / "single_vs_multi_region.yaml"
    experiment = load_experiment([path], sets=("model.noise=never",))
    names = ("single",) if quick else tuple(experiment.scenarios)
    return _rows(experiment, names, YearsEffort(wanted=0.1, most_trials=3000))


def region(folder: Path) -> list[dict[str, Any]]:
    """A region that is lost once in twenty years."""
    path = folder / "rare_region.yaml"
    path.write_text(RARE_REGION.replace("place:", CRASHES + "place:"))
    return _rows(load_experiment([path]), (), YearsEffort(wanted=0.2, most_trials=3000))


def _rows(experiment: Experiment, names: tuple[str, ...], effort: YearsEffort) -> list[dict[str, Any]]:
    began = time.perf_counter()
    found = rare_years(experiment, effort, RunOptions(architectures=names))
    took_s = time.perf_counter() - began
    rows = []
    for name, mine in found.designs.items():
        n = sum(mine.drawn.values())
        began = time.perf_counter()
        plain = run_experiment(experiment, RunOptions(architectures=(name,), trials=n, keep=False))
        plain_s = time.perf_counter() - began
        by_strata, as_they_come = mine.estimates[MEASURE], plain.estimates[name][MEASURE]
        wide = _half(as_they_come) / as_they_come.mean if as_they_come.mean > 0 else float("inf")
        rows.append(
            {
                "design": f"{experiment.name}: {name}",
                "wanted": effort.wanted,
                "trials": n,
                "pilot": found.n_pilot,
                "mean": by_strata.mean,
                "low": by_strata.low,
                "high": by_strata.high,
                "seconds_of_all_designs": took_s,
                "plain": [as_they_come.mean, as_they_come.low, as_they_come.high],
                "plain_seconds": plain_s,
                "plain_trials_to_wanted": n * (wide / effort.wanted) ** 2 if wide < float("inf") else None,
                "worth": mine.worth,
            }
        )
    return rows


def _half(estimate: Any) -> float:
    return max(estimate.high - estimate.mean, estimate.mean - estimate.low)


def coverage(folder: Path, repetitions: int) -> list[dict[str, Any]]:
    """How often the interval holds the exact mean when sampling stops by itself, and what Student's t would hold."""
    path = folder / "coverage.yaml"
    path.write_text(RARE_REGION)
    experiment = load_experiment([path])
    scenario = experiment.scenarios["default"]
    truth, rows = exact_downtime_h(), []
    for heavy in (False, True):
        held, below, means, trials = 0, 0, [], []
        for seed in range(repetitions):
            seeded = Experiment(experiment.name, {"default": scenario.model_copy(update={"seed": 1000 + seed})})
            effort, options = YearsEffort(wanted=0.25, most_trials=600), RunOptions(workers=1)
            mine = rare_years(seeded, effort, options, trial_function=TapeTrial(heavy)).designs["default"]
            estimate = mine.estimates[MEASURE]
            held += estimate.low <= truth <= estimate.high
            below += estimate.high < truth
            means.append(estimate.mean)
            trials.append(sum(mine.drawn.values()))
        error = float(np.std(means, ddof=1)) / repetitions**0.5
        rows.append(
            {
                "loss": "hours down times a lognormal factor (log-sd 1)" if heavy else "hours down",
                "repetitions": repetitions,
                "exact": truth,
                "mean": float(np.mean(means)),
                "standard_error": error,
                "coverage": held / repetitions,
                "below": below / repetitions,
                "trials": float(np.mean(trials)),
            }
        )
    return rows


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true")
    quick = parser.parse_args().quick
    load = os.getloadavg()[0]
    with TemporaryDirectory() as folder:
        found = {
            "coverage": coverage(Path(folder), 20 if quick else REPETITIONS),
            "designs": region(Path(folder)) + designs(quick=quick),
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
    print(json.dumps(found, indent=1))
    if not quick:
        RESULT.write_text(json.dumps(found, indent=1) + "\n")


if __name__ == "__main__":
    main()
