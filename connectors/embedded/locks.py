"""Locks between processes that the kernel releases when their holder ends, however it ends.

Promise: the holder of a lock is alive, so no lock is ever stale; every wait for one has a deadline.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

from state.errors import ServerUnreachable

POLL_INTERVAL_S: Final = 0.05


class FileLock:
    """One open lock file; several processes, or several of these, compete for its lock."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def fileno(self) -> int:
        """For a child process that is to hold the lock for as long as it lives."""
        return self._fd

    def try_exclusive(self) -> bool:
        """Take the lock unless another holder has it, exclusive or shared."""
        return self._try(fcntl.LOCK_EX)

    def try_shared(self) -> bool:
        """Take the lock beside other shared holders, unless one has it exclusively."""
        return self._try(fcntl.LOCK_SH)

    def wait_exclusive(self, *, deadline_s: float) -> bool:
        """Take the lock once it is free; False if it was held until the deadline."""
        give_up_at_s = time.monotonic() + deadline_s
        while not self.try_exclusive():
            if time.monotonic() > give_up_at_s:
                return False
            time.sleep(POLL_INTERVAL_S)
        return True

    def release(self) -> None:
        """Release the lock."""
        fcntl.flock(self._fd, fcntl.LOCK_UN)

    def _try(self, kind: int) -> bool:
        try:
            fcntl.flock(self._fd, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@contextmanager
def exclusive(path: Path, *, deadline_s: float) -> Iterator[None]:
    """Hold a lock exclusively for a block."""
    with FileLock(path) as lock:
        if not lock.wait_exclusive(deadline_s=deadline_s):
            raise ServerUnreachable(
                "the embedded servers are busy starting or stopping",
                detail=f"{path} was held for more than {deadline_s:.0f} s",
                hint="End the other walras processes that use this folder, and try again",
            )
        yield
