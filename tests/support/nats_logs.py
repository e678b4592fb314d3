"""Short ways to fill, break and read logs in tests."""

from collections.abc import Iterable, Sequence
from typing import Final

from connectors.nats.background_loop import run_sync
from connectors.nats.publisher import Publisher
from connectors.nats.source import NatsSource, ShardPartition
from connectors.nats.topology import ensure_streams, identity, shard_config
from state.log import RawBatch
from tests.support.eventually import eventually
from tests.support.servers import SHARDS
from walras_client.nats.connection import Connection
from walras_client.nats.jetstream import ask
from walras_client.nats.publisher import PubAck

LOG_BYTES: Final = 64 << 20


def make_streams(
    nc: Connection, *, shards: int = SHARDS, max_bytes: int = LOG_BYTES, tick_ms: int | None = None
) -> None:
    run_sync(ensure_streams(nc, shards=shards, max_bytes=max_bytes, tick_ms=tick_ms))


def make_frail_stream(nc: Connection) -> None:
    """The stream of shard 0 as a careless operator would make it: open to purges and deletes."""
    config = shard_config(0, shards=SHARDS, max_bytes=LOG_BYTES)
    run_sync(ask(nc, "STREAM.CREATE.TICKS", {"name": "TICKS", "subjects": ["tick.*"]}))
    frail = config | {"deny_delete": False, "deny_purge": False}
    run_sync(ask(nc, "STREAM.CREATE.SHARD_0", frail))


def fill(nc: Connection, payloads: Iterable[bytes], *, subject: str) -> list[PubAck]:
    """Publish all and wait until the log has them."""
    return run_sync(_fill(nc, list(payloads), subject))


async def _fill(nc: Connection, payloads: Sequence[bytes], subject: str) -> list[PubAck]:
    publisher = Publisher(nc)
    acks = [
        await publisher.publish_async(subject, payload, msg_id=f"{subject}-{nc.new_inbox()}")
        for payload in payloads
    ]
    return [await ack for ack in acks]


def fill_shard(nc: Connection, payloads: Iterable[bytes], *, shard: int = 0) -> list[PubAck]:
    """Publish past the mapping, into the stream of the shard."""
    return fill(nc, payloads, subject=f"shard.{shard}.market.m1.bid.a1")


def last_seq(nc: Connection, stream: str) -> int:
    info = run_sync(ask(nc, f"STREAM.INFO.{stream}"))
    return int(info["state"]["last_seq"])


def source_of(
    nc: Connection, url: str, *, next_seq: int = 1, until: int | None = None, batch_size: int = 100
) -> NatsSource:
    """Shard 0 as it is now."""
    return NatsSource(
        url,
        positions={0: next_seq},
        identities={0: run_sync(identity(nc, 0))},
        batch_size=batch_size,
        until=None if until is None else {0: until},
    )


def opened(source: NatsSource) -> ShardPartition:
    return source.build_part("nats_in", "0", None)


def next_batches(partition: ShardPartition) -> list[RawBatch]:
    return [batch for _key, batch in partition.next_batch()]


def drained(source: NatsSource) -> list[RawBatch]:
    """All batches up to the source's end."""
    partition = opened(source)
    batches: list[RawBatch] = []

    def ended() -> bool:
        try:
            batches.extend(next_batches(partition))
        except StopIteration:
            return True
        return False

    try:
        eventually(ended)
    finally:
        partition.close()
    return batches


def taken(partition: ShardPartition, messages: int) -> list[RawBatch]:
    """At least so many messages of a source that goes on."""
    batches: list[RawBatch] = []

    def enough() -> bool:
        batches.extend(next_batches(partition))
        return sum(len(batch.payloads) for batch in batches) >= messages

    eventually(enough)
    return batches


def payloads_of(batches: Iterable[RawBatch]) -> list[bytes]:
    return [payload for batch in batches for payload in batch.payloads]
