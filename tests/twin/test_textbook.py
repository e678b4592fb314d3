"""Random small windows against what SEMANTICS §6 says of them in words, by other formulas."""

from __future__ import annotations

from fractions import Fraction
from random import Random
from typing import Final

import pytest

from tests.twin.auction import Allocation, allocate, clear, price_levels
from tests.twin.offers import Offer, Terms

SEEDS: Final = range(60)
RULES: Final = ("uniform", "uniform_lab", "pay_as_bid")


def random_terms(rng: Random) -> Terms:
    supply, reference = rng.randrange(1, 8), rng.randrange(1, 12)
    reserve = rng.choice([0, 0, rng.randrange(4)])
    return Terms(supply=supply, reference_micros=reference, reserve_micros=reserve, stale=False)


def random_unit(rng: Random, seq: int, r: str, terms: Terms) -> Offer:
    quantity = rng.randrange(1, terms.supply + 1)
    price = max(1, terms.reserve_micros + rng.randrange(9))
    return Offer((seq, 0), f"a{seq}", {r: quantity}, quantity * price, 1)


def random_bundle(rng: Random, seq: int, market: dict[str, Terms]) -> Offer:
    named = rng.sample(sorted(market), rng.randrange(1, len(market) + 1))
    asked = {r: rng.randrange(1, market[r].supply + 1) for r in named}
    floor = sum(market[r].reserve_micros * quantity for r, quantity in asked.items())
    return Offer((seq, 0), f"a{seq}", asked, max(1, floor + rng.randrange(60)), None)


def random_window(seed: int) -> tuple[dict[str, Terms], list[Offer]]:
    """Three resources, and unit bids with and without a minimum beside bundles."""
    rng = Random(seed)
    market = {r: random_terms(rng) for r in ("cpu", "gpu", "mem")}
    offers = []
    for seq in range(rng.randrange(1, 12)):
        r = rng.choice(sorted(market))
        if rng.random() < 0.4:
            offers.append(random_bundle(rng, seq, market))
        else:
            offers.append(random_unit(rng, seq, r, market[r]))
    return market, offers


@pytest.mark.parametrize("seed", SEEDS)
def test_one_resource_of_divisible_bids_is_the_textbooks_auction(seed: int) -> None:
    """Levels for several resources must not change what is known of one."""
    rng = Random(seed)
    terms = random_terms(rng)
    offers = [random_unit(rng, seq, "gpu", terms) for seq in range(rng.randrange(1, 7))]
    units = sorted(
        (o.unit_price_micros for o in offers for _ in range(o.asked["gpu"])), reverse=True
    )
    accepted, rejected = units[: terms.supply], units[terms.supply :]
    highest_rejected = clear("uniform", {"gpu": terms}, offers)
    lowest_accepted = clear("uniform_lab", {"gpu": terms}, offers)
    price = rejected[0] if rejected else terms.reserve_micros
    assert {"gpu": price} == highest_rejected.clearing_micros
    assert {"gpu": accepted[-1]} == lowest_accepted.clearing_micros
    for place, x in highest_rejected.won.items():
        assert price * x["gpu"] == highest_rejected.paid_micros[place]
    for place, x in lowest_accepted.won.items():
        assert accepted[-1] * x["gpu"] == lowest_accepted.paid_micros[place]


@pytest.mark.parametrize("seed", SEEDS)
def test_nobody_pays_above_its_limit_under_any_rule(seed: int) -> None:
    """A level above the lowest winner's density would make a bundle pay more than it said."""
    market, offers = random_window(seed)
    for rule in RULES:
        outcome = clear(rule, market, offers)
        for offer in offers:
            if offer.place in outcome.won:
                x = outcome.won[offer.place]
                share = Fraction(sum(x.values()), sum(offer.asked.values()))
                floor = sum(market[r].reserve_micros * units for r, units in x.items())
                assert floor <= outcome.paid_micros[offer.place] <= offer.limit_micros * share


@pytest.mark.parametrize("seed", SEEDS)
def test_a_scarce_resource_is_free_only_where_nobody_gives_more(seed: int) -> None:
    """What is sold out and asked for has a price, or the market does not discover scarcity."""
    market, offers = random_window(seed)
    allocation = allocate(market, offers)
    levels = price_levels("uniform", market, offers, allocation)
    assert set(levels) == {r for lacked in allocation.lacked.values() for r in lacked}
    for r, level in levels.items():
        winners = [_net(market, o) for o in offers if r in allocation.won.get(o.place, {})]
        losers = [_net(market, o) for o in offers if r in allocation.lacked.get(o.place, set())]
        assert (level == 0) is (0 in winners or not any(losers))


def _net(market: dict[str, Terms], offer: Offer) -> int:
    reserves = sum(market[r].reserve_micros * quantity for r, quantity in offer.asked.items())
    return offer.limit_micros - reserves


@pytest.mark.parametrize("seed", SEEDS)
def test_who_lost_lacked_something_and_who_won_all_did_not(seed: int) -> None:
    """A loser without a cause would set no price, a winner with one would set a wrong one."""
    market, offers = random_window(seed)
    allocation: Allocation = allocate(market, offers)
    for offer in offers:
        served = allocation.won.get(offer.place) == offer.asked
        assert served is (offer.place not in allocation.lacked)
        assert served or allocation.lacked[offer.place]
