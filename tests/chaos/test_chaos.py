"""A short chaos run, and the proof that its checker would have seen what it says was not there."""

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import pytest
from psycopg import Connection

from connectors.postgres.connection import connect
from tests.chaos.checker import check_books, check_replay
from tests.chaos.run import chaos, keep_evidence
from tests.chaos.schedule import Kind
from tests.chaos.verdict import (
    LOG,
    Report,
    check_all,
    judge,
    judged_outcomes,
    judged_results,
    judged_windows,
)
from tests.chaos.watchers import Reader, caught_up_after_s, lag_windows
from tests.crash.books import books, database
from tests.support.eventually import eventually
from tests.support.servers import open_folder
from walras_client.nats.jetstream import NS_PER_S

SEED = 232
LENGTH_S = 17.0
WITHIN_NS = 60 * NS_PER_S
"""Longer than any result was under way."""

pytestmark = [
    pytest.mark.timeout(600),
    # nats-py leaves the socket of an attempt to reconnect that got no answer to the collector.
    pytest.mark.filterwarnings("ignore:unclosed <StreamWriter:ResourceWarning"),
]


@pytest.fixture(scope="module")
def report() -> Iterator[Report]:
    with open_folder() as folder, chaos(SEED, LENGTH_S, folder) as run:
        yield judge(run)
    gc.collect()  # now, and not while a test runs that takes it for its own


def test_nothing_is_lost_and_nothing_is_there_twice(report: Report) -> None:
    """Each part of a deployment dies, alone and beside others: the books must not notice."""
    assert [] == [str(check) for check in report.checks if not check.holds]
    assert {Kind.WORKER_KILL, Kind.BROKER_KILL, Kind.DATABASE_KILL, Kind.WORKER_REPLACED} <= {
        fault.kind for fault in report.run.injected
    }
    assert all(check.of for check in report.checks)
    assert report.commands > 1000
    assert report.recoveries


WINNERS = """
    SELECT seq, ord, window_id, market, agent_id
    FROM ledger.bid JOIN ledger.account USING (shard, account)
    WHERE won > 0 AND resource >= 0 ORDER BY seq, ord
"""
ONE_WINDOW = """
    (market, window_id) =
    (SELECT market, window_id FROM ledger.market_window WHERE bids > 0 ORDER BY 2, 1 LIMIT 1)
"""
LEFT_OUT = "DELETE FROM ledger.bid WHERE {one}"
TWICE = """
    INSERT INTO ledger.dead_letter (seq, ord, window_id, timestamp, shard, rest_ns, subject, error,
        payload, payload_bytes)
    SELECT seq, ord, window_id, timestamp, shard, 0, '', '', '', 0 FROM ledger.bid WHERE {one}
"""
OF_NOTHING = TWICE.replace("SELECT seq, ord", "SELECT seq, 999")
OTHER_STATUS = "UPDATE ledger.bid SET status = 2 WHERE {one}"
OTHER_PAYMENT = "UPDATE ledger.bid SET paid_micros = paid_micros + 1 WHERE {one}"
OTHER_PRIZE = "UPDATE ledger.bid SET won = won + 1 WHERE {one}"
NOT_READ = "UPDATE ledger.shard SET next_seq = 9"
NO_WINDOW = "DELETE FROM ledger.market_window WHERE {window}"
OTHER_COUNT = "UPDATE ledger.market_window SET bids = bids + 1 WHERE {window}"
OTHER_PRICE = """
    UPDATE ledger.price SET reference_micros = reference_micros + 1
    WHERE resource = 'cpu' AND {window}
"""


@contextmanager
def tampered(report: Report, statement: str) -> Iterator[Connection]:
    """The ledger with a change that nobody else sees and that is undone after the block."""
    with (
        connect(report.run.servers.postgres_dsn) as ledger,
        ledger.transaction(force_rollback=True),
    ):
        seq, ord_ = heard_winner(report, ledger)
        one = f"seq = {seq} AND ord = {ord_}"
        tamper = statement.format(one=one, window=ONE_WINDOW)
        assert 1 == ledger.execute(tamper.encode()).rowcount
        yield ledger


def heard_winner(report: Report, ledger: Connection) -> tuple[int, int]:
    """Where the first bid lies that won and whose result was heard live."""
    heard = {each.key for each in report.run.heard}
    rows = ledger.execute(WINNERS).fetchall()
    return next((seq, ord_) for seq, ord_, *key in rows if tuple(key) in heard)


@pytest.mark.parametrize("tamper", [LEFT_OUT, TWICE, OF_NOTHING, NOT_READ])
def test_a_missing_or_a_second_outcome_is_seen(report: Report, tamper: str) -> None:
    """A lost command is one row less among many; one that acts twice is one more."""
    with tampered(report, tamper) as ledger:
        assert not judged_outcomes(report.evidence, ledger).holds


@pytest.mark.parametrize("tamper", [LEFT_OUT, OTHER_STATUS, OTHER_PAYMENT, OTHER_PRIZE])
def test_a_result_that_differs_from_the_ledger_is_seen(report: Report, tamper: str) -> None:
    """Agents act on the results they get: they have to be what was booked."""
    with tampered(report, tamper) as ledger:
        assert not judged_results(report.run, ledger).holds


@pytest.mark.parametrize("tamper", [NO_WINDOW, OTHER_COUNT, OTHER_PRICE])
def test_a_window_that_differs_from_the_ledger_is_seen(report: Report, tamper: str) -> None:
    """The pricing flow and whoever charts a market have nothing but the stream."""
    with tampered(report, tamper) as ledger:
        assert 1 == len(judged_windows(report.evidence, ledger).violations)


def test_a_result_that_came_too_often_or_too_early_is_seen(report: Report) -> None:
    """Whoever acts on a result before its commit acts on what may never have been."""
    heard = report.run.heard
    early = replace(heard[0], arrived_ns=heard[0].arrived_ns - WITHIN_NS)
    unknown = replace(heard[0], key=(0, "bazaar", "a1"))
    with connect(report.run.servers.postgres_dsn) as ledger:
        for forged in ([*heard, heard[0]], [early, *heard[1:]], [unknown, *heard[1:]]):
            assert not judged_results(replace(report.run, heard=forged), ledger).holds


def test_a_window_that_is_missing_or_there_twice_is_seen(report: Report) -> None:
    """A missing one is what a crash between commit and publishing leaves behind."""
    windows = report.evidence.windows
    with connect(report.run.servers.postgres_dsn) as ledger:
        for forged in (windows[1:], windows[:-1], [*windows, windows[0]], windows[::-1]):
            assert not judged_windows(replace(report.evidence, windows=forged), ledger).holds


def test_other_books_are_seen(report: Report) -> None:
    """A sum that is not zero, a sale of what was not there, a ledger that is not the log's."""
    with database(report.run.servers.postgres_dsn, template="walras") as dsn:
        with connect(dsn) as owner:
            owner.execute("UPDATE ledger.account SET balance_micros = balance_micros + 1")
            owner.execute("ALTER TABLE ledger.price DROP CONSTRAINT price_check")
            owner.execute("UPDATE ledger.price SET supply = 0")
        with Reader(dsn) as reader:
            eventually(lambda: reader.reads)
        broken = {check.promise for check in check_books(dsn) if not check.holds}
        again = check_replay(books(dsn), report.evidence.of_replay)
    assert {
        "the balances of a market sum to zero",
        "a balance is the sum of its transactions",
        "no more is sold than there is",
    } <= broken
    assert reader.wrong
    assert {"account", "rows of account", "rows of price"} <= {
        named.rpartition(":")[0] or named.split()[0] for named in again.violations
    }


def test_a_digest_that_is_another_is_seen(report: Report) -> None:
    """The digest is what two people compare who do not trust each other's rows."""
    expected = report.evidence.of_replay
    window, *others = expected.windows
    forged = replace(expected, windows=[(*window[:3], "0" * 64), *others])
    assert not check_replay(forged, expected).holds
    assert not check_replay(replace(expected, windows=others), expected).holds
    assert check_replay(expected, expected).holds


def test_a_run_that_stayed_behind_is_seen(report: Report) -> None:
    """A deployment that loses nothing, and settles nothing either, is no market."""
    stuck = replace(report.run, lags_s=[None])
    checks = check_all(replace(report.evidence, run=stuck), stuck.servers.postgres_dsn)
    assert ["the lag returned to 0 when it was quiet"] == [
        check.promise for check in checks if not check.holds
    ]


def test_windows_that_close_without_a_worker_are_a_lag(report: Report) -> None:
    """A lag that is 0 whatever happens lets every quiet period pass."""
    eventually(lambda: lag_windows(report.run.servers) > 1)
    assert None is caught_up_after_s(report.run.servers, within_s=0.3)


def test_the_evidence_is_kept(report: Report) -> None:
    """A failure that was seen once and cannot be looked at is a rumour."""
    keep_evidence(report.run)
    folder = report.run.pair.folder
    assert (folder / "schedule.txt").read_text().count("Fault(") == len(report.run.injected)
    assert "COPY ledger.bid" in (folder / "ledger.sql").read_text()
    assert len((folder / LOG).read_bytes().splitlines()) <= len(report.evidence.log.seqs)
    assert "ready" in (folder / "worker-001.log").read_text()
