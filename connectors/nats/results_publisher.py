"""The last step of the flow: what a committed window has to tell leaves, then counts as told.

Promise: a window is marked as published after the server holds all its messages, and the server
holds each of them once: they leave in batches that a fence lets in one after another, whoever sends
them and however often (connectors/nats/fence.py). Whoever waits here is let go at once when the
publisher is closed.
"""

import asyncio
from collections.abc import (
    AsyncIterator,
    Callable,
    Coroutine,
    Iterable,
    Iterator,
    Mapping,
    Sequence,
)
from concurrent.futures import CancelledError, Future
from contextlib import asynccontextmanager, closing, contextmanager
from typing import Final

from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError
from nats.js.errors import APIError, BadRequestError

from connectors.nats.background_loop import open_on_loop, submit
from connectors.nats.connection import OUTAGE_LIMIT_S, Retry, connected
from connectors.nats.fence import Fence, Mark, read_fence
from connectors.nats.publisher import BATCH_MAX, Publisher
from state.errors import ServerUnreachable, WalrasError
from state.shard import StreamIdentity
from state.window import ClosedWindow, OutboundMessage, Settlement
from walras_client.nats.connection import Connection
from walras_client.nats.errors import describe

KEPT_OUT: Final = {
    10071,  # wrong last sequence: the fence has moved
    10201,  # duplicate message id: asked before the fence is, while the server remembers the ids
}
"""The server's codes for a batch that another sender may have sent already."""

Announce = Callable[[Settlement], Sequence[OutboundMessage]]
MarkPublished = Callable[[int, int], None]
PublishStep = Callable[[ClosedWindow], Iterable[ClosedWindow]]
Unpublished = tuple[OutboundMessage, Exception]


class ResultsPublisher:
    """Where messages of this process leave."""

    def __init__(self, nc: Connection, publisher: Publisher) -> None:
        self._nc = nc
        self._sender = publisher
        self._fences: dict[int, Fence] = {}
        self._sending: set[Future[None]] = set()
        self._closed = False

    def publish(self, messages: Sequence[OutboundMessage]) -> None:
        """Return when the server holds all of them; their ids keep a repetition out for a while."""
        self._wait_for(self._publish(messages))

    def tell(self, shard: int, results: Sequence[OutboundMessage], *, of: Mark) -> None:
        """Return when the server holds the results of a window, each once; `of` has no part yet."""
        self._wait_for(self._tell(shard, results, of))

    def close(self) -> None:
        """Let go of NATS for good: what waits for it fails."""
        self._closed = True
        for sending in list(self._sending):
            sending.cancel()

    def _wait_for(self, coro: Coroutine[object, object, None]) -> None:
        sending = submit(coro)
        self._sending.add(sending)
        if self._closed:
            sending.cancel()
        try:
            sending.result()
        except CancelledError:
            raise _untold() from None
        finally:
            self._sending.remove(sending)

    async def _tell(self, shard: int, results: Sequence[OutboundMessage], of: Mark) -> None:
        for part, batch in enumerate(_batches(results, BATCH_MAX - 1), 1):
            await self._tell_part(shard, batch, Mark(of.ledger, of.window_id, part))

    async def _tell_part(self, shard: int, batch: Sequence[OutboundMessage], mark: Mark) -> None:
        retry = Retry(
            "results cannot be published",
            hint="Check that nats-server runs; they are in the ledger and leave when it is back",
            limit_s=OUTAGE_LIMIT_S,
        )
        while True:
            try:
                return await self._nc.until_disconnected(self._pass_fence(shard, batch, mark))
            except NatsError as failure:
                self._fences.pop(shard, None)  # whether it is through is read from the stream
                if isinstance(failure, MaxPayloadError | BadRequestError) and not _kept_out(
                    failure
                ):
                    raise _refused(batch[0], failure) from failure
                await retry.wait(failure)

    async def _pass_fence(self, shard: int, batch: Sequence[OutboundMessage], mark: Mark) -> None:
        fence = self._fences.get(shard) or await read_fence(self._nc, shard)
        if not fence.lets_nothing_in(mark):
            sending = await self._sender.publish_batch_async(
                [*batch, mark.announced(shard)], after=fence.seq
            )
            fence = Fence((await sending).seq, mark)
        self._fences[shard] = fence

    async def _publish(self, messages: Sequence[OutboundMessage]) -> None:
        retry = Retry(
            "messages cannot be published",
            hint="Check that nats-server runs; they leave when it is back",
            limit_s=OUTAGE_LIMIT_S,
        )
        left = messages
        while failures := await self._attempt(left):
            for message, failure in failures:
                if isinstance(failure, MaxPayloadError | BadRequestError):
                    raise _refused(message, failure) from failure
            left = [message for message, _ in failures]
            await retry.wait(failures[0][1])

    async def _attempt(self, messages: Sequence[OutboundMessage]) -> list[Unpublished]:
        """What was not acknowledged, and why; on a lost line that is all of it."""
        try:
            return await self._nc.until_disconnected(_send(self._sender, messages))
        except NatsError as failure:
            return [(message, failure) for message in messages]


@contextmanager
def open_publisher(url: str) -> Iterator[ResultsPublisher]:
    """A publisher for as long as the flow runs, over a connection of its own."""
    with open_on_loop(_publisher(url)) as opened, closing(opened) as publisher:
        yield publisher


@asynccontextmanager
async def _publisher(url: str) -> AsyncIterator[ResultsPublisher]:
    async with connected(url, name="walras publish") as nc:
        yield ResultsPublisher(nc, Publisher(nc))


def publish(
    publisher: ResultsPublisher,
    *,
    identities: Mapping[int, StreamIdentity],
    window_ms: int,
    announce: Announce,
    mark_published: MarkPublished,
) -> Callable[[int], PublishStep]:
    """The step, to be built for each shard; `mark_published` gets the shard and the window."""

    def build(shard: int) -> PublishStep:
        ledger = f"{identities[shard].created_ns}/{window_ms}"

        def step(window: ClosedWindow) -> Iterable[ClosedWindow]:
            if isinstance(window, Settlement):
                publisher.tell(shard, announce(window), of=Mark(ledger, window.window_id, 0))
                mark_published(shard, window.window_id)
            yield window

        return step

    return build


def _batches(messages: Sequence[OutboundMessage], size: int) -> Iterator[Sequence[OutboundMessage]]:
    return (messages[at : at + size] for at in range(0, len(messages), size))


async def _send(publisher: Publisher, messages: Sequence[OutboundMessage]) -> list[Unpublished]:
    batches = _batches(messages, BATCH_MAX)
    return [failed for batch in batches for failed in await _attempt_batch(publisher, batch)]


async def _attempt_batch(
    publisher: Publisher, batch: Sequence[OutboundMessage]
) -> list[Unpublished]:
    """Publish a batch in one go; one by one when it is refused, as one that is half there is."""
    try:
        await (await publisher.publish_batch_async(batch))
    except APIError:
        return await _attempt_each(publisher, batch)
    except NatsError as failure:
        return [(message, failure) for message in batch]
    return []


async def _attempt_each(
    publisher: Publisher, batch: Sequence[OutboundMessage]
) -> list[Unpublished]:
    acks = [await publisher.publish_async(m.subject, m.payload, msg_id=m.msg_id) for m in batch]
    outcomes = await asyncio.gather(*acks, return_exceptions=True)
    return [
        (message, outcome)
        for message, outcome in zip(batch, outcomes, strict=True)
        if isinstance(outcome, Exception)
    ]


def _kept_out(failure: Exception) -> bool:
    return isinstance(failure, APIError) and failure.err_code in KEPT_OUT


def _refused(message: OutboundMessage, failure: Exception) -> WalrasError:
    return WalrasError(
        "NATS refused a result",
        detail=f"{message.subject}: {describe(failure)}",
        hint="Compare the stream RESULTS and the server's max_payload with connectors/nats",
    )


def _untold() -> ServerUnreachable:
    return ServerUnreachable(
        "the results of a window are not known to be out",
        detail="the flow ended while it waited for NATS",
        hint="Nothing is lost: they are in the ledger and leave at the next start",
    )
