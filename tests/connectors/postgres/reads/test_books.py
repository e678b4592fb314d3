"""The audit: the books of a market hold, and what others did to them is found and named."""

# ruff: noqa: S608 - the statements are put together from constants

import gzip
from collections.abc import Iterator
from pathlib import Path
from typing import Final

import psycopg
import pytest
from psycopg import Connection
from psycopg.conninfo import make_conninfo

from connectors.postgres.reads.books import DIGESTS, Verdict, audit_books
from flows.replay import replay
from state.errors import SettingsError, WalrasError
from tests.golden.logs import WINDOW_MS
from tests.golden.recorded import HERE, expected

LOG: Final = "busy"
NEXT: Final = "each digest follows from the one before"
COUNTED: Final = "a market has the bids and commands that its window counted"
BALANCE: Final = "a balance is the sum of its movements"
ONCE: Final = "a command has one outcome"
PAYS: Final = "a bid pays what its market cleared at, to the rounding"
PLACE: Final = "each row is of a window that has its sequence"
ZERO: Final = "the balances of a market sum to zero"

A_WON_BID: Final = """
    SELECT b.* FROM ledger.bid AS b JOIN ledger.account USING (shard, account)
    JOIN ledger.market_window AS m USING (market, window_id)
    WHERE b.status = 4 AND b.paid_micros > 0 AND m.rule = 'uniform' ORDER BY b.seq, b.ord LIMIT 1
"""
OF_IT: Final = f"(shard, seq, ord) = (SELECT shard, seq, ord FROM ({A_WON_BID}) AS it)"
ANY_WINDOW: Final = (
    'SELECT window_id FROM ledger."window" WHERE shard = 0 ORDER BY 1 OFFSET 2 LIMIT 1'
)

# What somebody did to the ledger, and promises that must be found broken.
DEEDS: Final = {
    "a deleted bid": (f"DELETE FROM ledger.bid WHERE {OF_IT}", {COUNTED, BALANCE, DIGESTS}),
    "a doubled bid": (f"INSERT INTO ledger.bid {A_WON_BID}", {ONCE, COUNTED, DIGESTS}),
    "an edited payment": (
        f"UPDATE ledger.bid SET paid_micros = 2 * paid_micros WHERE {OF_IT}",
        {PAYS, COUNTED, BALANCE, DIGESTS},
    ),
    "a payment that is off by one": (
        f"UPDATE ledger.bid SET paid_micros = paid_micros - 1 WHERE {OF_IT}",
        {COUNTED, BALANCE, DIGESTS},
    ),
    "an edited limit": (
        f"UPDATE ledger.bid SET unit_price_micros = unit_price_micros + 1 WHERE {OF_IT}",
        {DIGESTS},
    ),
    "a bid that lost becomes one that was rejected": (
        f"UPDATE ledger.bid SET status = 0, reason = 1, won = 0, paid_micros = 0 WHERE {OF_IT}",
        {COUNTED, BALANCE, DIGESTS},
    ),
    "a bid of another agent": (
        f"""UPDATE ledger.bid SET account = (
            SELECT max(account) FROM ledger.account WHERE balance_micros IS NOT NULL AND shard = 0
        ) WHERE {OF_IT}""",
        {BALANCE, DIGESTS},
    ),
    "an edited balance": (
        """UPDATE ledger.account SET balance_micros = balance_micros + 1
        WHERE agent_id = (SELECT max(agent_id) FROM ledger.account WHERE balance_micros > 0)""",
        {BALANCE, ZERO},
    ),
    "a removed grant": (
        "DELETE FROM ledger.command WHERE type = 'credits_granted' AND reason = 0",
        {COUNTED, BALANCE, DIGESTS},
    ),
    "an edited transfer": (
        """UPDATE ledger.command SET amount_micros = amount_micros + 1
        WHERE recipient IS NOT NULL AND reason = 0""",
        {BALANCE, DIGESTS},
    ),
    "a deleted window": (
        f"""DELETE FROM ledger."window" WHERE window_id = ({ANY_WINDOW})""",
        {NEXT, PLACE},
    ),
    "a window deleted with all that is of it": (
        f"""
        DELETE FROM ledger.bid WHERE window_id = ({ANY_WINDOW});
        DELETE FROM ledger.command WHERE window_id = ({ANY_WINDOW});
        DELETE FROM ledger.dead_letter WHERE window_id = ({ANY_WINDOW});
        DELETE FROM ledger.price WHERE window_id = ({ANY_WINDOW});
        DELETE FROM ledger.market_window WHERE window_id = ({ANY_WINDOW});
        DELETE FROM ledger."window" WHERE window_id = ({ANY_WINDOW})
        """,
        {NEXT},
    ),
    "the last window deleted": (
        """DELETE FROM ledger."window" WHERE window_id = (
            SELECT max(window_id) FROM ledger."window")""",
        {NEXT},
    ),
    "the first window deleted": (
        """DELETE FROM ledger."window" WHERE window_id = (
            SELECT min(window_id) FROM ledger."window")""",
        {NEXT},
    ),
    "a broken chain": (
        f"""UPDATE ledger."window" SET prev_digest = sha256('x')
        WHERE window_id = ({ANY_WINDOW})""",
        {NEXT, DIGESTS},
    ),
    "an edited digest": (
        f"""UPDATE ledger."window" SET digest = sha256('x') WHERE window_id = ({ANY_WINDOW})""",
        {NEXT, DIGESTS},
    ),
    "an edited price": (
        "UPDATE ledger.price SET clearing_micros = 3 * clearing_micros WHERE sold > 0",
        {PAYS, DIGESTS},
    ),
    "edited figures of a market": (
        "UPDATE ledger.market_window SET bids = bids + 1",
        {COUNTED, DIGESTS},
    ),
    "a bid that no window has": (
        f"""INSERT INTO ledger.bid SELECT (jsonb_populate_record(
            NULL::ledger.bid, to_jsonb(it) || '{{"seq": 999999999, "window_id": 999999999999}}'
        )).* FROM ({A_WON_BID}) AS it""",
        {PLACE, BALANCE},
    ),
}


def replayed(folder: Path, dsn: str, log: str) -> str:
    """A ledger that a recorded log gave."""
    file = folder / f"{log}.jsonl"
    file.write_bytes(gzip.decompress((HERE / f"{log}.jsonl.gz").read_bytes()))
    replay(file, postgres_dsn=dsn, window_ms=WINDOW_MS, batch_size=100)
    return dsn


@pytest.fixture(scope="module")
def whole(postgres: str, tmp_path_factory: pytest.TempPathFactory) -> str:
    """The name of a database with a ledger that nobody touched."""
    with psycopg.connect(postgres, autocommit=True) as admin:
        admin.execute("CREATE DATABASE books_whole TEMPLATE template0")
    dsn = make_conninfo(postgres, dbname="books_whole")
    replayed(tmp_path_factory.mktemp("books"), dsn, LOG)
    return "books_whole"


@pytest.fixture
def dsn(postgres: str, whole: str) -> Iterator[str]:
    """A copy of it, for one test."""
    with psycopg.connect(postgres, autocommit=True) as admin:
        admin.execute(f"CREATE DATABASE books TEMPLATE {whole}")
        yield make_conninfo(postgres, dbname="books")
        admin.execute("DROP DATABASE books WITH (FORCE)")


@pytest.fixture
def touched(dsn: str) -> Iterator[Connection]:
    """A connection of whoever wants to change it."""
    with psycopg.connect(dsn, autocommit=True) as conn:
        yield conn


def broken(dsn: str, market: str | None = None) -> dict[str, Verdict]:
    verdicts = audit_books(dsn, market=market, progress=lambda _doing, _done, _total: None)
    assert len(verdicts) >= 12
    return {verdict.promise: verdict for verdict in verdicts if verdict.violations}


@pytest.mark.parametrize("log", expected())
def test_the_books_of_a_market_hold(empty_dsn: str, tmp_path: Path, log: str) -> None:
    """An audit that finds something in an honest ledger is soon not run any more."""
    assert {} == broken(replayed(tmp_path, empty_dsn, log))


@pytest.mark.parametrize("deed", DEEDS)
def test_what_was_done_to_a_ledger_is_found(touched: Connection, dsn: str, deed: str) -> None:
    """Whoever can write to the database can try; each way must be seen, by more than one check."""
    statements, must_break = DEEDS[deed]
    touched.execute(statements)
    found = broken(dsn)
    assert set() == must_break - set(found)


def test_a_deleted_bid_is_named(touched: Connection, dsn: str) -> None:
    """`Something is wrong` helps nobody who has a million bids."""
    row = touched.execute(
        f"SELECT a.market, it.window_id, it.seq, it.ord FROM ({A_WON_BID}) AS it "
        "JOIN ledger.account AS a USING (shard, account)"
    ).fetchone()
    assert row is not None
    market, window_id, seq, ordinal = row
    touched.execute(f"DELETE FROM ledger.bid WHERE {OF_IT}")
    (place,) = broken(dsn)[COUNTED].breaks
    assert (market, window_id) == (place.market, place.window_id)
    assert f" {seq}/{ordinal}" in place.detail.partition("no row has seq/ord")[2].replace(",", " ")
    assert {window_id} == {each.window_id for each in broken(dsn)[DIGESTS].breaks}


@pytest.mark.parametrize("deed", ["a doubled bid", "an edited payment"])
def test_a_row_is_named(touched: Connection, dsn: str, deed: str) -> None:
    """The row that was touched is the one to look at."""
    row = touched.execute(A_WON_BID).fetchone()
    assert row is not None
    statement, _ = DEEDS[deed]
    touched.execute(statement)
    check = ONCE if deed == "a doubled bid" else PAYS
    (place,) = broken(dsn)[check].breaks
    assert row[:2] == (place.seq, place.window_id)


def test_a_balance_is_named(touched: Connection, dsn: str) -> None:
    """The account that was touched is the one to look at."""
    row = touched.execute(
        "SELECT market, agent_id FROM walras.accounts WHERE balance_micros > 0 LIMIT 1"
    ).fetchone()
    assert row is not None
    touched.execute(
        "UPDATE ledger.account SET balance_micros = balance_micros + 5 "
        "WHERE market = %s AND agent_id = %s",
        row,
    )
    (place,) = broken(dsn)[BALANCE].breaks
    assert (row[0], True) == (place.market, f"agent {row[1]} has" in place.detail)
    assert BALANCE in broken(dsn, market=row[0])


def test_a_market_that_is_not_there_is_refused(touched: Connection, dsn: str) -> None:
    """A typing error must not look like books in order."""
    assert touched.closed is False
    with pytest.raises(SettingsError, match="there is no market nosuch"):
        broken(dsn, market="nosuch")


def test_the_role_for_reading_is_told(touched: Connection, dsn: str) -> None:
    """The digests are of tables that it may not read."""
    assert touched.closed is False
    with pytest.raises(WalrasError, match="this user may not read what the audit reads"):
        broken(make_conninfo(dsn, user="walras_reader"))
