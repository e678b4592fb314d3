"""Windows on their way into the pricing flow: those of each market, in order, none lost."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from connectors.embedded.nats_server import start_nats
from connectors.nats import reader
from connectors.nats import windows_source as source
from connectors.nats.background_loop import open_on_loop, run_sync
from connectors.nats.connection import connected
from connectors.nats.windows_source import WindowsIntake, WindowsPartition, WindowsSource
from operators.results import market_windows
from state.errors import LogReplaced, ServerUnreachable
from state.window import WindowSummary
from tests.connectors.postgres.windows import market_row
from tests.support.eventually import eventually
from tests.support.nats_logs import fill, make_streams
from walras_client.nats.connection import Connection
from walras_client.nats.jetstream import ask


def payload(window_id: int, *, market: str = "m1") -> bytes:
    row = replace(market_row(), market=market)
    window = WindowSummary(0, window_id, window_id + 1, bytes(32), [], [row])
    (message,) = market_windows(window, window_ms=1000)
    return message.payload


def publish(nc: Connection, *window_ids: int, market: str = "m1") -> None:
    fill(nc, [payload(number, market=market) for number in window_ids], subject=f"window.{market}")


@contextmanager
def opened(url: str) -> Iterator[WindowsPartition]:
    partition = WindowsSource(url).build_part("windows_in", "windows", None)
    try:
        yield partition
    finally:
        partition.close()


def taken(partition: WindowsPartition, count: int) -> list[tuple[str, int]]:
    """At least so many windows: market and id of each."""
    windows: list[tuple[str, int]] = []

    def enough() -> bool:
        windows.extend((market, window.window_id) for market, window in partition.next_batch())
        return len(windows) >= count

    eventually(enough)
    return windows


def test_the_windows_of_all_markets_come_in_order(nc: Connection, nats_url: str) -> None:
    """A window that comes late is passed over, and its sales are missing from every average."""
    make_streams(nc)
    for number in range(150):
        publish(nc, number)
        publish(nc, number, market="m2")
    with opened(nats_url) as partition:
        windows = taken(partition, 300)
    assert [(market, number) for number in range(150) for market in ("m1", "m2")] == windows


def test_the_end_of_the_stream_is_waited_at(nc: Connection, nats_url: str) -> None:
    """A market without news is no reason to end, nor to miss the next one."""
    make_streams(nc)
    with opened(nats_url) as partition:
        assert [] == list(partition.next_batch())
        publish(nc, 1)
        assert [("m1", 1)] == taken(partition, 1)
        publish(nc, 2, 3)
        assert [("m1", 2), ("m1", 3)] == taken(partition, 2)


def test_a_start_goes_back_by_the_server_s_own_clock(
    nc: Connection, nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Read from the very beginning, a week of windows would have to pass before the first quote."""
    monkeypatch.setattr(source, "BACK_S", 0)
    make_streams(nc)
    publish(nc, 1, 2, 3)
    with opened(nats_url) as partition:
        windows = taken(partition, 1)
        assert ("m1", 3) == windows[-1]
        publish(nc, 4)
        assert [("m1", 4)] == taken(partition, 1)


def test_an_invalid_window_is_skipped(
    nc: Connection, nats_url: str, caplog: pytest.LogCaptureFixture
) -> None:
    """One invalid message in the stream must not end all pricing, nor price another market."""
    make_streams(nc)
    fill(nc, [b"", b"{}", b"\xff", payload(1, market="m2")], subject="window.m1")
    publish(nc, 2)
    with opened(nats_url) as partition:
        assert [("m1", 2)] == taken(partition, 1)
    logged = [record.getMessage() for record in caplog.records if record.levelno == logging.WARNING]
    assert 4 == len(logged)
    assert "it is of the market m2" in logged[-1]


def test_what_is_read_ahead_has_a_limit(
    nc: Connection, nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A flow that waits for the log must not fill the memory with windows meanwhile."""
    monkeypatch.setattr(source, "AHEAD_WINDOWS", 5)
    make_streams(nc)
    publish(nc, *range(40))
    intake = WindowsIntake(nats_url)
    eventually(lambda: intake.room()[0] == 0)
    windows = [eventually(lambda: intake.take(1))[0].window_id for _ in range(40)]
    intake.close()
    assert list(range(40)) == windows


def test_a_restart_of_the_server_loses_and_repeats_nothing(tmp_path: Path) -> None:
    """The consumer is gone with the server; the reader alone knows where it was."""
    server = start_nats(tmp_path / "nats", shards=1)
    try:
        with open_on_loop(connected(server.url, name="test")) as nc:
            make_streams(nc, shards=1)
            with opened(server.url) as partition:
                publish(nc, *range(10))
                windows = taken(partition, 10)
                server.stop()
                server = start_nats(tmp_path / "nats", shards=1)
                publish(nc, *range(10, 20))
                windows += taken(partition, 10)
    finally:
        server.stop()
    assert [("m1", number) for number in range(20)] == windows


def test_a_stream_that_was_made_again_ends_the_reading(
    nc: Connection, nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What lay in the old one was perhaps not read: only the ledger still knows it."""
    monkeypatch.setattr(reader, "SILENCE_S", 1.5)
    make_streams(nc)
    publish(nc, 1)
    with opened(nats_url) as partition:
        taken(partition, 1)
        run_sync(ask(nc, "STREAM.DELETE.WINDOWS"))
        make_streams(nc)
        with pytest.raises(LogReplaced, match="WINDOWS"):
            eventually(lambda: list(partition.next_batch()))


def test_stop_ends_the_partition(nc: Connection, nats_url: str) -> None:
    """A pricing process that cannot end its source can only be killed."""
    make_streams(nc)
    stop = threading.Event()
    partition = WindowsSource(nats_url, stop).build_part("windows_in", "windows", None)
    stop.set()
    with pytest.raises(StopIteration):
        partition.next_batch()
    partition.close()


def test_a_server_that_was_never_there_is_unreachable(monkeypatch: pytest.MonkeyPatch) -> None:
    """The process must end with an error, for its deployment starts it again."""
    monkeypatch.setattr("walras_client.nats.connection.CONNECT_DEADLINE_S", 0.3)
    with (
        opened("nats://127.0.0.1:1") as partition,
        pytest.raises(ServerUnreachable, match="NATS cannot be reached"),
    ):
        eventually(lambda: list(partition.next_batch()))
