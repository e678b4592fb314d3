"""The markets of a benchmark over several shards are where they are meant to be."""

import asyncio

from bench.throughput.load import open_market
from bench.throughput.shards import workloads_of
from bench.workload import Workload
from connectors.nats.connection import connected
from connectors.nats.topology import make_streams
from tests.support.servers import SHARDS

WHOLE = Workload(name="whole", bids=4000, agents=40, per_window=400, per_message=10)


def test_each_market_lives_in_a_shard_of_its_own(nats_url: str) -> None:
    """Two markets in one shard, and a run over four shards measures three."""

    async def shards() -> list[int]:
        async with connected(nats_url, name="test") as nc:
            parts = workloads_of(WHOLE, shards=SHARDS)
            return [await open_market(nc, part) for part in parts]

    make_streams(nats_url, shards=SHARDS, max_bytes=1 << 20, tick_ms=None)
    assert list(range(SHARDS)) == asyncio.run(shards())


def test_the_parts_are_the_whole() -> None:
    """More shards with more work would look like slower ones."""
    parts = workloads_of(WHOLE, shards=SHARDS)
    assert WHOLE.bids == sum(part.bids for part in parts)
    assert WHOLE.windows == parts[0].windows
