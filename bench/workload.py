"""Seeded workloads: the commands that Walras and every baseline have to settle.

Promise: the same workload and seed give the same commands but for their ids, which carry the time
of their publishing as the market demands. The supply is half of what a window asks for, so that
about half of the bids lose. What else may be among the bids comes on top of them and changes none.
"""

import random
import time
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import chain, islice
from typing import Final, NamedTuple

import msgspec

from bench.hostile import SENDER, Hand, odd_message
from bench.metered import (
    ALLOWANCE_WINDOWS,
    EVENTS_TOGETHER,
    SPENDERS,
    meter_messages,
    opened_meter,
    spender,
    units_of_each,
)
from walras_schemas import BATCH_MAX, TREASURY, message_id, subjects

MARKET: Final = "bench"
RESOURCES: Final = ("tokens", "cpu_ms", "memory_mb", "attention")
METERED: Final = RESOURCES[0]
GRANT_MICROS: Final = 10**15
QUANTITY_MAX: Final = 80
PRICES_MICROS: Final = (500, 2000)
WITHDRAWN_WITHIN: Final = 50
"""A bid is withdrawn when at most so many messages of others have followed it."""

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
    withdrawals: int = 0
    """In each window: bids that are withdrawn again before it ends."""
    hostile: int = 0
    """In each window: messages of a sender who wants to slow down the others."""
    metered: int = 0
    """In each window: events of a meter, whose agents won the units before the first of them."""
    market: str = MARKET
    seed: int = 7

    @property
    def supply(self) -> int:
        """Units of each resource in a window: half of what its bids ask for."""
        of_each = self.per_window if self.bundles else self.per_window // len(RESOURCES)
        return max(of_each * (QUANTITY_MAX // 2) // 2, QUANTITY_MAX)

    @property
    def placing_per_window(self) -> int:
        """Messages that carry the bids of one window."""
        return max(self.per_window // self.per_message, 1)

    @property
    def messages_per_window(self) -> int:
        """All messages of one window."""
        return self.placing_per_window + self.withdrawals + self.hostile + self.metering_per_window

    @property
    def metering_per_window(self) -> int:
        """Messages that carry the events of the meter in one window."""
        return self.metered // EVENTS_TOGETHER

    @property
    def is_disturbed(self) -> bool:
        """Whether there is anything among the bids."""
        return bool(self.withdrawals or self.hostile or self.metered)

    @property
    def undisturbed(self) -> "Workload":
        """The same bids with nothing among them."""
        return replace(self, name=f"{self.name}: without", withdrawals=0, hostile=0, metered=0)

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


class Placed(NamedTuple):
    """A message of bids, its sender, and the id of the first of them."""

    message: Message
    agent: str
    event_id: str


def opening(workload: Workload) -> Iterator[Message]:
    """The market and the credits: what has to be applied before the first bid."""
    ids = EventIds(workload.seed)
    market = workload.market
    yield _message(market, TREASURY, subjects.market(market), [_market(workload)], ids)
    agents = chain(map(agent_name, range(workload.agents)), _others(workload))
    while chunk := list(islice(agents, BATCH_MAX)):
        grants = [_grant(name) for name in chunk]
        yield _message(market, TREASURY, subjects.grant(market), grants, ids)
    if workload.metered:
        yield from _metered_units(workload, ids)


def bids(workload: Workload) -> Iterator[Message]:
    """The bids and what is among them, made when they are asked for: their ids carry that time."""
    in_window = workload.placing_per_window
    odd, metering = _odd(workload), _metering(workload)
    ids = EventIds(workload.seed + 2)
    recent: deque[Placed] = deque(maxlen=WITHDRAWN_WITHIN)
    for number, placed in enumerate(_placed(workload)):
        at = number % in_window
        if at == 0:
            recent.clear()
        yield placed.message
        recent.append(placed)
        for _ in range(_due(workload.withdrawals, at, in_window)):
            yield _withdrawal(workload.market, recent.popleft(), ids)
        yield from islice(odd, _due(workload.hostile, at, in_window))
        yield from islice(metering, _due(workload.metering_per_window, at, in_window))


def _others(workload: Workload) -> Iterator[str]:
    """Who takes part beside the agents of the bids."""
    if workload.hostile:
        yield SENDER
    if workload.metered:
        yield from map(spender, range(SPENDERS))


def _metered_units(workload: Workload, ids: "EventIds") -> Iterator[Message]:
    """The meter is opened, and its agents win all that they will use."""
    market = workload.market
    yield Message(subjects.meter(market, 0), opened_meter(), ids.next())
    bid = {"type": "bid_placed", "resource": METERED, "unit_price_micros": 10 * PRICES_MICROS[1]}
    bid["quantity"] = units_of_each(workload.metered * workload.windows)
    for agent in map(spender, range(SPENDERS)):
        yield _message(market, agent, subjects.bid(market, agent), [dict(bid)], ids)


def _metering(workload: Workload) -> Iterator[Message]:
    """The messages of the meter, without end."""
    subject, ids = subjects.meter(workload.market, 0), EventIds(workload.seed + 4)
    events = meter_messages(METERED, window_ms=workload.window_ms, seed=workload.seed)
    return (Message(subject, payload, ids.next()) for payload in events)


def _due(count: int, at: int, in_window: int) -> int:
    """How many of so many messages per window follow the one at this place, so that they spread."""
    return (at + 1) * count // in_window - at * count // in_window


def _placed(workload: Workload) -> Iterator[Placed]:
    rng = random.Random(workload.seed)
    ids = EventIds(workload.seed + 1)
    form = _bundle if workload.bundles else _unit_bid
    market = workload.market
    for _ in range(workload.bids // workload.per_message):
        agent = agent_name(rng.randrange(workload.agents))
        placed = [form(rng) for _ in range(workload.per_message)]
        message = _message(market, agent, subjects.bid(market, agent), placed, ids)
        yield Placed(message, agent, str(placed[0]["event_id"]))


def _withdrawal(market: str, placed: Placed, ids: "EventIds") -> Message:
    command: dict[str, object] = {"type": "bid_withdrawn", "bid_event_id": placed.event_id}
    return _message(market, placed.agent, subjects.bid(market, placed.agent), [command], ids)


def _odd(workload: Workload) -> Iterator[Message]:
    """The messages of the hostile sender, without end."""
    rng, ids = random.Random(workload.seed + 3), EventIds(workload.seed + 3)
    hand = Hand(rng, ids.next, RESOURCES)
    while True:
        recipient = agent_name(rng.randrange(workload.agents))
        subject, payload = odd_message(hand, workload.market, recipient)
        yield Message(subject, payload, message_id(workload.market, SENDER, [ids.next()]))


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
    market: str, sender: str, subject: str, commands: list[dict[str, object]], ids: EventIds
) -> Message:
    event_ids = [ids.next() for _ in commands]
    for command, event_id in zip(commands, event_ids, strict=True):
        command["event_id"] = event_id
    payload = _json.encode(commands[0] if len(commands) == 1 else commands)
    return Message(subject, payload, message_id(market, sender, event_ids))


def _market(workload: Workload) -> dict[str, object]:
    listed = {"supply": workload.supply, "initial_price_micros": PRICES_MICROS[0]}
    resources = dict.fromkeys(RESOURCES, listed)
    if workload.metered:
        resources[METERED] = listed | {"allowance_windows": ALLOWANCE_WINDOWS}
    return {"type": "market_opened", "resources": resources}


def _grant(agent: str) -> dict[str, object]:
    return {
        "type": "credits_granted",
        "agent_id": agent,
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
