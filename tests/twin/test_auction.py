"""Windows cleared by the twin, against numbers that were worked out by hand from SEMANTICS §6."""

from __future__ import annotations

from fractions import Fraction
from typing import Final

from tests.twin.auction import allocate, clear, price_levels
from tests.twin.offers import Offer, Terms


def terms(supply: int, reference: int = 1, reserve: int = 0) -> Terms:
    return Terms(supply=supply, reference_micros=reference, reserve_micros=reserve, stale=False)


def unit(seq: int, resource: str, quantity: int, price: int, *, least: int = 1) -> Offer:
    """A unit bid of an agent of its own."""
    return Offer((seq, 0), f"a{seq}", {resource: quantity}, quantity * price, least)


def gpu_bid(agent: str, seq: int, quantity: int, price: int) -> Offer:
    return Offer((seq, 0), agent, {"gpu": quantity}, quantity * price, 1)


def bundle(seq: int, asked: dict[str, int], limit: int) -> Offer:
    return Offer((seq, 0), f"a{seq}", asked, limit, None)


SCARCE_PAIR: Final = {"gpu": terms(4, 10), "cpu": terms(6, 2), "mem": terms(100, 1)}
SCARCE_BIDS: Final = [
    bundle(1, {"gpu": 2, "cpu": 2}, 96),  # density 96/24 = 4: wins, leaves gpu 2, cpu 4
    unit(2, "gpu", 2, 30),  # density 60/20 = 3: wins, leaves gpu 0
    bundle(3, {"gpu": 1, "cpu": 4, "mem": 2}, 40),  # density 40/20 = 2: lost for want of gpu
    unit(4, "cpu", 5, 3),  # density 15/10: wins 4 of 5, lost for want of cpu
    unit(5, "mem", 10, 1),  # density 1: wins
    unit(6, "gpu", 1, 20),  # density 20/10 = 2, after bid 3: lost for want of gpu
]


def test_two_scarce_resources_have_a_level_each() -> None:
    """One level for all would let the weakest resource set the price of the strongest."""
    allocation = allocate(SCARCE_PAIR, SCARCE_BIDS)
    assert {(3, 0): {"gpu"}, (4, 0): {"cpu"}, (6, 0): {"gpu"}} == allocation.lacked
    # Bid 3 weighs 10 + 8 in scarce resources, so 40/18; its mem does not count.
    levels = price_levels("uniform", SCARCE_PAIR, SCARCE_BIDS, allocation)
    assert {"gpu": Fraction(20, 9), "cpu": Fraction(3, 2)} == levels


def test_each_pays_the_levels_of_what_it_won_rounded_once() -> None:
    """Rounding each resource up would charge a bundle for the fractions of its parts."""
    outcome = clear("uniform", SCARCE_PAIR, SCARCE_BIDS)
    won = {
        (1, 0): {"gpu": 2, "cpu": 2},
        (2, 0): {"gpu": 2},
        (4, 0): {"cpu": 4},
        (5, 0): {"mem": 10},
    }
    assert won == outcome.won
    # Bid 1: 20/9 * 20 + 3/2 * 4 = 50.4…; bid 2: 20/9 * 20 = 44.4…; bid 4: 3/2 * 8; bid 5: nothing.
    assert {(1, 0): 51, (2, 0): 45, (4, 0): 12, (5, 0): 0} == outcome.paid_micros
    assert {"gpu": 22, "cpu": 3, "mem": 0} == outcome.clearing_micros
    assert {"gpu": 4, "cpu": 6, "mem": 10} == outcome.sold


def test_wanted_is_what_can_pay_the_price_of_all_it_asked() -> None:
    """Demand below the price would drive a controller up for ever."""
    outcome = clear("uniform", SCARCE_PAIR, SCARCE_BIDS)
    assert {"gpu": 6, "cpu": 11, "mem": 12} == outcome.demanded
    # Bid 6 gives 20 where one gpu costs ceil(22.2…) = 23; bid 4 gives just the 15 that 5 cpu cost.
    assert {"gpu": 5, "cpu": 11, "mem": 12} == outcome.wanted
    # Bid 3 gives 40 and would have paid ceil(22.2… + 12) = 35.
    assert {(3, 0): 5} == outcome.lost_value_micros


def test_a_bundle_can_be_lost_for_want_of_several() -> None:
    """A level that only one of them got would leave the other scarce resource free."""
    market = {"gpu": terms(1, 10), "cpu": terms(1, 10)}
    bids = [unit(1, "gpu", 1, 50), unit(2, "cpu", 1, 40), bundle(3, {"gpu": 1, "cpu": 1}, 60)]
    outcome = clear("uniform", market, bids)
    assert {(3, 0): {"gpu", "cpu"}} == allocate(market, bids).lacked
    assert {(1, 0): 30, (2, 0): 30} == outcome.paid_micros  # 60/20 = 3, times 10
    assert {} == outcome.lost_value_micros  # both together cost its whole limit


def test_what_nobody_lacked_is_free() -> None:
    """A price where everybody was served would be paid for nothing."""
    outcome = clear("uniform", {"gpu": terms(5, 7)}, [unit(1, "gpu", 3, 9), unit(2, "gpu", 2, 8)])
    assert {(1, 0): 0, (2, 0): 0} == outcome.paid_micros
    assert {"gpu": 0} == outcome.clearing_micros


def test_the_reserve_is_paid_below_the_level() -> None:
    """A level over the gross value would charge the reserve twice."""
    market = {"gpu": terms(2, 10, reserve=4)}
    bids = [unit(1, "gpu", 2, 10), unit(2, "gpu", 1, 7)]
    # Net values 12 and 3, densities 12/20 and 3/10; the level is 3/10, the price 4 + 3.
    outcome = clear("uniform", market, bids)
    assert {(1, 0): 14} == outcome.paid_micros
    assert {"gpu": 7} == outcome.clearing_micros
    lab = clear("uniform_lab", market, bids)
    assert {(1, 0): 20} == lab.paid_micros
    assert {"gpu": 10} == lab.clearing_micros
    assert {"gpu": 2} == lab.wanted  # at 10 nobody wants the third unit


def test_the_order_is_by_net_value() -> None:
    """A bid full of reserve would displace one that brings more above it."""
    market = {"gpu": terms(1, 10), "cpu": terms(1, 10, reserve=10)}
    # Gross 45/20 beats 20/10; net (45 - 10)/20 does not.
    outcome = clear("uniform", market, [bundle(1, {"gpu": 1, "cpu": 1}, 45), unit(2, "gpu", 1, 20)])
    assert {(2, 0): {"gpu": 1}} == outcome.won
    # Only gpu is scarce: bid 1's scarce density is 35/10, above bid 2's own 20/10.
    assert {(2, 0): 20} == outcome.paid_micros
    assert {(1, 0): 15} == outcome.lost_value_micros  # 45 - (10 + 20)


def test_a_minimum_that_does_not_fit_is_lost_for_want() -> None:
    """A loser that was no bundle would go unseen, and later small bids would set no price."""
    market = {"gpu": terms(3, 2)}
    bids = [unit(1, "gpu", 2, 10), unit(2, "gpu", 2, 8, least=2), unit(3, "gpu", 1, 5)]
    outcome = clear("uniform", market, bids)
    assert {(1, 0): {"gpu": 2}, (3, 0): {"gpu": 1}} == outcome.won
    assert {(1, 0): 10, (3, 0): 5} == outcome.paid_micros  # the lower of 8 and the lowest winner 5
    assert {(2, 0): 6} == outcome.lost_value_micros


def test_half_a_micro_is_published_upward() -> None:
    """Python's own rounding would publish 2 for 2.5."""
    bids = [unit(1, "gpu", 2, 10), bundle(2, {"gpu": 2}, 5)]
    outcome = clear("uniform", {"gpu": terms(3, 4)}, bids)
    assert {(1, 0): 5} == outcome.paid_micros
    assert {"gpu": 3} == outcome.clearing_micros


def test_the_lowest_accepted_bid_is_found_for_each_resource() -> None:
    """Under the laboratory's rule everything that was won is scarce, and has a level of its own."""
    market = {"gpu": terms(4, 10), "mem": terms(9, 1), "cpu": terms(1, 1)}
    bids = [bundle(1, {"gpu": 1, "mem": 2}, 24), unit(2, "gpu", 1, 15)]
    outcome = clear("uniform_lab", market, bids)
    # Bid 1 has 24/12 = 2, bid 2 has 15/10: gpu at 1.5, mem at 2, cpu was not won.
    assert {(1, 0): 19, (2, 0): 15} == outcome.paid_micros
    assert {"gpu": 15, "mem": 2, "cpu": None} == outcome.clearing_micros


def test_a_price_of_bundles_paid_as_bid_is_shared_above_the_reserve() -> None:
    """A share by weight alone would publish a price below the reserve."""
    market = {"gpu": terms(5, 10, reserve=2), "cpu": terms(5, 5, reserve=1)}
    bids = [bundle(1, {"gpu": 1, "cpu": 2}, 34), unit(2, "cpu", 1, 6)]
    outcome = clear("pay_as_bid", market, bids)
    assert {(1, 0): 34, (2, 0): 6} == outcome.paid_micros
    # Of 34 the reserve takes 2 + 2, the rest of 30 is halved by weight (10 and 10): 17 for the gpu,
    # 17 for two cpu; with the other bid 23 for three, 7.6…
    assert {"gpu": 17, "cpu": 8} == outcome.clearing_micros


def test_a_partial_winner_pays_its_own_price_for_what_it_won() -> None:
    """A whole limit for half of the units would be above the limit of what was won."""
    outcome = clear("pay_as_bid", {"gpu": terms(2, 3)}, [unit(1, "gpu", 5, 9)])
    assert {(1, 0): 18} == outcome.paid_micros
    assert {"gpu": 9} == outcome.clearing_micros
    assert {"gpu": 5} == outcome.wanted  # its own level is the price: just affordable
    assert {} == outcome.lost_value_micros


def test_vickrey_pays_for_the_units_pushed_out() -> None:
    """An agent that pays for its own losing units would bid against itself."""
    market = {"gpu": terms(3, 10, reserve=3)}
    bids = [
        gpu_bid("ann", 1, 2, 10),
        gpu_bid("ann", 2, 1, 9),
        gpu_bid("ann", 3, 1, 8),
        gpu_bid("bob", 4, 2, 7),
    ]
    outcome = clear("vickrey", market, bids)
    # 7 + 7 of bob's and once the reserve: 17 for three units, 11.3… and 5.6…
    assert {(1, 0): 11, (2, 0): 6} == outcome.paid_micros
    assert {"gpu": 6} == outcome.clearing_micros
    # The levels count for `wanted` alone: the highest losing price is 8.
    assert {"gpu": 6} == outcome.demanded
    assert {"gpu": 4} == outcome.wanted


def test_sums_beyond_64_bits_stay_exact() -> None:
    """A product that wraps or becomes a float would turn the order of huge bids."""
    market = {"gpu": terms(10**12, 10**15, reserve=999), "cpu": terms(10**12, 1)}
    everything = {"gpu": 10**12, "cpu": 10**12}
    bids = [bundle(1, everything, 10**15 - 1), bundle(2, everything, 10**15)]
    outcome = clear("uniform", market, bids)
    assert {(2, 0): everything} == outcome.won
    # Both resources are scarce and weigh 10^27 + 10^12; the loser's net value is 10^12 - 1.
    assert {(2, 0): 10**15 - 1} == outcome.paid_micros
    assert {"gpu": 1_000, "cpu": 0} == outcome.clearing_micros
    assert everything == {r: units // 2 for r, units in outcome.wanted.items()}
