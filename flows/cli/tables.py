"""Answers of the ledger on the command line: a table for people, the same as JSON for programs.

Promise: JSON has the columns as the ledger names them, with integers in their smallest unit; a
table shows credits for micro-credits and milliseconds for microseconds, exactly.
"""

import json
import sys
from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Final

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from connectors.duckdb.query import Answer
from flows.cli.amounts import credits_text
from flows.cli.console import plain, print_json, print_status
from flows.runtime.logging import printable

# In a file or a pipe a table is as wide as it is.
UNBOUNDED_COLUMNS: Final = 10_000
DIGEST_SHOWN: Final = 16


def show(answer: Answer, *, title: str, as_json: bool) -> None:
    """Print an answer of ours; that one is empty is said on stderr."""
    if as_json:
        print_json(answer.records())
    elif answer.rows:
        print_table(table_of(answer, title=title))
    else:
        print_status(f"{title}: nothing yet")


def table_of(answer: Answer, *, title: str) -> Table:
    """An answer of ours as a table; the suffix of a column's name is its unit."""
    units = [_unit_of(column) for column in answer.columns]
    columns = [
        show_all([row[place] for row in answer.rows]) for place, (_, show_all) in enumerate(units)
    ]
    rows = list(zip(*columns, strict=True))
    return _table(title, [heading for heading, _ in units], rows, answer)


def raw_table_of(answer: Answer) -> Table:
    """An answer to a query that somebody typed: its columns and values as they are."""
    return _table(None, answer.columns, [[cell(v) for v in row] for row in answer.rows], answer)


def print_table(table: Table) -> None:
    """Print on stdout, fitted to the terminal where there is one."""
    Console(width=None if sys.stdout.isatty() else UNBOUNDED_COLUMNS).print(table)


def cell(value: object) -> str:
    """A value as a table shows it."""
    match value:
        case None:
            return ""
        case bool():
            return "yes" if value else "no"
        case dict() | list() | tuple():
            return printable(json.dumps(plain(value), ensure_ascii=False))
        case _:
            return printable(str(plain(value)))


def _table(
    title: str | None, headings: Sequence[str], rows: Sequence[Sequence[str]], answer: Answer
) -> Table:
    table = Table(title=title, title_justify="left", box=box.SIMPLE_HEAD, pad_edge=False)
    for place, heading in enumerate(headings):
        numeric = any(_is_number(row[place]) for row in answer.rows)
        table.add_column(Text(heading), justify="right" if numeric else "left")
    for row in rows:
        table.add_row(*map(Text, row))
    return table


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)


def _unit_of(column: str) -> tuple[str, Callable[[Sequence[Any]], list[str]]]:
    """The heading of a column, and how its values are shown."""
    if column.endswith("_micros"):
        return column.removesuffix("_micros"), _credits
    if column.endswith("_us"):
        return column.removesuffix("_us"), _each(_milliseconds)
    if column == "digest":
        return column, _each(lambda value: str(value)[:DIGEST_SHOWN])
    return column, _each(cell)


def _each(show_value: Callable[[Any], str]) -> Callable[[Sequence[Any]], list[str]]:
    return lambda values: ["" if value is None else show_value(value) for value in values]


def _credits(values: Sequence[int | None]) -> list[str]:
    """Credits with as many decimals as one of them needs, so that the points are aligned."""
    shown = _each(credits_text)(values)
    decimals = max((len(text.partition(".")[2]) for text in shown), default=0)
    return [_padded(text, decimals) if text else "" for text in shown]


def _padded(text: str, decimals: int) -> str:
    whole, _, rest = text.partition(".")
    return f"{whole}.{rest:0<{decimals}}" if decimals else whole


def _milliseconds(us: int) -> str:
    return f"{us // 1000}.{us % 1000 // 100} ms"
