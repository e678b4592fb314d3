"""Who takes part in a simulated market: how each agent bids, what it needs, what it knows.

Promise: the same seed seats the same agents with the same needs in every market of the same
resources, and together they ask for more than there is, however many or few they are, of some
resources for much more and of others for little more. An agent counts as spent whatever it promised
until the market has published the outcome.
"""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import combinations, cycle, islice
from random import Random
from typing import Final

from flows.simulation.strategies import (
    PERCENT,
    Bargain,
    Bundler,
    Deadline,
    Follower,
    Need,
    Pacer,
    Patient,
    Strategy,
    Truthful,
    View,
    limit_of,
)
from walras_schemas import (
    MICROS_PER_CREDIT,
    AgentResult,
    BidOutcome,
    Command,
    CreditsTransferred,
    ResourcePrice,
)

# Twenty seats in the proportions of the whole population; the first seven are one of each kind.
SEATING: Final = (
    *("truthful", "bundler", "pacer", "deadline", "follower", "patient", "bargain"),
    *("truthful", "bundler", "pacer", "deadline", "follower", "truthful", "bundler"),
    *("pacer", "deadline", "truthful", "bundler", "patient", "truthful"),
)
KINDS: Final[Mapping[str, str]] = {
    "truthful": "bids what a unit is worth to it",
    "bundler": "needs all of a bundle or nothing",
    "pacer": "spreads its credits over its turns",
    "deadline": "buys a whole job, and pays more the less time is left",
    "follower": "bids near the last price and may think again",
    "patient": "waits while the scarcest resource is in demand",
    "bargain": "makes low offers with credits it may have promised already",
}
"""Every kind of agent and how it bids, in words."""
BUNDLED: Final = 3
DEMAND_PERCENT: Final = (150, 240, 170, 120)
"""What an ordinary turn of everyone asks for, in percent of the supply: of the dearest resource,
of the next and so on, in turn, so that prices differ by scarcity."""
STAKE_WINDOWS: Final = 60
"""A full stake is an even part of the supply of so many windows, at reference prices."""
STAKE_PERCENT: Final = {"bargain": 3}
"""The kinds that start with less than a full stake."""
LONGEST_MEMORY: Final = 64

BUILD: Final[Mapping[str, Callable[[tuple[Need, ...], Random], Strategy]]] = {
    "truthful": lambda needs, _rng: Truthful(needs[0]),
    "bundler": lambda needs, _rng: Bundler(needs),
    "pacer": lambda needs, _rng: Pacer(needs[0]),
    "deadline": lambda needs, rng: Deadline(needs[0], term=rng.randint(3, 6)),
    "follower": lambda needs, _rng: Follower(needs),
    "patient": lambda needs, rng: Patient(needs[0], patience=rng.randint(2, 5)),
    "bargain": lambda needs, _rng: Bargain((needs[0], needs[-1])),
}

Prices = Mapping[str, ResourcePrice]
"""The last cleared window of a market, by resource."""


@dataclass(frozen=True, slots=True)
class TurnContext:
    """What is the same for every agent whose turn comes context."""

    prices: Prices
    turns_left: int
    """Turns that an agent may still expect, this one counted."""
    rush_percent: int
    payees: Sequence[str]
    """Who may be paid for a service."""
    new_id: Callable[[], str]


@dataclass(slots=True)
class Agent:
    """One agent between two turns: its strategy, its balance and the outcomes it waits for."""

    name: str
    strategy: Strategy
    rng: Random
    balance_micros: int = 0
    turn: int = 0
    _promises: dict[str, int] = field(default_factory=dict)
    """What each command without a known outcome may cost, by event id."""
    _outcomes: list[BidOutcome] = field(default_factory=list)
    _last_window: int = -1

    @property
    def kind(self) -> str:
        """Its strategy, as its name says it."""
        return kind_of(self.name)

    def act(self, context: TurnContext) -> list[Command]:
        """Take its turn: what it sends now, in this order."""
        commands = self._promise(self.strategy(self._view(context)))
        fees = self._promise(service_fee(self._view(context), context.payees, payer=self.name))
        self._outcomes.clear()
        self.turn += 1
        return [*commands, *fees]

    def learn(self, result: AgentResult) -> None:
        """Add the results of a window; a repeated one changes nothing."""
        if result.window_id <= self._last_window:
            return
        self._last_window = result.window_id
        self.balance_micros = result.balance_micros
        if not result.complete:
            self._promises.clear()  # nobody says which of them ended; the balance has them all
        for outcome in result.outcomes or ():
            self._promises.pop(outcome.event_id, None)
            if isinstance(outcome, BidOutcome):
                self._outcomes.append(outcome)
        del self._outcomes[:-LONGEST_MEMORY]

    def _view(self, context: TurnContext) -> View:
        return View(
            turn=self.turn,
            turns_left=context.turns_left,
            balance_micros=self.balance_micros,
            promised_micros=sum(self._promises.values()),
            prices=context.prices,
            outcomes=tuple(self._outcomes),
            rush_percent=context.rush_percent,
            rng=self.rng,
            new_id=context.new_id,
        )

    def _promise(self, commands: Sequence[Command]) -> list[Command]:
        for command in commands:
            self._promises[command.event_id] = limit_of(command)
        return [*commands]


def service_fee(view: View, payees: Sequence[str], *, payer: str) -> list[CreditsTransferred]:
    """Now and then an agent pays another for a service, a small part of what it has free."""
    fee = view.free_micros // 50
    if fee < 1 or not payees or view.rng.randrange(25):
        return []
    payee = view.rng.choice(payees)
    if payee == payer:
        return []
    return [
        CreditsTransferred(
            event_id=view.new_id(), to_agent_id=payee, amount_micros=fee, purpose="service"
        )
    ]


def kind_of(name: str) -> str:
    """The strategy of the agent with this name."""
    return name.partition("-")[0]


def seat_agents(
    prices: Prices, *, agents: int, seed: int, turns_per_window: int = 1
) -> list[Agent]:
    """That many agents in a market of these resources, each with its own needs and random numbers.

    With several turns per window each agent needs less in each.
    """
    rng = Random(seed)
    seats = _seats(agents, Ranked.of(prices))
    claims = Counter(
        resource for _, resources in seats for resource in resources * turns_per_window
    )
    parts = _parts(prices, claims)
    return [
        Agent(
            name=f"{kind}-{number:03d}",
            strategy=BUILD[kind](_needs(prices, parts, resources, rng), rng),
            rng=Random(rng.getrandbits(64)),
        )
        for number, (kind, resources) in enumerate(seats)
    ]


def stake_micros(prices: Prices, kind: str, *, agents: int) -> int:
    """What an agent of this kind starts with, among so many."""
    value = sum(price.reference_micros * price.supply for price in prices.values())
    full = value * STAKE_WINDOWS // agents
    return max(MICROS_PER_CREDIT, full * STAKE_PERCENT.get(kind, PERCENT) // PERCENT)


@dataclass(frozen=True, slots=True)
class Ranked:
    """The resources of a market as agents think of them."""

    common: tuple[str, ...]
    """The cheaper ones, that work is made of."""
    scarce: str
    """The dearest one."""

    @classmethod
    def of(cls, prices: Prices) -> "Ranked":
        """Ranked by reference price."""
        by_price = sorted(prices, key=lambda name: (prices[name].reference_micros, name))
        return cls(common=tuple(by_price[:-1] or by_price), scarce=by_price[-1])


def _seats(agents: int, ranked: Ranked) -> list[tuple[str, tuple[str, ...]]]:
    """The kind and the resources of every seat; the seats of a kind take the resources in turn."""
    common, scarce = ranked.common, ranked.scarce
    pairs = [*combinations(common, 2)] or [(common[0], common[0])]
    turns: Mapping[str, Iterator[tuple[str, ...]]] = {
        "truthful": cycle([(name,) for name in (*common, scarce)]),
        "bundler": cycle([common[:BUNDLED]]),
        "pacer": cycle([(name,) for name in common]),
        "deadline": cycle([(name,) for name in common]),
        "follower": cycle(pairs),
        "patient": cycle([(scarce,)]),
        "bargain": cycle(pairs),
    }
    return [(kind, next(turns[kind])) for kind in islice(cycle(SEATING), agents)]


def _parts(prices: Prices, claims: Mapping[str, int]) -> Mapping[str, int]:
    """An even part of the demand for each resource, among so many claims."""
    dearest_first = sorted(prices, key=lambda name: (-prices[name].reference_micros, name))
    return {
        name: prices[name].supply * percent // PERCENT // max(claims[name], 1)
        for name, percent in zip(dearest_first, cycle(DEMAND_PERCENT), strict=False)
    }


def _needs(
    prices: Prices, parts: Mapping[str, int], resources: tuple[str, ...], rng: Random
) -> tuple[Need, ...]:
    return tuple(_need(prices[name], parts[name], rng) for name in resources)


def _need(price: ResourcePrice, part: int, rng: Random) -> Need:
    """That part, more or less; worth it from below the price up to its double."""
    return Need(
        resource=price.resource,
        quantity=max(1, part * rng.randint(60, 140) // PERCENT),
        value_micros=max(1, price.reference_micros * rng.randint(75, 200) // PERCENT),
    )
