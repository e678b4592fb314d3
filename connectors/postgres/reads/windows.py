"""What the ledger has of the latest windows of a shard, for the messages of their markets.

Promise: the rows of a window are those that its commit wrote, in the order of names, so the same
messages are made of them. Only public views are read.
"""

from collections import defaultdict
from collections.abc import Iterator
from typing import Any, Final

from psycopg import Connection

from connectors.postgres.connection import translate_errors
from connectors.postgres.statements import read_statement
from state.window import MarketRow, PriceRow, WindowSummary

LATEST_MAX: Final = 10_000
"""More windows than lie between a commit and its publishing in any process."""
READ_TOGETHER: Final = 100

_WINDOWS: Final = """
    SELECT window_id, last_seq + 1, decode(digest, 'hex') FROM walras.windows
    WHERE shard = %s AND window_id < %s ORDER BY window_id DESC LIMIT %s
"""
_LAST: Final = "SELECT max(window_id) FROM walras.windows WHERE shard = %s"
_MARKETS: Final = read_statement("market_rows_between")
_PRICES: Final = read_statement("price_rows_between")


def recent_windows(conn: Connection, shard: int) -> Iterator[WindowSummary]:
    """The latest windows of the shard in which a market was active, the newest first."""
    with translate_errors():
        ((last,),) = conn.execute(_LAST, [shard]).fetchall()
    before, left = 0 if last is None else last + 1, LATEST_MAX
    while left > 0:
        with translate_errors():
            read = conn.execute(_WINDOWS, [shard, before, READ_TOGETHER]).fetchall()
        if not read:
            return
        before, left = read[-1][0], left - len(read)
        yield from _summaries(conn, shard, read)


def _summaries(
    conn: Connection, shard: int, windows: list[tuple[int, int, bytes]]
) -> Iterator[WindowSummary]:
    place = {"shard": shard, "first": windows[-1][0], "last": windows[0][0]}
    markets: defaultdict[int, list[MarketRow]] = defaultdict(list)
    prices: defaultdict[int, list[PriceRow]] = defaultdict(list)
    with translate_errors():
        for window_id, *row in conn.execute(_MARKETS, place):
            *counts, paid, offered, served = row
            sums: list[Any] = [int(micros) for micros in (paid, offered, served)]
            markets[window_id].append(MarketRow(*counts, *sums))
        for window_id, *row in conn.execute(_PRICES, place):
            prices[window_id].append(PriceRow(*row))
    for window_id, next_seq, digest in windows:
        if window_id in markets:
            yield WindowSummary(
                shard=shard,
                window_id=window_id,
                next_seq=next_seq,
                digest=bytes(digest),
                prices=prices[window_id],
                markets=markets[window_id],
            )
