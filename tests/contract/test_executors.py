"""One contract for everything that can run tasks: this process, processes, threads of the caller, a Dask cluster."""

import json
import os
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import BrokenExecutor, ProcessPoolExecutor, ThreadPoolExecutor
from functools import partial
from multiprocessing import active_children
from pathlib import Path

import pytest
from dask_processes import DaskCluster, dask_cluster
from small_study import always_killed_trial, failing_trial, fake_trial, killed_once_trial, small_experiment

from sim.errors import RunError
from sim.study.cluster import DaskWorkers
from sim.study.dispatch import Dispatcher
from sim.study.tables import merge, table_hash
from sim.study.work import Job, Task, TaskResult
from sim.study.workers import GivenWorkers, InProcess, ProcessWorkers, Workers

TASKS = [Task(name, first, 4) for first in (0, 4, 8) for name in ("single", "double")]


@pytest.fixture(params=["in process", "processes", "threads", "dask"])
def workers(request: pytest.FixtureRequest) -> Iterator[Workers]:
    if request.param == "in process":
        yield InProcess()
    elif request.param == "dask":
        yield DaskWorkers(request.getfixturevalue("cluster").address)
    elif request.param == "processes":
        yield ProcessWorkers(2)
    else:
        with ThreadPoolExecutor(2) as executor:
            yield GivenWorkers(executor, 2)


@pytest.fixture(scope="module")
def cluster() -> Iterator[DaskCluster]:
    with dask_cluster(2) as started:
        yield started


@pytest.fixture
def document(tmp_path: Path) -> str:
    return json.dumps(small_experiment(tmp_path).to_document())


def run_all(document: str, workers: Workers, trial_function=fake_trial, tasks=TASKS) -> list[TaskResult]:
    results: list[TaskResult] = []
    left = iter(tasks)
    with Dispatcher(Job(document, trial_function), workers) as dispatcher:
        dispatcher.run(lambda: next(left, None), results.append)
    return results


class TestExecutor:
    def test_every_task_comes_back_once(self, document: str, workers: Workers):
        results = run_all(document, workers)
        assert sorted(map(repr, (result.task for result in results))) == sorted(map(repr, TASKS))
        assert all(
            sorted(t for tables in result.tables for t in tables["trials"]["trial"]) == list(result.task.trials)
            for result in results
        )

    def test_the_tables_are_those_of_the_trials(self, document: str, workers: Workers, tmp_path: Path):
        experiment = small_experiment(tmp_path)
        expected = [
            fake_trial(experiment.scenarios[name], name, trial)[1]
            for name in ("single", "double")
            for trial in range(12)
        ]
        found = [tables for result in run_all(document, workers) for tables in result.tables]
        names = ["single", "double"]
        assert table_hash(merge(found, names)) == table_hash(merge(expected, names))

    def test_a_trial_that_fails_names_itself(self, document: str, workers: Workers):
        with pytest.raises(
            RunError, match=r"trial 9 of (single|double) \(seed 7\) failed: ArithmeticError: nine is not a number"
        ):
            run_all(document, workers, failing_trial)

    def test_kept_records_come_with_their_trace(self, document: str, workers: Workers):
        (result,) = run_all(document, workers, tasks=[Task("double", 3, 1, keep=True)])
        assert result.records[0].trial == 3
        assert result.records[0].trace is not None

    def test_nothing_to_do_is_done_at_once(self, document: str, workers: Workers):
        assert run_all(document, workers, tasks=[]) == []


def test_a_killed_worker_loses_nothing(document: str, tmp_path: Path):
    results = run_all(document, ProcessWorkers(2), partial(killed_once_trial, marker=str(tmp_path)))
    assert (tmp_path / "killed").exists(), "no worker was killed, so nothing was tested"
    assert sorted(map(repr, (result.task for result in results))) == sorted(map(repr, TASKS))


def test_a_task_that_kills_every_worker_is_given_up(document: str):
    with pytest.raises(RunError, match="lost with their worker 4 times"):
        run_all(document, ProcessWorkers(2), always_killed_trial, tasks=[Task("single", 4, 4)])


def test_a_worker_killed_while_the_parent_is_busy_loses_nothing(document: str):
    """The pool is found broken by the next submission, not by a result."""
    results: list[TaskResult] = []
    left = iter(TASKS)

    def kill_a_worker(result: TaskResult) -> None:
        if not results:
            executor = dispatcher._executor
            assert isinstance(executor, ProcessPoolExecutor)
            os.kill(next(iter(executor._processes)), signal.SIGKILL)
            deadline_s = time.monotonic() + 20
            while not executor._broken and time.monotonic() < deadline_s:
                time.sleep(0.01)
            assert executor._broken
        results.append(result)

    with Dispatcher(Job(document, fake_trial), ProcessWorkers(2)) as dispatcher:
        dispatcher.run(lambda: next(left, None), kill_a_worker)
    assert sorted(map(repr, (result.task for result in results))) == sorted(map(repr, TASKS))


def test_an_executor_that_is_broken_for_good_is_given_up(document: str):
    with ProcessPoolExecutor(1) as executor:
        with pytest.raises(BrokenExecutor):
            executor.submit(os._exit, 1).result()
        with pytest.raises(RunError, match="lost with their worker 4 times"):
            run_all(document, GivenWorkers(executor, 1))


def test_leaving_early_stops_the_workers(document: str):
    """An exception in the parent (a full disk) must not wait for long tasks, nor leave processes behind."""
    workers = ProcessWorkers(2)

    def refuse(_: TaskResult) -> None:
        raise RunError("disk full")

    left = iter(TASKS)
    with pytest.raises(RunError, match="disk full"), Dispatcher(Job(document, fake_trial), workers) as dispatcher:
        dispatcher.run(lambda: next(left, None), refuse)
    assert not active_children()
    assert threading.active_count() < 10
