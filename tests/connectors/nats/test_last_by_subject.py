"""What a restart learns of the quotes that the log has already."""

import json
from pathlib import Path

import pytest
from uuid_utils import uuid7

from connectors.embedded.nats_server import start_nats
from connectors.nats.background_loop import open_on_loop
from connectors.nats.connection import connected
from connectors.nats.last_by_subject import latest_quotes
from state.errors import ServerUnreachable
from tests.support.nats_logs import fill, make_streams
from walras_client.nats.connection import Connection
from walras_schemas import subjects


def quote(event_id: str) -> bytes:
    content = {"type": "price_quoted", "event_id": event_id, "price_micros": 5}
    return json.dumps(content).encode()


def test_the_latest_quote_of_each_resource_is_found(nc: Connection) -> None:
    """An older one, or another resource's, and windows are quoted twice or never."""
    make_streams(nc)
    first, second, other = (str(uuid7()) for _ in range(3))
    (ack, _) = fill(nc, [quote(first), quote(second)], subject=subjects.price("m1", "gpu"))
    fill(nc, [quote(other)], subject=subjects.price("m1", "cpu"))
    shard = int(ack.stream.removeprefix("SHARD_"))
    found = latest_quotes(nc, shard, "m1", ["gpu", "cpu", "ram"])
    assert {"gpu": second, "cpu": other} == found


@pytest.mark.parametrize("invalid", [b"", b"[]", b"\xff", quote("never"), quote("~" * 36)])
def test_what_is_no_quote_is_none(nc: Connection, invalid: bytes) -> None:
    """Anybody may write there: one invalid message must not end the pricing of all markets."""
    make_streams(nc)
    (ack,) = fill(nc, [invalid], subject=subjects.price("m1", "gpu"))
    shard = int(ack.stream.removeprefix("SHARD_"))
    assert {} == latest_quotes(nc, shard, "m1", ["gpu"])


def test_an_unavailable_server_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The process must end with an error, for its deployment starts it again."""
    monkeypatch.setattr("walras_client.nats.jetstream.API_DEADLINE_S", 0.2)
    server = start_nats(tmp_path / "nats", shards=1)
    try:
        with open_on_loop(connected(server.url, name="test")) as nc:
            make_streams(nc, shards=1)
            server.stop()
            with pytest.raises(ServerUnreachable, match="latest quotes"):
                latest_quotes(nc, 0, "m1", ["gpu"])
    finally:
        server.stop()
