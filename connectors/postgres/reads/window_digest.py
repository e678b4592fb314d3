"""The digest of a window, computed again from its rows in the ledger (docs/ledger.md).

Promise: the form is that of `operators/digest.py`, read back by queries of its own: two ways to the
same bytes, so that neither hides an error of the other. Each query reads a window by index.
"""

# ruff: noqa: S608 - the queries are put together from constants

import json
from hashlib import sha256
from typing import Any, Final, NamedTuple

import numpy as np
from psycopg import Connection

FORM: Final = b"\x02"
NS: Final = """(extract(epoch FROM "timestamp") * 1000000)::bigint * 1000 + rest_ns"""
HELD_NS: Final = "(extract(epoch FROM held_at) * 1000000)::bigint * 1000 + held_rest_ns"
HOLD: Final = """shard, account, meter, epoch, n, resource, quantity, hold_window, held_seq,
    held_at, held_rest_ns"""
HERE: Final = "shard = %(shard)s AND window_id = %(window_id)s"
IN_LOG: Final = f"{HERE} AND seq >= %(first_seq)s AND seq < %(next_seq)s"
BIDS: Final = f"""
    SELECT seq, ord, {NS}, account, uuid_send(event_id), resource, quantity, unit_price_micros,
        min_quantity, status, reason, won, paid_micros, lost_value_micros
    FROM ledger.bid WHERE {HERE} ORDER BY seq, ord
"""
TYPES: Final = (
    *("<i8", "<i2", "<i8", "<i4", "V16", "<i4", "<i8", "<i8", "<i8", "u1", "u1"),
    *("<i8", "<i8", "<i8"),
)
LINES: Final = {
    "account": """
        SELECT account, market, agent_id FROM ledger.account
        WHERE shard = %(shard)s AND account >= %(first_account)s AND account < %(next_account)s
        ORDER BY account""",
    "resource": """
        SELECT resource, name FROM ledger.resource_name
        WHERE shard = %(shard)s AND resource >= %(first_resource)s AND resource < %(next_resource)s
        ORDER BY resource""",
    "bundle": f"""
        SELECT seq, ord, bundle FROM ledger.bid JOIN ledger.bid_bundle USING (shard, seq, ord)
        WHERE {HERE} ORDER BY seq, ord""",
    "command": f"""
        SELECT seq, ord, {NS}, market, agent_id, event_id::text, type,
            ledger.reason_text(reason), amount_micros, recipient, purpose
        FROM ledger.command WHERE {IN_LOG} ORDER BY seq, ord""",
    "dead_letter": f"""
        SELECT seq, ord, {NS}, subject, payload_bytes, encode(sha256(payload), 'hex')
        FROM ledger.dead_letter WHERE {IN_LOG} ORDER BY seq, ord""",
    "price": f"""
        SELECT market, resource, reference_micros, reserve_micros, clearing_micros, supply,
            demanded, wanted, sold, stale
        FROM ledger.price JOIN ledger.listing USING (market)
        WHERE {HERE} ORDER BY market, resource""",
    "market": f"""
        SELECT market, m.rule, agents::text, bids::text, won::text, partially_won::text,
            lost::text, withdrawn::text, rejected::text, commands::text, paid_micros::text,
            offered_micros::text, served_micros::text FROM ledger.market_window AS m JOIN
            ledger.listing USING (market, shard) WHERE {HERE} ORDER BY market""",
    "lot": f"""
        SELECT account, resource, last_window, meter, units
        FROM ledger.lot WHERE {HERE} ORDER BY account, resource""",
    "hold": f"""
        SELECT market, meter, epoch, n, account, resource, quantity, hold_window, held_seq,
            {HELD_NS}
        FROM (
            SELECT {HOLD} FROM ledger.usage UNION ALL SELECT {HOLD} FROM ledger.open_hold
        ) AS h JOIN ledger.account USING (shard, account)
        WHERE shard = %(shard)s AND held_seq >= %(first_seq)s AND held_seq < %(next_seq)s
        ORDER BY market, meter, epoch, n""",
    "usage": f"""
        SELECT market, meter, epoch, n, settled_seq, {NS}, used, outcome
        FROM ledger.usage JOIN ledger.account USING (shard, account)
        WHERE {HERE} ORDER BY market, meter, epoch, n""",
    "meter": f"""
        SELECT market, meter, epoch, next_n, meter_window
        FROM ledger.meter WHERE {HERE} ORDER BY market, meter""",
}


class WindowRow(NamedTuple):
    """A window as its own row has it; sequences and numbers are half-open ranges."""

    shard: int
    window_id: int
    first_seq: int
    next_seq: int
    digest: bytes
    prev_digest: bytes
    first_account: int
    next_account: int
    first_resource: int
    next_resource: int


WINDOWS: Final = f"""
    SELECT {", ".join(WindowRow._fields)} FROM ledger."window"
    WHERE %(shard)s::int IS NULL OR shard = %(shard)s ORDER BY shard, window_id
"""


def window_digest(conn: Connection, window: WindowRow) -> bytes:
    """What the digest of the window must be, by its rows and the digest before."""
    place = window._asdict()
    bids = conn.execute(BIDS, place).fetchall()
    running = sha256(window.prev_digest + FORM + _line("window", window.window_id, len(bids)))
    for dtype, column in zip(TYPES, zip(*bids, strict=True), strict=False):
        running.update(np.array(column, dtype=dtype).tobytes())
    for kind, query in LINES.items():
        for row in conn.execute(query, place):
            running.update(_line(kind, *(_in_order(value) for value in row)))
    return running.digest()


def _in_order(value: Any) -> Any:
    return sorted(value.items()) if isinstance(value, dict) else value


def _line(*values: object) -> bytes:
    return json.dumps(values, separators=(",", ":"), ensure_ascii=False).encode() + b"\n"
