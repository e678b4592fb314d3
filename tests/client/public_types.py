"""The types that agents see in the client, as mypy and pyright infer them; never run."""

from typing import assert_type

from walras_client import BidId, WalrasClient
from walras_schemas import AgentResult, BalanceReply, BidOutcome, CommandOutcome, MarketWindow


async def commands(me: WalrasClient) -> None:
    """The outcome of a bid says what was won; one that may be any command's has to be narrowed."""
    bid = await me.bid("tokens", 1, 1_000)
    assert_type(bid, BidId)
    assert_type(await me.outcome(bid, timeout_s=30), BidOutcome)
    gift = await me.transfer("a2", 1_000)
    assert_type(gift, str)
    assert_type(await me.outcome(gift, timeout_s=30), BidOutcome | CommandOutcome)


async def readings(me: WalrasClient) -> None:
    """An iterator of Any would turn every later mistake of an agent into one at run time."""
    assert_type(await me.balance(), BalanceReply)
    assert_type(await me.history(), list[AgentResult])
    async for result in me.results():
        assert_type(result, AgentResult)
    async for window in me.prices_feed():
        assert_type(window, MarketWindow)


async def connections() -> None:
    """A block that hands out an unknown client types nothing that happens in it."""
    async with WalrasClient.connect("nats://localhost", market="m1", agent="a1") as me:
        assert_type(me, WalrasClient)
    async with WalrasClient.connect_many("nats://localhost", market="m1", agents=["a1"]) as many:
        assert_type(many, dict[str, WalrasClient])
