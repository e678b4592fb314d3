"""The rows of bids, postings, summaries and dead letters as the twin writes them (§7, §8)."""

from __future__ import annotations

import json

import pytest

from tests.twin.scribe import FIRST_WINDOW, NS_PER_MS, at, of_window, opened

# --- rows -----------------------------------------------------------------------------------------


def test_the_summary_of_a_window_adds_up() -> None:
    """Sums that nobody can check at a glance must not be wrong at a glance."""
    scribe = opened()
    scribe.window(1)
    scribe.bid("a1", 8, 6)
    scribe.bundle("a2", {"gpu": 2}, 10)
    scribe.bid("a2", 3, 4, min_quantity=1)
    gone = scribe.unit(1, 3)
    scribe.send("market.m1.bid.a1", gone)
    scribe.withdraw("a1", gone["event_id"])
    scribe.bid("a3", 1, 5)
    scribe.bid("a1", 1, 10**15)
    scribe.transfer("a1", "a2", 1)
    scribe.quote("gpu", 2)
    scribe.window(2)
    scribe.bid("a1", 4, 5)
    scribe.bid("a2", 9, 3)
    rows = scribe.rows()
    [summary] = of_window(rows.market_windows, 1)
    expected = {"market": "m1", "window_id": FIRST_WINDOW + 1, "shard": 0, "rule": "uniform"}
    expected |= {"agents": 3, "bids": 6, "won": 2, "partially_won": 0, "lost": 1}
    expected |= {"withdrawn": 1, "rejected": 2, "commands": 3}
    # Of 10 gpu eight and two are won; the loser's 4 is the price. Offered 48 + 10 + 12.
    assert expected | {"paid_micros": 40, "offered_micros": 70, "served_micros": 58} == summary
    [partly] = of_window(rows.market_windows, 2)
    # Four at 5 and six of nine at 3, at the partial winner's own price of 3.
    assert (1, 1, 30) == (partly["won"], partly["partially_won"], partly["paid_micros"])
    assert (47, 38) == (partly["offered_micros"], partly["served_micros"])


def test_a_bid_shows_its_form() -> None:
    """The default of a minimum is 1, and a bundle has none."""
    scribe = opened()
    sent = [
        scribe.bid("a1", 3, 5),
        scribe.bid("a1", 3, 5, min_quantity=2),
        scribe.bundle("a1", {"gpu": 1}, 9),
    ]
    rows = scribe.rows()
    shown = [at(rows.bids, seq) for seq in sent]
    assert [1, 2, None] == [row["min_quantity"] for row in shown]
    assert ["unit", "unit", "bundle"] == [row["kind"] for row in shown]
    assert [{"gpu": 3}, {"gpu": 3}, {"gpu": 1}] == [row["bundle"] for row in shown]
    assert [15, 15, 9] == [row["limit_micros"] for row in shown]


def test_postings_have_their_purpose_and_sum_to_zero() -> None:
    """An empty purpose is one that was given; a payment has none."""
    scribe = opened()
    scribe.grant("a1", 5, purpose="")
    scribe.transfer("a1", "a2", 6, purpose="service \U0001f4b6")
    scribe.bid("a1", 9, 2)
    scribe.bid("a2", 2, 1)
    rows = scribe.rows()
    moved = [
        (row["txn_id"], row["kind"], row["agent_id"], row["amount_micros"], row["purpose"])
        for row in rows.transactions[4:]
    ]
    service = "service \U0001f4b6"
    expected = [
        ("0-4-0", "grant", "treasury", -5, ""),
        ("0-4-0", "grant", "a1", 5, ""),
        ("0-5-0", "transfer", "a1", -6, service),
        ("0-5-0", "transfer", "a2", 6, service),
        ("0-6-0", "payment", "a1", -9, None),
        ("0-6-0", "payment", "house", 9, None),
        ("0-7-0", "payment", "a2", -1, None),
        ("0-7-0", "payment", "house", 1, None),
    ]
    assert expected == moved
    assert 0 == sum(row["balance_micros"] for row in rows.accounts)


def test_a_paradoxical_rejection_is_the_bid_with_what_it_lost() -> None:
    """A bid that did not fit although it offered more than the price must not be hidden."""
    scribe = opened()
    scribe.bid("a1", 9, 9)
    lost = scribe.bundle("a2", {"gpu": 2}, 16)
    scribe.bid("a2", 1, 5)
    rows = scribe.rows()
    # The level is the lower of 16/2 and the lowest winner's 5: two gpu cost 10.
    assert [at(rows.bids, lost) | {"lost_value_micros": 6}] == rows.paradoxical_rejections


def test_times_are_cut_to_microseconds_and_never_go_back() -> None:
    """A rounded time would lie after its own message, a lower one before an earlier message."""
    scribe = opened()
    scribe.window(0, after_ns=1_999)
    first = scribe.bid("a1", 1, 5)
    scribe.window(-1)
    second = scribe.transfer("a1", "a2", 1)
    rows = scribe.rows()
    start_us = FIRST_WINDOW * 1_000_000
    assert [start_us + 1] * 2 == [
        at(rows.bids, first)["timestamp_us"],
        at(rows.commands, second)["timestamp_us"],
    ]
    [window] = rows.windows
    assert (1, 5) == (window["first_seq"], window["last_seq"])
    assert start_us == window["opened_at_us"]
    assert start_us + 1_000_000 == window["closed_at_us"]


# --- dead letters ---------------------------------------------------------------------------------


def test_a_dead_letter_shows_the_message_or_the_element_as_it_stood() -> None:
    """An element that was written anew would hide what was wrong with it."""
    scribe = opened()
    good = json.dumps(scribe.unit(1, 5)).encode()
    odd = b'{ "type":1,  "a":"\xc3\xa4", "type": 2 }'
    batch = b" [ " + good + b" ,\n" + odd + b"\t, -0.5e1,[ ], " + good[:-1] + b"} ] "
    seq = scribe.write("market.m1.bid.a1", batch)
    single = scribe.write("market.m1.bid.a1", b" " + odd + b"\n")
    spoiled = scribe.write("market.m1.bid.a1", b"[" + good + b", NaN]")
    letters = scribe.rows().dead_letters
    shown = [(row["seq"], row["ord"], row["payload"], row["payload_bytes"]) for row in letters]
    expected = [
        (seq, 1, odd, len(odd)),
        (seq, 2, b"-0.5e1", 6),
        (seq, 3, b"[ ]", 3),
        (single, 0, b" " + odd + b"\n", len(odd) + 2),
        (spoiled, 0, b"[" + good + b", NaN]", len(good) + 7),
    ]
    assert expected == shown


def test_a_dead_letter_keeps_the_first_1024_bytes() -> None:
    """A megabyte of nonsense a message would be a megabyte of ledger."""
    scribe = opened()
    whole = json.dumps({"type": "ä" * 1_000}, ensure_ascii=False).encode()
    scribe.write("market.m1.bid.a1", whole)
    scribe.write("market.m1.bid.a1", b"[" + whole + b"]")
    scribe.write("market.m1.bid.a1", b"x" * (2**20 + 1))
    letters = scribe.rows().dead_letters
    assert [whole[:1_024], whole[:1_024], b"x" * 1_024] == [row["payload"] for row in letters]
    assert [len(whole), len(whole), 2**20 + 1] == [row["payload_bytes"] for row in letters]


@pytest.mark.parametrize("subject", ["market.m1.meter.00", "market.m1.meter.64", "nothing", ""])
def test_a_message_on_no_subject_is_one_dead_letter(subject: str) -> None:
    """A batch on an unknown subject must not be one letter for each of its elements."""
    scribe = opened()
    seq = scribe.write(subject, b'[{"type": "meter_opened", "epoch": 1}, {}]')
    [letter] = scribe.rows().dead_letters
    assert (seq, 0, subject, 42) == tuple(
        letter[name] for name in ("seq", "ord", "subject", "payload_bytes")
    )


def test_ids_may_be_sent_again_once_they_are_stale_and_are_then_refused_for_it() -> None:
    """Forgetting an id too early would let a command act twice."""
    scribe = opened()
    bid = scribe.unit(1, 5)
    scribe.send("market.m1.bid.a1", bid)
    scribe.window(60)
    again = scribe.send("market.m1.bid.a1", bid)
    scribe.now_ns += NS_PER_MS
    late = scribe.send("market.m1.bid.a1", bid)
    rows = scribe.rows()
    assert ["duplicate", "stale_event_id"] == [at(rows.bids, s)["reason"] for s in (again, late)]
