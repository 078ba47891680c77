"""Every open trial is handed out exactly once, in tasks of one architecture."""

from collections import deque

import pytest

from sim.study.schedule import MOST_TRIALS_PER_TASK, TASK_TARGET_BYTES, Schedule
from sim.study.work import Task


def drain(schedule: Schedule, took_s: float = 0.01) -> list[Task]:
    tasks = []
    while (task := schedule.next_task()) is not None:
        schedule.learn(task, took_s)
        tasks.append(task)
    return tasks


@pytest.mark.parametrize("chunk", [None, 1, 3, 1000])
def test_hands_out_exactly_what_is_not_done(chunk: int | None):
    done = {"a": [(0, 1), (5, 5)], "b": [(0, 9)]}
    tasks = drain(Schedule(dict.fromkeys("abc", 10), done=done, chunk=chunk))
    handed = sorted((task.architecture, trial) for task in tasks for trial in task.trials)
    assert handed == [("a", t) for t in (2, 3, 4, 6, 7, 8, 9)] + [("c", t) for t in range(10)]


def test_the_architecture_that_lags_behind_comes_next():
    order = [(task.architecture, task.first) for task in drain(Schedule(dict.fromkeys("ab", 4), done={}, chunk=2))]
    assert order == [("a", 0), ("b", 0), ("a", 2), ("b", 2)]


def test_tasks_grow_to_about_a_second():
    schedule = Schedule({"a": 1000}, done={}, chunk=None)
    first = schedule.next_task()
    assert first == Task("a", 0, 1)
    schedule.learn(first, took_s=0.02)
    assert schedule.next_task() == Task("a", 1, 50)


def test_a_task_of_quick_trials_grows_to_a_second_too():
    schedule = Schedule({"a": 10_000_000}, done={}, chunk=None)
    schedule.learn(Task("a", 0, 100), took_s=3e-4)  # 3 us a trial
    task = schedule.next_task()
    assert task is not None
    assert task.count == 333_333


def test_a_task_of_instant_trials_is_still_bounded():
    schedule = Schedule({"a": 10_000_000}, done={}, chunk=None)
    schedule.learn(Task("a", 0, 100), took_s=0.0)
    task = schedule.next_task()
    assert task is not None
    assert task.count == MOST_TRIALS_PER_TASK
    assert schedule.n_open == 10_000_000 - MOST_TRIALS_PER_TASK


def test_a_task_brings_back_a_bounded_number_of_bytes():
    schedule = Schedule({"a": 10_000_000}, done={}, chunk=None)
    schedule.learn(Task("a", 0, 100), took_s=1e-4, n_bytes=100 * 2048)
    task = schedule.next_task()
    assert task is not None
    assert task.count == TASK_TARGET_BYTES // 2048


def late_s(n_trials: int, n_workers: int, *, told: bool) -> tuple[float, int]:
    """How much later than all together could end the last of some workers does, and how many tasks there were.

    As many tasks wait as there are workers; trials of the designs take 20, 30 and 40 ms.
    """
    trial_s, count = {"a": 0.02, "b": 0.03, "c": 0.04}, n_workers if told else 1
    schedule = Schedule(dict.fromkeys(trial_s, n_trials), done={}, chunk=None, n_workers=lambda: count)
    free_s, waiting, n_tasks = [0.0] * n_workers, deque[Task](), 0
    while True:
        while len(waiting) <= n_workers and (task := schedule.next_task()) is not None:
            waiting.append(task)
        if not waiting:
            return max(free_s) - sum(free_s) / n_workers, n_tasks
        task, first = waiting.popleft(), free_s.index(min(free_s))
        took_s = task.count * trial_s[task.architecture]
        free_s[first] += took_s
        schedule.learn(task, took_s)
        n_tasks += 1


@pytest.mark.parametrize("n_workers", [2, 3, 8])
def test_workers_end_together(n_workers: int):
    sizes = range(390, 440, 7)
    together, apart = ([late_s(n, n_workers, told=told) for n in sizes] for told in (True, False))
    assert max(late for late, _ in together) <= 0.06
    assert max(late for late, _ in apart) > 0.2, "tasks of a second to the end would do as well"
    assert max(n for _, n in together) < max(n for _, n in apart) + 16 * n_workers


def test_the_last_tasks_are_not_too_short_to_be_handed_out():
    schedule = Schedule({"a": 1000}, done={}, chunk=None, n_workers=lambda: 4)
    schedule.learn(Task("a", 0, 1), took_s=0.001)
    sizes = []
    while (task := schedule.next_task()) is not None:
        schedule.learn(task, took_s=0.001 * task.count)
        sizes.append(task.count)
    assert sizes == sorted(sizes, reverse=True)
    assert min(sizes[:-1]) == 50
