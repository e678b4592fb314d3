"""The messages of one sender who wants to slow the market down for everybody else.

They are what an agent may publish with permissions of its own: valid commands in an unusual form,
commands that the market refuses late, and malformed ones, mixed. Promise: the same seed gives the
same messages but for their ids; most of a window's stay within the quota of commands.
"""

import json
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

from walras_schemas import AMOUNT_MAX, BATCH_MAX, QUANTITY_MAX, subjects

SENDER: Final = "hostile"
BATCH: Final = 20
HIGH_MICROS: Final = AMOUNT_MAX // 2
"""A price that its account can pay, and no other price comes near."""
DEPTH: Final = 200
STALE_ID: Final = "00000000-0000-7000-8000-000000000000"

NextId = Callable[[], str]
Command = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Hand:
    """What the sender writes with."""

    rng: random.Random
    next_id: NextId
    resources: Sequence[str]

    def bid(self, **changed: object) -> Command:
        """A unit bid but for what is changed."""
        usual: Command = {
            "type": "bid_placed",
            "event_id": self.next_id(),
            "resource": self.rng.choice(self.resources),
            "quantity": self.rng.randint(1, 80),
            "unit_price_micros": self.rng.randint(500, 2000),
        }
        return usual | changed

    def bundle(self, *names: str) -> Command:
        """A bundle of one unit each."""
        return {
            "type": "bid_placed",
            "event_id": self.next_id(),
            "bundle": dict.fromkeys(names, 1),
            "limit_micros": self.rng.randint(500, 2000) * len(names),
        }


Form = Callable[[Hand], bytes]


def _json(content: object) -> bytes:
    return json.dumps(content, separators=(",", ":")).encode()


def _reversed(hand: Hand) -> bytes:
    return _json(dict(reversed(hand.bid().items())))


def _with_everything(hand: Hand) -> bytes:
    timestamp = "2026-01-01T00:00:00Z"
    return _json(hand.bid(version=1, timestamp=timestamp, scenario_id="odd", min_quantity=1))


def _repeated_id(hand: Hand) -> bytes:
    return _json([hand.bid(event_id=(same := hand.next_id())), hand.bid(event_id=same)])


def _new_name(hand: Hand) -> bytes:
    return _json(hand.bid(resource=f"odd-{hand.rng.randrange(10**9)}"))


def _not_open(hand: Hand) -> bytes:
    ids = {"event_id": hand.next_id(), "bid_event_id": hand.next_id()}
    return _json({"type": "bid_withdrawn", **ids})


def _repeated_key(hand: Hand) -> bytes:
    return _json(hand.bid())[:-1] + b',"quantity":1}'


def _one_bad_of_many(hand: Hand) -> bytes:
    batch = [hand.bid() for _ in range(BATCH)]
    batch[hand.rng.randrange(BATCH)]["quantity"] = 0
    return _json(batch)


VALID: Final[dict[str, Form]] = {
    "id in capitals": lambda hand: _json(hand.bid(event_id=hand.next_id().upper())),
    "spaces and lines": lambda hand: json.dumps(hand.bid(), indent=1).encode(),
    "escaped letters": lambda hand: _json(hand.bid()).replace(b"bid_placed", b"\\u0062id_placed"),
    "fields in reverse": _reversed,
    "every optional field": _with_everything,
    "whole or nothing": lambda hand: _json(hand.bid(quantity=7, min_quantity=7)),
    "batch of one": lambda hand: _json([hand.bid()]),
    "spaced batch": lambda hand: b" [ " + _json(hand.bid()) + b" ] ",
    "bundle of one": lambda hand: _json(hand.bundle(hand.rng.choice(hand.resources))),
    "bundle of all": lambda hand: _json(hand.bundle(*hand.resources)),
    "highest price": lambda hand: _json(hand.bid(quantity=1, unit_price_micros=HIGH_MICROS)),
}
"""Bids that stand, in forms that the market's own client would not choose."""

REFUSED: Final[dict[str, Form]] = {
    "more than an account holds": lambda hand: _json(hand.bid(unit_price_micros=AMOUNT_MAX)),
    "largest product": lambda hand: _json(
        hand.bid(quantity=QUANTITY_MAX, unit_price_micros=AMOUNT_MAX)
    ),
    "stale id": lambda hand: _json(hand.bid(event_id=STALE_ID)),
    "repeated id": _repeated_id,
    "name that nobody listed": _new_name,
    "withdrawal of nothing": _not_open,
}
"""Commands that are decoded, and refused by one rule or another."""

MALFORMED: Final[dict[str, Form]] = {
    "empty": lambda _hand: b"",
    "open bracket": lambda _hand: b"{",
    "two in a row": lambda hand: _json(hand.bid()) + b"," + _json(hand.bid()),
    "half of one": lambda hand: _json(hand.bid())[:-40],
    "seam in a text": lambda hand: _json(hand.bid(scenario_id='},{"type":"bid_placed"')),
    "repeated key": _repeated_key,
    "unknown field": lambda hand: _json(hand.bid(colour="red")),
    "null": lambda hand: _json(hand.bid(min_quantity=None)),
    "nothing asked": lambda hand: _json(hand.bid(quantity=0)),
    "fraction": lambda hand: _json(hand.bid(quantity=1.5)),
    "text for a number": lambda hand: _json(hand.bid(quantity="1")),
    "half of a pair": lambda hand: _json(hand.bid(scenario_id="\ud800")),
    "deep": lambda _hand: b"[" * DEPTH + b"]" * DEPTH,
    "byte order mark": lambda hand: b"\xef\xbb\xbf" + _json(hand.bid()),
    "no text": lambda hand: _json(hand.bid()).replace(b"bid_", b"\xff\xfe"),
    "one bad of many": _one_bad_of_many,
    "one too many": lambda _hand: b"[" + b",".join([b"{}"] * (BATCH_MAX + 1)) + b"]",
}

FORMS: Final[Sequence[Form]] = [*VALID.values(), *REFUSED.values(), *MALFORMED.values()]
"""On the subject of its own bids."""
TRANSFERS: Final = 10
"""One message in so many moves a micro-credit to somebody else, whose bids it touches by that."""


def odd_message(hand: Hand, market: str, recipient: str) -> tuple[str, bytes]:
    """The subject and the payload of the sender's next message."""
    if hand.rng.randrange(TRANSFERS):
        return subjects.bid(market, SENDER), hand.rng.choice(FORMS)(hand)
    moved = {"to_agent_id": recipient, "amount_micros": 1}
    transfer = {"type": "credits_transferred", "event_id": hand.next_id(), **moved}
    return subjects.transfer(market, SENDER), _json(transfer)
