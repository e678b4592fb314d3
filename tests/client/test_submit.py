"""A command that was submitted is in the log, once; one that was not says what is known of it."""

import asyncio
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest

from connectors.nats.background_loop import open_on_loop
from tests.client.broker import Broker, broker
from tests.client.fake_market import POLL_INTERVAL_S, WITHIN_S, agent, fake_market
from tests.support.proxy import FaultProxy, dial_to, fault_proxy
from walras_client import (
    BidId,
    LogFull,
    PubAck,
    SubmitError,
    Unacknowledged,
    Unavailable,
    WalrasClient,
    new_event_id,
)
from walras_client.nats import connection as link
from walras_schemas import BidPlaced, CreditsTransferred


def some_bids(count: int, *, resource: str = "tokens") -> list[BidPlaced]:
    return [
        BidPlaced(event_id=new_event_id(), resource=resource, quantity=1, unit_price_micros=1)
        for _ in range(count)
    ]


def test_each_command_lies_in_the_log_as_it_was_asked_for(nats_url: str) -> None:
    """A field that is dropped or renamed on the way is another bid than the agent's."""

    async def play() -> None:
        async with fake_market(nats_url) as market, agent(nats_url) as me:
            bid = await me.bid("tokens", 500, 1500, min_quantity=20)
            bundle = await me.bid_bundle({"tokens": 5, "cpu_ms": 7}, limit_micros=90)
            withdrawn = await me.withdraw(bid)
            paid = await me.transfer("a2", 250, "service")
            common = {"version": 1}
            expected = [
                common
                | {"type": "bid_placed", "event_id": bid, "resource": "tokens", "quantity": 500}
                | {"unit_price_micros": 1500, "min_quantity": 20},
                common
                | {"type": "bid_placed", "event_id": bundle, "limit_micros": 90}
                | {"bundle": {"tokens": 5, "cpu_ms": 7}},
                common | {"type": "bid_withdrawn", "event_id": withdrawn, "bid_event_id": bid},
                common
                | {"type": "credits_transferred", "event_id": paid, "to_agent_id": "a2"}
                | {"amount_micros": 250, "purpose": "service"},
            ]
            assert expected == await market.log()

    asyncio.run(play())


def test_many_commands_travel_as_one_message(nats_url: str) -> None:
    """A thousand messages cost what a thousand bids in one do not."""

    async def play() -> None:
        async with fake_market(nats_url) as market, agent(nats_url) as me:
            bids = some_bids(1000)
            assert [bid.event_id for bid in bids] == await me.submit_many(bids)
            assert [bid.event_id for bid in bids] == await market.event_ids()
            assert 1 == await market.messages()

    asyncio.run(play())


@pytest.mark.parametrize("commands", [some_bids(1001), []], ids=["1001", "none"])
def test_a_batch_that_no_log_would_read_is_refused(
    nats_url: str, commands: list[BidPlaced]
) -> None:
    """Sent all the same it would be one dead letter, and every bid in it lost."""

    async def play() -> None:
        async with fake_market(nats_url), agent(nats_url) as me:
            await me.submit_many(commands)

    with pytest.raises(ValueError, match="1 to 1000 commands"):
        asyncio.run(play())


def test_a_batch_that_is_too_long_is_refused(nats_url: str) -> None:
    """The broker would cut the connection, or the whole message would be a dead letter."""
    names = {f"{letter * 60}": 1 for letter in "abcdefghijklmnop"}

    async def play() -> None:
        async with fake_market(nats_url), agent(nats_url) as me:
            bids = [
                BidPlaced(event_id=new_event_id(), bundle=names, limit_micros=1)
                for _ in range(1000)
            ]
            await me.submit_many(bids)

    with pytest.raises(ValueError, match="at most 1048576 bytes"):
        asyncio.run(play())


def test_bids_and_transfers_do_not_share_a_message(nats_url: str) -> None:
    """They have subjects of their own: on the other's each would be malformed."""
    gift = CreditsTransferred(event_id=new_event_id(), to_agent_id="a2", amount_micros=1)

    async def play() -> None:
        async with fake_market(nats_url), agent(nats_url) as me:
            await me.submit_many([*some_bids(1), gift])

    with pytest.raises(ValueError, match="bids and withdrawals, or transfers"):
        asyncio.run(play())


def test_a_batch_is_not_taken_for_its_first_command(nats_url: str) -> None:
    """The stream drops what it takes for a repetition: all other bids of the batch were lost."""

    async def play() -> None:
        async with fake_market(nats_url) as market, agent(nats_url) as me:
            first, second = some_bids(2)
            await me.submit_many([first])
            await me.submit_many([first, second])
            await me.submit_many([second, first])
            assert 5 == len(await market.event_ids())

    asyncio.run(play())


def test_what_is_submitted_again_is_in_the_log_once(nats_url: str) -> None:
    """An agent that is in doubt must be able to send again without paying twice."""

    async def play() -> None:
        async with fake_market(nats_url) as market, agent(nats_url) as me:
            one, many = some_bids(1), some_bids(3)
            for _ in range(3):
                await me.submit_many(one)
                await me.submit_many(many)
            assert [bid.event_id for bid in [*one, *many]] == await market.event_ids()

    asyncio.run(play())


def test_a_full_log_is_reported_when_the_retries_end(nats_url: str) -> None:
    """A bid that is silently dropped, or waited for without end, stops an agent for nothing."""

    async def play() -> tuple[LogFull, list[str]]:
        async with (
            fake_market(nats_url, log_bytes=1 << 20) as market,
            agent(nats_url, retry_timeout_s=0.5) as me,
        ):
            with pytest.raises(LogFull) as full:
                await submit_thousands(me, times=20)
            return full.value, await market.event_ids()

    full, event_ids = asyncio.run(play())
    assert 1000 == len(full.commands)
    assert not {command.event_id for command in full.commands} & set(event_ids)


def test_a_log_that_has_room_again_takes_what_waited(nats_url: str) -> None:
    """Back-off is for outages that end: the bid counts as soon as there is room."""

    async def play() -> None:
        async with fake_market(nats_url, log_bytes=1 << 20) as market, agent(nats_url) as me:
            waiting = asyncio.create_task(submit_thousands(me, times=9))
            await market.until_full()
            await market.make_room()
            placed = await waiting
            assert Counter(placed) == Counter(await market.event_ids())

    asyncio.run(play())


def test_the_same_bid_in_two_markets_is_two_bids(nats_url: str) -> None:
    """The second was dropped as a repetition of the first: acknowledged, and in no log."""
    (bid,) = some_bids(1)
    senders = [("m1", "a1"), ("m2", "a1"), ("m1", "a2")]

    async def submit(market: str, name: str) -> PubAck:
        async with WalrasClient.connect(nats_url, market=market, agent=name) as me:
            return await me.submit([bid])

    async def play() -> None:
        async with fake_market(nats_url):
            acks = [await submit(*sender) for sender in senders]
            again = [await submit(*sender) for sender in senders]
            assert {False} == {ack.duplicate for ack in acks}
            assert 3 == len({(ack.stream, ack.seq) for ack in acks})
            assert [replace(ack, duplicate=True) for ack in acks] == again

    asyncio.run(play())


async def submit_thousands(me: WalrasClient, *, times: int) -> list[str]:
    """More than a small log holds."""
    submitted: list[str] = []
    for _ in range(times):
        submitted += await me.submit_many(some_bids(1000))
    return submitted


def test_a_lost_acknowledgement_does_not_double_a_bid(nats_url: str) -> None:
    """The log has the bid, the agent does not know it: sent again as a new one, it pays twice."""

    async def play(proxy: FaultProxy) -> None:
        async with fake_market(nats_url) as market, agent(url_of(proxy)) as me:
            submitting = await bid_unanswered(me, proxy)
            assert 1 == await market.messages()
            assert [await submitting] == await market.event_ids()

    with open_on_loop(fault_proxy(dial_to(nats_url))) as proxy:
        asyncio.run(play(proxy))


async def bid_unanswered(me: WalrasClient, proxy: FaultProxy) -> asyncio.Task[BidId]:
    """A bid that the log has and whose acknowledgement was lost; the connection is reset."""
    with proxy.swallowing_replies():
        submitting = asyncio.create_task(me.bid("tokens", 1, 1))
        async with asyncio.timeout(WITHIN_S):
            while not proxy.swallowed_replies:  # noqa: ASYNC110 - it wakes nobody
                await asyncio.sleep(POLL_INTERVAL_S)
    return submitting


def url_of(proxy: FaultProxy) -> str:
    return f"nats://127.0.0.1:{proxy.port}"


def test_a_server_that_goes_and_comes_back_loses_and_repeats_nothing(tmp_path: Path) -> None:
    """What was on its way to a server that died is nowhere, unless it is sent again."""

    async def play(server: Broker) -> None:
        async with fake_market(server.url, shards=1), agent(server.url, retry_timeout_s=30) as me:
            before = await me.bid("tokens", 1, 1)
            server.freeze()
            submitting = [
                asyncio.create_task(me.bid("tokens", 1, price)) for price in range(1, 300)
            ]
            await asyncio.sleep(0)
            server.kill()
            server.start()
            placed = [before, *await asyncio.gather(*submitting)]
            async with fake_market(server.url, shards=1) as market:
                assert Counter(placed) == Counter(await market.event_ids())

    with broker(tmp_path / "nats") as server:
        asyncio.run(play(server))


def test_an_unavailable_server_is_reported_with_the_commands(tmp_path: Path) -> None:
    """The agent must know that it is in doubt, and have what it needs to find out safely."""

    async def play(server: Broker) -> None:
        async with fake_market(server.url, shards=1), agent(server.url, retry_timeout_s=0.5) as me:
            server.stop()
            with pytest.raises(Unacknowledged, match="may not be in the log") as unknown:
                await me.bid("tokens", 1, 1)
            server.start()
            async with fake_market(server.url, shards=1) as market, agent(server.url) as again:
                placed = await again.submit_many(unknown.value.commands)
                assert placed == await market.event_ids()

    with broker(tmp_path / "nats") as server:
        asyncio.run(play(server))


def test_a_server_without_a_deployment_is_reported(nats_url: str) -> None:
    """An agent that connects to the wrong server must not wait there for results."""

    async def play() -> None:
        async with agent(nats_url, retry_timeout_s=0.1):
            pass

    with pytest.raises(Unavailable, match="no responders"):
        asyncio.run(play())


def test_no_server_is_reported_within_the_deadline(monkeypatch: pytest.MonkeyPatch) -> None:
    """A wrong address is the first mistake that everybody makes."""
    monkeypatch.setattr(link, "CONNECT_DEADLINE_S", 0.3)

    async def play() -> None:
        async with agent("nats://127.0.0.1:1"):
            pass

    with pytest.raises(Unavailable, match="cannot be reached"):
        asyncio.run(play())


def test_a_client_that_was_closed_says_so_at_once(nats_url: str) -> None:
    """An agent that bids after its block would wait for the end of all retries with every bid."""

    async def play() -> None:
        async with fake_market(nats_url), agent(nats_url) as me:
            pass
        async with asyncio.timeout(1):
            await me.bid("tokens", 1, 1)

    with pytest.raises(SubmitError, match="connection closed"):
        asyncio.run(play())


def test_what_was_in_flight_when_the_client_was_closed_is_in_doubt(nats_url: str) -> None:
    """The log may have it: an agent that believes it does not would bid anew and pay twice."""

    async def play(proxy: FaultProxy) -> None:
        async with fake_market(nats_url) as market:
            async with agent(url_of(proxy)) as me:
                submitting = await bid_unanswered(me, proxy)
            with pytest.raises(Unacknowledged) as unknown:
                await submitting
            assert [unknown.value.commands[0].event_id] == await market.event_ids()

    with open_on_loop(fault_proxy(dial_to(nats_url))) as proxy:
        asyncio.run(play(proxy))


def test_a_client_can_be_closed_while_the_server_is_unavailable(tmp_path: Path) -> None:
    """An agent that gives up in an outage would end with an error that is none of its own."""

    async def play(server: Broker) -> None:
        async with fake_market(server.url, shards=1), agent(server.url) as me:
            submitting = [asyncio.create_task(me.bid("tokens", 1, 1)) for _ in range(2000)]
            await asyncio.sleep(0)
            server.kill()
            submitting += [asyncio.create_task(me.bid("tokens", 1, 1)) for _ in range(100)]
            await asyncio.sleep(0)
        ended = await asyncio.gather(*submitting, return_exceptions=True)
        assert {Unacknowledged} == {type(end) for end in ended}

    with broker(tmp_path / "nats") as server:
        asyncio.run(play(server))


@pytest.mark.parametrize("retry_timeout_s", [0, 60])
def test_retries_end_before_an_id_is_stale(nats_url: str, retry_timeout_s: float) -> None:
    """What is sent again for longer is in the log at last, and refused by the market."""

    async def play() -> None:
        async with agent(nats_url, retry_timeout_s=retry_timeout_s):
            pass

    with pytest.raises(ValueError, match="below 60"):
        asyncio.run(play())
