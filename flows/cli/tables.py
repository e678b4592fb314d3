"""Tables for people: on a terminal as wide as it is, elsewhere as wide as they are.

Promise: no value is ever cut. Where the columns do not fit the terminal, whole ones are left out
and named in a last line; where even two do not fit, each value gets a line of its own. No line is
blank or ends with spaces. Rows pass in blocks, of which one is in memory: a later block that needs
more room takes it.
"""

import shutil
import sys
import textwrap
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import count, islice
from typing import Any, Final

from rich.cells import cell_len

from flows.cli.cells import Show, columns_in_units, raw_columns

BLOCK_ROWS: Final = 1_000
FEWEST_COLUMNS: Final = 2
GAP: Final = "  "

Row = tuple[Any, ...]


@dataclass(frozen=True, slots=True)
class Sheet:
    """Rows to show: what they are called, and in which order columns may be left out."""

    columns: tuple[str, ...]
    rows: Iterable[Row]
    title: str = ""
    in_units: bool = True
    first_to_go: tuple[str, ...] = ()

    def shows(self) -> list[tuple[str, Show]]:
        """The heading of each column, and how its values are shown."""
        return columns_in_units(self.columns) if self.in_units else raw_columns(self.columns)

    def blocks(self) -> Iterator[list[Row]]:
        """The rows, some at a time; one empty block where there are none."""
        rows = iter(self.rows)
        block = list(islice(rows, BLOCK_ROWS))
        yield block
        while block := list(islice(rows, BLOCK_ROWS)):
            yield block


@dataclass(frozen=True, slots=True)
class Column:
    """How one column is laid out."""

    place: int
    heading: str
    width: int
    is_number: bool
    is_empty: bool

    def fit(self, text: str) -> str:
        """The text with spaces before or after it."""
        spaces = " " * (self.width - cell_len(text))
        return spaces + text if self.is_number else text + spaces


def terminal_width() -> int | None:
    """The columns of the terminal, or None where stdout is none."""
    return shutil.get_terminal_size().columns if sys.stdout.isatty() else None


def table_lines(sheet: Sheet, *, width: int | None) -> Iterator[str]:
    """The lines of a table, or of single values where no table fits."""
    blocks = sheet.blocks()
    first = next(blocks)
    every = _layout(sheet, first)
    shown = _that_fit(every, sheet, width)
    if width is not None and _width(shown) > width:
        yield from line_lines(sheet, _with_first(first, blocks), width=width)
        return
    if sheet.title:
        yield sheet.title
    yield _joined(column.fit(column.heading) for column in shown)
    yield _rule() * _width(shown)
    for block in _with_first(first, blocks):
        cells = _cells(sheet, block)
        for row in zip(*(cells[column.place] for column in shown), strict=True):
            yield _joined(column.fit(text) for column, text in zip(shown, row, strict=True))
    if len(shown) < len(every):
        assert width is not None, "without a limit all columns fit"
        yield from _left_out([column.heading for column in every if column not in shown], width)


def line_lines(
    sheet: Sheet, blocks: Iterable[list[Row]] | None = None, *, width: int | None
) -> Iterator[str]:
    """One value per line, under a rule with the number of its row."""
    headings = [heading for heading, _ in sheet.shows()]
    indent = max(map(cell_len, headings), default=0)
    if sheet.title:
        yield sheet.title
    numbers = count(1)
    for block in blocks or sheet.blocks():
        for row in zip(*_cells(sheet, block), strict=True):
            head = f"{_rule() * 2} {next(numbers)} "
            yield head + _rule() * (min(width or 40, 40) - len(head))
            for heading, text in zip(headings, row, strict=True):
                spaces = " " * (indent - cell_len(heading))
                yield f"{heading}{spaces}{GAP}{text}".rstrip()


def markdown_lines(sheet: Sheet) -> Iterator[str]:
    """A table in Markdown."""
    blocks = sheet.blocks()
    first = next(blocks)
    columns = _layout(sheet, first)
    yield _between_bars(column.heading for column in columns)
    yield _between_bars("---:" if column.is_number else "---" for column in columns)
    for block in _with_first(first, blocks):
        yield from map(_between_bars, zip(*_cells(sheet, block), strict=True))


def _layout(sheet: Sheet, block: Sequence[Row]) -> list[Column]:
    cells = _cells(sheet, block)
    return [
        Column(
            place=place,
            heading=heading,
            width=max(map(cell_len, [heading, *cells[place]])),
            is_number=any(_is_number(row[place]) for row in block),
            is_empty=not any(cells[place]),
        )
        for place, (heading, _) in enumerate(sheet.shows())
    ]


def _that_fit(every: list[Column], sheet: Sheet, width: int | None) -> list[Column]:
    """The columns for so much room: empty ones go first, then the least important ones."""
    shown = list(every)
    names = [name for name in sheet.first_to_go if name in sheet.columns]
    to_go = [column for column in every if column.is_empty]
    to_go += [every[sheet.columns.index(name)] for name in names]
    to_go += reversed(every)
    for column in dict.fromkeys(to_go):
        if width is None or _width(shown) <= width or len(shown) <= FEWEST_COLUMNS:
            return shown
        shown.remove(column)
    return shown


def _cells(sheet: Sheet, block: Sequence[Row]) -> list[list[str]]:
    """The texts of a block, column by column."""
    shows = sheet.shows()
    return [show([row[place] for row in block]) for place, (_, show) in enumerate(shows)]


def _width(columns: Sequence[Column]) -> int:
    return sum(column.width for column in columns) + len(GAP) * (len(columns) - 1)


def _joined(texts: Iterable[str]) -> str:
    return GAP.join(texts).rstrip()


def _between_bars(texts: Iterable[str]) -> str:
    return "| " + " | ".join(text.replace("|", "\\|") for text in texts) + " |"


def _left_out(headings: Sequence[str], width: int) -> Iterator[str]:
    for text in (f"left out: {', '.join(headings)}", "--format line shows all columns"):
        yield from textwrap.wrap(text, width, break_long_words=False, break_on_hyphens=False)


def _rule() -> str:
    try:
        "─".encode(sys.stdout.encoding or "ascii")
    except UnicodeEncodeError:
        return "-"
    return "─"


def _with_first(first: list[Row], rest: Iterator[list[Row]]) -> Iterator[list[Row]]:
    yield first
    yield from rest


def _is_number(value: object) -> bool:
    return isinstance(value, int | float | Decimal) and not isinstance(value, bool)
