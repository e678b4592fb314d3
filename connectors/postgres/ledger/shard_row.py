"""The row of a shard: which log it follows, how far it has read, and who may write it.

Promise: a transaction that holds the row's lock sees all earlier commits of the shard, and excludes
every other writer of the shard until it ends. A process that was paused during a COPY keeps its
lock for as long as it is paused, since no time limit of Postgres ends a COPY that waits for its
client. So a successor waits for a writer that is active, and ends the session of one that is idle:
its commit is rolled back.
"""

from collections.abc import Callable
from typing import Final, NamedTuple, TypeVar

from psycopg import Connection
from psycopg.errors import LockNotAvailable
from psycopg.rows import class_row

from connectors.postgres.connection import translate_errors
from connectors.postgres.statements import read_statement
from state.errors import LedgerDiverged, LogReplaced, SettingsError, ShardReplaced
from state.shard import StreamIdentity, Token

_ADD: Final = """
    INSERT INTO ledger.shard (shard, stream, stream_created_ns, window_ms) VALUES (%s, %s, %s, %s)
    ON CONFLICT DO NOTHING
"""
_LOCK: Final = """
    SELECT shard, token, next_seq, stream_time_ns, stream, stream_created_ns, window_ms, digest
    FROM ledger.shard WHERE shard = %s FOR UPDATE
"""
_MESSAGES_READ: Final = "SELECT coalesce(sum(next_seq - 1), 0)::bigint FROM ledger.shard"
_WINDOWS: Final = "SELECT shard, window_ms FROM ledger.shard ORDER BY shard"
_REPLACE_WRITER: Final = "UPDATE ledger.shard SET token = token + 1 WHERE shard = %s"
_WAIT_FOR_HOLDER: Final = "SET LOCAL lock_timeout = '3s'"
_EVICT_IDLE_HOLDER: Final = read_statement("evict_idle_holder")

T = TypeVar("T")


class ShardRow(NamedTuple):
    """A shard as the ledger holds it."""

    shard: int
    token: int
    next_seq: int
    """Next to read."""
    stream_time_ns: int
    stream: str
    stream_created_ns: int
    window_ms: int
    digest: bytes


def lock_shard(conn: Connection, shard: int) -> ShardRow:
    """Lock a shard that was claimed before, and read its row."""
    with conn.cursor(row_factory=class_row(ShardRow)) as cursor:
        row = cursor.execute(_LOCK, [shard]).fetchone()
    if row is None:
        raise LedgerDiverged(
            f"shard {shard} is not in the ledger",
            detail="it was there when the shard was claimed",
            hint="The ledger was emptied or is being restored: start again when it is complete",
        )
    return row


def claim_shard(
    conn: Connection, shard: int, *, identity: StreamIdentity, window_ms: int
) -> ShardRow:
    """Lock a shard, new or known, and take its next fencing token: older ones are then refused."""
    conn.execute(_ADD, [shard, identity.name, identity.created_ns, window_ms])
    row = lock_shard(conn, shard)
    _require_same_log(row, identity)
    _require_same_window(row.shard, row.window_ms, window_ms)
    conn.execute(_REPLACE_WRITER, [shard])
    return row._replace(token=row.token + 1)


def read_messages(conn: Connection) -> int:
    """How many messages of all logs are applied in the ledger."""
    with translate_errors():
        row = conn.execute(_MESSAGES_READ).fetchone()
    assert row is not None
    return int(row[0])


def require_window_length(conn: Connection, window_ms: int) -> None:
    """Refuse another length of windows than the ledger's; a shard that is new has any."""
    with translate_errors():
        for shard, length_ms in conn.execute(_WINDOWS):
            _require_same_window(shard, length_ms, window_ms)


def require_own(row: ShardRow, token: Token) -> None:
    """Refuse a writer that a successor has replaced."""
    if row.token != token:
        raise ShardReplaced(
            f"another process took over shard {row.shard}",
            detail=f"the fencing token in the ledger is {row.token}, ours is {token}",
            hint="This one stops. If no other was meant to run, end it and start this one again",
        )


def _require_same_log(row: ShardRow, identity: StreamIdentity) -> None:
    ledgers = StreamIdentity(row.stream, row.stream_created_ns)
    if ledgers != identity:
        raise LogReplaced(
            "the log is not the one the ledger was built from",
            detail=f"shard {row.shard} follows stream {_describe(ledgers)}, "
            f"not {_describe(identity)}",
            hint="Restore that stream, or start with an empty ledger",
        )


def _describe(identity: StreamIdentity) -> str:
    return f"{identity.name!r} created at {identity.created_ns} ns"


def _require_same_window(shard: int, held_ms: int, window_ms: int) -> None:
    if held_ms != window_ms:
        raise SettingsError(
            "the window length differs from the ledger's",
            detail=f"shard {shard} has windows of {held_ms} ms, WALRAS_WINDOW_MS is {window_ms}",
            hint=f"Set WALRAS_WINDOW_MS={held_ms}, or start with an empty ledger",
        )


def with_eviction(conn: Connection, shard: int, work: Callable[[], T]) -> T:
    """Do work that locks the shard's row in one transaction; evict an idle holder of the lock."""
    try:
        with conn.transaction():
            conn.execute(_WAIT_FOR_HOLDER)
            return work()
    except LockNotAvailable:
        conn.execute(_EVICT_IDLE_HOLDER, [shard])
    with conn.transaction():
        return work()
