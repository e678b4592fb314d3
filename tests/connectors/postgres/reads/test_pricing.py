"""What the pricing flow finds in the ledger: the operator's choices, and the past of a resource."""

import json
from typing import Final

import pytest
from psycopg import Connection

from connectors.postgres.connection import connect
from connectors.postgres.ledger.transaction import commit_window
from connectors.postgres.reads.pricing import (
    ListedChoice,
    listed_choices,
    past_windows,
    replace_choices,
)
from state.errors import SettingsError
from state.window import Settlement
from tests.connectors.postgres.windows import START_WINDOW, claim_log, listing, price, window

EWMA: Final = '{"controller": "ewma"}'


def commit_sales(conn: Connection, *units: int) -> None:
    """Consecutive windows, each of which sold so many units of gpu."""
    token = claim_log(conn).token
    last: Settlement | None = None
    for sold in units:
        row = price(sold=sold, clearing_micros=10 * sold if sold else None)
        listings = () if last else [listing()]
        last = window(after=last, prices=[row], listings=listings)
        commit_window(conn, last, token=token)


def past(conn: Connection, *, before: int, sales: int) -> list[tuple[int, int]]:
    """Windows, counted from the first, and what each sold."""
    rows = past_windows(conn, "m1", "gpu", before_window=START_WINDOW + before, sales=sales)
    return [(window_id - START_WINDOW, sold) for window_id, _, _, _, sold, _ in rows]


def test_the_past_is_the_latest_sales_and_the_latest_window(conn: Connection) -> None:
    """One window too many or too few, and the quotes after a restart are others."""
    commit_sales(conn, 1, 2, 0, 3, 0, 0, 4)
    assert [(1, 2), (3, 3), (5, 0)] == past(conn, before=6, sales=2)
    assert [(3, 3)] == past(conn, before=4, sales=1)
    assert [(5, 0)] == past(conn, before=6, sales=0)
    assert [] == past(conn, before=0, sales=5)


def test_a_past_window_is_as_it_was_cleared(conn: Connection) -> None:
    """Columns in another order would be a price for a quantity."""
    commit_sales(conn, 3)
    rows = past_windows(conn, "m1", "gpu", before_window=START_WINDOW + 1, sales=0)
    assert [(START_WINDOW, 10, 30, 100, 3, 4)] == rows


def test_the_past_of_a_rare_sale_is_found_by_index(conn: Connection) -> None:
    """A resource that nobody buys must not make every start read the whole history."""
    plan = conn.execute(
        "EXPLAIN SELECT * FROM ledger.price WHERE market = 'm1' AND resource = 'gpu' "
        "AND window_id < 9 AND sold > 0 ORDER BY window_id DESC LIMIT 20"
    )
    assert any("price_sold" in line for (line,) in plan)


def test_choices_are_those_of_the_listed_resources(conn: Connection) -> None:
    """What was chosen before the market opens must be there when it does, and nothing else."""
    replace_choices(conn, "m1", {"gpu": EWMA, "gone": EWMA})
    assert [] == listed_choices(conn, "m1")
    commit_sales(conn, 0)
    listed = listed_choices(conn, "m1")
    assert [("cpu", 0, 0), ("gpu", 2, 500_000)] == [row[:3] for row in listed]
    assert [None, json.loads(EWMA)] == [row.choice and json.loads(row.choice) for row in listed]


def test_choices_are_replaced_as_a_whole(conn: Connection) -> None:
    """A choice that outlives its opening prices a market by a file that is no longer read."""
    commit_sales(conn, 0)
    replace_choices(conn, "m1", {"cpu": EWMA, "gpu": EWMA})
    replace_choices(conn, "m2", {"cpu": EWMA})
    replace_choices(conn, "m1", {"gpu": EWMA})
    assert [True, False] == [row.choice is None for row in listed_choices(conn, "m1")]
    replace_choices(conn, "m1", {})
    assert {None} == {row.choice for row in listed_choices(conn, "m1")}
    assert [ListedChoice] == list({type(row) for row in listed_choices(conn, "m1")})


def test_an_outdated_ledger_is_reported(empty_dsn: str) -> None:
    """Opening a market before the first `walras up` must give a hint, not a traceback."""
    with connect(empty_dsn) as conn:
        replace_choices(conn, "m1", {})
        with pytest.raises(SettingsError, match="walras up"):
            replace_choices(conn, "m1", {"gpu": EWMA})
