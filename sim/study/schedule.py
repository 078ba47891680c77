"""Which trials are run next, and how many at a time.

The choice affects how soon a run ends, never what it finds. Knows nothing of workers or files.
"""

from collections.abc import Callable, Mapping, Sequence

from sim.study.ranges import Range, n_in, without
from sim.study.work import Task

TASK_TARGET_S = 1.0
"""Long enough that handing out work costs nothing, short enough that little is lost when a worker dies."""
SHARES_PER_WORKER = 2
"""Towards the end a task is no more than this part of what is left for each worker, so that all end together."""
SHORTEST_TASK_S = 0.05
"""But no shorter: handing out work costs milliseconds."""
TASK_TARGET_BYTES = 1 << 22
"""Of tables in a result: some are on their way at any time, and memory stays flat however quick trials are."""
MOST_TRIALS_PER_TASK = 1 << 20


class Schedule:
    """Hands out the trials that are not done yet, all architectures abreast.

    Parameters
    ----------
    asked : architectures in order, and how many trials of each.
    done : ranges of finished trials by architecture.
    chunk : trials per task; None measures and adapts.
    n_workers : tasks that run at the same time.
    """

    def __init__(
        self,
        asked: Mapping[str, int],
        *,
        done: Mapping[str, Sequence[Range]],
        chunk: int | None,
        n_workers: Callable[[], int] = lambda: 1,
    ) -> None:
        self._open = {name: without([(0, n - 1)], done.get(name, ()))[::-1] for name, n in asked.items()}
        self._chunk, self._n_workers = chunk, n_workers
        self._trial_s: dict[str, float] = {}
        self._most: dict[str, int] = {}

    @property
    def n_open(self) -> int:
        """Trials not handed out yet."""
        return sum(n_in(ranges) for ranges in self._open.values())

    def next_task(self) -> Task | None:
        """The next task: the architecture that lags behind most; None when all is handed out."""
        waiting = [name for name, ranges in self._open.items() if ranges]
        if not waiting:
            return None
        name = min(waiting, key=lambda name: self._open[name][-1][0])  # the first of equals
        size = self._size(name)
        first, last = self._open[name].pop()
        count = min(last - first + 1, size)
        if first + count <= last:
            self._open[name].append((first + count, last))
        return Task(name, first, count)

    def learn(self, task: Task, took_s: float, n_bytes: int = 0) -> None:
        """Note how long a finished task took and how much it brought; the first, which compiles, is soon outweighed."""
        self._trial_s[task.architecture] = took_s / task.count
        by_time = TASK_TARGET_S / max(took_s, 1e-6)
        by_size = TASK_TARGET_BYTES / max(n_bytes, 1)
        self._most[task.architecture] = max(1, min(MOST_TRIALS_PER_TASK, round(task.count * min(by_time, by_size))))

    def _size(self, name: str) -> int:
        """Trials of the next task."""
        if self._chunk is not None:
            return self._chunk
        n_workers, trial_s = self._n_workers(), self._trial_s.get(name, 0.0)
        if n_workers == 1 or not trial_s:
            return self._most.get(name, 1)
        left_s = sum(n_in(ranges) * self._trial_s.get(other, trial_s) for other, ranges in self._open.items())
        fair_s = max(left_s / (SHARES_PER_WORKER * n_workers), SHORTEST_TASK_S)
        return max(1, min(self._most[name], round(fair_s / trial_s)))
