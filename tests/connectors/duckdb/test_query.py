"""Questions and answers: exact values, and a stranger's query that stays inside the views."""

from decimal import Decimal
from pathlib import Path

import duckdb
import psycopg
import pytest
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from connectors.duckdb.ledger import open_ledger
from connectors.duckdb.query import Answer, ask, ask_stranger
from state.errors import ServerUnreachable, SettingsError, WalrasError


def test_an_answer_is_exact(ledger: duckdb.DuckDBPyConnection) -> None:
    """An amount that went through a float comes back one micro-credit off."""
    answer = ask(ledger, "SELECT paid_micros, sum(paid_micros) FROM bids GROUP BY ALL ORDER BY 1")
    assert answer.rows == ((0, 0), (16, 16), (9007199254740993, 9007199254740993))
    assert {type(value) for row in answer.rows for value in row} == {int}


def test_an_instant_is_told_in_utc(ledger: duckdb.DuckDBPyConnection) -> None:
    """An instant in the reader's own zone cannot be compared with the log."""
    answer = ask(ledger, "SELECT timestamp, [timestamp] FROM bids WHERE seq = 1")
    instant = "2026-01-02 03:04:05.678901+00"
    assert answer.rows == ((instant, f"['{instant}']"),)


def test_a_question_gets_the_parameters_that_it_names(ledger: duckdb.DuckDBPyConnection) -> None:
    """Questions share their parameters; one that DuckDB does not know of would fail the query."""
    sql = "SELECT seq FROM bids WHERE $market IS NULL OR market = $market ORDER BY seq"
    of_m1 = ask(ledger, sql, market="m1", limit=1)
    of_all = ask(ledger, sql, market=None, limit=1)
    assert (of_m1.rows, of_all.rows) == (((1,), (2,)), ((1,), (2,), (3,)))


@pytest.mark.parametrize(
    ("query", "rows"),
    [
        ("FROM bids SELECT seq ORDER BY seq DESC LIMIT 1", ((3,),)),
        ("SELECT bundle->>'gpu' AS gpu FROM bids WHERE seq = 1;  -- of the first", (("2",),)),
        ("WITH w AS (FROM bids WHERE status = 'won') SELECT count(*) FROM w", ((2,),)),
        ("SELECT 1.50::DECIMAL(9, 2), NULL", ((Decimal("1.50"), None),)),
        ("SELECT name FROM (SHOW TABLES)", (("accounts",), ("bids",))),
        ("SELECT range FROM range(2)", ((0,), (1,))),
    ],
)
def test_a_stranger_may_ask(
    ledger: duckdb.DuckDBPyConnection, query: str, rows: tuple[tuple[object, ...], ...]
) -> None:
    """A guard that stops honest questions is soon switched off."""
    assert ask_stranger(ledger, query).rows == rows


def test_columns_of_one_name_are_told_apart(ledger: duckdb.DuckDBPyConnection) -> None:
    """In JSON the second of two equal names would silently replace the first."""
    assert ask_stranger(ledger, "SELECT 1 AS a, 2 AS a").records() == [{"a": 1, "a_2": 2}]


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
        "FROM bids WHERE sequence = 1",
        "SELEC 1",
    ],
)
def test_what_is_no_question_is_refused(ledger: duckdb.DuckDBPyConnection, query: str) -> None:
    """What slips through here runs with the rights of the ledger's owner."""
    with pytest.raises(SettingsError, match="the query was not run"):
        ask_stranger(ledger, query)


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
def test_a_stranger_calls_nothing_that_reaches_further(
    ledger: duckdb.DuckDBPyConnection, call: str
) -> None:
    """The functions of the extension hand any text to Postgres, as a superuser runs programs."""
    with pytest.raises(SettingsError, match="it may not call"):
        ask_stranger(ledger, call)
    assert not Path("stolen.csv").exists()


def test_a_stranger_sees_no_variable_of_ours(ledger: duckdb.DuckDBPyConnection) -> None:
    """DuckDB would read a Python variable of the caller as a table of that name."""
    secrets = ask_stranger(ledger, "SELECT 1 AS a")
    assert isinstance(secrets, Answer)
    with pytest.raises(SettingsError, match="secrets does not exist"):
        ask_stranger(ledger, "FROM secrets")


def test_a_ledger_that_went_away_is_unreachable(postgres_dsn: str) -> None:
    """An outage is not the fault of whoever asked."""
    with psycopg.connect(postgres_dsn) as owner:
        owner.execute("CREATE SCHEMA walras")
        owner.execute("CREATE TABLE walras.bids (seq bigint)")
    name = conninfo_to_dict(postgres_dsn)["dbname"]
    with open_ledger(postgres_dsn) as ledger:
        ask_stranger(ledger, "FROM bids")
        with psycopg.connect(make_conninfo(postgres_dsn, dbname="postgres")) as owner:
            owner.execute(f"ALTER DATABASE {name} ALLOW_CONNECTIONS false")
            ended = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s"
            owner.execute(ended, [name])
        with pytest.raises(ServerUnreachable):
            ask_stranger(ledger, "FROM bids")


def test_a_reader_without_rights_is_told_so(dsn: str) -> None:
    """Whoever reads with a user of its own meets this first, and it is no crash."""
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute("CREATE ROLE stranger LOGIN")
        try:
            with (
                open_ledger(make_conninfo(dsn, user="stranger")) as ledger,
                pytest.raises(WalrasError, match="permission denied for schema walras"),
            ):
                ask(ledger, "FROM bids")
        finally:
            owner.execute("DROP ROLE stranger")


def test_a_ledger_of_another_version_is_told_as_one(ledger: duckdb.DuckDBPyConnection) -> None:
    """A program that is newer than its ledger asks for views that are not there yet."""
    with pytest.raises(WalrasError, match="not one of this version"):
        ask(ledger, "FROM clearing_prices")


def test_a_balance_beyond_64_bits_is_exact(ledger: duckdb.DuckDBPyConnection) -> None:
    """The treasury of a large market owes more than an int64 holds."""
    answer = ask(ledger, "SELECT balance_micros FROM accounts ORDER BY 1")
    assert answer.rows == ((-12345678901234567890,), (12345678901234567890,))
    assert {type(balance) for (balance,) in answer.rows} == {int}
