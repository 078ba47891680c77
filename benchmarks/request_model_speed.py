"""Requests per second of the request-level network model beside bare hand-written SimPy queues, in one run.

The same M/M/c queue (10 slots, load 0.8) is played by the network model, which keeps a client timer, a deadline,
routing, books and samples for each request, and by two programs that know nothing but the queue: the textbook one (a
process per customer and a `Resource`) and the leanest one (counters and bare timeouts).  CPU time, alternating
repetitions; the ratio is the median, with the smallest and the largest beside it.

Run it as `python benchmarks/request_model_speed.py [--record]`.
"""

from __future__ import annotations

import argparse
import csv
import platform
import random
import statistics
import subprocess
import sys
import time
from collections import deque
from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import simpy
from simpy.events import Timeout

from sim.oracles.network_model import run_requests
from sim.oracles.network_script import Script
from sim.scenario.schema import Nodes, Population, Region, Scenario, Service

SLOTS, RATE_PER_S, WORK_S = 10, 8.0, 1.0
HISTORY = Path(__file__).parent / "history" / "request_model_speed.csv"
LEAST_SHARE = 0.30
"""The model is meant to reach this share of the speed of a bare hand-written queue."""


def textbook(horizon_s: float, seed: int) -> int:
    """Process per customer, `Resource` for the slots; returns the customers served."""
    env = simpy.Environment()
    draw = random.Random(seed)
    slots = simpy.Resource(env, SLOTS)
    served = 0

    def customer() -> Iterator[Any]:
        nonlocal served
        with slots.request() as slot:
            yield slot
            yield env.timeout(draw.expovariate(1.0 / WORK_S))
        served += 1

    def arrivals() -> Iterator[Any]:
        while True:
            yield env.timeout(draw.expovariate(RATE_PER_S))
            env.process(customer())

    env.process(arrivals())
    env.run(until=horizon_s)
    return served


def lean(horizon_s: float, seed: int) -> int:
    """Two bare timeouts per customer and a counter of busy slots; returns the customers served."""
    env = simpy.Environment()
    draw = random.Random(seed).expovariate
    queue: deque[float] = deque()
    busy = served = 0

    def serve() -> None:
        Timeout(env, draw(1.0 / WORK_S)).callbacks.append(done)

    def done(_: Any) -> None:
        nonlocal busy, served
        served += 1
        if queue:
            queue.popleft()
            serve()
        else:
            busy -= 1

    def arrive(_: Any) -> None:
        nonlocal busy
        Timeout(env, draw(RATE_PER_S)).callbacks.append(arrive)
        if busy < SLOTS:
            busy += 1
            serve()
        else:
            queue.append(env.now)

    Timeout(env, draw(RATE_PER_S)).callbacks.append(arrive)
    env.run(until=horizon_s)
    return served


def network(horizon_s: float, seed: int) -> int:
    """The request-level network model; returns the requests that ended good."""
    scenario = Scenario(
        name="speed",
        start=datetime(2026, 1, 1, tzinfo=UTC),
        horizon=horizon_s,
        regions={"r": Region(zones=1, nodes=Nodes(count=1, memory=1e6))},
        services={"s": Service(work=WORK_S, slots=SLOTS, queue=100_000)},
        populations={"u": Population(workers=1.0, requests=RATE_PER_S, journey="s", deadline=60.0, attempts=3)},
        place={"r": {"s": 1}},
    )
    run = run_requests(scenario, rng=np.random.default_rng(seed), script=Script(), settle_s=0.0)
    return run.populations["u"].good


def speed(play: Callable[[float, int], int], horizon_s: float, seed: int) -> float:
    """Requests per CPU second."""
    begin_s = time.process_time()
    n = play(horizon_s, seed)
    return n / (time.process_time() - begin_s)


def main(arguments: list[str] | None = None) -> int:
    """Measure, print, and with `--record` append to the history; 1 if the model is slower than it is meant to be."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--record", action="store_true", help="append to the history")
    parser.add_argument("--requests", type=int, default=80_000, help="requests per repetition")
    parser.add_argument("--repetitions", type=int, default=5)
    given = parser.parse_args(arguments)
    horizon_s = given.requests / RATE_PER_S
    players = {"textbook": textbook, "lean": lean, "network": network}
    for play in players.values():
        play(100.0, 0)  # imports and caches are not measured
    found = {name: [] for name in players}
    for seed in range(given.repetitions):
        for name, play in players.items():
            found[name].append(speed(play, horizon_s, seed))
    print(f"{platform.platform()}, {platform.processor() or platform.machine()}, Python {platform.python_version()}")
    print(f"SimPy {simpy.__version__}, NumPy {np.__version__}; requests per CPU second, median (smallest .. largest)")
    for name, values in found.items():
        print(f"{name:10s} {statistics.median(values):10.0f} ({min(values):.0f} .. {max(values):.0f})")
    ratios = {}
    for name in ("textbook", "lean"):
        each = [ours / theirs for ours, theirs in zip(found["network"], found[name], strict=True)]
        ratios[name] = statistics.median(each)
        print(f"network / {name:8s} {ratios[name]:.2f} ({min(each):.2f} .. {max(each):.2f})")
    if given.record:
        HISTORY.parent.mkdir(exist_ok=True)
        is_new = not HISTORY.exists()
        with HISTORY.open("a", newline="") as stream:
            writer = csv.writer(stream)
            if is_new:
                writer.writerow(["date", "commit", "python", "simpy", "numpy", "machine", "to_textbook", "to_lean"])
            commit = subprocess.run(["git", "rev-parse", "--short", "HEAD"], capture_output=True, text=True, check=True)
            versions = [platform.python_version(), simpy.__version__, np.__version__]
            measured = [f"{ratios['textbook']:.3f}", f"{ratios['lean']:.3f}"]
            writer.writerow([datetime.now(UTC).date(), commit.stdout.strip(), *versions, platform.machine(), *measured])
    return 0 if min(ratios.values()) >= LEAST_SHARE else 1


if __name__ == "__main__":
    sys.exit(main())
