"""What pricing writes to the ledger and reads from it: the chosen controllers, past windows.

Promise: the choices of a market are replaced as a whole; only committed windows are read. Nothing
here waits for a shard's lock or delays a commit.
"""

from collections.abc import Mapping
from typing import Final, NamedTuple

from psycopg import Connection
from psycopg.errors import UndefinedTable
from psycopg.rows import class_row

from connectors.postgres.connection import translate_errors
from connectors.postgres.statements import read_statement
from state.errors import SettingsError

_DELETE: Final = "DELETE FROM ledger.controller WHERE market = %s"
_CHOOSE: Final = """
    INSERT INTO ledger.controller (market, resource, choice)
    SELECT %s, * FROM unnest(%s::text[], %s::jsonb[])
"""
_LISTED: Final = """
    SELECT resource, reserve_micros, reserve_ratio_ppm, choice::text
    FROM ledger.listed_resource LEFT JOIN ledger.controller USING (market, resource)
    WHERE market = %s ORDER BY resource
"""
_PAST: Final = read_statement("past_windows")


class ListedChoice(NamedTuple):
    """A listed resource and the controller chosen for it, as JSON; None where none was."""

    resource: str
    reserve_micros: int
    reserve_ratio_ppm: int
    choice: str | None


def replace_choices(conn: Connection, market: str, choices: Mapping[str, str]) -> None:
    """Set the controllers of a market, given as JSON by resource, in place of all earlier ones.

    An older ledger has no table for them, and so none to delete.
    """
    try:
        with translate_errors(), conn.transaction():
            conn.execute(_DELETE, [market])
            conn.execute(_CHOOSE, [market, list(choices), list(choices.values())])
    except UndefinedTable as missing:
        if not choices:
            return
        raise SettingsError(
            "the ledger has no table for controllers yet",
            detail=str(missing).splitlines()[0],
            hint="Run `walras up` once with this version: it brings the ledger up to date",
        ) from missing


def listed_choices(conn: Connection, market: str) -> list[ListedChoice]:
    """The resources that a market lists, each with the controller chosen for it."""
    with translate_errors(), conn.cursor(row_factory=class_row(ListedChoice)) as cursor:
        return cursor.execute(_LISTED, [market]).fetchall()


def past_windows(
    conn: Connection, market: str, resource: str, *, before_window: int, sales: int
) -> list[tuple[int, int, int | None, int, int, int]]:
    """The resource's latest window before one, and the latest `sales` with sales, in order.

    Each as window, reference price, clearing price, supply, units sold and units wanted.
    """
    place = {"market": market, "resource": resource, "before": before_window, "sales": sales}
    with translate_errors():
        return conn.execute(_PAST, place).fetchall()
