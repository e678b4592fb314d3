"""What is published of a committed window: valid for the registry, and the same however often."""

import json
from typing import Any, Final

import pytest

from flows.testing import Event, LogWriter
from operators.results import result_messages
from state.window import OutboundMessage, Settlement
from tests.operators.steps import settle, settlements
from tests.twin.random_logs import random_log
from walras_schemas import (
    PAYLOAD_MAX_BYTES,
    AgentResult,
    BidOutcome,
    BidStatus,
    CommandOutcome,
    MarketWindow,
    subjects,
)

WINDOW_MS: Final = 1000
Read = AgentResult | MarketWindow


def read(message: OutboundMessage) -> Read:
    """The message as an agent reads it, by the registry's strict model."""
    kind = json.loads(message.payload)["type"]
    model: type[Read] = AgentResult if kind == "agent_result" else MarketWindow
    return model.model_validate_json(message.payload)


def published(window: Settlement) -> dict[str, Read]:
    """The messages of a window by subject; no subject has two."""
    messages = result_messages(window, window_ms=WINDOW_MS)
    assert len(messages) == len({one.subject for one in messages})
    return {one.subject: read(one) for one in messages}


def small_log() -> LogWriter:
    log = LogWriter()
    log.open(gpu={"supply": 3}, cpu={"supply": 1})
    log.grant("a1", 100)
    log.bid("a1", resource="gpu", quantity=2, unit_price_micros=9)
    log.transfer("a1", to="a1", amount_micros=1)
    log.bundle("a2", {"gpu": 1, "cpu": 1}, limit_micros=9)
    log.append("nonsense", b"")
    log.bid("a3", market="m9", resource="gpu", quantity=1, unit_price_micros=1)
    return log


def only_window(log: LogWriter) -> Settlement:
    [window] = settlements(settle(log.records, window_ms=WINDOW_MS))
    return window


@pytest.mark.parametrize("seed", range(5))
def test_whatever_is_published_is_valid(seed: int) -> None:
    """A result that its own registry refuses stops every agent that reads by it."""
    for window in settlements(settle(random_log(seed, commands=300), window_ms=WINDOW_MS)):
        for subject, message in published(window).items():
            parts = subject.split(".")
            agents = isinstance(message, AgentResult)
            assert ["result" if agents else "window", message.market] == parts[:2]
            assert (window.shard, window.window_id) == (message.shard, message.window_id)


@pytest.mark.parametrize("seed", range(3))
def test_every_outcome_is_published_once(seed: int) -> None:
    """An agent that does not learn what it won cannot use it."""
    for window in settlements(settle(random_log(seed, commands=300), window_ms=WINDOW_MS)):
        places = [
            (outcome.seq, outcome.ord)
            for message in published(window).values()
            if isinstance(message, AgentResult)
            for outcome in message.outcomes
        ]
        bids = [(row.seq, row.ord) for row in window.bids]
        own = [(row.seq, row.ord) for row in window.commands if row.sender != "treasury"]
        assert sorted(bids + own) == sorted(places)


def test_an_agent_learns_its_outcomes_and_its_balance() -> None:
    """What an agent does next depends on each of these."""
    message = published(only_window(small_log()))[subjects.result("m1", "a1")]
    assert isinstance(message, AgentResult)
    won, gave = message.outcomes
    assert isinstance(won, BidOutcome)
    assert isinstance(gave, CommandOutcome)
    assert (BidStatus.WON, None, {"gpu": 2}, 0) == (
        won.status,
        won.reason,
        won.won,
        won.paid_micros,
    )
    assert ("credits_transferred", "rejected", "self_transfer") == (
        gave.type,
        gave.status,
        gave.reason,
    )
    assert 100 == message.balance_micros


def test_an_unknown_agent_learns_why_too() -> None:
    """Also an agent without an account, or in a market that is not open, wants to know."""
    messages = published(only_window(small_log()))
    for subject, reason in (("result.m1.a2", "unknown_agent"), ("result.m9.a3", "unknown_market")):
        message = messages[subject]
        assert isinstance(message, AgentResult)
        [outcome] = message.outcomes
        assert (reason, 0) == (outcome.reason, message.balance_micros)


def test_everyone_learns_the_prices() -> None:
    """The prices of a window, and the digest to compare ledgers by."""
    window = only_window(small_log())
    message = published(window)[subjects.window("m1")]
    assert isinstance(message, MarketWindow)
    assert (WINDOW_MS, window.digest.hex()) == (message.window_ms, message.digest)
    assert [("cpu", None, 0), ("gpu", 0, 2)] == [
        (price.resource, price.clearing_micros, price.sold) for price in message.prices
    ]


def test_the_same_window_gives_the_same_messages() -> None:
    """What a crash left unpublished is published again: under another id it would come twice."""
    first = result_messages(only_window(small_log()), window_ms=WINDOW_MS)
    assert first == result_messages(only_window(small_log()), window_ms=WINDOW_MS)
    ids = [one.msg_id for one in first]
    assert len(ids) == len(set(ids))


def test_another_window_has_other_ids() -> None:
    """A later result under an earlier one's id would be dropped as a repetition."""
    log = small_log()
    log.wait(WINDOW_MS)
    log.bid("a1", resource="gpu", quantity=2, unit_price_micros=9)
    first, second = (
        result_messages(w, window_ms=WINDOW_MS) for w in settlements(settle(log.records))
    )
    assert not {one.msg_id for one in first} & {one.msg_id for one in second}


def test_a_shard_s_ids_are_its_own() -> None:
    """Two shards may close the same window of markets with the same names of agents."""
    window = only_window(small_log())
    moved = Settlement(**{**_fields(window), "shard": 1})
    ids = [{one.msg_id for one in result_messages(w, window_ms=WINDOW_MS)} for w in (window, moved)]
    assert not ids[0] & ids[1]


def _fields(window: Settlement) -> dict[str, Any]:
    return {name: getattr(window, name) for name in Settlement.__slots__}


def test_no_message_is_too_large_for_nats() -> None:
    """A few thousand bids of one agent in a window would stop its shard at every restart."""
    log = LogWriter()
    log.open(gpu={"supply": 3})
    log.grant("a1", 100)
    for _ in range(9):
        bid: Event = {"resource": "gpu", "quantity": 9, "unit_price_micros": 9}
        log.append("market.m1.bid.a1", [log.command("bid_placed", **bid) for _ in range(1000)])
    messages = result_messages(only_window(log), window_ms=WINDOW_MS)
    results = [result for result in map(read, messages) if isinstance(result, AgentResult)]
    assert max(len(one.payload) for one in messages) < PAYLOAD_MAX_BYTES
    assert len(messages) == len({one.msg_id for one in messages})
    assert [(1, 3), (2, 3), (3, 3)] == [(result.part, result.parts) for result in results]
    places = [(outcome.seq, outcome.ord) for result in results for outcome in result.outcomes]
    assert [(seq, ord_) for seq in range(3, 12) for ord_ in range(1000)] == places
