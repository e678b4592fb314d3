"""The log that all runs read is the one that was planned."""

import asyncio
from collections import Counter
from dataclasses import replace

import pytest

from bench.throughput.adaptive_window import TRIES, with_adaptive_window
from bench.throughput.load import LoadTooSlow, load
from bench.workload import Workload
from connectors.nats.export import export_log
from connectors.nats.topology import make_streams
from tests.bench.conftest import WORKLOAD, Bench
from tests.support.servers import SHARDS

NS_PER_MS = 1_000_000


def test_each_window_has_its_bids(bench: Bench) -> None:
    """Bids that spill over would make windows of other sizes than the report says."""
    messages = Counter(
        line.timestamp_ns // (WORKLOAD.window_ms * NS_PER_MS)
        for line in export_log(bench.testbed.servers.nats_url, shard=0)
        if ".bid." in line.subject
    )
    assert [100, 100, 100] == [messages[window] for window in sorted(messages)]


def test_the_last_message_closes_the_last_window(bench: Bench) -> None:
    """A window that stays open is never settled, and its bids are missing from the rate."""
    *before, last = export_log(bench.testbed.servers.nats_url, shard=0)
    assert ("clock.0", bench.loaded.last_seq[0]) == (last.subject, last.seq)
    window_ns = WORKLOAD.window_ms * NS_PER_MS
    assert before[-1].timestamp_ns // window_ns < last.timestamp_ns // window_ns


def test_a_window_that_is_too_short_is_an_error(nats_url: str) -> None:
    """Figures of windows that hold any number of bids would be reported as the plan's."""
    hurried = replace(WORKLOAD, bids=20_000, per_window=20_000, per_message=1, window_ms=10)
    make_streams(nats_url, shards=SHARDS, max_bytes=1 << 24, tick_ms=None)
    with pytest.raises(LoadTooSlow, match="20000 bids took"):
        asyncio.run(load(nats_url, [hurried]))


def test_windows_are_made_longer_and_then_given_up() -> None:
    """A slow machine must get its figures, and a broken one must not be retried for ever."""
    tried: list[int] = []
    progress: list[str] = []

    def measure(workload: Workload) -> None:
        tried.append(workload.window_ms)
        raise LoadTooSlow("slow", detail="too many bids", hint="rest")

    with pytest.raises(LoadTooSlow):
        with_adaptive_window(WORKLOAD, measure, progress.append)
    assert [300, 600, 1200] == tried
    assert TRIES - 1 == len(progress)
