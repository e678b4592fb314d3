"""Seeded workloads: the commands that Walras and every baseline have to settle.

Promise: the same workload and seed give the same commands but for their ids, which carry the time
of their publishing as the market demands. The supply is half of what a window asks for, so that
about half of the bids lose.
"""

import random
import time
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import islice
from typing import Final

import msgspec

from walras_schemas import BATCH_MAX, TREASURY, message_id, subjects

MARKET: Final = "bench"
RESOURCES: Final = ("tokens", "cpu_ms", "memory_mb", "attention")
GRANT_MICROS: Final = 10**15
QUANTITY_MAX: Final = 80
PRICES_MICROS: Final = (500, 2000)

_json = msgspec.json.Encoder()


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """How many bids, of how many agents, in which messages and windows."""

    name: str
    bids: int
    per_message: int = 1
    """Bids in one message; all are of one agent."""
    agents: int = 10_000
    per_window: int = 10_000
    """Bids that are published within one window."""
    window_ms: int = 1_000
    bundles: bool = False
    """True: each bid is a bundle of all four resources; False: a unit bid of one of them."""
    market: str = MARKET
    seed: int = 7

    @property
    def supply(self) -> int:
        """Units of each resource in a window: half of what its bids ask for."""
        of_each = self.per_window if self.bundles else self.per_window // len(RESOURCES)
        return max(of_each * (QUANTITY_MAX // 2) // 2, QUANTITY_MAX)

    @property
    def messages_per_window(self) -> int:
        """Messages that carry the bids of one window."""
        return max(self.per_window // self.per_message, 1)

    @property
    def windows(self) -> int:
        """Windows that the bids fill."""
        return -(-self.bids // self.per_window)


@dataclass(frozen=True, slots=True)
class Message:
    """One message on its way into the log."""

    subject: str
    payload: bytes
    msg_id: str


def opening(workload: Workload) -> Iterator[Message]:
    """The market and the credits: what has to be applied before the first bid."""
    ids = EventIds(workload.seed)
    operator = (workload.market, TREASURY)
    yield _message(subjects.market(workload.market), [_market(workload)], ids, by=operator)
    agents = iter(range(workload.agents))
    while chunk := list(islice(agents, BATCH_MAX)):
        grants = [_grant(number) for number in chunk]
        yield _message(subjects.grant(workload.market), grants, ids, by=operator)


def bids(workload: Workload) -> Iterator[Message]:
    """The bids, message by message, made when they are asked for: their ids carry that time."""
    rng = random.Random(workload.seed)
    ids = EventIds(workload.seed + 1)
    form = _bundle if workload.bundles else _unit_bid
    for _ in range(workload.bids // workload.per_message):
        agent = agent_name(rng.randrange(workload.agents))
        placed = [form(rng) for _ in range(workload.per_message)]
        subject = subjects.bid(workload.market, agent)
        yield _message(subject, placed, ids, by=(workload.market, agent))


def agent_name(number: int) -> str:
    """The name of an agent of the workload."""
    return f"agent-{number}"


class EventIds:
    """UUIDv7s of now whose other bits are seeded; faster than drawing from the system."""

    def __init__(self, seed: int) -> None:
        self._rng = random.Random(seed)

    def next(self) -> str:
        """An id that was never given before, but for a chance of one in 2^74 per pair."""
        bits = self._rng.getrandbits(74)
        now_ms = time.time_ns() // 1_000_000
        value = now_ms << 80 | 7 << 76 | (bits >> 62) << 64 | 2 << 62 | bits & (1 << 62) - 1
        text = f"{value:032x}"
        return f"{text[:8]}-{text[8:12]}-{text[12:16]}-{text[16:20]}-{text[20:]}"


def _message(
    subject: str, commands: list[dict[str, object]], ids: EventIds, *, by: tuple[str, str]
) -> Message:
    """A message of commands `by` a market's sender."""
    event_ids = [ids.next() for _ in commands]
    for command, event_id in zip(commands, event_ids, strict=True):
        command["event_id"] = event_id
    payload = _json.encode(commands[0] if len(commands) == 1 else commands)
    return Message(subject, payload, message_id(*by, event_ids))


def _market(workload: Workload) -> dict[str, object]:
    listed = {"supply": workload.supply, "initial_price_micros": PRICES_MICROS[0]}
    return {"type": "market_opened", "resources": dict.fromkeys(RESOURCES, listed)}


def _grant(number: int) -> dict[str, object]:
    return {
        "type": "credits_granted",
        "agent_id": agent_name(number),
        "amount_micros": GRANT_MICROS,
    }


def _unit_bid(rng: random.Random) -> dict[str, object]:
    return {
        "type": "bid_placed",
        "resource": rng.choice(RESOURCES),
        "quantity": rng.randint(1, QUANTITY_MAX),
        "unit_price_micros": rng.randint(*PRICES_MICROS),
        "min_quantity": 1,
    }


def _bundle(rng: random.Random) -> dict[str, object]:
    vector = {name: rng.randint(1, QUANTITY_MAX) for name in RESOURCES}
    price = rng.randint(*PRICES_MICROS)
    return {"type": "bid_placed", "bundle": vector, "limit_micros": price * sum(vector.values())}
