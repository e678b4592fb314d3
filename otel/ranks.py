"""The rank of bids in the order in which their window was allocated (SEMANTICS §6).

Promise: exact, as the allocation itself: densities are compared as products of integers. It is
computed for single bids, beside the flow, and equals what `walras trace` reads from the ledger.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from otel.markets import MarketNumbers
from state.bids import LOST, Bids
from state.window import PriceRow, Settlement

BEYOND = 1 << 62
"""No margin of a unit bid is as large."""


class Rank(NamedTuple):
    """The place of a bid among those of its market that were admitted and not withdrawn."""

    rank: int
    """1 for the first."""
    bids: int


class Density(NamedTuple):
    """What a bid offers above the reserve, and its weight at reference prices."""

    net: int
    weight: int


@dataclass(slots=True)
class _Market:
    """What the bids of one market are compared by."""

    terms: Mapping[str, PriceRow]
    count: int
    margins: dict[str, tuple[NDArray[np.intp], NDArray[np.int64]]]
    """Resource to the rows of its unit bids, and what each offers per unit above the reserve."""
    bundles: list[tuple[int, Density]] = field(default_factory=list)


class Ranks:
    """Ranks within one settled window."""

    def __init__(self, settlement: Settlement, numbers: MarketNumbers) -> None:
        self._settlement = settlement
        self._market_of = numbers.of(settlement.bids.names)
        self._markets: dict[str, _Market] = {}

    def of(self, row: int) -> Rank | None:
        """The rank of a bid; none for one that was refused or withdrawn."""
        bids = self._settlement.bids
        if bids.status[row] < LOST:
            return None
        bid = bids[row]
        market = self._market(bid.market)
        mine = _density(bid.demand, bid.limit_micros, market.terms)
        before = sum(
            _count_before(mine, row, rows, margins, market.terms[resource])
            for resource, (rows, margins) in market.margins.items()
        )
        before += sum(_precedes(theirs, mine, at < row) for at, theirs in market.bundles)
        return Rank(before + 1, market.count)

    def _market(self, name: str) -> _Market:
        if name not in self._markets:
            self._markets[name] = self._gathered(name)
        return self._markets[name]

    def _gathered(self, name: str) -> _Market:
        bids = self._settlement.bids
        number = bids.names.market_numbers[name]
        rows = np.flatnonzero((self._market_of[bids.account] == number) & (bids.status >= LOST))
        terms = {row.resource: row for row in self._settlement.prices if row.market == name}
        margins = {}
        for resource, price in terms.items():
            of_resource = rows[bids.resource[rows] == bids.names.resource_numbers.get(resource, -2)]
            offered = bids.unit_price_micros[of_resource] - price.reserve_micros
            margins[resource] = of_resource, offered
        bundles = [(row, _bundle(bids, row, terms)) for row in rows.tolist() if row in bids.bundles]
        return _Market(terms, len(rows), margins, bundles)


def _bundle(bids: Bids, row: int, terms: Mapping[str, PriceRow]) -> Density:
    return _density(bids.bundles[row], int(bids.unit_price_micros[row]), terms)


def _density(demand: Mapping[str, int], limit: int, terms: Mapping[str, PriceRow]) -> Density:
    reserve = sum(terms[resource].reserve_micros * units for resource, units in demand.items())
    weight = sum(terms[resource].reference_micros * units for resource, units in demand.items())
    return Density(limit - reserve, weight)


def _precedes(theirs: Density, mine: Density, is_earlier: bool) -> bool:  # noqa: FBT001
    left, right = theirs.net * mine.weight, mine.net * theirs.weight
    return left > right or (left == right and is_earlier)


def _count_before(
    mine: Density,
    row: int,
    rows: NDArray[np.intp],
    margins: NDArray[np.int64],
    price: PriceRow,
) -> int:
    """How many unit bids of one resource come before mine."""
    equal, rest = divmod(mine.net * price.reference_micros, mine.weight)
    if equal >= BEYOND:
        return 0
    before = int(np.count_nonzero(margins > equal))
    if not rest:
        before += int(np.count_nonzero((margins == equal) & (rows < row)))
    return before
