"""Queries that tests share, and waiting until a condition holds."""

import time
from collections.abc import Callable
from typing import Any, Final

import psycopg
from psycopg import Connection
from psycopg.rows import dict_row
from psycopg.sql import SQL, Identifier

OF_ROWS: Final = (
    "bids",
    "allocations",
    "transactions",
    "commands",
    "accounts",
    "windows",
    "prices",
    "market_windows",
    "dead_letters",
)
OF_METERS: Final = ("lots", "allowances", "open_holds", "usage", "meters")
VIEWS: Final = (*OF_ROWS, "markets", "resources", "paradoxical_rejections", *OF_METERS)
DEADLINE_S: Final = 20.0


def rows_of_view(conn: Connection, view: str) -> list[dict[str, Any]]:
    """All rows of a view of schema walras."""
    with conn.cursor(row_factory=dict_row) as cursor:
        query = SQL("SELECT * FROM {}").format(Identifier("walras", view))
        return cursor.execute(query).fetchall()


def counts(conn: Connection) -> dict[str, int]:
    """How many rows each view shows."""
    return {view: len(rows_of_view(conn, view)) for view in OF_ROWS}


def value(conn: Connection, query: str, *parameters: object) -> Any:
    """The one value that a query answers."""
    row = conn.execute(query.encode(), parameters).fetchone()
    assert row is not None
    return row[0]


def empty_the_ledger(conn: Connection) -> None:
    """Delete all rows of all tables."""
    tables = conn.execute("SELECT tablename FROM pg_tables WHERE schemaname = 'ledger'").fetchall()
    listed = SQL(", ").join(Identifier("ledger", table) for (table,) in tables)
    conn.execute(SQL("TRUNCATE {}").format(listed))


def wait_until(holds: Callable[[], bool]) -> None:
    """Return as soon as the condition holds; fail when it never does."""
    deadline = time.monotonic() + DEADLINE_S
    while not holds():
        assert time.monotonic() < deadline, "the condition never held"
        time.sleep(0.01)


def end_sessions(dsn: str, *, running: str) -> int:
    """End the sessions whose current statement begins like that; how many there were."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        ended = conn.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
            " WHERE datname = current_database() AND pid <> pg_backend_pid() AND query LIKE %s",
            [running + "%"],
        )
        return ended.rowcount


def someone_waits_for_a_lock(dsn: str) -> bool:
    """Whether a session of the database waits for a lock."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        waiting = value(
            conn,
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND wait_event_type = 'Lock'",
        )
    return bool(waiting)
