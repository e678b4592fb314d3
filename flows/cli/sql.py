"""`walras sql`: queries as an argument, from a file, from standard input, or at a prompt.

Promise: nothing can be changed by them; on a terminal a long answer is cut after some rows, and how
many are left out is said; elsewhere all rows are written, of which only some are in memory.
"""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Final

from cyclopts import Parameter

from flows.cli.console import print_data, print_error, print_status
from flows.cli.output import AS_TABLE, Format, Output, show
from flows.cli.read import ledger
from flows.cli.tables import Sheet, terminal_width
from flows.runtime.logging import printable
from state.errors import SettingsError, WalrasError

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from connectors.duckdb.query import Stream

SHOWN_ROWS: Final = 40
COUNTED_ROWS: Final = 5_000_000
LONG_AFTER_S: Final = 1.0
PROMPT: Final = "walras> "
CONTINUED: Final = "   ...> "
LEAVE: Final = frozenset({"\\q", "exit", "quit", "exit;", "quit;"})
WELCOME: Final = """\
The ledger in SQL, read-only. A statement ends with a semicolon; \\q or Ctrl-D leaves.
Try: SHOW TABLES;  DESCRIBE bids;  FROM bids LIMIT 5;"""
FROM_STDIN: Final = "-"


def sql(
    query: Annotated[
        str | None,
        Parameter(
            allow_leading_hyphen=True,
            help="SELECT over the views: FROM bids LIMIT 5 (- reads standard input).",
        ),
    ] = None,
    /,
    *,
    file: Annotated[
        Path | None, Parameter(name=["--file", "-f"], help="File to read the queries from.")
    ] = None,
    output: Output = AS_TABLE,
) -> None:
    form = output.form
    text = _given(query, file)
    with ledger() as opened:
        if text is None:
            _converse(opened, form)
        else:
            _answer(opened, text, form)


def _given(query: str | None, file: Path | None) -> str | None:
    """The queries; None where a person is to type them."""
    if query is not None and file is not None:
        raise SettingsError(
            "two queries are given",
            detail="one as an argument and one with --file",
            hint="Leave one of them out",
        )
    if query and query.startswith(FROM_STDIN) and query != FROM_STDIN and "\n" not in query:
        raise SettingsError(
            "invalid command line",
            detail=f"there is no option {query}",
            hint="`walras sql --help` lists the options",
        )
    if file is not None:
        return _read(file)
    if query == FROM_STDIN or (query is None and not sys.stdin.isatty()):
        return sys.stdin.read()
    return query


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="utf-8")
    except (OSError, ValueError) as error:
        reason = error.strerror if isinstance(error, OSError) else str(error)
        raise SettingsError(
            "the file of queries cannot be read",
            detail=f"{file}: {reason}",
            hint="Name a text file in UTF-8",
        ) from error


def _answer(opened: "DuckDBPyConnection", text: str, form: Format) -> None:
    """Print the answer to each query."""
    from connectors.duckdb.query import run_untrusted

    answers = run_untrusted(opened, text)
    while True:
        with _saying_that_it_takes_long():
            stream = next(answers, None)
            if stream is None:
                return
            head = list(islice(stream.rows, SHOWN_ROWS))
        _print(stream, head, form)


def _print(stream: "Stream", head: list[tuple[Any, ...]], form: Format) -> None:
    if stream.columns == ("explain_key", "explain_value") and form == "table":
        for _, plan in head:
            print_data("\n".join(map(printable, plan.splitlines())))
        return
    if terminal_width() is None or form in ("json", "csv"):
        show(Sheet(stream.columns, _all(head, stream.rows), in_units=False), form)
        return
    show(Sheet(stream.columns, head, in_units=False), form)
    with _saying_that_it_takes_long():
        rest = sum(1 for _ in islice(stream.rows, COUNTED_ROWS))
    if rest:
        more = "more than " if rest == COUNTED_ROWS else ""
        print_status(
            f"{len(head)} of {more}{len(head) + rest:,} rows; "
            "LIMIT and OFFSET choose others, a pipe or --format csv gets all"
        )


def _all(head: list[tuple[Any, ...]], rest: Iterator[tuple[Any, ...]]) -> Iterator[tuple[Any, ...]]:
    yield from head
    yield from rest


def _converse(opened: "DuckDBPyConnection", form: Format) -> None:
    """Answer what is typed until the person leaves; Ctrl-C drops the statement or stops it."""
    import readline  # noqa: F401 - with it, `input` has a history and can be edited

    print_status(WELCOME)
    typed = ""
    while True:
        try:
            line = input(CONTINUED if typed else PROMPT)
            if not typed and line.strip().lower() in LEAVE:
                return
            typed += line + "\n"
            if typed.strip() and not typed.rstrip().endswith(";"):
                continue
            if typed.strip():
                _answer(opened, typed, form)
        except WalrasError as failure:
            print_error(failure)
        except KeyboardInterrupt:
            print_status("")
        except EOFError:
            print_status("")
            return
        typed = ""


@contextmanager
def _saying_that_it_takes_long() -> Iterator[None]:
    """On a terminal, show how long the block has been running, once it is worth it."""
    if not sys.stderr.isatty():
        yield
        return
    from threading import Timer

    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
    progress = Progress(*columns, console=Console(stderr=True), transient=True)
    progress.add_task("reading the ledger, Ctrl-C stops it")
    later = Timer(LONG_AFTER_S, progress.start)
    later.daemon = True
    later.start()
    try:
        yield
    finally:
        later.cancel()
        later.join()
        progress.stop()
