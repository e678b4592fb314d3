"""Closing the writer ends every wait for Postgres, whatever Postgres does."""

from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Final

import pytest
from psycopg import Connection

from connectors.postgres.writer import LedgerWriters
from state.errors import ServerUnreachable
from state.shard import ShardState
from tests.connectors.postgres.asking import counts, someone_waits_for_a_lock, wait_until
from tests.connectors.postgres.windows import busy_window, claim_log

AT_ONCE_S: Final = 5


@pytest.fixture
def claimed(conn: Connection) -> ShardState:
    return claim_log(conn)


def test_a_server_that_is_silent(conn: Connection, dsn: str, claimed: ShardState) -> None:
    """It has received the query: neither a deadline nor a lost connection ends the wait."""
    writers = LedgerWriters(dsn, {0: claimed})
    with ThreadPoolExecutor(1) as threads, conn.transaction():
        conn.execute("LOCK TABLE ledger.shard")
        waiting = threads.submit(writers.of(0).commit, busy_window())
        wait_until(lambda: someone_waits_for_a_lock(dsn))
        writers.close()
        with pytest.raises(ServerUnreachable, match="the flow stopped while it waited"):
            waiting.result(AT_ONCE_S)
    assert 0 == counts(conn)["windows"]


def test_a_server_that_is_unavailable(
    claimed: ShardState, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """The waits between retries add up to minutes."""
    writers = LedgerWriters(f"host={tmp_path}", {0: claimed})
    with ThreadPoolExecutor(1) as threads:
        waiting = threads.submit(writers.of(0).commit, busy_window())
        wait_until(lambda: bool(caplog.records))
        writers.close()
        with pytest.raises(ServerUnreachable, match="the flow stopped while it waited"):
            waiting.result(AT_ONCE_S)


def test_a_closed_writer_writes_nothing(dsn: str, claimed: ShardState, conn: Connection) -> None:
    """A thread that was left behind must not write beside its successor."""
    writers = LedgerWriters(dsn, {0: claimed})
    writers.of(0).close()
    with pytest.raises(ServerUnreachable):
        writers.of(0).commit(busy_window())
    assert 0 == counts(conn)["windows"]
