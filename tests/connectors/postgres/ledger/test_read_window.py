"""What was committed is read back as it was: what a restart publishes is what was settled."""

from dataclasses import replace
from operator import attrgetter

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from msgspec import structs
from psycopg import Connection

from connectors.postgres.ledger.transaction import claim, commit_window, read_settlement
from state.accounts import Bid
from state.window import CommandRow, DeadLetter, PriceRow, Settlement
from tests.connectors.postgres.asking import empty_the_ledger
from tests.connectors.postgres.windows import (
    LOG,
    WINDOW_MS,
    balances,
    bundle_won,
    busy_window,
    claim_log,
    dead_letter,
    event_id,
    grant,
    listing,
    lost,
    price,
    transfer,
    window,
    won,
)
from walras_schemas import INT64_MAX, BidStatus, RejectionReason


def read_back(conn: Connection, *windows: Settlement) -> list[Settlement]:
    """What the ledger gives back of windows that were all committed before."""
    token = claim_log(conn).token
    for closed in windows:
        commit_window(conn, closed, token=token)
    return [read_settlement(conn, 0, closed.window_id) for closed in windows]


def test_everything_comes_back(conn: Connection) -> None:
    """A field that is lost here is missing in the results published after a crash."""
    first = busy_window()
    assert [replace(first, listings=())] == read_back(conn, first)


def test_an_empty_window_comes_back(conn: Connection) -> None:
    """A window of refused commands alone has a row and little else."""
    assert [window()] == read_back(conn, window())


def test_rows_come_back_in_their_order(conn: Connection) -> None:
    """They are stored by agent: published in that order, an agent's outcomes would be mixed up."""
    bids = [lost(2, "zoe"), lost(3, "amy"), structs.replace(lost(3, "zoe"), ord=1), lost(4, "amy")]
    closed = window(
        bids=bids, commands=[grant(7, "zoe", 1), structs.replace(grant(7, "amy", 1), ord=999)]
    )
    (read,) = read_back(conn, closed)
    assert (closed.bids, closed.commands) == (read.bids, read.commands)


def test_balances_come_back_as_they_were_after_the_window(conn: Connection) -> None:
    """With the current balance, a window of yesterday would show a state that never was."""
    first = busy_window()
    second = window(
        after=first,
        commands=[transfer(12, "a1", "a2", 20), grant(13, "a3", 5)],
        bids=[won(14, "a2", 1, 70), lost(15, "a1")],
        balances=balances(a1=50, a2=0, a3=5, house=100, treasury=-155),
    )
    third = window(
        after=second,
        commands=[grant(22, "a2", 10**15)],
        balances=balances(a2=10**15, treasury=-155 - 10**15),
    )
    read = read_back(conn, first, second, third)
    assert [each.balances for each in (first, second, third)] == [each.balances for each in read]


def test_accounts_that_only_bid_have_a_balance(conn: Connection) -> None:
    """A bidder that lost gets a balance too, even zero; an agent without an account gets none."""
    first = window(
        commands=[grant(1, "rich", 5), grant(2, "poor", 9)],
        bids=[won(3, "poor", 1, 9), lost(4, "later")],
        balances=balances(house=9, poor=0, rich=5, treasury=-14),
        listings=[listing()],
    )
    second = window(
        after=first,
        bids=[lost(11, "rich"), lost(12, "poor"), lost(13, "later")],
        balances=balances(poor=0, rich=5),
    )
    third = window(
        after=second,
        commands=[grant(21, "later", 3)],
        balances=balances(later=3, treasury=-17),
    )
    read = read_back(conn, first, second, third)
    assert [each.balances for each in (first, second, third)] == [each.balances for each in read]


def test_other_shards_stay_out(conn: Connection) -> None:
    """Sequences of two shards overlap: a window must not read its neighbour's rows."""
    other = claim(conn, 1, identity=LOG, window_ms=WINDOW_MS)
    neighbour = window(
        commands=[grant(2, "a1", 7, market="m2")],
        bids=[structs.replace(lost(3, "a1"), market="m2")],
        prices=[replace(price(), market="m2")],
        balances=balances("m2", a1=7, treasury=-7),
        listings=[listing("m2")],
        dead_letters=[dead_letter(4, "x", b"")],
    )
    commit_window(conn, replace(neighbour, shard=1), token=other.token)
    first = busy_window()
    assert [replace(first, listings=())] == read_back(conn, first)
    read = read_settlement(conn, 1, first.window_id)
    assert replace(neighbour, shard=1, listings=()) == read


names = st.from_regex("[a-z0-9][a-z0-9_-]{0,63}", fullmatch=True)
amounts = st.integers(0, INT64_MAX)
times = st.integers(0, 2**62)
reasons = st.none() | st.sampled_from(RejectionReason)
texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"))
quantities = st.integers(1, 10**12)


@st.composite
def bids(draw: st.DrawFn, seq: int) -> Bid:
    bid = draw(
        st.builds(won, st.just(seq), names, quantities, amounts, time_ns=times)
        | st.builds(
            bundle_won, st.just(seq), names, st.dictionaries(names, quantities, min_size=1), amounts
        )
    )
    bid.ord = draw(st.integers(0, 999))
    bid.event_id = event_id(draw(st.integers(0, 2**48 - 1)))
    bid.min_quantity, bid.unit_price_micros = draw(quantities), draw(amounts)
    bid.status, bid.reason = draw(st.sampled_from(BidStatus)), draw(reasons)
    bid.won, bid.paid_micros = draw(amounts), draw(amounts)
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
    )


by_resource = attrgetter("resource")


def in_their_order(rows: list[PriceRow]) -> list[PriceRow]:
    return sorted(rows, key=by_resource)


prices = st.builds(
    PriceRow,
    market=st.just("m1"),
    resource=names,
    reference_micros=amounts,
    clearing_micros=st.none() | amounts,
    supply=st.just(INT64_MAX),
    demanded=amounts,
    sold=amounts,
    stale=st.booleans(),
)


@given(
    st.builds(
        window,
        bids=st.tuples(*map(bids, range(1, 5))).map(list),
        commands=st.tuples(*map(commands, range(5, 9))).map(list),
        dead_letters=st.tuples(*map(dead_letters, range(9, 11))).map(list),
        prices=st.lists(prices, unique_by=by_resource, max_size=3).map(in_their_order),
        listings=st.just((listing(),)),
    )
)
@settings(
    max_examples=40,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_any_row_comes_back(conn: Connection, closed: Settlement) -> None:
    """Every value that a field may hold must survive the way there and back."""
    empty_the_ledger(conn)
    assert [replace(closed, listings=())] == read_back(conn, closed)
