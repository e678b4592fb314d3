"""Restore the state that a shard had when its last window closed.

**Promise:** the restored state gives the same outcomes as the one that was lost. Resources and
quotes are in the order of their names; event ids reach as far back as a command could repeat them.
"""

from collections import defaultdict
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final, NamedTuple

from psycopg import Connection
from psycopg.rows import dict_row

from connectors.postgres.ledger.read_ids import agents_ids
from connectors.postgres.ledger.read_meters import read_meters
from connectors.postgres.ledger.read_names import read_balances, read_names
from connectors.postgres.ledger.shard_row import ShardRow
from connectors.postgres.statements import read_statement
from state.accounts import ShardAccounts
from state.bids import REASON_CODES
from state.dedupe import NS_PER_MS, DedupeIndex, operator_key
from state.market import ListedResource, Listing, Listings, Quote
from walras_schemas import CLOCK_SKEW_MS, DEDUPE_HORIZON_MS, TREASURY, RejectionReason

_FETCH_ROWS: Final = 20_000
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)

_LISTINGS: Final = """
    SELECT market, first_seq, first_ord, opened_seq, is_open, rule, stale_after_windows,
        max_commands, lag_windows, meters
    FROM ledger.listing WHERE shard = %s ORDER BY market
"""
_RESOURCES: Final = read_statement("restore_resources")
_QUOTES: Final = """
    SELECT market, resource, price_micros, window_id
    FROM ledger.quote JOIN ledger.listing USING (market)
    WHERE shard = %s ORDER BY market, resource
"""
_FIRST_SEQ: Final = """
    SELECT min(first_seq) FROM ledger."window" WHERE shard = %s AND window_id >= %s
"""
_OPERATORS_IDS: Final = read_statement("recent_operator_ids")


class Recent(NamedTuple):
    """Where the rows lie that hold ids which may not be stale yet, as parameters of a statement."""

    shard: int
    since: datetime
    since_window: int
    since_seq: int
    treasury: str = TREASURY
    remembered: int = REASON_CODES[RejectionReason.DUPLICATE]
    """Codes from this one on are of commands that got past the rules on ids."""


def restore_listings(conn: Connection, shard: ShardRow) -> Listings:
    """The listings of the shard's markets, and the event ids that operators used."""
    resources: defaultdict[str, dict[str, ListedResource]] = defaultdict(dict)
    for market, name, *listed in conn.execute(_RESOURCES, [shard.shard]):
        resources[market][name] = ListedResource(*listed)
    quotes: defaultdict[str, dict[str, Quote]] = defaultdict(dict)
    for market, name, *quoted in conn.execute(_QUOTES, [shard.shard]):
        quotes[market][name] = Quote(*quoted)
    listings = {
        row["market"]: _listing(row, resources[row["market"]], quotes[row["market"]])
        for row in conn.cursor(row_factory=dict_row).execute(_LISTINGS, [shard.shard])
    }
    return Listings(by_market=listings, dedupe=_operators_ids(conn, _recent(conn, shard)))


def _listing(
    row: dict[str, Any], resources: Mapping[str, ListedResource], quotes: Mapping[str, Quote]
) -> Listing:
    opened_at = row.pop("first_seq"), row.pop("first_ord")
    return Listing(opened_at=opened_at, resources=resources, quotes=quotes, **row)


def restore_accounts(conn: Connection, row: ShardRow) -> ShardAccounts:
    """All accounts by their numbers, the event ids that agents used, meters and the last digest."""
    accounts = ShardAccounts(names=read_names(conn, row.shard), digest=row.digest)
    accounts.make_room()
    read_balances(conn, row.shard, accounts)
    accounts.dedupe = agents_ids(conn, _recent(conn, row)._asdict())
    accounts.meters = read_meters(conn, row.shard, accounts.names)
    return accounts


def _recent(conn: Connection, row: ShardRow) -> Recent:
    since_ns = row.stream_time_ns - (DEDUPE_HORIZON_MS + CLOCK_SKEW_MS) * NS_PER_MS
    since_window = since_ns // (row.window_ms * NS_PER_MS)
    found = conn.execute(_FIRST_SEQ, [row.shard, since_window]).fetchone()
    return Recent(
        shard=row.shard,
        since=_EPOCH + timedelta(microseconds=since_ns // 1000),
        since_window=since_window,
        since_seq=row.next_seq if found is None or found[0] is None else found[0],
    )


def _operators_ids(conn: Connection, recent: Recent) -> DedupeIndex:
    used = DedupeIndex()
    for market, event_id in _stream(conn, _OPERATORS_IDS, recent._asdict()):
        used.remember(operator_key(market, event_id))
    return used


def _stream(conn: Connection, query: Any, parameters: Any) -> Iterator[tuple[Any, ...]]:
    """The rows of a large result, which is never in memory as a whole."""
    with conn.cursor(name="restore") as cursor:
        cursor.itersize = _FETCH_ROWS
        yield from cursor.execute(query, parameters)
