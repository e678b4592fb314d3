"""Settlements as the public views show them: they compare by == with the naive twin's rows."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from operators.results import agent_results, market_windows
from state.bids import Bid
from state.market import Listing
from state.window import (
    ClosedWindow,
    CommandRow,
    DeadLetter,
    HoldRow,
    LotRow,
    MeterRow,
    Settlement,
    UsageRow,
)
from tests.twin.rows import Row, Rows
from walras_schemas import HOUSE, INT64_MAX, TREASURY

NS_PER_US = 1000
US_PER_MS = 1000
SUMS: Final = ("won", "free", "held", "used", "overdrawn")


def rows_of(windows: Iterable[ClosedWindow], *, window_ms: int) -> Rows:
    """Every view, from the windows of a whole log."""
    rows, listings, balances = Rows(), dict[str, Listing](), dict[tuple[str, str], int]()
    settled = [window for window in windows if isinstance(window, Settlement)]
    for window in settled:
        _add(rows, window, window_ms)
        listings |= {listing.market: listing for listing in window.listings}
        names = window.bids.names.accounts
        balances |= {names[number]: micros for number, micros in window.balances.of().items()}
    rows.accounts = [
        {"market": market, "agent_id": owner, "balance_micros": micros}
        for (market, owner), micros in balances.items()
    ]
    _add_metering(rows, settled)
    for listing in listings.values():
        rows.markets.append(_market(listing))
        rows.resources += _resources(listing)
    return rows


def _add(rows: Rows, window: Settlement, window_ms: int) -> None:
    for bid in window.bids:
        row = _bid(bid, window)
        rows.bids.append(row)
        rows.allocations += _allocations(bid, window)
        if bid.paid_micros:
            rows.transactions += _movement(
                _place(bid, window), bid.agent, HOUSE, bid.paid_micros, kind="payment"
            )
        if bid.lost_value_micros is not None:
            rows.paradoxical_rejections.append(row | {"lost_value_micros": bid.lost_value_micros})
    for command in window.commands:
        rows.commands.append(_command(command, window))
        rows.transactions += _command_movement(command, window)
    for price in window.prices:
        fields = {name: getattr(price, name) for name in price.__dataclass_fields__}
        rows.prices.append(fields | {"window_id": window.window_id})
    for market in window.markets:
        fields = {name: getattr(market, name) for name in market.__dataclass_fields__}
        rows.market_windows.append(fields | {"window_id": window.window_id, "shard": window.shard})
    rows.dead_letters += [_dead_letter(letter, window) for letter in window.dead_letters]
    rows.windows.append(_window(window, window_ms))
    rows.agent_results += [json.loads(message.payload) for message in agent_results(window)]
    for message in market_windows(window, window_ms=window_ms):
        content = json.loads(message.payload)
        assert content.pop("digest") == window.digest.hex()
        rows.window_messages.append(content)


def _place(row: Bid | CommandRow, window: Settlement) -> Row:
    return {
        "market": row.market,
        "event_id": row.event_id,
        "seq": row.seq,
        "ord": row.ord,
        "shard": window.shard,
        "window_id": window.window_id,
        "timestamp_us": row.time_ns // NS_PER_US,
    }


def _bid(bid: Bid, window: Settlement) -> Row:
    return {
        **_place(bid, window),
        "agent_id": bid.agent,
        "kind": "unit" if bid.bundle is None else "bundle",
        "bundle": dict(bid.demand),
        "min_quantity": bid.min_quantity if bid.bundle is None else None,
        "limit_micros": bid.limit_micros if bid.limit_micros <= INT64_MAX else None,
        "status": str(bid.status),
        "reason": bid.reason and str(bid.reason),
        "paid_micros": bid.paid_micros,
    }


def _allocations(bid: Bid, window: Settlement) -> Iterator[Row]:
    place = _place(bid, window)
    del place["shard"]
    for name, units in bid.allocation.items():
        yield {**place, "agent_id": bid.agent, "resource": name, "quantity": units}


def _command(row: CommandRow, window: Settlement) -> Row:
    return {
        **_place(row, window),
        "agent_id": row.sender,
        "type": row.type,
        "status": "rejected" if row.reason else "applied",
        "reason": row.reason and str(row.reason),
    }


def _command_movement(row: CommandRow, window: Settlement) -> list[Row]:
    if row.reason is not None or row.amount_micros is None or row.recipient is None:
        return []
    kind = "grant" if row.sender == TREASURY else "transfer"
    place = _place(row, window) | {"purpose": row.purpose}
    return _movement(place, row.sender, row.recipient, row.amount_micros, kind=kind)


def _movement(place: Row, debit: str, credit: str, amount: int, *, kind: str) -> list[Row]:
    txn_id = "-".join(str(place[part]) for part in ("shard", "seq", "ord"))
    shared = {"purpose": None, **place, "kind": kind, "txn_id": txn_id}
    return [
        {**shared, "agent_id": debit, "amount_micros": -amount, "counterparty": credit},
        {**shared, "agent_id": credit, "amount_micros": amount, "counterparty": debit},
    ]


def _dead_letter(letter: DeadLetter, window: Settlement) -> Row:
    return {
        "shard": window.shard,
        "seq": letter.seq,
        "ord": letter.ord,
        "subject": letter.subject,
        "payload": letter.payload,
        "payload_bytes": letter.payload_bytes,
        "timestamp_us": letter.time_ns // NS_PER_US,
    }


def _add_metering(rows: Rows, windows: Sequence[Settlement]) -> None:
    """What the views of §14 show after the last window, from what each window left."""
    lots, holds, meters = dict[Any, LotRow](), dict[Any, Row](), dict[Any, MeterRow]()
    for window in windows:
        made, owners = window.metering, window.bids.names.accounts
        for lot in (*made.lots, *made.changed_lots):
            lots[*owners[lot.account], lot.resource, lot.window_id] = lot
        meters |= {(row.market, row.meter): row for row in made.meters}
        holds |= {hold[:4]: _hold(hold, owners) for hold in made.holds}
        rows.usage += [holds.pop(ended.hold[:4]) | _ended(ended) for ended in made.usage]
    rows.open_holds = list(holds.values())
    rows.meters = [row._asdict() for row in meters.values()]
    allowances: dict[Any, Row] = {}
    for (market, agent, resource, _), lot in lots.items():
        is_past = lot.lapsed or lot.last_window < meters[market, lot.meter].window_id
        remaining = lot.units - lot.held - lot.used
        own = {"market": market, "agent_id": agent, "resource": resource}
        if not is_past:
            shown = ("window_id", "last_window", "units")
            rows.lots.append(
                own | {name: getattr(lot, name) for name in shown} | {"remaining": remaining}
            )
        sums = allowances.setdefault(
            (market, agent, resource), own | dict.fromkeys((*SUMS, "expired"), 0)
        )
        counted = (lot.units, remaining, lot.held, lot.used + lot.overdrawn, lot.overdrawn)
        for name, units in zip(SUMS, counted, strict=True):
            sums["expired" if is_past and name == "free" else name] += units
    rows.allowances = list(allowances.values())


def _hold(hold: HoldRow, owners: Sequence[tuple[str, str]]) -> Row:
    return {
        "market": hold.market,
        "agent_id": owners[hold.account][1],
        "resource": hold.resource,
        "meter": hold.meter,
        "epoch": hold.epoch,
        "n": hold.n,
        "held_seq": hold.seq,
        "window_id": hold.window_id,
        "held": hold.quantity,
        "timestamp_us": hold.time_ns // NS_PER_US,
    }


def _ended(usage: UsageRow) -> Row:
    shown = {"settled_seq": usage.seq, "used": usage.used, "outcome": usage.outcome}
    return shown | {"timestamp_us": usage.time_ns // NS_PER_US}


def _window(window: Settlement, window_ms: int) -> Row:
    return {
        "shard": window.shard,
        "window_id": window.window_id,
        "first_seq": window.first_seq,
        "last_seq": window.next_seq - 1,
        "opened_at_us": window.window_id * window_ms * US_PER_MS,
        "closed_at_us": (window.window_id + 1) * window_ms * US_PER_MS,
    }


def _market(listing: Listing) -> Row:
    return {
        "market": listing.market,
        "shard": 0,
        "rule": listing.rule,
        "open": listing.is_open,
        "opened_seq": listing.opened_seq,
        "stale_after_windows": listing.stale_after_windows,
        "max_commands": listing.max_commands,
        "lag_windows": listing.lag_windows,
        "meters": listing.meters,
    }


def _resources(listing: Listing) -> Iterator[Row]:
    for name, listed in listing.resources.items():
        fields = {field: getattr(listed, field) for field in listed.__dataclass_fields__}
        yield {"market": listing.market, "resource": name, **fields}
