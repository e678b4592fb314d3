"""Logs settled by the real core, window by window, without an engine between its steps."""

from collections.abc import Sequence
from typing import Final

from psycopg import Connection

from connectors.postgres.ledger.transaction import commit_window
from operators.allocate import Allocate
from operators.decode import decode
from operators.join_prices import JoinPrices
from operators.windows import WindowAssigner
from state.log import RawBatch
from state.shard import ShardState, Token
from state.window import ClosedWindow, Settlement
from tests.connectors.postgres.windows import NS_PER_MS, WINDOW_MS, claim_log
from tests.twin.random_logs import random_log
from tests.twin.rows import LogRecord

BATCH: Final = 500


def settled(seed: int, *, commands: int = 600) -> list[ClosedWindow]:
    """The closed windows of a random log."""
    return settle(random_log(seed, commands=commands))


def settle(log: Sequence[LogRecord], *, state: ShardState | None = None) -> list[ClosedWindow]:
    """The closed windows of a log, or of its rest from where a shard stands."""
    shard = state or ShardState(shard=0, token=Token(1))
    cut = WindowAssigner(WINDOW_MS, shard.position.stream_time_ns)
    join, allocate = JoinPrices(shard.listings), Allocate(shard.accounts)
    whole = [*log, _last_tick(log)]
    return [
        closed
        for first in range(0, len(whole), BATCH)
        for piece in cut(_batch(whole[first : first + BATCH]))
        for priced in join(decode(piece))
        for closed in allocate(priced)
    ]


def _last_tick(log: Sequence[LogRecord]) -> LogRecord:
    latest_ns = max(record.timestamp_ns for record in log)
    return LogRecord(log[-1].seq + 1, latest_ns + WINDOW_MS * NS_PER_MS, "clock.0", b"")


def _batch(records: Sequence[LogRecord]) -> RawBatch:
    return RawBatch(
        shard=0,
        first_seq=records[0].seq,
        timestamps_ns=[record.timestamp_ns for record in records],
        subjects=[record.subject for record in records],
        payloads=[record.payload for record in records],
    )


def settlements(windows: Sequence[ClosedWindow]) -> list[Settlement]:
    """The windows that left a row."""
    return [closed for closed in windows if isinstance(closed, Settlement)]


def commit_all(conn: Connection, windows: Sequence[ClosedWindow]) -> None:
    """Claim the shard and commit these windows, none of which is in the ledger yet."""
    token = claim_log(conn).token
    for closed in windows:
        assert commit_window(conn, closed, token=token) is True
