"""A real Dask scheduler and workers as processes of their own on loopback, for tests that kill some of them."""

import json
import os
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).parents[2]
START_TIMEOUT_S = 60.0


@dataclass
class DaskCluster:
    """Processes of a cluster."""

    address: str
    scheduler: subprocess.Popen[bytes]
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)


def free_port() -> int:
    """A port of loopback that nobody listened on a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def environment(**more: str) -> dict[str, str]:
    """Workers import the package and the stand-ins of the tests; no dashboard, no telemetry."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "tests" / "support")])
    return os.environ | {"PYTHONPATH": paths, "DASK_DISTRIBUTED__DIAGNOSTICS__NVML": "False"} | more


def start_worker(address: str, folder: Path, **more: str) -> subprocess.Popen[bytes]:
    """One worker process without a nanny, so that a kill is a kill."""
    arguments = ["--no-nanny", "--nthreads", "1", "--no-dashboard", "--host", "127.0.0.1", "--local-directory"]
    return subprocess.Popen(
        [sys.executable, "-m", "distributed.cli.dask_worker", address, *arguments, str(folder)],
        env=environment(**more),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )


@contextmanager
def dask_cluster(n_workers: int) -> Iterator[DaskCluster]:
    """Start a scheduler and workers; end them all."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        told = folder / "scheduler.json"
        arguments = ["--host", "127.0.0.1", "--port", str(free_port()), "--no-dashboard", "--scheduler-file", str(told)]
        scheduler = subprocess.Popen(
            [sys.executable, "-m", "distributed.cli.dask_scheduler", *arguments],
            env=environment(),
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        cluster = DaskCluster("", scheduler)
        try:
            deadline_s = time.monotonic() + START_TIMEOUT_S
            while not cluster.address:
                assert scheduler.poll() is None
                assert time.monotonic() < deadline_s, "the scheduler did not start"
                time.sleep(0.05)
                if told.exists() and told.read_text().endswith("}"):
                    cluster.address = json.loads(told.read_text())["address"]
            cluster.workers += [start_worker(cluster.address, folder) for _ in range(n_workers)]
            yield cluster
        finally:
            for process in (*cluster.workers, scheduler):
                process.kill()
                process.wait()
