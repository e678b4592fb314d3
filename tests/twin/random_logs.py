"""Random logs of several markets at once, written by an adversary with a seed.

Promise: the same arguments give the same log. A few logs together provoke every rejection reason,
every bid status and every rule; markets close and open again, and the server's clock may go back.
"""

from __future__ import annotations

import json
from random import Random
from typing import Final

from tests.twin.malformed import NO_SUBJECTS, broken_field, broken_text, odd_spelling
from tests.twin.random_commands import AGENTS, MARKETS, Event, RandomCommands
from tests.twin.rows import LogRecord

START_NS: Final = 1_760_000_000_000_000_000
NS_PER_MS: Final = 1_000_000
ACTIONS: Final = {
    "unit_bid": 42,
    "bundle_bid": 18,
    "withdrawal": 8,
    "transfer": 7,
    "grant": 9,
    "supply": 4,
    "quote": 6,
    "closing": 1,
    "reopening": 1,
    "metering": 30,
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
        self.commands = RandomCommands(rng, window_ms=window_ms)
        self.log: list[LogRecord] = []
        self.events = 0
        self._set_clock(START_NS + rng.randrange(10**9))

    def open_markets(self) -> None:
        """Open all markets but the last, each under its own rule, with a few grants."""
        for market in self.rng.sample(MARKETS[:3], 3):
            opening = self.commands.opening(market, surely=True)
            self._write(f"market.{market}.market", json.dumps(opening).encode())
            for agent in AGENTS[:4]:
                self._write_events(market, "grant", [self.commands.grant(market, agent)])

    def write_one(self) -> None:
        """Move the clock, then write a tick, nonsense, one command or a batch of them."""
        self._move_clock()
        dice = self.rng.random()
        if dice < 0.04:
            self._write("clock.0", self.rng.choice([b"", b"{}", b"\xff", b"tick"]))
        elif dice < 0.05:
            payload = json.dumps(self.commands.grant("m1", "a1")).encode()
            self._write(self.rng.choice(NO_SUBJECTS), payload)
        else:
            self._write_command(nonsense=dice < 0.08, batch=dice > 0.90)

    def _move_clock(self) -> None:
        dice = self.rng.random()
        step_ms = self.rng.randrange(self.window_ms // 30)
        if dice < 0.02:
            step_ms = self.rng.randrange(4 * self.window_ms)
        elif dice < 0.023:
            step_ms = 61_000
        step_ns = step_ms * NS_PER_MS + self.rng.randrange(NS_PER_MS)
        self._set_clock(self.clock_ns + step_ns)

    def _set_clock(self, clock_ns: int) -> None:
        self.clock_ns = clock_ns
        self.commands.now_ms = clock_ns // NS_PER_MS

    def _write_command(self, *, nonsense: bool, batch: bool) -> None:
        market = self.rng.choice(MARKETS if self.rng.random() < 0.06 else MARKETS[:3])
        [agent] = self.rng.choices(AGENTS, [5, 5, 5, 5, 4, 1])
        action = self._action(market)
        channel, event = self.commands.command(action, market, agent)
        if nonsense:
            return self._write(f"market.{market}.{channel}", broken_text(self.rng, event))
        events = [event]
        if action == "closing" and self.rng.random() < 0.5:
            events.append(self.commands.opening(market))  # closed and opened again within a window
        elif batch:
            more = self.rng.randrange(1, 7)
            others = [self.commands.command(action, market, agent) for _ in range(more)]
            events += [other for where, other in others if where == channel]
        self._write_events(market, channel, events, batch=batch)
        return None

    def _action(self, market: str) -> str:
        if market in self.commands.closed and self.rng.random() < 0.3:
            return "reopening"
        [action] = self.rng.choices(list(ACTIONS), weights=list(ACTIONS.values()))
        return action

    def _write_events(
        self, market: str, channel: str, events: list[Event], *, batch: bool = False
    ) -> None:
        spoiled = [
            broken_field(self.rng, event) if self.rng.random() < 0.04 else event for event in events
        ]
        self.events += len(events) - 1
        content = spoiled if batch or len(events) > 1 else spoiled[0]
        odd = self.rng.random() < 0.05 and spoiled == events
        payload = odd_spelling(self.rng, content) if odd else json.dumps(content).encode()
        self._write(f"market.{market}.{channel}", payload)

    def _write(self, subject: str, payload: bytes) -> None:
        self.events += 1
        # A server whose clock is set back stamps a message earlier than the one before it.
        back_ms = self.rng.randrange(2 * self.window_ms) if self.rng.random() < 0.04 else 0
        stamp_ns = self.clock_ns - back_ms * NS_PER_MS
        self.log.append(LogRecord(len(self.log) + 1, stamp_ns, subject, payload))
