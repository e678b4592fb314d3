"""What the ledger knows of one bid: its outcome, its window, its rank and the prices there.

Promise: read only. A bid is found by the time in its event id; one whose id was refused for its
time is found by a scan of all bids.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple
from uuid import UUID

from psycopg import Connection
from psycopg.rows import class_row

from connectors.postgres.connection import translate_errors
from connectors.postgres.statements import read_statement
from walras_schemas import DEDUPE_HORIZON_MS, INT64_MAX, uuid7_ms

AHEAD_MS: Final = 5_000
"""How far an admitted id may be ahead of the stream's time (SEMANTICS §4)."""

_LIVES: Final = read_statement("bid_lives")
_RANK: Final = read_statement("bid_rank")
_WINDOW_MS: Final = "SELECT min(window_ms), max(window_ms) FROM ledger.shard"
_PRICES: Final = """
    SELECT resource, reference_micros, reserve_micros, clearing_micros, supply, demanded, sold
    FROM walras.prices WHERE market = %s AND window_id = %s AND resource = ANY(%s)
    ORDER BY resource
"""


class BidLife(NamedTuple):
    """A bid's row with its window; times in nanoseconds since the epoch."""

    market: str
    agent_id: str
    event_id: str
    shard: int
    seq: int
    ord: int
    window_id: int
    window_ms: int
    judged_ns: int
    """The stream's time at its message."""
    committed_ns: int
    next_seq: int
    """Sequence of the message that closed its window, or that followed on it."""
    digest: str
    bundle: Mapping[str, int]
    is_bundle: bool
    unit_price_micros: int
    """Of a bundle its limit."""
    status: str
    reason: str | None
    won: int
    paid_micros: int

    @property
    def limit_micros(self) -> int:
        """The most that it could cost."""
        if self.is_bundle:
            return self.unit_price_micros
        return self.unit_price_micros * next(iter(self.bundle.values()))

    @property
    def allocation(self) -> dict[str, int]:
        """Resource to the units won."""
        if not self.won:
            return {}
        if self.is_bundle:
            return dict(sorted(self.bundle.items()))
        return dict.fromkeys(self.bundle, self.won)


class PriceSeen(NamedTuple):
    """One resource that the bid asks, in its window: micros per unit, and units."""

    resource: str
    reference_micros: int
    reserve_micros: int
    clearing_micros: int | None
    supply: int
    demanded: int
    sold: int


class Rank(NamedTuple):
    """The place of a bid in the order in which its market's window was allocated."""

    rank: int
    """1 for the first."""
    bids: int
    """How many were admitted and not withdrawn."""


def read_lives(conn: Connection, event_id: UUID) -> list[BidLife]:
    """Every bid with this event id, in the order of shard and sequence."""
    with translate_errors():
        shortest, longest = conn.execute(_WINDOW_MS).fetchone() or (None, None)
        if shortest is None:
            return []
        made_ms = uuid7_ms(str(event_id))
        near = (made_ms - AHEAD_MS) // longest, (made_ms + DEDUPE_HORIZON_MS) // shortest
        return _read(conn, event_id, near) or _read(conn, event_id, (0, INT64_MAX))


def _read(conn: Connection, event_id: UUID, windows: tuple[int, int]) -> list[BidLife]:
    parameters = {"event_id": event_id, "first": windows[0], "last": windows[1]}
    with conn.cursor(row_factory=class_row(BidLife)) as cursor:
        return cursor.execute(_LIVES, parameters).fetchall()


def read_rank(conn: Connection, bid: BidLife) -> Rank | None:
    """Its rank; none for a bid that was refused or withdrawn."""
    place = {
        "shard": bid.shard,
        "window_id": bid.window_id,
        "market": bid.market,
        "seq": bid.seq,
        "ord": bid.ord,
    }
    with translate_errors():
        rank, bids = conn.execute(_RANK, place).fetchone() or (0, 0)
    return Rank(rank, bids) if bids else None


def read_prices(conn: Connection, bid: BidLife) -> list[PriceSeen]:
    """The prices of what it asks, in its window, by name of the resource."""
    parameters = [bid.market, bid.window_id, list(bid.bundle)]
    with translate_errors(), conn.cursor(row_factory=class_row(PriceSeen)) as cursor:
        return cursor.execute(_PRICES, parameters).fetchall()
