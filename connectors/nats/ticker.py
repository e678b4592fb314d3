"""Ticks for windows shorter than a second, which the server's own schedules cannot give.

Promise: no tick matters to an outcome: it only says that time has passed, and a second one of the
same window says nothing new. So a tick has no message id: one that names the window could be taken
first by anybody, and the tick that closes the window would be dropped as a repetition.
"""

import asyncio
import logging
import time
from collections.abc import Collection, Iterator
from concurrent.futures import Future
from contextlib import contextmanager

from nats.errors import Error as NatsError

from connectors.nats.background_loop import submit
from connectors.nats.connection import OUTAGE_LIMIT_S, Retry, connected
from connectors.nats.publisher import Publisher
from connectors.nats.subjects import clock_subject
from state.dedupe import NS_PER_MS
from walras_client.nats.jetstream import NS_PER_S

log = logging.getLogger(__name__)


@contextmanager
def ticking(url: str, *, shards: Collection[int], window_ms: int) -> Iterator[None]:
    """Tick at the end of every window until the block ends."""
    running = submit(_tick_for_ever(url, shards, window_ms))
    running.add_done_callback(_log_failure)
    try:
        yield
    finally:
        running.cancel()


async def tick(publisher: Publisher, shard: int) -> None:
    """Publish to the shard that time has passed."""
    await publisher.publish(clock_subject(shard), b"", msg_id=None)


async def _tick_for_ever(url: str, shards: Collection[int], window_ms: int) -> None:
    retry = Retry(
        "ticks cannot be published",
        hint="Check that nats-server runs; idle windows stay open",
        limit_s=OUTAGE_LIMIT_S,
    )
    async with connected(url, name="walras ticker") as nc:
        publisher = Publisher(nc)
        while True:
            try:
                await _tick_next(publisher, shards, window_ms)
                retry.reset()
            except NatsError as error:
                await retry.wait(error)


async def _tick_next(publisher: Publisher, shards: Collection[int], window_ms: int) -> None:
    window_ns = window_ms * NS_PER_MS
    window_id = time.time_ns() // window_ns + 1
    # A timer may end a little early, and a tick stamped before the window began would end none.
    while (left_ns := window_id * window_ns - time.time_ns()) > 0:  # noqa: ASYNC110 - for the clock
        await asyncio.sleep(left_ns / NS_PER_S)
    await asyncio.gather(*(tick(publisher, shard) for shard in shards))


def _log_failure(ended: Future[None]) -> None:
    if not ended.cancelled() and (failure := ended.exception()):
        log.error("%s", failure)
