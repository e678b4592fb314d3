"""A claim gets the shard's row: from who is at work by waiting, from who is silent by force."""

import time
from collections.abc import Callable
from threading import Thread

import pytest
from psycopg import Connection, OperationalError

from connectors.postgres.connection import connect
from tests.connectors.postgres.asking import someone_waits_for_a_lock, wait_until
from tests.connectors.postgres.windows import claim_log

LOCK = "SELECT FROM ledger.shard WHERE shard = 0 FOR UPDATE"
LONGER_S = 4
"""Than a claim waits before it looks who is in its way."""


def test_a_writer_that_stands_still_in_a_copy_is_ended(conn: Connection, dsn: str) -> None:
    """No time limit of Postgres ends it: a sleeping process would keep its shard for ever."""
    claim_log(conn)
    with connect(dsn) as sleeping, pytest.raises(OperationalError):
        copy_while(sleeping, lambda: claim_log(conn))
    assert 3 == claim_log(conn).token


def copy_while(writer: Connection, happens: Callable[[], object]) -> None:
    """Lock the shard's row and begin a COPY, in the middle of which something else happens."""
    with writer.transaction(), writer.cursor() as cursor:
        writer.execute(LOCK)
        with cursor.copy("COPY ledger.price FROM STDIN"):
            happens()


def test_a_writer_that_is_at_work_is_waited_for(conn: Connection, dsn: str) -> None:
    """Its window would be written again by its successor, for nothing."""
    claimed = [claim_log(conn).token]

    def claim() -> None:
        with connect(dsn) as successor:
            claimed.append(claim_log(successor).token)

    claiming = Thread(target=claim)
    with conn.transaction():
        conn.execute(LOCK)
        claiming.start()
        wait_until(lambda: someone_waits_for_a_lock(dsn))
        until_s = time.monotonic() + LONGER_S
        while time.monotonic() < until_s:
            conn.execute("SELECT pg_sleep(0.2)")
    claiming.join()
    assert [1, 2] == claimed
