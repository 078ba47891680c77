"""A small experiment and a stand-in for the engine, importable by worker processes.

The stand-in draws each trial from a hash of (seed, architecture, trial), so its tables are as reproducible as the
engine's, in microseconds. Variants of it kill their process, fail, or take time.
"""

import hashlib
import os
import signal
import sys
import time
from datetime import UTC, datetime
from pathlib import Path

import numpy as np

from sim.measures.tables import COLUMNS
from sim.scenario.document import Experiment
from sim.scenario.load import load_experiment
from sim.scenario.schema import Scenario
from sim.study.tables import Tables
from sim.world.log import TOTALS, Kind, Record, Trace, TrialRecord

SCENARIO = """\
name: small study
start: 2026-01-01
horizon: 1y
seed: 7
trials: 24
regions:
  north: {zones: 3, nodes: {count: 3, memory: 16Gi}}
  south: {zones: 3, nodes: {count: 3, memory: 16Gi}}
services:
  web:
    work: 100ms
    slots: 10
    queue: 30
    memory: {base: 200Mi, per_request: 10Mi, limit: 1Gi}
    calls: {store: {timeout: 1s, attempts: 2}}
  store:
    work: 50ms
    slots: 20
    queue: 80
    memory: {base: 200Mi, per_request: 10Mi, limit: 1Gi}
populations:
  people: {workers: 1000, requests: 36/h, journey: web, deadline: 5s, attempts: 3, cost: 60 EUR/h, dependence: 50%}
faults:
  pod-crash: {target: any pod, every: {exponential: {mean: 30d}}, effect: down, repair: restart}
  region-loss: {target: any region, every: {exponential: {mean: 1y}}, effect: down, repair: {fixed: 2h}}
objectives:
  availability: {target: 99.9%}
  rto: {region: 15m}
  sla: {credits: {below 99.9%: 10%}, fee: 1000 EUR/month}
costs: {node: 1 EUR/h}
architectures:
  single:
    place: {north: {web: 3, store: 3}}
  double:
    place: {north: {web: 3, store: 3}, south: {web: 3, store: 3}}
    failover: {policy: active-active}
"""


def write_scenario(folder: Path, text: str = SCENARIO) -> Path:
    """The scenario as a file."""
    path = folder / "small.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def small_experiment(folder: Path) -> Experiment:
    """The experiment, loaded from a file in `folder`."""
    return load_experiment(write_scenario(folder))


def drawn(scenario: Scenario, architecture: str, trial: int) -> np.random.Generator:
    """A generator for one trial."""
    key = hashlib.sha256(f"{scenario.seed}/{architecture}/{trial}".encode()).digest()
    return np.random.default_rng(int.from_bytes(key[:8], "little"))


def fake_trial(scenario: Scenario, architecture: str, trial: int, *, keep: bool = False) -> tuple[TrialRecord, Tables]:
    """A trial with 0 to 3 outages of random length."""
    draws = drawn(scenario, architecture, trial)
    n_outages = int(draws.integers(0, 4))
    starts = np.sort(draws.uniform(0, 0.9 * scenario.horizon, n_outages))
    lengths = draws.exponential(3600.0, n_outages)
    record = _record(scenario, architecture, trial, starts, lengths, keep=keep)
    rows = {
        "trials": [_trial_row(scenario, n_outages, lengths)],
        "outages": [
            _outage_row(i, start, length) for i, (start, length) in enumerate(zip(starts, lengths, strict=True))
        ],
        "disturbances": [{"disturbance": i, "faults": "region-loss"} for i in range(n_outages)],
        "months": [{"month": m, "population": "people", "met": int(m > n_outages)} for m in range(12)],
        "fault_kinds": [{"fault": name, "occurrences": n_outages, "cascades": 0.0} for name in scenario.faults],
        "downtime_shares": [
            {"grouping": grouping, "name": name, "downtime_s": float(lengths.sum())}
            for grouping, name in CAUSES.items()
            if n_outages
        ],
        "sequences": [_sequence_row(starts, lengths)] if n_outages else [],
    }
    return record, {name: _table(name, found, architecture, trial) for name, found in rows.items()}


def slow_trial(scenario: Scenario, architecture: str, trial: int, *, keep: bool = False) -> tuple[TrialRecord, Tables]:
    """The same trial, 50 ms later."""
    time.sleep(0.05)
    return fake_trial(scenario, architecture, trial, keep=keep)


def killed_once_trial(
    scenario: Scenario, architecture: str, trial: int, *, keep: bool = False, marker: str
) -> tuple[TrialRecord, Tables]:
    """The same trial, but the first process that meets trial 5 is killed like one that ran out of memory."""
    if trial == 5 and first_time(Path(marker) / "killed"):
        os.kill(os.getpid(), signal.SIGKILL)
    return fake_trial(scenario, architecture, trial, keep=keep)


def always_killed_trial(
    scenario: Scenario, architecture: str, trial: int, *, keep: bool = False
) -> tuple[TrialRecord, Tables]:
    """Every process that meets trial 5 is killed."""
    if trial == 5:
        os.kill(os.getpid(), signal.SIGKILL)
    return fake_trial(scenario, architecture, trial, keep=keep)


def failing_trial(
    scenario: Scenario, architecture: str, trial: int, *, keep: bool = False
) -> tuple[TrialRecord, Tables]:
    """Trial 9 fails."""
    if trial == 9:
        raise ArithmeticError("nine is not a number")
    return fake_trial(scenario, architecture, trial, keep=keep)


def first_time(marker: Path) -> bool:
    """Whether nobody has made this file before, in any process."""
    try:
        marker.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def _table(name: str, rows: list[dict[str, object]], architecture: str, trial: int) -> dict[str, np.ndarray]:
    key: dict[str, object] = {"architecture": architecture, "trial": trial}
    empty = {object: "", np.int64: 0, np.float64: float("nan")}
    return {
        column: np.array([(key | row).get(column, empty[kind]) for row in rows], dtype=kind)
        for column, kind in COLUMNS[name].items()
    }


CAUSES = {"fault": "region-loss", "element": "north", "level": "region", "cause": "independent faults"}


def _sequence_row(starts: np.ndarray, lengths: np.ndarray) -> dict[str, object]:
    return {
        "sequence": "region-loss in north -> web fails in north",
        "steps": 2,
        "outages": len(starts),
        "downtime_s": float(lengths.sum()),
        "lost_hours": 500.0 * float(lengths.sum()) / 3600.0,
        "example_population": "people",
        "example_start_s": float(starts[0]),
        "example_end_s": float(starts[0] + lengths[0]),
        "example_records": 4,
        "example_faults": "region-loss#1@north",
    }


def _trial_row(scenario: Scenario, n_outages: int, lengths: np.ndarray) -> dict[str, object]:
    down_s = float(lengths.sum())
    lost_hours = 500.0 * down_s / 3600.0
    infrastructure = 8760.0 * sum(scenario.regions[region].nodes.count for region in scenario.place)
    return {
        "horizon_s": scenario.horizon,
        "offered": 1e6,
        "good": 1e6 * (1 - down_s / scenario.horizon),
        "availability_time": 1 - down_s / scenario.horizon,
        "availability_requests": 1 - down_s / scenario.horizon,
        "downtime_s": down_s,
        "outages": n_outages,
        "faults": n_outages + 5,
        "lost_hours": lost_hours,
        "productivity_cost": 60.0 * lost_hours,
        "sla_credit": 100.0 * n_outages,
        "infrastructure_cost": infrastructure,
        "total_cost": 60.0 * lost_hours + 100.0 * n_outages + infrastructure,
        "months": 12,
        "months_met": 12 - n_outages,
        "rto_checked": n_outages,
        "rto_met": min(n_outages, 1),
        "common_cause_downtime_s": down_s / 2,
    }


def _outage_row(number: int, start_s: float, length_s: float) -> dict[str, object]:
    return {
        "outage": number,
        "population": "people",
        "start_s": start_s,
        "detected_s": start_s + 60,
        "end_s": start_s + length_s,
        "duration_s": length_s,
        "cause": "region-loss",
        "cause_level": "region",
        "detection_s": 60.0,
    }


def _record(
    scenario: Scenario, architecture: str, trial: int, starts: np.ndarray, lengths: np.ndarray, *, keep: bool
) -> TrialRecord:
    records = []
    for start, length in zip(starts, lengths, strict=True):
        records.append(
            Record(float(start), Kind.FAULT, region="north", fault="region-loss#0@north", hits=("north/web",))
        )
        records.append(
            Record(float(start), Kind.SLI_BELOW, population="people", totals=(1.0, 0.5, 2.0, 0.1, 0.0, 0.0, 0.5))
        )
        records.append(Record(float(start), Kind.OOM_KILL, region="north", service="web", pod="north/web/0"))
        records.append(Record(float(start) + 5, Kind.OOM_KILL, region="north", service="web", pod="north/web/1"))
        records.append(Record(float(start + length), Kind.REPAIR, region="north", fault="region-loss#0@north"))
    pools = tuple(f"{r}/{s}" for r, services in scenario.place.items() for s in services)
    curve = np.linspace(0.0, 1.0, 5)
    trace = Trace(
        at_s=np.linspace(0, scenario.horizon, 5),
        **{name: np.column_stack([curve]) for name in ("demand_per_s", "success", "attempts_per_s")},
        **{
            name: np.column_stack([curve + i for i in range(len(pools))])
            for name in ("ready", "in_flight", "memory_mib", "memory_limit_mib", "served_share")
        },
    )
    return TrialRecord(
        architecture=architecture,
        trial=trial,
        seed=scenario.seed,
        start=datetime(2026, 1, 1, tzinfo=UTC),
        horizon_s=scenario.horizon,
        populations=("people",),
        pools=pools,
        records=sorted(records, key=lambda record: record.at_s),
        totals=np.ones((1, len(TOTALS))),
        node_hours={"north": 8760.0},
        pod_hours={"web": 3 * 8760.0},
        trace=trace if keep else None,
    )


def main(arguments: list[str]) -> None:
    """`python small_study.py ENGINE FILE OUT WORKERS CHUNK [TRIALS]`: run, print the hash of the tables.

    Every result is stored at once, so that there is something to kill a run in the middle of.
    """
    import sim.study.recording as study_recording
    from sim.study import RunOptions, run_experiment
    from sim.study.work import engine_trial

    study_recording.FLUSH_INTERVAL_S = 0.0

    engine, file, out, workers, chunk, *trials = arguments
    function = {"fake": fake_trial, "slow": slow_trial, "real": engine_trial}[engine]
    options = RunOptions(
        trials=int(trials[0]) if trials else None, workers=int(workers), chunk=int(chunk), out=Path(out)
    )
    print(run_experiment(load_experiment(file), options, trial_function=function).meta["table_hash"])


if __name__ == "__main__":
    import small_study  # worker processes know the functions by this name

    small_study.main(sys.argv[1:])
