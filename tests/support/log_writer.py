"""Logs written for a test: by hand with `LogWriter`, or by hypothesis, which shrinks what fails.

Promise: the same moves give the same log. Names, prices and supplies come from small sets, so that
bids meet in one market, densities tie and balances run out.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from hypothesis import strategies as st

from tests.twin.rows import LogRecord

Event = dict[str, Any]

NS_PER_MS = 1_000_000
START_MS = 1_760_000_000_000


def event_id(number: int, born_ms: int) -> str:
    """A UUIDv7 that carries the given time."""
    digits = f"{born_ms:012x}70008{number:015x}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))


@dataclass(slots=True)
class LogWriter:
    """Writes a log message by message; each comes at the time that `wait` moved the clock to."""

    records: list[LogRecord] = field(default_factory=list)
    now_ms: int = START_MS
    ids: list[str] = field(default_factory=list)

    def wait(self, milliseconds: int) -> None:
        """Let time pass (or, by a clock that is set back, seem to come again)."""
        self.now_ms += milliseconds

    def fresh_id(self, *, age_ms: int = 0) -> str:
        """An id that nobody used before."""
        self.ids.append(event_id(len(self.ids), self.now_ms - age_ms))
        return self.ids[-1]

    def say(self, subject: str, payload: bytes | Event | Sequence[Event]) -> int:
        """Append one message; its sequence."""
        raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        seq = len(self.records) + 1
        self.records.append(LogRecord(seq, self.now_ms * NS_PER_MS, subject, raw))
        return seq

    def tick(self) -> int:
        """Append a tick."""
        return self.say("clock.0", b"")

    def command(self, kind: str, **fields: Any) -> Event:
        """A command under a fresh id, unless the fields name one."""
        own_id = fields.pop("event_id", None) or self.fresh_id()
        return {"type": kind, "event_id": own_id, **fields}

    def open(self, market: str = "m1", rule: str = "uniform", **resources: Event) -> int:
        """Open a market; a resource is its supply and whatever else differs from the usual."""
        listed = {
            name: {"initial_price_micros": 10, **listing} for name, listing in resources.items()
        }
        opened = self.command("market_opened", rule=rule, resources=listed)
        return self.say(f"market.{market}.market", opened)

    def grant(self, agent: str, amount_micros: int, *, market: str = "m1") -> int:
        """Give an agent credits."""
        grant = self.command("credits_granted", agent_id=agent, amount_micros=amount_micros)
        return self.say(f"market.{market}.grant", grant)

    def bid(self, agent: str, *, market: str = "m1", **fields: Any) -> int:
        """Place a bid with the fields of the wire."""
        return self.say(f"market.{market}.bid.{agent}", self.command("bid_placed", **fields))


# --- by hypothesis --------------------------------------------------------------------------------

MARKETS = st.sampled_from(["m1"] * 8 + ["m2"] * 3 + ["m3"])
AGENTS = st.sampled_from(["a1"] * 5 + ["a2"] * 5 + ["a3"] * 5 + ["a4"])
RESOURCES = st.sampled_from(["gpu"] * 7 + ["cpu"] * 4 + ["ram"])
RULES = st.sampled_from(["uniform", "uniform_lab", "pay_as_bid", "vickrey"])
SMALL = st.integers(1, 12)
WAITS_MS = st.sampled_from([0] * 12 + [1, 300, 300, 999, 1000, 2500, 61_000, -700])
AGES_MS = st.sampled_from([0] * 40 + [60_000, 60_001, -5_000, -5_001])


@dataclass(frozen=True, slots=True)
class Move:
    """One command of a log before it has a place, a time and an id."""

    channel: str
    fields: Event
    market: str
    wait_ms: int
    age_ms: int
    joins: bool
    """Travels in the message of the move before it, when both go to one subject."""
    again: bool
    """Uses the id of the move before it."""


LISTING = st.fixed_dictionaries(
    {"supply": st.integers(0, 9), "initial_price_micros": SMALL},
    optional={
        "reserve_micros": st.integers(0, 12),
        "reserve_ratio_ppm": st.sampled_from([500_000, 333_333, 1_000_000]),
    },
)


def _kind(kind: str, **fields: st.SearchStrategy[Any]) -> st.SearchStrategy[Event]:
    return st.fixed_dictionaries({"type": st.just(kind), **fields})


@st.composite
def unit_bids(draw: st.DrawFn) -> Event:
    """A unit bid, mostly divisible down to one unit."""
    quantity = draw(st.integers(1, 9))
    bid = {
        "type": "bid_placed",
        "resource": draw(RESOURCES),
        "quantity": quantity,
        "unit_price_micros": draw(SMALL),
    }
    if draw(st.integers(0, 3)) == 3:
        bid["min_quantity"] = draw(st.integers(1, quantity))
    return bid


OPENINGS = _kind(
    "market_opened",
    rule=RULES,
    resources=st.dictionaries(RESOURCES, LISTING, min_size=1, max_size=3),
    stale_after_windows=st.sampled_from([0, 1, 60]),
)
GRANTS = _kind("credits_granted", agent_id=AGENTS, amount_micros=st.integers(1, 300))
BUNDLES = _kind(
    "bid_placed",
    bundle=st.dictionaries(RESOURCES, st.integers(1, 4), min_size=1, max_size=3),
    limit_micros=st.integers(1, 90),
)
WITHDRAWALS = _kind("bid_withdrawn", bid_event_id=st.integers(1, 4))
"""The id named is that of the n-th last command, until the log is written."""
TRANSFERS = _kind("credits_transferred", to_agent_id=AGENTS, amount_micros=st.integers(1, 60))
SUPPLIES = _kind("supply_changed", resource=RESOURCES, supply=st.integers(0, 9))
QUOTES = _kind("price_quoted", price_micros=SMALL)


def _moves(
    channel: st.SearchStrategy[str], fields: st.SearchStrategy[Event]
) -> st.SearchStrategy[Move]:
    rarely = st.integers(0, 9).map(lambda dice: dice == 9)
    return st.builds(
        Move,
        channel=channel,
        fields=fields,
        market=MARKETS,
        wait_ms=WAITS_MS,
        age_ms=AGES_MS,
        joins=rarely,
        again=rarely,
    )


BID_CHANNEL = AGENTS.map(lambda agent: f"bid.{agent}")
UNIT_BID_MOVES = _moves(BID_CHANNEL, unit_bids())
TRANSFER_MOVES = _moves(AGENTS.map(lambda agent: f"transfer.{agent}"), TRANSFERS)
RARER_MOVES = st.one_of(
    _moves(st.just("grant"), GRANTS),
    _moves(st.just("market"), SUPPLIES),
    _moves(RESOURCES.map(lambda resource: f"price.{resource}"), QUOTES),
    _moves(st.just("market"), OPENINGS),
)
BY_DICE = [UNIT_BID_MOVES] * 10 + [_moves(BID_CHANNEL, BUNDLES)] * 4
BY_DICE += [_moves(BID_CHANNEL, WITHDRAWALS)] * 2 + [TRANSFER_MOVES] * 2 + [RARER_MOVES] * 4
MOVES = st.integers(0, len(BY_DICE) - 1).flatmap(lambda dice: BY_DICE[dice])


def write_move(log: LogWriter, move: Move) -> None:
    """Put a move into the log: as a message of its own, or into the batch before it."""
    log.wait(move.wait_ms)
    named = log.ids[-1] if move.again and log.ids else log.fresh_id(age_ms=move.age_ms)
    event = {**move.fields, "event_id": named}
    if "bid_event_id" in event:
        event["bid_event_id"] = log.ids[-min(event["bid_event_id"] + 1, len(log.ids))]
    subject = f"market.{move.market}.{move.channel}"
    if move.joins and log.records and log.records[-1].subject == subject:
        last = log.records.pop()
        before = json.loads(last.payload)
        log.say(subject, [*(before if isinstance(before, list) else [before]), event])
    else:
        log.say(subject, event)


def written(moves: Sequence[Move]) -> list[LogRecord]:
    """The log of a market that opens, funds its agents, and then makes these moves."""
    log = LogWriter()
    start(log)
    for move in moves:
        write_move(log, move)
    return log.records


def start(log: LogWriter) -> None:
    """Two markets whose agents can pay for a few bids, and not for all that they would make."""
    for market, rule in (("m1", "uniform"), ("m2", "vickrey")):
        log.open(market, rule, gpu={"supply": 5, "initial_price_micros": 4}, cpu={"supply": 4})
        for agent in ("a1", "a2", "a3"):
            log.grant(agent, 60, market=market)


def _one_after_the_other(parts: Sequence[Sequence[Move]]) -> list[Move]:
    return [move for part in parts for move in part]


PARTS = st.lists(MOVES, min_size=1, max_size=9)
LOGS = st.lists(PARTS, max_size=9).map(_one_after_the_other).map(written)
