"""How honest agents bid: by their value of a resource, within what they can spend.

Promise: a strategy sees its own view and nothing else, and draws all chance from the generator in
it: the same views give the same commands. No bid is above its value, and none above the balance
that the agent knows of. One kind, the bargain hunter, forgets what its open bids hold: the market
has to refuse them.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final, Protocol

from walras_schemas import (
    BidOutcome,
    BidPlaced,
    BidWithdrawn,
    Command,
    CreditsTransferred,
    ResourcePrice,
)

PERCENT: Final = 100


@dataclass(frozen=True, slots=True)
class Need:
    """What an agent could use of one resource in a window, and what a unit is worth to it."""

    resource: str
    quantity: int
    value_micros: int


@dataclass(frozen=True, slots=True)
class View:
    """All that an agent knows when its turn comes."""

    turn: int
    turns_left: int
    """Turns it may still expect, this one counted."""
    balance_micros: int
    """The last that the market published."""
    promised_micros: int
    """Held by commands of its own whose outcome it does not know yet."""
    prices: Mapping[str, ResourcePrice]
    """The last cleared window of its market."""
    outcomes: Sequence[BidOutcome]
    """The outcomes of its bids since its last turn."""
    rush_percent: int
    """How busy its own customers are: 100 on an ordinary day."""
    rng: Random
    new_id: Callable[[], str]

    @property
    def free_micros(self) -> int:
        """What it can still spend without promising a credit twice."""
        return max(0, self.balance_micros - self.promised_micros)

    def price_micros(self, need: Need) -> int:
        """What a unit last cost; the reference price where none was sold."""
        price = self.prices[need.resource]
        if price.clearing_micros is None:
            return price.reference_micros
        return price.clearing_micros


class Strategy(Protocol):
    """One agent's way to bid: its turn's commands, in the order in which they are to be sent."""

    def __call__(self, view: View) -> list[Command]:
        """Decide what to send in this turn; nothing is a decision too."""
        ...


def unit_bid(
    view: View, need: Need, *, quantity: int, value_micros: int, budget_micros: int
) -> list[BidPlaced]:
    """A bid for what the budget buys of `quantity`; none when it buys nothing."""
    affordable = min(quantity, budget_micros // value_micros)
    if affordable < 1:
        return []
    return [
        BidPlaced(
            event_id=view.new_id(),
            resource=need.resource,
            quantity=affordable,
            unit_price_micros=value_micros,
        )
    ]


def quantity_now(view: View, need: Need) -> int:
    """How much it could use in this turn: a third more or less than usual, more in a rush."""
    wanted = need.quantity * view.rush_percent * view.rng.randint(67, 133) // PERCENT**2
    return min(max(1, wanted), view.prices[need.resource].supply)


def value_now(view: View, need: Need) -> int:
    """What a unit is worth in this turn: its value moves by a tenth."""
    return max(1, need.value_micros * view.rng.randint(90, 110) // PERCENT)


@dataclass(frozen=True, slots=True)
class Truthful:
    """Bids what a unit is worth to it, in every turn."""

    need: Need

    def __call__(self, view: View) -> list[Command]:
        """One unit bid at its value."""
        return [
            *unit_bid(
                view,
                self.need,
                quantity=quantity_now(view, self.need),
                value_micros=value_now(view, self.need),
                budget_micros=view.free_micros,
            )
        ]


@dataclass(frozen=True, slots=True)
class Bundler:
    """Needs several resources at once: an LLM call is tokens, processor time and memory."""

    needs: tuple[Need, ...]

    def __call__(self, view: View) -> list[Command]:
        """One bundle at what its parts are worth together, or none it cannot pay."""
        bundle = {need.resource: quantity_now(view, need) for need in self.needs}
        limit = sum(bundle[need.resource] * value_now(view, need) for need in self.needs)
        if limit > view.free_micros or not all(bundle.values()):
            return []
        return [BidPlaced(event_id=view.new_id(), bundle=bundle, limit_micros=limit)]


@dataclass(frozen=True, slots=True)
class Pacer:
    """Spreads its credits over the turns it expects, so that it is never out of the market."""

    need: Need

    def __call__(self, view: View) -> list[Command]:
        """One unit bid that spends at most twice its even share."""
        share = 2 * view.free_micros // max(1, view.turns_left)
        return [
            *unit_bid(
                view,
                self.need,
                quantity=quantity_now(view, self.need),
                value_micros=value_now(view, self.need),
                budget_micros=min(share, view.free_micros),
            )
        ]


@dataclass(slots=True)
class Deadline:
    """Has one job at a time, won whole or not at all; its value rises as the deadline nears."""

    need: Need
    term: int
    """Turns it has for a job; a job not done by then is dropped for the next."""
    _begins: int = field(default=0, init=False)

    def __call__(self, view: View) -> list[Command]:
        """The whole job, unless one is done or the outcome of its last bid is still open."""
        if any(outcome.won for outcome in view.outcomes):
            self._begins = view.turn + 1
        if view.turn < self._begins or view.promised_micros:
            return []
        if view.turn - self._begins >= self.term:
            self._begins = view.turn
        elapsed_percent = PERCENT * (view.turn - self._begins + 1) // self.term
        # From three fifths of its full value, long before the deadline, up to all of it.
        value = self.need.value_micros * (60 + 40 * elapsed_percent // PERCENT) // PERCENT
        return self._whole_job(view, value_micros=max(1, value))

    def _whole_job(self, view: View, *, value_micros: int) -> list[Command]:
        quantity = min(self.need.quantity, view.prices[self.need.resource].supply)
        if not 0 < quantity * value_micros <= view.free_micros:
            return []
        return [
            BidPlaced(
                event_id=view.new_id(),
                resource=self.need.resource,
                quantity=quantity,
                unit_price_micros=value_micros,
                min_quantity=quantity,
            )
        ]


@dataclass(frozen=True, slots=True)
class Follower:
    """Bids a little above the last price, and takes its bid back when it found something better."""

    needs: tuple[Need, ...]
    """What serves it equally well, one or the other."""

    def __call__(self, view: View) -> list[Command]:
        """The need that gains most; now and then a better offer for the other turns up."""
        best, *others = sorted(self.needs, key=lambda need: -self._gain(view, need))
        first = self._bid(view, best, spent_micros=0)
        if not (first and others and view.rng.randrange(4) == 0):
            return [*first]
        back = BidWithdrawn(event_id=view.new_id(), bid_event_id=first[0].event_id)
        # What the first bid holds is free again only once the market has taken the withdrawal.
        spent = limit_of(first[0])
        return [*first, back, *self._bid(view, view.rng.choice(others), spent_micros=spent)]

    def _gain(self, view: View, need: Need) -> int:
        return PERCENT * (need.value_micros - view.price_micros(need)) // need.value_micros

    def _bid(self, view: View, need: Need, *, spent_micros: int) -> list[BidPlaced]:
        above = view.price_micros(need) * view.rng.randint(102, 115) // PERCENT
        return unit_bid(
            view,
            need,
            quantity=quantity_now(view, need),
            value_micros=max(1, min(above, need.value_micros)),
            budget_micros=view.free_micros - spent_micros,
        )


@dataclass(slots=True)
class Patient:
    """Asks for the scarcest resource, a person's attention, and waits while it is in demand."""

    need: Need
    patience: int
    """Turns it lets pass before it asks all the same."""
    _waited: int = field(default=0, init=False)

    def __call__(self, view: View) -> list[Command]:
        """Nothing in a busy window, until its patience ends."""
        if self._is_busy(view) and self._waited < self.patience:
            self._waited += 1
            return []
        self._waited = 0
        return [
            *unit_bid(
                view,
                self.need,
                quantity=quantity_now(view, self.need),
                value_micros=self.need.value_micros,
                budget_micros=view.free_micros,
            )
        ]

    def _is_busy(self, view: View) -> bool:
        price = view.prices[self.need.resource]
        dear = view.price_micros(self.need) > self.need.value_micros
        return dear and price.demanded > price.supply


@dataclass(frozen=True, slots=True)
class Bargain:
    """Makes two low offers and forgets that both hold its credits until the window closes."""

    needs: tuple[Need, Need]

    def __call__(self, view: View) -> list[Command]:
        """Two bids, each within its balance, together perhaps not; some are below the reserve."""
        bids: list[Command] = []
        for need in self.needs:
            price = view.price_micros(need) * view.rng.randint(60, 110) // PERCENT
            bids += unit_bid(
                view,
                need,
                quantity=quantity_now(view, need),
                value_micros=max(1, min(price, need.value_micros)),
                budget_micros=view.balance_micros,
            )
        return bids


def limit_of(command: Command) -> int:
    """The credits that a command promises: a bid its maximum cost, a transfer its amount."""
    match command:
        case BidPlaced(limit_micros=int(limit)):
            return limit
        case BidPlaced(quantity=int(quantity), unit_price_micros=int(price)):
            return quantity * price
        case CreditsTransferred(amount_micros=amount):
            return amount
        case _:
            return 0
