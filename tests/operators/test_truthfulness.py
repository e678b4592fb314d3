"""Who gains by bidding something other than its value: searched over all bids of small markets.

Under `vickrey` nobody does, and under `uniform` nobody who wants one unit among divisible bids. The
same search finds the gains that the rules are known to allow, so that a search which finds nothing
means something.
"""

from collections.abc import Iterator, Sequence
from itertools import product
from typing import Final

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from state.bids import Bid
from state.market import Terms
from tests.operators import books
from tests.operators.books import cleared

Values = tuple[int, ...]
"""What an agent's first, second, ... unit is worth to it; never rising."""
HIGHEST: Final = 5


def market_of(supply: int, rule: str, *, reserve: int = 0) -> Terms:
    return books.terms(rule, gpu=books.resource(supply, reference=3, reserve=reserve))


def offers(agent: str, values: Values, *, first_seq: int, reserve: int) -> list[Bid]:
    """One unit bid for each unit whose offer the market admits."""
    return [
        books.unit(first_seq + n, agent, "gpu", 1, price=value)
        for n, value in enumerate(values)
        if value >= max(reserve, 1)
    ]


def gain(market: Terms, values: Values, said: Values, others: Sequence[Bid], *, seq: int) -> int:
    """What the agent keeps of its values when it says `said`, its bids starting at `seq`."""
    own = offers("me", said, first_seq=seq, reserve=market.resources["gpu"].reserve_micros)
    everyone = sorted([*own, *others], key=lambda bid: bid.seq)
    mine = [bid for bid in cleared(market, everyone)[1] if bid.agent == "me"]
    won = sum(bid.won for bid in mine)
    return sum(sorted(values, reverse=True)[:won]) - sum(bid.paid_micros for bid in mine)


def falling(units: int) -> Iterator[Values]:
    """Every never-rising list of offers for so many units; 0 stands for no bid."""
    for values in product(range(HIGHEST + 1), repeat=units):
        if list(values) == sorted(values, reverse=True):
            yield values


def best_lie(market: Terms, values: Values, others: Sequence[Bid], *, seq: int) -> int:
    """The most that any misreport gains over the truth."""
    truth = gain(market, values, values, others, seq=seq)
    lies = falling(len(values))
    return max(gain(market, values, said, others, seq=seq) for said in lies) - truth


@pytest.mark.parametrize("seq", [1, 50])
@pytest.mark.parametrize("reserve", [0, 2])
@pytest.mark.parametrize("supply", [1, 2])
@pytest.mark.parametrize("rule", ["vickrey", "uniform"])
def test_no_lie_pays_for_who_wants_one_unit(rule: str, supply: int, reserve: int, seq: int) -> None:
    """A rule that is chosen for its truthfulness must have it, ties and reserve included."""
    market = market_of(supply, rule, reserve=reserve)
    for rivals in falling(3):
        others = [
            bid
            for n, value in enumerate(rivals)
            for bid in offers(f"a{n}", (value,), first_seq=10 + n, reserve=reserve)
        ]
        for value in range(HIGHEST + 1):
            assert 0 == best_lie(market, (value,), others, seq=seq), f"{value} against {rivals}"


@pytest.mark.parametrize("supply", [2, 3])
def test_no_lie_pays_under_vickrey_for_several_units(supply: int) -> None:
    """With falling values for more units each agent's lies must still leave its price alone."""
    market = market_of(supply, "vickrey")
    for rival in falling(2):
        others = offers("a1", rival, first_seq=10, reserve=0)
        for values in falling(2):
            assert 0 == best_lie(market, values, others, seq=1), f"{values} against {rival}"


def test_the_search_finds_demand_reduction_under_uniform() -> None:
    """A search that cannot find the classic lie would prove nothing about vickrey."""
    market = market_of(2, "uniform")
    rival = offers("a1", (3,), first_seq=10, reserve=0)
    assert 2 == best_lie(market, (5, 4), rival, seq=1)
    assert 5 == gain(market, (5, 4), (5, 0), rival, seq=1)
    assert 3 == gain(market, (5, 4), (5, 4), rival, seq=1)


def test_the_search_finds_what_a_minimum_gives_away_under_uniform() -> None:
    """A reader who learns that one unit is safe must also read that a minimum makes it unsafe."""
    others = [
        books.unit(10, "a1", "gpu", 1, price=5),
        books.unit(11, "a2", "gpu", 2, price=3, least=2),
    ]
    assert 2 == best_lie(market_of(2, "uniform"), (4,), others, seq=1)
    others[1].min_quantity = 1
    assert 0 == best_lie(market_of(2, "uniform"), (4,), others, seq=1)


@pytest.mark.parametrize("rule", ["pay_as_bid", "uniform_lab"])
def test_the_search_finds_shading(rule: str) -> None:
    """Where the winner's own bid is its price, bidding less is the known way to gain."""
    rival = offers("a1", (2,), first_seq=10, reserve=0)
    assert 3 == best_lie(market_of(1, rule), (5,), rival, seq=1)


@given(
    supply=st.integers(1, 6),
    reserve=st.integers(0, 4),
    prices=st.lists(
        st.tuples(st.sampled_from(["a1", "a2", "a3"]), st.integers(1, 4), st.integers(4, 9)),
        max_size=7,
    ),
)
@settings(max_examples=200, deadline=None)
def test_each_agent_pays_what_it_costs_the_others(
    supply: int, reserve: int, prices: list[tuple[str, int, int]]
) -> None:
    """The payment is the loss that an agent's presence means to the others and the seller."""
    market = market_of(supply, "vickrey", reserve=reserve)
    bids = [
        books.unit(seq, agent, "gpu", min(quantity, supply), price=price)
        for seq, (agent, quantity, price) in enumerate(prices)
    ]
    done = cleared(market, bids)[1]
    for agent in {bid.agent for bid in bids}:
        others = [bid for bid in done if bid.agent != agent]
        won = sum(bid.won for bid in done if bid.agent == agent)
        kept = sum(bid.won * bid.unit_price_micros for bid in others)
        unsold = supply - sum(bid.won for bid in done)
        alone = value_without(others, supply, reserve)
        paid = sum(bid.paid_micros for bid in done if bid.agent == agent)
        assert (alone - kept - unsold * reserve if won else 0) == paid


def value_without(others: Sequence[Bid], supply: int, reserve: int) -> int:
    """The most that the others and the seller, who keeps units at the reserve, make of it all."""
    units = [bid.unit_price_micros for bid in others for _ in range(bid.quantity)]
    return sum(sorted([*units, *[reserve] * supply], reverse=True)[:supply])
