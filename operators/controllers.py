"""Controllers: what a unit of a resource shall cost next, told from the windows that have closed.

Promise: a price is a function of what the ledger holds of the resource's past, in integers, and of
no quote that was or was not sent; so whoever starts late or again comes to the same price. A frozen
choice (`Vwap`, `Ewma`, `Eip1559`, `Fixed`) starts the living state that follows the windows.
docs/pricing.md compares them.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from itertools import accumulate, islice
from operator import mul
from typing import Annotated, NamedTuple

import msgspec

from state.market import PPM
from walras_schemas import AMOUNT_MAX, ResourcePrice

WINDOWS_MAX = 10_000
HALF_LIFE_MAX = 1_000
WEIGHT_BITS = 64
HALF_LIVES_REMEMBERED = 16
MAX_CHANGE_DENOMINATOR = 8

PriceMicros = Annotated[int, msgspec.Meta(ge=1, le=AMOUNT_MAX)]
Share = Annotated[int, msgspec.Meta(ge=1, le=PPM)]


class Sale(NamedTuple):
    """What one window sold of a resource, and at which price."""

    price_micros: int
    units: int


Follow = Callable[[ResourcePrice], int]
"""Takes in the next window of a resource; the price to quote after it, in micros a unit."""


class Choice(
    msgspec.Struct,
    frozen=True,
    kw_only=True,
    forbid_unknown_fields=True,
    tag_field="controller",
    tag=str.lower,
):
    """What every controller has: bounds that its price never leaves."""

    min_micros: PriceMicros = 1
    max_micros: PriceMicros = AMOUNT_MAX

    def __post_init__(self) -> None:
        if self.min_micros > self.max_micros:
            raise ValueError(f"min_micros {self.min_micros} is above max_micros {self.max_micros}")

    @property
    def remembered_sales(self) -> int:
        """How many of the latest sales the living state is rebuilt from."""
        return 0

    def start(self, past: Iterable[Sale]) -> Follow:
        """The living state after `past`: the latest `remembered_sales`, oldest first."""
        follow = self._start(past)

        def bounded(seen: ResourcePrice) -> int:
            return min(max(follow(seen), self.min_micros), self.max_micros)

        return bounded

    def _start(self, past: Iterable[Sale]) -> Follow:
        raise NotImplementedError


class Vwap(Choice, frozen=True, kw_only=True):
    """The volume-weighted average price of the last windows that sold something.

    A window without sales carries the last price. Source: S. Berkowitz, D. Logue, E. Noser, The
    Total Cost of Transactions on the NYSE, Journal of Finance 43 (1988).
    """

    windows: Annotated[int, msgspec.Meta(ge=1, le=WINDOWS_MAX)] = 20

    @property
    def remembered_sales(self) -> int:
        return self.windows

    def _start(self, past: Iterable[Sale]) -> Follow:
        sales: deque[Sale] = deque()
        paid = units = 0

        def add(sale: Sale) -> None:
            nonlocal paid, units
            sales.append(sale)
            gone = sales.popleft() if len(sales) > self.windows else Sale(0, 0)
            paid += sale.price_micros * sale.units - gone.price_micros * gone.units
            units += sale.units - gone.units

        return _after_sales(past, add, lambda: (paid, units))


class Ewma(Choice, frozen=True, kw_only=True):
    """The exponentially weighted average of clearing prices: each weighs 2^(-age / half-life).

    Ages count windows that sold something: one without sales carries the last price. Weights have
    64 binary digits; prices more than sixteen half-lives old, which would weigh less than 1/65 536,
    are forgotten, so that the average is exact however often it is begun again. Source: J.P. Morgan
    / Reuters, RiskMetrics Technical Document, 4th ed. (1996), § 5.2, there for variances.
    """

    half_life_windows: Annotated[int, msgspec.Meta(ge=1, le=HALF_LIFE_MAX)] = 10

    @property
    def remembered_sales(self) -> int:
        return self.half_life_windows * HALF_LIVES_REMEMBERED

    def _start(self, past: Iterable[Sale]) -> Follow:
        weights, totals = decaying_weights(self.half_life_windows)
        newest_first: deque[int] = deque(maxlen=self.remembered_sales)

        def average() -> tuple[int, int]:
            known = len(newest_first)
            return sum(map(mul, weights, newest_first)), totals[known - 1] if known else 0

        return _after_sales(past, lambda sale: newest_first.appendleft(sale.price_micros), average)


class Eip1559(Choice, frozen=True, kw_only=True):
    """The base fee of Ethereum: up or down by at most an eighth with utilisation against a target.

    It moves from the price that was in force in the window, and utilisation is what was sold of the
    supply. Where nothing was supplied there is nothing to measure: the price stays. Source: EIP-1559
    (2019), with the target at any share of the supply where Ethereum's is one half.
    """

    target_ppm: Share = 800_000

    def _start(self, past: Iterable[Sale]) -> Follow:  # noqa: ARG002 - it needs no past
        return lambda seen: next_base_fee(
            seen.reference_micros,
            used=seen.sold,
            target=max(seen.supply * self.target_ppm // PPM, 1) if seen.supply else seen.sold,
        )


class Fixed(Choice, frozen=True, kw_only=True):
    """Always the same price: a posted price, as in any shop; no source but the operator's word."""

    price_micros: PriceMicros

    def _start(self, past: Iterable[Sale]) -> Follow:  # noqa: ARG002 - it heeds no past
        return lambda _seen: self.price_micros


Controller = Vwap | Ewma | Eip1559 | Fixed
"""In a file or in the ledger it names itself: `{"controller": "vwap", "windows": 20}`."""


def usual_controller(*, reserve_ratio_ppm: int) -> Controller:
    """What prices a resource for which the operator chose nothing (docs/pricing.md says why)."""
    return Eip1559() if reserve_ratio_ppm else Ewma()


def next_base_fee(fee_micros: int, *, used: int, target: int) -> int:
    """The formula of EIP-1559, which also bounds the change where a target is below one half."""
    if used == target:
        return fee_micros
    change = fee_micros * min(abs(used - target), target) // target // MAX_CHANGE_DENOMINATOR
    return fee_micros + max(change, 1) if used > target else fee_micros - change


@cache
def decaying_weights(half_life: int) -> tuple[Sequence[int], Sequence[int]]:
    """The weights of the sixteen half-lives that count, newest first, and their running totals."""
    weights = tuple(islice(_decay(half_life), half_life * HALF_LIVES_REMEMBERED))
    return weights, tuple(accumulate(weights))


def _decay(half_life: int) -> Iterator[int]:
    kept = _root(1 << (WEIGHT_BITS * half_life - 1), half_life)
    weight = 1 << WEIGHT_BITS
    while True:
        yield weight
        weight = weight * kept >> WEIGHT_BITS


def _root(number: int, degree: int) -> int:
    """The largest integer of at most 64 binary digits whose power does not exceed `number`."""
    low, high = 0, 1 << WEIGHT_BITS
    while high - low > 1:
        middle = (low + high) // 2
        low, high = (middle, high) if middle**degree <= number else (low, middle)
    return low


def _after_sales(
    past: Iterable[Sale], add: Callable[[Sale], None], average: Callable[[], tuple[int, int]]
) -> Follow:
    """Follow the sales by their average, a numerator and a denominator.

    Before the first sale the price in force stays, afterwards the average of those there were.
    """
    for sale in past:
        add(sale)

    def follow(seen: ResourcePrice) -> int:
        if seen.clearing_micros is not None:
            add(Sale(seen.clearing_micros, seen.sold))
        numerator, denominator = average()
        return nearest(numerator, denominator) if denominator else seen.reference_micros

    return follow


def nearest(numerator: int, denominator: int) -> int:
    """The quotient as the nearest integer; halves go up."""
    return (2 * numerator + denominator) // (2 * denominator)
