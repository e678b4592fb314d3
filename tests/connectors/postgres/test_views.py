"""The views agree with each other: bids, allocations, postings and balances."""

from datetime import UTC, datetime
from typing import Any, Final

from msgspec import structs
from psycopg import Connection

from connectors.postgres.ledger.transaction import commit_window
from state.window import Settlement
from tests.connectors.postgres.asking import rows_of_view, value
from tests.connectors.postgres.windows import (
    START_NS,
    balances,
    bundle_won,
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
from walras_schemas import BidStatus, RejectionReason

START: Final = datetime(2025, 10, 9, 8, 53, 20, tzinfo=UTC)


def shown(conn: Connection, closed: Settlement, view: str) -> list[dict[str, Any]]:
    commit_window(conn, closed, token=claim_log(conn).token)
    return rows_of_view(conn, view)


def test_a_unit_bid(conn: Connection) -> None:
    """The whole row as others read it, the unit bid as a bundle of one."""
    bid = won(4, "a1", 3, 10, time_ns=START_NS + 1_234_567)
    bid.unit_price_micros = 12
    assert [
        {
            "market": "m1",
            "agent_id": "a1",
            "event_id": event_id(4),
            "seq": 4,
            "ord": 0,
            "shard": 0,
            "window_id": 1_760_000_000,
            "timestamp": START.replace(microsecond=1234),
            "kind": "unit",
            "bundle": {"gpu": 3},
            "min_quantity": 1,
            "limit_micros": 36,
            "status": "won",
            "reason": None,
            "paid_micros": 10,
        }
    ] == shown(conn, window(bids=[bid]), "bids")


def test_a_bundle(conn: Connection) -> None:
    """A bundle's limit is not a price of anything: its parts share one payment."""
    (row,) = shown(conn, window(bids=[bundle_won(1, "a1", {"gpu": 2, "cpu": 7}, 9)]), "bids")
    assert ("bundle", {"cpu": 7, "gpu": 2}, None, 9, 9) == (
        row["kind"],
        row["bundle"],
        row["min_quantity"],
        row["limit_micros"],
        row["paid_micros"],
    )


def test_a_limit_beyond_int64_is_null(conn: Connection) -> None:
    """One absurd bid must not make every query over the bids fail."""
    bids = []
    for seq, quantity in enumerate((9_223, 9_224), start=1):
        bid = lost(seq, "a1")
        bid.quantity, bid.unit_price_micros = quantity, 10**15
        bid.status, bid.reason = BidStatus.REJECTED, RejectionReason.INSUFFICIENT_BALANCE
        bids.append(bid)
    rows = shown(conn, window(bids=bids), "bids")
    assert [9_223 * 10**15, None] == [row["limit_micros"] for row in rows]


def test_a_refused_bid(conn: Connection) -> None:
    """Status and reason are words, however they are stored."""
    bid = lost(1, "a1")
    bid.status, bid.reason = BidStatus.REJECTED, RejectionReason.BELOW_RESERVE
    (row,) = shown(conn, window(bids=[bid]), "bids")
    assert ("rejected", "below_reserve", 0) == (row["status"], row["reason"], row["paid_micros"])


def test_allocations(conn: Connection) -> None:
    """Of a bundle each part was won; of a bid that lost nothing was."""
    bids = [won(1, "a1", 3, 9), bundle_won(2, "a2", {"gpu": 2, "cpu": 10**12}, 9), lost(3, "a3")]
    rows = shown(conn, window(bids=bids), "allocations")
    assert [("a1", "gpu", 3), ("a2", "cpu", 10**12), ("a2", "gpu", 2)] == sorted(
        (row["agent_id"], row["resource"], row["quantity"]) for row in rows
    )


def test_every_movement_is_shown_from_both_sides(conn: Connection) -> None:
    """A posting without its counterpart is money from nowhere."""
    closed = window(
        commands=[
            grant(1, "a1", 100),
            transfer(2, "a1", "a2", 40),
            structs.replace(grant(3, "a3", 7), reason=RejectionReason.DUPLICATE),
            structs.replace(
                grant(4, "a3", 7), type="market_opened", amount_micros=None, recipient=None
            ),
        ],
        bids=[won(5, "a2", 1, 9), lost(6, "a1")],
    )
    rows = shown(conn, closed, "transactions")
    sides = [
        (row["txn_id"], row["kind"], row["agent_id"], row["amount_micros"], row["counterparty"])
        for row in rows
    ]
    assert [
        ("0-1-0", "grant", "a1", 100, "treasury"),
        ("0-1-0", "grant", "treasury", -100, "a1"),
        ("0-2-0", "transfer", "a1", -40, "a2"),
        ("0-2-0", "transfer", "a2", 40, "a1"),
        ("0-5-0", "payment", "a2", -9, "house"),
        ("0-5-0", "payment", "house", 9, "a2"),
    ] == sorted(sides)


def test_postings_sum_to_zero_and_make_the_balances(conn: Connection) -> None:
    """The two ways to an account's balance must meet."""
    commit_window(conn, busy_window(), token=claim_log(conn).token)
    unbalanced = (
        "SELECT count(*) FROM (SELECT FROM walras.transactions GROUP BY txn_id"
        " HAVING sum(amount_micros) <> 0 OR count(*) <> 2) AS odd"
    )
    assert 0 == value(conn, unbalanced)
    differing = (
        "SELECT count(*) FROM walras.accounts FULL JOIN (SELECT market, agent_id,"
        " sum(amount_micros) AS moved FROM walras.transactions GROUP BY 1, 2) AS movements"
        " USING (market, agent_id) WHERE balance_micros IS DISTINCT FROM moved"
    )
    assert 0 == value(conn, differing)
    assert 0 == value(conn, "SELECT sum(balance_micros) FROM walras.accounts")


def test_commands(conn: Connection) -> None:
    """An operator's command is the treasury's; a refused one says why."""
    refused = structs.replace(transfer(2, "a1", "a1", 5), reason=RejectionReason.SELF_TRANSFER)
    rows = shown(conn, window(commands=[grant(1, "a1", 5), refused]), "commands")
    assert [
        ("treasury", "credits_granted", "applied", None),
        ("a1", "credits_transferred", "rejected", "self_transfer"),
    ] == [(row["agent_id"], row["type"], row["status"], row["reason"]) for row in rows]


def test_a_window(conn: Connection) -> None:
    """Its boundaries are the stream's: a replay next year must show the same times."""
    closed = window(balances=balances(a1=0))
    (row,) = shown(conn, closed, "windows")
    committed_at = row.pop("committed_at")
    assert {
        "shard": 0,
        "window_id": 1_760_000_000,
        "first_seq": 1,
        "last_seq": 10,
        "opened_at": START,
        "closed_at": START.replace(second=21),
        "digest": closed.digest.hex(),
        "prev_digest": "00" * 32,
    } == row
    assert committed_at > START


def test_prices(conn: Connection) -> None:
    """A resource of which nothing was sold has no clearing price, which is not a price of zero."""
    (row,) = shown(conn, busy_window(), "prices")
    assert {
        "market": "m1",
        "window_id": 1_760_000_000,
        "resource": "gpu",
        "reference_micros": 10,
        "reserve_micros": 2,
        "clearing_micros": 10,
        "supply": 100,
        "demanded": 5,
        "wanted": 4,
        "sold": 3,
        "stale": False,
    } == row


def test_a_paradoxical_rejection_says_what_was_lost(conn: Connection) -> None:
    """A loss of 0 is none: the bid's limit was the cost of what it asked."""
    first, second = lost(1, "a1"), lost(2, "a2")
    first.lost_value_micros = 7
    (row,) = shown(conn, window(bids=[first, second]), "paradoxical_rejections")
    assert (1, 7) == (row["seq"], row["lost_value_micros"])


def test_a_purpose_is_shown_on_both_sides(conn: Connection) -> None:
    """An empty purpose was given; none was not."""
    commands = [
        structs.replace(grant(1, "a1", 5), purpose=""),
        structs.replace(transfer(2, "a1", "a2", 5), purpose="\U0001f4b6 \\N"),
        grant(3, "a2", 5),
    ]
    rows = shown(conn, window(commands=commands), "transactions")
    assert {(1, ""), (2, "\U0001f4b6 \\N"), (3, None)} == {
        (row["seq"], row["purpose"]) for row in rows
    }


def test_a_market_window(conn: Connection) -> None:
    """Totals leave int64: sums of limits of all bids do."""
    (row,) = shown(conn, busy_window(), "market_windows")
    assert {
        "market": "m1",
        "window_id": 1_760_000_000,
        "shard": 0,
        "rule": "uniform",
        "agents": 2,
        "bids": 3,
        "won": 4,
        "partially_won": 5,
        "lost": 6,
        "withdrawn": 7,
        "rejected": 8,
        "commands": 9,
        "paid_micros": 0,
        "offered_micros": 2**63,
        "served_micros": 10**30,
    } == row


def test_markets_and_resources(conn: Connection) -> None:
    """They are as last applied: what the operator asked for, whatever is in force."""
    commit_window(conn, window(listings=[listing()]), token=claim_log(conn).token)
    assert [
        {
            "market": "m1",
            "shard": 0,
            "rule": "uniform",
            "open": True,
            "opened_seq": 1,
            "stale_after_windows": 60,
            "max_commands": 1000,
            "lag_windows": 600,
            "meters": 1,
        }
    ] == rows_of_view(conn, "markets")
    assert {
        "market": "m1",
        "resource": "gpu",
        "supply": 100,
        "initial_price_micros": 10,
        "reserve_micros": 2,
        "reserve_ratio_ppm": 500_000,
        "allowance_windows": 7,
    } in rows_of_view(conn, "resources")


def test_an_account_is_shown_when_it_moved_credits(conn: Connection) -> None:
    """Whoever was named has a number, which is no account of credits."""
    closed = window(
        bids=[lost(1, "named")], commands=[grant(2, "a1", 0)], balances=balances(a1=0, treasury=0)
    )
    rows = shown(conn, closed, "accounts")
    assert {"a1": 0, "treasury": 0} == {row["agent_id"]: row["balance_micros"] for row in rows}
