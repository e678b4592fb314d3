"""Open connections to Postgres, and report a server that does not answer.

Promise: a connection from here commits each statement unless a transaction is open, has the
application name `walras` and UTF-8, whatever the database, the role or the environment say, and
every wait has a limit: for a server, for a lock, for a lost peer. It works through a pooler that
gives each client a session of its own.
"""

import re
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
# A message may hold any character, so this is not the operator's choice.
_FIXED: Final = {"client_encoding": "UTF8"}
# The first two: a process that is paused during a commit must not lock its shard for ever. The
# others are limits for people and web pages, which would cut off a window at each attempt.
_LIMITS: Final = {
    "lock_timeout": "30s",
    "idle_in_transaction_session_timeout": "60s",
    "statement_timeout": "0",
    "idle_session_timeout": "0",
}
_SET: Final = """
    SELECT set_config(name, value, false)
    FROM unnest(%s::text[], %s::text[]) AS limits (name, value)
"""
_URI: Final = re.compile(r"postgres(?:ql)?://(.*?)(?:\?\w+=.*)?", re.DOTALL)

_REASONS: Final = (
    (
        "too many (clients|connections)|connection slots|no more connections|query_wait_timeout",
        "Postgres has no free connection",
        "Raise max_connections, or the connection limit of the role, the database or the pool",
    ),
    (
        "authentication failed|no password supplied|pg_hba.conf|role .* not exist|no such user",
        "Postgres refused the login",
        "Correct the user and the password in WALRAS_POSTGRES_DSN, or pg_hba.conf on the server",
    ),
    (
        "database .* does not exist|no such database",
        "Postgres has no such database",
        "Create it with the encoding UTF8, or correct the name in WALRAS_POSTGRES_DSN",
    ),
    (
        "unsupported startup parameter",
        "the pooler in front of Postgres refused the connection",
        "Leave `options` out of WALRAS_POSTGRES_DSN: set them for the role with ALTER ROLE",
    ),
    (
        "read-only transaction|recovery is in progress",
        "Postgres takes no writes",
        "Name the primary, not a standby; check default_transaction_read_only of role and database",
    ),
)
"""What a message of the server or of a pooler means: pattern, what happened, what to do."""


def connection_parameters(dsn: str) -> dict[str, Any]:
    """The parameters in `dsn`, with our defaults for those that it leaves out."""
    _refuse_ambiguous(dsn)
    try:
        given = conninfo_to_dict(dsn)
    except ProgrammingError:
        # Without the cause, which quotes the text and with it perhaps a password.
        raise _invalid(
            "it is neither a postgresql:// URI nor a list of key=value pairs",
            "Write it like postgresql://user:password@host:5432/database",
        ) from None
    return _DEFAULTS | given | _FIXED


def connect(dsn: str) -> Connection:
    """A new connection in autocommit mode; `ServerUnreachable` when the server does not answer."""
    parameters = connection_parameters(dsn)
    with translate_errors():
        conn = psycopg.connect(**parameters, autocommit=True)
        set_limits(conn, parameters)
    # Writers take turns by the lock on the shard's row; at a stricter level the one that waited for
    # it would fail.
    conn.isolation_level = IsolationLevel.READ_COMMITTED
    return conn


def set_limits(conn: Connection, parameters: dict[str, Any], **more: str) -> None:
    """Set the limits of a session but those that the `options` of its address set.

    Not by `options` of our own, which a pooler does not take.
    """
    given = str(parameters.get("options") or "").replace("-", "_")
    limits = {name: value for name, value in (_LIMITS | more).items() if f"{name}=" not in given}
    conn.execute(_SET, [list(limits), list(limits.values())])


def _refuse_ambiguous(dsn: str) -> None:
    """Refuse a URI in which a part of the password would be taken for the host, and shown."""
    uri = _URI.fullmatch(dsn)
    if uri is None:
        return
    login, has_login, _ = uri[1].rpartition("@")
    if has_login and set(login) & set("@/"):
        raise _invalid(
            "its user or password has one of the characters @ and /",
            "Write them percent-encoded: @ as %40, / as %2F, and % as %25",
        )


def _invalid(detail: str, hint: str) -> SettingsError:
    return SettingsError("the address of Postgres is invalid", detail=detail, hint=hint)


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
    for pattern, what, hint in _REASONS:
        if re.search(pattern, detail):
            return ServerUnreachable(what, detail=detail, hint=hint)
    return ServerUnreachable(
        "Postgres does not answer",
        detail=detail,
        hint="Start it, or correct the address, user or password in WALRAS_POSTGRES_DSN",
    )
