"""What a publisher sends: everything that a market takes, and what it does not, by a seed.

Promise: seed and number of a publisher decide all of it but for the ids of the events, whose time
is that of the sending, as the market demands.
"""

import json
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final

from bench.workload import EventIds
from walras_client.nats.publisher import payload_of
from walras_schemas import (
    TREASURY,
    BidPlaced,
    BidWithdrawn,
    CommandBase,
    CreditsGranted,
    CreditsTransferred,
    MarketClosed,
    MarketOpened,
    ResourceRules,
    Rule,
    SupplyChanged,
    message_id,
    subjects,
)

MARKETS: Final[dict[str, Rule]] = {
    "bazaar": "uniform",
    "fair": "pay_as_bid",
    "souk": "vickrey",
}
SUPPLY: Final = {"cpu": 4000, "gpu": 300}
AGENTS: Final = 80
"""In each market."""
STAKE_MICROS: Final = 50_000_000
SINGLES: Final = 8
BATCH: Final = (20, 180)
REMEMBERED: Final = 200
KEPT_BIDS: Final = 50

FORMS: Final = {
    "bid": 60,
    "bundle": 12,
    "withdrawal": 8,
    "transfer": 8,
    "grant": 4,
    "supply": 2,
    "closing": 1,
    "malformed": 6,
}
MALFORMED: Final = (
    b"",
    b"no JSON",
    b'{"type": "bid_placed"}',
    b'{"type": "bid_placed", "quantity": NaN}',
    b'["\xff"]',
    b"[" * 2000,
    b"[]",
    b"[" + b",".join([b"{}"] * 1001) + b"]",
    b'[{"type": "nothing"}, 7, null, [], "bid"]',
    b'{"type": "credits_granted", "event_id": "here", "agent_id": "a1", "amount_micros": 1.5}',
)


@dataclass(frozen=True, slots=True)
class Message:
    """One message on its way into the log."""

    subject: str
    payload: bytes
    msg_id: str


class Trader:
    """Makes the messages of one publisher, who speaks for all agents and for the operators."""

    def __init__(self, seed: int, number: int) -> None:
        self.chance = Random(f"{seed}/{number}")
        self._ids = EventIds(self.chance.getrandbits(64))
        self._past: deque[Message] = deque(maxlen=REMEMBERED)
        self._closed: list[str] = []
        self._bids: deque[tuple[str, str, str]] = deque(maxlen=KEPT_BIDS)

    def opening(self) -> list[Message]:
        """Every market, and a stake for every agent."""
        opened = [self._opened(market) for market in MARKETS]
        stakes = [
            self._message(
                subjects.grant(market), *(self._grant(number) for number in range(AGENTS))
            )
            for market in MARKETS
        ]
        return opened + stakes

    def round(self) -> list[Message]:
        """The next messages: single ones and a batch, some of them twice, in no order."""
        reopened = [self._opened(market) for market in self._closed]
        self._closed.clear()
        fresh = [*reopened, self._batch(), *(self._single() for _ in range(SINGLES))]
        self._past.extend(fresh)
        again = self.chance.sample(self._past, 2)
        other = self.chance.choice(self._past)
        copied = Message(other.subject, other.payload, self._id())
        messages = [*fresh, *again, copied]
        self.chance.shuffle(messages)
        return messages

    def _single(self) -> Message:
        market, agent = self._speaker()
        (form,) = self.chance.choices(list(FORMS), list(FORMS.values()))
        make: dict[str, Callable[[str, str], Message]] = {
            "bid": lambda market, agent: self._placed(market, agent, self._unit_bid()),
            "bundle": lambda market, agent: self._placed(market, agent, self._bundle()),
            "withdrawal": self._withdrawal,
            "transfer": self._transfer,
            "grant": lambda market, _: self._message(
                subjects.grant(market), self._grant(self.chance.randrange(AGENTS))
            ),
            "supply": self._supply,
            "closing": self._closing,
            "malformed": self._malformed,
        }
        return make[form](market, agent)

    def _batch(self) -> Message:
        market, agent = self._speaker()
        bids = [self._unit_bid() for _ in range(self.chance.randint(*BATCH))]
        if self.chance.random() < 0.2:  # an element that is no command spoils no neighbour
            return self._spoiled(market, agent, bids)
        return self._message(subjects.bid(market, agent), *bids)

    def _spoiled(self, market: str, agent: str, bids: list[BidPlaced]) -> Message:
        elements = [bid.model_dump(mode="json") for bid in bids]
        elements[self.chance.randrange(len(elements))] = {"type": "bid_placed"}
        payload = json.dumps(elements).encode()
        return Message(subjects.bid(market, agent), payload, self._id())

    def _placed(self, market: str, agent: str, bid: BidPlaced) -> Message:
        self._bids.append((market, agent, bid.event_id))
        return self._message(subjects.bid(market, agent), bid)

    def _withdrawal(self, market: str, agent: str) -> Message:
        if self._bids:
            market, agent, bid_event_id = self._bids.pop()
        else:
            bid_event_id = self._id()
        taken_back = BidWithdrawn(event_id=self._id(), bid_event_id=bid_event_id)
        return self._message(subjects.bid(market, agent), taken_back)

    def _transfer(self, market: str, agent: str) -> Message:
        given = CreditsTransferred(
            event_id=self._id(),
            to_agent_id=_agent(self.chance.randrange(AGENTS)),
            amount_micros=self.chance.randint(1, STAKE_MICROS // 10),
        )
        return self._message(subjects.transfer(market, agent), given)

    def _supply(self, market: str, _agent_id: str) -> Message:
        resource, usual = self.chance.choice(list(SUPPLY.items()))
        supply = self.chance.randint(0, 2 * usual)
        changed = SupplyChanged(event_id=self._id(), resource=resource, supply=supply)
        return self._message(subjects.market(market), changed)

    def _closing(self, market: str, _agent_id: str) -> Message:
        """A market that is closed until the next round, or a window longer."""
        self._closed.append(market)
        return self._message(subjects.market(market), MarketClosed(event_id=self._id()))

    def _opened(self, market: str) -> Message:
        listed = {
            name: ResourceRules(supply=n, initial_price_micros=800) for name, n in SUPPLY.items()
        }
        opened = MarketOpened(event_id=self._id(), rule=MARKETS[market], resources=listed)
        return self._message(subjects.market(market), opened)

    def _malformed(self, market: str, agent: str) -> Message:
        payload = self.chance.choice(MALFORMED)
        return Message(subjects.bid(market, agent), payload, self._id())

    def _unit_bid(self) -> BidPlaced:
        return BidPlaced(
            event_id=self._id(),
            resource=self.chance.choice(list(SUPPLY)),
            quantity=self.chance.randint(1, 60),
            unit_price_micros=self.chance.randint(500, 2000),
        )

    def _bundle(self) -> BidPlaced:
        vector = {name: self.chance.randint(1, 20) for name in SUPPLY}
        price = self.chance.randint(500, 2000)
        return BidPlaced(
            event_id=self._id(), bundle=vector, limit_micros=price * sum(vector.values())
        )

    def _grant(self, number: int) -> CreditsGranted:
        return CreditsGranted(
            event_id=self._id(), agent_id=_agent(number), amount_micros=STAKE_MICROS
        )

    def _speaker(self) -> tuple[str, str]:
        """A market and one of its agents; a few were never given credits."""
        return self.chance.choice(list(MARKETS)), _agent(self.chance.randrange(AGENTS + 2))

    def _message(self, subject: str, *commands: CommandBase) -> Message:
        about = subjects.parse(subject)
        assert about is not None, "it was built from names"
        ids = [command.event_id for command in commands]
        msg_id = message_id(str(about.market), about.agent or TREASURY, ids)
        return Message(subject, payload_of(commands), msg_id)

    def _id(self) -> str:
        return self._ids.next()


def _agent(number: int) -> str:
    return f"a{number}"
