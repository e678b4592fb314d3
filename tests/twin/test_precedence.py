"""The twin's reading of SEMANTICS §4: ids, and the order in which the rules are asked."""

from __future__ import annotations

import json

import pytest

from tests.twin.scribe import (
    FIRST_WINDOW,
    NS_PER_MS,
    Scribe,
    at,
    of_window,
    opened,
    reason_of,
    uuid7,
)

# --- ids ------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("age_ms", "extra_ns", "expected"),
    [
        (60_000, 0, None),
        (60_000, 1, "stale_event_id"),
        (-5_000, 0, None),
        (-5_001, 999_999, "future_event_id"),
        (-5_001, NS_PER_MS, None),
    ],
)
def test_the_age_of_an_id_is_compared_in_nanoseconds(
    age_ms: int, extra_ns: int, expected: str | None
) -> None:
    """Cut to milliseconds, an id that is 60.000000001 s old would pass."""
    scribe = opened()
    born_ms = FIRST_WINDOW * 1_000 + 100_000 - age_ms
    scribe.window(100, after_ns=extra_ns)
    bid = scribe.unit(1, 5) | {"event_id": uuid7(born_ms=born_ms, number=1)}
    seq = scribe.send("market.m1.bid.a1", bid)
    assert expected == reason_of(scribe.rows(), seq)


def test_an_id_belongs_to_its_market_and_sender() -> None:
    """Whoever sees another's id could otherwise take it away from him."""
    scribe = opened()
    scribe.open({"gpu": 10}, market="m2")
    scribe.grant("a1", 100, market="m2")
    bid = scribe.unit(1, 5)
    upper = bid | {"event_id": bid["event_id"].upper()}
    granted = {"type": "credits_granted", "event_id": bid["event_id"], "agent_id": "a1"}
    sent = [
        scribe.send("market.m1.bid.a1", bid),
        scribe.send("market.m1.bid.a2", bid),
        scribe.send("market.m2.bid.a1", bid),
        scribe.send("market.m1.grant", granted | {"amount_micros": 1}),
        scribe.send("market.m1.bid.a1", upper),
    ]
    rows = scribe.rows()
    assert [None, None, None, None, "duplicate"] == [reason_of(rows, seq) for seq in sent]


def test_the_treasury_is_one_sender_on_all_its_subjects() -> None:
    """A quote, a grant and an opening share the sender and so its ids."""
    scribe = opened()
    quote = scribe.event("price_quoted", price_micros=3)
    scribe.send("market.m1.price.gpu", quote)
    change = {"type": "supply_changed", "event_id": quote["event_id"], "resource": "gpu"}
    seq = scribe.send("market.m1.market", change | {"supply": 3})
    assert "duplicate" == reason_of(scribe.rows(), seq)


def test_an_id_is_used_only_by_what_got_past_the_rule_of_its_age() -> None:
    """An id refused for the quota or a closed market can be sent again in a later window."""
    scribe = opened(max_commands=1)
    scribe.bid("a1", 1, 5)
    bid = scribe.unit(1, 5)
    over = scribe.send("market.m1.bid.a1", bid)
    scribe.close()
    scribe.window(1)
    closed = scribe.send("market.m1.bid.a1", bid)
    scribe.open({"gpu": 10})
    scribe.window(2)
    fresh = scribe.send("market.m1.bid.a1", bid)
    rows = scribe.rows()
    expected = ["over_quota", "market_closed", None]
    assert expected == [reason_of(rows, seq) for seq in (over, closed, fresh)]


# --- order of the rules ---------------------------------------------------------------------------


def test_earlier_rules_come_first() -> None:
    """The first rule that fails gives the reason; swapped, agents would chase another mistake."""
    scribe = opened(max_commands=1, rule="vickrey")
    stale = scribe.unit(99, 5) | {"event_id": uuid7(born_ms=0, number=1)}
    sent = scribe.send("market.m1.bid.a3", stale, stale)
    scribe.close()
    scribe.window(1)
    closed = scribe.send("market.m1.bid.a3", stale, stale)
    scribe.open({"gpu": 10}, rule="vickrey")
    scribe.window(2)
    unknown = scribe.bid("a3", 99, 5, resource="cpu", min_quantity=2)
    no_resource = scribe.bundle("a1", {"gpu": 99, "cpu": 1}, 10**15)
    unsupported = scribe.bundle("a1", {"gpu": 99}, 10**15)
    too_much = scribe.bid("a1", 99, 10**15)
    rows = scribe.rows()
    assert ["stale_event_id", "over_quota"] == [reason_of(rows, sent, ord_) for ord_ in (0, 1)]
    assert ["market_closed"] * 2 == [reason_of(rows, closed, ord_) for ord_ in (0, 1)]
    expected = ["unknown_agent", "unknown_resource", "unsupported_by_rule", "exceeds_supply"]
    sent_later = (unknown, no_resource, unsupported, too_much)
    assert expected == [reason_of(rows, seq) for seq in sent_later]


def test_reserve_then_overflow_then_balance() -> None:
    """A hold that does not fit in 64 bits must be refused before it is compared with a balance."""
    scribe = Scribe()
    gpu = {"supply": 10**12, "initial_price_micros": 10, "reserve_ratio_ppm": 500_000}
    scribe.open({"gpu": gpu})
    scribe.grant("a1", 100)
    below = scribe.bid("a1", 10**12, 4)
    huge = scribe.bid("a1", 10**12, 10**15)
    dear = scribe.bid("a1", 21, 5)
    good = scribe.bid("a1", 20, 5)
    rows = scribe.rows()
    expected = ["below_reserve", "amount_overflow", "insufficient_balance", None]
    assert expected == [reason_of(rows, seq) for seq in (below, huge, dear, good)]
    assert None is at(rows.bids, huge)["limit_micros"]


def test_an_operator_is_judged_by_the_latest_listing_and_a_bid_by_that_in_force() -> None:
    """A quote for a resource that comes with the next window arrives in time for it."""
    scribe = opened()
    scribe.open({"cpu": 3})
    quote = scribe.quote("cpu", 7)
    gone = scribe.supply("gpu", 3)
    bid = scribe.bid("a1", 1, 5)
    scribe.window(1)
    scribe.bid("a1", 1, 9, resource="cpu")
    rows = scribe.rows()
    assert [None, "unknown_resource", None] == [reason_of(rows, seq) for seq in (quote, gone, bid)]
    [price] = of_window(rows.prices, 1)
    assert ("cpu", 7, False) == (price["resource"], price["reference_micros"], price["stale"])


def test_a_withdrawal_finds_the_agents_own_open_bid_only() -> None:
    """A hold released for a bid of another, or of a past window, is credit out of nothing."""
    scribe = opened()
    bid = scribe.unit(1, 900)
    scribe.send("market.m1.bid.a1", bid)
    foreign = scribe.withdraw("a2", bid["event_id"])
    own = scribe.withdraw("a1", bid["event_id"].upper())
    twice = scribe.withdraw("a1", bid["event_id"])
    freed = scribe.bid("a1", 1, 900)
    scribe.window(1)
    past = scribe.withdraw("a1", bid["event_id"])
    rows = scribe.rows()
    expected = ["not_open", None, "not_open", None, "not_open"]
    assert expected == [reason_of(rows, seq) for seq in (foreign, own, twice, freed, past)]


def test_events_of_a_batch_are_judged_one_after_the_other() -> None:
    """A batch that stood or fell as a whole would lose good bids to a bad one."""
    scribe = opened()
    events = [scribe.unit(1, 600), {"type": "bid_placed"}, scribe.unit(1, 600), scribe.unit(1, 400)]
    seq = scribe.write("market.m1.bid.a1", json.dumps(events).encode())
    rows = scribe.rows()
    assert [None, "insufficient_balance", None] == [
        reason_of(rows, seq, ord_) for ord_ in (0, 2, 3)
    ]
    assert [(seq, 1)] == [(row["seq"], row["ord"]) for row in rows.dead_letters]
