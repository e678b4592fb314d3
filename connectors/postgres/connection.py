"""Open connections to Postgres, and report a server that does not answer.

Promise: a connection from here commits each statement unless a transaction is open, has the
application name `walras`, and every wait has a limit: for a server, for a lock, for a lost peer.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any, Final

import psycopg
from psycopg import Connection, IsolationLevel, OperationalError, ProgrammingError
from psycopg.conninfo import conninfo_to_dict
from psycopg.errors import LockNotAvailable

from state.errors import ServerUnreachable, SettingsError

_DEFAULTS: Final = {
    "application_name": "walras",
    "connect_timeout": "5",
    "tcp_user_timeout": "30000",
}
# A process that is paused during a commit must not lock its shard for ever.
_LIMITS: Final = "-c lock_timeout=30s -c idle_in_transaction_session_timeout=60s"


def connection_parameters(dsn: str) -> dict[str, Any]:
    """The parameters in `dsn`, with our defaults for those that it leaves out."""
    try:
        given = conninfo_to_dict(dsn)
    except ProgrammingError:
        # Without the cause, which quotes the text and with it perhaps a password.
        raise SettingsError(
            "the address of Postgres is invalid",
            detail="it is neither a postgresql:// URI nor a list of key=value pairs",
            hint="Write it like postgresql://user:password@host:5432/database",
        ) from None
    options = f"{_LIMITS} {given.get('options') or ''}".strip()
    return _DEFAULTS | given | {"options": options}


def connect(dsn: str) -> Connection:
    """A new connection in autocommit mode; `ServerUnreachable` when the server does not answer."""
    with translate_errors():
        conn = psycopg.connect(**connection_parameters(dsn), autocommit=True)
    # Writers take turns by the lock on the shard's row; at a stricter level the one that waited for
    # it would fail.
    conn.isolation_level = IsolationLevel.READ_COMMITTED
    return conn


@contextmanager
def translate_errors() -> Iterator[None]:
    """Raise `ServerUnreachable` for a lost or silent server."""
    try:
        yield
    except OperationalError as error:
        raise unreachable(error) from error


def unreachable(error: psycopg.Error) -> ServerUnreachable:
    """An error of psycopg as a failure in three parts."""
    detail = " ".join(str(error).split()) or type(error).__name__
    if isinstance(error, LockNotAvailable):
        return ServerUnreachable(
            "Postgres did not give a lock in time",
            detail=detail,
            hint="Another walras process holds it in an open transaction: find that session in "
            "pg_stat_activity and end it",
        )
    return ServerUnreachable(
        "Postgres does not answer",
        detail=detail,
        hint="Start it, or correct the address, user or password in WALRAS_POSTGRES_DSN",
    )
