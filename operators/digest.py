"""The digest of a window: what is covered, and in which form (docs/ledger.md).

Promise: equal logs give equal digests, and whoever has the ledger can compute them again. The form
is version 2: the columns of the bids as little-endian bytes, all other rows as lines of JSON. The
text of a dead letter's error is left out: it may change with the decoder, its place and payload
may not. Balances are left out: they are the sums of the movements that are covered.
"""

from collections.abc import Iterator
from dataclasses import astuple
from hashlib import sha256
from typing import Final

import msgspec

from state.window import CommandRow, DeadLetter, Metering, Settlement

FORM: Final = b"\x02"
COLUMNS: Final = (
    ("seq", "<i8"),
    ("ord", "<i2"),
    ("time_ns", "<i8"),
    ("account", "<i4"),
    ("event_id", "u1"),
    ("resource", "<i4"),
    ("quantity", "<i8"),
    ("unit_price_micros", "<i8"),
    ("min_quantity", "<i8"),
    ("status", "u1"),
    ("reason", "u1"),
    ("won", "<i8"),
    ("paid_micros", "<i8"),
    ("lost_value_micros", "<i8"),
)
"""The columns of the bids in the order in which they are covered, with their types."""

_json = msgspec.json.Encoder()


def digest_of(settlement: Settlement) -> bytes:
    """sha256 over the digest before, the form's version, the bids, and all other rows."""
    running = sha256(settlement.prev_digest + FORM)
    running.update(_json.encode_lines([("window", settlement.window_id, len(settlement.bids))]))
    for name, dtype in COLUMNS:
        running.update(getattr(settlement.bids, name).astype(dtype, copy=False).tobytes())
    running.update(_json.encode_lines(_lines(settlement)))
    return running.digest()


def _lines(settlement: Settlement) -> Iterator[tuple[object, ...]]:
    new, bids = settlement.new_names, settlement.bids
    for number, (market, owner) in enumerate(new.accounts, new.first_account):
        yield "account", number, market, owner
    for number, name in enumerate(new.resources, new.first_resource):
        yield "resource", number, name
    for row, bundle in sorted(bids.bundles.items()):
        yield "bundle", int(bids.seq[row]), int(bids.ord[row]), sorted(bundle.items())
    yield from map(_command, settlement.commands)
    yield from map(_dead_letter, settlement.dead_letters)
    for price in settlement.prices:
        yield "price", *astuple(price)
    for market_row in settlement.markets:
        yield "market", *(str(value) for value in astuple(market_row))
    yield from _metering(settlement.metering)


def _metering(metering: Metering) -> Iterator[tuple[object, ...]]:
    """What meters did, and what was won for them; how lots were drawn on follows from it."""
    for lot in metering.lots:
        yield "lot", lot.account, lot.resource, lot.last_window, lot.meter, lot.units
    for hold in metering.holds:
        yield "hold", *hold[:-1]
    for hold, *ended in metering.usage:
        yield "usage", *hold[:4], *ended
    for meter in metering.meters:
        yield "meter", *meter


def _command(row: CommandRow) -> tuple[object, ...]:
    return (
        "command",
        row.seq,
        row.ord,
        row.time_ns,
        row.market,
        row.sender,
        row.event_id,
        row.type,
        row.reason,
        row.amount_micros,
        row.recipient,
        row.purpose,
    )


def _dead_letter(letter: DeadLetter) -> tuple[object, ...]:
    payload = sha256(letter.payload).hexdigest()
    place = (letter.seq, letter.ord, letter.time_ns)
    return "dead_letter", *place, letter.subject, letter.payload_bytes, payload
