"""The public contract of the ledger: names, columns, types and indexes."""

import re
from collections.abc import Iterator
from typing import Final

import pytest
from psycopg import Connection
from psycopg.sql import SQL, Identifier

from connectors.postgres.connection import connect
from tests.connectors.postgres.asking import VIEWS
from walras_schemas import BidStatus, RejectionReason

COLUMNS: Final = {
    "bids": "market agent_id event_id seq ord shard window_id timestamp kind bundle limit_micros "
    "status reason paid_micros",
    "allocations": "market window_id seq ord event_id agent_id resource quantity timestamp",
    "transactions": "market window_id shard seq ord txn_id agent_id amount_micros counterparty "
    "kind event_id timestamp",
    "commands": "market agent_id event_id seq ord window_id type status reason",
    "accounts": "market agent_id balance_micros",
    "windows": "shard window_id first_seq last_seq opened_at closed_at committed_at digest "
    "prev_digest",
    "prices": "market window_id resource reference_micros clearing_micros supply demanded sold "
    "stale",
    "dead_letters": "shard seq ord subject error payload timestamp",
    "paradoxical_rejections": "market window_id seq ord agent_id event_id kind bundle limit_micros",
}

OF_VIEW: Final = """
    SELECT column_name, data_type FROM information_schema.columns
    WHERE table_schema = 'walras' AND table_name = %s ORDER BY ordinal_position
"""
INDEXES: Final = "SELECT indexdef FROM pg_indexes WHERE schemaname = 'ledger' AND tablename = %s"


@pytest.fixture(scope="module")
def conn(ledger: str) -> Iterator[Connection]:
    """One connection for all these tests: they only look at the schema."""
    with connect(ledger) as opened:
        yield opened


@pytest.mark.parametrize("view", VIEWS)
def test_views_have_the_promised_columns(conn: Connection, view: str) -> None:
    """Programs of others are written against these names."""
    assert COLUMNS[view].split() == [name for name, _ in conn.execute(OF_VIEW, [view])]


def test_there_are_no_other_views(conn: Connection) -> None:
    """A view that the contract does not name would be used and then missed."""
    listed = conn.execute(
        "SELECT table_name FROM information_schema.views WHERE table_schema = 'walras'"
    )
    assert sorted(VIEWS) == sorted(name for (name,) in listed)


@pytest.mark.parametrize("view", VIEWS)
def test_times_know_their_zone(conn: Connection, view: str) -> None:
    """A time without a zone means another moment on every reader's machine."""
    kinds = {
        kind for name, kind in conn.execute(OF_VIEW, [view]) if "time" in kind or "_at" in name
    }
    assert kinds <= {"timestamp with time zone"}


def test_no_amount_is_inexact(conn: Connection) -> None:
    """One float in a view, and sums of micros stop adding up."""
    kinds = {kind for view in VIEWS for _, kind in conn.execute(OF_VIEW, [view])}
    assert not kinds & {"real", "double precision", "money"}


def test_statuses_are_stored_in_the_registry_s_order(conn: Connection) -> None:
    """A status that the ledger does not know would stop a shard at its first commit."""
    stored = conn.execute("SELECT unnest(enum_range(NULL::ledger.bid_status))::text")
    assert list(BidStatus) == [status for (status,) in stored]


def test_reasons_are_stored_in_order_of_precedence(conn: Connection) -> None:
    """The restore asks for reasons from `duplicate` on: their order decides which ids it keeps."""
    stored = conn.execute("SELECT unnest(enum_range(NULL::ledger.rejection_reason))::text")
    assert list(RejectionReason) == [reason for (reason,) in stored]


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("bid", '(agent_id, "timestamp")'),
        ("command", '(agent_id, "timestamp")'),
        ("command", '(recipient, "timestamp")'),
        ("bid", "(shard, seq, ord)"),
        ("command", "(shard, seq, ord)"),
        ("dead_letter", "(shard, seq, ord)"),
    ],
)
def test_indexes(conn: Connection, table: str, columns: str) -> None:
    """Without them a question about one agent reads the whole ledger."""
    assert any(columns in index for (index,) in conn.execute(INDEXES, [table]))


@pytest.mark.parametrize(
    ("view", "indexes"),
    [
        ("bids", {"bid_agent"}),
        ("transactions", {"bid_agent", "command_agent", "command_recipient"}),
    ],
)
def test_questions_about_an_agent_use_its_indexes(
    conn: Connection, view: str, indexes: set[str]
) -> None:
    """An index on the table is of no use when the view hides it."""
    asked = SQL(
        "EXPLAIN SELECT * FROM {} WHERE agent_id = 'a1' AND \"timestamp\" > '2026-01-01'"
    ).format(Identifier("walras", view))
    conn.execute("SET enable_seqscan = off")
    plan = "\n".join(line for (line,) in conn.execute(asked))
    assert indexes == set(re.findall(r"Index Scan (?:using|on) (\w+)", plan))
