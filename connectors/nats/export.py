"""A shard's whole log, read from its stream for a file or an inspection.

Promise: every message up to the last one at the time of the call, none missing, in order.
"""

from collections.abc import AsyncGenerator, Generator, Mapping
from dataclasses import dataclass
from typing import Final

from connectors.nats.background_loop import run_sync
from connectors.nats.connection import connected, translate_errors
from connectors.nats.reader import check_log, read_log
from connectors.nats.subjects import public_subject
from connectors.nats.topology import identity
from state.shard import StreamIdentity
from walras_client.nats.connection import Connection
from walras_client.nats.reader import Deliveries

CHUNK_MESSAGES: Final = 10_000
CHUNK_BYTES: Final = 32 << 20


@dataclass(frozen=True, slots=True)
class LogLine:
    """One message of the log with everything that it carries; the subject is the public one."""

    seq: int
    timestamp_ns: int
    subject: str
    payload: bytes
    headers: Mapping[str, str]


def export_log(url: str, *, shard: int) -> Generator[LogLine, None, None]:
    """The log of the shard from its first message on."""
    chunks = _chunks(url, shard)
    what, hint = "a log was not read to its end", "Check that nats-server runs, and begin again"
    try:
        with translate_errors(what, of=f"shard {shard}", hint=hint):
            while chunk := run_sync(_next(chunks)):
                yield from chunk
    finally:
        run_sync(chunks.aclose())


async def _next(chunks: AsyncGenerator[list[LogLine], None]) -> list[LogLine]:
    return await anext(chunks, [])


async def _chunks(url: str, shard: int) -> AsyncGenerator[list[LogLine], None]:
    async with connected(url, name="walras log export") as nc:
        log = await identity(nc, shard)
        last_seq = await check_log(nc, log, next_seq=1)
        async for chunk in _read(nc, log, shard, last_seq):
            yield chunk


async def _read(
    nc: Connection, log: StreamIdentity, shard: int, last_seq: int
) -> AsyncGenerator[list[LogLine], None]:
    lines: list[LogLine] = []

    def add(messages: Deliveries) -> None:
        for msg in messages:
            subject = public_subject(msg.subject, shard=shard)
            lines.append(LogLine(msg.seq, msg.timestamp_ns, subject, msg.payload, msg.headers))

    async with read_log(nc, log, next_seq=1, on_messages=add) as reader:
        while (left := last_seq + 1 - reader.next_seq) > 0:
            await reader.pull(messages=min(left, CHUNK_MESSAGES), max_bytes=CHUNK_BYTES)
            if lines:
                yield lines.copy()
                lines.clear()
