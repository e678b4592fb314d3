"""A shard's whole log, read from its stream for a file or an inspection.

Promise: every message up to the last one at the time of the call, none missing, in order.
"""

from collections.abc import AsyncGenerator, Generator, Mapping
from dataclasses import dataclass
from itertools import count

from nats.errors import Error as NatsError

from connectors.nats.background_loop import wait_for
from connectors.nats.connection import Line, connected, told
from connectors.nats.reader import Tail, check_log
from connectors.nats.subjects import public_subject
from connectors.nats.topology import identity
from connectors.nats.wire import Delivery
from state.errors import ServerUnreachable
from state.shard import StreamIdentity

CHUNK_MESSAGES = 10_000
CHUNK_BYTES = 32 << 20


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
    try:
        while chunk := wait_for(_next(chunks)):
            yield from chunk
    except NatsError as failure:
        raise ServerUnreachable(
            f"the log of shard {shard} was not read to its end",
            detail=told(failure),
            hint="Check that nats-server runs, and begin again",
        ) from failure
    finally:
        wait_for(chunks.aclose())


async def _next(chunks: AsyncGenerator[list[LogLine], None]) -> list[LogLine]:
    return await anext(chunks, [])


async def _chunks(url: str, shard: int) -> AsyncGenerator[list[LogLine], None]:
    async with connected(url, name="walras log export") as nc:
        log = await identity(nc, shard)
        last_seq = await check_log(nc, log, next_seq=1)
        async for chunk in _read(nc, log, shard, last_seq):
            yield chunk


async def _read(
    nc: Line, log: StreamIdentity, shard: int, last_seq: int
) -> AsyncGenerator[list[LogLine], None]:
    seqs = count(1)
    lines: list[LogLine] = []

    def take(timestamp_ns: int, msg: Delivery) -> None:
        subject = public_subject(msg.subject, shard=shard)
        lines.append(LogLine(next(seqs), timestamp_ns, subject, msg.data, msg.headers))

    async with Tail(nc, log, next_seq=1, take=take) as reading:
        while (left := last_seq + 1 - reading.next_seq) > 0:
            await reading.pull(messages=min(left, CHUNK_MESSAGES), max_bytes=CHUNK_BYTES)
            if lines:
                yield lines.copy()
                lines.clear()
