"""What a market tells, heard window by window, through lost connections and restarts of the agent.

Promise: each window is handed out once and in order, however often it was published; reading goes
on where it stood. What the stream has dropped by the time of a pull is told (`ResultsLost`), never
skipped in silence.
"""

import logging
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Final, Generic, Protocol, Self, TypeVar

from walras_client.backoff import TROUBLE, Patience, told
from walras_client.errors import ResultsLost
from walras_client.nats.connection import Link, away
from walras_client.nats.reader import Delivery, Kept, Tail, open_tail, read_kept, read_last
from walras_schemas import MarketWindow, subjects

OUTAGE_LIMIT_S: Final = 300.0

log = logging.getLogger(__name__)


class OfWindow(Protocol):
    """What tells of one window."""

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
class Bookmark:
    """Where reading stands: what a later process needs to go on there."""

    created: str
    """When the stream was made that `last_seq` counts in."""
    last_seq: int
    """Last read."""
    window_id: int = 0
    """The last window that was handed out, or had been told before; 0 where there was none."""
    part: int = WHOLE
    """The last part of it that was handed out."""


async def bookmark_now(link: Link, market: str) -> Bookmark:
    """The place after everything that the market has told by now."""
    # The window first: a market tells a window's prices after all of its other results.
    last = await read_last(link, subjects.window(market))
    kept = await read_kept(link)
    window_id = MarketWindow.model_validate_json(last).window_id if last else 0
    return Bookmark(kept.created, kept.last_seq, window_id)


class Following(Generic[T]):
    """An endless iterator over one subject; it can be left and iterated again, by one at a time."""

    def __init__(
        self, link: Link, subject: str, *, read: Callable[[bytes], T], after: Bookmark
    ) -> None:
        self.bookmark = after
        """Where reading stands: right after what was handed out last."""
        self._link = link
        self._subject = subject
        self._read = read
        self._tail: Tail | None = None
        self._last_seq_at_pull = after.last_seq
        self._patience = Patience(OUTAGE_LIMIT_S)

    def __aiter__(self) -> Self:
        return self

    async def __anext__(self) -> T:
        while True:
            delivery = await self._next()
            self.bookmark = replace(self.bookmark, last_seq=delivery.seq)
            try:
                news = self._read(delivery.payload)
            except ValueError as strange:
                log.warning("%s: passed over what is no result: %s", self._subject, strange)
                continue
            if (news.window_id, news.part) > (self.bookmark.window_id, self.bookmark.part):
                self._hand_out(news)
                return news

    async def close(self) -> None:
        """Have nothing delivered any more; to iterate again is to go on after the bookmark."""
        tail, self._tail = self._tail, None
        if tail is not None:
            await tail.close()

    def _hand_out(self, news: T) -> None:
        part = news.part if news.part < news.parts else WHOLE
        self.bookmark = replace(self.bookmark, window_id=news.window_id, part=part)

    async def _next(self) -> Delivery:
        """The next message, whatever it takes within the limit of an outage."""
        while True:
            try:
                delivery = await self._next_of_pull()
            except TROUBLE as trouble:
                await self.close()
                await self._bear(trouble)
            else:
                self._patience.relieve()
                if delivery:
                    return delivery

    async def _next_of_pull(self) -> Delivery | None:
        if self._tail is None or not self._tail.is_pulling:
            await self._pull()
        assert self._tail is not None
        delivery = await self._tail.next()
        if delivery is None:
            # Whatever was for us up to the pull has come: only what follows can still be lost.
            self._move_to(self._last_seq_at_pull)
        return delivery

    async def _pull(self) -> None:
        kept = await read_kept(self._link)
        await self._require_unread(kept)
        self._last_seq_at_pull = kept.last_seq
        if self._tail is None:
            next_seq = self.bookmark.last_seq + 1
            self._tail = await open_tail(self._link, self._subject, next_seq=next_seq)
        await self._tail.pull()

    async def _require_unread(self, kept: Kept) -> None:
        """Raise when what is next to read is not in the stream; the next pull takes what is."""
        stood = self.bookmark
        if stood.created == kept.created and kept.first_seq - 1 <= stood.last_seq <= kept.last_seq:
            return
        await self.close()
        first_seq = max(kept.first_seq, 1)
        self.bookmark = Bookmark(kept.created, first_seq - 1, stood.window_id, stood.part)
        if stood.created == kept.created:
            lost = f"{stood.last_seq + 1} was next to read, {first_seq} is the first that is kept"
        else:
            lost = f"the stream was made again at {kept.created}, after {stood.last_seq} was read"
        raise ResultsLost(
            f"results on {self._subject} are no longer kept",
            detail=lost,
            hint="Read on for what is kept; the ledger has the rest: `rebuild` an agent's results",
        )

    def _move_to(self, last_seq: int) -> None:
        if last_seq > self.bookmark.last_seq:
            self.bookmark = replace(self.bookmark, last_seq=last_seq)

    async def _bear(self, trouble: Exception) -> None:
        try:
            await self._patience.bear(trouble)
        except TROUBLE as lasting:
            self._patience.relieve()
            raise away(f"{self._subject}: {told(lasting)}") from lasting
