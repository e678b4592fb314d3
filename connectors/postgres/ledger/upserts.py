"""What a window updates in the ledger: balances, and the listings of markets.

Promise: a market stays in the shard that opened it; a second shard that claims it is refused.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec
from psycopg import Connection

from connectors.postgres.statements import read_statement
from state.errors import LogError
from state.market import Listing
from state.window import Settlement

_BALANCES: Final = """
    INSERT INTO ledger.account (market, agent_id, balance_micros)
    SELECT * FROM unnest(%s::text[], %s::text[], %s::numeric[])
    ON CONFLICT (market, agent_id) DO UPDATE SET balance_micros = excluded.balance_micros
"""
_LISTINGS: Final = read_statement("upsert_listings")
_DELETE_RESOURCES: Final = "DELETE FROM ledger.listed_resource WHERE market = ANY(%s)"
_RESOURCES: Final = read_statement("insert_listed_resources")
_QUOTES: Final = read_statement("upsert_quotes")


def replace_balances(conn: Connection, settlement: Settlement) -> None:
    """Set the balances of accounts, new and known, that the window moved.

    Most of the active accounts only bid and lost: their rows are not even looked up, however many
    agents there are.
    """
    moved = settlement.moved
    balances = [row for row in settlement.balances if (row.market, row.agent) in moved]
    if balances:
        markets, agents = [row.market for row in balances], [row.agent for row in balances]
        micros = [str(row.balance_micros) for row in balances]
        conn.execute(_BALANCES, [_array(markets), _array(agents), _array(micros)])


def _array(texts: Sequence[str]) -> str:
    """An array as a Postgres literal, which quotes names and numbers as JSON does.

    There is a balance for each agent of a window, and psycopg would format item by item.
    """
    return "{" + msgspec.json.encode(texts).decode()[1:-1] + "}"


def replace_listings(conn: Connection, shard: int, listings: Sequence[Listing]) -> None:
    """Set the listings of markets, new and known, with their resources and quotes."""
    if not listings:
        return
    markets = [listing.market for listing in listings]
    rows = (
        (listing.market, *listing.opened_at, listing.rule, listing.stale_after_windows)
        for listing in listings
    )
    replaced = conn.execute(_LISTINGS, [shard, *_columns(rows)]).rowcount
    if replaced != len(markets):
        raise _in_two_shards(shard, markets)
    _replace_resources(conn, markets, listings)
    _replace_quotes(conn, listings)


def _replace_resources(
    conn: Connection, markets: Sequence[str], listings: Iterable[Listing]
) -> None:
    conn.execute(_DELETE_RESOURCES, [markets])
    rows = (
        (
            listing.market,
            name,
            listed.supply,
            listed.initial_price_micros,
            listed.reserve_micros,
            listed.reserve_ratio_ppm,
        )
        for listing in listings
        for name, listed in listing.resources.items()
    )
    conn.execute(_RESOURCES, _columns(rows))


def _replace_quotes(conn: Connection, listings: Iterable[Listing]) -> None:
    rows = [
        (listing.market, name, quote.price_micros, quote.window_id)
        for listing in listings
        for name, quote in listing.quotes.items()
    ]
    if rows:
        conn.execute(_QUOTES, _columns(rows))


def _columns(rows: Iterable[tuple[object, ...]]) -> list[list[object]]:
    """Rows turned into the columns that `unnest` takes."""
    return [list(column) for column in zip(*rows, strict=True)]


def _in_two_shards(shard: int, markets: Sequence[str]) -> LogError:
    return LogError(
        "a market was opened in a second shard",
        detail=f"shard {shard} opened {', '.join(markets)}; one of them belongs to another shard",
        hint="The messages of a market belong in one stream: was the number of shards changed?",
    )
