"""Workers of a Dask cluster: a scheduler that runs somewhere, or one of this machine's own on loopback.

The only module that imports `distributed`. Dask carries functions, tasks and results by its own protocol, which
unpickles: whoever reaches the scheduler runs code on every worker and here. Connect only to one that you trust
(`docs/cluster.md`). Knows nothing of what a task computes.
"""

import platform
import time
from collections.abc import Callable
from concurrent.futures import Executor, Future
from contextlib import suppress
from functools import lru_cache
from typing import Any, ParamSpec, TypeVar

import sim
from sim.errors import RunError, UsageError
from sim.study.meta import engine_hash, versions

P = ParamSpec("P")
T = TypeVar("T")

CONNECT_TIMEOUT_S = 15.0
WORKERS_TIMEOUT_S = 60.0
COUNT_INTERVAL_S = 5.0
"""Workers come and go; they are counted this often."""
MUST_AGREE = ("python", "numpy", "numba", "scipy")
"""Versions that can change the last bit of a result, besides the simulator's own sources."""


@lru_cache(maxsize=1)
def identity() -> tuple[tuple[str, str], ...]:
    """What client and workers must have in common, as (name, value)."""
    found = versions()
    own = {"regionfall": sim.__version__, "sources of regionfall": engine_hash()}
    return tuple((own | {name: found[name] for name in MUST_AGREE}).items())


def difference(ours: tuple[tuple[str, str], ...], theirs: tuple[tuple[str, str], ...]) -> str:
    """What differs first between client and worker, in words; empty if nothing does."""
    found = dict(theirs)
    for name, value in ours:
        if found.get(name) != value:
            return f"{name} is {found.get(name)} there and {value} here"
    return ""


def checked_call(ours: tuple[tuple[str, str], ...], fn: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Call on a worker, which may have joined a moment ago; raises RunError if it runs other code than the client."""
    if text := difference(ours, identity()):
        raise RunError(mismatch_text(platform.node(), text))
    return fn(*args, **kwargs)


def mismatch_text(worker: str, text: str) -> str:
    """What to do about a worker that would compute something else."""
    return f"worker {worker} would give other results: {text}; install the same version everywhere and start again"


class DaskWorkers:
    """Threads of all workers of a Dask scheduler.

    Parameters
    ----------
    address : of a running scheduler, such as `tcp://10.0.0.5:8786` or `tls://...`; None starts a cluster of processes
        on 127.0.0.1 that ends with the run.
    count : processes of a cluster of our own.

    Raises
    ------
    UsageError
        The package `distributed` is not installed.
    """

    def __init__(self, address: str | None, count: int = 1) -> None:
        try:
            import distributed
        except ImportError as error:
            raise UsageError(f"Dask is not installed ({error}): pip install 'regionfall[cluster]'") from error
        self.lost_errors: tuple[type[Exception], ...] = (distributed.KilledWorker,)
        self._address = address
        self._count = count
        self._counted_at_s = float("-inf")
        self._cluster: Any = None
        self._client: Any = None

    @property
    def count(self) -> int:
        """Tasks that run at the same time, at least 1."""
        if self._client is not None and time.monotonic() - self._counted_at_s > COUNT_INTERVAL_S:
            self._count = max(1, sum(self._client.nthreads().values()))
            self._counted_at_s = time.monotonic()
        return self._count

    def start(self) -> Executor:
        """Connect, wait for a worker, and make sure that all run the same code as this process.

        Raises RunError if no scheduler answers, no worker comes, or one differs.
        """
        import distributed

        where = self._address or "127.0.0.1"
        try:
            if self._address is None:
                self._cluster = distributed.LocalCluster(
                    n_workers=self._count, threads_per_worker=1, host="127.0.0.1", dashboard_address=None
                )
            self._client = distributed.Client(
                self._cluster or self._address, timeout=CONNECT_TIMEOUT_S, set_as_default=False
            )
        except (OSError, ValueError, TimeoutError) as error:
            self._leave()
            raise RunError(
                f"no Dask scheduler answers at {where} ({error}); is it running, and is the address right? "
                "Nothing stored is lost: give the same command again with --out to continue"
            ) from error
        try:
            self._client.wait_for_workers(1, timeout=WORKERS_TIMEOUT_S)
            self._compare()
        except TimeoutError as error:
            self._leave()
            raise RunError(
                f"the Dask scheduler at {where} has no workers after {WORKERS_TIMEOUT_S:.0f} s; "
                f"start some with: dask worker {where}"
            ) from error
        except BaseException:
            self._leave()
            raise
        return _CheckedExecutor(self._client.get_executor(pure=False), identity())

    def _compare(self) -> None:
        try:
            found = self._client.run(identity)
        except ModuleNotFoundError as error:
            raise RunError(f"a worker lacks a package ({error}): install regionfall on every worker") from error
        except AttributeError as error:
            raise RunError(mismatch_text("(unnamed)", f"another version of regionfall ({error})")) from error
        for worker, theirs in sorted(found.items()):
            if text := difference(identity(), theirs):
                raise RunError(mismatch_text(worker, text))

    def stop(self) -> None:
        """Running tasks end by themselves within about a second; those that wait are cancelled by `close`."""

    def close(self, executor: Executor) -> None:
        """Cancel what waits and leave the cluster; one of our own ends."""
        with suppress(Exception):  # a scheduler that is gone cannot cancel anything
            executor.shutdown(wait=False, cancel_futures=True)
        self._leave()

    def _leave(self) -> None:
        for end in (self._client, self._cluster):
            if end is not None:
                with suppress(Exception):
                    end.close(timeout=CONNECT_TIMEOUT_S)
        self._client = self._cluster = None


class _CheckedExecutor(Executor):
    """An executor whose calls first compare the worker's code with the client's."""

    def __init__(self, executor: Executor, ours: tuple[tuple[str, str], ...]) -> None:
        self._executor = executor
        self._ours = ours

    def submit(self, fn: Callable[P, T], /, *args: P.args, **kwargs: P.kwargs) -> "Future[T]":
        """As the base class, with the comparison on the worker."""
        call: Callable[..., T] = checked_call
        return self._executor.submit(call, self._ours, fn, *args, **kwargs)

    def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
        """As the base class."""
        self._executor.shutdown(wait=wait, cancel_futures=cancel_futures)
