"""The role for reading reads the views and nothing else, and nobody writes through a view."""

from collections.abc import Iterator

import psycopg
import pytest
from psycopg import Connection
from psycopg.conninfo import make_conninfo
from psycopg.errors import InsufficientPrivilege, ReadOnlySqlTransaction
from psycopg.sql import SQL, Identifier

from connectors.postgres.migrate import migrate
from connectors.postgres.reader import ROLE, reader_url
from tests.connectors.postgres.asking import rows_of_view
from tests.connectors.postgres.settled import commit_all, settled

EVERY_VIEW = """
    SELECT relname FROM pg_class
    WHERE relnamespace = 'walras'::regnamespace AND relkind IN ('v', 'm') ORDER BY 1
"""


@pytest.fixture
def filled(conn: Connection) -> Connection:
    commit_all(conn, settled(0))
    return conn


@pytest.fixture
def reader(filled: Connection, dsn: str) -> Iterator[Connection]:  # noqa: ARG001 - with rows
    with psycopg.connect(make_conninfo(dsn, user=ROLE), autocommit=True) as opened:
        opened.execute("SET default_transaction_read_only = off")
        yield opened


def views(conn: Connection) -> list[str]:
    return [name for (name,) in conn.execute(EVERY_VIEW)]


def test_no_view_accepts_a_write(filled: Connection) -> None:
    """A view of one table hands a DELETE on to the ledger, and its owner may err too."""
    assert len(views(filled)) >= 12
    for view in views(filled):
        column = filled.execute(
            SQL("SELECT * FROM {} LIMIT 0").format(Identifier("walras", view))
        ).description
        assert column is not None
        table, first = Identifier("walras", view), Identifier(column[0].name)
        writes = [SQL("INSERT INTO {} ({}) VALUES (DEFAULT)").format(table, first)]
        if rows_of_view(filled, view):
            writes += [
                SQL("DELETE FROM {}").format(table),
                SQL("UPDATE {0} SET {1} = {1}").format(table, first),
            ]
        for write in writes:
            with pytest.raises(InsufficientPrivilege, match="read-only"):
                filled.execute(write)


def test_the_role_reads_every_view(reader: Connection, filled: Connection) -> None:
    """A reader that sees less than there is draws wrong conclusions."""
    seen = {view: len(rows_of_view(reader, view)) for view in views(filled)}
    assert {view: len(rows_of_view(filled, view)) for view in views(filled)} == seen
    assert sum(seen.values()) > 100


@pytest.mark.parametrize(
    "statement",
    [
        "DELETE FROM walras.bids",
        "TRUNCATE ledger.bid",
        "SELECT * FROM ledger.bid",
        "SELECT * FROM ledger.shard",
        "SELECT * FROM yoyo._yoyo_migration",
        "CREATE TABLE walras.mine (a int)",
        "CREATE SCHEMA mine",
        "CREATE VIEW walras.mine AS SELECT 1",
        "DROP VIEW walras.bids",
        "ALTER TABLE walras.bids DISABLE TRIGGER read_only",
        "COPY walras.bids TO PROGRAM 'cat'",
        "SELECT pg_read_file('/etc/hostname')",
        "SELECT * FROM pg_authid",
        "CREATE ROLE another",
        "SET ROLE postgres",
    ],
)
def test_the_role_may_do_nothing_else(reader: Connection, statement: str) -> None:
    """Its address is printed and handed around."""
    with pytest.raises((InsufficientPrivilege, psycopg.errors.WrongObjectType)):
        reader.execute(statement)


def test_its_transactions_only_read(filled: Connection, dsn: str) -> None:
    """A second lock on the door."""
    with (
        psycopg.connect(make_conninfo(dsn, user=ROLE), autocommit=True) as reader,
        pytest.raises(ReadOnlySqlTransaction),
    ):
        reader.execute("CREATE TEMP TABLE mine (a int)")
    assert filled.closed is False


def test_a_user_who_may_not_make_roles_is_told(
    postgres: str, ledger: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A start must not fail for a role that is only for reading, nor keep quiet about it."""
    with psycopg.connect(postgres, autocommit=True) as admin:
        migrate(ledger)
        admin.execute("CREATE ROLE plain LOGIN")
        admin.execute("CREATE DATABASE plain OWNER plain")
        of_plain = make_conninfo(postgres, dbname="plain", user="plain")
        admin.execute(f"ALTER ROLE {ROLE} RENAME TO elsewhere")
        try:
            assert migrate(of_plain)
        finally:
            admin.execute(f"ALTER ROLE elsewhere RENAME TO {ROLE}")
        assert f"CREATE ROLE {ROLE} LOGIN" in caplog.text
        assert [] == migrate(of_plain)
    with psycopg.connect(make_conninfo(of_plain, user=ROLE)) as reader:
        assert [] == rows_of_view(reader, "bids")


def test_its_address_is_a_url() -> None:
    """What `up` prints must work as it stands, whatever the folder is called."""
    dsn = make_conninfo(host="/srv/with a space/é", dbname="walras", user="postgres")
    assert f"postgresql://{ROLE}@/walras?host=%2Fsrv%2Fwith%20a%20space%2F%C3%A9" == reader_url(dsn)
