"""What is kept of a run while it goes on: tables as they come, and `run.json`, true however the run ends."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sim.study.folder import RUN_FILE, StorageError
from sim.study.memory import Store
from sim.study.meta import now_text
from sim.study.ranges import n_in
from sim.study.result import InterruptedRunError
from sim.study.tables import Tables, n_bytes

FLUSH_INTERVAL_S = 5.0
"""Results are stored this often: most of what a power cut can cost."""
FLUSH_BYTES = 1 << 24
"""And no more than this waits in memory."""


class Recording:
    """Stores what a run finds.

    Parameters
    ----------
    store : Store
        Where.
    meta : dict
        `run.json`; its state is kept true.
    architectures : sequence of str
        Names whose trials are counted.
    folder : Path, optional
        For the message of an interrupt.
    """

    def __init__(self, store: Store, meta: dict[str, Any], architectures: Sequence[str], folder: Path | None) -> None:
        self._store, self._meta, self._architectures, self._folder = store, meta, tuple(architectures), folder
        self._waiting: list[Tables] = []
        self._waiting_bytes = 0
        self._flushed_at_s = time.monotonic()

    @contextmanager
    def going_on(self, counts: Callable[[], tuple[int, int]]) -> Iterator[None]:
        """While the run goes on; `counts` says how many trials are done and asked.

        Raises InterruptedRunError instead of KeyboardInterrupt, when all that was finished is stored.
        """
        try:
            self._record("running")
            yield
        except KeyboardInterrupt as error:
            self.flush()
            self._record("interrupted")
            raise InterruptedRunError(self._folder, *counts()) from error
        except StorageError:
            raise  # whatever is written now would fail too; run.json goes on saying `running`
        except Exception:
            self.flush()
            self._record("failed")
            raise
        self._record("finished")

    def take(self, tables: Sequence[Tables]) -> int:
        """Take the tables of a finished task, to be stored now or soon; returns their size in bytes."""
        size = sum(n_bytes(each) for each in tables)
        self._waiting.extend(tables)
        self._waiting_bytes += size
        if time.monotonic() - self._flushed_at_s > FLUSH_INTERVAL_S or self._waiting_bytes > FLUSH_BYTES:
            self.flush()
        return size

    def flush(self) -> None:
        """Store what waits."""
        self._store.add(self._waiting)
        self._waiting.clear()
        self._waiting_bytes = 0
        self._flushed_at_s = time.monotonic()

    def _record(self, reason: str) -> None:
        done = self._store.done()
        self._meta["trials_done"] = {name: n_in(done.get(name, ())) for name in self._architectures}
        self._meta["stop_reason"] = reason
        self._meta["ended"] = None if reason == "running" else now_text()
        self._store.write_json(RUN_FILE, self._meta)
