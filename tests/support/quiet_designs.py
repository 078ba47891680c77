"""A small architecture of two months with many faults, run with quiet time skipped and integrated."""

from pathlib import Path
from tempfile import TemporaryDirectory

from small_study import SCENARIO

from sim.scenario.load import load_experiment
from sim.scenario.schema import Scenario
from sim.world.log import TOTALS, TrialRecord

BASE = (
    SCENARIO.replace("horizon: 1y", "horizon: 60d")
    .replace("every: {exponential: {mean: 1y}}", "every: {exponential: {mean: 60d}}")
    .replace("every: {exponential: {mean: 30d}}", "every: {exponential: {mean: 8d}}")
    .replace("requests: 36/h", "calendar: office-hours, requests: 400/h")
    .replace("queue: 30", "queue: 30\n    startup: 20s")
    .replace("  region-loss:", "  node-loss: {target: any node, every: {exponential: {mean: 40d}}, effect: down, "
             "repair: {lognormal: {median: 20m, p95: 4h}}}\n"
             "  slow: {target: store in any region, every: {exponential: {mean: 30d}}, effect: {slow: 6}, "
             "repair: {lognormal: {median: 20m, p95: 2h}}}\n  region-loss:")
    .replace("architectures:", "model: {noise: never}\narchitectures:")
)  # fmt: skip


def scenarios(text: str) -> dict[str, Scenario]:
    with TemporaryDirectory() as folder:
        path = Path(folder) / "scenario.yaml"
        path.write_text(text)
        return load_experiment(path).scenarios


def renewed(scenario: Scenario) -> Scenario:
    """The same design, of which no course is known yet."""
    return scenario.model_copy(update={"model": scenario.model.model_copy()})


def simulated(scenario: Scenario) -> Scenario:
    return scenario.model_copy(update={"model": scenario.model.model_copy(update={"quiet": "simulate"})})


def lost(record: TrialRecord) -> float:
    totals = dict(zip(TOTALS, record.totals.sum(axis=0), strict=True))
    return float(totals["offered"] - totals["good"])
