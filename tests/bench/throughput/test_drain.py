"""A measured run settles the whole log, and is verified."""

import psycopg
import pytest

from bench.harness.resources import cpu_s, root_pids, sampling_memory
from bench.throughput.drain import drain_here, percentile
from bench.throughput.verify import audit, replay_digest, require_same
from flows.runtime.servers import Servers
from state.errors import LedgerDiverged
from tests.bench.conftest import WORKLOAD, Bench


def test_every_command_is_settled_and_verified(bench: Bench, ledger: Servers) -> None:
    """A rate over commands that were dropped, or settled wrong, is worthless."""
    drained = drain_here(bench.task(ledger))
    assert WORKLOAD.bids == drained.commands
    assert [drained.commands] == [commands for _, commands in drained.progress[-1:]]
    assert 0.4 < drained.lost_share < 0.6
    assert 0 < drained.commit_ms_p50 <= drained.commit_ms_p99 < 1000 * drained.seconds
    audit(ledger)
    require_same(drained.digest, replayed=replay_digest(bench.testbed))


def test_a_ledger_that_fails_its_audit_leaves_no_figure(bench: Bench, ledger: Servers) -> None:
    """A fast flow that pays wrong would win."""
    drain_here(bench.task(ledger))
    with psycopg.connect(ledger.postgres_dsn) as owner:
        owner.execute("UPDATE ledger.account SET balance_micros = balance_micros + 1")
    with pytest.raises(LedgerDiverged, match="a balance is the sum of its transactions"):
        audit(ledger)


def test_another_digest_leaves_no_figure() -> None:
    """The measured ledger has to be that of the log, not only a valid one."""
    with pytest.raises(LedgerDiverged, match="digest bb, the measured run gave aa"):
        require_same("aa", replayed="bb")


def test_cost_is_counted_by_kind(bench: Bench) -> None:
    """Costs that are counted for another process hide where the time goes."""
    kinds = root_pids(bench.testbed.home, worker=1)
    assert ["broker", "worker", "database"] == list(kinds)
    assert min(cpu_s(kinds).values()) > 0
    with sampling_memory({"database": kinds["database"]}) as memory:
        pass
    assert 1 < memory.peak_mib["database"] < 4096


def test_percentiles_are_those_of_the_values() -> None:
    """A p99 that is an average hides the slow runs that it is asked for."""
    values = [float(value) for value in range(101)]
    assert (50.0, 99.0) == (percentile(values, 50), percentile(values, 99))
    assert 7.0 == percentile([7.0], 99)
