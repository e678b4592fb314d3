"""Rows written by hand, as the columns in which a shard gives them."""

from collections.abc import Iterator, Mapping, Sequence

import numpy as np

from state.bids import (
    BUNDLE,
    NOT_REPORTED,
    REASON_CODES,
    STATUSES,
    Bid,
    Bids,
    empty_columns,
    event_id_bytes,
)
from state.names import Names, Owner
from state.window import Balances, CommandRow
from walras_schemas import HOUSE


def columns_of(bids: Sequence[Bid], names: Names) -> Bids:
    """The bids as columns; names that are not known yet get their numbers."""
    rows = {
        "seq": [bid.seq for bid in bids],
        "ord": [bid.ord for bid in bids],
        "time_ns": [bid.time_ns for bid in bids],
        "account": [names.account(bid.market, bid.agent) for bid in bids],
        "resource": [
            BUNDLE if bid.resource is None else names.resource(bid.resource) for bid in bids
        ],
        "quantity": [bid.quantity for bid in bids],
        "unit_price_micros": [bid.unit_price_micros for bid in bids],
        "min_quantity": [bid.min_quantity for bid in bids],
    }
    columns = empty_columns()
    columns |= {name: np.array(row, dtype=columns[name].dtype) for name, row in rows.items()}
    ids = b"".join(event_id_bytes(bid.event_id) for bid in bids)
    columns["event_id"] = np.frombuffer(ids, dtype=np.uint8).reshape(-1, 16)
    bundles = {row: bid.bundle for row, bid in enumerate(bids) if bid.bundle is not None}
    made = Bids.of(columns, bundles)
    made.names = names
    made.status[:] = [STATUSES.index(bid.status) for bid in bids]
    made.reason[:] = [REASON_CODES[bid.reason] for bid in bids]
    made.won[:] = [bid.won for bid in bids]
    made.paid_micros[:] = [bid.paid_micros for bid in bids]
    lost_values = [bid.lost_value_micros for bid in bids]
    made.lost_value_micros[:] = [NOT_REPORTED if each is None else each for each in lost_values]
    return made


def movers(bids: Sequence[Bid], commands: Sequence[CommandRow]) -> Iterator[Owner]:
    """Who moved credits."""
    for row in commands:
        if row.recipient is not None and row.reason is None:
            yield row.market, row.sender
            yield row.market, row.recipient
    for bid in bids:
        if bid.paid_micros:
            yield bid.market, bid.agent
            yield bid.market, HOUSE


def balances_of(micros: Mapping[Owner, int], movers: set[Owner], names: Names) -> Balances:
    """As a shard gives them: numbers ascending, zero in the column where it is too narrow."""
    by_number = sorted((names.account(*owner), owner) for owner in micros)
    owners = [owner for _, owner in by_number]
    wide = {number: micros[owner] for number, owner in by_number if abs(micros[owner]) > 2**62}
    narrow = [0 if number in wide else micros[owner] for number, owner in by_number]
    return Balances(
        accounts=np.array([number for number, _ in by_number], dtype=np.int32),
        micros=np.array(narrow, dtype=np.int64),
        moved=np.array([owner in movers for owner in owners], dtype=np.bool_),
        wide=wide,
    )
