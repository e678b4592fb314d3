"""One market's window, cleared the slow and obvious way of SEMANTICS §6.

Promise: every quantity and comparison is an integer or a Fraction, offers are gone through one by
one, and a price is computed only once the whole allocation is known. Offers are the admitted bids
that were not withdrawn; the caller answers for that.
"""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from math import ceil, floor

Place = tuple[int, int]
Vector = dict[str, int]


@dataclass(frozen=True, slots=True)
class Terms:
    """What is in force for one resource during one window."""

    supply: int
    reference_micros: int
    reserve_micros: int
    stale: bool


@dataclass(frozen=True, slots=True)
class Offer:
    """An admitted bid: its place in the log, what it wants, and the most it gives for all of it."""

    place: Place
    agent: str
    wanted: Vector
    limit_micros: int
    min_quantity: int | None  # None: a bundle, all or nothing


@dataclass(frozen=True, slots=True)
class Outcome:
    """What each winning offer got and pays, and each resource's clearing price."""

    won: dict[Place, Vector]
    paid_micros: dict[Place, int]
    clearing_micros: dict[str, int | None]


Market = dict[str, Terms]
Won = dict[Place, Vector]
Paid = dict[Place, int]


def clear(rule: str, market: Market, offers: list[Offer]) -> Outcome:
    """Allocate, then price, then publish a clearing price for every resource in force."""
    won = _allocate(market, offers)
    if rule in ("uniform", "uniform_lab"):
        level = _price_level(rule, market, offers, won)
        paid = {place: _pay_level(market, level, x) for place, x in won.items()}
        prices = {r: _level_price(market, level, r) for r in market}
    else:
        pay = _pay_as_bid if rule == "pay_as_bid" else _pay_vickrey
        paid = pay(market, offers, won)
        prices = {r: _average_price(market, won, paid, r) for r in market}
    sold = {r for x in won.values() for r in x}
    return Outcome(won, paid, {r: prices[r] if r in sold else None for r in market})


def _weight(market: Market, x: Vector) -> int:
    return sum(market[r].reference_micros * quantity for r, quantity in x.items())


def _density(market: Market, offer: Offer) -> Fraction:
    return Fraction(offer.limit_micros, _weight(market, offer.wanted))


def _reserve(market: Market, x: Vector) -> int:
    return sum(market[r].reserve_micros * quantity for r, quantity in x.items())


def _allocate(market: Market, offers: list[Offer]) -> Won:
    left = {r: terms.supply for r, terms in market.items()}
    won: Won = {}
    for offer in sorted(offers, key=lambda o: (-_density(market, o), o.place)):
        x = _share(left, offer)
        if x:
            won[offer.place] = x
        for r, quantity in x.items():
            left[r] -= quantity
    return won


def _share(left: Vector, offer: Offer) -> Vector:
    if offer.min_quantity is None:
        fits = all(quantity <= left[r] for r, quantity in offer.wanted.items())
        return dict(offer.wanted) if fits else {}
    [(r, quantity)] = offer.wanted.items()
    share = min(quantity, left[r])
    return {r: share} if share >= offer.min_quantity and share > 0 else {}


# --- payments -------------------------------------------------------------------------------------


def _price_level(rule: str, market: Market, offers: list[Offer], won: Won) -> Fraction:
    winning = [_density(market, o) for o in offers if o.place in won]
    if not winning:
        return Fraction(0)
    lowest = min(winning)
    if rule == "uniform_lab":
        return lowest
    losing = [_density(market, o) for o in offers if won.get(o.place) != o.wanted]
    return max((density for density in losing if density <= lowest), default=Fraction(0))


def _pay_level(market: Market, level: Fraction, x: Vector) -> int:
    return max(ceil(level * _weight(market, x)), _reserve(market, x))


def _pay_as_bid(market: Market, offers: list[Offer], won: Won) -> Paid:
    paid = {}
    for offer in offers:
        if offer.place in won:
            x = won[offer.place]
            cost = Fraction(offer.limit_micros * _weight(market, x), _weight(market, offer.wanted))
            paid[offer.place] = max(ceil(cost), _reserve(market, x))
    return paid


def _pay_vickrey(market: Market, offers: list[Offer], won: Won) -> Paid:
    """Each agent, resource by resource, pays for the units of others that it pushed out."""
    paid: Paid = {}
    winners = {(o.agent, r) for o in offers if o.place in won for r in o.wanted}
    for agent, r in winners:
        own = {o.place: won[o.place][r] for o in offers if _wins(o, agent, r, won)}
        displaced = _displaced(market, offers, won, agent=agent, resource=r)
        total = _highest(displaced, sum(own.values()), market[r].reserve_micros)
        paid |= _largest_remainder(total, own)
    return paid


def _wins(offer: Offer, agent: str, resource: str, won: Won) -> bool:
    return offer.agent == agent and resource in won.get(offer.place, {})


def _displaced(
    market: Market, offers: list[Offer], won: Won, *, agent: str, resource: str
) -> list[tuple[int, int]]:
    """The other agents' losing units of a resource, as (unit value, units), best first."""
    displaced = []
    for offer in offers:
        if offer.agent != agent and resource in offer.wanted:
            quantity = offer.wanted[resource]
            units = quantity - won.get(offer.place, {}).get(resource, 0)
            value = max(offer.limit_micros // quantity, market[resource].reserve_micros)
            displaced.append((value, units))
    return sorted(displaced, reverse=True)


def _highest(displaced: list[tuple[int, int]], count: int, reserve_micros: int) -> int:
    """The sum of the `count` highest unit values; units that are not there count at the reserve."""
    total = 0
    for value, units in displaced:
        taken = min(units, count)
        total += taken * value
        count -= taken
    return total + count * reserve_micros


def _largest_remainder(total: int, units: dict[Place, int]) -> Paid:
    quotas = {place: Fraction(total * n, sum(units.values())) for place, n in units.items()}
    paid = {place: floor(quota) for place, quota in quotas.items()}
    missing = total - sum(paid.values())
    for place in sorted(units, key=lambda p: (paid[p] - quotas[p], p))[:missing]:
        paid[place] += 1
    return paid


# --- clearing prices ------------------------------------------------------------------------------


def _level_price(market: Market, level: Fraction, r: str) -> int:
    return max(_half_up(level * market[r].reference_micros), market[r].reserve_micros)


def _average_price(market: Market, won: Won, paid: Paid, r: str) -> int:
    units, cost = 0, Fraction(0)
    for place, x in won.items():
        if r in x:
            part = Fraction(market[r].reference_micros * x[r], _weight(market, x))
            units, cost = units + x[r], cost + paid[place] * part
    return _half_up(cost / units) if units else 0


def _half_up(value: Fraction) -> int:
    return floor(value + Fraction(1, 2))
