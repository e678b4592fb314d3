"""Ticks of short windows: in time, from as many tickers as there are, and in nobody's hands."""

from pathlib import Path

import pytest

from connectors.embedded.nats_server import start_nats
from connectors.nats import publisher
from connectors.nats.background_loop import open_on_loop
from connectors.nats.connection import connected
from connectors.nats.export import export_log
from connectors.nats.ticker import ticking
from tests.support.eventually import eventually
from tests.support.nats_logs import last_seq, make_streams
from walras_client.nats.connection import Connection


def test_each_short_window_begins_with_a_tick(nc: Connection, nats_url: str) -> None:
    """A tick stamped before its window began closes none, and the market waits a window longer."""
    make_streams(nc)
    window_ns = 100_000_000
    with ticking(nats_url, shards=range(2), window_ms=100):
        eventually(lambda: last_seq(nc, "SHARD_1") >= 6)
    lines = list(export_log(nats_url, shard=0))
    assert {"clock.0"} == {line.subject for line in lines}
    windows = [line.timestamp_ns // window_ns for line in lines]
    assert len(set(windows)) == len(windows)


def test_a_tick_has_no_id_that_could_be_taken(nc: Connection, nats_url: str) -> None:
    """Under one that names its window anybody could publish first, and no window would close."""
    make_streams(nc)
    with ticking(nats_url, shards=[0], window_ms=50):
        eventually(lambda: last_seq(nc, "SHARD_0") >= 1)
    first, *_ = export_log(nats_url, shard=0)
    assert {} == first.headers


def test_ticking_resumes_after_an_outage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A ticker that died in silence leaves every idle window open for good."""
    monkeypatch.setattr(publisher, "ACK_DEADLINE_S", 0.3)
    server = start_nats(tmp_path / "nats", shards=1)
    try:
        with open_on_loop(connected(server.url, name="test")) as nc:
            make_streams(nc, shards=1)
            with ticking(server.url, shards=[0], window_ms=50):
                eventually(lambda: last_seq(nc, "SHARD_0") >= 2)
                server.stop()
                server = start_nats(tmp_path / "nats", shards=1)
                before = last_seq(nc, "SHARD_0")
                eventually(lambda: last_seq(nc, "SHARD_0") >= before + 2)
    finally:
        server.stop()
