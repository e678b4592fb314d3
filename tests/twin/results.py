"""What is said of a closed window: the row of each active market, and the messages of SEMANTICS §7.

Promise: everything is read off the rows of that one window and the balances after it; the digest of
a window message is left out.
"""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Final

from tests.twin.offers import Place, Vector
from tests.twin.rows import Row, Rows

MAX_RESULT_BYTES: Final = 512 * 1024
US_PER_MS: Final = 1_000


@dataclass(slots=True)
class Window:
    """A window as it was read: its bounds, its rows, what bids won and what transfers were for."""

    shard: int
    window_id: int
    window_ms: int
    first_seq: int
    last_seq: int
    only_ticks: bool = True
    rows: Rows = field(default_factory=Rows)
    won: dict[Place, Vector] = field(default_factory=dict)
    purposes: dict[Place, str] = field(default_factory=dict)

    @property
    def opened_at_us(self) -> int:
        return self.window_id * self.window_ms * US_PER_MS

    @property
    def closed_at_us(self) -> int:
        return (self.window_id + 1) * self.window_ms * US_PER_MS

    def row(self) -> Row:
        """What the view `windows` says of it."""
        return {
            "shard": self.shard,
            "window_id": self.window_id,
            "first_seq": self.first_seq,
            "last_seq": self.last_seq,
            "opened_at_us": self.opened_at_us,
            "closed_at_us": self.closed_at_us,
        }


def market_window(window: Window, market: str, rule: str) -> Row:
    """What the view `market_windows` says of a market that was active in a settled window."""
    bids = [bid for bid in window.rows.bids if bid["market"] == market]
    commands = [command for command in window.rows.commands if command["market"] == market]
    status = Counter(bid["status"] for bid in bids)
    kept = [bid for bid in bids if bid["status"] not in ("rejected", "withdrawn")]
    names = ("won", "partially_won", "lost", "withdrawn", "rejected")
    return {
        "market": market,
        "window_id": window.window_id,
        "shard": window.shard,
        "rule": rule,
        "agents": len({bid["agent_id"] for bid in bids}),
        "bids": len(bids),
        **{name: status[name] for name in names},
        "commands": len(commands),
        "paid_micros": sum(bid["paid_micros"] for bid in bids),
        "offered_micros": sum(bid["limit_micros"] for bid in kept),
        "served_micros": sum(_served_micros(window, bid) for bid in kept),
    }


def _served_micros(window: Window, bid: Row) -> int:
    """Its limit for what it won: a bundle's whole limit, of a unit bid the units' own price."""
    won = sum(window.won.get(_place(bid), {}).values())
    if bid["kind"] == "bundle":
        return int(bid["limit_micros"]) if won else 0
    [quantity] = bid["bundle"].values()
    return won * int(bid["limit_micros"] // quantity)


def _place(row: Row) -> Place:
    return row["seq"], row["ord"]


# --- window.<market> ------------------------------------------------------------------------------


def window_message(window: Window, summary: Row) -> Row:
    """The message of an active market: its row of `market_windows` and its prices, by name."""
    prices = [row for row in window.rows.prices if row["market"] == summary["market"]]
    not_of_a_price = ("market", "window_id")
    return {
        "type": "market_window",
        "version": 2,
        "window_ms": window.window_ms,
        "next_seq": window.last_seq + 1,
        "closed_at": _rfc3339(window.closed_at_us),
        **summary,
        "prices": [
            {name: value for name, value in row.items() if name not in not_of_a_price}
            for row in sorted(prices, key=lambda row: str(row["resource"]))
        ],
    }


def _rfc3339(time_us: int) -> str:
    """The time in UTC with as many fractional digits as it needs."""
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=time_us)
    fraction = f".{moment.microsecond:06}".rstrip("0").rstrip(".")
    return moment.strftime("%Y-%m-%dT%H:%M:%S") + fraction + "Z"


# --- result.<market>.<agent> ----------------------------------------------------------------------


def agent_result(window: Window, market: str, agent: str, *, balance_micros: int) -> Row:
    """All that happened to an agent in one market and window, or the counts where it is too much.

    Its size is that of compact UTF-8 JSON. The counts are of the outcomes, by status, and a status
    that did not occur is not among them.
    """
    head = {
        "type": "agent_result",
        "version": 2,
        "market": market,
        "agent_id": agent,
        "shard": window.shard,
        "window_id": window.window_id,
        "balance_micros": balance_micros,
    }
    outcomes = _outcomes(window, market, agent)
    lists = {"outcomes": outcomes, "credits": _credits(window, market, agent)}
    whole = head | {"complete": True} | lists
    text = json.dumps(whole, separators=(",", ":"), ensure_ascii=False)
    if len(text.encode()) <= MAX_RESULT_BYTES:
        return whole
    counts = Counter(outcome["status"] for outcome in outcomes)
    return head | {"complete": False, "counts": dict(counts)}


def agents_with_results(window: Window) -> set[tuple[str, str]]:
    """Each market and agent that sent something well formed in it, or received credits."""
    rows = window.rows
    senders = {(row["market"], row["agent_id"]) for row in rows.bids + rows.commands}
    takers = {(row["market"], row["agent_id"]) for row in rows.transactions if _is_credit(row)}
    return {
        (market, agent)
        for market, agent in senders | takers
        if agent != "treasury" and not agent.startswith("meter.")
    }


def _is_credit(row: Row) -> bool:
    return row["kind"] in ("grant", "transfer") and row["amount_micros"] > 0


def _outcomes(window: Window, market: str, agent: str) -> list[Row]:
    own = [
        row
        for row in window.rows.bids + window.rows.commands
        if (row["market"], row["agent_id"]) == (market, agent)
    ]
    return [_outcome(window, row) for row in sorted(own, key=_place)]


def _outcome(window: Window, row: Row) -> Row:
    outcome = {name: row[name] for name in ("event_id", "seq", "ord", "status")}
    if "kind" in row:
        outcome |= {"won": window.won.get(_place(row), {}), "paid_micros": row["paid_micros"]}
    else:
        outcome |= {"type": row["type"]}
    if row["reason"] is not None:
        outcome |= {"reason": row["reason"]}
    if _place(row) in window.purposes:  # a refused transfer shows what it gave, too
        outcome |= {"purpose": window.purposes[_place(row)]}
    return outcome


def _credits(window: Window, market: str, agent: str) -> list[Row]:
    received = [
        row
        for row in window.rows.transactions
        if (row["market"], row["agent_id"]) == (market, agent) and _is_credit(row)
    ]
    return [_credit(row) for row in sorted(received, key=_place)]


def _credit(row: Row) -> Row:
    credit = {
        "seq": row["seq"],
        "ord": row["ord"],
        "kind": row["kind"],
        "from_agent_id": row["counterparty"],
        "amount_micros": row["amount_micros"],
    }
    return credit if row["purpose"] is None else credit | {"purpose": row["purpose"]}
