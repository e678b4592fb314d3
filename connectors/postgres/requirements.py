"""What a database must be to hold a ledger, looked at before anything is written to it.

Promise: a database with another encoding, or behind a pooler that shares sessions, is refused with
the reason; neither would fail before the first odd name or the fifth window.
"""

from typing import Final

from psycopg import Connection
from psycopg.errors import ReadOnlySqlTransaction

from connectors.postgres.connection import connect, translate_errors, unreachable
from state.errors import SettingsError

ENCODING: Final = "UTF8"
ROUNDS: Final = 5
_SESSION: Final = "SELECT pg_backend_pid()"


def check_database(dsn: str) -> None:
    """Refuse a database that cannot hold a ledger."""
    with connect(dsn) as conn, translate_errors():
        _check_encoding(conn)
        _check_writes(conn)
        # A pooler makes up the number of the session that it tells a client at the start.
        if conn.info.backend_pid != _session(conn):
            with connect(dsn) as other:
                _check_sessions(conn, other)


def _check_encoding(conn: Connection) -> None:
    ((encoding,),) = conn.execute("SHOW server_encoding").fetchall()
    if encoding != ENCODING:
        raise SettingsError(
            f"the database has the encoding {encoding}",
            detail=f"a ledger holds text with any character: it needs {ENCODING}",
            hint="Make one with CREATE DATABASE walras ENCODING 'UTF8' TEMPLATE template0",
        )


def _check_writes(conn: Connection) -> None:
    ((read_only,),) = conn.execute("SHOW transaction_read_only").fetchall()
    if read_only == "on":
        raise unreachable(ReadOnlySqlTransaction("every session is a read-only transaction"))


def _check_sessions(conn: Connection, other: Connection) -> None:
    """Refuse a pooler that gives one session of the server to two connections in turn."""
    first, second = set(), set()
    for _ in range(ROUNDS):
        first.add(_session(conn))
        second.add(_session(other))
    if len(first) > 1 or len(second) > 1 or first & second:
        raise SettingsError(
            "the pooler in front of Postgres shares sessions between its clients",
            detail="a ledger needs locks, prepared statements and limits of a session of its own",
            hint="Set pool_mode = session for this database in PgBouncer, or connect past it",
        )


def _session(conn: Connection) -> int:
    """The number of the server's process behind a connection."""
    ((pid,),) = conn.execute(_SESSION).fetchall()
    return int(pid)
