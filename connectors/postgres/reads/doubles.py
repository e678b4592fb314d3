"""Whether a bid is in the ledger twice: no key guards it, so this can be counted at any time.

**Promise:** read only; the latest windows are read by index, however large the ledger is.
"""

from typing import Final, NamedTuple

from psycopg import Connection
from psycopg.rows import class_row

from connectors.postgres.connection import translate_errors
from connectors.postgres.statements import read_statement

WINDOWS: Final = 1_000
_DOUBLES: Final = read_statement("bids_twice")


class Doubles(NamedTuple):
    """Bids of the latest windows, and how many of their places in the log are taken twice."""

    bids: int
    doubles: int


def count_doubles(conn: Connection) -> Doubles:
    """Count in the latest `WINDOWS` windows."""
    with translate_errors(), conn.cursor(row_factory=class_row(Doubles)) as cursor:
        counted = cursor.execute(_DOUBLES, [WINDOWS]).fetchone()
    assert counted is not None
    return counted
