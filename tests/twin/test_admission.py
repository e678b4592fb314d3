"""The twin's reading of SEMANTICS §3 and §4: closed markets, and the quota of commands."""

from __future__ import annotations

from tests.twin.scribe import NS_PER_MS, Scribe, at, opened, reason_of, uuid7

# --- closed markets -------------------------------------------------------------------------------


def test_a_closing_counts_from_the_next_window() -> None:
    """A market that shut at once would refuse bids that were sent while it was open."""
    scribe = opened()
    scribe.close()
    late = scribe.bid("a1", 1, 5)
    scribe.window(1)
    refused = [
        scribe.bid("a1", 1, 5),
        scribe.withdraw("a1", uuid7(born_ms=scribe.now_ns // NS_PER_MS, number=77)),
        scribe.transfer("a1", "a2", 1),
        scribe.grant("a1", 1),
        scribe.supply("gpu", 3),
        scribe.quote("gpu", 3),
        scribe.close(),
    ]
    rows = scribe.rows()
    assert "won" == at(rows.bids, late)["status"]
    assert ["market_closed"] * 7 == [reason_of(rows, seq) for seq in refused]
    assert [False] == [row["open"] for row in rows.markets]


def test_a_reopening_counts_from_the_window_after_it() -> None:
    """Only the very first opening counts at once."""
    scribe = opened()
    scribe.close()
    scribe.window(1)
    reopening = scribe.open({"gpu": 4, "cpu": 1})
    early = scribe.bid("a1", 1, 5)
    scribe.window(2)
    timely = scribe.bid("a1", 1, 5)
    too_much = scribe.bid("a1", 5, 5)
    rows = scribe.rows()
    assert [None, "market_closed"] == [reason_of(rows, seq) for seq in (reopening, early)]
    assert [None, "exceeds_supply"] == [reason_of(rows, seq) for seq in (timely, too_much)]
    assert [(True, reopening)] == [(row["open"], row["opened_seq"]) for row in rows.markets]


def test_closed_and_opened_within_a_window_was_never_closed() -> None:
    """An operator that replaces a market's terms by closing and opening loses no window."""
    scribe = opened()
    scribe.close()
    scribe.open({"gpu": 4})
    scribe.window(1)
    bid = scribe.bid("a1", 4, 5)
    scribe.open({"gpu": 9})
    scribe.close()
    scribe.window(2)
    refused = scribe.bid("a1", 1, 5)
    rows = scribe.rows()
    assert "won" == at(rows.bids, bid)["status"]
    assert "market_closed" == reason_of(rows, refused)


def test_a_market_that_is_closed_as_it_opens_lives_for_that_window() -> None:
    """The first opening counts at once, its closing does not."""
    scribe = Scribe()
    before = scribe.grant("a1", 5)
    scribe.send("market.m1.market", scribe.opening({"gpu": 10}), scribe.event("market_closed"))
    scribe.grant("a1", 5)
    bid = scribe.bid("a1", 1, 5)
    scribe.window(1)
    refused = scribe.grant("a1", 5)
    rows = scribe.rows()
    assert "unknown_market" == reason_of(rows, before)
    assert "won" == at(rows.bids, bid)["status"]
    assert "market_closed" == reason_of(rows, refused)


# --- quota ----------------------------------------------------------------------------------------


def test_commands_over_the_quota_are_refused_by_agent_and_window() -> None:
    """One agent's flood would grow every result and window without bound."""
    scribe = opened(max_commands=2)
    first = scribe.bid("a1", 1, 5)
    second = scribe.transfer("a1", "a1", 1)  # refused, and counts
    third = scribe.bid("a1", 1, 5)
    other = scribe.bid("a2", 1, 5)
    scribe.grant("a1", 1)  # not the agent's own
    scribe.window(1)
    again = scribe.bid("a1", 1, 5)
    rows = scribe.rows()
    expected = [None, "self_transfer", "over_quota", None, None]
    assert expected == [reason_of(rows, seq) for seq in (first, second, third, other, again)]


def test_what_is_malformed_or_too_early_does_not_count() -> None:
    """Bytes that anyone may have garbled must not use up an agent's commands."""
    scribe = Scribe()
    early = scribe.bid("a1", 1, 5)
    scribe.open({"gpu": 10}, max_commands=1)
    scribe.grant("a1", 100)
    garbled = scribe.send("market.m1.bid.a1", {"type": "bid_placed"})
    bid = scribe.bid("a1", 1, 5)
    rows = scribe.rows()
    assert "unknown_market" == reason_of(rows, early)
    assert [garbled] == [row["seq"] for row in rows.dead_letters]
    assert None is reason_of(rows, bid)


def test_a_refused_command_counts_whatever_later_rule_refused_it() -> None:
    """A quota that only counted well-behaved commands would not bound a hostile sender."""
    scribe = opened(max_commands=3)
    old = scribe.unit(1, 5) | {"event_id": uuid7(born_ms=0, number=1)}
    bid = scribe.unit(1, 5)
    seq = scribe.send("market.m1.bid.a1", old, bid, bid, scribe.unit(1, 5))
    expected = ["stale_event_id", None, "duplicate", "over_quota"]
    rows = scribe.rows()
    assert expected == [reason_of(rows, seq, ord_) for ord_ in range(4)]


def test_the_quota_in_force_is_that_of_the_window() -> None:
    """A reopening must not judge the commands of the window in which it was sent."""
    scribe = opened(max_commands=1)
    scribe.open({"gpu": 10}, max_commands=2)
    now = [scribe.bid("a1", 1, 5) for _ in range(3)]
    scribe.window(1)
    later = [scribe.bid("a1", 1, 5) for _ in range(3)]
    rows = scribe.rows()
    assert [None, "over_quota", "over_quota"] == [reason_of(rows, seq) for seq in now]
    assert [None, None, "over_quota"] == [reason_of(rows, seq) for seq in later]
