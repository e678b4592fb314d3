"""The ledger: claim a shard, and commit its windows one by one.

**Promise:** a window is in the ledger as a whole or not at all, in the order of the log and exactly
once, however often it is retried; and only the holder of a shard's latest claim can write.
"""

from typing import Final

from psycopg import Connection
from psycopg.pq import TransactionStatus

from connectors.postgres.connection import translate_errors
from connectors.postgres.ledger.copy import copy_names, copy_rows
from connectors.postgres.ledger.meter_rows import write_metering
from connectors.postgres.ledger.restore import restore_accounts, restore_listings
from connectors.postgres.ledger.shard_row import (
    ShardRow,
    claim_shard,
    lock_shard,
    require_own,
    with_eviction,
)
from connectors.postgres.ledger.upserts import replace_listings, update_balances
from connectors.postgres.statements import read_statement
from state.errors import LedgerDiverged, LogGap
from state.shard import Position, ShardState, StreamIdentity, Token
from state.window import ClosedWindow, EmptyWindow, Settlement

_DIGEST: Final = 'SELECT digest FROM ledger."window" WHERE shard = %s AND window_id = %s'
_ADD_WINDOW: Final = read_statement("add_window")
_ADVANCE: Final = """
    UPDATE ledger.shard SET next_seq = %s, stream_time_ns = %s, digest = coalesce(%s, digest)
    WHERE shard = %s
"""


def claim(
    conn: Connection,
    shard: int,
    *,
    identity: StreamIdentity,
    window_ms: int,
    after: Token | None = None,
) -> ShardState:
    """Take the right to write a shard, and the state to resume from.

    With `after`, the token of an earlier claim of ours, only if nobody has claimed it meanwhile.

    One transaction holds the lock on the shard's row from the first statement to the last: a commit
    of the previous worker is seen as a whole or refused, so the state read here is complete. A
    worker that is idle while it holds the lock is not waited for.
    """

    def take() -> ShardState:
        row = claim_shard(conn, shard, identity=identity, window_ms=window_ms)
        if after is not None:
            require_own(row, Token(after + 1))
        return _state(conn, row)

    with translate_errors():
        return with_eviction(conn, shard, take)


def _state(conn: Connection, row: ShardRow) -> ShardState:
    return ShardState(
        shard=row.shard,
        token=Token(row.token),
        position=Position(next_seq=row.next_seq, stream_time_ns=row.stream_time_ns),
        listings=restore_listings(conn, row),
        accounts=restore_accounts(conn, row),
    )


def commit_window(conn: Connection, closed: ClosedWindow, *, token: Token) -> bool:
    """Write a closed window in one transaction; False when it was in the ledger already.

    1. Lock the shard's row.
    2. A token that is not ours: a successor has claimed the shard (`ShardReplaced`).
    3. `next_seq` above the window's first sequence: it is applied. Its digest must be ours
       (`LedgerDiverged`), and nothing is written.
    4. `next_seq` below it: messages are missing (`LogGap`). Equal, but after another digest: the
       rows before it are not ours (`LedgerDiverged`).
    5. Set the listings that it changed; a market of another shard is refused here.
    6. Insert the accounts and resources that it mentioned first, under their numbers.
    7. Update the balances that it moved.
    8. Insert the window's bids, commands, dead letters, markets, prices, usage and lots, bring the
       lots and holds of earlier windows up to date, and last insert the window's own row, which has
       the time of the commit.
    9. Advance `next_seq`, stream time and digest.

    Bids have no key that would refuse a second copy of them: 1 and 3 do.

    For a window with nothing but ticks only the position is written (no 5 to 8).
    """
    assert conn.info.transaction_status == TransactionStatus.IDLE, "a window is one transaction"
    with conn.transaction():
        row = lock_shard(conn, closed.shard)  # 1
        require_own(row, token)  # 2
        if row.next_seq > closed.first_seq:  # 3
            _require_same_window(conn, row, closed)
            return False
        _require_next(row, closed)  # 4
        if isinstance(closed, Settlement):
            replace_listings(conn, closed.shard, closed.listings)  # 5
            copy_names(conn, closed)  # 6
            update_balances(conn, closed)  # 7
            copy_rows(conn, closed)  # 8
            write_metering(conn, closed)  # 8
            _add_window(conn, closed)
        _advance(conn, closed)  # 9
    return True


def _require_same_window(conn: Connection, row: ShardRow, closed: ClosedWindow) -> None:
    """Refuse an applied window whose rows differ from those in the ledger."""
    found = conn.execute(_DIGEST, [closed.shard, closed.window_id]).fetchone()
    held, ours = found[0] if found else None, _digest(closed)
    if held != ours or row.next_seq < closed.next_seq:
        raise _diverged(
            closed,
            ledger=f"{_describe(held)} and reads {row.next_seq} next",
            log=f"{_describe(ours)} and reads {closed.next_seq} next",
        )


def _require_next(row: ShardRow, closed: ClosedWindow) -> None:
    """Refuse a window that does not follow the last one in the ledger."""
    if row.next_seq < closed.first_seq:
        raise LogGap(
            f"messages of shard {closed.shard} are missing",
            detail=f"the ledger reads {row.next_seq} next, "
            f"but window {closed.window_id} begins at {closed.first_seq}",
            hint="If the ledger was set back to an earlier state, start again: the log is read "
            "from there. Otherwise restore the stream: every later window depends on them",
        )
    if isinstance(closed, Settlement) and closed.prev_digest != row.digest:
        raise _diverged(
            closed,
            ledger=f"{_describe(row.digest)} before it",
            log=f"{_describe(closed.prev_digest)} before it",
        )


def _diverged(closed: ClosedWindow, *, ledger: str, log: str) -> LedgerDiverged:
    return LedgerDiverged(
        f"window {closed.window_id} of shard {closed.shard} differs from the one in the ledger",
        detail=f"the ledger has {ledger}; the log gives {log}",
        hint="Keep both and replay the log into an empty ledger: the first window that differs "
        "shows where they diverge",
    )


def _describe(digest: bytes | None) -> str:
    return "no row" if digest is None else f"digest {digest.hex()}"


def _digest(closed: ClosedWindow) -> bytes | None:
    return None if isinstance(closed, EmptyWindow) else closed.digest


def _add_window(conn: Connection, settlement: Settlement) -> None:
    new = settlement.new_names
    row = [
        settlement.shard,
        settlement.window_id,
        settlement.first_seq,
        settlement.next_seq,
        settlement.stream_time_ns,
        settlement.digest,
        settlement.prev_digest,
        new.first_account,
        new.first_account + len(new.accounts),
        new.first_resource,
        new.first_resource + len(new.resources),
    ]
    conn.execute(_ADD_WINDOW, row)


def _advance(conn: Connection, closed: ClosedWindow) -> None:
    position = [closed.next_seq, closed.stream_time_ns, _digest(closed), closed.shard]
    conn.execute(_ADVANCE, position)
