"""Settling a window: prices, payments, counts, and a digest that sees every part of every row."""

import dataclasses
from collections.abc import Callable
from typing import Any, Final

import msgspec
import numpy as np
import pytest

from flows.testing import LogWriter
from operators.digest import digest_of
from state.market import Terms
from state.names import NewNames
from state.window import Balances, CommandRow, DeadLetter, MarketRow, PriceRow, Settlement
from tests.operators.books import as_columns, bundle, cleared, resource, terms, unit
from tests.operators.steps import plain, settle, settlements
from walras_schemas import HOUSE, RejectionReason

WINDOW_MS: Final = 1000


def window_of(log: LogWriter) -> Settlement:
    """The only window of a log."""
    [window] = settlements(settle(log.records, window_ms=WINDOW_MS))
    return window


def opened(**balances: int) -> LogWriter:
    log = LogWriter()
    log.open(gpu={"supply": 3}, cpu={"supply": 4, "reserve_micros": 2})
    for agent, micros in balances.items():
        log.grant(agent, micros)
    return log


def bid(log: LogWriter, agent: str, quantity: int, price: int, *, name: str = "gpu") -> None:
    log.bid(agent, resource=name, quantity=quantity, unit_price_micros=price)


def test_payments_go_from_the_agent_to_the_house() -> None:
    """A payment that reaches nobody, or is taken from nobody, breaks the sum of all balances."""
    log = opened(a1=1000, a2=1000)
    bid(log, "a1", 2, 9)
    bid(log, "a2", 2, 7)
    [content] = plain([window_of(log)])
    assert {"a1": 986, "a2": 993, HOUSE: 21} == {
        owner: micros for (_, owner), micros in content["balances"].items() if owner != "treasury"
    }
    assert 0 == sum(content["balances"].values())


def test_a_bid_that_pays_nothing_moves_nothing() -> None:
    """A transaction of zero is no transaction: the house has no account before it was paid."""
    log = opened(a1=1000)
    bid(log, "a1", 2, 9)
    [content] = plain([window_of(log)])
    assert {("m1", "a1"), ("m1", "treasury")} == content["balances"].keys()


def clearing_prices(market: Terms, *bids: Any) -> dict[str, int]:
    return dict(cleared(market, bids)[0].clearing_micros)


def test_a_level_is_published_as_a_price_of_its_resource() -> None:
    """Half a micro goes up, the reserve is the least, and what was not sold has no price."""
    market = terms(gpu=resource(1, reference=3), cpu=resource(9, reserve=3), ram=resource(9))
    bids = (
        unit(1, "a1", "gpu", 1, price=9),
        unit(2, "a2", "cpu", 1, price=3),
        bundle(3, "a3", limit=5, gpu=1, ram=1),
    )
    assert {"cpu": 3, "gpu": 5} == clearing_prices(market, *bids)
    halves = terms(gpu=resource(1), cpu=resource(1))
    wanted = (
        unit(1, "a1", "gpu", 1, price=9),
        unit(2, "a2", "cpu", 1, price=9),
        bundle(3, "a3", limit=5, gpu=1, cpu=1),
    )
    assert {"cpu": 3, "gpu": 3} == clearing_prices(halves, *wanted)


def test_without_a_level_the_price_is_the_average_paid() -> None:
    """A bundle's payment is split by reference value above the reserves; halves go up."""
    market = terms("pay_as_bid", gpu=resource(4, reference=3), cpu=resource(4, reference=1))
    bids = (
        unit(1, "a1", "gpu", 1, price=6),
        bundle(2, "a2", limit=12, gpu=1, cpu=3),
        unit(3, "a3", "gpu", 2, price=2),
    )
    assert {"cpu": 2, "gpu": 4} == clearing_prices(market, *bids)
    odd = unit(1, "a1", "gpu", 1, price=4), unit(2, "a2", "gpu", 1, price=3)
    assert {"gpu": 4} == clearing_prices(market, *odd)
    floored = terms("pay_as_bid", gpu=resource(4, reserve=4), cpu=resource(4))
    assert {"cpu": 3, "gpu": 7} == clearing_prices(floored, bundle(1, "a1", limit=10, gpu=1, cpu=1))


def test_prices_say_what_was_asked_wanted_and_sold() -> None:
    """Demand counts every admitted unit, and `wanted` those who would pay what it costs."""
    log = opened(a1=1000)
    bid(log, "a1", 2, 9)
    bid(log, "a1", 3, 7)
    bid(log, "a1", 1, 6)
    log.withdraw("a1", log.bid("a1", resource="gpu", quantity=1, unit_price_micros=99))
    log.bundle("a1", {"gpu": 2, "cpu": 1}, limit_micros=90)
    cpu, gpu = window_of(log).prices
    assert ("cpu", 10, 2, 2, 4, 1, 1, 1) == price_row(cpu)
    assert ("gpu", 10, 0, 9, 3, 8, 4, 3) == price_row(gpu)


def price_row(row: PriceRow) -> tuple[object, ...]:
    """The columns of a price but for its market and staleness."""
    return (
        row.resource,
        row.reference_micros,
        row.reserve_micros,
        row.clearing_micros,
        row.supply,
        row.demanded,
        row.wanted,
        row.sold,
    )


def test_a_market_s_window_is_counted_once_for_each_bid() -> None:
    """A count without the refused, or with the withdrawn among the offers, misleads operators."""
    log = opened(a1=1000, a2=10)
    bid(log, "a1", 2, 9)
    bid(log, "a2", 3, 3)
    bid(log, "a2", 1, 99)
    bid(log, "a3", 1, 1)
    log.withdraw("a1", log.bid("a1", resource="gpu", quantity=1, unit_price_micros=5))
    bid(log, "a1", 3, 2)
    [row] = window_of(log).markets
    assert (
        MarketRow(
            market="m1",
            rule="uniform",
            agents=3,
            bids=6,
            won=1,
            partially_won=1,
            lost=1,
            withdrawn=1,
            rejected=2,
            commands=4,
            paid_micros=9,
            offered_micros=18 + 9 + 6,
            served_micros=18 + 3,
        )
        == row
    )


def test_sums_of_a_market_s_window_may_be_of_any_size() -> None:
    """Ten of the largest limits exceed 64 bits together, and must not wrap to a small sum."""
    log = LogWriter()
    log.open(rule="pay_as_bid", gpu={"supply": 10**12})
    for _ in range(28):
        grants = [
            log.command("credits_granted", agent_id="a1", amount_micros=10**15) for _ in range(1000)
        ]
        log.append("market.m1.grant", grants)
    for _ in range(3):
        log.bid("a1", resource="gpu", quantity=9_000, unit_price_micros=10**15)
    window = window_of(log)
    [row] = window.markets
    assert [27 * 10**18] * 3 == [row.paid_micros, row.offered_micros, row.served_micros]
    [content] = plain([window])
    assert 28 * 10**18 - 27 * 10**18 == content["balances"]["m1", "a1"]
    assert 27 * 10**18 == content["balances"]["m1", HOUSE]


@pytest.mark.parametrize(("stale_from", "expected"), [(-1, "stale"), (0, "stale"), (1, "fresh")])
def test_prices_are_stale_from_their_window_on(stale_from: int, expected: str) -> None:
    """One window too early or too late is a warning that comes wrong."""
    log = LogWriter()
    resources = {"gpu": {"supply": 1, "initial_price_micros": 1}}
    opened = log.command("market_opened", resources=resources, stale_after_windows=1 + stale_from)
    log.append("market.m1.market", opened)
    log.quote("gpu", 5)
    log.wait(2 * WINDOW_MS)
    log.grant("a1", 1)
    [row] = settlements(settle(log.records))[-1].prices
    assert expected == ("stale" if row.stale else "fresh")


# --- the digest -----------------------------------------------------------------------------------

COMMAND: Final = CommandRow(
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
    purpose="fee",
)
LETTER: Final = DeadLetter(
    seq=5,
    ord=2,
    time_ns=9,
    subject="market.m1",
    error="no such subject",
    payload=b"{",
    payload_bytes=1,
)
PRICE: Final = PriceRow("m1", "gpu", 1, 0, 4, 5, 3, 3, 2, stale=False)
MARKET: Final = MarketRow("m1", "uniform", 1, 2, 1, 1, 0, 0, 0, 1, 11, 30, 20)
NAMES: Final = NewNames(3, [("m1", "a2")], 1, ["cpu"])
ROWS: Final[dict[str, Any]] = {
    "commands": COMMAND,
    "dead_letters": LETTER,
    "prices": PRICE,
    "markets": MARKET,
}
OTHER: Final[dict[str, Any]] = {
    "reason": RejectionReason.DUPLICATE,
    "clearing_micros": None,
    "recipient": None,
    "stale": True,
    "payload": b"[",
}


def settlement(**changes: Any) -> Settlement:
    """A window that has a row of each kind, a unit bid and a bundle, but for what is given."""
    bids = as_columns([unit(5, "a1", "gpu", 3, price=7, least=2), bundle(6, "a1", limit=9, gpu=2)])
    content: dict[str, Any] = {kind: [row] for kind, row in ROWS.items()}
    content |= {"shard": 0, "window_id": 7, "first_seq": 5, "next_seq": 7, "stream_time_ns": 9}
    content |= {"prev_digest": bytes(32), "bids": bids, "new_names": NAMES, "listings": ()}
    content["balances"] = Balances(
        accounts=np.zeros(0, np.int32),
        micros=np.zeros(0, np.int64),
        moved=np.zeros(0, np.bool_),
        wide={},
    )
    return Settlement(**content | changes)


def digest(**changes: Any) -> bytes:
    return digest_of(settlement(**changes))


def names(row: Any) -> list[str]:
    """Its fields, whether it is a struct or a dataclass."""
    if isinstance(row, msgspec.Struct):
        return list(row.__struct_fields__)
    return [field.name for field in dataclasses.fields(row)]


def replaced(row: Any, **changes: Any) -> Any:
    """The row with other values in some fields."""
    change = msgspec.structs.replace if isinstance(row, msgspec.Struct) else dataclasses.replace
    return change(row, **changes)


def changed(row: Any, name: str) -> Any:
    """The row with one field changed."""
    value = getattr(row, name)
    return replaced(row, **{name: OTHER[name] if name in OTHER else _another(value)})


def _another(value: Any) -> Any:
    return value + 1 if isinstance(value, int) else f"{value}x"


NOT_COVERED: Final = {("dead_letters", "error")}
FIELDS: Final = [
    (kind, name)
    for kind, row in ROWS.items()
    for name in names(row)
    if (kind, name) not in NOT_COVERED
]


@pytest.mark.parametrize(("kind", "name"), FIELDS, ids=str)
def test_each_field_of_each_row_changes_the_digest(kind: str, name: str) -> None:
    """A field that the digest does not see could differ in two ledgers that seem to be equal."""
    assert digest() != digest(**{kind: [changed(ROWS[kind], name)]})


COLUMNS: Final = [
    field.name
    for field in dataclasses.fields(as_columns([]))
    if field.name not in {"bundles", "names"}
]


@pytest.mark.parametrize("name", COLUMNS)
@pytest.mark.parametrize("row", [0, 1])
def test_each_column_of_each_bid_changes_the_digest(name: str, row: int) -> None:
    """A column left out is a payment or a sender that nobody could compare."""
    bids = settlement().bids
    column = getattr(bids, name).copy()
    column[row] += 1
    assert digest() != digest(bids=dataclasses.replace(bids, **{name: column}))


CHANGES: Final[dict[str, Callable[[], dict[str, Any]]]] = {
    "what a bundle asks": lambda: {"bids": _bundled({"gpu": 3})},
    "of what a bundle asks": lambda: {"bids": _bundled({"cpu": 2})},
    "a new account": lambda: {"new_names": NAMES._replace(accounts=[("m1", "a3")])},
    "its market": lambda: {"new_names": NAMES._replace(accounts=[("m2", "a2")])},
    "its number": lambda: {"new_names": NAMES._replace(first_account=4)},
    "a new resource": lambda: {"new_names": NAMES._replace(resources=["ram"])},
    "the number of a resource": lambda: {"new_names": NAMES._replace(first_resource=2)},
    "the window": lambda: {"window_id": 8},
    "the windows before": lambda: {"prev_digest": b"\1" * 32},
}


def _bundled(units: dict[str, int]) -> Any:
    return dataclasses.replace(settlement().bids, bundles={1: units})


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_each_part_of_a_window_changes_the_digest(change: Callable[[], dict[str, Any]]) -> None:
    """One value must stand for the whole ledger up to here."""
    assert digest() != digest(**change())


@pytest.mark.parametrize("kind", ROWS)
def test_each_row_changes_the_digest(kind: str) -> None:
    """A row that is missing, or there twice, is another ledger."""
    assert 3 == len({digest(), digest(**{kind: []}), digest(**{kind: [ROWS[kind]] * 2})})


@pytest.mark.parametrize("kind", ROWS)
def test_the_order_of_rows_changes_the_digest(kind: str) -> None:
    """The log has one order, and the digest is over it."""
    pair = [ROWS[kind], changed(ROWS[kind], names(ROWS[kind])[0])]
    assert digest(**{kind: pair}) != digest(**{kind: pair[::-1]})


def test_the_order_of_bids_changes_the_digest() -> None:
    """Rows of a column that change places are other bids."""
    bids = settlement().bids
    assert digest() != digest(bids=bids.taken(np.array([1, 0])))


def test_a_bundle_is_a_set_of_units() -> None:
    """The order of keys in a sender's JSON is no part of what it asked for."""
    one, other = _bundled({"gpu": 1, "cpu": 2}), _bundled({"cpu": 2, "gpu": 1})
    assert digest(bids=one) == digest(bids=other) != digest(bids=_bundled({"gpu": 2, "cpu": 1}))


def test_the_wording_of_an_error_is_not_covered() -> None:
    """A better message must not change the digest of a log."""
    reworded = replaced(LETTER, error="not a subject")
    assert digest() == digest(dead_letters=[reworded])
