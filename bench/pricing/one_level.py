"""How a window was cleared before each resource had a level of its own: to compare with.

One level for all resources: bids in the order of value over weight, and the winners pay the density
of the best bid that lost at or below the lowest of them, but never less than the reserve.
"""

from collections.abc import Iterable
from dataclasses import replace
from fractions import Fraction

from operators.clear import (
    NO_LEVEL,
    Clearing,
    Ranked,
    allocate_supply,
    ceil,
    rank,
    reserve_of,
    round_half_up,
    shares_of,
    weight_of,
)
from state.bids import Bid
from state.market import Terms


def clear_at_one_level(terms: Terms, bids: Iterable[Bid]) -> Clearing:
    """Allocate the supply to `bids` and charge the winners by one level."""
    resources = {name: replace(each, reserve_micros=0) for name, each in terms.resources.items()}
    gross = replace(terms, resources=resources)
    ranked = rank(gross, bids)
    sold = allocate_supply(gross, ranked)
    level = _level(gross, ranked)
    paid = dict.fromkeys(terms.resources, Fraction(0))
    asked, wanted = dict.fromkeys(terms.resources, 0), dict.fromkeys(terms.resources, 0)
    for entry in ranked:
        bid = entry.bid
        cost = max(ceil(level * weight_of(gross, bid.demand)), reserve_of(terms, bid.demand))
        for name, units in bid.demand.items():
            asked[name] += units
            wanted[name] += units if bid.limit_micros >= cost else 0
        if bid.won:
            won = bid.allocation
            bid.paid_micros = max(ceil(level * weight_of(gross, won)), reserve_of(terms, won))
            for name, share in shares_of(gross, bid.paid_micros, won).items():
                paid[name] += share
        elif bid.limit_micros > cost:
            bid.lost_value_micros = bid.limit_micros - cost
    prices = {name: round_half_up(paid[name] / units) for name, units in sold.items() if units}
    return Clearing(sold=sold, demanded=asked, wanted=wanted, clearing_micros=prices)


def _level(terms: Terms, ranked: list[Ranked]) -> Fraction:
    lowest = next((entry for entry in reversed(ranked) if entry.bid.won), None)
    if lowest is None:
        return NO_LEVEL
    rejected = (r for r in ranked if r.density <= lowest.density and r.short_of)
    return next((_density(terms, each) for each in rejected), NO_LEVEL)


def _density(terms: Terms, entry: Ranked) -> Fraction:
    return Fraction(entry.bid.limit_micros, weight_of(terms, entry.bid.demand))
