"""The commands of a random log: one event of any type, as an adversary with a seed would send it.

Promise: prices and quotes lie near each other so that densities tie, balances are tight, and ids
are fresh, reused, stale and early. What is drawn depends on the seed and on the calls alone.
"""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any, Final

from tests.twin.random_meters import RandomChains

Event = dict[str, Any]
Command = tuple[str, Event]  # the channel below the market, and the event

RULES: Final = ("uniform", "uniform_lab", "pay_as_bid", "vickrey")
MARKETS: Final = ("m1", "m2", "m3", "m4")
AGENTS: Final = ("a1", "a2", "a3", "a4", "a5", "unknown")
INITIAL_PRICES: Final = {"gpu": 10, "cpu": 3, "mem": 1, "net": 4, "vast": 1}
AGES_MS: Final = (59_000, 59_999, 60_000, 60_001, 90_000, -4_000, -4_999, -5_000, -5_001, -60_000)
PURPOSES: Final = ("", "service", "x" * 200, "\U0001f4b6", '"\\')


class RandomCommands:
    """Writes events, and remembers of the earlier ones what makes later ones hit or nearly miss."""

    def __init__(self, rng: Random, *, window_ms: int) -> None:
        self.rng, self.window_ms = rng, window_ms
        self.now_ms = 0
        self.used_ids: dict[tuple[str, str], list[str]] = {}
        self.bid_ids: dict[tuple[str, str], list[str]] = {}
        self.rules = dict.fromkeys(MARKETS, "uniform")
        self.prices: dict[tuple[str, str], int] = {}
        self.closed: set[str] = set()
        self.asked: dict[str, list[tuple[str, str]]] = {}  # who bid for what, by market
        self._chains = {market: RandomChains(rng, self.window_id) for market in MARKETS}

    def command(self, action: str, market: str, agent: str) -> Command:
        """An event of a kind, and the channel it is sent on."""
        makers: dict[str, Callable[[str, str], Command]] = {
            "unit_bid": self._unit_bid,
            "bundle_bid": self._bundle_bid,
            "withdrawal": self._withdrawal,
            "transfer": self._transfer,
            "grant": lambda market, agent: ("grant", self.grant(market, agent)),
            "supply": lambda market, _: ("market", self._supply(market)),
            "quote": lambda market, _: self._quote(market),
            "closing": lambda market, _: ("market", self._closing(market)),
            "reopening": lambda market, _: ("market", self.opening(market)),
            "metering": self._metering,
        }
        return makers[action](market, agent)

    def window_id(self) -> int:
        """The window of a message that is written now, if the clock was never set back."""
        return self.now_ms // self.window_ms

    def _metering(self, market: str, agent: str) -> Command:
        resource, asked = self._resource(), self.asked.get(market, [])[-60:]
        if asked and self.rng.random() < 0.9:
            agent, resource = self.rng.choice(asked)
        return self._chains[market].event(agent, resource)

    # --- one event of each type -------------------------------------------------------------------

    def _unit_bid(self, market: str, agent: str) -> Command:
        resource = self._resource()
        quantity = self.rng.choice([1, 1, 1, 2, 2, 2, 2, 3, 3, 3, 4, 5])
        price = max(1, self._price(market, resource) + self.rng.randrange(-2, 4))
        if resource == "vast":
            quantity, price = self._huge(quantity, price)
        bid = self._bid(market, agent)
        bid |= {"resource": resource, "quantity": quantity, "unit_price_micros": price}
        self.asked.setdefault(market, []).append((agent, resource))
        if self.rng.random() < (0.05 if self.rules[market] == "vickrey" else 0.3):
            bid["min_quantity"] = self.rng.randrange(1, quantity + 1)
        return f"bid.{agent}", bid

    def _huge(self, quantity: int, price: int) -> tuple[int, int]:
        many = self.rng.choice([10**12, 10**12 - 1, 9_223_372_036, quantity, quantity])
        return many, self.rng.choice([10**15, 10**9, 1_000, price])

    def _bundle_bid(self, market: str, agent: str) -> Command:
        if self.rules[market] == "vickrey" and self.rng.random() < 0.8:
            return self._unit_bid(market, agent)
        resources = self.rng.sample(["gpu", "cpu", "mem", "net"], self.rng.choice([1, 2, 2, 3, 4]))
        bundle = {r: self.rng.choice([1, 1, 2, 3]) for r in resources}
        if self.rng.random() < 0.05:
            bundle[self._resource()] = self.rng.choice([1, 10**12])
        worth = sum(self._price(market, r) * quantity for r, quantity in bundle.items())
        limit = worth * self.rng.choice([2, 2, 3, 4]) // self.rng.choice([2, 2, 3])
        self.asked.setdefault(market, []).extend((agent, name) for name in bundle)
        wish = {"bundle": bundle, "limit_micros": min(max(limit, 1), 10**15)}
        return f"bid.{agent}", self._bid(market, agent) | wish

    def _bid(self, market: str, agent: str) -> Event:
        bid = self._event("bid_placed", market, agent)
        self.bid_ids.setdefault((market, agent), []).append(bid["event_id"])
        return bid

    def _withdrawal(self, market: str, agent: str) -> Command:
        event = self._event("bid_withdrawn", market, agent)
        own = self.bid_ids.get((market, agent), [])[-2:]
        anyones = [ids[-1] for (where, _), ids in self.bid_ids.items() if where == market]
        pool = own if self.rng.random() < 0.85 else anyones
        named = self.rng.choice(pool or [self._fresh_id()])
        return f"bid.{agent}", event | {"bid_event_id": named}

    def _transfer(self, market: str, agent: str) -> Command:
        event = self._event("credits_transferred", market, agent) | self._purpose()
        taker, amount = self.rng.choice(AGENTS), self.rng.randrange(1, 60)
        return f"transfer.{agent}", event | {"to_agent_id": taker, "amount_micros": amount}

    def grant(self, market: str, agent: str) -> Event:
        """Credits for an agent: mostly so few that it must choose."""
        taker = agent if agent != "unknown" or self.rng.random() < 0.05 else "a5"
        amount = self.rng.choice([10**15 if self.rng.random() < 0.02 else 7, 40, 90, 150, 400])
        event = self._event("credits_granted", market, "treasury") | self._purpose()
        return event | {"agent_id": taker, "amount_micros": amount}

    def _purpose(self) -> Event:
        return {"purpose": self.rng.choice(PURPOSES)} if self.rng.random() < 0.4 else {}

    def _supply(self, market: str) -> Event:
        event = self._event("supply_changed", market, "treasury")
        supply = self.rng.choice([0, 1, 3, 4, 5, 7])
        return event | {"resource": self._resource(), "supply": supply}

    def _quote(self, market: str) -> Command:
        resource = self._resource()
        price = max(1, self._price(market, resource) + self.rng.randrange(-1, 2))
        self.prices[market, resource] = price
        event = self._event("price_quoted", market, "treasury")
        return f"price.{resource}", event | {"price_micros": price}

    def _closing(self, market: str) -> Event:
        self.closed.add(market)
        return self._event("market_closed", market, "treasury")

    def opening(self, market: str, *, surely: bool = False) -> Event:
        """A listing of most resources; `surely` gives it an id that nothing can be wrong with."""
        self.closed.discard(market)
        event = self._event("market_opened", market, "treasury")
        if surely:
            event["event_id"] = _uuid7(self.rng, born_ms=self.now_ms)
        event["resources"] = {r: self._listing(r) for r in self._listed()}
        if self.rng.random() < 0.9:
            event["rule"] = self.rules[market] = self.rng.choice(RULES)
        if self.rng.random() < 0.7:
            event["stale_after_windows"] = self.rng.choice([0, 1, 3, 60])
        if self.rng.random() < 0.25:
            event["max_commands"] = self.rng.choice([2, 3, 4, 6, 10, 10**6])
        if self.rng.random() < 0.2:
            event["meters"] = self.rng.choice([1, 2, 2, 3, 64])
        if self.rng.random() < 0.7:
            event["lag_windows"] = self.rng.choice([10, 10, 11, 600, 10**6])
        if surely:
            self._chains[market].count = event.get("meters", 1)
        return event

    def _listed(self) -> list[str]:
        return self.rng.sample(
            list(INITIAL_PRICES), self.rng.choice([3, 4, 5, 5, 5, 5, 5, 5, 5, 5])
        )

    def _listing(self, resource: str) -> Event:
        supply = 10**12 if resource == "vast" else self.rng.choice([2, 3, 4, 5, 6])
        listing = {"supply": supply, "initial_price_micros": INITIAL_PRICES[resource]}
        if self.rng.random() < 0.3:
            listing["reserve_micros"] = self.rng.choice([0, 1, INITIAL_PRICES[resource]])
        if self.rng.random() < 0.3:
            listing["reserve_ratio_ppm"] = self.rng.choice([0, 333_333, 900_000, 1_100_000])
        if self.rng.random() < 0.8:
            listing["allowance_windows"] = self.rng.choice([0, 1, 4, 10, 10, 20, 10**6])
        return listing

    def _price(self, market: str, resource: str) -> int:
        return self.prices.get((market, resource), INITIAL_PRICES.get(resource, 5))

    def _resource(self) -> str:
        names = ["gpu", "cpu", "mem", "net", "vast", "tpu"]
        [resource] = self.rng.choices(names, [38, 24, 16, 14, 6, 2])
        return resource

    # --- ids --------------------------------------------------------------------------------------

    def _event(self, kind: str, market: str, sender: str) -> Event:
        event: Event = {"type": kind, "event_id": self._event_id(market, sender)}
        if self.rng.random() < 0.1:
            event |= {"version": 1, "scenario_id": "storm-1", "timestamp": "2025-10-09T08:53:20.5Z"}
        return event

    def _event_id(self, market: str, sender: str) -> str:
        used = self.used_ids.setdefault((market, sender), [])
        if used and self.rng.random() < 0.05:
            again = self.rng.choice(used[-10:])
            return again.upper() if self.rng.random() < 0.3 else again
        foreign = [ids[-1] for key, ids in self.used_ids.items() if key != (market, sender) and ids]
        if foreign and self.rng.random() < 0.02:
            return self.rng.choice(foreign)  # no duplicate: another market's or another sender's
        used.append(self._fresh_id())
        return used[-1]

    def _fresh_id(self) -> str:
        age_ms = self.rng.randrange(3) if self.rng.random() < 0.94 else self.rng.choice(AGES_MS)
        return _uuid7(self.rng, born_ms=self.now_ms - age_ms)


def _uuid7(rng: Random, *, born_ms: int) -> str:
    digits = (
        f"{born_ms:012x}7{rng.randrange(16**3):03x}{rng.choice('89ab')}{rng.randrange(16**15):015x}"
    )
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
