"""Each stage of the flow alone, on the same data: an upper bound for the whole.

Promise: the stages are the flow's own code on the log's own messages; nothing else runs meanwhile,
and a stage gets all at once what the one before has made.
"""

import gc
import time
from collections.abc import Callable, Mapping
from contextlib import closing, suppress
from dataclasses import dataclass, field
from typing import Final, ParamSpec, TypeVar
from unittest.mock import patch

from bench.harness.instrumented_flow import SHARD, claim, settle_opening
from bench.harness.isolated import isolated_process
from bench.harness.testbed import LoadedLog, Testbed
from bench.report.runs import MICROS_PER_S, StageRun
from connectors.nats.results_publisher import open_publisher
from connectors.nats.source import NatsSource, ShardPartition
from connectors.postgres.writer import LedgerWriters
from flows.runtime.servers import Servers
from flows.runtime.worker import Worker
from operators import allocate
from operators.allocate import Allocate
from operators.decode import decode
from operators.join_prices import JoinPrices
from operators.results import agent_results, market_windows
from operators.settle import settle_window
from operators.windows import WindowAssigner
from state.log import EventSlice, RawBatch, WindowSlice
from state.window import ClosedWindow, OutboundMessage, Settlement

P = ParamSpec("P")
T = TypeVar("T")
Results = tuple[list[OutboundMessage], list[OutboundMessage]]
"""Of one window: those of its agents, and the windows of its markets."""

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
    closed = _allocate(claimed, decoded, clocks)
    windows = [window for window in closed if isinstance(window, Settlement)]
    clocks.time("commit", lambda: _commit(claimed, closed))
    results = clocks.time("announce", lambda: _results(windows, window_ms))
    clocks.time("publish", lambda: _publish(servers.nats_url, results))
    return clocks.runs(commands=sum(len(each.bids) for each in windows))


@dataclass(slots=True)
class StageClocks:
    """Wall time and processor time of each stage."""

    seconds: dict[str, tuple[float, float]] = field(default_factory=dict)

    def time(self, stage: str, work: Callable[[], T]) -> T:
        """Time a stage; what earlier stages made is kept from its garbage collector."""
        gc.collect()
        gc.freeze()
        return self.within(stage, work)()

    def within(self, stage: str, work: Callable[P, T]) -> Callable[P, T]:
        """The same work with its time added to that of a stage, whoever calls it."""

        def timed(*args: P.args, **kwargs: P.kwargs) -> T:
            began, used = time.perf_counter(), time.process_time()
            result = work(*args, **kwargs)
            before_s, before_used = self.seconds.get(stage, (0.0, 0.0))
            self.seconds[stage] = (
                before_s + time.perf_counter() - began,
                before_used + time.process_time() - used,
            )
            return result

        return timed

    def take_out(self, part: str, *, of: str) -> None:
        """Make the part of a stage that was timed within it a stage of its own, after it."""
        part_s, part_used = self.seconds.pop(part)
        seconds, used = self.seconds[of]
        self.seconds |= {of: (seconds - part_s, used - part_used), part: (part_s, part_used)}

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


def _allocate(claimed: Worker, slices: list[EventSlice], clocks: StageClocks) -> list[ClosedWindow]:
    shard = claimed.claims[SHARD]
    join, judge = JoinPrices(shard.listings), Allocate(shard.accounts)

    def closed() -> list[ClosedWindow]:
        return [closed for each in slices for priced in join(each) for closed in judge(priced)]

    settle = clocks.within("settle", settle_window)
    with patch.object(allocate, "settle_window", settle):
        windows = clocks.time("judge", closed)
    clocks.take_out("settle", of="judge")
    return windows


def _commit(claimed: Worker, closed: list[ClosedWindow]) -> None:
    writers = LedgerWriters(claimed.servers.postgres_dsn, claimed.claims)
    commit = writers.commit_step(SHARD)
    for window in closed:
        list(commit(window))
    writers.close()


def _results(windows: list[Settlement], window_ms: int) -> list[Results]:
    return [
        (list(agent_results(window)), list(market_windows(window, window_ms=window_ms)))
        for window in windows
    ]


def _publish(url: str, results: list[Results]) -> None:
    with open_publisher(url) as publisher:
        for live, durable in results:
            publisher.publish_live(live)
            publisher.publish_durable(durable)
