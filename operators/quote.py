"""Quote the reference prices of a market after each window that it left results of.

Promise: a quote is a function of the committed windows and of the operator's choice of controller.
Its id names the window's end, the shard, the market and the resource, so that a restart says the
same again under the same id, and the log takes it once; nor is a window quoted after a later
one. A market at rest is left at rest: after a window without demand only those prices are quoted
that move, or that have become stale.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from hashlib import sha256

import msgspec

from operators.pricing_rules import Observation, PriceTracker, PricingRule
from state.window import OutboundMessage
from walras_schemas import MarketWindow, ResourcePrice, subjects

Plan = Mapping[str, PricingRule]
"""Resource to the rule that prices it."""

PlanOf = Callable[[str], Plan]
"""The plan of a market as it stands now."""

PastOf = Callable[[str, Plan, int], Mapping[str, Iterable[Observation]]]
"""What the controllers of a market's plan remember of the windows before one."""

QuotedOf = Callable[[MarketWindow], Mapping[str, str]]
"""The id of the latest quote in the log, by resource, for those of a window that have one."""

_json = msgspec.json.Encoder()


@dataclass(slots=True)
class QuotePrices:
    """The step of one market: remembers what its controllers have seen."""

    plan_of: PlanOf
    past_of: PastOf
    quoted_of: QuotedOf
    _plan: Plan = field(default_factory=dict)
    _trackers: Mapping[str, PriceTracker] = field(default_factory=dict)
    _last: int = -1
    """The last window that was quoted."""
    _quoted: dict[str, str] = field(default_factory=dict)
    """The latest quote in the log when a resource was first met; "" for none."""

    def __call__(self, window: MarketWindow) -> Iterator[OutboundMessage]:
        """Yield the quotes after a window; one that was quoted before is skipped."""
        if window.window_id <= self._last:
            return
        self._last = window.window_id
        self._load_last_quotes(window)
        self._reload_plan(window)
        in_demand = any(row.demanded for row in window.prices)
        for row in window.prices:
            track = self._trackers.get(row.resource)
            price = track(_observation(window, row)) if track else None
            if price and (in_demand or row.stale or price != row.reference_micros):
                command = quote(window, row.resource, price)
                if command.msg_id > self._quoted[row.resource]:
                    yield command

    def _load_last_quotes(self, window: MarketWindow) -> None:
        """Learn what was quoted before this start, also by other pricing rules."""
        if any(row.resource not in self._quoted for row in window.prices):
            none = dict.fromkeys((row.resource for row in window.prices), "")
            self._quoted = none | dict(self.quoted_of(window)) | self._quoted

    def _reload_plan(self, window: MarketWindow) -> None:
        """Start the controllers anew when the operator has chosen others."""
        plan = self.plan_of(window.market)
        if plan != self._plan:
            past = self.past_of(window.market, plan, window.window_id)
            self._trackers = {name: plan[name].start(past.get(name, ())) for name in plan}
            self._plan = plan


def _observation(window: MarketWindow, price: ResourcePrice) -> Observation:
    return Observation(
        window_id=window.window_id,
        reference_micros=price.reference_micros,
        clearing_micros=price.clearing_micros,
        supply=price.supply,
        sold=price.sold,
        wanted=price.wanted,
    )


def quote(window: MarketWindow, resource: str, price_micros: int) -> OutboundMessage:
    """The command that quotes a price, derived from a window."""
    event_id = quote_id(window, resource)
    command = {"type": "price_quoted", "event_id": event_id, "price_micros": price_micros}
    return OutboundMessage(
        subject=subjects.price(window.market, resource),
        msg_id=event_id,
        payload=_json.encode(command),
    )


def quote_id(window: MarketWindow, resource: str) -> str:
    """A UUIDv7 of the window's end, whose other digits are a hash of what the quote is about.

    The message that closed the window came after its end: no id is from the future.
    """
    about = f"{window.shard}/{window.market}/{resource}/{window.window_id}"
    drawn = sha256(about.encode()).hexdigest()
    ends_ms = (window.window_id + 1) * window.window_ms
    digits = f"{ends_ms:012x}7{drawn[:3]}8{drawn[3:18]}"
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
