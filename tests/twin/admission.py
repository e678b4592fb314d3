"""The rules of SEMANTICS §4 by which an event is judged.

Promise: the rules stand in their order of precedence, one line a rule, and the rules after the
first that fails are never looked at. Nothing here changes a market.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from tests.twin.market import Market, Rules
from tests.twin.wire import INT64_MAX, Address, Event

NS_PER_MS: Final = 1_000_000
STALE_AFTER_NS: Final = 60_000 * NS_PER_MS
FUTURE_AFTER_NS: Final = 5_000 * NS_PER_MS

# The reasons of rules 2 and 3, and of rules 2 to 5.
BEFORE_QUOTA: Final = ("unknown_market", "market_closed")
BEFORE_DUPLICATE: Final = (*BEFORE_QUOTA, "over_quota", "stale_event_id", "future_event_id")

Fault = tuple[str, bool]


@dataclass(frozen=True, slots=True)
class Case:
    """An event to be judged: what it says, where it was sent, and where and when it was read."""

    address: Address
    event: Event
    market: Market
    seq: int
    ord: int
    window_id: int
    now_ns: int

    @property
    def type(self) -> str:
        return str(self.event["type"])

    @property
    def by_agent(self) -> bool:
        """Whether an agent sent it: a bid, a withdrawal or a transfer."""
        return self.address.channel in ("bid", "transfer")

    @property
    def sender(self) -> str:
        return self.address.party if self.by_agent else "treasury"

    @property
    def asked(self) -> dict[str, int]:
        """What a bid asks for; a unit bid is written as a bundle of one."""
        event = self.event
        return event["bundle"] if "bundle" in event else {event["resource"]: event["quantity"]}

    @property
    def hold_micros(self) -> int:
        """The most a bid may pay, which is also what it holds."""
        event = self.event
        if "bundle" in event:
            return int(event["limit_micros"])
        return int(event["quantity"] * event["unit_price_micros"])


def judge(case: Case) -> str | None:
    """The reason for which an event is rejected; None for one that is applied."""
    own_faults = _bid_faults if case.type == "bid_placed" else _command_faults
    return _first(_shared_faults(case)) or _first(own_faults(case))


def _first(faults: Iterator[Fault]) -> str | None:
    return next((reason for reason, failed in faults if failed), None)


def _shared_faults(case: Case) -> Iterator[Fault]:
    market, event_id = case.market, case.event["event_id"]
    if case.type != "market_opened":
        yield "unknown_market", market.opened is None
        yield "market_closed", not _rules(case).is_open
    if case.by_agent:
        earlier = market.counted.get(case.sender, 0)
        yield "over_quota", earlier >= _rules(case).max_commands
    born_ns = int(event_id.replace("-", "")[:12], 16) * NS_PER_MS
    yield "stale_event_id", case.now_ns - born_ns > STALE_AFTER_NS
    yield "future_event_id", born_ns - case.now_ns > FUTURE_AFTER_NS
    yield "duplicate", (case.sender, event_id) in market.used


def _bid_faults(case: Case) -> Iterator[Fault]:
    market, asked, hold = case.market, case.asked, case.hold_micros
    rule, terms = _rules(case).rule, _rules(case).terms
    simple = "bundle" not in case.event and case.event.get("min_quantity", 1) == 1
    yield "unknown_agent", case.sender not in market.known
    yield "unknown_resource", any(r not in terms for r in asked)
    yield "unsupported_by_rule", rule == "vickrey" and not simple
    yield "exceeds_supply", any(q > terms[r].supply for r, q in asked.items())
    yield "below_reserve", hold < sum(terms[r].reserve_micros * q for r, q in asked.items())
    yield "amount_overflow", hold > INT64_MAX
    yield "insufficient_balance", market.free_micros(case.sender) < hold


def _command_faults(case: Case) -> Iterator[Fault]:
    market, event = case.market, case.event
    match case.type:
        case "bid_withdrawn":
            yield "not_open", market.own_bid(case.sender, event["bid_event_id"]) is None
        case "credits_transferred":
            yield "unknown_agent", case.sender not in market.known
            yield "self_transfer", case.sender == event["to_agent_id"]
            short = market.free_micros(case.sender) < event["amount_micros"]
            yield "insufficient_balance", short
        case "supply_changed" | "price_quoted":
            listed = market.opened["resources"] if market.opened else {}
            yield "unknown_resource", event.get("resource", case.address.party) not in listed


def _rules(case: Case) -> Rules:
    assert case.market.in_force is not None, "an opened market has rules in force"
    return case.market.in_force
