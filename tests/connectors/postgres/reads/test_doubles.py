"""Bids have no key: what is there twice is found by counting."""

from psycopg import Connection

from connectors.postgres.reads.doubles import Doubles, count_doubles
from tests.connectors.postgres.settled import commit_all
from tests.connectors.postgres.windows import busy_window, window


def test_no_bid_is_there_twice(conn: Connection) -> None:
    """A check that reports honest ledgers is soon ignored."""
    assert Doubles(bids=0, doubles=0) == count_doubles(conn)
    first = busy_window()
    commit_all(conn, [first, window(after=first)])
    assert Doubles(bids=2, doubles=0) == count_doubles(conn)


def test_a_bid_that_is_there_twice_is_counted(conn: Connection) -> None:
    """A backup restored on top of a ledger pays everyone twice, and nothing refuses it."""
    commit_all(conn, [busy_window()])
    conn.execute("INSERT INTO ledger.bid SELECT * FROM ledger.bid WHERE seq = 4")
    assert Doubles(bids=3, doubles=1) == count_doubles(conn)
