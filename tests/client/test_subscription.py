"""An agent reads every window once and in order, whatever happens to it or to the server."""

import asyncio
import json
from dataclasses import asdict, replace
from pathlib import Path

import pytest

from tests.client.broker import Broker, broker
from tests.client.fake_market import POLL_INTERVAL_S, WITHIN_S, agent, fake_market, next_windows
from walras_client import Cursor, ResultsLost, Unavailable, subscription


def test_results_since_the_connection_come_in_order(nats_url: str) -> None:
    """A result between a bid and the first look at the results must not be missed."""

    async def play() -> None:
        async with fake_market(nats_url) as market:
            await market.publish_windows(1, 2)
            async with agent(nats_url) as me:
                await market.publish_windows(3, 4)
                results = me.results()
                assert [3, 4] == await next_windows(results, 2)
                await market.publish_for_others(3)
                await market.publish_windows(5)
                assert [5] == await next_windows(results, 1)

    asyncio.run(play())


def test_a_window_that_is_published_again_comes_once(nats_url: str) -> None:
    """After a crash the market publishes windows again: an agent would count its winnings twice."""

    async def play() -> None:
        async with fake_market(nats_url) as market, agent(nats_url) as me:
            await market.publish_windows(1, 2, 2, 1, 2, 3)
            assert [1, 2, 3] == await next_windows(me.results(), 3)

    asyncio.run(play())


def test_what_is_no_result_is_skipped(nats_url: str, caplog: pytest.LogCaptureFixture) -> None:
    """Whoever may publish there could silence the market for an agent with one message."""

    async def play() -> None:
        async with fake_market(nats_url) as market, agent(nats_url) as me:
            await market.publish_windows(1)
            for headers in (b"NATS/1.0\r\n\xff: no colon\r\nx\r\n\r\n", b"x"):
                frame = b"HPUB result.m1.a1 %d %d\r\n%b{}\r\n"
                await market.nc.write([frame % (len(headers), len(headers) + 2, headers)])
            await market.publish_windows(2)
            assert [1, 2] == await next_windows(me.results(), 2)

    asyncio.run(play())
    assert 2 == caplog.text.count("skipped what is no result")


@pytest.mark.parametrize("payload", [b"", b"junk"])
def test_an_agent_connects_behind_what_is_no_result(nats_url: str, payload: bytes) -> None:
    """Whoever may publish there could lock all agents out with one message."""

    async def play() -> None:
        async with fake_market(nats_url) as market:
            await market.nc.jetstream().publish("window.m1", payload)
            async with agent(nats_url) as me:
                await market.publish_windows(1)
                assert [1] == await next_windows(me.results(), 1)

    asyncio.run(play())


def test_a_later_process_resumes_at_the_cursor(nats_url: str) -> None:
    """An agent that was away for some windows must get each of them, and none it had."""

    async def play() -> None:
        async with fake_market(nats_url) as market:
            async with agent(nats_url) as me:
                await market.publish_windows(1, 2, 3)
                results = me.results()
                assert [1, 2] == await next_windows(results, 2)
                cursor = results.cursor
            await market.publish_windows(2, *range(4, 200))
            async with agent(nats_url) as me:
                assert list(range(3, 200)) == await next_windows(me.results(after=cursor), 197)

    asyncio.run(play())


def test_reading_resumes_where_it_was_left(nats_url: str) -> None:
    """A loop that is left by break, or an await that was cancelled, must not lose what came."""

    async def play() -> None:
        async with fake_market(nats_url) as market, agent(nats_url) as me:
            results = me.results()
            with pytest.raises(TimeoutError):
                async with asyncio.timeout(0.2):
                    await anext(results)
            await market.publish_windows(1, 2, 3)
            async for result in results:
                if result.window_id == 2:
                    break
            assert [3] == await next_windows(results, 1)

    asyncio.run(play())


def test_reading_resumes_wherever_it_was_cancelled(nats_url: str) -> None:
    """A consumer that is half made when an agent's deadline comes delivers nothing, for seconds."""

    async def play() -> None:
        async with fake_market(nats_url) as market, agent(nats_url) as me:
            results = me.results()
            for window_id in range(1, 21):
                with pytest.raises(TimeoutError):
                    async with asyncio.timeout(window_id / 4000):
                        await anext(results)
                await market.publish_windows(window_id)
                async with asyncio.timeout(subscription.TIMING.silence_s / 2):
                    assert [window_id] == await next_windows(results, 1)
                await results.close()

    asyncio.run(play())


def test_reading_ends_with_the_client(nats_url: str) -> None:
    """An agent that shuts down would wait for a silence of many seconds, and then some more."""

    async def play() -> None:
        async with fake_market(nats_url) as market:
            async with agent(nats_url) as me:
                await market.publish_windows(1)
                results = me.results()
                assert [1] == await next_windows(results, 1)
                next_one = asyncio.create_task(next_windows(results, 1))
            async with asyncio.timeout(subscription.TIMING.silence_s / 2):
                await next_one

    with pytest.raises(Unavailable, match="connection closed"):
        asyncio.run(play())


def test_what_is_closed_is_delivered_no_more_and_can_be_resumed(nats_url: str) -> None:
    """An agent that opens a feed for each look at the prices would be served by all of them."""

    async def play() -> None:
        async with fake_market(nats_url) as market, agent(nats_url) as me:
            await market.publish_windows(1)
            results = me.results()
            assert [1] == await next_windows(results, 1)
            await market.until_read_by(1)
            await results.close()
            await market.until_read_by(0)
            await market.publish_windows(2)
            assert [2] == await next_windows(results, 1)

    asyncio.run(play())


def test_a_restart_of_the_server_is_survived(tmp_path: Path) -> None:
    """The consumer dies with the server: an agent that reads nothing more would bid blindly."""

    async def play(server: Broker) -> None:
        async with fake_market(server.url, shards=1) as market, agent(server.url) as me:
            results = me.results()
            await market.publish_windows(1)
            assert [1] == await next_windows(results, 1)
            next_two = asyncio.create_task(next_windows(results, 2))
            await market.publish_for_others(1)
            server.stop()
            server.start()
            async with fake_market(server.url, shards=1) as again:
                await again.publish_windows(2, 3)
            assert [2, 3] == await next_two

    with broker(tmp_path / "nats") as server:
        asyncio.run(play(server))


def test_a_consumer_that_was_forgotten_is_made_again(nats_url: str) -> None:
    """Nothing but the silence shows an agent that it is not served any more."""

    async def play() -> None:
        async with fake_market(nats_url) as market, agent(nats_url) as me:
            await market.publish_windows(1)
            results = me.results()
            assert [1] == await next_windows(results, 1)
            await market.drop_consumers()
            await market.publish_windows(2)
            assert [2] == await next_windows(results, 1)

    asyncio.run(play())


def test_dropped_results_are_reported_and_the_kept_ones_read(nats_url: str) -> None:
    """A gap that nobody reports becomes a wrong balance in the agent's own books."""

    async def play() -> None:
        async with fake_market(nats_url) as market:
            async with agent(nats_url) as me:
                await market.publish_windows(1, 2)
                results = me.results()
                assert [1, 2] == await next_windows(results, 2)
                cursor = results.cursor
            await market.publish_windows(3, 4, 5, 6)
            await market.drop_results(keep=2)
            async with agent(nats_url) as me:
                results = me.results(after=cursor)
                with pytest.raises(ResultsLost, match="3 was next to read, 5 is the first"):
                    await next_windows(results, 1)
                assert [5, 6] == await next_windows(results, 2)

    asyncio.run(play())


def test_results_that_were_all_read_are_not_reported_as_lost(nats_url: str) -> None:
    """A false alarm after every quiet week teaches agents to ignore the true one."""

    async def play() -> None:
        async with fake_market(nats_url) as market, agent(nats_url) as me:
            await market.publish_windows(1)
            results = me.results()
            assert [1] == await next_windows(results, 1)
            await market.drop_results(keep=0)
            cursor = results.cursor
            await market.publish_windows(2)
            assert [2] == await next_windows(me.results(after=cursor), 1)

    asyncio.run(play())


def test_a_quiet_agent_keeps_up_with_the_stream(
    nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It has read nothing for a week because there was nothing for it: no reason for an alarm."""
    timing = replace(subscription.TIMING, expires_s=2, heartbeat_s=1)
    monkeypatch.setattr(subscription, "TIMING", timing)

    async def play() -> None:
        async with fake_market(nats_url) as market, agent(nats_url) as me:
            await market.publish_for_others(5)
            results = me.results()
            listening = asyncio.create_task(next_windows(results, 1))
            async with asyncio.timeout(WITHIN_S):
                while results.cursor.last_seq < 5:  # noqa: ASYNC110 - it wakes nobody
                    await asyncio.sleep(POLL_INTERVAL_S)
            listening.cancel()
            await market.drop_results(keep=1)
            await market.publish_windows(1)
            assert [1] == await next_windows(me.results(after=results.cursor), 1)

    asyncio.run(play())


def test_results_that_are_deleted_during_reading_are_reported(nats_url: str) -> None:
    """It listens on a consumer that is gone: silence would look like a quiet market."""

    async def play() -> None:
        async with fake_market(nats_url) as market, agent(nats_url) as me:
            await market.publish_windows(1)
            results = me.results()
            assert [1] == await next_windows(results, 1)
            next_one = asyncio.create_task(next_windows(results, 1))
            await market.delete_results()
            assert set() == (await asyncio.wait([next_one], timeout=0.3))[0]
            await market.make_results()
            await market.publish_windows(2)
            with pytest.raises(ResultsLost, match="made again"):
                await next_one
            assert [2] == await next_windows(results, 1)

    asyncio.run(play())


def test_a_stream_that_was_made_again_is_reported_and_read_anew(
    nats_url: str,
) -> None:
    """Its sequences begin anew: going on at the old one would skip what it holds."""

    async def play() -> None:
        async with fake_market(nats_url) as market, agent(nats_url) as me:
            await market.publish_windows(1, 2, 3)
            results = me.results()
            assert [1, 2, 3] == await next_windows(results, 3)
            cursor = results.cursor
            await market.delete_results()
            await market.make_results()
            await market.publish_windows(3, 4, 5, 6, 7)
            results = me.results(after=cursor)
            with pytest.raises(ResultsLost, match="made again"):
                await next_windows(results, 1)
            assert [4, 5, 6, 7] == await next_windows(results, 4)

    asyncio.run(play())


def test_a_cursor_is_plain_values(nats_url: str) -> None:
    """An agent stores it wherever it stores its own state."""

    async def play() -> Cursor:
        async with fake_market(nats_url) as market, agent(nats_url) as me:
            await market.publish_windows(41)
            results = me.results()
            await next_windows(results, 1)
            return results.cursor

    cursor = asyncio.run(play())
    assert (1, 41) == (cursor.last_seq, cursor.window_id)
    assert cursor == Cursor(**json.loads(json.dumps(asdict(cursor))))
