"""Controllers: what a unit of a resource shall cost next, computed from the closed windows.

Promise: a price is a function of what the ledger holds of the resource's past, in integers, and of
no quote that was or was not sent; so whoever starts late or again comes to the same price. A frozen
choice (`Tatonnement`, `Vwap`, `Ewma`, `Eip1559`, `Fixed`) starts the living state that follows the
windows. docs/pricing.md compares them.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import cache
from itertools import accumulate, islice
from operator import mul
from typing import Annotated, NamedTuple

import msgspec

from state.market import PPM
from walras_schemas import AMOUNT_MAX

WINDOWS_MAX = 10_000
HALF_LIFE_MAX = 1_000
WEIGHT_BITS = 64
HALF_LIVES_REMEMBERED = 16
MAX_CHANGE_DENOMINATOR = 8

PriceMicros = Annotated[int, msgspec.Meta(ge=1, le=AMOUNT_MAX)]
Share = Annotated[int, msgspec.Meta(ge=1, le=PPM)]


class Observation(NamedTuple):
    """One resource in one window that has closed: prices in micros a unit, quantities in units."""

    window_id: int
    reference_micros: int
    clearing_micros: int | None
    """None when nothing was sold."""
    supply: int
    sold: int
    wanted: int
    """Units asked for by bids whose limit is at least the cost of what they asked for."""


PriceTracker = Callable[[Observation], int | None]
"""Takes in the next window; the price to quote after it, or None for no quote."""


class PricingRule(
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
        """From how many of the latest windows with sales the living state is rebuilt."""
        return 0

    def start(self, past: Iterable[Observation]) -> PriceTracker:
        """The living state after `past`, which is in order.

        It holds the resource's latest window, and of those with sales `remembered_sales`.
        """
        track = self._start()

        def bounded(window: Observation) -> int | None:
            price = track(window)
            return None if price is None else min(max(price, self.min_micros), self.max_micros)

        for window in past:
            track(window)
        return bounded

    def _start(self) -> PriceTracker:
        raise NotImplementedError


class Tatonnement(PricingRule, frozen=True, kw_only=True):
    """One step from the price that was paid, up or down with the excess demand at that price.

    The step is `rate_ppm` of the price times the relative excess demand, which is cut to [-1, 1],
    and at least 1 micro where there is any. Where nothing was paid it begins at the price in force,
    and then it never goes up: only what somebody paid can raise a price, so it cannot run away.
    It stays where nothing was supplied, and moves after every second window as `Eip1559` does.
    Sources: L. Walras, Éléments d'économie politique pure (1874), leçon 12; R. Cole and
    L. Fleischer, Fast-converging tatonnement algorithms for one-time and ongoing market problems,
    STOC 2008, for the bounded step.
    """

    rate_ppm: Share = 125_000

    def _start(self) -> PriceTracker:
        def step(window: Observation) -> int:
            if not window.supply:
                return window.reference_micros
            excess = window.wanted - window.supply
            if not window.clearing_micros:
                excess = min(excess, 0)
            price = window.clearing_micros or window.reference_micros
            bounded = min(abs(excess), window.supply)
            change = max(price * bounded * self.rate_ppm // (window.supply * PPM), bool(excess))
            return price + change if excess > 0 else price - change

        return _every_second_window(step)


class Vwap(PricingRule, frozen=True, kw_only=True):
    """The volume-weighted average price of the last windows that sold something.

    A window without sales carries the last price. Source: S. Berkowitz, D. Logue, E. Noser, The
    Total Cost of Transactions on the NYSE, Journal of Finance 43 (1988).
    """

    windows: Annotated[int, msgspec.Meta(ge=1, le=WINDOWS_MAX)] = 20

    @property
    def remembered_sales(self) -> int:
        return self.windows

    def _start(self) -> PriceTracker:
        sales: deque[tuple[int, int]] = deque()
        paid = units = 0

        def add(price_micros: int, sold: int) -> tuple[int, int]:
            nonlocal paid, units
            sales.append((price_micros, sold))
            gone_micros, gone = sales.popleft() if len(sales) > self.windows else (0, 0)
            paid += price_micros * sold - gone_micros * gone
            units += sold - gone
            return paid, units

        return _after_sales(add)


class Ewma(PricingRule, frozen=True, kw_only=True):
    """The exponentially weighted average of clearing prices: each weighs 2^(-age / half-life).

    Ages count windows that sold something: one without sales carries the last price. Weights have
    64 binary digits; what is sixteen half-lives old, and would weigh less than 1/65 536, is
    forgotten, so that the average is exact wherever it is begun again. Source: J.P. Morgan and
    Reuters, RiskMetrics Technical Document, 4th ed. (1996), § 5.2, where it is for variances.
    """

    half_life_windows: Annotated[int, msgspec.Meta(ge=1, le=HALF_LIFE_MAX)] = 5

    @property
    def remembered_sales(self) -> int:
        return self.half_life_windows * HALF_LIVES_REMEMBERED

    def _start(self) -> PriceTracker:
        weights, totals = decaying_weights(self.half_life_windows)
        newest_first: deque[int] = deque(maxlen=self.remembered_sales)

        def add(price_micros: int, _sold: int) -> tuple[int, int]:
            newest_first.appendleft(price_micros)
            return sum(map(mul, weights, newest_first)), totals[len(newest_first) - 1]

        return _after_sales(add)


class Eip1559(PricingRule, frozen=True, kw_only=True):
    """The base fee of Ethereum: up or down by at most an eighth with utilisation against a target.

    It moves from the price in force in the window by the share of the supply that was sold, and
    stays where nothing was supplied. Where that price is a floor, it ends where the target is sold.
    Source: EIP-1559 (2019); Ethereum's target is one half.
    """

    target_ppm: Share = 800_000

    def _start(self) -> PriceTracker:
        return _every_second_window(
            lambda window: self._step(window, from_micros=window.reference_micros)
        )

    def _step(self, window: Observation, *, from_micros: int) -> int:
        if not window.supply:
            return window.reference_micros
        target = max(window.supply * self.target_ppm // PPM, 1)
        return next_base_fee(from_micros, used=window.sold, target=target)


class AnchoredEip1559(Eip1559, frozen=True, kw_only=True):
    """The same step from the price that was paid: what `Eip1559` is where the price is no floor.

    There its price excludes no bid, and a step from itself would never end. Where nothing was paid
    it begins at the price in force, and then it never goes up.
    """

    def _start(self) -> PriceTracker:
        def step(window: Observation) -> int:
            if window.clearing_micros:
                return self._step(window, from_micros=window.clearing_micros)
            from_micros = window.reference_micros
            return min(from_micros, self._step(window, from_micros=from_micros))

        return _every_second_window(step)


class Fixed(PricingRule, frozen=True, kw_only=True):
    """Always the same price: the operator's word is its source."""

    price_micros: PriceMicros

    def _start(self) -> PriceTracker:
        return lambda _window: self.price_micros


Controller = Tatonnement | Vwap | Ewma | Eip1559 | Fixed
"""In a file and in the ledger it names itself: `{"controller": "vwap", "windows": 20}`."""


def default_rule(*, listed: int, reserve_ratio_ppm: int) -> Controller:
    """What prices a resource for which the operator chose nothing (docs/pricing.md says why).

    `listed` is how many resources its market lists.
    """
    if listed > 1 and reserve_ratio_ppm <= PPM:
        return Tatonnement()
    return Eip1559() if reserve_ratio_ppm else Vwap()


def on_reserves(chosen: Controller, *, reserve_micros: int, reserve_ratio_ppm: int) -> PricingRule:
    """The rule that prices a resource with these reserves, as the market lists them.

    No price falls below `reserve_micros` by itself: only an operator who fixes it there, or whose
    `max_micros` is there, can want that.
    """
    if isinstance(chosen, Fixed):
        return chosen
    lowest = min(max(chosen.min_micros, reserve_micros), chosen.max_micros)
    if isinstance(chosen, Eip1559) and not reserve_ratio_ppm:
        return AnchoredEip1559(
            target_ppm=chosen.target_ppm, min_micros=lowest, max_micros=chosen.max_micros
        )
    return msgspec.structs.replace(chosen, min_micros=lowest)


def next_base_fee(fee_micros: int, *, used: int, target: int) -> int:
    """The formula of EIP-1559; where the target is below one half the change has the same bound."""
    if used == target:
        return fee_micros
    change = fee_micros * min(abs(used - target), target) // target // MAX_CHANGE_DENOMINATOR
    return fee_micros + max(change, 1) if used > target else fee_micros - change


def _every_second_window(step: Callable[[Observation], int]) -> PriceTracker:
    """Quote after the even ones of windows that follow one another, and after each that does not.

    A quote is in force two windows after the one it was computed from. With one from each window,
    even and odd windows would have separate prices.
    """
    last_window = -1

    def track(window: Observation) -> int | None:
        nonlocal last_window
        one_after_the_other = window.window_id == last_window + 1
        last_window = window.window_id
        return None if one_after_the_other and window.window_id % 2 else step(window)

    return track


def _after_sales(add: Callable[[int, int], tuple[int, int]]) -> PriceTracker:
    """PriceTracker the average that `add` gives, as a numerator and a denominator, with each sale.

    A window without sales carries it; before the first sale the price in force stays.
    """
    average: int | None = None

    def track(window: Observation) -> int:
        nonlocal average
        if window.clearing_micros is not None:
            average = nearest(*add(window.clearing_micros, window.sold))
        return window.reference_micros if average is None else average

    return track


def nearest(numerator: int, denominator: int) -> int:
    """The quotient as the nearest integer; halves go up."""
    return (2 * numerator + denominator) // (2 * denominator)


@cache
def decaying_weights(half_life: int) -> tuple[Sequence[int], Sequence[int]]:
    """The weights of the sixteen half-lives that count, newest first, and their running totals."""
    weights = tuple(islice(_decay(half_life), half_life * HALF_LIVES_REMEMBERED))
    return weights, tuple(accumulate(weights))


def _decay(half_life: int) -> Iterator[int]:
    """Weights from 1 on (in units of 2^-64), each the one before times the root of one half."""
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
