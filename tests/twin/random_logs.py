"""Random logs of several markets at once, written by an adversary with a seed.

Promise: the same arguments give the same log. A few logs together provoke every rejection reason,
every bid status and every rule; prices and quotes lie near each other so that densities tie,
balances are tight, ids are fresh, reused, stale and early, and the server's clock may go back.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from random import Random
from typing import Any

from tests.twin.malformed import NO_SUBJECTS, broken_field, broken_text
from tests.twin.rows import LogRecord

Event = dict[str, Any]
Command = tuple[str, Event]

START_NS = 1_760_000_000_000_000_000
NS_PER_MS = 1_000_000
RULES = ("uniform", "uniform_lab", "pay_as_bid", "vickrey")
MARKETS = ("m1", "m2", "m3", "m4")
AGENTS = ("a1", "a2", "a3", "a4", "a5", "stranger")
INITIAL_PRICES = {"gpu": 10, "cpu": 3, "mem": 1, "vast": 1}
AGES_MS = (59_000, 59_999, 60_000, 60_001, 90_000, -4_000, -4_999, -5_000, -5_001, -60_000)
ACTIONS = {
    "unit_bid": 44,
    "bundle_bid": 14,
    "withdrawal": 10,
    "transfer": 7,
    "grant": 9,
    "supply": 4,
    "quote": 6,
    "reopening": 1,
}


def random_log(seed: int, *, commands: int, window_ms: int = 1_000) -> list[LogRecord]:
    """A log of at least `commands` events (malformed ones count), with ticks between them."""
    author = _Author(Random(seed), window_ms=window_ms)
    author.open_markets()
    while author.events < commands:
        author.write_one()
    return author.log


class _Author:
    def __init__(self, rng: Random, *, window_ms: int) -> None:
        self.rng, self.window_ms = rng, window_ms
        self.clock_ns = START_NS + rng.randrange(10**9)
        self.log: list[LogRecord] = []
        self.events = 0
        self.used_ids: dict[tuple[str, str], list[str]] = {}
        self.bid_ids: dict[tuple[str, str], list[str]] = {}
        self.rules = dict.fromkeys(MARKETS, "uniform")
        self.prices: dict[tuple[str, str], int] = {}

    def open_markets(self) -> None:
        """Open all markets but the last, each under its own rule, with a few grants."""
        for market in self.rng.sample(MARKETS[:3], 3):
            opening = self._opening(market, first=True)
            self._write(f"market.{market}.market", json.dumps(opening).encode())
            for agent in AGENTS[:4]:
                self._write_events(market, "grant", [self._grant(market, agent)])

    def write_one(self) -> None:
        """Move the clock, then write a tick, nonsense, one command or a batch of them."""
        self._move_clock()
        dice = self.rng.random()
        if dice < 0.04:
            self._write("clock.0", self.rng.choice([b"", b"{}", b"\xff", b"tick"]))
        elif dice < 0.05:
            self._write(self.rng.choice(NO_SUBJECTS), json.dumps(self._grant("m1", "a1")).encode())
        else:
            self._write_command(nonsense=dice < 0.08, batch=dice > 0.90)

    def _move_clock(self) -> None:
        dice = self.rng.random()
        step_ms = self.rng.randrange(self.window_ms // 25)
        if dice < 0.02:
            step_ms = self.rng.randrange(4 * self.window_ms)
        elif dice < 0.023:
            step_ms = 61_000
        self.clock_ns += step_ms * NS_PER_MS + self.rng.randrange(NS_PER_MS)

    def _write_command(self, *, nonsense: bool, batch: bool) -> None:
        market = self.rng.choice(MARKETS if self.rng.random() < 0.06 else MARKETS[:3])
        [agent] = self.rng.choices(AGENTS, [5, 5, 5, 5, 4, 1])
        actions = list(ACTIONS)
        [action] = self.rng.choices(actions, weights=list(ACTIONS.values()))
        channel, event = self._command(action, market, agent)
        if nonsense:
            subject = f"market.{market}.{channel}"
            return self._write(subject, broken_text(self.rng, event))
        count = self.rng.randrange(2, 8) if batch else 1
        more = [self._command(action, market, agent) for _ in range(count - 1)]
        same = [other for where, other in more if where == channel]
        self._write_events(market, channel, [event, *same], batch=batch)
        return None

    def _command(self, action: str, market: str, agent: str) -> Command:
        """An event of a kind, and the channel it is sent on."""
        makers: dict[str, Callable[[str, str], Command]] = {
            "unit_bid": self._unit_bid,
            "bundle_bid": self._bundle_bid,
            "withdrawal": self._withdrawal,
            "transfer": self._transfer,
            "grant": lambda market, agent: ("grant", self._grant(market, agent)),
            "supply": lambda market, _: ("market", self._supply(market)),
            "quote": lambda market, _: self._quote(market),
            "reopening": lambda market, _: ("market", self._opening(market)),
        }
        return makers[action](market, agent)

    # --- one event of each type -------------------------------------------------------------------

    def _unit_bid(self, market: str, agent: str) -> Command:
        resource = self._resource()
        quantity = self.rng.choice([1, 1, 1, 2, 2, 2, 3, 3, 3, 4, 4, 5, 7])
        price = max(1, self._price(market, resource) + self.rng.randrange(-2, 4))
        if resource == "vast":
            quantity, price = self._huge(quantity, price)
        bid = self._event("bid_placed", market, agent)
        bid |= {"resource": resource, "quantity": quantity, "unit_price_micros": price}
        if self.rng.random() < (0.05 if self.rules[market] == "vickrey" else 0.3):
            bid["min_quantity"] = self.rng.randrange(1, quantity + 1)
        self.bid_ids.setdefault((market, agent), []).append(bid["event_id"])
        return f"bid.{agent}", bid

    def _huge(self, quantity: int, price: int) -> tuple[int, int]:
        many = self.rng.choice([10**12, 10**12 - 1, 9_223_372_036, quantity, quantity])
        return many, self.rng.choice([10**15, 10**9, 1_000, price])

    def _bundle_bid(self, market: str, agent: str) -> Command:
        if self.rules[market] == "vickrey" and self.rng.random() < 0.8:
            return self._unit_bid(market, agent)
        resources = self.rng.sample(["gpu", "cpu", "mem"], self.rng.randrange(1, 4))
        bundle = {r: self.rng.choice([1, 1, 2, 3]) for r in resources}
        if self.rng.random() < 0.05:
            bundle[self._resource()] = self.rng.choice([1, 10**12])
        worth = sum(self._price(market, r) * quantity for r, quantity in bundle.items())
        limit = worth * self.rng.choice([2, 2, 3, 4]) // self.rng.choice([2, 2, 3])
        bid = self._event("bid_placed", market, agent)
        self.bid_ids.setdefault((market, agent), []).append(bid["event_id"])
        return f"bid.{agent}", bid | {"bundle": bundle, "limit_micros": min(max(limit, 1), 10**15)}

    def _withdrawal(self, market: str, agent: str) -> Command:
        event = self._event("bid_withdrawn", market, agent)
        own = self.bid_ids.get((market, agent), [])[-3:]
        anyones = [ids[-1] for (where, _), ids in self.bid_ids.items() if where == market]
        pool = own if self.rng.random() < 0.85 else anyones
        named = self.rng.choice(pool or [self._fresh_id()])
        return f"bid.{agent}", event | {"bid_event_id": named}

    def _transfer(self, market: str, agent: str) -> Command:
        event = self._event("credits_transferred", market, agent)
        event |= {
            "to_agent_id": self.rng.choice(AGENTS),
            "amount_micros": self.rng.randrange(1, 60),
        }
        if self.rng.random() < 0.5:
            event["purpose"] = self.rng.choice(["", "service", "x" * 200, "\U0001f4b6", '"\\'])
        return f"transfer.{agent}", event

    def _grant(self, market: str, agent: str) -> Event:
        taker = agent if agent != "stranger" or self.rng.random() < 0.05 else "a5"
        amount = self.rng.choice([10**15 if self.rng.random() < 0.02 else 7, 40, 90, 150, 250])
        event = self._event("credits_granted", market, "treasury")
        return event | {"agent_id": taker, "amount_micros": amount}

    def _supply(self, market: str) -> Event:
        event = self._event("supply_changed", market, "treasury")
        return event | {
            "resource": self._resource(),
            "supply": self.rng.choice([0, 2, 4, 5, 6, 8, 9]),
        }

    def _quote(self, market: str) -> Command:
        resource = self._resource()
        price = max(1, self._price(market, resource) + self.rng.randrange(-1, 2))
        self.prices[market, resource] = price
        event = self._event("price_quoted", market, "treasury")
        return f"price.{resource}", event | {"price_micros": price}

    def _opening(self, market: str, *, first: bool = False) -> Event:
        event = self._event("market_opened", market, "treasury")
        if first:
            event["event_id"] = _uuid7(self.rng, born_ms=self.clock_ns // NS_PER_MS)
        event["resources"] = {r: self._listing(r) for r in self._listed()}
        if self.rng.random() < 0.9:
            event["rule"] = self.rules[market] = self.rng.choice(RULES)
        if self.rng.random() < 0.7:
            event["stale_after_windows"] = self.rng.choice([0, 1, 3, 60])
        return event

    def _listed(self) -> list[str]:
        return self.rng.sample(list(INITIAL_PRICES), self.rng.choice([3, 4, 4, 4, 4, 4, 4, 4]))

    def _listing(self, resource: str) -> Event:
        supply = 10**12 if resource == "vast" else self.rng.choice([4, 5, 6, 8])
        listing = {"supply": supply, "initial_price_micros": INITIAL_PRICES[resource]}
        if self.rng.random() < 0.3:
            listing["reserve_micros"] = self.rng.choice([0, 1, INITIAL_PRICES[resource]])
        if self.rng.random() < 0.3:
            listing["reserve_ratio_ppm"] = self.rng.choice([0, 333_333, 900_000, 1_100_000])
        return listing

    def _price(self, market: str, resource: str) -> int:
        return self.prices.get((market, resource), INITIAL_PRICES.get(resource, 5))

    def _resource(self) -> str:
        [resource] = self.rng.choices(["gpu", "cpu", "mem", "vast", "tpu"], [45, 26, 20, 7, 2])
        return resource

    # --- envelope ---------------------------------------------------------------------------------

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
        used.append(self._fresh_id())
        return used[-1]

    def _fresh_id(self) -> str:
        age_ms = self.rng.randrange(3) if self.rng.random() < 0.94 else self.rng.choice(AGES_MS)
        return _uuid7(self.rng, born_ms=self.clock_ns // NS_PER_MS - age_ms)

    def _write_events(
        self, market: str, channel: str, events: list[Event], *, batch: bool = False
    ) -> None:
        spoiled = [
            broken_field(self.rng, event) if self.rng.random() < 0.04 else event for event in events
        ]
        self.events += len(events) - 1
        content = spoiled if batch else spoiled[0]
        self._write(f"market.{market}.{channel}", json.dumps(content).encode())

    def _write(self, subject: str, payload: bytes) -> None:
        self.events += 1
        # A server whose clock is set back stamps a message earlier than the one before it.
        back_ms = self.rng.randrange(2 * self.window_ms) if self.rng.random() < 0.04 else 0
        stamp_ns = self.clock_ns - back_ms * NS_PER_MS
        self.log.append(LogRecord(len(self.log) + 1, stamp_ns, subject, payload))


def _uuid7(rng: Random, *, born_ms: int) -> str:
    digits = (
        f"{born_ms:012x}7{rng.randrange(16**3):03x}{rng.choice('89ab')}{rng.randrange(16**15):015x}"
    )
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
