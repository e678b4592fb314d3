"""Which markets leave rows of a window, and what is in force in it (SEMANTICS §3, §6, §7)."""

from __future__ import annotations

from tests.twin.rows import Row
from tests.twin.scribe import FIRST_WINDOW, Scribe, at, of_window, opened, uuid7


def windows_of(rows: list[Row], market: str) -> list[int]:
    """The windows in which a market left rows, counted from the first."""
    return [row["window_id"] - FIRST_WINDOW for row in rows if row["market"] == market]


# --- active markets -------------------------------------------------------------------------------


def test_a_market_leaves_rows_only_where_it_had_a_command() -> None:
    """Rows for every market in every window would make one market's ledger hang on another's."""
    scribe = opened()
    scribe.open({"gpu": 10, "cpu": 3}, market="m2")
    scribe.window(1)
    scribe.bid("a1", 1, 5)
    scribe.quote("gpu", 4, market="m2")
    scribe.window(2)
    scribe.send("market.m1.bid.a1", {"type": "bid_placed"})
    scribe.bid("nobody", 1, 5, market="m2")
    scribe.window(3)
    scribe.tick()
    rows = scribe.rows()
    assert [0, 1] == windows_of(rows.prices, "m1")
    assert [0, 0, 2, 2] == windows_of(rows.prices, "m2")
    assert [0, 1] == windows_of(rows.market_windows, "m1")
    assert [0, 2] == windows_of(rows.market_windows, "m2")
    # Quotes and malformed messages make no market active, but they are messages of the shard.
    assert [0, 1, 2] == [row["window_id"] - FIRST_WINDOW for row in rows.windows]


def test_a_closed_market_is_active_by_what_it_refuses() -> None:
    """An operator must see who still bids in a market that is closed."""
    scribe = opened()
    scribe.close()
    scribe.window(1)
    scribe.bid("a1", 1, 5)
    scribe.window(2)
    scribe.quote("gpu", 5)
    rows = scribe.rows()
    [price] = of_window(rows.prices, 1)
    assert (None, 0, 0, 0) == tuple(
        price[name] for name in ("clearing_micros", "demanded", "wanted", "sold")
    )
    [summary] = of_window(rows.market_windows, 1)
    assert (1, 1, 1, 0) == tuple(summary[n] for n in ("agents", "bids", "rejected", "commands"))
    assert [] == of_window(rows.market_windows, 2)


def test_a_market_that_never_opened_leaves_none() -> None:
    """Anyone can name a market: the name alone must not fill tables."""
    scribe = Scribe()
    bid = scribe.bid("a1", 1, 5)
    too_old = scribe.opening({"gpu": 1}) | {"event_id": uuid7(born_ms=0, number=1)}
    scribe.send("market.m1.market", too_old)
    rows = scribe.rows()
    assert "unknown_market" == at(rows.bids, bid)["reason"]
    assert [[], [], [], []] == [rows.prices, rows.market_windows, rows.markets, rows.accounts]
    assert [] == rows.window_messages
    [result] = rows.agent_results  # its command was well formed, so it has an outcome
    assert ("a1", 0) == (result["agent_id"], result["balance_micros"])


# --- in force -------------------------------------------------------------------------------------


def test_supply_and_price_count_from_the_next_window() -> None:
    """A change inside a window would judge two bids of one auction by two supplies."""
    scribe = opened()
    scribe.supply("gpu", 4)
    scribe.quote("gpu", 7)
    scribe.bid("a1", 10, 5)
    scribe.window(1)
    scribe.bid("a1", 4, 9)
    rows = scribe.rows()
    expected = [(10, 1, True), (4, 7, False)]
    names = ("supply", "reference_micros", "stale")
    assert expected == [tuple(row[name] for name in names) for row in rows.prices]


def test_a_quote_goes_stale_by_windows_since_it_arrived_and_outlives_a_reopening() -> None:
    """Counted from the window in which it came into force, it would look fresh for too long."""
    scribe = opened(stale_after_windows=2)
    scribe.quote("gpu", 7)
    scribe.open({"cpu": 1}, stale_after_windows=2)
    scribe.window(1)
    scribe.open({"gpu": 10}, stale_after_windows=2)
    for number in (2, 3):
        scribe.window(number)
        scribe.grant("a1", 1)
    rows = scribe.rows()
    gpu = [row for row in rows.prices if row["resource"] == "gpu"]
    expected = [(0, 1, True), (2, 7, False), (3, 7, True)]
    assert expected == [
        (row["window_id"] - FIRST_WINDOW, row["reference_micros"], row["stale"]) for row in gpu
    ]


def test_the_reserve_in_force_follows_the_quote() -> None:
    """A floor that stays at the first price lets a rolling market fall through it."""
    scribe = Scribe()
    gpu = {"supply": 5, "initial_price_micros": 9, "reserve_micros": 4}
    scribe.open({"gpu": gpu | {"reserve_ratio_ppm": 500_000}})
    scribe.quote("gpu", 7)
    scribe.window(1)
    scribe.quote("gpu", 11)
    scribe.grant("a1", 1)
    scribe.window(2)
    scribe.grant("a1", 1)
    rows = scribe.rows()
    assert [4, 4, 5] == [row["reserve_micros"] for row in rows.prices]  # 9/2, 7/2 < 4, 11/2


def test_listings_are_as_last_applied() -> None:
    """An operator reads back what it sent, not what counts in the window that runs."""
    scribe = opened(max_commands=5, lag_windows=10, meters=3)
    terms = {"supply": 8, "initial_price_micros": 2, "allowance_windows": 6, "reserve_micros": 1}
    reopening = scribe.open({"cpu": terms}, rule="vickrey", lag_windows=20, meters=9)
    scribe.supply("cpu", 7)
    scribe.close()
    rows = scribe.rows()
    expected = {"market": "m1", "shard": 0, "rule": "vickrey", "open": False}
    expected |= {"opened_seq": reopening, "stale_after_windows": 60, "max_commands": 1_000}
    assert [expected | {"lag_windows": 10, "meters": 3}] == rows.markets
    resource = {"market": "m1", "resource": "cpu", "supply": 7, "initial_price_micros": 2}
    resource |= {"reserve_micros": 1, "reserve_ratio_ppm": 0, "allowance_windows": 6}
    assert [resource] == rows.resources
