"""A command on its way into the log, and what its sender learns when it does not get there."""

import asyncio
from typing import Final

import pytest

from connectors.nats.background_loop import run_sync
from connectors.nats.commands import command_id, commands, open_commands
from connectors.nats.connection import connect
from connectors.nats.export import export_log
from connectors.nats.subjects import shard_of
from state.errors import ServerUnreachable, SettingsError, WalrasError
from tests.support.nats_logs import last_seq, make_streams
from walras_client.nats.connection import Connection
from walras_schemas import message_id

BID: Final = "market.m0.bid.a1"


def test_a_command_is_where_its_ack_says(nc: Connection, nats_url: str) -> None:
    """Who reads its outcome later looks it up by shard and sequence."""
    make_streams(nc)
    with open_commands(nats_url) as client:
        ack = client.publish_command(BID, b'{"n": 1}', msg_id="id-1")
    (line,) = export_log(nats_url, shard=shard_of(ack.stream))
    assert (ack.seq, BID, b'{"n": 1}') == (line.seq, line.subject, line.payload)
    assert "id-1" == line.headers["Nats-Msg-Id"]


def test_a_command_sent_again_is_in_the_log_once(nc: Connection, nats_url: str) -> None:
    """Whoever got no answer must be able to ask again without bidding twice."""
    make_streams(nc)
    with open_commands(nats_url) as client:
        first = client.publish_command(BID, b"{}", msg_id="id-1")
        again = client.publish_command(BID, b"{}", msg_id="id-1")
    assert (first.stream, first.seq, False, True) == (
        again.stream,
        again.seq,
        first.duplicate,
        again.duplicate,
    )


@pytest.mark.parametrize(
    ("subject", "market", "sender"),
    [
        ("market.m0.bid.a1", "m0", "a1"),
        ("market.m0.transfer.a1", "m0", "a1"),
        ("market.m0.grant", "m0", "treasury"),
        ("market.m0.market", "m0", "treasury"),
        ("market.m1.price.a1", "m1", "treasury"),
    ],
)
def test_an_id_belongs_to_a_market_and_a_sender(subject: str, market: str, sender: str) -> None:
    """Another id for the same command, and it is in the log twice; a shorter one drops others'."""
    assert message_id(market, sender, ["e1", "e2"]) == command_id(subject, ["e1", "e2"])


def test_the_same_event_id_in_two_markets_is_two_commands(nc: Connection, nats_url: str) -> None:
    """The second was acknowledged and in no log: both markets may lie in one stream."""
    make_streams(nc)
    shared = ["market.m0.bid.a1", "market.m4.bid.a1", "market.m0.bid.a2"]
    with open_commands(nats_url) as client:
        acks = [
            client.publish_command(each, b"{}", msg_id=command_id(each, ["e1"])) for each in shared
        ]
    assert {("SHARD_0", False)} == {(ack.stream, ack.duplicate) for ack in acks}


def test_many_commands_in_flight_all_arrive_in_order(nc: Connection, nats_url: str) -> None:
    """Two bids of one agent that changed places could each be judged the other way."""
    make_streams(nc)

    async def send() -> list[int]:
        async with commands(nats_url) as publisher:
            acks = [
                await publisher.publish_async(BID, b"%d" % n, msg_id=f"{n}") for n in range(5000)
            ]
            return [(await ack).seq for ack in acks]

    assert list(range(1, 5001)) == asyncio.run(send())
    assert [b"%d" % n for n in range(5000)] == [
        line.payload for line in export_log(nats_url, shard=0)
    ]


def test_a_full_log_is_reported_to_the_sender(nc: Connection, nats_url: str) -> None:
    """A log that dropped its oldest messages instead would still say yes."""
    make_streams(nc, max_bytes=1 << 16)
    with open_commands(nats_url) as client:

        def publish_too_many() -> None:
            for number in range(1000):
                client.publish_command(BID, bytes(1000), msg_id=f"{number}")

        with pytest.raises(WalrasError, match="maximum bytes exceeded") as error:
            publish_too_many()
    assert "the log refused the command" == error.value.what
    held_messages = last_seq(nc, "SHARD_0")
    assert [*range(1, held_messages + 1)] == [line.seq for line in export_log(nats_url, shard=0)]
    assert 0 < held_messages < 66


def test_a_payload_a_little_too_large_enters_the_log(nc: Connection, nats_url: str) -> None:
    """It must become a dead letter that can be shown, not vanish on the way."""
    make_streams(nc)
    with open_commands(nats_url) as client:
        ack = client.publish_command(BID, bytes((1 << 20) + 1), msg_id="id-1")
    assert 1 == ack.seq


def test_a_payload_far_too_large_is_refused(nc: Connection, nats_url: str) -> None:
    """A log is no place for files."""
    make_streams(nc)
    with open_commands(nats_url) as client, pytest.raises(WalrasError, match="maximum payload"):
        client.publish_command(BID, bytes(2 << 20), msg_id="id-1")


def test_a_command_without_a_log_is_an_error(nats_url: str) -> None:
    """The first bid on a bare machine must not hang until a timeout."""
    with (
        open_commands(nats_url) as client,
        pytest.raises(SettingsError, match="NATS knows no stream for"),
    ):
        client.publish_command(BID, b"{}", msg_id="id-1")


def test_an_unreachable_server_is_reported_within_the_deadline(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """A wrong port is the most common mistake of all."""
    monkeypatch.setattr("walras_client.nats.connection.CONNECT_DEADLINE_S", 0.3)
    with pytest.raises(ServerUnreachable, match=r"Connect call failed|refused"):
        run_sync(connect("nats://127.0.0.1:1", name="test"))


def test_no_error_shows_the_password(monkeypatch: pytest.MonkeyPatch) -> None:
    """What a command line prints ends in tickets and logs."""
    monkeypatch.setattr("walras_client.nats.connection.CONNECT_DEADLINE_S", 0.3)
    with pytest.raises(ServerUnreachable) as unreachable:
        run_sync(connect("nats://me:secret@127.0.0.1:1", name="test"))
    with pytest.raises(SettingsError) as wrong:
        run_sync(connect("nats://me:secret@127.0.0.1:port", name="test"))
    assert "secret" not in f"{unreachable.value} {wrong.value}"


@pytest.mark.parametrize("url", ["", "nats://", "nats://host:port", "127.0.0.1:x"])
def test_a_url_that_is_none_is_a_wrong_setting(url: str) -> None:
    """It would be tried again until the deadline, and reported as an outage."""
    with pytest.raises(SettingsError, match="the NATS URL is wrong"):
        run_sync(connect(url, name="test"))
