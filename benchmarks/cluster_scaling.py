"""What a cluster of up to 1,000 workers would give: measured costs per task, and a simulation of the dispatcher.

`python benchmarks/cluster_scaling.py` writes results/benchmarks/cluster_scaling.json and the table in docs/cluster.md.
Measured on loopback: bytes of a task and of its result, the time to pack and unpack them, what the parent does with a
result, and Dask's time per task (tasks that do nothing, two workers). Simulated: parent and scheduler as one queue
each, workers that compute for the length of a chunk, two tasks in flight per worker, as the dispatcher keeps them.
"""

import json
import os
import pickle
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import simpy
from quick_trials import QuickTrial, experiment_in

from sim.study.cluster import DaskWorkers
from sim.study.folder import ResultsFolder
from sim.study.recording import FLUSH_BYTES
from sim.study.tables import n_bytes
from sim.study.work import Job, Task, run_task

ROOT = Path(__file__).parents[1]
OUT = ROOT / "results" / "benchmarks" / "cluster_scaling.json"
PAGE = ROOT / "docs" / "cluster.md"
MARK = ("<!-- scaling: begin -->", "<!-- scaling: end -->")
WORKERS = (1, 10, 30, 100, 300, 1000)
CHUNKS_S = (0.1, 1.0, 10.0)
TRIAL_S = 0.05
"""A trial of the whole engine, so that a chunk of one second brings 20 trials."""
N_EMPTY = 1000
ROUNDS = 20


def measured() -> dict[str, float]:
    """Costs in seconds and bytes."""
    with tempfile.TemporaryDirectory() as name:
        experiment = experiment_in(Path(name))
        job = Job(json.dumps(experiment.to_document()), QuickTrial())
        task, n = Task("single", 0, 2000), 2000
        result = run_task(job, task)
        packed_job, packed = pickle.dumps((job, task)), pickle.dumps(result)
        unpack_s = min(_timed(lambda: pickle.loads(packed)) for _ in range(5))  # noqa: S301 - made a line above
        submit_s = min(_timed(lambda: pickle.dumps((job, task))) for _ in range(5))
        identity = {"regionfall": "1", "engine": "1", "architectures": ["single"], "seed": 7, "scenario_hash": "1"}
        store = ResultsFolder(Path(name) / "run", identity)
        n_tasks = max(1, FLUSH_BYTES // n_bytes(result.tables[0]))
        tables = [run_task(job, Task("single", i * n, n)).tables[0] for i in range(n_tasks)]
        store_s = _timed(lambda: store.add(tables))
        store.close()
    return {
        "task_bytes": len(packed_job),
        "result_bytes_per_trial": len(packed) / n,
        "pack_task_s": submit_s,
        "unpack_s_per_trial": unpack_s / n,
        "store_s_per_trial": store_s / (n * n_tasks),
        "dask_s_per_task": dask_s_per_task(),
    }


def _timed(work: Any) -> float:
    started_s = time.perf_counter()
    work()
    return time.perf_counter() - started_s


def dask_s_per_task() -> float:
    """Time per empty task of client and scheduler together, on loopback."""
    workers = DaskWorkers(None, 2)
    executor = workers.start()
    try:
        for future in [executor.submit(abs, -1) for _ in range(50)]:
            future.result()
        started_s = time.perf_counter()
        for future in [executor.submit(abs, -i) for i in range(N_EMPTY)]:
            future.result()
        return (time.perf_counter() - started_s) / N_EMPTY
    finally:
        workers.close(executor)


def efficiency(n_workers: int, chunk_s: float, costs: dict[str, float]) -> float:
    """Share of the workers' time that is spent on trials, in a simulated run of 20 chunks per worker."""
    rng = np.random.default_rng(20261127)
    env = simpy.Environment()
    parent, scheduler = simpy.Resource(env), simpy.Resource(env)
    slots = [simpy.Resource(env) for _ in range(n_workers)]
    trials = chunk_s / TRIAL_S
    parent_s = costs["pack_task_s"] + trials * (costs["unpack_s_per_trial"] + costs["store_s_per_trial"])
    busy_s = 0.0

    def served(by: simpy.Resource, time_s: float) -> Any:
        with by.request() as turn:
            yield turn
            yield env.timeout(time_s)

    def stream(slot: simpy.Resource) -> Any:
        nonlocal busy_s
        for _ in range(ROUNDS // 2):
            yield env.process(served(scheduler, costs["dask_s_per_task"]))
            length_s = chunk_s * rng.uniform(0.7, 1.3)
            yield env.process(served(slot, length_s))
            busy_s += length_s
            yield env.process(served(parent, parent_s))

    for slot in slots:
        for _ in range(2):
            env.process(stream(slot))
    env.run()
    return float(busy_s / (n_workers * env.now))


def main() -> None:
    """Measure, simulate and store; `tools/reference_results.py --documents` writes the table into the page."""
    costs = measured()
    curve = {f"{c:g}": {str(n): efficiency(n, c, costs) for n in WORKERS} for c in CHUNKS_S}
    load = os.getloadavg()
    document = {"measured": costs, "trial_s": TRIAL_S, "efficiency": curve, "load_average": load}
    OUT.write_text(json.dumps(document, indent=1) + "\n")
    print(json.dumps(document, indent=1))


if __name__ == "__main__":
    sys.exit(main())
