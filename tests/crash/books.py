"""What a ledger holds, in values that compare by `==`, and databases to hold it."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import count
from typing import Final

import psycopg
from psycopg import Connection
from psycopg.conninfo import make_conninfo
from psycopg.sql import SQL, Identifier

TABLES: Final = (
    "account",
    "bid",
    "bid_bundle",
    "command",
    "dead_letter",
    "listed_resource",
    "listing",
    "market_window",
    "price",
    "quote",
    "resource_name",
)
"""All that a log decides, but for the windows, which have the times of their commits."""

_numbers = count()

_WINDOWS: Final = """
    SELECT window_id, first_seq, next_seq, encode(digest, 'hex') FROM ledger."window"
    ORDER BY shard, window_id
"""
_ACCOUNTS: Final = "SELECT market, agent_id, balance_micros FROM walras.accounts ORDER BY 1, 2"
_SUM: Final = """
    SELECT count(*), coalesce(sum(hashtextextended(found::text, 0)::numeric), 0)::text
    FROM ledger.{table} AS found
"""


@dataclass(frozen=True, slots=True)
class Books:
    """A ledger: digest by digest, account by account, and a sum over all rows of each table."""

    windows: list[tuple[object, ...]]
    accounts: list[tuple[object, ...]]
    rows: dict[str, tuple[object, ...]]
    """Table to the number of its rows and a sum over what stands in them."""


def books(dsn: str) -> Books:
    with psycopg.connect(dsn, autocommit=True) as ledger:
        return Books(
            windows=ledger.execute(_WINDOWS).fetchall(),
            accounts=ledger.execute(_ACCOUNTS).fetchall(),
            rows={
                table: summed
                for table in TABLES
                for summed in ledger.execute(_SUM.format(table=table).encode())
            },
        )


def claims_of(ledger: Connection) -> int:
    """How often the shard was claimed."""
    row = ledger.execute("SELECT token FROM ledger.shard WHERE shard = 0").fetchone()
    return 0 if row is None else int(row[0])


def read_up_to(ledger: Connection) -> int:
    """The sequence that is next to read."""
    row = ledger.execute("SELECT next_seq FROM ledger.shard WHERE shard = 0").fetchone()
    return 1 if row is None else int(row[0])


def last_active(ledger: Connection) -> int:
    """The last window in which a market was active; -1 before the first."""
    row = ledger.execute("SELECT coalesce(max(window_id), -1) FROM ledger.market_window").fetchone()
    assert row is not None
    return int(row[0])


@contextmanager
def database(dsn: str, *, template: str = "template0") -> Iterator[str]:
    """A database for a block; the address of it."""
    name = f"crash_{next(_numbers)}"
    create = SQL("CREATE DATABASE {} TEMPLATE {}").format(Identifier(name), Identifier(template))
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute(create)
    yield make_conninfo(dsn, dbname=name)
    drop(dsn, name)


def drop(dsn: str, name: str) -> None:
    """Drop a database and end its sessions."""
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))
