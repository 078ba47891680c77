"""Progress on stderr: a bar with the time left on a terminal, a line now and then elsewhere, nothing if quiet."""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from sim.study.options import ProgressCallback

LINE_INTERVAL_S = 10.0
"""Between two lines in a log file."""


@contextmanager
def shown_progress(quiet: bool) -> Iterator[ProgressCallback | None]:
    """The callback that shows progress while the block runs; None if quiet."""
    if quiet:
        yield None
    elif sys.stderr.isatty():
        with _bar() as callback:
            yield callback
    else:
        yield _Lines()


@contextmanager
def _bar() -> Iterator[ProgressCallback]:
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        MofNCompleteColumn,
        Progress,
        TextColumn,
        TimeElapsedColumn,
        TimeRemainingColumn,
    )

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TimeElapsedColumn(),
        TimeRemainingColumn(),
    )
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("trials", total=None)

        def update(done: int, asked: int, text: str) -> None:
            bar.update(task, completed=done, total=asked)
            if text:
                bar.console.print(text, markup=False, highlight=False)

        yield update


class _Lines:
    """Plain lines, the first at once."""

    def __init__(self) -> None:
        self._started_s = time.monotonic()
        self._last_line_s = float("-inf")
        self._first_done: int | None = None

    def __call__(self, done: int, asked: int, text: str) -> None:
        now_s = time.monotonic()
        if self._first_done is None:
            self._first_done = done
        if text:
            sys.stderr.write(f"{text}\n")
        if now_s - self._last_line_s >= LINE_INTERVAL_S or (done == asked and not text):
            self._last_line_s = now_s
            sys.stderr.write(f"{done} of {asked} trials{self._time_left(done, asked, now_s)}\n")

    def _time_left(self, done: int, asked: int, now_s: float) -> str:
        fresh = done - (self._first_done or 0)  # trials of an earlier, interrupted run took no time now
        if fresh <= 0 or done >= asked:
            return ""
        left_s = (now_s - self._started_s) / fresh * (asked - done)
        return f", about {left_s / 60:.1f} min left" if left_s >= 60 else f", about {left_s:.0f} s left"
