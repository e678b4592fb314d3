"""Where each log ends now, for whoever asks how far behind its reader is."""

from dataclasses import dataclass

from nats.aio.client import Client
from nats.errors import Error as NatsError

from connectors.nats.background_loop import wait_for
from connectors.nats.connection import connected, told, without_password
from connectors.nats.jetstream import ask, nanos
from connectors.nats.subjects import stream_name
from state.errors import ServerUnreachable


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
