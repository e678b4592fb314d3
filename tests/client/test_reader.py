"""A reader of a stream wakes for each message, and knows what a server that falls silent owes."""

import asyncio
from pathlib import Path
from typing import Final

import pytest

from tests.client.broker import broker
from tests.client.fake_market import POLL_INTERVAL_S, WITHIN_S, FakeMarket, fake_market
from walras_client.nats.errors import Interrupted
from walras_client.nats.reader import (
    Delivery,
    OnMessages,
    PullTiming,
    ReadPosition,
    StreamReader,
    _count_consecutive,
    _read_acks,
)

TIMING: Final = PullTiming(expires_s=30, heartbeat_s=5, silence_s=12.0, forget_after_s=60)


async def reader_of(
    market: FakeMarket, on_messages: OnMessages, *, timing: PullTiming = TIMING
) -> StreamReader:
    """A reader of the market's log from its beginning."""
    at = ReadPosition(await market.stream(), next_seq=1)
    return StreamReader(market.nc, at, on_messages=on_messages, timing=timing)


def test_what_comes_before_the_waiting_begins_ends_it(nats_url: str) -> None:
    """A worker would read a bid half a minute late, when its window should be closed."""

    async def play() -> None:
        got: list[Delivery] = []
        async with (
            fake_market(nats_url) as market,
            await reader_of(market, got.extend) as reader,
            asyncio.timeout(TIMING.silence_s / 2),
        ):
            await reader.request(messages=10)
            waiting = reader.wait()
            await market.fill_log(1)
            while not got:  # noqa: ASYNC110 - it wakes nobody
                await asyncio.sleep(POLL_INTERVAL_S)
            await waiting
            assert [1] == [delivery.seq for delivery in got]

    asyncio.run(play())


def test_a_request_for_few_ends_with_the_last_of_them(nats_url: str) -> None:
    """A reader that counts on more would wait for what it has not asked for."""

    async def play() -> None:
        got: list[Delivery] = []
        async with (
            fake_market(nats_url) as market,
            await reader_of(market, got.extend) as reader,
        ):
            await market.fill_log(5)
            for expected in ([1, 2], [1, 2, 3, 4]):
                await reader.pull(messages=2, max_bytes=1 << 20)
                assert expected == [delivery.seq for delivery in got]
            assert 5 == reader.next_seq

    asyncio.run(play())


def test_a_silent_server_ends_the_reading(tmp_path: Path) -> None:
    """A server that hangs keeps its connections: nothing but the silence shows it."""
    timing = PullTiming(expires_s=10, heartbeat_s=1, silence_s=1.5, forget_after_s=30)

    async def play() -> None:
        async with (
            asyncio.timeout(WITHIN_S),
            fake_market(server.url, shards=1) as market,
            await reader_of(market, lambda _: None, timing=timing) as reader,
        ):
            await reader.request(messages=10)
            server.freeze()
            try:
                with pytest.raises(Interrupted, match="no message and no heartbeat"):
                    await reader.wait()
            finally:
                server.thaw()

    with broker(tmp_path / "nats") as server:
        asyncio.run(play())


@pytest.mark.parametrize(
    ("before", "behind"),
    [(b"$JS.ACK.S.C", b""), (b"$JS.ACK._.hash.S.C", b""), (b"$JS.ACK.hub.hash.S.C", b".abc")],
    ids=["short", "with a domain", "with a random token"],
)
def test_places_are_read_from_every_form_of_an_acknowledgement(
    before: bytes, behind: bytes
) -> None:
    """One place further, and a time passes for a sequence: every message would be a gap."""
    replies = [before + b".1.%d.%d.170%d.9" % (seq, seq - 4, seq) + behind for seq in (7, 8)]
    assert ([7, 8], (b"3", b"4"), [1707, 1708]) == _read_acks(replies)


@pytest.mark.parametrize(
    ("found", "expected"),
    [([5, 6, 7], 3), ([5, 6, 8], 2), ([6, 7], 0), ([4, 5], 0), ([5, 7, 6], 1)],
)
def test_what_follows_without_a_gap_is_counted(found: list[int], expected: int) -> None:
    """A message behind a gap that is handed on is judged without those before it."""
    assert expected == _count_consecutive(found, 5)
