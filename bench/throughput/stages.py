"""Each stage of the flow alone, on the same data: an upper bound for the whole.

Promise: the stages are the flow's own code on the log's own messages; nothing else runs meanwhile,
and a stage gets all at once what the one before has made.
"""

import gc
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Final, TypeVar

from bench.harness.instrumented_flow import SHARD, claim, settle_opening
from bench.harness.isolated import isolated_process
from bench.harness.testbed import LoadedLog, Testbed
from bench.report.model import MICROS_PER_S, StageRun
from connectors.nats.results_publisher import open_publisher
from connectors.nats.source import NatsSource, ShardPartition
from connectors.postgres.writer import LedgerWriters
from flows.runtime.servers import Servers
from flows.runtime.worker import Worker
from operators.allocate import Allocate
from operators.decode import decode
from operators.join_prices import JoinPrices
from operators.results import agent_results, market_windows
from operators.windows import WindowAssigner
from state.log import EventSlice, RawBatch, WindowSlice
from state.window import ClosedWindow, OutboundMessage, Settlement

T = TypeVar("T")

PAUSE_S: Final = 0.0005


def measure_stages(testbed: Testbed, ledger: Servers, loaded: LoadedLog) -> Mapping[str, StageRun]:
    """Each stage alone, in a process of its own."""
    window_ms, opened_seq = testbed.settings.window_ms, loaded.opened_seq[SHARD]
    settle_opening(ledger, window_ms=window_ms, opened_seq=opened_seq)
    with isolated_process() as process:
        last_seq = loaded.last_seq[SHARD]
        return process.run(run_stages, ledger, window_ms=window_ms, last_seq=last_seq)


def run_stages(servers: Servers, *, window_ms: int, last_seq: int) -> Mapping[str, StageRun]:
    """Measure in this process; the windows are committed to the opened ledger of `servers`."""
    clocks = StageClocks()
    claimed = claim(servers, window_ms=window_ms)
    batches = clocks.time("pull", lambda: _pull(claimed, last_seq))
    slices = clocks.time("cut_windows", lambda: _cut(claimed, batches))
    decoded = clocks.time("decode", lambda: [decode(each) for each in slices])
    closed = clocks.time("allocate", lambda: _allocate(claimed, decoded))
    windows = [window for window in closed if isinstance(window, Settlement)]
    clocks.time("commit", lambda: _commit(claimed, closed))
    durable = [list(market_windows(window, window_ms=window_ms)) for window in windows]
    live = clocks.time("announce", lambda: [list(agent_results(window)) for window in windows])
    clocks.time("publish", lambda: _publish(servers.nats_url, live, durable))
    return clocks.runs(commands=sum(len(each.bids) for each in windows))


@dataclass(slots=True)
class StageClocks:
    """Wall time and processor time of each stage."""

    seconds: dict[str, tuple[float, float]] = field(default_factory=dict)

    def time(self, stage: str, work: Callable[[], T]) -> T:
        """Time a stage; what earlier stages made is kept from its garbage collector."""
        gc.collect()
        gc.freeze()
        began, used = time.perf_counter(), time.process_time()
        result = work()
        self.seconds[stage] = time.perf_counter() - began, time.process_time() - used
        return result

    def runs(self, *, commands: int) -> Mapping[str, StageRun]:
        """What each stage came to."""
        return {
            stage: StageRun(rate=commands / seconds, cpu_us=used / commands * MICROS_PER_S)
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
    """Read until the partition raises `StopIteration`: it has ended."""
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


def _publish(
    url: str, live: list[list[OutboundMessage]], durable: list[list[OutboundMessage]]
) -> None:
    with open_publisher(url) as publisher:
        for results, markets in zip(live, durable, strict=True):
            publisher.publish_live(results)
            publisher.publish_durable(markets)
