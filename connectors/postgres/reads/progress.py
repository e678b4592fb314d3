"""The progress of each shard in the ledger, for health checks.

Promise: read only, by index, as fast at any size of the ledger; a database without a ledger has no
shards.
"""

from typing import Final, NamedTuple

from psycopg import Connection
from psycopg.rows import args_row, class_row

from connectors.postgres.statements import read_statement

_HAS_LEDGER: Final = "SELECT to_regclass('ledger.shard') IS NOT NULL"
_PROGRESS: Final = read_statement("shard_progress")
_ACTIVITY: Final = read_statement("activity")
_LAST_WINDOW: Final = """
    SELECT coalesce(max(last), 0) FROM ledger.listing AS market, LATERAL (
        SELECT max(window_id) AS last FROM ledger.market_window WHERE market = market.market
    ) AS latest
"""


class ShardProgress(NamedTuple):
    """How far a shard has read, and when its last window with a row was committed."""

    shard: int
    next_seq: int
    """Next to read."""
    stream_time_ns: int
    """Of the last message that was applied; 0 before the first."""
    committed_ago_s: float | None


def read_progress(conn: Connection) -> dict[int, ShardProgress]:
    """Every shard that was claimed at least once."""
    if conn.execute(_HAS_LEDGER).fetchone() != (True,):
        return {}
    with conn.cursor(row_factory=class_row(ShardProgress)) as cursor:
        return {progress.shard: progress for progress in cursor.execute(_PROGRESS)}


class Activity(NamedTuple):
    """What all markets did in some windows; only windows with bids or commands have rows."""

    last_window: int
    windows: int
    bids: int
    won: int


def read_activity(conn: Connection, *, after_window: int) -> Activity:
    """What happened after a window."""
    with conn.cursor(row_factory=args_row(Activity)) as cursor:
        found = cursor.execute(_ACTIVITY, {"after": after_window}).fetchone()
    assert found is not None, "an aggregate has one row"
    return found


def read_last_window(conn: Connection) -> int:
    """The last window of any market; 0 before the first."""
    row = conn.execute(_LAST_WINDOW).fetchone()
    assert row is not None, "an aggregate has one row"
    return int(row[0])
