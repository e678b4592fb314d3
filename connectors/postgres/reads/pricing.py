"""What pricing keeps in the ledger and reads from it: choices of controllers, past windows.

Promise: the choices of a market are replaced as a whole; only committed windows are read. Nothing
here waits for a shard's lock, nor makes a commit wait.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from psycopg import Connection
from psycopg.errors import UndefinedTable
from psycopg.rows import class_row

from connectors.postgres.connection import reaching
from connectors.postgres.statements import read_statement
from state.errors import SettingsError

_FORGET: Final = "DELETE FROM ledger.controller WHERE market = %s"
_CHOOSE: Final = """
    INSERT INTO ledger.controller (market, resource, choice)
    SELECT %s, * FROM unnest(%s::text[], %s::jsonb[])
"""
_LISTED: Final = """
    SELECT resource, reserve_ratio_ppm, choice::text
    FROM ledger.listed_resource LEFT JOIN ledger.controller USING (market, resource)
    WHERE market = %s ORDER BY resource
"""
_PAST: Final = read_statement("past_windows")


class ListedChoice(NamedTuple):
    """A listed resource and the controller chosen for it, as JSON; None where none was."""

    resource: str
    reserve_ratio_ppm: int
    choice: str | None


def replace_choices(conn: Connection, market: str, choices: Mapping[str, str]) -> None:
    """Set the controllers of a market, given as JSON by resource; all before are forgotten.

    A ledger that has no room for them yet has none to forget.
    """
    try:
        with reaching(), conn.transaction():
            conn.execute(_FORGET, [market])
            conn.execute(_CHOOSE, [market, list(choices), list(choices.values())])
    except UndefinedTable as missing:
        if not choices:
            return
        raise SettingsError(
            "the ledger does not know controllers yet",
            detail=str(missing).splitlines()[0],
            hint="Start `walras up` once, which brings the ledger up to date",
        ) from missing


def listed_choices(conn: Connection, market: str) -> list[ListedChoice]:
    """The resources that a market lists, each with what was chosen for it."""
    with reaching(), conn.cursor(row_factory=class_row(ListedChoice)) as cursor:
        return cursor.execute(_LISTED, [market]).fetchall()


def past_windows(
    conn: Connection, market: str, resource: str, *, before_window: int, sales: int
) -> list[tuple[int, int, int | None, int, int]]:
    """The resource's latest window before one, and the latest `sales` with sales, in order.

    Each as window, reference price, clearing price, supply and units sold.
    """
    place = {"market": market, "resource": resource, "before": before_window, "sales": sales}
    with reaching():
        return conn.execute(_PAST, place).fetchall()
