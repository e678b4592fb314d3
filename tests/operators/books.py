"""Terms and books of one market, written in a line or drawn by hypothesis.

**Promise:** a book that is drawn holds what admission lets through: known resources, quantities
within the supply, limits at the reserve or above, and under `vickrey` only plain unit bids.
"""

from collections.abc import Mapping, Sequence
from fractions import Fraction
from typing import Final

import numpy as np
from hypothesis import strategies as st
from msgspec.structs import replace

from operators.clear import Clearing, clear
from operators.clear_columns import clear_many
from state.bids import BUNDLE, LOST, NOT_REPORTED, Bid, Bids
from state.market import ResourceTerms, Terms
from state.names import Names
from walras_schemas import BidStatus

RULES: Final = ("uniform", "uniform_lab", "pay_as_bid", "vickrey")
RESOURCES: Final = ("cpu", "gpu", "ram")


def resource(supply: int, *, reference: int = 1, reserve: int = 0) -> ResourceTerms:
    """One resource's terms."""
    return ResourceTerms(supply, reference_micros=reference, reserve_micros=reserve, stale_from=0)


def terms(rule: str = "uniform", **resources: ResourceTerms) -> Terms:
    """The terms of a market that opened before any bid."""
    return Terms(opened_at=(0, 0), is_open=True, rule=rule, max_commands=1000, resources=resources)


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


def cleared_in_columns(market: Terms, bids: Sequence[Bid]) -> tuple[Clearing | None, list[Bid]]:
    """The same over columns."""
    columns = as_columns(bids)
    clearing = clear_many(market, columns, np.arange(len(columns)))
    results = zip(bids, columns, strict=True)
    return clearing, [
        replace(
            bid,
            won=done.won,
            paid_micros=done.paid_micros,
            lost_value_micros=done.lost_value_micros,
        )
        for bid, done in results
    ]


def as_columns(bids: Sequence[Bid]) -> Bids:
    """Admitted bids as columns; an id is its bid's number."""
    names = Names()
    accounts = [names.account(bid.market, bid.agent) for bid in bids]
    numbers = [BUNDLE if bid.resource is None else names.resource(bid.resource) for bid in bids]
    ids = [bytes(12) + bid.seq.to_bytes(4) for bid in bids]
    columns = {
        "seq": np.array([bid.seq for bid in bids], dtype=np.int64),
        "ord": np.array([bid.ord for bid in bids], dtype=np.int16),
        "time_ns": np.array([bid.time_ns for bid in bids], dtype=np.int64),
        "account": np.array(accounts, dtype=np.int32),
        "event_id": np.frombuffer(b"".join(ids), dtype=np.uint8).reshape(-1, 16),
        "resource": np.array(numbers, dtype=np.int32),
        "quantity": np.array([bid.quantity for bid in bids], dtype=np.int64),
        "unit_price_micros": np.array([bid.unit_price_micros for bid in bids], dtype=np.int64),
        "min_quantity": np.array([bid.min_quantity for bid in bids], dtype=np.int64),
    }
    bundles = {row: bid.bundle for row, bid in enumerate(bids) if bid.bundle is not None}
    made = Bids.of(columns, bundles)
    made.names = names
    made.status[:] = LOST
    assert (made.lost_value_micros == NOT_REPORTED).all()
    return made


def density(market: Terms, bid: Bid) -> Fraction:
    """What the bid offers above the reserve for one unit of reference value, by the definition."""
    return Fraction(net(market, bid), worth(market, bid.demand))


def net(market: Terms, bid: Bid) -> int:
    """What the bid offers above the reserve."""
    return bid.limit_micros - reserve(market, bid.demand)


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
