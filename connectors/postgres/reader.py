"""The role that may read the ledger and nothing else, and views that nobody can write to.

Promise: `walras_reader` sees the views of schema `walras`; the tables behind them, and what else is
in the database, it may not read. It is made at the start, and a start whose user may not make roles
goes on without it and says so.
"""

import logging
from typing import Final
from urllib.parse import quote

from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict
from psycopg.errors import DuplicateObject, InsufficientPrivilege, UniqueViolation
from psycopg.sql import SQL, Identifier

from connectors.postgres.statements import read_statement

ROLE: Final = "walras_reader"
_PROTECT: Final = read_statement("protect_views")
_IS_THERE: Final = "SELECT 1 FROM pg_roles WHERE rolname = %s"
_MAKE: Final = (
    "CREATE ROLE {} LOGIN CONNECTION LIMIT 20",
    "ALTER ROLE {} SET default_transaction_read_only = on",
)
_GRANT: Final = (
    "GRANT USAGE ON SCHEMA walras TO {}",
    "GRANT SELECT ON ALL TABLES IN SCHEMA walras TO {}",
)

log = logging.getLogger(__name__)


def open_for_reading(conn: Connection) -> None:
    """Close the views to writes, and open them to the role; twice is the same as once."""
    if conn.execute("SELECT to_regnamespace('walras') IS NOT NULL").fetchone() != (True,):
        return
    conn.execute(_PROTECT)
    try:
        if conn.execute(_IS_THERE, [ROLE]).fetchone() is None:
            _execute(conn, _MAKE)
    except InsufficientPrivilege:
        log.warning(
            "there is no role %s for reading: the user %s may not make roles; "
            "an administrator can: CREATE ROLE %s LOGIN; the next start gives it its rights",
            *(ROLE, conn.info.user, ROLE),
        )
        return
    except (DuplicateObject, UniqueViolation):
        pass  # another deployment of this server made it at the same moment
    _execute(conn, _GRANT)


def reader_url(dsn: str) -> str:
    """The address of the role, for a server on a socket that asks for no password."""
    parts = conninfo_to_dict(dsn)
    host = quote(str(parts["host"]), safe="")
    return f"postgresql://{ROLE}@/{parts['dbname']}?host={host}"


def _execute(conn: Connection, statements: tuple[str, ...]) -> None:
    for statement in statements:
        conn.execute(SQL(statement).format(Identifier(ROLE)))
