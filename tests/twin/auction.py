"""One market's window, cleared the slow and obvious way of SEMANTICS §6.

Promise: every quantity and comparison is an integer or a Fraction, offers are gone through one by
one, and a price is computed only once the whole allocation is known. Offers are the admitted bids
that were not withdrawn; the caller answers for that.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

from tests.twin.offers import Offer, Place, Terms, Vector
from tests.twin.vickrey import pay_vickrey

Levels = dict[str, Fraction]  # of the scarce resources; every other one lies at 0


@dataclass(frozen=True, slots=True)
class Outcome:
    """What offers won, paid and lost in a window, and what is said of each resource in force."""

    won: dict[Place, Vector]
    paid_micros: dict[Place, int]
    lost_value_micros: dict[Place, int]  # of the paradoxically rejected, and of no other
    clearing_micros: dict[str, int | None]
    demanded: Vector
    wanted: Vector
    sold: Vector


@dataclass(frozen=True, slots=True)
class Allocation:
    """What each winner got, and of what too little was left when its turn came."""

    won: dict[Place, Vector]
    lacked: dict[Place, set[str]]


Market = dict[str, Terms]


def clear(rule: str, market: Market, offers: list[Offer]) -> Outcome:
    """Allocate, find the price levels, let the winners pay, then sum up each resource."""
    allocation = allocate(market, offers)
    won = allocation.won
    levels = price_levels(rule, market, offers, allocation)
    paid = _payments(rule, market, offers, won, levels)
    wanting = [o for o in offers if o.limit_micros >= cost_micros(market, levels, o.asked)]
    prices = _clearing_prices(rule, market, levels, won, paid)
    return Outcome(
        won=won,
        paid_micros=paid,
        lost_value_micros=_lost_values(rule, market, offers, won, levels),
        clearing_micros={r: prices.get(r) for r in market},
        demanded={r: sum(o.asked.get(r, 0) for o in offers) for r in market},
        wanted={r: sum(o.asked.get(r, 0) for o in wanting) for r in market},
        sold={r: sum(x.get(r, 0) for x in won.values()) for r in market},
    )


# --- allocation -----------------------------------------------------------------------------------


def allocate(market: Market, offers: list[Offer]) -> Allocation:
    """Go through the offers by density, the earlier of equals first, and give what is left."""
    left = {r: terms.supply for r, terms in market.items()}
    allocation = Allocation({}, {})
    for offer in sorted(offers, key=lambda o: (-density(market, o), o.place)):
        x = _share(left, offer)
        if x != offer.asked:
            # Whoever got less than all of it, unit bid or bundle, met too little of something.
            lacked = {r for r, quantity in offer.asked.items() if left[r] < quantity}
            allocation.lacked[offer.place] = lacked
        if x:
            allocation.won[offer.place] = x
        for r, quantity in x.items():
            left[r] -= quantity
    return allocation


def _share(left: Vector, offer: Offer) -> Vector:
    if offer.min_quantity is None:
        fits = all(quantity <= left[r] for r, quantity in offer.asked.items())
        return dict(offer.asked) if fits else {}
    [(r, quantity)] = offer.asked.items()
    share = min(quantity, left[r])
    return {r: share} if share >= offer.min_quantity and share > 0 else {}


def density(market: Market, offer: Offer) -> Fraction:
    """An offer's net value for each micro that its vector weighs at reference prices."""
    return Fraction(_net_value(market, offer), _weight(market, offer.asked))


def _net_value(market: Market, offer: Offer) -> int:
    return offer.limit_micros - _reserve(market, offer.asked)


def _weight(market: Market, x: Vector) -> int:
    return sum(market[r].reference_micros * quantity for r, quantity in x.items())


def _reserve(market: Market, x: Vector) -> int:
    return sum(market[r].reserve_micros * quantity for r, quantity in x.items())


# --- price levels ---------------------------------------------------------------------------------


def price_levels(rule: str, market: Market, offers: list[Offer], allocation: Allocation) -> Levels:
    """The level of each scarce resource; they exist under every rule, as `wanted` needs them."""
    if rule == "uniform_lab":
        scarce = {r for x in allocation.won.values() for r in x}
    else:
        scarce = {r for lacked in allocation.lacked.values() for r in lacked}
    levels = {}
    for r in scarce:
        winners = [o for o in offers if r in allocation.won.get(o.place, {})]
        losers = [o for o in offers if r in allocation.lacked.get(o.place, set())]
        lowest = min(_scarce_density(market, scarce, o) for o in winners)
        levels[r] = lowest
        if rule != "uniform_lab":
            levels[r] = min(lowest, max(_scarce_density(market, scarce, o) for o in losers))
    return levels


def _scarce_density(market: Market, scarce: set[str], offer: Offer) -> Fraction:
    of_scarce = {r: quantity for r, quantity in offer.asked.items() if r in scarce}
    return Fraction(_net_value(market, offer), _weight(market, of_scarce))


def cost_micros(market: Market, levels: Levels, x: Vector) -> int:
    """Each unit at its reserve and its level times its reference, rounded up once."""
    above = sum(
        (levels[r] * market[r].reference_micros * x[r] for r in x if r in levels), Fraction(0)
    )
    return _reserve(market, x) + ceil(above)


# --- payments and prices --------------------------------------------------------------------------


def _payments(
    rule: str, market: Market, offers: list[Offer], won: dict[Place, Vector], levels: Levels
) -> dict[Place, int]:
    winners = [offer for offer in offers if offer.place in won]
    match rule:
        case "pay_as_bid":
            return {o.place: _own_price(o, won[o.place]) for o in winners}
        case "vickrey":
            reserves = {r: terms.reserve_micros for r, terms in market.items()}
            return pay_vickrey(reserves, offers, won)
    return {o.place: cost_micros(market, levels, won[o.place]) for o in winners}


def _own_price(offer: Offer, x: Vector) -> int:
    if offer.min_quantity is None:
        return offer.limit_micros
    return sum(x.values()) * offer.unit_price_micros


def _lost_values(
    rule: str, market: Market, offers: list[Offer], won: dict[Place, Vector], levels: Levels
) -> dict[Place, int]:
    """What those lost who would have paid the price and yet won nothing."""
    if rule not in ("uniform", "uniform_lab"):
        return {}
    values = {
        o.place: o.limit_micros - cost_micros(market, levels, o.asked)
        for o in offers
        if o.place not in won
    }
    return {place: value for place, value in values.items() if value > 0}


def _clearing_prices(
    rule: str, market: Market, levels: Levels, won: dict[Place, Vector], paid: dict[Place, int]
) -> dict[str, int]:
    """The price of each resource that was sold; the others have none."""
    sold = {r for x in won.values() for r in x}
    if rule in ("uniform", "uniform_lab"):
        return {r: _level_price(market, levels, r) for r in sold}
    return {r: _average_price(market, won, paid, r) for r in sold}


def _level_price(market: Market, levels: Levels, r: str) -> int:
    level = levels.get(r, Fraction(0))
    return _half_up(market[r].reserve_micros + level * market[r].reference_micros)


def _average_price(market: Market, won: dict[Place, Vector], paid: dict[Place, int], r: str) -> int:
    buyers = [place for place, x in won.items() if r in x]
    total = sum((_part_paid(market, won[p], paid[p], r) for p in buyers), Fraction(0))
    return _half_up(total / sum(won[place][r] for place in buyers))


def _part_paid(market: Market, x: Vector, paid_micros: int, r: str) -> Fraction:
    """What of a payment was for one resource: its reserve, and a share by weight of the rest."""
    rest = paid_micros - _reserve(market, x)
    share = Fraction(market[r].reference_micros * x[r], _weight(market, x))
    return market[r].reserve_micros * x[r] + rest * share


def _half_up(value: Fraction) -> int:
    return floor(value + Fraction(1, 2))
