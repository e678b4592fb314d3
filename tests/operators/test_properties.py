"""What every cleared window promises, whatever the bids: on `clear` itself, by hypothesis."""

import dataclasses
from collections import Counter
from collections.abc import Iterator
from fractions import Fraction
from itertools import product
from math import ceil
from typing import Final

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from msgspec.structs import replace

from operators.clear import allocate_supply, price_levels, rank, round_half_up
from operators.clear import ceil as exact_ceil
from state.bids import Bid
from state.market import Terms
from tests.operators import books
from tests.operators.books import (
    cleared,
    cleared_in_columns,
    in_auction_order,
    markets,
    net,
    reserve,
    worth,
)
from walras_schemas import BidStatus

Market = tuple[Terms, list[Bid]]

thorough = settings(max_examples=120, deadline=None)
ONE: Final = ("gpu",)


def behind(bid: Bid, ranked: list[Bid]) -> Iterator[Bid]:
    """The bids whose turn comes after this one's."""
    place = (bid.seq, bid.ord)
    after = [(other.seq, other.ord) for other in ranked].index(place) + 1
    return iter(ranked[after:])


def left_for(bid: Bid, market: Terms, ranked: list[Bid]) -> Counter[str]:
    """What was left of each resource just after the bid had its turn."""
    left = Counter({name: listed.supply for name, listed in market.resources.items()})
    taken = {(other.seq, other.ord) for other in behind(bid, ranked)}
    for other in ranked:
        if (other.seq, other.ord) not in taken:
            left.subtract(other.allocation)
    return left


@given(drawn=markets())
@thorough
def test_no_more_is_sold_than_there_is(drawn: Market) -> None:
    """A unit sold twice is a unit that somebody paid for and does not get."""
    market, bids = drawn
    clearing, done = cleared(market, bids)
    sold = Counter[str]()
    for bid in done:
        sold.update(bid.allocation)
    assert clearing.sold == {name: sold[name] for name in market.resources}
    assert all(sold[name] <= listed.supply for name, listed in market.resources.items())


@given(drawn=markets())
@thorough
def test_who_takes_part_never_regrets_it(drawn: Market) -> None:
    """An agent charged above its limit, or for nothing, would have done better to stay away."""
    market, bids = drawn
    for bid in cleared(market, bids)[1]:
        assert 0 <= bid.won <= bid.quantity
        assert bid.paid_micros <= bid.won * bid.unit_price_micros
        assert bid.won == 0 or bid.won >= bid.min_quantity


@given(drawn=markets())
@thorough
def test_nothing_is_sold_below_the_reserve(drawn: Market) -> None:
    """The reserve is the seller's own limit."""
    market, bids = drawn
    for bid in cleared(market, bids)[1]:
        assert bid.paid_micros >= reserve(market, bid.allocation)


@given(drawn=markets())
@thorough
def test_a_loser_sees_why_it_lost(drawn: Market) -> None:
    """A bid that lost a unit in its turn was short of supply: no bid of less density won it."""
    market, bids = drawn
    ranked = in_auction_order(market, cleared(market, bids)[1])
    for bid in ranked:
        left = left_for(bid, market, ranked)
        if bid.bundle is not None:
            assert bid.won or any(left[name] < units for name, units in bid.bundle.items())
        elif bid.won:
            assert bid.won == bid.quantity or left[bid.resource or ""] == 0
        else:
            assert left[bid.resource or ""] < bid.min_quantity


@given(drawn=markets(names=ONE))
@thorough
def test_nobody_envies_a_lower_price(drawn: Market) -> None:
    """A higher price goes empty before a lower one only where its min_quantity did not fit."""
    market, bids = drawn
    done = cleared(market, bids)[1]
    for envious, winner in product(done, done):
        if winner.won and envious.unit_price_micros > winner.unit_price_micros:
            assert envious.won == envious.quantity or (
                envious.won == 0 and envious.min_quantity > winner.won
            )


@given(drawn=markets())
@settings(max_examples=400, deadline=None)
def test_a_book_clears_alike_over_columns(drawn: Market) -> None:
    """A winner, a price or a reported loss that depends on the way is another auction."""
    market, bids = drawn
    clearing, done = cleared_in_columns(market, bids)
    if market.rule == "vickrey":
        assert (None, bids) == (clearing, done)
    else:
        slow, records = cleared(market, bids)
        assert (slow, records) == (clearing, [replace(bid, status=BidStatus.LOST) for bid in done])


def short_of(bid: Bid, market: Terms, ranked: list[Bid]) -> list[str]:
    """The resources for want of which a bid lost units, by what was left at its turn."""
    if bid.won == bid.quantity:
        return []
    left = left_for(bid, market, ranked)
    if bid.bundle is None:
        return list(bid.demand)
    return [name for name, units in bid.demand.items() if units > left[name]]


def levels_by_definition(market: Terms, done: list[Bid]) -> dict[str, Fraction]:
    """The price levels, word for word as the page defines them."""
    ranked = in_auction_order(market, done)
    lost = {(bid.seq, bid.ord): short_of(bid, market, ranked) for bid in ranked}
    won = {name for bid in done for name in bid.allocation}
    lab = market.rule == "uniform_lab"
    scarce = won if lab else {name for names in lost.values() for name in names}

    def scarce_density(bid: Bid) -> Fraction:
        asked = {name: units for name, units in bid.demand.items() if name in scarce}
        return Fraction(net(market, bid), worth(market, asked))

    levels = {}
    for name in scarce:
        winners = [scarce_density(bid) for bid in done if name in bid.allocation]
        losers = [scarce_density(bid) for bid in done if name in lost[bid.seq, bid.ord]]
        levels[name] = min(winners) if lab else min(*winners, max(losers))
    return levels


@given(drawn=markets(rules=["uniform", "uniform_lab"]))
@thorough
def test_each_resource_has_one_price_for_all_winners(drawn: Market) -> None:
    """Two winners who pay different prices for the same thing would not be a uniform price."""
    market, bids = drawn
    levels = levels_by_definition(market, cleared(market, bids)[1])
    for bid in cleared(market, bids)[1]:
        above = sum(
            levels.get(name, 0) * market.resources[name].reference_micros * units
            for name, units in bid.allocation.items()
        )
        assert bid.paid_micros == reserve(market, bid.allocation) + ceil(above)


@given(drawn=markets())
@thorough
def test_the_levels_are_those_of_the_page(drawn: Market) -> None:
    """A scarce resource sold too cheap or too dear misleads everyone who reads its price."""
    market, bids = drawn
    ranked = rank(market, [replace(bid) for bid in bids])
    allocate_supply(market, ranked)
    expected = levels_by_definition(market, cleared(market, bids)[1])
    assert expected == price_levels(market, ranked)


@given(drawn=markets(rules=["uniform", "uniform_lab"]))
@thorough
def test_no_scarce_resource_is_free(drawn: Market) -> None:
    """What sells out while others want it and costs nothing above its reserve tells no price."""
    market, bids = drawn
    ranked = rank(market, [replace(bid) for bid in bids])
    allocate_supply(market, ranked)
    for name, level in price_levels(market, ranked).items():
        won = [entry.net_micros for entry in ranked if name in entry.bid.allocation]
        lost = [entry.net_micros for entry in ranked if name in entry.short_of]
        nothing_more = 0 in won or (market.rule == "uniform" and not any(lost))
        assert level > 0 or nothing_more


@given(drawn=markets(rules=["uniform", "uniform_lab"]))
@thorough
def test_a_paradoxical_rejection_is_reported_and_nothing_else(drawn: Market) -> None:
    """A loser who offered more than its cost must be able to see it, to the micro."""
    market, bids = drawn
    done = cleared(market, bids)[1]
    levels = levels_by_definition(market, done)
    for bid in done:
        above = sum(
            levels.get(name, 0) * market.resources[name].reference_micros * units
            for name, units in bid.demand.items()
        )
        lost_value = bid.limit_micros - reserve(market, bid.demand) - ceil(above)
        expected = lost_value if bid.won == 0 and lost_value > 0 else None
        assert expected == bid.lost_value_micros


@given(drawn=markets(rules=["uniform"], names=ONE))
@thorough
def test_one_divisible_resource_sells_at_the_highest_rejected_unit(drawn: Market) -> None:
    """With one resource the rule must be the auction of the textbook, unit by unit."""
    market, bids = drawn
    divisible = [bid for bid in bids if bid.min_quantity == 1]
    units = sorted(
        (b.unit_price_micros for b in divisible for _ in range(b.quantity)), reverse=True
    )
    listed = market.resources["gpu"]
    rejected = max(units[listed.supply :], default=0)
    price = max(rejected, listed.reserve_micros)
    paid = {bid.paid_micros for bid in cleared(market, divisible)[1] if bid.won == 1}
    assert paid <= {price}
    total = sum(bid.paid_micros for bid in cleared(market, divisible)[1])
    assert total == price * min(listed.supply, len(units))


@given(drawn=markets(rules=["uniform"]))
@thorough
def test_lowest_accepted_is_never_cheaper_than_highest_rejected(drawn: Market) -> None:
    """The two uniform rules differ by who sets the price: the accepted bid is the higher one.

    Not with bundles of several resources: more resources are scarce under `uniform_lab`, so what a
    bundle offers is spread over more of them, and its density is lower.
    """
    market, drawn_bids = drawn
    bids = [bid for bid in drawn_bids if bid.bundle is None or len(market.resources) == 1]
    at_rejected = cleared(market, bids)[1]
    at_accepted = cleared(dataclasses.replace(market, rule="uniform_lab"), bids)[1]
    for lower, higher in zip(at_rejected, at_accepted, strict=True):
        assert lower.won == higher.won
        assert lower.paid_micros <= higher.paid_micros


@given(drawn=markets(rules=["pay_as_bid"]))
@thorough
def test_pay_as_bid_is_what_was_bid(drawn: Market) -> None:
    """A discriminatory auction that rounds or discounts is another auction."""
    market, bids = drawn
    for bid in cleared(market, bids)[1]:
        assert bid.paid_micros == bid.won * bid.unit_price_micros


@given(drawn=markets(names=ONE))
@thorough
def test_divisible_bids_win_what_they_value_most(drawn: Market) -> None:
    """With one divisible resource no other allocation has a higher declared value."""
    market, bids = drawn
    divisible = [bid for bid in bids if bid.min_quantity == 1][:4]
    done = cleared(market, divisible)[1]
    declared = sum(bid.won * bid.unit_price_micros for bid in done)
    assert declared == best_value(divisible, market.resources["gpu"].supply)


def best_value(bids: list[Bid], supply: int) -> int:
    """The highest value over every way to share the supply out, tried one by one."""
    shares = product(*(range(bid.quantity + 1) for bid in bids))
    return max(
        sum(won * bid.unit_price_micros for won, bid in zip(share, bids, strict=True))
        for share in shares
        if sum(share) <= supply
    )


LARGE: Final = st.integers(1, 10**15)


@given(offers=st.lists(st.tuples(LARGE, LARGE), min_size=1, max_size=8))
@thorough
def test_densities_are_compared_exactly(offers: list[tuple[int, int]]) -> None:
    """Two bids that differ in the 30th digit must not be taken for a tie, nor a tie for two."""
    listed = {f"r{n}": books.resource(10, reference=ref) for n, (_, ref) in enumerate(offers)}
    market = books.terms("uniform", **listed)
    bids = [
        books.unit(seq, "a1", f"r{seq}", 1, price=price) for seq, (price, _) in enumerate(offers)
    ]
    ranked = [entry.bid.seq for entry in rank(market, bids)]
    assert [bid.seq for bid in in_auction_order(market, bids)] == ranked


@pytest.mark.parametrize("earlier", ["lo", "hi"])
@pytest.mark.parametrize("largest", [10**15, 10**15 - 1])
def test_the_closest_densities_keep_their_order(largest: int, earlier: str) -> None:
    """The two closest densities that limits allow lie 10^-30 apart, whichever came first."""
    market = books.terms(
        hi=books.resource(1, reference=largest), lo=books.resource(1, reference=largest - 1)
    )
    seqs = {"lo": 1, "hi": 2} if earlier == "lo" else {"hi": 1, "lo": 2}
    bids = [
        books.unit(seq, "a1", name, 1, price=market.resources[name].reference_micros - 1)
        for name, seq in seqs.items()
    ]
    assert ["hi", "lo"] == [entry.bid.resource for entry in rank(market, bids)]


@given(numerator=st.integers(0, 10**40), denominator=st.integers(1, 10**20))
@example(numerator=5, denominator=2)
@example(numerator=2 * 10**30 + 1, denominator=2)
def test_rounding_is_exact(numerator: int, denominator: int) -> None:
    """A float on the way would round a large payment by whole credits."""
    value = Fraction(numerator, denominator)
    assert ceil(value) == exact_ceil(value)
    nearest = round_half_up(value)
    assert Fraction(-1, 2) < nearest - value <= Fraction(1, 2)
