"""Clear one market's window: who wins what, and what each winner pays (SEMANTICS §6).

Promise: a pure function of the terms in force and the admitted bids. All comparisons are exact:
densities are compared as integers, prices are integers or fractions of integers. What is won never
exceeds the supply, nobody pays above its limit or below the reserve.
"""

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from operator import attrgetter

import msgspec

from state.accounts import Bid
from state.market import Terms

Level = Fraction
"""The price level λ: the price of one unit of weight."""
NOTHING: Level = Fraction(0)


@dataclass(frozen=True, slots=True)
class Clearing:
    """The outcome of one market's window, besides what it wrote on the bids themselves."""

    level: Level | None
    """λ under the uniform rules, None where winners pay different prices."""
    sold: dict[str, int]


class Ranked(msgspec.Struct, gc=False):
    """A bid in the order of the auction, with its exact density as a sortable integer."""

    bid: Bid
    density: int
    weight: int
    """Reference value of what the bid's `unit_price_micros` is offered for, in micros."""

    @property
    def exact_density(self) -> Fraction:
        """What the bid offers for one unit of weight."""
        return Fraction(self.bid.unit_price_micros, self.weight)

    @property
    def lost_a_unit(self) -> bool:
        """True when the bid did not get all that it asked for."""
        return self.bid.won < self.bid.quantity


PaymentRule = Callable[[Terms, Sequence[Ranked]], Level | None]
"""Write `paid_micros` on the winners of a ranked book and give the price level, if there is one."""


def clear(terms: Terms, bids: Iterable[Bid]) -> Clearing:
    """Allocate the supply to `bids`, given in (seq, ord) order, and price what was won."""
    ranked = rank(terms, bids)
    sold = allocate_supply(terms, ranked)
    return Clearing(level=PAYMENT_RULES[terms.rule](terms, ranked), sold=sold)


def rank(terms: Terms, bids: Iterable[Bid]) -> list[Ranked]:
    """Bids by density, highest first, and in the order given where densities are equal.

    A density is a fraction v/W. Two different ones are at least 1/(W·W') apart, so that scaling by
    a power of two above the square of the largest weight and rounding down keeps every order and
    every tie: fractions are compared exactly, at the price of integers.
    """
    book = list(bids)
    # A unit bid's quantity cancels out of its density: it is left out to keep the integers short.
    references = {name: rules.reference_micros for name, rules in terms.resources.items()}
    weights = [
        references[bid.resource] if bid.resource else weight_of(terms, bid.demand) for bid in book
    ]
    scale = 2 * max(weights, default=1).bit_length()
    ranked = [
        Ranked(bid, (bid.unit_price_micros << scale) // weight, weight)
        for bid, weight in zip(book, weights, strict=True)
    ]
    ranked.sort(key=attrgetter("density"), reverse=True)
    return ranked


def weight_of(terms: Terms, units: Mapping[str, int]) -> int:
    """Units of several resources as one number, each weighed by its reference price."""
    return sum(terms.resources[name].reference_micros * count for name, count in units.items())


def reserve_of(terms: Terms, units: Mapping[str, int]) -> int:
    """The least that these units may be sold for, in micros."""
    return sum(terms.resources[name].reserve_micros * count for name, count in units.items())


def allocate_supply(terms: Terms, ranked: Iterable[Ranked]) -> dict[str, int]:
    """Go through the bids in order and give each what fits; the units sold by resource.

    A bundle is won whole or not at all, a unit bid in part if the part reaches its `min_quantity`.
    Who does not fit does not stop those behind it.
    """
    left = {name: resource.supply for name, resource in terms.resources.items()}
    for entry in ranked:
        bid = entry.bid
        if bid.resource is not None:
            fits = min(bid.quantity, left[bid.resource])
            if fits >= bid.min_quantity:
                bid.won = fits
                left[bid.resource] -= fits
        elif all(units <= left[name] for name, units in bid.demand.items()):
            bid.won = 1
            for name, units in bid.demand.items():
                left[name] -= units
    return {name: terms.resources[name].supply - remains for name, remains in left.items()}


def pay_uniform(terms: Terms, ranked: Sequence[Ranked]) -> Level:
    """Every winner pays the level of the highest bid that lost a unit at or below the winners.

    The uniform-price auction at the highest rejected bid, carried over to several resources by
    density. Source: V. Krishna, Auction Theory, 2nd ed. (2010), ch. 12. Individually rational,
    budget balanced, never below the reserve. Truthful for bidders who want one unit, as long as all
    bids are divisible and for one resource: those who want more may gain by asking for less (demand
    reduction), and where a bid that cannot be divided is left out, so may anyone.
    """
    lowest = _lowest_winner(ranked)
    if lowest is None:
        return NOTHING
    rejected = (r for r in ranked if r.density <= lowest.density and r.lost_a_unit)
    marginal = next(rejected, None)
    return _charge_level(terms, ranked, marginal.exact_density if marginal else NOTHING)


def pay_uniform_lab(terms: Terms, ranked: Sequence[Ranked]) -> Level:
    """Every winner pays the level of the lowest winning bid (lowest accepted bid).

    Source: the allowance auctions of emissions trading, e.g. California Code of Regulations,
    title 17, § 95911, in force since 2012 (single round, sealed bid, uniform price at the lowest
    accepted bid). Individually rational, budget balanced, never below the reserve. The marginal
    winner sets its own price: truthful only for bidders who are sure not to be marginal.
    """
    lowest = _lowest_winner(ranked)
    return _charge_level(terms, ranked, lowest.exact_density if lowest else NOTHING)


def pay_as_bid(_terms: Terms, ranked: Sequence[Ranked]) -> None:
    """Every winner pays what it offered for what it won (the discriminatory auction).

    Source: V. Krishna, Auction Theory, 2nd ed. (2010), ch. 12; the United States sold its treasury
    bills so from 1929. Individually rational, budget balanced, never below the reserve. Truthful
    for nobody: bidders shade their bids towards the price they expect.
    """
    for entry in ranked:
        bid = entry.bid
        bid.paid_micros = bid.won * bid.unit_price_micros


def pay_vickrey(terms: Terms, ranked: Sequence[Ranked]) -> None:
    """An agent pays for its k units the k highest values that others lost because of it.

    Source: W. Vickrey, Counterspeculation, auctions, and competitive sealed tenders, Journal of
    Finance 16 (1961), in the multi-unit form of V. Krishna, Auction Theory, 2nd ed. (2010), ch. 12.
    Individually rational, budget balanced, never below the reserve. Truthful for everyone whose
    values are private and do not rise from unit to unit, and whose credits cover them.
    """
    for resource, rules in terms.resources.items():
        book = [entry.bid for entry in ranked if entry.bid.resource == resource]
        losing = [(bid, bid.quantity - bid.won) for bid in book if bid.won < bid.quantity]
        winners: dict[str, list[Bid]] = {}
        for bid in book:
            if bid.won:
                winners.setdefault(bid.agent, []).append(bid)
        for agent, won in winners.items():
            others = ((bid.unit_price_micros, lost) for bid, lost in losing if bid.agent != agent)
            units = sum(bid.won for bid in won)
            _split(won, _displaced_value(others, units, reserve=rules.reserve_micros))


PAYMENT_RULES: dict[str, PaymentRule] = {
    "uniform": pay_uniform,
    "uniform_lab": pay_uniform_lab,
    "pay_as_bid": pay_as_bid,
    "vickrey": pay_vickrey,
}


def _lowest_winner(ranked: Sequence[Ranked]) -> Ranked | None:
    return next((entry for entry in reversed(ranked) if entry.bid.won), None)


def _charge_level(terms: Terms, ranked: Iterable[Ranked], level: Level) -> Level:
    numerator, denominator = level.numerator, level.denominator
    floor = any(rules.reserve_micros for rules in terms.resources.values())
    for entry in ranked:
        bid = entry.bid
        if bid.won:
            priced = ceil_div(numerator * entry.weight * bid.won, denominator)
            bid.paid_micros = max(priced, reserve_of(terms, bid.allocation)) if floor else priced
    return level


def _displaced_value(losing: Iterable[tuple[int, int]], units: int, *, reserve: int) -> int:
    """The value of the best `units` losing units, given as (price, units) with the best first.

    Each is floored at the reserve; where fewer units lost, the reserve (the seller's own valuation)
    stands for them.
    """
    value, left = 0, units
    for price, lost in losing:
        taken = min(lost, left)
        value += taken * max(price, reserve)
        left -= taken
        if not left:
            break
    return value + left * reserve


def _split(won: Sequence[Bid], total: int) -> None:
    """Split an agent's payment over its bids by units won, by largest remainder, then order."""
    units = sum(bid.won for bid in won)
    for bid in won:
        bid.paid_micros = total * bid.won // units
    rest = total - sum(bid.paid_micros for bid in won)
    by_remainder = sorted(won, key=lambda bid: (-(total * bid.won % units), bid.seq, bid.ord))
    for bid in by_remainder[:rest]:
        bid.paid_micros += 1


def ceil_div(numerator: int, denominator: int) -> int:
    """The quotient rounded up, exactly."""
    return -(-numerator // denominator)


def round_half_up(value: Fraction) -> int:
    """The nearest integer; halves go up."""
    return (2 * value.numerator + value.denominator) // (2 * value.denominator)
