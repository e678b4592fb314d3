"""What a window updates in the ledger: balances, and the listings of markets.

**Promise:** a market stays in the shard that opened it; a second shard that claims it is refused.
"""

from collections.abc import Iterable, Sequence
from typing import Final

import numpy as np
from psycopg import Connection

from connectors.postgres.ledger.binary import int4_array, int8_array
from connectors.postgres.statements import read_statement
from state.errors import LogError
from state.market import Listing
from state.window import Settlement

_BALANCES: Final = read_statement("update_balances")
_WIDE_BALANCES: Final = read_statement("update_wide_balances")
_LISTINGS: Final = read_statement("upsert_listings")
_DELETE_RESOURCES: Final = "DELETE FROM ledger.listed_resource WHERE market = ANY(%s)"
_RESOURCES: Final = read_statement("insert_listed_resources")
_QUOTES: Final = read_statement("upsert_quotes")


def update_balances(conn: Connection, settlement: Settlement) -> None:
    """Set the balances of accounts that the window moved.

    Most of the active accounts only bid and lost: their rows are not even looked up, however many
    agents there are.
    """
    balances = settlement.balances
    moved = np.flatnonzero(balances.moved)
    if not len(moved):
        return
    accounts = balances.accounts[moved]
    narrow = int4_array(accounts), int8_array(balances.micros[moved])
    conn.execute(_BALANCES, [*narrow, settlement.shard])
    wide = [number for number in accounts.tolist() if number in balances.wide]
    if wide:
        micros = [str(balances.wide[number]) for number in wide]
        conn.execute(_WIDE_BALANCES, [wide, micros, settlement.shard])


def replace_listings(conn: Connection, shard: int, listings: Sequence[Listing]) -> None:
    """Set the listings of markets, new and known, with their resources and quotes."""
    if not listings:
        return
    markets = [listing.market for listing in listings]
    replaced = conn.execute(_LISTINGS, [shard, *_columns(map(_listing_row, listings))]).rowcount
    if replaced != len(markets):
        raise _in_two_shards(shard, markets)
    _replace_resources(conn, markets, listings)
    _replace_quotes(conn, listings)


def _listing_row(listing: Listing) -> tuple[object, ...]:
    return (
        listing.market,
        *listing.opened_at,
        listing.opened_seq,
        listing.is_open,
        listing.rule,
        listing.stale_after_windows,
        listing.max_commands,
        listing.lag_windows,
        listing.meters,
    )


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
            listed.allowance_windows,
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
