"""The open window: who may bid, what a bid holds, and what closing the window leaves behind."""

from dataclasses import replace
from typing import Any, Final

import pytest

from flows.testing import LogWriter, Sent, SettledLog
from state.accounts import NARROW_MAX
from state.names import Names
from state.window import EmptyWindow, Settlement
from tests.operators.steps import plain, settle, settlements
from walras_schemas import AMOUNT_MAX, BidStatus, RejectionReason

WINDOW_MS: Final = 1000
R = RejectionReason


def opened(*, gpu: int = 10, **balances: int) -> LogWriter:
    """A log with one market of one resource, and these agents' credits."""
    log = LogWriter()
    log.open(gpu={"supply": gpu})
    for agent, amount in balances.items():
        log.grant(agent, amount)
    return log


def bid(log: LogWriter, agent: str, quantity: int, price: int, **more: Any) -> Sent:
    return log.bid(agent, resource="gpu", quantity=quantity, unit_price_micros=price, **more)


def reasons(log: LogWriter, *commands: Sent) -> list[str | None]:
    """Why each of these commands was rejected; None where it was not."""
    settled = SettledLog(settle(log.records, window_ms=WINDOW_MS))
    return [settled.outcome(command).reason for command in commands]


def test_what_a_bid_holds_is_promised_once() -> None:
    """Two bids on the same credits would have one of them paid with nothing."""
    log = opened(a1=100)
    whole, more = bid(log, "a1", 10, 9), bid(log, "a1", 1, 11)
    exact, nothing_left = bid(log, "a1", 1, 10), bid(log, "a1", 1, 1)
    expected = [None, R.INSUFFICIENT_BALANCE, None, R.INSUFFICIENT_BALANCE]
    assert expected == reasons(log, whole, more, exact, nothing_left)


def test_a_withdrawn_bid_releases_all_that_it_held() -> None:
    """A hold that outlives its bid freezes credits for nothing."""
    log = opened(a1=100)
    log.withdraw("a1", bid(log, "a1", 10, 10))
    again = bid(log, "a1", 10, 10)
    assert [None] == reasons(log, again)


def test_a_transfer_spends_only_what_is_free() -> None:
    """Credits given away while a bid holds them could not pay for what the bid wins."""
    log = opened(a1=100)
    bid(log, "a1", 6, 10)
    too_much = log.transfer("a1", to="a2", amount_micros=41)
    free = log.transfer("a1", to="a2", amount_micros=40)
    received = bid(log, "a2", 4, 10)
    assert [R.INSUFFICIENT_BALANCE, None, None] == reasons(log, too_much, free, received)


def test_a_hold_outlasts_the_grant_that_no_column_holds() -> None:
    """Who grows rich beyond 2^62 while a bid is open has promised its credits all the same."""
    log = opened(gpu=10_000)
    riches = NARROW_MAX // AMOUNT_MAX
    _grant(log, "a1", riches)
    held = bid(log, "a1", 4_000, AMOUNT_MAX)
    _grant(log, "a1", 100)
    too_much = bid(log, "a1", riches + 100 - 4_000 + 1, AMOUNT_MAX)
    free = bid(log, "a1", riches + 100 - 4_000, AMOUNT_MAX)
    assert [None, R.INSUFFICIENT_BALANCE, None] == reasons(log, held, too_much, free)


def _grant(log: LogWriter, agent: str, times: int) -> None:
    for begin in range(0, times, 1_000):
        grants = [
            log.command("credits_granted", agent_id=agent, amount_micros=AMOUNT_MAX)
            for _ in range(begin, min(begin + 1_000, times))
        ]
        log.append("market.m1.grant", grants)


def test_holds_end_with_the_window() -> None:
    """A loser whose credits stayed held could never bid again."""
    log = opened(gpu=1, a1=100, a2=100)
    bid(log, "a1", 1, 100)
    bid(log, "a2", 1, 90)
    log.wait(WINDOW_MS)
    loser = bid(log, "a2", 1, 100)
    winner = bid(log, "a1", 1, 11)
    assert [None, R.INSUFFICIENT_BALANCE] == reasons(log, loser, winner)


def test_a_bid_lives_in_one_window() -> None:
    """What a bid does not win it loses: it must not win in a later window what it paid for then."""
    log = opened(gpu=1, a1=100)
    placed = bid(log, "a1", 1, 5)
    log.wait(WINDOW_MS)
    late = log.withdraw("a1", placed)
    windows = settlements(settle(log.records, window_ms=WINDOW_MS))
    assert [R.NOT_OPEN] == reasons(log, late)
    assert [1, 0] == [window.prices[0].sold for window in windows]


@pytest.mark.parametrize("bundle", [{"gpu": 11, "cpu": 1}, {"cpu": 2, "gpu": 1}])
def test_each_part_of_a_bundle_must_be_there(bundle: dict[str, int]) -> None:
    """A bundle that can never fit must not hold credits for it."""
    log = LogWriter()
    log.open(gpu={"supply": 10}, cpu={"supply": 1})
    log.grant("a1", 100)
    assert [R.EXCEEDS_SUPPLY] == reasons(log, log.bundle("a1", bundle, limit_micros=5))


@pytest.mark.parametrize(
    ("quantity", "price", "reason"),
    [
        (153_092_023, 60_247_241_209, R.INSUFFICIENT_BALANCE),  # together 2^63 - 1
        (2**33, 2**30, R.AMOUNT_OVERFLOW),
    ],
)
def test_a_hold_fits_into_64_bits_or_not(quantity: int, price: int, reason: R) -> None:
    """A hold that wraps around would be negative, and worth having."""
    log = opened(gpu=10**12, a1=100)
    assert [reason] == reasons(log, bid(log, "a1", quantity, price))


@pytest.mark.parametrize("who", ["a2", "unknown"])
def test_nobody_withdraws_another_s_bid(who: str) -> None:
    """An agent that could withdraw its rivals' bids would have the supply for itself."""
    log = opened(a1=100, a2=100)
    placed = bid(log, "a1", 1, 5)
    theft = log.withdraw(who, placed)
    own = log.withdraw("a1", replace(placed, event_id=placed.event_id.upper()))
    twice = log.withdraw("a1", placed)
    assert [R.NOT_OPEN, None, R.NOT_OPEN] == reasons(log, theft, own, twice)


def test_an_id_belongs_to_its_sender_and_market() -> None:
    """If one sender's id used up another's, rivals could silence each other."""
    log = opened(a1=100, a2=100)
    log.open(market="m2", gpu={"supply": 1})
    log.grant("a1", 100, market="m2")
    shared = log.fresh_id()
    first, other = bid(log, "a1", 1, 5, event_id=shared), bid(log, "a2", 1, 5, event_id=shared)
    elsewhere = bid(log, "a1", 1, 5, event_id=shared, market="m2")
    again = log.withdraw("a1", first, event_id=shared)
    in_capitals = bid(log, "a1", 1, 5, event_id=shared.upper())
    assert [None] * 3 == reasons(log, first, other, elsewhere)
    assert [R.DUPLICATE] * 2 == reasons(log, again, in_capitals)


def test_a_refused_bid_uses_up_its_id() -> None:
    """Otherwise a refused command sent twice could come true the second time."""
    log = opened(a1=10)
    refused = bid(log, "a1", 1, 11)
    log.grant("a1", 100)
    again = bid(log, "a1", 1, 11, event_id=refused.event_id)
    assert [R.INSUFFICIENT_BALANCE, R.DUPLICATE] == reasons(log, refused, again)


@pytest.mark.parametrize(
    ("age_ms", "reason"),
    [
        (60_000, None),
        (60_001, R.STALE_EVENT_ID),
        (-5_000, None),
        (-5_001, R.FUTURE_EVENT_ID),
    ],
)
def test_an_id_is_in_time_to_the_millisecond(age_ms: int, reason: R | None) -> None:
    """The horizon is what allows ids to be forgotten: a window beside it lets one come twice."""
    log = opened(a1=100)
    placed = bid(log, "a1", 1, 5, event_id=log.fresh_id(age_ms=age_ms))
    assert [reason] == reasons(log, placed)


@pytest.mark.parametrize("offset_ms", range(0, 10_000, 1_111))
def test_an_id_is_remembered_as_long_as_it_is_in_time(offset_ms: int) -> None:
    """An id forgotten a moment too early buys twice."""
    log = opened(a1=100)
    log.wait(offset_ms)
    reused = log.fresh_id()
    bid(log, "a1", 1, 5, event_id=reused)
    log.wait(60_000)
    bid(log, "a2", 1, 5)
    on_time = bid(log, "a1", 1, 5, event_id=reused)
    log.wait(1)
    late = bid(log, "a1", 1, 5, event_id=reused)
    assert [R.DUPLICATE, R.STALE_EVENT_ID] == reasons(log, on_time, late)


def test_an_id_that_came_too_early_is_not_used_up() -> None:
    """An agent whose clock was ahead sends the same command again, and means it."""
    log = opened(a1=100)
    log.wait(WINDOW_MS)
    ahead = log.fresh_id(age_ms=-6_000)
    early = bid(log, "a1", 1, 5, event_id=ahead)
    log.wait(6_000)
    again = bid(log, "a1", 1, 5, event_id=ahead)
    assert [R.FUTURE_EVENT_ID, None] == reasons(log, early, again)


def test_a_market_begins_with_its_opening() -> None:
    """A bid sent before the opening, even in the same batch of messages, came too early."""
    log = LogWriter()
    early = bid(log, "a1", 1, 5)
    log.open(gpu={"supply": 1})
    log.grant("a1", 100)
    in_time = bid(log, "a1", 1, 5)
    assert [R.UNKNOWN_MARKET, None] == reasons(log, early, in_time)


def test_a_window_of_ticks_leaves_no_row() -> None:
    """An idle market must not fill the ledger, and yet the position must move on."""
    log = opened(a1=100)
    for _ in range(3):
        log.wait(WINDOW_MS)
        log.tick()
    closed = settle(log.records, window_ms=WINDOW_MS)
    assert [Settlement, EmptyWindow, EmptyWindow, EmptyWindow] == [type(w) for w in closed]
    assert [3, 4, 5, 6] == [window.next_seq for window in closed]
    assert [1, 3, 4, 5] == [window.first_seq for window in closed]


def test_windows_follow_each_other_without_a_gap() -> None:
    """A message between two windows would be in no transaction."""
    log = opened(gpu=1, a1=100)
    for wait_ms in (0, WINDOW_MS, 5 * WINDOW_MS, 1):
        log.wait(wait_ms)
        bid(log, "a1", 1, 5)
    closed = settle(log.records, window_ms=WINDOW_MS)
    assert [1, *(window.next_seq for window in closed)][:-1] == [w.first_seq for w in closed]
    chain = [bytes(32), *(window.digest for window in settlements(closed))]
    assert chain[:-1] == [window.prev_digest for window in settlements(closed)]


def test_a_window_holds_the_balances_that_may_have_changed() -> None:
    """A balance that is left out is lost at the next restart; one more row is only a cost."""
    log = opened(gpu=2, a1=100, a2=100, a3=100)
    log.wait(WINDOW_MS)
    bid(log, "a1", 1, 60)
    bid(log, "a2", 1, 200)
    bid(log, "unknown", 1, 1)
    bid(log, "a1", 2, 19)
    log.transfer("a1", to="a4", amount_micros=1)
    first, second = plain(settlements(settle(log.records, window_ms=WINDOW_MS)))
    assert {("m1", name) for name in ("a1", "a2", "a3", "treasury")} == first["balances"].keys()
    assert {
        ("m1", "a1"): 100 - 38 - 1,
        ("m1", "a2"): 100,
        ("m1", "a4"): 1,
        ("m1", "house"): 38,
    } == second["balances"]
    assert {("m1", name) for name in ("a1", "a4", "house")} == set(second["moved"])


def test_the_status_says_what_became_of_each_bid() -> None:
    """The status is what an agent acts on: a part reported as the whole is a broken promise."""
    log = opened(gpu=5, a1=1000)
    for quantity, price in ((2, 9), (4, 8), (1, 7)):
        bid(log, "a1", quantity, price)
    log.withdraw("a1", bid(log, "a1", 1, 9))
    bid(log, "a1", 6, 1)
    [window] = settlements(settle(log.records, window_ms=WINDOW_MS))
    assert [
        (BidStatus.WON, 2),
        (BidStatus.PARTIALLY_WON, 3),
        (BidStatus.LOST, 0),
        (BidStatus.WITHDRAWN, 0),
        (BidStatus.REJECTED, 0),
    ] == [(row.status, row.won) for row in window.bids]


def test_a_later_slice_of_a_window_does_not_begin_it_again() -> None:
    """The window's first message and rows are those of its first slice, not of its last."""
    log = opened(gpu=5, a1=100)
    bid(log, "a1", 1, 5)
    log.tick()
    [whole] = settle(log.records, window_ms=WINDOW_MS)
    [halved] = settle(log.records, window_ms=WINDOW_MS, sizes=[1] * 9)
    assert plain([whole]) == plain([halved])
    assert (1, 5) == (halved.first_seq, halved.next_seq)


def test_a_clock_that_is_set_back_changes_nothing() -> None:
    """The time of a row is the stream's, which never goes back."""
    log = opened(a1=100)
    log.wait(-500)
    placed = bid(log, "a1", 1, 5, event_id=log.fresh_id(age_ms=-500))
    [window] = settlements(settle(log.records, window_ms=WINDOW_MS))
    [row] = window.bids
    assert (placed.seq, log.records[0].timestamp_ns) == (row.seq, row.time_ns)
    assert log.records[-1].timestamp_ns < row.time_ns


def test_a_market_s_own_accounts_are_numbered_with_its_first() -> None:
    """Numbers are part of the ledger, so when a name gets its own must not depend on payments."""
    names = Names()
    numbers = [names.account(market, "a1") for market in ("m1", "m2", "m1")]
    owners = ("treasury", "house", "a1")
    assert ([2, 5, 2], [(market, owner) for market in ("m1", "m2") for owner in owners]) == (
        numbers,
        names.accounts,
    )
