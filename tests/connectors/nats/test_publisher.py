"""What is in flight is bounded, and no slot is lost with a message that got no answer."""

import asyncio
from pathlib import Path
from typing import Final

import pytest

from connectors.nats import publisher
from connectors.nats.background_loop import open_on_loop, run_sync
from connectors.nats.connection import connected
from connectors.nats.publisher import Publisher
from tests.client.broker import broker
from tests.support.nats_logs import make_streams
from walras_client.nats.connection import Connection
from walras_client.nats.errors import NoReply

BID: Final = "market.m1.bid.a1"


async def unanswered(nc: Connection) -> Publisher:
    """A publisher of one slot, after an ack that did not come and one that nobody waited for."""
    one = Publisher(nc, in_flight=1)
    with pytest.raises(NoReply, match=r"no answer within 0\.2 s"):
        await one.publish(BID, b"{}", msg_id="1")
    (await one.publish_async(BID, b"{}", msg_id="2")).cancel()
    too_large = await one.publish_async(BID, bytes(2 << 20), msg_id="3")
    with pytest.raises(Exception, match="maximum payload"):
        await too_large
    return one


async def publish_one(one: Publisher) -> int:
    async with asyncio.timeout(30):
        return (await one.publish(BID, b"{}", msg_id="4")).seq


def test_what_got_no_answer_gives_its_slot_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A bound that shrinks with each outage stops the publisher in the end."""
    with (
        broker(tmp_path / "nats") as server,
        open_on_loop(connected(server.url, name="test")) as nc,
    ):
        make_streams(nc, shards=1)
        monkeypatch.setattr(publisher, "ACK_DEADLINE_S", 0.2)
        server.freeze()
        one = run_sync(unanswered(nc))
        server.thaw()
        monkeypatch.undo()
        assert 3 == run_sync(publish_one(one))
