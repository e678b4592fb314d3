"""Results of a window: agents hear live and at most once, markets durably and once."""

import logging
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Final

import pytest
from nats.aio.msg import Msg

from connectors.embedded import nats_server
from connectors.embedded.nats_server import start_nats
from connectors.nats import publisher, results_publisher
from connectors.nats.background_loop import open_on_loop, run_sync
from connectors.nats.connection import connected
from connectors.nats.results_publisher import open_publisher, publish
from connectors.nats.topology import windows_config
from operators.results import market_windows
from state.errors import ServerUnreachable, SettingsError, WalrasError
from state.window import (
    ClosedWindow,
    EmptyWindow,
    OutboundMessage,
    Settlement,
    WindowSummary,
)
from tests.connectors.postgres.windows import market_row, window
from tests.support.eventually import eventually
from tests.support.nats_logs import last_seq, make_streams
from walras_client.nats.connection import Connection
from walras_client.nats.jetstream import ask

IDLE: Final = EmptyWindow(shard=0, window_id=8, first_seq=4, next_seq=5, stream_time_ns=9)


def results(name: str, count: int) -> list[OutboundMessage]:
    return [
        OutboundMessage(f"result.m1.a{agent}", "", f"{name}-{agent}".encode())
        for agent in range(count)
    ]


def windows(window_id: int, count: int) -> list[OutboundMessage]:
    return [
        OutboundMessage(f"window.m{number}", f"0:{window_id}:m{number}", b"{}")
        for number in range(count)
    ]


def in_stream(nc: Connection) -> int:
    return last_seq(nc, "WINDOWS")


@contextmanager
def listening(nc: Connection, subject: str) -> Iterator[list[Msg]]:
    """What somebody hears who listens to the subject, without any stream."""
    heard: list[Msg] = []

    async def listen() -> None:
        async def hear(msg: Msg) -> None:
            heard.append(msg)

        await nc.subscribe(subject, cb=hear)
        await nc.flush()

    run_sync(listen())
    yield heard


# --- live -----------------------------------------------------------------------------------------


def test_results_come_as_they_were_made(nc: Connection, nats_url: str) -> None:
    """A frame that is cut at the wrong place ends the connection, and with it all results."""
    odd = [b"", b"\r\n", b"PUB x 1\r\n", b"\xff\x00", bytes(300_000), *[b"x" * 700] * 2000]
    sent = [OutboundMessage(f"result.m1.a{number}", "", each) for number, each in enumerate(odd)]
    with listening(nc, "result.>") as heard, open_publisher(nats_url) as opened:
        assert 0 == opened.publish_live(sent)
        eventually(lambda: len(heard) >= len(sent))
    assert [(each.subject, each.payload) for each in sent] == [(m.subject, m.data) for m in heard]
    assert {(None, "")} == {(m.headers, m.reply) for m in heard}


def test_results_are_dropped_while_nats_is_unavailable_and_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """Kept they would come after newer ones; a drop that is not counted looks like none."""
    server = start_nats(tmp_path / "nats", shards=1)
    try:
        with (
            open_on_loop(connected(server.url, name="test")) as nc,
            listening(nc, "result.>") as heard,
            open_publisher(server.url) as opened,
        ):
            server.stop()
            eventually(lambda: opened.publish_live(results("lost", 3)) == 3)
            step = publish(opened, live_of=lambda _: results("lost", 2), durable_of=lambda _: [])(0)
            list(step(window()))
            assert f"window {window().window_id}: 2 results were dropped" in caplog.text
            before = len(heard)
            server = start_nats(tmp_path / "nats", shards=1)
            eventually(lambda: opened.publish_live(results("new", 1)) == 0 and len(heard) > before)
            assert {b"new-0"} == {msg.data for msg in heard[before:]}
    finally:
        server.stop()


def test_a_server_of_small_messages_is_refused_at_the_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It would end the connection at the first large result, again and again."""
    small = tmp_path / "small.conf"
    small.write_text("max_payload: 500000\njetstream {}")
    monkeypatch.setattr(nats_server, "CONFIG", small)
    server = start_nats(tmp_path / "nats", shards=1)
    try:
        with pytest.raises(SettingsError, match="do not fit"), open_publisher(server.url):
            pass
    finally:
        server.stop()


# --- durable --------------------------------------------------------------------------------------


def test_a_window_is_through_when_its_markets_are_in_the_stream(
    nc: Connection, nats_url: str
) -> None:
    """Through before, a crash in between would leave windows that nobody ever sends."""
    make_streams(nc)
    seen: list[tuple[ClosedWindow, int]] = []
    first = window()
    closed: list[ClosedWindow] = [first, IDLE, window(after=first)]
    with listening(nc, "result.>") as heard, open_publisher(nats_url) as opened:
        step = publish(
            opened,
            live_of=lambda settlement: results(str(settlement.window_id), 2),
            durable_of=lambda settlement: windows(settlement.window_id, 3),
        )(0)
        for each in closed:
            seen += [(through, in_stream(nc)) for through in step(each)]
        eventually(lambda: len(heard) == 4)
    assert list(zip(closed, [3, 3, 6], strict=True)) == seen


def test_a_window_published_again_is_seen_once(nc: Connection, nats_url: str) -> None:
    """A restart sends again what it cannot know to be out; a reader must not get it twice."""
    make_streams(nc)
    for _run in range(2):
        with open_publisher(nats_url) as opened:
            opened.publish_durable(windows(7, 100))
    assert 100 == in_stream(nc)


def test_more_windows_than_may_be_in_flight_all_leave(nc: Connection, nats_url: str) -> None:
    """A bound that is never given back stops the publisher at its own limit."""
    make_streams(nc)
    with open_publisher(nats_url) as opened:
        opened.publish_durable(windows(7, 3 * publisher.IN_FLIGHT))
    assert 3 * publisher.IN_FLIGHT == in_stream(nc)


def test_windows_wait_for_a_server_that_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """A restart of NATS must cost the flow time, not a crash, and no window its place."""
    monkeypatch.setattr(publisher, "ACK_DEADLINE_S", 0.5)
    server = start_nats(tmp_path / "nats", shards=1)
    try:
        with (
            open_on_loop(connected(server.url, name="test")) as nc,
            open_publisher(server.url) as opened,
        ):
            make_streams(nc, shards=1)
            opened.publish_durable(windows(7, 10))
            server.stop()
            sending = threading.Thread(target=opened.publish_durable, args=[windows(8, 10)])
            sending.start()
            eventually(lambda: "windows cannot be published, retrying" in caplog.text)
            server = start_nats(tmp_path / "nats", shards=1)
            sending.join(timeout=30)
            assert not sending.is_alive()
            assert 20 == in_stream(nc)
    finally:
        server.stop()
    warnings = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert 1 == len(warnings)


def test_windows_do_not_wait_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A flow that hangs in its last step is up for its supervisor and down for everyone else."""
    monkeypatch.setattr(publisher, "ACK_DEADLINE_S", 0.2)
    monkeypatch.setattr(results_publisher, "OUTAGE_LIMIT_S", 0.5)
    server = start_nats(tmp_path / "nats", shards=1)
    with open_publisher(server.url) as opened:
        server.stop()
        with pytest.raises(ServerUnreachable, match="windows cannot be published"):
            opened.publish_durable(windows(7, 10))


def test_closing_releases_whoever_waits(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A stop during an outage would otherwise last as long as the outage may."""
    server = start_nats(tmp_path / "nats", shards=1)
    failures: list[WalrasError] = []

    def wait() -> None:
        try:
            opened.publish_durable(windows(7, 1))
        except WalrasError as failure:
            failures.append(failure)

    with open_publisher(server.url) as opened:
        server.stop()
        waiting = threading.Thread(target=wait, daemon=True)
        waiting.start()
        eventually(lambda: "retrying" in caplog.text)
        opened.close()
        waiting.join(timeout=30)
        assert ["the windows of a shard may not be published"] == [f.what for f in failures]
        with pytest.raises(ServerUnreachable):
            opened.publish_live(results("late", 1))


def test_a_window_that_no_server_takes_is_reported_at_once(
    nc: Connection, nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """To send it again for five minutes would hide the mistake for as long."""
    monkeypatch.setattr(results_publisher, "OUTAGE_LIMIT_S", 0.2)
    make_streams(nc)
    limited = windows_config() | {"max_msg_size": 1000}
    run_sync(ask(nc, "STREAM.UPDATE.WINDOWS", limited))
    for size in (2 << 20, 2000):  # too large for the server, and for the stream
        too_large = OutboundMessage("window.m1", "0:7:m1", bytes(size))
        with (
            open_publisher(nats_url) as opened,
            pytest.raises(WalrasError, match="refused the window"),
        ):
            opened.publish_durable([too_large])


# --- kept back by a crash -------------------------------------------------------------------------


def summary(window_id: int, *markets: str) -> WindowSummary:
    rows = [replace(market_row(), market=market) for market in markets]
    return WindowSummary(0, window_id, window_id + 1, bytes(32), [], rows)


def durable(of: Settlement | WindowSummary) -> list[OutboundMessage]:
    return list(market_windows(of, window_ms=1000))


def read(nc: Connection) -> list[tuple[str, bytes]]:
    """Subject and payload of all that is in the stream, in order."""

    async def read_all() -> list[tuple[str, bytes]]:
        pulled = await nc.jetstream().subscribe("window.>", stream="WINDOWS", ordered_consumer=True)
        return [
            ((msg := await pulled.next_msg()).subject, msg.data)
            for _ in range((await ask(nc, "STREAM.INFO.WINDOWS"))["state"]["messages"])
        ]

    return run_sync(read_all())


def test_what_a_crash_kept_back_enters_in_its_order(nc: Connection, nats_url: str) -> None:
    """A reader that finds a later window first takes the earlier one for a repetition."""
    make_streams(nc)
    of_all = [summary(5, "m1"), summary(6, "m1", "m2"), summary(7, "m2"), summary(9, "m1", "m2")]
    present = [*durable(of_all[0]), durable(of_all[1])[0]]
    with open_publisher(nats_url) as opened:
        opened.publish_durable(present)
        opened.publish_missing(reversed(of_all), durable)
    left = [durable(of_all[1])[1], *durable(of_all[2]), *durable(of_all[3])]
    expected = [(each.subject, each.payload) for each in [*present, *left]]
    found = read(nc)
    assert expected[:-2] == found[:-2]
    assert sorted(expected[-2:]) == sorted(found[-2:])


def test_nothing_older_is_looked_at_than_one_that_is_there(nc: Connection, nats_url: str) -> None:
    """A start would read all windows of the ledger, and publish again what the stream let go."""
    make_streams(nc)

    def newest_first() -> Iterator[WindowSummary]:
        yield summary(7, "m1")
        raise AssertionError("an older window is asked for")

    with open_publisher(nats_url) as opened:
        opened.publish_durable(durable(summary(7, "m1")))
        opened.publish_missing(newest_first(), durable)
    assert 1 == in_stream(nc)


def test_an_invalid_message_hides_no_missing_window(nc: Connection, nats_url: str) -> None:
    """Where anybody may write, one invalid message would keep a window out for good."""
    make_streams(nc)
    junk = OutboundMessage("window.m1", "junk", b"[1]")
    with open_publisher(nats_url) as opened:
        opened.publish_durable([junk])
        opened.publish_missing([summary(7, "m1")], durable)
    (due,) = durable(summary(7, "m1"))
    assert [("window.m1", b"[1]"), ("window.m1", due.payload)] == read(nc)


def test_a_sleeper_adds_nothing_that_its_successor_published(nc: Connection, nats_url: str) -> None:
    """A pause may last longer than ids are remembered; readers would get a window once more."""
    make_streams(nc)
    five, six, seven = (durable(summary(window_id, "m1")) for window_id in (5, 6, 7))
    with open_publisher(nats_url) as sleeper, open_publisher(nats_url) as successor:
        sleeper.publish_durable(five)
        successor.publish_durable(six)
        successor.publish_durable(seven)
        sleeper.publish_durable([OutboundMessage(w.subject, "forgotten", w.payload) for w in six])
    expected = [(each.subject, each.payload) for each in [*five, *six, *seven]]
    assert expected == read(nc)


def test_the_loop_gives_back_what_it_was_asked(nc: Connection) -> None:
    """An answer that got lost between the threads hangs a command line."""
    assert run_sync(nc.rtt()) < 5
