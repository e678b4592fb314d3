"""Terms and books of one market, written in a line or drawn by hypothesis.

**Promise:** a book that is drawn holds what admission lets through: known resources, quantities
within the supply, limits at the reserve or above, and under `vickrey` only plain unit bids.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Final

from hypothesis import strategies as st
from msgspec.structs import replace

from operators.clear import Clearing, clear
from state.accounts import Bid
from state.market import ResourceTerms, Terms
from walras_schemas import BidStatus

RULES: Final = ("uniform", "uniform_lab", "pay_as_bid", "vickrey")
RESOURCES: Final = ("cpu", "gpu", "ram")


def resource(supply: int, *, reference: int = 1, reserve: int = 0) -> ResourceTerms:
    """One resource's terms."""
    return ResourceTerms(supply, reference_micros=reference, reserve_micros=reserve, stale_from=0)


def terms(rule: str = "uniform", **resources: ResourceTerms) -> Terms:
    """The terms of a market that opened before any bid."""
    return Terms(opened_at=(0, 0), rule=rule, resources=resources)


def unit(  # noqa: PLR0913  # as many as a unit bid has
    seq: int, agent: str, name: str, quantity: int, *, price: int, least: int = 1
) -> Bid:
    """An admitted unit bid; `least` is its min_quantity."""
    return Bid(
        seq=seq,
        ord=0,
        time_ns=0,
        market="m1",
        agent=agent,
        event_id="",
        resource=name,
        quantity=quantity,
        unit_price_micros=price,
        min_quantity=least,
        bundle=None,
        status=BidStatus.LOST,
    )


def bundle(seq: int, agent: str, *, limit: int, **units: int) -> Bid:
    """An admitted bundle."""
    return replace(
        unit(seq, agent, "", 1, price=limit), resource=None, bundle=dict(units), min_quantity=1
    )


def cleared(market: Terms, bids: Sequence[Bid]) -> tuple[Clearing, list[Bid]]:
    """The clearing of a copy of the bids, and the copy with what was written on it."""
    copies = [replace(bid) for bid in bids]
    return clear(market, copies), copies


def density(market: Terms, bid: Bid) -> Fraction:
    """What the bid offers for one unit of reference value, straight from the definition."""
    return Fraction(bid.limit_micros, worth(market, bid.demand))


def worth(market: Terms, units: Mapping[str, int]) -> int:
    """Units at reference prices."""
    return sum(market.resources[name].reference_micros * n for name, n in units.items())


def reserve(market: Terms, units: Mapping[str, int]) -> int:
    """Units at reserve prices."""
    return sum(market.resources[name].reserve_micros * n for name, n in units.items())


def in_auction_order(market: Terms, bids: Sequence[Bid]) -> list[Bid]:
    """Bids by density, highest first; of equal ones the earlier first."""
    return sorted(bids, key=lambda bid: (-density(market, bid), bid.seq, bid.ord))


# --- by hypothesis --------------------------------------------------------------------------------

AGENTS: Final = st.sampled_from(["a1", "a2", "a3", "a4"])


@st.composite
def markets(
    draw: st.DrawFn, rules: Sequence[str] = RULES, names: Sequence[str] = RESOURCES
) -> tuple[Terms, list[Bid]]:
    """A market's terms, and a book of bids that they admit."""
    rule = draw(st.sampled_from(rules))
    listed = {
        name: resource(
            draw(st.integers(1, 9)), reference=draw(st.integers(1, 7)), reserve=draw(RESERVES)
        )
        for name in names
    }
    market = terms(rule, **listed)
    kinds = st.sampled_from(["unit"] if rule == "vickrey" or len(names) == 1 else ["unit", "both"])
    count = draw(st.integers(0, 9))
    return market, [_draw_bid(draw, market, seq, draw(kinds)) for seq in range(1, count + 1)]


RESERVES: Final = st.sampled_from([0, 0, 1, 3, 6])


def _draw_bid(draw: st.DrawFn, market: Terms, seq: int, kind: str) -> Bid:
    name = draw(st.sampled_from(sorted(market.resources)))
    listed = market.resources[name]
    agent, quantity = draw(AGENTS), draw(st.integers(1, listed.supply))
    surplus = draw(st.integers(0, 8))
    if kind == "both" and draw(st.booleans()):
        demand = {r: draw(st.integers(1, market.resources[r].supply)) for r in _some(draw, market)}
        floor = max(1, reserve(market, demand))
        return bundle(seq, agent, limit=floor + draw(st.integers(0, 40)), **demand)
    least = 1 if market.rule == "vickrey" or draw(st.booleans()) else draw(st.integers(1, quantity))
    price = max(1, listed.reserve_micros + surplus)
    return unit(seq, agent, name, quantity, price=price, least=least)


def _some(draw: st.DrawFn, market: Terms) -> list[str]:
    return draw(
        st.lists(st.sampled_from(sorted(market.resources)), min_size=1, max_size=3, unique=True)
    )
