"""One process at a time per results folder.

The operating system holds the lock and drops it when the process ends, however it ends; the number inside
the file is for the message only.
"""

import os
import platform
import sys
from pathlib import Path

from sim.errors import RunError

LOCK_FILE = ".lock"


class FolderLock:
    """The lock of a folder, held from construction to `release`.

    Raises RunError if another process holds it, OSError if the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        path = folder / LOCK_FILE
        self._descriptor: int | None = os.open(path, os.O_RDWR | os.O_CREAT, 0o644)
        if not _try_lock(self._descriptor):
            holder = os.read(self._descriptor, 200).decode(errors="replace").strip() or "unknown"
            os.close(self._descriptor)
            raise RunError(f"{folder} is in use by another regionfall (process {holder}); wait for it or choose --out")
        try:
            os.ftruncate(self._descriptor, 0)
            os.write(self._descriptor, f"{os.getpid()} on {platform.node()}\n".encode())
        except OSError:  # a full disk: nobody may find the folder in use by a lock that was never had
            self.release()
            raise

    def release(self) -> None:
        """Let others in; may be called twice. The file stays: removing it could hit a newer holder's."""
        if self._descriptor is not None:
            os.close(self._descriptor)  # closing drops the lock
            self._descriptor = None


def is_locked(folder: Path) -> bool:
    """Whether a living process holds the folder's lock; changes nothing."""
    try:
        descriptor = os.open(folder / LOCK_FILE, os.O_RDWR)
    except OSError:
        return False
    try:
        return not _try_lock(descriptor)
    finally:
        os.close(descriptor)


def _try_lock(descriptor: int) -> bool:
    """Take the lock without waiting."""
    try:
        if sys.platform == "win32":
            import msvcrt

            # A byte far behind the text, so that others can still read who holds it.
            os.lseek(descriptor, 1 << 20, os.SEEK_SET)
            msvcrt.locking(descriptor, msvcrt.LK_NBLCK, 1)
            os.lseek(descriptor, 0, os.SEEK_SET)
        else:
            import fcntl

            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError:
        return False
    return True
