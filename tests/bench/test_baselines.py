"""The peers do the job that they are timed for: whole windows, within the supply, paid for."""

import sys
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from bench.baselines.contract import Job, Peer
from bench.baselines.pathway_run import run_pathway
from bench.baselines.registry import PEERS, line_up
from bench.workload import GRANT_MICROS
from flows.runtime.servers import Servers
from state.errors import WalrasError
from tests.bench.conftest import WORKLOAD, Bench

of_each = pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.key)


@pytest.fixture
def books(database: Servers) -> Iterator[psycopg.Connection]:
    with psycopg.connect(database.postgres_dsn, autocommit=True) as connection:
        yield connection


@of_each
def test_every_bid_gets_its_outcome(
    bench: Bench, database: Servers, books: psycopg.Connection, peer: Peer
) -> None:
    """A peer that drops bids, sells too much or lets nobody pay is no peer."""
    run = peer.run(bench.job(database))
    assert (WORKLOAD.bids, 0) == (run.settled, run.dropped)
    assert run.bid_rate > 0
    windows = books.execute(
        """
        SELECT sum(quantity), sum(won), min(price) FILTER (WHERE won = quantity),
            max(price) FILTER (WHERE won = 0)
        FROM bid GROUP BY window_id, resource
        """
    ).fetchall()
    assert 3 * 4 == len(windows)
    for asked, won, _, _ in windows:
        assert min(WORKLOAD.supply, asked) == won
    assert [] == [window for window in windows if window[3] and window[3] > window[2]]
    paid = books.execute("SELECT sum(price * won) FROM bid").fetchall()
    spent = books.execute(f"SELECT sum({GRANT_MICROS} - balance) FROM account").fetchall()  # noqa: S608
    assert paid == spent


@of_each
def test_a_slow_peer_settles_what_it_has_read(bench: Bench, database: Servers, peer: Peer) -> None:
    """Bids that were counted and left open would be work that nobody did."""
    run = peer.run(bench.job(database, bids_max=100))
    assert 0 == run.dropped
    assert 100 <= run.settled < WORKLOAD.bids


def test_pathway_takes_part_only_where_it_is_given() -> None:
    """It is far too large to be installed for everyone."""
    assert ["a", "b", "c"] == [peer.key for peer in line_up(None)]
    assert ["a", "b", "c", "d"] == [peer.key for peer in line_up(Path("python"))]


def test_a_python_without_pathway_is_told(bench: Bench, database: Servers) -> None:
    """Two minutes of waiting for a program that has ended tell nothing."""
    with pytest.raises(WalrasError, match="No module named 'pathway'"):
        run_pathway(Path(sys.executable), bench.job(database))


def test_a_batch_of_a_peer_is_counted_in_bids() -> None:
    """A fetch of 500 messages of 100 bids would keep a slow peer busy for minutes."""
    job = Job(nats_url="", dsn="", workload=WORKLOAD, last_seq=300, bids_max=1)
    assert [250, 20] == [job.fetch(0), job.fetch(280)]
