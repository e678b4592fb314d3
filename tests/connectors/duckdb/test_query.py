"""Queries and answers: exact values, and untrusted queries that stay inside the views."""

import signal
from decimal import Decimal
from pathlib import Path
from threading import Timer

import duckdb
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from connectors.duckdb.ledger import open_ledger
from connectors.duckdb.query import Answer, ask, run_untrusted
from state.errors import ServerUnreachable, SettingsError, WalrasError


def untrusted(ledger: duckdb.DuckDBPyConnection, query: str) -> Answer:
    """The answer to the one query that a user typed."""
    (answer,) = [
        Answer(stream.columns, tuple(stream.rows)) for stream in run_untrusted(ledger, query)
    ]
    return answer


def test_an_answer_is_exact(ledger: duckdb.DuckDBPyConnection) -> None:
    """An amount that went through a float comes back one micro-credit off."""
    answer = ask(ledger, "SELECT paid_micros, sum(paid_micros) FROM bids GROUP BY ALL ORDER BY 1")
    assert ((0, 0), (16, 16), (9007199254740993, 9007199254740993)) == answer.rows
    assert {int} == {type(value) for row in answer.rows for value in row}


def test_an_instant_is_shown_in_utc(ledger: duckdb.DuckDBPyConnection) -> None:
    """An instant in the reader's own zone cannot be compared with the log."""
    answer = ask(ledger, "SELECT timestamp, [timestamp] FROM bids WHERE seq = 1")
    instant = "2026-01-02 03:04:05.678901+00"
    assert ((instant, f"['{instant}']"),) == answer.rows


def test_a_query_gets_the_parameters_that_it_names(ledger: duckdb.DuckDBPyConnection) -> None:
    """Queries share their parameters; one that the query does not name would fail it."""
    sql = "SELECT seq FROM bids WHERE $market IS NULL OR market = $market ORDER BY seq"
    of_m1 = ask(ledger, sql, market="m1", limit=1)
    of_all = ask(ledger, sql, market=None, limit=1)
    assert (((1,), (2,)), ((1,), (2,), (3,))) == (of_m1.rows, of_all.rows)


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("FROM bids SELECT seq ORDER BY seq DESC LIMIT 1", ((3,),)),
        ("SELECT bundle->>'gpu' AS gpu FROM bids WHERE seq = 1;  -- of the first", (("2",),)),
        ("WITH w AS (FROM bids WHERE status = 'won') SELECT count(*) FROM w", ((2,),)),
        ("SELECT 1.50::DECIMAL(9, 2), NULL", ((Decimal("1.50"), None),)),
        ("SELECT name FROM (SHOW TABLES)", (("accounts",), ("bids",))),
        ("SELECT range FROM range(2)", ((0,), (1,))),
        ("DESCRIBE SELECT 1 AS a", (("a", "INTEGER", "YES", None, None, None),)),
    ],
)
def test_an_untrusted_query_may_read(
    ledger: duckdb.DuckDBPyConnection, query: str, rows: tuple[tuple[object, ...], ...]
) -> None:
    """A check that refuses honest queries is soon switched off."""
    assert rows == untrusted(ledger, query).rows


@pytest.mark.parametrize(
    "query",
    [
        "SELECT bundle AS b FROM bids WHERE seq = 1",
        "WITH w AS (FROM walras.bids) SELECT bundle AS b FROM w WHERE seq = 1",
        """SELECT '{"gpu": 2}'::JSON AS b""",
        "SELECT {'gpu': 2} AS b",
    ],
)
def test_an_object_is_an_object(ledger: duckdb.DuckDBPyConnection, query: str) -> None:
    """In JSON an object that became text is read twice by every program, or not at all."""
    assert [{"b": {"gpu": 2}}] == untrusted(ledger, query).records()


@pytest.mark.parametrize(
    "explained", ["FROM bids", "ANALYZE FROM bids", "/* why */ FROM bids -- so"]
)
def test_a_query_may_be_explained(ledger: duckdb.DuckDBPyConnection, explained: str) -> None:
    """Whoever waits for a query wants to know what it does."""
    plan = untrusted(ledger, f"-- plan\nEXPLAIN {explained}")
    assert ("explain_key", "explain_value") == plan.columns


@pytest.mark.parametrize(
    "inner",
    ["DROP TABLE bids", "FROM read_text('pyproject.toml')", "COPY bids TO 'stolen.csv'"],
)
@pytest.mark.parametrize("explain", ["EXPLAIN", "EXPLAIN ANALYZE", "/* EXPLAIN */ EXPLAIN"])
def test_nothing_else_may_be_explained(
    ledger: duckdb.DuckDBPyConnection, explain: str, inner: str
) -> None:
    """EXPLAIN ANALYZE runs what it explains."""
    with pytest.raises(SettingsError, match="the query was not run"):
        untrusted(ledger, f"{explain} {inner}")


@pytest.mark.parametrize(
    ("query", "hint"),
    [
        ("FROM bid", "Did you mean bids?"),
        ("FROM walras.acounts", "Did you mean accounts?"),
        ("SELECT * FROM nothing_like_it", "SHOW TABLES lists the views"),
        ("FROM pg_prepared_statement", "SHOW TABLES lists the views"),
    ],
)
def test_only_our_own_views_are_suggested(
    ledger: duckdb.DuckDBPyConnection, query: str, hint: str
) -> None:
    """DuckDB suggests tables of its own that nobody may read."""
    with pytest.raises(SettingsError) as raised:
        untrusted(ledger, query)
    assert (True, False) == (raised.value.hint.startswith(hint), "pg_prep" in raised.value.hint)


def test_several_queries_are_answered_in_their_order(ledger: duckdb.DuckDBPyConnection) -> None:
    """A file of queries is one report."""
    answers = run_untrusted(ledger, "SELECT 1; SELECT 2;\n-- end\n")
    assert [[(1,)], [(2,)]] == [list(each.rows) for each in answers]


def test_a_large_answer_is_read_as_it_is_asked_for(ledger: duckdb.DuckDBPyConnection) -> None:
    """Whoever looks at the first rows of a billion must not wait for, nor hold, the rest."""
    (answer,) = run_untrusted(ledger, "SELECT range, repeat('x', 100) FROM range(1000000000)")
    assert 0 == next(answer.rows)[0]


@pytest.mark.parametrize(
    "query", ["SELECT count(*) FROM range(1000000000000)", "FROM range(1000000000000)"]
)
def test_an_interruption_is_one(ledger: duckdb.DuckDBPyConnection, query: str) -> None:
    """Ctrl-C in a long query is Ctrl-C, not an error of DuckDB's."""
    stop = Timer(0.2, signal.raise_signal, [signal.SIGINT])
    with pytest.raises(KeyboardInterrupt):  # noqa: PT012 - the signal may come at any line
        stop.start()
        untrusted(ledger, query)
    ledger.interrupt()  # as the command line does: DuckDB's own threads may still be at it
    stop.join()


def test_columns_of_one_name_are_distinguished(ledger: duckdb.DuckDBPyConnection) -> None:
    """In JSON the second of two equal names would silently replace the first."""
    assert [{"a": 1, "a_2": 2}] == untrusted(ledger, "SELECT 1 AS a, 2 AS a").records()


@pytest.mark.parametrize(
    "query",
    [
        "INSERT INTO bids (market) VALUES ('m9')",
        "DELETE FROM bids",
        "CREATE TABLE memory.main.mine (a int)",
        "COPY bids TO 'stolen.csv'",
        "ATTACH 'stolen.db'",
        "CALL postgres_execute('ledger', 'COMMIT; DROP TABLE walras.bids')",
        "PRAGMA version",
        "SET lock_configuration = false",
        "BEGIN",
        "",
        "SELECT 1; DELETE FROM bids",
        " ; ",
        "FROM bids WHERE sequence = 1",
        "SELEC 1",
    ],
)
def test_anything_but_a_select_is_refused(ledger: duckdb.DuckDBPyConnection, query: str) -> None:
    """A statement that gets through runs with the rights of the ledger's owner."""
    with pytest.raises(SettingsError, match="the query was not run"):
        untrusted(ledger, query)


@pytest.mark.parametrize(
    "call",
    [
        "FROM postgres_query('ledger', 'SELECT pg_read_file(''/etc/hostname'')')",
        "FROM ledger.postgres_query('ledger', 'SELECT 1')",
        "FROM POSTGRES_EXECUTE('ledger', 'COPY (SELECT 1) TO PROGRAM ''touch stolen.csv''')",
        "FROM postgres_scan('host=127.0.0.1', 'public', 'secrets')",
        "FROM query('SELECT 1')",
        "FROM json_execute_serialized_sql('{}')",
        "FROM duckdb_settings()",
        "FROM read_text('pyproject.toml')",
        "SELECT (SELECT 1 FROM query('SELECT 1')) FROM bids",
        "SELECT 1 ORDER BY (SELECT max(x) FROM query('SELECT 1 AS x'))",
        "WITH w AS (FROM query('SELECT 1')) FROM w",
        "SELECT 1 UNION ALL FROM query('SELECT 1')",
        "SELECT json_serialize_plan('FROM query(''SELECT 1'')')",
    ],
)
def test_an_untrusted_query_calls_no_other_functions(
    ledger: duckdb.DuckDBPyConnection, call: str
) -> None:
    """The extension's functions pass any text to Postgres, where a superuser runs programs."""
    with pytest.raises(SettingsError, match="it may not call"):
        untrusted(ledger, call)
    assert not Path("stolen.csv").exists()


def test_an_untrusted_query_reads_no_python_variable(ledger: duckdb.DuckDBPyConnection) -> None:
    """DuckDB would read a Python variable of the caller as a table of that name."""
    secrets = untrusted(ledger, "SELECT 1 AS a")
    assert isinstance(secrets, Answer)
    with pytest.raises(SettingsError, match="there is no view secrets"):
        untrusted(ledger, "FROM secrets")


def test_a_ledger_that_became_unavailable_is_unreachable(postgres_dsn: str) -> None:
    """An outage is not an error in the query."""
    with psycopg.connect(postgres_dsn) as owner:
        owner.execute("CREATE SCHEMA walras")
        owner.execute("CREATE TABLE walras.bids (seq bigint)")
    name = conninfo_to_dict(postgres_dsn)["dbname"]
    with open_ledger(postgres_dsn) as ledger:
        untrusted(ledger, "FROM bids")
        with psycopg.connect(make_conninfo(postgres_dsn, dbname="postgres")) as owner:
            owner.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
            owner.execute(ended, [name])
        with pytest.raises(ServerUnreachable):
            untrusted(ledger, "FROM bids")


def test_a_reader_without_rights_gets_an_error(dsn: str) -> None:
    """A Postgres user for reading starts without rights: that must not look like a crash."""
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute("CREATE ROLE reader LOGIN")
        try:
            with (
                open_ledger(make_conninfo(dsn, user="reader")) as ledger,
                pytest.raises(WalrasError, match="permission denied for schema walras"),
            ):
                ask(ledger, "FROM bids")
        finally:
            owner.execute("DROP ROLE reader")


def test_a_ledger_of_another_version_is_reported_as_one(ledger: duckdb.DuckDBPyConnection) -> None:
    """A program that is newer than its ledger asks for views that are not there yet."""
    with pytest.raises(WalrasError, match="the schema of another version"):
        ask(ledger, "FROM clearing_prices")


def test_a_balance_beyond_64_bits_is_exact(ledger: duckdb.DuckDBPyConnection) -> None:
    """The treasury of a large market owes more than an int64 holds."""
    answer = ask(ledger, "SELECT balance_micros FROM accounts ORDER BY 1")
    assert ((-12345678901234567890,), (12345678901234567890,)) == answer.rows
    assert {int} == {type(balance) for (balance,) in answer.rows}
