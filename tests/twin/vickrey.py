"""What winners pay under `vickrey`: for the units of others that they pushed out (SEMANTICS §6).

Promise: each resource is an auction of its own, only unit bids come here, and an agent pays for all
its bids together before the sum is split over them.
"""

from __future__ import annotations

from fractions import Fraction
from math import floor

from tests.twin.offers import Offer, Place, Vector

Paid = dict[Place, int]


def pay_vickrey(reserves: Vector, offers: list[Offer], won: dict[Place, Vector]) -> Paid:
    """Each agent, resource by resource, pays for the losing units of the others."""
    paid: Paid = {}
    for agent, r in {(o.agent, r) for o in offers if o.place in won for r in o.asked}:
        rivals = [o for o in offers if o.agent != agent and r in o.asked]
        own = [o for o in offers if o.agent == agent and r in won.get(o.place, {})]
        units = {o.place: won[o.place][r] for o in own}
        displaced = _losing_units(rivals, won, reserve_micros=reserves[r])
        total = _highest(displaced, sum(units.values()), reserve_micros=reserves[r])
        paid |= _largest_remainder(total, units)
    return paid


def _losing_units(
    rivals: list[Offer], won: dict[Place, Vector], *, reserve_micros: int
) -> list[tuple[int, int]]:
    """The units that rivals asked for and did not win, as (unit value, units), best first."""
    losing = []
    for offer in rivals:
        asked = sum(offer.asked.values())
        units = asked - sum(won.get(offer.place, {}).values())
        losing.append((max(offer.unit_price_micros, reserve_micros), units))
    return sorted(losing, reverse=True)


def _highest(losing: list[tuple[int, int]], count: int, *, reserve_micros: int) -> int:
    """The sum of the `count` highest unit values; units that are not there count at the reserve."""
    total = 0
    for value, units in losing:
        taken = min(units, count)
        total += taken * value
        count -= taken
    return total + count * reserve_micros


def _largest_remainder(total: int, units: dict[Place, int]) -> Paid:
    quotas = {place: Fraction(total * n, sum(units.values())) for place, n in units.items()}
    paid = {place: floor(quota) for place, quota in quotas.items()}
    missing = total - sum(paid.values())
    for place in sorted(units, key=lambda p: (paid[p] - quotas[p], p))[:missing]:
        paid[place] += 1
    return paid
