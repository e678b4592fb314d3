"""A short log with something of everything in each of its windows, on a real stream."""

import json
import time
from collections.abc import Iterator, Sequence
from typing import Any, Final

from connectors.nats.background_loop import run_sync
from connectors.nats.publisher import Publisher
from tests.support.eventually import eventually
from walras_client import new_event_id
from walras_client.nats.connection import Connection

WINDOW_MS: Final = 1000
NS_PER_MS: Final = 1_000_000
AGENTS: Final = tuple(f"a{number}" for number in range(6))
BIDS: Final = 6
"""Of each agent in each window."""
TICK: Final = ("clock.0", b"")

Message = tuple[str, bytes]


def write_log(nc: Connection, *, windows: int) -> None:
    """So many windows, and a tick that closes the last one."""
    for number in range(windows):
        write_window(nc, number)
    next_window()
    publish(nc, [TICK])


def write_window(nc: Connection, number: int, *, window_ms: int = WINDOW_MS) -> None:
    """One window: grants, bids in a rivalry for little supply, a broken message, a transfer."""
    next_window(window_ms)
    publish(nc, list(_window(number)))


def next_window(window_ms: int = WINDOW_MS) -> None:
    """Return in the next window of the clock."""
    now = _window_id(window_ms)
    eventually(lambda: _window_id(window_ms) > now)


def publish(nc: Connection, messages: Sequence[Message]) -> None:
    """Publish these and wait until the log has all."""
    run_sync(_say(nc, messages))


async def _say(nc: Connection, messages: Sequence[Message]) -> None:
    publisher = Publisher(nc)
    acks = [
        await publisher.publish_async(subject, payload, msg_id=new_event_id())
        for subject, payload in messages
    ]
    for ack in acks:
        await ack


def _window_id(window_ms: int) -> int:
    return time.time_ns() // (window_ms * NS_PER_MS)


def _window(number: int) -> Iterator[Message]:
    if number == 0:
        yield "market.m1.market", _command("market_opened", resources=_resources())
    # An agent and a resource that nobody has named before, and so rows of names in each window.
    for agent in (*AGENTS, f"new{number}"):
        yield "market.m1.grant", _command("credits_granted", agent_id=agent, amount_micros=10_000)
    unlisted = _command("bid_placed", resource=f"r{number}", quantity=1, unit_price_micros=1)
    yield "market.m1.bid.a0", unlisted
    for turn in range(BIDS):
        for place, agent in enumerate(AGENTS):
            yield f"market.m1.bid.{agent}", _bid(place, turn, number)
    yield "market.m1.bid.a1", b'{"type": "bid_placed"}'
    yield (
        "market.m1.transfer.a2",
        _command("credits_transferred", to_agent_id="a3", amount_micros=7),
    )


def _resources() -> dict[str, Any]:
    return {
        "cpu": {"supply": 40, "initial_price_micros": 20},
        "gpu": {"supply": 7, "initial_price_micros": 50},
    }


def _bid(place: int, turn: int, number: int) -> bytes:
    price = 20 + (place * 7 + turn * 11 + number * 5) % 60
    if turn == BIDS - 1:
        return _command("bid_placed", bundle={"cpu": 3, "gpu": 1}, limit_micros=4 * price)
    resource = "gpu" if turn % 2 else "cpu"
    return _command("bid_placed", resource=resource, quantity=1 + turn, unit_price_micros=price)


def _command(type_: str, **fields: object) -> bytes:
    return json.dumps({"type": type_, "event_id": new_event_id(), **fields}).encode()
