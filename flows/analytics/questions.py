"""What people ask of the ledger: windows, prices, allocations, rejections, throughput, latency.

Each question is a query of its own in `flows/analytics/sql`, answered by DuckDB from the live
ledger. Promise: an answer reads committed windows only, and amounts in it are exact integers.
"""

from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import Final

import duckdb

from connectors.duckdb.query import Answer, ask

SQL: Final = Path(__file__).parent / "sql"


class Question(StrEnum):
    """One for each file of `flows/analytics/sql`, which says what it answers."""

    ALLOCATIONS = "allocations"
    BALANCES = "balances"
    BIDS = "bids"
    BOOKS = "books"
    DIGESTS = "digests"
    LATENCY = "latency"
    OUTCOME = "outcome"
    PRICES = "prices"
    REJECTIONS = "rejections"
    SINCE = "since"
    SINCE_BIDS = "since_bids"
    SINCE_PRICES = "since_prices"
    THROUGHPUT = "throughput"
    WINDOWS = "windows"


def answer(
    ledger: duckdb.DuckDBPyConnection,
    question: Question,
    *,
    market: str | None = None,
    agent: str | None = None,
    since: int = 0,
) -> Answer:
    """Answer a question about one market and agent or all, from window `since` on."""
    return ask(ledger, text_of(question), market=market, agent=agent, since=since)


def first_of_last(
    ledger: duckdb.DuckDBPyConnection,
    last: int,
    *,
    of: Question = Question.SINCE,
    market: str | None = None,
    agent: str | None = None,
) -> int:
    """The first of the last windows that there is something to tell of: what to give as `since`."""
    (row,) = ask(ledger, text_of(of), last=last, market=market, agent=agent).rows
    return int(row[0])


def outcome_at(ledger: duckdb.DuckDBPyConnection, *, market: str, agent: str, seq: int) -> Answer:
    """What became of the one bid that lies at `seq` in the log; empty while its window is open."""
    return ask(ledger, text_of(Question.OUTCOME), market=market, agent=agent, seq=seq)


@cache
def text_of(question: Question) -> str:
    """The query behind a question."""
    return (SQL / f"{question}.sql").read_text(encoding="utf-8")
