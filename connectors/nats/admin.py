"""The streams of a deployment, for programs without an event loop: make them, tell them apart."""

from collections.abc import Callable, Coroutine
from typing import Any, TypeVar

from nats.aio.client import Client
from nats.errors import Error as NatsError

from connectors.nats.background_loop import wait_for
from connectors.nats.connection import connected, told
from connectors.nats.topology import ensure_streams, identity
from state.errors import ServerUnreachable
from state.shard import StreamIdentity

T = TypeVar("T")


def make_streams(url: str, *, shards: int, max_bytes: int, tick_ms: int | None) -> None:
    """Make what is missing and check the rest; see `ensure_streams`."""

    async def make(nc: Client) -> None:
        await ensure_streams(nc, shards=shards, max_bytes=max_bytes, tick_ms=tick_ms)

    wait_for(_asked(url, make))


def stream_identities(url: str, *, shards: int) -> dict[int, StreamIdentity]:
    """Shard to the stream that holds its log now."""

    async def identify(nc: Client) -> dict[int, StreamIdentity]:
        return {shard: await identity(nc, shard) for shard in range(shards)}

    return wait_for(_asked(url, identify))


async def _asked(url: str, work: Callable[[Client], Coroutine[Any, Any, T]]) -> T:
    try:
        async with connected(url, name="walras streams") as nc:
            return await work(nc)
    except NatsError as failure:
        raise ServerUnreachable(
            "NATS did not answer a question about its streams",
            detail=f"{url}: {told(failure)}",
            hint="Check that the server runs with JetStream and is not overloaded",
        ) from failure
