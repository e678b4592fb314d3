"""The progress of each shard in the ledger, for health checks.

Promise: read only, by index, as fast at any size of the ledger; a database without a ledger has no
shards.
"""

from typing import Final, NamedTuple

from psycopg import Connection
from psycopg.rows import class_row

from connectors.postgres.statements import read_statement

_HAS_LEDGER: Final = "SELECT to_regclass('ledger.shard') IS NOT NULL"
_PROGRESS: Final = read_statement("shard_progress")


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
