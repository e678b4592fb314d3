"""An agent reads every window once and in order, whatever happens to it or to the server."""

import asyncio
import json
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path

import pytest

from connectors.nats.background_loop import open_on_loop
from tests.client.broker import Broker, broker
from tests.client.fake_market import (
    PAGE,
    WITHIN_S,
    FakeMarket,
    agent,
    fake_market,
    incomplete,
    lost,
    next_windows,
    transferred,
    written,
)
from tests.support.proxy import FaultProxy, dial_to, fault_proxy
from walras_client import Cursor, Results, Unavailable, WalrasClient, inbox, live, new_event_id
from walras_schemas import BidPlaced, QueryErrorReason


@pytest.fixture
def proxy(nats_url: str) -> Iterator[FaultProxy]:
    with open_on_loop(fault_proxy(dial_to(nats_url))) as between:
        yield between


async def begin(market: FakeMarket, results: Results) -> None:
    """Read window 1; the reader has caught up with the ledger then, and reads live."""
    reading = asyncio.create_task(next_windows(results, 1))
    await market.until_asked()
    await market.settle(1)
    assert [1] == await reading


async def read_on(market: FakeMarket, results: Results, window_id: int) -> None:
    """Settle a window and read it."""
    await market.settle(window_id)
    assert [window_id] == await next_windows(results, 1)


def url_of(proxy: FaultProxy) -> str:
    return f"nats://127.0.0.1:{proxy.port}"


def test_results_since_the_connection_come_in_order(nats_url: str) -> None:
    """A result between a bid and the first look at the results must not be missed."""

    async def play() -> None:
        async with fake_market(nats_url) as market:
            await market.settle(1, 2)
            async with agent(nats_url) as me:
                await market.settle(3, 4)
                results = me.results()
                assert [3, 4] == await next_windows(results, 2)
                await market.publish_for_others(3)
                await market.settle(5)
                assert [5] == await next_windows(results, 1)

    asyncio.run(play())


def test_a_window_that_is_published_again_comes_once(nats_url: str) -> None:
    """A worker that was replaced may publish late: an agent would count its winnings twice."""

    async def play() -> None:
        async with fake_market(nats_url) as market, agent(nats_url) as me:
            results = me.results()
            await begin(market, results)
            two, three = market.ledger.add(2), market.ledger.add(3)
            await market.publish(two, two, three, two, *market.ledger.results)
            await market.settle(4)
            assert [2, 3, 4] == await next_windows(results, 3)

    asyncio.run(play())


def test_what_is_no_result_is_skipped(nats_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever may publish there could silence the market for an agent with one message."""

    async def play() -> None:
        async with fake_market(nats_url) as market, agent(nats_url) as me:
            results = me.results()
            await begin(market, results)
            for subject in (b"result.m1.a1", b"window.m1"):
                for headers in (b"NATS/1.0\r\n\xff: no colon\r\nx\r\n\r\n", b"x"):
                    frame = b"HPUB %b %d %d\r\n%b{}\r\n"
                    size = len(headers)
                    await market.nc.write([frame % (subject, size, size + 2, headers)])
            await read_on(market, results, 2)

    asyncio.run(play())
    assert 2 == caplog.text.count("skipped what is no AgentResult")
    assert 2 == caplog.text.count("skipped what is no MarketWindow")


def test_a_later_process_resumes_at_the_cursor(nats_url: str) -> None:
    """An agent that was away for some windows must get each of them, and none it had."""
    last = 3 * PAGE

    async def play() -> None:
        async with fake_market(nats_url) as market:
            async with agent(nats_url) as me:
                results = me.results()
                await market.settle(1, 2, 3)
                assert [1, 2] == await next_windows(results, 2)
                cursor = results.cursor
            for window_id in range(4, last):
                market.ledger.add(window_id)
            async with agent(nats_url) as me:
                results = me.results(after=cursor)
                assert list(range(3, last)) == await next_windows(results, last - 3)
                await read_on(market, results, last)

    asyncio.run(play())


def test_what_comes_while_the_ledger_is_asked_is_kept(nats_url: str) -> None:
    """The live message comes once: dropped behind the last page, it is lost until the next gap."""

    async def play() -> None:
        async with fake_market(nats_url) as market, agent(nats_url) as me:
            market.ledger.refusal = QueryErrorReason.UNAVAILABLE
            reading = asyncio.create_task(next_windows(me.results(), 3))
            await market.until_asked()
            await market.settle(1, 2, 3)
            market.ledger.refusal = None
            assert [1, 2, 3] == await reading

    asyncio.run(play())


def test_reading_resumes_where_it_was_left(nats_url: str) -> None:
    """A loop that is left by break, or an await that was cancelled, must not lose what came."""

    async def play() -> None:
        async with fake_market(nats_url) as market, agent(nats_url) as me:
            results = me.results()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await anext(results)
            await market.settle(1, 2, 3)
            async for result in results:
                if result.window_id == 2:
                    break
            assert [3] == await next_windows(results, 1)

    asyncio.run(play())


def test_reading_resumes_wherever_it_was_cancelled(nats_url: str) -> None:
    """A deadline may come at any step; what was taken and not handed out would be lost."""

    async def play() -> None:
        async with fake_market(nats_url) as market, agent(nats_url) as me:
            results = me.results()
            for window_id in range(1, 21):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(window_id / 4000):
                        await anext(results)
                await read_on(market, results, window_id)
                await results.close()

    asyncio.run(play())


def test_reading_ends_with_the_client(nats_url: str) -> None:
    """An agent that shuts down would wait for ever for what nobody delivers any more."""

    async def play() -> None:
        async with fake_market(nats_url) as market:
            async with agent(nats_url) as me:
                results = me.results()
                await begin(market, results)
                next_one = asyncio.create_task(next_windows(results, 1))
                await asyncio.sleep(0)
            await next_one

    with pytest.raises(Unavailable, match="connection closed"):
        asyncio.run(play())


def test_what_is_closed_can_be_resumed(nats_url: str) -> None:
    """What came meanwhile is in the ledger only: skipped, it would be missing from the books."""

    async def play() -> None:
        async with fake_market(nats_url) as market, agent(nats_url) as me:
            results = me.results()
            await begin(market, results)
            await results.close()
            await market.settle(2, 3)
            assert [2, 3] == await next_windows(results, 2)

    asyncio.run(play())


def test_a_restart_of_the_server_is_survived(tmp_path: Path) -> None:
    """Live messages have no memory: what was published meanwhile is in the ledger only."""

    async def play(server: Broker) -> None:
        async with fake_market(server.url, shards=1) as market, agent(server.url) as me:
            results = me.results()
            await begin(market, results)
            next_two = asyncio.create_task(next_windows(results, 2))
            server.stop()
            market.ledger.add(2)
            server.start()
            await market.nc.until_connected()
            market.ledger.add(3)
            assert [2, 3] == await next_two
            await read_on(market, results, 4)

    with broker(tmp_path / "nats") as server:
        asyncio.run(play(server))


def test_what_a_lost_connection_swallowed_is_read_from_the_ledger(
    nats_url: str, proxy: FaultProxy
) -> None:
    """The server has sent it and forgotten it; nobody but the agent can know that it is missing."""

    async def play() -> None:
        async with fake_market(nats_url) as market, agent(url_of(proxy)) as me:
            results = me.results()
            await begin(market, results)
            with proxy.swallowing_replies():
                await market.settle(2, 3)
                await market.nc.flush()
                async with asyncio.timeout(WITHIN_S):
                    while not proxy.swallowed_replies:  # noqa: ASYNC110 - it wakes nobody
                        await asyncio.sleep(0)
            assert [2, 3] == await next_windows(results, 2)
            await read_on(market, results, 4)

    asyncio.run(play())


def test_a_window_that_passes_an_own_bid_shows_what_was_missed(nats_url: str) -> None:
    """A worker that dies between commit and publishing leaves no other trace of a lost bid."""

    async def play() -> None:
        async with fake_market(nats_url) as market, agent(nats_url) as me:
            results = me.results()
            await begin(market, results)
            bid = await me.bid("tokens", 1, 1)
            market.ledger.add(2, [lost(bid, 1)])
            await market.close_window(2)
            assert [2] == await next_windows(results, 1)

    asyncio.run(play())


def test_a_result_that_passes_an_own_bid_waits_for_what_was_missed(nats_url: str) -> None:
    """Handed out before the one that it overtook, the order would be broken for good."""

    async def play() -> None:
        async with fake_market(nats_url) as market, agent(nats_url) as me:
            results = me.results()
            await begin(market, results)
            first, second = await me.bid("tokens", 1, 1), await me.bid("tokens", 1, 1)
            market.ledger.add(2, [lost(first, 1)])
            await market.publish(market.ledger.add(3, [lost(second, 2)]))
            assert [2, 3] == await next_windows(results, 2)

    asyncio.run(play())


def test_missed_credits_show_in_the_balance(nats_url: str) -> None:
    """The agent sent nothing in that window: no sequence of its own says that it was missed."""

    async def play() -> None:
        async with fake_market(nats_url) as market, agent(nats_url) as me:
            results = me.results()
            await begin(market, results)
            market.ledger.add(2, received_micros=5)
            await market.settle(3)
            assert [2, 3] == await next_windows(results, 2)

    asyncio.run(play())


def test_while_nothing_is_missing_nothing_is_asked(nats_url: str) -> None:
    """Ten thousand agents that ask with every window would be the end of the ledger."""

    async def play() -> None:
        async with fake_market(nats_url) as market, agent(nats_url) as me:
            results = me.results()
            await begin(market, results)
            asked = market.ledger.questions
            await market.settle(2, received_micros=100)
            bid = await me.bid("tokens", 1, 1)
            won = lost(bid, 1).model_copy(update={"paid_micros": 7})
            await market.settle(3, outcomes=[won])
            gift = await me.transfer("a2", 20)
            await market.settle(4, outcomes=[transferred(gift, 2)], given_micros=20)
            await market.settle(*range(5, 50))
            assert list(range(2, 50)) == await next_windows(results, 48)
            assert asked == market.ledger.questions

    asyncio.run(play())


def test_a_transfer_of_another_process_is_checked_once(nats_url: str) -> None:
    """Nobody here knows its amount: to doubt the same window for ever is to hand out nothing."""

    async def play() -> None:
        async with fake_market(nats_url) as market, agent(nats_url) as me:
            results = me.results()
            await begin(market, results)
            asked = market.ledger.questions
            gift = transferred(new_event_id(), 1)
            await market.settle(2, outcomes=[gift], received_micros=9, given_micros=4)
            await market.settle(3)
            assert [2, 3] == await next_windows(results, 2)
            assert asked + 1 == market.ledger.questions

    asyncio.run(play())


def test_a_command_without_any_result_is_asked_for_once(nats_url: str) -> None:
    """A market of another version may take a bid for malformed: no result will ever name it."""

    async def play() -> None:
        async with fake_market(nats_url) as market, agent(nats_url) as me:
            results = me.results()
            await begin(market, results)
            asked = market.ledger.questions
            await me.bid("tokens", 1, 1)
            await market.close_window(2)
            await market.settle(3, 4, 5)
            assert [3, 4, 5] == await next_windows(results, 3)
            assert market.ledger.questions <= asked + 2

    asyncio.run(play())


def test_a_reader_that_is_too_slow_reads_the_rest_from_the_ledger(
    nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What an agent leaves unread must not fill its memory, nor be lost."""
    monkeypatch.setattr(inbox, "UNREAD_MAX_BYTES", 1000)

    async def play() -> None:
        async with fake_market(nats_url) as market, agent(nats_url) as me:
            results = me.results()
            await begin(market, results)
            await market.settle(*range(2, 102))
            assert list(range(2, 102)) == await next_windows(results, 100)
            await read_on(market, results, 102)

    asyncio.run(play())


def test_what_nats_py_dropped_is_read_from_the_ledger(
    nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It calls a slow consumer what it drops, and goes on with the next as if nothing were."""
    monkeypatch.setattr(live, "PENDING_MESSAGES", 1)

    async def play() -> None:
        async with fake_market(nats_url) as market, agent(nats_url) as me:
            results = me.results()
            await begin(market, results)
            payloads = [written(market.ledger.add(n)) for n in range(2, 52)]
            frames = [b"PUB result.m1.a1 %d\r\n%b\r\n" % (len(each), each) for each in payloads]
            await market.nc.write(frames)
            assert list(range(2, 52)) == await next_windows(results, 50)

    asyncio.run(play())


def test_a_ledger_that_is_away_holds_the_results_back(nats_url: str) -> None:
    """Later ones handed out meanwhile could never be followed by the one that is missing."""

    async def play() -> None:
        async with fake_market(nats_url) as market, agent(nats_url) as me:
            results = me.results()
            await begin(market, results)
            market.ledger.refusal = QueryErrorReason.UNAVAILABLE
            market.ledger.add(2, received_micros=1)
            await market.settle(3)
            waiting = asyncio.create_task(next_windows(results, 2))
            assert set() == (await asyncio.wait([waiting], timeout=0.3))[0]
            market.ledger.refusal = None
            assert [2, 3] == await waiting

    asyncio.run(play())


def test_an_agent_that_owns_nothing_yet_reads_its_results(nats_url: str) -> None:
    """The ledger knows no account of it, and its refused bids are results all the same."""

    async def play() -> None:
        async with fake_market(nats_url) as market, agent(nats_url) as me:
            market.ledger.refusal = QueryErrorReason.UNKNOWN_AGENT
            reading = asyncio.create_task(next_windows(me.results(), 2))
            await market.until_asked()
            await market.settle(1, 2)
            assert [1, 2] == await reading

    asyncio.run(play())


def test_a_window_that_lists_nothing_is_handed_out(nats_url: str) -> None:
    """It has the balance: an agent that is kept from it knows less than it could."""

    async def play() -> None:
        async with fake_market(nats_url) as market, agent(nats_url) as me:
            results = me.results()
            await begin(market, results)
            await me.bid("tokens", 1, 1)
            crowd = market.ledger.commit(incomplete(2, lost=7000))
            await market.publish(crowd)
            await market.close_window(2)
            assert crowd == await anext(results)
            await read_on(market, results, 3)

    asyncio.run(play())


def test_many_agents_share_a_connection(nats_url: str) -> None:
    """One that gets the results of another books what is not its own."""

    async def play() -> None:
        names = ["a1", *(f"b{number}" for number in range(50))]
        everyone = WalrasClient.connect_many(nats_url, market="m1", agents=names)
        async with fake_market(nats_url) as market, everyone as clients:
            market.ledger.refusal = QueryErrorReason.UNKNOWN_AGENT
            reading = {
                name: asyncio.create_task(anext(client.results()))
                for name, client in clients.items()
            }
            await market.until_asked(len(names))
            one = market.ledger.add(1)
            for name in names:
                theirs = one.model_copy(update={"agent_id": name})
                await market.nc.publish(f"result.m1.{name}", written(theirs))
            assert names == [(await reading[name]).agent_id for name in names]

    asyncio.run(play())


def test_an_agent_needs_nothing_of_jetstream_but_its_acknowledgements(nats_url: str) -> None:
    """Agents with credentials of their own have no right to the rest of it."""

    async def play() -> None:
        async with fake_market(nats_url) as market:
            await market.settle(1)
            seen = await market.nc.subscribe("$JS.API.>")
            async with agent(nats_url) as me:
                results = me.results()
                placed = BidPlaced(
                    event_id=new_event_id(), resource="tokens", quantity=1, unit_price_micros=1
                )
                ack = await me.submit([placed])
                market.ledger.add(2, [lost(placed.event_id, ack.seq)])
                assert [2] == await next_windows(results, 1)
                assert placed.event_id == (await me.outcome(placed.event_id, WITHIN_S)).event_id
            assert 0 == seen.pending_msgs
            await market.messages()
            assert "STREAM.INFO" in (await seen.next_msg(WITHIN_S)).subject

    asyncio.run(play())


def test_a_cursor_is_plain_values(nats_url: str) -> None:
    """An agent stores it wherever it stores its own state."""

    async def play() -> Cursor:
        async with fake_market(nats_url) as market, agent(nats_url) as me:
            results = me.results()
            await read_on(market, results, 41)
            return results.cursor

    cursor = asyncio.run(play())
    assert 41 == cursor.window_id
    assert cursor == Cursor(**json.loads(json.dumps(asdict(cursor))))
