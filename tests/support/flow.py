"""What the real flow and the naive twin make of a log, as rows of the public views to compare."""

from collections.abc import Iterable, Sequence

from flows.testing import Message, settle_log
from state.accounts import Bid
from state.window import ClosedWindow, CommandRow, Settlement
from tests.twin.rows import LogRecord, Row, Rows
from tests.twin.twin import run
from walras_schemas import HOUSE, INT64_MAX, TREASURY


def run_flow(records: Sequence[Message], window_ms: int) -> Rows:
    """The rows of a log as the flow settles it."""
    return rows_of(settle_log(records, window_ms=window_ms).windows)


def run_twin(records: Sequence[Message], window_ms: int) -> Rows:
    """The rows of a log as the twin settles it."""
    own = [LogRecord(one.seq, one.timestamp_ns, one.subject, one.payload) for one in records]
    return run(own, window_ms=window_ms)


def rows_of(windows: Iterable[ClosedWindow]) -> Rows:
    """Settlements as the public views show them."""
    rows = Rows()
    balances: dict[tuple[str, str], int] = {}
    for window in windows:
        if isinstance(window, Settlement):
            _add(rows, window)
            balances |= {(b.market, b.agent): b.balance_micros for b in window.balances}
    rows.accounts = [
        {"market": market, "agent_id": agent, "balance_micros": balance}
        for (market, agent), balance in balances.items()
    ]
    return rows


def _add(rows: Rows, window: Settlement) -> None:
    for bid in window.bids:
        rows.bids.append(_bid(bid, window))
        rows.allocations += _allocations(bid, window)
        if bid.paid_micros:
            place = _place(bid, window)
            rows.transactions += _movement(place, bid.agent, HOUSE, bid.paid_micros, kind="payment")
    for row in window.commands:
        rows.commands.append(_command(row, window))
        rows.transactions += _command_movement(row, window)
    for price in window.prices:
        rows.prices.append(
            {
                "market": price.market,
                "window_id": window.window_id,
                "resource": price.resource,
                "reference_micros": price.reference_micros,
                "clearing_micros": price.clearing_micros,
                "supply": price.supply,
                "demanded": price.demanded,
                "sold": price.sold,
                "stale": price.stale,
            }
        )
    for letter in window.dead_letters:
        rows.dead_letters.append({"seq": letter.seq, "ord": letter.ord, "subject": letter.subject})
    rows.windows.append(
        {
            "shard": window.shard,
            "window_id": window.window_id,
            "first_seq": window.first_seq,
            "last_seq": window.next_seq - 1,
        }
    )


def _place(row: Bid | CommandRow, window: Settlement) -> Row:
    return {
        "market": row.market,
        "event_id": row.event_id,
        "seq": row.seq,
        "ord": row.ord,
        "window_id": window.window_id,
        "timestamp_ns": row.time_ns,
    }


def _bid(bid: Bid, window: Settlement) -> Row:
    return {
        **_place(bid, window),
        "agent_id": bid.agent,
        "shard": window.shard,
        "kind": "unit" if bid.bundle is None else "bundle",
        "bundle": dict(bid.demand),
        "limit_micros": bid.limit_micros if bid.limit_micros <= INT64_MAX else None,
        "status": str(bid.status),
        "reason": bid.reason and str(bid.reason),
        "paid_micros": bid.paid_micros,
    }


def _allocations(bid: Bid, window: Settlement) -> list[Row]:
    return [
        {**_place(bid, window), "agent_id": bid.agent, "resource": name, "quantity": units}
        for name, units in bid.allocation.items()
    ]


def _command(row: CommandRow, window: Settlement) -> Row:
    place = _place(row, window)
    del place["timestamp_ns"]
    return {
        **place,
        "agent_id": row.sender,
        "type": row.type,
        "status": "rejected" if row.reason else "applied",
        "reason": row.reason and str(row.reason),
    }


def _command_movement(row: CommandRow, window: Settlement) -> list[Row]:
    if row.reason is not None or row.amount_micros is None or row.recipient is None:
        return []
    kind = "grant" if row.sender == TREASURY else "transfer"
    return _movement(_place(row, window), row.sender, row.recipient, row.amount_micros, kind=kind)


def _movement(place: Row, debit: str, credit: str, amount: int, *, kind: str) -> list[Row]:
    shared = {**place, "shard": 0, "kind": kind}
    return [
        {**shared, "agent_id": debit, "amount_micros": -amount, "counterparty": credit},
        {**shared, "agent_id": credit, "amount_micros": amount, "counterparty": debit},
    ]
