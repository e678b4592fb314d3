"""Read a committed window back, so that what a crash left unpublished can still be told.

Promise: equal to the settlement that was committed, in the order in which it was settled: bids,
commands and dead letters by (seq, ord), prices by market and resource, balances by market and agent
as they stood after the window. Listings are left empty: nobody announces them.
"""

from typing import Any, Final

from psycopg import Connection
from psycopg.rows import args_row
from psycopg.sql import SQL, Composed

from state.accounts import Bid
from state.window import BalanceRow, CommandRow, DeadLetter, PriceRow, Settlement
from walras_schemas import TREASURY, BidStatus, RejectionReason

_WINDOW: Final = """
    SELECT first_seq, next_seq, stream_time_ns, prev_digest, digest
    FROM ledger."window" WHERE shard = %(shard)s AND window_id = %(window_id)s
"""
_IN_WINDOW: Final = SQL("shard = %(shard)s AND seq >= %(first_seq)s AND seq < %(next_seq)s")
_TIME_NS: Final = SQL("""(extract(epoch FROM "timestamp") * 1000000)::bigint * 1000 + rest_ns""")
_BIDS: Final = SQL("""
    SELECT seq, ord, {time_ns}, market, agent_id, event_id, resource, quantity,
        unit_price_micros, min_quantity, bundle, status::text, reason::text, won, paid_micros
    FROM ledger.bid WHERE {in_window} ORDER BY seq, ord
""").format(time_ns=_TIME_NS, in_window=_IN_WINDOW)
_COMMANDS: Final = SQL("""
    SELECT seq, ord, {time_ns}, market, agent_id, event_id, type, reason::text,
        amount_micros, recipient
    FROM ledger.command WHERE {in_window} ORDER BY seq, ord
""").format(time_ns=_TIME_NS, in_window=_IN_WINDOW)
_DEAD_LETTERS: Final = SQL("""
    SELECT seq, ord, {time_ns}, subject, error, payload
    FROM ledger.dead_letter WHERE {in_window} ORDER BY seq, ord
""").format(time_ns=_TIME_NS, in_window=_IN_WINDOW)
_PRICES: Final = """
    SELECT market, resource, reference_micros, clearing_micros, supply, demanded, sold, stale
    FROM ledger.price JOIN ledger.listing USING (market)
    WHERE shard = %(shard)s AND window_id = %(window_id)s ORDER BY market, resource
"""
# Active are accounts that moved credits, and those of agents that sent a command if they were there
# by then: such a one has a balance from that time, or at least an earlier movement.
_BALANCES: Final = SQL("""
    WITH moved AS MATERIALIZED (
        SELECT market, agent_id,
            bool_or(seq < %(next_seq)s) AS in_window,
            coalesce(sum(amount_micros) FILTER (WHERE seq >= %(next_seq)s), 0) AS later_micros
        FROM walras.transactions WHERE shard = %(shard)s AND seq >= %(first_seq)s
        GROUP BY market, agent_id
    ), active AS (
        SELECT market, agent_id FROM moved WHERE in_window
        UNION SELECT market, agent_id FROM ledger.bid WHERE {in_window}
        UNION SELECT market, agent_id FROM ledger.command
            WHERE {in_window} AND agent_id <> %(treasury)s
    ), after AS (
        SELECT market, agent_id, coalesce(in_window, false) AS in_window,
            balance_micros - coalesce(later_micros, 0) AS balance_micros
        FROM active
        JOIN ledger.account USING (market, agent_id)
        LEFT JOIN moved USING (market, agent_id)
    )
    SELECT market, agent_id, balance_micros FROM after
    WHERE in_window OR balance_micros <> 0 OR EXISTS (
        SELECT FROM walras.transactions AS earlier
        WHERE earlier.market = after.market AND earlier.agent_id = after.agent_id
        AND earlier.shard = %(shard)s AND earlier.seq < %(first_seq)s
    )
    ORDER BY market, agent_id
""").format(in_window=_IN_WINDOW)


def read_settlement(conn: Connection, shard: int, window_id: int) -> Settlement:
    """The settlement of a window that left a row; its listings are left empty."""
    place = {"shard": shard, "window_id": window_id}
    window = conn.execute(_WINDOW, place).fetchone()
    assert window is not None, f"window {window_id} of shard {shard} left no row"
    first_seq, next_seq, stream_time_ns, prev_digest, digest = window
    bounds = place | {"first_seq": first_seq, "next_seq": next_seq, "treasury": TREASURY}
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
    conn: Connection, make: Any, query: str | Composed, bounds: dict[str, int | str]
) -> list[Any]:
    with conn.cursor(row_factory=args_row(make)) as cursor:
        return cursor.execute(query, bounds).fetchall()


def _bid(*columns: Any) -> Bid:
    *asked, status, reason, won, paid_micros = columns
    return Bid(*(*asked, BidStatus(status), _reason(reason), won, paid_micros))


def _command(*columns: Any) -> CommandRow:
    *sent, reason, amount_micros, recipient = columns
    return CommandRow(*(*sent, _reason(reason), amount_micros, recipient))


def _reason(text: str | None) -> RejectionReason | None:
    return None if text is None else RejectionReason(text)


def _balance(market: str, agent: str, balance_micros: Any) -> BalanceRow:
    return BalanceRow(market=market, agent=agent, balance_micros=int(balance_micros))
