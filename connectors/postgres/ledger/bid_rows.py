"""The bids of a window on their way into the ledger: one buffer of equal rows.

**Promise:** what is written is read back exactly, times to the nanosecond.
"""

from collections.abc import Iterator
from typing import Final

import msgspec
import numpy as np
from psycopg import Connection
from psycopg.types.json import Jsonb

from connectors.postgres.ledger.binary import Layout
from state.bids import Bids
from state.window import Settlement

MICROS_AT_2000: Final = 946_684_800_000_000
"""On the wire a timestamptz is an int8 of microseconds since 2000: no datetime is ever built."""

_BIDS: Final = Layout(
    shard=">i2",
    seq=">i8",
    ord=">i2",
    window_id=">i8",
    timestamp=">i8",
    rest_ns=">i2",
    account=">i4",
    resource=">i4",
    event_id="V16",
    quantity=">i8",
    unit_price_micros=">i8",
    min_quantity=">i8",
    won=">i8",
    paid_micros=">i8",
    lost_value_micros=">i8",
    status=">i2",
    reason=">i2",
)
_AS_THEY_ARE: Final = (
    "seq",
    "ord",
    "account",
    "resource",
    "quantity",
    "unit_price_micros",
    "min_quantity",
    "won",
    "paid_micros",
    "lost_value_micros",
    "status",
    "reason",
)
_COPY_BIDS: Final = (
    'COPY ledger.bid (shard, seq, ord, window_id, "timestamp", rest_ns, account, resource,'
    " event_id, quantity, unit_price_micros, min_quantity, won, paid_micros, lost_value_micros,"
    " status, reason) FROM STDIN (FORMAT binary)"
)
_COPY_BUNDLES: Final = "COPY ledger.bid_bundle (shard, seq, ord, bundle) FROM STDIN (FORMAT binary)"


def copy_bids(conn: Connection, settlement: Settlement) -> None:
    """Add a window's bids, and what its bundles ask for."""
    if not len(settlement.bids):
        return
    with conn.cursor() as cursor, cursor.copy(_COPY_BIDS) as copy:
        copy.write(bid_buffer(settlement))
    if settlement.bids.bundles:
        with conn.cursor() as cursor, cursor.copy(_COPY_BUNDLES) as copy:
            copy.set_types(("int2", "int8", "int2", "jsonb"))
            for row in _bundle_rows(settlement.shard, settlement.bids):
                copy.write_row(row)


def bid_buffer(settlement: Settlement) -> bytes:
    """All bids of a window as one COPY takes them.

    By account, then by time, like the index on both: inserts into it are then cheapest.
    """
    bids = settlement.bids.taken(np.argsort(settlement.bids.account, kind="stable"))
    rows = _BIDS.rows(len(bids))
    rows["shard"], rows["window_id"] = settlement.shard, settlement.window_id
    micros, rest_ns = np.divmod(bids.time_ns, 1000)
    rows["timestamp"], rows["rest_ns"] = micros - MICROS_AT_2000, rest_ns
    rows["event_id"] = np.ascontiguousarray(bids.event_id).view("V16").ravel()
    for name in _AS_THEY_ARE:
        rows[name] = getattr(bids, name)
    return _BIDS.pack(rows)


def _bundle_rows(shard: int, bids: Bids) -> Iterator[tuple[object, ...]]:
    for row, bundle in bids.bundles.items():
        place = (shard, int(bids.seq[row]), int(bids.ord[row]))
        yield *place, Jsonb(dict(bundle), msgspec.json.encode)
