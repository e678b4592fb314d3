"""Results: out after the commit, each once for its readers, however often they are sent."""

import logging
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pytest
from connectors.nats.fence import Mark

from connectors.embedded.nats_server import start_nats
from connectors.nats import publisher, results_publisher
from connectors.nats.background_loop import open_on_loop, run_sync
from connectors.nats.connection import connected
from connectors.nats.export import export_log
from connectors.nats.results_publisher import ResultsPublisher, open_publisher, publish
from connectors.nats.ticker import ticking
from state.errors import ServerUnreachable, WalrasError
from state.shard import StreamIdentity
from state.window import ClosedWindow, EmptyWindow, OutboundMessage, Settlement
from tests.support.eventually import eventually
from tests.support.nats_logs import last_seq, make_streams
from walras_client.nats.connection import Connection

IDLE: Final = EmptyWindow(shard=0, window_id=8, first_seq=4, next_seq=5, stream_time_ns=9)


def settlement(window_id: int) -> Settlement:
    return Settlement(
        shard=0,
        window_id=window_id,
        first_seq=1,
        next_seq=4,
        stream_time_ns=7,
        prev_digest=bytes(32),
        digest=bytes(32),
        bids=[],
        commands=[],
        dead_letters=[],
        prices=[],
        balances=[],
        listings=[],
    )


def results(window_id: int, count: int) -> list[OutboundMessage]:
    return [
        OutboundMessage(f"result.m1.a{agent}", f"{window_id}-{agent}", b"{}")
        for agent in range(count)
    ]


def three_results(closed: Settlement) -> Sequence[OutboundMessage]:
    return results(closed.window_id, 3)


def tell(opened: ResultsPublisher, window_id: int, count: int) -> None:
    opened.tell(0, results(window_id, count), of=Mark("1/1000", window_id, 0))


def in_results(nc: Connection) -> int:
    return last_seq(nc, "RESULTS")


def test_a_window_counts_as_published_when_the_server_has_it(nc: Connection, nats_url: str) -> None:
    """Marked before, a crash in between would leave results that nobody ever sends."""
    make_streams(nc)
    marked: list[tuple[int, int, int]] = []
    with open_publisher(nats_url) as opened:
        step = publish(
            opened,
            identities={0: StreamIdentity("SHARD_0", created_ns=1)},
            window_ms=1000,
            announce=three_results,
            mark_published=lambda shard, window: marked.append((shard, window, in_results(nc))),
        )(0)
        windows: list[ClosedWindow] = [settlement(7), IDLE, settlement(9)]
        assert windows == [told for window in windows for told in step(window)]
    assert [(0, 7, 4), (0, 9, 8)] == marked


def test_a_window_published_again_is_seen_once(nc: Connection, nats_url: str) -> None:
    """A restart sends again what it cannot know to be out; an agent must not be told twice."""
    make_streams(nc)
    for _run in range(2):
        with open_publisher(nats_url) as opened:
            opened.publish(results(7, 100))
    assert 100 == in_results(nc)


def test_more_results_than_may_be_in_flight_all_leave(nc: Connection, nats_url: str) -> None:
    """A bound that is never given back stops the publisher at its own limit."""
    make_streams(nc)
    with open_publisher(nats_url) as opened:
        opened.publish(results(7, 3 * publisher.IN_FLIGHT))
    assert 3 * publisher.IN_FLIGHT == in_results(nc)


def test_results_wait_for_a_server_that_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A restart of NATS must cost the flow time, not a crash, and no result its place."""
    monkeypatch.setattr(publisher, "ACK_DEADLINE_S", 0.5)
    server = start_nats(tmp_path / "nats", shards=1)
    try:
        with (
            open_on_loop(connected(server.url, name="test")) as nc,
            open_publisher(server.url) as opened,
        ):
            make_streams(nc, shards=1)
            tell(opened, 7, 10)
            server.stop()
            sending = threading.Thread(target=tell, args=[opened, 8, 10])
            sending.start()
            eventually(lambda: caplog.records)
            server = start_nats(tmp_path / "nats", shards=1)
            sending.join(timeout=30)
            assert not sending.is_alive()
            assert 2 * (10 + 1) == in_results(nc)
    finally:
        server.stop()
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert 1 == len(warnings)


def test_results_do_not_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flow that hangs in its last step is up for its supervisor and down for everyone else."""
    monkeypatch.setattr(publisher, "ACK_DEADLINE_S", 0.2)
    monkeypatch.setattr(results_publisher, "OUTAGE_LIMIT_S", 0.5)
    server = start_nats(tmp_path / "nats", shards=1)
    with open_publisher(server.url) as opened:
        server.stop()
        with pytest.raises(ServerUnreachable, match="results cannot be published"):
            tell(opened, 7, 10)


def test_a_result_that_no_server_takes_is_told_at_once(nc: Connection, nats_url: str) -> None:
    """To send it again for five minutes would hide the mistake for as long."""
    make_streams(nc)
    too_large = OutboundMessage("result.m1.a1", "7-1", bytes(2 << 20))
    with open_publisher(nats_url) as opened, pytest.raises(WalrasError, match="refused a result"):
        opened.tell(0, [too_large], of=Mark("1/1000", 7, 0))


def test_short_windows_get_one_tick_each(nc: Connection, nats_url: str) -> None:
    """Two deployments that tick the same shard must not double its log."""
    make_streams(nc)
    window_ns = 100_000_000
    with (
        ticking(nats_url, shards=[0, 1], window_ms=100),
        ticking(nats_url, shards=[0, 1], window_ms=100),
    ):
        eventually(lambda: last_seq(nc, "SHARD_1") >= 6)
    lines = list(export_log(nats_url, shard=0))
    assert {"clock.0"} == {line.subject for line in lines}
    announced = [int(line.headers["Nats-Msg-Id"].removeprefix("tick-0-")) for line in lines]
    assert len(set(announced)) == len(announced)
    for line, window_id in zip(lines, announced, strict=True):
        assert line.timestamp_ns >= window_id * window_ns, "ticked before the window began"


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


def test_the_loop_gives_back_what_it_was_asked(nc: Connection) -> None:
    """An answer that got lost between the threads hangs a command line."""
    assert run_sync(nc.rtt()) < 5
