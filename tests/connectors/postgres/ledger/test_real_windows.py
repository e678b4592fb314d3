"""The windows of random logs, settled by the real steps: in the ledger they are what they were."""

from collections.abc import Sequence
from dataclasses import fields, replace
from datetime import UTC, datetime, timedelta
from fractions import Fraction
from typing import Any, Final

import pytest
from psycopg import Connection

from connectors.postgres.ledger.transaction import commit_window, read_settlement
from flows.testing import settle_log
from state.accounts import Bid
from state.window import ClosedWindow, Settlement
from tests.connectors.postgres.asking import rows_of_view
from tests.connectors.postgres.windows import WINDOW_MS, claim_log
from tests.support.flow import rows_of
from tests.twin.random_logs import random_log
from tests.twin.rows import Row, Rows, in_order
from walras_schemas import BidStatus

EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def settled(seed: int, *, commands: int = 600) -> list[ClosedWindow]:
    return [*settle_log(random_log(seed, commands=commands), window_ms=WINDOW_MS).windows]


def commit_all(conn: Connection, windows: Sequence[ClosedWindow]) -> None:
    token = claim_log(conn).token
    for closed in windows:
        assert commit_window(conn, closed, token=token) is True


def view(conn: Connection, name: str, columns: set[str]) -> list[Row]:
    """A view's rows in the columns that the log decides."""
    rows = [row | {"timestamp_ns": row.get("timestamp")} for row in rows_of_view(conn, name)]
    return [{column: plain(row[column]) for column in columns} for row in rows]


def plain(shown: Any) -> Any:
    if isinstance(shown, datetime):
        return (shown - EPOCH) // timedelta(microseconds=1) * 1000
    return shown if shown is None or isinstance(shown, (str, bool, dict)) else int(shown)


def to_micros(rows: Rows) -> Rows:
    """The rows with their times cut to what a view's timestamp can show."""
    for field in fields(rows):
        for row in getattr(rows, field.name):
            if "timestamp_ns" in row:
                row["timestamp_ns"] -= row["timestamp_ns"] % 1000
    return rows


@pytest.mark.parametrize("seed", range(3))
def test_views_show_what_was_settled(conn: Connection, seed: int) -> None:
    """The views are the ledger for everyone but us."""
    windows = settled(seed)
    commit_all(conn, windows)
    expected = to_micros(rows_of(windows))
    shown = Rows()
    for field in fields(Rows):
        rows = getattr(expected, field.name)
        assert rows, f"the log has no {field.name}: choose another seed"
        setattr(shown, field.name, view(conn, field.name, set(rows[0])))
    assert in_order(expected) == in_order(shown)


@pytest.mark.parametrize("seed", range(3))
def test_windows_are_read_back(conn: Connection, seed: int) -> None:
    """What a crash left unpublished is published from the ledger, field for field."""
    windows = settled(seed)
    commit_all(conn, windows)
    for closed in windows:
        if isinstance(closed, Settlement):
            read = read_settlement(conn, 0, closed.window_id)
            assert replace(closed, listings=()) == read


@pytest.mark.parametrize("seed", range(3))
def test_a_restart_after_any_window_changes_nothing(conn: Connection, seed: int) -> None:
    """Whatever a restore forgets shows in some later window, and in every digest from there."""
    log = random_log(seed, commands=300)
    whole = settle_log(log, window_ms=WINDOW_MS).windows
    for restarts_after in range(0, len(whole), 7):
        commit_all(conn, whole[max(0, restarts_after - 7) : restarts_after])
        state = claim_log(conn)
        rest = [record for record in log if record.seq >= state.position.next_seq]
        again = settle_log(rest, window_ms=WINDOW_MS, shard=state).windows
        assert whole[restarts_after:] == again


def paradoxical(window: Settlement) -> set[tuple[int, int, int]]:
    """Bids of a window that lost at a density above the lowest winning one of their market."""
    reference = {(row.market, row.resource): row.reference_micros for row in window.prices}

    def density(bid: Bid) -> Fraction:
        weight = sum(reference[bid.market, name] * units for name, units in bid.demand.items())
        return Fraction(bid.limit_micros, weight)

    lowest: dict[str, Fraction] = {}
    for bid in window.bids:
        if bid.won:
            lowest[bid.market] = min(density(bid), lowest.get(bid.market, density(bid)))
    return {
        (window.window_id, bid.seq, bid.ord)
        for bid in window.bids
        if bid.status is BidStatus.LOST
        and bid.market in lowest
        and density(bid) > lowest[bid.market]
    }


@pytest.mark.parametrize("seed", range(3))
def test_paradoxical_rejections_are_shown(conn: Connection, seed: int) -> None:
    """A bid that lost to a lower one must be able to find out that it did."""
    windows = settled(seed)
    commit_all(conn, windows)
    expected = {found for w in windows if isinstance(w, Settlement) for found in paradoxical(w)}
    assert expected, "the log has none: choose another seed"
    rows = rows_of_view(conn, "paradoxical_rejections")
    assert expected == {(row["window_id"], row["seq"], row["ord"]) for row in rows}
