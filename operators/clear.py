"""Clear one market's window: who wins what, and what each winner pays (SEMANTICS §6).

Promise: a pure function of the terms in force and the admitted bids. All comparisons are exact:
densities are compared as integers, prices are integers or fractions of integers. What is won never
exceeds the supply, nobody pays above its limit or below the reserve.
"""

from collections.abc import Callable, Container, Iterable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from operator import attrgetter
from typing import Final

import msgspec

from state.bids import Bid
from state.market import Terms

LOWEST_ACCEPTED: Final = "uniform_lab"
NO_LEVEL: Final = Fraction(0)

Levels = Mapping[str, Fraction]
"""The price level λ of each scarce resource: what a unit of its reference value costs above the
reserve. A resource without one has level 0."""


@dataclass(frozen=True, slots=True)
class Clearing:
    """The outcome of one market's window, besides what it wrote on the bids themselves.

    Units by resource, of every resource in force.
    """

    sold: Mapping[str, int]
    demanded: Mapping[str, int]
    wanted: Mapping[str, int]
    """Units asked for by bids whose limit is at least the cost of what they asked for."""
    clearing_micros: Mapping[str, int]
    """Micros per unit of each resource that was sold, rounded half up."""


class Ranked(msgspec.Struct, gc=False):
    """A bid in the order of the auction, with its exact density as a sortable integer."""

    bid: Bid
    density: int
    net_micros: int
    """What the bid offers above the reserve: for a unit, or for a bundle as a whole."""
    short_of: Sequence[str] = ()
    """Resources for want of which the bid lost units."""


PaymentRule = Callable[[Terms, Sequence[Ranked], Levels], None]
"""Write `paid_micros` on the winners of a ranked order book."""


def clear(terms: Terms, bids: Iterable[Bid]) -> Clearing:
    """Allocate the supply to `bids`, given in (seq, ord) order, and price what was won."""
    ranked = rank(terms, bids)
    sold = allocate_supply(terms, ranked)
    levels = price_levels(terms, ranked)
    PAYMENT_RULES[terms.rule](terms, ranked, levels)
    nothing = dict.fromkeys(terms.resources, 0)
    wanting = [r for r in ranked if r.bid.limit_micros >= cost_of(terms, levels, r.bid.demand)]
    return Clearing(
        sold=sold,
        demanded=nothing | _asked(ranked),
        wanted=nothing | _asked(wanting),
        clearing_micros=_clearing_prices(terms, levels, ranked, sold),
    )


def rank(terms: Terms, bids: Iterable[Bid]) -> list[Ranked]:
    """Bids by density, highest first, and in the order given where densities are equal.

    A density is a fraction n/W. Two different ones are at least 1/(W·W') apart, so that scaling by
    a power of two above the square of the largest weight and rounding down keeps every order and
    every tie: fractions are compared exactly, at the price of integers (docs/adr/0010).
    """
    book = list(bids)
    # A unit bid's quantity cancels out of its density: it is left out to keep the integers short.
    weights = [weight_of(terms, _lot(bid)) for bid in book]
    nets = [bid.unit_price_micros - reserve_of(terms, _lot(bid)) for bid in book]
    scale = 2 * max(weights, default=1).bit_length()
    ranked = [
        Ranked(bid, (net << scale) // weight, net)
        for bid, net, weight in zip(book, nets, weights, strict=True)
    ]
    ranked.sort(key=attrgetter("density"), reverse=True)
    return ranked


def _lot(bid: Bid) -> Mapping[str, int]:
    """What the bid's `unit_price_micros` is offered for: one unit, or a bundle as a whole."""
    return {bid.resource: 1} if bid.resource is not None else bid.demand


def weight_of(terms: Terms, units: Mapping[str, int]) -> int:
    """Units of several resources as one number, each weighed by its reference price."""
    return sum(terms.resources[name].reference_micros * count for name, count in units.items())


def reserve_of(terms: Terms, units: Mapping[str, int]) -> int:
    """The least that these units may be sold for, in micros."""
    return sum(terms.resources[name].reserve_micros * count for name, count in units.items())


def cost_of(terms: Terms, levels: Levels, units: Mapping[str, int]) -> int:
    """What these units cost: each at its reserve and its level's price, rounded up once."""
    above = sum(
        (levels[name] * terms.resources[name].reference_micros * count)
        for name, count in units.items()
        if name in levels
    )
    return reserve_of(terms, units) + ceil(above)


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
            if bid.won < bid.quantity:
                entry.short_of = (bid.resource,)
        else:
            entry.short_of = [name for name, units in bid.demand.items() if units > left[name]]
            if not entry.short_of:
                bid.won = 1
                for name, units in bid.demand.items():
                    left[name] -= units
    return {name: terms.resources[name].supply - remains for name, remains in left.items()}


def price_levels(terms: Terms, ranked: Sequence[Ranked]) -> Levels:
    """The level of each scarce resource (SEMANTICS §6).

    A resource is scarce where a bid lost for want of it, and under `uniform_lab` where somebody won
    of it. Its level is the lowest scarce density among its winners, and under all other rules no
    more than the highest among those who lost for want of it. So nobody pays above its limit, and a
    scarce resource is free only if a winner of it, or all who lost for want of it, offered no more
    than the reserve. What it does not promise: with bundles the levels need not be those at which
    every loser is content to lose. Such losers are paradoxically rejected, as in the coupled day-
    ahead auctions of Europe, and reported. Source: NEMO Committee, EUPHEMIA Public Description
    (2024), § 3.3.
    """
    accepted = terms.rule == LOWEST_ACCEPTED
    names = (name for r in ranked for name in (r.bid.allocation if accepted else r.short_of))
    scarce = set(names)
    lowest: dict[str, Fraction] = {}
    highest: dict[str, Fraction] = {}
    for entry in ranked:
        won = scarce.intersection(entry.bid.allocation)
        short_of = () if accepted else entry.short_of
        if won or short_of:
            density = _scarce_density(terms, entry, scarce)
            for name in won:
                lowest[name] = min(lowest.get(name, density), density)
            for name in short_of:
                highest[name] = max(highest.get(name, density), density)
    return {name: min(lowest[name], highest.get(name, lowest[name])) for name in scarce}


def _scarce_density(terms: Terms, entry: Ranked, scarce: Container[str]) -> Fraction:
    """What a bid offers above the reserve for one unit of reference value of what is scarce."""
    asked = {name: units for name, units in _lot(entry.bid).items() if name in scarce}
    return Fraction(entry.net_micros, weight_of(terms, asked))


def pay_cost(terms: Terms, ranked: Sequence[Ranked], levels: Levels) -> None:
    """Every winner pays the cost of what it won, at one price for each resource.

    Under `uniform` this is the uniform-price auction at the highest rejected bid. Source: V.
    Krishna, Auction Theory, 2nd ed. (2010), ch. 12. Individually rational, budget balanced, never
    below the reserve. Truthful for bidders who want one unit of one resource, as long as all bids
    are divisible: those who want more may gain by asking for less (demand reduction), and where a
    bid that cannot be divided is left out, so may anyone.

    Under `uniform_lab` it is the one at the lowest accepted bid. Source: the allowance auctions of
    emissions trading, e.g. California Code of Regulations, title 17, § 95911, in force since 2012.
    The marginal winner sets its own price: truthful only for bidders who are sure not to be
    marginal.

    A bid that won nothing although it offered more than the cost of what it asked did not fit: by
    how much it offered more is written on it.
    """
    for entry in ranked:
        bid = entry.bid
        if bid.won:
            bid.paid_micros = cost_of(terms, levels, bid.allocation)
        else:
            value = bid.limit_micros - cost_of(terms, levels, bid.demand)
            bid.lost_value_micros = value if value > 0 else None


def pay_as_bid(_terms: Terms, ranked: Sequence[Ranked], _levels: Levels) -> None:
    """Every winner pays what it offered for what it won (the discriminatory auction).

    Source: V. Krishna, Auction Theory, 2nd ed. (2010), ch. 12; the United States sold its treasury
    bills so from 1929. Individually rational, budget balanced, never below the reserve. Truthful
    for nobody: bidders shade their bids towards the price they expect.
    """
    for entry in ranked:
        bid = entry.bid
        bid.paid_micros = bid.won * bid.unit_price_micros


def pay_vickrey(terms: Terms, ranked: Sequence[Ranked], _levels: Levels) -> None:
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
    "uniform": pay_cost,
    "uniform_lab": pay_cost,
    "pay_as_bid": pay_as_bid,
    "vickrey": pay_vickrey,
}


def _asked(ranked: Iterable[Ranked]) -> dict[str, int]:
    asked: dict[str, int] = {}
    for entry in ranked:
        for name, units in entry.bid.demand.items():
            asked[name] = asked.get(name, 0) + units
    return asked


def _clearing_prices(
    terms: Terms, levels: Levels, ranked: Iterable[Ranked], sold: Mapping[str, int]
) -> dict[str, int]:
    units_sold = {name: units for name, units in sold.items() if units}
    if PAYMENT_RULES[terms.rule] is pay_cost:
        return {name: round_half_up(unit_price(terms, levels, name)) for name in units_sold}
    paid = _paid_for(terms, (entry.bid for entry in ranked))
    return {name: round_half_up(Fraction(paid[name], units)) for name, units in units_sold.items()}


def unit_price(terms: Terms, levels: Levels, name: str) -> Fraction:
    """What a unit costs under the uniform rules, exactly."""
    rules = terms.resources[name]
    return rules.reserve_micros + levels.get(name, NO_LEVEL) * rules.reference_micros


def _paid_for(terms: Terms, bids: Iterable[Bid]) -> Mapping[str, Fraction]:
    """What was paid for each resource: the reserve, and by reference value of what is above it."""
    paid: dict[str, Fraction] = {}
    for bid in bids:
        for name, micros in shares_of(terms, bid.paid_micros, bid.allocation).items():
            paid[name] = paid.get(name, Fraction()) + micros
    return paid


def shares_of(terms: Terms, paid_micros: int, won: Mapping[str, int]) -> dict[str, Fraction]:
    """A payment, split over the resources that were won by it."""
    above, weight = paid_micros - reserve_of(terms, won), weight_of(terms, won)
    shares = {}
    for name, units in won.items():
        rules = terms.resources[name]
        share = Fraction(above * rules.reference_micros * units, weight)
        shares[name] = rules.reserve_micros * units + share
    return shares


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


def ceil(value: Fraction | int) -> int:
    """The value rounded up, exactly."""
    return -(-value.numerator // value.denominator)


def round_half_up(value: Fraction) -> int:
    """The nearest integer; halves go up."""
    return (2 * value.numerator + value.denominator) // (2 * value.denominator)
