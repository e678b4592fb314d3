"""What an agent's credentials are good for, act by act: everything else is refused.

Each row is an act of someone who wants to be another, to hear another or to reach what keeps the
market; after each the victim must have heard nothing and the log must have taken nothing.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator

import pytest

from tests.isolation.broker import MARK, Broker, World, others, running, world

OWN, SHARED = "a", "c1"
VICTIMS = {OWN: "b", SHARED: "c2"}

PUBLISHED = {
    "a bid of another": "market.demo.bid.{victim}",
    "a transfer of another": "market.demo.transfer.{victim}",
    "a bid of another in capitals": "market.demo.bid.{VICTIM}",
    "a bid with a token more": "market.demo.bid.{name}.{victim}",
    "a bid of the treasury": "market.demo.bid.treasury",
    "a bid of the house": "market.demo.bid.house",
    "a grant": "market.demo.grant",
    "an opening": "market.demo.market",
    "a price": "market.demo.price.tokens",
    "a meter": "market.demo.meter.0",
    "another market": "market.other.bid.{name}",
    "a tick": "clock.0",
    "past the mapping": "shard.0.market.demo.bid.{victim}",
    "past the mapping, a grant": "shard.1.market.demo.grant",
    "past the mapping, a tick": "shard.0.clock",
    "a schedule of ticks": "schedule.0",
    "a scheduled tick": "tick.0",
    "a result of another": "result.demo.{victim}",
    "a result of its own": "result.demo.{name}",
    "a window": "window.demo",
    "an inbox of another": "_INBOX.{victim}.x",
    "an inbox of the house": "_INBOX.house.x",
    "an answer for another": "_R_.x",
    "an acknowledgement": "$JS.ACK.SHARD_0.c.1.1.1.1.0",
    "the balance of another": "query.balance.demo.{victim}",
    "the history of another": "query.history.demo.{victim}",
    "the services of the house": "$SRV.PING",
    "streams: their names": "$JS.API.STREAM.NAMES",
    "streams: what is in them": "$JS.API.STREAM.INFO.SHARD_0",
    "streams: a new one": "$JS.API.STREAM.CREATE.MINE",
    "streams: a change": "$JS.API.STREAM.UPDATE.SHARD_0",
    "streams: an end": "$JS.API.STREAM.DELETE.SHARD_0",
    "streams: a purge": "$JS.API.STREAM.PURGE.SHARD_0",
    "streams: a message": "$JS.API.STREAM.MSG.GET.SHARD_0",
    "streams: a message, directly": "$JS.API.DIRECT.GET.SHARD_0",
    "streams: a message deleted": "$JS.API.STREAM.MSG.DELETE.SHARD_0",
    "streams: a consumer": "$JS.API.CONSUMER.CREATE.SHARD_0",
    "streams: the account": "$JS.API.INFO",
    "the system: a ping": "$SYS.REQ.SERVER.PING",
    "the system: connections": "$SYS.REQ.SERVER.PING.CONNZ",
    "the system: its account": "$SYS.REQ.ACCOUNT.PING.CONNZ",
    "the system: itself": "$SYS.REQ.USER.INFO",
    "the system: claims changed": "$SYS.REQ.CLAIMS.UPDATE",
    "the system: claims listed": "$SYS.REQ.CLAIMS.LIST",
    "the system: claims deleted": "$SYS.REQ.CLAIMS.DELETE",
}
"""Act to the subject that is published to, each of which the server must refuse by name."""

HEARD = (
    ">", "*", "*.>", "result.>", "result.demo.*", "result.demo.{victim}", "result.*.{victim}",
    "market.>", "market.demo.bid.{victim}", "shard.>", "query.>", "window.>", "clock.>", "tick.>",
    "_INBOX.{victim}.>", "_INBOX.*.>", "_R_.>", "$JS.>", "$SYS.>", "$SRV.>",
)  # fmt: skip
"""Subscriptions that would hear another, the house or the server."""

REPLIES = (
    "result.demo.{victim}", "market.demo.bid.{victim}", "market.demo.grant",
    "shard.0.market.demo.grant", "window.demo", "schedule.0", "tick.0", "_INBOX.{victim}.x",
    "$JS.API.STREAM.DELETE.SHARD_0", "$SYS.REQ.CLAIMS.DELETE",
)  # fmt: skip
"""Where an attacker may have the answer to a command of its own sent."""

HEADERS = {
    "Nats-Rollup": "all",
    "Nats-Schedule": "@every 1s",
    "Nats-Schedule-Target": "market.demo.grant",
    "Nats-TTL": "1s",
    "Nats-Incr": "+1",
    "Nats-Trace-Dest": "result.demo.b",
    "Nats-Expected-Last-Sequence": "9999",
    "Nats-Required-Api-Level": "99",
    "Nats-Batch-Id": "1",
}
"""Headers by which a publisher gives orders to a stream."""


@pytest.fixture(scope="module")
def broker() -> Iterator[Broker]:
    with running() as started:
        started.let_in(OWN, market="demo")
        started.let_in("b", market="demo")
        started.let_in(SHARED, market="demo", cell="fleet")
        started.let_in("c2", market="demo", cell="fleet")
        yield started


@pytest.fixture(params=[OWN, SHARED], ids=["an account of its own", "a shared account"])
def attacker(request: pytest.FixtureRequest) -> str:
    name: str = request.param
    return name


def act(broker: Broker, name: str, do: Callable[[World], Awaitable[None]]) -> None:
    async def go() -> None:
        async with world(broker, name=name, victim=VICTIMS[name], inbox=name) as opened:
            await do(opened)

    asyncio.run(go())


def filled(subject: str, name: str) -> str:
    victim = VICTIMS[name]
    return subject.format(name=name, victim=victim, VICTIM=victim.upper())


@pytest.mark.parametrize("subject", PUBLISHED.values(), ids=PUBLISHED.keys())
def test_it_cannot_be_sent(broker: Broker, attacker: str, subject: str) -> None:
    """Whoever can publish it prints money, speaks as another or ends the market."""
    aim = filled(subject, attacker)

    async def do(world: World) -> None:
        before = await world.log()
        await world.attacker.nc.publish(aim, MARK, reply=f"_INBOX.{attacker}.r")
        await world.settled()
        assert [f'nats: permissions violation for publish to "{aim.lower()}"'] == [
            said.partition(" using")[0] for said in world.attacker.complaints
        ]
        assert before == await world.log()
        assert [] == others(world.victim)
        assert [] == others(world.attacker)

    act(broker, attacker, do)


@pytest.mark.parametrize("subject", HEARD)
def test_it_cannot_be_heard(broker: Broker, attacker: str, subject: str) -> None:
    """Whoever hears another's bids or results knows what it is worth to it."""
    aim, victim = filled(subject, attacker), VICTIMS[attacker]

    async def do(world: World) -> None:
        await world.attacker.hear(aim)
        await world.victim.nc.publish(
            f"market.demo.bid.{victim}", b"secret", reply=f"_INBOX.{victim}.ack"
        )
        await world.victim.nc.flush()
        await world.house.nc.publish(f"result.demo.{victim}", b"secret")
        await world.house.nc.publish(f"_INBOX.{victim}.x", b"secret")
        await world.settled()
        # All inboxes of an account of its own are its own: it may listen, and hears nothing.
        allowed = attacker == OWN and subject.startswith("_INBOX")
        assert ([] if allowed else ["permissions violation"]) == [
            said.removeprefix("nats: ").partition(" for")[0] for said in world.attacker.complaints
        ]
        assert [] == others(world.attacker)

    act(broker, attacker, do)


@pytest.mark.parametrize("subject", REPLIES)
def test_answers_go_nowhere_else(broker: Broker, subject: str) -> None:
    """The house answers an agent; it must not be made to speak to another in its place."""
    aim = filled(subject, OWN)

    async def do(world: World) -> None:
        before = await world.log()
        for own in (f"market.demo.bid.{OWN}", "query.prices.demo"):
            await world.attacker.nc.publish(own, MARK, reply=aim)
        await world.settled()
        after = await world.log()
        assert [] == others(world.victim)
        assert 1 >= sum(after[name][0] - before[name][0] for name in after)
        new = {subject for name in after for subject in set(after[name][1]) - set(before[name][1])}
        assert new <= {f"shard.{k}.market.demo.bid.{OWN}" for k in range(2)}

    act(broker, OWN, do)


@pytest.mark.parametrize("subject", ["result.demo.c2", "_INBOX.c2.x"])
def test_in_a_shared_account_an_answer_can_stray(broker: Broker, subject: str) -> None:
    """Open, and said so in the guide: neighbours may be sent an acknowledgement, never a result."""

    async def do(world: World) -> None:
        await world.attacker.nc.publish("market.demo.bid.c1", MARK, reply=subject)
        await world.settled()
        for _, payload in others(world.victim):
            assert payload.startswith(b'{"stream":"SHARD_')

    act(broker, SHARED, do)


@pytest.mark.parametrize(("header", "value"), HEADERS.items())
def test_headers_give_no_orders(broker: Broker, attacker: str, header: str, value: str) -> None:
    """A log that a header can shorten or keep waiting is the sender's, not the market's."""

    async def do(world: World) -> None:
        before = await world.log()
        await world.attacker.nc.publish(
            f"market.demo.bid.{attacker}", MARK, headers={header: value}
        )
        await world.settled()
        after = await world.log()
        assert [] == others(world.victim)
        assert all(after[name][0] >= before[name][0] for name in after)
        assert all(set(before[name][1]) <= set(after[name][1]) for name in after)
        assert before["TICKS"] == after["TICKS"]

    act(broker, attacker, do)
