"""Whether a log still holds the message that was read last, and where each log ends now.

A log that was restored from an older copy and written to since ends where the reader expects it,
and holds other messages. Promise: that is seen by the server's times, which only go on; a message
that is not there is left to whoever reads the log.
"""

from collections.abc import Mapping
from dataclasses import dataclass

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError

from connectors.nats.background_loop import wait_for
from connectors.nats.connection import connected, told, without_password
from connectors.nats.jetstream import ask, nanos
from connectors.nats.reader import replaced
from connectors.nats.subjects import stream_name
from state.errors import ServerUnreachable
from state.shard import Position


def check_applied(url: str, positions: Mapping[int, Position]) -> None:
    """Raise unless the last message that each shard has applied is the one in its log."""
    wait_for(_check_applied(url, positions))


async def check_read(nc: Client, stream: str, *, seq: int, at_ns: int) -> None:
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
    try:
        async with connected(url, name="walras start") as nc:
            for shard, at in positions.items():
                last_seq, at_ns = at.next_seq - 1, at.stream_time_ns
                await check_read(nc, stream_name(shard), seq=last_seq, at_ns=at_ns)
    except NatsError as failure:
        raise ServerUnreachable(
            "NATS did not show the last message of a log",
            detail=f"{without_password(url)}: {told(failure)}",
            hint="Check that the server runs with JetStream and is not overloaded",
        ) from failure


@dataclass(frozen=True, slots=True)
class LogEnd:
    """The last message of a log, and the time of its first."""

    last_seq: int
    first_ns: int
    last_ns: int


def log_ends(url: str, *, shards: int) -> dict[int, LogEnd]:
    """Shard to the end of its log."""
    return wait_for(_log_ends(url, shards))


async def _log_ends(url: str, shards: int) -> dict[int, LogEnd]:
    try:
        async with connected(url, name="walras health") as nc:
            return {shard: await _end(nc, shard) for shard in range(shards)}
    except NatsError as failure:
        raise ServerUnreachable(
            "NATS did not say where the logs end",
            detail=f"{without_password(url)}: {told(failure)}",
            hint="Check that the server runs with JetStream, and that `walras up` made the streams",
        ) from failure


async def _end(nc: Client, shard: int) -> LogEnd:
    info = await ask(nc, f"STREAM.INFO.{stream_name(shard)}")
    log = info["state"]
    return LogEnd(log["last_seq"], first_ns=nanos(log["first_ts"]), last_ns=nanos(log["last_ts"]))
