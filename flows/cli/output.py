"""What a reading command prints, in the form that was asked for.

Promise: JSON and CSV have the columns as the ledger names them, with integers in their smallest
unit; the other forms show credits for micro-credits and milliseconds for microseconds, exactly.
Rows are printed while they are read.
"""

import csv
import json
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Final, Literal

from cyclopts import Parameter
from rich.console import Console
from rich.text import Text

from flows.cli.cells import cell
from flows.cli.console import plain
from flows.cli.tables import Sheet, line_lines, markdown_lines, table_lines, terminal_width
from flows.runtime.logging import printable
from state.errors import SettingsError

Format = Literal["table", "line", "csv", "json", "markdown"]


@Parameter(name="*")
@dataclass(frozen=True, slots=True)
class Output:
    """The options of every reading command that say how to print."""

    format: Annotated[
        Format | None,
        Parameter(show_default=False, help="table (the default), line, csv, json or markdown."),
    ] = None
    as_json: Annotated[
        bool,
        Parameter(name="--json", negative="", show_default=False, help="Short for --format json."),
    ] = False

    @property
    def form(self) -> Format:
        """The one form that these options ask for."""
        if not self.as_json:
            return self.format or "table"
        if self.format not in (None, "json"):
            raise SettingsError(
                "two formats are asked for",
                detail=f"--json and --format {self.format}",
                hint="--json is short for --format json: leave one of them out",
            )
        return "json"


AS_TABLE: Final = Output()


def show(sheet: Sheet, form: Format) -> None:
    """Print the rows on stdout."""
    match form:
        case "json":
            _write(_json_parts(sheet))
        case "csv":
            _write_csv(sheet)
        case "markdown":
            _write(f"{line}\n" for line in markdown_lines(sheet))
        case "line":
            _write_lines(sheet, line_lines(sheet, width=terminal_width()), heads=0)
        case "table":
            _write_lines(sheet, table_lines(sheet, width=terminal_width()), heads=1)


def _write_lines(sheet: Sheet, lines: Iterator[str], *, heads: int) -> None:
    """The title and a table's head are bold where that can be seen."""
    console = Console(highlight=False, soft_wrap=True)
    for place, line in enumerate(lines):
        if place < bool(sheet.title) + heads and console.is_terminal:
            console.print(Text(line, "bold"))
        else:
            sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def _write(parts: Iterator[str]) -> None:
    for part in parts:
        sys.stdout.write(part)
    sys.stdout.flush()


def _json_parts(sheet: Sheet) -> Iterator[str]:
    """An array of objects, on one line."""
    separator = "["
    for row in sheet.rows:
        record = dict(zip(sheet.columns, map(plain, row), strict=True))
        yield separator + json.dumps(record, ensure_ascii=False)
        separator = ", "
    yield "]\n" if separator == ", " else "[]\n"


def _write_csv(sheet: Sheet) -> None:
    on_terminal = terminal_width() is not None
    writer = csv.writer(sys.stdout, lineterminator="\n")
    writer.writerow(sheet.columns)
    for row in sheet.rows:
        texts = map(_csv_cell, row)
        writer.writerow(map(printable, texts) if on_terminal else texts)
    sys.stdout.flush()


def _csv_cell(value: Any) -> str:
    match value:
        case str():
            return value
        case bool():
            return "true" if value else "false"
        case _:
            return cell(value)
