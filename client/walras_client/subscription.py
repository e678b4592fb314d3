"""What a market publishes, read window by window, through lost connections and agent restarts.

Promise: each window is handed out once and in order, however often it was published; reading
resumes where it stood. What the stream has dropped by the time of a pull is raised (`ResultsLost`),
never skipped in silence.
"""

import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Generic, Protocol, Self, TypeVar

from walras_client.errors import ResultsLost, unavailable
from walras_client.nats.connection import Connection
from walras_client.nats.errors import RETRYABLE, describe, retries, wait_before_retry
from walras_client.nats.jetstream import StreamState, last_message, stream_state
from walras_client.nats.reader import Delivery, PullTiming, ReadPosition, StreamReader
from walras_schemas import MarketWindow, subjects

STREAM: Final = "RESULTS"
OUTAGE_LIMIT_S: Final = 300.0
BATCH: Final = 64
# Agents are many, and a heartbeat goes to each: they are content to learn of a silence later.
TIMING: Final = PullTiming(expires_s=30, heartbeat_s=5, silence_s=12.0, forget_after_s=60)

log = logging.getLogger(__name__)


class OfWindow(Protocol):
    """A message about one window."""

    @property
    def window_id(self) -> int: ...
    @property
    def part(self) -> int: ...
    @property
    def parts(self) -> int: ...


WHOLE: Final = 1 << 31
"""Stands for the last part of a window: nothing of the window is still to come."""

T = TypeVar("T", bound=OfWindow)


@dataclass(frozen=True, slots=True)
class Cursor:
    """Where reading stands: what a later process needs to resume there."""

    created: str
    """When the stream was made that `last_seq` counts in."""
    last_seq: int
    """Last read."""
    window_id: int = 0
    """The last window that was handed out, or was published before; 0 where there was none."""
    part: int = WHOLE
    """The last part of it that was handed out."""


async def current_cursor(nc: Connection, market: str) -> Cursor:
    """The place after everything that the market has published by now."""
    # The window first: a market publishes a window's prices after all of its other results.
    last = await last_message(nc, STREAM, subjects.window(market))
    state = await stream_state(nc, STREAM)
    return Cursor(state.created, state.last_seq, _window_id(last))


def _window_id(payload: bytes | None) -> int:
    """The window that prices are of; 0 of none, and of what anybody else wrote there."""
    try:
        return MarketWindow.model_validate_json(payload).window_id if payload else 0
    except ValueError:
        return 0


class Subscription(Generic[T]):
    """An endless iterator over one subject; it can be left and iterated again, by one at a time."""

    def __init__(
        self, nc: Connection, subject: str, *, read: Callable[[bytes], T], after: Cursor
    ) -> None:
        self.cursor = after
        """Where reading stands: right after what was handed out last."""
        self._nc = nc
        self._subject = subject
        self._read = read
        self._reader: StreamReader | None = None
        self._arrived: deque[Delivery] = deque()
        self._last_seq_at_pull = after.last_seq
        self._backoff = retries(OUTAGE_LIMIT_S)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        while True:
            delivery = await self._next()
            self.cursor = replace(self.cursor, last_seq=delivery.seq)
            try:
                message = self._read(delivery.payload)
            except ValueError as invalid:
                log.warning("%s: skipped what is no result: %s", self._subject, invalid)
                continue
            if (message.window_id, message.part) > (self.cursor.window_id, self.cursor.part):
                self._advance(message)
                return message

    async def close(self) -> None:
        """Have nothing delivered any more; to iterate again is to resume after the cursor."""
        self._arrived.clear()
        reader, self._reader = self._reader, None
        if reader is not None:
            await reader.close()

    def _advance(self, message: T) -> None:
        part = message.part if message.part < message.parts else WHOLE
        self.cursor = replace(self.cursor, window_id=message.window_id, part=part)

    async def _next(self) -> Delivery:
        """The next message, whatever it takes within the limit of an outage."""
        while not self._arrived:
            try:
                await self._receive()
            except RETRYABLE as error:
                await self.close()
                await self._wait_before_retry(error)
            else:
                self._backoff.reset()
        return self._arrived.popleft()

    async def _receive(self) -> None:
        """Wait until messages came, or a pull request ended without one."""
        reader = self._reader
        if reader is None or not reader.is_pulling:
            reader = await self._pull()
        if self._arrived:
            return
        await self._nc.until_disconnected(reader.wait())
        if reader.is_exhausted and not self._arrived:
            # Whatever was for us up to the pull has come: only what follows can still be lost.
            last_seq = max(self.cursor.last_seq, self._last_seq_at_pull)
            self.cursor = replace(self.cursor, last_seq=last_seq)

    async def _pull(self) -> StreamReader:
        state = await stream_state(self._nc, STREAM)
        await self._require_unread(state)
        self._last_seq_at_pull = state.last_seq
        if self._reader is None:
            at = ReadPosition(STREAM, self.cursor.last_seq + 1, self._subject)
            reader = StreamReader(self._nc, at, on_messages=self._arrived.extend, timing=TIMING)
            await reader.open()
            self._reader = reader  # not before: who is cancelled here begins anew
        await self._reader.request(messages=BATCH)
        return self._reader

    async def _require_unread(self, state: StreamState) -> None:
        """Raise when what is next to read is not in the stream; the next pull takes what is."""
        at = self.cursor
        if at.created == state.created and state.first_seq - 1 <= at.last_seq <= state.last_seq:
            return
        await self.close()
        first_seq = max(state.first_seq, 1)
        self.cursor = Cursor(state.created, first_seq - 1, at.window_id, at.part)
        if at.created == state.created:
            lost = f"{at.last_seq + 1} was next to read, {first_seq} is the first that is kept"
        else:
            lost = f"the stream was made again at {state.created}, after {at.last_seq} was read"
        raise ResultsLost(
            f"results on {self._subject} are no longer kept",
            detail=lost,
            hint="Read on for what is kept; the ledger has the rest: `rebuild` an agent's results",
        )

    async def _wait_before_retry(self, error: Exception) -> None:
        try:
            await wait_before_retry(self._backoff, error)
        except RETRYABLE as final:
            self._backoff.reset()
            raise unavailable(f"{self._subject}: {describe(final)}") from final
