"""Load workloads into a real log, window by window, before it is drained.

Promise: every message is acknowledged by the server, and a window's bids are published within the
window. The log ends with the tick that closes the last window.
"""

import asyncio
import time
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final

from bench.harness.testbed import LoadedLog
from bench.workload import Message, Workload, bids, opening
from connectors.nats.commands import commands
from connectors.nats.publisher import Publisher
from connectors.nats.subjects import clock_subject, shard_of
from state.errors import WalrasError

IN_FLIGHT: Final = 4096
"""Messages that are not acknowledged yet: so many keep the server busy and fit into its queue."""
PAST_BOUNDARY_MS: Final = 5
NS_PER_MS: Final = 1_000_000


class LoadTooSlow(WalrasError):
    """A window ended before its bids were published."""


async def load(url: str, workloads: Sequence[Workload]) -> LoadedLog:
    """Open each workload's market, then publish the bids of one window after another.

    All have windows of one length and as many of them; each market has a shard to itself.
    """
    window_ms = workloads[0].window_ms
    async with commands(url, in_flight=IN_FLIGHT) as publisher:
        opened = [await open_market(publisher, workload) for workload in workloads]
        assert len(set(opened)) == len(workloads), "each market has a shard to itself"
        await next_window(window_ms)
        opened_seq = {shard: await _tick(publisher, shard) for shard in opened}
        streams = [bids(workload) for workload in workloads]
        messages, seconds = 0, 0.0
        for _ in range(workloads[0].windows):
            ends_ms = await next_window(window_ms)
            began = time.perf_counter()
            for workload, stream in zip(workloads, streams, strict=True):
                window = islice(stream, workload.messages_per_window)
                messages += await publish(publisher, window)
            seconds += time.perf_counter() - began
            _require_in_time(ends_ms, workloads[0])
        await next_window(window_ms)
        last_seq = {shard: await _tick(publisher, shard) for shard in opened}
    return LoadedLog(
        messages=messages,
        bids=sum(workload.bids for workload in workloads),
        seconds=seconds,
        opened_seq=opened_seq,
        last_seq=last_seq,
    )


async def open_market(publisher: Publisher, workload: Workload) -> int:
    """Open the market and grant the credits; its shard."""
    first, *grants = opening(workload)
    receipt = await publisher.publish(first.subject, first.payload, msg_id=first.msg_id)
    await publish(publisher, grants)
    return shard_of(receipt.stream)


async def publish(publisher: Publisher, messages: Iterable[Message]) -> int:
    """Publish messages, many in flight, and wait until all are acknowledged; how many."""
    receipts = [
        await publisher.publish_async(each.subject, each.payload, msg_id=each.msg_id)
        for each in messages
    ]
    await asyncio.gather(*receipts)
    return len(receipts)


async def next_window(window_ms: int) -> int:
    """Wait for the next window to begin; when it ends, in ms since the epoch."""
    now_ms = time.time_ns() / NS_PER_MS
    begins_ms = (int(now_ms) // window_ms + 1) * window_ms
    # A little later, so that the server's clock has surely passed the boundary too.
    await asyncio.sleep((begins_ms - now_ms + PAST_BOUNDARY_MS) / 1000)
    return begins_ms + window_ms


async def _tick(publisher: Publisher, shard: int) -> int:
    """Publish the tick that ends the window before; its sequence."""
    tick = await publisher.publish(clock_subject(shard), b"", msg_id=None)
    return tick.seq


def _require_in_time(ends_ms: int, workload: Workload) -> None:
    late_ms = time.time_ns() // NS_PER_MS - ends_ms
    if late_ms >= 0:
        raise LoadTooSlow(
            "the log could not be loaded in time",
            detail=f"{workload.per_window} bids took {workload.window_ms + late_ms} ms, "
            f"longer than their window of {workload.window_ms} ms",
            hint="Give the workload a longer window, or the machine some rest",
        )
