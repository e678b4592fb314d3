"""Settling a window: prices, payments, and a digest that every part of every row changes."""

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any, Final

import msgspec
import pytest

from operators.settle import digest_of, settle_market
from state.accounts import Account, Bid, MarketAccounts, bid_key
from state.market import Terms
from state.window import BalanceRow, CommandRow, DeadLetter, PriceRow
from tests.operators.books import bundle, resource, terms, unit
from walras_schemas import HOUSE, BidStatus, RejectionReason


def settled(market: Terms, *bids: Bid) -> tuple[MarketAccounts, list[PriceRow]]:
    """The book after these bids, admitted and held, were settled in window 7."""
    accounts = MarketAccounts()
    for bid in bids:
        account = accounts.by_agent.setdefault(bid.agent, Account(balance_micros=1000))
        account.held_micros += bid.limit_micros
        accounts.open_bids[bid_key("m1", bid.agent, str(bid.seq))] = bid
    return accounts, settle_market("m1", market, accounts, window_id=7)


def clearing_prices(market: Terms, *bids: Bid) -> dict[str, int | None]:
    return {row.resource: row.clearing_micros for row in settled(market, *bids)[1]}


def test_payments_go_from_the_agent_to_the_house() -> None:
    """A payment that reaches nobody, or is taken from nobody, breaks the sum of all balances."""
    bids = unit(1, "a1", "gpu", 2, price=9), unit(2, "a2", "gpu", 2, price=7)
    accounts, _ = settled(terms(gpu=resource(3)), *bids)
    assert {"a1": (986, 0), "a2": (993, 0), HOUSE: (21, 0)} == {
        name: (account.balance_micros, account.held_micros)
        for name, account in accounts.by_agent.items()
    }
    assert {} == accounts.open_bids
    assert {"a1", "a2", HOUSE} == accounts.active


def test_a_bid_that_pays_nothing_moves_nothing() -> None:
    """A transaction of zero is no transaction."""
    accounts, _ = settled(terms(gpu=resource(3)), unit(1, "a1", "gpu", 2, price=9))
    assert ["a1"] == list(accounts.by_agent)


def test_the_level_is_told_as_a_price_of_each_resource() -> None:
    """Half a micro goes up, the reserve is the least, and what was not sold has no price."""
    market = terms(
        gpu=resource(1, reference=3),
        cpu=resource(9, reference=1, reserve=3),
        ram=resource(9),
    )
    bids = (
        unit(1, "a1", "gpu", 1, price=9),
        unit(2, "a2", "cpu", 1, price=3),
        bundle(3, "a3", limit=5, gpu=1, ram=1),
    )
    assert {"cpu": 3, "gpu": 4, "ram": None} == clearing_prices(market, *bids)
    halves = terms(gpu=resource(1, reference=2), cpu=resource(1, reference=1))
    level_of_half = (unit(1, "a1", "gpu", 1, price=9), unit(2, "a2", "gpu", 1, price=5))
    assert 5 == clearing_prices(halves, *level_of_half)["gpu"]
    sold_cpu = (*level_of_half, unit(3, "a3", "cpu", 1, price=9))
    assert {"cpu": 3, "gpu": 5} == clearing_prices(halves, *sold_cpu)


def test_without_a_level_the_price_is_the_average_paid() -> None:
    """A bundle's payment is split by reference value; halves go up."""
    market = terms("pay_as_bid", gpu=resource(4, reference=3), cpu=resource(4, reference=1))
    bids = (
        unit(1, "a1", "gpu", 1, price=6),
        bundle(2, "a2", limit=12, gpu=1, cpu=3),
        unit(3, "a3", "gpu", 2, price=2),
    )
    assert {"cpu": 2, "gpu": 4} == clearing_prices(market, *bids)
    odd = unit(1, "a1", "gpu", 1, price=4), unit(2, "a2", "gpu", 1, price=3)
    assert {"cpu": None, "gpu": 4} == clearing_prices(market, *odd)


def test_prices_tell_supply_demand_and_sales() -> None:
    """Demand counts every admitted unit, won or not."""
    cpu = dataclasses.replace(resource(5), stale_from=8)
    market = terms("uniform_lab", gpu=resource(3, reference=2), cpu=cpu)
    bids = unit(1, "a1", "gpu", 2, price=9), bundle(2, "a2", limit=90, gpu=2, cpu=4)
    assert [("cpu", 1, 5, 5, 4, 4), ("gpu", 2, 9, 3, 4, 3)] == [
        (
            row.resource,
            row.reference_micros,
            row.clearing_micros,
            row.supply,
            row.demanded,
            row.sold,
        )
        for row in settled(market, *bids)[1]
    ]


@pytest.mark.parametrize(("stale_from", "expected"), [(0, "stale"), (7, "stale"), (8, "fresh")])
def test_prices_are_stale_from_their_window_on(stale_from: int, expected: str) -> None:
    """One window too early or too late is a warning that comes wrong."""
    market = terms(gpu=dataclasses.replace(resource(1), stale_from=stale_from))
    [row] = settled(market)[1]
    assert expected == ("stale" if row.stale else "fresh")


# --- the digest -----------------------------------------------------------------------------------

BID: Final = msgspec.structs.replace(
    unit(5, "a1", "gpu", 3, price=7, least=2),
    event_id="id",
    status=BidStatus.PARTIALLY_WON,
    won=2,
    paid_micros=11,
)
ROWS: Final[dict[str, Any]] = {
    "bids": BID,
    "commands": CommandRow(
        seq=5,
        ord=1,
        time_ns=9,
        market="m1",
        sender="a1",
        event_id="id",
        type="credits_transferred",
        reason=None,
        amount_micros=3,
        recipient="a2",
    ),
    "dead_letters": DeadLetter(
        seq=5, ord=2, time_ns=9, subject="market.m1", error="no such subject", payload=b"{"
    ),
    "prices": PriceRow("m1", "gpu", 1, 4, 5, 3, 2, stale=False),
    "balances": BalanceRow("m1", "a1", 89),
}
OTHER: Final[dict[str, Any]] = {
    "bundle": {"gpu": 3},
    "resource": "cpu",
    "status": BidStatus.WON,
    "reason": RejectionReason.DUPLICATE,
    "clearing_micros": None,
    "recipient": None,
    "stale": True,
    "payload": b"[",
}


def names(row: Any) -> Sequence[str]:
    """Its fields, whether it is a struct or a dataclass."""
    if isinstance(row, msgspec.Struct):
        return row.__struct_fields__
    return [field.name for field in dataclasses.fields(row)]


def replaced(row: Any, **changes: Any) -> Any:
    """The row with other values in some fields."""
    change = msgspec.structs.replace if isinstance(row, msgspec.Struct) else dataclasses.replace
    return change(row, **changes)


NOT_COVERED: Final = {("dead_letters", "error")}
FIELDS: Final = [
    (kind, name)
    for kind, row in ROWS.items()
    for name in names(row)
    if (kind, name) not in NOT_COVERED
]


def digest(
    rows: Mapping[str, Sequence[Any]] | None = None,
    *,
    window_id: int = 7,
    prev_digest: bytes = bytes(32),
) -> bytes:
    """The digest of a window that has one row of each kind, but for the rows that are given."""
    whole = {kind: [row] for kind, row in ROWS.items()} | dict(rows or {})
    return digest_of(prev_digest, window_id=window_id, **whole)


def changed(row: Any, name: str) -> Any:
    """The row with one field changed."""
    value = getattr(row, name)
    other = OTHER[name] if name in OTHER else _another(value)
    return replaced(row, **{name: other})


def _another(value: Any) -> Any:
    return value + 1 if isinstance(value, int) else f"{value}x"


@pytest.mark.parametrize(("kind", "name"), FIELDS, ids=str)
def test_each_field_of_each_row_changes_the_digest(kind: str, name: str) -> None:
    """A field that the digest does not see could differ in two ledgers that seem to be equal."""
    assert digest() != digest({kind: [changed(ROWS[kind], name)]})


@pytest.mark.parametrize("name", Bid.__struct_fields__)
def test_each_field_of_a_bundle_changes_the_digest(name: str) -> None:
    """Its line is made in another way than that of a unit bid."""
    whole = bundle(5, "a1", limit=9, gpu=2, cpu=1)
    assert digest({"bids": [whole]}) != digest({"bids": [changed(whole, name)]})


@pytest.mark.parametrize("kind", ROWS)
def test_each_row_changes_the_digest(kind: str) -> None:
    """A row that is missing, or there twice, is another ledger."""
    assert 3 == len({digest(), digest({kind: []}), digest({kind: [ROWS[kind]] * 2})})


@pytest.mark.parametrize("kind", ROWS)
def test_the_order_of_rows_changes_the_digest(kind: str) -> None:
    """The log has one order, and the digest is over it."""
    field = names(ROWS[kind])[-1] if kind != "dead_letters" else "seq"
    pair = [ROWS[kind], changed(ROWS[kind], field)]
    assert digest({kind: pair}) != digest({kind: pair[::-1]})


def test_the_digest_covers_the_window_and_all_before_it() -> None:
    """One value must stand for the whole ledger up to here."""
    assert 3 == len({digest(), digest(window_id=8), digest(prev_digest=b"\1" * 32)})


def test_a_bundle_is_a_set_of_units() -> None:
    """The order of keys in a sender's JSON is no part of what it asked for."""
    one = bundle(1, "a1", limit=5, gpu=1, cpu=2)
    other = bundle(1, "a1", limit=5, cpu=2, gpu=1)
    assert digest({"bids": [one]}) == digest({"bids": [other]})
    assert digest({"bids": [one]}) != digest({"bids": [bundle(1, "a1", limit=5, gpu=2, cpu=1)]})


def test_the_wording_of_an_error_is_not_covered() -> None:
    """A better message must not change the digest of a log."""
    reworded = replaced(ROWS["dead_letters"], error="not a subject")
    assert digest() == digest({"dead_letters": [reworded]})


def test_a_balance_may_be_of_any_size() -> None:
    """Enough of the largest grants leave 64 bits, which JSON numbers elsewhere cannot carry."""
    large = [BalanceRow("m1", "a1", 10**30 + n) for n in (0, 1)]
    assert digest({"balances": large[:1]}) != digest({"balances": large[1:]})
