"""Locks between processes that the kernel lets go of when their holder dies, however it dies.

Promise: a lock that is held has a living holder, so no lock is ever stale; every wait for one has
a deadline.
"""

import fcntl
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final, Self

from state.errors import ServerUnreachable

LOOK_AGAIN_S: Final = 0.05


class FileLock:
    """One opening of a lock file; several processes, or several of these, contend for it."""

    def __init__(self, path: Path) -> None:
        self._fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        os.close(self._fd)

    def fileno(self) -> int:
        """For a child that shall hold the lock as long as it lives."""
        return self._fd

    def try_alone(self) -> bool:
        """Take it for us alone unless anyone else holds it."""
        return self._try(fcntl.LOCK_EX)

    def try_shared(self) -> bool:
        """Take it beside others unless someone holds it alone."""
        return self._try(fcntl.LOCK_SH)

    def take_alone(self, *, deadline_s: float) -> bool:
        """Take it for us alone; False if others held it until the deadline."""
        give_up_at_s = time.monotonic() + deadline_s
        while not self.try_alone():
            if time.monotonic() > give_up_at_s:
                return False
            time.sleep(LOOK_AGAIN_S)
        return True

    def release(self) -> None:
        """Let others have it."""
        fcntl.flock(self._fd, fcntl.LOCK_UN)

    def _try(self, kind: int) -> bool:
        try:
            fcntl.flock(self._fd, kind | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
        return True


@contextmanager
def alone(path: Path, *, deadline_s: float) -> Iterator[None]:
    """Hold the lock for a block."""
    with FileLock(path) as lock:
        if not lock.take_alone(deadline_s=deadline_s):
            raise ServerUnreachable(
                "the embedded servers are busy starting or stopping",
                detail=f"{path} was not free within {deadline_s:.0f} s",
                hint="End the other walras processes of this folder, and try again",
            )
        yield
