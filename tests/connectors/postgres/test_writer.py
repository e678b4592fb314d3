"""Whatever happens to Postgres during a commit: the window is in the ledger once, or all stops."""

import logging
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from dataclasses import replace
from pathlib import Path
from select import select
from socket import AF_UNIX, socket
from tempfile import TemporaryDirectory
from threading import Thread
from typing import Final

import pytest
from psycopg import Connection
from psycopg.conninfo import conninfo_to_dict, make_conninfo

from connectors.postgres.connection import connect
from connectors.postgres.writer import LedgerWriters
from state.errors import LedgerDiverged, ServerUnreachable, ShardReplaced, WalrasError
from state.shard import ShardState
from state.window import Settlement
from tests.connectors.postgres.asking import counts, end_sessions, rows_of_view, value, wait_until
from tests.connectors.postgres.windows import InTheMiddle, busy_window, claim_log, price, window

RETRY_LIMIT_S: Final = 0.5
"""Long enough for the first retry on any machine."""


class LosesAReply:
    """A proxy before the server that disconnects once, when a COMMIT went through."""

    def __init__(self, dsn: str, folder: Path) -> None:
        given = conninfo_to_dict(dsn)
        self.dsn = make_conninfo(dsn, host=str(folder), port="5432")
        self.lost = False
        self._server = str(Path(str(given["host"])) / f".s.PGSQL.{given.get('port') or 5432}")
        self._listener = socket(AF_UNIX)
        self._listener.bind(str(folder / ".s.PGSQL.5432"))
        self._listener.listen()
        Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._listener.close()

    def _serve(self) -> None:
        with suppress(OSError):  # the listener was closed
            while True:
                client, _ = self._listener.accept()
                with client, socket(AF_UNIX) as server:
                    server.connect(self._server)
                    self._pass_on(client, server)

    def _pass_on(self, client: socket, server: socket) -> None:
        committing = False
        while True:
            ready = client if client in select([client, server], [], [])[0] else server
            received = ready.recv(1 << 16)
            if not received or (committing and ready is server):
                self.lost = self.lost or committing
                return
            committing = not self.lost and ready is client and b"COMMIT" in received
            (server if ready is client else client).sendall(received)


@pytest.fixture
def proxy(dsn: str) -> Iterator[LosesAReply]:
    with TemporaryDirectory(prefix="walras-") as folder:
        opened = LosesAReply(dsn, Path(folder))
        yield opened
        opened.close()


@pytest.fixture
def claimed(conn: Connection) -> ShardState:
    return claim_log(conn)


@pytest.fixture
def writers(dsn: str, claimed: ShardState) -> Iterator[LedgerWriters]:
    made = LedgerWriters(dsn, {0: claimed}, retry_limit_s=RETRY_LIMIT_S)
    yield made
    made.close()


def after_rows(closed: Settlement, happens: Callable[[], object]) -> Settlement:
    """The window, with something that happens once when all but its prices is written."""
    return replace(closed, prices=InTheMiddle([price()], happens))


def test_windows_are_passed_on_when_they_are_committed(
    conn: Connection, writers: LedgerWriters
) -> None:
    """What is published before it is committed may never have happened."""
    step = writers.commit_step(0)
    first = busy_window()
    second = window(after=first)
    assert [(first,), (second,)] == [step(first), step(second)]
    assert 2 == counts(conn)["windows"]


def test_a_connection_killed_in_the_middle(
    conn: Connection, dsn: str, writers: LedgerWriters, caplog: pytest.LogCaptureFixture
) -> None:
    """A restart of Postgres must cost a wait, not a window and not the process."""
    caplog.set_level(logging.INFO, "connectors.postgres.writer")
    ended: list[int] = []
    first = after_rows(
        busy_window(), lambda: ended.append(end_sessions(dsn, running="COPY ledger.price"))
    )
    assert (first,) == writers.of(0).commit(first)
    assert [1] == ended
    assert {"windows": 1, "bids": 2, "commands": 2} == {
        view: count
        for view, count in counts(conn).items()
        if view in ("windows", "bids", "commands")
    }
    assert [logging.WARNING, logging.INFO] == [record.levelno for record in caplog.records]
    lost, found = caplog.messages
    assert lost.startswith("shard 0: postgres unavailable, retrying: ")
    assert found.startswith("shard 0: postgres available again after ")
    assert [0, 0] == [vars(record)["shard"] for record in caplog.records]


def test_a_connection_lost_between_windows(dsn: str, writers: LedgerWriters) -> None:
    """It is found dead only by the next commit."""
    first = busy_window()
    writers.of(0).commit(first)
    assert end_sessions(dsn, running="") >= 1
    writers.of(0).commit(window(after=first))
    with connect(dsn) as reader:
        assert 2 == counts(reader)["windows"]


def test_a_commit_whose_answer_is_lost(
    conn: Connection, claimed: ShardState, proxy: LosesAReply
) -> None:
    """The window is there, and the reply is not: a retry must find it, and not add it again."""
    writers = LedgerWriters(proxy.dsn, {0: claimed}, retry_limit_s=RETRY_LIMIT_S)
    first = busy_window()
    assert (first,) == writers.of(0).commit(first)
    assert proxy.lost
    assert {"a1": 70, "a2": 50, "house": 30, "treasury": -150} == {
        row["agent_id"]: int(row["balance_micros"]) for row in rows_of_view(conn, "accounts")
    }
    assert 1 == counts(conn)["windows"]
    second = window(after=first)
    assert (second,) == writers.of(0).commit(second)
    writers.close()


def test_no_server_for_longer_than_the_retry_limit(
    claimed: ShardState, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """A worker that retries for ever looks healthy to the operator who could repair it."""
    writers = LedgerWriters(f"host={tmp_path}", {0: claimed}, retry_limit_s=RETRY_LIMIT_S)
    with pytest.raises(ServerUnreachable, match="Postgres does not answer"):
        writers.of(0).commit(busy_window())
    assert 1 == len(caplog.records)


def test_a_lock_that_is_not_released(conn: Connection, dsn: str, claimed: ShardState) -> None:
    """A server that answers and never grants the lock is an outage like any other."""
    writers = LedgerWriters(
        f"{dsn} options='-c lock_timeout=10ms'", {0: claimed}, retry_limit_s=RETRY_LIMIT_S
    )
    with conn.transaction():
        conn.execute("LOCK TABLE ledger.shard")
        with pytest.raises(ServerUnreachable, match="did not give a lock in time"):
            writers.of(0).commit(busy_window())
    writers.close()


def test_a_replaced_writer_stops_at_once(conn: Connection, writers: LedgerWriters) -> None:
    """No retry helps against a successor."""
    claim_log(conn)
    with pytest.raises(ShardReplaced):
        writers.of(0).commit(busy_window())
    assert 0 == counts(conn)["windows"]


def test_a_shard_has_one_connection(conn: Connection, writers: LedgerWriters) -> None:
    """With two for each of 64 shards Postgres would have none left for other clients."""
    first = busy_window()
    writers.commit_step(0)(first)
    writers.of(0).commit(window(after=first))
    others = "SELECT count(*) FROM pg_stat_activity WHERE application_name = 'walras'"
    wait_until(lambda: value(conn, others) == 2)  # ours and the writer's


@pytest.fixture
def without_prices(conn: Connection) -> Iterator[None]:
    conn.execute("ALTER TABLE ledger.price RENAME TO elsewhere")
    yield
    conn.execute("ALTER TABLE ledger.elsewhere RENAME TO price")


@pytest.mark.usefixtures("without_prices")
def test_a_ledger_that_lost_a_table_is_reported(writers: LedgerWriters) -> None:
    """A backup that is restored under a running deployment: no retry repairs that."""
    with pytest.raises(WalrasError, match=r"Postgres refused a window of shard 0: .*ledger\.price"):
        writers.of(0).commit(busy_window())


@pytest.mark.usefixtures("without_prices")
def test_a_ledger_that_comes_back_without_a_table(
    dsn: str, claimed: ShardState, tmp_path: Path
) -> None:
    """Backups are restored during outages: the refusal after one needs its hint as well."""
    addresses = [f"host={tmp_path}", dsn]
    writers = LedgerWriters(dsn, {0: claimed}, connect=lambda _: connect(addresses.pop(0)))
    with closing(writers), pytest.raises(WalrasError, match="Postgres refused a window of shard 0"):
        writers.of(0).commit(busy_window())


def test_a_ledger_that_was_emptied_is_reported(conn: Connection, writers: LedgerWriters) -> None:
    """The shard's row is the right to write: without it no writer can resume."""
    conn.execute("DELETE FROM ledger.shard")
    with pytest.raises(LedgerDiverged, match="shard 0 is not in the ledger"):
        writers.of(0).commit(busy_window())
