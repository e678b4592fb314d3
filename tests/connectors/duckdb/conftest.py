"""A ledger on a real Postgres that is small enough to check by hand."""

from collections.abc import Iterator
from typing import Final
from urllib.parse import urlsplit, urlunsplit

import duckdb
import psycopg
import pytest

from connectors.duckdb.ledger import open_ledger
from connectors.embedded.servers import Servers

LEDGER: Final = """
    CREATE SCHEMA walras;
    CREATE TABLE walras.bids (
        market text COLLATE "C", seq bigint, status text, paid_micros bigint,
        bundle jsonb, timestamp timestamptz
    );
    INSERT INTO walras.bids VALUES
        ('m1', 1, 'won', 9007199254740993, '{"gpu": 2}', '2026-01-02 03:04:05.678901+00'),
        ('m1', 2, 'lost', 0, '{"gpu": 1}', '2026-01-02 03:04:06+00'),
        ('m2', 3, 'won', 16, '{"cpu": 4}', '2026-01-02 03:04:07+00');
    CREATE TABLE walras.accounts (agent_id text, balance_micros numeric(38, 0));
    INSERT INTO walras.accounts VALUES
        ('a1', 12345678901234567890), ('treasury', -12345678901234567890);
"""


@pytest.fixture(scope="session")
def dsn(servers: Servers) -> Iterator[str]:
    """A database with the ledger that all tests here read, as a URI with the folder of a socket."""
    with psycopg.connect(servers.postgres_dsn, autocommit=True) as owner:
        owner.execute("CREATE DATABASE questions")
        named = urlunsplit(urlsplit(servers.postgres_dsn)._replace(path="/questions"))
        with psycopg.connect(named, autocommit=True) as connection:
            connection.execute(LEDGER)
        yield named
        owner.execute("DROP DATABASE questions WITH (FORCE)")


@pytest.fixture(scope="session")
def ledger(dsn: str) -> Iterator[duckdb.DuckDBPyConnection]:
    with open_ledger(dsn) as connection:
        yield connection
