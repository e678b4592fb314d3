"""Read a committed window back, to publish what a crash left unpublished.

Promise: equal to the settlement that was committed, in the order in which it was settled: bids,
commands and dead letters by (seq, ord), prices by market and resource, balances by market and agent
as they were after the window. Listings are left empty: they are not published.
"""

from typing import Any, Final, LiteralString

from psycopg import Connection
from psycopg.rows import args_row

from connectors.postgres.statements import read_statement
from state.accounts import Bid
from state.window import BalanceRow, CommandRow, DeadLetter, PriceRow, Settlement
from walras_schemas import TREASURY, BidStatus, RejectionReason

_WINDOW: Final = """
    SELECT first_seq, next_seq, stream_time_ns, prev_digest, digest
    FROM ledger."window" WHERE shard = %(shard)s AND window_id = %(window_id)s
"""
_BIDS: Final = read_statement("window_bids")
_COMMANDS: Final = read_statement("window_commands")
_DEAD_LETTERS: Final = read_statement("window_dead_letters")
_PRICES: Final = """
    SELECT market, resource, reference_micros, clearing_micros, supply, demanded, sold, stale
    FROM ledger.price JOIN ledger.listing USING (market)
    WHERE shard = %(shard)s AND window_id = %(window_id)s ORDER BY market, resource
"""
_BALANCES: Final = read_statement("window_balances")


def read_settlement(conn: Connection, shard: int, window_id: int) -> Settlement:
    """The settlement of a window that has a row; its listings are left empty."""
    key = {"shard": shard, "window_id": window_id}
    window = conn.execute(_WINDOW, key).fetchone()
    assert window is not None, f"window {window_id} of shard {shard} has no row"
    first_seq, next_seq, stream_time_ns, prev_digest, digest = window
    bounds = key | {"first_seq": first_seq, "next_seq": next_seq, "treasury": TREASURY}
    return Settlement(
        shard=shard,
        window_id=window_id,
        first_seq=first_seq,
        next_seq=next_seq,
        stream_time_ns=stream_time_ns,
        prev_digest=prev_digest,
        digest=digest,
        bids=_all(conn, _bid, _BIDS, bounds),
        commands=_all(conn, _command, _COMMANDS, bounds),
        dead_letters=_all(conn, DeadLetter, _DEAD_LETTERS, bounds),
        prices=_all(conn, PriceRow, _PRICES, bounds),
        balances=_all(conn, _balance, _BALANCES, bounds),
        listings=(),
    )


def _all(
    conn: Connection, make: Any, query: LiteralString, bounds: dict[str, int | str]
) -> list[Any]:
    with conn.cursor(row_factory=args_row(make)) as cursor:
        return cursor.execute(query, bounds).fetchall()


def _bid(*columns: Any) -> Bid:
    *fields, status, reason, won, paid_micros = columns
    return Bid(*(*fields, BidStatus(status), _reason(reason), won, paid_micros))


def _command(*columns: Any) -> CommandRow:
    *fields, reason, amount_micros, recipient = columns
    return CommandRow(*(*fields, _reason(reason), amount_micros, recipient))


def _reason(text: str | None) -> RejectionReason | None:
    return None if text is None else RejectionReason(text)


def _balance(market: str, agent: str, balance_micros: Any) -> BalanceRow:
    return BalanceRow(market=market, agent=agent, balance_micros=int(balance_micros))
