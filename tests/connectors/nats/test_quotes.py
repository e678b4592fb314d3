"""Quotes enter the log once, behind the last that is known, and nobody can take their place."""

import json
import time
from pathlib import Path

import pytest

from connectors.embedded.nats_server import start_nats
from connectors.nats.background_loop import open_on_loop, run_sync
from connectors.nats.connection import connected
from connectors.nats.export import export_log
from connectors.nats.publisher import Publisher
from connectors.nats.quotes import QuoteLog, open_quotes
from connectors.nats.subjects import shard_of
from state.errors import ServerUnreachable
from state.window import OutboundMessage
from tests.support.nats_logs import fill, make_streams
from walras_client.nats.connection import Connection
from walras_schemas import subjects

GPU = subjects.price("m1", "gpu")


def quote_id(number: int) -> str:
    """Ids that follow one another in time, of about now."""
    at_ms = time.time_ns() // 1_000_000 - 10_000 + number
    return f"{at_ms >> 16:08x}-{at_ms & 0xFFFF:04x}-7000-8000-{number:012x}"


def content(event_id: str, *, price_micros: int = 5) -> bytes:
    command = {"type": "price_quoted", "event_id": event_id, "price_micros": price_micros}
    return json.dumps(command).encode()


def quote(event_id: str, *, price_micros: int = 5) -> OutboundMessage:
    return OutboundMessage(GPU, event_id, content(event_id, price_micros=price_micros))


def shard_of_market(nc: Connection) -> int:
    make_streams(nc)
    (ack,) = fill(nc, [b"{}"], subject=subjects.market("m1"))
    return shard_of(ack.stream)


def quoted(url: str, shard: int) -> list[bytes]:
    return [line.payload for line in export_log(url, shard=shard) if line.subject == GPU]


def test_the_latest_quote_of_each_resource_is_found(nc: Connection) -> None:
    """An older one, or another resource's, and windows are quoted twice or never."""
    shard = shard_of_market(nc)
    first, second, other = map(quote_id, range(3))
    fill(nc, [content(first), content(second)], subject=GPU)
    fill(nc, [content(other.upper())], subject=subjects.price("m1", "cpu"))
    found = QuoteLog(nc).latest(shard, "m1", ["gpu", "cpu", "ram"])
    assert {"gpu": second, "cpu": other} == found


@pytest.mark.parametrize(
    "invalid",
    [b"", b"[]", b"\xff", content("never"), content("~" * 36), content(quote_id(3_600_000))],
    ids=["empty", "array", "binary", "no id", "no hexadecimals", "from the future"],
)
def test_what_is_not_a_quote_stands_in_nobodys_way(
    nc: Connection, nats_url: str, invalid: bytes
) -> None:
    """Taken for a later quote, one invalid message would stop the prices of a market for good."""
    shard, mine = shard_of_market(nc), quote(quote_id(1))
    fill(nc, [invalid], subject=GPU)
    log = QuoteLog(nc)
    assert {} == log.latest(shard, "m1", ["gpu"])
    log.publish("m1", [mine])
    assert [invalid, mine.payload] == quoted(nats_url, shard)


def test_the_same_quote_enters_the_log_once(nc: Connection, nats_url: str) -> None:
    """A restart quotes again what it quoted: with two of it a window would have two truths."""
    shard, mine = shard_of_market(nc), quote(quote_id(1))
    logs = [QuoteLog(nc), QuoteLog(nc)]
    for log in logs:
        log.latest(shard, "m1", ["gpu"])
    for log in [*logs, *logs]:
        log.publish("m1", [mine])
    assert [mine.payload] == quoted(nats_url, shard)


def test_nobody_can_take_the_place_of_a_quote(nc: Connection, nats_url: str) -> None:
    """The id of a quote can be foreseen: published by an agent before, it stopped all prices."""
    shard, mine = shard_of_market(nc), quote(quote_id(1))
    run_sync(Publisher(nc).publish(subjects.bid("m1", "a1"), b"{}", msg_id=mine.msg_id))
    log = QuoteLog(nc)
    log.latest(shard, "m1", ["gpu"])
    log.publish("m1", [mine])
    assert [mine.payload] == quoted(nats_url, shard)


def test_a_newer_quote_of_another_sender_stands(nc: Connection, nats_url: str) -> None:
    """Two pricing processes, one of which slept: its old price must not follow the new one."""
    shard = shard_of_market(nc)
    older, newer, newest = (quote(quote_id(number)) for number in (1, 2, 3))
    slept, other = QuoteLog(nc), QuoteLog(nc)
    for log in (slept, other):
        log.latest(shard, "m1", ["gpu"])
    other.publish("m1", [newer])
    slept.publish("m1", [older])
    assert [newer.payload] == quoted(nats_url, shard)
    slept.publish("m1", [newest])
    assert [newer.payload, newest.payload] == quoted(nats_url, shard)


def test_quotes_wait_for_a_server_that_comes_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What became of the attempt before is read from the log: the quote is there, and once."""
    monkeypatch.setattr("connectors.nats.publisher.ACK_DEADLINE_S", 0.5)
    server = start_nats(tmp_path / "nats", shards=1)
    try:
        with open_on_loop(connected(server.url, name="test")) as nc, open_quotes(server.url) as log:
            make_streams(nc, shards=1)
            log.latest(0, "m1", ["gpu"])
            log.publish("m1", [quote(quote_id(1))])
            server.stop()
            server = start_nats(tmp_path / "nats", shards=1)
            log.publish("m1", [quote(quote_id(2))])
            assert 2 == len(quoted(server.url, 0))
    finally:
        server.stop()


def test_an_unavailable_server_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process must end with an error, for its deployment starts it again."""
    monkeypatch.setattr("walras_client.nats.jetstream.API_DEADLINE_S", 0.2)
    server = start_nats(tmp_path / "nats", shards=1)
    try:
        with open_quotes(server.url) as log:
            server.stop()
            with pytest.raises(ServerUnreachable, match="latest quotes"):
                log.latest(0, "m1", ["gpu"])
    finally:
        server.stop()
