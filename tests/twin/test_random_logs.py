"""The random logs reach every outcome the specification knows, so agreeing on them means much."""

from __future__ import annotations

from collections import Counter
from itertools import pairwise

from tests.twin.random_logs import random_log
from tests.twin.rows import Rows, in_order
from tests.twin.twin import run

REASONS = {
    "unknown_market",
    "stale_event_id",
    "future_event_id",
    "duplicate",
    "unknown_agent",
    "unknown_resource",
    "unsupported_by_rule",
    "exceeds_supply",
    "below_reserve",
    "amount_overflow",
    "insufficient_balance",
    "not_open",
    "self_transfer",
}

COMMANDS = {
    "bid_withdrawn",
    "credits_transferred",
    "credits_granted",
    "market_opened",
    "supply_changed",
    "price_quoted",
}


def _told(seeds: range) -> list[Rows]:
    return [run(random_log(seed, commands=600), window_ms=1_000) for seed in seeds]


def test_a_few_logs_reach_every_reason_and_status() -> None:
    """A reason that no log provokes could be judged wrongly without anyone seeing it."""
    told = _told(range(6))
    reasons = {row["reason"] for rows in told for row in rows.bids + rows.commands}
    assert reasons == REASONS | {None}
    statuses = {row["status"] for rows in told for row in rows.bids}
    assert statuses == {"rejected", "withdrawn", "lost", "partially_won", "won"}
    kinds = Counter(row["kind"] for rows in told for row in rows.transactions)
    assert kinds.keys() == {"grant", "transfer", "payment"}
    assert all(rows.dead_letters for rows in told)


def test_a_few_logs_hold_every_kind_of_event() -> None:
    """What no log holds is what the twin and the flow never had to agree on."""
    told = _told(range(6))
    applied = {row["type"] for rows in told for row in rows.commands if row["status"] == "applied"}
    assert applied == COMMANDS
    winners = {row["kind"] for rows in told for row in rows.bids if row["paid_micros"]}
    assert winners == {"unit", "bundle"}
    supplies = {(row["market"], row["resource"], row["supply"]) for row in told[0].prices}
    assert len(supplies) > len({place[:2] for place in supplies})
    for rows in told:
        assert len({row["market"] for row in rows.transactions if row["kind"] == "payment"}) > 1
        assert any(row["ord"] > 0 for row in rows.bids)
        assert {True, False} == {row["stale"] for row in rows.prices}
        assert any(row["supply"] == 0 for row in rows.prices)


def test_a_few_logs_tick_and_set_the_clock_back() -> None:
    """Windows that only ticks close, and a clock that goes back, are where time goes wrong."""
    for seed in range(6):
        log = random_log(seed, commands=600)
        assert any(record.subject == "clock.0" for record in log)
        assert any(later.timestamp_ns < record.timestamp_ns for record, later in pairwise(log))


def test_a_seed_names_one_log() -> None:
    """A failure found by a seed must come back under the same seed."""
    assert random_log(7, commands=300) == random_log(7, commands=300)
    assert random_log(7, commands=300) != random_log(8, commands=300)


def test_rows_compare_in_whatever_order_they_come() -> None:
    """A ledger without ORDER BY must not look like another ledger."""
    one, other = (run(random_log(7, commands=300), window_ms=1_000) for _ in range(2))
    other.bids.reverse()
    other.transactions.sort(key=lambda row: row["amount_micros"])
    assert in_order(one) == in_order(other)
    other.bids.pop()
    assert in_order(one) != in_order(other)


def test_the_twin_keeps_the_books_of_a_random_log() -> None:
    """A twin that created credits would teach the real flow to do so."""
    for rows in _told(range(6)):
        markets = {row["market"] for row in rows.accounts}
        for market in markets:
            balances = {
                row["agent_id"]: row["balance_micros"]
                for row in rows.accounts
                if row["market"] == market
            }
            assert sum(balances.values()) == 0
            assert min(v for agent, v in balances.items() if agent != "treasury") >= 0


def test_the_twin_sells_no_more_than_there_is_and_within_limits() -> None:
    """An over-allocated window or a payment above the limit breaks the market's first promise."""
    for rows in _told(range(6)):
        assert all(row["sold"] <= row["supply"] for row in rows.prices)
        assert all(row["sold"] <= row["demanded"] for row in rows.prices)
        paid = [row for row in rows.bids if row["paid_micros"]]
        assert paid
        assert all(row["paid_micros"] <= row["limit_micros"] for row in paid)
