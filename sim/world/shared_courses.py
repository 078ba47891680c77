"""Undisturbed courses that one worker has made, and what it found out with them, for the other workers of the run.

A course takes as long as many trials, and so do the questions that are asked of it. Each is made by the worker that
needs it first, and the others copy its numbers: the same bits that they would have computed. Who needs what is being
made waits for it, as long as its maker lives. The numbers lie in a file without a name, which the system takes back
when the last process has ended, however it ended. A worker that has no such file makes everything itself. Holds plain
arrays only, and knows nothing of how they are made.
"""

import json
import mmap
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from hashlib import sha256
from multiprocessing.reduction import DupFd
from typing import Any, Final

import numpy as np

from sim.traffic.once import Arrays

MOST_BYTES: Final = 1 << 28
"""Of the file, which may lie in memory: room for some thirty years of a large design. Later courses are not shared."""
_HEAD_BYTES: Final = 40
"""Of a record: the bytes it takes in all, and its key; zero while it is being written."""
_ALIGNED: Final = 64
"""Bytes at a multiple of which each record and each of its arrays begins."""
_SMALL_BYTES: Final = 1 << 16
"""A record up to this is copied; of a larger one the processes share the memory."""
_N_PLACES: Final = 1 << 40
"""For locks of keys: two keys at one place wait for each other, nothing worse."""


class SharedArrays:
    """Sets of arrays by key, each written once, in a file that the processes of a pool share.

    Can be handed to a process when it starts, and only then.
    """

    def __init__(self, descriptors: tuple[int, int] | None = None) -> None:
        # Locks have a file of their own: a process loses all of its locks on a file when it closes that anywhere, and
        # every map that goes closes its file.
        self._descriptor, self._locks = descriptors or (_nameless(), _nameless())
        self._looked = 0
        self._known: dict[bytes, tuple[int, int]] = {}
        self._is_full = False

    def __reduce__(self) -> tuple[Callable[[Any], "SharedArrays"], tuple[Any, Any]]:
        return _received, (DupFd(self._descriptor), DupFd(self._locks))

    def close(self) -> None:
        """Give the file up; arrays that were taken from it stay."""
        os.close(self._descriptor)
        os.close(self._locks)

    def get(self, key: bytes) -> Arrays | None:
        """The arrays of a key (32 bytes), read only; None if nobody has put them yet."""
        if key not in self._known:
            with self._locked():
                self._look()
        if key not in self._known:
            return None
        at, n_bytes = self._known[key]
        data, before = self._bytes(at, n_bytes)
        begin = before + _HEAD_BYTES + 8
        end = begin + int.from_bytes(data[before + _HEAD_BYTES : begin], "little")
        return {
            name: np.frombuffer(data, dtype, count=int(np.prod(shape)), offset=before + place).reshape(shape)
            for name, dtype, shape, place in json.loads(data[begin:end])
        }

    def put(self, key: bytes, arrays: Arrays) -> None:
        """Give the arrays of a key to the others; nothing happens if another process did so, or the file is full."""
        body = _packed(arrays)
        n_bytes = -(-(_HEAD_BYTES + len(body)) // _ALIGNED) * _ALIGNED
        with self._locked():
            self._look()
            if key in self._known:
                return
            at = self._looked
            if at + n_bytes > MOST_BYTES:
                self._is_full = True
                return
            os.ftruncate(self._descriptor, at + n_bytes)
            _write(self._descriptor, body, at + _HEAD_BYTES)
            _write(self._descriptor, n_bytes.to_bytes(8, "little") + key, at)  # last: now the record is there

    @contextmanager
    def making(self, key: bytes) -> Iterator[None]:
        """Alone with a key, once whoever is making it has put it or has died; not on a full file, where none is put."""
        import fcntl

        place, is_mine = 1 + int.from_bytes(key[:8], "little") % _N_PLACES, False
        if not self._is_full:
            with suppress(OSError):  # of a system that gives no more locks, or sees a ring of them: it is made twice
                fcntl.lockf(self._locks, fcntl.LOCK_EX, 1, place)
                is_mine = True
        try:
            yield
        finally:
            if is_mine:
                fcntl.lockf(self._locks, fcntl.LOCK_UN, 1, place)

    def _bytes(self, at: int, n_bytes: int) -> tuple[bytes | mmap.mmap, int]:
        """Where a record lies, and how far from the start."""
        if n_bytes <= _SMALL_BYTES:
            return os.pread(self._descriptor, n_bytes, at), 0
        before = at % mmap.ALLOCATIONGRANULARITY
        return mmap.mmap(self._descriptor, before + n_bytes, access=mmap.ACCESS_READ, offset=at - before), before

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

        fcntl.lockf(self._locks, fcntl.LOCK_EX, 1, 0)
        try:
            yield
        finally:
            fcntl.lockf(self._locks, fcntl.LOCK_UN, 1, 0)


def _nameless() -> int:
    """A file that only those know who are handed its descriptor."""
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _received(*duplicates: Any) -> SharedArrays:
    arrays, locks = (duplicate.detach() for duplicate in duplicates)
    return SharedArrays((arrays, locks))


def _packed(arrays: Arrays) -> bytes:
    """What follows the head of a record: length of the list of arrays, the list, and each array aligned."""
    rows: list[list[Any]] = [[name, values.dtype.str, list(values.shape), 0] for name, values in arrays.items()]
    room = len(json.dumps([[*row[:3], 1 << 62] for row in rows]))
    at = _HEAD_BYTES + 8 + room
    for row, values in zip(rows, arrays.values(), strict=True):
        at += -at % _ALIGNED
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


def made_once(name: bytes, question: tuple[object, ...], make: Callable[[], Arrays]) -> Arrays:
    """Arrays that another process has made, or made here and given to the others.

    Parameters
    ----------
    name : bytes
        Of the course.
    question : tuple
        What is asked of it; its `repr` must be the same in every process.
    make : callable
        Makes them: the same bits in every process.
    """
    if _shared is None:
        return make()
    key = sha256(name + repr(question).encode()).digest()
    found = _shared.get(key)
    if found is not None:
        return found
    with _shared.making(key):
        found = _shared.get(key)
        if found is None:
            found = make()
            with suppress(OSError):  # no room: the others make it themselves
                _shared.put(key, found)
    return found
