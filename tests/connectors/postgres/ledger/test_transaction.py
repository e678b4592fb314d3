"""A window is in the ledger as a whole and once, in its place, by the one who may write it."""

from collections.abc import Callable
from dataclasses import replace
from threading import Thread
from typing import Final

import pytest
from psycopg import Connection

from connectors.postgres.connection import connect
from connectors.postgres.ledger.transaction import commit_window
from state.errors import LedgerDiverged, LogGap, ShardReplaced
from state.shard import Position, ShardState
from state.window import EmptyWindow, Settlement
from tests.connectors.postgres.asking import (
    counts,
    rows_of_view,
    someone_waits_for_a_lock,
    wait_until,
)
from tests.connectors.postgres.windows import (
    InTheMiddle,
    balances,
    busy_window,
    claim_log,
    dead_letter,
    grant,
    idle,
    listing,
    lost,
    price,
    transfer,
    window,
    won,
)

EMPTY: Final = {
    "bids": 0,
    "allocations": 0,
    "transactions": 0,
    "commands": 0,
    "accounts": 0,
    "windows": 0,
    "prices": 0,
    "market_windows": 0,
    "dead_letters": 0,
}
BUSY: Final = {
    "bids": 2,
    "allocations": 1,
    "transactions": 6,
    "commands": 2,
    "accounts": 4,
    "windows": 1,
    "prices": 1,
    "market_windows": 1,
    "dead_letters": 1,
}


def position(conn: Connection) -> Position:
    return claim_log(conn).position


def writers(conn: Connection) -> dict[str, str]:
    """The transaction that wrote the row of each account."""
    return dict(conn.execute("SELECT agent_id, xmin::text FROM ledger.account").fetchall())


def test_first_commit(conn: Connection) -> None:
    """Each kind of row must arrive, and the position with them."""
    token = claim_log(conn).token
    first = busy_window()
    assert commit_window(conn, first, token=token) is True
    assert BUSY == counts(conn)
    assert Position(first.next_seq, first.stream_time_ns) == position(conn)


def test_a_window_after_another(conn: Connection) -> None:
    """The second window finds the accounts, listings and quotes of the first in its way."""
    token = claim_log(conn).token
    first = busy_window()
    second = window(
        after=first, commands=[grant(12, "a1", 5)], balances=balances(a1=75, treasury=-155)
    )
    assert [True, True] == [commit_window(conn, each, token=token) for each in (first, second)]
    shown = {row["agent_id"]: int(row["balance_micros"]) for row in rows_of_view(conn, "accounts")}
    assert {"a1": 75, "a2": 50, "house": 30, "treasury": -155} == shown


def test_only_accounts_that_moved_credits_are_written(conn: Connection) -> None:
    """Most agents of a window lose: writing their rows again would be most of its work."""
    token = claim_log(conn).token
    first = busy_window()
    second = window(
        after=first,
        commands=[transfer(12, "a1", "a3", 7), grant(13, "a4", 5)],
        bids=[lost(14, "a2"), won(15, "a1", 1, 9)],
        balances=balances(a1=54, a2=50, a3=7, a4=5, house=39, treasury=-155),
    )
    commit_window(conn, first, token=token)
    before = writers(conn)
    commit_window(conn, second, token=token)
    assert {"a1", "a3", "a4", "house", "treasury"} == {
        agent for agent, writer in writers(conn).items() if before.get(agent) != writer
    }
    shown = {row["agent_id"]: int(row["balance_micros"]) for row in rows_of_view(conn, "accounts")}
    assert {"a1": 54, "a2": 50, "a3": 7, "a4": 5, "house": 39, "treasury": -155} == shown


def test_idle_windows_move_the_position_and_leave_no_row(conn: Connection) -> None:
    """A shard that slept an hour must not fill the ledger, nor find a gap when it wakes."""
    token = claim_log(conn).token
    first = window(commands=[grant(1, "a1", 5)])
    tick = idle(first)
    later = replace(window(after=tick), prev_digest=first.digest)
    for closed in (first, tick, later):
        assert commit_window(conn, closed, token=token) is True
    assert 2 == counts(conn)["windows"]
    assert Position(later.next_seq, later.stream_time_ns) == position(conn)


def test_a_log_may_begin_with_idle_windows(conn: Connection) -> None:
    """The ticks start before the first market opens."""
    token = claim_log(conn).token
    tick = replace(idle(window()), first_seq=1, next_seq=3)
    assert commit_window(conn, tick, token=token) is True
    assert 3 == position(conn).next_seq


def test_the_same_window_again_is_skipped(conn: Connection) -> None:
    """A commit whose answer was lost is tried again: twice applied, every credit moves twice."""
    token = claim_log(conn).token
    first = busy_window()
    commit_window(conn, first, token=token)
    assert commit_window(conn, first, token=token) is False
    assert BUSY == counts(conn)


def test_an_idle_window_again_is_skipped(conn: Connection) -> None:
    """It leaves no row by which it could be known again."""
    token = claim_log(conn).token
    first = busy_window()
    tick = idle(first)
    for closed in (first, tick):
        commit_window(conn, closed, token=token)
    assert [False, False] == [commit_window(conn, each, token=token) for each in (tick, first)]


DIVERGED: Final[dict[str, Callable[[Settlement], Settlement | EmptyWindow]]] = {
    "another digest": lambda first: replace(first, digest=bytes(32)),
    "idle, though the ledger has rows": lambda first: EmptyWindow(
        0, first.window_id, first.first_seq, first.next_seq, first.stream_time_ns
    ),
    "rows, though the ledger has none": lambda first: replace(first, window_id=first.window_id - 1),
    "longer than the ledger's": lambda first: replace(first, next_seq=first.next_seq + 1),
}


@pytest.mark.parametrize("case", DIVERGED)
def test_another_window_in_the_same_place_is_refused(conn: Connection, case: str) -> None:
    """A log or a code that gives other rows for the same messages must stop, not continue."""
    token = claim_log(conn).token
    first = busy_window()
    commit_window(conn, first, token=token)
    with pytest.raises(LedgerDiverged, match=f"window .* of shard 0.*{first.digest.hex()}"):
        commit_window(conn, DIVERGED[case](first), token=token)


def test_a_window_after_other_rows_is_refused(conn: Connection) -> None:
    """A state that came from other rows gives wrong windows from the first one on."""
    token = claim_log(conn).token
    first = busy_window()
    commit_window(conn, first, token=token)
    second = replace(window(after=first), prev_digest=bytes(32))
    with pytest.raises(LedgerDiverged):
        commit_window(conn, second, token=token)
    assert BUSY == counts(conn)


@pytest.mark.parametrize("closed", [window(), idle(window())], ids=["with rows", "idle"])
def test_a_gap_is_refused(conn: Connection, closed: Settlement | EmptyWindow) -> None:
    """Messages that retention dropped were bids of someone: no window after them can be right."""
    token = claim_log(conn).token
    with pytest.raises(LogGap, match=r"the ledger reads 1 next, but window \d+ begins at 7"):
        commit_window(conn, replace(closed, first_seq=7), token=token)
    assert EMPTY == counts(conn)


def test_a_replaced_writer_writes_nothing(conn: Connection) -> None:
    """A process that was paused resumes beside its successor."""
    paused = claim_log(conn)
    successor = claim_log(conn)
    with pytest.raises(ShardReplaced):
        commit_window(conn, busy_window(), token=paused.token)
    assert EMPTY == counts(conn)
    assert commit_window(conn, busy_window(), token=successor.token) is True


def test_a_replaced_writer_is_refused_even_for_an_applied_window(conn: Connection) -> None:
    """It would continue reading for nothing, and publish beside its successor."""
    paused, first = claim_log(conn), busy_window()
    commit_window(conn, first, token=claim_log(conn).token)
    with pytest.raises(ShardReplaced):
        commit_window(conn, first, token=paused.token)


def test_readers_see_all_of_a_window_or_nothing(conn: Connection, dsn: str) -> None:
    """A report that runs during a commit must not show payments without balances."""
    token = claim_log(conn).token
    seen: list[dict[str, int]] = []

    def look() -> None:
        with connect(dsn) as reader:
            seen.append(counts(reader))

    first = replace(busy_window(), prices=InTheMiddle([price()], look))
    commit_window(conn, first, token=token)
    look()
    assert [EMPTY, BUSY] == seen


def test_a_failure_in_the_middle_leaves_nothing(conn: Connection) -> None:
    """Rows of half a window would be counted, and then be in the way of the whole one."""
    token = claim_log(conn).token

    def fail() -> None:
        raise ConnectionAbortedError

    first = busy_window()
    with pytest.raises(ConnectionAbortedError):
        commit_window(conn, replace(first, prices=InTheMiddle([price()], fail)), token=token)
    assert EMPTY == counts(conn)
    assert commit_window(conn, first, token=token) is True


def test_a_claim_during_a_commit_waits_for_all_of_it(conn: Connection, dsn: str) -> None:
    """A successor that read the state before a commit would lose the window after it."""
    token = claim_log(conn).token
    claimed: list[ShardState] = []

    def succeed() -> None:
        with connect(dsn) as other:
            claimed.append(claim_log(other))

    successor = Thread(target=succeed)

    def start() -> None:
        successor.start()
        wait_until(lambda: someone_waits_for_a_lock(dsn))

    first = replace(busy_window(), prices=InTheMiddle([price()], start))
    commit_window(conn, first, token=token)
    successor.join()
    assert [first.next_seq] == [state.position.next_seq for state in claimed]
    assert [first.digest] == [state.accounts.digest for state in claimed]
    assert {"m1": listing()} == claimed[0].listings.by_market


def test_what_no_text_can_hold_is_written_out(conn: Connection) -> None:
    """One NUL in a subject, and the shard could never commit that window."""
    token = claim_log(conn).token
    letter = dead_letter(1, "a\0b\ud800 ü", b"\0\xff", error="\0 \udfff")
    commit_window(conn, window(dead_letters=[letter]), token=token)
    (shown,) = rows_of_view(conn, "dead_letters")
    assert (r"a\x00b\ud800 ü", r"\x00 \udfff") == (shown["subject"], shown["error"])
    assert (b"\0\xff", 3) == (shown["payload"], shown["payload_bytes"])
