"""The auction in small: who is before whom, what fits, and what each rule makes a winner pay."""

import pytest

from state.bids import Bid
from state.market import Terms
from tests.operators.books import RULES, bundle, cleared, resource, terms, unit


def outcome(market: Terms, *bids: Bid) -> list[tuple[int, int]]:
    """Units won and micros paid by each bid."""
    return [(bid.won, bid.paid_micros) for bid in cleared(market, bids)[1]]


@pytest.mark.parametrize("rule", RULES)
def test_of_equal_bids_the_earlier_wins(rule: str) -> None:
    """A tie broken by anything but the log's order would not be the same everywhere."""
    market = terms(rule, gpu=resource(1))
    first, second = outcome(
        market, unit(1, "a1", "gpu", 1, price=5), unit(2, "a2", "gpu", 1, price=5)
    )
    assert (1, 5) == first
    assert (0, 0) == second


def test_a_higher_density_beats_a_larger_limit() -> None:
    """What counts is what a bid offers for what it takes."""
    market = terms(gpu=resource(4, reference=10), cpu=resource(9, reference=1))
    large, dense = bundle(1, "a1", limit=45, gpu=4, cpu=5), unit(2, "a2", "gpu", 1, price=11)
    assert [(0, 0), (1, 11)] == outcome(market, large, dense)


def test_who_does_not_fit_does_not_stop_the_next() -> None:
    """Supply that a large bid leaves over belongs to the smaller ones behind it."""
    market = terms(gpu=resource(5))
    least = unit(2, "a2", "gpu", 4, price=8, least=4)
    assert [(3, 18), (0, 0), (2, 12)] == outcome(
        market, unit(1, "a1", "gpu", 3, price=9), least, unit(3, "a3", "gpu", 4, price=6)
    )


def test_a_part_must_reach_the_min_quantity() -> None:
    """A part below the minimum is worth nothing to its bidder."""
    market = terms(gpu=resource(5))
    ahead = unit(1, "a1", "gpu", 3, price=9)
    assert 2 == outcome(market, ahead, unit(2, "a2", "gpu", 4, price=8, least=2))[1][0]
    assert 0 == outcome(market, ahead, unit(2, "a2", "gpu", 4, price=8, least=3))[1][0]


def test_a_bundle_is_won_whole() -> None:
    """Half a bundle is what nobody asked for; it takes nothing from any resource."""
    market = terms(gpu=resource(2), cpu=resource(2))
    want = bundle(1, "a1", limit=30, gpu=2, cpu=1), bundle(2, "a2", limit=20, cpu=1, gpu=1)
    late = unit(3, "a3", "cpu", 2, price=1)
    assert [1, 0, 1] == [won for won, _ in outcome(market, *want, late)]


def test_uniform_asks_the_highest_rejected_bid() -> None:
    """The level is the best bid behind the winners, the winners' own bids do not set it."""
    market = terms(gpu=resource(3, reference=7))
    bids = [unit(n, f"a{n}", "gpu", 2, price=price) for n, price in enumerate((9, 5, 4))]
    assert [(2, 10), (1, 5), (0, 0)] == outcome(market, *bids)
    assert [(2, 8), (1, 4), (0, 0)] == outcome(market, *bids[:1], *_of_one(bids[1]), bids[2])


def _of_one(bid: Bid) -> list[Bid]:
    return [unit(bid.seq, bid.agent, "gpu", 1, price=bid.unit_price_micros)]


def test_a_loser_prices_what_it_lacked_and_nothing_else() -> None:
    """A bundle that was short of cpu must not make gpu dear, of which there was enough for it."""
    market = terms(gpu=resource(2), cpu=resource(1))
    bids = [
        unit(1, "a1", "cpu", 1, price=9),
        bundle(2, "a2", limit=16, gpu=1, cpu=1),
        unit(3, "a3", "gpu", 2, price=3),
        unit(4, "a4", "gpu", 1, price=2),
    ]
    assert [(1, 8), (0, 0), (2, 4), (0, 0)] == outcome(market, *bids)


def test_a_loser_lifts_no_price_over_a_winner_s_limit() -> None:
    """A bundle that does not fit, though it offers more, must not make a winner regret its bid."""
    market = terms(gpu=resource(2))
    bids = [
        unit(1, "a1", "gpu", 1, price=9),
        bundle(2, "a2", limit=16, gpu=2),
        unit(3, "a3", "gpu", 1, price=3),
    ]
    assert [(1, 3), (0, 0), (1, 3)] == outcome(market, *bids)
    assert [None, 10, None] == [bid.lost_value_micros for bid in cleared(market, bids)[1]]


def test_the_highest_of_several_losers_sets_the_price() -> None:
    """Each resource is priced by those who lacked it, the bundle by all that is scarce of it."""
    market = terms(gpu=resource(1, reference=2), cpu=resource(1, reference=1))
    bids = [
        bundle(1, "a1", limit=30, gpu=1, cpu=1),
        bundle(2, "a2", limit=12, gpu=1, cpu=1),
        unit(3, "a3", "cpu", 1, price=3),
    ]
    assert [(1, 12), (0, 0), (0, 0)] == outcome(market, *bids)


def test_a_level_is_rounded_up_for_each_winner() -> None:
    """Rounded down, the market would sell below the level; by unit, winners would pay too much."""
    market = terms(gpu=resource(8, reference=2), cpu=resource(3, reference=3))
    bids = [
        unit(1, "a1", "gpu", 8, price=9),
        unit(2, "a2", "cpu", 3, price=13),
        bundle(3, "a3", limit=17, gpu=1, cpu=1),
    ]
    assert [(8, 55), (3, 31), (0, 0)] == outcome(market, *bids)


def test_pay_as_bid_charges_what_was_won() -> None:
    """Units that were not won cost nothing; a bundle costs its limit."""
    market = terms("pay_as_bid", gpu=resource(5), cpu=resource(5))
    bids = bundle(1, "a1", limit=40, gpu=3, cpu=1), unit(2, "a2", "gpu", 4, price=7)
    assert [(1, 40), (2, 14)] == outcome(market, *bids)


@pytest.mark.parametrize(
    ("rule", "paid"), [("uniform", 12), ("uniform_lab", 18), ("pay_as_bid", 18), ("vickrey", 12)]
)
def test_without_a_rival_the_reserve_is_the_price(rule: str, paid: int) -> None:
    """Where nobody else bids, only the reserve stands between the winner and a gift."""
    market = terms(rule, gpu=resource(5, reserve=6))
    assert [(2, paid)] == outcome(market, unit(1, "a1", "gpu", 2, price=9))


def test_a_bundle_pays_the_reserve_of_all_its_parts() -> None:
    """A level below the reserves must not let a bundle pass under them."""
    market = terms(gpu=resource(2, reserve=3), cpu=resource(2, reserve=4))
    assert [(1, 10)] == outcome(market, bundle(1, "a1", limit=30, gpu=2, cpu=1))


def test_vickrey_charges_the_values_that_others_lost() -> None:
    """Two units displace two values, not twice the highest."""
    market = terms("vickrey", gpu=resource(3))
    bids = [
        unit(1, "a1", "gpu", 2, price=10),
        unit(2, "a2", "gpu", 2, price=8),
        unit(3, "a3", "gpu", 1, price=5),
    ]
    assert [(2, 13), (1, 5), (0, 0)] == outcome(market, *bids)


def test_vickrey_does_not_let_an_agent_rival_itself() -> None:
    """An agent's own losing bid must not raise what its winning one pays."""
    market = terms("vickrey", gpu=resource(1, reserve=2))
    assert [(1, 2), (0, 0)] == outcome(
        market, unit(1, "a1", "gpu", 1, price=9), unit(2, "a1", "gpu", 1, price=8)
    )


def test_vickrey_splits_a_payment_by_largest_remainder() -> None:
    """Rounding each bid's share by itself would create or lose micros."""
    market = terms("vickrey", gpu=resource(7))
    own = [unit(n, "a1", "gpu", units, price=9) for n, units in enumerate((2, 2, 3))]
    rivals = [unit(9, "a2", "gpu", 7, price=1), unit(8, "a3", "gpu", 1, price=4)]
    assert [(2, 3), (2, 3), (3, 4)] == outcome(market, *own, *rivals)[:3]


def test_vickrey_gives_an_equal_remainder_to_the_earlier_bid() -> None:
    """With equal remainders the log's order decides, as it does everywhere."""
    market = terms("vickrey", gpu=resource(2))
    own = [unit(seq, "a1", "gpu", 1, price=9) for seq in (1, 2)]
    rivals = [unit(3, "a2", "gpu", 1, price=4), unit(4, "a3", "gpu", 1, price=3)]
    assert [(1, 4), (1, 3)] == outcome(market, *own, *rivals)[:2]


def test_vickrey_keeps_resources_apart() -> None:
    """A loser of cpu displaces nobody's gpu."""
    market = terms("vickrey", gpu=resource(1), cpu=resource(1))
    bids = [
        unit(1, "a1", "gpu", 1, price=9),
        unit(2, "a2", "cpu", 1, price=9),
        unit(3, "a3", "cpu", 1, price=8),
    ]
    assert [(1, 0), (1, 8), (0, 0)] == outcome(market, *bids)


@pytest.mark.parametrize("rule", RULES)
def test_a_window_without_bids_sells_nothing(rule: str) -> None:
    """An empty book is the most frequent one."""
    clearing, _ = cleared(terms(rule, gpu=resource(3)), [])
    assert {"gpu": 0} == clearing.sold
