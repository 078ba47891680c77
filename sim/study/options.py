"""What the caller of a study may choose; nothing here changes the result of a trial except the seed."""

import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from sim.errors import UsageError

ProgressCallback = Callable[[int, int, str], None]
"""Called with trials done, trials asked, and what is being done."""


MOST_TRIALS = 10_000_000
"""As in a scenario file; each open trial takes memory."""


EXECUTORS = ("processes", "dask")


@dataclass(frozen=True, slots=True)
class RunOptions:
    """How an experiment is run.

    Parameters
    ----------
    trials : int, optional
        Trials per architecture, 1 to 10 million. Default: what the scenario says.
    seed : int, optional
        Root of all random numbers, 0 <= seed < 2^63. Default: what the scenario says.
    workers : int, optional
        Processes; 1 works in this process. Default: the cores that this process may use.
    chunk : int, optional
        Trials per task. Default: so many that a task takes about a second.
    out : Path, optional
        Folder of the results; a folder of the same run is continued. Default: results stay in memory.
    architectures : tuple of str
        Names to run, in the experiment's order. Default: all.
    confidence : float
        Of every interval, 0.5 < confidence < 1.
    executor : str
        `processes` (of this machine) or `dask` (a Dask cluster of `workers` processes on loopback).
    scheduler : str, optional
        Address of a running Dask scheduler, whose workers are used; connect only to one that you trust.
    command : str
        What the user typed; kept with the results.
    keep : bool
        Run the worst trial of each architecture once more and keep its log and trace.
    """

    trials: int | None = None
    seed: int | None = None
    workers: int | None = None
    chunk: int | None = None
    out: Path | None = None
    architectures: tuple[str, ...] = ()
    confidence: float = 0.95
    executor: str = "processes"
    scheduler: str | None = None
    command: str = ""
    keep: bool = True

    def __post_init__(self) -> None:
        for name in ("trials", "workers", "chunk"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise UsageError(f"{name} is {value}, but must be at least 1")
        if self.trials is not None and self.trials > MOST_TRIALS:
            raise UsageError(f"trials is {self.trials}, but must be at most {MOST_TRIALS}")
        if self.seed is not None and not 0 <= self.seed < 2**63:
            raise UsageError(f"seed is {self.seed}, but must be at least 0 and below 2^63")
        if self.executor not in EXECUTORS:
            raise UsageError(f"executor is {self.executor}, but must be {' or '.join(EXECUTORS)}")
        if not 0.5 < self.confidence < 1:
            raise UsageError(f"confidence is {self.confidence}, but must lie between 0.5 and 1, e.g. 0.95")

    @property
    def n_workers(self) -> int:
        """Processes to use, at least 1."""
        return self.workers if self.workers is not None else usable_cores()


def usable_cores() -> int:
    """Cores that this process may run on, which in a container are fewer than the machine has."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1
