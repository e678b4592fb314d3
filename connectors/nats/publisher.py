"""The last step of the flow: what a committed window has to tell leaves, then counts as told.

Promise: a window is marked as published after the server holds all its messages; a window that is
published again after a crash gives the same messages with the same ids, so readers see each once
within the duplicate window and can tell a repetition after it.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager

from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError
from nats.js.errors import APIError, BadRequestError

from connectors.nats.connection import OUTAGE_LIMIT_S, Patience, told
from connectors.nats.loop import held, wait_for
from connectors.nats.outbox import BATCH_MAX, Outbox, open_outbox
from state.errors import WalrasError
from state.settlement import Announcement, ClosedWindow, Settlement

Announce = Callable[[Settlement], Sequence[Announcement]]
MarkPublished = Callable[[int, int], None]
PublishStep = Callable[[ClosedWindow], Iterable[ClosedWindow]]
Unpublished = tuple[Announcement, Exception]


class Publisher:
    """Where the results of this process leave."""

    def __init__(self, outbox: Outbox) -> None:
        self._outbox = outbox

    def publish(self, announcements: Sequence[Announcement]) -> None:
        """Return when the server holds all of them."""
        wait_for(_publish_all(self._outbox, announcements))


@contextmanager
def open_publisher(url: str) -> Iterator[Publisher]:
    """A publisher for as long as the flow runs, over a connection of its own."""
    with held(open_outbox(url, name="walras publish")) as outbox:
        yield Publisher(outbox)


def publish(
    publisher: Publisher, *, announce: Announce, mark_published: MarkPublished
) -> Callable[[int], PublishStep]:
    """The step, to be built for each shard; `mark_published` gets the shard and the window."""

    def build(_shard: int) -> PublishStep:
        def step(window: ClosedWindow) -> Iterable[ClosedWindow]:
            if isinstance(window, Settlement):
                publisher.publish(announce(window))
                mark_published(window.shard, window.window_id)
            yield window

        return step

    return build


async def _publish_all(outbox: Outbox, announcements: Sequence[Announcement]) -> None:
    """Send all, then again what was not acknowledged; the ids make a repetition harmless."""
    patience = Patience(
        "results cannot be published",
        hint="Check that nats-server runs; they are in the ledger and leave when it is back",
        limit_s=OUTAGE_LIMIT_S,
    )
    left = announcements
    while failures := await _attempt(outbox, left):
        for message, failure in failures:
            if isinstance(failure, MaxPayloadError | BadRequestError):
                raise _refused(message, failure) from failure
        left = [message for message, _ in failures]
        await patience.bear(failures[0][1])


async def _attempt(outbox: Outbox, announcements: Sequence[Announcement]) -> list[Unpublished]:
    """What was not acknowledged, and why."""
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
