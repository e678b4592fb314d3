"""What is published of a committed window: valid for the registry, and the same however often."""

import json
from dataclasses import replace
from typing import Final

import pytest

from flows.testing import Event, LogWriter
from operators.results import agent_results, market_windows, time_text
from state.window import OutboundMessage, Settlement
from tests.operators.steps import settle, settlements
from tests.twin.random_logs import random_log
from walras_schemas import (
    RESULT_MAX_BYTES,
    AgentResult,
    BidOutcome,
    BidStatus,
    CommandOutcome,
    MarketWindow,
    subjects,
)

WINDOW_MS: Final = 1000


def results_of(window: Settlement) -> dict[str, AgentResult]:
    """The agents' results of a window by subject, as an agent reads them by the strict model."""
    messages = list(agent_results(window))
    assert len(messages) == len({message.subject for message in messages})
    return {one.subject: AgentResult.model_validate_json(one.payload) for one in messages}


def windows_of(window: Settlement) -> dict[str, MarketWindow]:
    """What everyone learns of each market, by subject."""
    messages = list(market_windows(window, window_ms=WINDOW_MS))
    assert len(messages) == len({message.subject for message in messages})
    return {one.subject: MarketWindow.model_validate_json(one.payload) for one in messages}


def small_log() -> LogWriter:
    log = LogWriter()
    log.open(gpu={"supply": 3}, cpu={"supply": 1})
    log.grant("a1", 100, purpose="reward")
    log.bid("a1", resource="gpu", quantity=2, unit_price_micros=9)
    log.transfer("a1", to="a1", amount_micros=1, purpose="\u00fc")
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
        for subject, result in results_of(window).items():
            assert subjects.result(result.market, result.agent_id) == subject
            assert (window.shard, window.window_id) == (result.shard, result.window_id)
        for subject, market in windows_of(window).items():
            assert subjects.window(market.market) == subject
            assert (window.shard, window.next_seq) == (market.shard, market.next_seq)


@pytest.mark.parametrize("seed", range(3))
def test_every_outcome_is_published_once(seed: int) -> None:
    """An agent that does not learn what it won cannot use it."""
    for window in settlements(settle(random_log(seed, commands=300), window_ms=WINDOW_MS)):
        places = [
            (outcome.seq, outcome.ord)
            for result in results_of(window).values()
            for outcome in result.outcomes or ()
        ]
        bids = [(row.seq, row.ord) for row in window.bids]
        own = [
            (row.seq, row.ord)
            for row in window.commands
            if row.sender != "treasury" and row.event_id
        ]
        assert sorted(bids + own) == sorted(places)


def test_an_agent_learns_its_outcomes_and_its_balance() -> None:
    """What an agent does next depends on each of these."""
    result = results_of(only_window(small_log()))[subjects.result("m1", "a1")]
    assert result.complete
    assert result.outcomes is not None
    won, gave = result.outcomes
    assert isinstance(won, BidOutcome)
    assert isinstance(gave, CommandOutcome)
    assert (BidStatus.WON, None) == (won.status, won.reason)
    assert ({"gpu": 2}, 0) == (won.won, won.paid_micros)
    assert ("credits_transferred", "rejected") == (gave.type, gave.status)
    assert ("self_transfer", "\u00fc") == (gave.reason, gave.purpose)
    assert 100 == result.balance_micros


def test_an_agent_learns_what_it_received() -> None:
    """A purpose that does not arrive is one that the sender need not have written."""
    log = small_log()
    log.transfer("a1", to="a4", amount_micros=7)
    results = results_of(only_window(log))
    for subject, expected in {
        "result.m1.a1": ("grant", "treasury", 100, "reward"),
        "result.m1.a4": ("transfer", "a1", 7, None),
    }.items():
        [credit] = results[subject].credits or []
        found = (credit.kind, credit.from_agent_id, credit.amount_micros, credit.purpose)
        assert expected == found
    assert [] == results["result.m1.a4"].outcomes


def test_a_field_stands_only_where_it_says_something() -> None:
    """A null or an empty field on a million messages is paid for by every reader."""
    [message] = [one for one in agent_results(only_window(small_log())) if "a1" in one.subject]
    won, gave = json.loads(message.payload)["outcomes"]
    assert {"event_id", "seq", "ord", "status", "won", "paid_micros"} == won.keys()
    assert {"event_id", "seq", "ord", "type", "status", "reason", "purpose"} == gave.keys()


def test_an_unknown_agent_learns_why_too() -> None:
    """Also an agent without an account, or in a market that is not open, wants to know."""
    results = results_of(only_window(small_log()))
    for subject, reason in (("result.m1.a2", "unknown_agent"), ("result.m9.a3", "unknown_market")):
        [outcome] = results[subject].outcomes or []
        assert (reason, 0) == (outcome.reason, results[subject].balance_micros)


def test_everyone_learns_the_prices() -> None:
    """The prices of a window, and the digest to compare ledgers by."""
    window = only_window(small_log())
    [market] = windows_of(window).values()
    assert (WINDOW_MS, window.digest.hex()) == (market.window_ms, market.digest)
    assert ("m1", "uniform", 2, 2, 1) == (
        market.market,
        market.rule,
        market.agents,
        market.bids,
        market.rejected,
    )
    assert [("cpu", None, 0), ("gpu", 0, 2)] == [
        (price.resource, price.clearing_micros, price.sold) for price in market.prices
    ]


@pytest.mark.parametrize(
    ("at_ms", "text"),
    [
        (0, "1970-01-01T00:00:00Z"),
        (1_795_366_297_000, "2026-11-22T16:51:37Z"),
        (1_795_366_297_250, "2026-11-22T16:51:37.25Z"),
        (1_795_366_297_001, "2026-11-22T16:51:37.001Z"),
        (1_795_366_297_100, "2026-11-22T16:51:37.1Z"),
    ],
)
def test_a_time_has_as_many_digits_as_it_needs(at_ms: int, text: str) -> None:
    """Two spellings of one time are two messages to whoever compares them."""
    assert text == time_text(at_ms)


def test_the_same_window_gives_the_same_messages() -> None:
    """What a crash left unpublished is published again: under another id it would come twice."""
    first, second = only_window(small_log()), only_window(small_log())
    assert list(agent_results(first)) == list(agent_results(second))
    assert published_windows(first) == published_windows(second)


def published_windows(window: Settlement) -> list[OutboundMessage]:
    return list(market_windows(window, window_ms=WINDOW_MS))


def test_no_two_windows_share_an_id() -> None:
    """A later window under an earlier one's id, or another shard's, would be dropped."""
    log = small_log()
    log.open(market="m2", gpu={"supply": 3})
    log.wait(WINDOW_MS)
    log.bid("a1", resource="gpu", quantity=2, unit_price_micros=9)
    first, second = settlements(settle(log.records))
    moved = replace(first, shard=1)
    windows = [message for w in (first, second, moved) for message in published_windows(w)]
    assert 5 == len(windows) == len({message.msg_id for message in windows})


def crowd(bids: int) -> LogWriter:
    """One agent that sends so many bids in a window, and receives credits."""
    log = LogWriter(max_commands=10**6)
    log.open(gpu={"supply": 3})
    log.grant("a1", 100)
    bid: Event = {"resource": "gpu", "quantity": 3, "unit_price_micros": 9}
    for start in range(0, bids, 1000):
        count = min(1000, bids - start)
        log.append("market.m1.bid.a1", [log.command("bid_placed", **bid) for _ in range(count)])
    log.transfer("a1", to="a2", amount_micros=1)
    return log


def test_a_large_result_counts_what_became_of_its_commands() -> None:
    """A few thousand bids of one agent in a window would be refused by NATS, at every restart."""
    window = only_window(crowd(9000))
    result = results_of(window)["result.m1.a1"]
    assert not result.complete
    assert (None, None) == (result.outcomes, result.credits)
    assert {"won": 1, "lost": 2, "rejected": 8997, "applied": 1} == dict(result.counts or {})
    assert 100 - 27 - 1 == result.balance_micros
    assert max(len(message.payload) for message in agent_results(window)) < 1000


def test_a_result_is_whole_up_to_the_limit() -> None:
    """One byte too early, and an agent asks the ledger for what it could have been told."""

    def size_of(bids: int) -> tuple[int, bool]:
        [message] = [one for one in agent_results(only_window(crowd(bids))) if "a1" in one.subject]
        return len(message.payload), json.loads(message.payload)["complete"]

    sizes = [size_of(bids) for bids in range(3_560, 3_576, 4)]
    whole = [size for size, complete in sizes if complete]
    assert len(whole) not in {0, len(sizes)}, sizes
    assert RESULT_MAX_BYTES - 1_000 < max(whole) <= RESULT_MAX_BYTES
