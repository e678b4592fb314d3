"""The last step of the flow: what a committed window has to tell leaves, then counts as told.

Promise: a window is marked as published after the server holds all its messages. A window that is
published again after a crash gives the same messages with the same ids, which the server knows for
a while; of a window that is older, only what is not in the stream yet is sent. Whoever waits here
is let go at once when the publisher is closed.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import asynccontextmanager, closing, contextmanager

import msgspec
from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError
from nats.js.errors import APIError, BadRequestError

from connectors.nats.api import NS_PER_S
from connectors.nats.connection import OUTAGE_LIMIT_S, Line, Patience, connected, told
from connectors.nats.latest import latest
from connectors.nats.loop import held, start
from connectors.nats.outbox import BATCH_MAX, Outbox
from connectors.nats.streams import RESULT_DEDUPE_S
from connectors.nats.subjects import RESULTS
from state.errors import ServerUnreachable, WalrasError
from state.settlement import Announcement, ClosedWindow, Settlement

LATE_NS = RESULT_DEDUPE_S * NS_PER_S // 2
"""The age of a window from which on the ids alone are not trusted."""

Announce = Callable[[Settlement], Sequence[Announcement]]
MarkPublished = Callable[[int, int], None]
PublishStep = Callable[[ClosedWindow], Iterable[ClosedWindow]]
Unpublished = tuple[Announcement, Exception]


class Told(msgspec.Struct):
    """What a result says of its window; an agent's or market's windows are told in their order."""

    window_id: int = -1


class Publisher:
    """Where the results of this process leave."""

    def __init__(self, line: Line, outbox: Outbox) -> None:
        self._line = line
        self._outbox = outbox
        self._sending: set[Future[None]] = set()
        self._closed = False

    def publish(
        self, announcements: Sequence[Announcement], *, of: Settlement | None = None
    ) -> None:
        """Return when the server holds all of them, which may be the results of a window."""
        sending = start(_publish_all(self._line, self._outbox, announcements, of))
        self._sending.add(sending)
        if self._closed:
            sending.cancel()
        try:
            sending.result()
        except CancelledError:
            raise _untold() from None
        finally:
            self._sending.remove(sending)

    def close(self) -> None:
        """Let go of NATS for good: what waits for it fails."""
        self._closed = True
        for sending in list(self._sending):
            sending.cancel()


@contextmanager
def open_publisher(url: str) -> Iterator[Publisher]:
    """A publisher for as long as the flow runs, over a connection of its own."""
    with held(_publisher(url)) as opened, closing(opened) as publisher:
        yield publisher


@asynccontextmanager
async def _publisher(url: str) -> AsyncIterator[Publisher]:
    async with connected(url, name="walras publish") as line, Outbox(line) as outbox:
        yield Publisher(line, outbox)


def publish(
    publisher: Publisher, *, announce: Announce, mark_published: MarkPublished
) -> Callable[[int], PublishStep]:
    """The step, to be built for each shard; `mark_published` gets the shard and the window."""

    def build(_shard: int) -> PublishStep:
        def step(window: ClosedWindow) -> Iterable[ClosedWindow]:
            if isinstance(window, Settlement):
                publisher.publish(announce(window), of=window)
                mark_published(window.shard, window.window_id)
            yield window

        return step

    return build


async def _publish_all(
    line: Line, outbox: Outbox, announcements: Sequence[Announcement], of: Settlement | None
) -> None:
    """Send all, then again what was not acknowledged; the ids make a repetition harmless."""
    patience = Patience(
        "results cannot be published",
        hint="Check that nats-server runs; they are in the ledger and leave when it is back",
        limit_s=OUTAGE_LIMIT_S,
    )
    left = announcements
    while failures := await _attempt(line, outbox, left, of):
        for message, failure in failures:
            if isinstance(failure, MaxPayloadError | BadRequestError):
                raise _refused(message, failure) from failure
        left = [message for message, _ in failures]
        await patience.bear(failures[0][1])


async def _attempt(
    line: Line, outbox: Outbox, announcements: Sequence[Announcement], of: Settlement | None
) -> list[Unpublished]:
    """What was not acknowledged, and why; on a lost line that is all of it."""
    try:
        if of is not None and time.time_ns() - of.stream_time_ns > LATE_NS:
            announcements = await line.unless_lost(_missing(line, announcements, of.window_id))
        return await line.unless_lost(_send(outbox, announcements))
    except NatsError as failure:
        return [(message, failure) for message in announcements]


async def _missing(
    line: Line, announcements: Sequence[Announcement], window_id: int
) -> list[Announcement]:
    """What the stream does not hold: neither of this window nor of one that was told after it."""
    found = await latest(line, RESULTS, [message.subject for message in announcements])
    out = {
        subject
        for subject, payload in found.items()
        if msgspec.json.decode(payload, type=Told).window_id >= window_id
    }
    return [message for message in announcements if message.subject not in out]


async def _send(outbox: Outbox, announcements: Sequence[Announcement]) -> list[Unpublished]:
    batches = [announcements[at : at + BATCH_MAX] for at in range(0, len(announcements), BATCH_MAX)]
    return [failed for batch in batches for failed in await _attempt_batch(outbox, batch)]


async def _attempt_batch(outbox: Outbox, batch: Sequence[Announcement]) -> list[Unpublished]:
    """Publish a batch in one go; one by one when it is refused, as one that is half there is."""
    try:
        await (await outbox.post_batch(batch))
    except APIError:
        return await _attempt_each(outbox, batch)
    except NatsError as failure:
        return [(message, failure) for message in batch]
    return []


async def _attempt_each(outbox: Outbox, batch: Sequence[Announcement]) -> list[Unpublished]:
    receipts = [await outbox.post(m.subject, m.payload, msg_id=m.msg_id) for m in batch]
    outcomes = await asyncio.gather(*receipts, return_exceptions=True)
    return [
        (message, outcome)
        for message, outcome in zip(batch, outcomes, strict=True)
        if isinstance(outcome, Exception)
    ]


def _refused(message: Announcement, failure: Exception) -> WalrasError:
    return WalrasError(
        "NATS refused a result",
        detail=f"{message.subject}: {told(failure)}",
        hint="Compare the stream RESULTS and the server's max_payload with connectors/nats",
    )


def _untold() -> ServerUnreachable:
    return ServerUnreachable(
        "the results of a window are not known to be out",
        detail="the flow ended while it waited for NATS",
        hint="Nothing is lost: they are in the ledger and leave at the next start",
    )
