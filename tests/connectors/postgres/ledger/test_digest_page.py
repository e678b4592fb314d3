"""The page on the ledger says how to compute a window's digest from its rows: it must be right."""

from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

import pytest
from msgspec import structs
from psycopg import Connection

from operators.digest import digest_of
from tests.connectors.postgres.settled import commit_all, settled, settlements
from tests.connectors.postgres.windows import (
    balances,
    bundle_won,
    busy_window,
    dead_letter,
    grant,
    listing,
    transfer,
    window,
    won,
)
from tests.deploy.markdown import blocks
from walras_schemas import INT64_MAX

PAGE: Final = Path(__file__).parents[4] / "docs" / "ledger.md"

WindowDigest = Callable[[Connection, int, int], str]


@pytest.fixture(scope="module")
def window_digest() -> WindowDigest:
    """The function that stands on the page."""
    (code,) = blocks(PAGE.read_text(encoding="utf-8"), "python")
    names: dict[str, Any] = {}
    exec(code, names)  # noqa: S102  # the code on our own page
    function: WindowDigest = names["window_digest"]
    return function


@pytest.mark.parametrize("seed", range(4))
def test_the_page_computes_the_digests_of_real_windows(
    conn: Connection, window_digest: WindowDigest, seed: int
) -> None:
    """Whoever checks our digests by the page must not find a ledger that differs."""
    windows = settled(seed)
    commit_all(conn, windows)
    closed = settlements(windows)
    expected = [each.digest.hex() for each in closed]
    assert expected == [window_digest(conn, 0, each.window_id) for each in closed]


def test_the_page_computes_the_digest_of_odd_rows(
    conn: Connection, window_digest: WindowDigest
) -> None:
    """Texts that JSON escapes and numbers at their limits are seldom in a random log."""
    odd = '\x01\x1f\x7f\u2028\U0001f4b6"\\/\n\tü'
    closed = window(
        bids=[
            won(1, "a1", INT64_MAX, INT64_MAX, time_ns=INT64_MAX // 2),
            bundle_won(2, "a2", {"z": 10**12, "a": 1, "gpu": 2}, 9),
        ],
        commands=[
            structs.replace(grant(3, "a1", INT64_MAX), purpose=odd),
            structs.replace(transfer(4, "a1", "a3", 1), purpose=""),
        ],
        dead_letters=[dead_letter(5, odd, b"\0\xff"), dead_letter(6, "", b"")],
        balances=balances(a1=INT64_MAX),
        listings=[listing()],
    )
    closed.digest = digest_of(closed)
    empty = window(after=closed)
    empty.digest = digest_of(empty)
    commit_all(conn, [closed, empty])
    assert [closed.digest.hex(), empty.digest.hex()] == [
        window_digest(conn, 0, each.window_id) for each in (closed, empty)
    ]


def test_the_page_notices_a_changed_row(conn: Connection, window_digest: WindowDigest) -> None:
    """A digest that is copied and not computed would agree with anything."""
    first = busy_window()
    first.digest = digest_of(first)
    commit_all(conn, [first])
    assert first.digest.hex() == window_digest(conn, 0, first.window_id)
    conn.execute("UPDATE ledger.bid SET paid_micros = paid_micros + 1 WHERE seq = 4")
    assert first.digest.hex() != window_digest(conn, 0, first.window_id)
