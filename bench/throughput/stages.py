"""Each stage of the flow alone, on the same data: what the whole could reach at most.

Promise: the stages are the flow's own code on the log's own messages; nothing else runs meanwhile,
and a stage gets whole what the one before has made.
"""

import gc
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from functools import partial
from typing import Final, TypeVar

from bench.harness.instrumented_flow import SHARD, claim, settle_opening
from bench.harness.isolated import apart
from bench.harness.testbed import Stand
from bench.throughput.drain import MICROS
from bench.throughput.load import Filled
from connectors.nats.fence import Mark
from connectors.nats.results_publisher import open_publisher
from connectors.nats.source import NatsSource, ShardPartition
from connectors.postgres.writer import LedgerWriters
from flows.runtime.servers import Servers
from flows.runtime.worker import Worker
from operators.allocate import Allocate
from operators.decode import decode
from operators.join_prices import JoinPrices
from operators.results import result_messages
from operators.windows import WindowAssigner
from state.log import EventSlice, RawBatch, WindowSlice
from state.window import ClosedWindow, OutboundMessage, Settlement

T = TypeVar("T")

PAUSE_S: Final = 0.0005
STAGES: Final = ("pull", "cut_windows", "decode", "allocate", "commit", "announce", "publish")
"""`allocate` is all between decode and commit: terms, admission, clearing, settlement, digest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Alone:
    """One stage with nothing beside it."""

    rate: float
    """Commands a second."""
    cpu_us: float
    """Processor microseconds a command, of the worker."""


def ceilings(stand: Stand, ledger: Servers, filled: Filled) -> Mapping[str, Alone]:
    """Each stage alone, in a process of its own."""
    window_ms, opened_seq = stand.settings.window_ms, filled.opened_seq[SHARD]
    settle_opening(ledger, window_ms=window_ms, opened_seq=opened_seq)
    with apart() as process:
        last_seq = filled.last_seq[SHARD]
        return process.run(work, ledger, window_ms=window_ms, last_seq=last_seq)


def work(servers: Servers, *, window_ms: int, last_seq: int) -> Mapping[str, Alone]:
    """Measure in this process; the windows are committed to the opened ledger of `servers`."""
    stages = Stages()
    claimed = claim(servers, window_ms=window_ms)
    batches = stages.time("pull", lambda: _pull(claimed, last_seq))
    slices = stages.time("cut_windows", lambda: _cut(claimed, batches))
    decoded = stages.time("decode", lambda: [decode(each) for each in slices])
    closed = stages.time("allocate", lambda: _allocate(claimed, decoded))
    windows = [window for window in closed if isinstance(window, Settlement)]
    stages.time("commit", lambda: _commit(claimed, closed))
    tell = partial(result_messages, window_ms=window_ms)
    announced = stages.time("announce", lambda: [tell(window) for window in windows])
    stages.time("publish", lambda: _tell(servers.nats_url, windows, announced))
    return stages.alone(commands=sum(len(each.bids) for each in windows))


@dataclass(slots=True)
class Stages:
    """The clocks of each stage: on the wall, and of the processors that it used."""

    seconds: dict[str, tuple[float, float]] = field(default_factory=dict)

    def time(self, stage: str, work: Callable[[], T]) -> T:
        """Time a stage; what the stages before have made is no work for its garbage collector."""
        gc.collect()
        gc.freeze()
        began, used = time.perf_counter(), time.process_time()
        result = work()
        self.seconds[stage] = time.perf_counter() - began, time.process_time() - used
        return result

    def alone(self, *, commands: int) -> Mapping[str, Alone]:
        """What each stage came to."""
        return {
            stage: Alone(rate=commands / seconds, cpu_us=used / commands * MICROS)
            for stage, (seconds, used) in self.seconds.items()
        }


def _pull(claimed: Worker, last_seq: int) -> list[RawBatch]:
    source = NatsSource(
        url=claimed.servers.nats_url,
        positions={SHARD: claimed.claims[SHARD].position.next_seq},
        identities=claimed.identities,
        until={SHARD: last_seq},
    )
    partition = source.build_part("pull", str(SHARD), None)
    batches: list[RawBatch] = []
    with closing(partition), suppress(StopIteration):
        _read_all(partition, batches)
    return batches


def _read_all(partition: ShardPartition, batches: list[RawBatch]) -> None:
    """Read on until the partition says by `StopIteration` that it has ended."""
    while True:
        found = [batch for _, batch in partition.next_batch()]
        if not found:
            time.sleep(PAUSE_S)
        batches += found


def _cut(claimed: Worker, batches: list[RawBatch]) -> list[WindowSlice]:
    cut = WindowAssigner(claimed.window_ms, claimed.claims[SHARD].position.stream_time_ns)
    return [each for batch in batches for each in cut(batch)]


def _allocate(claimed: Worker, slices: list[EventSlice]) -> list[ClosedWindow]:
    shard = claimed.claims[SHARD]
    join, allocate = JoinPrices(shard.listings), Allocate(shard.accounts)
    return [closed for each in slices for priced in join(each) for closed in allocate(priced)]


def _commit(claimed: Worker, closed: list[ClosedWindow]) -> None:
    writers = LedgerWriters(claimed.servers.postgres_dsn, claimed.claims)
    commit = writers.commit_step(SHARD)
    for window in closed:
        list(commit(window))
    writers.close()


def _tell(url: str, windows: list[Settlement], announced: list[list[OutboundMessage]]) -> None:
    with open_publisher(url) as publisher:
        for window, results in zip(windows, announced, strict=True):
            publisher.tell(SHARD, results, of=Mark("ceilings", window.window_id, 0))
