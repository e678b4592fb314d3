"""Where each shard stands in the ledger, for whoever asks how the flow is doing.

Promise: read only, by index, the same at any size of the ledger; a database without a ledger has no
shards.
"""

from typing import Final, NamedTuple

from psycopg import Connection
from psycopg.rows import class_row

from connectors.postgres.statements import read_statement

_HAS_LEDGER: Final = "SELECT to_regclass('ledger.shard') IS NOT NULL"
_STANDINGS: Final = read_statement("shard_progress")


class Standing(NamedTuple):
    """One shard: how far it has read, and when its last window with a row was committed."""

    shard: int
    next_seq: int
    """The next to read."""
    stream_time_ns: int
    """Of the last message that was applied; 0 before the first."""
    committed_ago_s: float | None


def standings(conn: Connection) -> dict[int, Standing]:
    """Every shard that was claimed at least once."""
    if conn.execute(_HAS_LEDGER).fetchone() != (True,):
        return {}
    with conn.cursor(row_factory=class_row(Standing)) as cursor:
        return {standing.shard: standing for standing in cursor.execute(_STANDINGS)}
