"""The life of one bid, read from the log and the ledger alone: what happened to it, and when.

Promise: nothing is kept for it. Times of the log are the server's, the commit's is the database's,
and the first is the agent's own, which its event id holds: clocks that differ show here.
"""

from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from typing import Final
from uuid import UUID

from connectors.nats.lookup import Lookup, StoredMessage, open_lookup
from connectors.postgres.connection import connect
from connectors.postgres.reads.bid_life import (
    BidLife,
    PriceSeen,
    Rank,
    read_lives,
    read_prices,
    read_rank,
)
from walras_schemas import uuid7_ms

NS_PER_MS: Final = 1_000_000
TRACEPARENT: Final = "traceparent"
TRACEPARENT_PARTS: Final = 4


@dataclass(frozen=True, slots=True)
class Step:
    """One step of a life: its name, its time, and which clock and record it is from."""

    name: str
    at_ns: int
    source: str


@dataclass(frozen=True, slots=True)
class Life:
    """All that is known of one bid."""

    bid: BidLife
    rank: Rank | None
    prices: list[PriceSeen]
    steps: list[Step]
    traceparent: str | None
    """The header that its message came with."""

    @property
    def trace_id(self) -> str | None:
        """The trace that its sender began."""
        parts = (self.traceparent or "").split("-")
        return parts[1] if len(parts) >= TRACEPARENT_PARTS else None


def lives_of(event_id: UUID, *, nats_url: str, postgres_dsn: str) -> list[Life]:
    """The life of every bid with this event id; no bid, none. Raises `ServerUnreachable`."""
    with closing(connect(postgres_dsn)) as ledger, open_lookup(nats_url) as lookup:
        return [
            _life(
                bid,
                lookup,
                rank=read_rank(ledger, bid),
                prices=read_prices(ledger, bid),
            )
            for bid in read_lives(ledger, event_id)
        ]


def _life(bid: BidLife, lookup: Lookup, *, rank: Rank | None, prices: list[PriceSeen]) -> Life:
    message = lookup.logged(bid.shard, bid.seq)
    return Life(
        bid=bid,
        rank=rank,
        prices=prices,
        steps=list(_steps(bid, message, lookup)),
        traceparent=message.headers.get(TRACEPARENT) if message else None,
    )


def _steps(bid: BidLife, message: StoredMessage | None, lookup: Lookup) -> Iterator[Step]:
    yield Step("made", uuid7_ms(bid.event_id) * NS_PER_MS, "event id")
    if message:
        yield Step("published", message.time_ns, f"log, sequence {bid.seq}")
    yield Step("judged", bid.judged_ns, "ledger, stream time")
    if closing_message := lookup.logged(bid.shard, bid.next_seq):
        yield Step("window closed", closing_message.time_ns, f"log, sequence {bid.next_seq}")
    yield Step("committed", bid.committed_ns, f"ledger, window {bid.window_id}")
    result = lookup.window_published(
        shard=bid.shard,
        window_id=bid.window_id,
        market=bid.market,
        committed_ns=bid.committed_ns,
    )
    if result:
        yield Step("result", result.time_ns, "stream WINDOWS")
