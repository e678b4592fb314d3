"""Baseline (c): Bytewax the way its tutorials do it.

One item is one bid, the engine's own event-time windows collect them by market, and each window
that comes out is allocated and written in one transaction.
"""

import asyncio
import json
import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

import bytewax.operators as op
import bytewax.operators.windowing as win
import nats
import psycopg
from bytewax.dataflow import Dataflow
from bytewax.inputs import FixedPartitionedSource, StatefulSourcePartition
from bytewax.outputs import DynamicSink, StatelessSinkPartition
from bytewax.testing import cluster_main
from nats.aio.client import Client
from nats.js.api import AckPolicy, ConsumerConfig
from nats.js.client import JetStreamContext
from typing_extensions import override

from bench.baselines.contract import Job
from bench.report.runs import BaselineRun
from bench.workload import GRANT_MICROS, MARKET
from connectors.nats.subjects import stream_name

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
# The engine's watermark advances with the reader's clock: where a window takes longer to work on
# than it took to publish, bids come too late and are dropped, unless it waits for so long.
WAIT: Final = timedelta(seconds=10)
TABLES: Final = Path(__file__).parent / "sql/bytewax_tutorial.sql"

Window = tuple[str, tuple[int, list["Item"]]]


@dataclass(frozen=True, slots=True)
class Item:
    """One bid on its way."""

    at: datetime
    agent: str
    command: dict[str, Any]


def run_bytewax_tutorial(job: Job) -> BaselineRun:
    """Drain with one item per bid."""
    with psycopg.connect(job.dsn, autocommit=True) as connection:
        connection.execute(TABLES.read_bytes())
    source = BidSource(job)
    flow = Dataflow("tutorial")
    bids = op.input("nats", flow, source)
    keyed = op.key_on("market", bids, lambda _item: MARKET)
    clock = win.EventClock(ts_getter=_time_of, wait_for_system_duration=WAIT)
    length = timedelta(milliseconds=job.workload.window_ms)
    windower = win.TumblingWindower(length=length, align_to=EPOCH)
    windows = win.collect_window("window", keyed, clock, windower)
    op.output("ledger", windows.down, LedgerSink(job))
    cluster_main(flow, [], 0)
    seconds = time.perf_counter() - source.began_s
    with psycopg.connect(job.dsn) as connection:
        ((settled,),) = connection.execute("SELECT count(*) FROM bid").fetchall()
    return BaselineRun(settled=settled, dropped=source.bids - settled, seconds=seconds)


def _time_of(item: Item) -> datetime:
    return item.at


class BidSource(FixedPartitionedSource[Item, None]):
    """The bids of the log, one item each."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self.bids = 0
        self.began_s = 0.0

    @override
    def list_parts(self) -> list[str]:
        return ["0"]

    @override
    def build_part(self, step_id: str, for_part: str, resume_state: None) -> "BidPartition":
        return BidPartition(self, self._job)


class BidPartition(StatefulSourcePartition[Item, None]):
    """Fetches messages and takes them apart."""

    def __init__(self, source: BidSource, job: Job) -> None:
        self._source = source
        self._job = job
        self._seq = 0
        self._loop = asyncio.new_event_loop()
        self._nc, self._consumer = self._loop.run_until_complete(_subscribe(job.nats_url))

    @override
    def next_batch(self) -> list[Item]:
        if self._seq >= self._job.last_seq or self._source.bids >= self._job.bids_max:
            raise StopIteration
        items: list[Item] = []
        wanted = self._job.fetch(self._seq)
        for msg in self._loop.run_until_complete(self._consumer.fetch(wanted, timeout=5)):
            self._seq = msg.metadata.sequence.stream
            if ".bid." in msg.subject:
                self._source.began_s = self._source.began_s or time.perf_counter()
                items += _items(msg.metadata.timestamp, msg.subject, msg.data)
        self._source.bids += len(items)
        return items

    @override
    def snapshot(self) -> None:
        return None

    @override
    def close(self) -> None:
        self._loop.run_until_complete(self._nc.close())
        self._loop.close()


async def _subscribe(url: str) -> tuple[Client, JetStreamContext.PullSubscription]:
    nc = await nats.connect(url)
    unacknowledged = ConsumerConfig(ack_policy=AckPolicy.NONE)
    consumer = await nc.jetstream().pull_subscribe("", stream=stream_name(0), config=unacknowledged)
    return nc, consumer


def _items(at: datetime, subject: str, payload: bytes) -> Iterator[Item]:
    content = json.loads(payload)
    agent = subject.rpartition(".")[2]
    for command in content if isinstance(content, list) else [content]:
        yield Item(at, agent, command)


class LedgerSink(DynamicSink[Window]):
    """Writes each window in one transaction."""

    def __init__(self, job: Job) -> None:
        self._job = job

    @override
    def build(self, step_id: str, worker_index: int, worker_count: int) -> "LedgerPartition":
        return LedgerPartition(self._job)


class LedgerPartition(StatelessSinkPartition[Window]):
    """Allocates a window's bids, best price first, and writes them and the balances."""

    def __init__(self, job: Job) -> None:
        self._supply = job.workload.supply
        self._balances: dict[str, int] = {}
        self._connection = psycopg.connect(job.dsn)

    @override
    def write_batch(self, items: list[Window]) -> None:
        for _, (window_id, bids) in items:
            rows = list(self._allocate(window_id, bids))
            touched = {bid.agent: self._balances[bid.agent] for bid in bids}
            with self._connection.transaction(), self._connection.cursor() as cursor:
                cursor.executemany("INSERT INTO bid VALUES (%s, %s, %s, %s, %s, %s, %s, %s)", rows)
                cursor.executemany(
                    "INSERT INTO account VALUES (%s, %s) "
                    "ON CONFLICT (agent) DO UPDATE SET balance = excluded.balance",
                    list(touched.items()),
                )

    def _allocate(self, window_id: int, bids: Iterable[Item]) -> Iterator[tuple[object, ...]]:
        left: dict[str, int] = {}
        for bid in sorted(bids, key=lambda item: -item.command["unit_price_micros"]):
            asked, price = bid.command["quantity"], bid.command["unit_price_micros"]
            resource, balance = bid.command["resource"], self._balances.get(bid.agent, GRANT_MICROS)
            won = min(asked, left.get(resource, self._supply), balance // price)
            left[resource] = left.get(resource, self._supply) - won
            self._balances[bid.agent] = balance - won * price
            status = "won" if won else "lost"
            yield bid.command["event_id"], bid.agent, window_id, resource, asked, price, status, won

    @override
    def close(self) -> None:
        self._connection.close()
