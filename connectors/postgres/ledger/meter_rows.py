"""What meters did in a window on its way into the ledger, and the lots that its close made.

**Promise:** a lot's row and an open hold's are as the latest window left them; usage and the states
of meters are added to, never changed.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
from psycopg import Connection

from connectors.postgres.ledger.binary import int8_array
from connectors.postgres.ledger.copy import TIMESTAMPTZ, Row, Table, split_time
from connectors.postgres.statements import read_statement
from state.window import HoldRow, Settlement

_LOTS: Final = Table.of(
    "lot",
    {
        "shard": "int2",
        "account": "int4",
        "resource": "text",
        "window_id": "int8",
        "last_window": "int8",
        "meter": "int2",
        "units": "int8",
        "held": "int8",
        "used": "int8",
        "overdrawn": "int8",
        "lapsed": "bool",
    },
)
_HOLDS: Final = Table.of(
    "open_hold",
    {
        "shard": "int2",
        "market": "text",
        "meter": "int2",
        "epoch": "int8",
        "n": "int8",
        "account": "int4",
        "resource": "text",
        "quantity": "int8",
        "hold_window": "int8",
        "held_seq": "int8",
        "held_at": TIMESTAMPTZ,
        "held_rest_ns": "int2",
        "draw_windows": "int8[]",
        "draw_units": "int8[]",
    },
)
_USAGE: Final = Table.of(
    "usage",
    {
        "shard": "int2",
        "window_id": "int8",
        "meter": "int2",
        "epoch": "int8",
        "n": "int8",
        "account": "int4",
        "resource": "text",
        "quantity": "int8",
        "hold_window": "int8",
        "held_seq": "int8",
        "held_at": TIMESTAMPTZ,
        "held_rest_ns": "int2",
        "settled_seq": "int8",
        "timestamp": TIMESTAMPTZ,
        "rest_ns": "int2",
        "used": "int8",
        "outcome": "text",
    },
)
_METERS: Final = Table.of(
    "meter",
    {
        "shard": "int2",
        "window_id": "int8",
        "market": "text",
        "meter": "int2",
        "epoch": "int8",
        "next_n": "int8",
        "meter_window": "int8",
    },
)
_METERED: Final = Table.of("metered_resource", {"market": "text", "resource": "text"})
_UPDATE_LOTS: Final = read_statement("update_lots")
_DELETE_HOLDS: Final = read_statement("delete_open_holds")


def write_metering(conn: Connection, settlement: Settlement) -> None:
    """Add what meters did, and bring lots and open holds up to date."""
    made = settlement.metering
    if made.metered:
        _METERED.fill(conn, made.metered)
    if made.lots:
        _LOTS.fill(conn, _lot_rows(settlement))
    if made.meters:
        _METERS.fill(conn, ((settlement.shard, settlement.window_id, *row) for row in made.meters))
    if made.usage:
        _USAGE.fill(conn, _usage_rows(settlement))
    _update_lots(conn, settlement)
    _replace_holds(conn, settlement)


def _update_lots(conn: Connection, settlement: Settlement) -> None:
    if not settlement.metering.changed_lots:
        return
    changed = [
        (row.account, row.resource, row.window_id, row.held, row.used, row.overdrawn, row.lapsed)
        for row in settlement.metering.changed_lots
    ]
    conn.execute(_UPDATE_LOTS, [*map(list, zip(*changed, strict=True)), settlement.shard])


def _replace_holds(conn: Connection, settlement: Settlement) -> None:
    """Delete the earlier holds that have ended, and add the new ones that have not."""
    made, first_seq = settlement.metering, settlement.first_seq
    ended = {usage.hold[:4] for usage in made.usage}
    earlier = [usage.hold[:4] for usage in made.usage if usage.hold.seq < first_seq]
    if earlier:
        conn.execute(_DELETE_HOLDS, [*map(list, zip(*earlier, strict=True))])
    still_open = [hold for hold in made.holds if hold[:4] not in ended]
    if still_open:
        _HOLDS.fill(conn, (_hold_row(settlement.shard, hold) for hold in still_open))


def _lot_rows(settlement: Settlement) -> Iterator[Row]:
    for lot in settlement.metering.lots:
        yield (
            settlement.shard,
            lot.account,
            lot.resource,
            lot.window_id,
            lot.last_window,
            lot.meter,
            lot.units,
            lot.held,
            lot.used,
            lot.overdrawn,
            lot.lapsed,
        )


def _hold_row(shard: int, hold: HoldRow) -> Row:
    draws = np.array(hold.draws, dtype=np.int64)
    of_hold = (shard, hold.market, *_of_hold(hold))
    return *of_hold, int8_array(draws[:, 0]), int8_array(draws[:, 1])


def _usage_rows(settlement: Settlement) -> Iterator[Row]:
    for usage in settlement.metering.usage:
        yield (
            settlement.shard,
            settlement.window_id,
            *_of_hold(usage.hold),
            usage.seq,
            *split_time(usage.time_ns),
            usage.used,
            usage.outcome,
        )


def _of_hold(hold: HoldRow) -> Row:
    """What stands of a hold in two tables."""
    return (
        hold.meter,
        hold.epoch,
        hold.n,
        hold.account,
        hold.resource,
        hold.quantity,
        hold.window_id,
        hold.seq,
        *split_time(hold.time_ns),
    )
