"""An agent learns what became of each single command."""

import asyncio

import pytest

from tests.client.fake_market import WITHIN_S, agent, fake_market, incomplete, lost
from walras_client import OutcomeNotListed, OutcomeTimeout, new_event_id, outcomes
from walras_schemas import BidStatus, RejectionReason


def test_an_outcome_is_found_whenever_it_was_published(nats_url: str) -> None:
    """An agent that asks late, or twice, must not wait for what was published already."""

    async def play() -> None:
        async with fake_market(nats_url) as market, agent(nats_url) as me:
            early, late = new_event_id(), new_event_id()
            await market.settle(1, outcomes=[lost(early, 1)])
            waiting = asyncio.create_task(me.outcome(late, WITHIN_S))
            assert early == (await me.outcome(early, WITHIN_S)).event_id
            await market.settle(2, outcomes=[lost(late, 2)])
            assert late == (await waiting).event_id
            assert early == (await me.outcome(early, WITHIN_S)).event_id

    asyncio.run(play())


def test_an_outcome_that_is_not_published_is_not_waited_for_without_end(nats_url: str) -> None:
    """A market that stands still must not stop every agent with it."""

    async def play() -> None:
        async with fake_market(nats_url), agent(nats_url) as me:
            await me.outcome(new_event_id(), 0.1)

    with pytest.raises(OutcomeTimeout, match=r"waited 0\.1 s"):
        asyncio.run(play())


def test_waiting_for_an_outcome_ends_with_the_client(nats_url: str) -> None:
    """A cancellation that nobody asked for would end the agent's task in silence."""
    event_id = new_event_id()

    async def play() -> None:
        async with fake_market(nats_url):
            async with agent(nats_url) as me:
                waiting = asyncio.create_task(me.outcome(event_id, WITHIN_S))
                with pytest.raises(OutcomeTimeout):
                    await me.outcome(new_event_id(), 0.1)
            await waiting

    with pytest.raises(OutcomeTimeout, match=f"{event_id}, the client was closed"):
        asyncio.run(play())


def test_of_a_command_that_came_twice_the_first_outcome_counts(nats_url: str) -> None:
    """The second is a rejected duplicate: an agent would believe that it lost what it won."""
    event_id = new_event_id()
    first = lost(event_id, 1)
    again = first.model_copy(
        update={"seq": 9, "status": BidStatus.REJECTED, "reason": RejectionReason.DUPLICATE}
    )

    async def play() -> None:
        async with fake_market(nats_url) as market, agent(nats_url) as me:
            await market.settle(1, outcomes=[first, again])
            assert first == await me.outcome(event_id, WITHIN_S)

    asyncio.run(play())


def test_only_so_many_outcomes_are_remembered(
    nats_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An agent that places thousands and asks about few would grow for ever."""
    monkeypatch.setattr(outcomes, "REMEMBERED", 2)
    ids = [new_event_id() for _ in range(3)]

    async def play() -> None:
        async with fake_market(nats_url) as market, agent(nats_url) as me:
            for window_id, event_id in enumerate(ids, 1):
                await market.settle(window_id, outcomes=[lost(event_id, window_id)])
            for event_id in reversed(ids[1:]):
                assert event_id == (await me.outcome(event_id, WITHIN_S)).event_id
            await me.outcome(ids[0], 0.1)

    with pytest.raises(OutcomeTimeout, match=ids[0]):
        asyncio.run(play())


def test_results_and_outcomes_are_read_side_by_side(nats_url: str) -> None:
    """An agent that follows all its results may still wait for one of them."""

    async def play() -> None:
        async with fake_market(nats_url) as market, agent(nats_url) as me:
            event_id = new_event_id()
            results = me.results()
            next_one = asyncio.create_task(anext(results))
            outcome = asyncio.create_task(me.outcome(event_id, WITHIN_S))
            await market.settle(1, outcomes=[lost(event_id, 1)])
            assert [event_id] == [one.event_id for one in (await next_one).outcomes or ()]
            assert event_id == (await outcome).event_id

    asyncio.run(play())


def test_an_outcome_that_was_missed_live_is_found(nats_url: str) -> None:
    """A worker that dies after its commit publishes nothing: the agent would wait in vain."""

    async def play() -> None:
        async with fake_market(nats_url) as market, agent(nats_url) as me:
            await market.settle(1)
            bid = await me.bid("tokens", 1, 1)
            waiting = asyncio.create_task(me.outcome(bid, WITHIN_S))
            await market.until_asked()
            market.ledger.add(2, [lost(bid, 1)])
            await market.close_window(2)
            assert bid == (await waiting).event_id

    asyncio.run(play())


def test_an_outcome_that_was_not_listed_says_where_it_is(nats_url: str) -> None:
    """To wait for the deadline, and then to hear that the window may be open, leads nowhere."""

    async def play() -> None:
        async with fake_market(nats_url) as market, agent(nats_url) as me:
            bid = await me.bid("tokens", 1, 1)
            waiting = asyncio.create_task(me.outcome(bid, WITHIN_S))
            await market.until_asked()
            await market.publish(market.ledger.commit(incomplete(7, lost=7000)))
            await market.close_window(7)
            with pytest.raises(OutcomeNotListed, match=r"window 7 is too .* 7000 lost") as error:
                await waiting
            assert f"event_id = '{bid}'" in error.value.hint
            later = await me.bid("tokens", 1, 1)
            await market.settle(8, outcomes=[lost(later, 2)])
            assert later == (await me.outcome(later, WITHIN_S)).event_id

    asyncio.run(play())
