"""Ticks for windows shorter than a second, which the server's own schedules cannot give.

Promise: one tick a shard and window at most, however many tickers run (the id names the window),
and none matters to an outcome: a tick only says that time has passed.
"""

import asyncio
import logging
import time
from collections.abc import Collection, Iterator
from concurrent.futures import Future
from contextlib import contextmanager

from nats.errors import Error as NatsError

from connectors.nats.background_loop import start
from connectors.nats.connection import OUTAGE_LIMIT_S, Patience
from connectors.nats.jetstream import NS_PER_S
from connectors.nats.publisher import Outbox, open_outbox
from connectors.nats.subjects import clock_subject
from state.dedupe import NS_PER_MS

log = logging.getLogger(__name__)


@contextmanager
def ticking(url: str, *, shards: Collection[int], window_ms: int) -> Iterator[None]:
    """Tick at the end of every window until the block ends."""
    running = start(_tick_for_ever(url, shards, window_ms))
    running.add_done_callback(_tell_failure)
    try:
        yield
    finally:
        running.cancel()


async def tick(outbox: Outbox, *, shard: int, window_id: int) -> None:
    """Tell the shard that the window has begun."""
    await outbox.publish(clock_subject(shard), b"", msg_id=f"tick-{shard}-{window_id}")


async def _tick_for_ever(url: str, shards: Collection[int], window_ms: int) -> None:
    patience = Patience(
        "ticks cannot be published",
        hint="Check that nats-server runs; idle windows stay open",
        limit_s=OUTAGE_LIMIT_S,
    )
    async with open_outbox(url, name="walras ticker") as outbox:
        while True:
            try:
                await _tick_next(outbox, shards, window_ms)
                patience.relieve()
            except NatsError as trouble:
                await patience.bear(trouble)


async def _tick_next(outbox: Outbox, shards: Collection[int], window_ms: int) -> None:
    window_ns = window_ms * NS_PER_MS
    window_id = time.time_ns() // window_ns + 1
    # A timer may end a little early, and a tick stamped before the window began would end none.
    while (left_ns := window_id * window_ns - time.time_ns()) > 0:  # noqa: ASYNC110 - for the clock
        await asyncio.sleep(left_ns / NS_PER_S)
    await asyncio.gather(*(tick(outbox, shard=shard, window_id=window_id) for shard in shards))


def _tell_failure(ended: Future[None]) -> None:
    if not ended.cancelled() and (failure := ended.exception()):
        log.error("%s", failure)
