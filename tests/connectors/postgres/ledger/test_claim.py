"""A claim gives the right to write and the state to resume from, or says why not."""

from dataclasses import replace

import pytest
from msgspec import structs
from psycopg import Connection

from connectors.postgres.ledger.transaction import claim, commit_window
from state.accounts import ShardAccounts
from state.bids import event_id_bytes
from state.dedupe import agent_key, operator_key
from state.errors import LogReplaced, SettingsError, ShardReplaced
from state.market import ListedResource, Quote
from state.shard import Position, ShardState, StreamIdentity, Token
from state.window import EmptyWindow, Settlement
from tests.connectors.postgres.asking import value
from tests.connectors.postgres.windows import (
    LOG,
    NS_PER_MS,
    START_WINDOW,
    WINDOW_MS,
    balances,
    busy_window,
    claim_log,
    event_id,
    grant,
    listing,
    lost,
    transfer,
    window,
    won,
)
from walras_schemas import TREASURY, BidStatus, RejectionReason


def commit_all(conn: Connection, *windows: Settlement) -> None:
    token = claim_log(conn).token
    for closed in windows:
        commit_window(conn, closed, token=token)


def owned(accounts: ShardAccounts) -> dict[tuple[str, str], int]:
    """The balance of each account that ever moved credits."""
    return {
        owner: accounts.balance_of(number)
        for number, owner in enumerate(accounts.names.accounts)
        if accounts.known[number]
    }


def checked(state: ShardState, sender: str, event: str, *, time_ns: int) -> RejectionReason | None:
    """What a command with an id that may be known gets."""
    dedupe, event_id = state.accounts.dedupe, event_id_bytes(event)
    key = agent_key(state.accounts.names.account_numbers["m1", sender], event_id)
    if sender == TREASURY:
        dedupe, key = state.listings.dedupe, operator_key("m1", event_id)
    return dedupe.check(key, time_ns=time_ns)


def test_a_new_shard_starts_at_the_beginning(conn: Connection) -> None:
    """The first claim of a shard has nothing to read and must not fail on it."""
    state = claim_log(conn, shard=3)
    assert (3, Token(1), Position(next_seq=1, stream_time_ns=0)) == (
        state.shard,
        state.token,
        state.position,
    )
    assert ({}, [], bytes(32)) == (
        state.listings.by_market,
        state.accounts.names.accounts,
        state.accounts.digest,
    )


def test_each_claim_has_a_token_of_its_own(conn: Connection) -> None:
    """Two claims with one token could both write."""
    assert [1, 2, 3] == [claim_log(conn).token for _ in range(3)]


def test_a_claim_after_our_own_takes_the_shard_from_nobody(conn: Connection) -> None:
    """A worker that claims anew after an outage would replace the one that replaced it."""
    ours = claim_log(conn).token
    again = claim(conn, 0, identity=LOG, window_ms=WINDOW_MS, after=ours).token
    assert ours + 1 == again
    successor = claim_log(conn).token
    with pytest.raises(ShardReplaced):
        claim(conn, 0, identity=LOG, window_ms=WINDOW_MS, after=again)
    assert successor + 1 == claim_log(conn).token


def test_state_comes_back(conn: Connection) -> None:
    """Whatever is lost in a restart changes every window after it."""
    first = busy_window()
    commit_all(conn, first)
    state = claim_log(conn)
    assert Position(first.next_seq, first.stream_time_ns) == state.position
    assert {"m1": listing()} == state.listings.by_market
    assert balances(a1=70, a2=50, house=30, treasury=-150) == owned(state.accounts)
    assert first.bids.names == state.accounts.names
    assert first.digest == state.accounts.digest


def test_the_latest_listing_comes_back(conn: Connection) -> None:
    """A resource that a reopening dropped must not be for sale again after a restart."""
    first = busy_window()
    reopened = replace(
        listing(),
        opened_seq=15,
        is_open=False,
        rule="vickrey",
        stale_after_windows=2**63 - 1,
        max_commands=10**6,
        resources={"mem": ListedResource(0, 1, 0, 10**9, 10**6)},
        quotes={**listing().quotes, "gpu": Quote(12, START_WINDOW + 1)},
    )
    commit_all(conn, first, window(after=first, listings=[reopened]))
    assert {"m1": reopened} == claim_log(conn).listings.by_market


def test_listings_of_several_markets(conn: Connection) -> None:
    """Resources and quotes of one market must not end up in another."""
    bare = replace(listing("m2", opened_at=(7, 999)), quotes={}, lag_windows=10, meters=64)
    commit_all(conn, window(listings=[listing(), bare]))
    assert {"m1": listing(), "m2": bare} == claim_log(conn).listings.by_market


@pytest.mark.parametrize("huge", [10**24, 2**62 + 1, 2**62, 2**62 - 1])
def test_balances_beyond_int64(conn: Connection, huge: int) -> None:
    """Ten thousand of the largest grants leave int64; the sum of a market must still be zero."""
    first = window(
        commands=[grant(1, "a1", 10**15)],
        balances=balances(a1=huge, treasury=-huge),
        listings=[listing()],
    )
    commit_all(conn, first)
    accounts = claim_log(conn).accounts
    assert balances(a1=huge, treasury=-huge) == owned(accounts)
    assert (2 if huge > 2**62 else 0) == len(accounts.wide)
    assert 0 == value(conn, "SELECT sum(balance_micros) FROM walras.accounts")


def test_a_balance_comes_back_into_int64(conn: Connection) -> None:
    """The wide balance of yesterday must not stand in the way of the narrow one of today."""
    first = window(
        commands=[grant(1, "a1", 10**15)],
        balances=balances(a1=2**70, a2=3, treasury=-(2**70) - 3),
        listings=[listing()],
    )
    second = window(
        after=first,
        commands=[transfer(11, "a1", "a2", 10**15)],
        balances=balances(a1=5, a2=2**70),
    )
    commit_all(conn, first, second)
    assert balances(a1=5, a2=2**70, treasury=-(2**70) - 3) == owned(claim_log(conn).accounts)


def test_names_keep_their_numbers(conn: Connection) -> None:
    """With other numbers the bids of one agent would be those of another."""
    first = window(bids=[lost(1, "zoe"), lost(2, "amy")])
    bid = lost(11, "bob")
    bid.market, bid.resource = "m0", "cpu"
    second = window(after=first, bids=[bid, lost(12, "amy")])
    commit_all(conn, first, second)
    names = claim_log(conn).accounts.names
    assert second.bids.names == names
    assert ["treasury", "house", "zoe", "amy", "treasury", "house", "bob"] == [
        owner for _, owner in names.accounts
    ]
    assert ["gpu", "cpu"] == names.resources


def test_the_state_of_other_shards_stays_out(conn: Connection) -> None:
    """All shards share the tables: a neighbour's accounts and ids would change its outcomes."""
    commit_all(conn, busy_window())
    other = claim(conn, 1, identity=LOG, window_ms=WINDOW_MS)
    neighbour = window(
        commands=[grant(5, "a1", 9, market="m2")],
        balances=balances("m2", a1=9, treasury=-9),
        listings=[listing("m2")],
    )
    commit_window(conn, replace(neighbour, shard=1), token=other.token)
    zero, one = claim_log(conn), claim_log(conn, shard=1)
    assert [{"m1"}, {"m2"}] == [set(state.listings.by_market) for state in (zero, one)]
    assert [["m1"], ["m2"]] == [state.accounts.names.markets for state in (zero, one)]
    assert balances("m2", a1=9, treasury=-9) == owned(one.accounts)
    now_ns = neighbour.stream_time_ns
    key = operator_key("m2", event_id_bytes(event_id(5)))
    assert [None, RejectionReason.DUPLICATE] == [
        state.listings.dedupe.check(key, time_ns=now_ns) for state in (zero, one)
    ]


def test_another_stream_is_refused(conn: Connection) -> None:
    """A stream that was made again counts from 1: its messages would be taken for applied ones."""
    claim_log(conn)
    for identity in (replace(LOG, created_ns=LOG.created_ns + 1), replace(LOG, name="OTHER")):
        with pytest.raises(LogReplaced, match="shard 0 follows stream 'WALRAS_0'"):
            claim(conn, 0, identity=identity, window_ms=WINDOW_MS)


def test_another_window_length_is_refused(conn: Connection) -> None:
    """Windows of another length have other ids: the ledger would mix the two."""
    claim_log(conn)
    with pytest.raises(SettingsError, match=r"windows of 1000 ms.*WALRAS_WINDOW_MS=1000"):
        claim(conn, 0, identity=LOG, window_ms=500)


def test_a_refused_claim_replaces_nobody(conn: Connection) -> None:
    """A process started with a wrong setting must not stop the one that works."""
    token = claim_log(conn).token
    with pytest.raises(SettingsError):
        claim(conn, 0, identity=LOG, window_ms=500)
    with pytest.raises(LogReplaced):
        claim(conn, 0, identity=StreamIdentity("OTHER", 1), window_ms=WINDOW_MS)
    assert commit_window(conn, busy_window(), token=token) is True


def test_ids_are_still_known_after_a_restart(conn: Connection) -> None:
    """A bid that is sent again after a restart would be placed twice."""
    first = busy_window()
    commit_all(conn, first)
    state = claim_log(conn)
    time_ns = first.stream_time_ns
    duplicate = RejectionReason.DUPLICATE
    assert duplicate == checked(state, "a1", event_id(4), time_ns=time_ns)
    assert duplicate == checked(state, "treasury", event_id(2), time_ns=time_ns)
    assert None is checked(state, "a1", event_id(2), time_ns=time_ns)
    assert None is checked(state, "a2", event_id(4), time_ns=time_ns)


@pytest.mark.parametrize("reason", list(RejectionReason)[1:])
def test_ids_of_refused_bids(conn: Connection, reason: RejectionReason) -> None:
    """An id counts as used from rule 6 on, and only from there (SEMANTICS §4)."""
    bid = lost(1, "a1")
    bid.status, bid.reason = BidStatus.REJECTED, reason
    order = structs.replace(grant(2, "a1", 5), reason=reason)
    sent = structs.replace(transfer(3, "a1", "a2", 5), reason=reason)
    commit_all(conn, window(bids=[bid], commands=[order, sent]))
    state = claim_log(conn)
    time_ns = START_WINDOW * WINDOW_MS * NS_PER_MS
    known = list(RejectionReason).index(reason) >= list(RejectionReason).index(
        RejectionReason.DUPLICATE
    )
    expected = RejectionReason.DUPLICATE if known else None
    assert expected == checked(state, "a1", event_id(1), time_ns=time_ns)
    assert expected == checked(state, "treasury", event_id(2), time_ns=time_ns)
    assert expected == checked(state, "a1", event_id(3), time_ns=time_ns)


def test_ids_are_known_for_as_long_as_they_could_come_back(conn: Connection) -> None:
    """An id may be 5 s ahead of its message, and is stale only 60 s after its own time."""
    first_ms = START_WINDOW * WINDOW_MS
    ahead = event_id(1, at_ms=first_ms + 5_000)
    bid = won(1, "a1", 1, 1, time_ns=first_ms * NS_PER_MS)
    bid.event_id = ahead
    last_moment_ns = (first_ms + 65_000) * NS_PER_MS
    first = window(bids=[bid])
    later = replace(window(after=first), window_id=START_WINDOW + 65, stream_time_ns=last_moment_ns)
    commit_all(conn, first, later)
    seen = claim_log(conn)
    assert RejectionReason.DUPLICATE == checked(seen, "a1", ahead, time_ns=last_moment_ns)


@pytest.mark.parametrize("window_ms", [1_000, 100_000])
def test_older_ids_are_left_where_they_are(conn: Connection, window_ms: int) -> None:
    """A restart that read all ids of a year, or of one long window, would need all memory."""
    token = claim(conn, 0, identity=LOG, window_ms=window_ms).token
    then_ns = START_WINDOW * WINDOW_MS * NS_PER_MS
    first = replace(
        busy_window(), window_id=then_ns // (window_ms * NS_PER_MS), stream_time_ns=then_ns
    )
    later_ns = then_ns + 66_000 * NS_PER_MS
    later = EmptyWindow(0, first.window_id + 70, first.next_seq, first.next_seq + 1, later_ns)
    for closed in (first, later):
        commit_window(conn, closed, token=token)
    seen = claim(conn, 0, identity=LOG, window_ms=window_ms)
    assert None is checked(seen, "a1", event_id(4), time_ns=then_ns)
