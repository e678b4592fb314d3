"""Restore the state that a shard had when its last window closed.

Promise: the restored state gives the same outcomes as the one that was lost. Resources and quotes
are in the order of their names; event ids reach as far back as a command could still repeat them.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime, timedelta
from typing import Any, Final, LiteralString

from psycopg import Connection

from connectors.postgres.ledger.shard_row import ShardRow
from connectors.postgres.statements import read_statement
from state.accounts import Account, MarketAccounts, ShardAccounts, bid_key
from state.dedupe import NS_PER_MS, DedupeIndex
from state.market import ListedResource, Listing, Listings, Quote
from walras_schemas import CLOCK_SKEW_MS, DEDUPE_HORIZON_MS, TREASURY

_FETCH_ROWS: Final = 20_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_LISTINGS: Final = """
    SELECT market, opened_seq, opened_ord, rule, stale_after_windows
    FROM ledger.listing WHERE shard = %s ORDER BY market
"""
_RESOURCES: Final = """
    SELECT market, resource, supply, initial_price_micros, reserve_micros, reserve_ratio_ppm
    FROM ledger.listed_resource JOIN ledger.listing USING (market)
    WHERE shard = %s ORDER BY market, resource
"""
_QUOTES: Final = """
    SELECT market, resource, price_micros, window_id
    FROM ledger.quote JOIN ledger.listing USING (market)
    WHERE shard = %s ORDER BY market, resource
"""
# As text a balance becomes an int at once, and not a Decimal first.
_ACCOUNTS: Final = """
    SELECT market, agent_id, balance_micros::text
    FROM ledger.account JOIN ledger.listing USING (market)
    WHERE shard = %s
"""
_AGENTS_IDS: Final = read_statement("recent_agent_ids")
_OPERATORS_IDS: Final = read_statement("recent_operator_ids")


def restore_listings(conn: Connection, row: ShardRow) -> Listings:
    """The listings of the shard's markets, and the event ids that operators used."""
    resources: defaultdict[str, dict[str, ListedResource]] = defaultdict(dict)
    for market, name, *listed in conn.execute(_RESOURCES, [row.shard]):
        resources[market][name] = ListedResource(*listed)
    quotes: defaultdict[str, dict[str, Quote]] = defaultdict(dict)
    for market, name, *quoted in conn.execute(_QUOTES, [row.shard]):
        quotes[market][name] = Quote(*quoted)
    listings = {
        market: Listing(
            market=market,
            opened_at=(seq, ord_),
            rule=rule,
            stale_after_windows=stale_after,
            resources=resources[market],
            quotes=quotes[market],
        )
        for market, seq, ord_, rule, stale_after in conn.execute(_LISTINGS, [row.shard])
    }
    return Listings(by_market=listings, dedupe=_used_ids(conn, row, _OPERATORS_IDS))


def restore_accounts(conn: Connection, row: ShardRow, markets: Iterable[str]) -> ShardAccounts:
    """The accounts of the opened markets, the event ids that agents used, and the last digest."""
    accounts = {market: MarketAccounts() for market in markets}
    for market, agent, balance in _stream(conn, _ACCOUNTS, [row.shard]):
        accounts[market].by_agent[agent] = Account(balance_micros=int(balance))
    return ShardAccounts(
        markets=accounts, dedupe=_used_ids(conn, row, _AGENTS_IDS), digest=row.digest
    )


def _used_ids(conn: Connection, row: ShardRow, query: LiteralString) -> DedupeIndex:
    """The ids of all messages recent enough that one of their ids may not be stale yet."""
    since_ns = row.stream_time_ns - (DEDUPE_HORIZON_MS + CLOCK_SKEW_MS) * NS_PER_MS
    bounds = {
        "shard": row.shard,
        "treasury": TREASURY,
        "since": _EPOCH + timedelta(microseconds=since_ns // 1000),
        "since_window": since_ns // (row.window_ms * NS_PER_MS),
    }
    used = DedupeIndex()
    for market, sender, event_id in _stream(conn, query, bounds):
        used.remember(bid_key(market, sender, event_id))
    return used


def _stream(conn: Connection, query: LiteralString, parameters: Any) -> Iterator[tuple[Any, ...]]:
    """The rows of a large result, which is never in memory as a whole."""
    with conn.cursor(name="restore") as cursor:
        cursor.itersize = _FETCH_ROWS
        yield from cursor.execute(query, parameters)
