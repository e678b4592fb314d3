"""What one market remembers, and what of it is in force for a window (SEMANTICS §3, §6, §8).

Promise: nothing here judges and nothing here moves credits. `in_force` changes when a window is
entered and at the market's very first opening; everything else is as the latest applied commands
left it.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from tests.twin.meters import Meters
from tests.twin.offers import Offer, Terms
from tests.twin.rows import Row
from tests.twin.wire import Event


@dataclass(frozen=True, slots=True)
class Rules:
    """A market as it stands for one window: all that counts from its first message to its last."""

    is_open: bool
    rule: str
    max_commands: int
    terms: dict[str, Terms]
    allowances: dict[str, int]  # allowance_windows by resource


@dataclass(frozen=True, slots=True)
class OpenBid:
    """An admitted bid of the open window, beside the row that shows it."""

    offer: Offer
    row: Row


@dataclass(slots=True)
class Market:
    """Everything a market remembers; `opened` is its latest applied opening."""

    opened: Event | None = None
    opened_seq: int = 0
    is_open: bool = False
    lag_windows: int = 0  # of the first opening, like meters
    meters: int = 0
    in_force: Rules | None = None
    supplies: dict[str, int] = field(default_factory=dict)
    quotes: dict[str, tuple[int, int]] = field(default_factory=dict)  # price, window of the quote
    used: set[tuple[str, str]] = field(default_factory=set)  # sender, event_id
    known: set[str] = field(default_factory=set)
    balances: dict[str, int] = field(default_factory=dict)
    spending: Meters = field(default_factory=Meters)
    # Of the open window alone:
    active: bool = False
    heard: bool = False  # anything that is not malformed
    counted: dict[str, int] = field(default_factory=dict)  # of each agent, for its quota
    bids: list[OpenBid] = field(default_factory=list)

    def enter(self, window_id: int) -> None:
        """Begin a window: what was said so far is in force in it, and nothing was counted yet."""
        self.in_force = self._rules_now(window_id)
        self.active = self.heard = False
        self.counted = {}

    def open(self, event: Event, *, seq: int, window_id: int) -> None:
        """Apply a `market_opened`; the very first one counts at once."""
        first = self.opened is None
        self.opened, self.opened_seq, self.is_open = event, seq, True
        self.supplies = {r: listed["supply"] for r, listed in event["resources"].items()}
        self.spending.list_resources(event)
        if first:
            self.lag_windows = event.get("lag_windows", 600)
            self.meters = event.get("meters", 1)
            self.in_force = self._rules_now(window_id)

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

    def _rules_now(self, window_id: int) -> Rules | None:
        if self.opened is None:
            return None
        return Rules(
            is_open=self.is_open,
            rule=self.opened.get("rule", "uniform"),
            max_commands=self.opened.get("max_commands", 1_000),
            terms={r: self._terms(r, window_id) for r in self.opened["resources"]},
            allowances={
                r: listed.get("allowance_windows", 0)
                for r, listed in self.opened["resources"].items()
            },
        )

    def _terms(self, resource: str, window_id: int) -> Terms:
        assert self.opened is not None, "only an opened market has resources"
        listed = self.opened["resources"][resource]
        stale_after = self.opened.get("stale_after_windows", 60)
        quote = self.quotes.get(resource)
        reference = quote[0] if quote else listed["initial_price_micros"]
        rolling = reference * listed.get("reserve_ratio_ppm", 0) // 1_000_000
        return Terms(
            supply=self.supplies[resource],
            reference_micros=reference,
            reserve_micros=max(listed.get("reserve_micros", 0), rolling),
            stale=quote is None or window_id - quote[1] > stale_after,
        )

    # --- as last applied, whatever is in force ----------------------------------------------------

    def row(self) -> Row:
        """What the view `markets` says beside the market's name and its shard."""
        assert self.opened is not None, "only an opened market has a row"
        return {
            "rule": self.opened.get("rule", "uniform"),
            "open": self.is_open,
            "opened_seq": self.opened_seq,
            "stale_after_windows": self.opened.get("stale_after_windows", 60),
            "max_commands": self.opened.get("max_commands", 1_000),
            "lag_windows": self.lag_windows,
            "meters": self.meters,
        }

    def resource_rows(self) -> list[Row]:
        """What the view `resources` says of each listed one beside the market's name."""
        assert self.opened is not None, "only an opened market lists resources"
        return [
            {
                "resource": r,
                "supply": self.supplies[r],
                "initial_price_micros": listed["initial_price_micros"],
                "reserve_micros": listed.get("reserve_micros", 0),
                "reserve_ratio_ppm": listed.get("reserve_ratio_ppm", 0),
                "allowance_windows": listed.get("allowance_windows", 0),
            }
            for r, listed in self.opened["resources"].items()
        ]
