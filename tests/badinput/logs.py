"""Logs of bad input in an open market: every string in every place that a sender can reach.

**Promise:** before the bad messages a market `m1` is open and `a1` has credits, so that nothing is
refused for want of either; `places` names each event that must leave exactly one row.
"""

import json
import re
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Final

from flows.testing import LogRecord, LogWriter
from state.window import ClosedWindow, Settlement
from tests.badinput.strings import STRINGS

WINDOW_MS: Final = 1000
Place = tuple[int, int]
"""Sequence and ord."""

_TICK: Final = re.compile(r"clock\.[^.]+")

RESOURCES: Final = {"gpu": {"supply": 5, "initial_price_micros": 10}}
COMMANDS: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "unit bid": (
        "market.m1.bid.a1",
        {"type": "bid_placed", "resource": "gpu", "quantity": 1, "unit_price_micros": 9},
    ),
    "bundle": (
        "market.m1.bid.a1",
        {"type": "bid_placed", "bundle": {"gpu": 1}, "limit_micros": 9},
    ),
    "withdrawal": ("market.m1.bid.a1", {"type": "bid_withdrawn", "bid_event_id": ""}),
    "transfer": (
        "market.m1.transfer.a1",
        {"type": "credits_transferred", "to_agent_id": "a2", "amount_micros": 1, "purpose": "fee"},
    ),
    "grant": (
        "market.m1.grant",
        {"type": "credits_granted", "agent_id": "a1", "amount_micros": 1, "purpose": "fee"},
    ),
    "opening": ("market.m1.market", {"type": "market_opened", "resources": RESOURCES}),
    "supply": ("market.m1.market", {"type": "supply_changed", "resource": "gpu", "supply": 5}),
    "quote": ("market.m1.price.gpu", {"type": "price_quoted", "price_micros": 10}),
}
"""A valid command of each kind, but for its event_id, and the subject it belongs on."""


def open_market() -> LogWriter:
    """A log that begins with a market and an agent's credits."""
    log = LogWriter()
    log.open(gpu={"supply": 5})
    log.grant("a1", 10**9)
    return log


def in_every_field(kind: str) -> list[LogRecord]:
    """Commands of one kind with each string as the value of each field, as a key, and beside it."""
    subject, fields = COMMANDS[kind]
    log = open_market()
    for text in STRINGS:
        for spoilt in _spoilt({"event_id": log.fresh_id(), **fields}, text):
            log.append(subject, json.dumps(spoilt).encode())
        log.append(subject, json.dumps(spoilt, ensure_ascii=False).encode(errors="surrogatepass"))
        log.wait(10)
    return log.records


def in_every_subject() -> list[LogRecord]:
    """A valid bid on subjects that hold each string, whole and as each of their tokens."""
    log = open_market()
    for text in STRINGS:
        for subject in (
            text,
            f"market.{text}.bid.a1",
            f"market.m1.bid.{text}",
            f"market.m1.price.{text}",
            f"market.m1.{text}",
            f"clock.{text}",
        ):
            bid = COMMANDS["unit bid"][1]
            log.append(subject, {"event_id": log.fresh_id(), **bid})
        log.wait(10)
    return log.records


def as_payloads(texts: Iterable[bytes]) -> list[LogRecord]:
    """Each text as a whole payload, on a subject of each kind."""
    log = open_market()
    subjects = sorted({subject for subject, _ in COMMANDS.values()})
    for text in texts:
        for subject in subjects:
            log.append(subject, text)
        log.wait(10)
    return log.records


def _spoilt(command: dict[str, Any], text: str) -> Iterator[dict[str, Any]]:
    for field, value in command.items():
        yield command | {field: text}
        if isinstance(value, dict):
            yield command | {field: {text: next(iter(value.values()))}}
    yield command | {text: 1}
    yield command | {"scenario_id": text}


def places(records: Sequence[LogRecord]) -> list[Place]:
    """Each event of a log whose messages hold one event; a tick holds none."""
    return [(record.seq, 0) for record in records if not _TICK.fullmatch(record.subject)]


def outcomes(windows: Iterable[ClosedWindow]) -> list[Place]:
    """Each row that an event left, in order."""
    settled = [window for window in windows if isinstance(window, Settlement)]
    bids = [(bid.seq, bid.ord) for window in settled for bid in window.bids]
    commands = [(row.seq, row.ord) for window in settled for row in window.commands]
    letters = [(row.seq, row.ord) for window in settled for row in window.dead_letters]
    return sorted([*bids, *commands, *letters])
