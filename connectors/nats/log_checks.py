"""Whether a log still holds the message that was read last, and where each log ends now.

A log that was restored from an older copy and written to since ends where the reader expects it,
and holds other messages. Promise: that is seen by the server's times, which only grow; a message
that is not there is left to whoever reads the log.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from nats.js.errors import NotFoundError

from connectors.nats.background_loop import run_sync
from connectors.nats.connection import connected, translate_errors
from connectors.nats.reader import replaced
from connectors.nats.subjects import stream_name
from state.shard import Position
from walras_client.nats.addresses import without_password
from walras_client.nats.connection import Connection
from walras_client.nats.jetstream import ask, nanos


def check_applied(url: str, positions: Mapping[int, Position]) -> None:
    """Raise unless the last message that each shard has applied is the one in its log."""
    run_sync(_check_applied(url, positions))


async def check_read(nc: Connection, stream: str, *, seq: int, at_ns: int) -> None:
    """Raise when the message with that sequence came after the time of the one that was read."""
    if seq == 0:
        return
    try:
        found = await ask(nc, f"STREAM.MSG.GET.{stream}", {"seq": seq})
    except NotFoundError:
        return
    found_ns = nanos(found["message"]["time"])
    if found_ns > at_ns:
        detail = f"sequence {seq} was read at {at_ns} ns, the log has one of {found_ns} ns there"
        raise replaced(stream, detail)


async def _check_applied(url: str, positions: Mapping[int, Position]) -> None:
    with translate_errors("NATS did not show the last message of a log", of=without_password(url)):
        async with connected(url, name="walras start") as nc:
            for shard, at in positions.items():
                last_seq, at_ns = at.next_seq - 1, at.stream_time_ns
                await check_read(nc, stream_name(shard), seq=last_seq, at_ns=at_ns)


@dataclass(frozen=True, slots=True)
class LogEnd:
    """The last message of a log, the time of its first, and its size."""

    last_seq: int
    first_ns: int
    last_ns: int
    size_bytes: int = 0


def log_ends(url: str, *, shards: int) -> dict[int, LogEnd]:
    """Shard to the end of its log."""
    return run_sync(_log_ends(url, shards))


async def _log_ends(url: str, shards: int) -> dict[int, LogEnd]:
    with translate_errors("NATS did not say where the logs end", of=without_password(url)):
        async with connected(url, name="walras health") as nc:
            return {shard: await _end(nc, shard) for shard in range(shards)}


async def _end(nc: Connection, shard: int) -> LogEnd:
    info = await ask(nc, f"STREAM.INFO.{stream_name(shard)}")
    log = info["state"]
    return LogEnd(
        log["last_seq"],
        first_ns=nanos(log["first_ts"]),
        last_ns=nanos(log["last_ts"]),
        size_bytes=log["bytes"],
    )
