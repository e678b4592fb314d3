"""The page on the ledger says how to compute a window's digest from its rows: it must be right.

It reads every value that a digest covers, so these tests also show that what was written is there.
"""

from dataclasses import replace
from operator import attrgetter
from typing import Final

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs
from psycopg import Connection

from operators.digest import digest_of
from state.bids import Bid
from state.window import CommandRow, DeadLetter, MarketRow, PriceRow, Settlement
from tests.connectors.postgres.asking import empty_the_ledger
from tests.connectors.postgres.digest_page import window_digest
from tests.connectors.postgres.settled import commit_all, settled
from tests.connectors.postgres.windows import (
    balances,
    bundle_won,
    busy_window,
    dead_letter,
    event_id,
    grant,
    listing,
    transfer,
    window,
    won,
)
from tests.operators.steps import settlements
from walras_schemas import INT64_MAX, BidStatus, RejectionReason

ODD_TEXT: Final = '\x01\x1f\x7f\u2028\U0001f4b6"\\/\n\tü'


def with_digest(closed: Settlement) -> Settlement:
    return replace(closed, digest=digest_of(closed))


@pytest.mark.parametrize("seed", range(4))
def test_the_page_computes_the_digests_of_real_windows(conn: Connection, seed: int) -> None:
    """Whoever checks our digests by the page must not find a ledger that differs."""
    windows = settled(seed)
    commit_all(conn, windows)
    closed = settlements(windows)
    expected = [each.digest.hex() for each in closed]
    assert expected == [window_digest(conn, 0, each.window_id) for each in closed]


def test_the_page_computes_the_digest_of_odd_rows(conn: Connection) -> None:
    """Texts that JSON escapes and numbers at their limits are seldom in a random log."""
    closed = with_digest(
        window(
            bids=[
                won(1, "a1", INT64_MAX, INT64_MAX, time_ns=INT64_MAX // 2),
                bundle_won(2, "a2", {"z": 10**12, "a": 1, "gpu": 2}, 9),
            ],
            commands=[
                structs.replace(grant(3, "a1", INT64_MAX), purpose=ODD_TEXT),
                structs.replace(transfer(4, "a1", "a3", 1), purpose=""),
            ],
            dead_letters=[dead_letter(5, ODD_TEXT, b"\0\xff"), dead_letter(6, "", b"")],
            balances=balances(a1=INT64_MAX),
            listings=[listing()],
        )
    )
    empty = with_digest(window(after=closed))
    commit_all(conn, [closed, empty])
    assert [closed.digest.hex(), empty.digest.hex()] == [
        window_digest(conn, 0, each.window_id) for each in (closed, empty)
    ]


def test_the_page_notices_a_changed_row(conn: Connection) -> None:
    """A digest that is copied and not computed would agree with anything."""
    first = with_digest(busy_window())
    commit_all(conn, [first])
    assert first.digest.hex() == window_digest(conn, 0, first.window_id)
    conn.execute("UPDATE ledger.bid SET paid_micros = paid_micros + 1 WHERE seq = 4")
    assert first.digest.hex() != window_digest(conn, 0, first.window_id)


names = st.from_regex("[a-z0-9][a-z0-9_-]{0,63}", fullmatch=True)
amounts = st.integers(0, INT64_MAX)
totals = st.integers(0, 10**38 - 1)
times = st.integers(0, 2**62)
reasons = st.none() | st.sampled_from(RejectionReason)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
quantities = st.integers(1, 10**12)


@st.composite
def bids(draw: st.DrawFn, seq: int) -> Bid:
    bundles = st.dictionaries(names, quantities, min_size=1)
    bid = draw(
        st.builds(won, st.just(seq), names, quantities, amounts, time_ns=times)
        | st.builds(bundle_won, st.just(seq), names, bundles, amounts)
    )
    bid.ord = draw(st.integers(0, 999))
    bid.event_id = event_id(draw(st.integers(0, 2**48 - 1)))
    bid.min_quantity, bid.unit_price_micros = draw(quantities), draw(amounts)
    bid.status, bid.reason = draw(st.sampled_from(BidStatus)), draw(reasons)
    bid.won, bid.paid_micros = draw(amounts), draw(amounts)
    bid.lost_value_micros = draw(st.none() | amounts)
    return bid


def commands(seq: int) -> st.SearchStrategy[CommandRow]:
    return st.builds(
        CommandRow,
        seq=st.just(seq),
        ord=st.integers(0, 999),
        time_ns=times,
        market=names,
        sender=names,
        event_id=st.integers(0, 2**48 - 1).map(event_id),
        type=names,
        reason=reasons,
        amount_micros=st.none() | amounts,
        recipient=st.none() | names,
        purpose=st.none() | texts,
    )


def dead_letters(seq: int) -> st.SearchStrategy[DeadLetter]:
    return st.builds(
        DeadLetter,
        seq=st.just(seq),
        ord=st.integers(0, 999),
        time_ns=times,
        subject=texts,
        error=texts,
        payload=st.binary(),
        payload_bytes=st.integers(0, 2**31 - 1),
    )


by_resource = attrgetter("resource")


def in_their_order(rows: list[PriceRow]) -> list[PriceRow]:
    return sorted(rows, key=by_resource)


prices = st.builds(
    PriceRow,
    market=st.just("m1"),
    resource=names,
    reference_micros=amounts,
    reserve_micros=amounts,
    clearing_micros=st.none() | amounts,
    supply=st.just(INT64_MAX),
    demanded=amounts,
    wanted=amounts,
    sold=amounts,
    stale=st.booleans(),
)
counts = (
    "agents",
    "bids",
    "won",
    "partially_won",
    "lost",
    "withdrawn",
    "rejected",
    "commands",
)
markets = st.builds(
    MarketRow,
    market=names,
    rule=names,
    **dict.fromkeys(counts, amounts),
    paid_micros=totals,
    offered_micros=totals,
    served_micros=totals,
)


@given(
    st.builds(
        window,
        bids=st.tuples(*map(bids, range(1, 5))).map(list),
        commands=st.tuples(*map(commands, range(5, 9))).map(list),
        dead_letters=st.tuples(*map(dead_letters, range(9, 11))).map(list),
        prices=st.lists(prices, unique_by=by_resource, max_size=3).map(in_their_order),
        markets=st.lists(markets, max_size=1),
        listings=st.just((listing(),)),
    )
)
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_any_row_is_read_back(conn: Connection, closed: Settlement) -> None:
    """Every value that a field may hold must survive the way there and back."""
    empty_the_ledger(conn)
    whole = with_digest(closed)
    commit_all(conn, [whole])
    assert whole.digest.hex() == window_digest(conn, 0, whole.window_id)
