"""The rows that a window adds to the ledger, written by the fastest way in: binary COPY.

Promise: what is written is read back exactly, times to the nanosecond. The one exception is text of
a dead letter that no Postgres text can hold: NUL and lone surrogates are written as escapes.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from operator import attrgetter
from typing import Final, Self

import msgspec
from psycopg import Connection
from psycopg.types.json import Jsonb

from state.log import escape_for_storage
from state.window import Settlement

Row = tuple[object, ...]

# On the wire a timestamptz is an int8 of microseconds since 2000: no datetime is ever built.
_MICROS_AT_2000: Final = 946_684_800_000_000
_TIMESTAMPTZ: Final = "int8"
# On the wire an enum is its text.
_ENUM: Final = "text"


@dataclass(frozen=True, slots=True)
class _Table:
    """A table to copy to: the statement, and the types of the values on the wire."""

    copy: str
    types: tuple[str, ...]

    @classmethod
    def of(cls, name: str, columns: Mapping[str, str]) -> Self:
        names = ", ".join(f'"{column}"' for column in columns)
        copy = f"COPY ledger.{name} ({names}) FROM STDIN (FORMAT binary)"
        return cls(copy, types=tuple(columns.values()))

    def fill(self, conn: Connection, rows: Iterable[Row]) -> None:
        with conn.cursor() as cursor, cursor.copy(self.copy) as copy:
            copy.set_types(self.types)
            for row in rows:
                copy.write_row(row)


_POSITION: Final = {
    "shard": "int4",
    "seq": "int8",
    "ord": "int2",
    "window_id": "int8",
    "timestamp": _TIMESTAMPTZ,
    "rest_ns": "int2",
}
_BIDS: Final = _Table.of(
    "bid",
    _POSITION
    | {
        "market": "text",
        "agent_id": "text",
        "event_id": "text",
        "resource": "text",
        "quantity": "int8",
        "unit_price_micros": "int8",
        "min_quantity": "int8",
        "bundle": "jsonb",
        "status": _ENUM,
        "reason": _ENUM,
        "won": "int8",
        "paid_micros": "int8",
    },
)
_COMMANDS: Final = _Table.of(
    "command",
    _POSITION
    | {
        "market": "text",
        "agent_id": "text",
        "event_id": "text",
        "type": "text",
        "reason": _ENUM,
        "amount_micros": "int8",
        "recipient": "text",
    },
)
_DEAD_LETTERS: Final = _Table.of(
    "dead_letter", _POSITION | {"subject": "text", "error": "text", "payload": "bytea"}
)
_PRICES: Final = _Table.of(
    "price",
    {
        "market": "text",
        "window_id": "int8",
        "resource": "text",
        "reference_micros": "int8",
        "clearing_micros": "int8",
        "supply": "int8",
        "demanded": "int8",
        "sold": "int8",
        "stale": "bool",
    },
)


def copy_rows(conn: Connection, settlement: Settlement) -> None:
    """Add a window's bids, commands, dead letters and prices."""
    if settlement.bids:
        _BIDS.fill(conn, _bid_rows(settlement))
    if settlement.commands:
        _COMMANDS.fill(conn, _command_rows(settlement))
    if settlement.dead_letters:
        _DEAD_LETTERS.fill(conn, _dead_letter_rows(settlement))
    if settlement.prices:
        _PRICES.fill(conn, _price_rows(settlement))


def _time(time_ns: int) -> tuple[int, int]:
    micros, rest_ns = divmod(time_ns, 1000)
    return micros - _MICROS_AT_2000, rest_ns


def _bid_rows(settlement: Settlement) -> Iterator[Row]:
    """Ordered by agent, then by time, like the index on both: inserts into it are then cheapest."""
    shard, window_id = settlement.shard, settlement.window_id
    for bid in sorted(settlement.bids, key=attrgetter("agent")):
        yield (
            shard,
            bid.seq,
            bid.ord,
            window_id,
            *_time(bid.time_ns),
            bid.market,
            bid.agent,
            bid.event_id,
            bid.resource,
            bid.quantity,
            bid.unit_price_micros,
            bid.min_quantity,
            None if bid.bundle is None else Jsonb(bid.bundle, msgspec.json.encode),
            bid.status,
            bid.reason,
            bid.won,
            bid.paid_micros,
        )


def _command_rows(settlement: Settlement) -> Iterator[Row]:
    for row in settlement.commands:
        yield (
            settlement.shard,
            row.seq,
            row.ord,
            settlement.window_id,
            *_time(row.time_ns),
            row.market,
            row.sender,
            row.event_id,
            row.type,
            row.reason,
            row.amount_micros,
            row.recipient,
        )


def _dead_letter_rows(settlement: Settlement) -> Iterator[Row]:
    for letter in settlement.dead_letters:
        yield (
            settlement.shard,
            letter.seq,
            letter.ord,
            settlement.window_id,
            *_time(letter.time_ns),
            escape_for_storage(letter.subject),
            escape_for_storage(letter.error),
            letter.payload,
        )


def _price_rows(settlement: Settlement) -> Iterator[Row]:
    for row in settlement.prices:
        yield (
            row.market,
            settlement.window_id,
            row.resource,
            row.reference_micros,
            row.clearing_micros,
            row.supply,
            row.demanded,
            row.sold,
            row.stale,
        )
