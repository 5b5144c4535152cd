"""One starter a state folder: a lock that names its holder and goes when the last holder dies."""

import fcntl
import os
import time
from pathlib import Path

from agentflow_embedded.errors import AlreadyRunningError
from agentflow_embedded.processes import start_time

# How long a guard may take to stop the servers of a starter that died.
_LAST_RITES_S = 40.0


class StateLock:
    """An advisory lock on a file, shared with the guard process, so it outlives a starter that was killed."""

    def __init__(self, path: Path, server: str) -> None:
        self._path = path
        self._server = server
        self._fd: int | None = None

    @property
    def fd(self) -> int:
        """The open file, to hand to the guard."""
        if self._fd is None:
            raise RuntimeError("the lock is not held")
        return self._fd

    def acquire(self) -> None:
        """Take the lock. Waits only for the servers of a dead starter to be stopped by their guard.

        Raises:
            AlreadyRunningError: A living process holds it.
        """
        fd = os.open(self._path, os.O_RDWR | os.O_CREAT, 0o644)
        deadline = time.monotonic() + _LAST_RITES_S
        while not _try_lock(fd):
            pid, alive = _holder(fd)
            if alive or time.monotonic() > deadline:
                os.close(fd)
                raise AlreadyRunningError(self._server, self._path.parent, pid)
            time.sleep(0.02)
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()} {start_time(os.getpid())}\n".encode(), 0)
        self._fd = fd

    def release(self) -> None:
        """Give the lock back; harmless when it is not held."""
        if self._fd is not None:
            os.close(self._fd)
            self._fd = None


def _try_lock(fd: int) -> bool:
    try:
        fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _holder(fd: int) -> tuple[int | None, bool]:
    """Return the pid in the lock file and whether that very process is alive."""
    words = os.pread(fd, 100, 0).decode().split(" ", 1)
    if len(words) != 2 or not words[0].isdigit():
        return None, True  # the holder has the lock and is about to write its name
    return int(words[0]), start_time(int(words[0])) == words[1].strip()
