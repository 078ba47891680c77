"""Which trials are run next, and how many at a time.

The choice affects how soon a run ends, never what it finds. Knows nothing of workers or files.
"""

from collections.abc import Collection, Mapping, Sequence

from sim.study.tables import to_ranges
from sim.study.work import Task

TASK_TARGET_S = 1.0
"""Long enough that handing out work costs nothing, short enough that little is lost when a worker dies."""
MOST_TRIALS_PER_TASK = 4096


class Schedule:
    """Hands out the trials that are not done yet, all architectures abreast.

    Parameters
    ----------
    architectures : names in order.
    trials : trials asked of each.
    done : finished trials by architecture.
    chunk : trials per task; None measures and adapts.
    """

    def __init__(
        self, architectures: Sequence[str], trials: int, *, done: Mapping[str, Collection[int]], chunk: int | None
    ) -> None:
        self._open: dict[str, list[tuple[int, int]]] = {}
        for name in architectures:
            left = set(range(trials)) - set(done.get(name, ()))
            self._open[name] = to_ranges(left)[::-1]
        self._chunk = chunk
        self._per_trial_s: dict[str, float] = {}

    @property
    def n_open(self) -> int:
        """Trials not handed out yet."""
        return sum(last - first + 1 for ranges in self._open.values() for first, last in ranges)

    def next_task(self) -> Task | None:
        """The next task: the architecture that lags behind most; None when all is handed out."""
        waiting = [name for name, ranges in self._open.items() if ranges]
        if not waiting:
            return None
        name = min(waiting, key=lambda name: self._open[name][-1][0])  # the first of equals
        first, last = self._open[name].pop()
        count = min(last - first + 1, self._size(name))
        if first + count <= last:
            self._open[name].append((first + count, last))
        return Task(name, first, count)

    def learn(self, task: Task, took_s: float) -> None:
        """Note how long a finished task took; the first one, which compiles, is soon outweighed."""
        self._per_trial_s[task.architecture] = max(took_s, 1e-6) / task.count

    def _size(self, name: str) -> int:
        if self._chunk is not None:
            return self._chunk
        per_trial_s = self._per_trial_s.get(name)
        if per_trial_s is None:
            return 1
        return max(1, min(MOST_TRIALS_PER_TASK, round(TASK_TARGET_S / per_trial_s)))
