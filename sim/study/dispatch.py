"""Hand tasks to workers, take results back, and lose nothing when a worker dies.

Knows nothing of what a task computes, nor of files.
"""

from collections import deque
from collections.abc import Callable
from concurrent.futures import FIRST_COMPLETED, BrokenExecutor, CancelledError, Executor, Future, wait

from sim.errors import RunError
from sim.study.work import Job, Task, TaskResult, run_task
from sim.study.workers import Workers

MOST_RESUBMISSIONS = 3
IN_FLIGHT_PER_WORKER = 2
"""One running, one waiting, so that no worker idles while the parent writes."""


class Dispatcher:
    """Runs tasks of one job on workers; a context manager that leaves no process behind.

    Parameters
    ----------
    job : what all tasks share.
    workers : where they run.
    """

    def __init__(self, job: Job, workers: Workers) -> None:
        self._job = job
        self._workers = workers
        self._executor: Executor | None = None
        self._running: dict[Future[TaskResult], Task] = {}
        self._lost: deque[Task] = deque()
        self._losses: dict[Task, int] = {}

    def __enter__(self) -> "Dispatcher":
        return self

    def __exit__(self, error: type[BaseException] | None, *_: object) -> None:
        if error is not None:  # an interrupt, a full disk, a failed trial: nobody waits for what is running
            self._workers.stop()
        self._close_executor()

    @property
    def n_workers(self) -> int:
        """Tasks that run at the same time, as of now."""
        return self._workers.count

    def run(self, next_task: Callable[[], Task | None], take: Callable[[TaskResult], None]) -> None:
        """Run tasks until `next_task` returns None; `take` gets every result, in the order in which they end.

        Raises
        ------
        RunError
            A trial failed, or a task was lost with its worker more than 3 times.
        """
        while True:
            most_running = IN_FLIGHT_PER_WORKER * self._workers.count
            while len(self._running) < most_running:
                task = self._lost.popleft() if self._lost else next_task()
                if task is None:
                    break
                if not self._submit(task):
                    break
            if self._running:
                wait(self._running, return_when=FIRST_COMPLETED)
                self._collect(take)
            elif not self._lost:
                return

    def _submit(self, task: Task) -> bool:
        """Whether the task runs now; if not, the executor broke since the last look."""
        if self._executor is None:
            self._executor = self._workers.start()
        try:
            self._running[self._executor.submit(run_task, self._job, task)] = task
        except BrokenExecutor:
            if self._running:  # `_collect` finds those lost and closes the executor; this one never ran
                self._lost.appendleft(task)
            else:
                self._lose(task)
                self._close_executor()
            return False
        return True

    def _collect(self, take: Callable[[TaskResult], None]) -> None:
        broken = False
        for future in [f for f in self._running if f.done()]:
            task = self._running.pop(future)
            try:
                result = future.result()
            except self._workers.lost_errors:
                self._lose(task)
            except (BrokenExecutor, CancelledError):  # cancelled: the scheduler of a cluster is gone
                broken = True
                self._lose(task)
            else:
                take(result)
        if broken:
            for task in self._running.values():
                self._lose(task)
            self._running.clear()
            self._close_executor()

    def _lose(self, task: Task) -> None:
        self._losses[task] = self._losses.get(task, 0) + 1
        if self._losses[task] > MOST_RESUBMISSIONS:
            raise RunError(
                f"trials {task.first} to {task.trials[-1]} of {task.architecture} were lost with their worker "
                f"{self._losses[task]} times; most often memory ran out: try fewer "
                '--workers (in a script of your own, is the call below `if __name__ == "__main__":`?)'
            )
        self._lost.append(task)

    def _close_executor(self) -> None:
        if self._executor is not None:
            self._workers.close(self._executor)
        self._executor = None
