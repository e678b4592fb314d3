"""The order book of one resource in one window: its unit bids, filled from the best price on.

Promise: bids have their turn in the order of the auction, each once; of equal price, the bids that
came first. A bundle's place among them is exact.
"""

from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

from operators.clear import ceil
from state.bids import Bids, Int64s
from state.market import ResourceTerms

SMALL_STEP: Final = 32

Rows = NDArray[np.intp]


class Ratio(NamedTuple):
    """A density as it is compared most often: without finding its lowest terms."""

    net_micros: int
    weight: int

    @override
    def __lt__(self, other: tuple[int, ...]) -> bool:
        return self.net_micros * other[1] < other[0] * self.weight

    @override
    def __gt__(self, other: tuple[int, ...]) -> bool:
        return self.net_micros * other[1] > other[0] * self.weight


@dataclass(slots=True)
class OrderBook:
    """The unit bids for one resource, best price first and then by place, and how far it is filled.

    A bid that had its turn has what it won in `won`.
    """

    rules: ResourceTerms
    rows: Rows
    price: Int64s
    quantity: Int64s
    least: Int64s
    won: Int64s
    total: Int64s
    """Units asked for up to and with each bid."""
    left: int
    filled: int = 0
    """How many bids had their turn."""
    listed: "_Listed | None" = None
    """The columns as lists, where bundles look into the book again and again."""

    @classmethod
    def of(cls, rules: ResourceTerms, bids: Bids, rows: Rows) -> "OrderBook":
        """A book of these rows, which stand in the order of the log."""
        order = np.argsort(-bids.unit_price_micros[rows], kind="stable")
        best_first = rows[order]
        quantity = bids.quantity[best_first]
        return cls(
            rules=rules,
            rows=best_first,
            price=bids.unit_price_micros[best_first],
            quantity=quantity,
            least=bids.min_quantity[best_first],
            won=np.zeros(len(rows), dtype=np.int64),
            total=np.cumsum(quantity),
            left=rules.supply,
        )

    def list_columns(self) -> None:
        """Make ready for bundles: small steps are faster through lists."""
        self.listed = _Listed(
            negated=(-self.price).tolist(),
            rows=self.rows.tolist(),
            quantity=self.quantity.tolist(),
            least=self.least.tolist(),
        )

    def fill(self, until: int) -> None:
        """Let the bids up to `until` have their turn."""
        if self.listed is not None and until - self.filled <= SMALL_STEP:
            self._fill_one_by_one(until, self.listed)
        while self.filled < until and self.left:
            self._fill_whole(until)
            if self.filled < until and self.left:
                self._fill_next_that_fits(until)
        self.filled = max(self.filled, until)

    def _fill_one_by_one(self, until: int, listed: "_Listed") -> None:
        for at in range(self.filled, until):
            units = min(listed.quantity[at], self.left)
            if units and units >= listed.least[at]:
                self.won[at] = units
                self.left -= units
        self.filled = max(self.filled, until)

    def _fill_whole(self, until: int) -> None:
        before = int(self.total[self.filled - 1]) if self.filled else 0
        stop = int(np.searchsorted(self.total, before + self.left, side="right"))
        stop = min(max(stop, self.filled), until)
        if stop > self.filled:
            self.won[self.filled : stop] = self.quantity[self.filled : stop]
            self.left -= int(self.total[stop - 1]) - before
            self.filled = stop

    def _fill_next_that_fits(self, until: int) -> None:
        fits = self.least[self.filled : until] <= self.left
        at = self.filled + int(np.argmax(fits)) if fits.any() else until
        if at < until:
            self.won[at] = units = min(int(self.quantity[at]), self.left)
            self.left -= units
            at += 1
        self.filled = at

    def before(self, net_micros: int, weight: int, row: int) -> int:
        """How many bids stand before a bundle in this row that offers so much for so much weight.

        Of equal density, the bids that came first.
        """
        assert self.listed is not None
        above, rest = divmod(net_micros * self.rules.reference_micros, weight)
        negated = -(self.rules.reserve_micros + above)
        first = bisect_left(self.listed.negated, negated)
        if rest:
            return first
        behind = bisect_right(self.listed.negated, negated)
        return bisect_left(self.listed.rows, row, first, behind)

    @property
    def lowest_winner(self) -> "Ratio | None":
        """The lowest density among winners."""
        winners = np.flatnonzero(self.won)
        return self._density(int(self.price[winners[-1]])) if len(winners) else None

    @property
    def highest_loser(self) -> "Ratio | None":
        """The highest density among those who did not get all they asked for."""
        losers = np.flatnonzero(self.won < self.quantity)
        return self._density(int(self.price[losers[0]])) if len(losers) else None

    def _density(self, price: int) -> "Ratio":
        return Ratio(price - self.rules.reserve_micros, self.rules.reference_micros)

    def wanted(self, price: Fraction) -> int:
        """Units asked for by bids that offer at least this price."""
        count = int(np.searchsorted(-self.price, -ceil(price), side="right"))
        return int(self.total[count - 1]) if count else 0


@dataclass(slots=True)
class _Listed:
    """Columns of an order book as lists."""

    negated: list[int]
    """Prices with their sign turned, so that they ascend."""
    rows: list[int]
    quantity: list[int]
    least: list[int]
