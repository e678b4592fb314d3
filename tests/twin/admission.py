"""What a market remembers, and the rules of SEMANTICS §4 by which it judges an event.

Promise: the rules stand in their order of precedence, one line a rule, and the rules after the
first that fails are never looked at. Nothing here changes a market.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

from tests.twin.auction import Offer, Terms
from tests.twin.rows import Row
from tests.twin.wire import INT64_MAX, Address, Event

NS_PER_MS = 1_000_000
STALE_AFTER_NS = 60_000 * NS_PER_MS
FUTURE_AFTER_NS = 5_000 * NS_PER_MS

Fault = tuple[str, bool]


@dataclass(frozen=True, slots=True)
class Rules:
    """A market as it stands for one window: its rule, and the terms of every resource."""

    rule: str
    terms: dict[str, Terms]


@dataclass(frozen=True, slots=True)
class OpenBid:
    """An admitted bid of the open window, beside the row that tells of it."""

    offer: Offer
    row: Row


@dataclass(slots=True)
class Market:
    """Everything a market remembers; `opened` is its latest applied listing."""

    opened: Event | None = None
    in_force: Rules | None = None
    supplies: dict[str, int] = field(default_factory=dict)
    quotes: dict[str, tuple[int, int]] = field(default_factory=dict)  # price, window of the quote
    used: set[tuple[str, str]] = field(default_factory=set)  # sender, event_id
    known: set[str] = field(default_factory=set)
    balances: dict[str, int] = field(default_factory=dict)
    bids: list[OpenBid] = field(default_factory=list)

    def free_micros(self, agent: str) -> int:
        """What an agent can still promise: its balance less what its open bids hold."""
        holds = [bid.offer.limit_micros for bid in self.bids if bid.offer.agent == agent]
        return self.balances[agent] - sum(holds)

    def own_bid(self, agent: str, event_id: str) -> OpenBid | None:
        """The agent's bid of that id, if it is still open."""
        for bid in self.bids:
            if (bid.offer.agent, bid.row["event_id"]) == (agent, event_id):
                return bid
        return None

    def rules_now(self, window_id: int) -> Rules | None:
        """The rules as the latest commands leave them, seen from a window."""
        if self.opened is None:
            return None
        stale_after = self.opened.get("stale_after_windows", 60)
        resources = self.opened["resources"]
        terms = {r: self._terms(r, resources[r], window_id, stale_after) for r in resources}
        return Rules(self.opened.get("rule", "uniform"), terms)

    def _terms(self, resource: str, listed: Event, window_id: int, stale_after: int) -> Terms:
        quote = self.quotes.get(resource)
        reference = quote[0] if quote else listed["initial_price_micros"]
        rolling = reference * listed.get("reserve_ratio_ppm", 0) // 1_000_000
        return Terms(
            supply=self.supplies[resource],
            reference_micros=reference,
            reserve_micros=max(listed.get("reserve_micros", 0), rolling),
            stale=quote is None or window_id - quote[1] > stale_after,
        )


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
    def sender(self) -> str:
        own = self.address.channel in ("bid", "transfer")
        return self.address.party if own else "treasury"

    @property
    def wanted(self) -> dict[str, int]:
        """What a bid asks for; a unit bid is written as a bundle of one."""
        event = self.event
        return event["bundle"] if "bundle" in event else {event["resource"]: event["quantity"]}

    @property
    def cost_micros(self) -> int:
        """The most a bid may pay, which is also what it holds."""
        event = self.event
        if "bundle" in event:
            return int(event["limit_micros"])
        return int(event["quantity"] * event["unit_price_micros"])


def judge(case: Case) -> str | None:
    """The reason for which an event is rejected; None for one that is applied."""
    faults = _bid_faults if case.event["type"] == "bid_placed" else _command_faults
    return shared_reason(case) or _first(faults(case))


def shared_reason(case: Case) -> str | None:
    """The reason among those that any event can fail for, before its own rules are asked."""
    return _first(_shared_faults(case))


def _first(faults: Iterator[Fault]) -> str | None:
    return next((reason for reason, failed in faults if failed), None)


def _shared_faults(case: Case) -> Iterator[Fault]:
    event_id = case.event["event_id"]
    born_ns = int(event_id.replace("-", "")[:12], 16) * NS_PER_MS
    opens = case.event["type"] == "market_opened"
    yield "unknown_market", case.market.opened is None and not opens
    yield "stale_event_id", case.now_ns - born_ns > STALE_AFTER_NS
    yield "future_event_id", born_ns - case.now_ns > FUTURE_AFTER_NS
    yield "duplicate", (case.sender, event_id) in case.market.used


def _bid_faults(case: Case) -> Iterator[Fault]:
    market, wanted, cost = case.market, case.wanted, case.cost_micros
    assert market.in_force is not None, "an opened market has rules in force"
    rule, terms = market.in_force.rule, market.in_force.terms
    simple = "bundle" not in case.event and case.event.get("min_quantity", 1) == 1
    yield "unknown_agent", case.sender not in market.known
    yield "unknown_resource", any(r not in terms for r in wanted)
    yield "unsupported_by_rule", rule == "vickrey" and not simple
    yield "exceeds_supply", any(q > terms[r].supply for r, q in wanted.items())
    yield "below_reserve", cost < sum(terms[r].reserve_micros * q for r, q in wanted.items())
    yield "amount_overflow", cost > INT64_MAX
    yield "insufficient_balance", market.free_micros(case.sender) < cost


def _command_faults(case: Case) -> Iterator[Fault]:
    market, event = case.market, case.event
    match event["type"]:
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
