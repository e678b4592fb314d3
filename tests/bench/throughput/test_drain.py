"""A measured run settles the whole log, and proves it."""

import psycopg
import pytest

from bench.harness.resources import cpu_s, roots, watching
from bench.throughput.drain import percentile, work
from bench.throughput.verify import check_books, replay_digest, require_same
from flows.runtime.servers import Servers
from state.errors import LedgerDiverged
from tests.bench.conftest import WORKLOAD, Bench


def test_every_command_is_settled_and_proven(bench: Bench, ledger: Servers) -> None:
    """A rate over commands that were dropped, or settled wrong, is no rate."""
    drained = work(bench.task(ledger))
    assert WORKLOAD.bids == drained.commands
    assert [drained.commands] == [commands for _, commands in drained.progress[-1:]]
    assert 0.4 < drained.lost_share < 0.6
    assert 0 < drained.commit_ms_p50 <= drained.commit_ms_p99 < 1000 * drained.seconds
    check_books(ledger)
    require_same(drained.digest, replayed=replay_digest(bench.stand))


def test_books_that_do_not_add_up_leave_no_figure(bench: Bench, ledger: Servers) -> None:
    """A fast flow that pays wrong would win."""
    work(bench.task(ledger))
    with psycopg.connect(ledger.postgres_dsn) as owner:
        owner.execute("UPDATE ledger.account SET balance_micros = balance_micros + 1")
    with pytest.raises(LedgerDiverged, match="a balance is the sum of its transactions"):
        check_books(ledger)


def test_another_digest_leaves_no_figure() -> None:
    """The measured ledger has to be the log's, not only a right one."""
    with pytest.raises(LedgerDiverged, match="digest bb, the measured run gave aa"):
        require_same("aa", replayed="bb")


def test_use_is_counted_by_kind(bench: Bench) -> None:
    """Costs that are booked on another process hide where the time goes."""
    kinds = roots(bench.stand.home, worker=1)
    assert ["broker", "worker", "database"] == list(kinds)
    assert min(cpu_s(kinds).values()) > 0
    with watching({"database": kinds["database"]}) as watch:
        pass
    assert 1 < watch.peak_mib["database"] < 4096


def test_percentiles_are_those_of_the_values() -> None:
    """A p99 that is an average of the rest hides what it is asked for."""
    values = [float(value) for value in range(101)]
    assert (50.0, 99.0) == (percentile(values, 50), percentile(values, 99))
    assert 7.0 == percentile([7.0], 99)
