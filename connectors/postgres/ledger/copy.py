"""The rows that a window adds to the ledger, written by the fastest way in: binary COPY.

**Promise:** what is written is read back exactly, times to the nanosecond. The one exception is a
dead letter's text that no Postgres text can hold: NUL and lone surrogates are written as escapes.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import astuple, dataclass
from typing import Final, Self

from psycopg import Connection

from connectors.postgres.ledger.bid_rows import MICROS_AT_2000, copy_bids
from state.bids import REASON_CODES, event_id_bytes
from state.log import escape_for_storage
from state.window import Settlement

Row = tuple[object, ...]

TIMESTAMPTZ: Final = "int8"
# On the wire a uuid is its 16 bytes.
_UUID: Final = "bytea"


@dataclass(frozen=True, slots=True)
class Table:
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


_ACCOUNTS: Final = Table.of(
    "account", {"shard": "int2", "account": "int4", "market": "text", "agent_id": "text"}
)
_RESOURCES: Final = Table.of("resource_name", {"shard": "int2", "resource": "int4", "name": "text"})
_POSITION: Final = {
    "seq": "int8",
    "ord": "int2",
    "window_id": "int8",
    "timestamp": TIMESTAMPTZ,
    "rest_ns": "int2",
}
_COMMANDS: Final = Table.of(
    "command",
    {"shard": "int2"}
    | _POSITION
    | {
        "market": "text",
        "agent_id": "text",
        "event_id": _UUID,
        "type": "text",
        "reason": "int2",
        "amount_micros": "int8",
        "recipient": "text",
        "purpose": "text",
    },
)
_DEAD_LETTERS: Final = Table.of(
    "dead_letter",
    {"shard": "int4"}
    | _POSITION
    | {"subject": "text", "error": "text", "payload": "bytea", "payload_bytes": "int4"},
)
_PRICES: Final = Table.of(
    "price",
    {
        "window_id": "int8",
        "market": "text",
        "resource": "text",
        "reference_micros": "int8",
        "reserve_micros": "int8",
        "clearing_micros": "int8",
        "supply": "int8",
        "demanded": "int8",
        "wanted": "int8",
        "sold": "int8",
        "stale": "bool",
    },
)
_MARKETS: Final = Table.of(
    "market_window",
    {
        "shard": "int2",
        "window_id": "int8",
        "market": "text",
        "rule": "text",
        "agents": "int8",
        "bids": "int8",
        "won": "int8",
        "partially_won": "int8",
        "lost": "int8",
        "withdrawn": "int8",
        "rejected": "int8",
        "commands": "int8",
        "paid_micros": "numeric",
        "offered_micros": "numeric",
        "served_micros": "numeric",
    },
)


def copy_names(conn: Connection, settlement: Settlement) -> None:
    """Add the accounts and resources that a window mentioned first, under their numbers."""
    shard, new = settlement.shard, settlement.new_names
    if new.accounts:
        accounts = enumerate(new.accounts, new.first_account)
        _ACCOUNTS.fill(conn, ((shard, number, *owner) for number, owner in accounts))
    if new.resources:
        resources = enumerate(new.resources, new.first_resource)
        _RESOURCES.fill(conn, ((shard, number, name) for number, name in resources))


def copy_rows(conn: Connection, settlement: Settlement) -> None:
    """Add a window's bids, commands, dead letters, markets and prices."""
    copy_bids(conn, settlement)
    if settlement.commands:
        _COMMANDS.fill(conn, _command_rows(settlement))
    if settlement.dead_letters:
        _DEAD_LETTERS.fill(conn, _dead_letter_rows(settlement))
    if settlement.markets:
        _MARKETS.fill(conn, _market_rows(settlement))
    if settlement.prices:
        _PRICES.fill(conn, _price_rows(settlement))


def split_time(time_ns: int) -> tuple[int, int]:
    micros, rest_ns = divmod(time_ns, 1000)
    return micros - MICROS_AT_2000, rest_ns


def _command_rows(settlement: Settlement) -> Iterator[Row]:
    for row in settlement.commands:
        yield (
            settlement.shard,
            row.seq,
            row.ord,
            settlement.window_id,
            *split_time(row.time_ns),
            row.market,
            row.sender,
            None if row.event_id is None else event_id_bytes(row.event_id),
            row.type,
            REASON_CODES[row.reason],
            row.amount_micros,
            row.recipient,
            row.purpose,
        )


def _dead_letter_rows(settlement: Settlement) -> Iterator[Row]:
    for letter in settlement.dead_letters:
        yield (
            settlement.shard,
            letter.seq,
            letter.ord,
            settlement.window_id,
            *split_time(letter.time_ns),
            escape_for_storage(letter.subject),
            escape_for_storage(letter.error),
            letter.payload,
            letter.payload_bytes,
        )


def _market_rows(settlement: Settlement) -> Iterator[Row]:
    for row in settlement.markets:
        yield settlement.shard, settlement.window_id, *astuple(row)


def _price_rows(settlement: Settlement) -> Iterator[Row]:
    for row in settlement.prices:
        yield settlement.window_id, *astuple(row)
