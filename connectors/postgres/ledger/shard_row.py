"""The row of a shard: which log it follows, how far it has read, and who may write it.

Promise: whoever holds the row's lock sees all that earlier commits of the shard left, and keeps
every other writer of the shard out until its transaction ends. A process that was paused while it
copied rows keeps its lock for as long as it is paused, since no time limit of Postgres ends a COPY
that waits for its client: a writer that is at work gets time to finish; one that is silent
meanwhile loses its session, and a commit that nobody has seen.
"""

from collections.abc import Callable
from typing import Final, NamedTuple, TypeVar

from psycopg import Connection
from psycopg.errors import LockNotAvailable
from psycopg.rows import class_row

from connectors.postgres.connection import reaching
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
_READ: Final = "SELECT coalesce(sum(next_seq - 1), 0)::bigint FROM ledger.shard"
_REPLACE_WRITER: Final = "UPDATE ledger.shard SET token = token + 1 WHERE shard = %s"


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
    """Lock a shard that was claimed before, and read where it stands."""
    with conn.cursor(row_factory=class_row(ShardRow)) as cursor:
        row = cursor.execute(_LOCK, [shard]).fetchone()
    if row is None:
        raise LedgerDiverged(
            f"the ledger does not know shard {shard}",
            detail="it did when the shard was claimed",
            hint="It was emptied, or is being restored: start again when it is whole",
        )
    return row


def claim_shard(
    conn: Connection, shard: int, *, identity: StreamIdentity, window_ms: int
) -> ShardRow:
    """Lock a shard, new or known, and take its next token, from when on older ones are refused."""
    conn.execute(_ADD, [shard, identity.name, identity.created_ns, window_ms])
    row = lock_shard(conn, shard)
    _require_same_log(row, identity)
    _require_same_window(row, window_ms)
    conn.execute(_REPLACE_WRITER, [shard])
    return row._replace(token=row.token + 1)


def read_messages(conn: Connection) -> int:
    """How many messages of its logs the ledger has read."""
    with reaching():
        row = conn.execute(_READ).fetchone()
    assert row is not None
    return int(row[0])


def require_own(row: ShardRow, token: Token) -> None:
    """Stop a writer that a successor has replaced."""
    if row.token != token:
        raise replaced(row.shard, detail=f"the ledger's token is {row.token}, ours is {token}")


def replaced(shard: int, *, detail: str) -> ShardReplaced:
    """The failure of a writer whose token is not the ledger's any more."""
    return ShardReplaced(
        f"another worker has claimed shard {shard}",
        detail=detail,
        hint="This one stops. If no other was meant to run, end it and start this one again",
    )


def _require_same_log(row: ShardRow, identity: StreamIdentity) -> None:
    built_from = StreamIdentity(row.stream, row.stream_created_ns)
    if built_from != identity:
        raise LogReplaced(
            "the log is not the one the ledger was built from",
            detail=f"shard {row.shard} follows stream {_told(built_from)}, not {_told(identity)}",
            hint="Restore that stream, or start with an empty ledger",
        )


def _told(identity: StreamIdentity) -> str:
    return f"{identity.name!r} made at {identity.created_ns} ns"


def _require_same_window(row: ShardRow, window_ms: int) -> None:
    if row.window_ms != window_ms:
        raise SettingsError(
            "the window length is not the ledger's",
            detail=f"shard {row.shard} was cut into windows of {row.window_ms} ms, "
            f"the setting says {window_ms} ms",
            hint=f"Set WALRAS_WINDOW_MS={row.window_ms}, or start with an empty ledger",
        )


_LET_FINISH: Final = "SET LOCAL lock_timeout = '3s'"
_END_SILENT_HOLDER: Final = read_statement("end_silent_holder")

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
