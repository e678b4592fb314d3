"""The log of a shard, read from a sequence on, in order and without a gap.

Promise: `on_messages` gets each message once, in the order of the sequences, or the error names
those that are missing.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Final

from state.errors import LogGap, LogReplaced
from state.shard import StreamIdentity
from walras_client.nats.connection import Connection
from walras_client.nats.jetstream import stream_state
from walras_client.nats.reader import (
    OnMessages,
    PullTiming,
    ReadPosition,
    SequenceGap,
    StreamReader,
)

EXPIRES_S: Final = 10
HEARTBEAT_S: Final = 1
SILENCE_S: Final = 3.0
FORGET_AFTER_S: Final = 30


@asynccontextmanager
async def read_log(
    nc: Connection, log: StreamIdentity, *, next_seq: int, on_messages: OnMessages
) -> AsyncIterator[StreamReader]:
    """Check that the stream is the one and holds what is next to read, and read it for a block."""
    await check_log(nc, log, next_seq=next_seq)
    timing = PullTiming(EXPIRES_S, HEARTBEAT_S, SILENCE_S, FORGET_AFTER_S)
    at = ReadPosition(log.name, next_seq)
    try:
        async with StreamReader(nc, at, on_messages=on_messages, timing=timing) as reader:
            yield reader
    except SequenceGap as lost:
        raise gap(log.name, next_seq=lost.next_seq, found_seq=lost.found_seq) from None


async def check_log(nc: Connection, stream: StreamIdentity, *, next_seq: int) -> int:
    """Raise unless this is the stream that `next_seq` (next to read) counts in; its last seq."""
    state = await stream_state(nc, stream.name)
    if state.created_ns != stream.created_ns:
        detail = (
            f"made at {state.created_ns} ns, the ledger knows the one of {stream.created_ns} ns"
        )
        raise replaced(stream.name, detail)
    if state.last_seq < next_seq - 1:
        detail = f"it ends with sequence {state.last_seq}, the ledger has applied {next_seq - 1}"
        raise replaced(stream.name, detail)
    if state.first_seq > next_seq:
        raise gap(stream.name, next_seq=next_seq, found_seq=state.first_seq)
    return state.last_seq


def gap(stream: str, *, next_seq: int, found_seq: int) -> LogGap:
    """Messages between the next to read and the one found are gone from the log."""
    assert found_seq > next_seq, "a consumer delivers no message twice"
    return LogGap(
        f"the log {stream} has a gap",
        detail=f"sequence {next_seq} is next to read, the log continues with {found_seq}",
        hint="Messages were purged, deleted or dropped by a limit: restore the stream",
    )


def replaced(stream: str, detail: str) -> LogReplaced:
    """The stream is not the one that the ledger was built from."""
    return LogReplaced(
        f"the log {stream} is another one than the ledger was built from",
        detail=detail,
        hint="Restore the stream from a backup, or begin with an empty ledger",
    )
