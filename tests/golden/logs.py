"""The recorded logs: what each is about, and how it was written.

Each is a function of nothing, so that a log can be recorded again after its story was changed.
"""

import json
from collections.abc import Callable
from typing import Final

from flows.testing import Event, LogRecord, LogWriter
from tests.golden.trading import CREDIT, RESOURCES, Floor
from tests.twin.malformed import NO_SUBJECTS, broken_field, broken_text
from tests.twin.random_meters import RandomChains
from walras_schemas import Rule

WINDOW_MS: Final = 1000


def under(rule: Rule, seed: int) -> list[LogRecord]:
    """A market under one rule, message by message."""
    floor = Floor(seed, markets={"main": rule}, agents=12)
    floor.trade(1_500)
    return floor.log.records


def busy() -> list[LogRecord]:
    """Four markets, one under each rule, and 20 000 commands in batches."""
    rules: dict[str, Rule] = {
        "m-uniform": "uniform",
        "m-lab": "uniform_lab",
        "m-pay": "pay_as_bid",
        "m-v": "vickrey",
    }
    floor = Floor(20_000, markets=rules, agents=150)
    floor.trade(20_000, batch_max=20, pause_ms=25)
    return floor.log.records


def malformed() -> list[LogRecord]:
    """A market that keeps trading while others write nonsense into it."""
    floor = Floor(404, markets={"main": "uniform"}, agents=6)
    for _ in range(60):
        floor.trade(4)
        for kind in ("bid", "transfer", "grant", "quote", "supply"):
            subject, event = floor.command(kind, "main")
            broken = floor.rng.random()
            if broken < 0.2:
                floor.log.append(subject, broken_text(floor.rng, event))
            elif broken < 0.3:
                floor.log.append(floor.rng.choice(NO_SUBJECTS), event)
            else:
                _, fine = floor.command(kind, "main", subject)
                spoiled = [broken_field(floor.rng, event), fine]
                floor.log.append(subject, json.dumps(spoiled).encode())
    return floor.log.records


def silent_feed() -> list[LogRecord]:
    """A feed that quotes, falls silent until its prices are stale, and comes back."""
    floor = Floor(7, markets={"main": "uniform"}, agents=8)
    floor.trade(150, shares={"quote": 60})
    for _ in range(70):
        floor.trade(6, shares={"quote": 0})
        floor.log.wait(WINDOW_MS)
        if floor.rng.random() < 0.3:
            floor.log.tick()
            floor.log.wait(WINDOW_MS)
    floor.trade(150, shares={"quote": 60})
    return floor.log.records


def clock_trouble() -> list[LogRecord]:
    """A server clock that is set back and forward, with idle windows and late ids between."""
    floor = Floor(1_582, markets={"main": "uniform", "other": "pay_as_bid"}, agents=8)
    for step_ms in (0, -700, 4_000, -9_000, 61_000, 1, -1, 500, 2_500, -60_000, 130_000, 0) * 3:
        floor.log.wait(step_ms)
        floor.trade(25, batch_max=3)
        _ticks(floor.log, floor.rng.randrange(3))
    return floor.log.records


def news() -> list[LogRecord]:
    """Markets that close and open again, quotas, purposes, and supplies that are all scarce."""
    floor = Floor(2_026, markets={"main": "uniform", "lab": "uniform_lab"}, agents=9)
    scarce: Event = {
        name: listed | {"supply": listed["supply"] // 5, "allowance_windows": 10}
        for name, listed in RESOURCES.items()
    }
    for round_ in range(30):
        rule: Rule = ("uniform", "pay_as_bid")[round_ % 2]
        if round_ % 5 == 3:
            floor.log.close(market="main")
        if round_ % 5 == 0:
            floor.log.max_commands = floor.rng.choice([8, 20, 1_000])
            floor.log.open(market="main", rule=rule, **scarce)
        floor.log.grant("agent-0", CREDIT, market="main", purpose="reward")
        floor.log.transfer("agent-0", to="agent-1", amount_micros=1, market="lab", purpose="fee")
        floor.trade(70, batch_max=4, pause_ms=30, shares={"bundle": 40})
        floor.log.wait(WINDOW_MS // 2)
    return floor.log.records


def meters() -> list[LogRecord]:
    """Two meters that spend what is won, honest mostly, with their epochs, lags and mistakes."""
    floor = Floor(1_107, markets={}, agents=8)
    floor.markets = ["main"]
    resources = {
        name: listed | {"allowance_windows": at * 3}
        for at, (name, listed) in enumerate(RESOURCES.items())
    }
    opening = floor.log.command("market_opened", resources=resources, lag_windows=10, meters=2)
    floor.log.append("market.main.market", opening)
    for agent in floor.agents:
        floor.log.grant(agent, 2_000 * CREDIT, market="main")
    chains = RandomChains(floor.rng, lambda: floor.log.now_ms // WINDOW_MS)
    chains.count = 2
    for round_ in range(60):
        floor.trade(10, pause_ms=20)
        for _ in range(20):
            floor.log.wait(floor.rng.randrange(20))
            agent, resource = floor.rng.choice(floor.agents), floor.rng.choice([*RESOURCES])
            channel, event = chains.event(agent, resource)
            floor.log.append(f"market.main.{channel}", event)
        if round_ % 20 == 19:
            floor.log.wait(13 * WINDOW_MS)
            chain, late = chains.chains[0], floor.log.now_ms // WINDOW_MS - 11
            named: Event = {"epoch": chain.epoch, "meter": 0, "market": "main", "window_id": late}
            floor.log.hold(chain.n + 1, "agent-0", 1, resource="tokens", **named)
    return floor.log.records


def _ticks(log: LogWriter, count: int) -> None:
    for _ in range(count):
        log.wait(WINDOW_MS)
        log.tick()


LOGS: Final[dict[str, Callable[[], list[LogRecord]]]] = {
    "uniform": lambda: under("uniform", 1),
    "uniform_lab": lambda: under("uniform_lab", 2),
    "pay_as_bid": lambda: under("pay_as_bid", 3),
    "vickrey": lambda: under("vickrey", 4),
    "busy": busy,
    "malformed": malformed,
    "silent_feed": silent_feed,
    "clock_trouble": clock_trouble,
    "news": news,
    "meters": meters,
}
