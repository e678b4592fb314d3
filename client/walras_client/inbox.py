"""What has come for one reader and is not read yet, up to a limit.

Promise: messages are taken in the order in which they came, each once. What was dropped, or may
have been lost on the way, is known (`take_missed`) before anything later is taken.
"""

import asyncio
from collections import deque
from typing import Final, Generic, TypeVar

UNREAD_MAX_BYTES: Final = 4 << 20

T = TypeVar("T")


class Inbox(Generic[T]):
    """Messages for one reader."""

    def __init__(self) -> None:
        self._unread: deque[tuple[T, int]] = deque()
        self._unread_bytes = 0
        self._missed = False
        self._changed = asyncio.Event()

    def put(self, message: T, size_bytes: int) -> None:
        """Add a message; for a reader that is too slow everything is dropped instead."""
        if self._unread_bytes + size_bytes > UNREAD_MAX_BYTES:
            self.miss()
        elif not self._missed:
            self._unread.append((message, size_bytes))
            self._unread_bytes += size_bytes
        self._changed.set()

    def miss(self) -> None:
        """Drop everything: something before it was lost, or may have been."""
        self._unread.clear()
        self._unread_bytes = 0
        self._missed = True
        self._changed.set()

    def wake(self) -> None:
        """Let the reader look up: what it knows from elsewhere has changed."""
        self._changed.set()

    def take_missed(self) -> bool:
        """Whether something was missed; from now on messages are kept again."""
        missed, self._missed = self._missed, False
        return missed

    def take(self) -> T | None:
        """The next message, if one has come."""
        if not self._unread:
            return None
        message, size_bytes = self._unread.popleft()
        self._unread_bytes -= size_bytes
        return message

    async def changed(self) -> None:
        """Return once something has changed since the last time."""
        await self._changed.wait()
        self._changed.clear()
