"""Where tasks are run: this process, a pool of processes, or an executor of the caller.

Each is a `Workers`: it gives a `concurrent.futures.Executor`, a fresh one after a crash, and can tell running
tasks to stop. Knows nothing of trials, tables or files.
"""

import os
import signal
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, Future, ProcessPoolExecutor
from multiprocessing import get_all_start_methods, get_context, parent_process
from multiprocessing.synchronize import Event
from typing import Any, ParamSpec, Protocol, TypeVar

from sim.study.interrupts import interrupts_deferred
from sim.study.work import ENGINE_MODULES, stop_when
from sim.world.shared_courses import SharedArrays, share

P = ParamSpec("P")
T = TypeVar("T")


class Workers(Protocol):
    """Something that runs tasks."""

    @property
    def count(self) -> int:
        """Tasks that run at the same time, at least 1; may change while a run goes on."""
        ...

    @property
    def lost_errors(self) -> tuple[type[Exception], ...]:
        """What a future raises whose task alone was lost with its worker; the executor goes on working."""
        ...

    def start(self) -> Executor:
        """A working executor; called again after one broke."""
        ...

    def stop(self) -> None:
        """Tell running tasks to leave soon."""
        ...

    def close(self, executor: Executor) -> None:
        """Take back what `start` gave; waits for running tasks."""
        ...


class SerialExecutor(Executor):
    """Runs each call at once, in this thread."""

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """A future that is done already; only KeyboardInterrupt and its like pass through."""
        future: Future[T] = Future()
        try:
            future.set_result(fn(*args, **kwargs))
        except Exception as error:
            future.set_exception(error)
        return future


class InProcess:
    """One worker: this process."""

    count = 1
    lost_errors: tuple[type[Exception], ...] = ()

    def start(self) -> Executor:
        """An executor that runs each task at once."""
        return SerialExecutor()

    def stop(self) -> None:
        """Nothing runs besides the caller."""

    def close(self, executor: Executor) -> None:
        """Nothing to take back."""


class ProcessWorkers:
    """A pool of processes, forked from a clean server process where the system has one.

    Workers are not replaced after a number of tasks: an executor with `max_tasks_per_child` can hang when a
    worker retires while others are idle.

    Parameters
    ----------
    count : processes.
    modules : imported once, by the server, so that a new worker starts in milliseconds; a server that runs already,
        for an earlier pool of this process, stays as it is.
    """

    lost_errors: tuple[type[Exception], ...] = ()

    def __init__(self, count: int, modules: Sequence[str] = ENGINE_MODULES) -> None:
        self.count = count
        self._context: Any = get_context("forkserver" if "forkserver" in get_all_start_methods() else "spawn")
        if hasattr(self._context, "set_forkserver_preload"):
            self._context.set_forkserver_preload(list(modules))
        self._stop: Event = self._context.Event()
        self._shared: SharedArrays | None = None

    def start(self) -> Executor:
        """A fresh pool."""
        if self._context.get_start_method() == "forkserver":
            _start_fork_server()
        if os.name == "posix":
            self._shared = SharedArrays()
        told = (self._stop, self._shared)
        return _Pool(self.count, mp_context=self._context, initializer=_enter_worker, initargs=told)

    def stop(self) -> None:
        """Workers leave their task after the trial at hand."""
        self._stop.set()

    def close(self, executor: Executor) -> None:
        """End the pool's processes once they have left their tasks."""
        executor.shutdown(wait=True, cancel_futures=True)
        if self._shared is not None:
            self._shared.close()
            self._shared = None


class GivenWorkers:
    """An executor of the caller (threads, a cluster); it is neither restarted nor shut down here."""

    lost_errors: tuple[type[Exception], ...] = ()

    def __init__(self, executor: Executor, count: int) -> None:
        self.count = count
        self._executor = executor

    def start(self) -> Executor:
        """The caller's executor."""
        return self._executor

    def stop(self) -> None:
        """Left to the caller, whose executor it is."""

    def close(self, executor: Executor) -> None:
        """Left to the caller."""


class _Pool(ProcessPoolExecutor):
    """A pool whose first submissions, which start its processes, are not cut in two by Ctrl-C.

    An interrupt in the middle leaves a worker that the pool does not know of, and the exit waits for it for ever.
    """

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """As the base class; an interrupt meanwhile arrives right after."""
        with interrupts_deferred():
            return super().submit(fn, *args, **kwargs)


def make_workers(
    count: int,
    *,
    executor: str = "processes",
    scheduler: str | None = None,
    modules: Sequence[str] = ENGINE_MODULES,
) -> Workers:
    """One worker is this process; more are a pool that imports `modules` once; or those of a Dask cluster."""
    if scheduler is not None or executor == "dask":
        from sim.study.cluster import DaskWorkers

        return DaskWorkers(scheduler, count)
    return InProcess() if count == 1 else ProcessWorkers(count, modules)


def _start_fork_server() -> None:
    """Start the fork server, if it does not run yet, so that Ctrl-C reaches neither it nor its workers.

    A new process inherits the signal mask of the thread that starts it. The resource tracker goes first, because its
    start would reset that mask.
    """
    from multiprocessing import forkserver, resource_tracker

    resource_tracker.ensure_running()
    with interrupts_deferred():
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            forkserver.ensure_running()
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _enter_worker(stop: Event, shared: SharedArrays | None) -> None:
    """Prepare a worker process: it stops when told so, finds what others have made, and dies with its parent."""
    share(shared)
    # Ctrl-C reaches every process of the terminal; only the parent answers it (and not all systems have a fork server).
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    stop_when(stop.is_set)
    threading.Thread(target=_die_with_parent, daemon=True).start()


def _die_with_parent() -> None:
    # A worker holds both ends of its queue, so it would wait for ever on a parent that was killed.
    parent = parent_process()
    if parent is not None:
        parent.join()
        os._exit(1)
