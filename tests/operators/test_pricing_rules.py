"""Controllers against published numbers, naive twins and their own past."""

from collections.abc import Sequence
from decimal import Decimal, localcontext
from fractions import Fraction
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from operators.pricing_rules import (
    Controller,
    Eip1559,
    Ewma,
    Fixed,
    Observation,
    PricingRule,
    Tatonnement,
    Vwap,
    decaying_weights,
    default_rule,
    next_base_fee,
    on_reserves,
)
from state.bids import Bid
from state.market import PPM, Terms
from tests.operators.books import bundle, cleared, markets, resource, terms

GIGA: Final = 1_000_000_000


def seen(  # noqa: PLR0913 - a window as it was cleared
    window_id: int,
    *,
    price: int | None = None,
    sold: int = 0,
    supply: int = 100,
    reference: int = 1000,
    wanted: int = 0,
) -> Observation:
    return Observation(window_id, reference, price, supply, sold, wanted)


def sales(*prices_and_units: tuple[int, int]) -> list[Observation]:
    """Consecutive windows, each with what it sold; (0, 0) is one without sales."""
    return [
        seen(number, price=price if units else None, sold=units)
        for number, (price, units) in enumerate(prices_and_units)
    ]


def followed(controller: PricingRule, windows: Sequence[Observation]) -> list[int | None]:
    follow = controller.start(())
    return [follow(window) for window in windows]


# --- tatonnement ----------------------------------------------------------------------------------


def stepped(price: int | None, wanted: int, **differs: int) -> int | None:
    """The quote after a window that cleared at a price, at which so much was wanted of 100."""
    sold = min(wanted, 100) if price is not None else 0
    window = seen(0, price=price, sold=sold, wanted=wanted, **differs)
    return Tatonnement().start(())(window)


@pytest.mark.parametrize(
    ("wanted", "expected"),
    [
        (100, 8000),  # what is wanted is what there is
        (110, 8100),  # a tenth too much: an eighth of a tenth up
        (150, 8500),
        (200, 9000),  # twice the supply: the whole step
        (5000, 9000),  # the excess is cut to the supply
        (60, 7600),
        (0, 7000),
    ],
)
def test_a_step_is_an_eighth_of_the_relative_excess_demand(wanted: int, expected: int) -> None:
    """A step that grows with the demand without bound would overshoot for ever."""
    assert expected == stepped(8000, wanted, reference=1000)


@pytest.mark.parametrize(
    ("price", "wanted", "expected"), [(3, 101, 4), (3, 99, 2), (3, 100, 3), (1, 0, 1)]
)
def test_where_there_is_excess_the_price_moves(price: int, wanted: int, expected: int) -> None:
    """A small price whose step rounds to nothing would stay where it is, whatever is wanted."""
    assert expected == stepped(price, wanted)


@pytest.mark.parametrize("price", [None, 0])
def test_where_nothing_was_paid_the_reference_goes_down_alone(price: int | None) -> None:
    """A price that rises on what nobody paid could run away from everything that is offered."""
    assert [950, 1000, 1000] == [stepped(price, wanted) for wanted in (60, 100, 150)]


def test_a_resource_that_nobody_wants_falls_by_an_eighth() -> None:
    """The price of something forgotten must come down to where somebody may want it again."""
    windows = [seen(number, reference=1000) for number in range(4)]
    assert [875, None, 875, None] == followed(Tatonnement(), windows)


def test_a_supply_of_nothing_moves_no_tatonnement() -> None:
    """A resource that is closed for a while must come back at its price."""
    assert 1000 == stepped(None, 0, supply=0)


def test_after_an_absence_a_step_is_one_step() -> None:
    """Windows that nobody saw must not wind up into one leap."""
    windows = [seen(0, reference=1000), seen(500, reference=875)]
    assert [875, 766] == followed(Tatonnement(), windows)


@given(
    reference=st.integers(1, 10**15),
    price=st.none() | st.integers(0, 10**15),
    supply=st.integers(0, 10**12),
    wanted=st.integers(0, 10**14),
    rate_ppm=st.integers(1, 10**6),
)
def test_no_price_outruns_what_was_paid(
    reference: int, price: int | None, supply: int, wanted: int, rate_ppm: int
) -> None:
    """References that rose without end, while the resource cleared at a fraction of them."""
    window = seen(
        0, price=price, sold=0, supply=supply, wanted=wanted, reference=min(reference, 10**15)
    )
    quoted = Tatonnement(rate_ppm=rate_ppm).start(())(window)
    assert quoted is not None
    paid = price or 0
    assert quoted <= max(reference, paid + max(paid * rate_ppm // PPM, 1))
    if not supply or not price:
        assert quoted <= reference


# --- eip1559 --------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fee", "limit", "used", "expected"),
    [
        # go-ethereum, consensus/misc/eip1559/eip1559_test.go, TestCalcBaseFee
        (GIGA, 20_000_000, 10_000_000, GIGA),
        (GIGA, 20_000_000, 9_000_000, 987_500_000),
        (GIGA, 20_000_000, 11_000_000, 1_012_500_000),
        # alloy (the Rust clients'), crates/eips/src/eip1559/helpers.rs, calculate_base_fee_success
        (GIGA, 10_000_000, 10_000_000, 1_125_000_000),
        (GIGA, 12_000_000, 10_000_000, 1_083_333_333),
        (GIGA, 14_000_000, 10_000_000, 1_053_571_428),
        (1_072_671_875, 10_000_000, 9_000_000, 1_179_939_062),
        (1_059_263_476, 14_000_000, 10_001_000, 1_116_028_649),
        (1_049_238_967, 2_000_000, 0, 918_084_097),
        (1_049_238_967, 18_000_000, 10_000_000, 1_063_811_730),
        (0, 18_000_000, 10_000_000, 1),
        (1, 18_000_000, 10_000_000, 2),
        (2, 18_000_000, 10_000_000, 3),
    ],
)
def test_the_base_fee_is_the_one_of_ethereum_s_clients(
    fee: int, limit: int, used: int, expected: int
) -> None:
    """A rule that only resembles EIP-1559 has none of what was proven of it."""
    assert expected == next_base_fee(fee, used=used, target=limit // 2)
    row = seen(0, reference=fee, supply=limit, sold=used)
    assert max(expected, 1) == Eip1559(target_ppm=500_000).start(())(row)


@given(
    fee=st.integers(1, 10**15),
    supply=st.integers(0, 10**12),
    share=st.fractions(0, 1),
    target_ppm=st.integers(1, 10**6),
)
def test_the_base_fee_moves_by_an_eighth_at_most(
    fee: int, supply: int, share: Fraction, target_ppm: int
) -> None:
    """A low target without the bound would let one window multiply a price."""
    row = seen(0, reference=fee, supply=supply, sold=int(supply * share))
    price = Eip1559(target_ppm=target_ppm).start(())(row)
    assert price is not None
    assert fee - fee // 8 <= price <= fee + max(fee // 8, 1)


def test_the_base_fee_moves_in_every_second_window() -> None:
    """Told from each window, the prices of even and of odd windows would drift apart."""
    windows = [seen(number, sold=100) for number in (4, 5, 6, 7)]
    assert [1031, None, 1031, None] == followed(Eip1559(), windows)


def test_a_market_that_meets_in_odd_windows_only_is_priced_too() -> None:
    """Agents that come every other window must not find a price that never moves."""
    assert [1031, 1031] == followed(Eip1559(), [seen(5, sold=100), seen(7, sold=100)])


def unfloored(rule: Controller) -> PricingRule:
    return on_reserves(rule, reserve_micros=0, reserve_ratio_ppm=0)


def test_without_a_floor_the_base_fee_starts_from_what_was_paid() -> None:
    """A base fee that excludes nobody would rise for ever on units that sell for less."""
    window = seen(0, price=400, sold=100, reference=1000)
    assert [1031, 412] == [
        followed(rule, [window])[0] for rule in (Eip1559(), unfloored(Eip1559()))
    ]


@pytest.mark.parametrize("price", [None, 0])
def test_without_a_floor_nothing_paid_raises_no_base_fee(price: int | None) -> None:
    """Units that are given away are not scarce, however many of them go."""
    windows = [seen(number, price=price, sold=sold) for number, sold in ((0, 90), (2, 80), (4, 40))]
    assert [1000, 1000, 938] == followed(unfloored(Eip1559()), windows)


def test_with_a_floor_the_base_fee_is_ethereum_s() -> None:
    """The rule of which something was proven is the one that has feedback."""
    floored = on_reserves(Eip1559(), reserve_micros=5, reserve_ratio_ppm=1)
    assert Eip1559(min_micros=5) == floored


def test_no_supply_is_no_glut() -> None:
    """A resource that is closed for a while must not come back for nothing."""
    assert [1000] == followed(Eip1559(), [seen(2, supply=0)])


# --- vwap -----------------------------------------------------------------------------------------


def test_vwap_by_hand() -> None:
    """(10·3 + 20·1) / 4 = 12.5, then (20·1 + 40·3) / 4 = 35: halves go up."""
    windows = sales((10, 3), (20, 1), (40, 3))
    assert [10, 13, 35] == followed(Vwap(windows=2), windows)


@pytest.mark.parametrize("controller", [Vwap(windows=2), Ewma()])
def test_a_window_without_sales_carries_the_last_price(controller: Vwap | Ewma) -> None:
    """Silence is no news: neither may it fall to nothing, nor slide back to the first price."""
    windows = sales((0, 0), (10, 3), (0, 0), (0, 0), (0, 0))
    assert [1000, 10, 10, 10, 10] == followed(controller, windows)


SALES: Final = st.lists(st.tuples(st.integers(0, 10**15), st.integers(0, 10**12)), max_size=40)


@given(SALES, st.integers(1, 10))
def test_vwap_is_the_average_of_what_was_paid(history: list[tuple[int, int]], count: int) -> None:
    """Running sums that lose or keep a window are wrong from then on."""
    last = [sale for sale in history if sale[1]][-count:]
    units = sum(sold for _, sold in last)
    expected = Fraction(sum(price * sold for price, sold in last), units) if last else 1000
    prices = followed(Vwap(windows=count), sales(*history))
    if prices:
        assert max(int(expected + Fraction(1, 2)), 1) == prices[-1]


# --- ewma -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("half_life", [1, 5, 60, 1000])
def test_a_weight_halves_in_a_half_life(half_life: int) -> None:
    """A decay that is a little off forgets too early, or never."""
    weights, totals = decaying_weights(half_life)
    halves = [weights[age] / 2**64 for age in range(0, 16 * half_life, half_life)]
    assert pytest.approx([2.0**-n for n in range(16)], rel=1e-12) == halves
    assert (16 * half_life, sum(weights)) == (len(weights), totals[-1])


@given(
    st.lists(st.integers(0, 10**15), min_size=1, max_size=120),
    st.sampled_from([1, 2, 5, 7]),
)
def test_ewma_is_the_textbook_s_to_the_micro(prices: list[int], half_life: int) -> None:
    """Fixed point that rounds in each window would be pulled aside, and stick near its goal."""
    last = prices[-16 * half_life :][::-1]
    with localcontext(prec=60):
        weights = [Decimal(2) ** (-Decimal(age) / half_life) for age in range(len(last))]
        weighed = zip(weights, last, strict=True)
        average = sum((w * price for w, price in weighed), Decimal()) / sum(weights, Decimal())
    priced = followed(Ewma(half_life_windows=half_life), sales(*((p, 1) for p in prices)))[-1]
    assert priced is not None
    assert abs(max(average, Decimal(1)) - priced) <= Decimal("0.501")


def test_ewma_goes_half_the_way_in_a_half_life() -> None:
    """The unit of the one number that an operator sets must be what it says."""
    windows = sales(*[(1000, 1)] * 200, *[(2000, 1)] * 10)
    assert 1500 == followed(Ewma(half_life_windows=10), windows)[-1]


# --- all ------------------------------------------------------------------------------------------

CONTROLLERS: Final[Sequence[PricingRule]] = (
    Tatonnement(),
    Tatonnement(rate_ppm=500_000, min_micros=5, max_micros=40),
    unfloored(Eip1559()),
    Vwap(windows=1),
    Vwap(windows=3),
    Ewma(half_life_windows=1),
    Eip1559(),
    Fixed(price_micros=7),
    Vwap(windows=2, min_micros=5, max_micros=40),
)
HISTORIES: Final = st.lists(
    st.tuples(st.integers(1, 3), st.integers(1, 90), st.sampled_from([0, 0, 1, 50, 100])),
    min_size=1,
    max_size=60,
)


@pytest.mark.parametrize("controller", CONTROLLERS, ids=str)
@given(steps=HISTORIES, cut=st.integers(0, 60))
def test_a_controller_goes_on_from_what_it_remembers(
    controller: PricingRule, steps: list[tuple[int, int, int]], cut: int
) -> None:
    """A restart in the middle must quote what would have been quoted without it."""
    windows: list[Observation] = []
    for apart, price, sold in steps:
        window_id = (windows[-1].window_id if windows else 0) + apart
        paid = price if sold else None
        windows.append(seen(window_id, price=paid, sold=sold, wanted=2 * sold, reference=price))
    before, after = windows[:cut], windows[cut:]
    follow = controller.start(remembered(controller, before))
    assert followed(controller, windows)[cut:] == [follow(window) for window in after]


def remembered(controller: PricingRule, windows: Sequence[Observation]) -> list[Observation]:
    """What the ledger gives back of the windows before a start."""
    sold = [window for window in windows if window.sold]
    kept = sold[len(sold) - min(controller.remembered_sales, len(sold)) :]
    return sorted({*windows[-1:], *kept})


@pytest.mark.parametrize(
    ("controller", "price"),
    [
        (Tatonnement(min_micros=20, max_micros=30), 10),
        (Tatonnement(min_micros=20, max_micros=30), 90),
        (Vwap(min_micros=20, max_micros=30), 10),
        (Ewma(min_micros=20, max_micros=30), 90),
        (Eip1559(min_micros=20, max_micros=30), 1),
        (Fixed(price_micros=90, min_micros=20, max_micros=30), 5),
    ],
)
def test_no_price_leaves_its_bounds(controller: Controller, price: int) -> None:
    """A bound is the operator's last word against whatever the market does."""
    windows = [seen(0, price=price, sold=1, reference=price)]
    (quoted,) = followed(controller, windows)
    assert quoted in {20, 30}


def test_a_price_of_nothing_is_no_price() -> None:
    """Where supply exceeds demand units clear at 0; a reference price is at least 1."""
    assert [1, 1] == [followed(c, sales((0, 5)))[0] for c in (Vwap(), Ewma())]


@pytest.mark.parametrize(
    ("listed", "reserve_ratio_ppm", "expected"),
    [
        (1, 0, Vwap()),
        (1, 1, Eip1559()),
        (2, 0, Tatonnement()),
        (2, 1_000_000, Tatonnement()),
        (2, 1_000_001, Eip1559()),
    ],
)
def test_the_usual_controller_depends_on_what_it_prices(
    listed: int, reserve_ratio_ppm: int, expected: Controller
) -> None:
    """Freezing averages under a floor, and floors above their own price, price nothing."""
    assert expected == default_rule(listed=listed, reserve_ratio_ppm=reserve_ratio_ppm)


@pytest.mark.parametrize("controller", [Tatonnement(), Vwap(), Ewma(), Eip1559()])
@pytest.mark.parametrize("reserve_ratio_ppm", [0, 500_000])
def test_no_reference_falls_below_the_reserve_by_itself(
    controller: Controller, reserve_ratio_ppm: int
) -> None:
    """A reference below what a unit costs at least weighs bundles by a price that is no price."""
    rule = on_reserves(controller, reserve_micros=300, reserve_ratio_ppm=reserve_ratio_ppm)
    windows = [seen(number, price=300, sold=1, reference=300) for number in range(0, 20, 2)]
    assert {300} == set(followed(rule, windows))


def test_an_operator_s_own_word_may_be_below_the_reserve() -> None:
    """A price that was fixed, or bounded, is not moved by what was set beside it."""
    fixed = Fixed(price_micros=7)
    assert fixed == on_reserves(fixed, reserve_micros=300, reserve_ratio_ppm=0)
    bounded = on_reserves(Vwap(max_micros=40), reserve_micros=300, reserve_ratio_ppm=0)
    assert [40] == followed(bounded, [seen(0, price=300, sold=1)])


# --- what enters a price --------------------------------------------------------------------------


@given(markets())
def test_prices_times_quantities_are_what_was_paid(market: tuple[Terms, list[Bid]]) -> None:
    """A bundle counted in full for each of its resources would pump all their prices.

    Each price is rounded, and each payment is rounded up.
    """
    rules, bids = market
    clearing, done = cleared(rules, bids)
    paid = sum(bid.paid_micros for bid in done)
    worth = sum(clearing.sold[name] * price for name, price in clearing.clearing_micros.items())
    assert abs(paid - worth) <= len(bids) + sum(clearing.sold.values())


@pytest.mark.parametrize("rule", ["uniform_lab", "pay_as_bid"])
def test_a_bundle_is_split_by_weight(rule: str) -> None:
    """2 cpu at 10 and 1 gpu at 40, together for 60: 20 are paid for the cpu and 40 for the gpu."""
    market = terms(rule, cpu=resource(2, reference=10), gpu=resource(1, reference=40))
    clearing, _ = cleared(market, [bundle(1, "a1", limit=60, cpu=2, gpu=1)])
    assert {"cpu": 10, "gpu": 40} == clearing.clearing_micros
