"""Take a shard's row from a writer that stands still in the middle of a commit.

A process that was paused while it copied rows keeps its lock for as long as it is paused: no time
limit of Postgres ends a COPY that waits for its client. Promise: a writer that is at work gets time
to finish; one that says nothing meanwhile loses its session, and a commit that nobody has seen.
"""

from collections.abc import Callable
from typing import Final, TypeVar

from psycopg import Connection
from psycopg.errors import LockNotAvailable

_LET_FINISH: Final = "SET LOCAL lock_timeout = '3s'"
# Who locks or has changed a row stands in the row itself; every transaction locks its own number.
_END_SILENT_HOLDER: Final = """
    SELECT pg_terminate_backend(pid)
    FROM ledger.shard
    JOIN pg_locks AS held ON held.transactionid = shard.xmax AND held.granted
    JOIN pg_stat_activity AS holder USING (pid)
    WHERE shard = %s AND wait_event = 'ClientRead' AND state_change < now() - interval '3 s'
"""

T = TypeVar("T")


def evicting(conn: Connection, shard: int, work: Callable[[], T]) -> T:
    """Do work that locks the shard's row, in one transaction."""
    try:
        with conn.transaction():
            conn.execute(_LET_FINISH)
            return work()
    except LockNotAvailable:
        conn.execute(_END_SILENT_HOLDER, [shard])
    with conn.transaction():
        return work()
