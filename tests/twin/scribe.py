"""Writes small logs for the twin's own tests, one command at a time, at times that a test names.

Promise: windows are one second long, the first begins at `FIRST_WINDOW`, and ids are new, valid and
the same in each run. Every method that writes returns the sequence of its message.
"""

from __future__ import annotations

import json
from typing import Any, Final

from tests.twin.rows import LogRecord, Row, Rows
from tests.twin.twin import run

Event = dict[str, Any]

FIRST_WINDOW: Final = 1_795_366_296
NS_PER_MS: Final = 1_000_000
WINDOW_MS: Final = 1_000


def uuid7(*, born_ms: int, number: int) -> str:
    """An id of that time, unlike those of other numbers."""
    digits = f"{born_ms:012x}7000{0x8000:04x}{number:012x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


def at(rows: list[Row], seq: int, ord_: int = 0) -> Row:
    """The one row of an event."""
    [row] = [row for row in rows if (row["seq"], row["ord"]) == (seq, ord_)]
    return row


def reason_of(rows: Rows, seq: int, ord_: int = 0) -> str | None:
    """Why an event was rejected; None where it was applied."""
    found: str | None = at(rows.bids + rows.commands, seq, ord_)["reason"]
    return found


def of_window(rows: list[Row], number: int, **named: str) -> list[Row]:
    """The rows of a window, counted from the first, that hold all the named values."""
    return [
        row
        for row in rows
        if row["window_id"] == FIRST_WINDOW + number and named.items() <= row.items()
    ]


class Scribe:
    """A log that grows by a command at a time, of the market `m1` where no other is named."""

    def __init__(self) -> None:
        self.log: list[LogRecord] = []
        self.now_ns = FIRST_WINDOW * WINDOW_MS * NS_PER_MS
        self.ids = 0

    def rows(self) -> Rows:
        """What the twin makes of the log."""
        return run(self.log, window_ms=WINDOW_MS)

    def window(self, number: int, *, after_ns: int = 0) -> None:
        """Move to that window, counted from the first, and so long after it began."""
        self.now_ns = (FIRST_WINDOW + number) * WINDOW_MS * NS_PER_MS + after_ns

    def write(self, subject: str, payload: bytes) -> int:
        self.log.append(LogRecord(len(self.log) + 1, self.now_ns, subject, payload))
        return len(self.log)

    def send(self, subject: str, *events: Event) -> int:
        """One event as a message of its own, more as a batch."""
        content = events[0] if len(events) == 1 else list(events)
        return self.write(subject, json.dumps(content, ensure_ascii=False).encode())

    def event(self, kind: str, **values: Any) -> Event:
        self.ids += 1
        born_ms = self.now_ns // NS_PER_MS
        return {"type": kind, "event_id": uuid7(born_ms=born_ms, number=self.ids)} | values

    # --- one command ------------------------------------------------------------------------------

    def tick(self) -> int:
        return self.write("clock.0", b"")

    def opening(self, resources: dict[str, Any], **values: Any) -> Event:
        """A `market_opened`; a resource is its supply alone (at 1 micro) or all of its terms."""
        listed = {
            r: {"supply": terms, "initial_price_micros": 1} if isinstance(terms, int) else terms
            for r, terms in resources.items()
        }
        return self.event("market_opened", resources=listed, **values)

    def open(self, resources: dict[str, Any], *, market: str = "m1", **values: Any) -> int:
        return self.send(f"market.{market}.market", self.opening(resources, **values))

    def close(self, *, market: str = "m1") -> int:
        return self.send(f"market.{market}.market", self.event("market_closed"))

    def supply(self, resource: str, supply: int) -> int:
        event = self.event("supply_changed", resource=resource, supply=supply)
        return self.send("market.m1.market", event)

    def quote(self, resource: str, price_micros: int, *, market: str = "m1") -> int:
        event = self.event("price_quoted", price_micros=price_micros)
        return self.send(f"market.{market}.price.{resource}", event)

    def grant(self, agent: str, amount: int, *, market: str = "m1", **values: Any) -> int:
        event = self.event("credits_granted", agent_id=agent, amount_micros=amount, **values)
        return self.send(f"market.{market}.grant", event)

    def transfer(self, giver: str, taker: str, amount: int, **values: Any) -> int:
        event = self.event("credits_transferred", to_agent_id=taker, amount_micros=amount, **values)
        return self.send(f"market.m1.transfer.{giver}", event)

    def unit(self, quantity: int, price: int, *, resource: str = "gpu", **values: Any) -> Event:
        """A unit bid that is not sent yet."""
        wish = {"resource": resource, "quantity": quantity, "unit_price_micros": price}
        return self.event("bid_placed", **wish, **values)

    def bid(self, agent: str, quantity: int, price: int, *, market: str = "m1", **more: Any) -> int:
        return self.send(f"market.{market}.bid.{agent}", self.unit(quantity, price, **more))

    def bundle(self, agent: str, bundle: dict[str, int], limit_micros: int) -> int:
        event = self.event("bid_placed", bundle=bundle, limit_micros=limit_micros)
        return self.send(f"market.m1.bid.{agent}", event)

    def withdraw(self, agent: str, bid_event_id: str) -> int:
        event = self.event("bid_withdrawn", bid_event_id=bid_event_id)
        return self.send(f"market.m1.bid.{agent}", event)


def opened(**values: Any) -> Scribe:
    """A market of 10 gpu at 1 micro, and two agents of 1 000 micros each."""
    scribe = Scribe()
    scribe.open({"gpu": 10}, **values)
    scribe.grant("a1", 1_000)
    scribe.grant("a2", 1_000)
    return scribe
