"""Clear one market's window over columns: the rules of `operators/clear.py`, many bids at once.

Promise: the same allocation, prices and payments as clearing the bids one by one, to the last
micro; or None, with nothing written, where the rule is one that only the sequential way knows.

Unit bids for different resources meet in bundles alone. So the unit bids of each resource stand in
an order book of their own, by price (`operators/order_book.py`), and a bundle is placed in the
books of its resources at the price that has its density; a book is filled up to there when the
bundle's turn comes.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from math import lcm
from typing import Final

import numpy as np

from operators.clear import (
    LOWEST_ACCEPTED,
    NO_LEVEL,
    Clearing,
    Levels,
    ceil,
    round_half_up,
    shares_of,
    unit_price,
    weight_of,
)
from operators.order_book import OrderBook, Ratio, Rows
from state.bids import BUNDLE, Bids, Int64s
from state.market import Terms

UNIFORM: Final = frozenset({"uniform", LOWEST_ACCEPTED})
COLUMN_RULES: Final = UNIFORM | {"pay_as_bid"}
ROWS_MAX: Final = 1 << 22
"""More bids of one market than this in one window could sum to more units than a column holds."""
PRODUCT_MAX: Final = 1 << 62
UNNUMBERED: Final = -2
"""Stands for a resource that no bid ever named."""
LOW_BITS: Final = 31


@dataclass(slots=True)
class Bundle:
    """A bundle in the order of the auction."""

    row: int
    units: Mapping[str, int]
    limit_micros: int
    net_micros: int
    weight: int
    won: bool = False
    short_of: Sequence[str] = ()
    cost_micros: int = 0
    """What its units cost at the window's prices."""


@dataclass(frozen=True, slots=True)
class Tariff:
    """What a unit of each resource costs, over one denominator."""

    reserve_micros: Mapping[str, int]
    above: Mapping[str, int]
    """Numerators of what a unit costs above the reserve."""
    denominator: int

    @classmethod
    def of(cls, terms: Terms, levels: Levels) -> "Tariff":
        """The prices at these levels."""
        above = {
            name: level * terms.resources[name].reference_micros for name, level in levels.items()
        }
        denominator = lcm(*(price.denominator for price in above.values()))
        return cls(
            reserve_micros={name: rules.reserve_micros for name, rules in terms.resources.items()},
            above={
                name: price.numerator * (denominator // price.denominator)
                for name, price in above.items()
            },
            denominator=denominator,
        )

    def cost_of(self, units: Mapping[str, int]) -> int:
        """What these units cost together; see `operators.clear.cost_of`."""
        reserve = above = 0
        for name, count in units.items():
            reserve += self.reserve_micros[name] * count
            above += self.above.get(name, 0) * count
        return reserve - (-above // self.denominator)


@dataclass(slots=True)
class _Market:
    """What is for sale in one market, and who wants it."""

    terms: Terms
    books: dict[str, OrderBook]
    bundles: list[Bundle] = field(default_factory=list)

    def allocate(self) -> None:
        """Give each bid what fits at its turn, best density first."""
        busy = {name: book for name, book in self.books.items() if len(book.rows)}
        left = {name: book.rules.supply for name, book in self.books.items()}
        for bundle in self.bundles:
            units = bundle.units
            for name in units:
                if book := busy.get(name):
                    book.left = left[name]
                    book.fill(book.before(bundle.net_micros, bundle.weight, bundle.row))
                    left[name] = book.left
            bundle.short_of = [name for name, count in units.items() if count > left[name]]
            if not bundle.short_of:
                bundle.won = True
                for name, count in units.items():
                    left[name] -= count
        for name, remains in left.items():
            self.books[name].left = remains
        for book in self.books.values():
            book.fill(len(book.rows))

    def levels(self) -> Levels:
        """The level of each scarce resource; see `operators.clear.price_levels`."""
        accepted = self.terms.rule == LOWEST_ACCEPTED
        if accepted:
            scarce = {name for name, book in self.books.items() if book.left < book.rules.supply}
        else:
            scarce = {name for name, book in self.books.items() if book.highest_loser is not None}
            scarce.update(name for bundle in self.bundles for name in bundle.short_of)
        lowest, highest = self._bundle_densities(scarce)
        for name in scarce:
            book = self.books[name]
            if (winner := book.lowest_winner) is not None:
                lowest[name] = min(lowest.get(name, winner), winner)
            if (loser := book.highest_loser) is not None:
                highest[name] = max(highest.get(name, loser), loser)
        ratios = lowest if accepted else {name: min(lowest[name], highest[name]) for name in scarce}
        return {name: Fraction(*ratios[name]) for name in scarce}

    def _bundle_densities(self, scarce: set[str]) -> tuple[dict[str, Ratio], dict[str, Ratio]]:
        """The lowest scarce density of winners, and the highest of losers, by resource."""
        lowest: dict[str, Ratio] = {}
        highest: dict[str, Ratio] = {}
        for bundle in self.bundles:
            units = bundle.units
            if scarce.issuperset(units):
                asked, density = units, Ratio(bundle.net_micros, bundle.weight)
            else:
                asked = {name: count for name, count in units.items() if name in scarce}
                density = Ratio(bundle.net_micros, weight_of(self.terms, asked))
            if asked:
                for name in asked if bundle.won else ():
                    lowest[name] = min(lowest.get(name, density), density)
                for name in bundle.short_of:
                    highest[name] = max(highest.get(name, density), density)
        return lowest, highest


def clear_many(terms: Terms, bids: Bids, rows: Rows) -> Clearing | None:
    """Clear the open bids of a market, which stand in `rows` of `bids` in the order of the log."""
    if terms.rule not in COLUMN_RULES or len(rows) > ROWS_MAX:
        return None
    market = _Market(terms, _books(terms, bids, rows), _bundles(terms, bids, rows))
    if market.bundles:
        for book in market.books.values():
            book.list_columns()
    market.allocate()
    levels = market.levels()
    for book in market.books.values():
        bids.won[book.rows] = book.won
    for bundle in market.bundles:
        bids.won[bundle.row] = bundle.won
    if market.bundles:
        tariff = Tariff.of(terms, levels)
        for bundle in market.bundles:
            bundle.cost_micros = tariff.cost_of(bundle.units)
    if terms.rule in UNIFORM:
        _charge_cost(market, levels, bids)
    else:
        bids.paid_micros[rows] = bids.won[rows] * bids.unit_price_micros[rows]
    return _clearing(market, levels)


def _books(terms: Terms, bids: Bids, rows: Rows) -> dict[str, OrderBook]:
    numbers = bids.names.resource_numbers
    resource = bids.resource[rows]
    return {
        name: OrderBook.of(rules, bids, rows[resource == numbers.get(name, UNNUMBERED)])
        for name, rules in terms.resources.items()
    }


def _bundles(terms: Terms, bids: Bids, rows: Rows) -> list[Bundle]:
    """The bundles by density, highest first, and by place where densities are equal."""
    asking = rows[bids.resource[rows] == BUNDLE]
    limits = bids.unit_price_micros[asking].tolist()
    bundles = [
        _bundle(terms, row, bids.bundles[row], limit)
        for row, limit in zip(asking.tolist(), limits, strict=True)
    ]
    scale = 2 * max((bundle.weight for bundle in bundles), default=1).bit_length()
    bundles.sort(key=lambda each: (each.net_micros << scale) // each.weight, reverse=True)
    return bundles


def _bundle(terms: Terms, row: int, units: Mapping[str, int], limit_micros: int) -> Bundle:
    reserve = weight = 0
    for name, count in units.items():
        rules = terms.resources[name]
        reserve += rules.reserve_micros * count
        weight += rules.reference_micros * count
    return Bundle(row, units, limit_micros, limit_micros - reserve, weight)


def _charge_cost(market: _Market, levels: Levels, bids: Bids) -> None:
    """Winners pay the cost of what they won; losers who offered more than it are reported."""
    for name, book in market.books.items():
        above = levels.get(name, NO_LEVEL) * book.rules.reference_micros
        winners = np.flatnonzero(book.won)
        paid = _cost(book.rules.reserve_micros, above, book.won[winners])
        bids.paid_micros[book.rows[winners]] = paid
        outbid = book.price >= ceil(book.rules.reserve_micros + above)
        losers = np.flatnonzero((book.won == 0) & outbid)
        cost = _cost(book.rules.reserve_micros, above, book.quantity[losers])
        value = book.quantity[losers] * book.price[losers] - cost
        bids.lost_value_micros[book.rows[losers[value > 0]]] = value[value > 0]
    for bundle in market.bundles:
        if bundle.won:
            bids.paid_micros[bundle.row] = bundle.cost_micros
        elif bundle.limit_micros > bundle.cost_micros:
            bids.lost_value_micros[bundle.row] = bundle.limit_micros - bundle.cost_micros


def _cost(reserve_micros: int, above: Fraction, units: Int64s) -> Int64s:
    """What units of one resource cost: the reserve, and what is above it, rounded up once.

    Only asked of bids whose limit is not below it, so that every cost fits.
    """
    if above.denominator == 1:
        return units * (reserve_micros + above.numerator)
    if len(units) and above.numerator * int(units.max()) < PRODUCT_MAX:
        return units * reserve_micros - (-above.numerator * units) // above.denominator
    costs = [reserve_micros * count + ceil(above * count) for count in units.tolist()]
    return np.array(costs, dtype=np.int64)


def _clearing(market: _Market, levels: Levels) -> Clearing:
    terms, sold, demanded, wanted = market.terms, {}, {}, {}
    for name, book in market.books.items():
        sold[name] = book.rules.supply - book.left
        demanded[name] = int(book.total[-1]) if len(book.total) else 0
        wanted[name] = book.wanted(unit_price(terms, levels, name))
    for bundle in market.bundles:
        wants = bundle.limit_micros >= bundle.cost_micros
        for name, units in bundle.units.items():
            demanded[name] += units
            wanted[name] += units if wants else 0
    return Clearing(
        sold=sold,
        demanded=demanded,
        wanted=wanted,
        clearing_micros=dict(_clearing_prices(market, levels, sold)),
    )


def _clearing_prices(
    market: _Market, levels: Levels, sold: Mapping[str, int]
) -> Iterator[tuple[str, int]]:
    uniform = market.terms.rule in UNIFORM
    paid = {} if uniform else _paid_for(market)
    for name, units in sold.items():
        if units:
            exact = (
                unit_price(market.terms, levels, name) if uniform else Fraction(paid[name], units)
            )
            yield name, round_half_up(exact)


def _paid_for(market: _Market) -> dict[str, Fraction]:
    """What was paid for each resource where each winner pays its own price."""
    paid = {name: Fraction(exact_sum(book.won * book.price)) for name, book in market.books.items()}
    for bundle in market.bundles:
        if bundle.won:
            shares = shares_of(market.terms, bundle.limit_micros, bundle.units)
            for name, micros in shares.items():
                paid[name] += micros
    return paid


def exact_sum(amounts: Int64s) -> int:
    """The sum of amounts that are not negative, however large it is."""
    low = amounts & ((1 << LOW_BITS) - 1)
    return (int((amounts >> LOW_BITS).sum()) << LOW_BITS) + int(low.sum())
