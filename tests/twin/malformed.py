"""Messages that no honest sender writes, each broken in one way that SEMANTICS §1 and §9 name.

Promise: what is broken here is broken for every reader of the specification. Cases on which two
careful readers could differ (whether February has 30 days) are left out.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any, Final

Event = dict[str, Any]

NO_NUMBERS: Final = (0, -1, -(10**15), 1.0, 0.5, 1e3, "5", "", True, None, [5], {"n": 5})
BEYOND_NUMBERS: Final = (10**15 + 1, 2**63 - 1, 2**63, 2**64, -(2**63) - 1, 10**400)
NO_NAMES: Final = (
    "",
    "A1",
    "a.b",
    "a*",
    ">",
    "a b",
    "-a",
    "_a",
    "ä",
    "a" * 65,
    "a\n",
    7,
    None,
    ["a1"],
)
NO_IDS: Final = (
    "",
    "0199",
    "00000000-0000-0000-0000-000000000000",
    "0199d6f2-7c00-4abc-8def-0123456789ab",  # version 4
    "0199d6f2-7c00-7abc-0def-0123456789ab",  # not the RFC's variant
    "0199d6f27c007abc8def0123456789ab",
    "{0199d6f2-7c00-7abc-8def-0123456789ab}",
    "urn:uuid:0199d6f2-7c00-7abc-8def-0123456789ab",
    7,
    None,
)
NO_TIMES: Final = (
    "",
    "yesterday",
    "2025-01-01",
    "2025-13-01T00:00:00Z",
    "2025-01-01T24:00:00Z",
    0,
    None,
)
NO_SUBJECTS: Final = (
    "market",
    "market.m1",
    "market.m1.bid",
    "market.m1.bid.a1.more",
    "market.M1.bid.a1",
    "market.m1.bid.treasury",
    "market.m1.bid.house",
    "market.m1.transfer.house",
    "market.m1.grant.a1",
    "market.m1.market.a1",
    "market.m1.price",
    "market.m1.price.GPU",
    "market.m 1.grant",
    "market..bid.a1",
    "market.m1.gift.a1",
    "result.m1.a1",
    "market.m1.bid.a1\\xff",  # a byte that is no UTF-8, as the log keeps it
    "clock",
    "clock.",
    "clock.0.0",
    "market.m1.meter",
    "market.m1.meter.64",
    "market.m1.meter.01",
    "market.m1.meter.-1",
    "market.m1.meter.00",
    "market.m1.meter.0.0",
    "market.m1.meter.\u0661",  # a digit, but not of the decimal ones meant
)


_CROWD: Final = {f"r{n}": 1 for n in range(17)}
_LISTED: Final = {"supply": 1, "initial_price_micros": 1}
_NO_LISTINGS: Final[tuple[Any, ...]] = (
    {"gpu": None},
    {"gpu": {"supply": 1}},
    {"GPU": _LISTED},
    {"gpu": _LISTED | {"allowance_windows": 10**6 + 1}},
    {"gpu": _LISTED | {"allowance_windows": -1}},
    {"gpu": _LISTED | {"reserve_ratio_ppm": 10**9 + 1}},
    {f"r{n}": _LISTED for n in range(257)},
)
_NO_QUANTITIES: Final[tuple[Any, ...]] = (
    {"gpu": 0},
    {"gpu": 1.0},
    {"gpu": "1"},
    {"GPU": 1},
    {"a.b": 1},
)
_NO_COUNTS: Final = (-1, 1.0, "5", True, None, 2**63, 10**400)
_IMPOSSIBLE: Final[dict[str, tuple[Any, ...]]] = {
    "type": ("", "bid", "BID_PLACED", 1, None, ["bid_placed"]),
    "version": (0, 2, "1", 1.0, True, None),
    "timestamp": NO_TIMES,
    "scenario_id": NO_NAMES,
    "event_id": NO_IDS,
    "bid_event_id": NO_IDS,
    "resource": NO_NAMES,
    "agent_id": (*NO_NAMES, "treasury", "house"),
    "to_agent_id": (*NO_NAMES, "treasury", "house"),
    "purpose": ("x" * 201, "\ud800", "a\0", 1, None),
    "bundle": ({}, [], None, "gpu", _CROWD, *_NO_QUANTITIES),
    "rule": ("", "first_price", "UNIFORM", 1, None),
    "resources": ({}, [], None, "gpu", *_NO_LISTINGS),
    "supply": _NO_COUNTS,
    "stale_after_windows": _NO_COUNTS,
    "max_commands": (0, 10**6 + 1, *_NO_COUNTS),
    "lag_windows": (9, 10**6 + 1, *_NO_COUNTS),
    "meters": (0, 65, *_NO_COUNTS),
    "epoch": (0, *_NO_COUNTS),
    "n": (0, *_NO_COUNTS),
    "window_id": _NO_COUNTS,
    "used": (10**12 + 1, *_NO_COUNTS),
    "outcome": ("", "Completed", "done", 1, None, ["lost"]),
}
_OPTIONAL: Final = {
    *("version", "timestamp", "scenario_id", "min_quantity", "purpose"),
    *("rule", "stale_after_windows", "max_commands", "lag_windows", "meters"),
}


def broken_field(rng: Random, event: Event) -> Event:
    """The event with one of its fields (or one more) that cannot be, or without one it needs."""
    name = rng.choice([*event, "version", "timestamp", "scenario_id", "surprise"])
    needed = name in event and name not in _OPTIONAL
    if needed and rng.random() < 0.2:
        return {key: value for key, value in event.items() if key != name}
    return event | {name: rng.choice(_IMPOSSIBLE.get(name, NO_NUMBERS + BEYOND_NUMBERS))}


def broken_text(rng: Random, event: Event) -> bytes:
    """A message that is no JSON, or no event, or that has one key twice; some hide in a batch."""
    return rng.choice(_SPOILERS)(json.dumps(event).encode())


def odd_spelling(rng: Random, content: Any) -> bytes:
    """Well-formed content in one of the many other texts that mean the same."""
    text = json.dumps(content, ensure_ascii=rng.random() < 0.5, indent=rng.choice([None, 0, 3]))
    if rng.random() < 0.5:
        text = text.replace('"type"', '"\\u0074y\\u0070e"').replace("{", "{\t\r\n ")
    return b" \n" * rng.randrange(3) + text.encode() + b"\t" * rng.randrange(3)


def _twice(whole: bytes) -> bytes:
    return b'{"type": "bid_placed", ' + whole[1:]


def _nested(levels: int) -> bytes:
    return b"[" * levels + b"]" * levels


_SPOILERS: Final[tuple[Callable[[bytes], bytes], ...]] = (
    lambda _: b"",
    lambda _: b"  \n",
    lambda _: b"null",
    lambda _: b"5",
    lambda _: b'"bid_placed"',
    lambda _: b"[]",
    lambda _: b"[[]]",
    lambda _: b"{}",
    lambda _: b"[" * 200_000 + b"]" * 200_000,
    lambda whole: whole[:-1],
    lambda whole: whole + b"x",
    lambda whole: whole + whole,
    lambda whole: b"\xef\xbb\xbf" + whole,
    lambda whole: whole.replace(b'"', b"'"),
    lambda whole: whole.decode().encode("utf-16"),
    lambda whole: whole + b" " * (2**20),
    lambda whole: whole[:-1] + b', "purpose": "\xff"}',
    lambda whole: whole[:-1] + b', "purpose": "\xed\xa0\x80"}',
    lambda whole: whole[:-1] + b', "purpose": "a\nb"}',
    lambda whole: whole[:-1] + b', "amount_micros": NaN}',
    lambda whole: whole[:-1] + b', "amount_micros": -Infinity}',
    lambda whole: whole[:-1] + b', "amount_micros": 1e999}',
    lambda whole: whole[:-1] + b', "amount_micros": 007}',
    _twice,
    lambda whole: b"[" + whole + b", " + _twice(whole) + b", 5, null, []]",
    lambda whole: b"[" + whole + b", " + whole[:-1] + b', "more": NaN}]',
    lambda whole: b"[" + whole + b', {"more": ' + _nested(20) + b"}]",
    lambda whole: b"[" + whole + b", " + _nested(99) + b"]",
    lambda whole: b"[" + whole + b", " + _nested(100) + b"]",
    lambda whole: b"[" + whole + b', "x' + "ä".encode() * 800 + b'" ,\n 5 ]',
    lambda whole: b"[" + whole + b"\t, " + _twice(whole)[:-1] + b" " * 1_024 + b"} ]",
    lambda whole: b"[" + whole + b", " + whole[:-1] + b', "scenario_id": "\\ud800"}]',
    lambda whole: whole[:-1] + b', "purpose": "\\u0000"}',
    lambda whole: b"[" + b",".join([whole] * 1_001) + b"]",
)
