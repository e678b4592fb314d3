"""The windows of random logs, settled by the real steps: in the ledger they are what they were."""

from collections.abc import Iterable
from dataclasses import fields
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from psycopg import Connection

from state.window import ClosedWindow, EmptyWindow
from tests.connectors.postgres.asking import OF_METERS, VIEWS, rows_of_view
from tests.connectors.postgres.settled import commit_all, settle_rest, settled
from tests.connectors.postgres.windows import WINDOW_MS, claim_log
from tests.golden.recorded import read as golden
from tests.operators.steps import settle
from tests.support.rows import rows_of
from tests.twin.random_logs import random_log
from tests.twin.rows import Row, Rows, in_order

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def view(conn: Connection, name: str, columns: Iterable[str]) -> list[Row]:
    """A view's rows in the columns that the log decides."""
    rows = [
        {f"{column}_us" if isinstance(shown, datetime) else column: shown for column, shown in each}
        for each in (row.items() for row in rows_of_view(conn, name))
    ]
    return [{column: plain(row[column]) for column in columns} for row in rows]


def plain(shown: Any) -> Any:
    if isinstance(shown, datetime):
        return (shown - EPOCH) // timedelta(microseconds=1)
    return shown if shown is None or isinstance(shown, (str, bool, dict, bytes)) else int(shown)


@pytest.mark.parametrize("seed", [2, 4, 12])
def test_views_show_what_was_settled(conn: Connection, seed: int) -> None:
    """The views are the ledger for everyone but us."""
    windows = settled(seed)
    commit_all(conn, windows)
    expected = rows_of(windows, window_ms=WINDOW_MS)
    expected.agent_results, expected.window_messages = [], []
    shown = Rows()
    for name in sorted({field.name for field in fields(Rows)} & set(VIEWS)):
        rows = getattr(expected, name)
        assert rows, f"the log has no {name}: choose another seed"
        setattr(shown, name, view(conn, name, set(rows[0])))
    assert in_order(expected) == in_order(shown)


def digests(windows: list[ClosedWindow]) -> list[tuple[int, bytes]]:
    """What tells two runs apart: the rows are covered by the digests."""
    return [
        (closed.next_seq, b"" if isinstance(closed, EmptyWindow) else closed.digest)
        for closed in windows
    ]


@pytest.mark.parametrize("seed", range(3))
def test_a_restart_after_any_window_changes_nothing(conn: Connection, seed: int) -> None:
    """Whatever a restore forgets shows in some later window, and in every digest from there."""
    log = random_log(seed, commands=300)
    whole = settled(seed, commands=300)
    for restarts_after in range(0, len(whole), 7):
        commit_all(conn, whole[max(0, restarts_after - 7) : restarts_after])
        again = settle_rest(log, claim_log(conn))
        assert digests(whole[restarts_after:]) == digests(again)


def test_meters_go_on_after_a_restart(conn: Connection) -> None:
    """Holds, draws and lots that came back changed would show in what is left of the lots."""
    log = golden("meters")
    whole = settle(log, window_ms=WINDOW_MS)
    expected = rows_of(whole, window_ms=WINDOW_MS)
    done = 0
    for restarts_after in range(5, len(whole), 5):
        commit_all(conn, whole[done:restarts_after])
        done = restarts_after
        again = rows_of([*whole[:done], *settle_rest(log, claim_log(conn))], window_ms=WINDOW_MS)
        assert in_order(expected) == in_order(again)
    commit_all(conn, whole[done:])
    for name in OF_METERS:
        rows = getattr(expected, name)
        assert sorted(rows, key=str) == sorted(view(conn, name, list(rows[0])), key=str)
