"""`walras audit`: the books of a ledger, and the rows that break them.

Promise: nothing is written; the exit code is 0 only if every promise holds.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import Parameter

from flows.cli.console import print_data, start
from flows.cli.output import AS_TABLE, Output, show
from flows.cli.tables import Sheet
from flows.runtime.logging import printable
from state.errors import BooksBroken

if TYPE_CHECKING:
    from connectors.postgres.reads.books import Break, Progress, Verdict

COLUMNS: Final = ("promise", "violations", "market", "shard", "window_id", "seq", "ord", "detail")
CANNOT: Final = """\
An audit reads the ledger alone: it cannot find a history that was rewritten as a whole, digests
included. `walras log export` and `walras replay` compare the ledger with its log."""


def audit(
    market: Annotated[
        str | None, Parameter(help="Market name (default: the whole ledger).")
    ] = None,
    /,
    *,
    output: Output = AS_TABLE,
) -> None:
    from connectors.postgres.reads.books import audit_books
    from flows.runtime.deployment import for_reading
    from flows.runtime.servers import open_servers

    form = output.form
    with open_servers(for_reading(start())) as servers, _showing_progress() as progress:
        verdicts = audit_books(servers.postgres_dsn, market=market, progress=progress)
    if form == "table":
        for line in _lines(verdicts):
            print_data(line)
    else:
        rows = (row for verdict in verdicts for row in _rows(verdict))
        show(Sheet(COLUMNS, rows, in_units=False), form)
    require_whole(verdicts)


def require_whole(verdicts: "list[Verdict]") -> None:
    """End the command as a failure if a promise does not hold."""
    broken = [verdict for verdict in verdicts if verdict.violations]
    if broken:
        raise BooksBroken(
            "the books do not hold",
            detail="\n".join(f"{each.promise}: {each.violations:,} times not" for each in broken),
            hint="Keep the database and the log: `walras log export` and `walras replay` make the "
            "ledger anew from the log",
        )


def _lines(verdicts: "list[Verdict]") -> Iterator[str]:
    for verdict in verdicts:
        remark = f" ({verdict.remark})" if verdict.remark else ""
        yield f"{'broken' if verdict.violations else 'ok':<8}{verdict.promise}{remark}"
        for found in verdict.breaks:
            yield printable(f"{'':<8}{_place(found)}: {found.detail}")
        if more := verdict.violations - len(verdict.breaks):
            yield f"{'':<8}and {more:,} more"
    yield CANNOT


def _place(found: "Break") -> str:
    named = {
        "market": found.market,
        "shard": found.shard,
        "window": found.window_id,
        "seq": found.seq,
        "ord": found.ord,
    }
    return ", ".join(f"{name} {value}" for name, value in named.items() if value is not None)


def _rows(verdict: "Verdict") -> Iterator[tuple[Any, ...]]:
    """A row for each place, and one for a promise that holds."""
    if not verdict.breaks:
        yield verdict.promise, verdict.violations, *[None] * len(COLUMNS[2:])
    for found in verdict.breaks:
        yield verdict.promise, verdict.violations, *found


@contextmanager
def _showing_progress() -> Iterator["Progress"]:
    """A bar on a terminal, and nothing elsewhere."""
    if not sys.stderr.isatty():
        yield lambda _doing, _done, _total: None
        return
    from rich.console import Console
    from rich.progress import Progress as Bar

    with Bar(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("")
        yield lambda doing, done, total: bar.update(
            task, description=doing, completed=done, total=total
        )
