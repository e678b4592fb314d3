"""Short ways to fill, break and read logs in tests."""

from collections.abc import Iterable, Sequence

from connectors.nats.background_loop import wait_for
from connectors.nats.connection import Line
from connectors.nats.jetstream import ask
from connectors.nats.publisher import Outbox, Receipt
from connectors.nats.source import NatsSource, ShardPartition
from connectors.nats.topology import ensure_streams, identity, shard_config
from state.log import RawBatch
from tests.support.eventually import eventually
from tests.support.servers import SHARDS

LOG_BYTES = 64 << 20


def make_streams(
    nc: Line, *, shards: int = SHARDS, max_bytes: int = LOG_BYTES, tick_ms: int | None = None
) -> None:
    wait_for(ensure_streams(nc, shards=shards, max_bytes=max_bytes, tick_ms=tick_ms))


def make_frail_stream(nc: Line) -> None:
    """The stream of shard 0 as a careless operator would make it: open to purges and deletes."""
    config = shard_config(0, shards=SHARDS, max_bytes=LOG_BYTES)
    wait_for(ask(nc, "STREAM.CREATE.TICKS", {"name": "TICKS", "subjects": ["tick.*"]}))
    frail = config | {"deny_delete": False, "deny_purge": False}
    wait_for(ask(nc, "STREAM.CREATE.SHARD_0", frail))


def fill(nc: Line, payloads: Iterable[bytes], *, subject: str) -> list[Receipt]:
    """Publish all and wait until the log has them."""
    return wait_for(_fill(nc, list(payloads), subject))


async def _fill(nc: Line, payloads: Sequence[bytes], subject: str) -> list[Receipt]:
    async with Outbox(nc) as outbox:
        receipts = [
            await outbox.post(subject, payload, msg_id=f"{subject}-{nc.new_inbox()}")
            for payload in payloads
        ]
        return [await receipt for receipt in receipts]


def fill_shard(nc: Line, payloads: Iterable[bytes], *, shard: int = 0) -> list[Receipt]:
    """Publish past the mapping, into the stream of the shard."""
    return fill(nc, payloads, subject=f"shard.{shard}.market.m1.bid.a1")


def last_seq(nc: Line, stream: str) -> int:
    info = wait_for(ask(nc, f"STREAM.INFO.{stream}"))
    return int(info["state"]["last_seq"])


def source_of(
    nc: Line, url: str, *, next_seq: int = 1, until: int | None = None, batch_size: int = 100
) -> NatsSource:
    """Shard 0 as it is now."""
    return NatsSource(
        url,
        positions={0: next_seq},
        identities={0: wait_for(identity(nc, 0))},
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
