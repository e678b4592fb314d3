"""A trading floor with a seed: agents, operators and a pricing feed write the log of a market.

**Promise:** the same arguments give the same log. It is what was recorded once; the recorded files
are what the digests belong to.
"""

from collections.abc import Mapping
from random import Random
from typing import Final

from flows.testing import Event, LogWriter
from walras_schemas import Rule

RESOURCES: Final[dict[str, Event]] = {
    "tokens": {"supply": 100_000, "initial_price_micros": 1_000},
    "cpu_ms": {"supply": 40_000, "initial_price_micros": 300, "reserve_micros": 100},
    "memory_mb": {"supply": 8_192, "initial_price_micros": 2_500, "reserve_ratio_ppm": 400_000},
    "attention": {"supply": 60, "initial_price_micros": 1_000_000},
}
USUAL: Final = {
    "bid": 62,
    "bundle": 16,
    "withdrawal": 7,
    "transfer": 6,
    "quote": 5,
    "supply": 2,
    "grant": 2,
}
CREDIT: Final = 1_000_000


class Floor:
    """The markets of one shard, and everyone who writes to them."""

    def __init__(self, seed: int, *, markets: Mapping[str, Rule], agents: int) -> None:
        self.rng = Random(seed)
        self.log = LogWriter()
        self.markets = list(markets)
        self.agents = [f"agent-{number}" for number in range(agents)]
        self.plain = {market for market, rule in markets.items() if rule == "vickrey"}
        self.prices = {
            name: int(listed["initial_price_micros"]) for name, listed in RESOURCES.items()
        }
        self.last_bids: dict[str, str] = {}
        self.written = 0
        for market, rule in markets.items():
            self.log.open(market=market, rule=rule, **RESOURCES)
            for agent in self.agents:
                self.log.grant(agent, self.rng.randrange(200, 2_000) * CREDIT, market=market)

    def trade(
        self,
        commands: int,
        *,
        batch_max: int = 1,
        pause_ms: int = 12,
        shares: Mapping[str, int] | None = None,
    ) -> None:
        """Trade until so many more commands are written; `shares` weighs their kinds."""
        end, weights = self.written + commands, {**USUAL, **(shares or {})}
        while self.written < end:
            self.log.wait(self.rng.randrange(pause_ms))
            if self.rng.random() < 0.03:
                self.log.tick()
            market = self.rng.choice(self.markets)
            [kind] = self.rng.choices(list(weights), weights=list(weights.values()))
            events, subject = [], ""
            for _ in range(self.rng.randrange(1, batch_max + 1)):
                subject, event = self.command(kind, market, subject)
                events.append(event)
            self.log.append(subject, events if len(events) > 1 else events[0])
            self.written += len(events)

    def command(self, kind: str, market: str, subject: str = "") -> tuple[str, Event]:
        """One command and where it is sent; with a subject, another command for that subject."""
        agent = subject.rsplit(".", maxsplit=1)[-1] if subject else self.rng.choice(self.agents)
        resource = agent if kind == "quote" and subject else self.rng.choice(list(RESOURCES))
        place = f"market.{market}"
        match kind:
            case "bid" | "bundle":
                return f"{place}.bid.{agent}", self._bid(market, agent, resource, kind)
            case "withdrawal":
                named = self.last_bids.get(agent) or self.log.fresh_id()
                withdrawn = self.log.command("bid_withdrawn", bid_event_id=named)
                return f"{place}.bid.{agent}", withdrawn
            case "transfer":
                to, amount = self.rng.choice(self.agents), self.rng.randrange(1, 50) * CREDIT
                sent = self.log.command("credits_transferred", to_agent_id=to, amount_micros=amount)
                return f"{place}.transfer.{agent}", sent
            case "grant":
                amount = self.rng.randrange(1, 300) * CREDIT
                taker = self.rng.choice(self.agents)
                given = self.log.command("credits_granted", agent_id=taker, amount_micros=amount)
                return f"{place}.grant", given
            case "quote":
                moved = self.prices[resource] * self.rng.randrange(900, 1_100) // 1_000
                self.prices[resource] = max(moved, 1)
                quoted = self.log.command("price_quoted", price_micros=self.prices[resource])
                return f"{place}.price.{resource}", quoted
            case _:
                units = RESOURCES[resource]["supply"] * self.rng.randrange(0, 130) // 100
                changed = self.log.command("supply_changed", resource=resource, supply=units)
                return f"{place}.market", changed

    def _bid(self, market: str, agent: str, resource: str, kind: str) -> Event:
        if kind == "bundle" and market not in self.plain:
            parts = self.rng.sample(list(RESOURCES), self.rng.randrange(2, 4))
            bundle = {name: self._quantity(name) for name in parts}
            worth = sum(self.prices[name] * units for name, units in bundle.items())
            limit = worth * self.rng.randrange(70, 140) // 100
            bid = self.log.command("bid_placed", bundle=bundle, limit_micros=max(limit, 1))
        else:
            price = max(self.prices[resource] * self.rng.randrange(70, 140) // 100, 1)
            asked: Event = {"resource": resource, "quantity": self._quantity(resource)}
            bid = self.log.command("bid_placed", unit_price_micros=price, **asked)
            if market not in self.plain and self.rng.random() < 0.2:
                bid["min_quantity"] = self.rng.randrange(1, bid["quantity"] + 1)
        if self.rng.random() < 0.02:
            bid["event_id"] = self.last_bids.get(agent, bid["event_id"])
        self.last_bids[agent] = bid["event_id"]
        return bid

    def _quantity(self, resource: str) -> int:
        return self.rng.randrange(1, max(2, RESOURCES[resource]["supply"] // 8))
