"""Open connections to Postgres, and say plainly when it does not answer.

Promise: a connection from here commits each statement unless a transaction is open, calls itself
`walras`, and waits without limit for nothing: neither a server, nor a lock, nor a lost peer.
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
# A process that was paused in the middle of a commit must not keep its shard locked for ever.
_LIMITS: Final = "-c lock_timeout=30s -c idle_in_transaction_session_timeout=60s"


def connection_parameters(dsn: str) -> dict[str, Any]:
    """What `dsn` says, and the house's limits where it says nothing."""
    try:
        told = conninfo_to_dict(dsn)
    except ProgrammingError:
        # The cause is left out on purpose: it quotes the text, which may hold a password.
        raise SettingsError(
            "the address of Postgres cannot be read",
            detail="it is neither a postgresql:// URI nor a list of key=value pairs",
            hint="Write it like postgresql://user:password@host:5432/database",
        ) from None
    options = f"{_LIMITS} {told.get('options') or ''}".strip()
    return _DEFAULTS | told | {"options": options}


def connect(dsn: str) -> Connection:
    """A new connection in autocommit mode; `ServerUnreachable` when there is none to have."""
    with reaching():
        conn = psycopg.connect(**connection_parameters(dsn), autocommit=True)
    # A lock on the shard's row orders the writers; a stricter level would refuse who waited for it.
    conn.isolation_level = IsolationLevel.READ_COMMITTED
    return conn


@contextmanager
def reaching() -> Iterator[None]:
    """Tell a lost or silent server as `ServerUnreachable`."""
    try:
        yield
    except OperationalError as lost:
        raise unreachable(lost) from lost


def unreachable(lost: psycopg.Error) -> ServerUnreachable:
    """What psycopg met, in three parts."""
    detail = " ".join(str(lost).split()) or type(lost).__name__
    if isinstance(lost, LockNotAvailable):
        return ServerUnreachable(
            "Postgres did not give a lock in time",
            detail=detail,
            hint="Another walras process stands in the middle of its work: look for it in "
            "pg_stat_activity and end it",
        )
    return ServerUnreachable(
        "Postgres does not answer",
        detail=detail,
        hint="Start it, or correct the address, user or password in WALRAS_POSTGRES_DSN",
    )
