"""Load workloads into a real log, window by window, before it is drained.

Promise: every message is acknowledged by the server, and a window's bids are published within the
window. The log ends with the tick that closes the last window.
"""

import asyncio
import time
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Final

from bench.harness.testbed import LoadedLog
from bench.workload import Message, Workload, bids, opening
from connectors.nats.commands import commands
from connectors.nats.publisher import BATCH_MAX, Publisher
from connectors.nats.subjects import shard_of
from state.errors import WalrasError
from state.window import OutboundMessage
from walras_schemas import BATCH_MAX as COMMANDS_MAX
from walras_schemas import subjects

IN_FLIGHT_BATCHES: Final = 4
COMMANDS_IN_BATCH: Final = 5000
"""In one atomic batch of messages, which the server holds in memory until it is complete."""
PAST_BOUNDARY_MS: Final = 5
NS_PER_MS: Final = 1_000_000


class LoadTooSlow(WalrasError):
    """A window ended before its bids were published."""


async def load(url: str, workloads: Sequence[Workload]) -> LoadedLog:
    """Open each workload's market, then publish the bids of one window after another.

    All have windows of one length and as many of them; each market has a shard to itself.
    """
    window_ms = workloads[0].window_ms
    async with commands(url, in_flight=IN_FLIGHT_BATCHES) as publisher:
        opened = [await open_market(publisher, workload) for workload in workloads]
        assert len(set(opened)) == len(workloads), "each market has a shard to itself"
        await next_window(window_ms)
        opened_seq = {shard: await _tick(publisher, shard, "opened") for shard in opened}
        streams = [bids(workload) for workload in workloads]
        messages, seconds = 0, 0.0
        for _ in range(workloads[0].windows):
            ends_ms = await next_window(window_ms)
            began = time.perf_counter()
            for workload, stream in zip(workloads, streams, strict=True):
                window = islice(stream, workload.messages_per_window)
                messages += await publish(publisher, window, of=workload.per_message)
            seconds += time.perf_counter() - began
            _require_in_time(ends_ms, workloads[0])
        await next_window(window_ms)
        last_seq = {shard: await _tick(publisher, shard, "loaded") for shard in opened}
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
    await publish(publisher, grants, of=COMMANDS_MAX)
    return shard_of(receipt.stream)


async def publish(publisher: Publisher, messages: Iterable[Message], *, of: int) -> int:
    """Publish messages of so many commands in atomic batches, several in flight; how many."""
    receipts, count = [], 0
    for batch in _batches(iter(messages), max(1, min(BATCH_MAX, COMMANDS_IN_BATCH // of))):
        receipts.append(await publisher.publish_batch_async(batch))
        count += len(batch)
    await asyncio.gather(*receipts)
    return count


async def next_window(window_ms: int) -> int:
    """Wait for the next window to begin; when it ends, in ms since the epoch."""
    now_ms = time.time_ns() / NS_PER_MS
    begins_ms = (int(now_ms) // window_ms + 1) * window_ms
    # A little later, so that the server's clock has surely passed the boundary too.
    await asyncio.sleep((begins_ms - now_ms + PAST_BOUNDARY_MS) / 1000)
    return begins_ms + window_ms


def _batches(messages: Iterator[Message], size: int) -> Iterator[list[OutboundMessage]]:
    while chunk := list(islice(messages, size)):
        yield [OutboundMessage(each.subject, each.msg_id, each.payload) for each in chunk]


async def _tick(publisher: Publisher, shard: int, occasion: str) -> int:
    """Publish the tick that ends the window before."""
    tick = await publisher.publish(subjects.clock(shard), b"", msg_id=f"{occasion} {shard}")
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
