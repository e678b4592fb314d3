"""What holds of every log, whatever it says: the twin keeps the promises of SEMANTICS, too."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from functools import cache
from typing import Any, Final

import pytest

from tests.twin.random_logs import random_log
from tests.twin.rows import LogRecord, Row, Rows
from tests.twin.twin import run

SEEDS: Final = range(8)


@cache
def settled(seed: int) -> Rows:
    return run(random_log(seed, commands=400), window_ms=1_000)


# --- a market stands alone ------------------------------------------------------------------------


def rows_of_market(rows: Rows, market: str) -> dict[str, list[Row]]:
    """A market's rows of every view that names markets, and its messages."""
    named = {
        name: [row for row in getattr(rows, name) if row.get("market") == market]
        for name in Rows.__slots__
    }
    for message in named["window_messages"]:
        del message["next_seq"]
    named["dead_letters"] = [
        row for row in rows.dead_letters if row["subject"].startswith(f"market.{market}.")
    ]
    return named


def alone(log: list[LogRecord], market: str) -> list[LogRecord]:
    """The log with the messages of all other markets turned into ticks."""
    return [
        record
        if record.subject.startswith(f"market.{market}.")
        else replace(record, subject="clock.0", payload=b"")
        for record in log
    ]


@pytest.mark.parametrize("seed", SEEDS)
def test_a_market_stands_alone(seed: int) -> None:
    """Rows that hang on a neighbour's messages would change when markets move between shards."""
    log = random_log(seed, commands=400)
    for market in ("m1", "m2", "m3", "m4"):
        together = rows_of_market(run(log, window_ms=1_000), market)
        apart = rows_of_market(run(alone(log, market), window_ms=1_000), market)
        assert together == apart


# --- credits --------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_the_books_balance(seed: int) -> None:
    """A twin that created credits would teach the real flow to do so."""
    rows = settled(seed)
    sums: Counter[str] = Counter()
    balances: Counter[tuple[str, str]] = Counter()
    for posting in rows.transactions:
        sums[f"{posting['txn_id']} {posting['kind']}"] += posting["amount_micros"]
        balances[posting["market"], posting["agent_id"]] += posting["amount_micros"]
    assert {0} == set(sums.values())
    shown = {(row["market"], row["agent_id"]): row["balance_micros"] for row in rows.accounts}
    assert dict(balances) == shown
    assert min(micros for (_, agent), micros in shown.items() if agent != "treasury") >= 0


@pytest.mark.parametrize("seed", SEEDS)
def test_nobody_pays_above_its_limit(seed: int) -> None:
    """An agent that bids what something is worth to it must never regret that it won."""
    rows = settled(seed)
    won = {(row["seq"], row["ord"]): row["quantity"] for row in rows.allocations}
    paid = [row for row in rows.bids if row["paid_micros"]]
    assert paid
    for bid in paid:
        limit = bid["limit_micros"]
        if bid["kind"] == "unit":
            [quantity] = bid["bundle"].values()
            limit = limit // quantity * won[bid["seq"], bid["ord"]]
        assert bid["paid_micros"] <= limit


# --- prices ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", SEEDS)
def test_no_more_is_sold_than_there_is_and_nothing_below_the_reserve(seed: int) -> None:
    """An over-allocated window breaks the market's first promise."""
    for row in settled(seed).prices:
        assert row["sold"] <= row["supply"]
        assert row["sold"] <= row["demanded"]
        assert row["wanted"] <= row["demanded"]
        assert (row["sold"] == 0) is (row["clearing_micros"] is None)
        assert row["sold"] == 0 or row["clearing_micros"] >= row["reserve_micros"]


@pytest.mark.parametrize("seed", SEEDS)
def test_every_summary_agrees_with_the_rows_it_sums(seed: int) -> None:
    """Of two numbers for one thing, one is wrong."""
    rows = settled(seed)
    bids, commands = _by_window(rows.bids), _by_window(rows.commands)
    paid = _by_window(rows.bids, "paid_micros")
    for summary in rows.market_windows:
        place = summary["market"], summary["window_id"]
        assert bids[place] == summary["bids"]
        assert commands[place] == summary["commands"]
        assert paid[place] == summary["paid_micros"] <= summary["served_micros"]
        assert summary["served_micros"] <= summary["offered_micros"]


def _by_window(rows: list[Row], amount: str = "") -> Counter[tuple[Any, Any]]:
    """The rows of each market and window, counted, or one of their columns summed."""
    total: Counter[tuple[Any, Any]] = Counter()
    for row in rows:
        total[row["market"], row["window_id"]] += row[amount] if amount else 1
    return total


@pytest.mark.parametrize("seed", SEEDS)
def test_each_result_agrees_with_the_rows(seed: int) -> None:
    """An agent that acts on its results must find the same in the ledger."""
    rows = settled(seed)
    outcomes = Counter(
        (result["market"], result["agent_id"], outcome["seq"], outcome["ord"], outcome["status"])
        for result in rows.agent_results
        for outcome in result["outcomes"]
    )
    shown = Counter(
        (row["market"], row["agent_id"], row["seq"], row["ord"], row["status"])
        for row in rows.bids + rows.commands
        if row["agent_id"] != "treasury" and row["event_id"] is not None
    )
    assert shown == outcomes
    last = {(row["market"], row["agent_id"]): row["balance_micros"] for row in rows.agent_results}
    for account in rows.accounts:
        place = account["market"], account["agent_id"]
        assert place[1] in ("treasury", "house") or account["balance_micros"] == last[place]
