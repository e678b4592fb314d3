"""A living ledger of version 1 becomes one of version 2 in its place, and continues from there."""

import json
import shutil
from pathlib import Path
from typing import Any, Final

import pytest
from psycopg import Connection

from connectors.postgres.connection import connect
from connectors.postgres.ledger.transaction import claim, commit_window
from connectors.postgres.migrate import MIGRATIONS, migrate
from state.bids import event_id_bytes
from state.dedupe import agent_key, operator_key
from state.market import ListedResource, Listing, Quote
from state.shard import Position, ShardState, StreamIdentity
from tests.connectors.postgres.asking import rows_of_view, value
from tests.connectors.postgres.settled import settle_rest
from tests.connectors.postgres.windows import LOG, START_NS, WINDOW_MS, event_id
from tests.operators.steps import settlements
from tests.twin.rows import LogRecord
from walras_schemas import INT64_MAX, RejectionReason

ROWS: Final = (Path(__file__).parent / "version_1.sql").read_bytes()
OF_VERSION_1: Final = (
    "bids",
    "allocations",
    "transactions",
    "commands",
    "accounts",
    "windows",
    "prices",
    "dead_letters",
)
NOW_NS: Final = START_NS + 2_000_000_000

Shown = dict[str, list[dict[str, Any]]]


def shown(conn: Connection) -> Shown:
    """The rows of the views that were there in version 1."""
    return {
        view: sorted(rows_of_view(conn, view), key=lambda row: json.dumps(row, default=str))
        for view in OF_VERSION_1
    }


@pytest.fixture
def before(empty_dsn: str, tmp_path: Path) -> Shown:
    """A ledger of version 1 with rows, and what it showed; it is upgraded afterwards."""
    for name in ("0001_ledger", "0002_views", "0003_pricing", "0004_paradoxical_rejections"):
        shutil.copy(MIGRATIONS / f"{name}.sql", tmp_path)
    migrate(empty_dsn, migrations=tmp_path)
    with connect(empty_dsn) as conn:
        conn.execute(ROWS)
        rows = shown(conn)
    migrate(empty_dsn)
    return rows


def claimed(conn: Connection, shard: int = 0) -> ShardState:
    identity = StreamIdentity(f"WALRAS_{shard}", LOG.created_ns)
    return claim(conn, shard, identity=identity, window_ms=WINDOW_MS)


def test_the_views_show_the_same_rows(before: Shown, empty_dsn: str) -> None:
    """Whoever read the ledger last year finds every row of it again, under its names."""
    for row in before["bids"]:
        row["event_id"] = row["event_id"].lower()
    for row in before["allocations"] + before["transactions"]:
        row["event_id"] = row["event_id"].lower()
    for row in before["dead_letters"]:
        row["payload"] = row["payload"][:1024]
    with connect(empty_dsn) as conn:
        after = shown(conn)
    for view, rows in before.items():
        assert rows, view
        columns = rows[0].keys()
        assert rows == [{name: row[name] for name in columns} for row in after[view]], view


def test_what_version_1_did_not_record(before: Shown, empty_dsn: str) -> None:
    """docs/ledger.md says what stands in the new columns of old rows."""
    with connect(empty_dsn) as conn:
        rows = {view: rows_of_view(conn, view) for view in OF_VERSION_1}
        none = [rows_of_view(conn, view) for view in ("market_windows", "paradoxical_rejections")]
    assert [[], []] == none
    assert {None} == {row["purpose"] for row in rows["transactions"]}
    assert [(0, row["demanded"]) for row in rows["prices"]] == [
        (row["reserve_micros"], row["wanted"]) for row in rows["prices"]
    ]
    assert {3000, 0} == {row["payload_bytes"] for row in rows["dead_letters"]}
    assert len(before["prices"]) == len(rows["prices"])


@pytest.mark.usefixtures("before")
def test_the_state_comes_back(empty_dsn: str) -> None:
    """The first claim after the upgrade is a restart: what it forgets changes what follows."""
    with connect(empty_dsn) as conn:
        state = claimed(conn)
    accounts = state.accounts
    assert Position(31, START_NS + 1_999_999_999) == state.position
    assert bytes([0xAA]) == accounts.digest
    assert {
        ("m1", "treasury"): -20_000_000_000_000_000_100,
        ("m1", "house"): 47,
        ("m1", "a1"): 50,
        ("m1", "a2"): 19_999_999_999_999_999_983,
        ("m1", "a3"): 20,
    } == {
        owner: accounts.balance_of(number)
        for number, owner in enumerate(accounts.names.accounts)
        if accounts.known[number]
    }
    assert {
        "m1": Listing(
            market="m1",
            opened_at=(1, 0),
            opened_seq=21,
            is_open=True,
            rule="uniform",
            stale_after_windows=60,
            max_commands=1000,
            lag_windows=600,
            meters=1,
            resources={
                "cpu": ListedResource(5, 3, 0, 0, 0),
                "gpu": ListedResource(100, 10, 2, 500_000, 0),
            },
            quotes={"gpu": Quote(11, START_NS // 10**9)},
        )
    } == state.listings.by_market


@pytest.mark.usefixtures("before")
def test_all_who_were_named_have_numbers(empty_dsn: str) -> None:
    """A number twice or none at all, and the rows of one agent are another's."""
    with connect(empty_dsn) as conn:
        names = [claimed(conn, shard).accounts.names for shard in (0, 1)]
    assert [
        "m1/treasury m1/house m1/a1 m1/a2 m1/a3 m1/a4 m1/poor no/treasury no/house no/a9",
        "m2/treasury m2/house m2/a1",
    ] == [" ".join("/".join(owner) for owner in each.accounts) for each in names]
    assert [["cpu", "gpu"], ["tape"]] == [each.resources for each in names]


@pytest.mark.usefixtures("before")
@pytest.mark.parametrize(
    ("agent", "number", "expected"),
    [
        ("a1", 5, RejectionReason.DUPLICATE),
        ("a2", 6, RejectionReason.DUPLICATE),
        ("poor", 9, RejectionReason.DUPLICATE),
        ("a1", 4, RejectionReason.DUPLICATE),
        ("a2", 5, None),
    ],
)
def test_ids_are_still_known(
    empty_dsn: str, agent: str, number: int, expected: RejectionReason | None
) -> None:
    """A bid that is sent again after the upgrade would be placed twice."""
    with connect(empty_dsn) as conn:
        accounts = claimed(conn).accounts
    known = f"0199c82c-c000-7000-8000-{number:012}"
    key = agent_key(accounts.names.account_numbers["m1", agent], event_id_bytes(known))
    assert expected == accounts.dedupe.check(key, time_ns=NOW_NS)


@pytest.mark.usefixtures("before")
def test_ids_of_operators_are_still_known(empty_dsn: str) -> None:
    """A grant that is sent again would be given twice; one that was too early may come again."""
    with connect(empty_dsn) as conn:
        dedupe = claimed(conn).listings.dedupe
    ids = [event_id_bytes(f"0199c82c-c000-7000-8000-{number:012}") for number in (2, 14)]
    assert [RejectionReason.DUPLICATE, None] == [
        dedupe.check(operator_key("m1", each), time_ns=NOW_NS) for each in ids
    ]


@pytest.mark.usefixtures("before")
def test_the_next_window_follows(empty_dsn: str) -> None:
    """The chain of digests continues, and balances and numbers with it."""
    now_ms = NOW_NS // 10**6
    bid = {"type": "bid_placed", "resource": "gpu", "quantity": 2, "unit_price_micros": 12}
    grant = {"type": "credits_granted", "agent_id": "new", "amount_micros": 9}
    log = [
        LogRecord(31, NOW_NS, "market.m1.bid.a1", body(bid, event_id(31, at_ms=now_ms))),
        LogRecord(32, NOW_NS, "market.m1.grant", body(grant, event_id(32, at_ms=now_ms))),
    ]
    with connect(empty_dsn) as conn:
        state = claimed(conn)
        (closed,) = settlements(settle_rest(log, state))
        assert commit_window(conn, closed, token=state.token) is True
        rows = {row["agent_id"]: row for row in rows_of_view(conn, "accounts")}
        chain = "SELECT prev_digest FROM walras.windows WHERE shard = 0 AND window_id = %s"
        assert "aa" == value(conn, chain, closed.window_id)
        number = "SELECT account FROM ledger.account WHERE shard = 0 AND agent_id = 'new'"
        assert 10 == value(conn, number)
        negative = "SELECT count(*) FROM walras.bids WHERE window_id = %s AND status = 'won'"
        assert 1 == value(conn, negative, closed.window_id)
    assert 9 == rows["new"]["balance_micros"]
    assert INT64_MAX < rows["a2"]["balance_micros"]


def body(event: dict[str, Any], event_id: str) -> bytes:
    return json.dumps(event | {"event_id": event_id}).encode()
