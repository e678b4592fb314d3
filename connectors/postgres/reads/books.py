"""The books: what must hold of any ledger, by its rows alone, and which rows break it.

**Promise:** read only, and in one snapshot, so that a deployment may go on meanwhile. Memory does
not grow with the ledger: windows pass one by one, and Postgres sorts and adds up what is larger.

It cannot find what was rewritten consistently to the last digest: whoever may write to the database
can compute digests too. A digest that was noted elsewhere, or a replay of the log, finds that.
"""

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from psycopg import Connection, IsolationLevel
from psycopg.errors import InsufficientPrivilege, UndefinedTable
from psycopg.rows import class_row
from psycopg.sql import SQL

from connectors.postgres.connection import connect, translate_errors
from connectors.postgres.reads.window_digest import WINDOWS, WindowRow, window_digest
from connectors.postgres.statements import read_statement
from state.errors import SettingsError, WalrasError

SHOWN_BREAKS: Final = 10
WINDOWS_AT_ONCE: Final = 500
DIGESTS: Final = "each digest is that of its window's rows"
_CHECKS: Final = dict(
    re.findall(
        r"^-- name: (.+)\n((?:(?!^-- name: ).*\n)+)",
        read_statement("audit_checks") + "\n",
        re.MULTILINE,
    )
)
_OF_MARKET: Final = """
    WITH found AS MATERIALIZED ({}) SELECT * FROM found
    WHERE %(market)s::text IS NULL OR market = %(market)s
        OR (market IS NULL AND shard = %(shard)s::int)
    ORDER BY shard, window_id, seq, ord
"""
_SHARD: Final = "SELECT shard FROM ledger.listing WHERE market = %s"
_MARKETS: Final = (
    "SELECT coalesce(string_agg(market, ', ' ORDER BY market), 'none') FROM ledger.listing"
)
_COUNT: Final = """
    SELECT count(*) FROM ledger."window" WHERE %(shard)s::int IS NULL OR shard = %(shard)s
"""

Progress = Callable[[str, int, int], None]
"""What is being done, how much of it is done, of how much."""


class Break(NamedTuple):
    """A place where a promise does not hold; what does not apply to it is None."""

    market: str | None
    shard: int | None
    window_id: int | None
    seq: int | None
    ord: int | None
    detail: str


@dataclass(slots=True)
class Verdict:
    """A promise, how often it does not hold, and the first places where."""

    promise: str
    violations: int = 0
    breaks: list[Break] = field(default_factory=list)
    remark: str = ""

    def add(self, found: Break) -> None:
        """Count a place, and keep it while there are few."""
        self.violations += 1
        if len(self.breaks) < SHOWN_BREAKS:
            self.breaks.append(found)


def audit_books(dsn: str, *, market: str | None, progress: Progress) -> list[Verdict]:
    """Check the ledger, or what concerns one market and its shard."""
    with connect(dsn) as conn, translate_errors():
        conn.isolation_level = IsolationLevel.REPEATABLE_READ
        conn.read_only = True
        try:
            with conn.transaction():
                return list(_verdicts(conn, market, progress))
        except UndefinedTable as error:
            raise SettingsError(
                "there is no ledger of this version in this database",
                detail=str(error).splitlines()[0],
                hint="Run `walras up` once with this version: it creates the ledger",
            ) from error
        except InsufficientPrivilege as error:
            raise WalrasError(
                "this user may not read what the audit reads",
                detail=str(error).splitlines()[0],
                hint="Name the ledger's owner in WALRAS_POSTGRES_DSN: the role for reading sees "
                "the views alone, and the digests are of the tables behind them",
            ) from error


def _verdicts(conn: Connection, market: str | None, progress: Progress) -> Iterator[Verdict]:
    place: dict[str, object] = {
        "market": market,
        "shard": None if market is None else _shard_of(conn, market),
    }
    # Without statistics, as after a restore, the planner takes tables for small: a loop within a
    # loop over all bids would not end.
    conn.execute("SET LOCAL enable_nestloop = off")
    for done, (promise, query) in enumerate(_CHECKS.items()):
        progress(promise, done, len(_CHECKS))
        verdict = Verdict(promise)
        with conn.cursor("breaks", row_factory=class_row(Break)) as cursor:
            text = _OF_MARKET.format(query)
            for found in cursor.execute(SQL(text), place):
                verdict.add(found)
        yield verdict
    conn.execute("SET LOCAL enable_nestloop = on")
    yield _digests(conn, place, progress)


def _digests(conn: Connection, place: dict[str, object], progress: Progress) -> Verdict:
    verdict, unknown = Verdict(DIGESTS), 0
    row = conn.execute(_COUNT, place).fetchone()
    assert row is not None
    of_version_1: dict[int, bool] = {}
    with conn.cursor("windows", row_factory=class_row(WindowRow)) as windows:
        windows.itersize = WINDOWS_AT_ONCE
        for done, window in enumerate(windows.execute(SQL(WINDOWS), place)):
            progress(DIGESTS, done, row[0])
            old = of_version_1.get(window.shard, True) and window.next_account == 0
            of_version_1[window.shard] = old
            if window_digest(conn, window) == window.digest:
                continue
            if old:
                unknown += 1
            else:
                verdict.add(_changed(window))
    if unknown:
        verdict.remark = f"{unknown} windows of version 1 cannot be computed again"
    return verdict


def _changed(window: WindowRow) -> Break:
    sequences = f"sequences {window.first_seq} to {window.next_seq - 1}"
    detail = f"a row of it was changed, added or removed, {sequences}"
    return Break(None, window.shard, window.window_id, None, None, detail)


def _shard_of(conn: Connection, market: str) -> int:
    found = conn.execute(_SHARD, [market]).fetchone()
    if found is None:
        (names,) = conn.execute(_MARKETS).fetchone() or ("none",)
        raise SettingsError(
            f"there is no market {market}",
            detail=f"the markets of this ledger are: {names}",
            hint="Name one of them, or none to audit the whole ledger",
        )
    return int(found[0])
