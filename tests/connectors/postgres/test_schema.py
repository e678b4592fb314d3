"""The public contract of the ledger: names, columns, types and indexes."""

import re
from collections.abc import Iterable, Iterator
from typing import Any, Final, LiteralString

import pytest
from psycopg import Connection
from psycopg.sql import SQL, Identifier

from connectors.postgres.connection import connect
from state.bids import REASONS, STATUSES
from tests.connectors.postgres.asking import VIEWS, empty_the_ledger

BIDS: Final = (
    "market agent_id event_id seq ord shard window_id timestamp kind bundle min_quantity "
    "limit_micros status reason paid_micros"
)
COLUMNS: Final = {
    "bids": BIDS,
    "allocations": "market window_id seq ord event_id agent_id resource quantity timestamp",
    "transactions": "market window_id shard seq ord txn_id agent_id amount_micros counterparty "
    "kind purpose event_id timestamp",
    "commands": "market agent_id event_id seq ord shard window_id type status reason timestamp",
    "accounts": "market agent_id balance_micros",
    "windows": "shard window_id first_seq last_seq opened_at closed_at committed_at digest "
    "prev_digest",
    "prices": "market window_id resource reference_micros reserve_micros clearing_micros supply "
    "demanded wanted sold stale",
    "market_windows": "market window_id shard rule agents bids won partially_won lost withdrawn "
    "rejected commands paid_micros offered_micros served_micros",
    "markets": "market shard rule open opened_seq stale_after_windows max_commands lag_windows "
    "meters",
    "resources": "market resource supply initial_price_micros reserve_micros reserve_ratio_ppm "
    "allowance_windows",
    "dead_letters": "shard seq ord subject error payload payload_bytes timestamp",
    "paradoxical_rejections": BIDS + " lost_value_micros",
    "lots": "market agent_id resource window_id last_window units remaining",
    "allowances": "market agent_id resource won free held used overdrawn expired",
    "open_holds": "market agent_id resource meter epoch n held_seq window_id held timestamp",
    "usage": "market agent_id resource meter epoch n held_seq settled_seq window_id held used "
    "outcome timestamp",
    "meters": "market meter epoch next_n window_id",
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


def words(conn: Connection, function: str, codes: Iterable[int]) -> list[str | None]:
    """What the views show of codes."""
    shown = SQL("SELECT {}(code::smallint) FROM unnest(%s::int[]) WITH ORDINALITY AS c (code, at)")
    query = shown.format(Identifier("ledger", function)) + SQL(" ORDER BY at")
    return [word for (word,) in conn.execute(query, [list(codes)])]


def test_statuses_are_shown_as_the_core_counts_them(conn: Connection) -> None:
    """One more word in the middle of one of the two lists, and every later status is another."""
    assert list(STATUSES) == words(conn, "status_text", range(len(STATUSES)))
    assert [None] == words(conn, "status_text", [len(STATUSES)])


def test_reasons_are_shown_as_the_core_counts_them(conn: Connection) -> None:
    """As for statuses; and a code of 0, for no reason, has no word."""
    assert list(REASONS) == words(conn, "reason_text", range(len(REASONS)))
    assert [None] == words(conn, "reason_text", [len(REASONS)])


@pytest.mark.parametrize(
    ("table", "columns"),
    [
        ("account", "(shard, account)"),
        ("account", "(agent_id, market, shard)"),
        ("bid", '(shard, account, "timestamp")'),
        ("bid", "(window_id, seq int8_minmax_multi_ops"),
        ("bid_bundle", "(shard, seq, ord)"),
        ("command", '(agent_id, "timestamp")'),
        ("command", '(recipient, "timestamp")'),
        ("command", "(shard, seq, ord)"),
        ("dead_letter", "(shard, seq, ord)"),
    ],
)
def test_indexes(conn: Connection, table: str, columns: str) -> None:
    """Without them a question about one agent reads the whole ledger."""
    assert any(columns in index for (index,) in conn.execute(INDEXES, [table]))


FILL: Final = """
    INSERT INTO ledger.account (shard, account, market, agent_id)
    SELECT 0, n, 'm1', 'a' || n FROM generate_series(0, 199) AS n;
    INSERT INTO ledger.resource_name (shard, resource, name) VALUES (0, 0, 'gpu');
    INSERT INTO ledger.bid
    SELECT
        n, n / 200, timestamptz 'epoch' + n / 200 * interval '1 s', 1, 1, 1, 0, 0, -1, n % 200, 0,
        '01999999-0000-7000-8000-000000000000', 0, 0, 0, 2, 0
    FROM generate_series(1, 40000) AS n;
    INSERT INTO ledger.command
    SELECT
        n, n / 20, timestamptz 'epoch' + n / 20 * interval '1 s', 1, 0, 0, 0, 0, 'm1',
        'a' || n % 200, '01999999-0000-7000-8000-000000000000', 'credits_transferred',
        'a' || (n + 1) % 200
    FROM generate_series(1, 20000) AS n;
    ANALYZE ledger.account, ledger.bid, ledger.command;
"""


@pytest.fixture
def filled(ledger: str) -> Iterator[Connection]:
    """A ledger with enough rows for a choice between plans; it is gone after the test."""
    with connect(ledger) as opened, opened.transaction(force_rollback=True):
        empty_the_ledger(opened)
        opened.execute(FILL)
        opened.execute("SELECT brin_summarize_new_values('ledger.bid_place')")
        yield opened


def plan_of(conn: Connection, view: str, condition: LiteralString) -> str:
    """How Postgres would read a view."""
    asked = SQL("EXPLAIN SELECT * FROM {} WHERE ").format(Identifier("walras", view))
    return "\n".join(line for (line,) in conn.execute(asked + SQL(condition)))


@pytest.mark.parametrize(
    ("view", "indexes"),
    [
        ("bids", {"bid_account"}),
        ("allocations", {"bid_account"}),
        ("transactions", {"bid_account", "command_agent", "command_recipient"}),
        ("commands", {"command_agent"}),
    ],
)
def test_questions_about_an_agent_use_its_indexes(
    filled: Connection, view: str, indexes: set[str]
) -> None:
    """An index on the table is of no use when the view hides it."""
    plan = plan_of(filled, view, "agent_id = 'a1' AND \"timestamp\" > '1970-01-01 00:03'")
    used = re.findall(r"Index Scan (?:using|on) (\w+) .*\n\s*Index Cond: .*\"timestamp\" >", plan)
    assert (indexes, 0) == (set(used), plan.count("Seq Scan on bid")), plan


def test_a_question_about_a_window_reads_few_others(filled: Connection) -> None:
    """Asked after each window for its bids, a long ledger must not be read each time."""
    plan = plan_of(filled, "bids", "window_id = 100")
    assert re.search(r"Index Scan on bid_place .*\n\s*Index Cond: \(window_id = ", plan), plan
    assert 1 == len(re.findall(r" on bid b\b", plan))


def test_paradoxical_rejections_of_a_window_are_read_alone(filled: Connection) -> None:
    """Asked after each window, neither other windows nor bids that are not asked may be read."""
    filled.execute("UPDATE ledger.bid SET lost_value_micros = 7 WHERE seq % 40 = 0")
    asked = "SELECT * FROM walras.paradoxical_rejections WHERE window_id = 100"
    assert 5 == len(filled.execute(asked).fetchall())
    explained = filled.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {asked}").fetchone()
    assert explained is not None
    reads = [node for node in nodes_of(explained[0][0]["Plan"]) if node.get("Alias") == "b"]
    assert [("bid_paradoxical", 5, 0, 0)] == [
        (
            node["Index Name"],
            node["Actual Rows"],
            node.get("Rows Removed by Filter", 0),
            node.get("Rows Removed by Index Recheck", 0),
        )
        for node in reads
    ]


def nodes_of(plan: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A plan and all that it is made of."""
    yield plan
    for part in plan.get("Plans", []):
        yield from nodes_of(part)


def test_a_question_about_a_sequence_reads_few_others(filled: Connection) -> None:
    """Bids have no key: what came of one message is found by where its window lies."""
    assert "Index Cond: (seq = 7)" in plan_of(filled, "bids", "seq = 7")


def test_summaries_follow_the_commits(conn: Connection) -> None:
    """Pages without a summary are read by every question, until something else writes one."""
    (brin,) = (index for (index,) in conn.execute(INDEXES, ["bid"]) if "USING brin" in index)
    assert "autosummarize='on'" in brin
