"""Describes what rows say of an event, a window or an account, in the words of a story.

**Promise:** a description is complete for its words: `won 2 pay 16` appears only where the bid's
status, its allocations, its paid amount and its postings all agree; where they do not, it says so,
and then equals no expectation.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any, Final

from tests.twin.rows import Row, Rows

Describe = Callable[[Rows], str]


def of_event(seq: int, ord_: int) -> Describe:
    """What became of one event: a bid's outcome, `applied`, a reason, `dead`, or `nothing`."""

    def describe(rows: Rows) -> str:
        found = [_bid(rows, row) for row in rows.bids if _at(row, seq, ord_)]
        found += [row["reason"] or row["status"] for row in rows.commands if _at(row, seq, ord_)]
        found += ["dead" for row in rows.dead_letters if _at(row, seq, ord_)]
        return " and ".join(found) or "nothing"

    return describe


def of_metering(seq: int, ord_: int, event: dict[str, Any]) -> Describe:
    """What became of a meter's event: `held`, `settled`, a reason, `dead`, or `no row`."""

    def describe(rows: Rows) -> str:
        number = (event["epoch"], event.get("n"))
        holds = rows.open_holds + rows.usage if event["type"] == "units_held" else []
        ended = rows.usage if event["type"] == "units_settled" else []
        found = ["held" for row in holds if (row["held_seq"], *_number(row)) == (seq, *number)]
        found += [
            "settled" for row in ended if (row["settled_seq"], *_number(row)) == (seq, *number)
        ]
        refused = of_event(seq, ord_)(rows)
        found += [] if refused == "nothing" else [refused]
        return " and ".join(found) or "no row"

    return describe


def _number(row: Row) -> tuple[int, int]:
    return row["epoch"], row["n"]


def of_allowance(market: str, owner: list[str], _first_id: int) -> Describe:
    """What became of all that an agent won of a resource, zeros left out."""

    def describe(rows: Rows) -> str:
        found = [row for row in rows.allowances if _owner(row) == (market, *owner)]
        names = ("won", "free", "held", "used", "overdrawn", "expired")
        said = [f"{name} {row[name]}" for row in found for name in names if row[name]]
        return " ".join(said) or "none"

    return describe


def of_lots(market: str, owner: list[str], first_id: int) -> Describe:
    """The lots of an agent and resource that are shown, the oldest first."""

    def describe(rows: Rows) -> str:
        found = [row for row in rows.lots if _owner(row) == (market, *owner)]
        said = [
            f"{row['remaining']} of {row['units']} until {row['last_window'] - first_id}"
            for row in sorted(found, key=lambda row: row["window_id"])
        ]
        return ", ".join(said) or "none"

    return describe


def of_usage(market: str, numbers: list[str], _first_id: int) -> Describe:
    """How the holds of a number ended, in the order of the log."""

    def describe(rows: Rows) -> str:
        own = [row for row in rows.usage if (row["market"], str(row["n"])) == (market, *numbers)]
        said = [
            f"{row['used']} of {row['held']} {row['outcome']}"
            for row in sorted(own, key=lambda row: row["held_seq"])
        ]
        return ", ".join(said) or "none"

    return describe


def of_meter(market: str, numbers: list[str], first_id: int) -> Describe:
    """A meter as it is."""

    def describe(rows: Rows) -> str:
        own = [
            row for row in rows.meters if (row["market"], str(row["meter"])) == (market, *numbers)
        ]
        said = [
            f"epoch {row['epoch']} next {row['next_n']}"
            + (f" window {row['window_id'] - first_id}" if row["window_id"] else "")
            for row in own
        ]
        return " and ".join(said) or "none"

    return describe


def _owner(row: Row) -> tuple[str, str, str]:
    return row["market"], row["agent_id"], row["resource"]


def of_message(seq: int) -> Describe:
    """What became of every event of a message, in the order of the batch."""

    def describe(rows: Rows) -> str:
        every = rows.bids + rows.commands + rows.dead_letters
        ords = sorted({row["ord"] for row in every if row["seq"] == seq})
        gap = "" if ords == list(range(len(ords))) else f" (at {ords})"
        return ", ".join(of_event(seq, ord_)(rows) for ord_ in ords) + gap or "nothing"

    return describe


def of_window(market: str, window_id: int, expected: str) -> Describe:
    """What a window's prices say of the resources and columns that the expectation names."""

    def describe(rows: Rows) -> str:
        if expected == "no row":
            left = [row for row in rows.windows if row["window_id"] == window_id]
            return "a row" if left else "no row"
        phrases = [phrase.split() for phrase in expected.split(",")]
        return ", ".join(_resource(rows, market, window_id, words) for words in phrases)

    return describe


def of_windows(first_id: int) -> Describe:
    """The windows that left a row, counted from the first of the story."""

    def describe(rows: Rows) -> str:
        return " ".join(str(row["window_id"] - first_id) for row in rows.windows)

    return describe


def of_messages(window_id: int) -> Describe:
    """The sequences of the first and the last message of a window, ticks among them."""

    def describe(rows: Rows) -> str:
        found = [row for row in rows.windows if row["window_id"] == window_id]
        return " and ".join(f"{row['first_seq']} to {row['last_seq']}" for row in found)

    return describe


def of_balance(market: str, agent: str, seq: int, window_id: int) -> Describe:
    """What the postings before a moment add up to: those up to a message, and closed windows'."""

    def describe(rows: Rows) -> str:
        own = [
            row for row in rows.transactions if (row["market"], row["agent_id"]) == (market, agent)
        ]
        paid = [row for row in own if row["kind"] == "payment" and row["window_id"] < window_id]
        moved = [row for row in own if row["kind"] != "payment" and row["seq"] <= seq]
        return str(sum(row["amount_micros"] for row in paid + moved))

    return describe


def _at(row: Row, seq: int, ord_: int) -> bool:
    return (row["seq"], row["ord"]) == (seq, ord_)


def _bid(rows: Rows, bid: Row) -> str:
    place = (bid["seq"], bid["ord"])
    won = {row["resource"]: row["quantity"] for row in rows.allocations if _at(row, *place)}
    payments = [row for row in rows.transactions if _at(row, *place) and row["kind"] == "payment"]
    posted = -sum(row["amount_micros"] for row in payments if row["agent_id"] != "house")
    if posted != bid["paid_micros"]:
        return f"paid {bid['paid_micros']} but posted {posted}"
    outcome = bid["reason"] or bid["status"]
    if outcome in ("won", "partially_won"):
        return _winner(bid, won)
    return f"{outcome} but allocated {won}, paid {posted}" if won or posted else str(outcome)


def _winner(bid: Row, won: dict[str, int]) -> str:
    if (won == bid["bundle"]) != (bid["status"] == "won") or not won:
        return f"{bid['status']} but allocated {won} of {bid['bundle']}"
    quantity = f" {sum(won.values())}" if bid["kind"] == "unit" else ""
    return f"won{quantity} pay {bid['paid_micros']}"


_COLUMNS: Final = {
    "price": "clearing_micros",
    "sold": "sold",
    "demanded": "demanded",
    "supply": "supply",
    "reference": "reference_micros",
}


def _resource(rows: Rows, market: str, window_id: int, words: list[str]) -> str:
    resource, *asked = words
    key = (market, window_id, resource)
    found = [row for row in rows.prices if _price_key(row) == key]
    if len(found) != 1:
        return f"{resource} " + ("unlisted" if not found else f"listed {len(found)} times")
    names = [word for word in asked if not re.fullmatch(r"-?\d+|none", word)]
    return " ".join([resource, *(_column(found[0], name) for name in names)])


def _price_key(row: Row) -> tuple[Any, ...]:
    return row["market"], row["window_id"], row["resource"]


def _column(row: Row, name: str) -> str:
    if name in ("stale", "fresh"):
        return "stale" if row["stale"] else "fresh"
    if name == "unsold":
        unsold = (row["clearing_micros"], row["sold"]) == (None, 0)
        return "unsold" if unsold else f"price {row['clearing_micros']} sold {row['sold']}"
    if name not in _COLUMNS:
        return "listed"
    value = row[_COLUMNS[name]]
    return f"{name} {'none' if value is None else value}"
