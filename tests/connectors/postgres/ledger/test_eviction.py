"""A claim gets the shard's row: it waits for an active holder, and evicts an idle one."""

import time
from collections.abc import Callable
from threading import Thread
from typing import Final

import pytest
from psycopg import Connection, OperationalError

from connectors.postgres.connection import connect
from tests.connectors.postgres.asking import someone_waits_for_a_lock, wait_until
from tests.connectors.postgres.windows import claim_log

LOCK: Final = "SELECT FROM ledger.shard WHERE shard = 0 FOR UPDATE"
BUSY_S: Final = 4
"""Longer than a claim waits before it looks for an idle holder."""


def test_a_writer_that_is_idle_in_a_copy_is_evicted(conn: Connection, dsn: str) -> None:
    """No time limit of Postgres ends it: a paused process would keep its shard for ever."""
    claim_log(conn)
    with connect(dsn) as idle, pytest.raises(OperationalError):
        copy_while(idle, lambda: claim_log(conn))
    assert 3 == claim_log(conn).token


def copy_while(writer: Connection, happens: Callable[[], object]) -> None:
    """Lock the shard's row and begin a COPY, in the middle of which something else happens."""
    with writer.transaction(), writer.cursor() as cursor:
        writer.execute(LOCK)
        with cursor.copy("COPY ledger.price FROM STDIN"):
            happens()


def test_a_writer_that_is_active_is_waited_for(conn: Connection, dsn: str) -> None:
    """Evicted, its window would have to be written again by its successor."""
    claimed = [claim_log(conn).token]

    def claim() -> None:
        with connect(dsn) as successor:
            claimed.append(claim_log(successor).token)

    claiming = Thread(target=claim)
    with conn.transaction():
        conn.execute(LOCK)
        claiming.start()
        wait_until(lambda: someone_waits_for_a_lock(dsn))
        until_s = time.monotonic() + BUSY_S
        while time.monotonic() < until_s:
            conn.execute("SELECT pg_sleep(0.2)")
    claiming.join()
    assert [1, 2] == claimed
