"""Undisturbed courses that one worker has made, for the other workers of the run.

A course takes as long as many trials, so a design's is made by the worker that needs it first, and the others copy its
numbers: the same bits that they would have computed. They lie in a file without a name, which the system takes back
when the last process has ended, however it ended. A worker that has no such file makes every course itself. Holds plain
arrays only, and knows nothing of how a course is made.
"""

import json
import mmap
import os
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from hashlib import sha256
from multiprocessing.reduction import DupFd
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

Arrays = Mapping[str, NDArray[Any]]
MOST_BYTES: Final = 1 << 28
"""Of the file, which may lie in memory: room for some thirty years of a large design. Later courses are not shared."""
_HEAD_BYTES: Final = 40
"""Of a record: the bytes it takes in all, and its key; zero while it is being written."""


class SharedArrays:
    """Sets of arrays by key, each written once, in a file that the processes of a pool share.

    Can be handed to a process when it starts, and only then.
    """

    def __init__(self, descriptor: int | None = None) -> None:
        if descriptor is None:
            with tempfile.TemporaryFile() as file:  # it has no name
                descriptor = os.dup(file.fileno())
        self._descriptor = descriptor
        self._looked = 0
        self._known: dict[bytes, tuple[int, int]] = {}

    def __reduce__(self) -> tuple[Callable[[Any], "SharedArrays"], tuple[Any]]:
        return _received, (DupFd(self._descriptor),)

    def close(self) -> None:
        """Give the file up; arrays that were taken from it stay."""
        os.close(self._descriptor)

    def get(self, key: bytes) -> Arrays | None:
        """The arrays of a key (32 bytes), read only; None if nobody has put them yet."""
        with self._locked():
            self._look()
        if key not in self._known:
            return None
        at, n_bytes = self._known[key]
        data = mmap.mmap(self._descriptor, n_bytes, access=mmap.ACCESS_READ, offset=at)
        begin = _HEAD_BYTES + 8
        end = begin + int.from_bytes(data[_HEAD_BYTES:begin], "little")
        return {
            name: np.frombuffer(data, dtype, count=int(np.prod(shape)), offset=place).reshape(shape)
            for name, dtype, shape, place in json.loads(data[begin:end])
        }

    def put(self, key: bytes, arrays: Arrays) -> None:
        """Give the arrays of a key to the others; nothing happens if another process did so, or the file is full."""
        body = _packed(arrays)
        n_bytes = -(-(_HEAD_BYTES + len(body)) // mmap.ALLOCATIONGRANULARITY) * mmap.ALLOCATIONGRANULARITY
        with self._locked():
            self._look()
            if key in self._known:
                return
            at = self._looked
            if at + n_bytes > MOST_BYTES:
                return
            os.ftruncate(self._descriptor, at + n_bytes)
            _write(self._descriptor, body, at + _HEAD_BYTES)
            _write(self._descriptor, n_bytes.to_bytes(8, "little") + key, at)  # last: now the record is there

    def _look(self) -> None:
        """Learn of the records that were added since the last look."""
        while len(head := os.pread(self._descriptor, _HEAD_BYTES, self._looked)) == _HEAD_BYTES:
            n_bytes = int.from_bytes(head[:8], "little")
            if not n_bytes:  # whoever began it was killed
                return
            self._known[head[8:]] = self._looked, n_bytes
            self._looked += n_bytes

    @contextmanager
    def _locked(self) -> Iterator[None]:
        """Alone with the file; the system drops the lock of a process that dies."""
        import fcntl

        fcntl.lockf(self._descriptor, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.lockf(self._descriptor, fcntl.LOCK_UN)


def _received(duplicate: Any) -> SharedArrays:
    return SharedArrays(duplicate.detach())


def _packed(arrays: Arrays) -> bytes:
    """What follows the head of a record: length of the list of arrays, the list, and each array at a full 64 bytes."""
    rows: list[list[Any]] = [[name, values.dtype.str, list(values.shape), 0] for name, values in arrays.items()]
    room = len(json.dumps([[*row[:3], 1 << 62] for row in rows]))
    at = _HEAD_BYTES + 8 + room
    for row, values in zip(rows, arrays.values(), strict=True):
        at += -at % 64
        row[3] = at
        at += values.nbytes
    parts = bytearray(at - _HEAD_BYTES)
    parts[:8] = room.to_bytes(8, "little")
    parts[8 : 8 + room] = json.dumps(rows).ljust(room).encode()
    for row, values in zip(rows, arrays.values(), strict=True):
        place = row[3] - _HEAD_BYTES
        parts[place : place + values.nbytes] = np.ascontiguousarray(values).tobytes()
    return bytes(parts)


def _write(descriptor: int, data: bytes, at: int) -> None:
    while data:
        n = os.pwrite(descriptor, data, at)
        data, at = data[n:], at + n


_shared: SharedArrays | None = None


def share(arrays: SharedArrays | None) -> None:
    """Say where this process finds what others have made; None: nowhere."""
    global _shared
    _shared = arrays


def made_once(key: tuple[str, ...], make: Callable[[], Arrays]) -> Arrays:
    """The arrays of a key: those that another process has made, or made here and given to the others."""
    if _shared is None:
        return make()
    digest = sha256("\0".join(key).encode()).digest()
    found = _shared.get(digest)
    if found is None:
        found = make()
        with suppress(OSError):  # no room: the others make it themselves
            _shared.put(digest, found)
    return found
