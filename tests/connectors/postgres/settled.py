"""Logs settled by the real core, and their windows committed."""

from collections.abc import Sequence

from psycopg import Connection

from connectors.postgres.ledger.transaction import commit_window
from flows.testing import with_final_tick
from state.shard import ShardState
from state.window import ClosedWindow
from tests.connectors.postgres.windows import WINDOW_MS, claim_log
from tests.operators.steps import Shard
from tests.operators.steps import settle as settle_whole
from tests.twin.random_logs import random_log
from tests.twin.rows import LogRecord


def settled(seed: int, *, commands: int = 600) -> list[ClosedWindow]:
    """The closed windows of a random log."""
    return settle_whole(random_log(seed, commands=commands), window_ms=WINDOW_MS)


def settle_rest(log: Sequence[LogRecord], state: ShardState) -> list[ClosedWindow]:
    """The closed windows of what a shard has not read of a log yet."""
    shard = Shard(WINDOW_MS, state)
    rest = [record for record in log if record.seq >= state.position.next_seq]
    shard.read(with_final_tick(rest, window_ms=WINDOW_MS))
    return shard.closed


def commit_all(conn: Connection, windows: Sequence[ClosedWindow]) -> None:
    """Claim the shard and commit these windows, none of which is in the ledger yet."""
    token = claim_log(conn).token
    for closed in windows:
        assert commit_window(conn, closed, token=token) is True
