"""Prices are followed live: in order, once, and through a lost connection."""

import asyncio
from itertools import pairwise
from pathlib import Path

import pytest

from tests.client.broker import Broker, broker
from tests.client.fake_market import WITHIN_S, agent, fake_market, next_windows
from walras_client import Unavailable, inbox


def test_windows_come_once_and_in_order_from_the_making_of_the_feed_on(nats_url: str) -> None:
    """A strategy that counts a window twice follows a market that was never there."""

    async def play() -> None:
        async with fake_market(nats_url) as market, agent(nats_url) as me:
            feed = me.prices_feed()
            for window_id in (1, 2, 2, 1, 3):
                await market.settle(window_id)
            assert [1, 2, 3] == await next_windows(feed, 3)
            await feed.close()
            await market.settle(4)
            waiting = asyncio.create_task(next_windows(feed, 1))
            await market.nc.flush()
            await me.prices()
            await market.settle(5)
            assert [5] == await waiting

    asyncio.run(play())


def test_a_feed_continues_after_a_restart_of_the_server(tmp_path: Path) -> None:
    """It is live: what was published meanwhile is over, and what comes next has to come."""

    async def play(server: Broker) -> None:
        async with fake_market(server.url, shards=1) as market, agent(server.url) as me:
            feed = me.prices_feed()
            await market.settle(1)
            assert [1] == await next_windows(feed, 1)
            waiting = asyncio.create_task(next_windows(feed, 1))
            server.stop()
            server.start()
            await market.nc.until_connected()
            await me.prices()
            await market.settle(2)
            assert [2] == await waiting

    with broker(tmp_path / "nats") as server:
        asyncio.run(play(server))


def test_a_slow_reader_loses_windows_and_reads_on(
    nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What nobody reads must not fill the memory of an agent."""
    monkeypatch.setattr(inbox, "UNREAD_MAX_BYTES", 2000)

    async def play() -> None:
        async with fake_market(nats_url) as market, agent(nats_url) as me:
            feed = me.prices_feed()
            for window_id in range(1, 30):
                await market.settle(window_id)
            await me.prices()
            waiting = asyncio.create_task(next_windows(feed, 3))
            await asyncio.sleep(0)
            for window_id in range(30, 33):
                await market.settle(window_id)
            windows = await waiting
            assert windows[0] > 1
            assert all(earlier < later for earlier, later in pairwise(windows))

    asyncio.run(play())


def test_a_feed_ends_with_the_client(nats_url: str) -> None:
    """An agent that shuts down would wait for ever for what nobody delivers any more."""

    async def play() -> None:
        async with fake_market(nats_url):
            async with agent(nats_url) as me:
                feed = me.prices_feed()
                waiting = asyncio.create_task(next_windows(feed, 1))
                await asyncio.sleep(0)
            for ended in (waiting, next_windows(feed, 1), next_windows(me.prices_feed(), 1)):
                with pytest.raises(Unavailable, match="connection closed"):
                    async with asyncio.timeout(WITHIN_S):
                        await ended

    asyncio.run(play())
