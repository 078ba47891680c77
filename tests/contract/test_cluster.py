"""A Dask cluster loses time but no result: killed workers, a killed scheduler, workers of another version."""

import json
import signal
import tempfile
from collections.abc import Iterator
from pathlib import Path
from unittest.mock import patch

import pytest
from dask_processes import DaskCluster, dask_cluster, free_port, start_worker
from small_study import fake_trial, slow_trial, small_experiment

from sim.errors import RunError
from sim.study import RunOptions, run_experiment
from sim.study import cluster as cluster_module
from sim.study.cluster import DaskWorkers, difference, identity


@pytest.fixture
def cluster() -> Iterator[DaskCluster]:
    with dask_cluster(2) as started:
        yield started


@pytest.fixture
def expected(tmp_path: Path) -> str:
    return str(
        run_experiment(small_experiment(tmp_path), RunOptions(workers=1), trial_function=fake_trial).meta["table_hash"]
    )


def test_a_killed_worker_costs_time_and_no_result(tmp_path: Path, cluster: DaskCluster, expected: str):
    killed: list[int] = []

    def kill_one(done: int, asked: int, text: str) -> None:
        if done >= 6 and not killed:
            killed.append(done)
            cluster.workers[0].send_signal(signal.SIGKILL)

    options = RunOptions(scheduler=cluster.address, chunk=2, out=tmp_path / "run")
    result = run_experiment(small_experiment(tmp_path), options, progress=kill_one, trial_function=slow_trial)
    assert killed
    assert killed[0] < 48, "killed after the end: nothing was tested"
    assert cluster.workers[0].wait(10) == -signal.SIGKILL
    assert result.meta["table_hash"] == expected


def test_a_killed_scheduler_is_named_and_the_run_continues_elsewhere(
    tmp_path: Path, cluster: DaskCluster, expected: str, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(cluster_module, "CONNECT_TIMEOUT_S", 2.0)

    def kill_it(done: int, asked: int, text: str) -> None:
        if done >= 6:
            cluster.scheduler.kill()

    options = RunOptions(scheduler=cluster.address, chunk=2, out=tmp_path / "run")
    with pytest.raises(RunError, match=r"no Dask scheduler answers at .* give the same command again"):
        run_experiment(small_experiment(tmp_path), options, progress=kill_it, trial_function=slow_trial)
    stored = json.loads((tmp_path / "run" / "run.json").read_text())
    assert stored["stop_reason"] == "failed"
    assert sum(stored["trials_done"].values()) >= 6
    elsewhere = RunOptions(workers=1, chunk=5, out=tmp_path / "run")
    assert (
        run_experiment(small_experiment(tmp_path), elsewhere, trial_function=fake_trial).meta["table_hash"] == expected
    )


def test_no_scheduler_is_named(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(cluster_module, "CONNECT_TIMEOUT_S", 1.0)
    with pytest.raises(RunError, match=r"no Dask scheduler answers at tcp://127.0.0.1"):
        DaskWorkers(f"tcp://127.0.0.1:{free_port()}").start()


def test_workers_of_another_version_are_refused(cluster: DaskCluster):
    other = (("regionfall", "0.0.9"), *identity()[1:])
    with (
        patch.object(cluster_module, "difference", lambda _, theirs: difference(other, theirs)),
        pytest.raises(
            RunError, match=r"worker tcp://.* would give other results: regionfall is .* there and 0.0.9 here"
        ),
    ):
        DaskWorkers(cluster.address).start()


def test_a_worker_of_another_version_that_comes_later_is_refused(cluster: DaskCluster):
    workers = DaskWorkers(cluster.address)
    executor = workers.start()
    executor._ours = (("regionfall", "0.0.9"), *identity()[1:])  # type: ignore[attr-defined]
    with pytest.raises(RunError, match="would give other results: regionfall is"):
        executor.submit(max, 1, 2).result()
    workers.close(executor)


def test_a_worker_that_joins_takes_part(cluster: DaskCluster):
    workers = DaskWorkers(cluster.address)
    executor = workers.start()
    with tempfile.TemporaryDirectory() as folder:
        cluster.workers.append(start_worker(cluster.address, Path(folder)))
        workers._client.wait_for_workers(3, timeout=60)
        workers._counted_at_s = float("-inf")
        assert workers.count == 3
    workers.close(executor)


def test_a_cluster_of_our_own_gives_the_same_tables(tmp_path: Path, expected: str):
    options = RunOptions(executor="dask", workers=2, chunk=5)
    assert run_experiment(small_experiment(tmp_path), options, trial_function=fake_trial).meta["table_hash"] == expected
