"""The chains of a market's meters, as honest proxies and hostile ones would write them.

Promise: most events follow their chain, so that holds are granted and end; the others miss one rule
of SEMANTICS §12, mostly by one.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

Event = dict[str, Any]

OUTCOMES: Final = (
    *("completed", "partial", "cancelled", "refused"),
    *("failed", "lost", "unmetered", "abandoned"),
)


@dataclass(slots=True)
class Chain:
    """What a proxy believes of its meter."""

    epoch: int = 0
    n: int = 0
    window: int = 0
    open: list[tuple[int, int]] = field(default_factory=list)  # n and quantity of holds


class RandomChains:
    """What a market's proxies remember: as many meters as it may have, whichever it has."""

    def __init__(self, rng: Random, window_id: Callable[[], int]) -> None:
        self.rng, self.window_id = rng, window_id
        self.chains: dict[int, Chain] = {}
        self.count = 1  # of the market's meters, as its first opening says

    def event(self, agent: str, resource: str) -> tuple[str, Event]:
        """An event, and the channel of its meter: mostly that of the agent."""
        number = zlib.crc32(agent.encode()) % self.count
        if self.rng.random() < 0.04:
            number = self.rng.choice([0, 1, 2, 63])
        chain = self.chains.setdefault(number, Chain())
        dice = self.rng.random()
        if chain.epoch == 0 or dice < 0.08:
            event = self._opening(chain)
        elif chain.open and dice < 0.5:
            event = self._settlement(chain)
        else:
            event = self._hold(chain, agent, resource)
        return f"meter.{number}", event

    def _opening(self, chain: Chain) -> Event:
        if self.rng.random() < 0.85:
            chain.epoch, chain.n, chain.open = chain.epoch + 1, 0, []
            return {"type": "meter_opened", "epoch": chain.epoch}
        return {"type": "meter_opened", "epoch": max(1, chain.epoch + self.rng.choice([-1, 0, 2]))}

    def _hold(self, chain: Chain, agent: str, resource: str) -> Event:
        window, quantity = self._window(chain), self.rng.choice([1, 1, 1, 1, 2, 2, 3])
        event = {
            "type": "units_held",
            "epoch": self._nearly(chain.epoch),
            "n": self._nearly(chain.n + 1),
            "agent_id": agent,
            "resource": resource,
            "quantity": quantity if self.rng.random() < 0.97 else 10**12,
            "window_id": window,
        }
        in_order = (event["epoch"], event["n"]) == (chain.epoch, chain.n + 1)
        if in_order and chain.window <= window <= self.window_id():
            chain.n, chain.window = chain.n + 1, window
            chain.open.append((chain.n, quantity))
        return event

    def _window(self, chain: Chain) -> int:
        """Mostly that of the message or one that it may lag behind."""
        now, dice = self.window_id(), self.rng.random()
        if chain.window == 0 and dice < 0.5:
            return now - self.rng.choice([9, 10, 11, 12])
        if dice < 0.6:
            return max(chain.window, now - self.rng.randrange(2))
        if dice < 0.96:
            return max(chain.window, now - self.rng.randrange(4))
        return max(0, now + self.rng.choice([-10, -11, -12, -600, -601, 1, 2, -1]))

    def _settlement(self, chain: Chain) -> Event:
        n, quantity = self.rng.choice(chain.open)
        if self.rng.random() < 0.95:
            chain.open.remove((n, quantity))
        used = self.rng.choice([0, quantity, quantity, quantity - 1, max(1, quantity // 2)])
        if self.rng.random() < 0.1:
            used = quantity + self.rng.choice([1, 5])
        return {
            "type": "units_settled",
            "epoch": self._nearly(chain.epoch),
            "n": self._nearly(n),
            "used": used,
            "outcome": self.rng.choice(OUTCOMES),
        }

    def _nearly(self, number: int) -> int:
        """The number, or rarely its neighbour."""
        return max(1, number + self.rng.choice([-1, 1])) if self.rng.random() < 0.02 else number
