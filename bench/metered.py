"""The messages of a meter among the bids: its agents won before, and spend what they won.

Promise: every event is applied, a hold of one unit or the settlement of an earlier one. A message
carries many of them, as a proxy writes them that commits its holds in groups.
"""

import random
import time
from collections import deque
from collections.abc import Iterator
from typing import Final

import msgspec

SPENDERS: Final = 1_000
"""Agents that hold units, each of a lot of its own."""
ALLOWANCE_WINDOWS: Final = 10_000
EVENTS_TOGETHER: Final = 100
HELD_BEFORE_SETTLED: Final = 200
NS_PER_MS: Final = 1_000_000
OUTCOME: Final = "completed"

_json = msgspec.json.Encoder()


def spender(number: int) -> str:
    """The name of an agent whose calls are metered."""
    return f"spender-{number}"


def units_of_each(events: int) -> int:
    """What a spender has to win for so many events of the meter."""
    return 2 * (events // 2 // SPENDERS + 1)


def meter_messages(resource: str, *, window_ms: int, seed: int) -> Iterator[bytes]:
    """Messages of the meter in its first epoch, without end; the windows are those of now."""
    rng, n, unsettled = random.Random(seed), 0, deque[int]()
    order = [*range(SPENDERS)]
    while True:
        events: list[dict[str, object]] = []
        while len(events) < EVENTS_TOGETHER:
            n += 1
            if n % SPENDERS == 1:
                rng.shuffle(order)
            events.append(
                {
                    "type": "units_held",
                    "epoch": 1,
                    "n": n,
                    "agent_id": spender(order[n % SPENDERS]),
                    "resource": resource,
                    "quantity": 1,
                    "window_id": time.time_ns() // NS_PER_MS // window_ms,
                }
            )
            unsettled.append(n)
            if len(unsettled) > HELD_BEFORE_SETTLED:
                settled = {"epoch": 1, "n": unsettled.popleft(), "used": 1, "outcome": OUTCOME}
                events.append({"type": "units_settled", **settled})
        yield _json.encode(events)


def opened_meter() -> bytes:
    """The message that begins the first epoch."""
    return _json.encode({"type": "meter_opened", "epoch": 1})
