"""The last step of the flow: what a committed window has to say leaves.

Promise: the window of each active market is in the stream `WINDOWS` before the step ends, once and
behind the one before it, however long a process was paused; outages are waited for, and whoever
waits is released when the publisher is closed. Before it, the results of agents leave live, at most
once: what cannot be sent is dropped and counted in the log, for the ledger has all of it
(docs/adr/0019).
"""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Coroutine, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError, Future
from contextlib import asynccontextmanager, closing, contextmanager
from typing import Any, Final, TypeVar

from nats.errors import Error as NatsError
from nats.errors import MaxPayloadError
from nats.js.errors import BadRequestError

from connectors.nats.background_loop import open_on_loop, submit
from connectors.nats.connection import (
    OUTAGE_LIMIT_S,
    Retry,
    connected,
    translate_errors,
)
from connectors.nats.missing_windows import StreamEnds
from connectors.nats.publisher import Publisher, is_behind
from connectors.nats.subjects import WINDOWS
from state.errors import ServerUnreachable, SettingsError, WalrasError
from state.window import ClosedWindow, OutboundMessage, Settlement, WindowSummary
from walras_client.nats.addresses import without_password
from walras_client.nats.connection import Connection
from walras_client.nats.errors import describe
from walras_client.nats.publisher import PubAck
from walras_schemas import RESULT_MAX_BYTES

CHUNK_BYTES: Final = 256 << 10
"""So much leaves in one write; while it does, the next is built."""

T = TypeVar("T")
LiveOf = Callable[[Settlement], Iterable[OutboundMessage]]
"""The results of a window's agents."""
DurableOf = Callable[[Settlement | WindowSummary], Iterable[OutboundMessage]]
"""The windows of its active markets."""
PublishStep = Callable[[ClosedWindow], Iterable[ClosedWindow]]
Unpublished = tuple[OutboundMessage, Exception]

log = logging.getLogger(__name__)


class ResultsPublisher:
    """Where the messages of committed windows leave."""

    def __init__(self, nc: Connection) -> None:
        self._nc = nc
        self._publisher = Publisher(nc)
        self._ends = StreamEnds(nc)
        self._sending: set[Future[Any]] = set()
        self._closed = False

    def publish_live(self, results: Iterable[OutboundMessage]) -> int:
        """Send what can be sent now to whoever listens; how many were dropped."""
        dropped = 0
        for frames, count in _chunks(results):
            dropped += 0 if self._wait_for(self._write(frames)) else count
        return dropped

    def publish_durable(self, windows: Sequence[OutboundMessage]) -> None:
        """Return when the stream has all of them, published here or by somebody else."""
        if windows:
            self._wait_for(self._publish(windows))

    def publish_missing(self, windows: Iterable[WindowSummary], durable_of: DurableOf) -> None:
        """Publish what a crash kept back; `windows` are those of a shard, the newest first.

        They are looked at until one is in the stream as a whole. Live results are not repeated.
        """
        kept_back = []
        for window in windows:
            with translate_errors("NATS did not show the last windows", of=WINDOWS):
                missing = self._wait_for(self._ends.missing(list(durable_of(window))))
            if not missing:
                break
            kept_back.append(missing)
        for messages in reversed(kept_back):
            self.publish_durable(messages)
        if kept_back:
            log.info("%d windows that a crash kept back are published", len(kept_back))

    def close(self) -> None:
        """Let go of NATS for good: what waits for it fails."""
        self._closed = True
        for sending in list(self._sending):
            sending.cancel()

    def _wait_for(self, coro: Coroutine[object, object, T]) -> T:
        sending = submit(coro)
        self._sending.add(sending)
        if self._closed:
            sending.cancel()
        try:
            return sending.result()
        except CancelledError:
            raise _unknown() from None
        finally:
            self._sending.remove(sending)

    async def _write(self, frames: bytes) -> bool:
        try:
            await self._nc.until_disconnected(self._nc.write([frames]))
        except NatsError as failure:
            log.debug("results are dropped: %s", describe(failure))
            return False
        return True

    async def _publish(self, windows: Sequence[OutboundMessage]) -> None:
        retry = Retry(
            "windows cannot be published",
            hint="Check that nats-server runs; they are in the ledger and leave when it is back",
            limit_s=OUTAGE_LIMIT_S,
        )
        left = windows
        while failures := await self._attempt(left):
            for message, failure in failures:
                if _is_final(failure):
                    raise _refused(message, failure) from failure
            left = [message for message, _ in failures]
            await retry.wait(failures[0][1])
        retry.reset()

    async def _attempt(self, messages: Sequence[OutboundMessage]) -> list[Unpublished]:
        """What was not acknowledged, and why; on a lost connection that is all of it."""
        try:
            return await self._nc.until_disconnected(self._send(messages))
        except NatsError as failure:
            return [(message, failure) for message in messages]

    async def _send(self, messages: Sequence[OutboundMessage]) -> list[Unpublished]:
        missing = await self._ends.missing(messages)
        acks = [
            await self._publisher.publish_async(
                each.subject,
                each.payload,
                msg_id=each.msg_id,
                last_seq=self._ends.last_seq(each.subject),
            )
            for each in missing
        ]
        outcomes = await asyncio.gather(*acks, return_exceptions=True)
        return list(self._failures(missing, outcomes))

    def _failures(
        self, sent: Sequence[OutboundMessage], outcomes: Sequence[PubAck | BaseException]
    ) -> Iterator[Unpublished]:
        for message, outcome in zip(sent, outcomes, strict=True):
            if isinstance(outcome, PubAck):
                self._ends.follow(message, outcome.seq)
            else:
                self._ends.forget(message.subject)
                if isinstance(outcome, Exception):
                    yield message, outcome


@contextmanager
def open_publisher(url: str) -> Iterator[ResultsPublisher]:
    """A publisher for as long as the flow runs, over a connection of its own."""
    with open_on_loop(_publisher(url)) as opened, closing(opened) as publisher:
        yield publisher


@asynccontextmanager
async def _publisher(url: str) -> AsyncIterator[ResultsPublisher]:
    async with connected(url, name="walras publish") as nc:
        if nc.max_payload < RESULT_MAX_BYTES:
            raise _too_small(url, nc.max_payload)
        yield ResultsPublisher(nc)


def publish(
    publisher: ResultsPublisher, *, live_of: LiveOf, durable_of: DurableOf
) -> Callable[[int], PublishStep]:
    """The step, to be built for each shard."""

    def step(window: ClosedWindow) -> Iterable[ClosedWindow]:
        if isinstance(window, Settlement):
            if dropped := publisher.publish_live(live_of(window)):
                log.warning(
                    "shard %d, window %d: %d results were dropped while NATS was unavailable; "
                    "agents find them with query.history",
                    window.shard,
                    window.window_id,
                    dropped,
                )
            publisher.publish_durable(list(durable_of(window)))
        yield window

    return lambda _shard: step


def _chunks(messages: Iterable[OutboundMessage]) -> Iterator[tuple[bytes, int]]:
    """Messages as the NATS protocol has them, and how many are in each chunk."""
    frames, count = bytearray(), 0
    for message in messages:
        payload = message.payload
        frames += f"PUB {message.subject} {len(payload)}\r\n".encode()
        frames += payload
        frames += b"\r\n"
        count += 1
        if len(frames) >= CHUNK_BYTES:
            yield bytes(frames), count
            frames, count = bytearray(), 0
    if count:
        yield bytes(frames), count


def _is_final(failure: Exception) -> bool:
    """Whether the same message will be refused again."""
    return isinstance(failure, MaxPayloadError | BadRequestError) and not is_behind(failure)


def _refused(message: OutboundMessage, failure: Exception) -> WalrasError:
    return WalrasError(
        "NATS refused the window of a market",
        detail=f"{message.subject}: {describe(failure)}",
        hint="Compare the stream WINDOWS and the server's max_payload with connectors/nats",
    )


def _too_small(url: str, max_payload: int) -> SettingsError:
    return SettingsError(
        "results do not fit into the messages of this NATS server",
        detail=f"{without_password(url)}: max_payload is {max_payload} bytes, "
        f"a result has up to {RESULT_MAX_BYTES}",
        hint="Start nats-server with connectors/nats/nats.conf",
    )


def _unknown() -> ServerUnreachable:
    return ServerUnreachable(
        "the windows of a shard may not be published",
        detail="the flow ended while it waited for NATS",
        hint="Nothing is lost: they are in the ledger and leave at the next start",
    )
