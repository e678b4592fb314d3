"""Load workloads into a real log, window by window, before it is drained.

Promise: every message is in its log, by the server's own count, and a window's bids are published
within the window. The log ends with the tick that closes the last window.
"""

import asyncio
import time
from collections.abc import Iterable, Sequence
from itertools import islice
from typing import Final

from bench.harness.testbed import LoadedLog
from bench.workload import Message, Workload, bids, opening
from connectors.nats.connection import connected
from connectors.nats.publisher import Publisher
from connectors.nats.subjects import clock_subject, shard_of
from state.errors import WalrasError
from walras_client.nats.connection import Connection
from walras_client.nats.publisher import MSG_ID, PubAck
from walras_schemas import BATCH_MAX as COMMANDS_MAX

MESSAGES_TOGETHER: Final = 1000
COMMANDS_TOGETHER: Final = 5000
"""In messages of which the last alone is acknowledged; the server drops what it cannot hold."""
PAST_BOUNDARY_MS: Final = 5
NS_PER_MS: Final = 1_000_000


class MessagesLost(WalrasError):
    """The log has fewer messages than were published."""


class LoadTooSlow(WalrasError):
    """A window ended before its bids were published."""


async def load(url: str, workloads: Sequence[Workload]) -> LoadedLog:
    """Open each workload's market, then publish the bids of one window after another.

    All have windows of one length and as many of them; each market has a shard to itself.
    """
    window_ms = workloads[0].window_ms
    async with connected(url, name="walras bench load") as nc:
        publisher = Publisher(nc)
        opened = [await open_market(nc, workload) for workload in workloads]
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
                messages += await publish(nc, window, of=workload.per_message)
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


async def open_market(nc: Connection, workload: Workload) -> int:
    """Open the market and grant the credits; its shard."""
    first, *grants = opening(workload)
    receipt = await Publisher(nc).publish(first.subject, first.payload, msg_id=first.msg_id)
    await publish(nc, grants, of=COMMANDS_MAX)
    return shard_of(receipt.stream)


async def publish(nc: Connection, messages: Iterable[Message], *, of: int) -> int:
    """Publish messages of so many commands, all of one shard; how many."""
    publisher, messages = Publisher(nc), iter(messages)
    first = next(messages)
    seq, published = (await _publish_one(publisher, first)).seq, 1
    together = max(1, min(MESSAGES_TOGETHER, COMMANDS_TOGETHER // of))
    while chunk := list(islice(messages, together)):
        *others, last = chunk
        await nc.write(map(frame, others))
        ack = await _publish_one(publisher, last)
        if ack.seq < seq + len(chunk):
            raise _lost(ack.stream, len(chunk), ack.seq - seq)
        seq, published = ack.seq, published + len(chunk)
    return published


async def _publish_one(publisher: Publisher, message: Message) -> PubAck:
    return await publisher.publish(message.subject, message.payload, msg_id=message.msg_id)


def frame(message: Message, *, reply: str = "") -> bytes:
    """A message as the NATS protocol has it; without a `reply` nobody acknowledges it."""
    head = f"NATS/1.0\r\n{MSG_ID}: {message.msg_id}\r\n\r\n"
    length = len(head) + len(message.payload)
    command = f"HPUB {message.subject} {reply} {len(head)} {length}\r\n{head}"
    return b"%b%b\r\n" % (command.encode(), message.payload)


def _lost(stream: str, published: int, arrived: int) -> MessagesLost:
    return MessagesLost(
        "messages of a workload are not in the log",
        detail=f"{published} were published to {stream}, {arrived} arrived",
        hint="Run it again on a machine with more rest",
    )


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
