"""An agent that publishes junk under every id it can compute keeps no quote out of the log."""

import asyncio
import json
import time
from collections.abc import Iterator

import pytest

from connectors.nats.export import export_log
from connectors.nats.quotes import open_quotes
from connectors.nats.subjects import shard_of
from state.window import OutboundMessage
from tests.isolation.broker import Broker, running, session
from walras_client.nats.broker import BrokerAddress
from walras_schemas import subjects

QUOTES = 20
TOKENS = subjects.price("demo", "tokens")


@pytest.fixture
def broker() -> Iterator[Broker]:
    with running() as started:
        yield started


def quote(number: int) -> OutboundMessage:
    at_ms = time.time_ns() // 1_000_000 - 10_000 + number
    event_id = f"{at_ms >> 16:08x}-{at_ms & 0xFFFF:04x}-7000-8000-{number:012x}"
    content = {"type": "price_quoted", "event_id": event_id, "price_micros": 1 + number}
    return OutboundMessage(TOKENS, event_id, json.dumps(content).encode())


def test_all_quotes_arrive(broker: Broker) -> None:
    """Prices that any bidder can stop are no prices."""
    quotes = [quote(number) for number in range(QUOTES)]
    creds = broker.let_in("a", market="demo")

    async def attack() -> str:
        """Take the ids first; the shard of the market."""
        async with session(broker, creds, inbox="a") as opened:
            ack = b""
            for each in quotes:
                junk = {"Nats-Msg-Id": each.msg_id}
                reply = await opened.nc.request("market.demo.bid.a", b"x", 10, headers=junk)
                ack = reply.data
                await opened.nc.publish(TOKENS, each.payload, headers=junk)
            await opened.nc.flush()
            stream: str = json.loads(ack)["stream"]
            return stream

    shard = shard_of(asyncio.run(attack()))
    with open_quotes(str(BrokerAddress(broker.url, creds=broker.keys.creds("pricing")))) as log:
        assert {} == log.latest(shard, "demo", ["tokens"])
        log.publish("demo", quotes)
    house = str(BrokerAddress(broker.url, creds=broker.keys.creds("house")))
    lines = list(export_log(house, shard=shard))
    assert [each.payload for each in quotes] == [
        line.payload for line in lines if line.subject == TOKENS
    ]
    assert QUOTES == sum(line.subject == "market.demo.bid.a" for line in lines)
