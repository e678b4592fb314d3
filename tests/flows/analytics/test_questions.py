"""The questions to the ledger, asked of two windows that can be settled by hand."""

from collections.abc import Iterator
from typing import Any

import duckdb
import psycopg
import pytest

from connectors.duckdb.ledger import open_ledger
from flows.analytics.answers import answer, first_of_last, outcome_at
from flows.analytics.questions import SQL, DemoQuestion, Question
from tests.flows.story_ledger import write_ledger
from tests.stories.writer import START_MS, WINDOW_MS

FIRST = START_MS // WINDOW_MS
SECOND = FIRST + 1

# Messages are 1 ms apart; each closing tick is the first message of the next window.
STORY = """
market open uniform gpu=3@1
grant a1 100 as g
grant a2 100
bid   a1 gpu 2 @ 10       -> won 2 pay 16
bid   a2 gpu 2 @ 8        -> won 1 pay 8
bid   a3 gpu 1 @ 9        -> unknown_agent
raw   market.m1.bid.a1 {} -> dead
close
bid   a2 gpu 4 @ 1        -> exceeds_supply
bid   a2 gpu:1 for 5      -> won pay 0
grant a1 5 again g        -> duplicate
close
"""
COMMITTED_5_MS_AFTER_THE_WINDOW = """
    UPDATE ledger."window" SET committed_at =
        timestamptz 'epoch' + (window_id + 1) * interval '1 second' + interval '5 milliseconds'
"""

UNCOVERED = "a balance is the sum of its transactions"
TAMPERINGS = [
    (
        "UPDATE ledger.account SET balance_micros = balance_micros + 1 WHERE agent_id = 'a1'",
        ["the balances of a market sum to zero", UNCOVERED],
    ),
    (
        """
        UPDATE ledger.account SET balance_micros = balance_micros + 9 WHERE agent_id = 'a1';
        UPDATE ledger.account SET balance_micros = balance_micros - 9 WHERE agent_id = 'a2'
        """,
        [UNCOVERED],
    ),
    (
        """
        ALTER TABLE ledger.account DROP CONSTRAINT account_check;
        UPDATE ledger.account SET balance_micros = -1 WHERE agent_id = 'a1';
        UPDATE ledger.account SET balance_micros = 177 WHERE agent_id = 'a2'
        """,
        ["no agent owes anything", UNCOVERED],
    ),
    (
        """
        ALTER TABLE ledger.price DROP CONSTRAINT price_check;
        UPDATE ledger.price SET supply = 2
        """,
        ["no more is sold than there is"],
    ),
    ("UPDATE ledger.price SET sold = sold - 1", ["what is sold is what is allocated"]),
    (
        "UPDATE ledger.bid SET unit_price_micros = 7 WHERE seq = 4",
        ["no bid pays more than its limit"],
    ),
    (
        """
        INSERT INTO ledger.command (seq, ord, market, agent_id, event_id, type, shard, window_id,
            rest_ns, "timestamp", reason)
        SELECT seq, ord, market, agent_id, event_id, 'bid_withdrawn', shard, window_id,
            rest_ns, "timestamp", 0
        FROM ledger.bid JOIN ledger.account USING (shard, account) WHERE seq = 4
        """,
        ["a command has one outcome"],
    ),
    (
        """
        UPDATE ledger."window" SET digest = prev_digest
        WHERE window_id = (SELECT min(window_id) FROM ledger."window")
        """,
        ["each digest follows from the one before"],
    ),
]


@pytest.fixture
def ledger(postgres_dsn: str) -> Iterator[duckdb.DuckDBPyConnection]:
    write_ledger(postgres_dsn, STORY)
    change(postgres_dsn, COMMITTED_5_MS_AFTER_THE_WINDOW)
    with open_ledger(postgres_dsn) as connection:
        yield connection


def change(dsn: str, sql: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute(sql)


def rows_of(
    ledger: duckdb.DuckDBPyConnection, question: Question, columns: str, **scope: Any
) -> list[tuple[Any, ...]]:
    """The answer, as the columns that are named."""
    records = answer(ledger, question, **scope).records()
    return [tuple(record[column] for column in columns.split()) for record in records]


def test_every_query_has_its_question() -> None:
    """A query without a question is run by nobody and rots."""
    files = {str(file.relative_to(SQL).with_suffix("")) for file in SQL.rglob("*.sql")}
    assert {*Question, *DemoQuestion} == files


def test_windows(ledger: duckdb.DuckDBPyConnection) -> None:
    """Bids of one window counted in another would hide where they were lost."""
    columns = "window_id messages bids won rejected paid_micros"
    rows = [(FIRST, 7, 3, 2, 1, 24), (SECOND, 4, 2, 1, 1, 0)]
    assert rows == rows_of(ledger, Question.WINDOWS, columns)
    assert rows[1:] == rows_of(ledger, Question.WINDOWS, columns, since=SECOND)


def test_prices(ledger: duckdb.DuckDBPyConnection) -> None:
    """A price without its window and supply says nothing."""
    columns = "market window_id resource reserve_micros clearing_micros supply demanded wanted sold"
    rows = [("m1", FIRST, "gpu", 0, 8, 3, 4, 4, 3), ("m1", SECOND, "gpu", 0, 0, 3, 1, 1, 1)]
    assert rows == rows_of(ledger, Question.PRICES, columns)
    assert rows[1:] == rows_of(ledger, Question.PRICES, columns, market="m1", since=SECOND)
    assert [] == rows_of(ledger, Question.PRICES, columns, market="m2")


def test_bids(ledger: duckdb.DuckDBPyConnection) -> None:
    """An agent that asks for its own bids must not be shown another's."""
    columns = "seq agent_id kind bundle limit_micros status reason paid_micros"
    of_a2 = [
        (5, "a2", "unit", {"gpu": 2}, 16, "partially_won", None, 8),
        (9, "a2", "unit", {"gpu": 4}, 4, "rejected", "exceeds_supply", 0),
        (10, "a2", "bundle", {"gpu": 1}, 5, "won", None, 0),
    ]
    assert of_a2 == rows_of(ledger, Question.BIDS, columns, market="m1", agent="a2")
    seqs = [seq for (seq,) in rows_of(ledger, Question.BIDS, "seq", market="m1")]
    assert [4, 5, 6, 9, 10] == seqs


def test_outcome_of_one_bid(ledger: duckdb.DuckDBPyConnection) -> None:
    """A client that waits for an outcome must get that of its own message, once there is one."""
    partly = outcome_at(ledger, market="m1", agent="a2", seq=5).rows
    refused = outcome_at(ledger, market="m1", agent="a3", seq=6).rows
    unknown = outcome_at(ledger, market="m1", agent="a1", seq=99).rows
    assert (("partially_won", None, {"gpu": 1}, 8),) == partly
    assert (("rejected", "unknown_agent", None, 0),) == refused
    assert () == unknown


def test_balances(ledger: duckdb.DuckDBPyConnection) -> None:
    """A list of what agents own must show what the treasury owes for it."""
    rows = [("a1", 84), ("a2", 92), ("house", 24), ("treasury", -200)]
    columns = "agent_id balance_micros"
    assert rows == rows_of(ledger, Question.BALANCES, columns, market="m1")
    assert rows[1:2] == rows_of(ledger, Question.BALANCES, columns, market="m1", agent="a2")


def test_allocations(ledger: duckdb.DuckDBPyConnection) -> None:
    """Supply counted once for each winner would make a full market look half empty."""
    columns = "resource agents allocations supply demanded sold sold_percent"
    both, second = ("gpu", 2, 3, 6, 5, 4, 66), ("gpu", 1, 1, 3, 1, 1, 33)
    assert [both] == rows_of(ledger, Question.ALLOCATIONS, columns)
    assert [second] == rows_of(ledger, Question.ALLOCATIONS, columns, market="m1", since=SECOND)


def test_rejections(ledger: duckdb.DuckDBPyConnection) -> None:
    """What is refused silently is never fixed: every kind of message counts."""
    rows = {
        ("bid", "exceeds_supply", 1),
        ("bid", "unknown_agent", 1),
        ("credits_granted", "duplicate", 1),
        ("message", "malformed", 1),
    }
    columns = "kind reason rejected"
    assert rows == set(rows_of(ledger, Question.REJECTIONS, columns, market="m1"))
    reasons = {row[1] for row in rows_of(ledger, Question.REJECTIONS, columns, since=SECOND)}
    assert {"exceeds_supply", "duplicate"} == reasons


def test_throughput(ledger: duckdb.DuckDBPyConnection) -> None:
    """A rate over anything but the log's own time flatters a fast replay."""
    columns = "windows messages bids accepted rejected bids_per_second"
    assert [(2, 11, 5, 3, 2, 2)] == rows_of(ledger, Question.THROUGHPUT, columns)


def test_latency(ledger: duckdb.DuckDBPyConnection) -> None:
    """Bids came 3, 4, 5, 1001 and 1002 ms after the start; commits 1005 and 2005 ms after it."""
    columns = "bids p50_us p99_us max_us"
    assert [(5, 1_002_000, 1_004_000, 1_004_000)] == rows_of(ledger, Question.LATENCY, columns)


def test_last_digest(ledger: duckdb.DuckDBPyConnection) -> None:
    """The digest of any but the last window proves less than it seems to."""
    *_, last = rows_of(ledger, Question.WINDOWS, "shard window_id digest")
    assert [last] == rows_of(ledger, Question.DIGESTS, "shard window_id digest")


def test_last_windows_are_counted_by_rows(ledger: duckdb.DuckDBPyConnection) -> None:
    """Idle windows leave no row: counted by number, the last ten could show nothing at all."""
    assert [SECOND, FIRST, FIRST] == [first_of_last(ledger, last) for last in (1, 2, 9)]


@pytest.mark.parametrize(
    ("of", "market", "agent", "since"),
    [
        (Question.SINCE_BIDS, "m1", None, SECOND),
        (Question.SINCE_BIDS, "m1", "a2", SECOND),
        (Question.SINCE_BIDS, "m1", "a1", FIRST),
        (Question.SINCE_BIDS, "m1", "a4", 0),
        (Question.SINCE_BIDS, "m2", None, 0),
        (Question.SINCE_PRICES, "m1", None, SECOND),
        (Question.SINCE_PRICES, None, None, SECOND),
        (Question.SINCE_PRICES, "m2", None, 0),
    ],
)
def test_last_windows_are_those_that_answer(
    ledger: duckdb.DuckDBPyConnection, of: Question, market: str, agent: str, since: int
) -> None:
    """An agent that paused for a minute would read that it never bid."""
    assert since == first_of_last(ledger, 1, of=of, market=market, agent=agent)


def violated(ledger: duckdb.DuckDBPyConnection) -> list[str]:
    return [
        promise for promise, count in rows_of(ledger, Question.AUDIT, "promise violations") if count
    ]


def test_a_correct_ledger_violates_nothing(ledger: duckdb.DuckDBPyConnection) -> None:
    """A check that fails without a cause is soon ignored."""
    assert [] == violated(ledger)
    assert 10 == len(answer(ledger, Question.AUDIT).rows)


@pytest.mark.parametrize(("tampering", "promises"), TAMPERINGS)
def test_tampered_books_are_found(
    postgres_dsn: str, ledger: duckdb.DuckDBPyConnection, tampering: str, promises: list[str]
) -> None:
    """An audit that passes whatever is in the ledger proves nothing."""
    change(postgres_dsn, tampering)
    assert promises == violated(ledger)
